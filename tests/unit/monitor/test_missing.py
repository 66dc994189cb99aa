"""An agent that should have come with its node, and never did, is found: nothing that it tells can say so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from inhabited import TEMPLATE, Inhabited, up
from watched import POLL_S

from cloudmon.model.requests import RequestVerb
from cloudmon.settings import policies as policy_settings

BROUGHT = replace(TEMPLATE, agent=True, boot_timeout_s=300)
(MISSING,) = (rule for rule in policy_settings.built_in().policy("built in").rules if rule.name == "report-missing")
SILENT_S = 3 * BROUGHT.report_interval_s + 60
PATIENCE_S = BROUGHT.boot_timeout_s + SILENT_S
FOUND = "storefront/1: its agent was never heard"


class Unheard(Inhabited):
    """Two appliances that run, each launched with an agent; that of the first never comes."""

    policy_name = "built-in"
    """For whose rules nobody is looked at who says nothing, unless he should."""

    def __init__(self, folder: Path, *, agent: bool = True) -> None:
        super().__init__(folder, MISSING, template=replace(BROUGHT, agent=agent), enrolled=(2,))
        self.spoken()

    def spoken(self) -> None:
        self.say(2, up())
        self.tick()

    def wait(self, seconds: float) -> None:
        """Ticks for so long; the second one's agent reports with each."""
        for _ in range(int(seconds // POLL_S)):
            self.spoken()


@pytest.fixture
def of(tmp_path: Path) -> Unheard:
    return Unheard(tmp_path)


def test_an_agent_that_never_came_is_found_after_a_boot_and_three_intervals_and_no_other_is(of: Unheard) -> None:
    of.wait(PATIENCE_S - 4 * POLL_S)
    assert of.found() == []
    of.wait(6 * POLL_S)
    assert of.found() == [FOUND]


def test_one_whose_template_brings_no_agent_is_not_awaited(tmp_path: Path) -> None:
    of = Unheard(tmp_path, agent=False)
    of.wait(2 * PATIENCE_S)
    assert of.found() == []


def test_its_first_report_ends_that(of: Unheard) -> None:
    of.wait(PATIENCE_S + 2 * POLL_S)
    assert of.found() == [FOUND]
    of.enrol(1)
    of.say(1, up())
    of.tick()
    assert of.found() == []


def test_who_is_missing_is_looked_at_once_and_then_left_alone(of: Unheard, monkeypatch: pytest.MonkeyPatch) -> None:
    of.wait(PATIENCE_S + 2 * POLL_S)
    looked: list[object] = []
    monkeypatch.setattr(of.insides.detector, "look", lambda *_, **__: looked.append(1))
    of.tick(3)
    assert looked == []


def test_a_successor_keeps_what_is_open_and_gives_agents_time_to_come_back_before_it_opens_more(of: Unheard) -> None:
    """While no monitor listens, nobody can be heard."""
    of.clock.advance(2 * PATIENCE_S)
    of.monitor = of.inhabited()  # type: ignore[assignment]
    of.tick(int(SILENT_S // POLL_S))
    assert of.found() == []
    of.wait(3 * POLL_S)
    assert of.found() == [FOUND]
    (before,) = of.detected()
    of.monitor = of.inhabited()  # type: ignore[assignment]
    of.wait(2 * SILENT_S)
    assert of.detected() == [before]


def test_what_comes_after_an_isolation_or_in_another_node_has_as_much_time_again(of: Unheard) -> None:
    of.wait(PATIENCE_S + 2 * POLL_S)
    of.ask(RequestVerb.REPLACE, "storefront/1")
    of.wait(8 * POLL_S)
    assert (of.members()[0].incarnation, of.found()) == (2, [])
    of.wait(PATIENCE_S)
    assert of.found() == [FOUND]
    of.ask(RequestVerb.ISOLATE, "storefront/1")
    of.wait(4 * POLL_S)
    assert (str(of.members()[0].state), of.found()) == ("isolated", [])
    of.ask(RequestVerb.RESUME, "storefront/1")
    of.wait(PATIENCE_S - 4 * POLL_S)
    assert (str(of.members()[0].state), of.found()) == ("running", [])
    of.wait(8 * POLL_S)
    assert of.found() == [FOUND]


def test_an_agent_that_was_revoked_on_purpose_is_awaited_no_more(of: Unheard) -> None:
    of.enrol(1)
    of.wait(PATIENCE_S + 2 * POLL_S)
    assert of.found() == [FOUND]
    of.memory.agents.revoke(of.owner, of.id(1), now=of.clock.now(), author="ann", reason="lost")
    of.insides.forget([of.id(1)])
    of.tick()
    assert of.found() == []
