"""A settings file to start from, and an installed provider whose options are known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr


class MoonOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str = "near"
    seed: int = 0
    secret_key: SecretStr | None = None
    keys_file: str = ""


class CraterOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = 0


class MoonProvider:
    settings_model = MoonOptions


GOOD = """
[clouds.east]
provider = "moon"

[templates.web]
images = { "*" = "web-1" }

[sets.storefront]
template = "web"
count = 3
"""

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def moon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly two providers are installed: ``moon``, and ``mars``, whose package is broken."""
    module = ModuleType("moon_provider")
    module.MoonProvider = MoonProvider  # type: ignore[attr-defined]
    module.template_model = CraterOptions  # type: ignore[attr-defined]
    module.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "moon_provider", module)
    points = [
        metadata.EntryPoint("moon", "moon_provider:MoonProvider", "cloudmon.providers"),
        metadata.EntryPoint("mars", "mars_provider_that_is_not_there:Mars", "cloudmon.providers"),
        metadata.EntryPoint("rock", "moon_provider:number", "cloudmon.providers"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: [p for p in points if p.group == group])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a settings file: the good one with more text after it, or another text."""

    def writing(more: str = "", *, text: str = GOOD, name: str = "shop.toml") -> Path:
        path = tmp_path / name
        path.write_text(text + more, encoding="utf-8")
        return path

    return writing
