"""Finds what is installed beside the core through entry points; the only road from here to ``cloudmon_providers``.

Looking up names imports nothing; only :func:`provider` imports, and only the package that was asked for.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from importlib import metadata
from types import ModuleType
from typing import cast

from pydantic import BaseModel

from cloudmon.errors import SettingsError
from cloudmon.provider import ProviderFactory

PROVIDERS = "cloudmon.providers"
"""The entry-point group of providers: name in configuration files → :class:`~cloudmon.provider.ProviderFactory`."""


def providers() -> Mapping[str, Callable[[], object]]:
    """Installed providers by name; calling the value imports one."""
    return {name: point.load for name, point in _points().items()}


def provider(name: str) -> ProviderFactory:
    """The provider installed as ``name``.

    ``SettingsError`` (value ``name``, no file, no key) when there is none, when two packages offer different ones
    under this name, when its package cannot be imported, or when what it names is no provider."""
    points = _points()
    if name not in points:
        raise SettingsError(f"no provider is called {name!r}{nearest(name, points)}", value=name)
    point = points[name]
    _imported(point)
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise _unimportable(point, error) from error
    if not callable(found) or not hasattr(found, "settings_model"):
        raise SettingsError(f"{point.value} is installed as provider {name!r} and is none", value=name)
    return cast("ProviderFactory", found)


def settings_model(name: str) -> type[BaseModel]:
    """The model of one provider's ``[clouds.<name>.options]``. Errors as :func:`provider`.

    A module that names a ``settings_model`` of its own, beside the factory that its entry point names, is believed: so
    a package may import its cloud's library only once a provider is really made, and checking settings stays cheap.
    """
    found = _named_beside(name, "settings_model") or provider(name).settings_model
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise SettingsError(f"the settings_model of provider {name!r} is no pydantic model", value=name)
    return found


def template_model(name: str) -> type[BaseModel] | None:
    """The model of what templates may say of one provider's create call: what its module names ``template_model``.

    None when it names none, and takes what it gets. Errors as :func:`provider`.
    """
    found = _named_beside(name, "template_model")
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def nearest(word: str, known: Mapping[str, object] | list[str] | tuple[str, ...]) -> str:
    """The end of a sentence about a wrong name: ``; did you mean "x"?``, or what there is to choose from."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(names)}" if names else "; there is none"


def _named_beside(name: str, attribute: str) -> object:
    """What the module of a provider's entry point calls ``attribute``; None without such a name or provider."""
    point = _points().get(name)
    return getattr(_imported(point), attribute, None) if point is not None else None


def _imported(point: metadata.EntryPoint) -> ModuleType:
    try:
        return importlib.import_module(point.module)
    except Exception as error:  # whatever a foreign package raises while it is imported
        raise _unimportable(point, error) from error


def _unimportable(point: metadata.EntryPoint, error: Exception) -> SettingsError:
    what = f"{type(error).__name__}: {error}"
    return SettingsError(f"provider {point.name!r} ({point.value}) cannot be imported: {what}", value=point.name)


def _points() -> dict[str, metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=PROVIDERS):
        other = found.setdefault(point.name, point)
        # The same package may be found twice (an editable install beside a wheel); two packages may not share a name.
        if other.value != point.value:
            raise SettingsError(
                f"two packages offer a provider called {point.name!r}: {other.value} and {point.value}; uninstall one",
                value=point.name,
            )
    return found
