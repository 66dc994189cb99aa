"""Clouds looked at side by side: whole, or with the reason why not; one that hangs holds up nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from pictures import node

from cloudmon import errors
from cloudmon.clock import SystemClock
from cloudmon.engine.workers import InlineWorkers, ThreadedWorkers
from cloudmon.model.nodes import PeerGroup
from cloudmon.monitor.observe import CloudFacts, Observer
from cloudmon.provider import Provider
from cloudmon.reconcile.picture import CloudView, Condition
from cloudmon.testing import FakeClock, ScriptedProvider

FACTS = CloudFacts(30.0, 5.0)


def nothing(_cloud: str, _view: CloudView) -> Sequence[str]:
    return ()


def ids(*wanted: str) -> Callable[[str, CloudView], Sequence[str]]:
    return lambda _cloud, _view: wanted


class Clouds:
    """Scripted clouds, and an observer that asks them at once."""

    def __init__(self, *names: str) -> None:
        self.clock = FakeClock()
        self.by_name = {name: ScriptedProvider(name, now=self.clock.now) for name in names}
        self.observer = Observer(InlineWorkers(self.by_name.__getitem__, names), self.clock, patience_s=10.0)

    def look(self, absent: Any = nothing, *, verify: int = 20, only: Sequence[str] = ()) -> dict[str, CloudView]:
        return self.observer.look(dict.fromkeys(only or self.by_name, FACTS), absent, verify=verify)

    def east(self, *answers: Any, absent: Any = nothing, verify: int = 20) -> CloudView:
        self.by_name["east"].play("list_nodes", *answers)
        return self.look(absent, verify=verify)["east"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.Unreachable("no answer"), "Unreachable: no answer"),
        (errors.CredentialsRejected("expired"), "CredentialsRejected: expired"),
        (errors.RateLimited("slower"), "RateLimited: slower"),
        (errors.UnexpectedAnswer("half a page"), "UnexpectedAnswer: half a page"),
        (KeyError("password=hunter2"), "its adapter failed with KeyError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_cloud_that_fails_is_not_seen_and_the_others_are(error: Exception, reason: str) -> None:
    clouds = Clouds("east", "west")
    clouds.by_name["west"].nodes = {"n-1": node()}
    seen = clouds.east(error), clouds.look()["west"]
    assert (seen[0].healthy, seen[0].reason, seen[0].nodes) == (False, reason, {})
    assert seen[1].healthy
    assert set(seen[1].nodes) == {"n-1"}


def test_a_view_is_as_old_as_the_beginning_of_its_listing() -> None:
    """What was made while it ran may be missing from it."""
    clouds = Clouds("east")
    began = clouds.clock.now()
    listing = clouds.by_name["east"].list_nodes()

    def slow() -> Any:
        clouds.clock.advance(8)
        return listing

    view = clouds.east(slow)
    assert view.observed_at == began
    assert (view.lag_s, view.call_timeout_s) == (30.0, 5.0)


def test_a_gap_is_said_once_when_it_ends() -> None:
    clouds = Clouds("east")
    answers = [None, errors.Unreachable("x"), errors.Unreachable("x"), None, None]
    gaps = [clouds.east(*[answer] if answer else []).after_gap for answer in answers]
    assert gaps == [True, False, False, True, False]


# --- what is missing --------------------------------------------------------------------------------------------------


def test_what_is_missing_is_asked_for_one_by_one_a_bounded_number_of_times() -> None:
    clouds = Clouds("east")
    view = clouds.east(absent=ids("a", "b", "c", "d"), verify=3)
    assert clouds.by_name["east"].called("get_node") == [("a",), ("b",), ("c",)]
    assert view.denied == {"a", "b", "c"}


def test_an_absence_is_a_fact_only_when_the_cloud_denies_it() -> None:
    clouds = Clouds("east")
    cloud = clouds.by_name["east"]
    cloud.play("get_node", node("n-1"), errors.NotFound("gone"), errors.Unreachable("x"), errors.RateLimited("y"))
    view = clouds.east(absent=ids("n-1", "n-2", "n-3", "n-4"))
    assert [view.condition(f"n-{n}") for n in (1, 2, 3, 4)] == [
        Condition.RUNS, Condition.GONE, Condition.UNSEEN, Condition.UNSEEN,
    ]  # fmt: skip


def test_a_listing_that_failed_is_not_made_up_for_by_asking() -> None:
    clouds = Clouds("east")
    assert not clouds.east(errors.Unreachable("x"), absent=ids("n-1")).healthy
    assert clouds.by_name["east"].called("get_node") == []


# --- clouds that hang -------------------------------------------------------------------------------------------------


class Waiting:
    """Workers that give futures back and leave it to the test to end them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Future[Any]]] = []

    def submit(self, cloud: str, call: Callable[[Any], Any], *, urgent: bool = False) -> Future[Any]:
        self.asked.append((cloud, Future()))
        return self.asked[-1][1]

    def replace(self, clouds: Any) -> None: ...
    def close(self, timeout_s: float) -> None: ...


