"""States of appliances as sections of items: their hashes, their differences, and what a difference makes of a state.

Agents compute the same, in code of their own: what is here is the definition. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cloudmon.model.guests import Sections

GONE = "gone"
"""In a difference: the section is not there any more."""
SET = "set"
DELETE = "del"
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: object) -> str:
    """JSON in the one spelling that is hashed: sorted keys, no blanks, characters as they are.

    Raises ValueError for a number that is none, TypeError for what is no JSON.
    """
    return _ENCODE(value)


def section_hash(section: Mapping[str, object]) -> str:
    """SHA-256 of a section's canonical JSON, in hex."""
    return _sha256(canonical(section))


def state_hash(sections: Sections) -> str:
    """SHA-256, in hex, over the names and hashes of the sections that are there, in the order of their names."""
    return _sha256("\n".join(f"{name}:{section_hash(sections[name])}" for name in sorted(sections)))


def whole(body: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """The state that the body of a full report is. Raises ValueError when a section is no object."""
    sections: dict[str, Mapping[str, object]] = {}
    for name, section in body.items():
        if not isinstance(section, Mapping):
            raise ValueError(f"section {name!r} is no object")
        sections[name] = section
    return sections


def apply(sections: Sections, body: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """The state after the difference ``body``. What is passed in is left as it is.

    Raises ValueError when ``body`` is no difference.
    """
    after = dict(sections)
    for name, told in body.items():
        if not isinstance(told, Mapping):
            raise ValueError(f"the difference of section {name!r} is no object")
        if told.get(GONE):
            after.pop(name, None)
            continue
        changed, deleted = told.get(SET, {}), told.get(DELETE, [])
        if not isinstance(changed, Mapping) or not isinstance(deleted, list) or not all(map(_is_name, deleted)):
            raise ValueError(f"the difference of section {name!r} sets or deletes no items")
        kept = dict(after.get(name, {}))
        for item in deleted:
            kept.pop(item, None)
        kept.update(changed)
        after[name] = kept
    return after


def difference(before: Sections, after: Sections) -> dict[str, dict[str, Any]]:
    """The smallest body with ``apply(before, body) == after``; sections that did not change are not in it."""
    body: dict[str, dict[str, Any]] = {name: {GONE: True} for name in before if name not in after}
    for name, section in after.items():
        old = before.get(name)
        known = old or {}
        changed = {item: value for item, value in section.items() if item not in known or _differ(known[item], value)}
        deleted = sorted(item for item in known if item not in section)
        if changed or deleted or old is None:
            body[name] = ({SET: changed} if changed or not deleted else {}) | ({DELETE: deleted} if deleted else {})
    return body


def _is_name(item: object) -> bool:
    return isinstance(item, str)


def _differ(one: object, other: object) -> bool:
    # Python takes 1, 1.0 and True for the same; a hash does not.
    return one is not other and (one != other or canonical(one) != canonical(other))


def _sha256(text: str) -> str:
    # A lone half of a character can stand in JSON as an escape: it has a hash too, or one name could stop a report.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
