"""A driver's nodes before the shared reader sees them: what the configured paths lead to is laid out where it looks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from cloudmon.model.identity import TAG_ESTATE, TAG_TOKEN, Token
from cloudmon_providers._libcloud import Dialect
from cloudmon_providers.generic.options import ERRORS, GenericOptions

PREFIX: Final = "cloudmon_"


def dialect(options: GenericOptions, verbs: Mapping[str, str]) -> Dialect:
    """The dialect in which the nodes read that :func:`lay_out` has seen."""
    return Dialect(
        words=options.words,
        word_field=f"{PREFIX}word",
        tags_field=f"{PREFIX}tags",
        location_field=f"{PREFIX}location",
        size_field=f"{PREFIX}size",
        image_field=f"{PREFIX}image",
        created_field=f"{PREFIX}created",
        ended_field=f"{PREFIX}ended" if options.fields.ended else "",
        honours_tokens=options.honours_tokens,
        verbs=verbs,
        codes={code: ERRORS[kind] for code, kind in options.codes.items()},
        empty_503_throttles=options.empty_503_throttles,
    )


def lay_out(node: Any, options: GenericOptions) -> Any:
    """Put what the paths lead to into the node's ``extra``; returns the node. One odd node costs only itself."""
    try:
        extra = dict(node.extra or {})
        fields = options.fields
        extra[f"{PREFIX}word"] = _word(node, options)
        extra[f"{PREFIX}tags"] = tags(node, options)
        for field in ("location", "size", "image"):
            extra[f"{PREFIX}{field}"] = _text(at(node, getattr(fields, field)))
        extra[f"{PREFIX}created"] = _instant(at(node, fields.created))
        extra[f"{PREFIX}ended"] = _instant(at(node, fields.ended))
        node.extra = extra
    except Exception:  # noqa: BLE001, RUF100 - the shared reader keeps it with what it can read
        return node
    return node


def at(node: Any, path: str) -> Any:
    """What a path leads to; None where it leads nowhere."""
    found = node
    for part in path.split(".") if path else ():
        if found is None:
            return None
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list | tuple):
            found = found[int(part)] if part.isdecimal() and int(part) < len(found) else None
        else:
            found = getattr(found, part, None)
    return found if path else None


def tags(node: Any, options: GenericOptions) -> dict[str, str]:
    """The node's tags with our own keys spelt as ours; the name's token where they carry none."""
    found = at(node, options.fields.tags)
    pairs: dict[str, str] = {}
    if isinstance(found, Mapping):
        pairs = {str(key): str(value) for key, value in found.items()}
    elif isinstance(found, list | tuple):
        pairs = dict(_pair(item, options.pair_separator) for item in found)
    own = f"cloudmon{options.tag_separator}"
    pairs = {f"cloudmon:{key.removeprefix(own)}" if key.startswith(own) else key: pairs[key] for key in pairs}
    if options.token_in_name and TAG_TOKEN not in pairs:
        token = token_of_name(str(node.name or ""), options)
        if token is not None:
            pairs |= {TAG_TOKEN: str(token), TAG_ESTATE: token.estate}
    return pairs


def token_of_name(name: str, options: GenericOptions) -> Token | None:
    """The token that a name made from the template carries, wherever in it the token stands."""
    before, _, after = options.name.partition("{token}")
    start = name.find("cm1-") if "{" in before else len(before)
    if start < 0:
        return None
    # Five parts, joined by hyphens; what the template lets follow is cut off where the last one stops being digits.
    parts = name[start:].split("-", 4)
    if len(parts) != 5:
        return None
    if after:
        digits = len(parts[4]) - len(parts[4].lstrip("0123456789"))
        parts[4] = parts[4][:digits]
    return Token.parse("-".join(parts))


def _pair(item: Any, separator: str) -> tuple[str, str]:
    if isinstance(item, Mapping):
        lower = {str(key).lower(): value for key, value in item.items()}
        return str(lower.get("key", "")), str(lower.get("value", ""))
    # Our keys may hold the separator themselves (``cloudmon:token:cm1-…``): the last part is the value.
    key, found, value = str(item).rpartition(separator)
    return (key, value) if found else (value, "")


def _word(node: Any, options: GenericOptions) -> str | None:
    """The first word that the options know; None leaves libcloud's state."""
    for path in options.fields.words:
        word = _text(at(node, path)).lower()
        if word in options.words:
            return word
    return None


def _instant(found: Any) -> dt.datetime | None:
    """An instant, ISO 8601 text or seconds since 1970; None for what is none of them."""
    if isinstance(found, dt.datetime):
        return found
    try:
        if isinstance(found, str):
            return dt.datetime.fromisoformat(found)
        return dt.datetime.fromtimestamp(float(found), dt.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _text(found: Any) -> str:
    return "" if found is None else str(found)
