"""One tick after another: what is recorded before it is done, what a crash leaves, and what happens without a store."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from watched import POLL_S, Watched, bare, spec

from cloudmon import errors
from cloudmon.errors import Fenced
from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.findings import FindingKind
from cloudmon.model.nodes import NodeState
from cloudmon.model.sets import Healing, Lease
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.policy import View
from cloudmon.reconcile.limits import Limits

RUNNING, STOPPED, FAULTED = ApplianceState.RUNNING, ApplianceState.STOPPED, ApplianceState.FAULTED
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def of(tmp_path: Path) -> Watched:
    """Two appliances that run."""
    found = Watched(tmp_path, specs=[spec(2)])
    found.tick(3)
    assert [m.state for m in found.members()] == [RUNNING, RUNNING]
    return found


def node_of(of: Watched, ordinal: int = 1) -> str:
    return of.members()[ordinal - 1].node_id


def effects(of: Watched) -> list[str]:
    return [made.verb for made in of.east.calls if made.verb not in ("list_nodes", "get_node", "list_peers")]


# --- a tick -----------------------------------------------------------------------------------------------------------


def test_a_set_is_launched_and_then_nothing_is_due_any_more(of: Watched) -> None:
    report = of.tick()
    assert report.steady
    assert (report.performed, report.changes, report.rows) == (0, 0, ())
    assert effects(of) == ["create_node"] * 2
    assert of.memory.intents.open(EVERYONE) == []


def test_an_intent_is_in_the_store_before_its_call_is_made(tmp_path: Path) -> None:
    of = Watched(tmp_path, specs=[spec(1)])
    seen = []

    def create(request: object) -> None:
        seen.extend(of.memory.intents.open(EVERYONE))
        raise errors.Unreachable("no answer")

    of.east.play("create_node", create)
    of.tick()
    assert [(i.verb, i.state) for i in seen] == [(Verb.LAUNCH, IntentState.RECORDED)]


def test_a_lost_answer_is_asked_for_again_with_the_same_token_and_makes_one_node(tmp_path: Path) -> None:
    of = Watched(tmp_path, specs=[spec(1)])

    def made_but_lost(request: object) -> None:
        of.east._create(request)  # type: ignore[arg-type]
        raise errors.Unreachable("no answer")

    of.east.play("create_node", made_but_lost)
    of.east.play("list_nodes", errors.Unreachable("nor this"), errors.Unreachable("nor this"))
    of.tick(4)
    assert len(of.east.nodes) == 1
    assert {arguments[0].token for arguments in of.east.called("create_node")} == {of.members()[0].token}
    assert of.members()[0].state is RUNNING


def test_another_offer_is_tried_only_after_a_definite_failure(tmp_path: Path) -> None:
    of = Watched(tmp_path, clouds=["east", "west"], specs=[spec(1)])
    of.east.play("create_node", errors.OutOfCapacity("full"))
    of.tick(3)
    (member,) = of.members()
    assert (member.cloud, member.incarnation, member.state) == ("west", 2, RUNNING)
    assert len(of.east.called("create_node")) == 1


def test_one_appliances_failure_does_not_reach_another(tmp_path: Path) -> None:
    of = Watched(tmp_path, specs=[spec(3)])
    of.east.play("create_node", RuntimeError("broken adapter"), errors.Unreachable("lost"))
    of.tick(5)
    assert [m.state for m in of.members()] == [RUNNING] * 3


def test_a_machine_that_is_stopped_by_hand_is_started(of: Watched) -> None:
    of.east.nodes[node_of(of)] = of.east.nodes[node_of(of)]._replace(state=NodeState.STOPPED)
    of.tick(3)
    assert effects(of)[2:] == ["start_node"]
    assert of.members()[0].state is RUNNING


def test_a_stop_start_is_one_stop_and_then_one_start_without_a_pause(of: Watched) -> None:
    ladder = spec(2, healing=Healing(ladder=("stop-start",), fault_after_s=0, verify_s=600))
    of.monitor.policy = replace(of.policy, view=View("file:shop", (ladder,)))
    of.east.nodes[node_of(of)] = of.east.nodes[node_of(of)]._replace(state=NodeState.ERROR)
    of.tick(4)
    assert effects(of)[2:] == ["stop_node", "start_node"]
    of.tick()
    assert of.members()[0].state is RUNNING


def test_a_faulted_machine_is_replaced_and_its_former_node_ended(of: Watched) -> None:
    former = node_of(of)
    ladder = spec(2, healing=Healing(ladder=("replace",), fault_after_s=0, verify_s=60))
    of.monitor.policy = replace(of.policy, view=View("file:shop", (ladder,)))
    of.east.nodes[former] = of.east.nodes[former]._replace(state=NodeState.ERROR)
    of.tick(6)
    assert of.east.called("destroy_node") == [(former,)]
    assert (of.members()[0].incarnation, of.members()[0].state) == (2, RUNNING)


def terminations(of: Watched) -> list[Intent]:
    return [i for i in of.memory.intents.recent(EVERYONE, LONG_AGO) if i.verb is Verb.TERMINATE]


def logged(of: Watched, kind: str) -> int:
    return sum(1 for entry in of.memory.log.entries(EVERYONE, None, None, None, 9_999) if entry.kind == kind)


def test_a_termination_that_does_not_end_is_an_incident_and_tried_on_until_its_node_is_gone(of: Watched) -> None:
    """Seen by its state, by one finding and by one line of the log; ended by the node's absence alone."""
    of.east.play("destroy_node", *[errors.Refused("locked")] * 8)
    of.monitor.policy = replace(of.policy, view=View("file:shop", (spec(1),)))
    of.tick(60)
    (stuck,) = terminations(of)
    assert (stuck.state, stuck.error, stuck.ended_at) == (IntentState.INCIDENT, "Refused: locked", None)
    (said,) = of.memory.findings.open(EVERYONE)
    assert (said.kind, said.subject) == (FindingKind.INCIDENT, f"intent:{stuck.id}")
    assert logged(of, "intent.incident") == 1
    assert of.memory.intents.incidents(EVERYONE) == of.memory.intents.open(EVERYONE) == [stuck]
    tried = len(of.east.called("destroy_node"))
    of.tick(150)
    assert len(of.east.called("destroy_node")) > tried
    assert len(of.east.nodes) == 1
    (ended,) = terminations(of)
    assert (ended.id, ended.state) == (stuck.id, IntentState.DONE)
    assert of.memory.findings.open(EVERYONE) == []
    assert logged(of, "intent.incident") == 1
    assert of.members()[1].state is ApplianceState.RETIRED
    assert of.tick().steady


