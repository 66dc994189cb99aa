"""Readers of the agent: what the monitor answers, its configuration and commands, and what a system writes down."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cloudmon.agent import candidates, speaking, transport
from cloudmon.agent import config as agent_config
from cloudmon.agent import signing as agent_signing
from cloudmon.agent import states as agent_states
from cloudmon.agent import tokens as agent_tokens
from cloudmon.agent.collect import accounts, debt, machine, network, packages, processes, services, storage
from cloudmon.agent.commands import parse as agent_command
from cloudmon.model import states
from tests.fuzz.target import TOKENS, Target, loaded, loaded_object, told


def reply(raw: bytes) -> None:
    """A reply is trouble, or an object; its parts are taken or refused each by itself."""
    try:
        found = speaking._object(transport.Reply(200, {}, raw))
    except speaking.Trouble:
        return
    with contextlib.suppress(ValueError):
        agent_signing.key_of(found)
    with contextlib.suppress(ValueError):
        agent_config.parse(found, starts_at_boot=True)
    with contextlib.suppress(ValueError):
        agent_command(found)


def config(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        found = agent_config.parse(loaded_object(raw), starts_at_boot=False)
        assert len(found.files) <= agent_config.MOST_FILES
        assert found.interval_s == 0 or found.interval_s >= agent_config.SHORTEST_INTERVAL_S


def command(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        found = agent_command(loaded(raw))
        assert found.timeout_s >= 1.0


def monitors_signature(raw: bytes) -> None:
    """Nobody without the key is believed."""
    mine = agent_signing.Key("k.abcdefghijkl.3.1.1.1", b"s" * 32)
    lines = raw.decode("latin-1").split("\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert agent_signing.believed(mine, "n" * 22, 200, headers, b"") is None
    speaking._seconds(transport.Reply(503, headers, b""))


def enrolment(raw: bytes) -> None:
    text = raw.decode("latin-1")
    with contextlib.suppress(ValueError):
        agent_tokens.parse(text)
    with contextlib.suppress(ValueError):
        found = transport.address(text, insecure=True)
        assert found.secure or transport._loopback(found.host)
    with contextlib.suppress(ValueError):
        transport.certificate_of(raw)


def hashes(raw: bytes) -> None:
    """The agent and the monitor count alike: the same value has the same hash, and the same difference."""
    found = loaded_object(raw)
    one = {name: {"a": value} for name, value in found.items()}
    try:
        mine = agent_states.state_hash({name: agent_states.section_hash(items) for name, items in one.items()})
    except ValueError:  # an agent leaves out what has no text
        return
    assert states.state_hash(one) == mine
    changed = agent_states.difference({}, one)
    assert states.state_hash(states.apply({}, changed)) == mine


def _read(*readers: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """What any of them says can be written down."""

    def run(raw: bytes) -> None:
        for reader in readers:
            agent_states.canonical(reader(raw))

    return run


def process(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        agent_states.canonical(processes.parse(raw))
    assert "cm1.-.m-" not in processes.command_of(raw)


TARGETS: dict[str, Target] = {
    "agent-reply": Target(reply, told(
        {"v": 1, "taken": True, "want": None, "seq": 1, "commands": [], "now": 1.5},
        {"id": "k.a.1.1.1.1", "secret": "A" * 43, "expires_at": 1}, {"clock": True, "now": 5},
    )),
    "agent-config": Target(config, told({
        "v": 1, "interval_s": 30, "applications": {"a": {"start": ["x"], "probe": {"tcp": 1}, "start_at_boot": True}},
        "files": ["/a"], "jobs": {"b": {"argv": ["x"], "timeout_s": 60}}, "accounts": {}, "peers": {},
    })),
    "agent-command": Target(command, told(
        {"id": "i", "verb": "job_run", "arguments": {"job": "b"}, "expires_at": 1, "timeout_s": 60}
    )),
    "agent-signature": Target(monitors_signature, (
        b'signature-input: cm=("@status" "content-digest");created=1;nonce="' + b"n" * 22
        + b'";keyid="k.abcdefghijkl.3.1.1.1";alg="hmac-sha256"\nsignature: cm=:' + b"A" * 43
        + b"=:\ncontent-digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\nretry-after: 5",
    )),
    "agent-enrolment": Target(enrolment, (
        *TOKENS, b"https://monitor.example.net:8788", b"http://[::1]:1", b"-----BEGIN CERTIFICATE-----\nAAAA\n"
    )),
    "hashes": Target(hashes, told({"a": [1, 1.0, True, "\u2603", {"b": 1e-7}], "\u00e9": {}})),
    "dpkg": Target(_read(lambda raw: packages.dpkg(raw.splitlines(keepends=True))), (
        b"Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n",
    )),
    "apk": Target(_read(packages.apk), (b"P:musl\nV:1.2\nA:x86_64\nF:lib\n\nP:b\nV:1\n",)),
    "rpm": Target(_read(packages.rpm), (b"a\t1:2-3\tnoarch\nb\t1\tx86_64\n",)),
    "passwd": Target(_read(accounts.passwd), (b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",)),
    "group": Target(_read(lambda raw: str(accounts.groups(raw))), (b"sudo:x:27:ann,bob\n",)),
    "shadow": Target(_read(accounts.locked), (b"root:!:1::::::\nann:$y$:1::::::\n",)),
    "authorized_keys": Target(_read(accounts.fingerprints), (
        b'command="x" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== a@b\n# ssh-rsa AAAA\n',
    )),
    "process": Target(process, (
        b"7 (a b) S 1 7 7 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 99 1 2560 1 1 1 0 0 0\n",
        b"agent\0--enrol\0" + TOKENS[0],
    )),
    "mounts": Target(_read(lambda raw: storage.real(storage.mounts(raw))), (
        b"/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /srv/a\\040b xfs rw 0 0\noverlay / overlay rw 0 0\n",
    )),
    "diskstats": Target(_read(storage.diskstats), (b" 8 0 sda 100 0 4096 7 50 0 20480 9 0 10 16 0 0\n",)),
    "interfaces": Target(_read(network.counters, network.addresses6), (
        b"  eth0:1048576 10 0 0 0 0 0 0 2097152 20 0 0 0 0 0 0\n",
        b"fe800000000000000000000000000001 02 40 20 80 eth0\n",
    )),
    "os-release": Target(_read(machine.os_release), (b'ID="debian"\nVERSION_ID=12\nNAME=\'a b\'\n',)),
    "meminfo": Target(_read(machine.meminfo), (b"MemTotal: 2048 kB\nMemAvailable: 1024 kB\n",)),
    "services": Target(_read(services.units, services.enabled), (
        b"ssh.service loaded active running x\n\xe2\x97\x8f a.service loaded failed failed\n", b"ssh.service enabled\n",
    )),
    "candidates": Target(_read(candidates.apt, candidates.dnf_evr, candidates.apk), (
        b"nginx:\n  Installed: 1.22\n  Candidate: 1.24-1\n", b"nginx\t0:1.24-1\nvim\t2:9.0-1\n",
        b"musl-1.2.4_git20230717-r4 < 1.2.5-r0 @edge\n",
    )),
    "maps": Target(_read(debt.replaced, lambda raw: debt.replaced(raw, "/srv/root")), (
        b"7f00-7f01 r-xp 00000000 08:01 12 /usr/lib/libssl.so.3 (deleted)\n",
        b"7f00-7f01 r-xp 00000000 08:01 12 /srv/root/bin/shop (deleted)\n",
    )),
}  # fmt: skip
