"""The JSON Schema of settings, with what each key means taken from the docstring below it.

pydantic reads such docstrings itself (``use_attribute_docstrings``), but whenever a class is made: a sixth of what
every command took to start went into parsing sources, whose meaning only ``cloudmon schema`` and ``init`` ask for.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue


class Described(GenerateJsonSchema):
    """For ``model_json_schema(schema_generator=Described)``: each key has a description."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        """As pydantic makes it, and the docstrings of the attributes in it. A description that is there stays."""
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        abouts = dict(_abouts(model))
        properties = found.get("properties", {})
        for name, field in model.model_fields.items():
            about = properties.get(field.alias or name)
            if about is not None and name in abouts:
                about.setdefault("description", abouts[name])
        return found


def _abouts(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Attributes and their docstrings, those of base classes first. Classes whose source is not there have none."""
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):
            continue
        body = ast.parse(source).body[0]
        assert isinstance(body, ast.ClassDef)  # noqa: S101  # it is the source of one
        for one, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
                if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
                    yield one.target.id, inspect.cleandoc(after.value.value)
