"""One simulated guest: the shipped agent's own conversation on a machine that is only told of. It is stepped."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import Any, cast

from cloudmon.agent import enrolling, states, tokens
from cloudmon.agent.buffer import Buffer
from cloudmon.agent.commands import Command
from cloudmon.agent.controls import Outcome
from cloudmon.agent.keys import IDENTITY, Keys
from cloudmon.agent.looking import Eyes
from cloudmon.agent.sending import FAILED, Around, Ears, Poller, Sender
from cloudmon.agent.speaking import LONGEST_PAUSE_S, Speaker
from cloudmon.testing.guests import stock, verbs
from cloudmon.testing.guests.agency import NEVER, QUIET, Answer, Clock, Deeds, Disk, Flag, Scribe, Wire
from cloudmon.testing.guests.faults import Fault, chance
from cloudmon.testing.guests.machine import Machine

USUAL_INTERVAL_S = 30.0
HUNG = dt.timedelta(hours=1)
"""When one that hangs is due again: it is not, but by a boot."""
SHORTEST_DEED_S, LONGEST_DEED_S = 1.0, 5.0
MOST_ROUNDS = 4
"""Full reports that are asked for, one after the other, in one step."""

_TOKEN = re.compile(r"printf '%s' '(cm1\.[^']+)'")
_INTERVAL = re.compile(r" --interval ([0-9]+)")


class Guest:
    """An appliance with an agent, in process. Belongs to one thread at a time.

    Arguments:
        user_data: as the monitor rendered it for this machine; the agent in it enrols with the token in it, and what
            the machine has comes from the configuration that it is then told.
        name: of the machine.
        seed: decides how long commands take, which ones fail at first, and what is struck.
        answer: what the monitor's channel replies; :class:`~cloudmon.testing.guests.Exchange` asks a channel.
        poll_s: between two questions for commands, in seconds. A guest holds no line open: :meth:`ring` is what a reply
            to a long poll is.
        off_s: seconds by which its own clock is ahead.

    ValueError for user data that bring no agent along.
    """

    __slots__ = ("_began", "_boots", "_buffer", "_clock", "_commands", "_disk", "_ears", "_failed", "_interval_s",
                 "_keys", "_poll_at", "_poll_s", "_poller", "_report_at", "_reporter", "_sender", "_speaker", "_token",
                 "_try_at", "machine", "name", "seed")  # fmt: skip

    def __init__(
        self, user_data: str, *, name: str, seed: int, answer: Answer, poll_s: float = 10.0, off_s: float = 0.0
    ) -> None:
        token = _TOKEN.search(user_data)
        if token is None:
            raise ValueError(f"the user data of {name} bring no agent along")
        interval = _INTERVAL.search(user_data)
        self.name = name
        self.seed = seed
        self.machine = Machine(name, seed)
        self._token = tokens.parse(token[1])
        self._interval_s = float(interval[1]) if interval is not None else USUAL_INTERVAL_S
        self._poll_s = poll_s
        self._clock = Clock(off_s)
        self._disk = Disk()
        instance = hashlib.blake2b(f"{seed}|{name}|{token[1]}".encode(), digest_size=16).hexdigest()
        self._disk.store({"instance": instance}, IDENTITY)
        self._keys = Keys(self._disk)
        self._speaker = Speaker(Wire(answer), self._keys, self._clock)
        self._boots = 0
        self._failed = 0
        self._try_at = self._poll_at = self._report_at = 0.0

    # --- for whoever has it -------------------------------------------------------------------------------------------

    def step(self, now: dt.datetime) -> dt.datetime:
        """Do what is due at ``now``, by the true time; when it is due next. Never earlier than it was stepped last."""
        at = self._clock.at = now.timestamp()
        if not self._boots:
            self._boot(at)
        if Fault.SILENT in self.machine.faults:
            return now + HUNG
        self._commands.end()
        self.machine.live(self._clock.now())
        if not self._keys.known():
            self._enrol(at)
        if self._keys.known():
            self._report(at)
            self._send(at)
            self._poll(at)
        left_s = self._next(at) - at
        # Rather a little too late: an instant as a number is not exact to the microsecond.
        return now + dt.timedelta(seconds=left_s, microseconds=2) if left_s > 0 else now

    def strike(self, fault: str, now: dt.datetime) -> None:
        """Something goes wrong, one of :data:`~cloudmon.testing.guests.FAULTS`; the guest is due at once. ValueError
        for a word that is none, and where its template has nothing that it could happen to: :meth:`may_suffer`."""
        self._clock.at = now.timestamp()
        self.machine.strike(Fault(fault), self._clock.now())

    def may_suffer(self, fault: str) -> bool:
        """Whether there is something here that it could happen to: not before it has enrolled."""
        return self.machine.may_suffer(Fault(fault))

    def well(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.machine.faults

    def ring(self) -> None:
        """There may be a command for it: it asks at its next step, and is due at once."""
        self._poll_at = 0.0

    def reboot(self, now: dt.datetime) -> None:
        """Its machine is started again; the guest is due at once. What was wrong in memory only is over, and commands
        that were under way were interrupted."""
        self._boot(now.timestamp())

    # --- steps --------------------------------------------------------------------------------------------------------

    def _boot(self, at: float) -> None:
        self._boots += 1
        self._clock.at = self._clock.booted_at = at
        word = f"{self._keys.instance}|{self._boots}"
        self.machine.up(hashlib.blake2b(word.encode(), digest_size=16).hexdigest(), self._clock.now())
        disk, told = self._disk, self._clock
        self._buffer = Buffer(disk, QUIET)
        self._commands = Deeds(disk, told, self._takes_s)
        self._reporter = Scribe(disk, told, QUIET, cast(Eyes, self.machine), self._commands, self._buffer)
        # Nobody waits for any of these here, and events of threads take more memory than the rest of a guest.
        self._reporter.full_wanted = cast(Any, Flag())
        self._ears = Ears(self._keys, self._commands, QUIET, self._configure)
        around = Around(self._which_boot, NEVER.set, self._commands.proved, self._enrol_again)
        self._sender = Sender(self._speaker, self._ears, self._buffer, self._reporter, told, around)
        self._sender.wake = self._sender.free = NEVER
        self._poller = Poller(self._speaker, self._ears, told, self._config_hash, NEVER.set, wait_s=0)
        self._commands.arrive(self._perform, self._buffer.results())
        self._reporter.arrive(self._keys.instance)
        self._began = False
        self._failed = 0
        self._try_at = self._report_at = at
        self._poll_at = at + self._poll_s * chance(self.seed, "poll")

    def _enrol(self, at: float) -> None:
        if at < self._try_at:
            return
        try:
            self._enrol_again()
        except FAILED as wrong:
            self._later(at, wrong)

    def _report(self, at: float) -> None:
        """Write one where there is something to tell, or it is time."""
        if at >= self._report_at:
            self.machine.breathe()
            self._write("interval" if self._began else "start", at)
        elif self.machine.news:
            self._write(self.machine.news, at)
        elif self._commands.untold() or self._reporter.full_wanted.is_set():
            self._write("asked", at)

    def _write(self, why: str, at: float) -> None:
        self.machine.news = ""
        self._began = True
        self._report_at = at + self.interval_s
        self._reporter.write(why, self.machine.config, self.interval_s)

    def _send(self, at: float) -> None:
        if at < self._try_at or not len(self._buffer):
            return
        try:
            for _ in range(MOST_ROUNDS):
                while self._sender.step():
                    pass
                if not self._reporter.full_wanted.is_set():
                    break
                self._write("asked", at)
            self._failed = 0
        except FAILED as wrong:
            self._later(at, wrong)

    def _poll(self, at: float) -> None:
        if at < self._poll_at or at < self._try_at:
            return
        self._poll_at = at + self._poll_s
        try:
            self._poller.step()
        except FAILED as wrong:
            self._later(at, wrong)

    def _later(self, at: float, wrong: Exception) -> None:
        """It failed: longer each time, and never the same for two guests."""
        self._failed += 1
        usual_s = min(LONGEST_PAUSE_S, 2.0 ** min(self._failed - 1, 10))
        pause_s = usual_s * (0.5 + 0.5 * chance(self.seed, "pause", self._failed))
        self._try_at = at + max(pause_s, getattr(wrong, "retry_after_s", 0.0))

    def _next(self, at: float) -> float:
        if not self._keys.known():
            return self._try_at
        due = [self._report_at, max(self._poll_at, self._try_at)]
        if len(self._buffer):
            due.append(self._try_at)
        if self.machine.news or self._commands.untold() or self._reporter.full_wanted.is_set():
            due.append(at)
        ends_at, lives_at = self._commands.next_at(), self.machine.live(self._clock.now())
        if ends_at is not None:
            due.append(ends_at)
        if lives_at is not None:
            due.append(at + lives_at - self._clock.now())
        return min(due)

    # --- what the agent's parts ask for -------------------------------------------------------------------------------

    @property
    def interval_s(self) -> float:
        """Seconds between two of its reports."""
        return self.machine.config.interval_s or self._interval_s

    def _enrol_again(self) -> None:
        told_s = enrolling.enrol(self._speaker, self._keys, self._token, self.machine.boot, self._configure)
        self._interval_s = told_s or self._interval_s

    def _configure(self, told: dict[str, Any]) -> None:
        wanted = stock.configuration(states.canonical(told))
        if wanted.hash != self.machine.config.hash:
            self.machine.declare(wanted, self._clock.now())

    def _perform(self, verb: str, arguments: dict[str, str], _until: float) -> Outcome:
        return verbs.perform(self.machine, verbs.Asked(verb, arguments, self._clock.now()))

    def _takes_s(self, command: Command) -> float:
        return SHORTEST_DEED_S + (LONGEST_DEED_S - SHORTEST_DEED_S) * chance(self.seed, command.id)

    def _which_boot(self) -> str:
        return self.machine.boot

    def _config_hash(self) -> str:
        return self.machine.config.hash
