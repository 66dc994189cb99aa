"""Asks for something and stays until it is done: of the monitor that runs, or, where none does, by running one here.

One path for every command that changes anything. The request is in the store before anything else happens, so a
command that is interrupted has asked all the same.
"""

from __future__ import annotations

import os
import pwd
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from cloudmon.cli import opening, output
from cloudmon.cli.opening import Target
from cloudmon.cli.options import Format, How
from cloudmon.cli.output import Column
from cloudmon.cli.progress import Progress
from cloudmon.clock import Clock
from cloudmon.errors import MonitorAlreadyRuns, RequestRefused, StoreUnavailable
from cloudmon.model import identity
from cloudmon.model.requests import Request, RequestState, RequestVerb

if TYPE_CHECKING:
    from cloudmon.monitor.service import Service
    from cloudmon.store import Store

ENDS = frozenset({RequestState.DONE, RequestState.REFUSED, RequestState.FAILED})
POLL_S = 0.5
"""Between two looks at the store while another process works."""
OWNED_S = 2.0
"""Between two looks at whether a monitor owns the store still: each takes its lock for a moment."""
GRACE_S = 10.0
"""How long a service that ended, or died, may take to be started anew before a command that waits does its work: a
service that finds the store taken does not start."""
AWAY_S = 60.0
"""How long a store may be away under a command that waits."""
SHORTEST_S = 0.2
"""Between two ticks of our own."""

