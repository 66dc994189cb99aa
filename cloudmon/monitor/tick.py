"""One tick: observe, settle, decide, break, record, act, record, meter. The same lines whoever runs it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from cloudmon import faultpoints
from cloudmon.clock import Clock
from cloudmon.engine.workers import Workers
from cloudmon.errors import StoreUnavailable
from cloudmon.model import identity
from cloudmon.model.actions import GUEST_VERBS, Intent, Verb
from cloudmon.model.changes import Change
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import Node
from cloudmon.model.sets import SetSpec
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor import act, adopt, asks, landing, markets, observe, outside, peering, reporting
from cloudmon.monitor import estate as estates
from cloudmon.monitor import turn as turns
from cloudmon.monitor import wanted as wanting
from cloudmon.monitor.act import Actor, Call
from cloudmon.monitor.insides import Found, Insides
from cloudmon.monitor.journal import Journal
from cloudmon.monitor.line import Line, Silent
from cloudmon.monitor.observe import Observer
from cloudmon.monitor.policy import Policy, View
from cloudmon.monitor.reports import TickReport
from cloudmon.monitor.turn import Turn
from cloudmon.provider import Provider
from cloudmon.reconcile import breakers, doubts, planner, walls
from cloudmon.reconcile.index import Index, index_of
from cloudmon.reconcile.picture import CloudView, Estate, Moment
from cloudmon.reconcile.plan import Plan, Step
from cloudmon.store import Ownership, Store

_log = structlog.get_logger(__name__)

CHUNK = 1_000
"""Changes written in one transaction: large enough to be fast, small enough to leave the store to others."""

ROUNDS = 3
"""How often what was settled about single nodes is decided upon anew: what is found, and then what follows from it."""

STEPS = 1_000
"""Actions begun in one tick; the next tick decides about the rest anew. Bounds the memory and the length of a tick."""

LOOK_BACK_S = 3_600
"""Seconds that failed launches are looked back at, where the breakers' windows are shorter."""

CLOCK_JUMP_S = 30.0
"""Seconds by which the wall clock may leave the steady one between two ticks before the tick destroys nothing."""


