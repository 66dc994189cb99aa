"""The command line's front door: the list of commands, loaded one at a time, and what becomes of errors."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from types import TracebackType
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from cloudmon import __version__
from cloudmon.engine import collection
from cloudmon.errors import CloudmonError


class Entry(NamedTuple):
    """One command: where it is found, and what help says of it without looking there."""

    target: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "init": Entry("init:init", "Write a commented settings file for one kind of cloud."),
    "schema": Entry("schema:schema", "Print the JSON Schema of settings files, or of facts."),
    "doctor": Entry("doctor:doctor", "Check settings, store, clouds and clock, and say what to do."),
    "plan": Entry("plan:plan", "Show what would be done now, why, and what holds it back."),
    "apply": Entry("plan:apply", "Do it, and watch until wanted and seen agree."),
    "run": Entry("run:run", "Run the monitor until SIGTERM."),
    "status": Entry("status:status", "Show every appliance, and what it waits for."),
    "act": Entry("act:act", "Start, stop, suspend, resume, reboot, replace, isolate … appliances."),
    "findings": Entry("findings:findings", "Show what is wrong now, and what is done about it."),
    "actions": Entry("actions:actions", "Show control actions: why they were taken and how they ended."),
    "policy": Entry("policy:app", "List the rules of detection, and try them on recorded facts."),
    "updates": Entry("updates:updates", "Show wanted and installed versions, roll-outs, and restarts that are owed."),
    "incidents": Entry("actions:incidents", "Show what could not be brought to its end."),
    "notifications": Entry("notify:notifications", "Show what was told to whom, and what came of it."),
    "notify": Entry("notify:app", "List who is told of findings, and send them test messages."),
    "confirm": Entry("act:confirm", "Let pass for an hour what a breaker holds back."),
    "sets": Entry("sets:app", "List, show, extend, pause, protect, maintain, release and retire sets."),
    "peers": Entry("peers:peers", "Show the members of a set and where they are reached."),
    "accounts": Entry("accounts:app", "Grant people accounts on the members of sets, and take them back."),
    "why": Entry("why:why", "Tell the story of an appliance: facts, decisions, actions, outcomes."),
    "diff": Entry("diff:diff", "Show what changed between two instants."),
    "facts": Entry("agent:facts", "Show what an appliance says of itself."),
    "agent": Entry("agent:app", "Build the agent, hand out tokens, show and revoke agents."),
    "scan": Entry("scan:scan", "Look for malware in files of this machine: samples, images."),
    "template": Entry("template:app", "Print the user data of an appliance."),
    "usage": Entry("usage:usage", "Show seconds used, measured and estimated, and the monitor's own usage."),
    "adopt": Entry("adopt:adopt", "Take nodes that exist already into a set."),
    "orphans": Entry("orphans:app", "List nodes of this estate that nothing explains, and end them."),
    "placement": Entry("places:app", "Show how offers were ranked for a set, and why the others lost."),
    "offers": Entry("places:offers", "Show what the clouds sell, with prices and their source."),
    "audit": Entry("audit:app", "Verify and show the action log."),
    "monitors": Entry("monitors:monitors", "Show the monitors that own, or owned, the estate."),
    "upgrade": Entry("monitors:upgrade", "Bring the store's schema up to date."),
}


class Loading(MutableMapping[str, Any]):
    """Commands by name, in the order of help; each imported when it is looked up for the first time."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._entries[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _load(name: str, entry: Entry) -> Any:
    module, _, attribute = entry.target.partition(":")
    found = getattr(importlib.import_module(f"cloudmon.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_group(found)
    alone = group()
    alone.command(name)(found)
    return typer.main.get_command(alone)


def group(**about: Any) -> typer.Typer:
    """A Typer that draws its help plainly (rich costs more time than all the rest) and leaves tracebacks as they are
    (pretty ones show local variables, and those may be secret)."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **about)


Misuse: type[Any] = typer.BadParameter.__bases__[0]
"""Usage errors, of whichever click it is that typer brings."""


class Commands(TyperGroup):
    """The top of the command line."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Loading(COMMANDS)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # the list is the same in every context
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: Any) -> Any:
        """Errors of ours are one sentence and exit code 1; an interrupt is exit code 130.

        So is what was typed wrong: a script that reads 2 from `cloudmon plan` must be able to believe it.
        """
        try:
            return super().invoke(ctx)
        except CloudmonError as error:
            typer.echo(f"cloudmon: {error.message}", err=True)
            raise typer.Exit(1) from error
        except Misuse as error:
            error.message = str(error.message).removeprefix("Value error, ").replace(": Value error, ", ": ")
            error.show()
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            typer.echo("cloudmon: interrupted", err=True)
            raise typer.Exit(130) from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cloudmon {__version__}")
        raise typer.Exit


app = typer.Typer(cls=Commands, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def top(
    version: Annotated[  # its callback does it all
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A virtual-appliance monitor for any cloud: instantiate, watch, heal, meter and retire appliance sets."""


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """An error of the program itself, told as Python tells it, without the secrets in it."""
    import traceback

    from cloudmon import logs

    typer.echo(logs.masked("".join(traceback.format_exception(kind, error, trace))), err=True, nl=False)


def _uncaught_in_thread(about: threading.ExceptHookArgs) -> None:
    if about.exc_type is not SystemExit:
        _uncaught(about.exc_type, about.exc_value, about.exc_traceback)


def main() -> None:
    """What the installed command runs."""
    sys.excepthook, threading.excepthook = _uncaught, _uncaught_in_thread
    collection.seldom()
    sys.exit(typer.main.get_command(app).main(prog_name="cloudmon"))
