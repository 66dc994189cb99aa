"""A monitor over scripted clouds whose appliances have simulated guests: they speak to a channel of the same process,
the monitor looks at what they say with the rules, and what it orders reaches them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from watched import POLL_S, Watched, spec

from cloudmon.channel import userdata
from cloudmon.channel.channel import Channel
from cloudmon.model.actions import GUEST_VERBS, Intent
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Policy, Remedy
from cloudmon.model.sets import Application, Job, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.hearing import Hearing
from cloudmon.monitor.insides import Insides
from cloudmon.settings import ChannelSettings
from cloudmon.settings import policies as policy_settings
from cloudmon.testing.guests import Exchange, Guest

KEY = b"the channel key of these guests"
BEGIN_S = 10
TEMPLATE = Template(
    "web",
    {"*": "image-1"},
    applications={"shop": Application(match="/srv/shop", package="shop", version=">=1.4")},
    jobs={"tidy": Job(("/usr/local/bin/tidy",))},
    accounts=("root",),
    report_interval_s=30,
)
REMEDIES: Mapping[str, tuple[Remedy, ...]] = {
    "disk-nearly-full": (Remedy("job_run", {"job": "tidy"}),),
    "package-outdated": (Remedy("app_update", {"application": "shop", "restart": "yes"}),),
    "stray-account": (Remedy("account_revoke"),),
    "restart-loop": (Remedy("app_restart"),),
    "report-silent": (Remedy("reboot"),),
}


def rules() -> Policy:
    """The built-in rules, without their patience, each with a remedy."""
    found = policy_settings.built_in().policy("built in")
    return replace(
        found,
        rules=tuple(
            replace(
                one,
                for_s=0,
                n=1,
                m=1,
                backoff_s=130 if one.name == "restart-loop" else 5,  # it is seen to be over when it ran so long
                then=REMEDIES.get(one.name, one.then),
            )
            for one in found.rules
        ),
    )


class Guested(Watched):
    """So many appliances that run, each with a guest. ``seed`` is the first one's; the others have the next ones."""

    def __init__(self, folder: Path, count: int = 1, *, seed: int = 0, template: Template = TEMPLATE) -> None:
        super().__init__(folder, specs=[spec(count, template=template)])
        self.channel = self._begun()
        self.exchange = Exchange(lambda: self.channel)
        self.tick(3)
        self.clock.advance(BEGIN_S)
        self.guests = {ordinal: self.guest(ordinal, seed + ordinal - 1) for ordinal in range(1, count + 1)}
        self.due: dict[int, dt.datetime] = {}

    def _begun(self) -> Channel:
        """A channel and the monitor's eyes on it, joined as the service joins them."""
        insides = Insides(Hearing(self.store), [rules()])  # type: ignore[arg-type]
        self.monitor.insides = insides
        channel = Channel(
            self.memory,
            lambda: self.owner,
            self.clock,
            ChannelSettings(),
            KEY,
            None,
            insides.heard,
            agent=lambda: b"PK",
        )
        self.monitor.line = insides.hearing.line = channel
        return channel

    def guest(self, ordinal: int, seed: int) -> Guest:
        """What boots with the user data of a member's present incarnation."""
        member = self.members()[ordinal - 1]
        token = self.channel.token(member.id, member.incarnation)
        told = userdata.render("", token=token, url="https://127.0.0.1:1", interval_s=30)
        return Guest(told, name=f"storefront-{ordinal}", seed=seed, answer=self.exchange)

    def close(self) -> None:
        self.channel.close()
        self.exchange.close()
        self.memory.close()

    def id(self, ordinal: int = 1) -> ApplianceId:
        return self.members()[ordinal - 1].id

    def strike(self, fault: str, ordinal: int = 1) -> None:
        self.guests[ordinal].strike(fault, self.clock.now())
        self.due.pop(ordinal, None)

    def run(self, seconds: float) -> None:
        """Let time pass: guests are stepped when they are due, and whatever they say is attended to at once."""
        end = self.clock.now() + dt.timedelta(seconds=seconds)
        tick_at = self.clock.now()
        while True:
            now = self.clock.now()
            for ordinal, guest in self.guests.items():
                while self.due.get(ordinal, now) <= now:
                    self.due[ordinal] = guest.step(now)
            self.monitor.attend()
            if now >= tick_at:
                self.monitor.tick()
                tick_at = now + dt.timedelta(seconds=POLL_S)
            if now >= end:
                return
            self.clock.advance((min(end, tick_at, *self.due.values()) - now).total_seconds())

    def commands(self, ordinal: int = 1) -> list[Intent]:
        """What was ordered inside it, oldest first."""
        found = self.memory.intents.of(EVERYONE, self.id(ordinal).set_uid, ordinal)
        return sorted((one for one in found if one.verb in GUEST_VERBS), key=lambda one: one.created_at)

    def open(self) -> list[str]:
        """Rules whose finding is open."""
        found = self.memory.findings.open(EVERYONE)
        return sorted(one.subject.split("/")[2].split(":")[0] for one in found if one.kind is FindingKind.DETECTED)