@dataclass(slots=True)
class Monitor:
    """The monitor loop's one step. One tick at a time; while it waits for clouds, others may take their turn."""

    store: Store
    owner: Ownership
    workers: Workers[Provider]
    clock: Clock
    policy: Policy
    journal: Journal | None = None
    new_id: Callable[[], str] = identity.new_uid
    insides: Insides | None = None
    """What goes on inside appliances; None when nobody looks there."""
    line: Line = field(default_factory=Silent)
    """To the agents inside appliances."""
    boot: act.Boot = act.as_it_is
    """Completes the user data of an incarnation."""
    observer: Observer = field(init=False)
    actor: Actor = field(init=False)
    views: Mapping[str, CloudView] = field(default_factory=dict)
    """What the last tick saw."""
    _ticks: int = 0
    _clocks: tuple[dt.datetime, float] | None = None
    _turn: Turn = field(default_factory=Turn)
    """Had by whoever reads, decides and writes; never while somebody waits for a cloud."""
    _looked: bool = False
    """Whether the clouds were seen since the start."""
    _kept: estates.Kept = field(default_factory=estates.Kept)
    _touched: set[ApplianceId | None] = field(default_factory=set)
    """About whom something was written outside ticks since the last one read the store; None for what belongs to no
    appliance."""
    _hurried: bool = False
    """Whether the last tick had to leave something out, and this one therefore gives no way."""

    def __post_init__(self) -> None:
        self.observer = Observer(self.workers, self.clock, patience_s=self.policy.call_timeout_s * 2)
        self.actor = Actor(self.workers, self.clock)

    def tick(self) -> TickReport:
        """Everything that is due now.

        Raises:
            Fenced: a newer monitor owns the estate; nothing was changed, and nothing must be any more.
        """
        now = self.clock.now()
        jumped = self._clock_jumped(now)
        first = self._ticks == 0 or jumped
        self._ticks += 1
        with structlog.contextvars.bound_contextvars(tick=self._ticks):
            try:
                return self._tick(now, first)
            except StoreUnavailable as error:
                return self._away(now, error)

    def _tick(self, now: dt.datetime, first: bool) -> TickReport:
        with self._turn:
            self._replay()
        performed, failed = self.collect(0.0)
        with self._turn:
            notes = self._admit_own(now)
            desk = asks.Desk(self.store, self.owner, self._admit, self._unseated, self.policy.notifiers, self.views)
            desk.answer_pending(now)
            adoptions = adopt.pending(self.store)
            estate = self._load(now)
            self._touched.clear()
        views = self._observe(estate)
        with self._turn:
            adopted = adopt.answer(self.store, adoptions, views, self._moment(now, estate, first), desk)
            if adopted or self._touched:
                estate = self._load(now)
                self._touched.clear()
                self._give_way()
            moment, index = self._moment(now, estate, first), index_of(estate)
            views, doubted = doubts.doubt(views, index, moment)
            self.views, self._looked = views, True
            self._spans(views)
            estate, found = self._look_inside(estate, views, now)
            estate = replace(estate, outlived=self._kept.outlived(self.store, self.policy.keep_snapshots_s, now))
            self._give_way()
            asked = estates.born_of(self.store, estate, now)
            desk.follow(estate, asked, now)
            plan = self._plan(estate, views, asked, index, moment)
            self._give_way()
            self._hurried = turns.keep(plan, self._touched)
            found = found.without(self._touched)
            changes = [*doubted, *found.changes, *plan.changes]
            changed = self._write(changes, now)
            peering.tell(self.line, changes, estate.sets)
            if self.insides is not None:
                self.insides.written(found)
                self.insides.keep_whole(self.owner, now)
            wanting.update(self.store, self.owner, plan, now)
            begun = self._begin(plan, estate, now, moment)
        done = self.collect(self.policy.poll_interval_s)
        rows = reporting.rows(plan, estate)
        believed = all(view.healthy and not view.suspicious for view in views.values())
        quiet = plan.quiet and not self._hurried
        steady = quiet and believed and not begun and not estate.intents and not self.actor.in_flight
        return TickReport(
            at=now,
            steady=steady and not self.store.requests.pending(EVERYONE),
            performed=performed + done[0],
            failed=failed + done[1],
            changes=changed,
            again=bool(changed or done[0] or self._hurried),
            rows=rows,
            waits=reporting.waits(plan, estate),
            notes=(*notes, *plan.notes),
            next_at=min(filter(None, (reporting.next_at(plan, estate, now), found.due)), default=None),
        )

    def attend(self) -> int:
        """Look at those appliances of which a report came, or whose time has come, without waiting for the next tick;
        how many actions were begun.

        Decides from the clouds as the last tick saw them, passes the same breakers, and does nothing before the first
        tick is over. Raises Fenced as :meth:`tick` does, and StoreUnavailable, upon which the same are looked at again.
        """
        insides = self.insides
        now = self.clock.now()
        if insides is None or not self._looked or not (insides.pending or insides.is_due(now)):
            return 0
        with self._turn, structlog.contextvars.bound_contextvars(tick=self._ticks):
            since = now - dt.timedelta(seconds=breakers.longest_window_s(self.policy.limits))
            estate = estates.load_some(self.store, insides.waiting(now), since=since)
            found = insides.look(estate, self.views, now, urgent=True)
            estate = replace(estate, inside=found.inside)
            moment, index = self._moment(now, estate, False), index_of(estate)
            plan = planner.urgent(estate, self.views, index, moment)
            self._write(found.changes, now)
            insides.written(found)
            begun = self._begin(plan, estate, now, moment)
            self._touch(found.changes, plan)
            return begun

    def seen(self, cloud: str, nodes: Sequence[Node], appliances: Sequence[ApplianceId], at: dt.datetime) -> int:
        """Nodes of these appliances were read one by one, between two ticks: settle what that changes and do what is
        due, by the same breakers; how many actions were begun. Raises as :meth:`attend`.

        ``at`` is before they were asked for: listings that began earlier do not count against them.
        """
        now = self.clock.now()
        with self._turn, structlog.contextvars.bound_contextvars(tick=self._ticks):
            view = self.views.get(cloud)
            if view is None or not view.healthy:
                return 0
            self.observer.correct(cloud, nodes, at)
            self.views = {**self.views, cloud: self.observer.corrected(view)}
            since = now - dt.timedelta(seconds=max(breakers.longest_window_s(self.policy.limits), LOOK_BACK_S))
            begun = 0
            for _ in range(ROUNDS):
                estate = estates.load_some(self.store, appliances, since=since)
                estate = replace(estate, offers=estates.offers(self.store, self.policy.prices))
                moment, index = self._moment(now, estate, False), index_of(estate)
                plan = planner.seen(estate, self.views, markets.rankings(estate, self.views, now), index, moment)
                self._write(plan.changes, now)
                begun += self._begin(plan, estate, now, moment)
                self._touch(plan.changes, plan)
                if not plan.changes:
                    break
            return begun

    def note(self, changes: Sequence[Change], now: dt.datetime) -> int:
        """Write these between two ticks; how many were, and were not overtaken."""
        with self._turn:
            self._touch(changes)
            return self._write(changes, now)

    def _touch(self, changes: Sequence[Change], plan: Plan | None = None) -> None:
        """A tick that is under way knows less of these than was written."""
        self._touched.update(change.appliance for change in changes)
        if plan is not None:
            self._touched.update(step.intent.appliance for step in plan.steps)

    def _give_way(self) -> None:
        """Whoever waits for its turn does not wait for the whole tick. What it writes about is left to the next tick,
        which then waits for nobody: everybody's time comes."""
        if not self._hurried:
            self._turn.give_way()

    def _unseated(self, appliance: ApplianceId) -> None:
        """Its agent is not believed any more."""
        if self.insides is not None:
            self.insides.forget([appliance])
        self.line.reload([appliance])

    def _look_inside(self, estate: Estate, views: Mapping[str, CloudView], now: dt.datetime) -> tuple[Estate, Found]:
        if self.insides is None:
            return estate, Found((), estate.inside, None)
        asking = self.insides.outside
        asking.aim(outside.targets(estate, views, asking.aimed()))
        found = self.insides.look(estate, views, now)
        return replace(estate, inside=found.inside), found

    # --- before ---------------------------------------------------------------------------------------------------

    def _clock_jumped(self, now: dt.datetime) -> bool:
        """Whether the wall clock and the steady clock disagree about how long it was since the last tick."""
        steady = self.clock.monotonic()
        before, self._clocks = self._clocks, (now, steady)
        if before is None:
            return False
        return abs((now - before[0]).total_seconds() - (steady - before[1])) > CLOCK_JUMP_S

    def _admit_own(self, now: dt.datetime) -> tuple[str, ...]:
        view = self.policy.view
        if view is None:
            return ()
        found = wanting.admit(
            self.store,
            self.owner,
            view.author,
            view.specs,
            limits=self.policy.limits,
            confirmed=view.confirmed,
            now=now,
        )
        return (*((f"{view.author}: {found.held}",) if found.held else ()), *found.foreign)

    def _admit(self, author: str, specs: Sequence[SetSpec], confirmed: bool, now: dt.datetime) -> str:
        """Another author's view, handed in by a request. A confirmed view of our own file's author is remembered."""
        found = wanting.admit(
            self.store, self.owner, author, specs, limits=self.policy.limits, confirmed=confirmed, now=now
        )
        own = self.policy.view
        if own is not None and own.author == author:
            self.policy = replace(self.policy, view=View(author, tuple(specs)))
        return found.held

    def _load(self, now: dt.datetime) -> Estate:
        since = now - dt.timedelta(seconds=max(breakers.longest_window_s(self.policy.limits), LOOK_BACK_S))
        return estates.load(self.store, since=since, offers=estates.offers(self.store, self.policy.prices))

    def _moment(self, now: dt.datetime, estate: Estate, first: bool) -> Moment:
        return Moment(
            now=now,
            epoch=self.owner.epoch,
            limits=self.policy.limits,
            confirmations=estates.confirmations(estate.requests),
            first_tick=first,
            new_id=self.new_id,
            intent_deadline_s=max(60.0, 4 * self.policy.call_timeout_s),
            in_flight=self.actor.in_flight,
        )

    # --- see --------------------------------------------------------------------------------------------------------

    def _observe(self, estate: Estate | None) -> dict[str, CloudView]:
        def absent(cloud: str, view: CloudView) -> Sequence[str]:
            return planner.to_verify(estate, cloud, view) if estate is not None else ()

        self.observer.patience_s = self.policy.call_timeout_s * 2
        grouped = walls.clouds(estate) if estate is not None else ()
        return self.observer.look(
            self.policy.clouds, absent, verify=self.policy.limits.verify_per_tick, grouped=grouped
        )

    def _spans(self, views: Mapping[str, CloudView]) -> None:
        """A listing that is believed extends its cloud's span, any other ends it. The only rows of a quiet tick."""
        for cloud, view in views.items():
            if view.healthy and not view.suspicious:
                gap = self.policy.poll_interval_s * 3 + self.policy.call_timeout_s * 2
                self.store.spans.extend(self.owner, cloud, view.observed_at, max_gap_s=gap)
            else:
                self.store.spans.end(self.owner, cloud, view.observed_at, view.suspicious or view.reason)

    def _plan(
        self,
        estate: Estate,
        views: Mapping[str, CloudView],
        asked: Mapping[str, Sequence[Intent]],
        index: Index,
        moment: Moment,
    ) -> Plan:
        strays = planner.strays_of(estate, views, index)
        if strays:
            estate = replace(estate, known=estates.known_tokens(self.store, strays))
        return planner.plan(estate, views, markets.rankings(estate, views, moment.now), strays, asked, index, moment)

    # --- write and act ----------------------------------------------------------------------------------------------

    def _write(self, changes: Sequence[Change], now: dt.datetime) -> int:
        if not changes:
            return 0
        faultpoints.reached("tick.before-changes")
        written = 0
        for start in range(0, len(changes), CHUNK):
            written += sum(self.store.ledger.write(self.owner, changes[start : start + CHUNK], now=now))
        faultpoints.reached("tick.after-changes")
        return written

    def _begin(self, plan: Plan, estate: Estate, now: dt.datetime, moment: Moment) -> int:
        """Record all intents in one transaction that checks the budgets again, then hand their calls out."""
        steps = plan.steps[:STEPS]
        if not steps:
            return 0
        for uid, choices in plan.rankings.items():
            if any(step.intent.appliance.set_uid == uid for step in steps):
                self.store.placements.put(self.owner, uid, estate.sets[uid].generation, choices, now)
        faultpoints.reached("intents.before-record")
        budgets = breakers.all_budgets(steps, moment)
        taken = self.store.ledger.write(self.owner, [step.change for step in steps], now=now, budgets=budgets)
        faultpoints.reached("intents.after-record")
        begun = 0
        begin_by = now + dt.timedelta(seconds=moment.intent_deadline_s)
        rung = []
        for step, recorded in zip(steps, taken, strict=True):
            if recorded and step.intent.verb in GUEST_VERBS:
                rung.append(step.intent.appliance)
                begun += 1
            elif recorded:
                self.actor.begin(replace(self._call(step, estate), begin_by=begin_by))
                begun += 1
        if rung:
            self.line.ring(rung)
        return begun

    def _call(self, step: Step, estate: Estate) -> Call:
        if step.intent.verb not in (Verb.LAUNCH, Verb.ADOPT, Verb.SNAPSHOT):
            return Call(step, None)
        spec = self._spec(step, estate)
        if step.intent.verb is not Verb.LAUNCH:
            return Call(step, None, act.tags_of(step.intent.token, spec))
        return Call(step, act.node_request(step, spec, self.boot))

    def _spec(self, step: Step, estate: Estate) -> SetSpec:
        """The generation that the incarnation was opened with: the same token comes with the same parameters."""
        aset = estate.sets[step.intent.appliance.set_uid]
        generation = step.intent.evidence.get("generation", aset.generation)
        if generation == aset.generation:
            return aset.spec
        for number, _, spec, _ in self.store.sets.generations(EVERYONE, aset.uid):
            if number == generation:
                return spec
        return aset.spec

    def collect(self, patience_s: float) -> tuple[int, int]:
        """Record the outcomes of calls that came back; (performed, failed)."""
        performed = failed = 0
        for landed in self.actor.landed(patience_s):
            with self._turn:
                self._record(landed)
            performed += sum(1 for _, outcome, _ in landed if outcome.accepted)
            failed += sum(1 for _, outcome, _ in landed if not outcome.accepted)
        return performed, failed

    def _record(self, landed: list[landing.Landed]) -> None:
        faultpoints.reached("outcome.before-record")
        now = self.clock.now()
        self.store.ledger.write(self.owner, landing.changes(self.store, landed, now), now=now)
        self.actor.recorded(landed)
        faultpoints.reached("outcome.after-record")

    # --- while the store is away ------------------------------------------------------------------------------------

    def _away(self, now: dt.datetime, error: StoreUnavailable) -> TickReport:
        """Keep watching, into the journal; act on nothing: an effect needs its intent first."""
        _log.error("the store is away; watching on, acting on nothing", error=error.message)
        views = self._observe(None)
        if self.journal is not None:
            try:
                for view in views.values():
                    self.journal.append(observe.observation(view))
            except OSError as full:
                # Nothing can be kept: what follows will be marked estimated, and nothing was done in any case.
                _log.error("the journal cannot be written", error=str(full))
        return TickReport(at=now, steady=False, store_away=error.message)

    def _replay(self) -> None:
        """What was seen while the store was away, in order: facts and spans, no action."""
        if self.journal is None:
            return
        seen = False
        for observation in self.journal.replay():
            seen = True
            view = observe.as_seen(observation)
            at = observation.started_at
            # A listing whose nodes a full journal had to drop still says that the cloud was seen, and no more.
            if observation.nodes is not None:
                estate = self._load(at)
                self._write(planner.facts(estate, {view.cloud: view}, self._moment(at, estate, True)), at)
            self._spans({view.cloud: view})
            if view.healthy and observation.finished_at > at:
                # The journal put listings that said the same into one: it was watched all the while.
                length_s = (observation.finished_at - at).total_seconds()
                self.store.spans.extend(self.owner, view.cloud, observation.finished_at, max_gap_s=length_s + 1)
        if seen:
            self.journal.clear()
            _log.info("replayed what was seen while the store was away")
