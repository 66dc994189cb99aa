"""The agent put together, and its main thread: look, write reports, until it is told to end."""

from __future__ import annotations

import threading
from typing import Any, Callable, NamedTuple

from . import config, enrolling, peers, userdb
from .applications import Applications
from .buffer import Buffer
from .clock import Clock
from .collect import machine
from .collect.processes import Table
from .commands import Commands
from .config import Config
from .controls import Controls
from .granting import Granting
from .installing import Installer
from .keys import Keys
from .log import Log
from .looking import Eyes
from .malware.quarantine import Quarantine
from .malware.watch import Watch
from .place import Place
from .probes import Prober
from .reporting import Reporter
from .rooted import Root
from .sending import Around, Ears, Poller, Sender
from .speaking import Pause, Refused, Speaker, Trouble
from .tokens import Token
from .transport import Line, Unreachable
from .upgrade import Upgrade
from .userdb import UserDb
from .verbs import Verbs

LOOK_S = 2.0
USUAL_INTERVAL_S = 30.0
STARTING_S = 60.0
MOST_NEWS = 10
"""Reports of changes and faults in a minute; what flutters more goes with the regular ones."""
CONFIG = "config.json"
CLOCK = "clock.json"
STARTED = "started.json"
REFUSED_FOR_S = 900.0


class NotEnrolled(Exception):
    """The monitor does not accept the token, or there is none."""


class Given(NamedTuple):
    """What the command line gives."""

    token: Token | None
    interval_s: float
    connect: Callable[[], Line]
    """Opens a new line to the monitor."""


