"""The command line of the agent."""

from __future__ import annotations

import argparse
import os
import signal
import ssl
import sys
import threading
from collections.abc import Sequence

from . import config, keys, rooted, tokens, transport
from .agent import Agent, Given, NotEnrolled
from .clock import Clock
from .log import Log
from .place import Place, Taken
from .rooted import Root
from .speaking import Pause, Trouble
from .transport import Distrusted, Line, Unreachable
from .version import URL, VERSION

STATE = "/var/lib/cloudmon-agent"
WHERE = "where.json"
ENROLMENT = "enrolment.json"
MOST_TOKEN = 65536
LAST_S = 1.5

ENDED, WRONG, MISUSED, NOT_ENROLLED, AWAY, TAKEN, DISTRUSTED = range(7)
"""Exit codes: as it should; it cannot work here; the command line; the token; the monitor (with ``--once``); another
agent; the monitor's certificate authority."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="cloudmon-agent",
        description="Says how this appliance is, and does what its monitor asks for.",
        epilog="Exit codes: 0 ended when told to, 1 cannot work here, 2 misused, 3 not enrolled, 4 the monitor is away "
        "(--once), 5 another agent runs, 6 the monitor is not the one that the token names.",
    )
    made.add_argument("--enrol", metavar="TOKEN", help="enrolment token; needed once")
    made.add_argument(
        "--enrol-file", metavar="FILE", help="a file that holds the token, which other users then cannot see"
    )
    made.add_argument("--url", help="the monitor, https://host:port; needed once, unless this file was built for it")
    made.add_argument("--root", metavar="DIR", default="", help="the appliance is this directory, not this machine")
    made.add_argument("--state", metavar="DIR", default="", help=f"where the agent keeps what it knows ({STATE})")
    made.add_argument(
        "--interval", metavar="S", type=float, default=0.0, help="seconds between reports until the monitor says"
    )
    made.add_argument("--once", action="store_true", help="report once and end")
    made.add_argument("--ca", metavar="FILE", default="", help="the monitor's certificate authority, PEM")
    made.add_argument("--insecure-http", action="store_true", help="allow http:// to this machine, for trials")
    made.add_argument("--version", action="version", version=f"cloudmon-agent {VERSION}")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Run the agent; its exit code."""
    given = parser().parse_args(words)
    log = Log()
    try:
        return _run(given, log)
    except Taken as taken:
        return _fail(log, TAKEN, taken)
    except NotEnrolled as wrong:
        return _fail(log, NOT_ENROLLED, wrong)
    except Distrusted as wrong:
        return _fail(log, DISTRUSTED, wrong)
    except (Trouble, Unreachable) as wrong:
        return _fail(log, AWAY, wrong)
    except ValueError as wrong:
        return _fail(log, MISUSED, wrong)
    except OSError as wrong:
        return _fail(log, WRONG, f"{wrong.filename or 'the agent'}: {wrong.strerror or wrong}")


def _fail(log: Log, code: int, sentence: object) -> int:
    log.say(f"cloudmon-agent: {sentence}")
    return code


def _run(given: argparse.Namespace, log: Log) -> int:
    if given.interval:
        given.interval = config.bounded(given.interval)
    root = Root(given.root)
    if given.root and not os.path.isdir(root.path):
        raise ValueError(f"--root {given.root} is no directory")
    os.umask(0o077)
    place = Place(given.state or (root.inside(STATE) if root else STATE))
    clock = Clock()
    token = _token(given, place)
    where = transport.address(_url(given, place), insecure=given.insecure_http)
    trust = _trust(place, where, token, given, clock, log)

    def connect() -> Line:
        return Line(where, trust, clock)

    # Each thread has little to do; 256 KiB of stack is plenty for it.
    threading.stack_size(256 * 1024)
    agent = Agent(place, root, clock, log, Given(token, given.interval, connect))
    _listen(agent)
    agent.upgrade.arrive()
    if not agent.upgrade.wanted.is_set():
        try:
            agent.arrive(patient=not given.once)
        except NotEnrolled:
            if agent.stop.is_set():
                return ENDED
            raise
        if given.once:
            agent.once()
            return ENDED
        agent.serve()
    if agent.upgrade.wanted.is_set() and not agent.stop.is_set():
        log.say("another agent is in place and is started")
        agent.upgrade.execute()
    return ENDED


def _token(given: argparse.Namespace, place: Place) -> tokens.Token | None:
    if given.enrol and given.enrol_file:
        raise ValueError("give --enrol or --enrol-file, not both")
    text = given.enrol or ""
    if given.enrol_file:
        text = rooted.text(rooted.read(given.enrol_file, MOST_TOKEN))
    # Kept, since a key can run out while the machine sleeps; it is good for nobody but this agent.
    stored = place.load(ENROLMENT).get("token", "")
    if not text:
        return tokens.parse(stored) if stored else None
    token = tokens.parse(text)
    if stored != text:
        place.store({"token": text}, ENROLMENT)
    return token


def _url(given: argparse.Namespace, place: Place) -> str:
    """What was given, else what was given the last time, else what this file was built for."""
    stored = place.load(WHERE).get("url")
    told = given.url or ("" if isinstance(stored, str) else URL)
    if told:
        if stored != told:
            transport.address(told, insecure=given.insecure_http)
            # Another agent may take the place of this one, and is built for nobody.
            place.store({"url": told}, WHERE)
        return str(told)
    if not isinstance(stored, str):
        raise ValueError("where the monitor is must be said once, with --url https://host:port")
    return stored


def _trust(
    place: Place,
    where: transport.Address,
    token: tokens.Token | None,
    given: argparse.Namespace,
    clock: Clock,
    log: Log,
) -> ssl.SSLContext | None:
    """Wait for a monitor that is away, unless once is all that is wanted."""
    pause = Pause()
    while True:
        try:
            return keys.trust(place, where, token, given.ca, clock)
        except Unreachable as wrong:
            if given.once:
                raise
            log.once("the monitor", str(wrong))
            clock.rest(pause.after(wrong))


def _listen(agent: Agent) -> None:
    def ended(_number: int, _frame: object) -> None:
        # Whatever is under way on some thread: what matters is on the disk.
        last = threading.Timer(LAST_S, os._exit, (ENDED,))
        last.daemon = True
        last.start()
        agent.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ended)


if __name__ == "__main__":
    sys.exit(main())
