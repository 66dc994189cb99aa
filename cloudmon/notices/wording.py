"""What is said of a finding that changed, and of many at once: one line for people, and JSON for programs."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cloudmon.model.messages import DIGEST, Delivery, DeliveryEvent, Message, MessageEvent, worse
from cloudmon.notifier import Notice

LONGEST_TITLE = 300
MOST_EVIDENCE = 8_192
"""Characters of evidence that are told, as JSON; what is more is left out, and said to be."""
MOST_LISTED = 20
"""Findings that a digest names."""
SAID = {
    MessageEvent.OPENED: "{severity}: {what}",
    MessageEvent.WORSE: "{severity} now: {what}",
    MessageEvent.CALLED: "{severity}: {what}",
    MessageEvent.ENDED: "ended: {what}",
}


def title(message: Message) -> str:
    """One line for people."""
    who = appliance(message) or message.set_name
    what = message.message if not who or message.message.startswith(message.set_name) else f"{who}: {message.message}"
    line = SAID[message.event].format(severity=message.severity, what=what)
    return _short("".join(char if char.isprintable() else " " for char in line), LONGEST_TITLE)


def appliance(message: Message) -> str:
    """``storefront/3``; empty where it is about none."""
    if not message.set_name:
        return ""
    ordinal = message.subject.partition(":")[0].partition("/")[2]
    return f"{message.set_name}/{ordinal}" if ordinal else ""


def rule(message: Message) -> str:
    """``<policy>/<rule>`` of what a rule found, else empty."""
    key = message.subject.partition(":")[2] if "/" in message.subject.partition(":")[0] else ""
    return "/".join(key.split("/", 2)[:2])


def body(message: Message, estate: str) -> dict[str, object]:
    """What a delivery of one message keeps, so that it is told in the same words whenever it is."""
    ended = message.event is MessageEvent.ENDED
    return {
        "type": f"finding.{message.event}",
        "at": message.at.isoformat(),
        "thread": _thread(message, estate),
        "data": {
            "estate": estate,
            "tenant": message.tenant,
            "event": str(message.event),
            "kind": str(message.kind),
            "subject": message.subject,
            "set": message.set_name,
            "appliance": appliance(message),
            "rule": rule(message),
            "message": message.message,
            "evidence": _evidence(message.evidence),
            "opened_at": message.opened_at.isoformat(),
            "ended_at": message.at.isoformat() if ended else None,
        },
    }


def _thread(message: Message, estate: str) -> str:
    told = "\n".join((estate, str(message.kind), message.subject, message.opened_at.isoformat()))
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def _evidence(evidence: Mapping[str, object]) -> object:
    size = len(json.dumps(evidence, ensure_ascii=False, default=str))
    return evidence if size <= MOST_EVIDENCE else {"left_out": f"{size} characters", "names": sorted(evidence)[:50]}


# --- many at once -----------------------------------------------------------------------------------------------------


def digest(digested: Delivery, messages: Sequence[Message]) -> Delivery:
    """A digest with these messages in it as well: how many of what, and the first by name."""
    before: Any = digested.body["data"]
    counts = {name: Counter(before[name]) for name in ("events", "kinds", "severities")}
    for message in messages:
        counts["events"][str(message.event)] += 1
        counts["kinds"][str(message.kind)] += 1
        counts["severities"][message.severity] += 1
    named = [*before["first"], *(_named(message) for message in messages[: MOST_LISTED - len(before["first"])])]
    count = before["count"] + len(messages)
    severity = digested.severity
    for message in messages:
        severity = message.severity if worse(message.severity, severity) else severity
    events = ", ".join(f"{number} {event}" for event, number in sorted(counts["events"].items()))
    data = {**before, **counts, "count": count, "first": named, "until": messages[-1].at.isoformat()}
    return Delivery(
        id=digested.id,
        notifier=digested.notifier,
        tenant=digested.tenant,
        subject=DIGEST,
        event=DeliveryEvent.DIGEST,
        severity=severity,
        title=f"{severity}: {count} changes of findings ({events})",
        body={**digested.body, "data": data},
        created_at=digested.created_at,
        due_at=digested.due_at,
        seq=digested.seq,
    )


def empty_digest(
    new_id: str, notifier: str, tenant: str, *, estate: str, since: dt.datetime, due: dt.datetime
) -> Delivery:
    """A digest of nothing yet."""
    data = {
        "estate": estate, "tenant": tenant, "count": 0, "since": since.isoformat(), "until": since.isoformat(),
        "events": {}, "kinds": {}, "severities": {}, "first": [],
    }  # fmt: skip
    return Delivery(
        id=new_id, notifier=notifier, tenant=tenant, subject=DIGEST, event=DeliveryEvent.DIGEST, severity="info",
        title="", body={"type": "digest", "at": since.isoformat(), "thread": "", "data": data}, created_at=since,
        due_at=due,
    )  # fmt: skip


def _named(message: Message) -> dict[str, object]:
    return {
        "title": title(message), "event": str(message.event), "kind": str(message.kind), "subject": message.subject,
        "appliance": appliance(message), "severity": message.severity, "at": message.at.isoformat(),
    }  # fmt: skip


# --- others -----------------------------------------------------------------------------------------------------------


def trial(delivery_id: str, notifier: str, tenant: str, *, estate: str, author: str, now: dt.datetime) -> Delivery:
    """What shows whether anything arrives."""
    data = {"estate": estate, "tenant": tenant, "message": "nothing happened", "author": author, "notifier": notifier}
    return Delivery(
        id=delivery_id, notifier=notifier, tenant=tenant, subject=f"test:{delivery_id}", event=DeliveryEvent.TEST,
        severity="info", title=f"test: {author} asks whether this arrives",
        body={"type": "test", "at": now.isoformat(), "thread": "", "data": data}, created_at=now, due_at=now,
    )  # fmt: skip


def notice(delivery: Delivery) -> Notice:
    """A delivery as its notifier is handed it: equal each time."""
    told: Any = delivery.body
    return Notice(
        id=delivery.id,
        at=dt.datetime.fromisoformat(told["at"]),
        type=told["type"],
        severity=delivery.severity,
        title=delivery.title,
        data=told["data"],
        thread=told["thread"],
    )


def _short(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most - 1]}…"
