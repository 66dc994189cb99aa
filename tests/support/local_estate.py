"""``config/local.toml`` as a test has it: real machines on this one, in a folder of its own."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import machines
from served import Estate

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.tenants import EVERYONE

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "local.toml"


def free_ports(count: int) -> int:
    """The number before so many ports in a row that nobody listens on, nor any process that asks at the same time:
    processes that were started one after the other have numbers that are close."""
    for base in range(20_000 + os.getpid() * (count + 1) % 9_000, 32_000, count + 1):
        with suppress(OSError):
            for port in range(base + 1, base + count + 1):
                socket.create_server(("127.0.0.1", port)).close()
            return base
    raise AssertionError("no free ports")


class Local(Estate):
    """Some sets of the example's estate, in a folder of the test's own."""

    def __init__(self, folder: Path, *sets: str, edit: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self.base = free_ports(4)
        self.directory = folder / "cloud"
        text = EXAMPLE.read_text(encoding="utf-8")
        for old, new in {
            'url = "sqlite:///../var/local/cloudmon.db"': f'url = "{self.url}"',
            'state_dir = "../var/local"': f'state_dir = "state"\nhealth_port = {self.port}\nlog_format = "json"',
            "poll_interval_s = 2\n": "poll_interval_s = 0.3\n",
            'directory = "../var/local/cloud"': 'directory = "cloud"',
            "$((8080 + {ordinal}))": f"$(({self.base} + {{ordinal}}))",
            "$((8090 + {ordinal}))": f"$(({self.base} + {{ordinal}}))",
            '"malware.txt"': f'"{EXAMPLE.parent / "malware.txt"}"',
            "port = 8788": f"port = {self.base + 4}",
            "fault_after_s = 2": "fault_after_s = 1",
            **(edit or {}),
        }.items():
            assert old in text, f"the example has no {old}"
            text = text.replace(old, new)
        for name in re.findall(r"^\[sets\.(\w+)\]", text, re.MULTILINE):
            if name not in sets:
                text = re.sub(rf"^\[sets\.{name}\]\n(?:.+\n)*", "", text, flags=re.MULTILINE)
        if "[templates.shop.jobs.tidy]" in text and "shop" not in sets:  # no set is left that has the rule's job
            text = re.sub(r"^  \{ name = \"disk-nearly-full\".*\n", "", text, flags=re.MULTILINE)
        self.write(text)

    def page(self, ordinal: int) -> str:
        """What the web server of an appliance answers; empty when nobody does."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.base + ordinal, timeout=2)) as connection:
            try:
                connection.request("GET", "/")
                return connection.getresponse().read().decode()
            except OSError:
                return ""

    def served(self, ordinal: int, incarnation: int = 1) -> bool:
        return self.page(ordinal) == f"web/{ordinal}, incarnation {incarnation}\n"

    def node(self, name: str, ordinal: int) -> str:
        (member,) = (member for member in self.members(name) if member.ordinal == ordinal)
        assert member.node_id
        return member.node_id

    def boot(self, node_id: str) -> str:
        return (machines.folder(self.directory, node_id) / "run" / "boot_id").read_text()

    def actions(self, name: str, ordinal: int) -> list[tuple[Verb, IntentState]]:
        """What was done about an appliance, oldest first."""
        with self.store() as store:
            found = store.sets.named(EVERYONE, name)
            intents = store.intents.of(EVERYONE, found.uid, ordinal) if found is not None else []
        return [(intent.verb, intent.state) for intent in sorted(intents, key=lambda each: each.created_at)]

    def root(self, name: str, ordinal: int) -> Path:
        """What an appliance takes for the root of its file system."""
        return machines.folder(self.directory, self.node(name, ordinal)) / "root"

    def end(self) -> None:
        """End every process that is left."""
        for number in machines.below(self.directory):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
