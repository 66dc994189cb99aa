"""Every call of a cloud keeps the pace that all its workers share."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from cloudmon import errors, provider
from cloudmon.model.nodes import Listing, Node, NodeRequest, NodeState, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.monitor.pace import Allowance, Pace, Paced
from cloudmon.testing import FakeClock

NODE = Node("n-1", "a", NodeState.RUNNING, "running", None, None, "east", "s", "i", (), (), None, {})
OFFER = Offer("east", "small", "here", 1, 512, 10)
REQUEST = NodeRequest("cm1-a-b-1-1", "a", OFFER, "img", {})
GROUP = PeerGroup("cloudmon-peers-x", (80,))
NO_TIME = dt.timedelta()


class Core:
    """A provider that can do what every provider can, and says what it was asked."""

    cloud = "east"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def list_nodes(self) -> Listing:
        self.asked.append("list_nodes")
        return Listing("east", (NODE,), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    def get_node(self, node_id: str) -> Node:
        self.asked.append(f"get_node {node_id}")
        return NODE

    def create_node(self, request: NodeRequest) -> Node:
        self.asked.append(f"create_node {request.token}")
        return NODE

    def destroy_node(self, node_id: str) -> None:
        self.asked.append(f"destroy_node {node_id}")

    def list_offers(self) -> Sequence[Offer]:
        self.asked.append("list_offers")
        return (OFFER,)


class Full(Core):
    """A provider that can do everything, but whose instance cannot suspend."""

    def lacks(self, verb: str) -> bool:
        return verb == "suspend_node"

    def start_node(self, node_id: str) -> None:
        self.asked.append(f"start_node {node_id}")

    def stop_node(self, node_id: str) -> None:
        self.asked.append(f"stop_node {node_id}")

    def reboot_node(self, node_id: str) -> None:
        self.asked.append(f"reboot_node {node_id}")

    def suspend_node(self, node_id: str) -> None:
        self.asked.append(f"suspend_node {node_id}")

    def resume_node(self, node_id: str) -> None:
        self.asked.append(f"resume_node {node_id}")

    def tag_node(self, node_id: str, tags: Mapping[str, str]) -> None:
        self.asked.append(f"tag_node {node_id} {dict(tags)}")

    def snapshot_node(self, node_id: str, name: str, tags: Mapping[str, str]) -> str:
        self.asked.append(f"snapshot_node {node_id} {name} {dict(tags)}")
        return "snap-1"

    def forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        self.asked.append(f"forget_snapshot {node_id} {name} {kept}")

    def isolate_node(self, node_id: str) -> None:
        self.asked.append(f"isolate_node {node_id}")

    def release_node(self, node_id: str) -> None:
        self.asked.append(f"release_node {node_id}")

    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        self.asked.append(f"open_peers {group.name} {joining} {leaving}")

    def close_peers(self, name: str) -> None:
        self.asked.append(f"close_peers {name}")

    def list_peers(self) -> Sequence[PeerGroup]:
        self.asked.append("list_peers")
        return [GROUP]

    def reset(self) -> None:
        self.asked.append("reset")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def pace(clock: FakeClock, *, stop: threading.Event | None = None, chance: float = 0.0, **allowance: float) -> Pace:
    return Pace("east", clock, Allowance(**allowance), stop=stop, chance=lambda: chance)  # type: ignore[arg-type]


def raising(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def quiet() -> None:
    """A call that goes well."""


def refused(paced: Pace, retry_after_s: float | None = None) -> None:
    with pytest.raises(errors.RateLimited):
        paced.call("get_node", raising(errors.RateLimited("slow down", cloud="east", retry_after_s=retry_after_s)))


def took(clock: FakeClock, paced: Pace) -> float:
    """Seconds until a call was made."""
    before = clock.monotonic()
    paced.call("get_node", quiet)
    return clock.monotonic() - before


def test_a_burst_goes_through_at_once_and_what_follows_at_the_pace(clock: FakeClock) -> None:
    paced = pace(clock, calls_per_s=2, burst=3)
    assert pytest.approx([took(clock, paced) for _ in range(5)]) == [0, 0, 0, 0.5, 0.5]


def test_a_quiet_time_saves_up_one_burst_and_no_more(clock: FakeClock) -> None:
    paced = pace(clock, calls_per_s=2, burst=2)
    clock.advance(1000)
    assert pytest.approx([took(clock, paced) for _ in range(3)]) == [0, 0, 0.5]


def test_after_a_refusal_every_call_waits_as_long_as_the_cloud_asked(clock: FakeClock) -> None:
    paced = pace(clock)
    refused(paced, retry_after_s=7)
    assert took(clock, paced) == pytest.approx(7)


def test_after_the_pause_there_is_no_burst(clock: FakeClock) -> None:
    paced = pace(clock, calls_per_s=2, burst=40)
    refused(paced, retry_after_s=7)
    assert pytest.approx([took(clock, paced) for _ in range(3)]) == [7, 0.5, 0.5]


def test_pauses_double_with_each_refusal_in_a_row_up_to_the_longest(clock: FakeClock) -> None:
    paced = pace(clock, calls_per_s=1000, backoff_s=1, backoff_max_s=10, patience_s=100)
    pauses = []
    for _ in range(6):
        refused(paced)
        pause = paced.health().paused_until
        assert pause is not None
        pauses.append((pause - clock.now()).total_seconds())
        clock.advance(pauses[-1] + 1)
    assert pytest.approx(pauses) == [1, 2, 4, 8, 10, 10]


def test_a_call_that_goes_well_ends_the_row(clock: FakeClock) -> None:
    paced = pace(clock, backoff_s=1, calls_per_s=1e6)
    refused(paced)
    assert took(clock, paced) == pytest.approx(1)
    clock.advance(1)
    refused(paced)
    assert took(clock, paced) == pytest.approx(1)


def test_up_to_half_of_a_pause_is_taken_off_by_chance(clock: FakeClock) -> None:
    paced = pace(clock, backoff_s=8, chance=0.5)
    refused(paced)
    assert took(clock, paced) == pytest.approx(6)


def test_calls_refused_together_count_as_one_refusal(clock: FakeClock) -> None:
    paced = pace(clock, backoff_s=1)

    def call_during_which_another_is_refused() -> None:
        refused(paced)
        raise errors.RateLimited("slow down", cloud="east")

    with pytest.raises(errors.RateLimited):
        paced.call("get_node", call_during_which_another_is_refused)
    assert took(clock, paced) == pytest.approx(1)


def test_a_call_that_would_wait_too_long_is_not_made_and_says_when_to_come_back(clock: FakeClock) -> None:
    paced = pace(clock, patience_s=30)
    refused(paced, retry_after_s=100)
    made: list[int] = []
    before = clock.monotonic()
    with pytest.raises(errors.RateLimited) as caught:
        paced.call("get_node", lambda: made.append(1))
    assert caught.value.retry_after_s == pytest.approx(100)
    assert (made, before) == ([], clock.monotonic())


def test_calls_that_were_not_made_use_nothing_up(clock: FakeClock) -> None:
    paced = pace(clock, calls_per_s=1, burst=1, patience_s=30)
    refused(paced, retry_after_s=100)
    for _ in range(50):
        with pytest.raises(errors.RateLimited):
            paced.call("get_node", quiet)
    clock.advance(101)
    assert pytest.approx([took(clock, paced) for _ in range(2)]) == [0, 1]


def test_no_pause_is_longer_than_the_longest_whatever_the_cloud_asks(clock: FakeClock) -> None:
    paced = pace(clock, backoff_max_s=60, patience_s=100)
    refused(paced, retry_after_s=1e9)
    assert took(clock, paced) == pytest.approx(60)


def test_a_refusal_of_another_worker_is_heeded_by_one_that_already_waits() -> None:
    class Interrupting(FakeClock):
        def wait(self, event: threading.Event, timeout_s: float) -> bool:
            if interruptions:
                refused_meanwhile()
            return super().wait(event, timeout_s)

    interruptions = [1]
    clock = Interrupting()
    paced = pace(clock, calls_per_s=1, burst=1)

    def refused_meanwhile() -> None:
        interruptions.clear()
        paced._refused(errors.RateLimited("slow down", cloud="east", retry_after_s=20), clock.monotonic())

    paced.call("get_node", quiet)
    assert took(clock, paced) == pytest.approx(20)


def test_waiting_calls_are_not_made_once_the_monitor_stops(clock: FakeClock) -> None:
    stop = threading.Event()
    paced = pace(clock, calls_per_s=1, burst=1, stop=stop)
    paced.call("get_node", quiet)
    stop.set()
    made: list[int] = []
    with pytest.raises(errors.RateLimited, match="stopping"):
        paced.call("get_node", lambda: made.append(1))
    assert made == []


def test_a_changed_allowance_is_kept_from_the_next_call_on(clock: FakeClock) -> None:
    paced = pace(clock, calls_per_s=2, burst=10)
    paced.allow(Allowance(calls_per_s=4, burst=1))
    assert pytest.approx([took(clock, paced) for _ in range(2)]) == [0, 0.25]


def test_a_jump_of_the_machine_clock_changes_no_pause(clock: FakeClock) -> None:
    paced = pace(clock)
    refused(paced, retry_after_s=7)
    clock.jump(dt.timedelta(hours=-3))
    assert took(clock, paced) == pytest.approx(7)


def test_calls_are_counted_by_verb_and_those_not_made_are_not(clock: FakeClock) -> None:
    paced = pace(clock)
    provider_ = Paced(Core(), paced)
    provider_.list_nodes()
    provider_.get_node("n-1")
    provider_.get_node("n-2")
    refused(paced, retry_after_s=200)
    with pytest.raises(errors.RateLimited):
        provider_.list_nodes()
    assert paced.calls == {"list_nodes": 1, "get_node": 3}
    assert (paced.health().calls, paced.health().throttled) == (4, 1)


def test_the_last_error_and_the_last_listing_are_remembered_with_their_time(clock: FakeClock) -> None:
    paced = pace(clock)
    assert (
        paced.health().last_listing_at,
        paced.health().last_error,
        paced.health().last_error_at,
    ) == (None, "", None)
    Paced(Core(), paced).list_nodes()
    listed_at = clock.now()
    clock.advance(5)
    with pytest.raises(errors.Unreachable):
        paced.call("list_nodes", raising(errors.Unreachable("no route", cloud="east")))
    health = paced.health()
    assert (listed_at, "list_nodes: Unreachable: no route", clock.now()) == (
        health.last_listing_at,
        health.last_error,
        health.last_error_at,
    )


def test_a_node_that_is_not_there_is_an_answer_and_no_error(clock: FakeClock) -> None:
    paced = pace(clock)
    with pytest.raises(errors.NotFound):
        paced.call("get_node", raising(errors.NotFound(cloud="east")))
    assert paced.health().last_error == ""


def test_words_of_foreign_exceptions_are_not_shown(clock: FakeClock) -> None:
    paced = pace(clock)
    with pytest.raises(ValueError, match="hunter2"):
        paced.call("get_node", raising(ValueError("password hunter2")))
    assert paced.health().last_error == "get_node: ValueError"


def test_wrapped_a_provider_still_has_its_abilities_and_no_others(clock: FakeClock) -> None:
    assert provider.abilities(Paced(Core(), pace(clock))) == frozenset()
    full = provider.abilities(Full())
    assert provider.abilities(Paced(Full(), pace(clock))) == full
    assert "suspend_node" not in full
    assert "resume_node" in full


@pytest.mark.parametrize(
    ("verb", "arguments", "asked"),
    [
        pytest.param("list_nodes", (), "list_nodes", id="list_nodes"),
        pytest.param("get_node", ("n-1",), "get_node n-1", id="get_node"),
        pytest.param("create_node", (REQUEST,), "create_node cm1-a-b-1-1", id="create_node"),
        pytest.param("destroy_node", ("n-1",), "destroy_node n-1", id="destroy_node"),
        pytest.param("list_offers", (), "list_offers", id="list_offers"),
        pytest.param("start_node", ("n-1",), "start_node n-1", id="start_node"),
        pytest.param("stop_node", ("n-1",), "stop_node n-1", id="stop_node"),
        pytest.param("reboot_node", ("n-1",), "reboot_node n-1", id="reboot_node"),
        pytest.param("resume_node", ("n-1",), "resume_node n-1", id="resume_node"),
        pytest.param("tag_node", ("n-1", {"a": "b"}), "tag_node n-1 {'a': 'b'}", id="tag_node"),
        pytest.param("snapshot_node", ("n-1", "s", {}), "snapshot_node n-1 s {}", id="snapshot_node"),
        pytest.param("forget_snapshot", ("n-1", "s", "k"), "forget_snapshot n-1 s k", id="forget_snapshot"),
        pytest.param("isolate_node", ("n-1",), "isolate_node n-1", id="isolate_node"),
        pytest.param("release_node", ("n-1",), "release_node n-1", id="release_node"),
        pytest.param("open_peers", (GROUP, ["n-1"], []), "open_peers cloudmon-peers-x ['n-1'] []", id="open_peers"),
        pytest.param("close_peers", ("g",), "close_peers g", id="close_peers"),
        pytest.param("list_peers", (), "list_peers", id="list_peers"),
    ],
)
def test_each_verb_asks_the_same_of_the_provider_and_counts(
    clock: FakeClock, verb: str, arguments: tuple[object, ...], asked: str
) -> None:
    inner, kept = Full(), pace(clock)
    expected = getattr(Full(), verb)(*arguments)
    assert getattr(Paced(inner, kept), verb)(*arguments) == expected
    assert ([asked], {verb: 1}) == (inner.asked, kept.calls)


@pytest.mark.parametrize("verb", ["start_node", "stop_node", "reboot_node", "suspend_node", "resume_node"])
def test_what_the_provider_cannot_do_is_unsupported_and_no_call(clock: FakeClock, verb: str) -> None:
    kept = pace(clock)
    with pytest.raises(errors.Unsupported):
        Paced(Core(), kept).snapshot_node("n-1", "s", {})
    with pytest.raises(errors.Unsupported):
        Paced(Core(), kept).list_peers()
    with pytest.raises(errors.Unsupported):
        getattr(Paced(Core(), kept), verb)("n-1")
    with pytest.raises(errors.Unsupported):
        Paced(Full(), kept).suspend_node("n-1")
    assert kept.calls == {}


def test_resetting_calls_no_cloud(clock: FakeClock) -> None:
    inner, kept = Full(), pace(clock)
    Paced(inner, kept).reset()
    Paced(Core(), kept).reset()
    assert (inner.asked, kept.calls) == (["reset"], {})
