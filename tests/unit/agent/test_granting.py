"""Accounts that are granted and taken back: in a directory that is the appliance, and by a machine's own programs."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudmon.agent import granting, logins, userdb
from cloudmon.agent.clock import Clock
from cloudmon.agent.collect import accounts
from cloudmon.agent.collect.accounts import Accounts
from cloudmon.agent.collect.processes import Table
from cloudmon.agent.controls import Outcome
from cloudmon.agent.granting import Granting
from cloudmon.agent.place import Place
from cloudmon.agent.rooted import Root
from cloudmon.agent.userdb import Files, Programs, UserDb

FOREIGN = "mallory:x:1000:1000::/home/mallory:/bin/sh"


def key(letter: str, comment: str = "somebody", kind: str = "ssh-ed25519") -> str:
    raw = len(kind).to_bytes(4, "big") + kind.encode() + b"\0\0\0\x20" + letter.encode() * 32
    return f"{kind} {base64.b64encode(raw).decode()} {comment}"


class Machine:
    """A directory that is an appliance, and what is granted in it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "root"
        for name in ("etc/sudoers.d", "home", "bin"):
            (self.path / name).mkdir(parents=True)
        self.write("etc/passwd", f"root:x:0:0:root:/root:/bin/sh\n{FOREIGN}\n")
        self.write("etc/shadow", "root:*:20000:0:99999:7:::\nmallory:$y$secret:20000:0:99999:7:::\n")
        self.write("etc/group", "root:x:0:\nsudo:x:27:mallory\nadm:x:4:\nmallory:x:1000:\n")
        self.root = Root(str(self.path))
        self.place = Place(str(folder / "state"))
        self.clock = Clock()
        self.accounts = Accounts(self.root, lambda: granting.made(self.place))
        self.granting = self.granting_by(Files(self.root))

    def granting_by(self, users: UserDb) -> Granting:
        table = Table(self.root, self.clock)
        return Granting(self.place, self.root, self.clock, table, lambda _: users)

    def write(self, path: str, text: str) -> None:
        (self.path / path).write_text(text)

    def text(self, path: str) -> str:
        return (self.path / path).read_text()

    def grant(self, user: str = "ada", keys: str = key("a"), rights: str = "") -> Outcome:
        return self.granting.grant(user, keys, rights, self.clock.monotonic() + 60)

    def revoke(self, user: str = "ada", *, only_made: bool = False) -> Outcome:
        return self.granting.revoke(user, self.clock.monotonic() + 60, only_made=only_made)

    def told(self, user: str = "ada") -> Any:
        return self.accounts.section().get(user)

    def everything(self) -> dict[str, str]:
        """Every file of it, but for the lock that is held while some are changed."""
        files = [path for path in sorted(self.path.rglob("*")) if path.is_file() and path.name != ".pwd.lock"]
        return {str(path): path.read_text() for path in files}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.place.close()


def test_a_grant_makes_an_account_that_its_keys_open_and_no_password(machine: Machine) -> None:
    assert machine.grant(keys=f"{key('a')}\n{key('b')}\n", rights="sudo,adm") == Outcome(True)
    told = machine.told()
    assert (told["managed"], told["locked"], told["groups"]) == (True, True, ["adm", "sudo"])
    assert told["keys"] == accounts.fingerprints(f"{key('a')}\n{key('b')}".encode())
    assert told["home"] == "/home/ada"
    assert "ada:*:" in machine.text("etc/shadow"), "a lock would keep keys out too"
    assert machine.text("etc/sudoers.d/cloudmon-ada") == "ada ALL=(ALL:ALL) NOPASSWD: ALL\n"


def test_what_a_grant_writes_belongs_to_the_account_alone(machine: Machine) -> None:
    machine.grant(rights="sudo")
    home = machine.path / "home/ada"
    uid = machine.told()["uid"] if os.geteuid() == 0 else os.geteuid()
    for path, mode in ((home, 0o700), (home / ".ssh", 0o700), (home / ".ssh/authorized_keys", 0o600)):
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (mode, uid)
    assert stat.S_IMODE((machine.path / "etc/sudoers.d/cloudmon-ada").stat().st_mode) == 0o440


