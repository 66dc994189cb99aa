"""``cloudmon template``: what a template comes to when it is launched."""

from __future__ import annotations

from typing import Annotated

import typer

from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Tenant
from cloudmon.errors import RequestRefused

app = group(no_args_is_help=True)


@app.callback()
def top() -> None:
    """Show what templates come to."""


@app.command("user-data")
def user_data(
    target: Annotated[str, typer.Argument(help="One appliance, such as storefront/3.")],
    config: Config = None,
    tenant: Tenant = None,
) -> None:
    """Print the user data of an appliance's present node, or of its next one where it has none.

    With the agent it holds a token that is good once, until fifteen minutes after the node was first seen running.
    """
    from cloudmon.channel.booting import Booting
    from cloudmon.cli import opening
    from cloudmon.model.identity import ApplianceId, Token
    from cloudmon.monitor import act

    with opening.opened(config, tenant) as at:
        named = opening.find(at.store, at.scope, target)
        member = None
        if named.ordinal is not None:
            member = at.store.members.get(at.scope, ApplianceId(named.aset.uid, named.ordinal))
        if member is None:
            raise RequestRefused(f"say which: {named.aset.name}/1 is one appliance")
        number = member.incarnation if member.node_id else member.incarnation + 1
        token = Token(at.store.estate, member.set_uid, member.ordinal, number)
        typer.echo(act.user_data(named.aset.spec, token, Booting(at.settings, at.clock)), nl=False)
