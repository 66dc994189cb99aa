"""Parsers of what a system writes down: right on what is right, and never surprised by anything else."""

from __future__ import annotations

import base64
import hashlib
import string
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.agent import commands, config, rooted, signing, states, tokens
from cloudmon.agent.collect import accounts, machine, network, packages, processes, services, storage

STAT = b"%d (%s) S 1 %d %d 0 -1 4194560 100 0 0 0 %d %d 0 0 20 0 1 0 %d 12345678 2560 18446744073709551615 1 1 0 0 0\n"
NAMES = st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name)
WORDS = st.text(string.ascii_lowercase + string.digits + "+.-", min_size=1, max_size=20)


@given(NAMES, st.integers(1, 4194304), st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_process_is_read_whatever_it_calls_itself(name: bytes, pid: int, cpu: int, started: int) -> None:
    found = processes.parse(STAT % (pid, name, pid, 77, cpu, 1, started))
    assert found == processes.Process(pid, name.decode("utf-8", "replace"), "S", 1, 77, cpu + 1, started, 10)
    states.canonical(found)


@pytest.mark.parametrize("name", [b"a) R 1 (b", b"two\nlines", b"(sd-pam)", b") (", b"\xff\xfe", b" "])
def test_brackets_and_line_ends_in_a_name_do_not_move_the_fields(name: bytes) -> None:
    found = processes.parse(STAT % (7, name, 7, 5, 3, 4, 99))
    assert (found.pid, found.parent, found.session, found.cpu_ticks, found.started) == (7, 1, 5, 7, 99)
    assert found.name == name.decode("utf-8", "replace")


def test_a_command_line_is_read_as_people_write_it_and_without_a_token() -> None:
    assert processes.command_of(b"python3\0-m\0http.server\0") == "python3 -m http.server"
    assert (
        processes.command_of(b"agent\0--enrol\0cm1.-.m-abc.secret_-x\0--once\0") == "agent --enrol cm1.(hidden) --once"
    )


@pytest.mark.parametrize(
    ("exact", "told"), [(0, 0), (0.4, 0), (7.6, 8), (42, 42), (123, 120), (128, 130), (4567, 4600)]
)
def test_memory_of_a_process_is_told_in_two_digits(exact: float, told: int) -> None:
    assert told == processes.significant(exact)


PARSERS: list[Callable[[bytes], Any]] = [
    lambda raw: packages.dpkg(raw.splitlines(keepends=True)),
    packages.apk,
    packages.rpm,
    accounts.passwd,
    lambda raw: str(accounts.groups(raw)),
    accounts.locked,
    accounts.fingerprints,
    storage.diskstats,
    storage.mounts,
    lambda raw: storage.real(storage.mounts(raw)),
    network.counters,
    network.addresses6,
    machine.os_release,
    machine.meminfo,
    services.units,
    services.enabled,
    processes.command_of,
]
LINES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [
                b"Package: a", b"Version: 1", b"Status: install ok installed", b"", b"P:a", b"V:1", b"a\t1\tb",
                b"a:x:0:0:::", b"a:x:0:b", b"a:!:::::::", b"8 0 sda 1 2 3 4 5 6 7 8 9 10 11", b"eth0:" + b" 1" * 16,
                b"/dev/sda1 / ext4 rw 0 0", b"/dev/x /a\\040b\\777 ext4 rw 0 0", b'ID="debian', b"MemTotal: 1 kB",
                b"\xe2\x97\x8f a.service loaded failed failed", b"ssh-rsa AAAA", b"a.service enabled",
            ]
        ),
    ),
    max_size=12,
)  # fmt: skip


@pytest.mark.parametrize("parser", PARSERS, ids=range(len(PARSERS)))
@given(lines=LINES)
def test_no_parser_is_surprised_and_what_it_says_can_be_written_down(
    parser: Callable[[bytes], Any], lines: list[bytes]
) -> None:
    states.canonical(parser(b"\n".join(lines)))


@given(st.binary(max_size=200))
def test_what_is_no_line_of_a_process_is_a_value_error(raw: bytes) -> None:
    try:
        processes.parse(raw)
    except ValueError:
        return
    assert b"(" in raw


