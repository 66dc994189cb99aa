"""What the monitor wants to be watched here. What cannot be understood is left out, and the rest goes on."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from . import states

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MOST_FILES = 1000
SHORTEST_INTERVAL_S = 1.0
LONGEST_INTERVAL_S = 3600.0


class Application(NamedTuple):
    """One application as the template declares it."""

    name: str
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    service: str = ""
    match: str = ""
    package: str = ""
    version: str = ""
    """The wanted one; what is offered is looked for only when there is one."""
    probe: dict[str, Any] = {}  # noqa: RUF012 - never written to
    start_at_boot: bool = False


class Job(NamedTuple):
    """Something that may be asked for by its name."""

    argv: tuple[str, ...]
    timeout_s: float = 60.0


class Config(NamedTuple):
    """What is in force, and the hash by which the monitor knows it."""

    hash: str = ""
    interval_s: float = 0.0
    """0: the monitor does not say."""
    applications: dict[str, Application] = {}  # noqa: RUF012
    files: tuple[str, ...] = ()
    jobs: dict[str, Job] = {}  # noqa: RUF012


def parse(told: dict[str, Any], *, starts_at_boot: bool) -> Config:
    """ValueError for what has no canonical text. ``starts_at_boot`` holds for applications that do not say."""
    applications = {}
    for name, wanted in _objects(told.get("applications")).items():
        if NAME.fullmatch(name):
            applications[name] = Application(
                name,
                start=_words(wanted.get("start")),
                stop=_words(wanted.get("stop")),
                service=_word(wanted.get("service")),
                match=_word(wanted.get("match")),
                package=_word(wanted.get("package")),
                version=_word(wanted.get("version")),
                probe=wanted["probe"] if isinstance(wanted.get("probe"), dict) else {},
                start_at_boot=wanted["start_at_boot"]
                if isinstance(wanted.get("start_at_boot"), bool)
                else starts_at_boot,
            )
    jobs = {}
    for name, wanted in _objects(told.get("jobs")).items():
        argv = _words(wanted.get("argv"))
        if NAME.fullmatch(name) and argv:
            jobs[name] = Job(argv, max(1.0, states.number(wanted.get("timeout_s"), 60.0)))
    files = told.get("files")
    paths = files if isinstance(files, list) else []
    interval_s = states.number(told.get("interval_s"), 0.0)
    return Config(
        hash=states.section_hash(told),
        interval_s=bounded(interval_s) if interval_s > 0 else 0.0,
        applications=applications,
        files=tuple(sorted({path for path in paths if isinstance(path, str) and _absolute(path)})[:MOST_FILES]),
        jobs=jobs,
    )


def bounded(interval_s: float) -> float:
    return min(max(interval_s, SHORTEST_INTERVAL_S), LONGEST_INTERVAL_S)


def _absolute(path: str) -> bool:
    return path.startswith("/") and "\0" not in path and len(path) < 4096


def _objects(told: object) -> dict[str, dict[str, Any]]:
    if not isinstance(told, dict):
        return {}
    return {name: value for name, value in told.items() if isinstance(value, dict)}


def _words(told: object) -> tuple[str, ...]:
    """A command; nothing when any of it is no text."""
    if not isinstance(told, list) or not all(isinstance(word, str) and "\0" not in word for word in told):
        return ()
    return tuple(told)


def _word(told: object) -> str:
    return told if isinstance(told, str) else ""
