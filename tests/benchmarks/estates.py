"""Estates to measure on: settings, and stores and clouds that look as if their appliances had been launched.

Launching 100,000 appliances for each measurement would take minutes; the rows and machines are put there as launching
leaves them, and a benchmark of quiet ticks checks that its ticks are quiet indeed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SET_SIZE = 1_000

DUMMY = """
[clouds.east]
provider = "dummy"
listing_lag_s = 0
calls_per_s = 1000000
burst = 1000000

[clouds.east.options]
world = "east.world"
"""
IN_MEMORY = DUMMY.replace("east.world", "memory")


def settings(folder: Path, appliances: int, *, cloud: str = DUMMY, port: int = 0, set_size: int = SET_SIZE) -> Path:
    """A settings file in ``folder`` that wants so many appliances, in sets of at most ``set_size``."""
    wanted = [(first, min(set_size, appliances - first)) for first in range(0, appliances, set_size)]
    sets = "".join(f'[sets.storefront{first}]\ntemplate = "web"\ncount = {count}\n' for first, count in wanted)
    path = folder / "cloudmon.toml"
    path.write_text(f"""
[store]
url = "sqlite:///cloudmon.db"

[monitor]
state_dir = "state"
poll_interval_s = 1
health_port = {port}
log_level = "error"
{cloud}
[templates.web]
images = {{ "*" = "web-1" }}
needs = {{ vcpus = 1, memory_mib = 1024 }}

{sets}""")
    return path


def seed_store(service: Any, node_of: Callable[[Any, str], str], *, offer: Any) -> Sequence[tuple[Any, str]]:
    """Make every appliance that the settings want a running one, on the node that ``node_of`` gives its token.

    Arguments:
        service: an entered service.
        node_of: token and set name -> the node's id.
        offer: what each of them runs on.

    Returns each token with the name of its set.
    """
    import sqlalchemy as sa

    from cloudmon.model.appliances import ApplianceState, IncarnationState
    from cloudmon.model.identity import Token
    from cloudmon.store import tables

    store, now = service.store, service.clock.now()
    began = now - dt.timedelta(hours=2)
    owner = store.monitors.begin(host="here", pid=1, now=began)
    members: list[dict[str, Any]] = []
    incarnations: list[dict[str, Any]] = []
    found: list[tuple[Any, str]] = []
    for spec in service.settings.specs():
        aset = store.sets.put(owner, uid=None, spec=spec, author=service.settings.author, now=began)
        for ordinal in range(1, spec.count + 1):
            token = Token(store.estate, aset.uid, ordinal, 1)
            node_id = node_of(token, spec.name)
            found.append((token, spec.name))
            place = {"token": str(token), "cloud": offer.cloud, "location": offer.location, "node_id": node_id}
            members.append({"b_uid": aset.uid, "b_ordinal": ordinal, **{f"b_{key}": place[key] for key in place}})
            incarnations.append({"set_uid": aset.uid, "ordinal": ordinal, **place})
    row, many = tables.appliances.c, 5_000
    run = sa.update(tables.appliances).where(
        row.set_uid == sa.bindparam("b_uid"), row.ordinal == sa.bindparam("b_ordinal")
    ).values(
        state=ApplianceState.RUNNING, since=began, incarnation=1,
        **{name: sa.bindparam(f"b_{name}") for name in ("token", "cloud", "location", "node_id")},
    )  # fmt: skip
    stand = sa.insert(tables.incarnations).values(
        number=1, tenant="default", state=IncarnationState.LIVE, size=offer.size, image="web-1",
        public_addresses=[], private_addresses=[], offer=offer.key, offer_more={}, opened_at=began, since=began,
    )  # fmt: skip
    for first in range(0, len(members), many):
        store._database.write(lambda connection, at=first: connection.execute(run, members[at : at + many]))
        store._database.write(lambda connection, at=first: connection.execute(stand, incarnations[at : at + many]))
    store.offers.replace(offer.cloud, [offer], now)
    return found


class Rows:
    """Counts the rows that a store writes, by table."""

    def __init__(self, store: Any) -> None:
        import sqlalchemy as sa

        self.written: dict[str, int] = {}
        sa.event.listen(store._database.engine, "after_cursor_execute", self._after)

    def _after(self, _connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split()
        verb = words[0].upper()
        if verb in ("INSERT", "UPDATE", "DELETE") and cursor.rowcount > 0:
            table = words[1] if verb == "UPDATE" else words[2]
            self.written[table] = self.written.get(table, 0) + cursor.rowcount
