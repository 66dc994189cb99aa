"""What happens while no monitor runs: what the cloud says of it later is measured, the rest is an estimate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shop import Shop

from cloudmon.testing.clock import FakeClock

NewShop = Callable[..., Shop]

SET = """
[sets.web]
template = "web"
count = 1
"""
AWAY_S = 3_600


def used(shop: Shop) -> dict[str, int]:
    """Measured and estimated seconds of the set's first appliance, running."""
    (row,) = [row for row in shop.json("usage", "--by", "appliance") if row["dimension"] == "node.running"]
    return {name: row[name] for name in ("measured_s", "estimated_s")}


@pytest.mark.parametrize("shown_s", [100_000, 0], ids=["the cloud says when it ended", "the cloud has forgotten it"])
def test_a_machine_that_ends_while_nobody_looks_is_metered_to_the_second_where_the_cloud_says_when(
    new_shop: NewShop, clock: FakeClock, shown_s: int
) -> None:
    shop = new_shop(SET, options=f"terminated_shown_s = {shown_s}\n")
    with shop.monitor() as watch:
        watch.settle()
    (node,) = shop.truth().values()
    clock.advance(AWAY_S)
    shop.world().reclaim(node.id)
    lived_s = int((clock.now() - node.created_at).total_seconds())
    clock.advance(AWAY_S)
    # Nothing is launched in its place, so that only its own time is counted.
    shop.edit("count = 1", "count = 0")
    with shop.monitor() as watch:
        watch.settle()
    if shown_s:
        assert used(shop) == {"measured_s": lived_s, "estimated_s": 0}
        return
    found = used(shop)
    assert found["estimated_s"] >= 2 * AWAY_S
    assert found["measured_s"] < lived_s - AWAY_S + 60
