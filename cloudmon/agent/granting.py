"""Accounts that the monitor grants, and what becomes of them when it takes them back.

The agent keeps a record of the accounts that it made, by name and number. Those it keeps as the monitor says; any other
it never changes, and takes away only when it is told to, by name.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from typing import Callable

from . import ending, logins, userdb
from .clock import Clock
from .collect import accounts
from .collect.accounts import Account
from .collect.processes import Table
from .controls import Outcome
from .place import Place, write
from .rooted import Root
from .userdb import UserDb

RECORD = "accounts.json"
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
HOMES = "/home"
SUDO = ("sudo", "wheel")
"""Groups of people who may become root; systems have one or the other."""
SUDOERS = "/etc/sudoers.d"
SHELLS = ("/bin/bash", "/bin/sh")


def made(place: Place) -> dict[str, int]:
    """The accounts that the agent made, with their numbers."""
    return {name: uid for name, uid in place.load(RECORD).items() if isinstance(uid, int)}


def home_of(user: str) -> str:
    """Where the home is of an account that the agent makes."""
    return f"{HOMES}/{user}"


class Granting:
    """Makes accounts, keeps them, and takes them away."""

    def __init__(self, place: Place, root: Root, clock: Clock, table: Table, users: Callable[[float], UserDb]) -> None:
        """``users`` is given the seconds that there are."""
        self._place = place
        self._root = root
        self._clock = clock
        self._table = table
        self._users = users

    def grant(self, user: str, keys: str, rights: str, until: float) -> Outcome:
        """Let there be this account, opened by these keys and no others, in these groups and no others."""
        try:
            lines = logins.keys(keys)
            return self._grant(user, lines, self._groups(rights), until)
        except (OSError, ValueError) as wrong:
            return Outcome(False, _sentence(wrong))

    def revoke(self, user: str, until: float, *, only_made: bool) -> Outcome:
        """Let there be no such account: locked first, then taken away.

        ``only_made``: one that the agent did not make stays as it is.
        """
        try:
            return self._revoke(user, until, only_made=only_made)
        except OSError as wrong:
            return Outcome(False, _sentence(wrong))

    def _grant(self, user: str, lines: list[str], groups: list[str], until: float) -> Outcome:
        if not USER.fullmatch(user):
            return Outcome(False, f"{user[:64]!r} is no name for an account")
        everyone, record, home = self._everyone(), made(self._place), home_of(user)
        found = everyone.get(user)
        if found is not None and record.get(user) != found.uid:
            return Outcome(False, f"there is an account {user} that cloudmon did not make; it is left as it is")
        users = self._users(until - self._clock.monotonic())
        if found is None:
            taken = self._taken(user)
            if user not in record and taken:
                return Outcome(False, f"there is {taken} already, which is somebody else's")
            uid = self._number(record.get(user), everyone)
            # Written down before it is made: whatever happens then, it is known whose it is.
            self._place.store({**record, user: uid}, RECORD)
            shell = next((one for one in SHELLS if self._root.exists(one)), SHELLS[-1])
            users.make(user, uid, home, shell)
            found = self._everyone().get(user)
            if found is None or found.uid != uid:
                return Outcome(False, f"the account {user} was made and is not there")
        users.belong(user, groups)
        users.open(user)
        self._sudo(user, wanted=any(one in SUDO for one in groups))
        self._open_home(found, lines)
        return Outcome(True)

    def _revoke(self, user: str, until: float, *, only_made: bool) -> Outcome:
        found, record = self._everyone().get(user), made(self._place)
        if found is None:
            self._forget(user, record)
            return Outcome(True, output=f"there is no account {user}")
        ours = record.get(user) == found.uid
        if only_made and not ours:
            return Outcome(False, f"cloudmon did not make the account {user}; it is left as it is")
        if found.uid == 0 or (not self._root and found.uid == os.geteuid()):
            return Outcome(False, f"the account {user} is the system's or the agent's own, and stays")
        users = self._users(until - self._clock.monotonic())
        users.lock(user)
        if found.home.startswith("/"):
            logins.take_away(self._root, found.home)
        self._sudo(user, wanted=False)
        self._end_processes(found)
        users.remove(user)
        if self._left_alone(found):
            users.remove_group(user)
        if ours:
            self._remove_home(found)
            self._forget(user, record)
        return Outcome(True)

    def _everyone(self) -> dict[str, Account]:
        return {one.name: one for one in reversed(accounts.passwd(self._root.read("/etc/passwd")))}

    def _groups(self, rights: str) -> list[str]:
        """Names of groups that are here. ValueError for one that is not."""
        names = set(accounts.groups(self._root.read("/etc/group"))[0].values())
        found = []
        for word in filter(None, (one.strip() for one in rights.split(","))):
            there = next((one for one in (SUDO if word == "sudo" else (word,)) if one in names), None)
            if there is None:
                raise ValueError(f"there is no group {word[:64]!r} here")
            found.append(there)
        return sorted(set(found))

    def _number(self, before: int | None, everyone: dict[str, Account]) -> int:
        taken = {one.uid for one in everyone.values()} | accounts.groups(self._root.read("/etc/group"))[0].keys()
        if before is not None and before not in taken:
            return before
        return next(uid for uid in range(userdb.FIRST, userdb.LAST) if uid not in taken)

    def _taken(self, user: str) -> str:
        """What stands in the way of a new account; empty when nothing does."""
        home = home_of(user)
        if os.path.lexists(f"{self._root.inside(HOMES)}/{user}"):
            return f"a {home}"
        names = accounts.groups(self._root.read("/etc/group"))[0].values()
        return f"a group {user}" if user in names else ""

    def _left_alone(self, gone: Account) -> bool:
        """Whether the group of its own that an account had is still there, and nobody's any more."""
        names, members = accounts.groups(self._root.read("/etc/group"))
        others = any(one.gid == gone.gid for one in self._everyone().values())
        named = any(gone.name in found for user, found in members.items() if user != gone.name)
        return names.get(gone.gid) == gone.name and not others and not named

    def _owner(self, found: Account) -> tuple[int, int] | None:
        """None where nothing can be given away: in a directory of a user who is not root."""
        return None if self._root and os.geteuid() != 0 else (found.uid, found.gid)

    def _open_home(self, found: Account, lines: list[str]) -> None:
        owner = self._owner(found)
        parent = self._parent(found.home)
        try:
            name = os.path.basename(found.home)
            fresh = False
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent)
                fresh = True
            home = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            if owner is not None and fresh:
                os.fchown(home, *owner)
            elif owner is not None and os.fstat(home).st_uid not in {found.uid, 0}:
                raise OSError(f"{found.home} is somebody else's")
            # Else the key would not be believed: a home that others may write in is no safe place for it.
            os.fchmod(home, os.fstat(home).st_mode & 0o755)
            logins.write(home, lines, owner)
        finally:
            os.close(home)

    def _parent(self, home: str) -> int:
        path = os.path.dirname(home)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._root.inside(path), 0o755)
        return logins.folder(self._root, path)

    def _sudo(self, user: str, *, wanted: bool) -> None:
        """An account without a password can become root only where it is asked for none."""
        path = self._root.inside(f"{SUDOERS}/cloudmon-{user}")
        if not wanted or not os.path.isdir(os.path.dirname(path)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)
            return
        write(path, f"{user} ALL=(ALL:ALL) NOPASSWD: ALL\n".encode(), mode=0o440)

    def _end_processes(self, found: Account) -> None:
        if self._root:
            return  # whoever runs there is one and the same user of the machine
        left = []
        for pid, process in self._table.scan().items():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}").st_uid == found.uid:
                    left.append(process)
        ending.end(left, self._clock, patience_s=2.0)

    def _remove_home(self, found: Account) -> None:
        """The home that we made, if it is still it. What cannot be removed stays: the account is gone all the same."""
        path = self._root.inside(HOMES) + "/" + found.name
        with contextlib.suppress(OSError):
            there = os.stat(path, follow_symlinks=False)
            if found.home == home_of(found.name) and stat.S_ISDIR(there.st_mode):
                shutil.rmtree(path)

    def _forget(self, user: str, record: dict[str, int]) -> None:
        if user in record:
            self._place.store({name: uid for name, uid in record.items() if name != user}, RECORD)


def _sentence(wrong: Exception) -> str:
    if isinstance(wrong, OSError) and wrong.strerror:
        return f"{wrong.filename}: {wrong.strerror}" if wrong.filename else wrong.strerror
    return str(wrong)