class Agent:
    """One agent. ``serve`` is for the main thread; the others are its own."""

    def __init__(self, place: Place, root: Root, clock: Clock, log: Log, given: Given) -> None:
        self._place = place
        self._root = root
        self._clock = clock
        self._log = log
        self._given = given
        self._interval_s = given.interval_s
        self.stop = threading.Event()
        self._wake = threading.Event()
        self._news = ""
        self._newest: list[float] = []
        self._starting = threading.Lock()
        self._started: dict[str, list[str]] = {}
        """By boot: the applications that were started at it."""
        self.keys = Keys(place)
        self.config = Config()
        self.upgrade = Upgrade(place, clock, log, given.connect)
        self._table = Table(root, clock)
        self._prober = Prober(root, clock, self._wake.set)
        self._applications = Applications(place, root, clock, self._table, self._prober)
        self._controls = Controls(place, self._applications, log)
        self._commands = Commands(place, clock, log, self.upgrade, self._wake.set)
        self._watch = Watch(place, root, clock, log, lambda: Speaker(given.connect(), self.keys, clock), self._wake.set)
        self._eyes = Eyes(place, root, clock, log, self._applications, self._table, self._watch.finds)
        self._buffer = Buffer(place, log)
        self._reporter = Reporter(place, clock, log, self._eyes, self._commands, self._buffer)
        self._ears = Ears(self.keys, self._commands, log, self._configure)
        self._sender = Sender(
            Speaker(given.connect(), self.keys, clock),
            self._ears,
            self._buffer,
            self._reporter,
            clock,
            Around(
                boot=lambda: self._eyes.boot,
                asked=self._wake.set,
                taken=self._taken,
                enrol=self._enrol_again,
            ),
        )
        self._poller = Poller(
            Speaker(given.connect(), self.keys, clock),
            self._ears,
            clock,
            config_hash=lambda: self.config.hash,
            reached=self._sender.free.set,
        )

    @property
    def interval_s(self) -> float:
        """What the config says, else the enrolment, else the command line."""
        return config.bounded(self.config.interval_s or self._interval_s or USUAL_INTERVAL_S)

    def end(self) -> None:
        """Come to an end soon."""
        self.stop.set()
        for event in (self._wake, self._sender.wake, self._sender.free):
            event.set()
        self._prober.stop()
        self._watch.end()

    def arrive(self, *, patient: bool) -> None:
        """Enrol when that was never done, and take up what is stored. ``patient``: wait for a monitor that is away.

        Raises :class:`NotEnrolled`, ``Unreachable`` and ``Trouble`` when not patient.
        """
        told = self._place.load(CLOCK).get("ahead_s", 0.0)
        self._clock.ahead_s = float(told) if isinstance(told, (int, float)) else 0.0
        boot = machine.boot(self._root, self._clock)[0]
        self._applications.wake(boot)
        stored = self._place.load(CONFIG)
        if stored:
            self._configure(stored)
        if not self.keys.known():
            self._enrol(boot, patient=patient)
        self._eyes.arrive()
        verbs = Verbs(
            self._controls,
            Installer(self._place, self._root, self._clock),
            Granting(self._place, self._root, self._clock, self._table, self._users),
            self.upgrade,
            self._table,
            self._clock,
            lambda: self.config,
            self._watch,
            Quarantine(self._place, self._root, self._clock, self._table, self._watch),
        )
        self._commands.arrive(verbs.perform, self._buffer.results())
        self._reporter.arrive(self.keys.instance)

    def _users(self, left_s: float) -> UserDb:
        return userdb.of(self._root, max(1.0, left_s))

    def once(self) -> None:
        """Report once and do nothing else. Raises ``Trouble`` and ``Unreachable``."""
        self._commands.close()
        for name in self._applications.names():
            self._prober.now(name)
        self._applications.look()
        self._reporter.write("start", self.config, self.interval_s)
        while self._sender.step():
            pass

    def serve(self) -> None:
        """Until :meth:`end`, or until another agent is in place."""
        for name, work in (
            ("reports", self._sender.serve),
            ("commands", self._poller.serve),
            ("probes", self._prober.serve),
            ("malware", self._watch.serve),
        ):
            threading.Thread(target=self._for_ever, args=(name, work), name=name, daemon=True).start()
        why = "start"
        due = self._clock.monotonic()
        while not self.stop.is_set() and not self.upgrade.wanted.is_set():
            try:
                if why:
                    due = self._clock.monotonic() + self.interval_s
                    self._reporter.write(why, self.config, self.interval_s)
                    self._sender.wake.set()
                    self._controls.tidy()
                    self._place_clock()
                self._boot_applications()
                self._clock.wait(self._wake, min(LOOK_S, due - self._clock.monotonic()))
                self._wake.clear()
                self.upgrade.look()
                why = self._why(due)
            except Exception as wrong:
                self._log.once("looking", f"{type(wrong).__name__}: {wrong}"[:300])
                self._clock.wait(self.stop, LOOK_S)

    def _for_ever(self, name: str, work: Callable[[threading.Event], None]) -> None:
        """What must go on goes on, whatever happened to it."""
        while not self.stop.is_set():
            try:
                work(self.stop)
            except Exception as wrong:
                self._log.once(name, f"{type(wrong).__name__}: {wrong}"[:300])
                self._clock.wait(self.stop, LOOK_S)

    def _why(self, due: float) -> str:
        """Why a report should be written now; empty when none should be."""
        self._applications.look()
        news = self._applications.news()
        self._news = "fault" if "fault" in (news, self._news) else news or self._news
        if not self._news and self._eyes.changed(self.config):
            self._news = "change"
        now = self._clock.monotonic()
        self._newest = [at for at in self._newest if now - at < 60]
        if self._news and len(self._newest) < MOST_NEWS:
            self._newest.append(now)
            why, self._news = self._news, ""
            return why
        if self._commands.untold() or self._reporter.full_wanted.is_set():
            return "asked"
        if now >= due:
            self._news = ""
            return "interval"
        return ""

    def _taken(self) -> None:
        self.upgrade.proved()
        self._commands.proved()

    def _configure(self, told: dict[str, Any]) -> None:
        """Have another config in force, at once and after a restart. ValueError when it is none."""
        wanted = config.parse(told, starts_at_boot=bool(self._root))
        if wanted.hash == self.config.hash:
            return
        self._place.keep(told, CONFIG)
        self.config = wanted
        self._applications.declare(wanted.applications)
        self._watch.declare(wanted.malware)
        try:
            peers.keep(self._root, wanted.peers)
        except OSError as wrong:
            self._log.once("the directory of peers", f"cannot be kept: {wrong}"[:300])
        self._wake.set()

    def _enrol(self, boot: str, *, patient: bool) -> None:
        if self._given.token is None:
            raise NotEnrolled("this agent is not enrolled yet: give it a token with --enrol")
        speaker = Speaker(self._given.connect(), self.keys, self._clock)
        pause = Pause()
        began = self._clock.monotonic()
        try:
            while True:
                try:
                    told_s = enrolling.enrol(speaker, self.keys, self._given.token, boot, self._configure)
                except Refused as wrong:
                    if not patient or self._clock.monotonic() - began > REFUSED_FOR_S:
                        raise NotEnrolled(
                            "the monitor does not accept the token: it has run out, was used by another agent or is of "
                            "another monitor"
                        ) from wrong
                    self._said(wrong, pause)
                except (Trouble, Unreachable) as wrong:
                    if not patient:
                        raise
                    self._said(wrong, pause)
                else:
                    self._interval_s = told_s or self._interval_s
                    return
                if self.stop.is_set():
                    raise NotEnrolled("ended before the monitor answered")
        finally:
            speaker.close()

    def _said(self, wrong: Exception, pause: Pause) -> None:
        self._log.once("enrolment", str(wrong))
        self._clock.wait(self.stop, pause.after(wrong))

    def _enrol_again(self) -> None:
        """With the token that was given, if any: our key is not accepted any more."""
        if self._given.token is None:
            return
        speaker = Speaker(self._given.connect(), self.keys, self._clock)
        try:
            enrolling.enrol(speaker, self.keys, self._given.token, self._eyes.boot, self._configure)
        finally:
            speaker.close()

    def _place_clock(self) -> None:
        if self._place.load(CLOCK).get("ahead_s") != self._clock.ahead_s:
            self._place.keep({"ahead_s": self._clock.ahead_s}, CLOCK, durable=False)

    def _boot_applications(self) -> None:
        """Start those that want to be started at boot and were not yet in this one, on a thread of their own."""
        told = self._place.load(STARTED) if self.config.applications else {}
        done = told.get("names", []) if told.get("boot") == self._eyes.boot else []
        done = self._started.get(self._eyes.boot, done)
        missing = [one for one in self.config.applications.values() if one.start_at_boot and one.name not in done]
        if missing and self._starting.acquire(blocking=False):
            threading.Thread(target=self._start_all, args=(missing, done), name="starting", daemon=True).start()

    def _start_all(self, missing: list[config.Application], done: list[str]) -> None:
        try:
            for application in missing:
                if application.start or application.service:
                    outcome = self._controls.start(application, self._clock.monotonic() + STARTING_S)
                    if not outcome.ok:
                        self._log.say(f"{application.name} was not started: {outcome.error}")
                done = [*done, application.name]
                self._started[self._eyes.boot] = done
                self._place.keep({"boot": self._eyes.boot, "names": done}, STARTED, durable=False)
                self._wake.set()
        finally:
            self._starting.release()
