"""Reads the bodies of requests: strict JSON, known shapes, bounded everything. Pure.

A body comes from whoever holds a key, that is from a machine that may have been broken into. What is read here is
stored, hashed and shown to rules, so nothing gets in that JSON has no one meaning for: no repeated names, no numbers
without end, no null where a fact stands (what is not known is absent), no depth without end. Text is any text, NULs and
halves of characters included: an odd file name must not silence a machine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from cloudmon.model.guests import ReportKind

DEEPEST = 8
"""Levels within a section's item."""
MOST_NAME = 4_096
"""Characters of an item's name: a path may be one."""
MOST_SECTIONS = 64
MOST_RESULTS = 256
MOST_HAVE = 1_024
MOST_VERBS = 128
MOST_OUTPUT = 16 * 1_024
"""Characters that are kept of a command's output, the last ones."""
MOST_ERROR = 1_024
LONGEST_WAIT_S = 55

WHY = frozenset(("start", "interval", "change", "fault", "asked"))

_INSTANCE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9._:+~@-]{1,128}", re.ASCII)
_SECTION = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_LEAST, _MOST = -(2**63), 2**63 - 1


class Malformed(ValueError):
    """The body is not what the protocol says. The message never quotes it."""


class EnrolBody(NamedTuple):
    """``POST /enrol``."""

    instance: str
    version: str
    boot: str
    can: tuple[str, ...] | None = None
    """Verbs that it performs; None: all."""


class ResultBody(NamedTuple):
    """What a command came to."""

    id: str
    ok: bool
    exit: int | None
    output: str
    error: str
    ended_at: float | None


class ReportBody(NamedTuple):
    """``POST /report``."""

    instance: str
    boot: str
    seq: int
    at: float
    offset_s: float
    version: str
    why: str
    kind: ReportKind
    base: str
    hash: str
    config: str
    sections: Mapping[str, Any]
    results: tuple[ResultBody, ...]


class PollBody(NamedTuple):
    """``POST /poll``."""

    wait_s: float
    config: str
    have: frozenset[str]


class SignaturesBody(NamedTuple):
    """``POST /signatures``."""

    hash: str
    offset: int


def enrol(body: bytes) -> EnrolBody:
    """Read it. Malformed when it is none."""
    fields = _Fields(_object(body))
    can = None if fields.get("can") is None else tuple(sorted(set(_words(fields.list("can", MOST_VERBS), "can"))))
    return EnrolBody(
        fields.text("instance", _INSTANCE), fields.text("version", _WORD), fields.text("boot", _WORD), can
    )  # fmt: skip


def poll(body: bytes) -> PollBody:
    """Read it. Malformed when it is none."""
    fields = _Fields(_object(body))
    have = _words(fields.list("have", MOST_HAVE), "have")
    wait_s = min(fields.number("wait_s", 0, 3_600), LONGEST_WAIT_S)
    return PollBody(wait_s, fields.text("config", _HASH, empty=True), frozenset(have))


def signatures(body: bytes) -> SignaturesBody:
    """Read it. Malformed when it is none."""
    fields = _Fields(_object(body))
    return SignaturesBody(fields.text("hash", _HASH), fields.whole("offset", 0, 2**40))


def report(body: bytes) -> ReportBody:
    """Read it. Malformed when it is none. The hash is not looked at here."""
    fields = _Fields(_object(body))
    kind, why = fields.text("kind", _WORD), fields.text("why", _WORD)
    if kind not in ("full", "diff") or why not in WHY:
        raise Malformed("kind or why is an unknown word")
    sections = fields.table("sections")
    base = fields.text("base", _HASH, empty=True)
    if kind == "full":
        _full(sections)
    else:
        _difference(sections)
        if not base:
            raise Malformed("a difference has no base")
    _plain(sections)
    return ReportBody(
        instance=fields.text("instance", _INSTANCE),
        boot=fields.text("boot", _WORD),
        seq=fields.whole("seq", 1, 2**53),
        at=fields.number("at", 0, 253_000_000_000),
        offset_s=fields.number("offset_s", -1e11, 1e11),
        version=fields.text("version", _WORD),
        why=why,
        kind=ReportKind(kind),
        base=base if kind == "diff" else "",
        hash=fields.text("hash", _HASH),
        config=fields.text("config", _HASH, empty=True),
        sections=sections,
        results=tuple(_result(one) for one in fields.list("results", MOST_RESULTS)),
    )


