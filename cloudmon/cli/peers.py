"""``cloudmon peers``: the directory of a set, as its members have it."""

from __future__ import annotations

from typing import Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Tenant
from cloudmon.cli.output import Column

COLUMNS = (
    Column("name", "APPLIANCE"),
    Column("state", "STATE"),
    Column("private", "PRIVATE"),
    Column("public", "PUBLIC"),
    Column("cloud", "CLOUD"),
    Column("incarnation", "INCARNATION", right=True),
    Column("ordinal", "ORDINAL", table=False),
)


def peers(
    name: Annotated[str, typer.Argument(help="A set.", metavar="SET")],
    tenant: Tenant = None,
    config: Config = None,
    form: Output = Format.TABLE,
) -> None:
    """Show the members of a set, where they are reached and how they stand.

    Where the template has `peers`, every member finds the same in /var/lib/cloudmon/peers.json.
    """
    from cloudmon.cli import opening
    from cloudmon.model.peers import directory

    with opening.opened(config, tenant) as at:
        aset = opening.find(at.store, at.scope, name).aset
        found = directory(
            aset,
            at.store.members.of_set(at.scope, aset.uid),
            at.store.incarnations.at(at.scope, aset.uid, at.now),
        )
    rows = [{column.key: getattr(one, column.key) for column in COLUMNS} for one in found]
    rows = [{key: list(value) if isinstance(value, tuple) else value for key, value in row.items()} for row in rows]
    output.emit(rows, COLUMNS, form, empty=f"{aset.name} has no member")
