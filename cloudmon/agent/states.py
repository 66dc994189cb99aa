"""The state as the protocol counts it: canonical text, hashes, differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Section = dict[str, Any]
Sections = dict[str, Section]


def canonical(value: object) -> bytes:
    """JSON with sorted keys, nothing between them, in UTF-8: the same value is always the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def section_hash(section: object) -> str:
    return hashlib.sha256(canonical(section)).hexdigest()


def state_hash(hashes: Mapping[str, str]) -> str:
    """Hash of the whole, from the hash of each section that is there."""
    return hashlib.sha256("\n".join(f"{name}:{hashes[name]}" for name in sorted(hashes)).encode()).hexdigest()


def difference(old: Sections, new: Sections) -> dict[str, Any]:
    """What must be set and deleted to get from ``old`` to ``new``; sections that are the same are left out."""
    told: dict[str, Any] = {}
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            told[name] = {"gone": True}
            continue
        before, after = old.get(name, {}), new[name]
        # The same object is the common case: collectors keep what has not changed.
        if before is after and name in old:
            continue
        changed = {item: value for item, value in after.items() if item not in before or not same(before[item], value)}
        deleted = sorted(item for item in before if item not in after)
        if changed or deleted or name not in old:
            told[name] = {"set": changed, "del": deleted}
    return told


def number(told: object, usual: float) -> float:
    """What stands in JSON as a number, when it is one and has an end; else ``usual``."""
    if isinstance(told, bool) or not isinstance(told, (int, float)) or not -1e18 < told < 1e18:
        return usual
    return float(told)


def same(one: object, other: object) -> bool:
    """Whether two values are written alike: 1, 1.0 and true are equal in Python, and are not the same text."""
    return one == other and canonical(one) == canonical(other)
