"""The laws, asserted on what the story left behind: the cloud as it truly is, and the store."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cloudmon import metering
from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.identity import Token
from cloudmon.model.requests import RequestState
from cloudmon.model.sets import ApplianceSet, ControlKind
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Dimension, Interval
from cloudmon.settings import load, log_key
from cloudmon.store import Store, open_store
from cloudmon_providers.dummy.truth import TrueNode
from killed import story

SLACK_S = 3.0
"""What whole seconds and a listing's age may take off or add, where nobody was away."""
NOBODY = ("terminating", "terminated")


@dataclass(frozen=True)
class Left:
    """What is left at the end.

    ``away_s`` is the longest time in which no monitor ran.
    """

    store: Store
    nodes: Sequence[TrueNode]
    intents: Sequence[Intent]
    victim: str
    """The node that somebody deleted by hand."""
    stranger: str
    """The node that somebody made, and that was adopted."""
    away_s: float
    now: dt.datetime

    @property
    def alive(self) -> list[TrueNode]:
        return [node for node in self.nodes if node.state.value not in NOBODY]


@contextmanager
def opened(folder: Path, away_s: float) -> Iterator[Left]:
    """What is left in ``folder``."""
    settings = load(folder / "cloudmon.toml")
    now = dt.datetime.now(dt.UTC)
    store = open_store(
        settings.store.url_with_password, log_key=log_key(settings), anchor_dir=folder / "state" / "anchors", now=now
    )
    try:
        intents = store.intents.recent(EVERYONE, now - dt.timedelta(days=1))
        nodes = story.world(folder).ledger()
        yield Left(store, nodes, intents, story.victim(folder), story.stranger(folder), away_s, now)
    finally:
        store.close()


def one_node_a_token(left: Left) -> None:
    """Law 1."""
    counted = Counter(node.token for node in left.nodes if node.id != left.stranger)
    assert all(counted), "a node was made without a token"
    assert {token: count for token, count in counted.items() if count > 1} == {}


def cloud_and_table_agree(left: Left) -> None:
    """Law 2: every node that lives is a member's, every member's node lives, nothing is under way or held."""
    members = [m for m in left.store.members.all(EVERYONE) if m.state is not ApplianceState.RETIRED]
    assert {m.node_id for m in members} == {node.id for node in left.alive}
    assert {m.token for m in members} == {node.token for node in left.alive}
    assert {m.state for m in members} == {ApplianceState.RUNNING}
    assert left.store.incarnations.open(EVERYONE) == []
    assert left.store.findings.open(EVERYONE) == []


def every_effect_has_an_earlier_intent(left: Left) -> None:
    """Law 5, first half."""
    launches = {i.token: i for i in left.intents if i.verb is Verb.LAUNCH}
    ended = {i.node_id: i for i in left.intents if i.verb is Verb.TERMINATE}
    for node in left.nodes:
        if node.id != left.stranger:
            assert node.token in launches, f"{node.id} was made without an intent"
            assert launches[node.token].created_at <= node.created_at
        if node.ended_at is not None and node.id != left.victim:
            assert node.id in ended, f"{node.id} was ended without an intent"
            assert ended[node.id].created_at <= node.ended_at


def every_intent_ended(left: Left) -> None:
    """Law 5, second half."""
    assert left.store.intents.open(EVERYONE) == []
    assert {i.state for i in left.intents} <= {IntentState.DONE, IntentState.FAILED}


def what_ended_stays_ended(left: Left) -> None:
    """Law 8."""
    sets = {aset.uid: aset for aset in left.store.sets.all(EVERYONE)}
    assert sorted(aset.name for aset in sets.values()) == ["brief", "night", "shop"]
    gone = {uid: aset for uid, aset in sets.items() if aset.retired_at is not None}
    assert sorted(aset.name for aset in gone.values()) == ["brief", "night"]
    for node in left.alive:
        token = Token.parse(node.token)
        assert token is not None
        assert token.set_uid not in gone
    for intent in left.intents:
        aset = gone.get(intent.appliance.set_uid)
        if aset is not None and intent.verb is Verb.LAUNCH:
            assert aset.retiring_since is not None
            assert intent.created_at <= aset.retiring_since, f"{aset.name} was launched after its end"


def what_was_asked_happened_once(left: Left) -> None:
    """A request is answered to its end, and a kill between its parts does not make it count twice."""
    named: dict[str, ApplianceSet] = {aset.name: aset for aset in left.store.sets.all(EVERYONE)}
    assert named["night"].lease_end == named["night"].created_at + dt.timedelta(
        seconds=story.LEASE_S + story.EXTENDED_S
    )
    laid = left.store.controls.active(EVERYONE, left.now)
    assert [(c.kind, c.set_uid, c.ordinal) for c in laid] == [(ControlKind.PAUSE, named["shop"].uid, 1)]
    generations = {name: len(left.store.sets.generations(EVERYONE, aset.uid)) for name, aset in named.items()}
    assert generations == {"shop": 3, "night": 1, "brief": 2}
    for name in [name for asked in story.ASKED.values() for name, *_ in asked]:
        request = left.store.requests.get(EVERYONE, name)
        assert request is not None
        # Whether a reboot was done when the monitor died nobody knows, and the answer says so.
        interrupted = name == "reboot-shop" and request.state is RequestState.FAILED and "not known" in request.outcome
        assert interrupted or request.state is RequestState.DONE, f"{name} is {request.state}: {request.outcome}"


