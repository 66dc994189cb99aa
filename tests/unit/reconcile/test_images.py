"""Where a member stands in a roll-out of what it is made of: tables, and what holds for every such roll-out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import NOW, UID, ago, ahead, aset, control, member

from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.sets import ControlKind, Healing, Template
from cloudmon.model.updates import Made, Updates, Upkeep, Version
from cloudmon.reconcile import images, replacing, rollouts
from cloudmon.reconcile.images import Seen
from cloudmon.reconcile.rollouts import Phase

NEW = Template("web", {"east": "image-2", "*": "image-9"}, user_data="hello", boot_timeout_s=200)
HASH = NEW.user_data_hash()
UPDATES = Updates(canary=1, batch=3, healthy_s=60, patience_s=300, method="replace")
SET = aset(template=replace(NEW, updates=UPDATES), healing=Healing(verify_s=100))
RUNNING, REQUESTED, LAUNCHING = ApplianceState.RUNNING, ApplianceState.REQUESTED, ApplianceState.LAUNCHING


@pytest.mark.parametrize(
    ("made", "outdated"),
    [
        pytest.param(Made("east", "image-1", HASH), True, id="another-image"),
        pytest.param(Made("east", "image-2", HASH), False, id="the-same"),
        pytest.param(Made("east", "image-2", "other"), True, id="other-user-data"),
        pytest.param(Made("east", "image-2", None), False, id="nobody-wrote-its-user-data-down"),
        pytest.param(Made("east", "image-1", None), True, id="another-image-says-enough"),
        pytest.param(Made("west", "image-2", HASH), True, id="the-image-of-another-cloud"),
        pytest.param(Made("west", "image-9", HASH), False, id="the-image-of-any-cloud"),
        pytest.param(Made("east", "", HASH), None, id="no-image-was-written-down"),
        pytest.param(None, None, id="nobody-asked-for-it"),
    ],
)
def test_what_was_asked_for_is_compared_with_what_is_wanted(made: Made | None, outdated: bool | None) -> None:
    assert images.outdated(made, NEW, HASH) is outdated


def test_a_cloud_without_an_image_says_nothing() -> None:
    assert images.outdated(Made("west", "image-1", HASH), replace(NEW, images={"east": "image-2"}), HASH) is None


def test_user_data_is_what_the_template_says_and_whether_the_agent_comes_along() -> None:
    """What is derived for one incarnation, a token or a list of peers, has no part in it."""
    hashes = {one.user_data_hash() for one in (NEW, replace(NEW, user_data="other"), replace(NEW, agent=not NEW.agent))}
    assert len(hashes) == 3
    assert replace(NEW, name="other", boot_timeout_s=1).user_data_hash() == HASH


def test_a_roll_out_is_another_one_only_where_members_are_made_of_something_else() -> None:
    key = rollouts.key_of_image(UID, NEW)
    assert key == rollouts.key_of_image(UID, replace(NEW, updates=UPDATES, boot_timeout_s=7))
    others = [replace(NEW, images={"*": "image-2"}), replace(NEW, user_data="")]
    assert len({key, rollouts.key_of_image("other", NEW), *(rollouts.key_of_image(UID, one) for one in others)}) == 4


def watched(state: ApplianceState = RUNNING, since_s: float = 100, **other: object) -> Seen:
    """Replaced ten minutes ago, by a roll-out that watches it."""
    told = {"replaced_at": ago(600), "watched_since": ago(600), **other}
    return Seen(state, ago(since_s), None if state is REQUESTED else False, **told)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        pytest.param(Seen(RUNNING, ago(9), True), Phase.BEHIND, id="outdated"),
        pytest.param(Seen(RUNNING, ago(9), True, held="is paused"), Phase.HELD, id="outdated-and-held"),
        pytest.param(Seen(RUNNING, ago(9), True, replaced_at=ago(5), watched_since=ago(5)), Phase.BEHIND,
                     id="replaced-and-something-else-is-wanted-since"),
        pytest.param(Seen(RUNNING, ago(9), False), Phase.CURRENT, id="launched-with-it"),
        pytest.param(Seen(RUNNING, ago(9), None), Phase.UNKNOWN, id="adopted"),
        pytest.param(Seen(REQUESTED, ago(9), None), Phase.UNKNOWN, id="without-a-node"),
        pytest.param(Seen(REQUESTED, ago(9), None, off=True), Phase.CURRENT, id="off-and-without-a-node"),
        pytest.param(Seen(RUNNING, ago(9), False, replaced_at=ago(600)), Phase.DONE, id="was-found-well"),
        pytest.param(Seen(REQUESTED, ago(9), None, replaced_at=ago(600)), Phase.DONE, id="was-well-and-is-lost"),
        pytest.param(watched(REQUESTED), Phase.OUT, id="its-former-node-ends"),
        pytest.param(watched(LAUNCHING), Phase.OUT, id="its-next-one-boots"),
        pytest.param(watched(LAUNCHING, watched_since=ago(659)), Phase.OUT, id="has-time-to-boot"),
        pytest.param(watched(LAUNCHING, watched_since=ago(660)), Phase.BROKEN, id="does-not-boot"),
        pytest.param(watched(REQUESTED, watched_since=ago(660)), Phase.BROKEN, id="is-not-launched"),
        pytest.param(watched(ApplianceState.FAULTED), Phase.SETTLING, id="faulted-and-may-be-healed"),
        pytest.param(watched(ApplianceState.FAULTED, watched_since=ago(660)), Phase.BROKEN, id="not-healed"),
        pytest.param(watched(up_since=ago(60)), Phase.DONE, id="well-for-long-enough"),
        pytest.param(watched(up_since=ago(59)), Phase.SETTLING, id="well-and-young"),
        pytest.param(watched(since_s=359), Phase.SETTLING, id="down-within-its-patience"),
        pytest.param(watched(since_s=360), Phase.BROKEN, id="down-beyond-it"),
        pytest.param(watched(since_s=360, watched_since=ago(10)), Phase.SETTLING, id="watched-anew"),
        pytest.param(watched(up_since=ago(90), alarm=ago(50)), Phase.SETTLING, id="critical-finding-since"),
        pytest.param(watched(since_s=400, up_since=ago(90), alarm=ago(50)), Phase.BROKEN, id="and-it-does-not-end"),
        pytest.param(watched(up_since=ago(90), alarm=ago(601)), Phase.DONE, id="critical-finding-before"),
        pytest.param(watched(ApplianceState.STOPPED, off=True), Phase.DONE, id="somebody-turned-it-off"),
    ],
)  # fmt: skip
def test_where_a_member_stands(seen: Seen, phase: Phase) -> None:
    assert images.phase(seen, SET, NOW) is phase


UP, DOWN = Version("shop", state="up", since=ago(30)), Version("shop", state="down", since=ago(30))


@pytest.mark.parametrize(
    ("one", "agent", "kept", "since"),
    [
        pytest.param(member(), False, None, ago(3_600), id="its-cloud-says-so"),
        pytest.param(member(), True, None, None, id="its-agent-is-silent"),
        pytest.param(member(), True, Upkeep(1), ago(3_600), id="its-agent-is-heard"),
        pytest.param(member(), True, Upkeep(1, (UP,)), ago(30), id="its-application-is-up"),
        pytest.param(member(), False, Upkeep(1, (UP, DOWN)), None, id="one-of-them-is-down"),
        pytest.param(member(), True, Upkeep(1, (Version("shop"),)), None, id="nobody-can-say"),
        pytest.param(member(ApplianceState.FAULTED), False, None, None, id="does-not-run"),
    ],
)
def test_since_when_a_member_is_well(one: Member, agent: bool, kept: Upkeep | None, since: object) -> None:
    assert images.up_since(one, replace(NEW, agent=agent), kept) == since


@pytest.mark.parametrize(
    ("one", "kind", "reason"),
    [
        pytest.param(member(), None, "", id="runs"),
        pytest.param(member(ApplianceState.FAULTED), None, "", id="faulted"),
        pytest.param(member(LAUNCHING), None, "is launching", id="launching"),
        pytest.param(member(ApplianceState.STOPPED, wanted=Power.STOPPED), None, "is stopped", id="off"),
        pytest.param(member(), ControlKind.PAUSE, "held by pause of ann: audit", id="paused"),
        pytest.param(member(), ControlKind.MAINTENANCE, "held by maintenance of ann: audit", id="in-maintenance"),
        pytest.param(member(), ControlKind.PROTECT, "is protected by ann: audit", id="protected"),
    ],
)
def test_what_keeps_a_member_from_being_replaced(one: Member, kind: ControlKind | None, reason: str) -> None:
    laid = (control(kind),) if kind is not None else ()
    assert images.kept_back(one, replace(SET, controls=laid), NOW) == reason


# --- whose turn it is -------------------------------------------------------------------------------------------------

_PHASES = [Phase.BEHIND, Phase.HELD, Phase.OUT, Phase.SETTLING, Phase.DONE, Phase.CURRENT, Phase.BROKEN, Phase.UNKNOWN]
_STATES = [RUNNING, RUNNING, RUNNING, ApplianceState.FAULTED, LAUNCHING]


def test_those_that_are_down_already_go_first() -> None:
    members = {n: member(ApplianceState.FAULTED if n == 3 else RUNNING, n) for n in (1, 2, 3)}
    found = replacing.decision(UPDATES, dict.fromkeys(members, Phase.BEHIND), members, failed=False)
    assert found.update == (3,)


@given(
    st.lists(st.tuples(st.sampled_from(_PHASES), st.sampled_from(_STATES)), min_size=1, max_size=10),
    st.integers(1, 3), st.integers(1, 4), st.booleans(), st.sets(st.integers(1, 10)),
)  # fmt: skip
def test_never_more_than_a_batch_is_out_and_nobody_is_replaced_after_a_failure(
    told: list[tuple[Phase, ApplianceState]], canary: int, batch: int, failed: bool, held: set[int]
) -> None:
    stands = {n: stand for n, (stand, _) in enumerate(told, 1)}
    members = {n: member(state, n) for n, (_, state) in enumerate(told, 1)}
    updates = replace(UPDATES, canary=canary, batch=batch)
    found = replacing.decision(updates, stands, members, failed=failed, held=held)
    taken = set(found.update)
    assert found.undo == ()
    assert all(stands[n] is Phase.BEHIND and n not in held for n in taken)
    if taken:
        assert not failed
        assert Phase.BROKEN not in stands.values()
        under_way = {n for n, one in stands.items() if one in (Phase.OUT, Phase.SETTLING)}
        down = {n for n, one in members.items() if one.state is not RUNNING}
        # Who waits for its turn and is down already is no loss to anybody.
        lost = under_way | taken | {n for n in down if stands[n] is not Phase.BEHIND or n in held}
        assert len(lost) <= batch
        done = sum(1 for one in stands.values() if one is Phase.DONE)
        assert done >= canary or done + len(under_way | taken) <= canary


@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 8))
def test_every_roll_out_comes_to_its_end(data: st.DataObject, canary: int, batch: int, count: int) -> None:
    """All are replaced and well, or one is not and nobody else is replaced."""
    updates = replace(UPDATES, canary=canary, batch=batch)
    members = {n: member(RUNNING, n) for n in range(1, count + 1)}
    stands = dict.fromkeys(members, Phase.BEHIND)
    for _ in range(4 * count):
        found = replacing.decision(updates, stands, members, failed=False)
        for n, one in stands.items():
            if one is Phase.OUT:
                stands[n] = data.draw(st.sampled_from([Phase.DONE, Phase.DONE, Phase.DONE, Phase.BROKEN]))
        stands |= dict.fromkeys(found.update, Phase.OUT)
    assert found.state in (rollouts.State.DONE, rollouts.State.FAILED)
    assert (found.state is rollouts.State.DONE) == (set(stands.values()) == {Phase.DONE})
    assert found.update == ()


def test_time_alone_ends_patience() -> None:
    waiting = watched(since_s=0)
    assert images.phase(waiting, SET, ahead(359)) is Phase.SETTLING
    assert images.phase(waiting, SET, ahead(360)) is Phase.BROKEN
