"""A monitor put together from settings: reloading them, reading offers, looking without touching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import receivers
from pictures import offer
from served import until
from structlog.testing import capture_logs

from cloudmon.engine.workers import InlineWorkers, ThreadedWorkers
from cloudmon.errors import OutOfCapacity, StoreUnavailable, Unreachable
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.messages import DeliveryState
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.service import Service
from cloudmon.settings import SettingsFile
from cloudmon.testing import FakeClock, ScriptedProvider

SETTINGS = """
author = "file:shop"
[store]
url = "memory"
[monitor]
state_dir = "state"
poll_interval_s = 15
call_timeout_s = 5
offers_interval_s = 600
[clouds.east]
provider = "dummy"
options = { world = "memory", seed = 1 }
[templates.web]
images = { "*" = "image-1" }
[sets.storefront]
template = "web"
count = 2
clouds = ["east"]
"""
WEST = '[clouds.west]\nprovider = "dummy"\noptions = { world = "memory" }\n'


class Shop:
    """A service on a settings file, over scripted clouds."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.clock = FakeClock()
        self.clouds = {
            name: ScriptedProvider(name, now=self.clock.now, offers=[offer(cloud=name)]) for name in ("east", "west")
        }
        self.write(SETTINGS)
        settings = SettingsFile(file)
        self.workers = InlineWorkers(self.clouds.__getitem__, ["east"])
        self.service = Service(settings.reload(), self.clock, file=settings, workers=self.workers)

    def write(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    def tick(self) -> str:
        """The states of storefront's appliances after one more tick."""
        self.service.tick()
        self.clock.advance(15)
        return " ".join(m.state for m in self.service.store.members.all(EVERYONE))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    found = Shop(tmp_path / "shop.toml")
    with found.service:
        yield found


RUNNING = ApplianceState.RUNNING.value

# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["count = ", SETTINGS.replace("count = 2", 'count = "many"'), SETTINGS.replace("count = 2", "cuont = 9")],
    ids=["no TOML", "a wrong value", "an unknown key"],
)
def test_broken_settings_are_refused_and_the_old_ones_stay_in_force(shop: Shop, text: str) -> None:
    shop.tick()
    policy = shop.service.monitor.policy
    shop.write(text)
    assert shop.service.reload() is False
    assert shop.service.monitor.policy is policy
    assert shop.tick() == f"{RUNNING} {RUNNING}"
    shop.write(SETTINGS.replace("count = 2", "count = 3"))
    assert shop.service.reload() is True


def test_unchanged_settings_are_not_taken_over_again(shop: Shop) -> None:
    shop.tick()
    assert shop.service.reload() is False


def test_a_key_that_counts_at_the_start_only_is_named(shop: Shop) -> None:
    shop.tick()
    shop.write(SETTINGS.replace("[monitor]", '[monitor]\nlog_level = "debug"'))
    with capture_logs() as said:
        assert shop.service.reload() is True
    assert [line["keys"] for line in said if "keys" in line] == ["monitor.log_level"]


def test_keys_that_a_running_service_takes_over_are_not_named(shop: Shop) -> None:
    shop.tick()
    more = "poll_jitter = 0.2\nworkers_per_cloud = 3"
    shop.write(
        SETTINGS.replace("poll_interval_s = 15", "poll_interval_s = 30").replace("[monitor]", f"[monitor]\n{more}")
    )
    with capture_logs() as said:
        assert shop.service.reload() is True
    assert [line["keys"] for line in said if "keys" in line] == []


def test_a_changed_set_is_taken_over_by_the_next_tick(shop: Shop) -> None:
    shop.tick()
    shop.write(SETTINGS.replace("count = 2", "count = 3"))
    shop.tick()
    assert shop.tick().split().count(RUNNING) == 3


def test_a_cloud_that_is_added_is_seen_and_its_offers_are_read(shop: Shop) -> None:
    shop.tick()
    shop.write(SETTINGS + WEST)
    shop.tick()
    assert set(shop.service.monitor.views) == {"east", "west"}
    assert [one.cloud for one in shop.service.store.offers.all()] == ["east", "west"]


def test_a_cloud_that_is_taken_away_is_not_asked_any_more(shop: Shop) -> None:
    shop.write(SETTINGS + WEST)
    shop.tick()
    shop.write(SETTINGS)
    before = len(shop.clouds["west"].calls)
    shop.tick()
    assert set(shop.service.monitor.views) == {"east"}
    assert len(shop.clouds["west"].calls) == before


