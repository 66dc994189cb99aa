"""Readers of the channel: bodies, heads, tokens, keys, what osquery hosts send, and rules over what was reported."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
from collections.abc import Iterable
from typing import Any

from cloudmon.channel import bodies, intake, keys, malware, signing, tokens
from cloudmon.channel.gate import Gate, Head, Refused
from cloudmon.channel.osquery import bodies as osquery_bodies
from cloudmon.channel.osquery import folding, nodekeys, queries
from cloudmon.channel.replays import Replays
from cloudmon.detection.facts import Subject
from cloudmon.model import states
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.guests import Agent, GuestState, ReportKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import Application, Template
from tests.fuzz.target import TOKENS, Target, told

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
KEY = b"the channel key that nobody guesses"
APPLIANCE = ApplianceId("abcdefghijkl", 3)
AGENT = Agent(APPLIANCE, "default", 1, "0" * 32, "0.1.0", NOW, serial=1, boot="b", received_at=NOW)
HASH = "a" * 64


def report(raw: bytes) -> None:
    """A report is malformed, or it is whole: it has a hash, can be written down, and makes a state of a state."""
    try:
        found = bodies.report(raw)
    except bodies.Malformed:
        return
    json.dumps(found.sections, allow_nan=False)
    if found.kind is ReportKind.FULL:
        states.state_hash(states.whole(found.sections))
    else:
        after = states.apply({"packages": {"nginx": {"version": "1"}}}, found.sections)
        assert states.apply({}, states.difference({}, after)) == after
    made = intake.report_of(AGENT, found, NOW)
    assert made.reported_at <= NOW


def enrol(raw: bytes) -> None:
    with contextlib.suppress(bodies.Malformed):
        bodies.enrol(raw)


def poll(raw: bytes) -> None:
    with contextlib.suppress(bodies.Malformed):
        assert bodies.poll(raw).wait_s <= bodies.LONGEST_WAIT_S


def signatures(raw: bytes) -> None:
    with contextlib.suppress(bodies.Malformed):
        asked = bodies.signatures(raw)
        assert malware.part(None, asked)["text"] == ""


GATE = Gate(KEY, {APPLIANCE: AGENT}.get, Replays(NOW.timestamp() - 3_600, -3_600.0))


def head(raw: bytes) -> None:
    """Nobody without the key is let in, whatever his headers are."""
    first, _, rest = raw.partition(b"\n")
    path, _, query = first.partition(b"?")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in rest.split(b"\n"))]
    found = GATE.knows(Head(b"POST", path, query, headers), now=NOW, date=NOW.timestamp(), monotonic=0.0)
    assert isinstance(found, Refused)
    signing.parse_reply(headers)


def token(raw: bytes) -> None:
    found = tokens.parse(raw.decode("latin-1"))
    if found is not None:
        assert not tokens.fits(KEY, found)
        tokens.seat(found.id)
        assert found.secret not in repr(found._replace(ca=tokens.NO_CA))


def key(raw: bytes) -> None:
    text = raw.decode("latin-1")
    found = keys.parse(text)
    assert found is None or found.id == text
    assert nodekeys.holder(KEY, text) is None


ASKED = queries.schedule({
    "applications": {"shop": {"match": "shop", "service": "", "package": "a", "probe": {"tcp": 80}},
                     "site": {"match": "", "service": "nginx", "package": "", "probe": {"http": "u", "status": 200}}},
    "files": ["/a", "/b"],
}, 30)  # fmt: skip
NAMES = {query.section: name for name, query in ASKED.queries.items()}


def osquery(raw: bytes) -> None:
    """What a host sends is malformed, or it makes a state that can be written down, and makes the same one again."""
    for read in (osquery_bodies.enrol, osquery_bodies.keyed):
        with contextlib.suppress(bodies.Malformed):
            read(raw)
    base = folding.Base(ASKED, {}, folding.Memory(), NOW.timestamp(), "5")
    with contextlib.suppress(bodies.Malformed):
        lines = osquery_bodies.log(raw).lines
        once = folding.lines(base, lines)
        states.state_hash(once.sections)
        json.dumps(once.sections, allow_nan=False)
        again = folding.lines(base._replace(sections=once.sections, memory=once.memory), lines)
        json.dumps(again.sections, allow_nan=False)
    with contextlib.suppress(bodies.Malformed):
        whole = folding.answers(base, osquery_bodies.written(raw).answers)
        json.dumps(whole.sections, allow_nan=False)


def packed(raw: bytes) -> None:
    """No body comes to more than it may, however small it came."""
    for encoding in ("", "gzip", "deflate"):
        with contextlib.suppress(bodies.Malformed, osquery_bodies.TooLarge):
            assert len(osquery_bodies.unpacked(raw, encoding, 4_096)) <= max(4_096, len(raw))
    osquery_bodies.node_keys(raw)


MEMBER = Member(
    APPLIANCE.set_uid,
    3,
    "default",
    ApplianceState.RUNNING,
    NOW,
    Power.RUNNING,
    1,
    "token",
    "east",
    "a",
    "n",
    0,
    0,
    None,
)
TEMPLATE = Template(
    "web", {}, applications={"shop": Application(match="shop", package="nginx", version="2")}, files=("/a",),
    file_hashes={"/a": HASH}, accounts=("root",), processes=("shop",),
)  # fmt: skip


@functools.cache
def detector() -> Any:
    # What compiles rules takes a while to begin, and no other target needs it.
    from cloudmon.detection.detector import Detector
    from cloudmon.settings import policies

    return Detector([policies.built_in().policy("built in")])


def rules(raw: bytes) -> None:
    """Whatever a report that is none too odd to be taken says, each rule has a verdict."""
    with contextlib.suppress(bodies.Malformed):
        found = bodies.report(raw)
        if found.kind is ReportKind.FULL:
            state = GuestState(APPLIANCE, 1, "b", 1, HASH, NOW, NOW, states.whole(found.sections))
            detector().forget(APPLIANCE)
            detector().look(Subject(MEMBER, "storefront", TEMPLATE, None, AGENT, state), NOW, states={}, opened={})


# --- seeds ----------------------------------------------------------------------------------------------------------

REPORT: dict[str, Any] = {
    "v": 1, "instance": "0" * 32, "boot": "b", "seq": 1, "at": 1.5, "offset_s": 0, "version": "1", "why": "start",
    "kind": "full", "base": "", "hash": HASH, "config": "", "sections": {"packages": {"nginx": {"version": "1"}}},
    "results": [{"id": "i", "ok": True, "exit": 0, "output": "", "error": "", "ended_at": None}],
}  # fmt: skip
CHANGED = {"packages": {"set": {"a": {"x": [1, 2.5, "\ud800"]}}, "del": ["b"]}, "files": {"gone": True}}
DIFFERENCE = {**REPORT, "kind": "diff", "base": HASH, "sections": CHANGED}
SIGNED = (
    b"/channel/v1/report\n"
    + b"content-digest: sha-256=:" + b"A" * 43 + b"=:\n"
    + b'signature-input: cm=("@method" "@path" "@query" "content-digest");created=1772366400;nonce="' + b"n" * 22
    + b'";keyid="k.abcdefghijkl.3.1.1.1772452800";alg="hmac-sha256"\n'
    + b"signature: cm=:" + b"A" * 43 + b"=:\n"
)  # fmt: skip


def _log(name: str, **more: Any) -> dict[str, Any]:
    about = {"name": name, "unixTime": "1772366400", "epoch": 1, "counter": 0, "decorations": {"osquery_version": "5"}}
    return {"node_key": "k", "log_type": "result", "data": [{**about, **more}]}


def _osquery() -> Iterable[dict[str, Any]]:
    rows = {
        "packages": {"name": "a", "version": "1", "arch": "all", "manager": "dpkg"},
        "accounts": {"username": "a", "uid": "1", "gid": "1", "other_groups": "b,c", "keys": "AAAA"},
        "services": {"id": "nginx.service", "active_state": "active"},
        "files": {"path": "/a", "size": "1", "mode": "0644", "uid": "1", "sha256": HASH},
        "processes": {"pid": "1", "name": "a", "cmdline": "shop", "uid": "1", "user_time": "1", "system_time": 2,
                      "start_time": "3", "resident_size": "1048576", "state": "S"},
        "load": {"one": "0.5", "five": 1, "cpus": "2"},
        "memory": {"memory_total": "1048576", "memory_available": "1"},
        "disks": {"device": "/dev/a", "path": "/", "type": "ext4", "blocks_size": "4096", "blocks": "9",
                  "blocks_free": "3", "blocks_available": "2"},
        "network": {"interface": "e0", "ibytes": "1", "addresses": "10.0.0.1,fe80::1%e0"},
        "system": {"hostname": "h", "uptime": "5", "os_version": "12 (x)"},
        "matches": {"application": "shop", "pid": "1", "start_time": "3"},
        "probes": {"application": "site", "answer": "200"},
    }  # fmt: skip
    for section, row in rows.items():
        yield _log(NAMES[section], snapshot=[row], action="snapshot")
    yield _log(NAMES["packages"], diffResults={"added": [rows["packages"]], "removed": [rows["packages"]]})
    yield _log(NAMES["accounts"], action="added", columns=rows["accounts"])
    yield {"node_key": "k", "log_type": "status", "data": [{"severity": "2", "message": "m"}]}
    yield {"node_key": "k", "queries": {f"i/{NAMES['load']}": [rows["load"]]}, "statuses": {}, "messages": {}}
    yield {"enroll_secret": "cm1", "host_identifier": "h", "host_details": {"osquery_info": {"instance_id": "i"}}}


WELL = {
    "system": {"host": {"name": "h"}, "boot": {"id": "b", "at": 1.0}, "agent": {"version": "1", "interval_s": 30}},
    "packages": {"nginx": {"version": "1", "arch": "all", "manager": "dpkg"}},
    "files": {"/a": {"sha256": HASH, "size": 1, "mode": "0644", "owner": "root"}},
    "accounts": {"root": {"uid": 0, "shell": "/bin/sh", "keys": ["SHA256:x"], "locked": False, "groups": ["a"]}},
    "services": {"nginx": {"state": "running", "enabled": True}},
    "processes": {"7": {"name": "shop", "user": "root", "command": "shop", "since": 1.0, "cpu": 0.5, "rss_mib": 3}},
    "applications": {"shop": {"state": "up", "since": 1, "restarts": 0, "pid": 7, "probe": {"ok": True}}},
    "load": {"now": {"one": 0.5, "cpus": 2}},
    "memory": {"now": {"total_mib": 9, "available_mib": 3}},
    "disks": {"/": {"total_mib": 9, "used_mib": 3, "used_share": 0.3}},
}

TARGETS: dict[str, Target] = {
    "report": Target(report, told(REPORT, DIFFERENCE)),
    "rules": Target(rules, told({**REPORT, "sections": WELL})),
    "enrol": Target(enrol, told({"v": 1, "instance": "0" * 32, "version": "1", "boot": "b", "can": ["scan"]})),
    "poll": Target(poll, told({"v": 1, "wait_s": 25, "config": HASH, "have": ["i"]})),
    "signatures": Target(signatures, told({"v": 1, "hash": HASH, "offset": 0})),
    "head": Target(head, (SIGNED, SIGNED.replace(b"k.abcdefghijkl.3.1.1.1772452800", b"e:a-abcdefghijkl-3-1"))),
    "token": Target(token, TOKENS),
    "key": Target(key, (b"k.abcdefghijkl.3.1.1.1772452800", b"cmo1.k.abcdefghijkl.3.1.1.1772452800." + b"A" * 43)),
    "osquery": Target(osquery, told(*_osquery())),
    "packed": Target(packed, (
        b"{}", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00",
        b"x\x9c\xab\xae\x05\x00\x01u\x00\xf9", b'"node_key":"cmo1.k.a.1.1.1.1.A"',
    )),
}  # fmt: skip
