"""The Provider contract over any libcloud ``NodeDriver``: what all of them share is here, what differs is overridden.

The steps a subclass may replace each stand in a method of their own and are all run inside the translation of errors:
``connect`` (required), ``pages``, ``find``, ``create_arguments``, ``launch``, ``reference``, ``call``, ``offers``.
"""

from __future__ import annotations

import abc
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from libcloud.compute.base import Node as DriverNode
from libcloud.compute.base import NodeDriver, NodeImage, NodeLocation, NodeSize
from libcloud.compute.types import NodeState as DriverNodeState

from cloudmon import errors
from cloudmon.model.nodes import ENDED, ENDING, Listing, Node, NodeRequest, NodeState
from cloudmon.model.offers import Offer
from cloudmon_providers._libcloud.dialect import Dialect
from cloudmon_providers._libcloud.errors import translating
from cloudmon_providers._libcloud.nodes import Reader, without_repeats
from cloudmon_providers._libcloud.once import without_retries

_ALREADY: Mapping[str, frozenset[NodeState]] = {
    "start_node": frozenset({NodeState.RUNNING, NodeState.PENDING, NodeState.REBOOTING}),
    "stop_node": frozenset({NodeState.STOPPED, NodeState.STOPPING}),
    "suspend_node": frozenset({NodeState.SUSPENDED}),
    "resume_node": frozenset({NodeState.RUNNING}),
    "reboot_node": frozenset({NodeState.REBOOTING}),
}
"""States in which a refused verb had nothing left to do, so that asking again is quiet."""


