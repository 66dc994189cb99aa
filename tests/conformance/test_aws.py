"""The AWS adapter keeps every law against moto's EC2, over the wire."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from on_moto import EventBus

from cloudmon.errors import Refused
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import ENDING, NodeRequest, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.testing import ProviderConformance
from cloudmon_providers.aws import AwsProvider, boto
from cloudmon_providers.aws.credentials import Credentials
from cloudmon_providers.aws.options import AwsOptions


def _provider(url: str, *, honours_tokens: bool, events_queue: str = "") -> AwsProvider:
    # Dummy credentials, always given: nothing of this machine's environment may ever reach a test. Pricing is off
    # because moto has none, and the real one must not be asked.
    options = AwsOptions.model_validate(
        {
            "region": "us-east-1",
            "access_key": "testing",
            "secret_key": "testing",
            "endpoint": url,
            "honours_tokens": honours_tokens,
            "instance_types": ["t3.micro", "m5.large"],
            "pricing": False,
            "events_queue": events_queue,
            "run_command": bool(events_queue),
            "firewall": honours_tokens,
        }
    )
    return AwsProvider("aws", options, now=lambda: dt.datetime.now(dt.UTC), timeout_s=30)


class _OnMoto(ProviderConformance):
    image = "ami-12c6146b"
    settle_s = 2
    step_s = 1

    @pytest.fixture
    def offer(self) -> Offer:
        return Offer("aws", "m5.large", "us-east-1a", 2, 8_192, 8)  # a law holds it to the real offers

    @pytest.fixture
    def pass_time(self) -> Callable[[float], None]:
        return lambda _: None  # moto's machines change at the next look


class TestAws(_OnMoto):
    """With client tokens, as in production."""

    column = "aws"

    @pytest.fixture
    def provider(self, moto_ec2_with_tokens: str, event_bus: EventBus) -> Iterator[AwsProvider]:
        self._bus = event_bus
        provider = _provider(moto_ec2_with_tokens, honours_tokens=True, events_queue=event_bus.queue)
        yield provider
        provider.reset()

    def tell(self, node_id: str, word: str) -> None:
        self._bus.tell(node_id, word)


@pytest.fixture
def on_moto(moto_ec2_with_tokens: str) -> Iterator[AwsProvider]:
    provider = _provider(moto_ec2_with_tokens, honours_tokens=True)
    yield provider
    provider.reset()


def test_spot_is_offered_bought_and_ended_as_any_other(on_moto: AwsProvider, moto_ec2_with_tokens: str) -> None:
    key = "aws/us-east-1a/m5.large/spot"
    (offer,) = (offer for offer in on_moto.list_offers() if offer.key == key)
    assert offer.price is not None
    assert (offer.price.source, offer.price.currency) == ("aws-spot", "USD")
    token = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", 1, 1)
    tags = ownership_tags(token, set_name="web", tenant="default")
    request = NodeRequest(str(token), "web-1", offer, _OnMoto.image, tags)
    made = on_moto.create_node(request)
    assert on_moto.create_node(request).id == made.id
    client = boto.client("ec2", "us-east-1", Credentials("a", "b", None), endpoint=moto_ec2_with_tokens, timeout_s=30)
    (reservation,) = client.describe_instances(InstanceIds=[made.id])["Reservations"]
    assert reservation["Instances"][0]["InstanceLifecycle"] == "spot"
    assert [(node.id, node.token) for node in on_moto.list_nodes().nodes] == [(made.id, str(token))]
    on_moto.destroy_node(made.id)
    assert on_moto.get_node(made.id).state in ENDING


class TestAwsWithoutTokens(_OnMoto):
    """moto as it is ignores client tokens, as other imitations of EC2 do: the adapter looks for the token's tag."""

    @pytest.fixture
    def provider(self, moto_ec2: str) -> Iterator[AwsProvider]:
        provider = _provider(moto_ec2, honours_tokens=False)
        yield provider
        provider.reset()

    def test_a_listing_of_several_pages_is_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pages of five, since a thousand instances are too many for moto."""
        monkeypatch.setattr("cloudmon_providers.aws.provider.PAGE", 5)
        made = {self.create(self.a_request(ordinal)).id for ordinal in range(1, 13)}
        assert set(self.listed()) == made


class _Groups:
    """A running instance, its security groups, and EC2's own word about both."""

    def __init__(self, provider: AwsProvider, url: str) -> None:
        self.provider = provider
        self.client = boto.client("ec2", "us-east-1", Credentials("a", "b", None), endpoint=url, timeout_s=30)
        self.node = self.launch(1)

    def launch(self, ordinal: int) -> str:
        token = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", ordinal, 1)
        offer = Offer("aws", "m5.large", "us-east-1a", 2, 8_192, 8)
        tags = ownership_tags(token, set_name="web", tenant="default")
        return self.provider.create_node(NodeRequest(str(token), "web", offer, _OnMoto.image, tags)).id

    def make(self, name: str, vpc: str) -> str:
        made: str = self.client.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        return made

    def cards(self, node: str = "") -> list[dict[str, Any]]:
        wanted = [{"Name": "attachment.instance-id", "Values": [node or self.node]}]
        found: list[dict[str, Any]] = self.client.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]
        return sorted(found, key=lambda card: int(card["Attachment"]["DeviceIndex"]))

    def of(self, node: str = "") -> list[list[str]]:
        """Names of the groups of each interface."""
        return [[group["GroupName"] for group in card["Groups"]] for card in self.cards(node)]

    def named(self, name: str) -> dict[str, Any]:
        (found,) = self.client.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])[
            "SecurityGroups"
        ]
        return dict(found)

    def tags(self) -> dict[str, str]:
        (reservation,) = self.client.describe_instances(InstanceIds=[self.node])["Reservations"]
        return {tag["Key"]: tag["Value"] for tag in reservation["Instances"][0]["Tags"]}


