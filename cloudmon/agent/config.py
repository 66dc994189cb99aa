"""What the monitor wants to be watched here. What cannot be understood is left out, and the rest goes on."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from . import states

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
SHA256 = re.compile(r"[0-9a-f]{64}")
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


class Malware(NamedTuple):
    """Where malware is looked for."""

    signatures: str = ""
    """Hash of what is known to be bad; empty: nothing is, and only clamd is asked."""
    paths: tuple[str, ...] = ("/",)
    exclude: tuple[str, ...] = ()
    interval_s: float = 3600.0
    file_max: int = 32 * 1024 * 1024
    """Bytes of a file whose content is looked at."""
    clamd: str = ""


class Config(NamedTuple):
    """What is in force, and the hash by which the monitor knows it."""

    hash: str = ""
    interval_s: float = 0.0
    """0: the monitor does not say."""
    applications: dict[str, Application] = {}  # noqa: RUF012
    files: tuple[str, ...] = ()
    jobs: dict[str, Job] = {}  # noqa: RUF012
    peers: dict[str, Any] = {}  # noqa: RUF012
    """The directory of the set, as the monitor told it; empty: there is none."""
    malware: Malware | None = None
    """None: nobody looks for it."""


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
        malware=_malware(told.get("malware")),
        peers=told["peers"] if isinstance(told.get("peers"), dict) else {},
    )


def _malware(told: object) -> Malware | None:
    if not isinstance(told, dict):
        return None
    named, clamd = _word(told.get("signatures")), _word(told.get("clamd"))
    return Malware(
        signatures=named if SHA256.fullmatch(named) else "",
        paths=tuple(path for path in _words(told.get("paths")) if _absolute(path)) or ("/",),
        exclude=tuple(path for path in _words(told.get("exclude")) if _absolute(path)),
        interval_s=min(max(states.number(told.get("interval_s"), 3600.0), 1.0), 604_800.0),
        file_max=int(min(max(states.number(told.get("file_max_mib"), 32.0), 1.0), 1024.0)) << 20,
        clamd=clamd if _absolute(clamd) else "",
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
