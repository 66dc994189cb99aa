"""Where the roots of machines come from: directories of the user's, and the image ``base``, which is always there."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from cloudmon_providers.local import base

BASE = "base"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def find(folder: str | None, name: str) -> Path | None:
    """The directory of the user's image; None for the built-in one.

    ``LookupError`` when there is no such image. One of the user's that is called like the built-in wins.
    """
    if _NAME.fullmatch(name):
        found = Path(folder) / name if folder is not None else None
        if found is not None and found.is_dir():
            return found
        if name == BASE:
            return None
    raise LookupError(name)


def names(folder: str | None) -> list[str]:
    """All images."""
    own = [path.name for path in Path(folder).iterdir() if path.is_dir()] if folder and Path(folder).is_dir() else []
    return sorted({BASE, *(name for name in own if _NAME.fullmatch(name))})


def lay(image: Path | None, root: Path, *, name: str, node_id: str) -> None:
    """Make the root of a new machine, and tell it who it is, as a first boot does."""
    if image is None:
        _lay_base(root)
    else:
        shutil.copytree(image, root, symlinks=True)
    for each in ("etc", "root", "tmp"):
        (root / each).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    # Written anew and not into what is there: an image may have a link there that leads out of the root.
    for file, text in (("hostname", name), ("machine-id", hashlib.sha256(node_id.encode()).hexdigest()[:32])):
        path = root / "etc" / file
        path.unlink(missing_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")


def _lay_base(root: Path) -> None:
    for each in base.DIRECTORIES:
        (root / each).mkdir(parents=True)
    for file, (text, mode) in base.FILES.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
