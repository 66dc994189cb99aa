"""A monitor as a service: when it ticks, and what makes it tick before the interval is over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from told import Ending, inline

from cloudmon.engine.local import LocalEngine
from cloudmon.engine.workers import InlineWorkers
from cloudmon.errors import StoreUnavailable
from cloudmon.model.health import JobHealth
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.reports import TickReport
from cloudmon.monitor.service import Service
from cloudmon.monitor.serving import Serving
from cloudmon.settings import SettingsFile
from cloudmon.testing import FakeClock, ScriptedProvider

SETTINGS = """
[store]
url = "memory"
[monitor]
state_dir = "state"
poll_interval_s = 20
poll_jitter = 0
call_timeout_s = 5
[clouds.east]
provider = "dummy"
options = { world = "memory" }
"""


class Served:
    """A service whose ticks are noted, and report what the test says."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.start = self.clock.now()
        self.file = file
        self.write(SETTINGS)
        settings = SettingsFile(file)
        cloud = ScriptedProvider("east", now=self.clock.now)
        self.service = Service(
            settings.reload(), self.clock, file=settings, workers=InlineWorkers(lambda _: cloud, ["east"])
        )
        monkeypatch.setattr(self.service, "tick", self._tick)
        self.ticks: list[float] = []
        self.next_at: dict[int, float] = {}
        """By the number of a tick, the second at which it says something falls due."""
        self.again: set[int] = set()
        """The numbers of ticks that changed something."""
        self.performed: set[int] = set()
        """The numbers of ticks that did something."""
        self.chance = 0.5
        self._serving: Serving | None = None

    def write(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    def at(self, seconds: float) -> dt.datetime:
        return self.start + dt.timedelta(seconds=seconds)

    def _tick(self) -> TickReport:
        self.service.reload()
        number = len(self.ticks)
        self.ticks.append(self.clock.monotonic())
        self.answer()
        due = self.next_at.get(number)
        return TickReport(
            at=self.clock.now(),
            steady=True,
            again=number in self.again,
            performed=int(number in self.performed),
            next_at=None if due is None else self.at(due),
        )

    def ask(self) -> None:
        """Somebody asks for something."""
        name = f"request-{self.clock.monotonic():g}"
        request = Request(name, RequestVerb.STOP, "default", "web/1", {}, "cli:me", "why not", self.clock.now())
        self.service.store.requests.add(request)

    def answer(self) -> None:
        """What a tick does about requests, in short."""
        for one in self.service.store.requests.pending(EVERYONE):
            owner = self.service.monitor.owner
            self.service.store.requests.move(
                owner, one.id, RequestState.PENDING, RequestState.DONE, now=self.clock.now()
            )

    def run(self, seconds: float, at: Mapping[float, Callable[[], object]] | None = None) -> list[float]:
        """The seconds of all ticks."""
        engine = LocalEngine(self.clock, start=inline, chance=lambda: self.chance)
        self._serving = Serving(self.service, engine)
        self._serving.run(Ending(self.clock, seconds, at))
        return self.ticks

    def job(self, name: str) -> JobHealth:
        assert self._serving is not None
        return next(job for job in self._serving.health().jobs if job.name == name)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    found = Served(tmp_path / "shop.toml", monkeypatch)
    with found.service:
        yield found


# --- its usual times --------------------------------------------------------------------------------------------------


def test_the_first_tick_is_at_once_and_the_others_come_at_their_interval(served: Served) -> None:
    assert served.run(50) == pytest.approx([0, 20, 40])


def test_ticks_come_by_a_share_of_the_interval_later_as_the_settings_say(served: Served) -> None:
    served.write(SETTINGS.replace("poll_jitter = 0", "poll_jitter = 0.2"))
    served.service.settings = SettingsFile(served.file).reload()
    assert served.run(50) == pytest.approx([0, 22, 42])


@pytest.mark.parametrize(("jitter", "late_s"), [(0.0, 70), (0.5, 80)], ids=["none", "half an interval"])
def test_health_allows_for_what_jitter_may_take(served: Served, jitter: float, late_s: float) -> None:
    served.write(SETTINGS.replace("poll_jitter = 0", f"poll_jitter = {jitter}"))
    served.service.settings = SettingsFile(served.file).reload()
    served.run(1)
    assert served.job("tick").late_after_s == pytest.approx(late_s)


def test_a_shorter_interval_is_taken_over_while_it_runs_though_the_next_tick_is_far_away(served: Served) -> None:
    served.write(SETTINGS.replace("poll_interval_s = 20", "poll_interval_s = 3600"))
    served.service.settings = SettingsFile(served.file).reload()
    shorter = SETTINGS.replace("poll_interval_s = 20", 'poll_interval_s = "10s"')
    assert served.run(39, {12.2: lambda: served.write(shorter)}) == pytest.approx([0, 14, 20, 30], abs=1)
    assert served.job("tick").interval_s == 10
    assert (served.job("tick").late_after_s, served.job("requests").late_after_s) == (40, 42)


def test_another_jitter_is_taken_over_while_it_runs(served: Served) -> None:
    jittery = SETTINGS.replace("poll_jitter = 0", "poll_jitter = 0.2")
    found = served.run(50, {5: lambda: served.write(jittery)})
    assert found == pytest.approx([0, 6, 22, 42], abs=1)


def test_a_broken_file_is_looked_at_once_and_the_rhythm_stays(served: Served) -> None:
    broken = SETTINGS.replace("poll_interval_s = 20", "poll_interval_s = -1")
    assert served.run(50, {5: lambda: served.write(broken)}) == pytest.approx([0, 6, 20, 40], abs=1)


def test_a_file_is_not_read_in_the_second_in_which_it_is_written(served: Served) -> None:
    """Who writes may not be done yet."""
    assert served.run(19, {5.2: lambda: served.write(SETTINGS + "# more")}) == pytest.approx([0, 7], abs=0.2)


# --- sooner than that -------------------------------------------------------------------------------------------------


def test_what_falls_due_is_ticked_for_when_it_does_and_once(served: Served) -> None:
    served.next_at = {0: 7}
    assert served.run(19) == pytest.approx([0, 7], abs=1)


def test_what_falls_due_after_the_next_tick_nudges_nobody(served: Served) -> None:
    """That tick says anew what it waits for."""
    served.next_at = {0: 33}
    assert served.run(39) == pytest.approx([0, 20])


def test_what_fell_due_already_is_ticked_for_at_the_next_look(served: Served) -> None:
    served.next_at = {0: -5}
    assert served.run(19) == pytest.approx([0, 1], abs=1)
    assert len(served.ticks) == 2


def test_a_tick_that_another_may_see_is_followed_by_it_at_the_next_look(served: Served) -> None:
    served.again = {0}
    assert served.run(39) == pytest.approx([0, 1, 21], abs=1)


def test_a_tick_that_only_wrote_down_what_came_before_it_is_not_followed_by_another(served: Served) -> None:
    served.performed = {0}
    assert served.run(39) == pytest.approx([0, 20], abs=1)


def test_a_request_is_ticked_for_at_the_next_look(served: Served) -> None:
    assert served.run(19, {4.2: served.ask}) == pytest.approx([0, 5], abs=0.5)


def test_a_request_that_waits_for_its_answer_does_not_wait_for_the_interval(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "answer", lambda: None)
    assert served.run(6.5, {4.2: served.ask}) == pytest.approx([0, 5, 6], abs=0.5)


def test_looking_for_requests_bears_a_store_that_is_away(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def away(*_: object) -> None:
        looked.append(served.clock.monotonic())
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(served, "answer", lambda: None)
    served.next_at = {0: 7}
    monkeypatch.setattr(served.service.store.requests, "pending", away)
    assert served.run(39) == pytest.approx([0, 20])
    assert len(looked) > 30
    assert (served.job("requests").failures, served.job("requests").last_error) == (0, "")


def test_a_store_that_is_back_is_asked_again_and_what_fell_due_meanwhile_is_ticked_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    served.next_at = {0: 7}
    there = served.service.store.requests.pending

    def back() -> None:
        monkeypatch.setattr(served.service.store.requests, "pending", there)

    def gone() -> None:
        monkeypatch.setattr(served.service.store.requests, "pending", away)

    assert served.run(19, {5: gone, 12: back}) == pytest.approx([0, 12], abs=1)
