"""EC2's DescribeInstances answers, read in one pass of expat over the fields we use.

A listing of thousands of instances is read in every tick, so this is the hottest line of the adapter: libcloud takes
0.25 ms an instance and boto3 0.45 ms, mostly for fields nobody asks for. Here the subtrees that we do not use are
walked by expat alone, and no tree is built.

A document that is not EC2's listing is :class:`cloudmon.errors.UnexpectedAnswer`: the root, its namespace, the
``reservationSet`` and the end of the document are all required, because an empty list is only believed when EC2 itself
said so.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, Final
from xml.parsers import expat

from cloudmon.errors import UnexpectedAnswer
from cloudmon.model.identity import TAG_ESTATE, TAG_TOKEN
from cloudmon.model.nodes import PEERS_PREFIX, Node, NodeState

NAMESPACE: Final = "http://ec2.amazonaws.com/doc/"
"""How the namespace of every EC2 answer begins; the API version follows."""

STATES: Final[Mapping[str, NodeState]] = {
    "pending": NodeState.PENDING,
    "running": NodeState.RUNNING,
    "stopping": NodeState.STOPPING,
    "stopped": NodeState.STOPPED,
    "shutting-down": NodeState.TERMINATING,
    "terminated": NodeState.TERMINATED,
}
"""EC2's words. A hibernated instance reads ``stopped``: its memory lies on its volume, and it is paid as stopped."""

# Where each text of interest is kept while its element is read.
_ID, _IMAGE, _WORD, _SIZE, _LAUNCHED, _ZONE, _PRIVATE, _PUBLIC, _IPV6, _REASON, _KEY, _VALUE, _NEXT, _NAME = range(14)
_BLANK: Final = [""] * 10

_Grammar = dict[str, Any]
"""By element name: a place for its text, or what stands inside it. Elements that are not named are walked past."""

