"""Checks an expression against the schema before it is ever evaluated: names, kinds, and what would hide the unknown.

What CEL makes of an unknown fact is not enough: ``has()`` turns it into false, ``&&`` into false when its other side
is, and ``in``, ``size`` or ``==`` over a record would tell a field that is not known from one that is. So a rule may
not ask whether a field is there, and every field that it names outright must be known before it is evaluated at all.
Of the items of a list, CEL itself decides: an unknown field of one item counts only where the other conditions on that
item leave it open. With that, a fact that is not known can turn a verdict into unknown, and never into another one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cloudmon.detection import syntax
from cloudmon.detection.needs import Need, Path, Step
from cloudmon.detection.schema import FACTS
from cloudmon.detection.shapes import BOOL, NUMBER, TEXT, WHOLE, Listing, Record, Scalar, Shape, Table, described
from cloudmon.detection.syntax import Call, ExpressionError, Index, Items, Literal, Name, Node, Operation, Select

_LITERALS = {"bool": BOOL, "whole": WHOLE, "number": NUMBER, "text": TEXT}
_NUMBERS = (WHOLE, NUMBER)
_COMPARED = frozenset({"<", "<=", ">", ">="})
_TEXT_TESTS = frozenset({"startsWith", "endsWith", "contains", "matches"})
_MACROS = frozenset({"exists", "all", "exists_one", "filter", "map"})
_CONVERSIONS = {"int": WHOLE, "double": NUMBER, "string": TEXT}
FUNCTIONS = ("size", *sorted(_TEXT_TESTS | _MACROS), *_CONVERSIONS)
"""Everything that may be called."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A comparison of an age with something that does not age: the instant at which it changes is known."""

    age: Path
    limit: str
    """Source of what the age is compared with."""
    falling: bool = False
    """Whether it falls, as seconds that are left do."""


@dataclass(slots=True)
class Checked:
    """What is known of an expression that is good."""

    source: str
    shape: Shape | None
    need: Need = field(default_factory=Need)
    """Of the groups as a record."""
    paths: dict[Path, None] = field(default_factory=dict)
    """Facts that it names outright, in their order; all must be known."""
    crossings: list[Crossing] = field(default_factory=list)
    patterns: list[tuple[int, str]] = field(default_factory=list)
    """Where it gives a pattern, and the literal it is."""
    ages: int = 0
    """How often it names an age; each that is no crossing's may change its result at any time."""

    @property
    def restless(self) -> bool:
        return self.ages > len(self.crossings)


def check(source: str, *, item: bool) -> Checked:
    """What the expression needs and gives. Raises ExpressionError where it is wrong.

    Arguments:
        item: whether it may speak of ``item``, the name that its rule stands for.
    """
    found = Checked(source, None)
    root = Typed(FACTS, found.need, ())
    found.shape = _Checker(found, root, item=item).value(syntax.parse(source), collections=True).shape
    return found


@dataclass(frozen=True, slots=True)
class Typed:
    """The kind of a part of an expression, and which facts it stands for, if it stands for any."""

    shape: Shape | None
    need: Need | None = None
    path: Path | None = None
    """None: not named outright."""
    item: bool = False
    """Whether it is the name that the rule stands for."""
    aging: bool = False
    falling: bool = False
    words: tuple[str, ...] = ()
    """All that a text can be; empty: anything."""