# --- JSON ---------------------------------------------------------------------------------------------------------


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = _DECODER.decode(body.decode("utf-8"))
    except Malformed:
        raise
    except (ValueError, RecursionError):  # UnicodeError is a ValueError; its words would quote the body
        raise Malformed("no JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise Malformed("no JSON object")
    if found.get("v") != 1 or found["v"] is True:
        raise Malformed("v is not 1")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a name is there twice")
    return found


def _no_constant(_text: str) -> NoReturn:
    raise Malformed("a number is none")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _plain(sections: Mapping[str, Any]) -> None:
    """Facts are bounded in depth, their numbers finite, and none is null."""
    level: list[Any] = list(sections.values())
    for _ in range(DEEPEST):
        deeper: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                deeper.extend(value.values())
            elif kind is list:
                deeper.extend(value)
            elif kind is float:
                if not math.isfinite(value):
                    raise Malformed("a number has no end")
            elif kind is int:
                if not _LEAST <= value <= _MOST:
                    raise Malformed("a number is too large")
            elif value is None:
                raise Malformed("null: what is not known is left out")
        if not deeper:
            return
        level = deeper
    raise Malformed("too deep")


# --- shapes -------------------------------------------------------------------------------------------------------


def _full(sections: Mapping[str, Any]) -> None:
    _named(sections)
    for items in sections.values():
        if not isinstance(items, dict):
            raise Malformed("a section is no object")
        _items(items)


def _difference(sections: Mapping[str, Any]) -> None:
    _named(sections)
    for change in sections.values():
        if not isinstance(change, dict):
            raise Malformed("a change of a section is no object")
        if change.keys() == {"gone"}:
            if change["gone"] is not True:
                raise Malformed("gone is not true")
            continue
        if not change or not change.keys() <= {"set", "del"}:
            raise Malformed("a change of a section has other names than set, del or gone")
        put, away = change.get("set", {}), change.get("del", [])
        if not isinstance(put, dict) or not isinstance(away, list):
            raise Malformed("set is no object or del no list")
        _items(put)
        if not all(isinstance(name, str) and len(name) <= MOST_NAME for name in away):
            raise Malformed("del is no list of names")


def _named(sections: Mapping[str, Any]) -> None:
    if len(sections) > MOST_SECTIONS or not all(map(_SECTION.fullmatch, sections)):
        raise Malformed("sections have no such names, or are too many")


def _items(items: Mapping[str, Any]) -> None:
    for name, item in items.items():
        if not isinstance(item, dict) or len(name) > MOST_NAME:
            raise Malformed("an item is no object, or its name is too long")


def _words(found: list[Any], name: str) -> list[str]:
    if not all(isinstance(one, str) and _WORD.fullmatch(one) for one in found):
        raise Malformed(f"{name} is no list of words")
    return found


def _result(value: object) -> ResultBody:
    fields = _Fields(value)
    found = fields.get("exit")
    if found is not None:
        found = fields.whole("exit", -(2**31), 2**32)
    ended_at = fields.get("ended_at")
    return ResultBody(
        id=fields.text("id", _WORD),
        ok=fields.flag("ok"),
        exit=found,
        output=fields.text("output", default="")[-MOST_OUTPUT:],
        error=fields.text("error", default="")[:MOST_ERROR],
        ended_at=None if ended_at is None else fields.number("ended_at", 0, 253_000_000_000),
    )


class _Fields:
    """The fields of an object; unknown ones are left alone, so that later agents may say more."""

    def __init__(self, found: object) -> None:
        if not isinstance(found, dict):
            raise Malformed("no object where one is due")
        self._found = found

    def get(self, name: str) -> Any:
        return self._found.get(name)

    def text(
        self, name: str, form: re.Pattern[str] | None = None, *, empty: bool = False, default: str | None = None
    ) -> str:
        found = self._found.get(name, default)
        if not isinstance(found, str):
            raise Malformed(f"{name} is no text")
        if form is not None and not (empty and not found) and not form.fullmatch(found):
            raise Malformed(f"{name} has not its form")
        return found

    def flag(self, name: str) -> bool:
        found = self._found.get(name)
        if not isinstance(found, bool):
            raise Malformed(f"{name} is neither true nor false")
        return found

    def whole(self, name: str, least: int, most: int) -> int:
        found = self._found.get(name)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise Malformed(f"{name} is no whole number within its bounds")
        return found

    def number(self, name: str, least: float, most: float) -> float:
        found = self._found.get(name)
        if not isinstance(found, int | float) or isinstance(found, bool) or not least <= found <= most:
            raise Malformed(f"{name} is no number within its bounds")
        return float(found)

    def table(self, name: str) -> dict[str, Any]:
        found = self._found.get(name)
        if not isinstance(found, dict):
            raise Malformed(f"{name} is no object")
        return found

    def list(self, name: str, most: int) -> list[Any]:
        found = self._found.get(name, [])
        if not isinstance(found, list) or len(found) > most:
            raise Malformed(f"{name} is no list, or too long")
        return found
