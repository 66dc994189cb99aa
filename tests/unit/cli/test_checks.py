"""What `cloudmon doctor` finds, and what it says to do about it. It changes nothing by looking."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import receivers

from cloudmon import errors, plugins, settings
from cloudmon.cli import checks
from cloudmon.cli.checks import Check, Verdict
from cloudmon.model.messages import DeliveryState
from cloudmon.model.nodes import Listing
from cloudmon.model.offers import Offer
from cloudmon.store import open_store
from cloudmon.testing import FakeClock
from cloudmon.testing.store_words import StoreWords

NOW = dt.datetime(2027, 1, 1, 12, tzinfo=dt.UTC)
GOOD = """
[clouds.east]
provider = "dummy"
[templates.web]
images = { "*" = "web-1" }
[sets.storefront]
template = "web"
count = 2
"""

Look = Callable[..., dict[str, Check]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def look(config: Path, now: dt.datetime = NOW) -> dict[str, Check]:
    return {check.subject: check for check in checks.everything(config, FakeClock(now))}


def add(config: Path, more: str) -> None:
    config.write_text(config.read_text(encoding="utf-8") + more, encoding="utf-8")


def run_once(config: Path, until: dt.datetime = NOW) -> None:
    """A monitor was here and saw the cloud until then."""
    told = settings.load(config)
    store = open_store(told.store.url_with_password, log_key=settings.log_key(told), anchor_dir=None, now=NOW)
    owner = store.monitors.begin(host="elsewhere", pid=7, now=NOW)
    store.spans.extend(owner, "east", until, max_gap_s=60)
    store.monitors.end(owner, NOW)
    store.close()


def test_all_is_good_before_the_first_run_and_nothing_is_made(config: Path) -> None:
    found = look(config)
    assert {check.verdict for check in found.values()} == {Verdict.GOOD}
    assert found["store"].found.endswith("var/cloudmon.db holds nothing yet and will be made")
    assert found["cloud east"].found.startswith("dummy: no nodes; 10 offers; can close_peers, ")
    assert [path.name for path in config.parent.iterdir()] == ["shop.toml"]


@pytest.mark.parametrize("name", ["LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS", "LIBCLOUD_DEBUG"])
def test_a_variable_that_makes_a_library_do_what_nobody_asked_for_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "")
    assert {check.verdict for check in look(config).values()} == {Verdict.GOOD}
    monkeypatch.setenv(name, "yes")
    found = look(config)[f"environment {name}"]
    assert (found.verdict, found.next) == (Verdict.NOTE, f"unset {name}")


def test_all_is_good_after_a_run_too(config: Path) -> None:
    run_once(config)
    found = look(config)
    assert {check.verdict for check in found.values()} == {Verdict.GOOD}
    assert set(found) == {"versions", "settings", "state_dir", "log key", "store", "monitor", "clock", "cloud east"}
    assert found["monitor"].found == "none runs"


def test_every_fault_of_the_settings_is_shown_and_nothing_else_is_looked_at(config: Path) -> None:
    add(config, '[sweep]\norphans = "kill"\n[monitor]\ndrain_s = -1')
    found = list(checks.everything(config, FakeClock(NOW)))
    assert [(check.subject, check.verdict) for check in found[1:]] == [("settings", Verdict.WRONG)] * 2
    assert [check.next for check in found[1:]] == ["change monitor.drain_s", "change sweep.orphans"]


def test_a_state_dir_that_is_no_folder_is_wrong(config: Path, tmp_path: Path) -> None:
    (tmp_path / "var").write_text("", encoding="utf-8")
    found = look(config)["state_dir"]
    assert (found.verdict, found.next) == (Verdict.WRONG, "name another folder in monitor.state_dir")


def test_a_key_that_others_can_read_is_noted(config: Path, tmp_path: Path) -> None:
    run_once(config)
    (tmp_path / "var/log.key").chmod(0o644)
    assert look(config)["log key"].verdict is Verdict.NOTE


def test_a_store_whose_key_is_gone_is_wrong_and_no_new_key_is_made(config: Path, tmp_path: Path) -> None:
    run_once(config)
    (tmp_path / "var/log.key").unlink()
    found = look(config)["store"]
    assert (found.verdict, found.next) == (Verdict.WRONG, "restore the key from a backup")
    assert not (tmp_path / "var/log.key").exists()


def test_a_store_in_a_folder_that_nobody_makes_is_wrong(config: Path, tmp_path: Path) -> None:
    add(config, '[store]\nurl = "sqlite:///deep/x.db"')
    found = look(config)["store"]
    assert (found.verdict, found.next) == (Verdict.WRONG, f"mkdir -p {tmp_path / 'deep'}")


def test_a_store_that_can_only_be_read_is_wrong(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it sees all, and `run` and `apply` fail. Permissions bind no administrator, so they are played."""
    run_once(config)
    allowed = os.access
    file = tmp_path / "var/cloudmon.db"
    monkeypatch.setattr(os, "access", lambda path, mode: path != file and allowed(path, mode))
    found = look(config)["store"]
    assert (found.verdict, found.next) == (Verdict.WRONG, f"let this user write {file}")


def test_a_store_in_memory_is_noted(config: Path) -> None:
    add(config, '[store]\nurl = "memory"')
    assert look(config)["store"].verdict is Verdict.NOTE


