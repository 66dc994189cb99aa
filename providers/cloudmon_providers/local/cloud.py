"""The verbs of a local cloud: each one is a turn in its directory, and leaves it whole wherever it is killed."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import platform
import re
import secrets
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cloudmon.model.offers import Offer, Price
from cloudmon_providers.local import images, record, words
from cloudmon_providers.local.directory import Directory
from cloudmon_providers.local.life import Node
from cloudmon_providers.local.record import Record
from cloudmon_providers.local.settings import LocalSettings, Size

_REMEMBERED_S = 30 * 86_400.0
"""How long a node that has ended is known, so that its token makes no other."""
_ARCHITECTURES = {"aarch64": "arm64", "AMD64": "x86_64"}
"""The kernel's names where clouds have others."""
_ID = re.compile(r"vm-[0-9a-f]{16}")


class RefusalError(Exception):
    """The local cloud refused: an HTTP status, its own code, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code


class Order(NamedTuple):
    """A create call."""

    name: str
    size: str
    location: str
    image: str
    token: str = ""
    tags: Mapping[str, str] = {}
    user_data: str = ""


class Seen(NamedTuple):
    """A node and its word."""

    record: Record
    word: str


class Cloud:
    """One local cloud. Other processes act on it too, so nothing of it is kept here."""

    def __init__(self, settings: LocalSettings, *, now: Callable[[], dt.datetime], timeout_s: float) -> None:
        self.settings = settings
        self._now = now
        self._directory = Directory(settings.directory, timeout_s=timeout_s)

    def everything(self) -> list[Seen]:
        """Every node, oldest first, those that ended a short while ago included."""
        with self._directory.turn() as cloud:
            if not cloud:
                return []
            now = self._at()
            found = [self._seen(node_id, now) for node_id in self._directory.nodes()]
            there = {seen.record.id for seen in found}
            for path in self._directory.tombstones(now - self.settings.terminated_shown_s):
                ended = record.read(path)
                if ended.id not in there:
                    found.append(Seen(ended, words.TERMINATED))
            return sorted(found, key=lambda seen: (seen.record.created, seen.record.id))

    def get(self, node_id: str) -> Seen:
        """One node."""
        with self._directory.turn() as cloud:
            return self._known(cloud, node_id, self._at())

    def create(self, order: Order) -> Seen:
        """Make a node, or find the one that the token made."""
        self._check(order)
        with self._directory.turn(make=True) as cloud:
            now = self._at()
            made_of = hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()
            seed = order.token or secrets.token_hex(16)
            # Of the token: so the same token cannot make two, and no id is given again.
            node_id = "vm-" + hashlib.sha256(f"{cloud}\n{seed}".encode()).hexdigest()[:16]
            earlier = self._earlier(node_id, now)
            if earlier is not None:
                if earlier.record.mark != made_of:
                    raise RefusalError(400, "IdempotentParameterMismatch", "this token came with other parameters")
                if earlier.word in (words.TERMINATING, words.TERMINATED):
                    raise RefusalError(400, "IdempotentInstanceTerminated", "the node of this token has ended")
                return earlier
            if self._free() == 0:
                most = self.settings.max_nodes
                raise RefusalError(403, "QuotaExceeded", f"there may be {most} nodes, the setting max_nodes says")
            self._make(node_id, order, made_of, now)
            return self._seen(node_id, now)

    def order(self, verb: str, node_id: str) -> None:
        """A power verb."""
        with self._directory.turn() as cloud:
            now = self._at()
            seen = self._known(cloud, node_id, now)
            if seen.word in (words.TERMINATED, words.UNREADABLE):
                raise _no_such_node(node_id)
            if not Node(self._directory.node(node_id), seen.record).obey(verb, now):
                raise RefusalError(409, "IncorrectState", f"{node_id} is {seen.word}: cannot {verb}")

    def destroy(self, node_id: str) -> None:
        """Begin a node's end."""
        with self._directory.turn() as cloud:
            now = self._at()
            seen = self._known(cloud, node_id, now)
            if seen.word not in (words.TERMINATING, words.TERMINATED):
                node = Node(self._directory.node(node_id), seen.record)
                node.end(now)
                self._settled(node, now)

    def tag(self, node_id: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        with self._directory.turn() as cloud:
            seen = self._known(cloud, node_id, self._at())
            if seen.word in (words.TERMINATED, words.UNREADABLE):
                raise _no_such_node(node_id)
            Node(self._directory.node(node_id), seen.record).tag(tags)

    def offers(self, cloud: str) -> list[Offer]:
        """Sizes at locations, and how many nodes there may still be."""
        with self._directory.turn() as found:
            free = self._free() if found else self.settings.max_nodes
        return [
            Offer(
                cloud,
                name,
                location,
                size.vcpus,
                size.memory_mib,
                size.disk_gib,
                price=self._price(size),
                capacity=free,
                architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
            )
            for location in self.settings.locations
            for name, size in self.settings.sizes.items()
        ]

    # --- inside ---------------------------------------------------------------------------------------------------

    def _at(self) -> float:
        return self._now().timestamp()

    def _check(self, order: Order) -> None:
        settings = self.settings
        if order.size not in settings.sizes or order.location not in settings.locations:
            raise RefusalError(404, "InvalidSize.NotFound", f"there is no {order.location}/{order.size}")
        try:
            images.find(settings.images, order.image)
        except LookupError:
            raise RefusalError(404, "InvalidImage.NotFound", f"there is no image {order.image}") from None

    def _make(self, node_id: str, order: Order, made_of: str, now: float) -> None:
        made = Record(
            id=node_id,
            token=order.token,
            mark=made_of,
            name=order.name,
            size=order.size,
            location=order.location,
            image=order.image,
            tags=dict(order.tags),
            created=now,
            memory_mib=self.settings.sizes[order.size].memory_mib,
            grace_s=self.settings.stop_grace_s,
            since=now,
        )
        try:
            with self._directory.making(node_id) as folder:
                images.lay(
                    images.find(self.settings.images, order.image), folder / "root", name=order.name, node_id=node_id
                )
                record.write(folder / "user-data", order.user_data)
                record.write(folder / "node.json", made.text())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise RefusalError(503, "InsufficientCapacity", "the disk is full") from error
            raise

    def _earlier(self, node_id: str, now: float) -> Seen | None:
        if self._directory.node(node_id).exists():
            return self._seen(node_id, now)
        try:
            return Seen(record.read(self._directory.tombstone(node_id)), words.TERMINATED)
        except FileNotFoundError:
            return None

    def _known(self, cloud: str, node_id: str, now: float) -> Seen:
        """The node, or one that ended a short while ago."""
        found = self._earlier(node_id, now) if cloud and _ID.fullmatch(node_id) else None
        if found is None or (found.record.ended or now) < now - self.settings.terminated_shown_s:
            raise _no_such_node(node_id)
        return found

    def _seen(self, node_id: str, now: float) -> Seen:
        folder = self._directory.node(node_id)
        try:
            return self._settled(Node(folder, record.read(folder / "node.json")), now)
        except (FileNotFoundError, ValueError):
            # Its record is damaged: the node is there, and nothing else can be said of it.
            return Seen(Record(node_id, "", "", "", "", "", "", {}, 0.0, 0, 0.0, 0.0), words.UNREADABLE)

    def _settled(self, node: Node, now: float) -> Seen:
        word = node.look(now)
        if word == words.TERMINATED:
            node.ended(now)
            self._directory.bury(node.record, _REMEMBERED_S)
        return Seen(node.record, word)

    def _free(self) -> int:
        return max(0, self.settings.max_nodes - len(self._directory.nodes()))

    def _price(self, size: Size) -> Price | None:
        if size.per_hour is None:
            return None
        return Price(size.per_hour, self.settings.currency, "local", self.settings.priced_on)


def _no_such_node(node_id: str) -> RefusalError:
    return RefusalError(404, "InvalidNode.NotFound", f"there is no node {node_id}")
