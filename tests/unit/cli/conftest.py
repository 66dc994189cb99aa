"""An estate on disk, filled through the store's own verbs, and commands run against it in this process."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloudmon.cli import opening
from cloudmon.cli.app import app
from cloudmon.model.actions import ActionClass, Intent, IntentState, LogEntry, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, HistoryEntry, Incarnation, IncarnationState
from cloudmon.model.changes import Change, Expect
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.offers import Choice, Offer, Price
from cloudmon.model.sets import Control, ControlKind, Lease, SetSpec, Template
from cloudmon.model.usage import Dimension, Mark, UsageEvent, node_event
from cloudmon.settings import load, log_key
from cloudmon.store import Ownership, Store, open_store
from cloudmon.testing.clock import FakeClock

T0 = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)
"""When the estate begins; commands run an hour later."""
NOW = T0 + dt.timedelta(hours=1)

SETTINGS = """
author = "file:shop"
[store]
url = "sqlite:///shop.db"
[monitor]
state_dir = "state"
poll_interval_s = 10
call_timeout_s = 5
health_port = 0
[clouds.east]
provider = "dummy"
listing_lag_s = 1
[clouds.east.options]
world = "east.world"
boot_s = 4
[templates.web]
images = { "*" = "web-1" }
[sets.storefront]
template = "web"
count = 2
"""


def at(minutes: float) -> dt.datetime:
    return T0 + dt.timedelta(minutes=minutes)


@dataclass
class Cli:
    """Runs commands as the shell would."""

    config: Path
    clock: FakeClock
    runner: CliRunner = field(default_factory=CliRunner)

    def __call__(self, *arguments: str, code: int = 0, answer: str | None = None) -> Any:
        """The result of one command, which must end with ``code``."""
        found = self.runner.invoke(app, [*arguments, "-c", str(self.config)], input=answer)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert found.exit_code == code, f"{found.exit_code}: {found.stdout}{found.stderr}"
        return found

    def json(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        found = json.loads(self(*arguments, "-o", "json", code=code).stdout)
        assert isinstance(found, list)
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of commands, an hour after the estate began."""
    found = FakeClock(NOW)
    monkeypatch.setattr(opening, "clock", lambda: found)
    return found


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    config = tmp_path / "shop.toml"
    config.write_text(SETTINGS, encoding="utf-8")
    return Cli(config, clock)


@pytest.fixture
def store(cli: Cli) -> Iterator[Store]:
    """The commands' store."""
    settings = load(cli.config)
    found = open_store(
        settings.store.url_with_password,
        log_key=log_key(settings),
        anchor_dir=settings.monitor.state_dir / "anchors",
        now=T0,
        new_uid=iter_uids(),
    )
    yield found
    found.close()


def iter_uids() -> Callable[[], str]:
    """``aaaaaaaaaaaa``, ``baaaaaaaaaaa`` …"""
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    return lambda: next(letters) + 11 * "a"


@pytest.fixture
def owner(store: Store) -> Ownership:
    """A monitor that ran, and that nobody saw end."""
    return store.monitors.begin(host="there", pid=4711, now=T0)


def offer(size: str, per_hour: str | None) -> Offer:
    price = Price(Decimal(per_hour), "USD", "dummy", dt.date(2026, 1, 1)) if per_hour is not None else None
    return Offer("east", size, "here-1", 1, 2048, 20, price)


def running(uid: str, ordinal: int, node: str) -> Change:
    """Everything that a launch and its confirmation write, at once."""
    appliance = ApplianceId(uid, ordinal)
    token = f"cm1-estate-{uid}-{ordinal}-1"
    intent = Intent(
        f"intent-{ordinal}", appliance, "default", Verb.LAUNCH, ActionClass.SAFE, Origin.WANTED, 1, token, "east", node,
        "is wanted and has no node", {"generation": 1}, at(0), at(5), 1, IntentState.DONE, "east/here-1/small",
        ended_at=at(1),
    )  # fmt: skip
    one = Incarnation(
        uid, ordinal, 1, "default", IncarnationState.LIVE, token, "east", "here-1", "small", "web-1", node,
        ("198.18.0.7",), (), {"key": "east/here-1/small", "price_per_hour": "0.02", "currency": "USD",
                              "source": "dummy", "dated": "2026-01-01"},
        at(0), at(1), None, at(0), None,
    )  # fmt: skip
    state = ApplianceState.RUNNING
    return Change(
        tenant="default",
        appliance=appliance,
        expect=Expect(ApplianceState.REQUESTED, 0),
        member={
            "state": state, "since": at(1), "incarnation": 1, "token": token, "cloud": "east", "location": "here-1",
            "node_id": node,
        },
        history=HistoryEntry(
            uid, ordinal, at(1), ApplianceState.REQUESTED, state, Cause.COMMANDED, "seen for the first time", {}
        ),
        opens_incarnation=one,
        opens_intent=intent,
        usage=(usage(uid, ordinal, node, Mark.BEGAN, at(1)),),
        log=(LogEntry(uid, at(0), "intent.recorded", intent.id, {"ordinal": ordinal, "verb": "launch"}),),
    )  # fmt: skip


