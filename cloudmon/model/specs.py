"""Set specs as JSON and back: what the store keeps of a generation and what an apply request carries.

``from_json(to_json(spec)) == spec`` for every spec whose template options are JSON values themselves (lists, not
tuples). Decimals are strings, instants ISO 8601. Fields that a later version added are absent in older JSON and get
their defaults; fields that this version does not know are refused, never dropped.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from cloudmon.model.grants import Access
from cloudmon.model.probes import Probe, Tls
from cloudmon.model.sets import Application, Healing, Job, Lease, Needs, Peers, SetSpec, Template
from cloudmon.model.updates import Updates, Window

T = TypeVar("T")


def to_json(spec: SetSpec) -> dict[str, Any]:
    """``spec`` as values that ``json.dumps`` takes, all fields written out."""
    found = _plain(spec)
    assert isinstance(found, dict)  # noqa: S101  # a dataclass becomes one
    return found


def from_json(value: Mapping[str, Any]) -> SetSpec:
    """The spec that :func:`to_json` wrote. Raises ValueError naming the field that is wrong, missing or unknown."""
    nested: dict[str, Callable[[Any], Any]] = {
        "template": _template,
        "clouds": tuple,
        "lease": _lease,
        "healing": _healing,
        "accounts": lambda found: _each(found, "accounts", _access),
        "maintenance": lambda found: None if found is None else _made(Window, "maintenance", found, {"days": tuple}),
    }
    return _made(SetSpec, "set", value, nested)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _template(value: Mapping[str, Any]) -> Template:
    nested: dict[str, Callable[[Any], Any]] = {
        "needs": _needs,
        "applications": lambda found: _each(found, "applications", _application),
        "files": tuple,
        "jobs": lambda found: _each(found, "jobs", _job),
        "accounts": _patterns,
        "processes": _patterns,
        "updates": lambda found: None if found is None else _made(Updates, "updates", found, {}),
        "probes": lambda found: _each(found, "probes", _probe),
        "peers": lambda found: None if found is None else _made(Peers, "peers", found, {"ports": tuple}),
    }
    return _made(Template, "template", value, nested)


def _application(value: Any) -> Application:
    return _made(Application, "application", value, {"start": tuple, "stop": tuple})


def _job(value: Any) -> Job:
    return _made(Job, "job", value, {"argv": tuple})


def _probe(value: Any) -> Probe:
    return _made(Probe, "probe", value, {"tls": lambda found: None if found is None else _made(Tls, "tls", found, {})})


def _access(value: Any) -> Access:
    return _made(Access, "account", value, {"keys": tuple, "rights": tuple, "until": _instant})


def _patterns(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _each(value: Any, name: str, made: Callable[[Any], T]) -> dict[str, T]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is no JSON object")
    return {key: made(item) for key, item in value.items()}


def _needs(value: Mapping[str, Any]) -> Needs:
    return _made(Needs, "needs", value, {"max_price_per_hour": _decimal, "sizes": tuple, "locations": tuple})


def _lease(value: Mapping[str, Any]) -> Lease:
    return _made(Lease, "lease", value, {"start": _instant, "end": _instant, "warn_s": tuple})


def _healing(value: Mapping[str, Any]) -> Healing:
    return _made(Healing, "healing", value, {"ladder": tuple})


def _made(kind: type[T], name: str, value: Any, nested: Mapping[str, Callable[[Any], Any]]) -> T:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is no JSON object")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(value) - known)
    if unknown:
        raise ValueError(f"{name} has no field {unknown[0]!r}")
    try:
        return kind(**{key: nested[key](item) if key in nested else item for key, item in value.items()})
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"{name}: {error}") from error


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _instant(value: str | None) -> dt.datetime | None:
    return None if value is None else dt.datetime.fromisoformat(value)