@pytest.fixture
def groups(on_moto: AwsProvider, moto_ec2_with_tokens: str) -> _Groups:
    return _Groups(on_moto, moto_ec2_with_tokens)


def test_an_instance_gets_exactly_the_groups_back_that_each_interface_had(groups: _Groups) -> None:
    (first,) = groups.cards()
    web, db = (groups.make(f"{name}-{first['NetworkInterfaceId']}", first["VpcId"]) for name in ("web", "db"))
    made = groups.client.create_network_interface(SubnetId=first["SubnetId"], Groups=[db])["NetworkInterface"]
    second = made["NetworkInterfaceId"]
    groups.client.attach_network_interface(NetworkInterfaceId=second, InstanceId=groups.node, DeviceIndex=1)
    groups.client.modify_network_interface_attribute(NetworkInterfaceId=first["NetworkInterfaceId"], Groups=[web, db])
    before, tags = groups.of(), groups.tags()
    groups.provider.isolate_node(groups.node)
    assert groups.of() == [["cloudmon-isolated"], ["cloudmon-isolated"]]
    wall = groups.named("cloudmon-isolated")
    assert (wall["IpPermissions"], wall["IpPermissionsEgress"]) == ([], [])
    groups.provider.release_node(groups.node)
    assert groups.of() == before
    assert groups.tags() == tags


def test_an_isolation_that_stopped_half_way_is_brought_to_its_end_and_undone(groups: _Groups) -> None:
    """What was remembered by the first try is not lost to the second."""
    before = groups.of()
    groups.provider.isolate_node(groups.node)
    card = groups.cards()[0]
    groups.client.authorize_security_group_egress(
        GroupId=card["Groups"][0]["GroupId"],
        IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )
    other = groups.launch(2)
    groups.provider.isolate_node(other)  # the rule that somebody gave the group is gone again
    assert groups.named("cloudmon-isolated")["IpPermissionsEgress"] == []
    groups.provider.isolate_node(groups.node)
    groups.provider.release_node(groups.node)
    assert groups.of() == before
    assert groups.of(other) == [["cloudmon-isolated"]]


def test_groups_that_are_gone_meanwhile_are_not_given_back_and_none_at_all_is_said(groups: _Groups) -> None:
    (card,) = groups.cards()
    kept, lost = (groups.make(f"{name}-{card['NetworkInterfaceId']}", card["VpcId"]) for name in ("kept", "lost"))
    groups.client.modify_network_interface_attribute(NetworkInterfaceId=card["NetworkInterfaceId"], Groups=[kept, lost])
    groups.provider.isolate_node(groups.node)
    groups.client.delete_security_group(GroupId=lost)
    groups.provider.release_node(groups.node)
    assert [group["GroupId"] for group in groups.cards()[0]["Groups"]] == [kept]
    groups.provider.isolate_node(groups.node)
    groups.client.delete_security_group(GroupId=kept)
    with pytest.raises(Refused, match="give it one by hand"):
        groups.provider.release_node(groups.node)
    assert groups.of() == [["cloudmon-isolated"]]


def test_a_group_of_peers_lets_through_its_ports_among_its_members_and_nothing_else(groups: _Groups) -> None:
    before = groups.of()
    group = PeerGroup("cloudmon-peers-bbbbbbbbbbbb", (80, 5432), {"cloudmon:estate": "aaaaaaaaaaaa"})
    groups.provider.open_peers(group, [groups.node], [])
    assert groups.of() == [[*before[0], group.name]]
    found = groups.named(group.name)
    for way in ("IpPermissions", "IpPermissionsEgress"):
        rules = {(one["IpProtocol"], one["FromPort"], one["ToPort"]) for one in found[way]}
        others = [pair["GroupId"] for one in found[way] for pair in one["UserIdGroupPairs"]]
        assert (rules, others) == ({("tcp", port, port) for port in group.ports}, [found["GroupId"]] * 2)
        assert not any(one["IpRanges"] for one in found[way])
    (told,) = (one for one in groups.provider.list_peers() if one.name == group.name)
    assert (told.ports, told.tags["cloudmon:estate"]) == ((80, 5432), "aaaaaaaaaaaa")
    groups.provider.open_peers(group, [], [groups.node])
    groups.provider.close_peers(group.name)
    assert groups.of() == before