def adopted_once(left: Left) -> None:
    """The stranger was one appliance, in one incarnation, and the set grew by it alone."""
    aset = left.store.sets.named(EVERYONE, "shop")
    assert aset is not None
    assert [spec.count for _, _, spec, _ in left.store.sets.generations(EVERYONE, aset.uid)] == [2, 3, 1]
    rows = left.store.incarnations.of(EVERYONE, aset.uid)
    assert [(row.ordinal, row.number) for row in rows if row.node_id == left.stranger] == [(3, 1)]
    assert [(i.verb, i.state) for i in left.intents if i.node_id == left.stranger] == [
        (Verb.ADOPT, IntentState.DONE), (Verb.TERMINATE, IntentState.DONE)
    ]  # fmt: skip


def log_verifies(left: Left) -> None:
    """Law 9, anchors included."""
    assert left.store.anchors is not None
    assert left.store.anchors.read().damaged == ()
    assert left.store.anchors.read().anchors, "nothing was anchored"
    assert left.store.log.verify(EVERYONE) == []


def metered_once(left: Left) -> None:
    """Law 3: every node's time is counted, none of it twice, and what nobody saw is marked."""
    spans = {"east": left.store.spans.of(EVERYONE, "east")}
    found = metering.fold(left.store.usage.events(EVERYONE), lambda cloud: spans.get(cloud, ()), now=left.now)
    by_node: defaultdict[str, list[Interval]] = defaultdict(list)
    for interval in found:
        if interval.dimension in (Dimension.NODE_RUNNING, Dimension.NODE_STOPPED, Dimension.MONITOR_RUNNING):
            by_node[interval.node_id].append(interval)
    for node_id, intervals in by_node.items():
        intervals.sort(key=lambda interval: interval.start)
        for before, after in pairwise(intervals):
            assert before.end <= after.start, f"{node_id} is counted twice from {after.start} to {before.end}"
    for node in left.nodes:
        _compare(node, by_node.get(node.id, []), left)
    monitors = [row.epoch for row in left.store.monitors.all(EVERYONE)]
    for epoch in monitors:
        assert not any(interval.open for interval in by_node[f"monitor-{epoch}"]), f"monitor {epoch} is said to run on"


def _compare(node: TrueNode, intervals: Sequence[Interval], left: Left) -> None:
    lived_s = ((node.ended_at or left.now) - node.created_at).total_seconds()
    if not intervals:
        # It came and went while nobody looked: only a node that was never seen can be unknown to the meter.
        assert lived_s <= left.away_s + SLACK_S, f"{node.id} lived {lived_s} s and is not metered"
        return
    total_s = sum(interval.seconds for interval in intervals)
    seen_s = sum(interval.seconds for interval in intervals if not interval.estimated)
    since = _ours_since(node, left)
    ours_s = ((node.ended_at or left.now) - since).total_seconds()
    assert ours_s - SLACK_S <= total_s <= lived_s + left.away_s + SLACK_S, f"{node.id} lived {lived_s}: {intervals}"
    assert seen_s <= lived_s + SLACK_S, f"{node.id} lived {lived_s} s, {seen_s} s are said to be measured"
    ran_s = sum((end - start).total_seconds() for start, end in node.ran(left.now))
    ran_for_us_s = sum(max(0.0, (end - max(start, since)).total_seconds()) for start, end in node.ran(left.now))
    running_s = sum(interval.seconds for interval in intervals if interval.dimension is Dimension.NODE_RUNNING)
    slack_s = left.away_s + SLACK_S
    assert ran_for_us_s - slack_s <= running_s <= ran_s + slack_s, f"{node.id} ran {ran_s} s, {running_s} s are counted"


def _ours_since(node: TrueNode, left: Left) -> dt.datetime:
    """What somebody made is ours from its adoption on, when its cloud had taken our tags; all else was always ours."""
    adopted = (i.ended_at for i in left.intents if i.verb is Verb.ADOPT and i.node_id == node.id)
    return next(adopted, None) or node.created_at


ALL = (
    one_node_a_token,
    cloud_and_table_agree,
    every_effect_has_an_earlier_intent,
    every_intent_ended,
    what_ended_stays_ended,
    what_was_asked_happened_once,
    adopted_once,
    log_verifies,
    metered_once,
)
