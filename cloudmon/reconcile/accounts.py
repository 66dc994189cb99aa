"""Accounts of a set: what people ask for, and which of them are to be there now.

Whether they are there, facts say; what is not as it should be is found by rules that are built in
(``account-drift``, ``account-left``), whose remedies :mod:`cloudmon.reconcile.remedies` takes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from cloudmon.model import grants
from cloudmon.model.actions import Verb
from cloudmon.model.grants import Access, Grant
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.sets import ApplianceSet
from cloudmon.reconcile.requests import Answer, refused

VERBS = frozenset({RequestVerb.GRANT, RequestVerb.WITHDRAW})


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer to a request about an account, and what is written before it."""

    answer: Answer
    grant: Grant | None = None
    withdraw: str = ""
    """The user whose grant is taken back."""


def answer(request: Request, aset: ApplianceSet | None, now: dt.datetime) -> Asked:
    """Whether an account can be granted or taken back. ValueError and KeyError for arguments that make no sense."""
    if aset is None:
        return Asked(
            refused(f"there is no active set named {request.target}; `cloudmon sets list` shows those that are")
        )
    user = grants.user(request.arguments["user"])
    if request.verb is RequestVerb.WITHDRAW:
        return _withdraw(user, aset)
    if user in aset.spec.accounts:
        return Asked(refused(f"{aset.author} grants {user} of {aset.name}; change it there"))
    if aset.retiring_since is not None:
        since = aset.retiring_since.isoformat(timespec="seconds")
        return Asked(refused(f"{aset.name} is being retired since {since}"))
    text = request.arguments.get("until", "")
    until = dt.datetime.fromisoformat(text) if text else None
    if until is not None and until <= now:
        return Asked(refused(f"it would end at {text}, which has passed"))
    words = tuple(filter(None, request.arguments.get("rights", "").split(",")))
    access = Access(grants.keys(request.arguments["keys"]), grants.rights(words), until)
    grant = Grant(request.id, aset.tenant, aset.uid, user, access, request.author, request.reason, now)
    shown = f"until {until.isoformat(timespec='seconds')}" if until else f"as long as {aset.name} lives"
    return Asked(Answer(RequestState.DONE, f"{user} is granted an account on all of {aset.name} {shown}"), grant)


def _withdraw(user: str, aset: ApplianceSet) -> Asked:
    if any(one.user == user for one in aset.grants):
        return Asked(Answer(RequestState.DONE, f"{user} is to be gone from all of {aset.name}"), withdraw=user)
    if user in aset.spec.accounts:
        return Asked(refused(f"{aset.author} grants {user} of {aset.name}; change it there"))
    return Asked(refused(f"no account {user} is granted on {aset.name}; `cloudmon accounts list` shows those that are"))


def wanted(aset: ApplianceSet, now: dt.datetime) -> Mapping[str, Access]:
    """The accounts that are to be on every member at ``now``, by user. The author's count before others'."""
    if not aset.grants and not aset.spec.accounts:
        return {}
    if aset.retiring_since is not None or (aset.lease_end is not None and now >= aset.lease_end):
        return {}
    found = {grant.user: grant.access for grant in aset.grants} | dict(aset.spec.accounts)
    return {user: access for user, access in sorted(found.items()) if access.until is None or now < access.until}


def kept(request: Request, aset: ApplianceSet, now: dt.datetime) -> str:
    """Why a command would be undone at once, as a sentence: it ends an account that is granted. Else empty."""
    user = request.arguments.get("user", "")
    if request.arguments.get("verb") != Verb.ACCOUNT_REVOKE or user not in wanted(aset, now):
        return ""
    return f"{user} is granted on {aset.name}; `cloudmon accounts revoke {aset.name} {user}` takes it back"
