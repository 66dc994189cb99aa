"""``cloudmon usage``: what was used, by whom, and how sure that is."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Since, Tenant, Until
from cloudmon.cli.output import Column
from cloudmon.metering import By, clip, fold, totals
from cloudmon.model.usage import Dimension

if TYPE_CHECKING:
    from cloudmon.cli.opening import Names
    from cloudmon.metering import Total

UNITS = {
    Dimension.MONITOR_CPU: "s of processor",
    Dimension.MONITOR_MEMORY: "bytes at most",
    Dimension.MONITOR_IO: "blocks of 512 bytes",
    Dimension.MONITOR_CALLS: "calls",
}


def _time(key: str, title: str) -> Column:
    return Column(key, title, lambda row: output.duration(int(str(row[key]))) if row[key] else "", right=True)


COLUMNS = (
    Column("subject", "SUBJECT"),
    Column("tenant", "TENANT"),
    Column("cloud", "CLOUD"),
    Column("dimension", "DIMENSION"),
    _time("measured_s", "MEASURED"),
    _time("estimated_s", "ESTIMATED"),
    Column("quantity", "AMOUNT", lambda row: str(row["quantity"]) if row["unit"] else "", right=True),
    Column("unit", "OF"),
    Column("open", "GOES ON"),
)


def usage(  # noqa: PLR0913  # one option each
    by: Annotated[By, typer.Option("--by", help="What to add up by; monitor shows the monitors' own usage.")] = By.SET,
    since: Since = None,
    until: Until = None,
    estimated: Annotated[
        bool, typer.Option("--estimated", help="Only seconds that nobody watched, which better evidence may correct.")
    ] = False,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show seconds used, measured and estimated apart. The same question at the same instant has the same answer."""
    from cloudmon.cli import opening
    from cloudmon.cli.progress import Progress

    with opening.opened(config, tenant) as at, Progress("adding up"):
        now = at.now
        first = opening.when(since, now, option="--since")
        last = opening.when(until, now, option="--until")
        opening.in_order(first, last)
        names = opening.Names(at.store, at.scope)
        spans = lru_cache(lambda cloud: at.store.spans.of(at.scope, cloud))
        intervals = fold(at.store.usage.events(at.scope, until=last), spans, now=min(now, last or now))
        found = clip(intervals, first, last)
        chosen = (interval for interval in found if interval.estimated) if estimated else found
        rows = [_row(total, by, names) for total in sorted(totals(chosen, by), key=_order)]
    output.emit(rows, COLUMNS, form, empty="nothing was used")


def _order(total: Total) -> tuple[str, str, int, str, str, str]:
    return (total.tenant, total.set_uid, total.ordinal, total.monitor, total.dimension, total.cloud)


def _row(total: Total, by: By, names: Names) -> output.Row:
    subject = {
        By.APPLIANCE: names.appliance((total.set_uid, total.ordinal)),
        By.SET: names.set(total.set_uid),
        By.TENANT: total.tenant,
        By.CLOUD: total.cloud,
        By.MONITOR: total.monitor,
    }[by]
    return {
        "subject": subject,
        "tenant": total.tenant,
        "cloud": total.cloud,
        "dimension": total.dimension,
        "measured_s": total.measured_s,
        "estimated_s": total.estimated_s,
        "quantity": total.quantity,
        "unit": UNITS.get(total.dimension, ""),
        "open": total.open,
    }
