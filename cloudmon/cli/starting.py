"""The text of a first settings file: shared head and tail, and between them the cloud of one provider."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from pydantic import BaseModel

from cloudmon import plugins
from cloudmon.settings.described import Described

WRITTEN = ("dummy", "local", "aws", "generic")
"""Providers whose part is written by hand; any other's is made from its options model."""
IMAGES = {"dummy": "web-1", "local": "base", "aws": "ami-0123456789abcdef0", "generic": "debian-13-x64"}


def text(provider: str) -> str:
    """A commented settings file for a cloud of ``provider``. ``SettingsError`` when no such provider is installed."""
    model = plugins.settings_model(provider)
    cloud = _part(provider) if provider in WRITTEN else _cloud(provider, model)
    return _part("head") + cloud + _part("tail").replace("{image}", IMAGES.get(provider, "name or id of an image"))


def _part(name: str) -> str:
    return (resources.files("cloudmon") / "cli" / "starters" / f"{name}.toml").read_text(encoding="utf-8")


def _cloud(provider: str, model: type[BaseModel]) -> str:
    """Every option with its meaning: those that must be given to be filled in, the others commented out."""
    title = f"# --- clouds: {provider} "
    lines = [title.ljust(119, "-"), "", "[clouds.east]", f'provider = "{provider}"', "", "[clouds.east.options]"]
    schema = model.model_json_schema(schema_generator=Described)
    for name, about in schema.get("properties", {}).items():
        meaning = " ".join(str(about.get("description", "")).split())
        lines += [f"# {meaning}"] if meaning else []
        required = name in schema.get("required", [])
        lines.append(
            f'{name} = ""{" " * 8}# must be given' if required else f"# {name} = {_toml(about.get('default'))}"
        )
    return "\n".join([*lines, "", ""])


def _toml(value: Any) -> str:
    """A default as TOML writes it; what TOML cannot say is left to be filled in."""
    if value is None:
        return "…"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
