"""Reads ``#cloud-config``: JSON, or as much of YAML as people write there. Standard library only.

Known: maps and lists by indentation, lists and maps in brackets on one line, quoted and plain texts, ``|`` and ``>``
blocks, comments. Every plain word stays text; an empty value, ``null`` and ``~`` are None. Anything else is an error
that names its line: nothing is guessed.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

Value = str | None | list["Value"] | dict[str, "Value"]

_BLANK = " \t\r\n"
"""YAML's white space: less than Python's."""
_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'#&*!|>%@`{}\[\],-][^#]*?|-[^\s#][^#]*?)\s*:(?=\s|$)""", re.ASCII
)
_BLOCK = re.compile(r"([|>])([+-]?)([1-9]?)([+-]?)\s*(?:#.*)?$", re.ASCII)
_BEYOND = re.compile(r"[&*!%@`]")
"""What begins anchors, aliases, tags, directives: more of YAML than is read here."""


class _Line(NamedTuple):
    number: int
    indent: int
    text: str


def read(text: str) -> dict[str, Value]:
    """The document. ``ValueError`` names the line that is not understood."""
    body = text.partition("\n")[2]
    if body.lstrip(_BLANK).startswith("{"):
        try:
            found = json.loads(body)
        except ValueError as error:
            raise ValueError(f"cloud-config: {error}") from error
    else:
        found = _Reader(text).document()
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError("cloud-config: the document is no map")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._at = 0

    def document(self) -> Value:
        line = self._peek()
        if line is not None and line.text == "---":
            self._at += 1
            line = self._peek()
        if line is None:
            return None
        found = self._node(line.indent)
        rest = self._peek()
        if rest is not None:
            raise self._fault(rest.number, "is indented otherwise than what stands before it")
        return found

    # --- lines ------------------------------------------------------------------------------------------------------

    def _peek(self) -> _Line | None:
        """The next line that says something."""
        while self._at < len(self._lines):
            text = self._lines[self._at]
            bare = text.strip(_BLANK)
            if bare and not bare.startswith("#"):
                indent = len(text) - len(text.lstrip(" "))
                if text[indent] == "\t":
                    raise self._fault(self._at + 1, "is indented with a tab")
                return _Line(self._at + 1, indent, bare)
            self._at += 1
        return None

    def _fault(self, number: int, what: str) -> ValueError:
        return ValueError(f"cloud-config: line {number} {what}")

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _node(self, indent: int) -> Value:
        line = self._peek()
        assert line is not None  # noqa: S101 - callers have looked
        if line.text == "-" or line.text.startswith("- "):
            return self._list(indent)
        if _KEY.match(line.text):
            return self._map(indent)
        self._at += 1
        return self._scalar(line.text, line.number, indent - 1)

    def _list(self, indent: int) -> list[Value]:
        found: list[Value] = []
        while (line := self._peek()) is not None and line.indent == indent:
            if line.text != "-" and not line.text.startswith("- "):
                break
            rest = line.text[1:].strip(_BLANK)
            if rest and not rest.startswith("#") and (rest.startswith("- ") or rest == "-" or _KEY.match(rest)):
                # A map or list that begins on the line of the dash: as if it stood on a line of its own.
                inner = indent + len(line.text) - len(line.text[1:].lstrip(_BLANK))
                self._lines[self._at] = " " * inner + rest
                found.append(self._node(inner))
            else:
                self._at += 1
                found.append(self._value(rest, line, indent))
        return found

    def _map(self, indent: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while (line := self._peek()) is not None and line.indent == indent:
            match = _KEY.match(line.text)
            if match is None:
                if line.text == "-" or line.text.startswith("- "):
                    break
                raise self._fault(line.number, "is neither a key with its value nor a comment")
            key = self._scalar(match[1], line.number, indent)
            self._at += 1
            if not isinstance(key, str) or key in found:
                raise self._fault(line.number, f"has the key {match[1]} again")
            found[key] = self._value(line.text[match.end() :].strip(_BLANK), line, indent, in_map=True)
        return found

    def _value(self, rest: str, line: _Line, indent: int, *, in_map: bool = False) -> Value:
        """What stands after a dash or a colon, or below it."""
        if rest and not rest.startswith("#"):
            return self._scalar(rest, line.number, indent)
        below = self._peek()
        if below is None:
            return None
        dash = below.text == "-" or below.text.startswith("- ")
        if below.indent > indent or (in_map and dash and below.indent == indent):
            return self._node(below.indent)
        return None

    # --- values -----------------------------------------------------------------------------------------------------

    def _scalar(self, text: str, number: int, indent: int) -> Value:
        block = _BLOCK.match(text)
        if block is not None:
            return self._block(block, indent)
        if _BEYOND.match(text):
            raise self._fault(number, f"has {text[0]!r}, which is more YAML than is read here")
        following = self._peek()
        if text[0] not in "\"'[{" and following is not None and following.indent > indent >= 0:
            raise self._fault(following.number, "goes on with the text before it; use | for texts of several lines")
        flow = _Flow(text)
        found = flow.value() if text[0] in "\"'[{" else flow.plain("")
        if flow.fault or not flow.at_end():
            raise self._fault(number, flow.fault or "has something after its value")
        return found

    def _block(self, head: re.Match[str], indent: int) -> str:
        """A text of several lines: ``|`` as it stands, ``>`` with single line breaks as spaces."""
        chomp = head[2] or head[4]
        lines: list[str] = []
        inner = max(indent, 0) + int(head[3]) if head[3] else 0
        while self._at < len(self._lines):
            text = self._lines[self._at]
            if text.strip(_BLANK):
                own = len(text) - len(text.lstrip(" "))
                if not inner:
                    inner = own
                if own < inner or inner <= indent:
                    break
            lines.append(text[inner:] if inner else "")
            self._at += 1
        kept = list(lines)
        while kept and not kept[-1].strip(_BLANK):
            kept.pop()
        text = "\n".join(kept) if head[1] == "|" else _folded(kept)
        if chomp == "-" or not kept:
            return text if chomp == "-" or chomp != "+" else "\n" * len(lines)
        return text + "\n" * (1 + len(lines) - len(kept) if chomp == "+" else 1)


def _folded(lines: list[str]) -> str:
    """Lines of equal rank joined by spaces; empty lines and indented ones kept."""
    text = ""
    empty = 0
    for line in lines:
        if not line:
            empty += 1
            continue
        if text:
            text += "\n" * empty if empty else " "
        elif empty:
            text += "\n" * empty
        text += line
        empty = 0
    if any(line.startswith((" ", "\t")) for line in lines):
        raise ValueError("cloud-config: a > text has indented lines; use | there")
    return text


class _Flow:
    """A value on one line."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.fault = ""

    def at_end(self) -> bool:
        rest = self._text[self._at :]
        return not rest.strip(_BLANK) or (rest[0] in _BLANK and rest.lstrip(_BLANK).startswith("#"))

    def value(self) -> Value:
        self._space()
        first = self._text[self._at : self._at + 1]
        if first == "[":
            return self._items()
        if first == "{":
            return self._pairs()
        if first in ('"', "'"):
            return self._quoted(first)
        return self.plain(",]}:")

    def plain(self, ends: str) -> Value:
        """A word up to one of ``ends`` or a comment."""
        start = self._at
        while self._at < len(self._text):
            here = self._text[self._at]
            following = self._text[self._at + 1 : self._at + 2]
            if here in ends and (here != ":" or not following.strip(_BLANK)):
                break
            if here == "#" and self._at and self._text[self._at - 1] in _BLANK:
                break
            if not ends and here == ":" and not following.strip(_BLANK):
                self.fault = "has a colon in a text without quotes"
                break
            self._at += 1
        word = self._text[start : self._at].strip(_BLANK)
        if self._at < len(self._text) and self._text[self._at] == "#":
            self._at -= 1
        return None if word in ("", "~", "null", "Null", "NULL") else word

    def _items(self) -> list[Value]:
        found: list[Value] = []
        self._at += 1
        while not self._closed("]"):
            found.append(self.value())
            if not self._parted("]"):
                break
        return found

    def _pairs(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        self._at += 1
        while not self._closed("}"):
            key = self.value()
            self._space()
            if not isinstance(key, str) or self._text[self._at : self._at + 1] != ":":
                self.fault = self.fault or "has a map in brackets with something that is no key"
                break
            self._at += 1
            found[key] = self.value()
            if not self._parted("}"):
                break
        return found

    def _quoted(self, mark: str) -> str:
        pattern = r'"((?:[^"\\]|\\.)*)"' if mark == '"' else r"'((?:[^']|'')*)'"
        found = re.compile(pattern).match(self._text, self._at)
        if found is None:
            self.fault = "has a quoted text that does not end on it"
            return ""
        self._at = found.end()
        if mark == "'":
            return found[1].replace("''", "'")
        try:
            said: str = json.loads(f'"{_as_json(found[1])}"', strict=False)
        except ValueError:
            self.fault = "has a quoted text with an escape that is not known"
            return ""
        return said

    def _closed(self, mark: str) -> bool:
        self._space()
        if self._at >= len(self._text):
            self.fault = self.fault or f"has no {mark} at its end"
            return True
        if self._text[self._at] != mark:
            return False
        self._at += 1
        return True

    def _parted(self, mark: str) -> bool:
        """After an item: a comma, or the end of the list that is still to be read."""
        self._space()
        here = self._text[self._at : self._at + 1]
        if self.fault:
            return False
        if here == ",":
            self._at += 1
            return True
        if here != mark:
            self.fault = f"has no comma, and no {mark}, after an item"
            return False
        return True

    def _space(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in _BLANK:
            self._at += 1


def _as_json(text: str) -> str:
    """YAML's escapes that JSON lacks, in JSON's words."""
    words = {"\\0": "\\u0000", "\\e": "\\u001b", "\\a": "\\u0007", "\\v": "\\u000b", "\\ ": " "}
    return re.sub(r"\\(?:x([0-9a-fA-F]{2})|.)", lambda m: f"\\u00{m[1]}" if m[1] else words.get(m[0], m[0]), text)
