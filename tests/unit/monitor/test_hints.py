"""What a cloud tells of its own accord: heard, looked at, and never believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from watched import Watched, bare, spec

from cloudmon import errors
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.nodes import Node, NodeEvent, NodeState
from cloudmon.monitor.hints import MOST, Hints
from cloudmon.monitor.listening import IDLE_S, Listener, Listeners

RUNNING = ApplianceState.RUNNING


class Told(Watched):
    """Two appliances that run, and the way from their cloud's events to the monitor, a step at a time."""

    def __init__(self, folder: Path, ticks: int = 3) -> None:
        super().__init__(folder, specs=[spec(2)])
        self.tick(ticks)
        self.nudged: list[str] = []
        self.hints = Hints(self.monitor, lambda: self.nudged.append("tick"))
        self.listener = Listener("east", self.clouds.__getitem__, self.hints.put, self.clock)
        self.east.calls.clear()

    def node(self, ordinal: int = 1) -> Node:
        return self.east.nodes[self.members()[ordinal - 1].node_id]

    def becomes(self, state: NodeState, ordinal: int = 1) -> str:
        node = self.node(ordinal)
        self.east.nodes[node.id] = node._replace(state=state, word=state.value)
        return node.id

    def event(self, node_id: str, receipt: str = "r1") -> None:
        self.east.events.append(NodeEvent(node_id, "stopped", receipt))

    def hear(self) -> int:
        self.listener.once()
        return self.hints.look()

    def calls(self) -> list[str]:
        return [made.verb for made in self.east.calls if made.verb not in ("wait_events", "take_events")]


@pytest.fixture
def of(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_a_node_that_stopped_is_started_without_a_listing(of: Told) -> None:
    of.event(of.becomes(NodeState.STOPPED))
    assert of.hear() == 1
    assert of.calls() == ["get_node", "start_node"]
    assert of.node().state is NodeState.RUNNING
    assert of.east.events == []


def test_its_return_is_seen_by_the_next_event(of: Told) -> None:
    of.event(of.becomes(NodeState.STOPPED))
    of.hear()
    assert of.members()[0].state is ApplianceState.STOPPED
    of.clock.advance(1)
    of.event(of.node().id, "r2")
    of.hear()
    assert of.members()[0].state is RUNNING
    assert "list_nodes" not in of.calls()


def test_a_node_that_ended_is_replaced_at_once(of: Told) -> None:
    former = of.becomes(NodeState.TERMINATED)
    of.event(former)
    assert of.hear() == 1
    assert of.calls() == ["get_node", "create_node"]
    assert (of.members()[0].incarnation, of.members()[0].node_id != former) == (2, True)


def test_a_launch_is_confirmed_by_the_event_of_a_node_that_no_listing_has_shown_yet(tmp_path: Path) -> None:
    of = Told(tmp_path, ticks=1)
    assert [one.state for one in of.members()] == [ApplianceState.LAUNCHING] * 2
    of.event(of.node(1).id, "r1")
    of.event(of.node(2).id, "r2")
    of.hear()
    assert [one.state for one in of.members()] == [RUNNING] * 2
    assert of.calls() == ["get_node"] * 2


def test_an_event_is_not_believed_what_the_cloud_shows_is(of: Told) -> None:
    of.event(of.node().id)
    assert of.hear() == 0
    assert of.calls() == ["get_node"]
    assert of.members()[0].state is RUNNING


def test_the_event_of_a_node_that_is_not_ours_costs_nothing(of: Told) -> None:
    of.east.nodes["i-9"] = bare("i-9")
    of.tick()
    of.east.calls.clear()
    for number, node_id in enumerate(("i-9", "i-never-seen", "")):
        of.event(node_id, f"r{number}")
    assert of.hear() == 0
    assert (of.calls(), of.east.events) == ([], [])


def test_one_that_comes_twice_and_late_is_one_look(of: Told) -> None:
    node_id = of.becomes(NodeState.STOPPED)
    for number in range(5):
        of.event(node_id, f"r{number}")
    assert of.hear() == 1
    of.event(node_id, "late")
    assert of.hear() == 0
    assert of.calls().count("start_node") == 1


def test_whether_a_node_is_gone_a_whole_listing_says(of: Told) -> None:
    """The cloud's denial of one node may be our own blindness: doubts are the tick's."""
    node_id = of.node().id
    of.event(node_id)
    of.east.play("get_node", errors.NotFound("none"))
    assert of.hear() == 0
    assert of.nudged == ["tick"]
    assert of.members()[0].state is RUNNING


def test_a_cloud_that_does_not_answer_for_the_node_is_asked_by_the_poll(of: Told) -> None:
    of.event(of.becomes(NodeState.STOPPED))
    of.east.play("get_node", errors.Unreachable("no answer"))
    assert of.hear() == 0
    of.tick(3)
    assert of.members()[0].state is RUNNING


def test_a_listing_that_began_before_does_not_undo_what_was_read_since(of: Told) -> None:
    before = of.east.list_nodes()
    of.clock.advance(1)
    of.event(of.becomes(NodeState.STOPPED))
    of.east.play("start_node", errors.Unreachable("lost"))
    of.hear()
    of.east.play("list_nodes", before)
    of.tick()
    assert of.members()[0].state is ApplianceState.STOPPED


def test_more_than_can_be_looked_at_one_by_one_is_one_tick(of: Told) -> None:
    node = of.node()
    many = {f"n{number}": node._replace(id=f"n{number}") for number in range(MOST + 1)}
    of.monitor.views = {"east": replace(of.monitor.views["east"], nodes=many)}
    assert not of.hints.put("east", many)
    assert of.nudged == ["tick"]
    assert of.hints.look() == 0


# --- hearing ----------------------------------------------------------------------------------------------------------


def test_what_was_not_handed_on_comes_again(of: Told) -> None:
    def deaf(*_: object) -> None:
        raise RuntimeError("nobody takes it")

    of.event(of.node().id)
    Listener("east", of.clouds.__getitem__, deaf, of.clock).once()
    assert len(of.east.events) == 1


def test_a_queue_that_is_away_is_said_once_and_when_it_is_back(of: Told) -> None:
    of.east.play("wait_events", *[errors.Unreachable("no queue")] * 3)
    pauses = []
    for _ in range(3):
        of.listener.once()
        pauses.append(of.listener.pause_s)
    assert of.listener.error == "no queue"
    assert pauses == sorted(set(pauses))
    of.event(of.becomes(NodeState.STOPPED))
    assert of.hear() == 1
    assert (of.listener.error, of.listener.pause_s) == ("", IDLE_S)


def test_a_cloud_whose_settings_change_is_listened_to_anew(of: Told) -> None:
    listeners = Listeners(of.clouds.__getitem__, of.hints.put, of.clock)
    of.east.play("wait_events", *[errors.Unreachable("no queue")] * 99)
    listeners.follow({"east": 1})
    first = listeners._running["east"][1]
    listeners.follow({"east": 1})
    assert listeners._running["east"][1] is first
    listeners.follow({"east": 2})
    assert listeners._running["east"][1] is not first
    listeners.follow({})
    assert list(listeners.clouds) == []