@given(st.dictionaries(WORDS, st.tuples(WORDS, st.sampled_from(["installed", "half-installed", "config-files"]))))
def test_dpkg_tells_what_is_installed_and_nothing_else(wanted: dict[str, tuple[str, str]]) -> None:
    text = "\n".join(
        f"Package: {name}\nStatus: install ok {state}\nArchitecture: all\n"
        f"Description: a\n Version: 9\nVersion: {version}\n"
        for name, (version, state) in wanted.items()
    )
    assert {name: found["version"] for name, found in packages.dpkg(text.encode().splitlines()).items()} == {
        name: version for name, (version, state) in wanted.items() if state == "installed"
    }


def test_dpkg_tells_one_name_of_two_architectures_twice_and_held_packages_too() -> None:
    text = b"".join(
        b"Package: libc6\nStatus: %s ok installed\nArchitecture: %s\nVersion: 2.36\n\n" % words
        for words in ((b"install", b"amd64"), (b"hold", b"i386"))
    )
    assert packages.dpkg(text.splitlines()).keys() == {"libc6", "libc6:i386"}


def test_apk_tells_name_version_and_architecture() -> None:
    raw = b"C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nF:lib\nR:ld.so\na:0:0:755\n\nP:zlib\nV:1.3-r2\nA:x86_64\n"
    assert packages.apk(raw) == {
        "musl": {"version": "1.2.4-r2", "arch": "x86_64", "manager": "apk"},
        "zlib": {"version": "1.3-r2", "arch": "x86_64", "manager": "apk"},
    }


@given(st.lists(st.tuples(WORDS, st.integers(0, 2**32 - 1)), max_size=5), st.binary(max_size=40))
def test_accounts_are_read_between_lines_that_are_none(wanted: list[tuple[str, int]], noise: bytes) -> None:
    noise = noise.replace(b":", b"").replace(b"\n", b"")
    wanted = [(name, uid) for name, uid in wanted if not name.startswith(("+", "-"))]
    lines = [f"{name}:x:{uid}:0:a b,,:/home/{name}:/bin/sh".encode() for name, uid in wanted]
    found = accounts.passwd((b"\n" + noise + b"\n").join([noise, *lines, noise]))
    assert [(one.name, one.uid, one.home) for one in found] == [(name, uid, f"/home/{name}") for name, uid in wanted]


def test_of_the_shadow_file_only_what_is_locked_is_kept() -> None:
    raw = b"root:$y$j9T$secret:19000::::::\nweb:!:1::::::\ndaemon:*:1::::::\nnobody:!*:1\nopen::1:::\nodd\n"
    assert accounts.locked(raw) == {"root": False, "web": True, "daemon": True, "nobody": True, "open": False}
    assert "secret" not in str(accounts.locked(raw))


def ssh_key(kind: bytes, rest: bytes) -> bytes:
    return struct.pack(">I", len(kind)) + kind + rest


@given(st.sampled_from([b"ssh-ed25519", b"ecdsa-sha2-nistp256", b"sk-ssh-ed25519@openssh.com"]), st.binary(max_size=80))
def test_keys_are_told_by_the_fingerprint_that_ssh_shows(kind: bytes, rest: bytes) -> None:
    key = ssh_key(kind, rest)
    expected = "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    line = kind + b" " + base64.b64encode(key) + b" a@b\n"
    assert accounts.fingerprints(line) == [expected]
    with_options = b'command="ssh-rsa AAAA",no-pty ' + line
    assert accounts.fingerprints(b"# " + line + with_options + b"ssh-rsa nonsense\n") == [expected]


