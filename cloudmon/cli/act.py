"""``cloudmon act`` and ``cloudmon confirm``: what a person wants done now."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli.options import How, Reason, Target, asks
from cloudmon.errors import RequestRefused

if TYPE_CHECKING:
    from cloudmon.cli.asking import Wish
    from cloudmon.cli.opening import Target as Named
    from cloudmon.model.requests import RequestVerb
    from cloudmon.store import Store


class Action(enum.StrEnum):
    """What can be done to appliances: to their nodes by the cloud, and inside them by their agents."""

    START = "start"
    STOP = "stop"
    SUSPEND = "suspend"
    RESUME = "resume"
    REBOOT = "reboot"
    REPLACE = "replace"
    SNAPSHOT = "snapshot"
    ISOLATE = "isolate"
    RELEASE = "release"
    REPORT_NOW = "report_now"
    APP_INSTALL = "app_install"
    APP_REMOVE = "app_remove"
    APP_RESTART = "app_restart"
    APP_STOP = "app_stop"
    APP_SUSPEND = "app_suspend"
    APP_RESUME = "app_resume"
    APP_UPDATE = "app_update"
    JOB_RUN = "job_run"
    PROCESS_END = "process_end"
    SCAN = "scan"
    QUARANTINE = "quarantine"
    ACCOUNT_REVOKE = "account_revoke"
    AGENT_UPGRADE = "agent_upgrade"


@asks("15m")
def act(
    target: Target,
    action: Annotated[Action, typer.Argument(help="What to do.")],
    reason: Reason,
    told: Annotated[
        list[str] | None,
        typer.Argument(help="What the action needs to know: application=web version=1.4 job=backup.", metavar="[K=V]…"),
    ] = None,
    *,
    how: How,
) -> None:
    """Start, stop, suspend, resume, reboot, replace, snapshot, isolate or release appliances; or have their agents act
    inside them.

    All of a set (storefront/*) are taken in turns: no more are out of service at once than the set's healing.batch.
    """
    from cloudmon.cli import asking

    def wish(named: Named) -> Wish:
        if "/" not in target:
            raise RequestRefused(f"say which: {target}/1 for one appliance, or '{target}/*' for all of them")
        verb, arguments = _asked(action, told or ())
        return asking.Wish(verb, named.text, named.aset.tenant, reason, arguments)

    asking.ask_of(how, target, wish)


def _asked(action: Action, told: Iterable[str]) -> tuple[RequestVerb, dict[str, str]]:
    """What is asked for, as a request says it. Raises RequestRefused for what the action cannot be told."""
    from cloudmon.model.actions import Verb
    from cloudmon.model.commands import OFFERED, fault
    from cloudmon.model.requests import RequestVerb

    pairs = [one.partition("=") for one in told]
    wrong = next((name for name, equals, _ in pairs if not equals or not name), None)
    if wrong is not None:
        raise RequestRefused(f"{wrong!r} says nothing; write it as name=value, such as application=web")
    arguments = {name: value for name, _, value in pairs}
    if action.value not in OFFERED:
        if arguments:
            raise RequestRefused(f"{action} is done to the node, and takes no {next(iter(arguments))!r}")
        return RequestVerb.REJOIN if action is Action.RELEASE else RequestVerb(action.value), {}
    refusal = fault(Verb(action.value), arguments)
    if refusal:
        raise RequestRefused(refusal)
    return RequestVerb.COMMAND, {"verb": action.value, **arguments}


@asks("1m")
def confirm(
    target: Annotated[
        str, typer.Argument(help="A set, a cloud, or the budget as `plan` names it: 'destructive per cloud east'.")
    ],
    reason: Reason,
    *,
    how: How,
) -> None:
    """Let pass for an hour what a breaker holds back.

    A set lets pass its own budgets, a cloud the doubt about its listing, a budget's name that budget; `store`, after
    it was put back from a copy, that it may end things again. What a settings file suddenly drops is confirmed by
    `cloudmon apply` instead.
    """
    from cloudmon.cli import asking, opening
    from cloudmon.model.identity import DEFAULT_TENANT
    from cloudmon.model.requests import RequestState, RequestVerb
    from cloudmon.model.tenants import EVERYONE
    from cloudmon.reconcile.putback import STORE
    from cloudmon.settings import load

    settings = load(opening.settings_path(how.config))

    def wish(store: Store) -> Wish:
        if " per " in target:
            _known_budget(
                target, settings.clouds, {aset.tenant for aset in store.sets.all(opening.scope_of(how.tenant))}
            )
            said = f"{target}: holds nothing back for an hour"
            return asking.Wish(RequestVerb.CONFIRM, target, DEFAULT_TENANT, reason, said=said)
        if target == STORE and any(found.subject == STORE for found in store.findings.open(EVERYONE)):
            said = "what the store says is taken for what is: nothing is held back on its account any more"
            return asking.Wish(RequestVerb.CONFIRM, STORE, DEFAULT_TENANT, reason, said=said)
        cloud = target.removeprefix("cloud:")
        if cloud in settings.clouds:
            said = f"what cloud {cloud} lists is believed for an hour"
            return asking.Wish(RequestVerb.CONFIRM, f"cloud:{cloud}", DEFAULT_TENANT, reason, said=said)
        named = opening.find(store, opening.scope_of(how.tenant), target)
        said = f"{named.aset.name}: its own budgets hold nothing back for an hour"
        return asking.Wish(RequestVerb.CONFIRM, named.aset.uid, named.aset.tenant, reason, said=said)

    ends = asking.ENDS | {RequestState.ACCEPTED}
    asking.ask(how, wish, ends)


def _known_budget(name: str, clouds: Iterable[str], tenants: Iterable[str]) -> None:
    """Raises RequestRefused for a budget that no breaker keeps: confirmed, it would let nothing pass."""
    from cloudmon.model.actions import ActionClass
    from cloudmon.plugins import nearest

    scopes = [*(f"cloud {cloud}" for cloud in clouds), *(f"tenant {tenant}" for tenant in tenants)]
    classes = (ActionClass.DISRUPTIVE, ActionClass.DESTRUCTIVE, ActionClass.RETIREMENT)
    known = [f"{kind} per {scope}" for kind in classes for scope in scopes]
    if name not in known:
        hint = "; name the set itself" if name.endswith(" per set") else nearest(name, known)
        raise RequestRefused(f"there is no budget called {name!r}{hint}")
