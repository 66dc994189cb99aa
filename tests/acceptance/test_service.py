"""``cloudmon run`` as operators meet it: started, asked, changed, disturbed and ended, as a real process."""

from __future__ import annotations

import datetime as dt
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from proxy import Proxy
from served import COMMAND, Estate, terminated, until

from cloudmon import metering
from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.findings import FindingKind
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Dimension

OBEYED_S = 5.0
"""SIGTERM is obeyed within this: the promise of the settings' ``drain_s``."""


def obeys(process: subprocess.Popen[bytes]) -> bool:
    """SIGTERM ends it in good order and in time, give or take what any process of it takes on a busy machine."""
    code, seconds = terminated(process)
    began = time.monotonic()
    subprocess.run([COMMAND, "schema"], stdout=subprocess.DEVNULL, check=True)
    return code == 0 and seconds < OBEYED_S + time.monotonic() - began


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    return Estate(tmp_path)


def test_the_service_does_what_it_is_told_by_commands_and_by_its_settings_file(estate: Estate) -> None:
    """Health, a second monitor, commands beside it with their outcomes, changed and broken settings, apply, the end."""
    night = estate.set("night", 1, 'lease = { duration = "1h" }')
    estate.settings(estate.cloud(), estate.set("shop", 2), night)
    with estate.running() as process:
        until(lambda: estate.runs("shop", 2) and estate.runs("night", 1), "everything runs")
        status, content = estate.asked()
        assert (status, content["status"], content["troubles"]) == (200, "ok", [])
        jobs = {"tick", "requests", "watch", "attend", "notify", "events", "commands"}
        assert {job["name"] for job in content["jobs"]} == jobs

        refused = estate.cli("run", code=1)
        assert f"process {process.pid} on" in refused.stderr
        assert "stop it first" in refused.stderr
        assert refused.stderr.count("\n") == 1

        assert "reboot of 1 appliance done" in estate.cli("act", "shop/1", "reboot", "--reason", "test").stdout
        assert "night now ends at" in estate.cli("sets", "extend", "night", "--by", "10m").stdout
        with estate.store() as store:
            (found,) = (aset for aset in store.sets.active(EVERYONE) if aset.name == "night")
            assert found.lease_end == found.created_at + dt.timedelta(seconds=4_200)
        estate.cli("sets", "pause", "shop/2", "--for", "1h", "--reason", "test")
        assert "there is no set named shp; did you mean shop?" in estate.cli(
            "act", "shp/1", "stop", "--reason", "test", code=1
        ).stderr  # fmt: skip

        estate.settings(estate.cloud(), estate.set("shop", 4), night)
        until(lambda: estate.runs("shop", 4), "the changed settings are taken over")
        estate.settings(estate.cloud(), estate.set("shop", 9), night, "[breakers]\nvanish_fractoin = 1")
        until(lambda: bool(estate.said("the changed settings are refused")), "the broken settings are refused")
        assert "vanish_fractoin" in estate.said("the changed settings are refused")[0]["error"]
        assert estate.runs("shop", 4)

        estate.settings(estate.cloud(), estate.set("shop", 1), night)
        until(lambda: bool(estate.said("took over changed settings")[1:]), "the next ones are taken over")
        until(lambda: _suspicious(estate), "a file that asks for much less is held back")
        assert estate.runs("shop", 4)
        applied = estate.cli("apply", "--yes")
        assert "shop/1" in applied.stdout
        assert estate.runs("shop", 1)
        assert not _suspicious(estate)
        estate.cli("sets", "retire", "night", "--reason", "test", "--yes")
        assert [node.token for node in estate.world().nodes_true() if node.word == "running"] == [
            member.token for member in estate.members("shop")
        ]
        assert (estate.asked()[0], estate.asked()[1]["troubles"]) == (200, [])
        assert obeys(process)
    assert estate.asked() == (0, {})
    with estate.store() as store:
        assert [row.ended_at is not None for row in store.monitors.all(EVERYONE)] == [True]
        assert store.log.verify(EVERYONE) == []


def _suspicious(estate: Estate) -> bool:
    with estate.store() as store:
        return any(found.kind is FindingKind.SUSPICIOUS for found in store.findings.open(EVERYONE))


def test_sigterm_is_obeyed_in_the_middle_of_a_slow_launch_of_many(estate: Estate) -> None:
    """What was not begun is given back; the next monitor launches it, each appliance once."""
    many = estate.set("shop", 60)
    estate.settings(estate.cloud(calls_per_s=2, burst=4), many, call_timeout_s=20)
    with estate.running() as process:
        until(lambda: len(estate.world().nodes_true()) >= 2, "a few nodes are made")
        assert obeys(process)
    begun = estate.world().ledger()
    assert 2 <= len(begun) < 60
    estate.settings(estate.cloud(), many)
    with estate.running() as process:
        until(lambda: estate.runs("shop", 60), "the rest is launched")
        assert terminated(process)[0] == 0
    tokens = [node.token for node in estate.world().ledger()]
    assert len(tokens) == len(set(tokens)) == 60
    assert {node.id for node in begun} <= {member.node_id for member in estate.members("shop")}


def test_a_cloud_that_hangs_holds_up_neither_another_cloud_nor_the_end(estate: Estate) -> None:
    """East is served as if nothing were; the service is healthy, and ends in time with calls still hanging."""
    shop = estate.set("shop", 2, 'clouds = ["east"]')
    estate.settings(estate.cloud("east"), estate.cloud("west"), shop, poll_s=0.5, call_timeout_s=1)
    with estate.hanging("west"), estate.running() as process:
        until(lambda: estate.runs("shop", 2), "east is served")
        estate.world("east").delete_by_hand(estate.members("shop")[0].node_id)
        until(lambda: estate.members("shop")[0].incarnation == 2 and estate.runs("shop", 2), "east is healed")
        status, content = estate.asked()
        assert (status, content["troubles"]) == (200, [])
        with estate.store() as store:
            (found,) = store.findings.open(EVERYONE)
        assert (found.kind, found.subject) == (FindingKind.UNREACHABLE, "cloud:west")
        assert obeys(process)
    with estate.store() as store:
        assert [row.ended_at is not None for row in store.monitors.all(EVERYONE)] == [True]


