"""Verifies the action log: finds each break and gives it a name.

A row whose code is true where it stands is sound. One whose code is true for another place was moved, or pushed there
by a row that was put in or taken out before it; one whose code is true nowhere was changed, or does not belong. What
no row can show, a tail that was cut, the head rows and the anchors outside the store tell.
"""

from __future__ import annotations

import bisect
import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.model.tenants import Scope
from cloudmon.store import chain as chains
from cloudmon.store.anchors import Anchors
from cloudmon.store.chain import Head, SignedRow
from cloudmon.store.columns import shown
from cloudmon.store.database import Database
from cloudmon.store.owned import WRONG_KEY
from cloudmon.store.scoping import covered
from cloudmon.store.tables import action_log, estates, log_heads, monitors, sets

SEARCHES = 50_000
"""Places tried in all for rows that are true neither where they stand nor next to it."""

_ROWS = sa.select(*(action_log.c[name] for name in SignedRow._fields)).order_by(action_log.c.chain, action_log.c.seq)


class BreakKind(enum.StrEnum):
    """What is wrong."""

    CHANGED = "byte changed"
    REMOVED = "row removed"
    ADDED = "row added"
    MOVED = "row moved"
    TAIL_CUT = "tail cut"
    REWRITTEN = "rewritten after a cut"
    HEAD_CHANGED = "head row changed"
    CHAIN_DELETED = "chain deleted"
    ANCHOR_CHANGED = "anchor file changed"
    ANCHOR_UNREADABLE = "anchor file unreadable"
    WRONG_KEY = "wrong key"


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that is wrong with the action log."""

    chain: str
    seq: int
    """The entry's number in its chain; 0 where the whole chain, or no chain, is meant."""
    kind: BreakKind
    message: str


