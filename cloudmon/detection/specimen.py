"""An appliance of which everything is known: what each rule is tried on when it is loaded."""

from __future__ import annotations

from cloudmon.detection.needs import Need
from cloudmon.detection.schema import FACTS
from cloudmon.detection.shapes import Record, Scalar, Shape, Table

ITEM = "specimen"
"""Name of the one item in each of its tables."""

_VALUES: dict[Scalar, object] = {Scalar.BOOL: True, Scalar.WHOLE: 1, Scalar.NUMBER: 0.5, Scalar.TEXT: ITEM}


def facts(*needs: Need) -> dict[str, object]:
    """Every group, each with every field, each table and list with one item, and with those that are needed."""
    whole = Need()
    for need in needs:
        whole.join(need)
    found = _of(FACTS, whole)
    assert isinstance(found, dict)  # noqa: S101  # a record becomes one
    return found


def _of(shape: Shape, need: Need) -> object:
    if isinstance(shape, Scalar):
        return _VALUES[shape]
    if isinstance(shape, Record):
        return {
            name: field.words[0] if field.words else _of(field.shape, need.fields.get(name, Need()))
            for name, field in shape.fields.items()
        }
    if isinstance(shape, Table):
        return {name: _of(shape.of, need.value or Need()) for name in (ITEM, *sorted(need.keys))}
    return [_of(shape.of, need.value or Need())] if shape.of is not None else []