class _Checker:
    def __init__(self, found: Checked, root: Typed, *, item: bool) -> None:
        self._found = found
        self._root = root
        self._item = item
        self._bound: Mapping[str, Typed] = {}

    # --- values -----------------------------------------------------------------------------------------------------

    def value(self, node: Node, *, collections: bool = False) -> Typed:
        """The kind of ``node`` where a value is wanted; the facts that it names are needed from here on."""
        found = self._reference(node)
        if isinstance(found.shape, Record):
            near = ", ".join(found.shape.fields)
            raise ExpressionError(node.start, f"has a group of facts where one is wanted; in it are: {near}")
        if isinstance(found.shape, Table):
            if not collections:
                raise ExpressionError(node.start, "has a table where a single fact is wanted")
            if found.need is not None:
                found.need.all = True
        if found.path is not None:
            self._found.paths[found.path] = None
        if found.aging:
            self._found.ages += 1
        return found

    def scalar(self, node: Node, *kinds: Scalar) -> Scalar:
        found = self.value(node).shape
        if not isinstance(found, Scalar) or (kinds and found not in kinds):
            wanted = " or ".join(kind.value for kind in kinds) or "a single value"
            raise ExpressionError(node.start, f"has {described(found)} where {wanted} is wanted")
        return found

    def _reference(self, node: Node) -> Typed:
        match node:
            case Literal():
                return Typed(_LITERALS[node.kind])
            case Name():
                return self._name(node)
            case Select():
                return self._select(node)
            case Index():
                return self._index(node)
            case Call():
                return self._call(node)
            case Items():
                return self._items(node)
            case Operation():
                return self._operation(node)

    # --- facts ------------------------------------------------------------------------------------------------------

    def _name(self, node: Name) -> Typed:
        if node.name in self._bound:
            return self._bound[node.name]
        if node.name == "item" and self._item:
            return Typed(TEXT, item=True)
        if node.name == "item":
            raise ExpressionError(node.start, "speaks of item, which only a rule with each has, and only in when")
        if node.name == "null":
            raise ExpressionError(node.start, "asks for null; what is not known is absent, and the rule then unknown")
        return self._field(self._root, node.name, node.start, "facts")

    def _field(self, of: Typed, name: str, at: int, whose: str) -> Typed:
        assert isinstance(of.shape, Record)  # noqa: S101  # the caller looked
        found = of.shape.fields.get(name)
        if found is None:
            raise ExpressionError(at, f"names {name}, which is none of the {whose}; {_near(name, of.shape.fields)}")
        return Typed(
            found.shape,
            of.need.of_field(name) if of.need is not None else None,
            None if of.path is None else (*of.path, Step(name, True)),
            aging=found.aging,
            falling=found.falling,
            words=found.words,
        )

    def _select(self, node: Select) -> Typed:
        of = self._reference(node.of)
        if isinstance(of.shape, Record):
            return self._field(of, node.field, node.at, f"facts of {self._source(node.of)}")
        if isinstance(of.shape, Table):
            return self._entry(of, node.field)
        raise ExpressionError(node.at, f"asks {described(of.shape)} for {node.field}, which it cannot have")

    def _index(self, node: Index) -> Typed:
        of = self._reference(node.of)
        if isinstance(of.shape, Record):
            if isinstance(node.key, Literal) and isinstance(node.key.value, str):
                return self._field(of, node.key.value, node.key.start, f"facts of {self._source(node.of)}")
            raise ExpressionError(node.key.start, "must name a fact of a group outright, after a dot")
        if isinstance(of.shape, Table):
            key = self.value(node.key)
            if key.shape is not TEXT:
                raise ExpressionError(node.key.start, f"has {described(key.shape)} where the name of an item is wanted")
            if isinstance(node.key, Literal):
                return self._entry(of, str(node.key.value))
            return self._entry(of, None, item=key.item)
        if isinstance(of.shape, Listing):
            if of.path is not None:
                self._found.paths[of.path] = None
            self.scalar(node.key, WHOLE)
            return Typed(of.shape.of, of.need.of_value() if of.need is not None else None)
        raise ExpressionError(node.start, f"takes an item out of {described(of.shape)}")

    def _entry(self, of: Typed, key: str | None, *, item: bool = False) -> Typed:
        """An item of a table: named outright, the rule's own, or any."""
        assert isinstance(of.shape, Table)  # noqa: S101  # the caller looked
        if of.need is not None:
            if key is not None:
                of.need.keys.add(key)
            elif item:
                of.need.item = True
            else:
                of.need.all = True
        path = None
        if of.path is not None:
            if key is not None or item:
                path = (*of.path, Step(key, False))
            else:
                self._found.paths[of.path] = None
        return Typed(of.shape.of, of.need.of_value() if of.need is not None else None, path)

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self, node: Call) -> Typed:
        name = node.function
        if name == "has":
            raise ExpressionError(
                node.start, "uses has(), which takes what is not known for false; say on_unknown instead"
            )
        if node.target is not None and name in _MACROS:
            return self._macro(node, node.target)
        operands = ([node.target] if node.target is not None else []) + list(node.arguments)
        if name == "size" and len(operands) == 1:
            return self._size(operands[0])
        if name in _TEXT_TESTS and node.target is not None and len(operands) == 2:
            return self._text_test(name, operands)
        if name in _CONVERSIONS and node.target is None and len(operands) == 1:
            self.scalar(operands[0], *_NUMBERS)
            return Typed(_CONVERSIONS[name])
        if name in FUNCTIONS:
            raise ExpressionError(node.at, f"calls {name} with other arguments than it takes")
        raise ExpressionError(node.at, f"calls {name}, which is no function of rules; {_near(name, FUNCTIONS)}")

    def _size(self, node: Node) -> Typed:
        of = self.value(node, collections=True)
        if not isinstance(of.shape, Listing | Table) and of.shape is not TEXT:
            raise ExpressionError(node.start, f"asks for the size of {described(of.shape)}")
        return Typed(WHOLE)

    def _text_test(self, name: str, operands: Sequence[Node]) -> Typed:
        self.scalar(operands[0], TEXT)
        self.scalar(operands[1], TEXT)
        if name == "matches":
            pattern = operands[1]
            if not isinstance(pattern, Literal):
                raise ExpressionError(
                    pattern.start, "must give matches its pattern outright, so that it can be checked"
                )
            self._found.patterns.append((pattern.start, self._source(pattern)))
        return Typed(BOOL)

    def _macro(self, node: Call, target: Node) -> Typed:
        of = self.value(target, collections=True)
        if not isinstance(of.shape, Listing | Table):
            raise ExpressionError(node.at, f"goes through {described(of.shape)}; {node.function} goes through lists")
        if len(node.arguments) != 2 or not isinstance(node.arguments[0], Name):
            raise ExpressionError(node.at, f"must give {node.function} a name and a condition: {node.function}(x, …)")
        variable, body = node.arguments
        assert isinstance(variable, Name)  # noqa: S101  # seen above
        if variable.name in FACTS.fields or variable.name == "item" or variable.name in self._bound:
            raise ExpressionError(variable.start, f"uses {variable.name} a second time; give it another name")
        element = Typed(TEXT)
        if isinstance(of.shape, Listing):
            element = Typed(of.shape.of, of.need.of_value() if of.need is not None else None)
        outer, self._bound = self._bound, {**self._bound, variable.name: element}
        found = self.value(body).shape if node.function == "map" else self.scalar(body, BOOL)
        self._bound = outer
        if node.function == "map":
            return Typed(Listing(found))
        if node.function == "filter":
            return Typed(Listing(element.shape), Need(value=element.need) if element.need is not None else None)
        return Typed(BOOL)

    # --- lists and operators ----------------------------------------------------------------------------------------

    def _items(self, node: Items) -> Typed:
        kind: Scalar | None = None
        for entry in node.items:
            found = self.scalar(entry)
            if kind is not None and found is not kind:
                raise ExpressionError(entry.start, f"has {found.value} in a list that began with {kind.value}")
            kind = found
        return Typed(Listing(kind))

    def _operation(self, node: Operation) -> Typed:
        match node.operator:
            case "&&" | "||" | "!":
                for operand in node.operands:
                    self.scalar(operand, BOOL)
                return Typed(BOOL)
            case "?":
                self.scalar(node.operands[0], BOOL)
                yes, no = self.scalar(node.operands[1]), self.scalar(node.operands[2])
                if yes is not no:
                    raise ExpressionError(node.operands[2].start, f"gives {no.value} or else {yes.value}")
                return Typed(yes)
            case "in":
                return self._in(*node.operands)
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                return self._comparison(node)
            case _:
                return self._arithmetic(node)

    def _in(self, left: Node, right: Node) -> Typed:
        key = self.value(left)
        if not isinstance(key.shape, Scalar):
            raise ExpressionError(left.start, f"looks for {described(key.shape)}; a single value is wanted")
        of = self._reference(right)
        if isinstance(of.shape, Record):
            raise ExpressionError(
                right.start, "asks whether a fact is there; a rule that needs it is unknown without it"
            )
        if isinstance(of.shape, Table):
            if key.shape is not TEXT:
                raise ExpressionError(left.start, f"looks for {key.shape.value} among names")
            if of.path is not None:
                self._found.paths[of.path] = None
            if of.need is not None:
                if isinstance(left, Literal):
                    of.need.keys.add(str(left.value))
                elif key.item:
                    of.need.item = True
                else:
                    of.need.all = True
            return Typed(BOOL)
        of = self.value(right)
        if not isinstance(of.shape, Listing):
            raise ExpressionError(right.start, f"looks for something in {described(of.shape)}")
        if of.shape.of is not None and not _comparable(key.shape, of.shape.of):
            raise ExpressionError(left.start, f"looks for {key.shape.value} in {described(of.shape)}")
        if isinstance(right, Items):
            _spelt(key, right.items)
        return Typed(BOOL)

    def _comparison(self, node: Operation) -> Typed:
        before = self._found.ages
        one = self.value(node.operands[0])
        between = self._found.ages
        other = self.value(node.operands[1])
        shapes = (one.shape, other.shape)
        lists = all(isinstance(shape, Listing) for shape in shapes)
        if node.operator in _COMPARED:
            if not (_comparable(*shapes) and one.shape in (*_NUMBERS, TEXT)):
                raise ExpressionError(node.at, f"compares {described(one.shape)} with {described(other.shape)}")
        elif not _comparable(*shapes) and not (lists and _same_lists(*shapes)):
            raise ExpressionError(node.at, f"compares {described(one.shape)} with {described(other.shape)}")
        _spelt(one, node.operands[1:])
        _spelt(other, node.operands[:1])
        ages = (between - before, self._found.ages - between)
        for age, limit, at in ((one, ages[1], 0), (other, ages[0], 1)):
            if age.aging and age.path is not None and limit == 0 and not self._bound:
                source = node.operands[1 - at]
                limit_source = self._found.source[source.start : source.end]
                self._found.crossings.append(Crossing(age.path, limit_source, age.falling))
        return Typed(BOOL)

    def _arithmetic(self, node: Operation) -> Typed:
        if len(node.operands) == 1:
            return Typed(self.scalar(node.operands[0], *_NUMBERS))
        one, other = self.value(node.operands[0]).shape, self.value(node.operands[1]).shape
        lists = isinstance(one, Listing) and isinstance(other, Listing) and _same_lists(one, other)
        if node.operator == "+" and (lists or (one is TEXT and other is TEXT)):
            return Typed(one)
        if {one, other} == set(_NUMBERS):
            whole = node.operands[0 if one is WHOLE else 1]
            text = self._source(whole)
            hint = f"{text}.0" if isinstance(whole, Literal) else f"double({text})"
            raise ExpressionError(node.at, f"reckons with a whole number and another; write {hint}")
        if one is not other or one not in _NUMBERS or (node.operator == "%" and one is not WHOLE):
            raise ExpressionError(node.at, f"reckons {described(one)} {node.operator} {described(other)}")
        return Typed(one)

    def _source(self, node: Node) -> str:
        return self._found.source[node.start : node.end]


def _spelt(fact: Typed, beside: Iterable[Node]) -> None:
    """Refuses a word that the fact never is: the rule would never hold, and nobody would notice."""
    for node in beside:
        if fact.words and isinstance(node, Literal) and node.value not in fact.words:
            near = _near(str(node.value), fact.words)
            raise ExpressionError(node.start, f'has "{node.value}", which the fact beside it never is; {near}')


def _comparable(one: Shape | None, other: Shape | None) -> bool:
    return isinstance(one, Scalar) and (one is other or (one in _NUMBERS and other in _NUMBERS))


def _same_lists(one: Shape | None, other: Shape | None) -> bool:
    kinds = [shape.of for shape in (one, other) if isinstance(shape, Listing)]
    return len(kinds) == 2 and (None in kinds or _comparable(*kinds))


def _near(name: str, known: Iterable[str]) -> str:
    """What exists, the nearest name first."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 3)
    first = f'did you mean "{close[0]}"? There are: ' if close else "there are: "
    return f"{first}{', '.join([*close, *(other for other in names if other not in close)])}"
