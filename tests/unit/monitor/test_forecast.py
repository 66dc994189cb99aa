"""What a plan tells of rules: which of them wants what, by which facts, at what price, and what it waits for."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from inhabited import DOWN, Inhabited, up
from pictures import offer

from cloudmon.model.offers import Price
from cloudmon.model.policies import Policy, Remedy
from cloudmon.model.requests import RequestVerb
from cloudmon.monitor.forecast import forecast
from cloudmon.monitor.reports import PlanReport
from cloudmon.reconcile.limits import ClassLimits
from cloudmon.reconcile.wanted import Wanted

SHOWN = replace(DOWN, then=())
FACTS = {'applications["shop"].state': "down"}


class Foreseen(Inhabited):
    """The first appliance's shop is down, and was found so; nothing was done about it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SHOWN)
        self.say(1, up("down"))
        self.tick()

    def plan(self, *then: Remedy, **limits: Any) -> PlanReport:
        """What a plan tells, were this the rule's ladder."""
        policy = replace(
            self.policy,
            rules=(Policy("ours", (replace(DOWN, then=then or DOWN.then),)),),
            limits=replace(self.policy.limits, **limits),
        )
        return forecast(self.memory, self.workers, self.clock, policy, Wanted((), ()), self.clock.now())


@pytest.fixture
def of(tmp_path: Path) -> Foreseen:
    return Foreseen(tmp_path)


def test_a_step_that_a_rule_wants_names_the_rule_and_its_facts(of: Foreseen) -> None:
    (row,) = of.plan().rows
    assert (row.subject, row.action, row.rule, row.facts) == ("storefront/1", "app_restart", "ours/down", FACTS)


def test_a_step_that_a_breaker_holds_does_so_too(of: Foreseen) -> None:
    none = ClassLimits(0, 0, 0, 3600)
    (row,) = of.plan(Remedy("reboot"), disruptive=none).rows
    assert (row.action, row.rule, row.facts) == ("reboot", "ours/down", FACTS)
    assert row.held


def test_a_step_that_no_rule_wants_names_none(of: Foreseen) -> None:
    """Its node is gone, and is launched anew."""
    of.east.nodes.pop(of.members()[1].node_id)
    rows = {row.subject: (row.action, row.rule, row.facts) for row in of.plan().rows}
    assert rows["storefront/2"] == ("launch", "", {})


def test_a_replacement_that_a_rule_wants_tells_what_the_next_node_costs(of: Foreseen) -> None:
    """Of what fits and is offered now, what placement would take."""
    cheap, dear = (
        replace(offer(size), price=Price(Decimal(price), "USD", "dummy", dt.date(2026, 1, 1)))
        for size, price in (("small", "0.04"), ("large", "0.40"))
    )
    of.memory.offers.replace("east", [dear, cheap], of.clock.now())
    (row,) = of.plan(Remedy("replace")).rows
    assert (row.action, row.rule, row.offer) == ("terminate", "ours/down", cheap.key)
    assert row.price is not None
    assert row.price.per_hour == Decimal("0.04")


def test_a_replacement_for_which_nothing_fits_tells_no_price(of: Foreseen) -> None:
    of.memory.offers.replace("east", [replace(offer(), capacity=0)], of.clock.now())
    (row,) = of.plan(Remedy("replace")).rows
    assert (row.action, row.offer, row.price) == ("terminate", "", None)


def test_what_waits_says_for_which_rule(of: Foreseen) -> None:
    of.ask(RequestVerb.PAUSE, "storefront/1", **{"for_s": "3600"})
    of.tick()
    (wait,) = of.plan().waits
    assert (wait.subject, wait.rule) == ("storefront/1", "ours/down")
    assert "the shop is down; held by pause of ann" in wait.reason


def test_an_action_that_is_on_its_way_is_waited_for_by_its_rule(of: Foreseen) -> None:
    of.insides.judged_by([Policy("ours", (DOWN,))])
    of.tick()
    (wait,) = of.plan().waits
    assert (wait.rule, wait.reason) == ("ours/down", "app_restart is on its way inside it")
