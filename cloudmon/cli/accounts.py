"""``cloudmon accounts``: who may log in to the members of a set, and how far that has come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Format, How, Output, Reason, Tenant, asks
from cloudmon.cli.output import Column, Row
from cloudmon.errors import RequestRefused

if TYPE_CHECKING:
    from cloudmon.cli.asking import Wish
    from cloudmon.cli.opening import Opened, Target
    from cloudmon.model.grants import Access
    from cloudmon.model.requests import RequestVerb
    from cloudmon.model.sets import ApplianceSet

COLUMNS = (
    Column("set", "SET"),
    Column("user", "USER"),
    Column("rights", "RIGHTS"),
    Column("on", "ON"),
    Column("until", "UNTIL"),
    Column("author", "BY"),
    Column("reason", "REASON"),
    Column("since", "SINCE", table=False),
    Column("keys", "KEYS", table=False),
    Column("tenant", "TENANT", table=False),
)
Named = Annotated[str, typer.Argument(help="A set.", metavar="SET")]
User = Annotated[str, typer.Argument(help="Name of the account.")]

app = group(no_args_is_help=True)


@app.callback()
def top() -> None:
    """Grant people accounts on all members of a set, take them back, and list them."""


@app.command("grant")
@asks("1m")
def grant(  # noqa: PLR0913  # one option each
    name: Named,
    user: User,
    reason: Reason,
    key_file: Annotated[
        list[Path], typer.Option("--key-file", "-k", help="File of public keys that open it; may be there twice.")
    ],
    rights: Annotated[str, typer.Option("--rights", help="Groups, with commas between; sudo: may become root.")] = "",
    until: Annotated[
        str | None, typer.Option("--until", help="When it ends: 30d, or an ISO 8601 instant.", show_default=False)
    ] = None,
    *,
    how: How,
) -> None:
    """Grant an account on all members of a set, present and future, in the place of an earlier grant for that user.

    It ends on all of them when it is revoked, at --until, or with the set's lease. A member that is away gets it, or
    loses it, when it is back.
    """
    from cloudmon.cli import opening
    from cloudmon.model import grants
    from cloudmon.model.requests import RequestVerb

    try:
        words = grants.rights(tuple(filter(None, (one.strip() for one in rights.split(",")))))
        arguments = {"user": grants.user(user), "keys": "\n".join(_keys(key_file)), "rights": ",".join(words)}
    except ValueError as error:
        raise RequestRefused(str(error)) from None
    end = opening.when(until, opening.clock().now(), option="--until", future=True)
    if end is not None:
        arguments["until"] = end.isoformat()
    _ask(RequestVerb.GRANT, name, reason, arguments, how)


@app.command("revoke")
@asks("1m")
def revoke(
    name: Named,
    user: User,
    reason: Reason,
    *,
    how: How,
) -> None:
    """Take a granted account back: it is locked and removed on all members."""
    from cloudmon.model.requests import RequestVerb

    _ask(RequestVerb.WITHDRAW, name, reason, {"user": user}, how)


@app.command("list")
def listing(
    name: Annotated[str, typer.Argument(help="Only this set, and on how many members each is.", metavar="[SET]")] = "",
    tenant: Tenant = None,
    config: Config = None,
    form: Output = Format.TABLE,
) -> None:
    """Show the accounts that are granted. With a set: on how many of its members each is as it should be."""
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        sets = [opening.find(at.store, at.scope, name).aset] if name else at.store.sets.active(at.scope)
        rows = [row for aset in sets for row in _rows(at, aset, counted=bool(name))]
    output.emit(rows, COLUMNS, form, empty="no account is granted to anybody")


def _keys(paths: list[Path]) -> Iterator[str]:
    from cloudmon.model import grants

    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestRefused(
                f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
            ) from None
        try:
            yield from grants.keys(text)
        except ValueError as error:
            raise RequestRefused(f"{path} {error}") from None


def _rows(at: Opened, aset: ApplianceSet, *, counted: bool) -> Iterator[Row]:
    from cloudmon.model.grants import fingerprint
    from cloudmon.reconcile import accounts

    wanted = accounts.wanted(aset, at.now)
    on = _counts(at, aset, wanted) if counted else {}
    given = {one.user: one for one in aset.grants}
    for user, access in wanted.items():
        grant = None if user in aset.spec.accounts else given.get(user)
        yield {
            "set": aset.name,
            "user": user,
            "rights": list(access.rights),
            "on": on.get(user, ""),
            "until": access.until or aset.lease_end,
            "author": grant.author if grant is not None else aset.author,
            "reason": grant.reason if grant is not None else "",
            "since": grant.since if grant is not None else None,
            "keys": [fingerprint(key) for key in access.keys],
            "tenant": aset.tenant,
        }


def _counts(at: Opened, aset: ApplianceSet, wanted: Mapping[str, Access]) -> dict[str, str]:
    """By user: on how many of the set's members the account is as it was granted, as far as they have said."""
    from cloudmon.detection import facts
    from cloudmon.detection.facts import Subject
    from cloudmon.model.appliances import ApplianceState

    ended = (ApplianceState.RETIRING, ApplianceState.RETIRED)
    members = [one for one in at.store.members.of_set(at.scope, aset.uid) if one.state not in ended]
    states = at.store.reports.states(at.scope, [one.id for one in members])
    right = dict.fromkeys(wanted, 0)
    for member in members:
        subject = Subject(member, aset.name, aset.spec.template, state=states.get(member.id), accounts=wanted)
        for user in facts.granted_well(facts.known(subject, at.now)):
            right[user] += 1
    return {user: f"{count} of {len(members)}" for user, count in right.items()}


def _ask(
    verb: RequestVerb,
    name: str,
    reason: str,
    arguments: dict[str, str],
    how: How,
) -> None:
    from cloudmon.cli import asking

    def wish(found: Target) -> Wish:
        if found.ordinal is not None:
            raise RequestRefused(f"accounts are granted on whole sets; say {found.aset.name}")
        return asking.Wish(verb, found.aset.name, found.aset.tenant, reason, arguments)

    asking.ask_of(how, name, wish)
