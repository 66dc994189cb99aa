"""Packages in an appliance that is a directory: real ones, by the real dpkg and apt, and by stand-ins of the others."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Appliance
from stub_monitor import StubMonitor

from cloudmon.agent import installing, programs
from cloudmon.agent.clock import Clock
from cloudmon.agent.collect.packages import Packages
from cloudmon.agent.place import Place
from cloudmon.agent.rooted import Root
from cloudmon.channel import shipping

needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="NO DPKG: nothing here shows that packages are really changed"
)
needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="NO APT: it is not shown to work")
UNTIL = 1e12


def deb(folder: Path, name: str, version: str) -> Path:
    """A package with one file in it."""
    inside = folder / f"{name}-{version}.d"
    (inside / "DEBIAN").mkdir(parents=True)
    (inside / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: small\n"
    )
    (inside / f"usr/share/{name}").mkdir(parents=True)
    (inside / f"usr/share/{name}/version").write_text(version)
    file = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    words = ["dpkg-deb", "--root-owner-group", "-b", str(inside), str(file)]
    subprocess.run(words, check=True, capture_output=True)
    shutil.rmtree(inside)
    return file


@needs_dpkg
def test_what_is_installed_is_started_when_that_is_asked_for(appliance: Appliance, monitor: StubMonitor) -> None:
    archives = appliance.root / "var/cache/apt/archives"
    archives.mkdir(parents=True)
    deb(archives, "cloudmon-trial", "1.0")
    site = {"package": "cloudmon-trial", "start": ["/bin/sleep", "71234"], "match": "sleep 71234"}
    down = {**site, "start": ["/bin/false"], "match": "never there"}
    monitor.config = {**monitor.config, "interval_s": 3600, "applications": {"site": site, "down": down}}
    appliance.start()
    for name, error in (("down", "cloudmon-trial is installed, but down ended at once with 1"), ("site", "")):
        monitor.command(name, "app_install", application=name, version="1.0", restart="yes")
        assert monitor.result(name)["error"] == error
    assert monitor.sections["applications"]["site"]["state"] == "up"


@needs_dpkg
def test_files_in_apts_folder_are_installed_updated_and_removed_below_the_root_only(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    archives = appliance.root / "var/cache/apt/archives"
    archives.mkdir(parents=True)
    for version in ("1.9", "1.10"):
        deb(archives, "cloudmon-trial", version)
    monitor.config = {**monitor.config, "interval_s": 3600, "applications": {"trial": {"package": "cloudmon-trial"}}}
    appliance.start()
    told = appliance.root / "usr/share/cloudmon-trial/version"

    numbers = itertools.count()

    def version() -> Any:
        with monitor.lock:
            return monitor.sections["packages"].get("cloudmon-trial", {}).get("version")

    def do(verb: str, **arguments: str) -> dict[str, Any]:
        name = f"c{next(numbers)}"
        monitor.command(name, verb, **arguments)
        return monitor.result(name)

    assert "not installed" in do("app_update", application="trial")["error"]
    assert do("app_install", application="trial", version="1.9")["ok"] is True
    assert (version(), told.read_text()) == ("1.9", "1.9")
    updated = do("app_update", application="trial")
    assert updated["ok"] is True, updated
    assert (version(), told.read_text()) == ("1.10", "1.10")
    assert monitor.sections["applications"]["trial"]["version"] == "1.10"
    assert "no file of cloudmon-trial 3 lies" in do("app_update", application="trial", version="3")["error"]
    assert do("app_update", package="cloudmon-trial", version="1.9")["ok"] is True
    assert (version(), told.read_text()) == ("1.9", "1.9")
    assert do("app_remove", application="trial")["ok"] is True
    assert (version(), told.exists()) == (None, False)
    assert do("app_remove", package="cloudmon-trial")["output"] == "cloudmon-trial was not installed"
    assert "cloudmon-trial" not in subprocess.run(["dpkg", "-l"], capture_output=True, text=True, check=True).stdout


AS_ANOTHER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from cloudmon_agent import installing, place, rooted, clock
from cloudmon_agent.collect.packages import Packages
root = rooted.Root(sys.argv[2])
installer = installing.Installer(place.Place(sys.argv[3]), root, clock.Clock())
told = []
for outcome in (
    lambda: installer.install("trial", "1.0", 1e12), lambda: installer.update("trial", "", 1e12),
    lambda: installer.remove("trial", 1e12),
):
    told.append([outcome().ok, Packages(root).section().get("trial", {}).get("version")])
print(json.dumps(told))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="cloudmon-packages-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("way", ["dpkg", pytest.param("apt", marks=needs_apt)])
@pytest.mark.parametrize("user", [0, 65534])
@needs_dpkg
def test_packages_are_changed_as_root_and_as_anybody(
    user: int, way: str, open_folder: Path, appliance: Appliance
) -> None:
    if user and (os.getuid() or shutil.which("setpriv") is None):
        pytest.skip("only root can become somebody else")
    root, file = open_folder / "root", open_folder / "agent.pyz"
    shutil.copytree(appliance.root, root)
    (open_folder / "state").mkdir()
    file.write_bytes(shipping.build())
    archives = root / "var/cache/apt/archives" if way == "dpkg" else open_folder / "shop"
    archives.mkdir(parents=True)
    made = [deb(archives, "trial", version) for version in ("1.0", "2.0")]
    if way == "apt":
        (root / "etc/apt").mkdir()
        (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{archives} ./\n")
        (archives / "Packages").write_text("".join(stanza(one) for one in made))
    if user:
        subprocess.run(["chown", "-R", f"{user}:{user}", str(open_folder)], check=True)
        open_folder.chmod(0o755)
    words = [os.path.realpath(sys.executable), "-I", "-c", AS_ANOTHER, str(file), str(root), str(open_folder / "state")]
    if user:
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *words]
    ran = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120, cwd="/")
    assert json.loads(ran.stdout) == [[True, "1.0"], [True, "2.0"], [True, None]]


def stanza(file: Path) -> str:
    control = subprocess.run(["dpkg-deb", "-f", str(file)], capture_output=True, text=True, check=True).stdout
    content = file.read_bytes()
    return f"{control}Filename: ./{file.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a program of a name where the agent looks for programs; it writes down the words it was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(programs, "PATH", f"{folder}:{programs.PATH}")

    def put(name: str, then: str) -> Path:
        program = folder / name
        said = f"{tmp_path}/{name}.words"
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{said}'\n{then}\n")
        program.chmod(0o755)
        return tmp_path / f"{name}.words"

    return put


def installer(state: Path, root: Path) -> installing.Installer:
    return installing.Installer(Place(str(state)), Root(str(root)), Clock())


def test_rpm_is_asked_once_for_as_long_as_its_database_stays_the_same(
    tmp_path: Path, shelf: Callable[[str, str], Path]
) -> None:
    root = tmp_path / "root"
    (root / "var/lib/rpm").mkdir(parents=True)
    database = root / "var/lib/rpm/rpmdb.sqlite"
    database.write_text("1")
    lines = r"printf 'bash\t5.1-2\tx86_64\nvim\t2:9.0-1\tx86_64\ngpg-pubkey\t1-2\t(none)\nbash\t5.1-2\ti686\n'"
    words = shelf("rpm", lines)
    packages = Packages(Root(str(root)))
    first = packages.section()
    assert first == {
        "bash": {"version": "5.1-2", "arch": "x86_64", "manager": "rpm"},
        "vim": {"version": "2:9.0-1", "arch": "x86_64", "manager": "rpm"},
        "bash:i686": {"version": "5.1-2", "arch": "i686", "manager": "rpm"},
    }
    assert packages.section() is first
    assert words.read_text().count("-qa") == 1
    assert f"--root {root}" in words.read_text()
    database.write_text("12")
    packages.section()
    assert words.read_text().count("-qa") == 2


def test_dnf_and_apk_are_told_what_to_do_in_words(tmp_path: Path, shelf: Callable[[str, str], Path]) -> None:
    root = tmp_path / "root"
    (root / "lib/apk/db").mkdir(parents=True)
    database = root / "lib/apk/db/installed"
    database.write_text("P:musl\nV:1.2\nA:x86_64\n\n")
    words = shelf("apk", f"printf 'P:nginx\\nV:1.26-r0\\n\\n' >> {database}")
    outcome = installer(tmp_path / "state", root).install("nginx", "1.26-r0", UNTIL)
    assert outcome.ok, outcome
    assert words.read_text().split() == [
        "--no-interactive", "--root", str(root), "--update-cache", "add", "nginx=1.26-r0",
    ]  # fmt: skip
    shutil.rmtree(root / "lib")
    (root / "var/lib/rpm").mkdir(parents=True)
    (root / "var/lib/rpm/rpmdb.sqlite").write_text("")
    shelf("rpm", r"printf 'nginx\t1.20-1\tx86_64\n'")
    words = shelf("dnf", "exit 1")
    outcome = installer(tmp_path / "second", root).update("nginx", "1.26-1", UNTIL)
    assert (outcome.ok, outcome.exit) == (False, 1)
    assert words.read_text().split() == ["-y", "-q", "--installroot", str(root), "install", "nginx-1.26-1"]


MANAGER = """
for verb; do test "$verb" = install -o "$verb" = upgrade -o "$verb" = downgrade && break; done
for asked; do :; done
has=$(cut -f2 '{database}')
wanted=$(printf '%s\\n' {offered} | grep -Fx -- "${{asked#nginx-}}")
test "$asked" = nginx && wanted=$(printf '%s\\n' {offered} | sort -V | tail -1)
test -n "$wanted" || {{ echo "No match for argument: $asked"; exit 1; }}
newest=$(printf '%s\\n' "$wanted" "$has" | sort -V | tail -1)
way=up; test "$newest" = "$has" && way=down; test "$wanted" = "$has" && way=same
case "$verb $way" in
  "install up"|"upgrade up"|"downgrade down"|{also}) printf 'nginx\\t%s\\tx86_64\\n' "$wanted" > '{database}' ;;
  *) echo "Nothing to do." ;;
