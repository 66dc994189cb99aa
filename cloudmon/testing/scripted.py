"""A provider that plays a script: for tests of what is above the contract with a cloud.

Without a script it is a small cloud without delays. :meth:`ScriptedProvider.play` puts answers before that: what is an
exception is raised, what is callable is called with the call's arguments, anything else is the answer.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cloudmon import errors
from cloudmon.model.identity import TAG_ESTATE, TAG_TOKEN
from cloudmon.model.nodes import ENDED, CommandResult, Listing, Node, NodeEvent, NodeRequest, NodeState, PeerGroup
from cloudmon.model.offers import Offer


class Played(NamedTuple):
    """One call that came."""

    verb: str
    arguments: tuple[Any, ...]


class ScriptedProvider:
    """The whole contract with every ability, in memory.

    Arguments:
        cloud: its name.
        now: the clock's.
        nodes: what it holds at first.
        offers: what it sells.
        lacking: verbs that this instance raises ``Unsupported`` for.
    """

    def __init__(
        self,
        cloud: str = "east",
        *,
        now: Callable[[], dt.datetime],
        nodes: Iterable[Node] = (),
        offers: Sequence[Offer] = (),
        lacking: Collection[str] = (),
    ) -> None:
        self.cloud = cloud
        self.nodes: dict[str, Node] = {node.id: node for node in nodes}
        self.offers = tuple(offers)
        self.calls: list[Played] = []
        """Every call, in order."""
        self.results: dict[str, CommandResult] = {}
        self.snapshots: dict[tuple[str, str], str] = {}
        """Ids of snapshots, by node and name."""
        self._kept = 0
        """What commands came to, by id; one that was begun is well at once."""
        self.groups: dict[str, PeerGroup] = {}
        """Groups of peers, by name."""
        self.events: list[NodeEvent] = []
        """What it has to tell and was not taken yet."""
        self._now = now
        self._lacking = frozenset(lacking)
        self._script: dict[str, deque[Any]] = defaultdict(deque)
        self._made = 0

    def play(self, verb: str, *answers: Any) -> None:
        """Answer the next calls of the verb like this, one answer a call; after them it is a small cloud again."""
        self._script[verb].extend(answers)

    def lacks(self, verb: str) -> bool:
        return verb in self._lacking

    def called(self, verb: str) -> list[tuple[Any, ...]]:
        """The arguments of every call of the verb."""
        return [call.arguments for call in self.calls if call.verb == verb]

    def list_nodes(self) -> Listing:
        now = self._now()
        answer: Listing = self._answer("list_nodes", lambda: Listing(self.cloud, tuple(self.nodes.values()), now, now))
        return answer

    def get_node(self, node_id: str) -> Node:
        node: Node = self._answer("get_node", self._known, node_id)
        return node

    def create_node(self, request: NodeRequest) -> Node:
        node: Node = self._answer("create_node", self._create, request)
        return node

    def destroy_node(self, node_id: str) -> None:
        self._answer("destroy_node", lambda gone: self.nodes.pop(gone, None), node_id)

    def list_offers(self) -> Sequence[Offer]:
        offers: Sequence[Offer] = self._answer("list_offers", lambda: self.offers)
        return offers

    def start_node(self, node_id: str) -> None:
        self._answer("start_node", lambda at: self._turn(at, NodeState.RUNNING), node_id)

    def stop_node(self, node_id: str) -> None:
        self._answer("stop_node", lambda at: self._turn(at, NodeState.STOPPED), node_id)

    def reboot_node(self, node_id: str) -> None:
        self._answer("reboot_node", lambda at: self._turn(at, NodeState.RUNNING), node_id)

    def suspend_node(self, node_id: str) -> None:
        self._answer("suspend_node", lambda at: self._turn(at, NodeState.SUSPENDED), node_id)

    def resume_node(self, node_id: str) -> None:
        self._answer("resume_node", lambda at: self._turn(at, NodeState.RUNNING), node_id)

    def tag_node(self, node_id: str, tags: Mapping[str, str]) -> None:
        self._answer("tag_node", self._tag, node_id, tags)

    def snapshot_node(self, node_id: str, name: str, tags: Mapping[str, str]) -> str:
        kept: str = self._answer("snapshot_node", self._keep, node_id, name, tags)
        return kept

    def forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        self._answer("forget_snapshot", self._forget, node_id, name, kept)

    def isolate_node(self, node_id: str) -> None:
        self._answer("isolate_node", lambda at: self._wall(at, isolated=True), node_id)

    def release_node(self, node_id: str) -> None:
        self._answer("release_node", lambda at: self._wall(at, isolated=False), node_id)

    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        self._answer("open_peers", self._open, group, tuple(joining), tuple(leaving))

    def close_peers(self, name: str) -> None:
        self._answer("close_peers", lambda closed: self.groups.pop(closed, None), name)

    def list_peers(self) -> Sequence[PeerGroup]:
        found: Sequence[PeerGroup] = self._answer("list_peers", lambda: tuple(self.groups.values()))
        return found

    def start_command(self, node_id: str, argvs: Sequence[Sequence[str]], timeout_s: float) -> str:
        begun: str = self._answer("start_command", self._begin, node_id, argvs, timeout_s)
        return begun

    def command_result(self, node_id: str, command_id: str) -> CommandResult | None:
        found: CommandResult | None = self._answer(
            "command_result", lambda _, known: self.results.get(known), node_id, command_id
        )
        return found

    def wait_events(self, wait_s: float) -> Sequence[NodeEvent]:
        told: Sequence[NodeEvent] = self._answer("wait_events", lambda _: tuple(self.events[:10]), wait_s)
        return told

    def take_events(self, receipts: Sequence[str]) -> None:
        self._answer("take_events", self._take, receipts)

    def reset(self) -> None:
        self._answer("reset", lambda: None)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _answer(self, verb: str, otherwise: Callable[..., Any], *arguments: Any) -> Any:
        self.calls.append(Played(verb, arguments))
        if verb in self._lacking:
            raise errors.Unsupported(f"{self.cloud}: cannot {verb}", cloud=self.cloud)
        script = self._script[verb]
        if not script:
            return otherwise(*arguments)
        played = script.popleft()
        if isinstance(played, BaseException):
            raise played
        return played(*arguments) if callable(played) else played

    def _known(self, node_id: str) -> Node:
        if node_id not in self.nodes:
            raise errors.NotFound(f"{self.cloud}: there is no node {node_id}", cloud=self.cloud)
        return self.nodes[node_id]

    def _create(self, request: NodeRequest) -> Node:
        for node in self.nodes.values():
            if node.token == request.token and node.state not in ENDED:
                return node
        self._made += 1
        tags = dict(request.tags)
        node = Node(
            id=f"node-{self._made}",
            name=request.name,
            state=NodeState.RUNNING,
            word="running",
            token=request.token,
            estate=tags.get(TAG_ESTATE),
            location=request.offer.location,
            size=request.offer.size,
            image=request.image,
            public_addresses=(),
            private_addresses=(),
            created_at=self._now(),
            tags=tags,
            isolated=None if "isolate_node" in self._lacking else False,
            peers=None if "open_peers" in self._lacking else "",
        )
        self.nodes[node.id] = node
        return node

    def _turn(self, node_id: str, state: NodeState) -> None:
        self.nodes[node_id] = self._known(node_id)._replace(state=state, word=state.value)

    def _wall(self, node_id: str, *, isolated: bool) -> None:
        self.nodes[node_id] = self._known(node_id)._replace(isolated=isolated)

    def _open(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        if joining or group.name in self.groups:
            self.groups[group.name] = group
        for node_ids, peers in ((joining, group.name), (leaving, "")):
            for node_id in node_ids:
                if node_id in self.nodes:
                    self.nodes[node_id] = self.nodes[node_id]._replace(peers=peers)

    def _keep(self, node_id: str, name: str, _tags: object) -> str:
        self._known(node_id)
        if (node_id, name) not in self.snapshots:
            self._kept += 1
            self.snapshots[node_id, name] = f"snapshot-{self._kept}"
        return self.snapshots[node_id, name]

    def _forget(self, node_id: str, name: str, kept: str) -> None:
        if self.snapshots.get((node_id, name)) == kept:
            del self.snapshots[node_id, name]

    def _begin(self, node_id: str, _argvs: object, _timeout_s: float) -> str:
        self._known(node_id)
        command_id = f"command-{len(self.results) + 1}"
        self.results[command_id] = CommandResult(0)
        return command_id

    def _take(self, receipts: Sequence[str]) -> None:
        self.events = [event for event in self.events if event.receipt not in receipts]

    def _tag(self, node_id: str, tags: Mapping[str, str]) -> None:
        node = self._known(node_id)
        found = {**node.tags, **tags}
        self.nodes[node_id] = node._replace(
            tags=found, token=found.get(TAG_TOKEN, node.token), estate=found.get(TAG_ESTATE, node.estate)
        )
