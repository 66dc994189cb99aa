"""The directory of the set inside an appliance: a file for its applications, and names in its hosts file."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from cloudmon.agent import peers
from cloudmon.agent.rooted import Root

HOSTS = "127.0.0.1 localhost\n10.9.9.9 other  # of somebody's\n"


def told(*, hosts: bool = True, **members: Any) -> dict[str, Any]:
    named = {f"shop/{name[1:]}": one for name, one in members.items()}
    return {"ports": [5432], "hosts": hosts, "members": named}


ONE, TWO = {"private": ["10.0.0.1", "fd00::1"], "public": ["192.0.2.1"]}, {"private": [], "public": ["192.0.2.2"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text(HOSTS)
    return tmp_path


def test_applications_find_the_directory_in_a_file_that_anybody_may_read(root: Path) -> None:
    peers.keep(Root(str(root)), told(_1=ONE, _2=TWO, hosts=False))
    file = root / "var/lib/cloudmon/peers.json"
    assert json.loads(file.read_text()) == told(_1=ONE, _2=TWO, hosts=False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert (root / "etc/hosts").read_text() == HOSTS


def test_names_come_into_the_hosts_file_where_that_is_wanted_and_go_again(root: Path) -> None:
    peers.keep(Root(str(root)), told(_1=ONE, _2=TWO))
    lines = ["10.0.0.1 shop-1", "fd00::1 shop-1", "192.0.2.2 shop-2"]
    assert (root / "etc/hosts").read_text() == HOSTS + "\n".join([peers.BEGIN, *lines, peers.END, ""])
    peers.keep(Root(str(root)), told(_2=TWO))
    assert (root / "etc/hosts").read_text() == HOSTS + "\n".join([peers.BEGIN, lines[2], peers.END, ""])
    peers.keep(Root(str(root)), {})
    assert (root / "etc/hosts").read_text() == HOSTS
    assert not (root / "var/lib/cloudmon/peers.json").exists()


def test_what_has_not_changed_is_not_written_again(root: Path) -> None:
    peers.keep(Root(str(root)), told(_1=ONE))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    peers.keep(Root(str(root)), told(_1=ONE))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"shop/1 evil": {"private": ["10.0.0.1"]}}, id="a name with a blank"),
        pytest.param({"shop/1": {"private": ["10.0.0.1\n6.6.6.6 bank.example"]}}, id="a line more"),
        pytest.param({"shop/1": {"private": ["bank.example"]}}, id="no address"),
        pytest.param({"shop/1": "x"}, id="no member"),
        pytest.param([], id="no members"),
    ],
)
def test_nothing_but_names_and_addresses_comes_into_the_hosts_file(members: object) -> None:
    assert peers.lines({"members": members}) == []
