"""Checks ``[clouds.<name>.options]`` and ``[notify.<name>.options]`` with the models of those whose they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cloudmon import plugins
from cloudmon.errors import SettingsError
from cloudmon.settings import sentences, sources
from cloudmon.settings.sentences import Key, Source

FILE = "_file"
FOLDER = "folder"
"""Key of pydantic's validation context under which a provider's model finds the settings file's folder, for paths."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of the settings whose entries name something installed, and hold its own options."""

    name: str
    names: str
    """Key of an entry that names what is installed."""
    noun: str
    installed: Callable[[], Mapping[str, object]]
    model: Callable[[str], type[BaseModel]]
    """Errors as :func:`cloudmon.plugins.settings_model`."""


CLOUDS = Group("clouds", "provider", "provider", plugins.providers, plugins.settings_model)
NOTIFY = Group("notify", "kind", "notifier", plugins.notifiers, plugins.notifier_model)


def checked(
    group: Group, table: dict[str, Any], folder: Path, source: Source, files: sources.Files
) -> tuple[dict[str, BaseModel], list[SettingsError]]:
    """By entry of a group: its options as an instance of the model of what it names; and the faults found on the
    way."""
    found: dict[str, BaseModel] = {}
    faults: list[SettingsError] = []
    for name, entry in _tables(table.get(group.name)):
        if not isinstance(entry.get(group.names), str):
            continue  # the model's own checks name these
        key: Key = (group.name, name, "options")
        given = entry.get("options", {})
        if not isinstance(given, dict):
            faults.append(source.problem(key, "must be a table", value=given))
            continue
        try:
            model = group.model(entry[group.names])
        except SettingsError as error:
            faults.append(_of_installed(group, name, entry[group.names], error, source))
            continue
        try:
            found[name] = model.model_validate(
                _with_files(model, given, folder, key, source, files), context={FOLDER: folder.absolute()}
            )
        except ValidationError as error:
            faults += sentences.of_validation(error, model, source, under=key)
        except SettingsError as error:
            faults.append(error)
    return found, faults


def of_templates(table: dict[str, Any], source: Source) -> list[SettingsError]:
    """The faults of what templates say of create calls, where a provider tells what may be said."""
    faults: list[SettingsError] = []
    for name, template in _tables(table.get("templates")):
        for cloud, given in _tables(template.get("options")):
            model = _template_model(dict(_tables(table.get("clouds"))).get(cloud, {}).get("provider"))
            if model is None:
                continue
            try:
                model.model_validate(given)
            except ValidationError as error:
                faults += sentences.of_validation(error, model, source, under=("templates", name, "options", cloud))
    return faults


def plays(options: BaseModel) -> bool:
    """Whether a cloud with these options wants the insides of its machines played."""
    return getattr(options, "guests", None) is not None


def of_guests(clouds: Mapping[str, BaseModel], table: dict[str, Any], source: Source) -> list[SettingsError]:
    """The faults of clouds whose guests would have nobody to speak to."""
    what = "needs [channel]: through it guests speak to the monitor"
    return [
        source.problem(("clouds", name, "options", "guests"), what, with_value=False)
        for name, options in clouds.items()
        if plays(options) and "channel" not in table
    ]


def _template_model(provider: object) -> type[BaseModel] | None:
    try:
        return plugins.template_model(provider) if isinstance(provider, str) else None
    except SettingsError:
        return None  # the cloud's own check names it


def _tables(group: object) -> list[tuple[str, dict[str, Any]]]:
    """The entries of a group that are tables; the model's own checks name the others."""
    found = group.items() if isinstance(group, dict) else ()
    return [(name, entry) for name, entry in found if isinstance(entry, dict)]


def _of_installed(group: Group, entry: str, named: str, error: SettingsError, source: Source) -> SettingsError:
    key: Key = (group.name, entry, group.names)
    known = group.installed()
    if named in known:
        return source.problem(key, f"cannot be used: {error.message}", value=named)
    return source.problem(key, f"is no installed {group.noun}{plugins.nearest(named, known)}", value=named)


def _with_files(
    model: type[BaseModel], given: dict[str, Any], folder: Path, key: Key, source: Source, files: sources.Files
) -> dict[str, Any]:
    """``given`` with each ``x_file`` replaced by ``x`` and the file's content, where the model knows ``x`` and no
    ``x_file``."""
    options = dict(given)
    for name, value in given.items():
        plain = name.removesuffix(FILE)
        if plain == name or name in model.model_fields or plain not in model.model_fields:
            continue
        if plain in given:
            raise source.problem(key, f"has both {plain} and {name}; keep one", with_value=False)
        if not isinstance(value, str):
            raise source.problem((*key, name), "must be a path", value=value)
        del options[name]
        options[plain] = sources.secret(folder / value, (*key, name), source, files)
    return options
