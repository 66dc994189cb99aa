"""The settings know which of their values must never be shown."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloudmon import logs, settings
from cloudmon.monitor.service import open_service
from cloudmon.testing import FakeClock

KEY = "0123456789abcdef-the-log-key"
TEXT = """
[store]
url = "postgresql://cm:in%%2Furl@db/x"
%s
[clouds.frankfurt]
provider = "aws"
options = { region = "eu-central-1", access_key = "AKIA1", secret_key = "of the cloud", session_token = "of the hour" }
[clouds.stack]
provider = "generic"
[clouds.stack.options]
driver = "openstack"
name = "cm-{token}"
key = "user name"
secret = "of the stack"
[clouds.stack.options.arguments]
ex_force_auth_url = "https://keystone.example:5000"
ex_force_auth_token = "forced token"
ex_force_service_region = "RegionOne"
[templates.web]
images = { "*" = "web-1" }
[sets.storefront]
template = "web"
count = 1
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(more: str = "") -> Path:
        path = tmp_path / "shop.toml"
        path.write_text(TEXT % more, encoding="utf-8")
        (tmp_path / "var").mkdir()
        (tmp_path / "var" / "log.key").write_text(KEY + "\n", encoding="utf-8")
        return path

    return written


def test_all_of_them_are_found_and_nothing_else(write: Callable[..., Path]) -> None:
    plain = {"in/url", "of the cloud", "of the hour", "of the stack", "user name", "forced token", KEY}
    found = settings.secrets_of(settings.load(write()))
    assert plain <= found
    assert {"in%2Furl", "of%20the%20cloud"} <= found
    assert not {"RegionOne", "AKIA1", "web-1", "db", "cm", ""} & found


def test_a_password_of_its_own_is_the_one_that_counts(write: Callable[..., Path]) -> None:
    found = settings.secrets_of(settings.load(write('password = "p@ss word"')))
    assert {"p@ss word", "p%40ss%20word"} <= found


def test_a_key_that_is_not_there_yet_is_not_made_by_asking(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write()
    (tmp_path / "var" / "log.key").unlink()
    assert KEY not in settings.secrets_of(settings.load(path))
    assert not (tmp_path / "var" / "log.key").exists()


# --- nothing shows them -----------------------------------------------------------------------------------------------

PASSWORD = "sword" + "fish-9"
COMMAND = Path(sys.executable).with_name("cloudmon")


@pytest.fixture
def talkative() -> Iterator[int]:
    """Port of a database that answers everybody with the password in its words."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_answer, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]


def _answer(listening: socket.socket) -> None:
    fields = b"SFATAL\0VFATAL\0C28P01\0M" + f"no such password: {PASSWORD}".encode() + b"\0\0"
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            said = connection.recv(4096)
            if said[4:8] == struct.pack("!I", 80877103):  # may we encrypt?
                connection.sendall(b"N")
                connection.recv(4096)
            connection.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)


@pytest.mark.parametrize("command", ["run", "plan", "status", "doctor"])
def test_a_password_that_the_database_repeats_reaches_no_terminal(tmp_path: Path, talkative: int, command: str) -> None:
    path = tmp_path / "shop.toml"
    url = f"postgresql://cm:{PASSWORD}@127.0.0.1:{talkative}/x"
    path.write_text(f'[store]\nurl = "{url}"\n[monitor]\nstate_dir = "."\nhealth_port = 0\n', encoding="utf-8")
    found = subprocess.run(
        [COMMAND, command, "-c", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert found.returncode == 1
    assert "the store cannot be reached" in found.stdout + found.stderr
    assert PASSWORD not in found.stdout + found.stderr


def test_a_secret_that_comes_with_changed_settings_is_masked_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    far = '[clouds.far]\nprovider = "aws"\noptions = { region = "eu-central-1", access_key = "AK"%s }'
    text = f'[store]\nurl = "memory"\n{far}'
    path.write_text(text % ', secret_key = "old one"', encoding="utf-8")
    with open_service(path, FakeClock()) as service:
        service.begin()
        path.write_text(text % f', secret_key = "{PASSWORD}"', encoding="utf-8")
        assert service.reload() is True
    assert logs.masked(f"rejected: {PASSWORD}") == "rejected: ***"
