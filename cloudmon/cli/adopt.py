"""``cloudmon adopt``: nodes that exist already become appliances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli.options import How, Reason, asks
from cloudmon.errors import RequestRefused

if TYPE_CHECKING:
    from cloudmon.cli.asking import Wish
    from cloudmon.cli.opening import Target


@asks("5m")
def adopt(  # noqa: PLR0913  # one option each
    cloud: Annotated[str, typer.Argument(help="The configured cloud that has them.")],
    set_name: Annotated[str, typer.Option("--set", help="The set that takes them; it grows where it is full.")],
    node_id: Annotated[
        str | None, typer.Argument(help="The cloud's own id of one node; or use --tag.", show_default=False)
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", help="All nodes with this tag: key=value.", show_default=False)
    ] = None,
    ordinal: Annotated[
        int | None, typer.Option("--ordinal", min=1, help="Which appliance the node becomes.", show_default=False)
    ] = None,
    reason: Reason = "adopted by hand",
    *,
    how: How,
) -> None:
    """Take nodes that exist already into a set: one by its id, or all that carry a tag.

    They keep running; they get our tags where the cloud can tag, and are healed, metered and retired like all others.
    """
    from cloudmon.cli import asking
    from cloudmon.model.requests import RequestVerb

    if (node_id is None) == (tag is None):
        raise RequestRefused("say which: either one node by its id, or all with --tag key=value")
    if tag is not None and ("=" not in tag or ordinal is not None):
        raise RequestRefused("--tag is key=value, and takes no --ordinal")

    def wish(named: Target) -> Wish:
        arguments = {"set": named.aset.name}
        arguments |= {"ordinal": str(ordinal)} if ordinal is not None else {}
        arguments |= {"tag": tag} if tag is not None else {}
        return asking.Wish(RequestVerb.ADOPT, f"{cloud}:{node_id or '*'}", named.aset.tenant, reason, arguments)

    asking.ask_of(how, set_name, wish)
