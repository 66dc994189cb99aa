"""``cloudmon orphans``: nodes that nothing explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Format, How, Output, Reason, Tenant, asks
from cloudmon.cli.output import Column
from cloudmon.errors import RequestRefused

if TYPE_CHECKING:
    from cloudmon.cli.asking import Wish
    from cloudmon.model.findings import Finding
    from cloudmon.store import Store

COLUMNS = (
    Column("kind", "KIND"),
    Column("cloud", "CLOUD"),
    Column("node", "NODE"),
    Column("opened_at", "SINCE"),
    Column("message", "WHY IT IS SHOWN"),
    Column("tenant", "TENANT", table=False),
    Column("evidence", "EVIDENCE", table=False),
)

app = group(invoke_without_command=True)


@app.callback()
def orphans(context: typer.Context, config: Config = None, tenant: Tenant = None, form: Output = Format.TABLE) -> None:
    """List nodes of this estate that no appliance explains, second nodes of one appliance, and how many nodes of
    others each cloud has. They are held by default: shown and metered, never ended without being asked to."""
    from cloudmon.cli import opening
    from cloudmon.model.findings import FindingKind

    if context.invoked_subcommand is not None:
        return
    kinds = (FindingKind.ORPHAN, FindingKind.DUPLICATE, FindingKind.WILD)
    with opening.opened(config, tenant) as at:
        found = [_row(finding) for finding in at.store.findings.open(at.scope) if finding.kind in kinds]
    output.emit(found, COLUMNS, form, empty="no orphans")


def _row(finding: Finding) -> output.Row:
    what, _, rest = finding.subject.partition(":")
    cloud, _, node = rest.partition(":")
    return {
        "kind": finding.kind,
        "cloud": cloud,
        "node": node if what == "node" else "",
        "opened_at": finding.opened_at,
        "message": finding.message,
        "tenant": finding.tenant,
        "evidence": finding.evidence,
    }


@app.command("end")
@asks("15m", tenants=False)
def end(
    cloud: Annotated[str, typer.Argument(help="The cloud that has it.")],
    node_id: Annotated[str, typer.Argument(help="The cloud's own id of the node.")],
    reason: Reason,
    *,
    how: How,
) -> None:
    """Terminate one orphan. Its data is gone with it."""
    from cloudmon.cli import asking
    from cloudmon.model.findings import FindingKind
    from cloudmon.model.requests import RequestVerb
    from cloudmon.model.tenants import EVERYONE

    subject = f"node:{cloud}:{node_id}"

    def wish(store: Store) -> Wish:
        kinds = (FindingKind.ORPHAN, FindingKind.DUPLICATE)
        found = [f for f in store.findings.open(EVERYONE) if f.subject == subject and f.kind in kinds]
        if not found:
            raise RequestRefused(f"{cloud}:{node_id} is no orphan that was found; `cloudmon orphans` lists them")
        return asking.Wish(RequestVerb.END_ORPHAN, f"{cloud}:{node_id}", found[0].tenant, reason)

    asking.ask(how, wish)
