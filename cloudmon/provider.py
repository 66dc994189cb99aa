"""The contract with a cloud.

Docstrings here are promises, and the errors are part of them: ``cloudmon.testing.ProviderConformance`` asserts each
one, and passing it is what "supported" means. A provider is made with its settings, is used by one thread at a time,
reads no environment and no files, holds no policy, and lets no exception of libcloud, boto or requests out: only
:class:`cloudmon.errors.CloudError` and its kinds.

Optional abilities are protocols beside the core. They are found by looking (``isinstance``), never declared twice;
where an instance cannot do what its class could, its method raises :class:`cloudmon.errors.Unsupported`, and
``abilities`` says so beforehand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from cloudmon.model.nodes import CommandResult, Listing, Node, NodeEvent, NodeRequest, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.model.simulated import Insides, Machines


@runtime_checkable
class Provider(Protocol):
    """One cloud: one account and region of one kind of provider."""

    cloud: str
    """Name of the configured cloud; stands in every node, offer and error that comes from here."""

    def list_nodes(self) -> Listing:
        """Every node of the cloud, ours or not, terminated ones included while the cloud still shows them.

        The whole truth or an error, never a part: all pages are read, and an answer that is not what this cloud's
        listing looks like (another document, another type, an empty body) raises ``UnexpectedAnswer``.
        A node that could not be read in full is listed with what is known and state ``UNKNOWN``; it never loses the
        rest. May lag behind creations and destructions by the cloud's listing lag.
        """

    def get_node(self, node_id: str) -> Node:
        """One node by the cloud's id, read now. ``NotFound`` when the cloud says that there is none; terminated
        nodes may be returned as such or be not found."""

    def create_node(self, request: NodeRequest) -> Node:
        """Make a node with the request's token and tags inside the create call itself.

        The same token again gives the same node, however often and from whatever process, as long as it lives; where
        the cloud has no tokens the adapter looks for the token's tag first, and that is as good as the listing is
        fresh. The node need not run yet. ``OutOfCapacity``, ``QuotaExceeded``, ``NotFound``, ``Refused``,
        ``RateLimited``, ``CredentialsRejected`` are definite: nothing was made. ``Unreachable`` and
        ``UnexpectedAnswer`` are not.
        """

    def destroy_node(self, node_id: str) -> None:
        """Order the end of a node, with the volumes and addresses that its create call made.

        Return means accepted, not gone. A node that is gone already is quiet.
        """

    def list_offers(self) -> Sequence[Offer]:
        """Sizes at locations that can be asked for, with price where one is known (zero is never a price)."""


@runtime_checkable
class PowerControl(Protocol):
    """Nodes can be started, stopped and rebooted. Each returns once accepted; asking for what is already so is
    quiet; a node that is not there raises ``NotFound``; a wrong state raises ``Refused``."""

    def start_node(self, node_id: str) -> None: ...
    def stop_node(self, node_id: str) -> None: ...
    def reboot_node(self, node_id: str) -> None: ...


@runtime_checkable
class Suspend(Protocol):
    """Nodes can be frozen and thawed, memory kept. Same promises as :class:`PowerControl`."""

    def suspend_node(self, node_id: str) -> None: ...
    def resume_node(self, node_id: str) -> None: ...


@runtime_checkable
class Tagging(Protocol):
    """Tags can be written on living nodes: what adoption needs."""

    def tag_node(self, node_id: str, tags: Mapping[str, str]) -> None:
        """Add or replace these tags, keep the others. ``NotFound`` when there is no such node."""


@runtime_checkable
class Snapshot(Protocol):
    """What is on a node's volumes can be kept as it is now: evidence, before anything is done to the node."""

    def snapshot_node(self, node_id: str, name: str, tags: Mapping[str, str]) -> str:
        """Keep all volumes of a node, which goes on; the cloud's id of what is kept (several are joined with commas).

        A second call with the same name gives the same id and keeps nothing anew; where the cloud has no such names the
        adapter looks for its tag first, and that is as good as the listing is fresh. What is kept carries the tags, and
        outlives the node until somebody deletes it. Return means begun, with the content of this instant. ``NotFound``
        and ``Refused`` where there is no such node, or nothing of it to keep.
        """


@runtime_checkable
class SnapshotEnd(Protocol):
    """What :class:`Snapshot` kept can be deleted again."""

    def forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        """Delete what ``snapshot_node`` kept of this node by this name, and of that what is among ``kept``, the id that
        it gave: nothing else, whatever carries that id. Quiet where there is no such thing any more, and where the node
        is gone. ``Refused`` while somebody uses it."""


@runtime_checkable
class Firewall(Protocol):
    """What may reach a node, and what it may reach, is a matter of the cloud. ``Node.isolated``, ``Node.peers`` and
    :meth:`list_peers` say how things stand: after an answer that was lost they say what became of it."""

    def isolate_node(self, node_id: str) -> None:
        """Nothing may reach the node, and it may reach nothing, but what the cloud itself needs; it goes on as it was,
        running or stopped. What it was let do before is remembered in the cloud itself, for :meth:`release_node` of
        whoever comes. Of one that is isolated already quiet. ``NotFound`` when there is no such node."""

    def release_node(self, node_id: str) -> None:
        """The node may do again what it might before it was isolated: exactly that, and what its peers were given
        meanwhile. Of one that is not isolated quiet. ``NotFound`` when there is no such node."""

    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        """The group has exactly these ports, the first nodes are in it from now on, in no other, and the second are in
        none. The first node that joins makes it. Joining widens nothing but the way between the group's nodes. One that
        is isolated joins or leaves for when it is released. Nodes that are not there are quiet; so is a second call."""

    def close_peers(self, name: str) -> None:
        """There is no such group any more. Quiet where there is none; ``Refused`` while a node is in it."""

    def list_peers(self) -> Sequence[PeerGroup]:
        """Every group of peers, whoever made it: the whole truth or an error."""


