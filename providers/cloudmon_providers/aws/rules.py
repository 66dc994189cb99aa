"""Rules of EC2's security groups as values: read from its answers, and written as its query API wants them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from cloudmon.errors import UnexpectedAnswer
from cloudmon_providers.aws import listing

_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    # Where EC2's answers name the other side: how a call names it.
    "{*}groups/{*}item/{*}groupId": ("Groups", "GroupId"),
    "{*}ipRanges/{*}item/{*}cidrIp": ("IpRanges", "CidrIp"),
    "{*}ipv6Ranges/{*}item/{*}cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "{*}prefixListIds/{*}item/{*}prefixListId": ("PrefixListIds", "PrefixListId"),
}


class Rule(NamedTuple):
    """One thing that a group lets through."""

    protocol: str
    """``tcp``, ``udp``, a number, or ``-1`` for all."""
    first: str
    """Lowest port; empty where ports say nothing."""
    last: str
    kind: str
    """What the other side is: ``Groups``, ``IpRanges``, ``Ipv6Ranges``, ``PrefixListIds``."""
    other: str
    """Its id or its addresses."""


def among(group: str, ports: Iterable[int]) -> frozenset[Rule]:
    """Rules by which members of a group reach each other at these TCP ports."""
    return frozenset(Rule("tcp", str(port), str(port), "Groups", group) for port in ports)


def ports(group: str, found: Collection[Rule]) -> tuple[int, ...]:
    """The ports of which these are the rules; none where they are the rules of something else."""
    wanted = sorted(int(rule.first) for rule in found if rule.first.isdecimal())
    return tuple(wanted) if frozenset(found) == among(group, wanted) else ()


def read(items: Iterable[ET.Element]) -> frozenset[Rule]:
    """What ``ipPermissions`` or ``ipPermissionsEgress`` of an answer lists."""
    return frozenset(
        Rule(
            item.findtext("{*}ipProtocol", ""),
            item.findtext("{*}fromPort", ""),
            item.findtext("{*}toPort", ""),
            kind,
            other.text or "",
        )
        for item in items
        for path, (kind, _) in _KINDS.items()
        for other in item.findall(path)
    )


def parameters(found: Collection[Rule]) -> dict[str, str]:
    """These rules as a call names them."""
    keys = dict(_KINDS.values())
    named: dict[str, str] = {}
    for number, rule in enumerate(sorted(found), start=1):
        prefix = f"IpPermissions.{number}."
        named[f"{prefix}IpProtocol"] = rule.protocol
        if rule.first:
            named |= {f"{prefix}FromPort": rule.first, f"{prefix}ToPort": rule.last}
        named[f"{prefix}{rule.kind}.1.{keys[rule.kind]}"] = rule.other
    return named


def tree(answer: bytes, root: str, inside: str, *, cloud: str) -> ET.Element:
    """An answer of EC2 that is ``root`` and holds ``inside``; ``UnexpectedAnswer`` for anything else."""
    try:
        found = ET.fromstring(answer)  # noqa: S314 - expat stops at entities that multiply; the answer is the cloud's
    except ET.ParseError as error:
        raise UnexpectedAnswer(f"{cloud}: {root} is no XML", cloud=cloud) from error
    space, _, kind = found.tag.rpartition("}")
    if not space.startswith("{" + listing.NAMESPACE) or kind != root or found.find(f"{space}}}{inside}") is None:
        raise UnexpectedAnswer(f"{cloud}: an answer that should be {root} is something else", cloud=cloud)
    return found