def test_the_same_grant_again_changes_nothing(machine: Machine) -> None:
    machine.grant(rights="sudo")
    before = machine.everything()
    assert machine.grant(rights="sudo") == Outcome(True)
    assert machine.everything() == before


def test_another_grant_leaves_only_what_it_says(machine: Machine) -> None:
    machine.grant(rights="sudo,adm")
    assert machine.grant(keys=key("b"), rights="adm") == Outcome(True)
    assert machine.told()["keys"] == accounts.fingerprints(key("b").encode())
    assert machine.told()["groups"] == ["adm"]
    assert not (machine.path / "etc/sudoers.d/cloudmon-ada").exists()
    assert machine.text("etc/group").startswith("root:x:0:\nsudo:x:27:mallory\n"), "others stay in it"


def test_an_account_that_is_not_ours_is_left_as_it_is(machine: Machine) -> None:
    before = machine.everything()
    assert "did not make" in machine.grant("mallory").error
    assert "did not make" in machine.revoke("mallory", only_made=True).error
    assert machine.everything() == before


def test_an_account_that_was_made_anew_by_somebody_else_is_not_ours_any_more(machine: Machine) -> None:
    machine.grant()
    uid = machine.told()["uid"]
    machine.write("etc/passwd", machine.text("etc/passwd").replace(f"ada:x:{uid}:", "ada:x:1717:"))
    assert "managed" not in machine.told()
    assert "did not make" in machine.grant().error


def test_a_revoked_account_is_gone_with_its_home_and_a_repeat_is_quiet(machine: Machine) -> None:
    before = machine.everything()
    machine.grant(rights="sudo")
    assert machine.revoke(only_made=True).ok
    assert machine.told() is None
    assert machine.everything() == before
    assert granting.made(machine.place) == {}
    assert machine.revoke(only_made=True).ok


def test_a_stray_is_taken_away_when_it_is_named_and_its_home_stays(machine: Machine) -> None:
    home = machine.path / "home/mallory"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/authorized_keys").write_text(key("m"))
    (home / "loot").write_text("evidence")
    assert machine.revoke("mallory") == Outcome(True)
    assert machine.told("mallory") is None
    assert "mallory" not in machine.text("etc/shadow") + machine.text("etc/group")
    assert not (home / ".ssh/authorized_keys").exists()
    assert (home / "loot").read_text() == "evidence"


def test_no_account_takes_over_a_group_or_takes_one_with_it(machine: Machine) -> None:
    before = machine.everything()
    assert "a group adm already" in machine.grant("adm").error
    assert machine.everything() == before
    machine.write("etc/passwd", f"{machine.text('etc/passwd')}adm:x:1717:1717::/home/adm:/bin/sh\n")
    assert machine.revoke("adm").ok
    assert "adm:x:4:" in machine.text("etc/group")


@pytest.mark.parametrize("user", ["root"])
def test_the_system_s_own_account_stays(machine: Machine, user: str) -> None:
    before = machine.everything()
    assert "stays" in machine.revoke(user).error
    assert machine.everything() == before


