"""What the agent tells of updates that are there and not in force: candidates, restarts and reboots that are due."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from machines import until

from cloudmon.agent import candidates, programs
from cloudmon.agent.candidates import Candidates
from cloudmon.agent.clock import Clock
from cloudmon.agent.collect import debt
from cloudmon.agent.place import Place
from cloudmon.agent.rooted import Root


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a program where the agent looks for programs; the file that counts how often it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(programs, "PATH", str(folder))

    def put(name: str, then: str) -> Path:
        said = tmp_path / f"{name}.words"
        program = folder / name
        program.write_text(f"#!/bin/sh\necho \"$@\" >> '{said}'\n{then}\n")
        program.chmod(0o755)
        return said

    return put


def appliance(tmp_path: Path, *files: str) -> Path:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("")
    return root


def offered(tmp_path: Path, root: Path) -> Candidates:
    return Candidates(Place(str(tmp_path / "state")), Root(str(root)), Clock())


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
def test_without_sources_the_newest_file_that_lies_ready_is_the_candidate(tmp_path: Path) -> None:
    folder = "var/cache/apt/archives"
    root = appliance(
        tmp_path, "var/lib/dpkg/status", f"{folder}/shop_1.9_all.deb", f"{folder}/shop_1%3a1.10_all.deb",
        f"{folder}/shopping_3.0_all.deb",
    )  # fmt: skip
    found = offered(tmp_path, root)
    assert found.of(["shop", "other", "--help"]) == {"shop": "1:1.10"}
    before = found.signature()
    (root / folder / "shop_1%3a2.0_all.deb").write_text("")
    assert found.signature() != before
    assert found.of(["shop"]) == {"shop": "1:2.0"}


def test_apt_is_asked_once_for_as_long_as_its_lists_stay_the_same(
    tmp_path: Path, shelf: Callable[[str, str], Path]
) -> None:
    folders = ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial")
    root = appliance(tmp_path, "var/lib/dpkg/status", "etc/apt/sources.list", *(f"{one}/x" for one in folders))
    (tmp_path / "state").mkdir()
    answer = "shop:\\n  Installed: 1.0\\n  Candidate: 1.4-2\\n  Version table:\\nother:\\n  Candidate: (none)\\n"
    said = shelf("apt-cache", f"printf '{answer}'")
    found = offered(tmp_path, root)
    assert found.of(["shop", "other"]) == found.of(["shop", "other"]) == {"shop": "1.4-2"}
    assert said.read_text() == "policy -- shop other\n"


def test_what_dnf_offers_is_read_with_its_epoch() -> None:
    assert candidates.dnf_evr(b"vim\t2:9.0-1.fc40\nbash\t0:5.2-1\n\nnonsense\n") == {
        "vim": "2:9.0-1.fc40", "bash": "5.2-1",
    }  # fmt: skip


APK = b"""\
WARNING: opening from cache https://dl-cdn.alpinelinux.org/alpine/v3.19/main: No such file or directory
Installed:                                Available:
busybox-1.36.1-r15                      < 1.36.1-r19\x20
libstdc++-13.2.1_git20231014-r0         = 13.2.1_git20231014-r0\x20
nginx-mod-http-geoip2-1.24.0-r16        > 1.24.0-r15\x20
musl-1.2.4_git20230717-r4               < 1.2.5-r0 @edge
py3-a-name-that-fills-its-column-2.0-r10> 2.1-r0 @edge
shop-1.0-r0                             ?\x20
torn-1.0-r0                             < 1.
"""


def test_what_apk_offers_is_read_strictly_and_of_what_no_list_has_nothing_is_known() -> None:
    assert candidates.apk(APK) == {
        "busybox": "1.36.1-r19", "libstdc++": "13.2.1_git20231014-r0", "nginx-mod-http-geoip2": "1.24.0-r16",
        "musl": "1.2.5-r0",
    }  # fmt: skip


def test_apk_is_asked_without_network_and_again_when_its_lists_change(
    tmp_path: Path, shelf: Callable[[str, str], Path]
) -> None:
    root = appliance(tmp_path, "lib/apk/db/installed", "var/cache/apk/APKINDEX.1.tar.gz")
    said = shelf("apk", "echo 'shop-1.0-r0    < 1.2-r0 '; echo 'other-2-r0   < 3-r0 '")
    found = offered(tmp_path, root)
    assert found.of(["shop"]) == found.of(["shop"]) == {"shop": "1.2-r0"}
    assert said.read_text() == f"--no-network --root {root} version shop\n"
    before = found.signature()
    (root / "var/cache/apk/APKINDEX.2.tar.gz").write_text("")
    assert found.signature() != before
    found.of(["shop"])
    assert said.read_text().count("version") == 2


@pytest.mark.parametrize(
    ("line", "root", "found"),
    [
        (b"7f00-7f10 r-xp 00000000 fd:01 1337 /usr/lib/libssl.so.3 (deleted)", "", True),
        (b"7f00-7f10 r-xp 00000000 fd:01 1337 /usr/lib/libssl.so.3", "", False),
        (b"7f00-7f10 rw-s 00000000 fd:01 1337 /var/lib/shop/data (deleted)", "", False),
        (b"7f00-7f10 r-xp 00000000 00:01 1337 /memfd:jit (deleted)", "", False),
        (b"7f00-7f10 r-xp 00000000 00:01 1337 /tmp/jna123.so (deleted)", "", False),
        (b"7f00-7f10 r-xp 00000000 fd:01 1337 /roots/a/usr/bin/shop (deleted)", "/roots/a", True),
        (b"7f00-7f10 r-xp 00000000 fd:01 1337 /usr/lib/libssl.so.3 (deleted)", "/roots/a", False),
        (b"", "", False),
    ],
)
def test_only_programs_and_libraries_that_were_replaced_count(line: bytes, root: str, found: bool) -> None:
    assert debt.replaced(b"7f20-7f30 r--p 00000000 00:00 0\n" + line + b"\n", root) is found


def test_a_process_whose_program_was_replaced_is_found(tmp_path: Path) -> None:
    program = tmp_path / "shop"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    process = subprocess.Popen([program, "60"])
    try:
        maps = Path(f"/proc/{process.pid}/maps")
        until(lambda: str(program) in maps.read_text(), "the program is what runs")
        assert debt.runs_replaced([process.pid], str(tmp_path)) is False
        program.unlink()
        assert debt.runs_replaced([process.pid], str(tmp_path)) is True
    finally:
        process.kill()
        process.wait()
    assert debt.runs_replaced([process.pid], str(tmp_path)) is False


def test_a_reboot_is_due_where_debian_says_so_and_unknown_where_nobody_can_tell(tmp_path: Path) -> None:
    root = appliance(tmp_path)
    reboot = debt.Reboot(Root(str(root)), Clock())
    assert reboot.due() is None
    appliance(tmp_path, "var/lib/dpkg/status")
    assert reboot.due() is False
    appliance(tmp_path, "run/reboot-required")
    (root / "var/run").symlink_to("/run")
    assert reboot.due() is True


def test_needs_restarting_is_asked_at_most_once_an_hour(shelf: Callable[[str, str], Path]) -> None:
    said = shelf("needs-restarting", "exit 1")

    class Elsewhere(Root):
        def exists(self, path: str) -> bool:
            return False

    reboot = debt.Reboot(Elsewhere(), Clock())
    assert (reboot.due(), reboot.due()) == (True, True)
    assert said.read_text() == "-r\n"
