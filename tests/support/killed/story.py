"""A short story in four chapters that reaches every named point: sets are launched, people ask for things, a node is
deleted behind the monitor's back, a set shrinks and two end.

What people did is kept in files beside the estate, so that a successor goes on where a killed process was.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cloudmon.errors import MonitorAlreadyRuns
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.service import Service, open_service
from cloudmon.store import Store
from cloudmon_providers.dummy import DummySettings, open_world
from cloudmon_providers.dummy.world import World

CHAPTERS = ("launch", "requests", "heal", "end")
POLL_S = 0.05
PATIENCE_S = 60.0
"""How long one chapter may take on a busy machine."""
EXTENDED_S = 600
LEASE_S = 3_600
ASKED: Mapping[str, tuple[tuple[str, RequestVerb, str, Mapping[str, str]], ...]] = {
    "requests": (
        ("reboot-shop", RequestVerb.REBOOT, "shop/1", {}),
        ("extend-night", RequestVerb.EXTEND, "night", {"by_s": str(EXTENDED_S)}),
        ("stop-night", RequestVerb.STOP, "night/1", {}),
        ("pause-shop", RequestVerb.PAUSE, "shop/1", {}),
        ("adopt-shop", RequestVerb.ADOPT, "east:*", {"set": "shop", "tag": "role=db"}),
    ),
    "end": (("retire-night", RequestVerb.RETIRE, "night", {}),),
}
"""By chapter: id, verb, target and arguments of what people ask for."""
ENDS = (RequestState.DONE, RequestState.FAILED, RequestState.REFUSED)


def settings(folder: Path, url: str, chapter: str) -> Path:
    """The settings file as it stands in a chapter."""
    last = chapter == "end"
    path = folder / "cloudmon.toml"
    text = f"""
[store]
url = "{url}"
[monitor]
state_dir = "state"
poll_interval_s = {POLL_S}
call_timeout_s = 1
workers_per_cloud = 2
health_port = 0
log_level = "error"
[clouds.east]
provider = "dummy"
listing_lag_s = 0
calls_per_s = 10000
burst = 10000
[clouds.east.options]
world = "east.world"
locations = ["east-1"]
[templates.web]
images = {{ "*" = "web-1" }}
boot_timeout_s = 30
[sets.shop]
template = "web"
count = {1 if last else 2}
healing = {{ fault_after_s = 0, verify_s = 1, backoff_s = 0, backoff_max_s = 0 }}
[sets.night]
template = "web"
count = 1
lease = {{ duration = {LEASE_S}, warn = [] }}
healing = {{ fault_after_s = 0, verify_s = 1, backoff_s = 0, backoff_max_s = 0 }}
[sets.brief]
template = "web"
count = 1
{'lease = { end = "2026-01-01T00:00:00Z", warn = [] }' if last else ""}
"""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
    return path


def world(folder: Path) -> World:
    """The cloud itself, as this process sees it."""
    options = DummySettings(world=str(folder / "east.world"), locations=("east-1",))
    return open_world(options, cloud="east", now=lambda: dt.datetime.now(dt.UTC))


def victim(folder: Path) -> str:
    """Id of the node that somebody deletes."""
    return (folder / "victim").read_text()


def stranger(folder: Path) -> str:
    """Id of the node that somebody made, and that the set ``shop`` adopts."""
    return (folder / "stranger").read_text()


class Teller:
    """Tells the story, or the rest of it, with a monitor of this process.

    Arguments:
        folder: where everything is.
        url: of the store.
        began: told the name of each chapter when the monitor's part in it begins; the first one's before the store
            is opened.
    """

    def __init__(self, folder: Path, url: str, began: Callable[[str], None] = lambda chapter: None) -> None:
        self._folder = folder
        self._url = url
        self._began = began
        self._progress = folder / "chapter"

    def tell(self) -> None:
        """Go on from the chapter that was begun last, to the end."""
        begun = self._progress.read_text() if self._progress.exists() else CHAPTERS[0]
        left = CHAPTERS[CHAPTERS.index(begun) :]
        path = settings(self._folder, self._url, begun)
        self._progress.write_text(begun)
        self._began(begun)
        with open_service(path) as service:
            _begin(service)
            self._settle(service, begun)
            for chapter in left[1:]:
                self._people(service.store, chapter)
                self._progress.write_text(chapter)
                self._began(chapter)
                self._settle(service, chapter)

    def _people(self, store: Store, chapter: str) -> None:
        """What people do at the beginning of a chapter."""
        if chapter == "requests":
            (self._folder / "stranger").write_text(world(self._folder).foreign("made-by-hand", {"role": "db"}))
        for name, verb, target, arguments in ASKED.get(chapter, ()):
            now = dt.datetime.now(dt.UTC)
            store.requests.add(Request(name, verb, "default", target, arguments, "somebody", "because", now))
        if chapter == "heal":
            (self._folder / "victim").write_text(member(store, "shop", 2).node_id)
            world(self._folder).delete_by_hand(victim(self._folder))
        if chapter == "end":
            settings(self._folder, self._url, chapter)

    def _settle(self, service: Service, chapter: str) -> None:
        """Ticks back to back until the chapter's end is reached and nothing is due any more."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            report = service.tick()
            if report.steady and _over(service.store, self._folder, chapter):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{chapter} does not end: {report} {service.store.members.all(EVERYONE)}")
            time.sleep(0.005)


