"""Templates of call arguments: text with placeholders, in tables and lists of any depth.

A placeholder that stands alone keeps the kind of its value (``"{tags}"`` is a table); inside other text it is text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

from cloudmon.model.nodes import NodeRequest

WITH_TAGS: Final = frozenset({"tags", "tag_pairs", "tag_items"})
OF_CREATE: Final = WITH_TAGS | {
    "token",
    "name",
    "image",
    "size",
    "location",
    "user_data",
    "user_data_base64",
    "object",
}
"""Placeholders that a create call may use."""

IDENTITY: Final = WITH_TAGS | {"token"}
"""Placeholders that say whose node it is: arguments with one are not the template's to change."""

_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::([^{}]*))?\}")


def placeholders(template: Any) -> frozenset[str]:
    """Names of all placeholders in the template, however deep."""
    if isinstance(template, str):
        return frozenset(found.group(1) for found in _PLACEHOLDER.finditer(template))
    if isinstance(template, Mapping):
        return frozenset(name for part in template.values() for name in placeholders(part))
    if isinstance(template, list | tuple):
        return frozenset(name for part in template for name in placeholders(part))
    return frozenset()


def render(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with its placeholders replaced; what is no text stays as it is."""
    if isinstance(template, Mapping):
        return {key: render(part, values) for key, part in template.items()}
    if isinstance(template, list | tuple):
        return [render(part, values) for part in template]
    if not isinstance(template, str):
        return template
    alone = _PLACEHOLDER.fullmatch(template)
    if alone:
        return _value(alone, values)
    return _PLACEHOLDER.sub(lambda found: str(_value(found, values)), template)


def values(request: NodeRequest, *, tag_separator: str, pair_separator: str) -> dict[str, Any]:
    """What the placeholders of a create call stand for."""
    tags = spelt(request.tags, tag_separator)
    return {
        "tags": tags,
        "tag_pairs": [f"{key}{pair_separator}{value}" for key, value in tags.items()],
        "tag_items": [{"key": key, "value": value} for key, value in tags.items()],
        "token": request.token,
        "name": request.name,
        "image": request.image,
        "size": request.offer.size,
        "location": request.offer.location,
        "user_data": request.user_data,
        "user_data_base64": base64.b64encode(request.user_data.encode()).decode("ascii"),
    }


def spelt(tags: Mapping[str, str], separator: str) -> dict[str, str]:
    """Our own tags with the colon of their keys spelt as this cloud takes it; others as they are."""
    return {key.replace(":", separator, 1) if key.startswith("cloudmon:") else key: tags[key] for key in tags}


def _value(found: re.Match[str], values: Mapping[str, Any]) -> Any:
    name, argument = found.groups()
    if name == "object":
        # Drivers that want an object of theirs mostly look at its id alone.
        return SimpleNamespace(id=argument, name=argument)
    return values[name]
