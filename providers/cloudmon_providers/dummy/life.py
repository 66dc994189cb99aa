"""A machine's life by the clock: orders, boots, stops, deaths, and when the listing gets to know.

No clock is asked here: every function is told the instant, and what happens between two calls is put ahead of the
machine and settled in order of time by the next call.
"""

from __future__ import annotations

import math

from cloudmon_providers.dummy import chance
from cloudmon_providers.dummy.machine import Coming, Machine
from cloudmon_providers.dummy.settings import DummySettings
from cloudmon_providers.dummy.words import (
    FAILED,
    PENDING,
    REBOOTING,
    RESUMING,
    RUNNING,
    STOPPED,
    STOPPING,
    SUSPENDED,
    SUSPENDING,
    TERMINATED,
    TERMINATING,
)

_ORDERS = {
    # verb: (from these words, at once, in the end; and these words mean that there is nothing to do)
    "start_node": ({STOPPED}, PENDING, RUNNING, {RUNNING, PENDING, REBOOTING, RESUMING}),
    "stop_node": ({RUNNING, PENDING, REBOOTING, FAILED, RESUMING}, STOPPING, STOPPED, {STOPPED, STOPPING}),
    "reboot_node": ({RUNNING, FAILED}, REBOOTING, RUNNING, {REBOOTING}),
    "suspend_node": ({RUNNING}, SUSPENDING, SUSPENDED, {SUSPENDED, SUSPENDING}),
    "resume_node": ({SUSPENDED}, RESUMING, RUNNING, {RUNNING, RESUMING}),
}

CRASH = "crash"
"""A death that a reboot heals."""
BREAK = "break"
"""A death that no reboot heals: only another machine does."""
VANISH = "vanish"
"""A death after which there is no machine."""


def born(machine: Machine, at: float, settings: DummySettings) -> None:
    """The machine begins to boot."""
    _move(machine, PENDING, at, settings)
    if chance.draw(settings.seed, "boot hang", machine.id) < settings.faults.boot_hang:
        machine.hung = True
    _expect_fate(machine, "die", at, settings)
    _expect_fate(machine, "hang", at, settings)
    if machine.spot:
        _expect_fate(machine, "reclaim", at, settings)
    _reach(machine, RUNNING, at, settings)


def obeys(machine: Machine, verb: str, at: float, settings: DummySettings) -> bool:
    """Give an order; False when the machine is in no state for it. What is so already is quiet."""
    from_words, passing, final, nothing_to_do = _ORDERS[verb]
    if machine.word in nothing_to_do:
        return True
    if machine.word not in from_words:
        return False
    machine.forget("move")
    _move(machine, passing, at, settings)
    _reach(machine, final, at, settings)
    return True


def end(machine: Machine, at: float, settings: DummySettings) -> None:
    """Begin the end of the machine; it comes even to one that hangs."""
    if machine.word in (TERMINATING, TERMINATED):
        return
    machine.forget("move", "die", "hang", "reclaim")
    machine.hung = False
    _move(machine, TERMINATING, at, settings)
    _reach(machine, TERMINATED, at, settings)


def vanish(machine: Machine, at: float, settings: DummySettings) -> None:
    """Gone at once, as by somebody's hand at the console; the listing shows no trace once it has caught up."""
    machine.forget("move", "die", "hang", "reclaim")
    machine.hung = False
    _record(machine, TERMINATED, at)
    machine.ended = at
    machine.vanished = True
    _show(machine, "", at, settings)


def die(machine: Machine, how: str, at: float, settings: DummySettings) -> None:
    """The machine dies: ``crash``, ``break`` or ``vanish``."""
    if how == VANISH:
        vanish(machine, at, settings)
        return
    machine.forget("move")
    machine.hung = False
    machine.broken = machine.broken or how == BREAK
    _move(machine, FAILED, at, settings)


def hang(machine: Machine) -> None:
    """The machine reads as it does and comes to the end of nothing any more, but for its destruction."""
    if machine.word in (TERMINATING, TERMINATED):
        return
    machine.hung = True
    machine.forget("move")


def settle(machine: Machine, until: float, settings: DummySettings) -> None:
    """Let everything happen that lies ahead up to ``until``."""
    while machine.coming and machine.coming[0].at <= until:
        _happen(machine, machine.coming.pop(0), settings)


def _happen(machine: Machine, coming: Coming, settings: DummySettings) -> None:
    if coming.kind == "show":
        machine.shown = coming.word
        machine.seen = None
    elif coming.kind == "move":
        word = FAILED if machine.broken and coming.word == RUNNING else coming.word
        _move(machine, word, coming.at, settings)
    elif not machine.lives or machine.word in (TERMINATING, TERMINATED):
        return
    elif coming.kind == "reclaim":
        end(machine, coming.at, settings)
    else:
        # Deaths find only machines that run; the next one is drawn at once.
        if machine.word == RUNNING and coming.kind == "hang":
            hang(machine)
        elif machine.word == RUNNING:
            lot = chance.draw(settings.seed, "how", machine.id, machine.turns)
            die(machine, CRASH if lot < 0.5 else BREAK if lot < 0.8 else VANISH, coming.at, settings)
        if machine.lives:
            _expect_fate(machine, coming.kind, coming.at, settings)


def _reach(machine: Machine, word: str, at: float, settings: DummySettings) -> None:
    """Come to ``word`` after this word's delay, unless the machine hangs."""
    if machine.hung:
        return
    delay_s = {
        STOPPED: settings.stop_s,
        SUSPENDED: settings.stop_s,
        TERMINATED: settings.terminate_s,
    }.get(word, settings.boot_s)
    machine.expect(at + delay_s, "move", word)


def _move(machine: Machine, word: str, at: float, settings: DummySettings) -> None:
    machine.boots += word == RUNNING and machine.word in (PENDING, REBOOTING)
    _record(machine, word, at)
    _show(machine, word, at, settings)
    if word == TERMINATED:
        machine.ended = at
        _show(machine, "", at, settings, after_s=settings.terminated_shown_s)


def _record(machine: Machine, word: str, at: float) -> None:
    if machine.began and machine.began[-1][1] == at:
        # Passed through without any time: no stay.
        machine.began.pop()
    if not machine.began or machine.began[-1][0] != word:
        machine.began.append((word, at))
    machine.word = word


def _show(machine: Machine, word: str, at: float, settings: DummySettings, after_s: float = 0) -> None:
    """The listing says so ``after_s`` and this machine's own lag later."""
    if settings.listing_lag_s:
        after_s += settings.listing_lag_s * chance.draw(settings.seed, "lag", machine.id)
    if after_s:
        machine.expect(at + after_s, "show", word)
    else:
        machine.shown = word
        machine.seen = None


def _expect_fate(machine: Machine, kind: str, at: float, settings: DummySettings) -> None:
    per_hour = {
        "die": settings.faults.node_death_per_h,
        "hang": settings.faults.hang_per_h,
        "reclaim": settings.spot_reclaim_per_h,
    }[kind]
    after_s = chance.wait_s(per_hour, settings.seed, kind, machine.id, machine.turns)
    if not math.isinf(after_s):
        machine.expect(at + after_s, kind)


def gone(machine: Machine, now: float, settings: DummySettings) -> bool:
    """True when not even a direct look finds it any more."""
    if machine.ended is None:
        return False
    return machine.vanished or now >= machine.ended + settings.terminated_shown_s
