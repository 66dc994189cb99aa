"""User data that serves a real machine serves a local one: scripts and ``#cloud-config``, in the node's root."""

from __future__ import annotations

import base64
import gzip
import os
from pathlib import Path

import pytest

from cloudmon_providers.local import userdata
from cloudmon_providers.local.machine import Machine


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The directory of a node as far as user data needs it."""
    (tmp_path / "root").mkdir()
    (tmp_path / "run").mkdir()
    return tmp_path


def boot(node: Path, text: str, *, first: bool = True) -> int:
    (node / "user-data").write_text(text, encoding="utf-8")
    environment = {"PATH": os.defpath, "CLOUDMON_ROOT": str(node / "root")}
    return userdata.run(node, environment, first=first)


def test_files_are_written_into_the_root_with_their_modes(node: Path) -> None:
    packed = base64.b64encode(gzip.compress(b"packed")).decode()
    text = f"""#cloud-config
write_files:
  - path: /etc/app/app.conf
    content: |
      port = 8080
    permissions: '0640'
    owner: root:root
  - {{path: etc/plain, content: "ä", encoding: text/plain}}
  - {{path: /opt/tool, content: {packed}, encoding: gz+b64, permissions: 0755}}
  - {{path: /etc/plain, content: "more", append: true}}
  - {{path: /../../outside, content: x}}
"""
    assert boot(node, text) == 0
    root = node / "root"
    assert (root / "etc/app/app.conf").read_text() == "port = 8080\n"
    assert (root / "etc/app/app.conf").stat().st_mode & 0o777 == 0o640
    assert (root / "etc/plain").read_text(encoding="utf-8") == "ämore"
    assert (root / "opt/tool").read_text() == "packed"
    assert (root / "opt/tool").stat().st_mode & 0o777 == 0o755
    assert (root / "outside").read_text() == "x"


def test_a_link_out_of_the_root_is_not_written_through(node: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (node / "root" / "run").symlink_to(node / "run")
    (node / "run" / "precious").write_text("kept")
    (node / "root" / "link").symlink_to(node / "run" / "precious")
    paths = ("/run/precious", "/run/new/a", "/link")
    boot(node, f"#cloud-config\nwrite_files: [{', '.join(f'{{path: {path}, content: x}}' for path in paths)}]\n")
    assert (node / "run" / "precious").read_text() == "kept"
    assert not (node / "run" / "new").exists()
    said = capfd.readouterr().out
    assert "/run/precious lies outside of the root, through a link" in said
    assert "/link lies outside of the root, through a link" in said


def test_commands_are_one_script_that_begins_in_the_root(node: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = """#cloud-config
runcmd:
  - who=world
  - [echo, "a  b", "$who"]
  - echo "hello $who"
  - pwd
  - exit 4
"""
    assert boot(node, text) == 4
    assert capfd.readouterr().out == f"a  b $who\nhello world\n{node / 'root'}\n"


def test_files_are_written_at_the_first_boot_only_and_commands_run_at_each(node: Path) -> None:
    text = "#cloud-config\nwrite_files: [{path: /a, content: x}]\nruncmd: [echo . >> b]\n"
    boot(node, text)
    (node / "root" / "a").write_text("changed")
    boot(node, text, first=False)
    assert (node / "root" / "a").read_text() == "changed"
    assert (node / "root" / "b").read_text() == ".\n.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("hello", "it begins neither with #! nor with #cloud-config", id="neither"),
        pytest.param("#!\nls", "its first line names no interpreter", id="no interpreter"),
        pytest.param("#cloud-config\na: &b c", "line 2 has '&'", id="no yaml"),
        pytest.param("#cloud-config\npackages: [nginx]", "packages is not done by this machine", id="not done"),
        pytest.param("#cloud-config\nruncmd: ls", "write_files and runcmd must be lists", id="no list"),
        pytest.param("#cloud-config\nruncmd: [{a: b}]", 'neither a text nor a list of texts: {"a": "b"}', id="no text"),
        pytest.param("#cloud-config\nwrite_files: [{content: x}]", "a file is not written: it has no path", id="path"),
        pytest.param(
            "#cloud-config\nwrite_files: [{path: /a, content: '!', encoding: zip}]", "the content is not zip", id="zip"
        ),
        pytest.param(
            "#cloud-config\nwrite_files: [{path: /a, content: x, encoding: gzip}]", "the content is not gzip", id="gzip"
        ),
        pytest.param(
            "#cloud-config\nwrite_files: [{path: /a, permissions: rw}]", "a file is not written: invalid", id="mode"
        ),
    ],
)
def test_what_cannot_be_done_is_said_on_the_console(
    node: Path, capfd: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    boot(node, text)
    out = capfd.readouterr().out
    assert out.startswith("user data: ")
    assert said in out
    assert list((node / "root").iterdir()) == []


def test_nothing_is_said_of_no_user_data(node: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert [boot(node, text) for text in ("", "\n", "#cloud-config\n")] == [0, 0, 0]
    assert capfd.readouterr().out == ""


def test_a_console_that_grows_without_end_keeps_its_last_part(node: Path) -> None:
    (node / "node.json").write_text('{"id": "vm-1", "boots": 1, "grace_s": 1, "memory_mib": 64}')
    machine = Machine(node, -1)
    console = node / "console.log"
    console.write_bytes(b"old" + b"." * 1_000)
    machine._trim_console()
    assert console.stat().st_size == 1_003
    console.write_bytes(b"old" + b"." * (4 << 20) + b"new")
    machine._trim_console()
    assert console.stat().st_size == 0
    kept = (node / "console.log.1").read_bytes()
    assert len(kept) == 4 << 20
    assert kept.endswith(b".new")
