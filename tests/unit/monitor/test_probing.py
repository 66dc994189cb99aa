"""Asking appliances over the network again and again: when, and who is told of it."""

from __future__ import annotations

import datetime as dt
import queue
import threading
from collections.abc import Callable, Collection, Iterator

import pytest
from asked_of import answering

from cloudmon.clock import SystemClock
from cloudmon.model.identity import ApplianceId
from cloudmon.model.probes import Probe
from cloudmon.monitor import questions
from cloudmon.monitor.outside import Target
from cloudmon.monitor.probing import Prober
from cloudmon.monitor.questions import Answer

SHOP = ApplianceId("set", 1)
SOON_S = 5.0


News = queue.Queue[Collection[ApplianceId]]


@pytest.fixture
def news() -> News:
    return queue.Queue()


@pytest.fixture
def prober(news: News) -> Iterator[Prober]:
    found = Prober(SystemClock(), news.put, chance=lambda: 0.5)
    yield found
    found.close(SOON_S)


def target(port: int, incarnation: int = 1, interval_s: float = 0.02, timeout_s: float = 2) -> Target:
    probe = Probe(tcp=port, interval_s=interval_s, timeout_s=timeout_s)
    return Target(SHOP, "web", incarnation, probe, "127.0.0.1")


def until(condition: Callable[[], bool]) -> None:
    """Looks often; a condition that never comes true fails."""
    waiting = threading.Event()
    for _ in range(int(SOON_S / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come to be")


def test_a_first_answer_is_news_and_the_same_once_more_is_not(prober: Prober, news: News) -> None:
    with answering(b"") as (port, _):
        prober.aim([target(port)])
        assert news.get(timeout=SOON_S) == {SHOP}
        first = prober.answers(SHOP)["web"]
        assert (first.ok, first.error, first.incarnation, first.address) == (True, "", 1, "127.0.0.1")
        until(lambda: prober.answers(SHOP)["web"].at > first.at)
        assert prober.answers(SHOP)["web"].since == first.since
    assert news.empty()


def test_each_failure_is_news_for_as_long_as_rules_look_back(prober: Prober, news: News) -> None:
    with answering(b"") as (port, _):
        prober.aim([target(port)])
        news.get(timeout=SOON_S)
    for _ in range(3):
        assert news.get(timeout=SOON_S) == {SHOP}
    found = prober.answers(SHOP)["web"]
    assert (found.ok, found.error) == (False, "connection refused")


def test_what_a_former_node_said_is_forgotten(prober: Prober, news: News) -> None:
    with answering(b"") as (port, _):
        prober.aim([target(port)])
        news.get(timeout=SOON_S)
        prober.aim([target(port, incarnation=2)])
        assert prober.answers(SHOP).get("web") is None or prober.answers(SHOP)["web"].incarnation == 2
        news.get(timeout=SOON_S)
        assert prober.answers(SHOP)["web"].incarnation == 2
        prober.aim([])
        assert prober.answers(SHOP) == {}


def test_the_end_does_not_wait_for_who_does_not_answer(prober: Prober) -> None:
    with answering(None) as (port, heard):
        slow = Target(SHOP, "web", 1, Probe(port=port, path="/", timeout_s=60, interval_s=60), "127.0.0.1")
        prober.aim([slow])
        until(lambda: bool(heard))
        prober.close(SOON_S)
        assert not any(one.name == "probes" for one in threading.enumerate())


def test_no_more_are_asked_at_a_time_than_may_be(news: News) -> None:
    prober = Prober(SystemClock(), news.put, at_once=2, chance=lambda: 0.0)
    with answering(None) as (port, heard):
        probe = Probe(port=port, path="/", timeout_s=0.2, interval_s=60)
        prober.aim([Target(ApplianceId("set", n), "web", 1, probe, "127.0.0.1") for n in range(1, 5)])
        until(lambda: len(heard) == 2)
        assert prober.answers(ApplianceId("set", 1)) == {}
        until(lambda: len(heard) == 4)
        prober.close(SOON_S)


def test_another_certificate_is_news_though_all_is_well(
    prober: Prober, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    answers = [Answer("", ends)]

    async def answer(*_: object) -> Answer:
        return answers[-1]

    monkeypatch.setattr(questions, "asked", answer)
    prober.aim([target(443)])
    assert news.get(timeout=SOON_S) == {SHOP}
    first = prober.answers(SHOP)["web"]
    answers.append(Answer("", ends + dt.timedelta(days=90)))
    assert news.get(timeout=SOON_S) == {SHOP}
    found = prober.answers(SHOP)["web"]
    assert (found.certificate_until, found.since) == (ends + dt.timedelta(days=90), first.since)
    assert first.certificate_until == ends
