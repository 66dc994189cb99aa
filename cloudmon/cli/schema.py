"""``cloudmon schema``: the JSON Schema of settings files, for editors and for reading, and of the facts of rules."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel


class Subject(enum.StrEnum):
    """What there is a schema of."""

    SETTINGS = "settings"
    FACTS = "facts"


def schema(
    of: Annotated[Subject, typer.Argument(help="Settings files, or the facts that rules speak of.")] = Subject.SETTINGS,
) -> None:
    """Print the JSON Schema of settings files, with the options of every installed provider; or that of the facts of an
    appliance, which rules speak of."""
    from cloudmon.detection import schema as facts

    found = facts.json_schema() if of is Subject.FACTS else json_schema()
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


def json_schema() -> dict[str, Any]:
    """The schema. A provider or notifier that cannot be imported is left out: options are then any table."""
    from cloudmon import plugins  # imports pydantic
    from cloudmon.settings import Settings  # imports pydantic-settings
    from cloudmon.settings.described import Described

    found = Settings.model_json_schema(schema_generator=Described)
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["required"] = [key for key in found.get("required", []) if key != "author"]  # the file's name stands in
    _options(found, "CloudSettings", "provider", dict.fromkeys(plugins.providers(), plugins.settings_model))
    _options(found, "NotifySettings", "kind", dict.fromkeys(plugins.notifiers(), plugins.notifier_model))
    _tidy(found)
    return found


def _options(
    found: dict[str, Any], group: str, key: str, installed: Mapping[str, Callable[[str], type[BaseModel]]]
) -> None:
    """What the options of a group's entries may be, by what their ``key`` names."""
    from cloudmon.errors import SettingsError

    names, cases = sorted(installed), []
    for name in names:
        try:
            model = installed[name](name)
        except SettingsError:
            continue
        cases.append(_case(key, name, _hoisted(name, model, found["$defs"])))
    about = found["$defs"][group]
    about["properties"][key]["enum"] = names
    about["allOf"] = cases


def _case(key: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    given = {"properties": {key: {"const": name}}, "required": [key]}
    then: dict[str, Any] = {"properties": {"options": options}}
    if "allOf" in options:
        then["required"] = ["options"]
    return {"if": given, "then": then}


def _hoisted(provider: str, model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a provider's options; its definitions go among ``definitions``, under names of their own."""
    from cloudmon.settings.described import Described

    options = model.model_json_schema(ref_template=f"#/$defs/{provider}.{{model}}", schema_generator=Described)
    definitions |= {f"{provider}.{name}": about for name, about in options.pop("$defs", {}).items()}
    # ``x_file`` reads ``x`` from a file, for any x; so a key that must be given may be given that way too.
    options["patternProperties"] = {"_file$": {"type": "string"}}
    required = options.pop("required", [])
    if required:
        options["allOf"] = [{"anyOf": [{"required": [key]}, {"required": [f"{key}_file"]}]} for key in required]
    return options


_LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def _tidy(found: object) -> None:
    """Put pydantic's own words for limits behind validators into JSON Schema's, and each description on one line;
    refuse names that do not look like names."""
    if isinstance(found, list):
        for part in found:
            _tidy(part)
    if isinstance(found, dict):
        for key, limit in _LIMITS.items():
            if isinstance(found.get(key), int | float):
                found[limit] = found.pop(key)
        if "patternProperties" in found:
            found.setdefault("additionalProperties", False)
        if isinstance(found.get("description"), str):
            found["description"] = " ".join(found["description"].split())
        for part in found.values():
            _tidy(part)
