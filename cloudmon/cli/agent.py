"""``cloudmon agent`` and ``cloudmon facts``: who speaks for the appliances, and what they say."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Format, How, Output, Reason, Tenant, asks
from cloudmon.cli.output import Column
from cloudmon.errors import RequestRefused

if TYPE_CHECKING:
    from cloudmon.cli.asking import Wish
    from cloudmon.cli.opening import Names, Target
    from cloudmon.model.guests import Agent
    from cloudmon.settings import Settings

One = Annotated[str, typer.Argument(help="One appliance, such as storefront/3.")]

AGENTS = (
    Column("appliance", "APPLIANCE"),
    Column("state", "STATE"),
    Column("version", "VERSION"),
    Column("heard", "HEARD", lambda row: output.duration(float(str(row["heard"]))) if row["heard"] is not None else ""),
    Column("offset_s", "CLOCK OFF BY", lambda row: output.duration(abs(float(str(row["offset_s"]))))),
    Column("enrolled_at", "ENROLLED"),
    Column("incarnation", "INCARNATION", table=False),
    Column("seq", "REPORTS OF THIS BOOT", table=False),
    Column("instance", "INSTANCE", table=False),
    Column("abilities", "CAN DO", table=False),
)
FACTS = (
    Column("section", "SECTION"),
    Column("item", "ITEM"),
    Column("fact", "FACT", lambda row: output.pairs(row["fact"])),
)

app = group(no_args_is_help=True)


@app.callback()
def top() -> None:
    """Build the agent, hand out tokens for it, and show or revoke those that speak for appliances."""


@app.command("build")
def build(
    to: Annotated[Path, typer.Option("--to", help="Where to write it.")] = Path("cloudmon-agent.pyz"),
    config: Config = None,
) -> None:
    """Write the agent as one file that any Python from 3.9 on runs: python3 cloudmon-agent.pyz --enrol TOKEN.

    Where there is a settings file with a [channel], the agent knows the monitor's URL and needs no --url.
    """
    from cloudmon.channel import shipping
    from cloudmon.cli import opening
    from cloudmon.settings import load

    path = opening.settings_path(config)
    channel = load(path).channel if config is not None or path.exists() else None
    url = channel.told_url if channel is not None else ""
    body = shipping.build(url)
    try:
        to.write_bytes(body)
        to.chmod(0o755)
    except OSError as error:
        raise RequestRefused(f"{to} cannot be written: {error.strerror}; name another file with --to") from error
    known = f"it reports to {url}" if url else "it is to be told --url"
    output.note(f"{to}: {len(body) / 1024:.0f} KiB, version {shipping.version()}; {known}")


@app.command("list")
def listing(config: Config = None, tenant: Tenant = None, form: Output = Format.TABLE) -> None:
    """Show who speaks for which appliance, when it was heard last, and how far its clock is off."""
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        names = opening.Names(at.store, at.scope)
        found = [_row(agent, names, at.now) for agent in at.store.agents.all(at.scope)]
    output.emit(found, AGENTS, form, empty="no agent has enrolled yet")


@app.command("token")
@asks("1m")
def token(
    target: One,
    reason: Reason,
    *,
    how: How,
) -> None:
    """Make a token with which an agent enrols for one appliance: good once, for fifteen minutes.

    It is printed once and stored nowhere. In the machine: python3 cloudmon-agent.pyz --enrol TOKEN --url URL.
    """
    from cloudmon.channel import tokens
    from cloudmon.channel.booting import Booting
    from cloudmon.cli import asking, opening
    from cloudmon.model.requests import RequestVerb
    from cloudmon.settings import load

    settings = load(opening.settings_path(how.config))
    channel = _channel(settings)
    enrolment = tokens.new_id()

    def wish(named: Target) -> Wish:
        return asking.Wish(RequestVerb.ENROL, named.text, named.aset.tenant, reason, {"id": enrolment}, aside=True)

    asking.ask_of(how, target, wish)
    secret = Booting(settings, opening.clock()).text(enrolment)
    output.note(f"in the machine: python3 cloudmon-agent.pyz --enrol TOKEN --url {channel}")
    if settings.channel is not None and settings.channel.osquery:
        output.note("or, where osquery runs, in the file that `cloudmon template osquery` names as its secret")
    typer.echo(secret)


def _channel(settings: Settings) -> str:
    if settings.channel is None:
        raise RequestRefused("the settings have no [channel], so no agent could be heard; `cloudmon schema` shows it")
    return settings.channel.told_url


@app.command("revoke")
@asks("1m")
def revoke(
    target: One,
    reason: Reason,
    *,
    how: How,
) -> None:
    """Listen no more to the agent of an appliance, from now on; another token lets one speak again."""
    from cloudmon.cli import asking
    from cloudmon.model.requests import RequestVerb

    def wish(named: Target) -> Wish:
        return asking.Wish(RequestVerb.REVOKE, named.text, named.aset.tenant, reason)

    asking.ask_of(how, target, wish)


def facts(
    target: One,
    section: Annotated[
        str | None, typer.Argument(help="Only this: packages, accounts, disks …", show_default=False)
    ] = None,
    at_instant: Annotated[
        str | None,
        typer.Option("--at", help="As it was then: 15m, 2h ago, or an ISO 8601 instant.", show_default=False),
    ] = None,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show what an appliance says of itself: packages, files, accounts, services, processes, applications, load,
    memory, disks, network."""
    from cloudmon.cli import opening
    from cloudmon.model.identity import ApplianceId

    with opening.opened(config, tenant) as at:
        named = opening.find(at.store, at.scope, target)
        if named.ordinal is None:
            raise RequestRefused(f"say which: {target}/1 is one appliance")
        appliance = ApplianceId(named.aset.uid, named.ordinal)
        then = opening.when(at_instant, at.now, option="--at")
        state = at.store.reports.state(at.scope, appliance, then)
    if state is None:
        raise RequestRefused(f"nothing is kept of what {target} said of itself; `cloudmon agent list` shows who speaks")
    if section is not None and section not in state.sections:
        raise RequestRefused(f"{target} says nothing of {section}; it tells {', '.join(sorted(state.sections))}")
    rows = [
        {"section": name, "item": item, "fact": fact}
        for name, items in sorted(state.sections.items())
        if section in (None, name)
        for item, fact in items.items()
    ]
    output.emit(rows, FACTS, form)
    output.note(f"as of {output.moment(state.received_at)}")


def _row(agent: Agent, names: Names, now: dt.datetime) -> output.Row:
    heard = None if agent.received_at is None else (now - agent.received_at).total_seconds()
    state = "revoked" if agent.revoked_at is not None else "enrolled" if heard is None else "heard"
    return {
        "appliance": names.appliance(agent.appliance),
        "state": state,
        "version": agent.version,
        "heard": heard,
        "offset_s": agent.offset_s,
        "enrolled_at": agent.enrolled_at,
        "incarnation": agent.incarnation,
        "seq": agent.seq,
        "instance": agent.instance,
        "abilities": "all" if agent.abilities is None else ", ".join(agent.abilities),
    }
