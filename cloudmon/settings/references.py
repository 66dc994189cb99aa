"""Faults between groups: who names whom. Works on the raw table, so that a wrong type elsewhere hides none of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cloudmon.errors import SettingsError
from cloudmon.plugins import nearest
from cloudmon.settings.sentences import Key, Source

ANY_CLOUD = "*"


def faults(table: dict[str, Any], source: Source) -> list[SettingsError]:
    """Sets that name no template or no cloud, templates that speak of unknown clouds or serve none of a set's."""
    return [*_of_templates(table, source), *_of_sets(table, source)]


def _of_templates(table: dict[str, Any], source: Source) -> Iterator[SettingsError]:
    clouds = _tables(table, "clouds")
    for name, template in _tables(table, "templates").items():
        for group in ("images", "options"):
            for cloud in _tables(template, group, of=object):
                if cloud not in clouds and not (group == "images" and cloud == ANY_CLOUD):
                    key = ("templates", name, group, cloud)
                    yield source.problem(key, f"speaks of an unknown cloud{nearest(cloud, clouds)}", with_value=False)


def _of_sets(table: dict[str, Any], source: Source) -> Iterator[SettingsError]:
    clouds, templates = _tables(table, "clouds"), _tables(table, "templates")
    for name, wanted in _tables(table, "sets").items():
        if not clouds:
            yield source.problem(("sets", name), "has nowhere to live: no cloud is configured", with_value=False)
        key: Key = ("sets", name, "template")
        template = wanted.get("template")
        if isinstance(template, str) and template not in templates:
            yield source.problem(key, f"names no template{nearest(template, templates)}", value=template)
        if not clouds:
            continue
        named = wanted.get("clouds", [])
        named = [cloud for cloud in named if isinstance(cloud, str)] if isinstance(named, list | tuple) else []
        for cloud in named:
            if cloud not in clouds:
                key = ("sets", name, "clouds")
                yield source.problem(key, f"names no cloud{nearest(cloud, clouds)}", value=cloud)
        images = _tables(templates.get(template, {}) if isinstance(template, str) else {}, "images", of=object)
        if images and ANY_CLOUD not in images and not any(cloud in images for cloud in named or clouds):
            what = f"has an image for none of the set's clouds ({', '.join(sorted(named or clouds))})"
            yield source.problem(("sets", name, "template"), what, value=template)


def _tables(table: Any, group: str, *, of: type = dict) -> dict[str, Any]:
    """The entries of a group that are what they should be; the others are named by the model's own checks."""
    found = table.get(group) if isinstance(table, dict) else None
    return {name: value for name, value in found.items() if isinstance(value, of)} if isinstance(found, dict) else {}
