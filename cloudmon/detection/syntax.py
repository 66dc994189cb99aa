"""Reads an expression as a tree that knows where each of its parts stands.

The CEL library evaluates; it shows no tree. This one is for checking an expression against the schema before it is ever
evaluated, and takes the part of CEL that rules need: what it does not take is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LONGEST = 2_000
"""Characters of an expression."""
DEEPEST = 50
"""Brackets and operators within one another."""


class ExpressionError(Exception):
    """An expression that is no rule's. ``at``: offset of the part that is wrong, in characters."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(what)
        self.at = at
        self.what = what


@dataclass(frozen=True, slots=True)
class Literal:
    start: int
    end: int
    kind: str
    """``bool``, ``whole``, ``number`` or ``text``."""
    value: object


@dataclass(frozen=True, slots=True)
class Name:
    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    start: int
    end: int
    of: Node
    field: str
    at: int
    """Where the field's name stands."""


@dataclass(frozen=True, slots=True)
class Index:
    start: int
    end: int
    of: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Call:
    start: int
    end: int
    target: Node | None
    function: str
    at: int
    arguments: Sequence[Node]


@dataclass(frozen=True, slots=True)
class Operation:
    """One to three operands; ``?`` has three."""

    start: int
    end: int
    operator: str
    at: int
    operands: Sequence[Node]


@dataclass(frozen=True, slots=True)
class Items:
    start: int
    end: int
    items: Sequence[Node]


Node = Literal | Name | Select | Index | Call | Operation | Items

_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*)
    |(?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<whole>0[xX][0-9a-fA-F]+|\d+)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]])""",
    re.VERBOSE,
)
_LEVELS: Sequence[frozenset[str]] = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"<", "<=", ">", ">=", "==", "!=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def parse(text: str) -> Node:
    """The expression's tree. Raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(LONGEST, f"is longer than {LONGEST} characters")
    reader = _Reader([*_tokens(text), Token("end", "", len(text), len(text))])
    found = reader.whole()
    if reader.here.kind != "end":
        raise ExpressionError(reader.here.start, f"does not go on with {reader.here.text}")
    return found


def place(text: str, at: int) -> tuple[int, int]:
    """Line and column, both from 1, of an offset."""
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ExpressionError(at, f"has {text[at]!r}, which rules do not use")
        kind = str(found.lastgroup)
        after = text[found.end() : found.end() + 1]
        if kind in ("whole", "number", "name") and (
            after.isalnum() or (kind == "name" and after in ('"', "'") and after)
        ):
            # Unsigned numbers, bytes, raw text: CEL has them, facts do not.
            raise ExpressionError(at, f"has {found[0]}{after}, a form that rules do not use")
        if kind != "blank":
            yield Token(kind, found[0], at, found.end())
        at = found.end()


class _Reader:
    """Recursive descent, one method a level."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def here(self) -> Token:
        return self._tokens[self._at]

    @property
    def end(self) -> int:
        """Where the token before ends."""
        return self._tokens[self._at - 1].end

    def take(self) -> Token:
        token = self.here
        self._at += 1
        return token

    def takes(self, text: str) -> Token | None:
        return self.take() if self.here.text == text and self.here.kind in ("sign", "name") else None

    def must(self, text: str) -> Token:
        found = self.takes(text)
        if found is None:
            raise ExpressionError(self.here.start, f"needs {text} here")
        return found

    def whole(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(self.here.start, f"is more than {DEEPEST} brackets deep")
        start = self.here.start
        found = self.level(0)
        if mark := self.takes("?"):
            yes = self.level(0)
            self.must(":")
            no = self.whole()
            found = Operation(start, self.end, "?", mark.start, (found, yes, no))
        self._depth -= 1
        return found

    def level(self, number: int) -> Node:
        if number == len(_LEVELS):
            return self.sign()
        start = self.here.start
        found = self.level(number + 1)
        while self.here.kind in ("sign", "name") and self.here.text in _LEVELS[number]:
            operator = self.take()
            right = self.level(number + 1)
            found = Operation(start, self.end, operator.text, operator.start, (found, right))
        return found

    def sign(self) -> Node:
        if self.here.kind == "sign" and self.here.text in ("!", "-"):
            operator = self.take()
            self._depth += 1
            if self._depth > DEEPEST:
                raise ExpressionError(operator.start, f"is more than {DEEPEST} operators deep")
            inner = self.sign()
            self._depth -= 1
            return Operation(operator.start, self.end, operator.text, operator.start, (inner,))
        return self.member()

    def member(self) -> Node:
        start = self.here.start
        found = self.primary()
        while True:
            if self.takes("."):
                name = self.take()
                if name.kind != "name":
                    raise ExpressionError(name.start, "needs the name of a fact after the dot")
                if self.takes("("):
                    arguments, end = self.several(")")
                    found = Call(start, end, found, name.text, name.start, arguments)
                else:
                    found = Select(start, name.end, found, name.text, name.start)
            elif self.takes("["):
                key = self.whole()
                found = Index(start, self.must("]").end, found, key)
            else:
                return found

    def several(self, closing: str) -> tuple[Sequence[Node], int]:
        found: list[Node] = []
        while self.here.text != closing:
            found.append(self.whole())
            if not self.takes(","):
                break
        return tuple(found), self.must(closing).end

    def primary(self) -> Node:
        token = self.take()
        if token.kind == "name":
            if token.text in ("true", "false"):
                return Literal(token.start, token.end, "bool", token.text == "true")
            if self.takes("("):
                arguments, end = self.several(")")
                return Call(token.start, end, None, token.text, token.start, arguments)
            return Name(token.start, token.end, token.text)
        if token.kind == "whole":
            return Literal(
                token.start, token.end, "whole", int(token.text, 0 if token.text[:2] in ("0x", "0X") else 10)
            )
        if token.kind == "number":
            return Literal(token.start, token.end, "number", float(token.text))
        if token.kind == "text":
            return Literal(token.start, token.end, "text", _unescaped(token))
        if token.text == "(":
            found = self.whole()
            self.must(")")
            return found
        if token.text == "[":
            items, end = self.several("]")
            return Items(token.start, end, items)
        what = "ends too soon" if token.kind == "end" else f"has {token.text} where a value must stand"
        raise ExpressionError(token.start, what)


def _unescaped(token: Token) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1] not in _ESCAPES:
            raise ExpressionError(token.start + found.start() + 1, f"has \\{found[1]}, an escape that rules do not use")
        return _ESCAPES[found[1]]

    return re.sub(r"\\(.)", one, token.text[1:-1], flags=re.DOTALL)
