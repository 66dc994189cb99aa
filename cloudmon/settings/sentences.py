"""What is wrong with the settings, each fault as one sentence: where, key, value, and the nearest thing that would be
right."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from cloudmon.errors import SettingsError
from cloudmon.plugins import nearest
from cloudmon.settings.groups import shown

Key = tuple[str | int, ...]

NAMED = ("clouds", "templates", "sets", "notify")
"""Groups whose keys are names; in a variable an underscore of such a name stands for its hyphen, and case does not
count."""

MASK = "***"
_SECRET = re.compile(r"secret|password|passphrase|token|credential|user_data|(^|_)key$", re.IGNORECASE)
_LONGEST_VALUE = 60

_MUST: Mapping[str, str] = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "decimal_type": "must be an amount",
    "decimal_parsing": "must be an amount",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "path_type": "must be a path",
    "date_parsing": "must be a date",
    "date_from_datetime_parsing": "must be a date",
    "date_type": "must be a date",
    "too_short": "must not be empty",
}


@dataclass(frozen=True)
class Source:
    """Where settings came from, so that a sentence can say where a fault stands."""

    file: str
    """As the user named it."""
    environment: Mapping[Key, str]
    """Variable by the key that it sets."""
    written: Mapping[str, Any] = field(default_factory=dict)
    """What stands in the file itself, before the environment is put over it."""

    def problem(self, key: Key, what: str, *, value: object = None, with_value: bool = True) -> SettingsError:
        """``<file>: <key> = <value> <what>.`` The value is masked where the key sounds like a secret."""
        dotted = _dotted(key)
        text = ""
        if with_value:
            text = MASK if any(_SECRET.search(str(part)) for part in key) else _text(value)
        variable = self._variable(key)
        place = f"environment variable {variable}" if variable else self.file
        ending = "" if what.endswith(("?", ".")) else "."
        message = f"{place}: {dotted}{f' = {text}' if text else ''} {what}{ending}"
        return SettingsError(message, file="" if variable else self.file, key=dotted, value=text)

    def missing(self, key: Key) -> SettingsError:
        """That a key is not there. Where variables alone made the table that lacks it, they are blamed, not the file:
        it is most often a misspelt name of something that stands there."""
        depth = next((depth for depth in range(1, len(key)) if not self._is_written(key[:depth])), len(key))
        made = key[:depth]
        variable = next((name for at, name in self.environment.items() if at[:depth] == made), None)
        if variable is None:
            return self.problem(key, "is missing", with_value=False)
        dotted = _dotted(key)
        group = self.written.get(str(made[0]))
        named = depth == 2 and made[0] in NAMED and isinstance(group, Mapping)
        near = nearest(str(made[1]), list(group or ())) if named else ""
        message = f"environment variable {variable}: {dotted} is missing, and {self.file} has no {_dotted(made)}{near}"
        return SettingsError(f"{message}{'' if message.endswith('?') else '.'}", file="", key=dotted)

    def _is_written(self, key: Key) -> bool:
        """Whether the file says something at this key."""
        found: Any = self.written
        for part in key:
            found = found.get(part) if isinstance(found, Mapping) else None
        return found is not None

    def _variable(self, key: Key) -> str | None:
        for depth in range(len(key), 0, -1):
            if key[:depth] in self.environment:
                return self.environment[key[:depth]]
        return None


def of_toml(file: str, text: str, error: tomllib.TOMLDecodeError) -> SettingsError:
    """Where the file stops being TOML."""
    what = str(error)
    found = re.search(r"\s*\(at line (\d+), column (\d+)\)$", what)
    if found:
        place = f"line {found[1]}, column {found[2]}"
        what = what[: found.start()]
    else:
        lines = text.split("\n")
        place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
        what = re.sub(r"\s*\(at end of document\)$", ", and the file ends there", what)
    return SettingsError(f"{file}: no valid TOML at {place}: {what[:1].lower()}{what[1:]}.", file=file)


def of_validation(
    error: ValidationError, model: type[BaseModel], source: Source, *, under: Key = ()
) -> list[SettingsError]:
    """One error for each fault that pydantic found in ``model``, whose table stands at the key ``under``."""
    found = []
    for fault in error.errors(include_url=False):
        loc = tuple(part for part in fault["loc"] if part != "[key]")
        key = (*under, *loc)
        kind, context = fault["type"], fault.get("ctx", {})
        if kind == "extra_forbidden":
            near = nearest(str(loc[-1]), _fields_at(model, loc[:-1]))
            # The value of a misspelt secret is a secret still, and nobody knows what a misspelt option was to be.
            hidden = bool(under) or _SECRET.search(near) is not None
            found.append(source.problem(key, f"is an unknown key{near}", value=fault["input"], with_value=not hidden))
        elif kind == "missing":
            found.append(source.missing(key))
        else:
            secret = _is_secret(model, loc)
            value = MASK if secret else fault["input"]
            table = isinstance(value, Mapping | BaseModel)
            found.append(
                source.problem(
                    key or ("settings",), _must(kind, context, fault["msg"]), value=value, with_value=not table
                )
            )
    return found


def several(problems: Sequence[SettingsError]) -> SettingsError:
    """One error out of many, and how many more there are: an unknown key, if there is one, since a misspelt key is
    also why another one is missing; else the first."""
    first = next((problem for problem in problems if " is an unknown key" in problem.message), problems[0])
    if len(problems) == 1:
        return first
    more = f" ({len(problems) - 1} more; `cloudmon doctor` shows all)"
    return SettingsError(first.message + more, file=first.file, key=first.key, value=first.value)


def _must(kind: str, context: Mapping[str, Any], message: str) -> str:
    match kind:
        case "value_error":
            return str(context["error"])
        case "literal_error" | "enum":
            return f"must be one of {context['expected']}"
        case "greater_than_equal":
            return "must not be negative" if context["ge"] == 0 else f"must be at least {context['ge']}"
        case "greater_than":
            return f"must be more than {context['gt']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "less_than":
            return f"must be less than {context['lt']}"
        case "string_pattern_mismatch":
            return f"must look like {context['pattern']}"
        case _:
            return _MUST.get(kind, f"is refused: {message[:1].lower()}{message[1:]}")


def _fields_at(model: type[BaseModel], loc: Key) -> list[str]:
    """Names of the keys that are known in the table at ``loc``."""
    found = _annotation_at(model, loc)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def _is_secret(model: type[BaseModel], loc: Key) -> bool:
    annotation = _annotation_at(model, loc)
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _annotation_at(model: type[BaseModel], loc: Key) -> Any:
    """What kind of value stands at ``loc``; None where the path leaves the known tables."""
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:  # a table by name, or a list: its last argument is the kind of its values
            arguments = [a for a in get_args(here) if a not in (type(None), Ellipsis)]
            here = arguments[-1] if arguments else None
        here = _unwrapped(here)
    return here


def _unwrapped(annotation: Any) -> Any:
    """The table inside ``Table | None`` and ``Annotated[Table, …]``."""
    for argument in get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel) and len(get_args(annotation)) == 2:
            if type(None) in get_args(annotation) or hasattr(annotation, "__metadata__"):
                return argument
    return annotation


def _dotted(key: Key) -> str:
    return ".".join(_bare(part) for part in key)


def _bare(part: str | int) -> str:
    text = str(part)
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else f'"{text}"'


def _text(value: object) -> str:
    """``value`` much as TOML writes it, on one line, not too long, and without passwords in URLs."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        value = f'"{shown(value)}"'
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