class LibcloudProvider(abc.ABC):
    """One libcloud driver as a provider. Not shared between threads: libcloud's drivers mix up their answers then.

    Arguments:
        cloud: name of the configured cloud.
        now: the clock's.
        driver_class: looked at to tell what this cloud can do, without connecting.
    """

    dialect: ClassVar[Dialect] = Dialect()

    def __init__(
        self,
        cloud: str,
        *,
        now: Callable[[], dt.datetime],
        driver_class: type[NodeDriver],
        dialect: Dialect | None = None,
    ) -> None:
        self.cloud = cloud
        self._now = now
        self._driver_class = driver_class
        self._dialect = dialect or self.dialect
        self._reader = Reader(self._dialect)
        self._driver: NodeDriver | None = None

    # --- what a subclass says --------------------------------------------------------------------------------------

    @abc.abstractmethod
    def connect(self) -> NodeDriver:
        """A new driver, with its timeout set. Called at first use and after :meth:`reset`."""

    def pages(self) -> Iterable[Sequence[Node]]:
        """Every page of the cloud's listing. Default: the driver's ``list_nodes`` is the whole."""
        yield self.read(self.driver.list_nodes())

    def find(self, node_id: str) -> Node | None:
        """The node, read now; None when the cloud has none. Default: the driver's own verb, else the listing."""
        method = self._method("get_node")
        if method is None:
            return next((node for page in self.pages() for node in page if node.id == node_id), None)
        answer = method(node_id)
        return None if answer is None else self._one(answer)

    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        """Arguments of the driver's ``create_node``: with the token and the tags, always.

        Default: thin references by id, the template's own options, and the tags in the argument ``ex_<tags_field>``.
        """
        offer = request.offer
        arguments: dict[str, Any] = {
            "name": request.name,
            "size": NodeSize(offer.size, offer.size, offer.memory_mib, offer.disk_gib, 0, 0.0, self.driver),
            "image": NodeImage(request.image, request.image, self.driver),
            "location": NodeLocation(offer.location, offer.location, "", self.driver),
            f"ex_{self._dialect.tags_field}": dict(request.tags),
        }
        if request.user_data:
            arguments["ex_userdata"] = request.user_data
        return {**arguments, **(request.options or {})}

    def launch(self, request: NodeRequest) -> Node:
        """The one create call. Default: the driver's, with :meth:`create_arguments`."""
        return self._one(self.driver.create_node(**self.create_arguments(request)))

    def reference(self, node_id: str) -> DriverNode:
        """What the driver's verbs want for a node. Default: a thin one, by id; most drivers look at nothing else."""
        return DriverNode(node_id, node_id, DriverNodeState.UNKNOWN, [], [], self.driver)

    def call(self, verb: str, node_id: str, *arguments: object) -> None:
        """One verb on one node. Default: the driver's method of the dialect; its boolean is no truth, so not read."""
        method = self._method(verb)
        if method is None:
            raise errors.Unsupported(f"{self.cloud}: {self._driver_class.__name__} cannot {verb}", cloud=self.cloud)
        method(self.reference(node_id), *arguments)

    def end(self, node_id: str) -> None:
        """The one destroy call. Default: the driver's; a plain False from it is no order taken."""
        if self.driver.destroy_node(self.reference(node_id)) is False:
            raise errors.UnexpectedAnswer(f"{self.cloud}: destroy_node of {node_id} was answered with False")

    def offers(self) -> Sequence[Offer]:
        """Sizes at locations. Default: the driver's, without prices: libcloud's table is old and holds zeros."""
        locations = self.driver.list_locations()
        return [self._offer(size, location.id) for location in locations for size in self.driver.list_sizes(location)]

    # --- the contract ----------------------------------------------------------------------------------------------

    def list_nodes(self) -> Listing:
        started_at = self._now()
        with self._translating("list_nodes"):
            nodes: list[Node] = []
            for page in self.pages():
                nodes.extend(page)
            return Listing(self.cloud, without_repeats(nodes), started_at, self._now())

    def get_node(self, node_id: str) -> Node:
        with self._translating("get_node"):
            found = self.find(node_id)
            if found is None:
                raise errors.NotFound(f"{self.cloud}: there is no node {node_id}", cloud=self.cloud)
            return found

    def create_node(self, request: NodeRequest) -> Node:
        with self._translating("create_node"):
            if not self._dialect.honours_tokens:
                earlier = self._with_token(request.token)
                if earlier is not None:
                    return earlier
            made = self.launch(request)
            if made.token not in (None, request.token):
                raise errors.UnexpectedAnswer(f"{self.cloud}: create_node answered with a node of token {made.token}")
            if made.token is None:
                # Some clouds answer a create before they show its tags; they are in the call, so they are on the node.
                tags = dict(request.tags)
                made = made._replace(
                    token=request.token, estate=tags.get(self._dialect.estate_tag), tags={**made.tags, **tags}
                )
            return made

    def destroy_node(self, node_id: str) -> None:
        with self._translating("destroy_node"):
            try:
                with self._translating("destroy_node"):
                    self.end(node_id)
            except errors.NotFound:
                return

    def list_offers(self) -> Sequence[Offer]:
        with self._translating("list_offers"):
            return self.offers()

    def start_node(self, node_id: str) -> None:
        self._order("start_node", node_id)

    def stop_node(self, node_id: str) -> None:
        self._order("stop_node", node_id)

    def reboot_node(self, node_id: str) -> None:
        self._order("reboot_node", node_id)

    def suspend_node(self, node_id: str) -> None:
        self._order("suspend_node", node_id)

    def resume_node(self, node_id: str) -> None:
        self._order("resume_node", node_id)

    def tag_node(self, node_id: str, tags: Mapping[str, str]) -> None:
        with self._translating("tag_node"):
            self.call("tag_node", node_id, dict(tags))

    def reset(self) -> None:
        """Drop the driver with its connections and credentials; the next call makes a new one."""
        self._driver = None

    def lacks(self, verb: str) -> bool:
        """True when this driver has no such verb, or only libcloud's placeholder that raises."""
        name = self._dialect.verbs.get(verb, "")
        found = getattr(self._driver_class, name, None) if name else None
        return found is None or found is getattr(NodeDriver, name, None)

    # --- for subclasses --------------------------------------------------------------------------------------------

    @property
    def driver(self) -> NodeDriver:
        """The thread's own driver, made at first use."""
        if self._driver is None:
            self._driver = without_retries(self.connect())
        return self._driver

    def read(self, answer: object) -> list[Node]:
        """A listing's answer as nodes; UnexpectedAnswer when it is no list."""
        if isinstance(answer, str | bytes | Mapping) or not isinstance(answer, Iterable):
            raise errors.UnexpectedAnswer(f"{self.cloud}: a listing was answered with a {type(answer).__name__}")
        return self._reader.read(answer)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _translating(self, verb: str) -> translating:
        return translating(self.cloud, verb, self._dialect)

    def _method(self, verb: str) -> Callable[..., object] | None:
        if self.lacks(verb):
            return None
        found: Callable[..., object] = getattr(self.driver, self._dialect.verbs[verb])
        return found

    def _one(self, answer: object) -> Node:
        """A create's answer as a node; libcloud can give an empty list, or a list of one."""
        if isinstance(answer, list | tuple) and len(answer) == 1:
            answer = answer[0]
        if not isinstance(answer, DriverNode):
            raise errors.UnexpectedAnswer(f"{self.cloud}: expected a node, got {type(answer).__name__}")
        return self._reader.read([answer])[0]

    def _with_token(self, token: str) -> Node | None:
        """The living node that carries the token, the oldest if there are several."""
        found = [node for page in self.pages() for node in page if node.token == token and node.state not in ENDING]
        if not found:
            return None
        return min(found, key=lambda node: (node.created_at or dt.datetime.max.replace(tzinfo=dt.UTC), node.id))

    def _order(self, verb: str, node_id: str) -> None:
        """A power verb: quiet when it is so already, NotFound for a node that is gone, Refused in a wrong state."""
        with self._translating(verb):
            try:
                with self._translating(verb):
                    self.call(verb, node_id)
            except errors.Refused:
                node = self.find(node_id)
                if node is None or node.state in ENDED:
                    raise errors.NotFound(f"{self.cloud}: there is no node {node_id}", cloud=self.cloud) from None
                if node.state not in _ALREADY[verb]:
                    raise

    def _offer(self, size: NodeSize, location: str) -> Offer:
        """A size as an offer. What the driver does not tell is 0, which meets no need but that of any machine."""
        extra = size.extra or {}
        vcpus = next((extra[name] for name in ("vcpus", "vcpu", "cpu", "cpus") if extra.get(name)), 0)
        return Offer(self.cloud, str(size.id), str(location), _whole(vcpus), _whole(size.ram), _whole(size.disk))


def _whole(found: object) -> int:
    """A driver's number as an int, 0 when it is none."""
    try:
        return int(float(str(found)))
    except ValueError:
        return 0
