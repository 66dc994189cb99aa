"""What a tick reads is found by an index, however many rows of the past there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cloudmon.model import states
from cloudmon.model.guests import GuestState
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Store, open_store
from cloudmon.testing.store_words import START

Read = Callable[[Store], Any]

READS: dict[str, tuple[Read, str]] = {
    "intents.open": (lambda store: store.intents.open(EVERYONE), "ix_intents_open"),
    "intents.commands": (lambda store: store.intents.commands(EVERYONE, ApplianceId("u", 1)), "ix_intents_pending"),
    "intents.incidents": (lambda store: store.intents.incidents(EVERYONE), "ix_intents_open"),
    "intents.recent": (lambda store: store.intents.recent(EVERYONE, START), "ix_intents_created"),
    "intents.telling": (lambda store: store.intents.telling(EVERYONE, START), "ix_intents_created"),
    "intents.of_request": (lambda store: store.intents.of_request(EVERYONE, "r"), "ix_intents_request"),
    "intents.of": (lambda store: store.intents.of(EVERYONE, "u", 1, 5), "ix_intents_member"),
    "incarnations.open": (lambda store: store.incarnations.open(EVERYONE), "ix_incarnations_open"),
    "incarnations.by_token": (lambda store: store.incarnations.by_token(EVERYONE, "t"), "ix_incarnations_token"),
    "requests.open": (lambda store: store.requests.open(EVERYONE), "ix_requests_open"),
    "requests.pending": (lambda store: store.requests.pending(EVERYONE), "ix_requests_open"),
    "findings.open": (lambda store: store.findings.open(EVERYONE), "ix_findings_open"),
    "findings.of_appliance": (lambda store: store.findings.of_appliance(EVERYONE, "u", 1), "ix_findings_subject"),
    "agents.get": (lambda store: store.agents.get(EVERYONE, ApplianceId("u", 1)), "PRIMARY KEY"),
    "agents.enrolment": (lambda store: store.agents.enrolment(EVERYONE, "m-1"), "autoindex_enrolments"),
    "reports.state": (lambda store: store.reports.state(EVERYONE, ApplianceId("u", 1)), "ix_report_snapshots_member"),
    "reports.history": (lambda store: store.reports.history(EVERYONE, ApplianceId("u", 1)), "ix_report_changes_member"),
    "members.get": (lambda store: store.members.get(EVERYONE, ApplianceId("u", 1)), "PRIMARY KEY"),
    "members.history": (lambda store: store.members.history(EVERYONE, "u", 1), "ix_appliance_history_member"),
    "usage.events": (lambda store: list(store.usage.events(EVERYONE)), "ix_usage_events_order"),
}


@pytest.fixture
def store() -> Iterator[Store]:
    one = open_store("memory", log_key=b"key", anchor_dir=None, now=START)
    yield one
    one.close()


def planned(store: Store, read: Read) -> str:
    """How SQLite goes about what ``read`` asks."""
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(store._database.engine, "before_cursor_execute")
    def note(*about: Any) -> None:
        asked.append((about[2], about[3]))

    read(store)
    sa.event.remove(store._database.engine, "before_cursor_execute", note)
    selects = [(sql, values) for sql, values in asked if sql.startswith("SELECT")]
    with store._database.engine.connect() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in selects]
        return "\n".join(str(row[3]) for plan in plans for row in plan)


@pytest.mark.parametrize("verb", sorted(READS))
def test_a_read_uses_its_index(store: Store, verb: str) -> None:
    read, index = READS[verb]
    assert index in planned(store, read)


def test_taking_reports_reads_the_rows_of_their_agents_only(store: Store) -> None:
    owner = store.monitors.begin(host="here", pid=1, now=START)
    plan = planned(store, lambda store: store.reports.snapshot(owner, unheard(), START))
    assert "SEARCH agents USING PRIMARY KEY (set_uid=? AND ordinal=?)" in plan


def unheard() -> GuestState:
    """A state that nobody told."""
    return GuestState(ApplianceId("u", 1), 1, "b", 1, states.state_hash({}), START, START)


def test_usage_and_members_come_in_order_without_sorting(store: Store) -> None:
    for read in (READS["usage.events"][0], lambda store: store.members.all(EVERYONE)):
        assert "TEMP B-TREE" not in planned(store, read)
