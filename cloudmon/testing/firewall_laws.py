"""Laws of :class:`~cloudmon.provider.Firewall`: what is isolated, what is let through again, who may talk to whom."""

from __future__ import annotations

from typing import cast

import pytest

from cloudmon.errors import Refused
from cloudmon.model.identity import TAG_ESTATE, new_uid
from cloudmon.model.nodes import PEERS_PREFIX, Node, NodeState, PeerGroup
from cloudmon.provider import Firewall, Resetting
from cloudmon.testing.ability_laws import GROUPING, AbilityLaws


class FirewallLaws(AbilityLaws):
    """Promises of ``Firewall``."""

    _grouped: list[PeerGroup]
    """Groups that are closed after the test."""

    @property
    def _firewall(self) -> Firewall:
        return cast("Firewall", self._provider)

    def test_a_node_that_nobody_isolated_is_told_as_such(self) -> None:
        self._needs("isolate_node")
        node = self.running()
        assert (node.isolated, self._provider.get_node(node.id).isolated) == (False, False)

    def test_an_isolated_node_is_told_as_such_and_goes_on_running(self) -> None:
        self._needs("isolate_node")
        node, other = self.running(1), self.running(2)
        for _ in range(2):  # the second time it is quiet
            self._firewall.isolate_node(node.id)
            assert self._is_told(node, isolated=True).state is NodeState.RUNNING
        assert self.listed()[other.id].isolated is False

    def test_a_released_node_is_told_as_such(self) -> None:
        self._needs("isolate_node", "release_node")
        node = self.running()
        self._firewall.isolate_node(node.id)
        self._is_told(node, isolated=True)
        for _ in range(2):
            self._firewall.release_node(node.id)
            assert self._is_told(node, isolated=False).state is NodeState.RUNNING

    def test_isolation_lasts_over_a_stop_and_a_start(self) -> None:
        self._needs("isolate_node", "stop_node", "start_node")
        node = self.running()
        self.order("stop_node", node.id)
        self.comes_to(node.id, NodeState.STOPPED)
        self._firewall.isolate_node(node.id)
        self._is_told(node, isolated=True)
        self.order("start_node", node.id)
        assert self.comes_to(node.id, NodeState.RUNNING).isolated is True

    def test_a_released_node_has_the_peers_that_it_had_whoever_releases_it(self) -> None:
        self._needs("isolate_node", "release_node", "open_peers")
        node, group = self.running(), self._a_group()
        self._firewall.open_peers(group, [node.id], [])
        self._is_in(node, group.name)
        self._firewall.isolate_node(node.id)
        if isinstance(self._provider, Resetting):
            self._provider.reset()
        self._firewall.release_node(node.id)
        self._is_in(node, group.name)

    def test_who_joins_its_peers_while_it_is_isolated_is_among_them_when_it_is_released(self) -> None:
        self._needs("isolate_node", "release_node", "open_peers")
        node, group = self.running(), self._a_group()
        self._firewall.isolate_node(node.id)
        self._firewall.open_peers(group, [node.id], [])
        self._is_told(node, isolated=True)
        self._firewall.release_node(node.id)
        self._is_in(node, group.name)

    @pytest.mark.parametrize("verb", GROUPING)
    def test_a_group_that_nobody_is_in_is_quiet_for(self, verb: str) -> None:
        self._needs(verb)
        self._call(verb, "")
        self._call(verb, "")
        assert f"{PEERS_PREFIX}conformance0" not in {found.name for found in self._firewall.list_peers()}

    def test_peers_join_a_group_with_its_ports_and_leave_it(self) -> None:
        self._needs(*GROUPING)
        first, second, other = self.running(1), self.running(2), self.running(3)
        group = self._a_group()
        for _ in range(2):
            self._firewall.open_peers(group, [first.id, second.id, self.unknown_id], [])
            self._is_in(first, group.name)
            self._is_in(second, group.name)
        assert self.listed()[other.id].peers == ""
        assert self._ports(group.name) == group.ports
        self._firewall.open_peers(group, [], [first.id])
        self._is_in(first, "")
        assert self.listed()[second.id].peers == group.name

    def test_the_ports_of_a_group_become_others(self) -> None:
        self._needs(*GROUPING)
        node, group = self.running(), self._a_group(80, 5432)
        self._firewall.open_peers(group, [node.id], [])
        later = PeerGroup(group.name, (443, 5432), group.tags)
        self._firewall.open_peers(later, [], [])
        assert self._ports(group.name) == (443, 5432)
        self._is_in(node, group.name)

    def test_a_group_is_closed_when_nobody_is_in_it_and_not_before(self) -> None:
        self._needs(*GROUPING)
        node, group = self.running(), self._a_group()
        self._firewall.open_peers(group, [node.id], [])
        self.refusal(lambda: self._firewall.close_peers(group.name), Refused)
        self._firewall.open_peers(group, [], [node.id])
        self._firewall.close_peers(group.name)
        assert self._ports(group.name) is None
        self._firewall.close_peers(group.name)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _a_group(self, *ports: int) -> PeerGroup:
        self._grouped.append(PeerGroup(f"{PEERS_PREFIX}{new_uid()}", ports or (5432,), {TAG_ESTATE: self._estate}))
        return self._grouped[-1]

    def _ports(self, name: str) -> tuple[int, ...] | None:
        """Ports of a group as the cloud tells them; None where it tells of no such group."""
        return next((found.ports for found in self._firewall.list_peers() if found.name == name), None)

    def _is_told(self, node: Node, *, isolated: bool) -> Node:
        self.until(lambda: self.listed()[node.id].isolated is isolated, f"the listing says isolated: {isolated}")
        return self.listed()[node.id]

    def _is_in(self, node: Node, group: str) -> None:
        self.until(lambda: self.listed()[node.id].peers == group, f"the listing shows its group {group!r}")
