"""The agent as it is shipped: one file that any Python 3.9 or newer runs. The same sources always make the same bytes.

The agent is taken as files and never imported: it is for other machines.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

import cloudmon

NAME = "cloudmon_agent"
SHEBANG = b"#!/usr/bin/env python3\n"

_START = f"import sys\n\nfrom {NAME}.main import main\n\nsys.exit(main())\n"
_EPOCH = (2020, 1, 1, 0, 0, 0)


@functools.cache
def build(url: str = "") -> bytes:
    """The file's bytes. Its version names the sources it was made of, so that two that differ are told apart; ``url``
    is the monitor that it reports to unless it is told another."""
    sources = dict(_sources(resources.files("cloudmon") / "agent", ""))
    written = f'"""Written when this file was built."""\n\nVERSION = "{version()}"\nURL = {url!r}\n'
    sources["version.py"] = written.encode()
    packed = io.BytesIO()
    packed.write(SHEBANG)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        _put(archive, "__main__.py", _START.encode())
        for path in sorted(sources):
            _put(archive, f"{NAME}/{path}", sources[path])
    return packed.getvalue()


@functools.cache
def version() -> str:
    """What the shipped agent says its version is: ``0.1.0+1a2b3c4d``."""
    digest = hashlib.sha256(_START.encode())
    for path, text in sorted(_sources(resources.files("cloudmon") / "agent", "")):
        digest.update(f"{path} {len(text)}\n".encode())
        digest.update(text)
    return f"{cloudmon.__version__}+{digest.hexdigest()[:8]}"


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(".py") and entry.name != "__main__.py":
            yield f"{path}{entry.name}", entry.read_bytes()


def _put(archive: zipfile.ZipFile, path: str, text: bytes) -> None:
    entry = zipfile.ZipInfo(path, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    entry.create_system = 3
    archive.writestr(entry, text)
