"""A herald between a store and notifiers that play a script."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from cloudmon import plugins
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.messages import DeliveryState
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor import herald as heralds
from cloudmon.monitor.herald import Herald
from cloudmon.notifier import Notice
from cloudmon.settings import Settings
from cloudmon.settings.notify import NotifySettings
from cloudmon.settings.policies import PolicySettings
from cloudmon.store import Store
from cloudmon.testing import FakeClock

OPS = NotifySettings(kind="scripted")


@dataclass
class Scripted:
    """A notifier that plays a script: errors are raised, text is remarked; then it takes all."""

    name: str = "ops"
    script: deque[Exception | str] = field(default_factory=deque)
    got: list[Notice] = field(default_factory=list)

    def send(self, notice: Notice) -> str:
        self.got.append(notice)
        said = self.script.popleft() if self.script else ""
        if isinstance(said, Exception):
            raise said
        return said

    @property
    def titles(self) -> list[str]:
        return [notice.title for notice in self.got]


class Bench:
    """A store, a clock, notifiers, and a herald between them."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.clock = FakeClock()
        self.owner = store.monitors.begin(host="here", pid=1, now=self.clock.now())
        self.notifiers = {"ops": Scripted("ops"), "boss": Scripted("boss")}
        monkeypatch.setattr(plugins, "notifier", lambda kind: lambda name, options, **_: self.notifiers[name])
        monkeypatch.setattr(Settings, "notifier_options", lambda self, name: None)
        self.herald = self.begin()
        self.herald.run()  # it is introduced: nothing is open

    @property
    def ops(self) -> Scripted:
        return self.notifiers["ops"]

    def settings(self, *policies: PolicySettings, **notify: NotifySettings) -> Settings:
        return Settings(author="me", notify=notify or {"ops": OPS}, policies=policies)

    def begin(self, *policies: PolicySettings, start: heralds.Start | None = None, **notify: NotifySettings) -> Herald:
        found = self.settings(*policies, **notify)
        self.herald = Herald(self.store, self.owner, self.clock, found, start=start or (lambda _, work: work()))
        return self.herald

    def write(self, *changes: Change) -> None:
        self.store.ledger.write(self.owner, changes, now=self.clock.now())

    def open(self, subject: str = "x/1", message: str = "not well", **other: Any) -> None:
        values: dict[str, Any] = {"kind": FindingKind.FAULT, "tenant": "default", "severity": "warning", **other}
        finding = Finding(subject=subject, message=message, evidence={}, opened_at=self.clock.now(), **values)
        self.write(Change(values["tenant"], findings=(finding,)))

    def end(self, subject: str = "x/1", kind: FindingKind = FindingKind.FAULT) -> None:
        self.write(Change("default", findings=(FindingEnd(kind, subject),)))

    def run(self, seconds: float = 0.0) -> bool:
        """Let so much time pass, a look each second; whether a trial was answered."""
        answered = self.herald.run()
        for _ in range(int(seconds)):
            self.clock.advance(1)
            answered = self.herald.run() or answered
        return answered

    def log(self) -> list[tuple[str, DeliveryState, int]]:
        """The deliveries, oldest first: title, state, tries."""
        return [(one.title, one.state, one.attempts) for one in reversed(self.store.messages.deliveries(EVERYONE))]
