"""``[channel]``: where agents find the monitor."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError

Write = Callable[..., Path]


def test_without_the_group_there_is_no_channel(write: Write) -> None:
    assert settings.load(write()).channel is None


def test_an_empty_group_is_a_channel_for_this_machine(write: Write) -> None:
    found = settings.load(write("[channel]")).channel
    assert found is not None
    assert (found.address, found.port, found.tls) == ("127.0.0.1", 8788, "own")
    assert found.told_url == "https://127.0.0.1:8788"
    assert found.hosts == ("127.0.0.1",)


def test_the_environment_turns_it_on_too(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDMON_CHANNEL__PORT", "9000")
    found = settings.load(write()).channel
    assert found is not None
    assert found.port == 9000


def test_the_certificate_is_for_all_that_agents_may_call_it(write: Write) -> None:
    more = '[channel]\naddress = "10.0.0.5"\nurl = "https://monitor.example.net/"\nnames = ["m.local", "10.0.0.5"]'
    found = settings.load(write(more)).channel
    assert found is not None
    assert found.told_url == "https://monitor.example.net"
    assert found.hosts == ("monitor.example.net", "10.0.0.5", "m.local")


def test_an_address_of_ipv6_is_told_as_urls_have_it(write: Write) -> None:
    found = settings.load(write('[channel]\naddress = "::1"')).channel
    assert found is not None
    assert (found.told_url, found.hosts) == ("https://[::1]:8788", ("::1",))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('address = "localhost"', "must be an IP address"),
        ("port = 0", "channel.port"),
        ('address = "0.0.0.0"', "needs url"),
        ('tls = "proxy"', "needs url"),
        ('url = "monitor.example.net"', "must be a URL"),
        ('url = "https://monitor.example.net/path"', "must be a URL without a path"),
        ('url = "https://me:secret@monitor.example.net"', "must be a URL"),
        ('url = "https://monitor.example.net:99999"', "must be a URL"),
        ('url = "http://monitor.example.net"', "not https"),
        ('tls = "mine"', "channel.tls"),
        ("prt = 1", "port"),
        ("least_interval_s = 0", "least_interval_s"),
        ("report_max_kib = 1", "report_max_kib"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(write: Write, more: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(write(f"[channel]\n{more}"))
    assert sentence in caught.value.message


def test_a_key_is_made_once_and_is_its_owners_alone(write: Write, tmp_path: Path) -> None:
    loaded = settings.load(write("[channel]"))
    key = settings.channel_key(loaded)
    assert settings.channel_key(loaded) == key
    assert key != settings.log_key(loaded)
    assert stat.S_IMODE((tmp_path / "var/channel.key").stat().st_mode) == 0o600


def test_a_named_key_is_read_beside_the_settings_and_never_made(write: Write, tmp_path: Path) -> None:
    loaded = settings.load(write('[channel]\nkey_file = "k"'))
    with pytest.raises(SettingsError, match=r"the channel's key \(channel\.key_file\) cannot be had"):
        settings.channel_key(loaded)
    (tmp_path / "k").write_bytes(b"hunter2")
    with pytest.raises(SettingsError, match="no key of the channel: 7 bytes"):
        settings.channel_key(loaded)
    (tmp_path / "k").write_bytes(b"0123456789abcdef\n")
    assert settings.channel_key(loaded) == b"0123456789abcdef"
