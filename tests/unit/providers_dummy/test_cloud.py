"""What the dummy cloud sells, makes and refuses."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import weakref
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from cloudmon.errors import NotFound, OutOfCapacity, QuotaExceeded, Refused
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, DummySettings


def test_offers_have_a_price_a_date_and_an_end(cloud: Any, clock: FakeClock) -> None:
    provider = cloud(locations=["a", "b"], spot=True, price_factor="2", priced_on="2026-02-01")
    offers = {offer.key: offer for offer in provider.list_offers()}
    assert len(offers) == 2 * 5 * 2
    first, second, spot = offers["east/a/small"], offers["east/b/small"], offers["east/a/small/spot"]
    assert first.price is not None
    assert second.price is not None
    assert spot.price is not None
    assert first.price.per_hour == Decimal("0.04")
    assert (first.price.currency, first.price.source, first.price.dated) == ("USD", "dummy", dt.date(2026, 2, 1))
    assert spot.price.per_hour < first.price.per_hour < second.price.per_hour
    assert first.guaranteed_until == dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    assert spot.guaranteed_until is None


def test_a_size_without_a_price_is_offered_without_one(cloud: Any) -> None:
    provider = cloud(sizes={"odd": {"vcpus": 1, "memory_mib": 1, "disk_gib": 1}})
    assert {offer.price for offer in provider.list_offers()} == {None}


def test_capacity_is_counted_down_and_given_back(cloud: Any, ask: Any) -> None:
    provider = cloud(capacity={"here-1/nano": 2}, terminate_s=0)
    nodes = [provider.create_node(ask(provider, ordinal)) for ordinal in (1, 2)]
    assert provider.list_offers()[0].capacity == 0
    with pytest.raises(OutOfCapacity) as caught:
        provider.create_node(ask(provider, 3))
    assert caught.value.code == "InsufficientCapacity"
    provider.create_node(ask(provider, 4, offer=provider.list_offers()[1]))
    provider.destroy_node(nodes[0].id)
    assert provider.list_offers()[0].capacity == 1
    provider.create_node(ask(provider, 3))


def test_the_account_s_quota_is_over_all_sizes(cloud: Any, ask: Any) -> None:
    provider = cloud(quota=2)
    for ordinal, offer in enumerate(provider.list_offers()[:2], 1):
        provider.create_node(ask(provider, ordinal, offer=offer))
    with pytest.raises(QuotaExceeded):
        provider.create_node(ask(provider, 3))


def test_an_unknown_image_is_not_found_where_images_are_listed(cloud: Any, ask: Any) -> None:
    provider = cloud(images=["img"])
    provider.create_node(ask(provider))
    with pytest.raises(NotFound):
        provider.create_node(ask(provider, 2, image="none"))


def test_the_same_token_with_other_parameters_is_refused(cloud: Any, ask: Any) -> None:
    provider = cloud()
    request = ask(provider)
    provider.create_node(request)
    others = [
        dataclasses.replace(request, offer=provider.list_offers()[1]),
        dataclasses.replace(request, image="other"),
        dataclasses.replace(request, user_data="other"),
        dataclasses.replace(request, tags={**request.tags, "more": "tags"}),
    ]
    for other in others:
        with pytest.raises(Refused, match="IdempotentParameterMismatch"):
            provider.create_node(other)
    assert len(provider.world.nodes_true()) == 1


def test_the_token_of_an_ended_machine_is_spent(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud()
    provider.destroy_node(provider.create_node(ask(provider)).id)
    clock.advance(86_400)
    with pytest.raises(Refused, match="IdempotentInstanceTerminated"):
        provider.create_node(ask(provider))


def test_a_cloud_without_tokens_makes_a_second_machine_while_its_listing_lags(cloud: Any, ask: Any) -> None:
    """As good as the listing is fresh, and no better: that is what the contract says."""
    provider = cloud(tokens=False, listing_lag_s=600, seed=1)
    first, second = (provider.create_node(ask(provider)) for _ in range(2))
    assert first.id != second.id
    assert first.token == second.token


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pages_of_any_size_make_one_whole_listing(cloud: Any, ask: Any, size: int) -> None:
    provider = cloud(page_size=size)
    made = [provider.create_node(ask(provider, ordinal)).id for ordinal in range(1, 8)]
    assert [node.id for node in provider.list_nodes().nodes] == made
    assert provider.world.calls["list_nodes"] == -(-7 // size)


def test_a_machine_that_goes_between_two_pages_moves_no_other(cloud: Any, ask: Any) -> None:
    provider = cloud(page_size=2)
    made = [provider.create_node(ask(provider, ordinal)).id for ordinal in range(1, 7)]
    pages = provider.pages()
    seen = [node.id for node in next(pages)]
    provider.world.delete_by_hand(made[0])
    seen += [node.id for page in pages for node in page]
    assert seen == made


def test_a_foreign_machine_is_listed_as_nobody_s(cloud: Any) -> None:
    provider = cloud()
    node_id = provider.world.foreign(tags={"owner": "them"})
    (node,) = provider.list_nodes().nodes
    assert (node.id, node.token, node.estate, node.tags) == (node_id, None, None, {"owner": "them"})


def test_providers_of_one_named_world_see_the_same_machines(clock: FakeClock, ask: Any) -> None:
    options = DummySettings(world="memory:shared by two")
    one, two = (DummyProvider("east", options, now=clock.now, timeout_s=30) for _ in range(2))
    made = one.create_node(ask(one))
    assert [node.id for node in two.list_nodes().nodes] == [made.id]


def test_clouds_of_different_names_are_different_worlds_by_default(clock: FakeClock, ask: Any) -> None:
    east, west = (DummyProvider(name, DummySettings(), now=clock.now, timeout_s=30) for name in ("east", "west"))
    east.create_node(ask(east))
    assert not west.list_nodes().nodes


def test_a_monitor_keeps_its_cloud_when_its_providers_are_made_anew(clock: FakeClock, ask: Any) -> None:
    before = DummyProvider("east", DummySettings(), now=clock.now, timeout_s=30)
    made = before.create_node(ask(before))
    before.list_nodes()
    del before
    after = DummyProvider("east", DummySettings(), now=clock.now, timeout_s=30)
    clock.advance(1)
    assert [node.id for node in after.list_nodes().nodes] == [made.id]


def test_monitors_with_a_clock_each_have_a_cloud_each(ask: Any) -> None:
    one, two = (DummyProvider("east", DummySettings(), now=FakeClock().now, timeout_s=30) for _ in range(2))
    one.create_node(ask(one))
    assert not two.list_nodes().nodes


@pytest.mark.parametrize("address", ["memory", "memory:nobody holds it"])
def test_a_world_that_nobody_holds_is_gone_at_once(address: str, ask: Any) -> None:
    """Else one test would find the machines of another."""
    clock = FakeClock()
    provider = DummyProvider("east", DummySettings(world=address), now=clock.now, timeout_s=30)
    provider.create_node(ask(provider))
    provider.list_nodes()
    seen = weakref.ref(provider.world)
    del provider, clock
    assert seen() is None


def test_threads_that_race_with_one_token_get_one_machine(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(world="memory:raced for")
    requests = [ask(provider, ordinal) for ordinal in range(1, 21)]
    made: list[list[str]] = []
    start = threading.Barrier(8)

    def run() -> None:
        mine = DummyProvider("east", DummySettings(world="memory:raced for"), now=clock.now, timeout_s=30)
        start.wait()
        made.append([mine.create_node(request).id for request in requests])

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert all(ids == made[0] for ids in made)
    assert len(provider.world.nodes_true()) == 20


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="boot_time"):
        DummySettings(boot_time=3)  # type: ignore[call-arg]


def test_options_of_another_kind_are_refused(clock: FakeClock) -> None:
    with pytest.raises(TypeError):
        DummyProvider("east", {"seed": 1}, now=clock.now, timeout_s=30)


def test_ten_thousand_machines_are_listed_as_they_were_when_nothing_changed(cloud: Any) -> None:
    """The driver's nodes are made once and listed again: what makes a large quiet cloud cheap."""
    provider = cloud(page_size=100_000)
    for number in range(10_000):
        provider.world.foreign(f"m{number}")
    first, second = provider.driver.list_nodes(), provider.driver.list_nodes()
    assert first is not second
    assert all(before is after for before, after in zip(first, second, strict=True))
    provider.world.stop_by_hand(first[5].id)
    third = provider.driver.list_nodes()
    assert [place for place in range(10_000) if third[place] is not first[place]] == [5]
    assert first[5].state != third[5].state
