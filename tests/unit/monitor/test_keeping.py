"""Snapshots that were taken here end when they were kept for as long as the settings say, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from watched import Watched, spec

from cloudmon.errors import Refused, Unreachable
from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.findings import FindingKind
from cloudmon.model.requests import RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.estate import KEPT_LOOK
from cloudmon.reconcile.tries import INCIDENT_AFTER

DAY_S = 86_400.0


class Keeping(Watched):
    """An appliance of which a snapshot was taken; its cloud has one of somebody else's, too."""

    def __init__(self, folder: Path, keep_s: float | None = DAY_S) -> None:
        super().__init__(folder, specs=[spec(1)])
        self.monitor.policy = replace(self.monitor.policy, keep_snapshots_s=keep_s)
        self.tick(3)
        self.ask(RequestVerb.SNAPSHOT, "storefront/1")
        self.tick(2)
        self.uid = self.members()[0].set_uid
        self.east.snapshots[self.members()[0].node_id, "of somebody else"] = "snapshot-9"
        assert len(self.east.snapshots) == 2

    def later(self, seconds: float, ticks: int = 2) -> None:
        self.clock.advance(seconds)
        self.tick(ticks)

    def ends(self) -> list[Intent]:
        found = self.memory.intents.of(EVERYONE, self.uid, 0)
        return [one for one in found if one.verb is Verb.SNAPSHOT_END]

    def incidents(self) -> list[str]:
        return [one.message for one in self.memory.findings.open(EVERYONE) if one.kind is FindingKind.INCIDENT]


def test_a_snapshot_ends_once_when_it_was_kept_long_enough_and_no_other_does(tmp_path: Path) -> None:
    of = Keeping(tmp_path)
    of.later(DAY_S / 2)
    assert of.ends() == []
    of.later(DAY_S / 2 + KEPT_LOOK.total_seconds())
    of.later(DAY_S)
    (end,) = of.ends()
    assert (end.state, end.arguments["kept"]) == (IntentState.DONE, "snapshot-1")
    assert list(of.east.snapshots.values()) == ["snapshot-9"]
    assert len(of.east.called("forget_snapshot")) == 1


def test_without_the_setting_nothing_is_deleted(tmp_path: Path) -> None:
    of = Keeping(tmp_path, None)
    of.later(400 * DAY_S)
    assert of.ends() == []
    assert len(of.east.snapshots) == 2


def test_it_ends_though_its_set_is_gone_by_then(tmp_path: Path) -> None:
    of = Keeping(tmp_path)
    of.ask(RequestVerb.RETIRE, "storefront")
    of.tick(12)
    assert not of.memory.sets.active(EVERYONE)
    of.later(DAY_S + KEPT_LOOK.total_seconds())
    assert [one.state for one in of.ends()] == [IntentState.DONE]


def test_a_cloud_that_does_not_answer_is_asked_the_same_again(tmp_path: Path) -> None:
    of = Keeping(tmp_path)
    of.east.play("forget_snapshot", Unreachable("no answer"))
    of.later(DAY_S + KEPT_LOOK.total_seconds())
    of.later(60)
    (end,) = of.ends()
    assert end.state is IntentState.DONE
    first, second = of.east.called("forget_snapshot")
    assert first == second


def test_one_that_cannot_be_deleted_is_an_incident_until_it_can(tmp_path: Path) -> None:
    of = Keeping(tmp_path)
    for _ in range(INCIDENT_AFTER + 1):
        of.east.play("forget_snapshot", Refused("an image uses it"))
    of.later(DAY_S + KEPT_LOOK.total_seconds())
    for _ in range(INCIDENT_AFTER - 1):
        of.later(900)
    (told,) = of.incidents()
    assert told.startswith("the snapshot snapshot-1 in cloud east cannot be ended: ")
    assert "an image uses it" in told
    of.later(900, ticks=3)
    of.later(900, ticks=3)
    assert [one.state for one in of.ends()] == [IntentState.DONE]
    assert of.incidents() == []


def test_what_a_monitor_was_about_to_delete_its_successor_deletes(tmp_path: Path) -> None:
    of = Keeping(tmp_path)
    of.east.play("forget_snapshot", Unreachable("no answer"))
    of.later(DAY_S + KEPT_LOOK.total_seconds(), ticks=1)
    assert [one.state for one in of.ends()] == [IntentState.RECORDED]
    policy = of.monitor.policy
    of.restart()
    of.monitor.policy = policy
    of.later(60, ticks=3)
    assert [one.state for one in of.ends()] == [IntentState.DONE]
