"""Snapshots on EC2: of all volumes, once for each name."""

from __future__ import annotations

import pytest

from cloudmon import errors

SPACE = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'


def answer(kind: str, *ids: str) -> str:
    items = "".join(f"<item><snapshotId>{one}</snapshotId></item>" for one in ids)
    return f"<{kind}Response {SPACE}><snapshotSet>{items}</snapshotSet></{kind}Response>"


def test_all_volumes_are_kept_in_one_call_with_the_tags_in_it(ec2, make) -> None:
    ec2.will(answer("DescribeSnapshots")).will(answer("CreateSnapshots", "snap-2", "snap-1"))
    assert make().snapshot_node("i-1", "evidence-1", {"cloudmon:set": "web"}) == "snap-1,snap-2"
    looked, made = ec2.forms
    assert (looked["Filter.2.Name"], looked["Filter.2.Value.1"]) == ("tag:cloudmon:snapshot-of", "i-1")
    assert (looked["Filter.1.Name"], looked["Filter.1.Value.1"]) == ("tag:cloudmon:snapshot", "evidence-1")
    assert made["InstanceSpecification.InstanceId"] == "i-1"
    tags = {made[f"TagSpecification.1.Tag.{n}.Key"]: made[f"TagSpecification.1.Tag.{n}.Value"] for n in range(1, 5)}
    assert tags == {
        "Name": "evidence-1",
        "cloudmon:snapshot": "evidence-1",
        "cloudmon:snapshot-of": "i-1",
        "cloudmon:set": "web",
    }


def test_what_has_that_name_is_kept_already(ec2, make) -> None:
    ec2.will(answer("DescribeSnapshots", "snap-1"))
    assert make().snapshot_node("i-1", "evidence-1", {}) == "snap-1"
    assert ec2.actions == ["DescribeSnapshots"]


def test_an_instance_without_volumes_has_nothing_to_keep(ec2, make) -> None:
    ec2.will(answer("DescribeSnapshots")).will(answer("CreateSnapshots"))
    with pytest.raises(errors.Refused):
        make().snapshot_node("i-1", "evidence-1", {})


@pytest.mark.parametrize("body", ["<html/>", "not XML", f"<DescribeSnapshotsResponse {SPACE}/>", "<snapshotSet/>"])
def test_an_answer_that_is_something_else_is_not_taken_for_none(ec2, make, body) -> None:
    ec2.will(body)
    with pytest.raises(errors.UnexpectedAnswer):
        make().snapshot_node("i-1", "evidence-1", {})
    assert ec2.actions == ["DescribeSnapshots"]


DELETED = f"<DeleteSnapshotResponse {SPACE}><return>true</return></DeleteSnapshotResponse>"


def test_only_what_has_both_the_name_and_the_id_is_deleted(ec2, make) -> None:
    ec2.will(answer("DescribeSnapshots", "snap-1", "snap-2", "snap-8")).will(DELETED).will(DELETED)
    make().forget_snapshot("i-1", "evidence-1", "snap-1,snap-2,snap-9")
    looked, *deleted = ec2.forms
    assert (looked["Filter.1.Value.1"], looked["Filter.2.Value.1"]) == ("evidence-1", "i-1")
    assert [one["SnapshotId"] for one in deleted] == ["snap-1", "snap-2"]
    assert ec2.actions == ["DescribeSnapshots", "DeleteSnapshot", "DeleteSnapshot"]


def test_what_is_gone_already_is_quiet(ec2, make) -> None:
    ec2.will(answer("DescribeSnapshots"))
    make().forget_snapshot("i-1", "evidence-1", "snap-1")
    assert ec2.actions == ["DescribeSnapshots"]
