"""An agent that fell silent is found; one that nobody could hear is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from inhabited import TEMPLATE, Inhabited, up
from watched import POLL_S

from cloudmon.settings import policies as policy_settings

(SILENT,) = (rule for rule in policy_settings.built_in().policy("built in").rules if rule.name == "report-silent")
SILENT_S = 3 * TEMPLATE.report_interval_s + 60
FOUND = "storefront/2: its agent has fallen silent"


class Heard(Inhabited):
    """Two appliances whose agents have spoken."""

    policy_name = "built-in"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SILENT, template=replace(TEMPLATE, agent=True))
        self.wait(2 * POLL_S, 1, 2)

    def wait(self, seconds: float, *spoken: int) -> None:
        """Ticks for so long; these agents report with each."""
        for _ in range(int(seconds // POLL_S)):
            for ordinal in spoken:
                self.say(ordinal, up())
            self.tick()

    def succeeded(self) -> None:
        """Another monitor comes in the place of this one."""
        self.monitor = self.inhabited()  # type: ignore[assignment]


@pytest.fixture
def of(tmp_path: Path) -> Heard:
    return Heard(tmp_path)


def test_one_that_falls_silent_is_found_and_one_that_speaks_is_not(of: Heard) -> None:
    of.wait(SILENT_S - 2 * POLL_S, 1)
    assert of.found() == []
    of.wait(4 * POLL_S, 1)
    assert of.found() == [FOUND]
    of.wait(POLL_S, 1, 2)
    assert of.found() == []


def test_nobody_has_fallen_silent_because_no_monitor_listened(of: Heard) -> None:
    """Who speaks no more is found as late as if he had been silent since the monitor came."""
    of.clock.advance(10 * SILENT_S)
    of.succeeded()
    of.wait(SILENT_S - POLL_S, 1)
    assert of.found() == []
    of.wait(4 * POLL_S, 1)
    assert of.found() == [FOUND]


def test_what_was_found_before_stays_found_through_another_monitor(of: Heard) -> None:
    of.wait(SILENT_S + 3 * POLL_S, 1)
    (before,) = of.detected()
    assert before.message == FOUND
    of.succeeded()
    of.wait(2 * SILENT_S, 1)
    assert of.detected() == [before]
    of.wait(POLL_S, 1, 2)
    assert of.detected() == []