def test_an_incident_that_was_accepted_stays_one_until_its_node_is_gone(of: Watched) -> None:
    """A cloud may take the order again and again, and do nothing."""
    of.east.play("destroy_node", *[lambda _node_id: None] * 99)
    of.monitor.policy = replace(of.policy, view=View("file:shop", (spec(1),)))
    of.tick(150)
    (stuck,) = terminations(of)
    assert (stuck.state, stuck.error) == (IntentState.INCIDENT, "")
    of.east.nodes.pop(stuck.node_id)
    of.tick(3)
    assert [found.state for found in terminations(of)] == [IntentState.DONE]
    assert of.memory.findings.open(EVERYONE) == []


def test_a_set_that_shrinks_and_grows_again_while_it_shrinks_is_whole_in_the_end(of: Watched) -> None:
    def wish(count: int) -> None:
        of.monitor.policy = replace(of.policy, view=View("file:shop", (spec(count),)))

    wish(1)
    of.tick()
    assert of.members()[1].state is ApplianceState.RETIRING
    wish(2)
    of.tick(6)
    assert [(m.state, m.incarnation) for m in of.members()] == [(RUNNING, 1), (RUNNING, 2)]


def test_the_first_tick_and_a_jump_of_the_clock_destroy_nothing_for_what_they_see(of: Watched) -> None:
    limits = Limits(first_tick_hold=True)
    ladder = spec(2, healing=Healing(ladder=("replace",), fault_after_s=0))
    of.monitor.policy = replace(of.policy, limits=limits, view=View("file:shop", (ladder,)))
    of.east.nodes[node_of(of)] = of.east.nodes[node_of(of)]._replace(state=NodeState.ERROR)
    of.tick()
    of.clock.jump(dt.timedelta(seconds=120))
    report = of.tick()
    assert [row.held for row in report.rows] == [
        "the first tick after a start or a jump of the clock destroys nothing because of what it sees"
    ]
    assert of.east.called("destroy_node") == []
    assert of.tick().performed


def test_an_expired_set_ends_and_stays_ended(tmp_path: Path) -> None:
    of = Watched(tmp_path)
    end = of.clock.now() + dt.timedelta(seconds=4 * POLL_S)
    of.monitor.policy = replace(of.policy, view=View("file:shop", (spec(2, lease=Lease(end=end)),)))
    of.tick(12)
    assert of.east.nodes == {}
    aset = of.memory.sets.named(EVERYONE, "storefront")
    assert aset is not None
    assert aset.retired_at is not None
    assert "is not made again" in of.tick().notes[0]


