"""What a dummy cloud tells whoever plays the insides of its machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloudmon.model.simulated import Insides, Machine
from cloudmon.provider import Simulated, abilities
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, worlds

GUESTS = {"crashed_per_h": 2, "stray_account_per_h": 0.5}


def made(provider: DummyProvider, ask: Any, ordinal: int = 1) -> str:
    node_id: str = provider.create_node(ask(provider, ordinal, user_data=f"#!/bin/sh\n# {ordinal}\n")).id
    return node_id


def the_one(provider: DummyProvider, since: int = 0) -> Machine:
    (found,) = provider.machines(since).changed
    return found


def test_its_settings_say_which_faults_strike_how_often(cloud: Any) -> None:
    provider = cloud(seed=7, guests=GUESTS)
    assert isinstance(provider, Simulated)
    assert provider.insides == Insides(7, {"crashed": 2, "stray-account": 0.5}, 60)


def test_without_such_settings_there_are_no_insides_and_nothing_is_kept_for_them(cloud: Any, ask: Any) -> None:
    provider = cloud()
    made(provider, ask)
    assert provider.insides is None
    assert provider.machines() == (0, [])
    assert all(machine.user_data == "" for machine in provider.world._machines.values())


def test_playing_insides_is_no_verb_that_a_monitor_has(cloud: Any) -> None:
    assert not {"machines", "insides"} & abilities(cloud(guests=GUESTS))


def test_a_machine_talks_once_it_is_up_and_knows_what_it_booted_with(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(guests=GUESTS, boot_s=30, listing_lag_s=300)
    node_id = made(provider, ask)
    assert the_one(provider) == Machine(node_id, "web-1", "#!/bin/sh\n# 1\n", True, False, 0)
    clock.advance(30)
    assert the_one(provider)[3:] == (True, True, 1)


@pytest.mark.parametrize(
    ("verbs", "talks", "boots"),
    [
        (["reboot_node"], True, 2),
        (["stop_node"], False, 1),
        (["stop_node", "start_node"], True, 2),
        (["suspend_node"], False, 1),
        (["suspend_node", "resume_node"], True, 1),
        (["isolate_node"], False, 1),
        (["isolate_node", "release_node"], True, 1),
    ],
    ids=["reboot", "stop", "stop and start", "suspend", "suspend and resume", "isolate", "isolate and release"],
)
@pytest.mark.parametrize("delay_s", [0, 5], ids=["at once", "with delays"])
def test_what_is_done_to_a_machine_is_what_its_inside_notices(
    verbs: list[str], talks: bool, boots: int, delay_s: float, cloud: Any, ask: Any, clock: FakeClock
) -> None:
    provider = cloud(guests=GUESTS, boot_s=delay_s, stop_s=delay_s)
    node_id = made(provider, ask)
    clock.advance(delay_s)
    for verb in verbs:
        getattr(provider, verb)(node_id)
        clock.advance(delay_s)
    assert the_one(provider)[3:] == (True, talks, boots)


def test_a_machine_that_crashed_or_hangs_says_nothing(cloud: Any, ask: Any) -> None:
    provider = cloud(guests=GUESTS)
    crashed, hung = made(provider, ask, 1), made(provider, ask, 2)
    provider.world.kill_node(crashed)
    provider.world.hang(hung)
    assert {machine.node_id: machine.talks for machine in provider.machines().changed} == {crashed: False, hung: False}


def test_one_that_ended_is_told_of_as_one_that_does_not_live(cloud: Any, ask: Any) -> None:
    provider = cloud(guests=GUESTS)
    provider.destroy_node(made(provider, ask))
    assert the_one(provider)[3:] == (False, False, 1)


def test_only_what_changed_since_the_last_question_is_told(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(guests=GUESTS, boot_s=5)
    first, second = made(provider, ask, 1), made(provider, ask, 2)
    clock.advance(5)
    mark, changed = provider.machines()
    assert [machine.node_id for machine in changed] == [first, second]
    assert provider.machines(mark).changed == []
    provider.reboot_node(first)
    assert [machine.node_id for machine in provider.machines(mark).changed] == [first]


def test_what_goes_wrong_between_caller_and_cloud_is_no_matter_of_the_insides(cloud: Any, ask: Any) -> None:
    provider = cloud(guests=GUESTS)
    node_id = made(provider, ask)
    provider.world.set_outage(True)
    assert the_one(provider).node_id == node_id
    assert "machines" not in provider.world.calls


def test_a_world_in_a_file_keeps_what_its_machines_boot_with(cloud: Any, ask: Any, tmp_path: Path) -> None:
    world = str(tmp_path / "east.world")
    before = cloud(world=world, guests=GUESTS)
    node_id = made(before, ask)
    found = the_one(before)
    before.world.close()
    worlds._named.clear()
    after = cloud(world=world, guests=GUESTS)
    assert after.world is not before.world
    assert the_one(after) == found
    assert found.node_id == node_id