def test_a_cloud_that_is_taken_away_while_appliances_are_there_is_missed_until_it_is_named_again(shop: Shop) -> None:
    """Nothing is launched in their place, and nobody forgets them: they run, and cost."""
    shop.write((SETTINGS + WEST).replace('clouds = ["east"]', 'clouds = ["west"]'))
    shop.tick()
    assert shop.tick() == f"{RUNNING} {RUNNING}"
    shop.write(SETTINGS)
    shop.tick()
    said = "the settings do not name it, but 2 nodes of ours are there; name it again until all there is retired"
    assert f"cloud west is not seen: {said}" in shop.service.plan().notes
    (found,) = shop.service.store.findings.open(EVERYONE)
    assert (found.subject, found.message) == ("cloud:west", f"cloud west cannot be seen: {said}")
    assert not shop.service.store.spans.latest()["west"].open
    assert shop.clouds["east"].called("create_node") == []
    shop.write((SETTINGS + WEST).replace('clouds = ["east"]', 'clouds = ["west"]'))
    assert shop.tick() == f"{RUNNING} {RUNNING}"
    assert shop.service.store.findings.open(EVERYONE) == []


def test_a_cloud_that_is_another_one_under_its_old_name_is_asked_what_it_sells(shop: Shop) -> None:
    shop.tick()
    shop.clouds["east"].offers = (offer("huge"),)
    shop.write(SETTINGS.replace("seed = 1", "seed = 2"))
    shop.tick()
    assert [one.size for one in shop.service.store.offers.all()] == ["huge"]
    shop.tick()
    assert len(shop.clouds["east"].called("list_offers")) == 2


def test_a_call_that_may_last_longer_is_waited_for_longer(shop: Shop) -> None:
    shop.tick()
    shop.write(SETTINGS.replace("call_timeout_s = 5", "call_timeout_s = 50"))
    shop.tick()
    assert shop.service.monitor.observer.patience_s == 100


