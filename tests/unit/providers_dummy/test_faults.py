"""What goes wrong between a caller and the dummy cloud comes out as the contract's errors, and repeats by its seed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cloudmon import errors
from cloudmon.model.nodes import NodeState
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, DummySettings, Fault


def test_a_throttled_call_says_when_to_come_back(cloud: Any) -> None:
    provider = cloud(faults={"throttle": 1, "retry_after_s": 4})
    with pytest.raises(errors.RateLimited) as caught:
        provider.list_nodes()
    assert caught.value.retry_after_s == 4


@pytest.mark.parametrize(
    ("fault", "error", "made"),
    [
        (Fault.TIMEOUT_BEFORE, errors.Unreachable, 0),
        (Fault.TIMEOUT_AFTER_EFFECT, errors.Unreachable, 1),
        (Fault.SERVER_ERROR, errors.Unreachable, 0),
        (Fault.THROTTLE, errors.RateLimited, 0),
        (Fault.OUTAGE, errors.Unreachable, 0),
        (Fault.REJECTED, errors.CredentialsRejected, 0),
    ],
    ids=str,
)
def test_a_create_that_went_wrong_had_its_effect_or_not(
    cloud: Any, ask: Any, fault: Fault, error: type[errors.CloudError], made: int
) -> None:
    provider = cloud()
    provider.world.plan_fault("create_node", fault)
    with pytest.raises(error) as caught:
        provider.create_node(ask(provider))
    assert len(provider.world.nodes_true()) == made
    assert not (caught.value.definite and made)
    provider.create_node(ask(provider))
    assert len(provider.world.nodes_true()) == 1


def test_a_destroy_that_times_out_after_its_effect_was_one(cloud: Any, ask: Any) -> None:
    provider = cloud()
    made = provider.create_node(ask(provider))
    provider.world.plan_fault("destroy_node", "timeout_after_effect")
    with pytest.raises(errors.Unreachable):
        provider.destroy_node(made.id)
    assert not provider.world.nodes_true()


def test_an_empty_listing_is_silent(cloud: Any, ask: Any) -> None:
    provider = cloud()
    provider.create_node(ask(provider))
    provider.world.plan_fault("list_nodes", Fault.EMPTY_LISTING)
    assert not provider.list_nodes().nodes
    assert len(provider.list_nodes().nodes) == 1


def test_a_partial_listing_is_silent_and_a_true_part(cloud: Any, ask: Any) -> None:
    provider = cloud(page_size=1000)
    made = {provider.create_node(ask(provider, ordinal)).id for ordinal in range(1, 51)}
    provider.world.plan_fault("list_nodes", Fault.PARTIAL_LISTING)
    seen = {node.id for node in provider.list_nodes().nodes}
    assert seen < made
    assert seen


def test_a_malformed_listing_is_no_listing(cloud: Any) -> None:
    provider = cloud(faults={"malformed": 1})
    with pytest.raises(errors.UnexpectedAnswer):
        provider.list_nodes()


def test_a_page_that_fails_fails_the_listing(cloud: Any, ask: Any) -> None:
    provider = cloud(page_size=1)
    for ordinal in range(1, 4):
        provider.create_node(ask(provider, ordinal))
    read = provider.driver.ex_list_page

    def page(begin: str = "") -> object:
        answer = read(begin)
        provider.world.plan_fault("list_nodes", Fault.TIMEOUT_BEFORE)
        return answer

    provider.driver.ex_list_page = page
    with pytest.raises(errors.Unreachable):
        provider.list_nodes()
    assert provider.world.calls["list_nodes"] == 2


def test_an_outage_is_of_everything_and_machines_go_on_in_it(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(boot_s=30)
    made = provider.create_node(ask(provider))
    provider.world.set_outage(True)
    for call in (provider.list_nodes, provider.list_offers, lambda: provider.get_node(made.id)):
        with pytest.raises(errors.Unreachable):
            call()
    clock.advance(30)
    provider.world.set_outage(False)
    assert provider.get_node(made.id).state is NodeState.RUNNING


def test_outages_come_and_go_on_schedule(cloud: Any, clock: FakeClock) -> None:
    provider = cloud(faults={"outage": [[10, 20], [30, 40]]})
    heard = []
    for _ in range(6):
        try:
            provider.list_nodes()
            heard.append(True)
        except errors.Unreachable:
            heard.append(False)
        clock.advance(10)
    assert heard == [True, False, True, False, True, True]


def test_planned_faults_wait_for_their_verb_and_are_used_up(cloud: Any) -> None:
    provider = cloud()
    provider.world.plan_fault("list_offers", Fault.THROTTLE, times=2)
    provider.list_nodes()
    for _ in range(2):
        with pytest.raises(errors.RateLimited):
            provider.list_offers()
    provider.list_offers()


def story(seed: int) -> list[str]:
    """What one seed's cloud does to a caller who does always the same."""
    clock = FakeClock()
    options = DummySettings(
        world=f"memory:{uuid.uuid4()}",
        seed=seed,
        listing_lag_s=30,
        faults={"throttle": 0.2, "timeout_before": 0.1, "partial_listing": 0.2, "node_death_per_h": 20},  # type: ignore[arg-type]
    )
    provider = DummyProvider("east", options, now=clock.now, timeout_s=30)
    told: list[str] = []
    for number in range(60):
        clock.advance(20)
        if number < 10:
            provider.world.foreign(f"m{number}")
        try:
            told.append(str([(node.id, node.word) for node in provider.list_nodes().nodes]))
        except errors.CloudError as error:
            told.append(repr(error))
    return told


def test_the_same_seed_is_the_same_story_and_another_is_another() -> None:
    assert story(1) == story(1)
    assert story(1) != story(2)


def test_chance_comes_as_often_as_it_should(cloud: Any) -> None:
    provider = cloud(faults={"throttle": 0.25})
    throttled = 0
    for _ in range(400):
        try:
            provider.list_nodes()
        except errors.RateLimited:
            throttled += 1
    assert 70 <= throttled <= 130
