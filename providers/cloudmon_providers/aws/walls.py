"""EC2's security groups as walls around instances: one without any rule isolates, one a set joins its members.

Groups lie on network interfaces, and an interface has one at least. What an interface had before it was isolated stands
in a tag of its instance, so that whoever comes can release it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from cloudmon import errors
from cloudmon.model.nodes import ENDING, Node, PeerGroup
from cloudmon_providers.aws import creation, rules
from cloudmon_providers.aws.listing import ISOLATED
from cloudmon_providers.aws.rules import Rule

TAG_BEFORE: Final = "cloudmon:before:"
"""On an instance: how the tag begins that says which groups one of its interfaces had; the interface's id follows."""
TAG_PEERS: Final = "cloudmon:peers"
"""On a security group: the name of the group of peers that it is."""
VALUE_LIMIT: Final = 256
"""Characters that a tag's value takes."""

Ask = Callable[[str, Mapping[str, str]], bytes]
"""One call of EC2: its action and parameters -> the answer."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of an instance."""

    id: str
    instance: str
    index: int
    """0: the first, whose groups a listing shows as its instance's."""
    vpc: str
    groups: Mapping[str, str]
    """Names by id."""

    @property
    def isolated(self) -> bool:
        return list(self.groups.values()) == [ISOLATED]

    @property
    def tag(self) -> str:
        return TAG_BEFORE + self.id


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group with all that it lets through."""

    id: str
    name: str
    vpc: str
    tags: Mapping[str, str]
    inward: frozenset[Rule]
    outward: frozenset[Rule]


class Walls:
    """Security groups of one cloud; not shared between threads.

    Arguments:
        find: an instance by its id, read now; None when there is none.
    """

    def __init__(self, cloud: str, ask: Ask, find: Callable[[str], Node | None]) -> None:
        self._cloud = cloud
        self._ask = ask
        self._find = find

    def isolate(self, node_id: str) -> None:
        """Each interface gets the group without rules; which ones it had is written down first."""
        self._living(node_id)
        # The first one last: a listing shows its groups, and must not say that it is done before it is.
        for card in reversed(self._interfaces([node_id])):
            if not card.isolated:
                wall = self._closed(card.vpc)
                self._remember(card, card.groups)
                self._give(card, [wall])

    def release(self, node_id: str) -> None:
        """Each interface gets the groups that it had, as far as there still are such groups."""
        node = self._living(node_id)
        for card in reversed(self._interfaces([node_id])):
            if not card.isolated:
                continue
            before = remembered(node.tags.get(card.tag, ""))
            there = {found.id for found in self._groups("group-id", before)}
            kept = [group for group in before if group in there]
            if not kept:
                raise errors.Refused(
                    f"{self._cloud}: no group is left of those that {card.id} of {node_id} had before it was isolated: "
                    "give it one by hand",
                    cloud=self._cloud,
                )
            self._give(card, kept)
        stale = [name for name in node.tags if name.startswith(TAG_BEFORE)]
        if stale:
            names = {f"Tag.{number}.Key": name for number, name in enumerate(stale, start=1)}
            self._ask("DeleteTags", {"ResourceId.1": node_id, **names})

    def open(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        """The group in each VPC where a member is, with rules that name the group itself, in both directions."""
        cards = [card for card in self._interfaces([*joining, *leaving]) if card.index == 0]
        every = self._groups("tag-key", [TAG_PEERS])
        own = {found.vpc: found for found in every if found.name == group.name}
        for vpc in dict.fromkeys(card.vpc for card in cards if card.instance in joining):
            if vpc not in own:
                own[vpc] = self._made(group.name, vpc, {TAG_PEERS: group.name, **group.tags})
        for found in own.values():
            self._let_through(found, rules.among(found.id, group.ports))
        of_peers = {found.id for found in (*every, *own.values())}
        for card in cards:
            with _passing("InvalidNetworkInterfaceID.NotFound"):  # its instance ended meanwhile
                self._place(card, own[card.vpc].id if card.instance in joining else "", of_peers)

    def close(self, name: str) -> None:
        """The group goes from every VPC; EC2 refuses while an interface has it."""
        for found in self._groups("group-name", [name]):
            with _passing("InvalidGroup.NotFound"):
                self._ask("DeleteSecurityGroup", {"GroupId": found.id})

    def peers(self) -> Sequence[PeerGroup]:
        """Every group of peers. One whose rules are not those of its ports, the same in each VPC, is told without
        ports: it is not what anybody wants."""
        found: dict[str, PeerGroup] = {}
        for one in self._groups("tag-key", [TAG_PEERS]):
            ports = rules.ports(one.id, one.inward) if one.inward == one.outward else ()
            before = found.get(one.name)
            same = ports if before is None or before.ports == ports else ()
            found[one.name] = PeerGroup(one.name, same, one.tags)
        return list(found.values())

    # --- inside ----------------------------------------------------------------------------------------------------

    def _living(self, node_id: str) -> Node:
        node = self._find(node_id)
        if node is None or node.state in ENDING:
            raise errors.NotFound(f"{self._cloud}: there is no node {node_id}", cloud=self._cloud)
        return node

    def _place(self, card: Interface, group: str, of_peers: Collection[str]) -> None:
        """Put an interface into this group of peers (empty: into none) and out of the others."""
        groups = list(card.groups)
        if card.isolated:
            node = self._find(card.instance)
            groups = remembered(node.tags.get(card.tag, "")) if node is not None else []
        wanted = [each for each in groups if each not in of_peers or each == group]
        wanted += [group] if group and group not in wanted else []
        if wanted == groups:
            return
        if card.isolated:
            self._remember(card, wanted)
        elif wanted:
            self._give(card, wanted)
        else:
            message = f"{self._cloud}: {card.instance} has no other group: give it one, then it can leave its peers"
            raise errors.Refused(message, cloud=self._cloud)

    def _remember(self, card: Interface, groups: Iterable[str]) -> None:
        text = " ".join(group.removeprefix("sg-") for group in groups)
        if len(text) > VALUE_LIMIT:
            raise errors.Refused(f"{self._cloud}: {card.id} has more groups than a tag can hold", cloud=self._cloud)
        self._ask("CreateTags", {"ResourceId.1": card.instance, **creation.numbered({card.tag: text}, "Tag")})

    def _give(self, card: Interface, groups: Sequence[str]) -> None:
        named = {f"SecurityGroupId.{number}": group for number, group in enumerate(groups, start=1)}
        self._ask("ModifyNetworkInterfaceAttribute", {"NetworkInterfaceId": card.id, **named})

    def _closed(self, vpc: str) -> str:
        """Id of the VPC's group that lets nothing through, made where there is none."""
        found = self._named(ISOLATED, vpc) or self._made(ISOLATED, vpc, {})
        self._let_through(found, frozenset())
        return found.id

    def _made(self, name: str, vpc: str, tags: Mapping[str, str]) -> SecurityGroup:
        """A new group, with the rules that EC2 gives each; the one of another call that was faster."""
        parameters = {
            "GroupName": name,
            "GroupDescription": "Kept by cloudmon",
            "VpcId": vpc,
            "TagSpecification.1.ResourceType": "security-group",
            **creation.numbered({"Name": name, **tags}, "TagSpecification.1.Tag"),
        }
        with _passing("InvalidGroup.Duplicate"):
            self._ask("CreateSecurityGroup", parameters)
        found = self._named(name, vpc)
        if found is None:
            raise errors.Unreachable(f"{self._cloud}: {name} was made and is not shown yet", cloud=self._cloud)
        return found

    def _named(self, name: str, vpc: str) -> SecurityGroup | None:
        return next((found for found in self._groups("group-name", [name]) if found.vpc == vpc), None)

    def _let_through(self, group: SecurityGroup, wanted: frozenset[Rule]) -> None:
        """Exactly these rules, in and out; what is too much goes first."""
        for way, present in (("Ingress", group.inward), ("Egress", group.outward)):
            for action, change in (("Revoke", present - wanted), ("Authorize", wanted - present)):
                if change:
                    parameters = {"GroupId": group.id, **rules.parameters(change)}
                    with _passing("InvalidPermission.NotFound", "InvalidPermission.Duplicate"):
                        self._ask(f"{action}SecurityGroup{way}", parameters)

    def _interfaces(self, instances: Sequence[str]) -> list[Interface]:
        """Interfaces of these instances, the first one of each first."""
        if not instances:
            return []
        items = self._items("DescribeNetworkInterfaces", "networkInterfaceSet", "attachment.instance-id", instances)
        return sorted((_interface(item) for item in items), key=lambda card: (card.index, card.id))

    def _groups(self, name: str, values: Sequence[str]) -> list[SecurityGroup]:
        if not values:
            return []
        items = self._items("DescribeSecurityGroups", "securityGroupInfo", name, values)
        return [_group(item) for item in items]

    def _items(self, action: str, inside: str, name: str, values: Sequence[str]) -> list[ET.Element]:
        """What a filtered call lists, all pages of it."""
        wanted = {f"Filter.1.Value.{number}": value for number, value in enumerate(values, start=1)}
        found: list[ET.Element] = []
        token = ""
        while True:
            more = {"NextToken": token} if token else {}
            answer = self._ask(action, {"Filter.1.Name": name, **wanted, **more})
            root = rules.tree(answer, f"{action}Response", inside, cloud=self._cloud)
            found += root.findall(f"{{*}}{inside}/{{*}}item")
            following = root.findtext("{*}nextToken", "")
            if not following:
                return found
            if following == token:
                raise errors.UnexpectedAnswer(f"{self._cloud}: EC2's pages go in a circle", cloud=self._cloud)
            token = following