@runtime_checkable
class RunCommand(Protocol):
    """Programs can be run in nodes, without an agent of ours. Begun and asked for apart, so that no call waits for a
    program to end."""

    def start_command(self, node_id: str, argvs: Sequence[Sequence[str]], timeout_s: float) -> str:
        """Begin these programs, one after another whatever each came to; the cloud's id of the whole.

        Each is a program and its arguments, word by word: no shell reads anything into them. What still runs after
        ``timeout_s`` seconds is ended. ``NotFound`` and ``Refused`` where there is no such node, or none that runs and
        listens; after those nothing was begun, after ``Unreachable`` it may have been. A second call begins them anew.
        """

    def command_result(self, node_id: str, command_id: str) -> CommandResult | None:
        """What it came to; None while it runs, and where nothing is known of it (yet). As often as one likes."""


@runtime_checkable
class Events(Protocol):
    """The cloud tells of its own accord that nodes changed. An event may come twice, late, in any order, or not at
    all: it says that a look at its node is worth while, and what that look shows is what counts."""

    def wait_events(self, wait_s: float) -> Sequence[NodeEvent]:
        """Events that were not taken yet, a few at a time: as soon as there is one, and an empty answer after
        ``wait_s`` seconds or earlier. What cannot be understood comes as an event without a node."""

    def take_events(self, receipts: Sequence[str]) -> None:
        """The events with these receipts were taken and need not come again; others do. Unknown ones are quiet."""


@runtime_checkable
class Resetting(Protocol):
    """The driver can be rebuilt: credentials that expire, connections that hang."""

    def reset(self) -> None:
        """Drop connections and cached credentials; the next call starts anew."""


@runtime_checkable
class Simulated(Protocol):
    """Its machines are simulated, and somebody in this process may play what is inside them. Nothing that a monitor may
    know: it tells the truth, without a listing's lags and faults. What those insides are, the settings say."""

    @property
    def insides(self) -> Insides | None:
        """What goes on inside its machines; None where nobody is to play that."""

    def machines(self, since: int = 0) -> Machines:
        """Machines that changed after the mark ``since``, each once, as it is now, oldest change first; all of them for
        0. One that did not change what is told of it may be among them, and one of before a mark may come again. Where
        there are no insides there is nothing to tell."""


ABILITIES: Mapping[str, tuple[type, tuple[str, ...]]] = {
    "power": (PowerControl, ("start_node", "stop_node", "reboot_node")),
    "suspend": (Suspend, ("suspend_node", "resume_node")),
    "tagging": (Tagging, ("tag_node",)),
    "snapshot": (Snapshot, ("snapshot_node",)),
    "snapshot-end": (SnapshotEnd, ("forget_snapshot",)),
    "firewall": (Firewall, ("isolate_node", "release_node", "open_peers", "close_peers", "list_peers")),
    "commands": (RunCommand, ("start_command", "command_result")),
    "events": (Events, ("wait_events", "take_events")),
}
"""Ability by name: its protocol and its verbs."""


def abilities(provider: Provider) -> frozenset[str]:
    """Names of what this provider can do beside the core, verb by verb (``start_node``, ``suspend_node`` …).

    A provider whose instances differ (one class over many drivers) says with ``lacks(verb) -> bool`` what this one
    cannot do.
    """
    lacks: Callable[[str], bool] = getattr(provider, "lacks", lambda _verb: False)
    return frozenset(
        verb
        for protocol, verbs in ABILITIES.values()
        if isinstance(provider, protocol)
        for verb in verbs
        if not lacks(verb)
    )


class ProviderFactory(Protocol):
    """What the entry-point group ``cloudmon.providers`` names: a class whose instances are providers.

    ``settings_model`` is a pydantic model of ``[clouds.<name>.options]``; unknown keys there are refused by it. A key
    ``x_file`` reaches it as ``x`` with the file's content. Its validators find the settings file's folder as
    ``info.context["folder"]``, for paths that are relative to it. A module that also names the model ``settings_model``
    lets settings be checked before the factory, and its cloud's library with it, is imported; one that names a model
    ``template_model`` has ``[templates.<name>.options.<cloud>]`` checked by it as well. Where the model has a field
    ``guests`` that is not None, the provider is :class:`Simulated` and its insides are played, beside the channel that
    the settings then must have.
    """

    settings_model: type

    def __call__(self, cloud: str, options: object, *, now: Callable[[], dt.datetime], timeout_s: float) -> Provider:
        """A new provider for the calling thread. ``options`` is an instance of ``settings_model``; ``now`` is the
        clock's; ``timeout_s`` bounds each call to the cloud."""