def member(store: Store, name: str, ordinal: int) -> Member:
    """One appliance by its name."""
    aset = store.sets.named(EVERYONE, name)
    assert aset is not None, f"there is no set {name}"
    rows = store.members.of_set(EVERYONE, aset.uid)
    found = next((row for row in rows if row.ordinal == ordinal), None)
    assert found is not None, _without(store, aset.uid, f"{name}/{ordinal}", rows)
    return found


def _without(store: Store, uid: str, name: str, rows: Sequence[Member]) -> str:
    """All that explains why there is no such appliance: who wanted how many, what was asked, what was done."""
    sizes = [(author, spec.count) for _, author, spec, _ in store.sets.generations(EVERYONE, uid)]
    asked = [store.requests.get(EVERYONE, one) for names in ASKED.values() for one, *_ in names]
    done = store.intents.of(EVERYONE, uid)
    return "\n".join([f"there is no {name}; {sizes}", *map(str, rows), *map(str, asked), *map(str, done)])


def _begin(service: Service) -> None:
    """Become the monitor. PostgreSQL may need a moment to notice that its client was killed."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            service.begin()
        except MonitorAlreadyRuns:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _over(store: Store, folder: Path, chapter: str) -> bool:
    """Whether what the chapter is about has come to pass."""
    for name, verb, *_ in ASKED.get(chapter, ()):
        request = store.requests.get(EVERYONE, name)
        if request is None or request.state not in ENDS:
            return False
        # Whether a reboot was performed that a kill interrupted, nobody can know; the others' ends can be seen.
        done = request.state is RequestState.DONE or verb is RequestVerb.REBOOT
        assert done, f"{name}: {request.state}, {request.outcome}"
    if chapter == CHAPTERS[0]:
        # A tick may be steady while launches wait for what their cloud offers.
        states = [found.state for found in store.members.all(EVERYONE)]
        return states == [ApplianceState.RUNNING] * 4
    if chapter == "heal":
        found = member(store, "shop", 2)
        return found.state is ApplianceState.RUNNING and found.node_id != victim(folder)
    if chapter == "end":
        ended = {aset.name for aset in store.sets.all(EVERYONE) if aset.retired_at is not None}
        smaller = [member(store, "shop", ordinal).state for ordinal in (2, 3)]
        return ended == {"night", "brief"} and smaller == [ApplianceState.RETIRED] * 2
    return True
