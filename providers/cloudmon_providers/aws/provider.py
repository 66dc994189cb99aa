"""EC2 as a provider: libcloud's connection for nodes, boto3 for offers, prices and the chain of credentials."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from libcloud.compute.base import NodeDriver

from cloudmon import errors
from cloudmon.model.identity import TAG_TOKEN
from cloudmon.model.nodes import ENDING, CommandResult, Node, NodeEvent, NodeRequest, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.provider import ABILITIES
from cloudmon_providers._libcloud import Dialect, LibcloudProvider
from cloudmon_providers.aws import commands, creation, listing, offers, snapshots, walls
from cloudmon_providers.aws import events as told
from cloudmon_providers.aws.chain import Source
from cloudmon_providers.aws.connection import Ec2
from cloudmon_providers.aws.credentials import Credentials
from cloudmon_providers.aws.options import AwsOptions

PAGE: Final = 1_000
"""Instances a page: the most that EC2 gives, and far from what it throttles."""

_ACTIONS: Final[Mapping[str, str]] = {
    "start_node": "StartInstances",
    "stop_node": "StopInstances",
    "reboot_node": "RebootInstances",
}


class AwsProvider(LibcloudProvider):
    """One account and region of EC2.

    Hibernation is not offered as suspension: it needs an encrypted root volume, an agent in the image and a choice at
    launch, and what comes back is a stopped instance.
    """

    settings_model: ClassVar[type] = AwsOptions
    # EC2 is trusted with tokens; an imitation that is not is asked by tag in `launch`, with one filtered call.
    dialect: ClassVar[Dialect] = Dialect(honours_tokens=True)

    def __init__(self, cloud: str, options: object, *, now: Callable[[], dt.datetime], timeout_s: float) -> None:
        super().__init__(cloud, now=now, driver_class=Ec2)
        self._options = AwsOptions.model_validate(options)
        self._timeout_s = timeout_s
        self._source = Source(cloud, self._options)
        self._credentials: Credentials | None = None
        self._images: dict[str, creation.Image] = {}
        self._commands = commands.Commands(cloud, self._options, self._source, timeout_s=timeout_s)
        self._walls = walls.Walls(cloud, self._ask, self.find)
        self._queue = told.Queue(cloud, self._options, self._source, timeout_s=timeout_s)

    def connect(self) -> NodeDriver:
        options = self._options
        credentials = self._credentials or self._source.current()
        return Ec2(
            self.cloud,
            credentials,
            region=options.region,
            endpoint=options.endpoint,
            timeout_s=self._timeout_s,
            now=self._now,
        )

    def reset(self) -> None:
        super().reset()
        self._source.reset()
        self._queue.reset()
        self._commands.reset()
        self._credentials = None

    def lacks(self, verb: str) -> bool:
        if verb in ABILITIES["events"][1]:
            return not self._options.events_queue
        if verb in ABILITIES["commands"][1]:
            return not self._options.run_command
        if verb in ABILITIES["firewall"][1]:
            return not self._options.firewall
        return verb not in ("tag_node", "snapshot_node", "forget_snapshot", *_ACTIONS)

    def pages(self) -> Iterator[Sequence[Node]]:
        return self._pages({})

    def find(self, node_id: str) -> Node | None:
        try:
            answer = self._ask("DescribeInstances", {"InstanceId.1": node_id})
        except errors.NotFound:
            return None
        nodes, _ = listing.page(answer, cloud=self.cloud)
        if [node.id for node in nodes] != [node_id]:
            raise errors.UnexpectedAnswer(
                f"{self.cloud}: asked for {node_id}, got {len(nodes)} others", cloud=self.cloud
            )
        return nodes[0]

    def launch(self, request: NodeRequest) -> Node:
        if not self._options.honours_tokens:
            earlier = _oldest(self._carrying(request.token), self._now())
            if earlier is not None:
                return earlier
        parameters = creation.parameters(request, self._options, self._image(request.image), cloud=self.cloud)
        try:
            answer = self._ask("RunInstances", parameters)
        except errors.Refused as error:
            if error.code != "IdempotentParameterMismatch":
                raise
            return self._made_before(request.token, error)
        nodes, _ = listing.page(answer, cloud=self.cloud, root="RunInstancesResponse")
        if len(nodes) != 1:
            raise errors.UnexpectedAnswer(f"{self.cloud}: RunInstances made {len(nodes)} nodes, not one")
        return nodes[0]

    def end(self, node_id: str) -> None:
        self._ask("TerminateInstances", {"InstanceId.1": node_id})

    def call(self, verb: str, node_id: str, *arguments: object) -> None:
        if verb == "tag_node":
            tags = cast("Mapping[str, str]", arguments[0])
            self._ask("CreateTags", {"ResourceId.1": node_id, **creation.numbered(tags, "Tag")})
        elif verb in _ACTIONS:
            self._ask(_ACTIONS[verb], {"InstanceId.1": node_id})
        else:
            raise errors.Unsupported(f"{self.cloud}: EC2 cannot {verb}", cloud=self.cloud)

    def snapshot_node(self, node_id: str, name: str, tags: Mapping[str, str]) -> str:
        earlier = snapshots.ids(self._ask("DescribeSnapshots", snapshots.named(node_id, name)), cloud=self.cloud)
        if earlier:
            return earlier
        made = snapshots.ids(self._ask("CreateSnapshots", snapshots.parameters(node_id, name, tags)), cloud=self.cloud)
        if not made:
            raise errors.Refused(f"{self.cloud}: {node_id} has no volumes to keep", cloud=self.cloud)
        return made

    def forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        found = snapshots.ids(self._ask("DescribeSnapshots", snapshots.named(node_id, name)), cloud=self.cloud)
        # By its tags it is what we kept, and by its id what was written down.
        for snapshot in sorted(set(filter(None, found.split(","))) & set(kept.split(","))):
            with contextlib.suppress(errors.NotFound):
                self._ask("DeleteSnapshot", {"SnapshotId": snapshot})

    def isolate_node(self, node_id: str) -> None:
        with self._translating("isolate_node"):
            self._with_walls().isolate(node_id)

    def release_node(self, node_id: str) -> None:
        with self._translating("release_node"):
            self._with_walls().release(node_id)

    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        with self._translating("open_peers"):
            self._with_walls().open(group, joining, leaving)

    def close_peers(self, name: str) -> None:
        with self._translating("close_peers"):
            self._with_walls().close(name)

    def list_peers(self) -> Sequence[PeerGroup]:
        with self._translating("list_peers"):
            return self._with_walls().peers()

    def start_command(self, node_id: str, argvs: Sequence[Sequence[str]], timeout_s: float) -> str:
        return self._commands.start(node_id, argvs, timeout_s)

    def command_result(self, node_id: str, command_id: str) -> CommandResult | None:
        return self._commands.result(node_id, command_id)

    def wait_events(self, wait_s: float) -> Sequence[NodeEvent]:
        return self._queue.wait(wait_s)

    def take_events(self, receipts: Sequence[str]) -> None:
        self._queue.take(receipts)

    def offers(self) -> Sequence[Offer]:
        return offers.of(self.cloud, self._options, self._source.current(), now=self._now(), timeout_s=self._timeout_s)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _ask(self, action: str, parameters: Mapping[str, str]) -> bytes:
        """One call with credentials that are good now; rejected ones are not kept."""
        credentials = self._source.current()
        if credentials != self._credentials:
            super().reset()
            self._credentials = credentials
        driver: Any = self.driver
        try:
            answer: bytes = driver.ask(action, parameters)
        except errors.CredentialsRejected:
            self.reset()
            raise
        return answer

    def _with_walls(self) -> walls.Walls:
        if not self._options.firewall:
            raise errors.Unsupported(f"{self.cloud}: firewall is off", cloud=self.cloud)
        return self._walls

    def _pages(self, filters: Mapping[str, str]) -> Iterator[Sequence[Node]]:
        seen: set[str] = set()
        token = ""
        while True:
            parameters = {"MaxResults": str(PAGE), **filters, **({"NextToken": token} if token else {})}
            nodes, token = listing.page(self._ask("DescribeInstances", parameters), cloud=self.cloud)
            yield nodes
            if not token:
                return
            if token in seen:
                raise errors.UnexpectedAnswer(f"{self.cloud}: EC2's pages go in a circle", cloud=self.cloud)
            seen.add(token)

    def _carrying(self, token: str) -> list[Node]:
        """Every node that carries the token, ended ones included."""
        filters = {"Filter.1.Name": f"tag:{TAG_TOKEN}", "Filter.1.Value.1": token}
        return [node for page in self._pages(filters) for node in page]

    def _made_before(self, token: str, error: errors.Refused) -> Node:
        """The token made a node before, from other parameters (a template that changed): that node is the answer.

        One that ended means that the token is spent. None at all means that the listing does not show it yet, which
        is no proof that nothing was made.
        """
        found = self._carrying(token)
        living = _oldest(found, self._now())
        if living is not None:
            return living
        if found:
            raise error
        raise errors.UnexpectedAnswer(
            f"{self.cloud}: the token made a node before that is not listed: {error}", cloud=self.cloud, code=error.code
        ) from error

    def _image(self, image_id: str) -> creation.Image:
        """What is known of an image; images never change, so each is asked for once."""
        if image_id not in self._images:
            answer = self._ask("DescribeImages", {"ImageId.1": image_id})
            self._images[image_id] = creation.image(answer, image_id, cloud=self.cloud)
        return self._images[image_id]


def _oldest(nodes: Sequence[Node], now: dt.datetime) -> Node | None:
    """The living one among nodes of one token, the oldest if there are several."""
    living = [node for node in nodes if node.state not in ENDING]
    return min(living, key=lambda node: (node.created_at or now, node.id), default=None)