def test_calls_that_may_last_longer_are_given_up_later(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    file = SettingsFile(path)
    with Service(file.reload(), FakeClock(), file=file) as service:
        service.begin()
        path.write_text(SETTINGS.replace("call_timeout_s = 5", "call_timeout_s = 50\nworkers_per_cloud = 3"))
        service.reload()
        assert isinstance(service.workers, ThreadedWorkers)
        assert (service.workers.workers_per_cloud, service.workers.stuck_after_s) == (3, 200)


def test_another_store_needs_a_restart_and_all_else_is_taken_over(shop: Shop) -> None:
    shop.tick()
    before = shop.service.settings.store
    other = SETTINGS.replace('"memory"\n[monitor]', '"sqlite:///other.db"\n[monitor]')
    shop.write(other.replace("count = 2", "count = 1"))
    assert shop.service.reload() is True
    assert shop.service.settings.store == before
    view = shop.service.monitor.policy.view
    assert view is not None
    assert view.specs[0].count == 1


# --- offers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after_s", "asked"), [(584, 1), (585, 2)], ids=["still fresh", "older than allowed"])
def test_offers_are_read_again_when_they_are_old(shop: Shop, after_s: int, asked: int) -> None:
    shop.tick()
    shop.clock.advance(after_s)
    shop.tick()
    assert len(shop.clouds["east"].called("list_offers")) == asked


@pytest.mark.parametrize(
    "error", [Unreachable("no answer"), OutOfCapacity("?"), KeyError("broken adapter")], ids=lambda e: type(e).__name__
)
def test_a_cloud_that_does_not_say_what_it_sells_keeps_its_offers_and_stops_no_tick(
    shop: Shop, error: Exception
) -> None:
    shop.tick()
    shop.clock.advance(600)
    shop.clouds["east"].play("list_offers", error)
    assert shop.tick() == f"{RUNNING} {RUNNING}"
    assert [one.size for one in shop.service.store.offers.all()] == ["small"]


# --- an absent store --------------------------------------------------------------------------------------------------


@pytest.fixture
def lose(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the store unreachable for the rest of the test."""

    def gone(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store is away")

    def now() -> None:
        for group in ("offers", "members", "requests", "sets", "findings"):
            verbs = {"offers": "fetched", "members": "all", "requests": "pending", "sets": "active", "findings": "open"}
            monkeypatch.setattr(getattr(shop.service.store, group), verbs[group], gone)

    return now


def test_without_its_store_the_service_watches_into_its_journal(shop: Shop, lose: Callable[[], None]) -> None:
    shop.tick()
    lose()
    assert shop.service.tick().store_away
    journal = shop.service.monitor.journal
    assert journal is not None
    assert [one.cloud for one in journal.replay()] == ["east"]


def test_what_was_confirmed_is_confirmed_until_the_store_knows_it(
    shop: Shop, lose: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a tick longer: the next suspicious view is held again."""
    shop.tick()
    monitor = shop.service.monitor
    assert monitor.policy.view is not None
    monitor.policy = replace(monitor.policy, view=replace(monitor.policy.view, specs=(), confirmed=True))
    with monkeypatch.context():
        lose()
        shop.service.tick()
    assert monitor.policy.view is not None
    assert monitor.policy.view.confirmed
    monkeypatch.undo()
    shop.service.tick()
    assert monitor.policy.view is not None
    assert not monitor.policy.view.confirmed
    (aset,) = shop.service.store.sets.all(EVERYONE)
    assert aset.retiring_since is not None


# --- looking without touching -----------------------------------------------------------------------------------------


def test_a_plan_says_what_would_be_done_and_writes_nothing(shop: Shop) -> None:
    report = shop.service.plan()
    assert [(row.subject, row.action) for row in report.rows] == [
        ("storefront", "create"), ("storefront/1", "launch"), ("storefront/2", "launch"),
    ]  # fmt: skip
    assert report.rows[1].price is not None
    store = shop.service.store
    assert (store.sets.all(EVERYONE), store.offers.all(), store.monitors.current()) == ([], [], None)
    assert {made.verb for made in shop.clouds["east"].calls} == {"list_offers", "list_nodes", "list_peers"}


def test_a_plan_and_the_tick_after_it_agree(shop: Shop) -> None:
    shop.tick()
    shop.tick()
    shop.write(SETTINGS.replace("count = 2", "count = 4"))
    shop.service.reload()
    planned = [row.subject for row in shop.service.plan().rows if row.action == "launch"]
    done = [row.subject for row in shop.service.tick().rows]
    assert planned == done == ["storefront/3", "storefront/4"]


def test_a_plan_counts_on_appliances_that_ended_and_are_wanted_again(shop: Shop) -> None:
    shop.tick()
    shop.write(SETTINGS.replace("count = 2", "count = 1"))
    for _ in range(4):
        shop.tick()
    assert shop.tick().split() == [RUNNING, "retired"]
    shop.write(SETTINGS)
    shop.service.reload()
    assert [row.subject for row in shop.service.plan().rows if row.action == "launch"] == ["storefront/2"]


def test_a_plan_says_which_cloud_it_could_not_see(shop: Shop) -> None:
    shop.clouds["east"].play("list_offers", Unreachable("no answer"))
    shop.clouds["east"].play("list_nodes", Unreachable("no answer"))
    report = shop.service.plan()
    assert "cloud east is not seen: Unreachable: no answer" in report.notes
    assert {wait.subject for wait in report.waits} == {"storefront/1", "storefront/2"}


def test_a_plan_says_what_a_smaller_file_would_end(shop: Shop) -> None:
    for _ in range(3):
        shop.tick()
    shop.write(SETTINGS.replace("count = 2", "count = 0"))
    shop.service.reload()
    shown = shop.service.plan()
    assert [(row.subject, row.action) for row in shown.rows] == [("storefront", "change")]
    assert "asks for 2 appliances fewer of 2" in shown.rows[0].held
    assert "asks for 2 appliances fewer of 2" in shown.notes[0]


# --- telling ------------------------------------------------------------------------------------------------------


def test_whom_a_changed_file_names_is_told_from_then_on_and_old_news_are_forgotten(shop: Shop) -> None:
    """And whom it names no more is not."""
    with receivers.web() as web:
        notify = f'[notify.ops]\nkind = "webhook"\noptions = {{ url = "{web.url}" }}\n'
        shop.write(SETTINGS + notify)
        shop.tick()
        shop.clouds["east"].play("list_nodes", Unreachable("gone", cloud="east"))
        shop.tick()
        assert not shop.service.tell()
        (post,) = web.until(1)
        assert b"finding.opened" in post.body
        until(lambda: not shop.service.telling or shop.service.tell(), "it is written down")
        (told,) = shop.service.store.messages.deliveries(EVERYONE)
        assert told.state is DeliveryState.SENT
        shop.write(SETTINGS)
        shop.tick()
        shop.clouds["east"].play("list_nodes", Unreachable("gone", cloud="east"))
        shop.tick()
        shop.service.tell()
        assert shop.service.store.messages.waiting(EVERYONE, 9) == []
        assert shop.service.notifiers_health() == ()
        shop.clock.advance(shop.service.settings.monitor.keep_deliveries_s + 3_600)
        shop.tick()
        assert shop.service.store.messages.deliveries(EVERYONE) == []
    assert len(web.posts) == 1
