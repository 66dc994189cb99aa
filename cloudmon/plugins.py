"""Finds what is installed beside the core through entry points; the only road from here to ``cloudmon_providers``.

Looking up names imports nothing; only :func:`provider`, :func:`notifier` and :func:`detector` import, and only what was
asked for.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from importlib import metadata
from types import ModuleType
from typing import cast

from pydantic import BaseModel

from cloudmon.detector import Detector
from cloudmon.errors import SettingsError
from cloudmon.notifier import NotifierFactory
from cloudmon.provider import ProviderFactory

PROVIDERS = "cloudmon.providers"
"""The entry-point group of providers: name in configuration files → :class:`~cloudmon.provider.ProviderFactory`."""
NOTIFIERS = "cloudmon.notifiers"
"""That of notifiers: kind in configuration files → :class:`~cloudmon.notifier.NotifierFactory`."""
DETECTORS = "cloudmon.detectors"
"""That of detectors: name in rules → :class:`~cloudmon.detector.Detector`."""

MODEL = "settings_model"


def providers() -> Mapping[str, Callable[[], object]]:
    """Installed providers by name; calling the value imports one."""
    return {name: point.load for name, point in _points(PROVIDERS).items()}


def provider(name: str) -> ProviderFactory:
    """The provider installed as ``name``.

    ``SettingsError`` (value ``name``, no file, no key) when there is none, when two packages offer different ones
    under this name, when its package cannot be imported, or when what it names is no provider."""
    return cast("ProviderFactory", _installed(PROVIDERS, name, MODEL))


def settings_model(name: str) -> type[BaseModel]:
    """The model of one provider's ``[clouds.<name>.options]``. Errors as :func:`provider`.

    A module that names a ``settings_model`` of its own, beside the factory that its entry point names, is believed: so
    a package may import its cloud's library only once a provider is really made, and checking settings stays cheap.
    """
    return _settings_model(PROVIDERS, name)


def notifiers() -> Mapping[str, Callable[[], object]]:
    """Installed notifiers by kind; calling the value imports one."""
    return {name: point.load for name, point in _points(NOTIFIERS).items()}


def notifier(kind: str) -> NotifierFactory:
    """The notifier installed as ``kind``. Errors as :func:`provider`."""
    return cast("NotifierFactory", _installed(NOTIFIERS, kind, MODEL))


def notifier_model(kind: str) -> type[BaseModel]:
    """The model of ``[notify.<name>.options]`` of one kind, as :func:`settings_model`."""
    return _settings_model(NOTIFIERS, kind)


def detectors() -> Mapping[str, Callable[[], object]]:
    """Installed detectors by name; calling the value imports one."""
    return {name: point.load for name, point in _points(DETECTORS).items()}


def detector(name: str) -> Detector:
    """The detector installed as ``name``. Errors as :func:`provider`."""
    return cast("Detector", _installed(DETECTORS, name, "needs"))


def template_model(name: str) -> type[BaseModel] | None:
    """The model of what templates may say of one provider's create call: what its module names ``template_model``.

    None when it names none, and takes what it gets. Errors as :func:`provider`.
    """
    found = _named_beside(PROVIDERS, name, "template_model")
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def nearest(word: str, known: Mapping[str, object] | list[str] | tuple[str, ...]) -> str:
    """The end of a sentence about a wrong name: ``; did you mean "x"?``, or what there is to choose from."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(names)}" if names else "; there is none"


def _noun(group: str) -> str:
    """What one of a group is called."""
    return group.removeprefix("cloudmon.").removesuffix("s")


def _installed(group: str, name: str, attribute: str) -> object:
    """What an entry point names, which must be callable and have that attribute."""
    points, noun = _points(group), _noun(group)
    if name not in points:
        raise SettingsError(f"no {noun} is called {name!r}{nearest(name, points)}", value=name)
    point = points[name]
    _imported(point)
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise _unimportable(point, error) from error
    if not callable(found) or not hasattr(found, attribute):
        raise SettingsError(f"{point.value} is installed as {noun} {name!r} and is none", value=name)
    return cast("object", found)


def _settings_model(group: str, name: str) -> type[BaseModel]:
    found = _named_beside(group, name, MODEL) or getattr(_installed(group, name, MODEL), MODEL, None)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise SettingsError(f"the settings_model of {_noun(group)} {name!r} is no pydantic model", value=name)
    return found


def _named_beside(group: str, name: str, attribute: str) -> object:
    """What the module of an entry point calls ``attribute``; None without such a name or entry point."""
    point = _points(group).get(name)
    return getattr(_imported(point), attribute, None) if point is not None else None


def _imported(point: metadata.EntryPoint) -> ModuleType:
    try:
        return importlib.import_module(point.module)
    except Exception as error:  # whatever a foreign package raises while it is imported
        raise _unimportable(point, error) from error


def _unimportable(point: metadata.EntryPoint, error: Exception) -> SettingsError:
    what = f"{type(error).__name__}: {error}"
    noun = _noun(point.group)
    return SettingsError(f"{noun} {point.name!r} ({point.value}) cannot be imported: {what}", value=point.name)


def _points(group: str) -> dict[str, metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=group):
        other = found.setdefault(point.name, point)
        # The same package may be found twice (an editable install beside a wheel); two packages may not share a name.
        if other.value != point.value:
            raise SettingsError(
                f"two packages offer a {_noun(group)} called {point.name!r}: {other.value} and {point.value}; "
                "uninstall one",
                value=point.name,
            )
    return found
