"""An appliance that is a directory: nothing of it leads out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from agents import Appliance
from hypothesis import given, settings
from hypothesis import strategies as st
from stub_monitor import StubMonitor

from cloudmon.agent.collect import storage
from cloudmon.agent.collect.accounts import Accounts
from cloudmon.agent.collect.files import Files
from cloudmon.agent.rooted import Root, read


@pytest.fixture(scope="module")
def jail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with links of every kind that point out of it."""
    folder = tmp_path_factory.mktemp("jail")
    (folder / "secret").write_text("of the machine")
    root = folder / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_text("inside")
    links = {
        "up": "../../..",
        "absolute": "/",
        "out": str(folder / "secret"),
        "a/relative": "../../secret",
        "chain": "up/chain2",
        "chain2": "absolute/etc",
        "a/b/back": "../..",
        "loop": "loop",
        "here": ".",
        "to-file": "/a/file",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    return root


PARTS = st.sampled_from(
    ["..", ".", "", "a", "b", "file", "up", "absolute", "out", "relative", "chain", "chain2", "back", "secret", "etc"]
)


@settings(max_examples=500)
@given(st.lists(PARTS, max_size=8))
def test_no_path_leads_out_of_the_root(jail: Path, parts: list[str]) -> None:
    found = os.path.realpath(Root(str(jail)).inside("/".join(parts)))
    assert found == str(jail) or found.startswith(f"{jail}/")


def test_links_lead_where_they_would_if_the_root_were_all_there_is(jail: Path) -> None:
    root = Root(str(jail))
    assert root.read("/to-file") == b"inside"
    assert root.read("/a/b/back/a/file") == b"inside"
    assert root.read("/../../../a/file") == b"inside"
    with pytest.raises(FileNotFoundError):
        root.read("/out")
    with pytest.raises(OSError, match="too many links"):
        root.inside("/loop")


def test_without_a_root_paths_are_the_machines() -> None:
    assert Root().inside("/etc/../etc/passwd") == "/etc/../etc/passwd"
    assert not Root()


def test_a_pipe_under_a_files_name_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "passwd")
    with pytest.raises(OSError, match="not a regular file"):
        read(str(tmp_path / "passwd"))


def test_files_are_told_by_hash_and_read_again_only_when_they_changed(tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("hello")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir(mode=0o750)
    files = Files(Root(str(tmp_path)))
    paths = ["/motd", "/nothing", "/pipe", "/folder", "/motd/below"]
    first = files.section(paths, {os.getuid(): "me"})
    assert first["/motd"]["sha256"] == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert (first["/motd"]["size"], first["/motd"]["owner"]) == (5, "me")
    assert first["/nothing"] == first["/motd/below"] == {"missing": True}
    assert "sha256" not in first["/pipe"]
    assert (first["/folder"]["mode"], "sha256" in first["/folder"]) == ("0750", False)
    (tmp_path / "motd").chmod(0o600)
    assert files.section(paths, {})["/motd"]["mode"] == "0600"
    (tmp_path / "motd").write_text("jello")
    assert files.section(paths, {})["/motd"]["sha256"] != first["/motd"]["sha256"]


def test_accounts_are_those_of_the_root(appliance: Appliance) -> None:
    appliance.write("etc/shadow", "root:$6$abc:1::::::\nweb:!:1::::::\n")
    appliance.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA a@b\n")
    found = Accounts(Root(str(appliance.root)), dict).section()
    assert found.keys() == {"root", "web"}
    assert found["web"] == {
        "uid": 33, "gid": 33, "home": "/srv", "shell": "/usr/sbin/nologin", "groups": ["adm"], "keys": [],
        "locked": True,
    }  # fmt: skip
    assert found["root"]["locked"] is False
    assert [key[:7] for key in found["root"]["keys"]] == ["SHA256:"]
    assert "$6$" not in str(found)


def test_a_small_disk_can_be_filled(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/cloudmon-quota-mib").write_text("10\n")
    root = Root(str(tmp_path))
    assert storage.disks(root)["/"]["used_share"] < 0.01
    (tmp_path / "log").write_bytes(b"x" * 9_700_000)
    found = storage.disks(root)["/"]
    assert (found["total_mib"], found["used_mib"], found["used_share"]) == (10, 9.3, 0.925)
    (tmp_path / "outside").symlink_to("/usr")
    assert storage.disks(root)["/"] == found
    (tmp_path / "etc/cloudmon-quota-mib").write_text("much")
    with pytest.raises(OSError, match="no whole number"):
        storage.disks(root)
    (tmp_path / "etc/cloudmon-quota-mib").unlink()
    assert storage.disks(root)["/"]["total_mib"] > 10


def test_an_agent_sees_its_own_appliance_and_not_the_machine(appliance: Appliance, monitor: StubMonitor) -> None:
    appliance.write("etc/hostname", "storefront-3\n")
    appliance.write("etc/os-release", "ID=small\nVERSION_ID=7\n")
    appliance.write("etc/cloudmon-quota-mib", "10")
    agent = appliance.start()
    monitor.until(lambda: monitor.reports)
    sections = monitor.reports[0]["sections"]
    assert sections["processes"].keys() == {str(agent.pid)}
    assert sections["accounts"].keys() == {"root", "web"}
    assert sections["packages"] == {}
    assert sections["disks"].keys() == {"/"}
    assert (sections["system"]["host"]["name"], sections["system"]["host"]["os"]) == ("storefront-3", "small")
    assert abs(sections["system"]["boot"]["at"] - time.time()) < 120
    assert "services" not in sections


def test_what_cannot_be_read_is_left_out_and_said_once(appliance: Appliance, monitor: StubMonitor) -> None:
    (appliance.root / "etc/passwd").unlink()
    (appliance.root / "etc/passwd").mkdir()
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 3)
    assert "accounts" not in monitor.sections
    assert "packages" in monitor.sections
    assert appliance.log.count("accounts cannot be told") == 1
    (appliance.root / "etc/passwd").rmdir()
    appliance.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    monitor.until(lambda: monitor.sections.get("accounts"))
