"""Reads what settings are made of: the TOML file, the environment over it, and the files that hold secrets.

Nothing but this room reads the environment.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings.exceptions import SettingsError as UnreadableVariable

from cloudmon.errors import SettingsError
from cloudmon.plugins import nearest
from cloudmon.settings import sentences
from cloudmon.settings.sentences import NAMED, Key, Source

PREFIX = "CLOUDMON_"
DELIMITER = "__"
Table = dict[str, Any]


@dataclass
class Files:
    """The files that one reading touched, and what they held: what :class:`SettingsFile` compares."""

    seen: dict[Path, str] = field(default_factory=dict)
    """Digest by path; empty text for a file that could not be read."""

    def text(self, path: Path) -> str:
        """The content of a UTF-8 file. ``OSError`` or ``UnicodeDecodeError`` when that is not to be had."""
        self.seen[path] = ""
        content = path.read_bytes()
        self.seen[path] = hashlib.sha256(content).hexdigest()
        return content.decode("utf-8")


def toml(path: Path, files: Files) -> Table:
    """The file's table. ``SettingsError`` when it is missing, unreadable or no TOML."""
    file = str(path)
    try:
        text = files.text(path)
    except FileNotFoundError:
        raise SettingsError(f"{file}: there is no such file; `cloudmon init` writes one.", file=file) from None
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror or error}.", file=file) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: is no UTF-8 text (byte {error.start + 1}).", file=file) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise sentences.of_toml(file, text, error) from error


def environment(model: type[BaseSettings], file: Table) -> tuple[Table, dict[Key, str]]:
    """What the environment sets, as a table, and the variable behind each key.

    ``SettingsError`` for a variable that names no group or holds broken JSON. Only variables with ``__`` are taken for
    ours when they name no group: container platforms put ``CLOUDMON_PORT`` and its like beside a service of this name.
    """
    source = EnvSettingsSource(model, case_sensitive=False, env_prefix=PREFIX, env_nested_delimiter=DELIMITER)
    ours = [variable.upper() for variable in source.env_vars if variable.upper().startswith(PREFIX)]
    for variable in ours:
        group = variable[len(PREFIX) :].partition(DELIMITER)[0].lower()
        if DELIMITER in variable and group not in model.model_fields:
            near = nearest(group, list(model.model_fields))
            raise SettingsError(f"environment variable {variable}: {group} is an unknown key{near}", key=group)
    try:
        table = source()
    except UnreadableVariable as error:
        # The variable's text stays out of the sentence: nobody knows yet whether it is a secret.
        raise SettingsError(f"environment: {error}; tables and lists are written as JSON there.") from error
    _as_written(table, source.env_vars)
    for group in NAMED:
        if isinstance(table.get(group), dict):
            table[group] = {_name(name, file.get(group)): value for name, value in table[group].items()}
    return table, dict(_variables(table, set(ours)))


def merged(below: Table, above: Mapping[str, Any]) -> Table:
    """``below`` with the values of ``above`` over it, table by table."""
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        found[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return found


def secret(path: Path, key: Key, source: Source, files: Files) -> str:
    """The content of a file that a key ``*_file`` names, without line ends at its end."""
    try:
        return files.text(path).rstrip("\r\n")
    except OSError as error:
        raise source.problem(key, f"cannot be read: {error.strerror or error}", value=str(path)) from error
    except UnicodeDecodeError as error:
        raise source.problem(key, "is no UTF-8 text", value=str(path)) from error


def _as_written(table: Table, variables: Mapping[str, str | None]) -> None:
    """Options of providers and notifiers are text until their own model reads them: a password of digits must not
    become a number."""
    for group in ("clouds", "notify"):
        named = table.get(group)
        for name, one in named.items() if isinstance(named, dict) else ():
            options = one.get("options") if isinstance(one, dict) else None
            if not isinstance(options, dict):
                continue
            for option, value in options.items():
                parts = (group, name, "options", option)
                text = variables.get(f"{PREFIX}{DELIMITER.join(parts)}".lower())
                if text is not None and not isinstance(value, dict | list):
                    options[option] = text


def _name(name: str, group: object) -> str:
    wanted = name.replace("_", "-").lower()
    known = list(group) if isinstance(group, dict) else []
    return next((n for n in known if str(n).lower() == wanted), wanted)


def _variables(table: Table, ours: set[str], key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Key → variable, for every key that a variable of its own sets."""
    for name, value in table.items():
        here = (*key, name)
        parts = [str(part).replace("-", "_") if depth == 1 else str(part) for depth, part in enumerate(here)]
        variable = (PREFIX + DELIMITER.join(parts)).upper()
        if variable in ours:
            yield here, variable
        if isinstance(value, dict):
            yield from _variables(value, ours, here)
