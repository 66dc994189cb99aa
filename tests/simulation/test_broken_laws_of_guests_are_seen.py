"""Each law about the insides of appliances is broken on purpose once, as those about clouds are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from simulated import story

from cloudmon.agent import commands
from cloudmon.channel import gate, intake, post, replays
from cloudmon.detection import facts, stepping
from cloudmon.model.actions import GUEST_VERBS
from cloudmon.monitor import hearing, tick
from cloudmon.reconcile import remedies
from cloudmon.store import owned as owning
from cloudmon.store import reports, taking

MOST_SEEDS = 20

Break = Callable[[pytest.MonkeyPatch], None]


def _hands_out_without_writing(patch: pytest.MonkeyPatch) -> None:
    """A command goes to its agent, and that it did is not written down first."""
    patch.setattr(post.Post, "_mark", lambda _self, groups: [[True] * len(group) for group in groups])


def _agents_forget(patch: pytest.MonkeyPatch) -> None:
    """An agent does not keep what it has performed, and says that it has nothing."""
    patch.setattr(commands.Commands, "have", lambda _self: [])

    def admit(self: commands.Commands, command: commands.Command) -> bool:
        if command.id not in self._running:
            self._waiting.append(command)
        return False

    patch.setattr(commands.Commands, "_admit", admit)


def _orders_for_another_node(patch: pytest.MonkeyPatch) -> None:
    """Commands are handed to whoever asks, whatever appliance and node they were meant for."""

    def anybody(self: post.Post, appliance: Any) -> Any:
        found = self._store.agents.get(post.EVERYONE, appliance)
        number = found.incarnation if found is not None else 0
        meant = [one for one in self._store.intents.open(post.EVERYONE) if one.verb in GUEST_VERBS]
        return [dataclasses.replace(one, incarnation=number) for one in meant]

    patch.setattr(post.Post, "_fetch", anybody)


def _takes_again(patch: pytest.MonkeyPatch) -> None:
    """A report whose number was taken already is taken once more."""
    patch.setattr(taking._Head, "fits", lambda self, report: self.revoked_at is None)
    patch.setattr(intake.Intake, "_look", lambda *_: intake.Taking.TAKEN)


def _remembers_no_nonce(patch: pytest.MonkeyPatch) -> None:
    """A request that was taken before is not known again."""
    patch.setattr(replays.Replays, "seen", lambda *_: False)


def _hears_who_was_revoked(patch: pytest.MonkeyPatch) -> None:
    """That an agent was revoked is written down, and nobody heeds it."""
    fits, look = taking._Head.fits, intake.Intake._look
    patch.setattr(gate.Gate, "lapsed", lambda *_: None)
    patch.setattr(
        taking._Head, "fits", lambda self, report: fits(dataclasses.replace(self, revoked_at=None), report)
    )  # fmt: skip

    def heedless(self: intake.Intake, report: Any) -> intake.Taking:
        found = look(self, report)
        return intake.Taking.TAKEN if found is intake.Taking.STRANGE else found

    patch.setattr(intake.Intake, "_look", heedless)


def _keeps_less_than_was_told(patch: pytest.MonkeyPatch) -> None:
    """What is read of an appliance's state is not all that it told."""
    read = reports._state

    def less(*arguments: Any) -> Any:
        found = read(*arguments)
        told = found.sections if found is not None else {}
        kept = {name: section for name, section in told.items() if name != "accounts"}
        return found if found is None else dataclasses.replace(found, sections={**kept, "accounts": {}})

    patch.setattr(reports, "_state", less)


def _believes_for_ever(patch: pytest.MonkeyPatch) -> None:
    """What an appliance said counts however long it has been silent."""
    patch.setattr(facts, "PATIENCE_S", 1e6)
    patch.setattr(hearing, "SILENT_S", 1e6)


def _acts_on_what_was(patch: pytest.MonkeyPatch) -> None:
    """What is found is treated on, though the newest report says that it is over."""
    step = stepping.step

    def on(*arguments: Any, **named: Any) -> stepping.Stepped:
        found = step(*arguments, **named)
        return dataclasses.replace(found, fires=True) if found.event is stepping.Event.STAYS else found

    patch.setattr(stepping, "step", on)


def _findings_stay(patch: pytest.MonkeyPatch) -> None:
    """What is over stays open."""
    not_met = stepping._not_met

    def stays(*arguments: Any, is_open: bool, **named: Any) -> stepping.Stepped:
        found = not_met(*arguments, is_open=is_open, **named)
        return dataclasses.replace(found, event=stepping.Event.STAYS) if is_open else found

    patch.setattr(stepping, "_not_met", stays)


def _treats_nothing(patch: pytest.MonkeyPatch) -> None:
    """What is found is not treated, and nobody says why."""
    patch.setattr(remedies, "treat", lambda *_, **__: None)


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    """What an older monitor's channel writes is taken."""
    patch.setattr(owning.Owned, "write", lambda self, _owner, work: self._write(lambda writing, *_: work(writing)))


def _orders_are_lost(patch: pytest.MonkeyPatch) -> None:
    """Commands are written down, and never handed out nor given up."""
    patch.setattr(post.Post, "_fetch", lambda *_: [])
    patch.setattr(tick.planner.commands, "_over", lambda *_: "")


BREAKS: Sequence[tuple[str, Break, int]] = (
    ("law 5", _hands_out_without_writing, 0),
    ("law 5", _agents_forget, 0),
    ("law 5", _orders_for_another_node, 1),
    ("law 5", _orders_are_lost, 0),
    ("law 6", _no_fence, 0),
    ("law of reports", _takes_again, 0),
    ("law of reports", _remembers_no_nonce, 0),
    ("law of reports", _hears_who_was_revoked, 12),
    ("law of reports", _keeps_less_than_was_told, 2),
    ("law of facts", _believes_for_ever, 28),
    ("law of facts", _acts_on_what_was, 13),
    ("law of findings", _findings_stay, 8),
    ("stuck", _treats_nothing, 17),
)


@pytest.mark.parametrize(("law", "breaks", "first"), BREAKS, ids=[f"{law}{made.__name__}" for law, made, _ in BREAKS])
def test_the_simulation_sees_a_broken_law_about_guests(
    law: str, breaks: Break, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some seed fails with the name of the law that was broken; the first one that is tried did so when this was
    written."""
    breaks(monkeypatch)
    said = []
    for seed in range(first, first + MOST_SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            story.tell(seed, folder, guests=True)
        except Exception as error:
            said.append(str(error).splitlines()[0] if str(error) else type(error).__name__)
            if law in said[-1]:
                return
    pytest.fail(f"{law} was broken and {MOST_SEEDS} seeds did not see it; they said {sorted(set(said))[:5]}")
