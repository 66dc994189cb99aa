"""Reads what osquery hosts send: lenient about what does not matter, bounded in everything. Pure.

Their JSON is made by a library that checks nothing: numbers come as text or as numbers, text need not be UTF-8, what is
empty may be an empty text. Such a thing must not silence a host; what makes no sense is left out, line by line.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from cloudmon.channel.bodies import Malformed
from cloudmon.channel.osquery import nodekeys

MOST_LINES = 8_192
MOST_ROWS = 50_000
MOST_ANSWERS = 512
MOST_TEXT = 8_192
"""Characters of a text that is none of a row's."""

Row = Mapping[str, Any]

_NODE_KEY = re.compile(rb'"node_key"\s*:\s*"(cmo1\.[A-Za-z0-9._-]{1,200})"')
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,39}", re.ASCII)


class TooLarge(Exception):
    """The body comes to more than is read."""


class Enrol(NamedTuple):
    """``enroll``."""

    secret: str
    instance: str
    """Which osquery it is, in 32 hexadecimal digits: made of the id that it keeps in its own database."""
    version: str

    def __repr__(self) -> str:
        return f"Enrol(***, {self.instance!r}, {self.version!r})"


class Line(NamedTuple):
    """One line of results of a scheduled query."""

    name: str
    at: float
    """By the host's clock, in unix seconds; 0 when it does not say."""
    epoch: int = 0
    counter: int = 0
    """Nought for the first results of a query in an epoch."""
    snapshot: Sequence[Row] | None = None
    """All rows; None for a line that says what changed."""
    added: Sequence[Row] = ()
    removed: Sequence[Row] = ()
    is_part: bool = False
    """One row of several lines that belong together."""
    version: str = ""

    @property
    def mark(self) -> tuple[str, float, int, int]:
        """What a line that comes again has again."""
        return self.name, self.at, self.epoch, self.counter


class Log(NamedTuple):
    """``log``."""

    node_key: str
    lines: Sequence[Line] = ()
    errors: Sequence[str] = ()
    """What the host's own log says went wrong."""


class Answer(NamedTuple):
    """What one distributed query came to."""

    id: str
    ok: bool
    rows: Sequence[Row]
    message: str


class Written(NamedTuple):
    """``distributed/write``."""

    node_key: str
    answers: Sequence[Answer]


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """The body as it was before it was compressed. Raises TooLarge, and Malformed for what is not compressed so."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Malformed("its encoding is none that is read")
    # gzip and zlib tell themselves apart; what calls itself deflate may come without any head.
    windows = [zlib.MAX_WBITS | 32] + ([-zlib.MAX_WBITS] if encoding == "deflate" else [])
    for window in windows:
        reader = zlib.decompressobj(window)
        try:
            found = reader.decompress(body, most + 1)
        except zlib.error:
            continue
        if len(found) > most:
            raise TooLarge
        if reader.eof and not reader.unused_data:
            return found
    raise Malformed("it is not compressed as it says")


def node_keys(body: bytes) -> list[str]:
    """What looks like a node key in a body that was not read yet, the first ones."""
    found = []
    for match in _NODE_KEY.finditer(body):
        found.append(match[1].decode("ascii"))
        if len(found) >= 4:
            break
    return found


def enrol(body: bytes) -> Enrol:
    """Read it. Malformed when it is none."""
    fields = _object(body)
    secret = fields.get("enroll_secret")
    if not isinstance(secret, str) or not 0 < len(secret) <= MOST_TEXT:
        raise Malformed("it has no enroll_secret")
    info = _table(_table(fields.get("host_details")).get("osquery_info"))
    name = _text(info.get("instance_id")) or _text(fields.get("host_identifier"))
    if not name:
        raise Malformed("it does not say which host it is")
    instance = hashlib.sha256(b"osquery|" + name.encode(errors="replace")).hexdigest()[:32]
    return Enrol(secret.strip(), instance, _version(info.get("version")))


def keyed(body: bytes) -> str:
    """The node key of a body that has nothing else that matters. Malformed when it is none."""
    return _node_key(_object(body))


def log(body: bytes) -> Log:
    """Read it, lines that are none left out. Malformed when it is none."""
    fields = _object(body)
    node_key, kind, data = _node_key(fields), fields.get("log_type"), fields.get("data")
    found = data[:MOST_LINES] if isinstance(data, list) else []
    if kind == "status":
        told = (_table(one) for one in found)
        return Log(node_key, (), [_text(one.get("message"))[:300] for one in told if _whole(one.get("severity")) == 2])
    if kind != "result":
        raise Malformed("log_type is an unknown word")
    return Log(node_key, [line for line in map(_line, found) if line is not None])


def written(body: bytes) -> Written:
    """Read it. Malformed when it is none."""
    fields = _object(body)
    statuses, messages = _table(fields.get("statuses")), _table(fields.get("messages"))
    answers = []
    for name, rows in list(_table(fields.get("queries")).items())[:MOST_ANSWERS]:
        ok = _whole(statuses.get(name, 0)) == 0
        answers.append(Answer(name, ok, _rows(rows), _text(messages.get(name))[:300]))
    return Written(_node_key(fields), answers)


# --- shapes -----------------------------------------------------------------------------------------------------------


def _line(found: object) -> Line | None:
    fields = _table(found)
    name = fields.get("name")
    if not isinstance(name, str) or not name or len(name) > 256:
        return None
    line = Line(
        name,
        at=float(_whole(fields.get("unixTime")) or 0),
        epoch=_whole(fields.get("epoch")) or 0,
        counter=_whole(fields.get("counter")) or 0,
        version=_version(_table(fields.get("decorations")).get("osquery_version")),
    )
    if "snapshot" in fields:
        return line._replace(snapshot=_rows(fields["snapshot"]))
    if "diffResults" in fields:
        told = _table(fields["diffResults"])
        return line._replace(added=_rows(told.get("added")), removed=_rows(told.get("removed")))
    row = _table(fields.get("columns"))
    if fields.get("action") == "added" and row:
        return line._replace(added=(row,), is_part=True)
    if fields.get("action") == "removed" and row:
        return line._replace(removed=(row,), is_part=True)
    return None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = _DECODER.decode(body.decode("utf-8", "replace"))
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("no JSON") from None
    if not isinstance(found, dict):
        raise Malformed("no JSON object")
    return found


def _no_constant(_text: str) -> NoReturn:
    raise Malformed("a number is none")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _node_key(fields: Mapping[str, Any]) -> str:
    found = fields.get("node_key")
    if not isinstance(found, str) or len(found) > nodekeys.LONGEST:
        raise Malformed("it has no node_key")
    return found


def _table(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _rows(found: object) -> Sequence[Row]:
    return [row for row in found[:MOST_ROWS] if isinstance(row, dict)] if isinstance(found, list) else ()


def _text(found: object) -> str:
    return found[:MOST_TEXT] if isinstance(found, str) else ""


def _version(found: object) -> str:
    return found if isinstance(found, str) and _VERSION.fullmatch(found) else ""


def _whole(found: object) -> int | None:
    if isinstance(found, str) and len(found) <= 20:
        try:
            found = int(found)
        except ValueError:
            return None
    if isinstance(found, bool) or not isinstance(found, int):
        return None
    return found if abs(found) < 2**63 else None
