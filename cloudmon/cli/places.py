"""``cloudmon placement`` and ``cloudmon offers``: where appliances could live, and why they live where they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Format, Output, Tenant
from cloudmon.cli.output import Column, Row

if TYPE_CHECKING:
    from cloudmon.model.offers import Offer


def _price(row: Row) -> str:
    return f"{row['price_per_hour']} {row['currency']}" if row["price_per_hour"] is not None else "unknown"


OFFER = (
    Column("offer", "OFFER"),
    Column("cloud", "CLOUD", table=False),
    Column("location", "LOCATION", table=False),
    Column("size", "SIZE", table=False),
    Column("vcpus", "VCPUS", right=True),
    Column("memory_mib", "MEMORY MIB", right=True),
    Column("disk_gib", "DISK GIB", right=True),
    Column("architecture", "ARCH"),
    Column("spot", "SPOT", table=False),
    Column("price_per_hour", "PRICE/H", _price, right=True),
    Column("currency", "CURRENCY", table=False),
    Column("source", "SOURCE"),
    Column("dated", "DATED"),
    Column("capacity", "CAPACITY", right=True),
    Column("guaranteed_until", "GUARANTEED UNTIL", table=False),
)
CHOICES = (
    Column("rank", "RANK", right=True),
    Column("fits", "FITS"),
    Column("reason", "WHY"),
    *OFFER,
)

app = group(no_args_is_help=True)


@app.callback()
def top() -> None:
    """Show how offers were ranked for a set, and why the others lost."""


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of the set.")],
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show the ranking that the last launches of a set were made from."""
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        aset = opening.find(at.store, at.scope, name).aset
        rows = [
            {"rank": rank, "fits": choice.fits, "reason": choice.reason, **row(choice.offer)}
            for rank, choice in enumerate(at.store.placements.latest(at.scope, aset.uid), 1)
        ]
    output.emit(rows, CHOICES, form, empty=f"{aset.name} has not been placed yet")


def offers(
    cloud: Annotated[str | None, typer.Option("--cloud", help="Only this cloud's.", show_default=False)] = None,
    config: Config = None,
    form: Output = Format.TABLE,
) -> None:
    """Show what the clouds sell as they said last, with the settings' own prices laid over. Zero is no price."""
    from cloudmon.cli import opening
    from cloudmon.monitor import estate

    with opening.opened(config) as at:
        today = at.now.date()
        prices = {name: found.price_overrides(today) for name, found in at.settings.clouds.items()}
        rows = [row(offer) for offer in estate.offers(at.store, prices) if cloud in (None, offer.cloud)]
        fetched = {name: at.store.offers.of(name)[1] for name in at.settings.clouds if cloud in (None, name)}
    output.emit(rows, OFFER, form, empty="no offers are known")
    for name, when in sorted(fetched.items()):
        asked = f"said so {output.moment(when)}" if when is not None else "was never asked; a running monitor does"
        output.note(f"{name} {asked}")


def row(offer: Offer) -> Row:
    """An offer's fields, its price with where it comes from."""
    price = offer.price
    return {
        "offer": offer.key,
        "cloud": offer.cloud,
        "location": offer.location,
        "size": offer.size,
        "vcpus": offer.vcpus,
        "memory_mib": offer.memory_mib,
        "disk_gib": offer.disk_gib,
        "architecture": offer.architecture,
        "spot": offer.spot,
        "price_per_hour": price.per_hour if price is not None else None,
        "currency": price.currency if price is not None else None,
        "source": price.source if price is not None else None,
        "dated": price.dated if price is not None else None,
        "capacity": offer.capacity,
        "guaranteed_until": offer.guaranteed_until,
    }
