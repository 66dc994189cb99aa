"""Commands of the monitor: taken once, performed in turn where they touch the same thing, answered as often as asked.

What a command came to is kept by its id, on disk. One that was being performed when the agent was killed is answered
too: that nobody knows.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection
from typing import Any, Callable, NamedTuple

from . import states, verbs, version
from .clock import Clock
from .controls import Outcome
from .log import Log
from .place import Place
from .upgrade import Upgrade

FOLDER = "commands"
MOST_KEPT = 1000
MOST_AT_ONCE = 4
MOST_WAITING = 1000
MOST_TIMEOUT_S = 3600.0
MOST_TEXT = 16 * 1024
MOST_TOLD = 256 * 1024
"""Of results in one report; the others go with the next."""
INTERRUPTED = "interrupted; whether it was performed is not known"

Perform = Callable[[str, dict[str, str], float], Outcome]


class Command(NamedTuple):
    """One command as it was received."""

    id: str
    verb: str
    arguments: dict[str, Any]
    expires_at: float
    timeout_s: float


def parse(told: object) -> Command:
    """ValueError for what has not even an id to answer to."""
    if not isinstance(told, dict) or not isinstance(told.get("id"), str) or not 0 < len(told["id"]) <= 128:
        raise ValueError("a command has an id")
    verb, arguments = told.get("verb"), told.get("arguments", {})
    expires_at, timeout_s = told.get("expires_at"), told.get("timeout_s", 60)
    return Command(
        told["id"],
        verb if isinstance(verb, str) else "",
        arguments if isinstance(arguments, dict) else {"": None},
        states.number(expires_at, 0.0),
        min(max(states.number(timeout_s, 60.0), 1.0), MOST_TIMEOUT_S),
    )


class Commands:
    """What is waiting, what runs, what is to be told and what was."""

    def __init__(
        self,
        place: Place,
        clock: Clock,
        log: Log,
        upgrade: Upgrade,
        told: Callable[[], None],
        *,
        most_kept: int = MOST_KEPT,
    ) -> None:
        """``told`` is called when there is a result to tell; so many results are kept."""
        self._place = place
        self._clock = clock
        self._log = log
        self._upgrade = upgrade
        self._told = told
        self._most_kept = most_kept
        self._lock = threading.Lock()
        self._waiting: list[Command] = []
        self._running: dict[str, str] = {}
        self._pending: dict[str, dict[str, Any]] = {}
        """Results that are in no report yet, by id."""
        self._under_way: set[str] = set()
        """Ids of results that are in a report which was not taken yet."""
        self._kept: dict[str, str] = {}
        """Files of results by id, oldest first."""
        self._closed = False
        self._unproved = ""
        """Id of the command that put this agent in the place of another, until it is seen to work."""
        self._perform: Perform | None = None

    def arrive(self, perform: Perform, under_way: set[str]) -> None:
        """Take up what an earlier agent left. ``under_way``: ids whose results stand in reports that are buffered."""
        self._perform = perform
        self._under_way = set(under_way)
        found = []
        for name in self._place.names(FOLDER):
            record = self._place.load(FOLDER, name)
            if isinstance(record.get("id"), str):
                found.append((float(record.get("at", 0)), name, record))
        for _, name, record in sorted(found, key=lambda one: one[:2]):
            self._kept[record["id"]] = name
            if "result" not in record:
                self._take_up(record)
            elif not record.get("delivered") and record["id"] not in self._under_way:
                self._pending[record["id"]] = record["result"]

    def take(self, told: object, apart: Collection[str] = ()) -> None:
        """Commands as a reply brings them. Known ones are not performed again, those ``apart`` are not looked at."""
        again = False
        for one in told if isinstance(told, list) else []:
            try:
                command = parse(one)
            except ValueError as wrong:
                self._log.once("a command", str(wrong))
                continue
            if command.id not in apart:
                again = self._admit(command) or again
        if again:
            self._told()
        self._advance()

    def have(self) -> list[str]:
        """Ids of commands that run or wait, or whose result is not delivered."""
        with self._lock:
            waiting = [command.id for command in self._waiting]
            return [*waiting, *self._running, *self._pending, *sorted(self._under_way)][:MOST_KEPT]

    def results(self) -> list[dict[str, Any]]:
        """Results for the report that is being written now."""
        with self._lock:
            found: list[dict[str, Any]] = []
            size = 0
            for result in list(self._pending.values()):
                size += len(result["output"]) + 1000
                if found and size > MOST_TOLD:
                    break
                found.append(self._pending.pop(result["id"]))
                self._under_way.add(result["id"])
            return found

    def untold(self) -> bool:
        """Whether there are results that are in no report yet."""
        return bool(self._pending)

    def delivered(self, results: list[dict[str, Any]]) -> None:
        """A report with these was taken."""
        for result in results:
            with self._lock:
                self._under_way.discard(result["id"])
                name = self._kept.get(result["id"])
            if name is not None:
                record = self._place.load(FOLDER, name)
                self._place.keep({**record, "delivered": True}, FOLDER, name, durable=False)

    def returned(self, results: list[dict[str, Any]]) -> None:
        """A report with these was thrown away: they go with the next one."""
        with self._lock:
            for result in results:
                self._under_way.discard(result["id"])
                self._pending[result["id"]] = result

    def close(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._closed = True

    def proved(self) -> None:
        """A report of ours was taken: when we came in the place of another agent, that is now done."""
        name, self._unproved = self._unproved, ""
        if name:
            self._finish(name, Outcome(True, "", None, f"cloudmon-agent {version.VERSION}"))
            with self._lock:
                self._running.pop(name, None)
            self._told()

    def _admit(self, command: Command) -> bool:
        """Queue what is new; True when an old result is to be told again."""
        with self._lock:
            known = [one.id for one in self._waiting]
            if command.id in known or command.id in self._running or command.id in self._under_way:
                return False
            if command.id in self._pending:
                return True
            name = self._kept.get(command.id)
            if name is not None:
                record = self._place.load(FOLDER, name)
                if isinstance(record.get("result"), dict):
                    self._pending[command.id] = record["result"]
                    return True
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(command)
        return False

    def _advance(self) -> None:
        """Begin what can begin: nothing that another one needs for itself, and not too many at once."""
        while True:
            with self._lock:
                command = self._next()
                if command is None:
                    return
                self._waiting.remove(command)
                self._running[command.id] = verbs.lane(command.verb, command.arguments)
            self._start(command)

    def _start(self, command: Command) -> None:
        """Perform it, on a thread of its own."""
        threading.Thread(target=self._run, args=(command,), name="command", daemon=True).start()

    def _next(self) -> Command | None:
        lanes = set(self._running.values())
        if self._closed or len(self._running) >= MOST_AT_ONCE or "*" in lanes:
            return None
        for command in self._waiting:
            lane = verbs.lane(command.verb, command.arguments)
            if lane == "*":
                return command if not self._running else None
            if not lane or lane not in lanes:
                return command
            lanes.add(lane)
        return None

    def _run(self, command: Command) -> None:
        try:
            outcome = self._outcome(command)
            if command.verb == "agent_upgrade" and self._upgrade.wanted.is_set():
                return  # told by the agent that comes after
            self._finish(command.id, outcome)
        except Exception as wrong:
            self._finish(command.id, Outcome(False, f"the agent failed: {type(wrong).__name__}: {wrong}"[:300]))
        finally:
            with self._lock:
                if not (command.verb == "agent_upgrade" and self._upgrade.wanted.is_set()):
                    self._running.pop(command.id, None)
            self._told()
            self._advance()

    def _outcome(self, command: Command) -> Outcome:
        return self._begin(command) or self._performed(command)

    def _performed(self, command: Command) -> Outcome:
        if self._perform is None:
            return Outcome(False, "the agent is not ready")
        return self._perform(command.verb, command.arguments, self._clock.monotonic() + command.timeout_s)

    def _begin(self, command: Command) -> Outcome | None:
        """Written down before it is performed; what it came to where it is not to be."""
        if self._clock.now() >= command.expires_at:
            return Outcome(False, "it expired before it could be performed")
        wrong = verbs.fault(command.verb, command.arguments)
        if wrong:
            return Outcome(False, wrong)
        record = {"id": command.id, "verb": command.verb, "at": self._clock.local(), "before": self._upgrade.current()}
        self._keep(command.id, record)
        return None

    def _take_up(self, record: dict[str, Any]) -> None:
        """A command that an earlier agent began and did not end."""
        if record.get("verb") != "agent_upgrade":
            self._finish(record["id"], Outcome(False, INTERRUPTED))
        elif record.get("before") and record["before"] != self._upgrade.current():
            self._unproved = record["id"]
            self._running[record["id"]] = ""
        else:
            self._finish(
                record["id"], Outcome(False, "the newer agent was no good, and this one is in its place again")
            )

    def _finish(self, name: str, outcome: Outcome) -> None:
        result = {
            "id": name,
            "ok": outcome.ok,
            "exit": outcome.exit,
            "output": _last(outcome.output),
            "error": "" if outcome.ok else (outcome.error or "it failed")[:500],
            "ended_at": round(self._clock.now(), 3),
        }
        self._keep(name, {"id": name, "at": self._clock.local(), "result": result, "delivered": False})
        with self._lock:
            self._pending[name] = result

    def _keep(self, name: str, record: dict[str, Any]) -> None:
        file = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32] + ".json"
        if not self._place.keep(record, FOLDER, file):
            self._log.once("results of commands", "the disk does not take them; they are kept in memory")
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = file
            old = []
            if len(self._kept) > self._most_kept:
                apart = {*self._running, *self._pending, *self._under_way}
                old = [one for one in self._kept if one not in apart][: len(self._kept) - self._most_kept]
            files = [self._kept.pop(one) for one in old]
        for one in files:
            self._place.remove(FOLDER, one)


def _last(text: str) -> str:
    """The last of it, as many bytes as a result may have."""
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= MOST_TEXT else raw[-MOST_TEXT:].decode("utf-8", "ignore")
