"""What ``/healthz`` and ``/livez`` answer."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from cloudmon import logs
from cloudmon.api import app as api
from cloudmon.api.server import Server, serve
from cloudmon.errors import SettingsError
from cloudmon.model.health import CloudHealth, HealthView, JobHealth, StoreHealth, WorkersHealth

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
TICK = JobHealth("tick", 15, 60, late=False, last_success_at=NOW, runs=3)
WELL = HealthView(
    at=NOW,
    jobs=(TICK,),
    workers=(WorkersHealth("east", 8, 1, 0, 0),),
    clouds=(CloudHealth("east", last_listing_at=NOW, calls=12),),
    store=StoreHealth("sqlite:///var/cloudmon.db", reachable=True),
    estate="aaaaaaaaaaaa",
    monitor_id="m1",
    epoch=4,
    started_at=NOW,
)


class Told:
    """The health that the app is told, and the server it answers through."""

    def __init__(self) -> None:
        self.view = WELL
        self.error: Exception | None = None
        self.hold: threading.Event | None = None
        self.server: Server = serve(api.application(self, mask=logs.Mask(["swordfish"])), "127.0.0.1", 0)

    def __call__(self) -> HealthView:
        if self.hold is not None:
            self.hold.wait()
        if self.error is not None:
            raise self.error
        return self.view

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        answer = httpx.get(f"http://127.0.0.1:{self.server.port}{path}", timeout=30, trust_env=False)
        return answer.status_code, answer.json()


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.server.stop()


def test_a_monitor_that_does_its_work_is_well(told: Told) -> None:
    status, said = told.get("/healthz")
    assert (status, said["status"], said["troubles"]) == (200, "ok", [])


def test_the_answer_says_how_each_job_cloud_and_the_store_are(told: Told) -> None:
    _, said = told.get("/healthz")
    assert said["jobs"][0]["last_success_at"] == "2026-03-01T12:00:00+00:00"
    assert said["jobs"][0]["late"] is False
    assert said["clouds"][0]["last_listing_at"] == "2026-03-01T12:00:00+00:00"
    assert said["store"]["reachable"] is True
    assert (said["epoch"], said["estate"], said["monitor_id"]) == (4, "aaaaaaaaaaaa", "m1")
    assert said["workers"][0]["stuck"] == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        pytest.param({"jobs": (TICK, replace(TICK, name="offers", late=True))}, "offers", id="job-late"),
        pytest.param({"store": StoreHealth("memory", reachable=False)}, "store", id="store-away"),
        pytest.param({"fenced": True}, "newer monitor", id="fenced"),
    ],
)
def test_a_monitor_that_does_not_is_failing_and_says_why(told: Told, change: dict[str, Any], word: str) -> None:
    told.view = replace(WELL, **change)
    status, said = told.get("/healthz")
    assert (status, said["status"]) == (503, "failing")
    assert len(said["troubles"]) == 1
    assert word in said["troubles"][0]
    assert told.get("/livez")[0] == 200


def test_a_cloud_that_fails_is_shown_and_is_no_fault_of_the_monitor(told: Told) -> None:
    told.view = replace(WELL, clouds=(CloudHealth("east", last_error="list_nodes: Unreachable: no route"),))
    status, said = told.get("/healthz")
    assert status == 200
    assert said["clouds"][0]["last_error"] == "list_nodes: Unreachable: no route"


def test_no_secret_is_shown(told: Told) -> None:
    told.view = replace(
        WELL,
        clouds=(CloudHealth("east", last_error="Refused: password=hunter2 swordfish"),),
        store=StoreHealth("postgresql://cm:hunter2@db/x", reachable=True),
    )
    _, said = told.get("/healthz")
    assert "hunter2" not in str(said)
    assert "swordfish" not in str(said)
    assert said["store"]["url_shown"] == "postgresql://cm:***@db/x"


def test_health_that_cannot_be_told_is_failing_and_shows_no_more_than_the_kind(told: Told) -> None:
    told.error = ValueError("hunter2")
    status, said = told.get("/healthz")
    assert status == 503
    assert "ValueError" in said["troubles"][0]
    assert "hunter2" not in str(said)


def test_health_that_hangs_is_failing_and_holds_up_neither_the_answer_nor_the_end(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE_S", 0.05)
    told.hold = threading.Event()
    try:
        status, said = told.get("/healthz")
        assert status == 503
        assert "within 0.05 s" in said["troubles"][0]
        assert told.get("/livez") == (200, {"status": "alive"})
        told.server.stop()
        assert not told.server.alive
    finally:
        told.hold.set()


def test_a_stopped_server_answers_no_more_and_stopping_again_is_quiet(told: Told) -> None:
    told.server.stop()
    told.server.stop()
    with pytest.raises(httpx.ConnectError):
        told.get("/livez")


def test_an_address_that_cannot_be_had_is_a_wrong_setting(told: Told) -> None:
    with pytest.raises(SettingsError, match=f"127.0.0.1:{told.server.port}") as caught:
        serve(api.application(told), "127.0.0.1", told.server.port)
    assert caught.value.key == "monitor.health_port"


def test_what_is_not_there_is_not_found(told: Told) -> None:
    answer = httpx.get(f"http://127.0.0.1:{told.server.port}/secrets", trust_env=False)
    assert answer.status_code == 404
