"""``cloudmon updates``: what is there, what is wanted, and how far it has been rolled out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Tenant
from cloudmon.cli.output import Column, Row

if TYPE_CHECKING:
    from cloudmon.monitor.standing import Standing

SETS = (
    Column("set", "SET"),
    Column("tenant", "TENANT", table=False),
    Column("application", "APPLICATION"),
    Column("wanted", "WANTED"),
    Column("have", "HAVE", lambda row: output.pairs(row["have"])),
    Column("target", "TARGET"),
    Column("state", "STATE"),
    Column("restarts_due", "RESTARTS DUE", right=True),
    Column("reboots_due", "REBOOTS DUE", right=True),
    Column("why", "WHY"),
)
EACH = (
    Column("appliance", "APPLIANCE"),
    Column("tenant", "TENANT", table=False),
    Column("application", "APPLICATION"),
    Column("wanted", "WANTED"),
    Column("have", "HAVE"),
    Column("target", "TARGET"),
    Column("outdated", "OUTDATED"),
    Column("phase", "PHASE"),
    Column("restart_due", "RESTART DUE"),
    Column("reboot_due", "REBOOT DUE"),
    Column("held", "HELD"),
)


def updates(
    target: Annotated[
        str | None, typer.Argument(help="A set, or one appliance (storefront/3); all if left out.", show_default=False)
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="Each appliance apart.")] = False,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show wanted and installed versions and images, where roll-outs are and what holds them, and restarts owed."""
    from cloudmon.cli import opening
    from cloudmon.monitor import standing

    with opening.opened(config, tenant) as at:
        named = opening.find(at.store, at.scope, target) if target is not None else None
        sets = at.store.sets.active(at.scope) if named is None else [named.aset]
        found = [
            one
            for aset in sorted(sets, key=lambda one: (one.name, one.tenant))
            for one in standing.of_set(at.store, at.scope, aset, at.now)
        ]
        ordinal = named.ordinal if named is not None else None
        if each or ordinal is not None:
            output.emit(list(_each(found, ordinal)), EACH, form, empty="nothing is declared that is updated")
        else:
            output.emit([_row(one) for one in found], SETS, form, empty="nothing is declared that is updated")


def _row(standing: Standing) -> Row:
    restarts, reboots = standing.owing()
    return {
        "set": standing.aset.name,
        "tenant": standing.aset.tenant,
        "application": standing.application,
        "wanted": standing.wanted,
        "have": standing.have,
        "target": ", ".join(standing.targets),
        "state": standing.state,
        "restarts_due": restarts,
        "reboots_due": reboots,
        "why": standing.why,
    }


def _each(found: Iterable[Standing], ordinal: int | None) -> Iterable[Row]:
    for standing in found:
        for one in standing.members:
            if ordinal not in (None, one.member.ordinal):
                continue
            version = one.version
            yield {
                "appliance": f"{standing.aset.name}/{one.member.ordinal}",
                "tenant": one.member.tenant,
                "application": standing.application,
                "wanted": standing.wanted,
                "have": version.have if version is not None else "",
                "target": version.target if version is not None else "",
                "outdated": version.outdated if version is not None else None,
                "phase": one.phase,
                "restart_due": version.restart_due if version is not None else None,
                "reboot_due": one.reboot_due,
                "held": one.held,
            }
