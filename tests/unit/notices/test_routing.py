"""Who is told of what: filters, rules that call by name, and digests where there is too much."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.model.findings import FindingKind
from cloudmon.model.messages import DIGEST, Delivery, DeliveryEvent, DeliveryState, Message, MessageEvent
from cloudmon.notices import routing, trying, wording
from cloudmon.notices.routing import Routed, Standing, Way

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
QUIET = Standing({}, {})
OPS = Way("ops", "warning")


def message(number: int = 1, **other: Any) -> Message:
    values: dict[str, Any] = {
        "id": number,
        "tenant": "default",
        "at": NOW,
        "event": MessageEvent.OPENED,
        "kind": FindingKind.FAULT,
        "subject": "aaaaaaaaaaaa/3",
        "severity": "warning",
        "message": "its node reads error",
        "evidence": {"word": "error"},
        "opened_at": NOW,
        "told": (),
        "set_name": "storefront",
    }
    return Message(**{**values, **other})


DETECTED: dict[str, Any] = {
    "kind": FindingKind.DETECTED,
    "subject": "aaaaaaaaaaaa/3:shop/busy/web",
    "message": "storefront/3: web is busy",
}


def routed(*messages: Message, ways: Sequence[Way] = (OPS,), standing: Standing = QUIET) -> Routed:
    ids = (f"d-{number}" for number in itertools.count(1))
    return routing.route(messages, ways, standing, estate="estate", now=NOW, new_id=lambda: next(ids))


@pytest.mark.parametrize(
    ("way", "one", "expected"),
    [
        pytest.param(OPS, message(), True, id="severe enough"),
        pytest.param(OPS, message(severity="info"), False, id="too mild"),
        pytest.param(Way("ops", kinds=frozenset({FindingKind.LEASE})), message(), False, id="another kind"),
        pytest.param(Way("ops", sets=("store*",)), message(), True, id="its set"),
        pytest.param(Way("ops", sets=("ledger",)), message(), False, id="another set"),
        pytest.param(Way("ops", sets=("storefront",)), message(set_name=""), False, id="no set, where sets are named"),
        pytest.param(OPS, message(set_name=""), True, id="no set, where all are told"),
        pytest.param(Way("ops", tenants=("acme",)), message(), False, id="another tenant"),
        pytest.param(OPS, message(event=MessageEvent.ENDED), True, id="an end"),
        pytest.param(Way("ops", ends=False), message(event=MessageEvent.ENDED), False, id="an end, not wanted"),
    ],
)
def test_a_message_passes_the_filters_of_its_notifier(way: Way, one: Message, expected: bool) -> None:
    """All of them."""
    assert routing.is_told(way, one, frozenset()) is expected


@pytest.mark.parametrize(
    ("event", "told", "expected"),
    [
        pytest.param(MessageEvent.OPENED, (), False, id="not at its opening"),
        pytest.param(MessageEvent.WORSE, (), False, id="nor later"),
        pytest.param(MessageEvent.CALLED, ("ops",), True, id="when the ladder calls"),
        pytest.param(MessageEvent.CALLED, ("*",), True, id="when it calls all"),
        pytest.param(MessageEvent.CALLED, ("boss",), False, id="not when it calls another"),
        pytest.param(MessageEvent.ENDED, ("ops",), True, id="of the end, once called"),
        pytest.param(MessageEvent.ENDED, (), False, id="not of the end, when never called"),
    ],
)
def test_a_rule_that_says_whom_to_tell_tells_them_alone(
    event: MessageEvent, told: tuple[str, ...], expected: bool
) -> None:
    """When its ladder comes there, whatever the filters say of how bad it is."""
    one = message(event=event, told=told, severity="info", **DETECTED)
    assert routing.is_told(OPS, one, frozenset({"shop/busy"})) is expected


def test_a_rule_of_another_tenant_s_set_calls_nobody_who_is_kept_to_one() -> None:
    """Law 7 stands above rules."""
    one = message(event=MessageEvent.CALLED, told=("ops",), **DETECTED)
    assert not routing.is_told(replace(OPS, tenants=("acme",)), one, frozenset())


def test_a_delivery_says_what_happened_to_people_and_to_programs() -> None:
    """And keeps saying it in the same words."""
    (made,) = routed(message(severity="critical", **DETECTED)).made
    assert (made.notifier, made.event, made.subject) == ("ops", DeliveryEvent.OPENED, DETECTED["subject"])
    assert made.title == "critical: storefront/3: web is busy"
    told = wording.notice(made)
    assert told == wording.notice(replace(made, attempts=3, body=json.loads(json.dumps(made.body))))
    assert (told.id, told.type, told.at) == ("d-1", "finding.opened", NOW)
    assert told.data == {
        "estate": "estate", "tenant": "default", "event": "opened", "kind": "detected", "subject": DETECTED["subject"],
        "set": "storefront", "appliance": "storefront/3", "rule": "shop/busy", "message": "storefront/3: web is busy",
        "evidence": {"word": "error"}, "opened_at": NOW.isoformat(), "ended_at": None,
    }  # fmt: skip


def test_titles_name_the_appliance_and_hold_nothing_that_moves_a_cursor() -> None:
    """What a message does not say is put before it."""
    (fault, ended, worse) = routed(
        message(message="reads \x1b[2Jerror\n"),
        message(event=MessageEvent.ENDED),
        message(event=MessageEvent.WORSE, severity="critical", set_name="", subject="cloud:east", message="x" * 999),
    ).made
    assert fault.title == "warning: storefront/3: reads  [2Jerror "
    assert ended.title == "ended: storefront/3: its node reads error"
    assert worse.title.startswith("critical now: xxx")
    assert len(worse.title) == wording.LONGEST_TITLE


def test_all_of_one_finding_is_one_thread_and_the_next_one_is_another() -> None:
    """From its opening to its end."""
    opened, ended, again = routed(
        message(), message(event=MessageEvent.ENDED), message(opened_at=NOW + dt.timedelta(seconds=1))
    ).made
    threads = [wording.notice(one).thread for one in (opened, ended, again)]
    assert threads[0] == threads[1] != threads[2]


def test_evidence_without_measure_is_left_out() -> None:
    """A delivery is never larger than somebody may be expected to take."""
    (made,) = routed(message(evidence={"facts": "x" * 100_000})).made
    assert len(json.dumps(made.body)) < 2_000
    assert made.body["data"]["evidence"]["names"] == ["facts"]  # type: ignore[index]


def test_a_storm_is_one_digest() -> None:
    """How many of what, the worst severity, the first by name."""
    storm = [
        message(number, subject=f"aaaaaaaaaaaa/{number}", severity="critical" if number == 7_000 else "warning")
        for number in range(1, 10_001)
    ]
    (digest,) = routed(*storm).made
    assert (digest.event, digest.subject, digest.severity) == (DeliveryEvent.DIGEST, DIGEST, "critical")
    assert digest.title == "critical: 10000 changes of findings (10000 opened)"
    data: Any = digest.body["data"]
    assert (data["count"], data["kinds"], data["severities"]) == (
        10_000, {"fault": 10_000}, {"warning": 9_999, "critical": 1}
    )  # fmt: skip
    assert [one["appliance"] for one in data["first"]] == [f"storefront/{n}" for n in range(1, 21)]
    assert len(json.dumps(digest.body)) < 10_000
    assert digest.due_at == NOW + dt.timedelta(seconds=routing.GATHER_S)


def test_what_comes_within_a_minute_counts_together() -> None:
    """19 were told already: the next one is the last that comes alone."""
    loud = Standing({"ops": 19}, {})
    assert [one.event for one in routed(message(), standing=loud).made] == [DeliveryEvent.OPENED]
    assert [one.event for one in routed(message(), message(2), standing=loud).made] == [DeliveryEvent.DIGEST]


def test_a_digest_takes_in_what_comes_after_it() -> None:
    """Until it is sent."""
    (begun,) = routed(*(message(number) for number in range(30))).made
    standing = Standing({"ops": 1}, {("ops", "default"): begun})
    found = routed(message(31, event=MessageEvent.ENDED), standing=standing)
    assert found.made == ()
    (grown,) = found.grown
    assert grown.id == begun.id
    assert grown.title == "warning: 31 changes of findings (1 ended, 30 opened)"


def test_tenants_have_digests_of_their_own() -> None:
    """Law 7."""
    found = routed(*(message(n, tenant=("acme", "rival")[n % 2]) for n in range(60)))
    assert [(one.tenant, one.body["data"]["count"]) for one in found.made] == [("acme", 30), ("rival", 30)]  # type: ignore[index]


# --- order and repetition, whatever goes wrong -----------------------------------------------------------------------


EVENTS = st.sampled_from(["arrive", "arrive", "send", "refuse", "lost", "crash", "wait"])


@given(st.lists(st.tuples(EVENTS, st.integers(0, 1)), min_size=8, max_size=20), st.integers(1, 9))
def test_each_message_arrives_at_least_once_and_those_of_a_subject_in_order(
    story: list[tuple[str, int]], most: int
) -> None:
    """Answers are lost, notices refused, the process dies: what is told of one subject is told in its order."""
    way, now = replace(OPS, most=most), NOW
    pending: list[Delivery] = []
    arrived: list[Delivery] = []
    counted = itertools.count(1)
    sent_of: dict[str, list[int]] = {}

    def arrive(subject: int) -> None:
        open_digests = {
            (one.notifier, one.tenant): one for one in pending if one.event is DeliveryEvent.DIGEST and not one.attempts
        }
        number = next(counted)
        one = message(number, subject=f"aaaaaaaaaaaa/{subject}", message=f"{number}")
        sent_of.setdefault(one.subject, []).append(number)
        loud = sum(1 for old in [*pending, *arrived] if now - old.created_at < dt.timedelta(seconds=60))
        found = routing.route(
            [one], [way], Standing({"ops": loud}, open_digests), estate="e", now=now,
            new_id=lambda: f"d-{next(counted)}",
        )  # fmt: skip
        pending.extend(replace(new, seq=next(counted)) for new in found.made)
        for grown in found.grown:
            pending[[old.id for old in pending].index(grown.id)] = grown

    def attempt(how: str) -> None:
        for one in trying.due(pending, now)[:1]:
            tried = replace(one, attempts=one.attempts + 1)
            at = pending.index(one)
            pending[at] = tried
            if how != "refuse":
                arrived.append(tried)
            if how == "send":
                assert trying.sent(tried, "", now).state is DeliveryState.SENT
                del pending[at]
            elif how in ("refuse", "lost"):
                pending[at] = replace(tried, due_at=now + dt.timedelta(seconds=trying.pause_s(tried.attempts)))

    for what, number in story:
        if what == "arrive":
            arrive(number)
        elif what == "wait":
            now += dt.timedelta(seconds=20 * (number + 1))
        else:
            attempt(what)
    while pending:
        now = max(now, trying.next_at(pending) or now)
        attempt("send")
    for subject, numbers in sent_of.items():
        first = list(dict.fromkeys(number for one in arrived for number in told_of(one, subject)))
        assert first == numbers


def told_of(delivery: Delivery, subject: str) -> list[int]:
    """The messages about one subject that a delivery tells of."""
    data: Any = delivery.body["data"]
    if delivery.event is not DeliveryEvent.DIGEST:
        return [int(data["message"])] if delivery.subject == subject else []
    return [int(one["title"].rpartition(" ")[2]) for one in data["first"] if one["subject"] == subject]
