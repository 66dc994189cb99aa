"""All rules on one appliance: after a full report, and after a difference, what CEL must be given anew included."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks import children
from tests.benchmarks.figures import REPEATS, Figure, median, spread

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LOOKS = 200
"""Looks that one measurement is the mean of."""


def figures(folder: Path, *, looks: int = LOOKS, repeats: int = REPEATS) -> Iterator[Figure]:
    """CPU time of a look with the built-in rules, and with rules that go through everything."""
    found = [children.ask("detection", "looked", looks=looks) for _ in range(repeats)]
    for name, key, bound in (
        ("a full report", "full_ms", 6.0),
        ("a difference of processes, load and memory", "difference_ms", 1.0),
        ("a time that has come", "nothing_ms", None),
        ("a full report, rules through all packages and processes", "everything_ms", None),
        ("a difference, the same rules", "everything_difference_ms", None),
    ):
        measured = [one[key] for one in found]
        yield Figure(f"all rules after {name}", median(measured), "ms", bound, beside=spread(measured, "ms"))


def sections(turn: int) -> dict[str, dict[str, Any]]:
    """An appliance with 500 packages and 100 processes; the processes, load and memory of each turn are others."""
    began = NOW.timestamp() - 5_000
    return {
        "packages": {
            f"package-{number}": {"version": f"1.{number}-2", "arch": "amd64", "manager": "dpkg"}
            for number in range(500)
        },
        "processes": {
            str(number): {
                "name": f"worker-{number % 40}",
                "user": "www-data",
                "command": f"/usr/lib/shop/worker --number {number} --port 8080",
                "state": "running",
                "since": began,
                "cpu": (number + turn) % 100 / 100,
                "rss_mib": 30 + (number + turn) % 7,
            }
            for number in range(1, 101)
        },
        "accounts": {
            f"user{number}": {"uid": 1000 + number, "gid": 100, "shell": "/bin/sh", "groups": [], "keys": []}
            for number in range(30)
        },
        "files": {f"/etc/shop/{number}.conf": {"sha256": "ab" * 32, "size": 7} for number in range(10)},
        "services": {f"service-{number}": {"state": "running", "enabled": True} for number in range(60)},
        "applications": {
            f"shop-{number}": {"state": "up", "since": began, "restarts": 0, "pid": number + 1} for number in range(3)
        },
        "load": {"now": {"one": turn % 7 / 7, "five": 0.1, "fifteen": 0.1, "cpus": 4}},
        "memory": {"now": {"total_mib": 8192, "available_mib": 4096 + turn % 9}},
        "disks": {f"/data/{number}": {"total_mib": 9000, "used_mib": 900, "used_share": 0.1} for number in range(4)},
        "disk_io": {f"vd{number}": {"read_mib": 10.5 + turn, "write_mib": 2.5, "reads": 9} for number in range(4)},
        "network": {"eth0": {"received_mib": 10.5 + turn, "sent_mib": 2.5, "addresses": ["10.0.0.3"]}},
    }


def looked(looks: int) -> dict[str, Any]:
    """Mean CPU time of a look, in milliseconds."""
    from cloudmon.detection.detector import Detector
    from cloudmon.detection.facts import Subject
    from cloudmon.model.appliances import ApplianceState, Member, Power
    from cloudmon.model.guests import Agent, GuestState
    from cloudmon.model.policies import Policy, Rule
    from cloudmon.model.sets import Application, Template
    from cloudmon.settings import policies

    template = Template(
        "web",
        {},
        applications={
            f"shop-{number}": Application(match="shop", package=f"package-{number}", version=f"1.{number}")
            for number in range(3)
        },
        files=tuple(f"/etc/shop/{number}.conf" for number in range(10)),
        file_hashes={f"/etc/shop/{number}.conf": "ab" * 32 for number in range(10)},
        accounts=("user*",),
        processes=("worker-*", "sshd"),
    )
    since = NOW - dt.timedelta(seconds=5_000)
    member = Member("s" * 12, 1, "default", ApplianceState.RUNNING, since, Power.RUNNING, 1, "", "", "", "", 0, 0, None)
    heard = NOW - dt.timedelta(seconds=1)
    agent = Agent(member.id, "default", 1, "i", "1", since, 1, boot="b", seq=1, received_at=heard)

    def subject(told: Mapping[str, Mapping[str, object]]) -> Subject:
        state = GuestState(member.id, 1, "b", 1, "", heard, heard, told)
        return Subject(member, "storefront", template, agent=agent, state=state)

    def mean_ms(look: Callable[[int], object]) -> float:
        look(-1)
        began = time.process_time()
        for number in range(looks):
            look(number)
        return (time.process_time() - began) / looks * 1_000

    built_in = policies.built_in().policy("built in")
    mine = Policy(
        "mine",
        (
            Rule("package", 'packages.exists(p, packages[p].version == "0" && packages[p].manager == "dpkg")'),
            Rule("process", "size(processes.filter(p, p.cpu > 2.0 && p.rss_mib > 100.0)) > 3"),
        ),
    )
    # As they come in: each is put together anew, and what a difference leaves alone stays the same object.
    fulls = [subject(sections(turn)) for turn in range(7)]
    base = sections(0)
    changing = ("processes", "load", "memory", "disk_io", "network")
    differences = [subject({**base, **{name: sections(turn)[name] for name in changing}}) for turn in range(7)]
    plain, everything = Detector([built_in]), Detector([built_in, mine])

    def look(detector: Detector, about: Subject, *, anew: bool = False, fresh: bool = True) -> object:
        if anew:
            detector.forget(member.id)
        return detector.look(about, NOW, states={}, opened={}, fresh=fresh)

    return {
        "full_ms": mean_ms(lambda number: look(plain, fulls[number % 7], anew=True)),
        "difference_ms": mean_ms(lambda number: look(plain, differences[number % 7])),
        "nothing_ms": mean_ms(lambda _: look(plain, fulls[0], fresh=False)),
        "everything_ms": mean_ms(lambda number: look(everything, fulls[number % 7], anew=True)),
        "everything_difference_ms": mean_ms(lambda number: look(everything, differences[number % 7])),
    }


if __name__ == "__main__":
    children.answer({"looked": looked})
