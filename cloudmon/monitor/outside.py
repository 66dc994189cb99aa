"""Which appliances are asked over the network, where, and what the monitor needs of whoever asks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import Node
from cloudmon.model.probes import Probe, ProbeResult
from cloudmon.reconcile.picture import CloudView, Estate


class Target(NamedTuple):
    """One probe of one appliance."""

    appliance: ApplianceId
    name: str
    incarnation: int
    probe: Probe
    address: str
    """An IP address."""


Key = tuple[ApplianceId, str]
"""Appliance and name of its probe."""


class Outside(Protocol):
    """Whoever asks appliances over the network. Each call may come from any thread, and returns at once."""

    def aim(self, targets: Iterable[Target]) -> None:
        """Exactly these are asked from now on."""

    def aimed(self) -> Mapping[Key, Target]:
        """Those that are asked now."""

    def answers(self, appliance: ApplianceId) -> Mapping[str, ProbeResult]:
        """What its probes came to last, by name."""


class Unasked:
    """Nobody asks: this process looks once, or does not serve."""

    def aim(self, targets: Iterable[Target]) -> None:
        """Whoever serves later is told again."""

    def aimed(self) -> Mapping[Key, Target]:
        return {}

    def answers(self, appliance: ApplianceId) -> Mapping[str, ProbeResult]:  # noqa: ARG002
        return {}


def targets(estate: Estate, views: Mapping[str, CloudView], before: Mapping[Key, Target]) -> list[Target]:
    """Whom to ask, and where: appliances that run, of templates with probes.

    Arguments:
        estate: what the store knows.
        views: the clouds as they were seen last.
        before: where they were asked so far, which counts on while their cloud is not seen.
    """
    probed = {uid: aset.spec.template.probes for uid, aset in estate.sets.items() if aset.spec.template.probes}
    if not probed:
        return []
    found: list[Target] = []
    for member in estate.members:
        probes = probed.get(member.set_uid)
        if probes is None or member.state is not ApplianceState.RUNNING:
            continue
        view = views.get(member.cloud)
        node = view.nodes.get(member.node_id) if view is not None else None
        for name, probe in probes.items():
            former = before.get((member.id, name))
            if node is not None:
                address = address_of(node, probe)
            elif former is not None and former.incarnation == member.incarnation:
                address = former.address
            else:
                address = ""
            if address:
                found.append(Target(member.id, name, member.incarnation, probe, address))
    return found


def address_of(node: Node, probe: Probe) -> str:
    """Where the probe asks this node; empty where the cloud names no such address."""
    named = node.public_addresses if probe.address == "public" else node.private_addresses
    for address in named:
        try:
            version = ipaddress.ip_address(address).version
        except ValueError:
            continue
        if probe.family in (0, version):
            return address
    return ""
