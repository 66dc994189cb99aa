"""The harmless file that every scanner takes for malware, put together when it is needed: nothing that holds it may
stand in a repository."""

from __future__ import annotations

import hashlib

PARTS = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE", "!$H+H*")


def content() -> bytes:
    return "".join(PARTS).encode("ascii")


def sha256() -> str:
    return hashlib.sha256(content()).hexdigest()