def test_mounts_with_odd_names_are_read_and_each_device_told_once() -> None:
    raw = (
        b"sysfs /sys sysfs rw 0 0\n/dev/sda1 / ext4 rw 0 0\n/dev/sda1 /var/lib/docker ext4 rw 0 0\n"
        b"/dev/sdb1 /srv/two\\040words\\134and\\011tab xfs rw 0 0\nserver:/x /net nfs rw 0 0\n"
        b"overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\n/dev/loop0 /snap/core squashfs ro 0 0\n"
    )
    assert [mount.point for mount in storage.real(storage.mounts(raw))] == ["/", "/srv/two words\\and\ttab"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_any_mount_point_survives_the_way_it_is_written(name: str) -> None:
    written = "".join(f"\\{byte:03o}" if chr(byte) in " \t\n\\#" else chr(byte) for byte in name.encode()).encode(
        "latin-1"
    )
    (mount,) = storage.mounts(b"/dev/sda1 /" + written + b" ext4 rw 0 0\n")
    assert mount.point == "/" + name


def test_disk_and_network_counters_are_told_in_mib() -> None:
    line = b"   8       0 sda 100 0 4096 7 50 0 20480 9 0 10 16 0 0 0 0 0 0\n"
    expected = {"read_mib": 2.0, "write_mib": 10.0, "reads": 100, "writes": 50}
    assert storage.diskstats(line) == {"sda": expected}
    raw = b"Inter-|   Receive\n face |bytes packets\n  eth0:1048576 10 0 0 0 0 0 0 2097152 20 0 0 0 0 0 0\n"
    assert network.counters(raw) == {
        "eth0": {"received_mib": 1.0, "sent_mib": 2.0, "received_packets": 10, "sent_packets": 20}
    }


def test_services_are_running_stopped_or_failed() -> None:
    raw = (
        "ssh.service loaded active running OpenBSD Secure Shell server\n"
        "● web.service loaded failed failed The web\n"
        "cron.service loaded inactive dead Cron\n"
        "gone.service not-found inactive dead gone.service\nssh.socket loaded active listening x\n"
    )
    assert services.units(raw.encode()) == {"ssh": "running", "web": "failed", "cron": "stopped"}
    assert services.enabled(b"ssh.service enabled enabled\ncron.service disabled enabled\n") == {
        "ssh": True,
        "cron": False,
    }


def test_the_systems_name_is_read_with_and_without_quotes() -> None:
    raw = b'PRETTY_NAME="Debian 12"\nID=debian\nVERSION_ID=\'12\'\n# a\nnonsense\nBROKEN="a\n'
    assert machine.os_release(raw) == {"PRETTY_NAME": "Debian 12", "ID": "debian", "VERSION_ID": "12"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KNOWN = st.sampled_from(["applications", "files", "jobs", "interval_s"])


@given(st.dictionaries(KNOWN, JSON | st.dictionaries(WORDS, JSON, max_size=3)))
def test_a_config_that_is_nonsense_is_one_with_less_in_it(told: dict[str, Any]) -> None:
    found = config.parse(told, starts_at_boot=True)
    assert found.interval_s == 0 or 1 <= found.interval_s <= 3600
    assert all(path.startswith("/") for path in found.files)
    assert all(job.argv for job in found.jobs.values())


@given(st.text(max_size=200))
def test_a_token_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="^the enrolment token is not of the form"):
        tokens.parse(text)


def test_a_token_is_taken_apart() -> None:
    secret = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    token = tokens.parse(f"cm1.{'A' * 43}.a-01J-3-2.{secret}\n")
    assert token == tokens.Token("A" * 43, signing.Key("e:a-01J-3-2", bytes(32)))
    assert "\\x00" not in repr(token)


@given(st.binary(max_size=60))
def test_text_of_any_bytes_can_be_written_down(raw: bytes) -> None:
    states.canonical(rooted.text(raw))


@pytest.mark.parametrize("told", [True, "1", None, [], 10**400, -(10**400), float("nan"), float("inf"), 2e18], ids=str)
def test_a_number_without_an_end_is_none(told: Any) -> None:
    """A command whose end is no number would never be too late."""
    assert states.number(told, 7.0) == 7.0
    assert commands.parse({"id": "i", "expires_at": told, "timeout_s": told}).expires_at == 0.0
    with pytest.raises(ValueError, match="a key has"):
        signing.key_of({"id": "k", "secret": "A" * 43, "expires_at": told})
