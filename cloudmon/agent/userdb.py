"""The machine's list of users, changed in one of two ways: by the programs that are there for it, or by its files, in a
directory that is the appliance and on machines that have no such programs (BusyBox's are others)."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Callable, Protocol

from . import programs, rooted
from .collect import accounts
from .place import write
from .rooted import Root

OPENED = "*"
"""A password that nothing matches. Unlike a lock (``!``) it lets keys in."""
LOCKED = "!"
FIRST, LAST = 1000, 59_999
"""Numbers of people's accounts."""

Run = Callable[[list[str]], None]
"""Runs a program; OSError, with a sentence, when it does not end well."""


class UserDb(Protocol):
    """What is done to it. OSError, with a sentence, for what cannot be done."""

    def make(self, user: str, uid: int, home: str, shell: str) -> None:
        """A user with a group of its own that has its number and name, and no password."""

    def belong(self, user: str, groups: list[str]) -> None:
        """Let it be in exactly these groups beside its own."""

    def open(self, user: str) -> None:
        """Let its keys count, and no password."""

    def lock(self, user: str) -> None:
        """Let nothing count any more."""

    def remove(self, user: str) -> None:
        """Without its home, and without its group."""

    def remove_group(self, name: str) -> None:
        """One that is nobody's any more."""


NEEDED = ("useradd", "usermod", "userdel", "groupdel")


def of(root: Root, timeout_s: float) -> UserDb:
    """The users of the appliance that ``root`` is; a program has so many seconds."""
    by_programs = not root and all(programs.find(one) is not None for one in NEEDED)
    return Programs(runner(timeout_s)) if by_programs else Files(root)


class Programs:
    """By useradd, usermod and userdel."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def make(self, user: str, uid: int, home: str, shell: str) -> None:
        self._run(["useradd", "-m", "-U", "-u", str(uid), "-d", home, "-s", shell, "-p", OPENED, "--", user])

    def belong(self, user: str, groups: list[str]) -> None:
        self._run(["usermod", "-G", ",".join(groups), "--", user])

    def open(self, user: str) -> None:
        self._run(["usermod", "-p", OPENED, "-e", "", "--", user])

    def lock(self, user: str) -> None:
        self._run(["usermod", "-p", LOCKED, "-e", "1", "--", user])

    def remove(self, user: str) -> None:
        self._run(["userdel", "--", user])

    def remove_group(self, name: str) -> None:
        self._run(["groupdel", "--", name])


def runner(timeout_s: float) -> Run:
    """Runs programs of this machine, for no longer than that."""

    def run(argv: list[str]) -> None:
        if programs.find(argv[0]) is None:
            raise OSError(f"this machine has no {argv[0]}")
        ran = programs.run(argv, timeout_s=timeout_s)
        if ran.error or ran.exit != 0:
            said = rooted.text(ran.output).strip().split("\n")[-1]
            raise OSError(f"{argv[0]}: {ran.error or said or f'ended with {ran.exit}'}")

    return run


class Files:
    """By ``passwd``, ``shadow`` and ``group`` under a root; each is replaced whole."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def make(self, user: str, uid: int, home: str, shell: str) -> None:
        with self._held():
            numbers, _ = accounts.groups(self._bytes("group"))
            if uid in numbers and numbers[uid] != user:
                raise OSError(f"the number {uid} is that of the group {numbers[uid]}")
            if uid not in numbers:
                self._put("group", f"{user}:x:{uid}:")
            self._put("shadow", f"{user}:{OPENED}:20000:0:99999:7:::")
            # Last, since it is what makes an account of it.
            self._put("passwd", f"{user}:x:{uid}:{uid}:cloudmon:{home}:{shell}")

    def belong(self, user: str, groups: list[str]) -> None:
        def changed(words: list[str]) -> list[str]:
            others = [one for one in words[3].split(",") if one and one != user] if len(words) == 4 else []
            if len(words) == 4:
                words[3] = ",".join([*others, *([user] if words[0] in groups else [])])
            return words

        with self._held():
            self._edit("group", changed)

    def open(self, user: str) -> None:
        self._password(user, OPENED)

    def lock(self, user: str) -> None:
        self._password(user, LOCKED)

    def remove(self, user: str) -> None:
        def others(words: list[str]) -> list[str] | None:
            return None if words[0] == user else words

        self.belong(user, [])
        with self._held():
            for name in ("passwd", "shadow"):
                self._edit(name, others)

    def remove_group(self, name: str) -> None:
        with self._held():
            self._edit("group", lambda words: None if words[0] == name else words)

    def _password(self, user: str, password: str) -> None:
        def changed(words: list[str]) -> list[str]:
            return [user, password, *words[2:]] if words[0] == user and len(words) > 1 else words

        with self._held():
            self._edit("shadow", changed)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """As other programs hold it that change these files."""
        path = self._root.inside("/etc/.pwd.lock")
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.lockf(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)

    def _bytes(self, name: str) -> bytes:
        try:
            return self._root.read(f"/etc/{name}")
        except FileNotFoundError:
            return b""

    def _put(self, name: str, line: str) -> None:
        """One more line, in the place of one that begins as it does."""
        user = line.split(":", 1)[0]
        self._edit(name, lambda words: None if words[0] == user else words, line)

    def _edit(self, name: str, changed: Callable[[list[str]], list[str] | None], more: str = "") -> None:
        path = self._root.inside(f"/etc/{name}")
        before = self._bytes(name)
        lines = []
        # As Latin-1, so that bytes that are no text stay as they are.
        for line in before.decode("latin-1").split("\n"):
            words = changed(line.split(":")) if line else None
            if words is not None:
                lines.append(":".join(words))
        after = "".join(f"{line}\n" for line in [*lines, *([more] if more else [])]).encode("latin-1")
        if after == before:
            return
        mode = 0o640 if name == "shadow" else 0o644
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(path).st_mode & 0o777
        write(path, after, mode=mode)