def usage(uid: str, ordinal: int, node: str, mark: Mark, when: dt.datetime) -> UsageEvent:
    return node_event(
        tenant="default", set_uid=uid, ordinal=ordinal, incarnation=1, cloud="east", node_id=node,
        dimension=Dimension.NODE_RUNNING, mark=mark, at=when, evidence={"source": "listing"},
    )  # fmt: skip


@pytest.fixture
def estate(store: Store, owner: Ownership) -> Store:
    """``storefront``: 1 runs, 2 is faulted with a reboot under way; 3 waits for its launch. ``ledger``: paused.
    East was seen for half an hour. An orphan, a wild node, an incident."""
    spec = SetSpec("storefront", 3, Template("web", {"*": "web-1"}), lease=Lease(end=at(6000)))
    web = store.sets.put(owner, uid=None, spec=spec, author="file:shop", now=at(0), reason="as file:shop says")
    ledger = store.sets.put(
        owner,
        uid=None,
        spec=SetSpec("ledger", 0, Template("web", {"*": "web-1"}), tenant="books"),
        author="file:shop",
        now=at(0),
    )
    store.controls.lay(owner, Control(0, ControlKind.PAUSE, ledger.uid, None, "ann", "audit", at(2), None), at(2))
    assert all(store.ledger.write(owner, [running(web.uid, 1, "n-1"), running(web.uid, 2, "n-2")], now=at(1)))
    reboot = Intent(
        "intent-9", ApplianceId(web.uid, 2), "default", Verb.REBOOT, ActionClass.DISRUPTIVE, Origin.OBSERVATION, 1,
        "", "east", "n-2", "does not answer", {"rung": 1}, at(20), at(25), 1, IntentState.PERFORMED,
    )  # fmt: skip
    lost = Intent(
        "intent-8", ApplianceId(web.uid, 1), "default", Verb.TERMINATE, ActionClass.DESTRUCTIVE, Origin.OBSERVATION, 1,
        "", "east", "n-0", "second node", {}, at(3), at(5), 1, IntentState.INCIDENT, error="Refused: locked",
    )  # fmt: skip
    fault = Change(
        tenant="default",
        appliance=reboot.appliance,
        expect=Expect(ApplianceState.RUNNING, 1),
        member={"state": ApplianceState.FAULTED, "since": at(20)},
        history=HistoryEntry(
            web.uid, 2, at(20), ApplianceState.RUNNING, ApplianceState.FAULTED, Cause.FAULT, "does not answer",
            {"word": "error"},
        ),
        opens_intent=reboot,
        findings=(
            Finding(FindingKind.FAULT, f"{web.uid}/2", "default", "warning", "its node reads error", {}, at(19)),
        ),
    )  # fmt: skip
    strays = Change(
        tenant="default",
        findings=(
            Finding(FindingKind.ORPHAN, "node:east:n-99", "default", "warning", "no row explains it", {}, at(10)),
            Finding(FindingKind.WILD, "cloud:east", "default", "info", "2 nodes of others", {"nodes": 2}, at(10)),
        ),
    )
    incident = Change(tenant="default", appliance=lost.appliance, opens_intent=lost)
    assert all(store.ledger.write(owner, [fault, strays, incident], now=at(20)))
    store.spans.extend(owner, "east", at(0), max_gap_s=60)
    store.spans.extend(owner, "east", at(30), max_gap_s=3600)
    small, large = offer("small", "0.02"), offer("large", None)
    store.offers.replace("east", [small, large], at(0))
    choices = [Choice(small, True, "1 of 1 that fit"), Choice(large, False, "its price is unknown")]
    store.placements.put(owner, web.uid, 1, choices, at(0))
    return store