def test_a_successor_fences_this_one_out(of: Watched) -> None:
    of.memory.monitors.begin(host="there", pid=2, now=of.clock.now())
    of.east.nodes.pop(node_of(of))
    before = of.members()
    with pytest.raises(Fenced):
        of.tick()
    assert of.members() == before
    assert effects(of) == ["create_node"] * 2


def test_a_file_that_suddenly_asks_for_much_less_is_held_and_said(of: Watched) -> None:
    of.monitor.policy = replace(of.policy, view=View("file:shop", ()))
    assert "asks for 2 appliances fewer of 2" in of.tick().notes[0]
    assert [f.kind for f in of.memory.findings.open(EVERYONE)] == [FindingKind.SUSPICIOUS]
    of.monitor.policy = replace(of.policy, view=View("file:shop", (), confirmed=True))
    of.tick(3)
    assert of.memory.findings.open(EVERYONE) == []
    assert of.east.nodes == {}


# --- without a store --------------------------------------------------------------------------------------------------


def test_while_the_store_is_away_it_watches_and_acts_on_nothing(of: Watched) -> None:
    of.east.nodes.pop(node_of(of))
    of.store.away = True
    report = of.tick(3)
    assert "the store is away" in report.store_away
    assert not report.steady
    assert effects(of) == ["create_node"] * 2
    assert of.monitor.journal is not None
    assert [(one.cloud, one.healthy) for one in of.monitor.journal.replay()]


def test_what_was_seen_while_the_store_was_away_is_taken_over_in_order(of: Watched) -> None:
    """With the instants at which it was seen, and without anything being done for the past."""
    stopped_id = node_of(of)
    of.store.away = True
    of.east.nodes[stopped_id] = of.east.nodes[stopped_id]._replace(state=NodeState.STOPPED)
    stopped_at = of.clock.now()
    of.tick()
    of.east.nodes[stopped_id] = of.east.nodes[stopped_id]._replace(state=NodeState.RUNNING)
    started_at = of.clock.now()
    of.tick()
    of.store.away = False
    of.tick(2)
    uid = of.members()[0].set_uid
    since = [(entry.state, entry.at) for entry in of.memory.members.history(EVERYONE, uid, 1, since=stopped_at)]
    assert since == [(STOPPED, stopped_at), (RUNNING, started_at)]
    assert effects(of) == ["create_node"] * 2
    assert of.monitor.journal is not None
    assert list(of.monitor.journal.replay()) == []


def test_what_was_watched_without_a_store_is_measured_and_not_estimated(of: Watched) -> None:
    of.store.away = True
    of.tick(4)
    of.store.away = False
    of.tick()
    assert [span.open for span in of.memory.spans.of(EVERYONE, "east")] == [True]


def test_an_outcome_that_came_while_the_store_went_away_is_recorded_when_it_is_back(tmp_path: Path) -> None:
    """And its call is not made a second time in between."""
    of = Watched(tmp_path, specs=[spec(1)])

    def create_and_lose_the_store(request: object) -> object:
        of.store.away = True
        return of.east._create(request)  # type: ignore[arg-type]

    of.east.play("create_node", create_and_lose_the_store)
    of.tick(3)
    assert len(of.east.called("create_node")) == 1
    of.store.away = False
    of.tick(2)
    assert len(of.east.called("create_node")) == 1
    assert of.members()[0].state is RUNNING


def test_nothing_of_another_estate_reaches_the_journal(of: Watched) -> None:
    of.east.nodes["i-9"] = bare("i-9", password="hunter2")
    of.store.away = True
    of.tick()
    assert of.monitor.journal is not None
    (seen,) = of.monitor.journal.replay()
    assert {one.id for one in seen.nodes or ()} == {m.node_id for m in of.members()}


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_user_data_is_in_no_intent_log_history_or_report(tmp_path: Path) -> None:
    template = replace(spec().template, user_data="password=hunter2", options={"east": {"key": "hunter2"}})
    of = Watched(tmp_path, specs=[spec(2, template=template)])
    of.east.play("create_node", errors.Refused("bad parameter"))
    reports = [of.tick() for _ in range(3)]
    of.east.nodes.pop(of.members()[0].node_id, None)
    reports += [of.tick() for _ in range(3)]
    uid = of.members()[0].set_uid
    kept = [
        of.memory.intents.recent(EVERYONE, LONG_AGO),
        of.memory.log.entries(EVERYONE, None, None, None, 999),
        of.memory.members.history(EVERYONE, uid, None),
        of.memory.incarnations.of(EVERYONE, uid),
        of.memory.findings.open(EVERYONE),
        reports,
    ]
    assert of.east.called("create_node")[0][0].user_data == "password=hunter2"
    assert "hunter2" not in repr(kept)
