"""Which facts an expression needs: what is not needed is never converted for CEL, which costs more than evaluating."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cloudmon.detection.shapes import Field, Listing, Record, Scalar, Shape, Table, single, sound


class Step(NamedTuple):
    """One step from the groups to a fact."""

    name: str | None
    """None: the item that the rule stands for."""
    strict: bool
    """True in a record, whose missing fields are unknown; false in a table, whose missing items are known to be
    missing."""


Path = tuple[Step, ...]


@dataclass(slots=True)
class Need:
    """What is needed of one value."""

    fields: dict[str, Need] = field(default_factory=dict)
    """Of a record, by name."""
    value: Need | None = None
    """Of each item of a table or list. None: nothing but that it is there."""
    all: bool = False
    """Of a table: every item."""
    keys: set[str] = field(default_factory=set)
    """Of a table: these items."""
    item: bool = False
    """Of a table: the items that rules stand for."""

    def of_field(self, name: str) -> Need:
        return self.fields.setdefault(name, Need())

    def of_value(self) -> Need:
        if self.value is None:
            self.value = Need()
        return self.value

    def join(self, other: Need) -> None:
        """Need also what ``other`` needs."""
        for name, need in other.fields.items():
            self.of_field(name).join(need)
        if other.value is not None:
            self.of_value().join(other.value)
        self.all = self.all or other.all
        self.item = self.item or other.item
        self.keys |= other.keys


def whole(shape: Shape | None) -> Need:
    """Everything of a value of that shape."""
    found = Need()
    if isinstance(shape, Record):
        found.fields = {name: whole(field.shape) for name, field in shape.fields.items()}
    elif isinstance(shape, Table | Listing):
        found.value, found.all = whole(shape.of), isinstance(shape, Table)
    return found


def project(shape: Shape, need: Need, told: object, items: frozenset[str], now_s: float) -> object:
    """What is needed of ``told``, as facts of that shape; None for what is not known.

    Arguments:
        items: names that rules stand for.
        now_s: Unix seconds, from which ages are counted.
    """
    if isinstance(shape, Scalar):
        return single(shape, told)
    if isinstance(shape, Record):
        return _record(shape, need, told, items, now_s) if isinstance(told, Mapping) else None
    if isinstance(shape, Table):
        return _table(shape, need, told, items, now_s) if isinstance(told, Mapping) else None
    return _list(shape, need, told, items, now_s)


def _record(shape: Record, need: Need, told: Mapping[str, object], items: frozenset[str], now_s: float) -> object:
    found: dict[str, object] = {}
    for name, below in need.fields.items():
        about = shape.fields[name]
        value = (
            _age(told, about, now_s)
            if about.age_of
            else single(about.shape, told.get(name))
            if type(about.shape) is Scalar
            else project(about.shape, below, told.get(name), items, now_s)
        )
        if value is not None:
            found[name] = value
    return found


def _age(told: Mapping[str, object], about: Field, now_s: float) -> float | None:
    since = told.get(about.age_of)
    if type(since) not in (int, float) or not isinstance(since, int | float):
        return None
    # An appliance's clock may be ahead by what was lost in measuring it; nothing is younger than now.
    return float(since - now_s) if about.falling else max(0.0, now_s - since)


def _table(shape: Table, need: Need, told: Mapping[str, object], items: frozenset[str], now_s: float) -> object:
    if need.all:
        names = [name for name in told if type(name) is str]
    else:
        names = [name for name in (need.keys | items if need.item else need.keys) if name in told]
    if need.value is None:
        return dict.fromkeys(map(sound, names), True)
    if isinstance(shape.of, Record):
        # An item that is no record is there still, with nothing known of it.
        empty: Mapping[str, object] = {}
        return {
            sound(name): _record(
                shape.of, need.value, value if isinstance(value := told[name], dict) else empty, items, now_s
            )
            for name in names
        }
    pairs = ((name, project(shape.of, need.value, told[name], items, now_s)) for name in names)
    return {sound(name): value for name, value in pairs if value is not None}


def _list(shape: Listing, need: Need, told: object, items: frozenset[str], now_s: float) -> object:
    if isinstance(shape.of, Record):
        # A list of records is reported as a table; the key becomes one of the fields.
        if not isinstance(told, Mapping):
            return None
        key = next(
            (name for name, about in shape.of.fields.items() if about.key and name in need.of_value().fields), ""
        )
        found: list[object] = []
        for name, value in told.items():
            record: Any = _record(shape.of, need.of_value(), value if isinstance(value, dict) else {}, items, now_s)
            if key and isinstance(name, str) and name.isdecimal():
                record[key] = int(name)
            found.append(record)
        return found
    if not isinstance(told, list | tuple) or not isinstance(shape.of, Scalar):
        return None
    values = [single(shape.of, value) for value in told]
    # A list of which a part is not known is not known.
    return None if None in values else values


def absent(path: Path, groups: Mapping[str, Any], item: str) -> bool:
    """Whether the fact at the end of ``path`` is not known."""
    here: Any = groups
    for name, strict in path:
        key = item if name is None else name
        if key not in here:
            return strict
        here = here[key]
    return False


def value_at(path: Path, groups: Mapping[str, Any], item: str) -> object:
    """The fact at the end of ``path``; None when it is not there."""
    here: Any = groups
    for name, _ in path:
        key = item if name is None else name
        if not isinstance(here, Mapping) or key not in here:
            return None
        here = here[key]
    return here


def written(path: Path, item: str) -> str:
    """The path as a person writes it: ``disks["/"].used_share``."""
    found = ""
    for name, strict in path:
        key = item if name is None else name
        found += (f".{key}" if found else key) if strict else f'["{key}"]'
    return found