def test_a_store_that_does_not_answer_is_wrong_and_its_password_is_not_shown(config: Path) -> None:
    add(config, '[store]\nurl = "postgresql://me:hunter2@127.0.0.1:1/x"')
    found = look(config)["store"]
    assert found.verdict is Verdict.WRONG
    assert found.next.startswith("check that the database exists and runs")
    assert "hunter2" not in found.found


def test_a_database_of_something_else_is_wrong(config: Path, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/cloudmon.db").write_bytes(b"this is a shopping list, and a long one: " * 100)
    assert look(config)["store"].verdict is Verdict.WRONG


def test_a_monitor_that_runs_is_named_and_is_no_fault(config: Path) -> None:
    run_once(config)
    told = settings.load(config)
    store = open_store(told.store.url, log_key=settings.log_key(told), anchor_dir=None, now=NOW)
    with store.lock(NOW):
        found = look(config)["monitor"]
    store.close()
    assert found.verdict is Verdict.GOOD
    assert "a monitor already runs on" in found.found
    assert "stop it first" not in found.found


def test_a_monitor_that_never_said_goodbye_is_noted(config: Path) -> None:
    told = settings.load(config)
    store = open_store(told.store.url, log_key=settings.log_key(told), anchor_dir=None, now=NOW)
    store.monitors.begin(host="elsewhere", pid=7, now=NOW)
    store.close()
    found = look(config)["monitor"]
    assert found.verdict is Verdict.NOTE
    assert "process 7 on elsewhere" in found.found


@pytest.mark.parametrize(("behind_s", "verdict"), [(0, Verdict.GOOD), (60, Verdict.GOOD), (61, Verdict.WRONG)], ids=str)
def test_a_clock_behind_what_the_store_recorded_is_wrong(config: Path, behind_s: int, verdict: Verdict) -> None:
    run_once(config, until=NOW + dt.timedelta(seconds=behind_s))
    assert look(config)["clock"].verdict is verdict


class Sick:
    """A cloud that answers with an error, or has nothing to sell."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def __call__(self, cloud: str, options: object, **more: object) -> Sick:
        self.cloud = cloud
        return self

    def list_nodes(self) -> Listing:
        if self.error is not None:
            raise self.error
        return Listing(self.cloud, (), NOW, NOW)

    def list_offers(self) -> Sequence[Offer]:
        return ()


ADVICE = [
    pytest.param(errors.CredentialsRejected(), "check the credentials", id="credentials"),
    pytest.param(errors.RateLimited(), "lower calls_per_s", id="rate"),
    pytest.param(errors.Unreachable(), "check the network", id="network"),
    pytest.param(errors.UnexpectedAnswer(), "check that the endpoint", id="another service"),
    pytest.param(errors.Refused("UnauthorizedOperation"), "look the cloud's own word up", id="anything else"),
    pytest.param(PermissionError(13, "Permission denied"), "if that is no fault of this machine", id="out of contract"),
    pytest.param(None, "nothing can be launched", id="no offers"),
]


@pytest.mark.parametrize(("error", "advice"), ADVICE)
def test_a_sick_cloud_is_wrong_and_says_what_to_do(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, advice: str
) -> None:
    told = settings.load(config)
    monkeypatch.setattr(plugins, "provider", lambda name: Sick(error))
    found = checks.cloud(told, "east", FakeClock(NOW))
    assert found.verdict is Verdict.WRONG
    assert found.next.startswith(advice)


# --- notifiers ----------------------------------------------------------------------------------------------------


def test_a_notifier_is_reached_and_nothing_is_told(config: Path) -> None:
    with receivers.web() as web:
        add(config, f'[notify.ops]\nkind = "webhook"\noptions = {{ url = "{web.url}" }}')
        found = look(config)["notifier ops"]
        assert (found.verdict, found.found) == (
            Verdict.GOOD,
            "webhook: 127.0.0.1 answers, in the clear; notices are not signed: it has no secret",
        )
        assert web.posts == []
    found = look(config)["notifier ops"]
    assert found.verdict is Verdict.WRONG
    assert "127.0.0.1 did not answer" in found.found
    assert "/hook" not in found.found
    assert "cloudmon notify test ops" in found.next


def test_what_was_given_up_or_waits_is_noted(config: Path) -> None:
    run_once(config)
    with receivers.web() as web:
        add(config, f'[notify.ops]\nkind = "webhook"\noptions = {{ url = "{web.url}" }}')
        assert "deliveries ops" not in look(config)
        told = settings.load(config)
        store = open_store(told.store.url_with_password, log_key=settings.log_key(told), anchor_dir=None, now=NOW)
        owner = store.monitors.begin(host="elsewhere", pid=7, now=NOW)
        words = StoreWords()
        given_up = words.delivery("d-1", created_at=NOW, due_at=NOW)
        store.messages.route(owner, [given_up, words.delivery("d-2", created_at=NOW, due_at=NOW)])
        store.messages.settle(owner, [replace(given_up, state=DeliveryState.DEAD, ended_at=NOW, error="404 Not Found")])
        store.monitors.end(owner, NOW)
        store.close()
        found = look(config)["deliveries ops"]
    assert (found.verdict, found.found) == (Verdict.NOTE, "0 wait, 1 were given up within a day; 404 Not Found")