@pytest.mark.parametrize(
    ("user", "keys", "rights", "said"),
    [
        pytest.param("../etc", key("a"), "", "no name", id="a path"),
        pytest.param("ada:x", key("a"), "", "no name", id="a field more"),
        pytest.param("ada", "", "", "no key", id="no key"),
        pytest.param("ada", 'command="/bin/sh" ' + key("a"), "", "ssh-keygen", id="options"),
        pytest.param("ada", "ssh-ed25519 AAAA", "", "another kind", id="cut short"),
        pytest.param("ada", key("a").replace("ssh-ed25519", "ssh-rsa", 1), "", "another kind", id="kind"),
        pytest.param("ada", key("a"), "docker", "no group 'docker'", id="group"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    machine: Machine, user: str, keys: str, rights: str, said: str
) -> None:
    before = machine.everything()
    outcome = machine.grant(user, keys, rights)
    assert not outcome.ok
    assert said in outcome.error
    assert machine.everything() == before
    assert granting.made(machine.place) == {}


@pytest.mark.parametrize("name", [".ssh", ".ssh/authorized_keys"])
def test_a_link_that_a_user_laid_leads_nowhere(machine: Machine, tmp_path: Path, name: str) -> None:
    machine.grant()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "authorized_keys").write_text("precious")
    link = machine.path / "home/ada" / name
    if name == ".ssh":
        (link / "authorized_keys").unlink()
        link.rmdir()
        link.symlink_to(elsewhere)
    else:
        link.unlink()
        link.symlink_to(elsewhere / "authorized_keys")
    assert machine.grant(keys=key("b")) == Outcome(True)
    assert (elsewhere / "authorized_keys").read_text() == "precious"
    assert not link.is_symlink()
    assert machine.told()["keys"] == accounts.fingerprints(key("b").encode())


def test_a_home_that_is_a_link_is_not_written_into(machine: Machine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (machine.path / "home/ada").symlink_to(elsewhere)
    assert not machine.grant().ok
    assert list(elsewhere.iterdir()) == []


def test_an_agent_that_was_killed_between_its_record_and_the_account_goes_on_from_there(machine: Machine) -> None:
    machine.place.store({"ada": 1005}, granting.RECORD)
    assert machine.grant() == Outcome(True)
    assert machine.told()["uid"] == 1005


def test_a_machine_s_programs_are_told_words_and_never_a_line(machine: Machine) -> None:
    ran: list[list[str]] = []
    files = Files(machine.root)

    def run(argv: list[str]) -> None:
        ran.append(argv)
        if argv[0] == "useradd":
            files.make("ada", 1001, "/home/ada", "/bin/sh")
        if argv[0] == "userdel":
            files.remove("ada")

    machine.granting = machine.granting_by(Programs(run))
    assert machine.grant(rights="sudo") == Outcome(True)
    assert ran == [
        ["useradd", "-m", "-U", "-u", "1001", "-d", "/home/ada", "-s", "/bin/sh", "-p", "*", "--", "ada"],
        ["usermod", "-G", "sudo", "--", "ada"],
        ["usermod", "-p", "*", "-e", "", "--", "ada"],
    ]
    ran.clear()
    assert machine.revoke().ok
    assert ran == [["usermod", "-p", "!", "-e", "1", "--", "ada"], ["userdel", "--", "ada"], ["groupdel", "--", "ada"]]


@pytest.mark.parametrize(("lacks", "kind"), [("", Programs), ("usermod", Files)], ids=["it has them", "BusyBox"])
def test_a_machine_without_the_programs_is_changed_by_its_files(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, lacks: str, kind: type
) -> None:
    monkeypatch.setattr("cloudmon.agent.programs.find", lambda name: None if name == lacks else f"/usr/sbin/{name}")
    assert isinstance(userdb.of(Root(""), 1.0), kind)
    assert isinstance(userdb.of(machine.root, 1.0), Files)


def test_a_program_that_fails_is_told_in_its_own_words(machine: Machine) -> None:
    def run(argv: list[str]) -> None:
        raise OSError(f"{argv[0]}: cannot lock /etc/passwd")

    machine.granting = machine.granting_by(Programs(run))
    assert machine.grant() == Outcome(False, "useradd: cannot lock /etc/passwd")


def test_the_record_is_names_and_numbers_and_no_key(machine: Machine) -> None:
    machine.grant()
    assert json.loads(Path(machine.place.at(granting.RECORD)).read_text()) == {"ada": 1001}


def test_keys_are_written_as_they_were_given(machine: Machine) -> None:
    machine.grant(keys=f"\n  {key('a', 'ada at work')}\n")
    assert machine.text("home/ada/.ssh/authorized_keys") == f"{logins.HEADER}{key('a', 'ada at work')}\n"
