"""Every secret that the settings hold, so that none of them is ever shown."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from cloudmon.settings.keys import channel_key_path, log_key_path
from cloudmon.settings.root import Settings

_NAME = re.compile(r"secret|password|passphrase|token|credential", re.IGNORECASE)


def secrets_of(settings: Settings) -> frozenset[str]:
    """Passwords, keys and tokens of the store, the clouds, the action log and the channel, in each form in which a
    library may show them."""
    return frozenset(secret for secret in (*_inside(settings), *_of_store(settings), *_keys(settings)) if secret)


def _inside(value: object, name: str = "") -> Iterator[str]:
    """What is marked as a secret, and text of free tables (arguments of a driver) whose name says that it is one."""
    if isinstance(value, SecretStr):
        yield from _forms(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _inside(getattr(value, field))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _inside(item, str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _inside(item, name)
    elif isinstance(value, str) and _NAME.search(name):
        yield from _forms(value)


def _of_store(settings: Settings) -> Iterator[str]:
    with contextlib.suppress(ValueError):  # the URL's own check speaks of it
        yield from _forms(urlsplit(settings.store.url_with_password).password or "")


def _keys(settings: Settings) -> Iterator[str]:
    for path in (log_key_path(settings), channel_key_path(settings)):
        with contextlib.suppress(OSError):  # there is none yet, or whoever needs it says that it cannot be read
            yield path.read_bytes().strip().decode("utf-8", "replace")


def _forms(secret: str) -> Iterator[str]:
    """As it is, and as URLs have it."""
    yield secret
    yield unquote(secret)
    yield quote(secret, safe="")
