"""The process that a node is: boots it, keeps all its processes, ends them and itself when its record says so.

A program of its own (``python -m cloudmon_providers.local.machine <node directory> <lock> <told>``), of the standard
library only. It holds the lock ``run/lock`` as long as it lives, which is how others know; an orphan among its
processes becomes its child, so that none gets away. SIGTERM asks it to do what ``node.json`` says now: nothing, end, or
end everything and boot again. It ends also when its directory goes away.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from cloudmon_providers.local import processes, userdata

READY = b"ready"
"""What the machine says to who started it once its processes can be found, stopped and ended."""
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_S = 2.0
"""How often it looks after its directory and its console."""
_KIN_EVERY = 5
"""Each how many looks it notes processes that have thrown their environment away."""
_PASS_S = 0.05
_CONSOLE_BYTES = 4 * 1024 * 1024
"""Size from which the console begins anew; one earlier part is kept."""
_WAITED = {signal.SIGTERM, signal.SIGCHLD}


def main(arguments: list[str]) -> NoReturn:
    """Begin as the machine of a directory: detached from who started it, then boot."""
    folder, lock, told = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    signal.pthread_sigmask(signal.SIG_SETMASK, _WAITED)
    if told >= 0:
        # Not after a reboot: that goes on in the same process.
        if os.fork():
            os._exit(0)
        os.setsid()
        os.umask(0o022)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for each in (lock, told):
        if each >= 0:
            os.set_inheritable(each, False)
    Machine(folder, lock).run(told)


class Machine:
    """One boot of one node."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder
        self._lock = lock
        self._last: Mapping[str, Any] = {"wanted": "gone"}
        record = self._record()
        self._id: str = record["id"]
        self._boot: int = record["boots"]
        self._grace_s: float = record["grace_s"]
        self._memory: int = record["memory_mib"] * 1024 * 1024

    def run(self, told: int) -> NoReturn:
        """Boot, say so, and be there until the record orders something else."""
        boot_id = str(uuid.uuid4())
        run = self._folder / "run"
        me = processes.read(os.getpid())
        assert me is not None  # noqa: S101 - who runs is there
        _write(run / "kin", "")
        _write(run / "boot_id", boot_id + "\n")
        _write(run / "pid", processes.note(me))
        _write(run / "boot", f"{self._boot}\n")
        _say(f"machine {self._id}: boot {self._boot}, {boot_id}")
        _limit(resource.RLIMIT_DATA, self._memory)
        _limit(resource.RLIMIT_CORE, 0)
        if not os.fork():
            os.close(self._lock)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os._exit(userdata.run(self._folder, self._environment(boot_id), first=self._boot == 1))
        if told >= 0:
            os.write(told, READY)
            os.close(told)
        self._live()

    def _live(self) -> NoReturn:
        looks = 0
        while True:
            found = signal.sigtimedwait(_WAITED, _LOOK_S)
            _bury_children()
            if found is None:
                looks += 1
                self._trim_console()
                if looks % _KIN_EVERY == 1:
                    self._note_kin()
            if found is None or found.si_signo == signal.SIGTERM:
                self._obey()

    def _obey(self) -> None:
        record = self._record()
        if record.get("wanted") in ("on", "frozen") and record["boots"] == self._boot:
            return
        _say(f"machine {self._id}: ending all its processes")
        self._end()
        record = self._record()
        if record.get("wanted") != "on":
            _say(f"machine {self._id}: off")
            os._exit(0)
        os.set_inheritable(self._lock, True)
        again = [sys.executable, "-S", "-P", "-m", "cloudmon_providers.local.machine"]
        os.execv(sys.executable, [*again, str(self._folder), str(self._lock), "-1"])  # noqa: S606 - our own program

    def _end(self) -> None:
        """SIGTERM for every process of the node, SIGKILL after the grace period for those that are left."""
        deadline = time.monotonic() + self._grace_s
        asked: set[tuple[int, int]] = set()
        while True:
            _bury_children()
            living = processes.of_node(self._folder, self._id)
            if not living:
                return
            for process in living:
                if time.monotonic() >= deadline:
                    processes.send(process, signal.SIGKILL)
                elif process.key not in asked:
                    asked.add(process.key)
                    processes.send(process, signal.SIGTERM)
                    processes.send(process, signal.SIGCONT)
            signal.sigtimedwait({signal.SIGCHLD}, _PASS_S)

    def _record(self) -> Mapping[str, Any]:
        """``node.json`` as it is now. Without one it is no node any more; with one that cannot be read it is still."""
        try:
            found: dict[str, Any] = json.loads((self._folder / "node.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {"wanted": "gone"}
        except (OSError, ValueError):
            return self._last
        self._last = found
        return found

    def _environment(self, boot_id: str) -> dict[str, str]:
        """What the node's processes get to see: nothing of who started it."""
        root = str(self._folder / "root")
        return {
            # The last place is that of our own Python, so that a machine without another has one.
            "PATH": f"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{Path(sys.executable).parent}",
            "HOME": f"{root}/root",
            "TMPDIR": f"{root}/tmp",  # noqa: S108 - the node's own
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
            "CLOUDMON_ROOT": root,
            "CLOUDMON_BOOT_ID": boot_id,
            "CLOUDMON_BOOT": str(self._boot),
            processes.MARK: self._id,
        }

    def _note_kin(self) -> None:
        """Note the processes that nobody but their ancestors could tell as the node's, should this one be killed."""
        found = processes.unmarked(processes.of_node(self._folder, self._id), self._id)
        text = "".join(map(processes.note, found))
        path = self._folder / "run" / "kin"
        if path.exists() and path.read_text(encoding="utf-8") != text:
            _write(path, text)

    def _trim_console(self) -> None:
        path = self._folder / "console.log"
        if path.exists() and path.stat().st_size > _CONSOLE_BYTES:
            path.with_suffix(".log.1").write_bytes(path.read_bytes()[-_CONSOLE_BYTES:])
            os.truncate(path, 0)


def _bury_children() -> None:
    """Take note of the children that ended, orphans among them."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def _limit(kind: int, most: int) -> None:
    """Lower a limit, never raise it: who started us may have less."""
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".new-{path.name}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