_TAG: Final[_Grammar] = {"key": _KEY, "value": _VALUE}
_GROUP: Final[_Grammar] = {"groupName": _NAME}
_INSTANCE: Final[_Grammar] = {
    "instanceId": _ID,
    "imageId": _IMAGE,
    "instanceState": {"name": _WORD},
    "instanceType": _SIZE,
    "launchTime": _LAUNCHED,
    "placement": {"availabilityZone": _ZONE},
    "privateIpAddress": _PRIVATE,
    "ipAddress": _PUBLIC,
    "ipv6Address": _IPV6,
    "reason": _REASON,
    "groupSet": {"item": _GROUP},
    "tagSet": {"item": _TAG},
}
_INSTANCES: Final[_Grammar] = {"item": _INSTANCE}
_GRAMMARS: Final[Mapping[str, _Grammar]] = {
    "DescribeInstancesResponse": {"reservationSet": {"item": {"instancesSet": _INSTANCES}}, "nextToken": _NEXT},
    "RunInstancesResponse": {"instancesSet": _INSTANCES},
}
_SINCE: Final = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""In the reason of a state: since when, as in ``User initiated (2026-11-22 10:00:00 GMT)``."""

ISOLATED: Final = "cloudmon-isolated"
"""Name of the security group, one a VPC, that lets nothing in or out."""
_WALL: Final = [ISOLATED]

_PASSED: Final = frozenset({"networkInterfaceSet", "blockDeviceMapping", "metadataOptions", "cpuOptions"})
"""Large elements that never hold one of their own name: their end tag ends them, and nothing in them is counted."""

_WHOLE: Final = {"DescribeInstancesResponse": "reservationSet", "RunInstancesResponse": "instancesSet"}
"""The element without which an answer says nothing about instances."""


def page(document: bytes, *, cloud: str, root: str = "DescribeInstancesResponse") -> tuple[list[Node], str]:
    """The instances of one answer, and the token of the next page (empty on the last).

    An instance whose state is missing or new to us is ``UNKNOWN``; one without an id, and a document that is not
    ``root`` of EC2, whole, raise ``UnexpectedAnswer``.
    """
    walk = _Walk(root, cloud)
    try:
        walk.parser.Parse(document, True)
    except expat.ExpatError as error:
        raise UnexpectedAnswer(f"EC2's {root} is not whole: {error}", cloud=cloud) from error
    finally:
        # The parser and the walk hold each other: parted here, so that a page's memory goes at once.
        del walk.parser
    if not walk.whole:
        raise UnexpectedAnswer(f"EC2's {root} has no {_WHOLE[root]}", cloud=cloud)
    return walk.nodes, walk.values[_NEXT]


class _Walk:
    """One document on its way through expat. The parser calls a method for each tag, so they do as little as can be:
    which of them it calls changes on the way, and text is only taken up inside the elements that are wanted."""

    __slots__ = (
        "append",
        "cloud",
        "depth",
        "grammar",
        "groups",
        "leaf",
        "nodes",
        "parser",
        "passing",
        "root",
        "stack",
        "tags",
        "text",
        "values",
        "whole",
    )

    def __init__(self, root: str, cloud: str) -> None:
        self.root = root
        self.cloud = cloud
        self.nodes: list[Node] = []
        self.values = [*_BLANK, "", "", "", ""]
        self.tags: dict[str, str] = {}
        self.groups: list[str] = []
        self.text: list[str] = []
        self.append = self.text.append
        self.stack: list[_Grammar] = []
        self.grammar: _Grammar = {}
        self.leaf = -1
        self.depth = 0
        self.passing = ""
        self.whole = False
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.first
        self.parser.EndElementHandler = self.end
        self.parser.StartDoctypeDeclHandler = self.doctype

    def doctype(self, *_: object) -> None:
        # EC2 never sends one; it is how entities that expand without bound would come in.
        raise UnexpectedAnswer(f"EC2's {self.root} came with a document type", cloud=self.cloud)

    def first(self, name: str, attributes: dict[str, str]) -> None:
        namespace = attributes.get("xmlns", "")
        if name != self.root or not namespace.startswith(NAMESPACE):
            got = f"<{name[:60]}> of {namespace[:100]!r}"
            raise UnexpectedAnswer(f"expected EC2's {self.root}, got {got}", cloud=self.cloud)
        self.grammar = _GRAMMARS[name]
        self.parser.StartElementHandler = self.start

    def start(self, name: str, _: dict[str, str]) -> None:
        inner = self.grammar.get(name)
        if inner is None:
            self.passing, self.depth = name, 1
            whole = name in _PASSED
            self.parser.StartElementHandler = None if whole else self.deeper
            self.parser.EndElementHandler = self.passed if whole else self.shallower
        elif isinstance(inner, int):
            self.leaf = inner
            self.text.clear()
            self.parser.CharacterDataHandler = self.append
        else:
            if name == _WHOLE[self.root]:
                self.whole = True
            self.stack.append(self.grammar)
            self.grammar = inner

    def end(self, _: str) -> None:
        if self.leaf >= 0:
            self.values[self.leaf] = "".join(self.text)
            self.leaf = -1
            self.parser.CharacterDataHandler = None
            return
        if self.grammar is _TAG:
            self.tags[self.values[_KEY]] = self.values[_VALUE]
            self.values[_VALUE] = ""
        elif self.grammar is _INSTANCE:
            self.nodes.append(_node(self.values, self.tags, self.groups, self.cloud))
            self.values[:_KEY] = _BLANK
            self.tags = {}
            self.groups.clear()
        elif self.grammar is _GROUP:
            self.groups.append(self.values[_NAME])
        if self.stack:
            self.grammar = self.stack.pop()

    def passed(self, name: str) -> None:
        if name == self.passing:
            self.parser.StartElementHandler = self.start
            self.parser.EndElementHandler = self.end

    def deeper(self, _: str, __: dict[str, str]) -> None:
        self.depth += 1

    def shallower(self, _: str) -> None:
        self.depth -= 1
        if not self.depth:
            self.parser.StartElementHandler = self.start
            self.parser.EndElementHandler = self.end


def _since(reason: str) -> dt.datetime | None:
    """The instant that the reason of a state names; not all do."""
    found = _SINCE.search(reason)
    try:
        return dt.datetime.fromisoformat(found[1]).replace(tzinfo=dt.UTC) if found else None
    except ValueError:
        return None


def _node(values: list[str], tags: Mapping[str, str], groups: list[str], cloud: str) -> Node:
    if not values[_ID]:
        raise UnexpectedAnswer("EC2 listed an instance without an id", cloud=cloud)
    public = values[_PUBLIC]
    ipv6 = values[_IPV6]
    private = values[_PRIVATE]
    try:
        launched = dt.datetime.fromisoformat(values[_LAUNCHED])
    except ValueError:
        launched = None
    state = STATES.get(values[_WORD], NodeState.UNKNOWN)
    return Node(
        values[_ID],
        tags.get("Name", ""),
        state,
        values[_WORD],
        tags.get(TAG_TOKEN),
        tags.get(TAG_ESTATE),
        values[_ZONE],
        values[_SIZE],
        values[_IMAGE],
        (public, ipv6) if public and ipv6 else (public or ipv6,) if public or ipv6 else (),
        (private,) if private else (),
        launched,
        tags,
        _since(values[_REASON]) if state is NodeState.TERMINATED else None,
        groups == _WALL if groups else None,
        _peers(groups),
    )


def _peers(groups: list[str]) -> str | None:
    """Name of the group of peers among these, empty for none; None where they do not say."""
    if not groups or groups == _WALL:
        return None
    return next((name for name in groups if name.startswith(PEERS_PREFIX)), "")
