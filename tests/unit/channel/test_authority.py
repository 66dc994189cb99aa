"""The service's own CA: made once, its server's certificate renewed in time, and trusted by who knows the hash."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509

from cloudmon.channel import authority
from cloudmon.channel.authority import Authority, open_authority
from cloudmon.errors import SettingsError

NOW = dt.datetime.now(dt.UTC)
HOSTS = ("monitor.example.net", "127.0.0.1", "::1")


def days(count: float) -> dt.datetime:
    return NOW + dt.timedelta(days=count)


def server(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())


def test_it_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "channel"
    first = open_authority(folder, HOSTS, NOW)
    assert sorted(path.name for path in folder.iterdir()) == ["ca.key", "ca.pem", "server.key", "server.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert open_authority(folder, HOSTS, days(1)).ca_hash == first.ca_hash
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_its_hash_is_what_tokens_name(tmp_path: Path) -> None:
    found = open_authority(tmp_path, HOSTS, NOW)
    der = ssl.PEM_cert_to_DER_cert(found.ca_pem.decode())
    assert base64.urlsafe_b64decode(found.ca_hash + "=") == hashlib.sha256(der).digest()
    assert len(found.ca_hash) == 43


def test_two_authorities_are_two(tmp_path: Path) -> None:
    assert open_authority(tmp_path / "a", HOSTS, NOW).ca_hash != open_authority(tmp_path / "b", HOSTS, NOW).ca_hash


def test_certificates_say_what_they_are_for(tmp_path: Path) -> None:
    open_authority(tmp_path, HOSTS, NOW)
    ca, found = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes()), server(tmp_path)
    found.verify_directly_issued_by(ca)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["monitor.example.net"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert ca.not_valid_after_utc - NOW > dt.timedelta(days=3_650)


@pytest.mark.parametrize(
    ("after", "hosts", "anew"),
    [
        pytest.param(1, HOSTS, False, id="the day after"),
        pytest.param(397 - 31, HOSTS, False, id="31 days before its end"),
        pytest.param(397 - 29, HOSTS, True, id="29 days before its end"),
        pytest.param(1, (*HOSTS, "more.example.net"), True, id="for a host more"),
    ],
)
def test_the_servers_certificate_is_renewed_in_time_and_for_other_hosts(
    tmp_path: Path, after: float, hosts: tuple[str, ...], anew: bool
) -> None:
    ca = open_authority(tmp_path, HOSTS, NOW).ca_hash
    before = server(tmp_path)
    assert open_authority(tmp_path, hosts, days(after)).ca_hash == ca
    assert (server(tmp_path) != before) is anew


@pytest.mark.parametrize("lost", ["server.pem", "server.key"])
def test_a_lost_or_broken_server_certificate_is_made_anew(tmp_path: Path, lost: str) -> None:
    ca = open_authority(tmp_path, HOSTS, NOW).ca_hash
    (tmp_path / lost).write_text("nonsense")
    found = open_authority(tmp_path, HOSTS, NOW)
    assert found.ca_hash == ca
    found.context()


def test_a_begin_that_died_between_key_and_certificate_is_gone_on_with(tmp_path: Path) -> None:
    open_authority(tmp_path, HOSTS, NOW)
    for name in ("ca.pem", "server.pem", "server.key"):
        (tmp_path / name).unlink()
    found = open_authority(tmp_path, HOSTS, NOW)
    assert talk(found) == b"hello"


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: (folder / "ca.key").write_text("nonsense"), id="key"),
        pytest.param(lambda folder: (folder / "ca.pem").write_text("nonsense"), id="certificate"),
        pytest.param(lambda folder: (folder / "ca.key").unlink(), id="the key of another one"),
    ],
)
def test_an_authority_that_is_broken_is_never_made_anew_in_silence(tmp_path: Path, spoil: object) -> None:
    """Every agent would have to be enrolled anew: that is for a person to decide."""
    open_authority(tmp_path, HOSTS, NOW)
    spoil(tmp_path)  # type: ignore[operator]
    with pytest.raises(SettingsError, match="bring back"):
        open_authority(tmp_path, HOSTS, NOW)


def test_an_authority_that_has_ended_says_the_way_out(tmp_path: Path) -> None:
    open_authority(tmp_path, HOSTS, NOW)
    with pytest.raises(SettingsError, match="enrolled anew"):
        open_authority(tmp_path, HOSTS, days(4_000))


def test_a_folder_that_cannot_be_had_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be had"):
        open_authority(tmp_path / "file" / "channel", HOSTS, NOW)


def talk(found: Authority, ca: bytes | None = None, host: str = "127.0.0.1") -> bytes:
    """What an agent hears that trusts this CA alone."""
    context = found.context()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            accepted, _ = listening.accept()
            try:
                with context.wrap_socket(accepted, server_side=True) as connection:
                    connection.sendall(b"hello")
            except OSError:
                accepted.close()

        serving = threading.Thread(target=answer)
        serving.start()
        theirs = ssl.create_default_context(cadata=(ca or found.ca_pem).decode())
        try:
            with (
                socket.create_connection(listening.getsockname()) as plain,
                theirs.wrap_socket(plain, server_hostname=host) as connection,
            ):
                return connection.recv(16)
        finally:
            serving.join()


def test_who_trusts_the_authority_hears_the_server(tmp_path: Path) -> None:
    found = open_authority(tmp_path, HOSTS, NOW)
    assert talk(found) == b"hello"
    assert talk(found, host="monitor.example.net") == b"hello"


def test_who_trusts_another_one_or_expects_another_host_hears_nothing(tmp_path: Path) -> None:
    found, other = open_authority(tmp_path / "a", HOSTS, NOW), open_authority(tmp_path / "b", HOSTS, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        talk(found, other.ca_pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        talk(found, host="other.example.net")


def test_a_context_in_use_takes_a_renewed_certificate_over(tmp_path: Path) -> None:
    found = open_authority(tmp_path, HOSTS, NOW - dt.timedelta(days=authority.SERVER_DAYS - 20))
    found.context()
    before = server(tmp_path)
    assert found.renew(NOW)
    assert not found.renew(NOW)
    assert server(tmp_path) != before
    assert talk(found) == b"hello"
