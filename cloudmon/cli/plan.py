"""``cloudmon plan`` and ``cloudmon apply``: the same table, looked at or done."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Timeout, Yes
from cloudmon.cli.output import Column, Row
from cloudmon.errors import RequestRefused

if TYPE_CHECKING:
    from cloudmon.model.requests import Request
    from cloudmon.monitor.reports import PlanReport, Wait
    from cloudmon.monitor.service import Service

WOULD_ACT = 2
"""Exit code of a plan that would do something."""
WAITS = 3
"""Exit code of an apply that did all that can be done now, and that is not all: the rest waits for a person, or for
longer than this command stays."""

COLUMNS = (
    Column("subject", "APPLIANCE"),
    Column("action", "ACTION"),
    Column("class", "CLASS"),
    Column("reason", "REASON"),
    Column("rule", "RULE", table=False),
    Column("facts", "FACTS", output.facts),
    Column("cloud", "CLOUD", table=False),
    Column("offer", "OFFER"),
    Column("price_per_hour", "PRICE/H", lambda row: f"{row['price_per_hour'] or '?'} {row['currency'] or ''}".strip()
           if row["offer"] else "", right=True),
    Column("currency", "CURRENCY", table=False),
    Column("held", "HELD BACK BY"),
)  # fmt: skip


def plan(config: Config = None, form: Output = Format.TABLE) -> None:
    """Show what would be done now, why, and what holds it back. Looks at the clouds, changes nothing.

    Exit code 2 when something would be done, 0 when nothing would, 1 on an error.
    """
    from cloudmon.cli import opening
    from cloudmon.cli.progress import Progress

    with opening.service(config) as service, Progress("looking at the clouds"):
        report = service.plan()
    show(report, form)
    if report.acts:
        raise typer.Exit(WOULD_ACT)


def show(report: PlanReport, form: Format) -> None:
    """Rows to stdout, notes to stderr."""
    output.emit(rows(report), COLUMNS, form, empty="nothing to do")
    notes(report)


def notes(report: PlanReport) -> None:
    """What explains the plan, and who waits for what: one line for all that wait for the same."""
    for sentence in report.notes:
        output.note(f"note: {sentence}")
    for clause in waiting(report.waits):
        output.note(f"waits: {clause}")


def waiting(waits: Iterable[Wait]) -> Sequence[str]:
    """Who waits for what and until when: one clause for all that wait for the same."""
    grouped: dict[str, list[Wait]] = {}
    for wait in waits:
        reason = f"{wait.reason}, says {wait.rule}" if wait.rule else wait.reason
        grouped.setdefault(reason, []).append(wait)
    found = []
    for reason, alike in grouped.items():
        others = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        untils = [wait.until for wait in alike if wait.until is not None]
        until = (
            f" (until {output.moment(min(untils))})" if untils else " (until somebody acts)" if alike[0].lasts else ""
        )
        found.append(f"{alike[0].subject}{others}: {reason}{until}")
    return found


def rows(report: PlanReport) -> Sequence[Row]:
    return [
        {
            "subject": row.subject,
            "action": row.action,
            "class": row.action_class,
            "reason": row.reason,
            "rule": row.rule,
            "facts": row.facts,
            "held": row.held,
            "cloud": row.cloud,
            "offer": row.offer,
            "price_per_hour": row.price.per_hour if row.price is not None else None,
            "currency": row.price.currency if row.price is not None else None,
        }
        for row in report.rows
    ]


def apply(config: Config = None, yes: Yes = False, timeout: Timeout = "15m", form: Output = Format.TABLE) -> None:
    """Show the plan, ask, do it, and watch until wanted and seen agree, or until all is done that can be done now.

    Where a monitor runs on this store it does the work; where none runs, this command does. Exit code 3 when what is
    left waits for a person (a pause, a protection, an incident), or for longer than --timeout; 1 when it is not steady
    in time; what was begun goes on with the next monitor.
    """
    from cloudmon.cli import asking, opening, watching

    timeout_s = opening.duration_s(timeout, option="--timeout")
    with opening.service(config) as service:
        report = service.plan()
        if form is Format.TABLE:
            show(report, form)
        else:
            notes(report)
        if report.acts and not yes:
            asking.agree("Do this?")
        left = _carry_out(service, report, timeout_s)
        found = _appliances(service)
    output.emit(found, watching.COLUMNS, form, empty="no appliances are wanted")
    if left is None:
        raise RequestRefused(
            f"not steady after {output.duration(timeout_s)}; `cloudmon status` shows what waits, and for what"
        )
    if left:
        output.note(f"cloudmon: done is what can be done now, and the rest waits: {'; '.join(waiting(left))}")
        raise typer.Exit(WAITS)


def _appliances(service: Service) -> Sequence[Row]:
    from cloudmon.cli import watching

    return watching.rows(watching.View(service.store, service.settings, service.clock.now()))


def _carry_out(service: Service, report: PlanReport, timeout_s: float) -> Sequence[Wait] | None:
    """Bring it about; what waits on, which is nothing where all became as it is wanted. None: not in time."""
    from cloudmon.cli import asking, watching
    from cloudmon.cli.steadiness import Steadiness
    from cloudmon.model.requests import RequestState

    deadline = service.clock.monotonic() + timeout_s
    steadiness = Steadiness(service, timeout_s, report)
    request = None
    # A person looked at the plan and agreed, so what is suddenly much less is meant.
    if not asking.runs_here(service, confirmed=True):
        request = _hand_over(service)
    with watching.Live(lambda: _appliances(service), service.clock, steadiness.until) as live:

        def steady() -> bool:
            live.refresh()
            if request is not None:
                now = asking.current(service.store, request)
                if now.state in (RequestState.REFUSED, RequestState.FAILED):
                    raise RequestRefused(now.outcome)
                if now.state is not RequestState.DONE:
                    return False
            return steadiness.reached()

        in_time = asking.until(service, steady, deadline - service.clock.monotonic())
    return steadiness.waits if in_time else None


def _hand_over(service: Service) -> Request:
    """Give what this file wants to the monitor that runs."""
    from cloudmon.cli import asking
    from cloudmon.model import specs
    from cloudmon.model.identity import DEFAULT_TENANT
    from cloudmon.model.requests import RequestVerb

    author = service.settings.author
    wanted = json.dumps([specs.to_json(spec) for spec in service.settings.specs()])
    arguments = {"author": author, "sets": wanted, "confirmed": "yes"}
    wish = asking.Wish(RequestVerb.APPLY, author, DEFAULT_TENANT, "cloudmon apply", arguments)
    request = wish.request(service.clock)
    service.store.requests.add(request)
    output.note("a monitor runs on this store and does it")
    return request
