"""What the agent says of this very machine is what rules speak of: the same names, the same kinds."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from examined import NOW, built_in, subject, verdict, with_template

from cloudmon.agent import config as agent_config
from cloudmon.agent.applications import Applications
from cloudmon.agent.clock import Clock
from cloudmon.agent.collect.processes import Table as Processes
from cloudmon.agent.log import Log
from cloudmon.agent.looking import Eyes
from cloudmon.agent.malware.watch import Watch
from cloudmon.agent.place import Place
from cloudmon.agent.probes import Prober
from cloudmon.agent.rooted import Root
from cloudmon.channel import configs
from cloudmon.detection.judge import Verdict
from cloudmon.detection.schema import FACTS
from cloudmon.detection.shapes import Listing, Record, Scalar, Shape, Table, single
from cloudmon.malware import Signatures
from cloudmon.model.sets import Application, Template
from cloudmon.settings import MalwareSettings

TEMPLATE: Template = with_template(
    applications={
        "tests": Application(match=Path(sys.argv[0]).name or "pytest"),
        "nothing": Application(match="/no/such"),
    },
    files=("/etc/passwd", "/no/such/file"),
    file_hashes={},
    accounts=("*",),
    processes=("*",),
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, object]]:
    """The sections of a full report on this machine."""
    root, clock, place = Root(), Clock(), Place(str(tmp_path_factory.mktemp("agent")))
    table = Processes(root, clock)
    applications = Applications(place, root, clock, table, Prober(root, clock, lambda: None))
    folder = tmp_path_factory.mktemp("srv")
    (folder / "bad").write_bytes(b"bad")
    known = Signatures({hashlib.sha256(b"bad").hexdigest(): "Test.Sample"})
    looks_for = MalwareSettings(paths=(str(folder),)).knowing(known)
    Path(place.folder("signatures"), known.hash).write_bytes(known.text)
    watch = Watch(place, root, clock, Log(), lambda: pytest.fail("the signatures are there"), lambda: None)
    eyes = Eyes(place, root, clock, Log(), applications, table, watch.finds)
    told = configs.of_template(TEMPLATE, looks_for=looks_for).content
    wanted = agent_config.parse(dict(told), starts_at_boot=False)
    watch.declare(wanted.malware)
    assert watch.scan("", "", clock.monotonic() + 60).ok
    applications.declare(wanted.applications)
    applications.look()
    eyes.arrive()
    found: Mapping[str, Mapping[str, object]] = eyes.sections(wanted, 30.0)
    return found


def unknown_to_rules(shape: Shape | None, value: object, path: str) -> Iterator[str]:
    """What is said and no rule can speak of, or not of what it is."""
    if isinstance(shape, Scalar):
        if single(shape, value) is None:
            yield f"{path} = {value!r} is no {shape.name}"
    elif isinstance(shape, Record):
        assert isinstance(value, dict), path
        for name, inner in value.items():
            if name in shape.fields:
                yield from unknown_to_rules(shape.fields[name].shape, inner, f"{path}.{name}")
            else:
                yield f"{path}.{name} is no fact"
    elif isinstance(shape, Table):
        assert isinstance(value, dict), path
        for name, inner in value.items():
            yield from unknown_to_rules(shape.of, inner, f"{path}[{name}]")
    elif isinstance(shape, Listing):
        items = value.values() if isinstance(value, dict) else value
        assert isinstance(items, list) or isinstance(value, dict), path
        for number, inner in enumerate(items):  # type: ignore[arg-type]
            yield from unknown_to_rules(shape.of, inner, f"{path}[{number}]")


def test_everything_that_is_said_is_a_fact(told: Mapping[str, Mapping[str, object]]) -> None:
    assert {"system", "accounts", "processes", "load", "memory", "disks", "files", "applications", "malware"} <= set(
        told
    )
    strange = []
    for name, section in told.items():
        value: object = section["now"] if name in ("load", "memory") else section
        strange += list(unknown_to_rules(FACTS.fields[name].shape, value, name))
    assert strange == []


def test_rules_that_are_built_in_can_be_judged_on_it(told: Mapping[str, Mapping[str, object]]) -> None:
    about = subject(told, template=TEMPLATE)
    found = {(one.ready.rule.name, one.item): one for one in built_in().judge(about, NOW)}
    assert found["application-down", "nothing"].verdict is Verdict.HOLDS
    assert found["memory-pressure", ""].verdict is not Verdict.UNKNOWN
    assert any(rule == "disk-nearly-full" for rule, _ in found)
    assert not [key for key in found if key[0] in ("stray-account", "stray-process")]


def test_this_process_and_this_users_file_are_among_the_facts(told: Mapping[str, Mapping[str, object]]) -> None:
    about = subject(told, template=TEMPLATE)
    assert verdict(f"processes.exists(p, p.pid == {os.getpid()} && p.age_s >= 0.0)", about) == "holds"
    assert verdict('files["/no/such/file"].missing && !files["/etc/passwd"].missing', about) == "holds"
    assert verdict('"root" in accounts && accounts["root"].uid == 0', about) == "holds"
