"""Names of a package that are imported when somebody asks for them.

A cloud's library takes up to a second to import, and most commands only check settings: a provider's package names its
options model at once (``settings_model``, which the core finds there) and everything else later.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def names(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A module's ``__getattr__``: finds each name of ``homes`` in the submodule of ``package`` that it stands for."""

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return find
