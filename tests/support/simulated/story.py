"""What happens to a simulated estate, as its seed decides."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cloudmon.errors import Fenced
from cloudmon.model.requests import RequestVerb
from cloudmon.model.tenants import EVERYONE
from simulated import guest_laws, guest_troubles, laws
from simulated.bench import POLL_S, Bench

TICKS = 45
QUIET_TICKS = 400
QUIET_INSIDE, CALM_INSIDE = 80, 4
"""Ticks that the insides have to come to rest, and how many in a row show that they did."""


def tell(  # one thing each, named by the caller
    seed: int,
    folder: Path,
    *,
    url: str = "memory",
    stubborn: int = 0,
    guests: bool | None = None,
    begun: Callable[[Bench], None] | None = None,
    troubles: Callable[[Bench], None] | None = None,
) -> Bench:
    """One story: troubles for a while, then quiet, laws asserted all along.

    ``stubborn``: so many orders to end a machine each cloud answers with an error, before it obeys one. ``guests``:
    whether machines have insides; None: in every third seed. ``begun``: what is otherwise than the seed says, from the
    beginning on; ``troubles``: what goes wrong before each tick.
    """
    bench = Bench(seed, folder, url=url, guests=guests)
    try:
        if begun is not None:
            begun(bench)
        for world in bench.worlds.values():
            world.plan_fault("destroy_node", "server_error", stubborn)
        _told(bench, troubles or trouble)
    finally:
        bench.close()
    return bench


def _told(bench: Bench, troubles: Callable[[Bench], None]) -> None:
    judge = guest_laws.Judge(bench)
    if bench.inside is not None:
        bench.inside.decided, bench.inside.performs = judge.decided_on_facts, judge.performs_what_was_ordered
    for _ in range(TICKS):
        troubles(bench)
        guest_troubles.trouble(bench)
        if not bench.tick(bench.chance.randrange(1, 12) if bench.chance.random() < 0.12 else None):
            bench.clock.advance(bench.chance.choice([1, 5, 60, 300]))
            bench.restart()
            a_late_owner_changes_nothing(bench)
        if bench.inside is not None:
            bench.inside.decided()
        laws.hold(bench, laws.ALWAYS)
        bench.wait(bench.chance.choice([1, POLL_S, POLL_S, POLL_S, 40]))
    if bench.inside is not None:
        for law in guest_laws.ALWAYS:
            law(bench)
        settle_inside(bench)
        for law in guest_laws.IN_THE_END:
            law(bench)
        bench.inside.leave()
    settle(bench)
    laws.hold(bench, laws.IN_THE_END)


def settle_inside(bench: Bench) -> None:
    """Quiet ticks until whoever lives in a machine is well, nothing is on its way to anybody, and no cloud has news."""
    assert bench.inside is not None
    bench.calm()
    calm = 0
    for number in range(2 * QUIET_INSIDE):
        report = bench.monitor.tick()
        bench.inside.decided()
        well = all(guest.well() for guest in bench.inside.guests.values())
        calm = calm + 1 if report.steady and well else 0
        bench.wait(POLL_S)
        booted_s = bench.inside.since_boot_s()
        if calm >= CALM_INSIDE or (number > QUIET_INSIDE and booted_s > QUIET_INSIDE / 2 * POLL_S):
            return


def settle(bench: Bench) -> None:
    """Quiet ticks until nothing is due any more; what is only waited for is skipped over."""
    bench.calm()
    calm = 0
    for number in range(QUIET_TICKS):
        report = bench.monitor.tick()
        # Machines go on dying as they were meant to: what counts is several quiet ticks in a row, past the lag.
        calm = calm + 1 if report.steady else 0
        ahead = 0.0 if report.next_at is None else (report.next_at - bench.clock.now()).total_seconds()
        if calm > 6 and (report.next_at is None or ahead > 86_400):
            break
        if calm > 6:
            bench.clock.advance(max(POLL_S, ahead))
            calm = 3
        else:
            bench.clock.advance((POLL_S if number < 100 else 120) + (bench.shape.lag_s if calm > 3 else 0))


def a_late_owner_changes_nothing(bench: Bench) -> None:
    """Law 6: the predecessor wakes up and goes on; it must change nothing."""
    late = bench.retired[-1]
    before = {name: dict(world.calls) for name, world in bench.worlds.items()}
    with contextlib.suppress(Fenced):
        late.tick()
    for name, world in bench.worlds.items():
        after = dict(world.calls)
        for verb in ("create_node", "destroy_node", "stop_node", "start_node", "reboot_node"):
            assert after.get(verb, 0) == before[name].get(verb, 0), f"law 6: a fenced monitor called {verb}"


def trouble(bench: Bench) -> None:
    """One or no thing that goes wrong, or that somebody wants."""
    chance = bench.chance
    roll = chance.random()
    if roll > 0.45:
        return
    things = (
        _hands, _hands, _hands, _outage, _rejecting, _request, _request, _extend, _control, _wish, _away, _jump,
        _foreign,
    )  # fmt: skip
    chance.choice(things)(bench)


def _victim(bench: Bench) -> tuple[str, str] | None:
    nodes = laws.alive(bench)
    if not nodes:
        return None
    cloud, node = bench.chance.choice(nodes)
    return cloud, node.id


def _hands(bench: Bench) -> None:
    victim = _victim(bench)
    if victim is None:
        return
    cloud, node_id = victim
    world = bench.worlds[cloud]
    bench.chance.choice((world.kill_node, world.delete_by_hand, world.stop_by_hand, world.hang))(node_id)


def _outage(bench: Bench) -> None:
    bench.chance.choice(list(bench.worlds.values())).set_outage(bench.chance.random() < 0.5)


def _rejecting(bench: Bench) -> None:
    bench.chance.choice(list(bench.worlds.values())).set_rejecting(bench.chance.random() < 0.3)


def _away(bench: Bench) -> None:
    bench.store.away = bench.chance.random() < 0.5


def _jump(bench: Bench) -> None:
    if bench.chance.random() < 0.3:
        bench.jumped = True
        bench.clock.jump(dt.timedelta(seconds=bench.chance.choice([-600, -60, 60, 3600])))


def _foreign(bench: Bench) -> None:
    bench.chance.choice(list(bench.worlds.values())).foreign()


def _target(bench: Bench) -> str:
    spec = bench.chance.choice(bench.shape.specs)
    return bench.chance.choice([f"{spec.name}/*", f"{spec.name}/{bench.chance.randint(1, spec.count)}"])


def _request(bench: Bench) -> None:
    if bench.store.away:
        return
    verbs = (
        RequestVerb.REBOOT, RequestVerb.REPLACE, RequestVerb.STOP, RequestVerb.START, RequestVerb.SUSPEND,
        RequestVerb.RESUME,
    )  # fmt: skip
    bench.ask(bench.chance.choice(verbs), _target(bench))


def _extend(bench: Bench) -> None:
    if not bench.store.away:
        bench.ask(RequestVerb.EXTEND, bench.chance.choice(bench.shape.specs).name, by_s="300")


def _control(bench: Bench) -> None:
    if bench.store.away:
        return
    verb = bench.chance.choice((RequestVerb.PAUSE, RequestVerb.PROTECT, RequestVerb.MAINTAIN))
    until = bench.clock.now() + dt.timedelta(seconds=bench.chance.choice([30, 200]))
    bench.ask(verb, bench.chance.choice(bench.shape.specs).name, until=until.isoformat())


def _wish(bench: Bench) -> None:
    """The settings file changes: a set grows, shrinks, goes or comes back."""
    specs = list(bench.specs)
    roll = bench.chance.random()
    if specs and roll < 0.6:
        where = bench.chance.randrange(len(specs))
        specs[where] = replace(specs[where], count=bench.chance.choice([0, 1, 3, 6]))
    elif specs and roll < 0.8:
        specs.pop(bench.chance.randrange(len(specs)))
    else:
        specs = list(bench.shape.specs)
    bench.wish(*specs)


def describe(bench: Bench) -> str:
    """The members as the table has them, for a failing seed."""
    return "\n".join(str(member) for member in bench.memory.members.all(EVERYONE))
