"""What happens inside the machines of a simulated estate, and to those who speak for them."""

from __future__ import annotations

import datetime as dt

from cloudmon.model.requests import RequestVerb
from cloudmon.testing.guests import FAULTS
from simulated.bench import Bench
from simulated.guests import Inhabitants, Seen


def trouble(bench: Bench) -> None:
    """One or no thing that goes wrong inside, or that somebody wants there."""
    inside = bench.inside
    if inside is None or not inside.guests or inside.luck.random() > 0.9:
        return
    guest = inside.luck.choice(list(inside.guests.values()))
    things = (
        _strike, _strike, _strike, _strike, _strike, _strike, _cut, _sleep, _clock, _lie, _lie, _boot, _boot, _order,
        _revoke, _full,
    )  # fmt: skip
    inside.luck.choice(things)(bench, inside, guest)


def _strike(bench: Bench, inside: Inhabitants, guest: Seen) -> None:
    fault = inside.luck.choice(FAULTS)
    if guest.may_suffer(fault):
        guest.strike(fault, bench.clock.true_now())
        guest.due = None


def _cut(bench: Bench, inside: Inhabitants, guest: Seen) -> None:
    """It reaches nobody for a while; what it sees is kept."""
    guest.cut_until = bench.clock.true_now() + dt.timedelta(seconds=inside.luck.choice([20, 60, 400]))


def _sleep(bench: Bench, inside: Inhabitants, guest: Seen) -> None:
    """Nothing in it goes on for a while: what it was told it does late, and gets late what was for it."""
    if guest.sleeps_until is None:
        guest.sleeps_until = bench.clock.true_now() + dt.timedelta(seconds=inside.luck.choice([40, 120, 600]))


def _clock(_bench: Bench, inside: Inhabitants, guest: Seen) -> None:
    """Its clock is set, by hours."""
    guest._clock.off_s += inside.luck.choice([-7_200.0, -90.0, 90.0, 7_200.0])


def _lie(_bench: Bench, inside: Inhabitants, guest: Seen) -> None:
    inside.lie(guest, inside.luck.choice(["back", "again", "ahead"]))


def _boot(bench: Bench, _inside: Inhabitants, guest: Seen) -> None:
    guest.reboot(bench.clock.true_now())
    guest.due = None


def _order(bench: Bench, inside: Inhabitants, _guest: Seen) -> None:
    """Somebody wants something done."""
    if bench.store.away:
        return
    name = bench.shape.specs[0].name
    verb, arguments = inside.luck.choice(
        [("report_now", {}), ("app_restart", {"application": "shop"}), ("job_run", {"job": "tidy"}), ("scan", {})]
    )
    bench.ask(RequestVerb.COMMAND, f"{name}/{inside.luck.choice(['*', '1'])}", verb=verb, **arguments)


def _revoke(bench: Bench, inside: Inhabitants, guest: Seen) -> None:
    """Somebody does not believe an agent any more. Seldom: nothing is known of its appliance from then on."""
    if not bench.store.away and inside.luck.random() < 0.2:
        bench.ask(RequestVerb.REVOKE, f"{bench.shape.specs[0].name}/{guest.token.ordinal}")


def _full(bench: Bench, inside: Inhabitants, guest: Seen) -> None:
    inside.channel.want_full([guest.token.appliance])