COLUMNS = (
    Column("id", "REQUEST", table=False),
    Column("target", "TARGET"),
    Column("verb", "VERB"),
    Column("state", "STATE"),
    Column("outcome", "OUTCOME"),
    Column("results", "RESULTS", table=False),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, before it is a request."""

    verb: RequestVerb
    target: str
    tenant: str
    reason: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    """What is told once it is accepted, where nothing more is waited for. Empty: that it is accepted."""
    aside: bool = False
    """Whether the outcome is told on stderr, because stdout is for what the command itself prints."""

    def request(self, clock: Clock) -> Request:
        return Request(
            id=identity.new_uid(),
            verb=self.verb,
            tenant=self.tenant,
            target=self.target,
            arguments=self.arguments,
            author=f"cli:{person()}",
            reason=self.reason,
            created_at=clock.now(),
        )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to stay."""

    wait: bool = True
    timeout_s: float = 900.0
    ends: frozenset[RequestState] = ENDS
    """The states that are enough."""


def person() -> str:
    """Who runs this command, as the machine knows them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def agree(question: str) -> None:
    """Go on only when a person says yes. Raises RequestRefused when they do not, or when nobody is there."""
    if not sys.stdin.isatty():
        raise RequestRefused("there is no terminal to ask on; say --yes if it is meant")
    if not typer.confirm(question, err=True):
        raise RequestRefused("nothing was done")


def ask_of(how: How, name: str, wish_of: Callable[[Target], Wish]) -> None:
    """As :func:`ask`, of the set or the appliance that a person named; RequestRefused where there is none."""
    ask(how, lambda store: wish_of(opening.find(store, opening.scope_of(how.tenant), name)))


def ask(how: How, wish_of: Callable[[Store], Wish], ends: frozenset[RequestState] = ENDS) -> None:
    """Ask, stay as ``how`` says, and print what came of it.

    Arguments:
        how: what its command was told.
        wish_of: makes the wish once the store is open, so that it can look names up; may refuse.
        ends: the states that are enough.

    Exits with 1 when the request was refused, failed, or did not end in time.
    """
    patience = Patience(how.wait, opening.duration_s(how.timeout, option="--timeout"), ends)
    with opening.service(how.config) as service:
        wish = wish_of(service.store)
        request = wish.request(service.clock)
        if service.settings.store.url == "memory":
            raise RequestRefused("the store is in memory and is gone with this command; give [store] a url")
        service.store.requests.add(request)
        found = _wait(service, request, patience) if patience.wait else request
        said = _said_inside(service.store, found)
    _tell(found, wish, patience, how.form, said)


def _wait(service: Service, request: Request, patience: Patience) -> Request:
    with Progress(f"{request.verb} {request.target}") as progress:

        def ended() -> bool:
            found = current(service.store, request)
            progress.say(found.outcome or str(found.state))
            return found.state in patience.ends

        until(service, ended, patience.timeout_s)
    return current(service.store, request)


def until(service: Service, ended: Callable[[], bool], timeout_s: float) -> bool:
    """Let the monitor work until ``ended()``; False when ``timeout_s`` seconds were not enough.

    Runs the monitor here where none runs; else looks at the store while the other one works. Where that one is gone,
    and none comes in its place for ``GRACE_S`` seconds, it is this one's turn. A store that is away for a moment is
    waited for. Raises StoreUnavailable when that takes longer than ``AWAY_S`` seconds.
    """
    here = runs_here(service)
    clock, never = service.clock, threading.Event()
    deadline = clock.monotonic() + timeout_s
    turn, away = _Turn(service), _Away(clock)
    while True:
        report, told = None, False
        try:
            here = here or turn.ours()
            report = service.tick() if here else None
            told = here and service.tell()
            if ended():
                return True
            away.back()
        except StoreUnavailable as error:
            away.seen(error)
        left_s = deadline - clock.monotonic()
        if left_s <= 0:
            return False
        pause_s = POLL_S
        if report is not None:
            pause_s = service.settings.monitor.poll_interval_s
            if told or service.telling:
                pause_s = min(pause_s, POLL_S)
            if report.next_at is not None:
                pause_s = min(pause_s, (report.next_at - clock.now()).total_seconds())
        clock.wait(never, min(left_s, max(SHORTEST_S, pause_s)))


class _Away:
    """A store that does not answer is waited for, for as long as the restart of a database may take."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None

    def seen(self, error: StoreUnavailable) -> None:
        """It did not answer; raises ``error`` when it has not for too long, or will not until somebody mends it."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
            output.note(f"{error.message}; waiting for it for {output.duration(AWAY_S)}")
        if not error.retriable or now - self._since >= AWAY_S:
            raise error

    def back(self) -> None:
        self._since = None


def runs_here(service: Service, *, confirmed: bool = False) -> bool:
    """Become the monitor of this store; False when another one is it already."""
    try:
        service.begin(confirmed=confirmed)
    except MonitorAlreadyRuns:
        return False
    return True


class _Turn:
    """Whether it is this command's turn to be the monitor, because the one that it waits for is gone."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._look_at = service.clock.monotonic() + OWNED_S
        self._gone_since: float | None = None

    def ours(self) -> bool:
        now = self._service.clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + OWNED_S
        if self._owned():
            self._gone_since = None
            return False
        if self._gone_since is None:
            self._gone_since = now
            output.note(
                "the monitor that was to do it has ended; start it again, or wait: this command goes on by itself in "
                f"{output.duration(GRACE_S)}"
            )
        if now - self._gone_since < GRACE_S:
            return False
        if not runs_here(self._service):
            self._gone_since = None
            return False
        output.note("no monitor has come; this command goes on by itself")
        return True

    def _owned(self) -> bool:
        try:
            with self._service.store.lock(self._service.clock.now()):
                return False
        except MonitorAlreadyRuns:
            return True


def current(store: Store, request: Request) -> Request:
    """The request as it stands now."""
    return store.requests.get(opening.scope_of(request.tenant), request.id) or request


def _said_inside(store: Store, request: Request) -> list[dict[str, object]]:
    """What commands that were born of the request said inside appliances, in the order in which they began."""
    scope = opening.scope_of(request.tenant)
    names = opening.Names(store, scope)
    born = store.intents.of_request(scope, request.id) if request.verb is RequestVerb.COMMAND else []
    return [{"appliance": names.appliance(one.appliance), **one.result} for one in born if one.result]


def _tell(
    request: Request, wish: Wish, patience: Patience, form: Format, said_inside: Sequence[Mapping[str, object]]
) -> None:
    if form is not Format.TABLE:
        row = {name: getattr(request, name) for name in ("id", "target", "verb", "state", "outcome")}
        output.emit([{**row, "results": said_inside}], COLUMNS, form)
    else:
        for one in said_inside:
            for line in str(one.get("output", "")).splitlines():
                typer.echo(output.printable(f"{one['appliance']}: {line}"))
    if request.state in (RequestState.REFUSED, RequestState.FAILED):
        raise RequestRefused(request.outcome or f"{request.verb} of {request.target}: {request.state}")
    if patience.wait and request.state not in patience.ends:
        raise RequestRefused(
            f"{request.verb} of {request.target} is still {request.state} after "
            f"{output.duration(patience.timeout_s)}; it goes on while a monitor runs (request {request.id})"
        )
    if form is Format.TABLE:
        waits = f"asked (request {request.id}); a running monitor does it, or the next one that runs"
        accepted = wish.said or f"{request.verb} of {request.target} is accepted"
        said = request.outcome or (accepted if request.state is not RequestState.PENDING else waits)
        typer.echo(output.printable(said), err=wish.aside)
