"""Notices that a settings file changed."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from cloudmon.settings import loading, sentences, sources
from cloudmon.settings.root import Settings

Stamp = tuple[int, int, int, int] | None


class SettingsFile:
    """One settings file, and the files it names, watched for changes.

    A reading that fails leaves nothing behind but the memory of what was read: the caller keeps its old settings, and
    :meth:`changed` stays quiet until somebody writes again. Safe to share between threads.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._digests: dict[Path, str] = {self.path: ""}
        self._stamps: dict[Path, Stamp] = {}
        self._lock = threading.Lock()

    def changed(self) -> bool:
        """Whether a file says something else than at the last :meth:`reload`; true before the first.

        Costs one ``stat`` a file as long as nobody touches them.
        """
        with self._lock:
            return any(self._differs(path) for path in self._digests)

    def reload(self) -> Settings:
        """Read everything again. ``SettingsError`` as :func:`cloudmon.settings.load`."""
        with self._lock:
            # Stamps are taken before reading: a write in between is then seen as a change, not lost.
            stamps = {path: _stamp(path) for path in self._digests}
            settings, faults, files = loading.read(self.path)
            self._digests = files.seen
            self._stamps = {path: stamps.get(path, _stamp(path)) for path in files.seen}
        if settings is None or faults:
            raise sentences.several(faults)
        return settings

    def _differs(self, path: Path) -> bool:
        stamp = _stamp(path)
        if path in self._stamps and stamp == self._stamps[path]:
            return False
        files = sources.Files()
        with contextlib.suppress(OSError, UnicodeDecodeError):
            files.text(path)
        if path not in self._stamps or files.seen[path] != self._digests[path]:
            return True
        self._stamps[path] = stamp  # touched, or written with the same content
        return False


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 - follows links: a mounted configuration is switched by its link
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
