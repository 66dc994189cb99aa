"""The laws, asserted on a simulated estate. Each raises AssertionError with a sentence that says what was seen."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence

from cloudmon import metering
from cloudmon.model.actions import GUEST_VERBS, Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import TAG_TOKEN, Token
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Dimension, Interval, Span
from cloudmon.reconcile.commands import ANSWER_S
from cloudmon_providers.dummy import TrueNode, World
from simulated.bench import POLL_S, Bench

SLACK_S = 3 * POLL_S


def token_of(node: TrueNode) -> str:
    """The token that its tags carry; empty on nodes that are not ours."""
    return node.tags.get(TAG_TOKEN, "")


def intents(bench: Bench) -> list[Intent]:
    """All there ever were."""
    if bench.intents_now is not None:
        return bench.intents_now
    long_ago = bench.clock.now() - dt.timedelta(days=400)
    return bench.memory.intents.recent(EVERYONE, long_ago)


def hold(bench: Bench, laws: Sequence[Callable[[Bench], None]]) -> None:
    """Ask these laws. Nothing happens between them, so what all of them look at is read once."""
    bench.intents_now = intents(bench)
    try:
        for law in laws:
            law(bench)
    finally:
        bench.intents_now = None


def alive(bench: Bench) -> list[tuple[str, TrueNode]]:
    """Nodes of ours that exist, by cloud: what is on its way out counts as gone."""
    return [
        (cloud, node)
        for cloud, world in bench.worlds.items()
        for node in world.nodes_true()
        if token_of(node) and node.state.value not in ("terminating", "terminated")
    ]


def one_node_an_incarnation(bench: Bench) -> None:
    """Law 1, on clouds with tokens: at no instant has an incarnation two nodes."""
    seen: dict[str, str] = {}
    for cloud, node in alive(bench):
        assert token_of(node) not in seen, (
            f"law 1: {token_of(node)} has nodes {seen[token_of(node)]} and {cloud}:{node.id}"
        )
        seen[token_of(node)] = f"{cloud}:{node.id}"


def every_effect_has_an_intent(bench: Bench) -> None:
    """Law 5, first half: no node was made and none was ended without an earlier intent."""
    launches = {i.token for i in intents(bench) if i.verb is Verb.LAUNCH}
    for cloud, world in bench.worlds.items():
        for node in world.ledger():
            if token_of(node):
                assert token_of(node) in launches, f"law 5: {cloud}:{node.id} was made without an intent"
        ended = {i.node_id for i in intents(bench) if i.verb is Verb.TERMINATE and i.cloud == cloud}
        for node in world.ledger():
            if (cloud, node.id) in bench.destroyed:
                assert node.id in ended, f"law 5: {cloud}:{node.id} was ended without an intent"


def nothing_healthy_destroyed_for_a_view(bench: Bench) -> None:
    """Law 4: whatever a view said, a node that truly ran well was destroyed only because somebody asked for it, or
    because it was one too many."""
    for intent in intents(bench):
        if intent.verb is not Verb.TERMINATE or intent.origin is not Origin.OBSERVATION:
            continue
        world = bench.worlds[intent.cloud]
        node = next((n for n in world.ledger() if n.id == intent.node_id), None)
        if node is None or (intent.cloud, node.id) not in bench.destroyed or node.hung:
            continue
        twin = any(token_of(n) == token_of(node) and n.id != node.id for n in world.ledger())
        # A launch that was given up for want of an answer, and whose node was found later.
        given_up = any(
            i.token == token_of(node) and i.verb is Verb.LAUNCH and i.state is IntentState.FAILED
            for i in intents(bench)
        )
        troubled = any(spell.word in TROUBLE for spell in node.spells) or _slow(node)
        assert troubled or twin or given_up, (
            f"law 4: {intent.cloud}:{node.id} was well and was destroyed: {intent.reason}"
        )


TROUBLE = ("stopped", "stopping", "failed", "suspended", "suspending")


def _slow(node: TrueNode) -> bool:
    """It never came to run, or took its time, also to come up again."""
    running = [spell for spell in node.spells if spell.word == "running"]
    ended = node.ended_at or node.created_at
    again = [((spell.end or ended) - spell.start).total_seconds() for spell in node.spells if spell.word == "rebooting"]
    return not running or max((running[0].start - node.created_at).total_seconds(), *again, 0) > 100


def log_verifies(bench: Bench) -> None:
    """Law 9."""
    assert bench.memory.log.verify(EVERYONE) == [], "law 9: the log does not verify"


def table_and_clouds_agree(bench: Bench) -> None:
    """Law 2, asked after quiet ticks: no duplicate, no ghost, no orphan that is not held in sight."""
    members = bench.memory.members.all(EVERYONE)
    by_node = {(m.cloud, m.node_id): m for m in members if m.node_id}
    truth = {(cloud, node.id): node for cloud, node in alive(bench)}
    for key, member in by_node.items():
        if member.state is not ApplianceState.RETIRED:
            assert key in truth, f"law 2: {member.id} believes in node {key}, which is not there ({member.state})"
    sight = {f.subject for f in bench.memory.findings.open(EVERYONE)}
    ending = {(row.cloud, row.node_id) for row in bench.memory.incarnations.open(EVERYONE)}
    for (cloud, node_id), node in truth.items():
        held = f"node:{cloud}:{node_id}" in sight or (cloud, node_id) in ending
        assert (cloud, node_id) in by_node or held, (
            f"law 2: {cloud}:{node_id} ({token_of(node)}) is explained by nothing"
        )


def every_intent_ended(bench: Bench) -> None:
    """Law 5, second half, asked after quiet ticks: done, failed, or an open incident; but for those whose incarnation
    still waits for its cloud, and commands whose time is not over."""
    waiting = {(r.set_uid, r.ordinal, r.number) for r in bench.memory.incarnations.open(EVERYONE)}
    for intent in intents(bench):
        if intent.verb in GUEST_VERBS and bench.clock.now() < intent.deadline + dt.timedelta(seconds=ANSWER_S):
            continue
        if intent.state in (IntentState.RECORDED, IntentState.PERFORMED):
            told = f"law 5: intent {intent.id} ({intent.verb}) never ended: {intent.error}"
            assert (*intent.appliance, intent.incarnation) in waiting, told


def incidents_are_seen(bench: Bench) -> None:
    """Law 5: what could not be brought to its end says so by its state and by an open finding, both or neither."""
    stuck = {f"intent:{i.id}" for i in intents(bench) if i.state is IntentState.INCIDENT}
    found = {f.subject for f in bench.memory.findings.open(EVERYONE) if f.kind is FindingKind.INCIDENT}
    found = {subject for subject in found if subject.startswith("intent:")}
    assert stuck == found, f"law 5: {stuck} are incidents by their state, {found} by a finding"


def expired_stays_ended(bench: Bench) -> None:
    """Law 8: nothing of a set is launched after its end was decided. Only for clocks that never jumped, since the order
    of two instants means nothing else."""
    if bench.jumped:
        return
    for aset in bench.memory.sets.all(EVERYONE):
        if aset.retiring_since is None:
            continue
        for intent in intents(bench):
            if intent.appliance.set_uid == aset.uid and intent.verb is Verb.LAUNCH:
                assert intent.created_at <= aset.retiring_since, f"law 8: {aset.name} was launched after its end"


def expired_is_gone(bench: Bench) -> None:
    """Law 8, asked after quiet ticks."""
    now = bench.clock.now()
    ended = {}
    for aset in bench.memory.sets.all(EVERYONE):
        grace = dt.timedelta(seconds=aset.spec.lease.grace_s + POLL_S)
        if aset.retiring_since is not None or (aset.lease_end is not None and now > aset.lease_end + grace):
            ended[aset.uid] = aset.name
    for cloud, node in alive(bench):
        token = Token.parse(token_of(node))
        assert token is not None
        assert token.set_uid not in ended, f"law 8: {cloud}:{node.id} of {ended[token.set_uid]} still lives"


def wanted_is_there(bench: Bench) -> None:
    """After quiet ticks what is wanted runs, unless an incident says why not."""
    incidents = {f.subject for f in bench.memory.findings.open(EVERYONE) if f.kind is FindingKind.INCIDENT}
    sets = {aset.uid: aset for aset in bench.memory.sets.active(EVERYONE)}
    # Where the account's limit is reached, whoever comes last waits, and says so.
    if all(world.settings.quota is not None and _full(world) for world in bench.worlds.values()):
        return
    for member in bench.memory.members.all(EVERYONE):
        aset = sets[member.set_uid]
        if aset.retiring_since is not None or member.ordinal > aset.spec.count or aset.controls:
            continue
        if member.wanted.value != "running" or f"{member.set_uid}/{member.ordinal}" in incidents:
            continue
        assert member.state is ApplianceState.RUNNING, f"stuck: {aset.name}/{member.ordinal} is {member.state}"


def _full(world: World) -> bool:
    return len(world.nodes_true()) >= (world.settings.quota or 0)


def metered_once(bench: Bench) -> None:
    """Law 3: what is measured really ran, what ran is counted, nothing twice. Only for clocks that never jumped."""
    if bench.jumped:
        return
    now = bench.clock.now()
    spans = {cloud: bench.memory.spans.of(EVERYONE, cloud) for cloud in bench.worlds}
    counted: dict[tuple[str, str], list[Interval]] = defaultdict(list)
    for interval in metering.fold(bench.memory.usage.events(EVERYONE), lambda cloud: spans.get(cloud, ()), now=now):
        if interval.dimension in (Dimension.NODE_RUNNING, Dimension.NODE_STOPPED):
            counted[(interval.cloud, interval.node_id)].append(interval)
    for cloud, world in bench.worlds.items():
        for node in world.ledger():
            if token_of(node):
                intervals = sorted(counted[(cloud, node.id)], key=lambda i: i.start)
                if intervals:
                    _compare(f"{cloud}:{node.id}", node, intervals, now, bench)
                else:
                    _never_seen(f"{cloud}:{node.id}", node, spans[cloud], now, bench)


def _never_seen(name: str, node: TrueNode, spans: Sequence[Span], now: dt.datetime, bench: Bench) -> None:
    """One that came and went between two looks was never seen by anybody but its cloud; nor was one whose cloud
    nobody saw all its life."""
    ends = node.ended_at or now
    seen = ((min(ends, span.until) - max(node.created_at, span.since)).total_seconds() for span in spans)
    watched = sum(max(0.0, each) for each in seen)
    bound = SLACK_S + bench.shape.lag_s + 60
    assert watched <= bound, f"law 3: {name} is not metered, though its cloud was watched for {watched} s of its life"


def _compare(name: str, node: TrueNode, intervals: list[Interval], now: dt.datetime, bench: Bench) -> None:
    for before, after in itertools.pairwise(intervals):
        assert before.end <= after.start, f"law 3: {name} is counted twice from {after.start} to {before.end}"
    lived = ((node.ended_at or now) - node.created_at).total_seconds()
    slack = SLACK_S + bench.shape.lag_s
    assert abs((intervals[0].start - node.created_at).total_seconds()) <= 1, f"law 3: {name} is counted from too late"
    total = sum(i.seconds for i in intervals)
    measured = sum(i.seconds for i in intervals if not i.estimated)
    assert total >= lived - slack - 2, f"law 3: {name} lived {lived} s, {total} s are counted"
    bound = lived + slack + 60
    assert measured <= bound, f"law 3: {name} lived {lived} s, {measured} s are said to be measured"


ALWAYS = (one_node_an_incarnation, every_effect_has_an_intent, incidents_are_seen, expired_stays_ended)
IN_THE_END = (
    *ALWAYS,
    nothing_healthy_destroyed_for_a_view,
    table_and_clouds_agree,
    every_intent_ended,
    expired_is_gone,
    wanted_is_there,
    metered_once,
    log_verifies,
)
