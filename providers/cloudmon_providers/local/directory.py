"""The directory that a local cloud lives in: whose it is, whose turn it is, and what lies where.

    <directory>.lock        held by whoever acts or looks; says which cloud was made here, so that one that has gone
                            is an error and never an empty cloud
    <directory>/cloud.json  the cloud's own id
    nodes/<id>/             a node: node.json, root/, user-data, console.log, run/
    ended/<id>.json         a node that was: its tombstone
    making/, trash/         what is not yet a node, and what is none any more; whatever a turn finds there it removes

Everything is moved into its place whole, so a process that is killed at any line leaves a node or none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudmon_providers.local import record

_PARTS = ("nodes", "ended", "making", "trash")
_FORMAT = 1
_PASS_S = 0.01


class DirectoryError(Exception):
    """The directory is not what it has to be."""

    def __init__(self, code: str, message: str, *, definite: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.definite = definite
        """True where this will not get better by itself."""


class Directory:
    """The place of one local cloud. Nothing is held between two turns."""

    def __init__(self, path: str, *, timeout_s: float) -> None:
        self.path = Path(path)
        self._lock = self.path.with_name(self.path.name + ".lock")
        self._timeout_s = timeout_s

    @contextmanager
    def turn(self, *, make: bool = False) -> Iterator[str]:
        """The turn of one call, of all processes and threads: the id of the cloud, empty while none was made here.

        Arguments:
            make: make the cloud where there is none.

        ``DirectoryError`` when the cloud that was made here has gone, when something else is in its place, or when
        others keep it busy for longer than the time-out.
        """
        if not make and not self._lock.exists() and not (self.path / "cloud.json").exists():
            yield ""
            return
        handle = self._locked()
        try:
            found = self._opened(handle, make=make)
            if found:
                self._sweep()
            yield found
        finally:
            os.close(handle)

    # --- places ---------------------------------------------------------------------------------------------------

    def node(self, node_id: str) -> Path:
        return self.path / "nodes" / node_id

    def tombstone(self, node_id: str) -> Path:
        return self.path / "ended" / f"{node_id}.json"

    def nodes(self) -> list[str]:
        """Ids of the nodes that have a directory."""
        return sorted(entry.name for entry in os.scandir(self.path / "nodes"))

    def tombstones(self, since: float) -> list[Path]:
        """Those of nodes that ended after this instant."""
        return [Path(entry) for entry in os.scandir(self.path / "ended") if entry.stat().st_mtime > since]

    @contextmanager
    def making(self, node_id: str) -> Iterator[Path]:
        """A directory that becomes the node's when the block ends well, and otherwise never was."""
        fresh = self.path / "making" / node_id
        try:
            fresh.mkdir(mode=0o700)
            yield fresh
            fresh.rename(self.node(node_id))
        except BaseException:
            _remove(fresh)
            raise

    def bury(self, ended: record.Record, keep_s: float) -> None:
        """Leave a tombstone in place of the node, and forget those older than ``keep_s``."""
        assert ended.ended is not None  # noqa: S101 - it has ended
        path = self.tombstone(ended.id)
        record.write(path, ended.text())
        os.utime(path, (ended.ended, ended.ended))
        grave = self.path / "trash" / f"{ended.id}-{secrets.token_hex(4)}"
        self.node(ended.id).rename(grave)
        _remove(grave)
        for entry in list(os.scandir(self.path / "ended")):
            if entry.stat().st_mtime < ended.ended - keep_s:
                Path(entry).unlink(missing_ok=True)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _locked(self) -> int:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._timeout_s
        while True:
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Removed by somebody while we waited: that one excludes nobody.
                if _same(handle, self._lock):
                    return handle
            except BlockingIOError:
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
            if time.monotonic() > deadline:
                raise DirectoryError("Busy", f"{self.path} is kept busy by other processes")
            time.sleep(_PASS_S)

    def _opened(self, handle: int, *, make: bool) -> str:
        was = os.pread(handle, 200, 0).decode(errors="replace").strip()
        found = self._cloud()
        if was and found != was:
            gone = "has gone" if not found else "is another cloud's now"
            raise DirectoryError(
                "DirectoryGone", f"{self.path} {gone}; bring it back, or remove {self._lock} to begin anew"
            )
        if not found and make:
            found = self._make()
        if found and not was:
            os.pwrite(handle, f"{found}\n".encode(), 0)
        return found

    def _cloud(self) -> str:
        try:
            found = json.loads((self.path / "cloud.json").read_text(encoding="utf-8"))
            if found["format"] != _FORMAT:
                raise DirectoryError("DirectoryTooNew", f"{self.path} was made by another version", definite=True)
            return str(found["id"])
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except (ValueError, KeyError, TypeError) as error:
            raise DirectoryError("DirectoryDamaged", f"{self.path / 'cloud.json'} is damaged: {error}") from error

    def _make(self) -> str:
        """Make the cloud; what a process that was killed here had begun is taken over."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        strange = [path.name for path in self.path.iterdir() if path.name not in _PARTS and path.name[:5] != ".new-"]
        if strange:
            what = f"{self.path} is no local cloud and not empty; name a directory of its own"
            raise DirectoryError("DirectoryNotEmpty", what, definite=True)
        for part in _PARTS:
            (self.path / part).mkdir(mode=0o700, exist_ok=True)
        found = secrets.token_hex(8)
        record.write(self.path / "cloud.json", json.dumps({"format": _FORMAT, "id": found}) + "\n")
        return found

    def _sweep(self) -> None:
        for part in ("making", "trash"):
            for entry in list(os.scandir(self.path / part)):
                _remove(Path(entry))


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def mounted(folder: Path) -> bool:
    """Whether something is mounted in a directory, so that removing it would remove what is there."""
    inside = os.path.realpath(folder) + os.sep
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    places = (line.split()[4].encode().decode("unicode_escape") for line in text.splitlines())
    return any((place + os.sep).startswith(inside) for place in places)


def _remove(path: Path) -> None:
    """Remove a directory, whatever modes its parts have; what cannot be removed the next turn tries again."""
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        return
    with contextlib.suppress(OSError):
        path.chmod(stat.S_IRWXU)
        for folder, parts, _ in os.walk(path):
            for part in parts:
                inner = Path(folder, part)
                if not inner.is_symlink():
                    inner.chmod(stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=True)