@dataclass(slots=True)
class _Chain:
    """What was found of one chain's rows."""

    name: str
    places: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By the place whose code is true: where such rows stand (more than one when a row was copied)."""
    unsound: list[SignedRow] = field(default_factory=list)
    codes: dict[int, str] = field(default_factory=dict)
    """Code by true place."""
    previous: dict[int, str] = field(default_factory=dict)
    shift: int = 0
    """How far the last sound row stood from its true place."""


class Verifier:
    """Checks the chains of one store with one key."""

    def __init__(self, database: Database, key: bytes, anchors: Anchors | None) -> None:
        self._database = database
        self._key = key
        self._anchors = anchors

    def verify(self, scope: Scope) -> list[Break]:
        """Every break in the chains that ``scope`` covers, by chain and number; empty means whole."""
        return self._database.read(lambda connection: self._verify(connection, scope))

    def _verify(self, connection: Connection, scope: Scope) -> list[Break]:
        if not self._key_fits(connection):
            return [Break("", 0, BreakKind.WRONG_KEY, WRONG_KEY)]
        owners = {row.uid: row.tenant for row in connection.execute(sa.select(sets.c.uid, sets.c.tenant))}
        heads = {name: Head(seq, mac) for name, seq, mac in connection.execute(sa.select(log_heads))}
        anchored, breaks = self._anchored()
        names = {*owners, *heads, *anchored}
        if names or _begun(connection):
            names.add(chains.ESTATE_CHAIN)
        rows = _ROWS
        if scope.tenants is not None:
            breaks = []
            names = {uid for uid, tenant in owners.items() if scope.covers(tenant)}
            rows = rows.where(action_log.c.chain.in_(sa.select(sets.c.uid).where(*covered(scope, sets.c.tenant))))
        for chain in self._walk(connection, rows):
            names.discard(chain.name)
            breaks += _judge(self._key, chain, heads.get(chain.name), anchored.get(chain.name, ()))
        for name in names:
            breaks += _judge(self._key, _Chain(name), heads.get(name), anchored.get(name, ()))
        return sorted(breaks, key=lambda one: (one.chain, one.seq, one.kind))

    def _key_fits(self, connection: Connection) -> bool:
        """Whether our key is the log's: the estate's row says so, or, where that row was tampered with, the log."""
        estate, check = connection.execute(sa.select(estates.c.id, estates.c.key_check)).one()
        if check == chains.key_check(self._key, estate):
            return True
        first = connection.execute(_ROWS.where(action_log.c.chain == chains.ESTATE_CHAIN).limit(1)).first()
        return first is not None and chains.signed_at(self._key, _signed(first), first.seq)

    def _anchored(self) -> tuple[Mapping[str, Sequence[Head]], list[Break]]:
        if self._anchors is None:
            return {}, []
        try:
            anchored = self._anchors.read()
        except OSError as error:
            return {}, [Break("", 0, BreakKind.ANCHOR_UNREADABLE, f"{self._anchors.path}: {error.strerror}")]
        heads: defaultdict[str, list[Head]] = defaultdict(list)
        for anchor in anchored.anchors:
            heads[anchor.chain].append(anchor.head)
        breaks = [
            Break("", 0, BreakKind.ANCHOR_CHANGED, f"line {line} of {self._anchors.path} is not what was written")
            for line in anchored.damaged
        ]
        return heads, breaks

    def _walk(self, connection: Connection, rows: sa.Select[Any]) -> Iterator[_Chain]:
        """Each chain that has rows, one at a time: only the numbers and codes of one are in memory."""
        chain: _Chain | None = None
        for found in connection.execution_options(yield_per=1_000).execute(rows):
            row = _signed(found)
            if chain is None or chain.name != row.chain:
                if chain is not None:
                    yield chain
                chain = _Chain(row.chain)
            _place(self._key, chain, row)
        if chain is not None:
            yield chain


def _begun(connection: Connection) -> bool:
    """Whether a monitor ever owned the estate, which is the first thing that is logged."""
    return bool(
        connection.execute(sa.select(sa.or_(estates.c.epoch > 0, sa.exists(sa.select(monitors.c.id))))).scalar()
    )


def _signed(found: sa.Row[tuple[object, ...]]) -> SignedRow:
    return SignedRow(**{**found._mapping, "at": shown(found._mapping["at"])})


def _place(key: bytes, chain: _Chain, row: SignedRow) -> None:
    # Where it stands; as far off as the row before it; one more or one less than that.
    for shift in dict.fromkeys((0, chain.shift, chain.shift + 1, chain.shift - 1)):
        if chains.signed_at(key, row, row.seq - shift):
            chain.shift = shift
            _accept(chain, row, row.seq - shift)
            return
    chain.unsound.append(row)


def _accept(chain: _Chain, row: SignedRow, place: int) -> None:
    chain.places[place].append(row.seq)
    chain.codes[place] = row.mac
    chain.previous[place] = row.previous


def _judge(key: bytes, chain: _Chain, head: Head | None, anchors: Sequence[Head]) -> list[Break]:
    stored = max((at for where in chain.places.values() for at in where), default=0)
    stored = max([stored, *(row.seq for row in chain.unsound)])
    last = max([stored, head.seq if head else 0, *(anchor.seq for anchor in anchors)])
    if stored == 0:
        message = "none of its entries is in the store" + (f"; {last} were written" if last else "")
        return [Break(chain.name, 0, BreakKind.CHAIN_DELETED, message)]
    _search(key, chain, last)
    breaks = list(_unsound(chain, head, anchors))
    breaks += _moved(chain)
    changed = {one.seq for one in breaks if one.kind is BreakKind.CHANGED}
    breaks += _missing(chain, changed, head, anchors)
    breaks += _heads(chain, head, anchors)
    return breaks


def _search(key: bytes, chain: _Chain, last: int) -> None:
    """Look for the true place of rows that were carried far, in the places that nobody takes."""
    free = [place for place in range(1, last + 1) if place not in chain.places]
    left = SEARCHES
    for row in list(chain.unsound):
        for place in free:
            if left == 0:
                return
            left -= 1
            if chains.signed_at(key, row, place):
                _accept(chain, row, place)
                chain.unsound.remove(row)
                free.remove(place)
                break


def _unsound(chain: _Chain, head: Head | None, anchors: Iterable[Head]) -> Iterator[Break]:
    """Rows whose code is true nowhere: changed where their place is theirs, added where another row has it."""
    end = max([head.seq if head else 0, *chain.places, *(anchor.seq for anchor in anchors)])
    for row in chain.unsound:
        if row.seq in chain.places or row.seq > end:
            message = "an entry that was not written by us stands here"
            yield Break(chain.name, row.seq, BreakKind.ADDED, message)
        else:
            message = "the entry is not what was written"
            yield Break(chain.name, row.seq, BreakKind.CHANGED, message)


def _moved(chain: _Chain) -> Iterator[Break]:
    """Rows that stand out of order, and copies. A row that is only pushed along by others is in order."""
    standing = sorted((at, place) for place, where in chain.places.items() for at in where)
    seen: set[int] = set()
    in_order = _longest_rising([place for _, place in standing])
    for index, (at, place) in enumerate(standing):
        if place in seen:
            yield Break(chain.name, at, BreakKind.ADDED, f"a copy of entry {place} stands here")
        elif index not in in_order:
            yield Break(chain.name, at, BreakKind.MOVED, f"entry {place} stands here")
        seen.add(place)


def _longest_rising(places: list[int]) -> set[int]:
    """Indexes of a longest strictly rising run: those that need not have been moved."""
    ends: list[int] = []
    at_end: list[int] = []
    before: list[int] = []
    for index, place in enumerate(places):
        at = bisect.bisect_left(ends, place)
        before.append(at_end[at - 1] if at else -1)
        if at == len(ends):
            ends.append(place)
            at_end.append(index)
        else:
            ends[at] = place
            at_end[at] = index
    found = set()
    index = at_end[-1] if at_end else -1
    while index >= 0:
        found.add(index)
        index = before[index]
    return found


def _missing(chain: _Chain, changed: set[int], head: Head | None, anchors: Sequence[Head]) -> Iterator[Break]:
    """Places that no row fills: in the middle a row was removed, at the end the tail was cut."""
    filled = chain.places.keys() | changed
    newest = max(filled, default=0)
    for place in range(1, newest):
        if place not in filled:
            yield Break(chain.name, place, BreakKind.REMOVED, "the entry is not there")
    promised = max((anchor.seq for anchor in anchors), default=0)
    if head is not None and head.seq > newest:
        message = f"the head row says {head.seq} entries, {newest} are there"
        yield Break(chain.name, newest + 1, BreakKind.TAIL_CUT, message)
    elif promised > newest:
        message = f"the anchor file says {promised} entries, {newest} are there"
        yield Break(chain.name, newest + 1, BreakKind.TAIL_CUT, message)


def _heads(chain: _Chain, head: Head | None, anchors: Sequence[Head]) -> Iterator[Break]:
    newest = max(chain.places, default=0)
    if head is None:
        yield Break(chain.name, 0, BreakKind.HEAD_CHANGED, "the chain's head row is not there")
    elif head.seq < newest:
        message = f"the head row says {head.seq} entries, {newest} are there"
        yield Break(chain.name, head.seq, BreakKind.HEAD_CHANGED, message)
    elif chain.codes.get(head.seq, head.mac) != head.mac:
        yield Break(chain.name, head.seq, BreakKind.HEAD_CHANGED, "the head row names another entry than the last")
    for place, previous in chain.previous.items():
        before = chain.codes.get(place - 1)
        if before is not None and before != previous:
            message = "the entry follows another one than the one before it: the chain was cut here and written on"
            yield Break(chain.name, place, BreakKind.REWRITTEN, message)
    for anchor in dict.fromkeys(anchors):
        if chain.codes.get(anchor.seq, anchor.mac) != anchor.mac:
            message = "the anchor file knows another entry here: the chain was cut and written on"
            yield Break(chain.name, anchor.seq, BreakKind.REWRITTEN, message)
