"""The directory of a set."""

from __future__ import annotations

from pictures import aset, incarnation, member

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.peers import Peer, directory


def test_every_member_is_there_with_the_addresses_of_its_present_node() -> None:
    old = incarnation(1, 1, private_addresses=("10.0.0.9",))
    row = incarnation(1, 2, private_addresses=("10.0.0.1",), public_addresses=("192.0.2.1",))
    members = [
        member(ApplianceState.STOPPED, 2, incarnation=5),
        member(ordinal=1, incarnation=2),
        member(ApplianceState.RETIRED, 3),
    ]
    assert directory(aset(), members, [old, row]) == [
        Peer("storefront/1", 1, ApplianceState.RUNNING, 2, "east", ("10.0.0.1",), ("192.0.2.1",)),
        Peer("storefront/2", 2, ApplianceState.STOPPED, 5, "east"),
    ]


def test_one_whose_node_is_gone_has_no_address() -> None:
    gone = member(ApplianceState.REQUESTED, node_id="")
    (found,) = directory(aset(), [gone], [incarnation(1, private_addresses=("10.0.0.9",))])
    assert (found.private, found.public) == ((), ())
