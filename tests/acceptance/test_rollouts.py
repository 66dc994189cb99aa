"""A roll-out over real machines of this one, with agents of their own and packages built here: one good, one bad."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import machines
import pytest
from served import Estate, until

from cloudmon.model.actions import Verb
from cloudmon.model.findings import FindingKind
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor import standing
from cloudmon.monitor.standing import Standing

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="NO DPKG: nothing here shows that a roll-out changes packages"
)
SETTINGS = """
[store]
url = "{url}"
[monitor]
state_dir = "state"
poll_interval_s = 0.3
health_port = {port}
log_format = "json"
[channel]
port = {channel}
[clouds.here]
provider = "local"
listing_lag_s = 0
burst = 100
[clouds.here.options]
directory = "cloud"
stop_grace_s = 1
sizes = {{ small = {{ memory_mib = 512 }} }}
[templates.web]
images = {{ here = "base" }}
agent = true
report_interval_s = 1
user_data = '''
#!/bin/sh
set -eu
root="${{CLOUDMON_ROOT:?}}"
[ -e "$root/var/cache/apt/archives" ] && exit 0
mkdir -p "$root/var/cache/apt/archives"
cp "{shelf}"/trial_*_all.deb "$root/var/cache/apt/archives/"
'''
[templates.web.applications.site]
start = ["/usr/share/trial/serve"]
match = "usr/share/trial/serve"
package = "trial"
version = "{version}"
"""
UPDATES = """
[templates.web.updates]
canary = 1
batch = 2
healthy_s = 1
patience_s = 5
[sets.web]
template = "web"
count = 3
"""
BY_RULE = """
[sets.web]
template = "web"
count = 1
[[policies]]
name = "ours"
[[policies.rules]]
name = "behind"
each = "declared.packages"
when = "versions[item].outdated"
backoff = "5s"
then = [{ verb = "app_update", restart = "yes" }]
"""
GOOD = "#!/bin/sh\nwhile :; do sleep 1; done\n"
BAD = "#!/bin/sh\nexit 3\n"


def deb(shelf: Path, version: str, serve: str) -> None:
    """A package of the trial, whose program is this script."""
    inside = shelf / f"{version}.d"
    (inside / "DEBIAN").mkdir(parents=True)
    about = (
        f"Package: trial\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: small\n"
    )
    (inside / "DEBIAN/control").write_text(about)
    program = inside / "usr/share/trial/serve"
    program.parent.mkdir(parents=True)
    program.write_text(serve)
    program.chmod(0o755)
    words = ["dpkg-deb", "--root-owner-group", "-b", str(inside), str(shelf / f"trial_{version}_all.deb")]
    subprocess.run(words, check=True, capture_output=True)
    shutil.rmtree(inside)


class Rolled(Estate):
    """Three machines that serve what lies in a shelf of packages."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.shelf = folder / "shelf"
        self.shelf.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.channel = free.getsockname()[1]

    def want(self, version: str, how: str = UPDATES) -> None:
        told = {"url": self.url, "port": self.port, "channel": self.channel, "shelf": self.shelf, "version": version}
        self.write(SETTINGS.format(**told) + how)

    def offer(self, version: str, serve: str) -> None:
        """From now on every machine's package manager has this version on offer."""
        deb(self.shelf, version, serve)
        name = f"trial_{version}_all.deb"
        for folder in self.folder.glob("cloud/nodes/*/root/var/cache/apt/archives"):
            shutil.copy(self.shelf / name, folder / f".{name}")
            (folder / f".{name}").rename(folder / name)

    def standing(self) -> Standing | None:
        with self.store() as store:
            aset = store.sets.named(EVERYONE, "web")
            found = standing.of_set(store, EVERYONE, aset, dt.datetime.now(dt.UTC)) if aset is not None else []
        return found[0] if found else None

    def have(self) -> Mapping[str, int]:
        found = self.standing()
        return found.have if found is not None else {}

    def state(self) -> str:
        found = self.standing()
        return found.state if found is not None else ""


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Rolled]:
    estate = Rolled(tmp_path)
    yield estate
    for number in machines.below(tmp_path / "cloud"):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def test_a_good_version_reaches_all_and_a_bad_one_its_canary_only(estate: Rolled) -> None:
    deb(estate.shelf, "1.0", GOOD)
    estate.want("newest")
    with estate.running():
        until(lambda: estate.have() == {"1.0": 3}, "the first version is installed on all")
        until(lambda: estate.state() == "done", "and serves")

        estate.offer("2.0", GOOD)
        until(lambda: estate.have() == {"2.0": 3}, "a good version reaches all")
        until(lambda: estate.state() == "done", "and all are well")

        estate.offer("3.0", BAD)
        until(lambda: estate.state() == "failed", "the canary does not become well")
        until(lambda: estate.have() == {"2.0": 3}, "it goes back")
        (found,) = json.loads(estate.cli("updates", "web", "-o", "json").stdout)
    assert "the roll-out of site 3.0 stopped" in found["why"]
    with estate.store() as store:
        incidents = [one for one in store.findings.open(EVERYONE) if one.kind is FindingKind.INCIDENT]
        aset = store.sets.named(EVERYONE, "web")
        assert aset is not None
        done = store.intents.of(EVERYONE, aset.uid)
    assert len(incidents) == 1
    told = [one for one in reversed(done) if one.verb in (Verb.APP_INSTALL, Verb.APP_UPDATE)]
    changed = [(one.verb, one.arguments["version"], one.appliance.ordinal) for one in told]
    canary = changed[6][2]
    assert sorted(changed[:3]) == [(Verb.APP_INSTALL, "1.0", n) for n in (1, 2, 3)]
    assert sorted(changed[3:6]) == [(Verb.APP_UPDATE, "2.0", n) for n in (1, 2, 3)]
    assert changed[6:] == [(Verb.APP_UPDATE, "3.0", canary), (Verb.APP_UPDATE, "2.0", canary)]


def test_a_rule_installs_and_updates_to_the_wanted_version_and_no_newer_one(estate: Rolled) -> None:
    """It stands for a package, whose application is called otherwise."""
    for version in ("1.0", "2.0", "3.0"):
        deb(estate.shelf, version, GOOD)
    estate.want("1.0", BY_RULE)
    with estate.running():
        until(lambda: estate.have() == {"1.0": 1}, "what was not there is installed")
        estate.want("2.0", BY_RULE)
        until(lambda: estate.have() == {"2.0": 1}, "another version is wanted and put")
    with estate.store() as store:
        aset = store.sets.named(EVERYONE, "web")
        assert aset is not None
        done = reversed(store.intents.of(EVERYONE, aset.uid))
    changed = [(one.verb, one.arguments) for one in done if one.verb in (Verb.APP_INSTALL, Verb.APP_UPDATE)]
    site = {"application": "site", "restart": "yes"}
    assert changed == [(Verb.APP_INSTALL, {**site, "version": "1.0"}), (Verb.APP_UPDATE, {**site, "version": "2.0"})]
