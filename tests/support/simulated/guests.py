"""The insides of a simulated estate: guests in its machines, the way between them and the monitor, and what gets lost
on it. They live by the true time; the channel that they speak to lives by the monitor's."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloudmon.agent.commands import Command
from cloudmon.channel import tokens, userdata
from cloudmon.channel.channel import Channel
from cloudmon.channel.gate import Head, Reason
from cloudmon.channel.replies import Reply
from cloudmon.detection.detector import Detector
from cloudmon.detection.policies import Rulebook
from cloudmon.errors import StoreUnavailable
from cloudmon.model import states
from cloudmon.model.identity import TAG_TOKEN, Token
from cloudmon.model.policies import Policy, Remedy
from cloudmon.model.sets import Application, Job, SetSpec
from cloudmon.model.simulated import Machine
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.hearing import Hearing
from cloudmon.monitor.insides import Insides
from cloudmon.monitor.line import Silent
from cloudmon.monitor.tick import Monitor
from cloudmon.settings import ChannelSettings
from cloudmon.settings import policies as policy_settings
from cloudmon.testing.guests import Guest
from simulated import dying

if TYPE_CHECKING:
    from simulated.bench import Bench

KEY = b"the channel key of a simulated estate"
INTERVAL_S = 30
POLL_S = 15.0
STRIDE_S = 5.0
"""Guests are stepped no more often than this."""
HAUNT_S = 400.0
"""How long the agent of a machine that is gone may go on to speak."""
REMEDIES = {
    "disk-nearly-full": (Remedy("job_run", {"job": "tidy"}),),
    "package-outdated": (Remedy("app_update", {"application": "shop", "restart": "yes"}),),
    "stray-account": (Remedy("account_revoke"),),
    "report-silent": (Remedy("reboot"),),
}
PATIENT = {"application-down": 20, "disk-nearly-full": 60}
"""Rules that have patience, as in the built-in policy, and how many seconds of it."""


@functools.cache
def rules() -> Policy:
    """The built-in rules, most of them without their patience, with a remedy for all that may strike."""
    found = policy_settings.built_in().policy("built in")
    made = tuple(
        replace(one, for_s=PATIENT[one.name], then=REMEDIES.get(one.name, one.then), backoff_s=10)
        if one.name in PATIENT
        else replace(one, for_s=0, n=1, m=1, then=REMEDIES.get(one.name, one.then), backoff_s=10)
        for one in found.rules
    )
    return replace(found, rules=made)


@functools.cache
def _rulebook() -> Rulebook:
    return Rulebook([rules()])


def inhabited(spec: SetSpec) -> SetSpec:
    """The set, with an agent in its machines and something to look at."""
    template = replace(
        spec.template,
        applications={"shop": Application(match="/srv/shop", package="shop", version=">=1.4")},
        jobs={"tidy": Job(("/usr/local/bin/tidy",))},
        accounts=("root",),
        agent=True,
        report_interval_s=INTERVAL_S,
    )
    return replace(spec, template=template)


class Seen(Guest):
    """A guest of which is known what it truly did."""

    __slots__ = ("booted_at", "born_at", "cut_until", "due", "performed", "sleeps_until", "token", "watch")

    def __init__(self, user_data: str, token: Token, **named: Any) -> None:
        super().__init__(user_data, poll_s=POLL_S, **named)
        self.token = token
        self.performed: list[str] = []
        """Ids of commands that it performed, over all its boots."""
        self.watch: Callable[[Seen, Command], None] = lambda _guest, _command: None
        """Told of each command just before it is performed."""
        self.due: dt.datetime | None = None
        self.cut_until: dt.datetime | None = None
        """While it reaches nobody."""
        self.sleeps_until: dt.datetime | None = None
        """While nothing in it goes on."""

    def _boot(self, at: float) -> None:
        super()._boot(at)
        self.booted_at = dt.datetime.fromtimestamp(at, dt.UTC)
        if self._boots == 1:
            self.born_at = self.booted_at
        perform = self._commands._performed

        def noted(command: Command) -> Any:
            self.watch(self, command)
            self.performed.append(command.id)
            return perform(command)

        self._commands._performed = noted  # type: ignore[method-assign]

    def lie(self, kind: str) -> None:
        """Report under a number that is not the next one: one that was, with other content, or one far ahead."""
        machine, reporter = self.machine, self._reporter
        if not self._keys.known() or not reporter._hash:
            return
        seq = {"back": max(1, reporter._seq - 2), "again": reporter._seq, "ahead": reporter._seq + 1_000}[kind]
        sections = {**machine.sections(machine.config, self.interval_s), "lie": {"now": {"number": seq}}}
        body = {
            "v": 1, "instance": self._keys.instance, "boot": machine.boot, "seq": seq, "at": self._clock.now(),
            "offset_s": 0.0, "version": "1", "why": "change", "kind": "full", "base": "",
            "hash": states.state_hash(sections), "config": machine.config.hash, "sections": sections, "results": [],
        }  # fmt: skip
        with contextlib.suppress(Exception):
            self._speaker.ask("/channel/v1/report", body)


class Inhabitants:
    """All guests of an estate, and its channel. ``luck`` decides apart from the estate's own chance, so that a seed's
    story without guests stays what it was."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self._bench = bench
        self._loop = asyncio.new_event_loop()
        self._marks = dict.fromkeys(bench.worlds, 0)
        self._boots: dict[tuple[str, str], int] = {}
        self._gone_at: dict[tuple[str, str], dt.datetime] = {}
        self._channel: Channel | None = None
        self._former: Channel | None = None
        self._asking: Seen | None = None
        self.luck = random.Random(f"guests {seed}")
        self.guests: dict[tuple[str, str], Seen] = {}
        self.everybody: list[Seen] = []
        """Those too whose machines are gone."""
        self.quiet = False
        """Whether nothing more is lost and nobody is struck."""
        self.killed = False
        """Whether the monitor died while it answered."""
        self.decided: Callable[[], None] = lambda: None
        """Asserts what holds whenever something may have been decided."""
        self.performs: Callable[[Seen, Command], str] = lambda _guest, _command: ""
        """Says what is wrong with a command that is about to be performed."""
        self.wrong = ""
        """What it said first."""
        self.counts: Counter[str] = Counter()

    # --- the monitor's side -------------------------------------------------------------------------------------------

    def serve(self, monitor: Monitor) -> None:
        """Join a monitor that begins to a channel of its own, as the service does."""
        # The one before it goes on to serve for a while: it does not know yet that it is fenced.
        former, self._former = self._former, self._channel
        if former is not None:
            former.close()
        bench = self._bench
        insides = Insides(Hearing(bench.store), [rules()])  # type: ignore[arg-type]
        insides._detector = Detector(())
        insides._detector.rules = _rulebook()
        channel = Channel(
            bench.store, lambda: monitor.owner, bench.clock, ChannelSettings(), KEY, None, insides.heard,  # type: ignore[arg-type]
            agent=lambda: b"PK",
        )  # fmt: skip
        monitor.insides = insides
        monitor.line = insides.hearing.line = channel
        monitor.boot = self.user_data
        self._channel = channel

    @property
    def channel(self) -> Channel:
        assert self._channel is not None
        return self._channel

    def user_data(self, own: str, token: Token, spec: SetSpec) -> str:
        """What the nodes of an inhabited set boot with."""
        if not spec.template.agent:
            return own
        text = tokens.text(KEY, tokens.NO_CA, tokens.id_of_user_data(token.appliance, token.incarnation))
        return userdata.render(own, token=text, url="https://127.0.0.1:1", interval_s=INTERVAL_S)

    def attend(self) -> None:
        """Reports that came are looked at at once, as the service does."""
        bench = self._bench
        die_at = None if self.quiet or self.luck.random() > 0.03 else self.luck.randrange(1, 8)
        begun = 0
        try:
            with dying.at_point(die_at), contextlib.suppress(StoreUnavailable):
                begun = bench.monitor.attend()
        except dying.Crash:
            self.killed = True
            self.counts["killed while it attended"] += 1
        if begun or self.killed:
            self.decided()

    # --- the way ------------------------------------------------------------------------------------------------------

    def carry(self, head: Head, content: bytes) -> Reply:
        """A request on its way: it may get lost, be taken twice, or cost the monitor its life; so may the answer."""
        bench, luck = self._bench, self.luck
        asking = self._asking
        cut = asking is not None and asking.cut_until is not None and bench.clock.true_now() < asking.cut_until
        if cut or self.killed or (not self.quiet and luck.random() < 0.05):
            self.counts["requests lost"] += 1
            raise ConnectionError("the request got lost (simulated)")
        if self._former is not None and not self.quiet and luck.random() < 0.1:
            self._ask_the_former(head, content)
        die_at = None if self.quiet or luck.random() > 0.02 else luck.randrange(1, 4)
        try:
            with dying.at_point(die_at):
                reply = self._ask(self.channel, head, content)
        except dying.Crash:
            self.killed = True
            self.counts["killed while it wrote"] += 1
            raise ConnectionError("the monitor died (simulated)") from None
        if self.quiet:
            return reply
        if luck.random() < 0.05:
            second = self._ask(self.channel, head, content)
            self.counts["requests that came twice"] += 1
            assert second.status != 200, "law of reports: a request that came twice was taken twice"
        if luck.random() < (0.15 if b'"verb"' in reply.body else 0.01):
            self.killed = True
            self.counts["killed before its answer"] += 1
        if self.killed or luck.random() < 0.05:
            self.counts["answers lost"] += 1
            raise ConnectionError("the answer got lost (simulated)")
        return reply

    def _ask_the_former(self, head: Head, content: bytes) -> None:
        """Law 6: a channel whose monitor was fenced writes nothing, whoever comes to it."""
        assert self._former is not None
        agents = self._bench.memory.agents
        before = agents.all(EVERYONE)
        self._ask(self._former, head, content)
        self.counts["requests that went to a fenced monitor"] += 1
        assert agents.all(EVERYONE) == before, "law 6: a fenced monitor's channel wrote what an agent said"

    def _ask(self, channel: Channel, head: Head, content: bytes) -> Reply:
        async def body(most: int) -> bytes | Reason:
            return content if len(content) <= most else Reason.OVERSIZE

        return self._loop.run_until_complete(channel.answer(head, body))

    # --- the machines -------------------------------------------------------------------------------------------------

    def live(self, seconds: float) -> None:
        """Let so much time pass: whoever is due says and does what he has to."""
        clock = self._bench.clock
        end = clock.true_now() + dt.timedelta(seconds=seconds)
        while True:
            self.follow()
            now = clock.true_now()
            for guest in self._awake(now):
                if guest.due is None or guest.due <= now:
                    self.step(guest, now)
            insides = self._bench.monitor.insides
            if insides is not None and insides.pending:
                self.attend()
            self.revive()
            if now >= end:
                return
            due = [guest.due for guest in self._awake(now) if guest.due is not None]
            ahead_s = max(STRIDE_S, (min(due, default=end) - now).total_seconds())
            clock.advance(min(ahead_s, (end - now).total_seconds()))

    def step(self, guest: Seen, now: dt.datetime) -> None:
        self._asking = guest
        guest.due = guest.step(now)
        self._asking = None
        assert not self.wrong, self.wrong
        self.revive()

    def lie(self, guest: Seen, kind: str) -> None:
        self._asking = guest
        guest.lie(kind)
        self._asking = None
        self.revive()

    def revive(self) -> None:
        """Start the monitor again, if it died."""
        if self.killed:
            self._bench.clock.advance(3)
            self._bench.restart()
            self.killed = False

    def follow(self) -> None:
        """Machines came up, booted again, fell silent or went."""
        now = self._bench.clock.true_now()
        for cloud, world in self._bench.worlds.items():
            self._marks[cloud], changed = world.inside(self._marks[cloud])
            for machine in changed:
                self._follow((cloud, machine.node_id), machine, now)
        for key in [key for key, at in self._gone_at.items() if now >= at]:
            del self._gone_at[key]
            self.guests.pop(key, None)

    def _follow(self, key: tuple[str, str], machine: Machine, now: dt.datetime) -> None:
        guest = self.guests.get(key)
        if not machine.lives:
            if guest is not None and key not in self._gone_at:
                haunts = not self.quiet and self.luck.random() < 0.3
                self._gone_at[key] = now + dt.timedelta(seconds=HAUNT_S if haunts else 0)
                guest.sleeps_until = None if haunts else dt.datetime.max.replace(tzinfo=dt.UTC)
            return
        if guest is None:
            if machine.boots and "cm1." in machine.user_data:
                self.guests[key] = self._moved_in(key, machine)
                self.everybody.append(self.guests[key])
                self._boots[key] = machine.boots
            return
        if machine.boots != self._boots[key]:
            self._boots[key] = machine.boots
            guest.reboot(now)
            guest.due = None
        guest.sleeps_until = None if machine.talks else dt.datetime.max.replace(tzinfo=dt.UTC)

    def _moved_in(self, key: tuple[str, str], machine: Machine) -> Seen:
        node = next(one for one in self._bench.worlds[key[0]].nodes_true() if one.id == key[1])
        token = Token.parse(node.tags[TAG_TOKEN])
        assert token is not None
        number = len(self.everybody)
        off_s = self.luck.choice([0.0, 0.0, -7_200.0, 7_200.0])
        guest = Seen(
            machine.user_data, token, name=machine.name, seed=self.luck.randrange(10**6) + number, answer=self.carry,
            off_s=off_s,
        )  # fmt: skip
        guest.watch = self._watch
        return guest

    def _watch(self, guest: Seen, command: Command) -> None:
        # An agent outlives whatever goes wrong while it performs something: what is said here is raised outside.
        self.wrong = self.wrong or self.performs(guest, command)

    def _awake(self, now: dt.datetime) -> list[Seen]:
        return [one for one in self.guests.values() if one.sleeps_until is None or now >= one.sleeps_until]

    def since_boot_s(self) -> float:
        """Seconds since the last boot of anybody: what was struck before may not have been told before it."""
        now = self._bench.clock.true_now()
        return min(((now - one.booted_at).total_seconds() for one in self.guests.values() if one._boots), default=1e9)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """From now on nothing is lost and nobody is struck by anything new."""
        self.quiet = True
        for guest in self.guests.values():
            guest.cut_until = None

    def leave(self) -> None:
        """Nobody lives there any more, and nobody listens."""
        self._bench.monitor.insides, self._bench.monitor.line = None, Silent()
        self.close_channel()
        self._channel = self._former = None
        self.guests.clear()

    def close_channel(self) -> None:
        for channel in (self._channel, self._former):
            if channel is not None:
                channel.close()

    def close(self) -> None:
        self.close_channel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()
