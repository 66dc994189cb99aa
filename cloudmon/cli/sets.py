"""``cloudmon sets``: appliance sets, their leases and what people lay upon them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Format, How, Output, Reason, Tenant, Yes, asks
from cloudmon.cli.output import Column
from cloudmon.errors import RequestRefused
from cloudmon.model.requests import RequestVerb

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from cloudmon.cli.asking import Wish
    from cloudmon.cli.opening import Names, Target
    from cloudmon.model.sets import ApplianceSet, Control
    from cloudmon.store import Store

COLUMNS = (
    Column("name", "SET"),
    Column("uid", "UID", table=False),
    Column("tenant", "TENANT"),
    Column("count", "WANTED", right=True),
    Column("running", "RUNNING", right=True),
    Column("others", "OTHERS"),
    Column("template", "TEMPLATE"),
    Column("generation", "GEN", right=True),
    Column("author", "AUTHOR"),
    Column("lease_end", "LEASE END", lambda row: output.moment(row["lease_end"]) or "never"),  # type: ignore[arg-type]
    Column("retiring_since", "RETIRING SINCE", table=False),
    Column("retired_at", "RETIRED", table=False),
    Column("retired_reason", "RETIRED REASON", table=False),
    Column("controls", "CONTROLS"),
    Column("waits_for", "WAITS FOR"),
)
GENERATIONS = (
    Column("generation", "GEN", right=True),
    Column("created_at", "WRITTEN"),
    Column("author", "AUTHOR"),
    Column("count", "COUNT", right=True),
    Column("template", "TEMPLATE"),
    Column("clouds", "CLOUDS", lambda row: output.shown(row["clouds"]) or "any"),
    Column("spec", "SPEC", table=False),
)
Named = Annotated[str, typer.Argument(help="Name of the set.")]
Laid = Annotated[str, typer.Argument(help="A set, or one appliance (storefront/3).")]
For = Annotated[
    str | None, typer.Option("--for", help="For so long: 90m, 2h, 30d; till released if left out.", show_default=False)
]
UntilThen = Annotated[str | None, typer.Option("--until", help="Until this instant.", show_default=False)]

app = group(no_args_is_help=True)

NO_SETS = "no sets; name some in the settings file, then `cloudmon apply`"


@app.callback()
def top() -> None:
    """List, show, extend, pause, protect, maintain, release and retire appliance sets."""


@app.command("list")
def list_sets(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Those that have ended as well.")] = False,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """List appliance sets: how they stand, and what each waits for."""
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        names = opening.Names(at.store, at.scope)
        found = at.store.sets.all(at.scope) if everything else at.store.sets.active(at.scope)
        rows = [_row(at.store, names, aset, at.now) for aset in found]
    ended = len(names.sets) - len(found)
    empty = f"no sets now; `cloudmon sets list --all` shows the {ended} that ended" if ended else NO_SETS
    output.emit(rows, COLUMNS, form, empty=empty)


@app.command("show")
def show(name: Named, config: Config = None, tenant: Tenant = None, form: Output = Format.TABLE) -> None:
    """Show what was wanted of a set, generation by generation."""
    from cloudmon.cli import opening
    from cloudmon.model import specs

    with opening.opened(config, tenant) as at:
        aset = opening.find(at.store, at.scope, name).aset
        rows = [
            {
                "generation": generation,
                "created_at": created_at,
                "author": author,
                "count": spec.count,
                "template": spec.template.name,
                "clouds": spec.clouds,
                "spec": specs.to_json(spec),
            }
            for generation, author, spec, created_at in at.store.sets.generations(at.scope, aset.uid)
        ]
    output.emit(rows, GENERATIONS, form)


def _row(store: Store, names: Names, aset: ApplianceSet, now: dt.datetime) -> output.Row:
    from cloudmon.model.appliances import ApplianceState
    from cloudmon.model.tenants import EVERYONE

    states = Counter(member.state for member in store.members.of_set(EVERYONE, aset.uid))
    states.pop(ApplianceState.RETIRED, None)
    running = states.pop(ApplianceState.RUNNING, 0)
    in_force = [c for c in aset.controls if c.since <= now and (c.until is None or now < c.until)]
    return {
        "name": names.set(aset.uid),
        "uid": aset.uid,
        "tenant": aset.tenant,
        "count": aset.spec.count,
        "running": running,
        "others": [f"{count} {state}" for state, count in sorted(states.items())],
        "template": aset.spec.template.name,
        "generation": aset.generation,
        "author": aset.author,
        "lease_end": aset.lease_end,
        "retiring_since": aset.retiring_since,
        "retired_at": aset.retired_at,
        "retired_reason": aset.retired_reason,
        "controls": [_said(control) for control in in_force],
        "waits_for": _waits(aset, in_force, now),
    }


def _said(control: Control) -> str:
    where = f" on /{control.ordinal}" if control.ordinal is not None else ""
    until = f" until {output.moment(control.until)}" if control.until is not None else ""
    return f"{control.kind}{where} by {control.owner}{until} ({control.reason})"


def _waits(aset: ApplianceSet, in_force: list[Control], now: dt.datetime) -> str:
    from cloudmon.model.sets import ControlKind

    if aset.retired_at is not None:
        return f"nothing: retired {output.moment(aset.retired_at)}, {aset.retired_reason}"
    if aset.retiring_since is not None:
        protects = [control for control in in_force if control.kind is ControlKind.PROTECT]
        held = f", held by protection of {protects[0].owner}" if protects else ""
        return f"the end of its appliances: {aset.retired_reason}{held}"
    start = aset.spec.lease.start
    if start is not None and start > now:
        return f"its lease, which begins {output.moment(start)}"
    return ""


# --- requests ---------------------------------------------------------------------------------------------------


@app.command("extend")
@asks("1m")
def extend(
    name: Named,
    by: Annotated[str | None, typer.Option("--by", help="Longer by: 2h, 30d.", show_default=False)] = None,
    until: UntilThen = None,
    reason: Reason = "extended by hand",
    *,
    how: How,
) -> None:
    """Extend a lease. Works until retirement begins, grace included; then it is too late, and says so."""
    from cloudmon.cli import opening

    if (by is None) == (until is None):
        raise RequestRefused("say how long: either --by 30d, or --until an instant")
    if by is not None:
        arguments = {"by_s": str(int(opening.duration_s(by, option="--by")))}
    else:
        end = opening.when(until, opening.clock().now(), option="--until", future=True)
        arguments = {"until": end.isoformat() if end is not None else ""}
    _ask(RequestVerb.EXTEND, name, reason, arguments, how)


CONTROLS = {
    RequestVerb.PAUSE: "Take no automatic action at all for a time. Lease ends still hold.",
    RequestVerb.PROTECT: "Destroy nothing for a time, whoever asks. Retirement waits and says so.",
    RequestVerb.MAINTAIN: "Expect faults for a time: none is healed. Down time counts as maintenance.",
}


def _lay(verb: RequestVerb) -> Callable[..., None]:
    """The command that lays one kind of control upon a set or an appliance."""

    @asks("1m")
    def command(
        target: Laid,
        reason: Reason,
        lasting: For = None,
        until: UntilThen = None,
        *,
        how: How,
    ) -> None:
        _ask(verb, target, reason, _end(lasting, until), how)

    return command


for _verb, _about in CONTROLS.items():
    app.command(_verb.value, help=_about)(_lay(_verb))


@app.command("release")
@asks("1m")
def release(
    target: Laid,
    kind: Annotated[str, typer.Argument(help="pause, protect or maintenance.")],
    reason: Reason = "released by hand",
    *,
    how: How,
) -> None:
    """Take a pause, protection or maintenance window back."""
    kind = "maintenance" if kind == "maintain" else kind
    _ask(RequestVerb.RELEASE, target, reason, {"kind": kind}, how)


@app.command("retire")
@asks("15m")
def retire(
    name: Named,
    reason: Reason,
    yes: Yes = False,
    *,
    how: How,
) -> None:
    """End a set and all its appliances, for good.

    A settings file that still names it does not bring it back, until what it asks for changes.
    """
    from cloudmon.cli import opening
    from cloudmon.cli.asking import agree

    if not yes:
        # Whoever misspelt a name is told so, and not asked.
        with opening.opened(how.config, how.tenant) as at:
            opening.find(at.store, at.scope, name)
        agree(f"End all appliances of {name}, for good?")
    _ask(RequestVerb.RETIRE, name, reason, {}, how)


def _end(lasting: str | None, until: str | None) -> dict[str, str]:
    from cloudmon.cli import opening

    if lasting is not None and until is not None:
        raise RequestRefused("say --for or --until, not both")
    option = "--for" if lasting is not None else "--until"
    found = opening.when(lasting or until, opening.clock().now(), option=option, future=True)
    return {} if found is None else {"until": found.isoformat()}


def _ask(
    verb: RequestVerb,
    target: str,
    reason: str,
    arguments: dict[str, str],
    how: How,
) -> None:
    from cloudmon.cli import asking

    def wish(named: Target) -> Wish:
        text = named.text if named.ordinal is not None else named.aset.name
        return asking.Wish(verb, text, named.aset.tenant, reason, arguments)

    asking.ask_of(how, target, wish)
