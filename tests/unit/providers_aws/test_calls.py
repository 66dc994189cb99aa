"""What the provider asks EC2, over a real socket, and what it makes of each answer."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from cloudmon import errors
from cloudmon.model.nodes import NodeState
from cloudmon_providers.aws import connection
from tests.benchmarks import ec2_listing


def test_all_pages_are_read_and_pages_hold_a_thousand(ec2, make) -> None:
    for page in ec2_listing.pages(5, size=2):
        ec2.will(page)
    nodes = make().list_nodes().nodes
    assert [node.id for node in nodes] == [ec2_listing.instance_id(serial) for serial in range(5)]
    assert [form["MaxResults"] for form in ec2.forms] == ["1000"] * 3
    assert [form.get("NextToken") for form in ec2.forms] == [None, "page-1", "page-2"]
    assert ec2.actions == ["DescribeInstances"] * 3  # and no call for addresses


def test_a_node_that_slid_from_one_page_to_the_next_is_listed_once_as_last_seen(ec2, make) -> None:
    item = {
        word: ec2_listing.instance(1, estate="e" * 12, set_uid="s" * 12, word=word) for word in ("pending", "running")
    }
    ec2.will(ec2_listing.page([item["pending"]], "more")).will(ec2_listing.page([item["running"]]))
    (node,) = make().list_nodes().nodes
    assert node.state is NodeState.RUNNING


@pytest.mark.parametrize(
    ("second", "status", "error"),
    [
        pytest.param(b"", 200, errors.UnexpectedAnswer, id="empty 200"),
        pytest.param(b"<html/>", 200, errors.UnexpectedAnswer, id="foreign document"),
        pytest.param(b"", 503, errors.Unreachable, id="server error"),
        pytest.param(b"", 302, errors.UnexpectedAnswer, id="redirect to nowhere"),
    ],
)
def test_a_page_that_fails_makes_the_whole_listing_fail(ec2, make, second, status, error) -> None:
    ec2.will(ec2_listing.pages(4, size=2)[0]).will(second, status)
    with pytest.raises(error):
        make().list_nodes()


def test_pages_that_go_in_a_circle_are_an_unexpected_answer(ec2, make) -> None:
    for _ in range(3):
        ec2.will(ec2_listing.page([], "again"))
    with pytest.raises(errors.UnexpectedAnswer, match="circle"):
        make().list_nodes()


def test_throttling_carries_the_wish_of_the_cloud_and_is_not_repeated_here(ec2, make) -> None:
    ec2.will_refuse("RequestLimitExceeded", 503)
    with pytest.raises(errors.RateLimited) as caught:
        make().list_nodes()
    assert (caught.value.code, caught.value.cloud, caught.value.retry_after_s) == ("RequestLimitExceeded", "east", None)
    ec2.will("<Response><Errors><Error><Code>Throttling</Code></Error></Errors></Response>", 400, Retry_After="7")
    with pytest.raises(errors.RateLimited) as caught:
        make().list_nodes()
    assert caught.value.retry_after_s == 7
    assert len(ec2.asked) == 2


def test_an_endpoint_that_does_not_listen_is_unreachable(make) -> None:
    with pytest.raises(errors.Unreachable):
        make(endpoint="http://127.0.0.1:9").list_nodes()


def test_one_node_is_asked_for_by_id(ec2, make) -> None:
    ec2.will(ec2_listing.pages(1)[0])
    assert make().get_node(ec2_listing.instance_id(0)).name == "storefront-0"
    assert ec2.forms[0]["InstanceId.1"] == ec2_listing.instance_id(0)
    assert "MaxResults" not in ec2.forms[0]  # EC2 refuses both together


@pytest.mark.parametrize("code", ["InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"])
def test_a_node_that_ec2_does_not_know_is_not_found(ec2, make, code) -> None:
    ec2.will_refuse(code)
    with pytest.raises(errors.NotFound):
        make().get_node("i-1")


def test_another_node_than_asked_for_is_an_unexpected_answer(ec2, make) -> None:
    ec2.will(ec2_listing.pages(1)[0])
    with pytest.raises(errors.UnexpectedAnswer):
        make().get_node("i-1")


@pytest.mark.parametrize(
    ("verb", "action"),
    [("start_node", "StartInstances"), ("stop_node", "StopInstances"), ("reboot_node", "RebootInstances"),
     ("destroy_node", "TerminateInstances")],
)  # fmt: skip
def test_each_verb_is_one_call_on_one_instance(ec2, make, verb, action) -> None:
    ec2.will("<anything/>")
    getattr(make(), verb)("i-1")
    assert [(form["Action"], form["InstanceId.1"]) for form in ec2.forms] == [(action, "i-1")]


def test_destroying_what_is_gone_is_quiet(ec2, make) -> None:
    ec2.will_refuse("InvalidInstanceID.NotFound")
    make().destroy_node("i-1")


def test_tags_are_written_as_a_numbered_list(ec2, make) -> None:
    ec2.will("<CreateTagsResponse/>")
    make().tag_node("i-1", {"a": "1", "b": "2"})
    form = ec2.forms[0]
    assert form["Action"] == "CreateTags"
    assert form["ResourceId.1"] == "i-1"
    assert [form[f"Tag.{n}.{part}"] for n in (1, 2) for part in ("Key", "Value")] == ["a", "1", "b", "2"]


def test_what_ec2_calls_hibernation_is_not_offered_as_suspension(make) -> None:
    provider = make()
    assert provider.lacks("suspend_node")
    assert not provider.lacks("stop_node")
    with pytest.raises(errors.Unsupported):
        provider.suspend_node("i-1")


def test_the_signature_verifies_over_what_arrived(ec2, make) -> None:
    """The canonical request is built again here from the bytes on the wire, as EC2 does it."""
    ec2.will(ec2_listing.page([]))
    make(region="eu-south-7", session_token="the-session").list_nodes()
    (asked,) = ec2.asked
    headers = {key.lower(): " ".join(value.split()) for key, value in asked.headers.items()}
    words = dict(part.strip().split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(","))
    signed = words["SignedHeaders"].split(";")
    assert {"host", "x-amz-date", "x-amz-security-token", "content-type"} <= set(signed)
    canonical = "\n".join(
        [asked.method, asked.path, "", *(f"{name}:{headers[name]}" for name in signed), "", ";".join(signed),
         hashlib.sha256(asked.body).hexdigest()]
    )  # fmt: skip
    scope = "20261101/eu-south-7/ec2/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert words["Credential"] == f"AKIDEXAMPLE/{scope}"
    assert words["Signature"] == hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "ec2.eu-central-1.amazonaws.com"),
        ("mx-central-1", "ec2.mx-central-1.amazonaws.com"),
        ("cn-north-1", "ec2.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "ec2.us-gov-west-1.amazonaws.com"),
        ("eusc-de-east-1", "ec2.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_any_region_has_an_endpoint_known_to_libcloud_or_not(region, host, make) -> None:
    assert connection.host(region) == host
    driver = make(region=region, endpoint="").driver
    assert (driver.connection.host, driver.connection.port, driver.connection.secure) == (host, 443, 1)
