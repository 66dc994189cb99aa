"""Laws of the optional abilities. What a provider does not declare must raise ``Unsupported`` and do nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudmon.errors import CloudError, NotFound, Refused, Unsupported
from cloudmon.model.nodes import PEERS_PREFIX, CommandResult, NodeEvent, NodeState, PeerGroup
from cloudmon.provider import ABILITIES, abilities
from cloudmon.testing.law_words import ODD_IDS, LawWords

VERBS = tuple(verb for _, verbs in ABILITIES.values() for verb in verbs)
HEARING = ABILITIES["events"][1]
ASKED = "command_result"
FORGETTING = "forget_snapshot"
"""About what was kept of a node, which may be gone."""
GROUPING = ("open_peers", "close_peers", "list_peers")
ON_NODES = tuple(verb for verb in VERBS if verb not in (*HEARING, *GROUPING, ASKED, FORGETTING))
"""Verbs that are about one node."""
ORDERS = tuple(verb for verb in ON_NODES if verb != "tag_node")


class AbilityLaws(LawWords):
    """Promises of :class:`~cloudmon.provider.PowerControl`, ``Suspend``, ``Tagging``, ``Snapshot``, ``RunCommand`` and
    ``Events``; those of ``Firewall`` are in :class:`~cloudmon.testing.firewall_laws.FirewallLaws`."""

    def order(self, verb: str, node_id: str) -> None:
        """Give one order; skips the law where the verb is not declared."""
        self._needs(verb)
        self._call(verb, node_id)

    def _needs(self, *verbs: str) -> None:
        missing = [verb for verb in verbs if verb not in abilities(self._provider)]
        if missing:
            pytest.skip(f"not offered: {', '.join(missing)}")

    def _call(self, verb: str, node_id: str) -> None:
        method: Callable[..., None] = getattr(self._provider, verb)
        if verb == "tag_node":
            method(node_id, {"conformance": "yes"})
        elif verb == "snapshot_node":
            method(node_id, "conformance", {"conformance": "yes"})
        elif verb == FORGETTING:
            method(node_id, "conformance", "conformance-0")
        elif verb == "start_command":
            method(node_id, [["true"]], 30.0)
        elif verb == ASKED:
            method(node_id, "conformance-0000-0000-0000-000000000000")
        elif verb == "open_peers":
            method(PeerGroup(f"{PEERS_PREFIX}conformance0", (5432,)), [], [])
        elif verb == "close_peers":
            method(f"{PEERS_PREFIX}conformance0")
        elif verb == "list_peers":
            method()
        elif verb in HEARING:
            method(0.0 if verb == "wait_events" else [])
        else:
            method(node_id)

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_verb_that_is_not_declared_raises_unsupported(self, verb: str) -> None:
        node = self.running()
        if verb in abilities(self._provider):
            self._call(verb, node.id)
        elif hasattr(self._provider, verb):
            assert self.refusal(lambda: self._call(verb, node.id), Unsupported).definite
            assert self.listed()[node.id].state is NodeState.RUNNING

    @pytest.mark.parametrize("verb", ON_NODES)
    def test_a_node_that_never_was_is_not_found_by(self, verb: str) -> None:
        self._needs(verb)
        self.refusal(lambda: self._call(verb, self.unknown_id), NotFound)

    @pytest.mark.parametrize("verb", ON_NODES)
    def test_whatever_the_id_no_foreign_exception_comes_out_of(self, verb: str) -> None:
        self._needs(verb)
        for odd in ODD_IDS:
            self.refusal(lambda odd=odd: self._call(verb, odd), CloudError)  # type: ignore[misc]

    @pytest.mark.parametrize("verb", ORDERS)
    def test_a_node_that_has_ended_obeys_no(self, verb: str) -> None:
        self._needs(verb)
        node = self.running()
        self._provider.destroy_node(node.id)
        self.goes(node.id)
        self.refusal(lambda: self._call(verb, node.id), NotFound, Refused)

    def test_a_stopped_node_comes_to_be_stopped_and_started_to_run(self) -> None:
        node = self.running()
        self.order("stop_node", node.id)
        self.comes_to(node.id, NodeState.STOPPED)
        self.order("start_node", node.id)
        self.comes_to(node.id, NodeState.RUNNING)

    def test_a_second_stop_is_quiet(self) -> None:
        node = self.running()
        self.order("stop_node", node.id)
        self.order("stop_node", node.id)
        self.comes_to(node.id, NodeState.STOPPED)
        self.order("stop_node", node.id)
        assert self._provider.get_node(node.id).state is NodeState.STOPPED

    def test_a_start_of_what_runs_is_quiet(self) -> None:
        node = self.running()
        self.order("start_node", node.id)
        self.comes_to(node.id, NodeState.RUNNING)

    def test_a_stopped_node_is_destroyed_like_another(self) -> None:
        node = self.running()
        self.order("stop_node", node.id)
        self.comes_to(node.id, NodeState.STOPPED)
        self._provider.destroy_node(node.id)
        self.goes(node.id)

    def test_a_rebooted_node_comes_to_run_again(self) -> None:
        node = self.running()
        self.order("reboot_node", node.id)
        self._a_while()
        self.comes_to(node.id, NodeState.RUNNING)

    def test_a_reboot_of_what_is_stopped_is_refused(self) -> None:
        self._needs("stop_node", "reboot_node")
        node = self.running()
        self.order("stop_node", node.id)
        self.comes_to(node.id, NodeState.STOPPED)
        self.refusal(lambda: self._call("reboot_node", node.id), Refused)

    def test_a_suspended_node_is_suspended_and_resumed_to_run(self) -> None:
        node = self.running()
        self.order("suspend_node", node.id)
        self.comes_to(node.id, NodeState.SUSPENDED)
        self.order("suspend_node", node.id)
        self.order("resume_node", node.id)
        self.comes_to(node.id, NodeState.RUNNING)
        self.order("resume_node", node.id)

    def test_a_suspend_of_what_is_stopped_is_refused(self) -> None:
        self._needs("stop_node", "suspend_node")
        node = self.running()
        self.order("stop_node", node.id)
        self.comes_to(node.id, NodeState.STOPPED)
        self.refusal(lambda: self._call("suspend_node", node.id), Refused)

    def test_tags_are_added_and_replaced_and_the_others_kept(self) -> None:
        self._needs("tag_node")
        node = self.running()
        self._provider.tag_node(node.id, {"colour": "red", "shape": "round"})  # type: ignore[attr-defined]
        self._provider.tag_node(node.id, {"colour": "blue"})  # type: ignore[attr-defined]
        wanted = {**node.tags, "colour": "blue", "shape": "round"}

        def shown() -> bool:
            return dict(self.listed()[node.id].tags) == wanted

        self.until(shown, "the listing shows the new tags beside the old ones")
        assert self.listed()[node.id].token == node.token

    def test_a_snapshot_is_taken_once_for_each_name_and_its_node_goes_on(self) -> None:
        self._needs("snapshot_node")
        node = self.running()

        def kept(name: str) -> str:
            found: str = self._provider.snapshot_node(node.id, name, dict(node.tags))  # type: ignore[attr-defined]
            return found

        first = kept("conformance-1")
        assert first
        assert kept("conformance-1") == first
        assert kept("conformance-2") not in ("", first)
        assert self._provider.get_node(node.id).state is NodeState.RUNNING
        assert set(self.listed()) >= {node.id}

    def test_a_snapshot_is_forgotten_by_its_name_and_its_id_and_no_other_is(self) -> None:
        self._needs("snapshot_node", FORGETTING)
        node, provider = self.running(), self._provider

        def kept(name: str) -> str:
            found: str = provider.snapshot_node(node.id, name, dict(node.tags))  # type: ignore[attr-defined]
            return found

        def forget(name: str, snapshot: str) -> None:
            provider.forget_snapshot(node.id, name, snapshot)  # type: ignore[attr-defined]

        first, second = kept("conformance-1"), kept("conformance-2")
        forget("conformance-2", first)
        forget("conformance-3", first)
        assert (kept("conformance-1"), kept("conformance-2")) == (first, second)
        forget("conformance-1", first)
        forget("conformance-1", first)
        assert kept("conformance-1") not in ("", first, second)
        assert kept("conformance-2") == second

    @pytest.mark.parametrize("verb", [FORGETTING])
    def test_what_was_never_kept_and_a_node_that_is_gone_are_quiet_for(self, verb: str) -> None:
        self._needs(verb)
        node = self.running()
        self._call(verb, node.id)
        self._provider.destroy_node(node.id)
        self.goes(node.id)
        for node_id in (node.id, self.unknown_id):
            self._call(verb, node_id)

    @pytest.mark.parametrize("verb", HEARING)
    def test_nothing_to_tell_is_an_empty_answer_to(self, verb: str) -> None:
        self._needs(verb)
        for _ in range(1_000):
            told = self._provider.wait_events(0.0)  # type: ignore[attr-defined]
            if not told:
                break
            self._provider.take_events([event.receipt for event in told])  # type: ignore[attr-defined]
        assert list(self._provider.wait_events(0.0)) == []  # type: ignore[attr-defined]
        self._provider.take_events(["conformance"])  # type: ignore[attr-defined]

    @pytest.mark.parametrize("verb", [ASKED])
    def test_nothing_is_known_of_a_command_that_was_never_begun_by(self, verb: str) -> None:
        self._needs(verb)
        node = self.running()
        assert self._provider.command_result(node.id, "conformance-0000-0000-0000-000000000000") is None  # type: ignore[attr-defined]

    def test_a_command_that_is_begun_comes_to_a_result(self) -> None:
        self._needs("start_command", ASKED)
        node = self.running()
        command = self._provider.start_command(node.id, [["echo", "a b; c"], ["true"]], 30.0)  # type: ignore[attr-defined]
        assert command

        def result() -> CommandResult | None:
            return self._provider.command_result(node.id, command)  # type: ignore[attr-defined,no-any-return]

        self.until(lambda: result() is not None, "the command ends")
        found = result()
        assert found is not None
        assert (found.exit, found.error) == (0, "")

    def test_a_command_is_not_begun_in_what_is_stopped(self) -> None:
        self._needs("stop_node", "start_command")
        node = self.running()
        self.order("stop_node", node.id)
        self.comes_to(node.id, NodeState.STOPPED)
        self.refusal(lambda: self._call("start_command", node.id), NotFound, Refused)

    def test_an_event_comes_until_it_is_taken_and_names_its_node(self) -> None:
        self._needs("stop_node", *HEARING)
        node = self.running()
        self.tell(node.id, "stopped")

        def told() -> list[NodeEvent]:
            return [one for one in self._provider.wait_events(0.0) if one.node_id == node.id]  # type: ignore[attr-defined]

        self.until(lambda: bool(told()), "the cloud tells of it")
        for _ in range(100):
            every = self._provider.wait_events(0.0)  # type: ignore[attr-defined]
            if not every:
                break
            self._provider.take_events([one.receipt for one in every])  # type: ignore[attr-defined]
        assert told() == []

    def tell(self, node_id: str, word: str) -> None:  # noqa: ARG002  # for those whose cloud has to be made to tell
        """Have the cloud tell of a node; here it does because the node is stopped."""
        self._call("stop_node", node_id)

    def test_what_is_declared_can_be_called(self) -> None:
        for verb in abilities(self._provider):
            assert callable(getattr(self._provider, verb))

    def _a_while(self) -> None:
        """A step of time, so that a picture from before the order is past."""
        looks = iter((False, True))
        self.until(lambda: next(looks), "time passes")
