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


@app.command("osquery")
def osquery(
    target: Annotated[str, typer.Argument(help="A set, such as storefront.")],
    ca: Annotated[
        bool, typer.Option("--ca", help="Print the monitor's own authority, which its hosts must trust, instead.")
    ] = False,
    config: Config = None,
    tenant: Tenant = None,
) -> None:
    """Print the flags of osqueryd for a set's hosts, which then are monitored without an agent.

    Each host needs a token of its own beside: cloudmon agent token storefront/3.
    """
    from cloudmon.channel.authority import open_authority
    from cloudmon.channel.osquery import flags
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        named = opening.find(at.store, at.scope, target)
        channel = at.settings.channel
        if channel is None or not channel.osquery:
            raise RequestRefused("osquery hosts are not served; set osquery = true under [channel]")
        if not ca:
            typer.echo(flags.text(named.aset.name, channel.told_url, own_ca=channel.tls == "own"), nl=False)
            return
        if channel.tls != "own":
            raise RequestRefused('the proxy in front shows a certificate of its own; tls = "own" has an authority')
        folder = at.settings.monitor.state_dir / "channel"
        typer.echo(open_authority(folder, channel.hosts, at.now).ca_pem.decode("ascii"), nl=False)