# --- the store goes away ----------------------------------------------------------------------------------------


class Outage(NamedTuple):
    """A store that can be taken away from the service."""

    estate: Estate
    direct: str
    """URL of the way to it that the test keeps."""
    away: Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["sqlite", "postgresql"])
def outage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outage]:
    if request.param == "sqlite":
        estate = Estate(tmp_path)

        @contextmanager
        def locked() -> Iterator[None]:
            with closing(sqlite3.connect(tmp_path / "cloudmon.db", isolation_level=None, timeout=60)) as somebody:
                somebody.execute("BEGIN EXCLUSIVE")
                yield
                somebody.execute("ROLLBACK")

        yield Outage(estate, estate.url, locked)
        return
    direct: str = request.getfixturevalue("postgres_url")
    proxy = Proxy(direct)

    @contextmanager
    def cut() -> Iterator[None]:
        proxy.cut()
        yield
        proxy.restore()

    yield Outage(Estate(tmp_path, proxy.url), direct, cut)
    proxy.close()


def test_while_the_store_is_away_the_service_watches_on_and_acts_on_nothing(outage: Outage) -> None:
    """It says so, keeps what it sees, changes nothing; then it catches up, and metering has no unmarked hole."""
    estate, direct = outage.estate, outage.direct
    journal = estate.folder / "state" / "journal.jsonl"
    estate.settings(estate.cloud(), estate.set("shop", 2))
    with estate.running() as process:
        until(lambda: estate.runs("shop", 2, direct), "everything runs")
        lost, kept = (member.node_id for member in estate.members("shop", direct))
        with outage.away():
            until(lambda: _troubled(estate, "The store is away"), "health fails")
            assert estate.asked("/livez")[0] == 200
            estate.world().delete_by_hand(lost)
            calls = estate.world().calls
            before = journal.stat().st_size
            until(lambda: journal.stat().st_size > before, "what it sees is kept")
            until(lambda: estate.world().calls["list_nodes"] >= calls["list_nodes"] + 3, "it watches on")
            assert estate.world().calls["create_node"] == calls["create_node"]
            assert len(estate.world().nodes_true()) == 1
            assert process.poll() is None
        until(lambda: estate.asked()[0] == 200, "health is well again")
        until(lambda: estate.runs("shop", 2, direct) and len(estate.world().nodes_true()) == 2, "it heals again")
        assert estate.said("replayed what was seen while the store was away")
        assert journal.stat().st_size == 0 if journal.exists() else True
        _metered_without_a_hole(estate, direct, kept)
        with outage.away():
            until(lambda: _troubled(estate, "The store is away"), "the store is away once more")
            assert obeys(process)
    with estate.store(direct) as store:
        assert store.log.verify(EVERYONE) == []
        launches = [i for i in store.intents.recent(EVERYONE, _hour_ago()) if i.verb is Verb.LAUNCH]
        assert {intent.state for intent in launches} == {IntentState.DONE}
    assert len(estate.world().ledger()) == len(launches) == 3


def _troubled(estate: Estate, trouble: str) -> bool:
    status, content = estate.asked()
    return status == 503 and any(found.startswith(trouble) for found in content["troubles"])


def _hour_ago() -> dt.datetime:
    return dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)


def _metered_without_a_hole(estate: Estate, direct: str, node_id: str) -> None:
    """The node that ran all along is counted from its creation until now; what no span covers is marked."""
    (node,) = (node for node in estate.world().nodes_true() if node.id == node_id)
    now = dt.datetime.now(dt.UTC)
    with estate.store(direct) as store:
        spans = store.spans.of(EVERYONE, "east")
        found = metering.fold(store.usage.events(EVERYONE), lambda cloud: spans, now=now)
        intervals = [i for i in found if i.node_id == node_id and i.dimension is Dimension.NODE_RUNNING]
    assert intervals[0].start == node.created_at.replace(microsecond=0)
    assert [i.end for i in intervals[:-1]] == [i.start for i in intervals[1:]]
    assert intervals[-1].end == now.replace(microsecond=0)
    second = dt.timedelta(seconds=1)
    for interval in intervals:
        for number in range(interval.seconds):
            at = interval.start + number * second
            seen = any(span.since <= at + second and at <= span.until for span in spans)
            assert interval.estimated or seen, f"{at} is said to be measured, and nobody looked"


def test_health_fails_while_the_loop_is_late(tmp_path: Path, postgres_url: str) -> None:
    """A tick that waits for a table is late: 503 until it has ended, then well again; the process lives all along."""
    estate = Estate(tmp_path, postgres_url)
    estate.settings(estate.cloud(), estate.set("shop", 1))
    with estate.running() as process:
        until(lambda: estate.runs("shop", 1), "everything runs")
        with psycopg.connect(postgres_url) as somebody:
            somebody.execute("LOCK TABLE appliances IN ACCESS EXCLUSIVE MODE")
            until(lambda: _troubled(estate, "Job tick is late"), "health fails")
            assert estate.asked("/livez")[0] == 200
            until(lambda: bool(estate.said("the job is late")), "the log says so")
        until(lambda: estate.asked()[0] == 200, "health is well again")
        assert terminated(process)[0] == 0
