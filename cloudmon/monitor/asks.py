"""Takes requests from the store, answers them, and sees them to their end."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from cloudmon import faultpoints
from cloudmon.model import specs as spec_codec
from cloudmon.model.actions import Intent, LogEntry
from cloudmon.model.appliances import Member
from cloudmon.model.findings import FindingKind
from cloudmon.model.guests import Enrolment
from cloudmon.model.identity import ApplianceId
from cloudmon.model.messages import DeliveryState
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.sets import ApplianceSet, SetSpec
from cloudmon.model.tenants import Scope
from cloudmon.plugins import nearest
from cloudmon.reconcile import accounts, adoption, commands
from cloudmon.reconcile import requests as asking
from cloudmon.reconcile.picture import CloudView, Estate
from cloudmon.reconcile.requests import Answer
from cloudmon.store import Ownership, SetMove, Store

TOKEN_S = 15 * 60
"""How long a token by hand is good, in seconds."""

_BY_HAND = re.compile(r"m-[a-z2-7]{12}", re.ASCII)

_log = structlog.get_logger(__name__)

Admit = Callable[[str, Sequence[SetSpec], bool, dt.datetime], str]
"""Author, specs, confirmed, now -> what is held back ('' when nothing is)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where requests are answered."""

    store: Store
    owner: Ownership
    admit: Admit
    unseated: Callable[[ApplianceId], None]
    """Told of appliances whose agent is not believed any more."""
    notifiers: Collection[str] = ()
    """Names of those through whom somebody can be told."""
    views: Mapping[str, CloudView] = field(default_factory=dict)
    """The clouds as they were seen last: what can be asked of them."""

    def answer_pending(self, now: dt.datetime) -> None:
        """Answer what can be answered from the store alone. Adoption waits for a view, see :mod:`adopt`, and so does an
        isolation: not every cloud can."""
        for request in self.store.requests.pending(Scope(None)):
            if request.verb is RequestVerb.ADOPT or (request.verb is RequestVerb.ISOLATE and not self.views):
                continue
            faultpoints.reached("requests.before-accept")
            self.move(request, self.answer(request, now), now)
            faultpoints.reached("requests.after-accept")

    def answer(self, request: Request, now: dt.datetime) -> Answer:
        """What becomes of a pending request. One whose arguments make no sense is refused, whoever wrote it: it must
        not stand in the way of all that come after it."""
        try:
            return self._answer(request, now)
        except KeyError as error:
            return asking.refused(f"it lacks the argument {error}")
        except (ValueError, TypeError, OverflowError) as error:
            _log.warning("request refused", request=request.id, verb=request.verb.value, exc_info=error)
            return asking.refused(f"its arguments make no sense: {error}")

    def _answer(self, request: Request, now: dt.datetime) -> Answer:
        if request.verb is RequestVerb.APPLY:
            return self._apply(request, now)
        if request.verb is RequestVerb.END_ORPHAN:
            return self._end_orphan(request)
        if request.verb is RequestVerb.CONFIRM:
            return Answer(RequestState.ACCEPTED)
        if request.verb is RequestVerb.NOTIFY:
            return self._try_out(request, now)
        aset, members = self.target(request)
        if request.verb in (RequestVerb.ENROL, RequestVerb.REVOKE):
            return self._about_agent(request, members, now)
        if request.verb in accounts.VERBS:
            return self._about_account(request, aset, now)
        if aset is None:
            name, _ = asking.split(request.target)
            last = self.store.sets.named(Scope.of(request.tenant), name)
            if last is not None:
                return asking.ended(request, last, now)
        answer = asking.answer(request, aset, members, now)
        if request.verb is RequestVerb.COMMAND and answer.state is RequestState.ACCEPTED and aset is not None:
            agents = self.store.agents.of_set(Scope.of(request.tenant), aset.uid)
            unable = (
                accounts.kept(request, aset, now)
                or asking.cannot(request, members, agents)
                or commands.nobody(request, aset.spec.template, members, agents, self.views)
            )
            return asking.refused(unable) if unable else answer
        if request.verb is RequestVerb.ISOLATE and answer.state is RequestState.ACCEPTED:
            unable = asking.walless(request, members, self.views)
            return asking.refused(unable) if unable else answer
        return answer

    def _about_agent(self, request: Request, members: Sequence[Member], now: dt.datetime) -> Answer:
        """A token by hand, or the end of an agent. Both may be repeated without harm: they are written before the
        request is moved."""
        _, ordinal = asking.split(request.target)
        member = next((member for member in members if member.ordinal == ordinal), None)
        if member is None:
            return asking.refused(f"{request.target} names no living appliance; name one, such as storefront/1")
        if request.verb is RequestVerb.REVOKE:
            revoked = self.store.agents.revoke(
                self.owner, member.id, now=now, author=request.author, reason=request.reason
            )
            self.unseated(member.id)
            said = "is not listened to any more" if revoked else "has no agent that is listened to"
            return Answer(RequestState.DONE, f"{request.target} {said}")
        if not member.node_id:
            return asking.refused(f"{request.target} has no node in which an agent could run; it is {member.state}")
        if not _BY_HAND.fullmatch(request.arguments["id"]):
            return asking.refused(f"{request.arguments['id']!r} is no id of a token; `cloudmon agent token` makes one")
        until = now + dt.timedelta(seconds=TOKEN_S)
        self.store.agents.offer(
            self.owner,
            Enrolment(
                request.arguments["id"], member.id, member.tenant, member.incarnation, request.author, now, until
            ),
        )
        return Answer(RequestState.DONE, f"a token for {request.target}, good once until {until:%H:%M:%S} UTC")

    def _about_account(self, request: Request, aset: ApplianceSet | None, now: dt.datetime) -> Answer:
        """An account on a set's members, or its end. Both may be repeated without harm: they are written before the
        request is moved."""
        asked = accounts.answer(request, aset, now)
        if asked.grant is not None:
            self.store.grants.give(self.owner, asked.grant, now)
        if asked.withdraw and aset is not None:
            said = {"by": request.author, "reason": request.reason}
            self.store.grants.take_back(self.owner, aset.uid, asked.withdraw, now, **said)
        return asked.answer

    def _try_out(self, request: Request, now: dt.datetime) -> Answer:
        """A test message; the same request again makes no second one."""
        from cloudmon.notices import wording  # noqa: PLC0415  # only for who asks

        name = request.target
        if name not in self.notifiers:
            return asking.refused(f"there is no notifier named {name}{nearest(name, list(self.notifiers))}")
        trial = wording.trial(
            request.id, request.target, request.tenant, estate=self.store.estate, author=request.author, now=now
        )
        self.store.messages.route(self.owner, [trial])
        return Answer(RequestState.ACCEPTED)

    def target(self, request: Request) -> tuple[ApplianceSet | None, Sequence[Member]]:
        """The active set that a request names, as its tenant sees it, and the set's members."""
        name, _ = asking.split(request.target)
        scope = Scope.of(request.tenant)
        aset = self.store.sets.named(scope, name)
        if aset is None or aset.retired_at is not None:
            return None, ()
        return aset, self.store.members.of_set(scope, aset.uid)

    def _apply(self, request: Request, now: dt.datetime) -> Answer:
        specs = [spec_codec.from_json(item) for item in json.loads(request.arguments["sets"])]
        confirmed = request.arguments.get("confirmed") == "yes"
        held = self.admit(request.arguments["author"], specs, confirmed, now)
        return Answer(RequestState.DONE, f"held back: {held}" if held else "taken over")

    def _end_orphan(self, request: Request) -> Answer:
        subject = f"node:{request.target}"
        kinds = (FindingKind.ORPHAN, FindingKind.DUPLICATE)
        if not any(f.kind in kinds for f in self.store.findings.of(Scope.of(request.tenant), subject)):
            return asking.refused(f"{request.target} is no orphan that was found; `cloudmon orphans` lists them")
        return Answer(RequestState.ACCEPTED)

    def move(self, request: Request, answer: Answer, now: dt.datetime) -> None:
        """Write an answer: controls first, where a repetition does no harm; all else with the request's own state."""
        aset, _ = self.target(request)
        entry = LogEntry(
            aset.uid if aset is not None else "estate", now, f"request.{answer.state}", request.id,
            {
                "verb": request.verb.value, "target": request.target, "author": request.author,
                "reason": request.reason, "outcome": answer.outcome,
            },
        )  # fmt: skip
        if aset is not None and answer.control is not None:
            self.store.controls.lay(self.owner, answer.control, now, request_id=request.id)
        if aset is not None and answer.release is not None:
            _, ordinal = asking.split(request.target)
            self.store.controls.release(
                self.owner, aset.uid, ordinal, answer.release, now, by=request.author, reason=request.reason
            )
        moved = None
        if aset is not None and answer.set_values is not None:
            # With the request's own state: an extension by so many days, were it repeated, would count twice.
            said = {"by": request.author, "reason": request.reason}
            log = LogEntry(aset.uid, now, answer.log_kind, aset.name, {**said, "outcome": answer.outcome})
            moved = SetMove(aset.uid, answer.set_values, log)
        self.store.requests.move(
            self.owner,
            request.id,
            request.state,
            answer.state,
            now=now,
            outcome=answer.outcome,
            log=entry,
            changes=answer.changes,
            aset=moved,
            generation=answer.generation,
        )

    def follow(self, estate: Estate, asked: Mapping[str, Sequence[Intent]], now: dt.datetime) -> None:
        """End accepted requests that have come to their end."""
        for request in estate.requests:
            answer = self._progress(request, estate, asked, now)
            if answer is not None:
                self.move(request, answer, now)

    def _progress(
        self, request: Request, estate: Estate, asked: Mapping[str, Sequence[Intent]], now: dt.datetime
    ) -> Answer | None:
        if request.verb is RequestVerb.CONFIRM:
            over = now >= request.created_at + dt.timedelta(seconds=asking.CONFIRMED_FOR_S)
            return Answer(RequestState.DONE, "its time is over") if over else None
        if request.verb is RequestVerb.END_ORPHAN:
            still = any(f.subject == f"node:{request.target}" for f in estate.findings)
            return None if still else Answer(RequestState.DONE, f"{request.target} has ended")
        if request.verb is RequestVerb.NOTIFY:
            return self._tried_out(request)
        if request.verb is RequestVerb.ADOPT:
            return adoption.progress(request, asked.get(request.id, ()))
        aset, members = self.target(request)
        if aset is None:
            if request.verb is RequestVerb.RETIRE:
                return Answer(RequestState.DONE, "the set has ended")
            return Answer(RequestState.FAILED, "the set has ended")
        return asking.progress(request, members, asked.get(request.id, ()))

    def _tried_out(self, request: Request) -> Answer | None:
        found = self.store.messages.delivery(Scope.of(request.tenant), request.id)
        if found is None:
            return Answer(RequestState.FAILED, "it is not known what became of it")
        if found.state is DeliveryState.SENT:
            remark = f"; {found.error}" if found.error else ""
            return Answer(RequestState.DONE, f"{request.target} took it{remark}")
        return Answer(RequestState.FAILED, found.error) if found.state is DeliveryState.DEAD else None
