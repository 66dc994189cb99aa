"""When a delivery is tried: growing pauses, the other side's wish, an end, and no standing in each other's way."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from cloudmon.errors import NoticeRefused, NotifierUnavailable
from cloudmon.model.messages import DIGEST, Delivery, DeliveryEvent, DeliveryState
from cloudmon.notices import trying

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
DAY_S = 86_400.0


def ahead(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def delivery(seq: int = 1, subject: str = "x/1", **other: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": f"d-{seq}", "notifier": "ops", "tenant": "default", "subject": subject, "event": DeliveryEvent.OPENED,
        "severity": "warning", "title": "", "body": {}, "created_at": NOW, "due_at": NOW, "attempts": 1, "seq": seq,
    }  # fmt: skip
    return Delivery(**{**values, **other})


def due(*pending: Delivery) -> list[int]:
    return [one.seq for one in trying.due(pending, NOW)]


def test_one_of_each_subject_is_tried_the_least_failed_first() -> None:
    """So that one that always fails does not keep the others waiting."""
    assert due(delivery(1, attempts=4), delivery(2), delivery(3, "x/2", attempts=1), delivery(4, "x/3")) == [3, 4, 1]


def test_what_waits_holds_back_its_own_subject_only() -> None:
    """And its tenant's: the same subject of another tenant is another."""
    waiting = delivery(1, due_at=ahead(1))
    assert due(waiting, delivery(2), delivery(3, "x/2"), delivery(4, tenant="acme")) == [3, 4]
    assert trying.next_at([waiting, delivery(2)]) == ahead(1)
    assert trying.next_at([]) is None


def test_a_digest_comes_after_all_before_it_and_before_all_after_it() -> None:
    """It may be about any of them."""
    digest = delivery(2, DIGEST)
    assert due(delivery(1), digest, delivery(3, "x/2"), delivery(4, tenant="acme")) == [1, 4]
    assert due(digest, delivery(3, "x/2")) == [2]
    assert due(replace(digest, due_at=ahead(1)), delivery(3, "x/2")) == []


def test_pauses_grow_to_a_limit() -> None:
    """Doubled with each try."""
    assert [trying.pause_s(attempts) for attempts in (0, 1, 2, 3, 8, 9, 99)] == [5, 5, 10, 20, 640, 900, 900]


@pytest.mark.parametrize(
    ("asked_s", "expected_s"), [(None, 5), (2, 5), (77, 77)], ids=["no wish", "a shorter one", "a longer one"]
)
def test_the_other_side_s_wish_is_honoured(asked_s: float | None, expected_s: float) -> None:
    """Where it is longer than our own pause."""
    found = trying.failed(delivery(), NotifierUnavailable("busy", retry_after_s=asked_s), NOW, give_up_after_s=DAY_S)
    assert (found.state, found.due_at, found.error) == (DeliveryState.PENDING, ahead(expected_s), "busy")


@pytest.mark.parametrize("asked_s", [3_601, 1e300], ids=["too long", "longer than time"])
def test_news_that_are_too_old_are_given_up(asked_s: float) -> None:
    """Also when it is the other side that lets them grow old."""
    found = trying.failed(delivery(), NotifierUnavailable("busy", retry_after_s=asked_s), NOW, give_up_after_s=3_600)
    assert (found.state, found.ended_at) == (DeliveryState.DEAD, NOW)
    assert found.error == "given up after 1 tries: busy"
    old = trying.failed(delivery(), NotifierUnavailable("away"), ahead(3_599), give_up_after_s=3_600)
    assert old.state is DeliveryState.DEAD


def test_what_is_refused_again_and_again_is_given_up_sooner() -> None:
    """Others wait behind it."""
    last = delivery(attempts=trying.MOST_REFUSALS)
    assert trying.failed(last, NoticeRefused("no"), NOW, give_up_after_s=DAY_S).state is DeliveryState.DEAD
    assert trying.failed(last, NotifierUnavailable("?"), NOW, give_up_after_s=DAY_S).state is DeliveryState.PENDING
    assert trying.failed(delivery(), NoticeRefused("no"), NOW, give_up_after_s=DAY_S).state is DeliveryState.PENDING


def test_a_trial_is_tried_once() -> None:
    """Somebody waits for its answer."""
    found = trying.failed(delivery(event=DeliveryEvent.TEST), NotifierUnavailable("away"), NOW, give_up_after_s=DAY_S)
    assert (found.state, found.error) == (DeliveryState.DEAD, "away")


def test_what_was_taken_has_ended_with_what_was_remarked() -> None:
    """A remark is kept."""
    found = trying.sent(delivery(error="away"), "refused for boss@example.net", NOW)
    assert (found.state, found.ended_at, found.error) == (DeliveryState.SENT, NOW, "refused for boss@example.net")