esac
"""
"""As dnf 4 and 5 do: ``install`` goes to the version that is named, ``upgrade`` never down and ``downgrade`` never up,
and what is not done is no failure. yum's ``install`` does not go down either."""


@pytest.mark.parametrize(
    ("manager", "also", "down"),
    [("dnf", '"install down"', ["install"]), ("yum", '"install never"', ["install", "downgrade"])],
)
def test_a_package_of_rpm_goes_to_the_version_that_is_named_up_and_down(
    manager: str, also: str, down: list[str], tmp_path: Path, shelf: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    root = tmp_path / "root"
    (root / "var/lib/rpm").mkdir(parents=True)
    database = root / "var/lib/rpm/rpmdb.sqlite"
    database.write_text("nginx\t1.9-1\tx86_64\n")
    shelf("rpm", f"cat '{database}'")
    words = shelf(manager, MANAGER.format(database=database, offered="1.9-1 1.10-1 1.11-1", also=also))
    found = programs.find
    monkeypatch.setattr(programs, "find", lambda name: None if name == "dnf" != manager else found(name))
    hands = installer(tmp_path / "state", root)

    def update(version: str) -> tuple[bool, str, str, list[str]]:
        words.write_text("")
        outcome = hands.update("nginx", version, UNTIL)
        verbs = [line.split()[-2] for line in words.read_text().splitlines()]
        return outcome.ok, outcome.error, database.read_text().split()[1], verbs

    assert update("1.10-1") == (True, "", "1.10-1", ["install"])
    assert update("1.9-1") == (True, "", "1.9-1", down)
    assert update("1.9-1") == (True, "", "1.9-1", [])
    # One that is not offered is a failure that is told by the first that met it, and leaves what was there.
    assert update("1.8-1") == (False, "the package manager ended with 1", "1.9-1", ["install"])
    assert update("") == (True, "", "1.11-1", ["upgrade"])


def test_a_package_that_stays_what_it_was_has_not_gone_back(tmp_path: Path, shelf: Callable[[str, str], Path]) -> None:
    root = tmp_path / "root"
    (root / "var/lib/rpm").mkdir(parents=True)
    (root / "var/lib/rpm/rpmdb.sqlite").write_text("")
    shelf("rpm", r"printf 'nginx\t1.10-1\tx86_64\n'")
    shelf("dnf", "echo Nothing to do.")
    outcome = installer(tmp_path / "state", root).update("nginx", "1.9-1", UNTIL)
    assert (outcome.ok, outcome.error) == (False, "nginx is installed as 1.10-1, not 1.9-1")


def test_without_a_manager_nothing_is_known_and_nothing_done(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(OSError, match="no package manager"):
        Packages(Root(str(root))).section()
    assert not installer(tmp_path / "state", root).install("nginx", "", UNTIL).ok
