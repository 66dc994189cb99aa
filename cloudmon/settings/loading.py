"""Puts the sources together, checks them, and collects every fault instead of stopping at the first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from cloudmon.errors import SettingsError
from cloudmon.model import grants
from cloudmon.settings import malware, options, outside, references, ruling, sentences, sources
from cloudmon.settings.accounts import AccountSettings
from cloudmon.settings.channel import ChannelSettings
from cloudmon.settings.groups import CloudSettings, StoreSettings
from cloudmon.settings.outside import OutsideProbeSettings
from cloudmon.settings.root import Settings
from cloudmon.settings.sentences import Source
from cloudmon.settings.wanted import SetSettings, TemplateSettings


def load(path: Path | str) -> Settings:
    """The settings that file, environment and secret files say together.

    Changes nothing, here or anywhere. ``SettingsError`` is one sentence about the first fault, and how many more
    there are."""
    settings, faults, _ = read(Path(path))
    if settings is None or faults:
        raise sentences.several(faults)
    return settings


def problems(path: Path | str) -> tuple[SettingsError, ...]:
    """Every fault of the settings, each one sentence; none when they are good."""
    return tuple(read(Path(path))[1])


def read(path: Path) -> tuple[Settings | None, list[SettingsError], sources.Files]:
    """The settings or the faults, and the files that were read for them."""
    files = sources.Files()
    try:
        file = sources.toml(path, files)
        environment, variables = sources.environment(Settings, file)
    except SettingsError as error:
        return None, [error], files
    source = Source(str(path), variables, file)
    table = sources.merged({"author": f"file:{path.stem}", **file}, environment)

    faults: list[SettingsError] = []
    settings = None
    for key in [
        key for key in table if key.startswith("_")
    ]:  # pydantic-settings would take these for its own arguments
        faults.append(source.problem((key,), "is an unknown key", value=table.pop(key)))
    try:
        settings = Settings(**table)
    except ValidationError as error:
        faults += sentences.of_validation(error, Settings, source)
    faults += references.faults(table, source)
    checked, wrong = options.checked(options.CLOUDS, table, path.parent, source, files)
    faults += [*wrong, *options.of_templates(table, source), *options.of_guests(checked, table, source)]
    told, wrong = options.checked(options.NOTIFY, table, path.parent, source, files)
    faults += wrong
    if settings is None:
        return None, faults, files
    faults += ruling.faults(settings.policies, source, path, ruling.Around.of(settings))
    notify = {
        name: one.model_copy(update={"options": told.get(name, one.options)}) for name, one in settings.notify.items()
    }
    settings = settings.model_copy(update={"notify": notify})
    if settings.malware is not None:
        known, wrong = malware.read(settings.malware, path.parent, source, files)
        faults += wrong
        settings = settings.model_copy(update={"malware": known})
    return _anchored(settings, path.parent, checked, source, files, faults), faults, files


def _anchored(
    settings: Settings,
    folder: Path,
    checked: dict[str, Any],
    source: Source,
    files: sources.Files,
    faults: list[SettingsError],
) -> Settings:
    """``settings`` with checked options, paths made whole and files read; faults of the files are added to
    ``faults``."""

    def text(path: Path, *key: str) -> str:
        try:
            return sources.secret(folder / path, key, source, files)
        except SettingsError as error:
            faults.append(error)
            return ""

    def templates() -> Iterator[tuple[str, TemplateSettings]]:
        for name, template in settings.templates.items():
            update: dict[str, Any] = (
                {"probes": dict(_probes(name, template, text, source, faults))} if template.probes else {}
            )
            if template.user_data_file is not None:
                update["user_data"] = text(template.user_data_file, "templates", name, "user_data_file")
            yield name, template.model_copy(update=update)

    def accounts(name: str, of: Mapping[str, AccountSettings]) -> Iterator[tuple[str, AccountSettings]]:
        for user, account in of.items():
            key = ("sets", name, "accounts", user)
            found = list(account.keys)
            for path in account.key_files:
                known, content = len(faults), text(path, *key, "key_files")
                if len(faults) > known:
                    continue
                try:
                    found += grants.keys(content)
                except ValueError as error:
                    faults.append(source.problem((*key, "key_files"), str(error), value=str(path)))
            if not found and not account.key_files:
                faults.append(
                    source.problem((*key, "keys"), "is missing: an account is opened by keys", with_value=False)
                )
            yield user, account.model_copy(update={"keys": tuple(dict.fromkeys(found))})

    def sets() -> Iterator[tuple[str, SetSettings]]:
        for name, aset in settings.sets.items():
            yield name, aset.model_copy(update={"accounts": dict(accounts(name, aset.accounts))})

    def clouds() -> Iterator[tuple[str, CloudSettings]]:
        for name, cloud in settings.clouds.items():
            yield name, cloud.model_copy(update={"options": checked.get(name, cloud.options)})

    def store() -> StoreSettings:
        found = settings.store
        update: dict[str, Any] = {"url": _anchored_url(found.url, folder)}
        if found.password_file is not None:
            if found.password is not None:
                faults.append(
                    source.problem(("store",), "has both password and password_file; keep one", with_value=False)
                )
            update["password"] = SecretStr(text(found.password_file, "store", "password_file"))
        if found.log_key_file is not None:
            update["log_key_file"] = _whole(folder / found.log_key_file)
        return found.model_copy(update=update)

    def channel() -> ChannelSettings | None:
        found = settings.channel
        if found is None or found.key_file is None:
            return found
        return found.model_copy(update={"key_file": _whole(folder / found.key_file)})

    monitor = settings.monitor.model_copy(update={"state_dir": _whole(folder / settings.monitor.state_dir)})
    return settings.model_copy(
        update={
            "store": store(),
            "monitor": monitor,
            "clouds": dict(clouds()),
            "templates": dict(templates()),
            "sets": dict(sets()),
            "channel": channel(),
        }
    )


def _probes(
    name: str, template: TemplateSettings, text: Callable[..., str], source: Source, faults: list[SettingsError]
) -> Iterator[tuple[str, OutsideProbeSettings]]:
    """The template's probes with what their ``ca_file`` holds."""
    for probe, found in template.probes.items():
        if found.ca_file is None:
            yield probe, found
            continue
        key = ("templates", name, "probes", probe, "ca_file")
        known, certificates = len(faults), text(found.ca_file, *key)
        if len(faults) == known:
            try:
                outside.believed(certificates)
            except ValueError as error:
                faults.append(source.problem(key, str(error), value=str(found.ca_file)))
        yield probe, found.model_copy(update={"ca": certificates})


def _anchored_url(url: str, folder: Path) -> str:
    scheme = "sqlite:///"
    return f"{scheme}{_whole(folder / url.removeprefix(scheme))}" if url.startswith(scheme) else url


def _whole(path: Path) -> Path:
    """An absolute path without ``..``: a service may change its working directory. Links are left alone, they may be
    there to be switched."""
    return Path(os.path.normpath(path.absolute()))
