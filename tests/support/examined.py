"""One appliance to be examined, well in every way, and ways to make it otherwise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cloudmon.detection.detector import Detector
from cloudmon.detection.facts import Subject
from cloudmon.detection.judge import Judged
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.grants import Access
from cloudmon.model.guests import Agent, GuestState
from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.policies import Policy, Rule
from cloudmon.model.probes import Probe, ProbeResult, Tls
from cloudmon.model.sets import Application, Template
from cloudmon.settings import policies as policy_settings

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
GB = 1_024
HASH = "ab" * 32

TEMPLATE = Template(
    "web",
    {"*": "web-1"},
    applications={"shop": Application(match="shop --port", package="shop", version="2.1")},
    files=("/etc/shop.conf", "/etc/hosts"),
    file_hashes={"/etc/shop.conf": HASH},
    report_interval_s=30,
    accounts=("www-*",),
    processes=("shop", "systemd*"),
)


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def sections() -> dict[str, dict[str, Any]]:
    """What a well appliance says of itself."""
    began = NOW.timestamp() - 5_000
    return {
        "system": {
            "host": {"name": "shop-3", "os": "debian", "os_version": "12", "arch": "x86_64"},
            "boot": {"id": "b1", "at": began},
            "agent": {"version": "1", "interval_s": 30},
        },
        "packages": {"shop": {"version": "2.1-3", "arch": "amd64", "manager": "dpkg"}},
        "files": {
            "/etc/shop.conf": {"sha256": HASH, "size": 12, "mode": "0644", "owner": "root"},
            "/etc/hosts": {"sha256": "cd" * 32, "size": 9, "mode": "0644", "owner": "root"},
        },
        "accounts": {
            "root": {"uid": 0, "gid": 0, "shell": "/bin/bash", "keys": [], "locked": False},
            "www-data": {"uid": 33, "gid": 33, "shell": "/bin/sh"},
            "daemon": {"uid": 1, "gid": 1, "shell": "/usr/sbin/nologin"},
        },
        "services": {"shop": {"state": "running", "enabled": True}},
        "processes": {
            "1": {"name": "systemd", "user": "root", "command": "/sbin/init", "since": began, "cpu": 0.0, "rss_mib": 9},
            "2": {"name": "kworker/0:1", "user": "root", "command": "", "since": began, "cpu": 0.0, "rss_mib": 0},
            "70": {"name": "shop", "user": "www-data", "command": "shop --port 80", "since": began, "cpu": 0.2},
            "80": {"name": "python3", "user": "root", "command": "python3 /opt/cloudmon-agent.pyz", "since": began},
        },
        "applications": {"shop": {"state": "up", "since": began, "restarts": 0, "pid": 70, "probe": {"ok": True}}},
        "load": {"now": {"one": 0.2, "five": 0.1, "fifteen": 0.1, "cpus": 2}},
        "memory": {"now": {"total_mib": 2 * GB, "available_mib": GB, "swap_total_mib": 0, "swap_used_mib": 0}},
        "disks": {"/": {"total_mib": 10 * GB, "used_mib": 2 * GB, "used_share": 0.2}},
        "disk_io": {"vda": {"read_mib": 10.5, "write_mib": 3.5, "reads": 99, "writes": 12}},
        "network": {"eth0": {"received_mib": 1.5, "sent_mib": 2.5, "addresses": ["10.0.0.3"]}},
    }


def subject(  # what tests vary
    changes: Mapping[str, object] | None = None,
    *,
    template: Template = TEMPLATE,
    heard_s: float = 10.0,
    member: Mapping[str, object] | None = None,
    agent: bool = True,
    told: bool = True,
    granted: Mapping[str, Access] | None = None,
) -> Subject:
    """The appliance storefront/3, with sections changed (None takes one away)."""
    here = Member(
        "set000000000", 3, "default", ApplianceState.RUNNING, ago(5_000), Power.RUNNING, 1, "token", "east", "a", "n1",
        0, 0, None,
    )._replace(**(member or {}))  # fmt: skip
    found: dict[str, Any] = sections() | dict(changes or {})
    found = {name: section for name, section in found.items() if section is not None}
    heard_at = ago(heard_s)
    return Subject(
        here,
        "storefront",
        template,
        Node(
            "n1",
            "storefront-3",
            NodeState.RUNNING,
            "running",
            None,
            None,
            "a",
            "m5.large",
            "web-1",
            (),
            (),
            ago(5_100),
            {},
        ),
        Agent(here.id, "default", 1, "i1", "1", ago(4_000), 1, boot="b1", seq=7, hash="h", received_at=heard_at)
        if agent
        else None,
        GuestState(here.id, 1, "b1", 7, "h", heard_at, heard_at, found) if told else None,
        accounts=granted or {},
    )


def with_template(**changes: Any) -> Template:
    return replace(TEMPLATE, **changes)


def built_in() -> Detector:
    return Detector([policy_settings.built_in().policy("built in")])


def detector(*rules: Rule, **policy: Any) -> Detector:
    return Detector([Policy("p", rules, **policy)])


def judged(when: str, each: str = "", about: Subject | None = None) -> list[Judged]:
    """What a rule comes to."""
    return detector(Rule("r", when, each)).judge(about or subject(), NOW)


def verdict(when: str, about: Subject | None = None) -> str:
    """The verdict of a rule without items."""
    (found,) = judged(when, about=about)
    return str(found.verdict)


def probed(error: str | None, *, asked_s: float = 10.0, certificate_s: float | None = None, **about: Any) -> Subject:
    """The appliance, without an agent, asked from outside so long ago: what was wrong; None: it never was asked. Asked
    by https where its certificate is to end in ``certificate_s``."""
    ends = None if certificate_s is None else later(certificate_s)
    template = with_template(probes={"web": Probe(tcp=80) if ends is None else Probe(path="/", tls=Tls())})
    answers = {}
    if error is not None:
        answers["web"] = ProbeResult(1, not error, error, ago(asked_s), ago(asked_s + 60), "10.0.0.3", 30, ends)
    return replace(subject(template=template, agent=False, told=False, **about), probes=answers)
