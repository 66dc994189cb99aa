"""One set of AWS credentials."""

from __future__ import annotations

from typing import NamedTuple


class Credentials(NamedTuple):
    """Never shown."""

    access_key: str
    secret_key: str
    session_token: str | None

    def __repr__(self) -> str:
        return "Credentials(…)"
