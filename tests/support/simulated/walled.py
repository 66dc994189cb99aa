"""Stories of walls: appliances that are isolated and released, peers that are let talk, clouds that can do less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.findings import FindingKind
from cloudmon.model.nodes import PEERS_PREFIX
from cloudmon.model.requests import RequestVerb
from cloudmon.model.sets import ApplianceSet, Peers, SetSpec
from cloudmon.model.tenants import EVERYONE
from cloudmon.reconcile import walls
from cloudmon_providers.dummy import TrueNode
from simulated import story
from simulated.bench import Bench
from simulated.laws import alive

LACKS: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"suspend_node", "resume_node"}),
    frozenset({"suspend_node", "resume_node", "stop_node", "start_node"}),
)
"""What a cloud may not have: then a suspension is a stop, or an isolation."""


def tell(seed: int, folder: Path) -> Bench:
    """One story with walls, and what must be true of them in the end."""
    bench = story.tell(seed, folder, guests=False, begun=_begun, troubles=_troubles)
    walls_are_as_wanted(bench)
    peers_are_as_wanted(bench)
    return bench


def _begun(bench: Bench) -> None:
    for world in bench.worlds.values():
        world.settings = world.settings.model_copy(update={"lacks": bench.chance.choice(LACKS)})
    specs = tuple(_talking(spec, bench.chance.choice(((), (80,), (80, 443)))) for spec in bench.shape.specs)
    bench.shape = replace(bench.shape, specs=specs)
    bench.wish(*specs)


def _talking(spec: SetSpec, ports: tuple[int, ...]) -> SetSpec:
    return replace(spec, template=replace(spec.template, peers=Peers(ports, firewall=bool(ports))))


def _troubles(bench: Bench) -> None:
    story.trouble(bench)
    if bench.chance.random() < 0.5:
        bench.chance.choice((_ask, _ask, _ask, _hands, _group, _ports))(bench)


def _ask(bench: Bench) -> None:
    verbs = (*[RequestVerb.ISOLATE] * 3, RequestVerb.REJOIN, RequestVerb.SUSPEND, RequestVerb.RESUME)
    spec = bench.chance.choice(bench.shape.specs)
    if not bench.store.away:
        bench.ask(bench.chance.choice(verbs), f"{spec.name}/{bench.chance.randint(1, spec.count)}")


def _hands(bench: Bench) -> None:
    """Somebody lets one talk again, or cuts one off, at the console."""
    nodes = alive(bench)
    if nodes:
        cloud, node = bench.chance.choice(nodes)
        world = bench.worlds[cloud]
        bench.chance.choice((world.release_by_hand, world.isolate_by_hand))(node.id)


def _group(bench: Bench) -> None:
    """Somebody takes one out of its group, or gives the group another port."""
    nodes = [(cloud, node) for cloud, node in alive(bench) if node.peers]
    if nodes:
        cloud, node = bench.chance.choice(nodes)
        if bench.chance.random() < 0.5:
            bench.worlds[cloud].leave_by_hand(node.id)
        else:
            bench.worlds[cloud].open_by_hand(node.peers, 22)


def _ports(bench: Bench) -> None:
    """The settings file wants other ports, or none."""
    bench.wish(*(_talking(spec, bench.chance.choice(((), (80,), (443,)))) for spec in bench.specs))


def _held(bench: Bench, member: Member, aset: ApplianceSet) -> bool:
    """Whether an incident says why it is not as it is wanted, or somebody holds it."""
    incidents = {f.subject for f in bench.memory.findings.open(EVERYONE) if f.kind is FindingKind.INCIDENT}
    return f"{member.set_uid}/{member.ordinal}" in incidents or bool(aset.controls)


def _living(bench: Bench) -> list[tuple[Member, ApplianceSet, TrueNode]]:
    truth = {(cloud, node.id): node for cloud, node in alive(bench)}
    sets = {aset.uid: aset for aset in bench.memory.sets.active(EVERYONE)}
    return [
        (member, sets[member.set_uid], truth[member.cloud, member.node_id])
        for member in bench.memory.members.all(EVERYONE)
        if member.set_uid in sets and (member.cloud, member.node_id) in truth
    ]


def walls_are_as_wanted(bench: Bench) -> None:
    """After quiet ticks: what is wanted isolated is, what runs as it is wanted is not, and the table knows."""
    for member, aset, node in _living(bench):
        if _held(bench, member, aset):
            continue
        powerless = bench.worlds[member.cloud].settings.lacks >= LACKS[-1] and node.word == "running"
        if member.wanted is Power.ISOLATED or (member.wanted is Power.SUSPENDED and powerless):
            assert node.isolated, f"walls: {member.id} is wanted {member.wanted} and its node {node.id} is not isolated"
        if member.state in (ApplianceState.RUNNING, ApplianceState.ISOLATED):
            told = member.state is ApplianceState.ISOLATED
            assert node.isolated is told, f"walls: {member.id} is {member.state}; isolated: {node.isolated}"


def peers_are_as_wanted(bench: Bench) -> None:
    """After quiet ticks: each member is in its set's group with its ports, or in none, and no group is left over."""
    wanting = {aset.uid: walls.ports_of(aset) for aset in bench.memory.sets.active(EVERYONE)}
    for member, aset, node in _living(bench):
        wanted = PEERS_PREFIX + aset.uid if wanting[aset.uid] else ""
        assert node.peers == wanted or aset.retiring_since, (
            f"peers: {member.id} is in {node.peers!r}, not in {wanted!r}"
        )
    for cloud, world in bench.worlds.items():
        for group in world.list_peers():
            ports = wanting.get(group.name.removeprefix(PEERS_PREFIX), ())
            assert ports, f"peers: {group.name} in {cloud} belongs to no set that wants it"
            assert group.ports == ports, f"peers: {group.name} in {cloud} has {group.ports}, not {ports}"
