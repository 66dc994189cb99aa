"""What a node does, and what becomes of it: its record says what was ordered, its processes say what is so.

Every look brings the two together: a boot that somebody ordered and did not live to begin is begun, an end that takes
too long is forced, what a dead machine left behind is ended. So whoever is killed at any line, the next look of anybody
goes on from there. All of it happens in a turn of the directory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from cloudmon_providers.local import power, processes, words
from cloudmon_providers.local.directory import mounted
from cloudmon_providers.local.record import FROZEN, GONE, OFF, ON, Record, write

_PATIENCE_S = 10.0
"""How long beyond its grace period a machine may take to end before it is ended."""
_ORDERS = {
    # verb: (wanted then, from these words; in these there is nothing to do)
    "start_node": (ON, {words.STOPPED, words.FAILED}, {words.RUNNING, words.REBOOTING}),
    "stop_node": (
        OFF,
        {words.RUNNING, words.REBOOTING, words.FAILED, words.SUSPENDED, words.SUSPENDING},
        {words.STOPPED, words.STOPPING},
    ),
    "reboot_node": (ON, {words.RUNNING, words.FAILED}, {words.REBOOTING}),
    "suspend_node": (FROZEN, {words.RUNNING}, {words.SUSPENDED, words.SUSPENDING}),
    "resume_node": (ON, {words.SUSPENDED, words.SUSPENDING}, {words.RUNNING}),
}


class Node:
    """One node in its directory."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    def look(self, now: float) -> str:
        """The word for what the node does, after everything that was due is done; ``terminated``: it can be buried."""
        wanted = self.record.wanted
        if wanted == GONE:
            return words.TERMINATED if self._down(now) and not mounted(self.folder) else words.TERMINATING
        if wanted == OFF:
            if self.record.rests:
                return words.STOPPED
            if not self._down(now):
                return words.STOPPING
            self._keep(rests=True)
            return words.STOPPED
        if power.booted(self.folder) < self.record.boots and self.record.died < self.record.boots:
            return self._boot(now)
        if not power.is_on(self.folder):
            return self._dead()
        if wanted == ON:
            return words.RUNNING
        return words.SUSPENDED if processes.freeze(self.folder, self.record.id) else words.SUSPENDING

    def obey(self, verb: str, now: float) -> bool:
        """Take an order; False when the node is in no state for it. What is so already is quiet."""
        wanted, from_words, nothing_to_do = _ORDERS[verb]
        word = self.look(now)
        if word in nothing_to_do:
            return True
        if word not in from_words:
            return False
        if verb == "resume_node":
            # Before it is written: who is killed between the two leaves a node that the next look freezes again.
            processes.thaw(self.folder, self.record.id)
        boots = self.record.boots + (verb in ("start_node", "reboot_node"))
        self._keep(wanted=wanted, boots=boots, since=now, rests=False)
        self.look(now)
        return True

    def end(self, now: float) -> None:
        """Order the end."""
        if self.record.wanted != GONE:
            self._keep(wanted=GONE, since=now, rests=False)

    def ended(self, now: float) -> None:
        """It has ended; not written, since its record goes to its tombstone."""
        self.record = dataclasses.replace(self.record, ended=now)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        self._keep(tags={**self.record.tags, **tags})

    def _boot(self, now: float) -> str:
        """A boot is ordered and has not begun: a machine that runs has to end first, and boots again by itself."""
        if power.is_on(self.folder) and not self._overdue(now):
            power.nudge(self.folder)
            return words.REBOOTING
        self._sweep()
        if power.switch_on(self.folder, self.record.id):
            return words.RUNNING if power.booted(self.folder) == self.record.boots else words.REBOOTING
        self._keep(died=self.record.boots)
        return words.FAILED

    def _dead(self) -> str:
        """The machine went without an order, and what it left behind goes with it, as the power would."""
        if self.record.died < self.record.boots and self._sweep():
            self._keep(died=self.record.boots)
        return words.FAILED

    def _down(self, now: float) -> bool:
        """Bring the machine down: True when nothing of it is left."""
        if power.is_on(self.folder) and not self._overdue(now):
            power.nudge(self.folder)
            return False
        return self._sweep()

    def _overdue(self, now: float) -> bool:
        return now >= self.record.since + self.record.grace_s + _PATIENCE_S

    def _sweep(self) -> bool:
        return processes.kill(self.folder, self.record.id)

    def _keep(self, **changes: object) -> None:
        """Write down what changed."""
        self.record = dataclasses.replace(self.record, **changes)  # type: ignore[arg-type]  # named by the callers
        write(self.folder / "node.json", self.record.text())
