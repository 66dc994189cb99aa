"""The shipped agent's parts where they touch a machine, for a guest that has none: a disk in memory, a clock that is
told the time, a line that is a call, commands that take their time without a thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cloudmon.agent import clock, commands, log, place, reporting, transport, upgrade
from cloudmon.agent.commands import Command
from cloudmon.agent.config import Config
from cloudmon.agent.controls import Outcome
from cloudmon.channel.gate import Head

if TYPE_CHECKING:
    from cloudmon.channel.replies import Reply

Answer = Callable[[Head, bytes], "Reply"]
"""What the monitor's channel replies to a request. Raises OSError where nothing comes back, as a socket does."""

MOST_KEPT = 20
"""Results of commands that a guest remembers."""


class Disk(place.Place):
    """What the agent knows after a boot, in memory."""

    def __init__(self) -> None:
        self._files: dict[str, Any] = {}

    def folder(self, name: str) -> str:
        return name

    def names(self, folder: str) -> list[str]:
        return [name.partition("/")[2] for name in self._files if name.startswith(f"{folder}/")]

    def size(self, *names: str) -> int:
        return 1 if "/".join(names) in self._files else 0

    def load(self, *names: str) -> dict[str, Any]:
        return dict(self._files.get("/".join(names), {}))

    def store(self, value: object, *names: str, durable: bool = True) -> int:  # noqa: ARG002  # memory is
        self._files["/".join(names)] = value
        return 1

    def remove(self, *names: str) -> None:
        self._files.pop("/".join(names), None)


class Clock(clock.Clock):
    """A machine's clock, which may be off. Moved by whoever steps the guest."""

    def __init__(self, off_s: float) -> None:
        super().__init__()
        self.off_s = off_s
        """Seconds by which this machine's own time is ahead of the true one."""
        self.at = 0.0
        self.booted_at = 0.0

    def local(self) -> float:
        return self.at + self.off_s

    def monotonic(self) -> float:
        return self.at

    def since_boot(self) -> float:
        return self.at - self.booted_at


class Quiet(log.Log):
    """Nobody reads what ten thousand agents say."""

    def say(self, line: str) -> None:
        """Nothing."""

    def once(self, about: str, line: str) -> None:
        """Nothing."""

    def well(self, about: str) -> None:
        """Nothing."""


class Wire(transport.Line):
    """Requests as they go over a socket, handed to a call."""

    reused = False

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def close(self) -> None:
        """There is nothing to close."""

    def post(
        self,
        path: str,
        body: bytes,
        headers: dict[str, str],
        *,
        timeout_s: float = transport.TIMEOUT_S,  # noqa: ARG002  # a call is back at once
    ) -> transport.Reply:
        sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        try:
            reply = self._answer(Head(b"POST", path.encode(), b"", sent), body)
        except OSError as wrong:
            raise transport.Unreachable(f"{type(wrong).__name__}: {wrong}") from wrong
        told = {name.decode(): value.decode() for name, value in reply.headers}
        return transport.Reply(reply.status, told, reply.body)


class Scribe(reporting.Reporter):
    """Writes reports; what it remembers of sections that guests share, they share as well."""

    def write(self, why: str, wanted: Config, interval_s: float) -> dict[str, Any]:
        body = super().write(why, wanted, interval_s)
        self._hashes = {name: sys.intern(digest) for name, digest in self._hashes.items()}
        return body


class _NoUpgrade(upgrade.Upgrade):
    """A guest's agent is the one that stands in this process."""

    def __init__(self) -> None:
        self.wanted = NEVER

    def current(self) -> str:
        return ""


class Flag:
    """As much of an event as nobody waits for."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set


class _Never(Flag):
    """One that is never set: what only the agent's own threads wait for."""

    __slots__ = ()

    def set(self) -> None:
        """Nobody waits."""


NEVER: Any = _Never()
QUIET = Quiet()
_NO_UPGRADE = _NoUpgrade()


class Deeds(commands.Commands):
    """Commands that are under way until their time has come: begun when they are taken, performed in :meth:`end`."""

    def __init__(self, disk: Disk, told: Clock, takes_s: Callable[[Command], float]) -> None:
        super().__init__(disk, told, QUIET, _NO_UPGRADE, lambda: None, most_kept=MOST_KEPT)
        self._now = told.monotonic
        self._takes_s = takes_s
        self._begun: list[tuple[float, Command, Outcome | None]] = []

    def next_at(self) -> float | None:
        """When the next one comes to its end."""
        return min((at for at, _, _ in self._begun), default=None)

    def end(self) -> None:
        """Perform those whose time has come."""
        now = self._now()
        for one in [one for one in self._begun if one[0] <= now]:
            self._run(one[1])

    def _start(self, command: Command) -> None:
        # Written down before it is performed: a boot in between finds that it was begun.
        self._begun.append((self._now() + self._takes_s(command), command, self._begin(command)))

    def _outcome(self, command: Command) -> Outcome:
        found = next(one for one in self._begun if one[1] is command)
        self._begun.remove(found)
        return found[2] or self._performed(command)