@contextmanager
def _passing(*codes: str) -> Iterator[None]:
    """What EC2 refuses with one of these codes was done by another call that was faster."""
    try:
        yield
    except errors.CloudError as error:
        if error.code not in codes:
            raise


def remembered(text: str) -> list[str]:
    """The groups that a tag holds."""
    return [f"sg-{part}" for part in text.split()]


def _interface(item: ET.Element) -> Interface:
    groups = item.findall("{*}groupSet/{*}item")
    return Interface(
        id=item.findtext("{*}networkInterfaceId", ""),
        instance=item.findtext("{*}attachment/{*}instanceId", ""),
        index=int(item.findtext("{*}attachment/{*}deviceIndex", "0") or 0),
        vpc=item.findtext("{*}vpcId", ""),
        groups={group.findtext("{*}groupId", ""): group.findtext("{*}groupName", "") for group in groups},
    )


def _group(item: ET.Element) -> SecurityGroup:
    tags = {tag.findtext("{*}key", ""): tag.findtext("{*}value", "") for tag in item.findall("{*}tagSet/{*}item")}
    return SecurityGroup(
        id=item.findtext("{*}groupId", ""),
        name=item.findtext("{*}groupName", ""),
        vpc=item.findtext("{*}vpcId", ""),
        tags=tags,
        inward=rules.read(item.findall("{*}ipPermissions/{*}item")),
        outward=rules.read(item.findall("{*}ipPermissionsEgress/{*}item")),
    )
