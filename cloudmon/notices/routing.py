"""Who is told of what: messages become deliveries, one a notifier, or one digest where they are too many."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cloudmon.model.findings import FindingKind
from cloudmon.model.messages import Delivery, DeliveryEvent, Message, MessageEvent, at_least
from cloudmon.notices import wording

EVERYBODY = "*"
"""What a rule names that wants all to be told; the pattern that every name fits."""
LOOK_BACK_S = 60
"""Seconds within which messages count together."""
GATHER_S = 30
"""Seconds for which a digest takes in what comes after it, before it is sent."""


@dataclass(frozen=True, slots=True)
class Way:
    """A notifier as far as it matters who is told."""

    name: str
    severity: str = "info"
    """The least that it is told of."""
    kinds: frozenset[FindingKind] = frozenset()
    """Kinds of findings that it is told of; empty: all."""
    sets: tuple[str, ...] = (EVERYBODY,)
    """Names of sets, ``*`` and ``?`` as in file names. What is about no set is told where all are."""
    tenants: tuple[str, ...] = (EVERYBODY,)
    ends: bool = True
    """Whether it is told that a finding has ended."""
    most: int = 20
    """Deliveries within ``LOOK_BACK_S`` seconds; what is more comes as a digest."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is already."""

    loud: Mapping[str, int]
    """By notifier: deliveries made within the last ``LOOK_BACK_S`` seconds."""
    digests: Mapping[tuple[str, str], Delivery]
    """By notifier and tenant: the digest that takes in more."""
    calling: frozenset[str] = frozenset()
    """Rules, as ``<policy>/<rule>``, that say themselves who is told of what they find."""


@dataclass(frozen=True, slots=True)
class Routed:
    """What is to be written."""

    made: tuple[Delivery, ...]
    grown: tuple[Delivery, ...]
    """Digests that took in more."""


def route(
    messages: Sequence[Message],
    ways: Sequence[Way],
    standing: Standing,
    *,
    estate: str,
    now: dt.datetime,
    new_id: Callable[[], str],
) -> Routed:
    """Deliveries of all these messages, in their order.

    Arguments:
        messages: in the order in which things happened.
        ways: all notifiers there are.
        standing: what there is already.
        estate: whose findings they are.
        now: the instant.
        new_id: gives fresh uids.
    """
    made: list[Delivery] = []
    grown: list[Delivery] = []
    for way in ways:
        by_tenant: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            if is_told(way, message, standing.calling):
                by_tenant[message.tenant].append(message)
        left = way.most - standing.loud.get(way.name, 0)
        for tenant, found in by_tenant.items():
            open_digest = standing.digests.get((way.name, tenant))
            if open_digest is not None:
                grown.append(wording.digest(open_digest, found))
            elif len(found) > left:
                due = now + dt.timedelta(seconds=GATHER_S)
                begun = wording.empty_digest(new_id(), way.name, tenant, estate=estate, since=found[0].at, due=due)
                made.append(wording.digest(begun, found))
                left -= 1
            else:
                made += [_alone(message, way.name, estate, now, new_id()) for message in found]
                left -= len(found)
    return Routed(tuple(made), tuple(grown))


def introduction(way: Way, opened: Sequence[Message]) -> list[Message]:
    """What a notifier that is new is told: what is open, and of what a rule has told it, or all, as it would have been
    told then."""
    return [replace(one, event=MessageEvent.CALLED) if is_named(way, one) else one for one in opened]


def is_named(way: Way, message: Message) -> bool:
    """Whether a rule names it for what the message is about."""
    return way.name in message.told or EVERYBODY in message.told


def is_told(way: Way, message: Message, calling: frozenset[str]) -> bool:
    """Whether a notifier is told of a message."""
    # Who is kept to some tenants is told of nobody else's, whatever a rule says.
    if not _fits(message.tenant, way.tenants):
        return False
    named = is_named(way, message)
    # A rule's ladder calls by name, and whoever was called hears of the end.
    if message.event is MessageEvent.CALLED:
        return named
    if message.event is MessageEvent.ENDED and not way.ends:
        return False
    if message.event is MessageEvent.ENDED and named:
        return True
    # A rule that says itself whom to tell, and when, tells nobody else.
    if message.kind is FindingKind.DETECTED and wording.rule(message) in calling:
        return False
    if not at_least(message.severity, way.severity) or (way.kinds and message.kind not in way.kinds):
        return False
    return _fits(message.set_name, way.sets) if message.set_name else EVERYBODY in way.sets


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _alone(message: Message, notifier: str, estate: str, now: dt.datetime, new_id: str) -> Delivery:
    return Delivery(
        id=new_id,
        notifier=notifier,
        tenant=message.tenant,
        subject=message.subject,
        event=DeliveryEvent(message.event),
        severity=message.severity,
        title=wording.title(message),
        body=wording.body(message, estate),
        created_at=now,
        due_at=now,
    )