@pytest.fixture
def waiting() -> tuple[Waiting, Observer, FakeClock]:
    workers, clock = Waiting(), FakeClock()
    return workers, Observer(workers, clock, patience_s=0.0), clock


def late(of: Observer, *clouds: str) -> dict[str, CloudView]:
    return of.look(dict.fromkeys(clouds, FACTS), nothing, verify=0)


def test_a_cloud_that_has_not_answered_is_not_asked_twice(waiting: tuple[Waiting, Observer, FakeClock]) -> None:
    workers, observer, clock = waiting
    first = late(observer, "east")["east"]
    clock.advance(15)
    second = late(observer, "east")["east"]
    assert len(workers.asked) == 1
    assert (first.reason, second.reason) == (
        "it has not answered for 0 s", "it has not answered for 15 s",
    )  # fmt: skip


def test_a_late_answer_is_taken_as_old_as_it_is(waiting: tuple[Waiting, Observer, FakeClock]) -> None:
    workers, observer, clock = waiting
    late(observer, "east")
    old = CloudView("east", True, clock.now(), {})
    clock.advance(15)
    workers.asked[0][1].set_result(old)
    taken = late(observer, "east")["east"]
    assert (taken.healthy, taken.observed_at, taken.after_gap) == (True, old.observed_at, True)
    late(observer, "east")
    assert len(workers.asked) == 2


def test_an_answer_of_a_cloud_that_was_taken_away_is_never_believed(
    waiting: tuple[Waiting, Observer, FakeClock],
) -> None:
    """Not even when the cloud is configured again, an hour later."""
    workers, observer, clock = waiting
    late(observer, "east", "west")
    late(observer, "west")
    workers.asked[0][1].set_result(CloudView("east", True, clock.now(), {}))
    assert not late(observer, "east", "west")["east"].healthy
    assert [cloud for cloud, _ in workers.asked] == ["east", "west", "east"]


def test_a_monitor_that_ends_sees_nothing_and_says_so() -> None:
    workers: InlineWorkers[Provider] = InlineWorkers(lambda cloud: ScriptedProvider(now=FakeClock().now), ["east"])
    workers.close(0)
    seen = late(Observer(workers, FakeClock(), patience_s=10.0), "east")["east"]
    assert (seen.healthy, seen.reason) == (False, "it was not asked: the workers were closed before")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    found = threading.Event()
    yield found
    found.set()


def test_a_cloud_that_never_answers_does_not_hold_up_the_others(gate: threading.Event) -> None:
    clock = SystemClock()
    east, west = (ScriptedProvider(name, now=clock.now) for name in ("east", "west"))
    east.play("list_nodes", lambda: gate.wait(60))
    by_name = {"east": east, "west": west}
    workers = ThreadedWorkers(by_name.__getitem__, by_name, clock=clock, workers_per_cloud=1)
    seen = Observer(workers, clock, patience_s=0.2).look(dict.fromkeys(by_name, FACTS), nothing, verify=0)
    gate.set()
    workers.close(5)
    assert (seen["east"].healthy, seen["west"].healthy) == (False, True)
    assert "has not answered" in seen["east"].reason


def test_groups_of_peers_are_asked_for_where_they_matter_and_until_there_are_none() -> None:
    clouds = Clouds("east")
    east = clouds.by_name["east"]
    assert clouds.east().groups == ()
    assert clouds.east().groups is None
    found = clouds.observer.look({"east": FACTS}, nothing, verify=20, grouped=["east"])["east"]
    assert found.groups == ()
    east.groups["g"] = PeerGroup("g", (80,))
    clouds.observer.look({"east": FACTS}, nothing, verify=20, grouped=["east"])
    assert clouds.east().groups == (PeerGroup("g", (80,)),)  # nobody asks, and there was one
    assert len(east.called("list_peers")) == 4


def test_groups_that_a_cloud_does_not_tell_are_not_known_and_it_is_seen_all_the_same() -> None:
    clouds = Clouds("east")
    clouds.by_name["east"].play("list_peers", errors.CredentialsRejected("not allowed"), [PeerGroup("g", (80,))])
    view = clouds.east()
    assert (view.healthy, view.groups) == (True, None)
    assert clouds.east().groups == (PeerGroup("g", (80,)),)
