"""EC2's listing, read from bytes."""

from __future__ import annotations

import datetime as dt
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudmon.errors import UnexpectedAnswer
from cloudmon.model.nodes import Node, NodeState
from cloudmon_providers.aws import listing
from tests.benchmarks import ec2_listing

NS = "http://ec2.amazonaws.com/doc/2016-11-15/"


def document(instances: str = "", *, root: str = "DescribeInstancesResponse", ns: str = NS, tail: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?><{root} xmlns="{ns}"><requestId>r</requestId><reservationSet><item><instancesSet>'
        f"{instances}</instancesSet></item></reservationSet>{tail}</{root}>"
    ).encode()


def read(body: bytes) -> list[Node]:
    return listing.page(body, cloud="east")[0]


WHOLE = """<item><instanceId>i-1</instanceId><imageId>ami-1</imageId>
<instanceState><code>16</code><name>running</name></instanceState>
<privateDnsName>ip-10-0-0-9.internal</privateDnsName><instanceType>m5.large</instanceType>
<launchTime>2026-10-31T23:59:58.000Z</launchTime>
<placement><availabilityZone>us-east-1b</availabilityZone><groupName/></placement>
<monitoring><state>disabled</state></monitoring>
<privateIpAddress>10.0.0.9</privateIpAddress><ipAddress>54.0.0.9</ipAddress><ipv6Address>2001:db8::9</ipv6Address>
<tagSet><item><key>Name</key><value>storefront-3</value></item>
<item><key>cloudmon:estate</key><value>aaaaaaaaaaaa</value></item>
<item><key>cloudmon:token</key><value>cm1-aaaaaaaaaaaa-bbbbbbbbbbbb-3-1</value></item>
<item><key>note</key><value>a &lt; b &amp; &#x263A;</value></item><item><key>empty</key><value/></item></tagSet>
<networkInterfaceSet><item><privateIpAddress>10.9.9.9</privateIpAddress><tagSet><item><key>Name</key>
<value>an interface</value></item></tagSet></item></networkInterfaceSet></item>"""


def grouped(*names: str) -> bytes:
    """An instance with these security groups; of its reservation and its interface they are others."""
    items = "".join(
        f"<item><groupId>sg-{n}</groupId><groupName>{name}</groupName></item>" for n, name in enumerate(names)
    )
    other = "<groupSet><item><groupId>sg-9</groupId><groupName>cloudmon-isolated</groupName></item></groupSet>"
    instance = WHOLE.replace("<tagSet>", f"<groupSet>{items}</groupSet><tagSet>", 1)
    return document(instance.replace("<networkInterfaceSet><item>", f"<networkInterfaceSet><item>{other}"))


@pytest.mark.parametrize(
    ("names", "isolated", "peers"),
    [
        pytest.param((), None, None, id="EC2 names none"),
        pytest.param(("default",), False, "", id="one of somebody else's"),
        pytest.param(("cloudmon-isolated",), True, None, id="the one that lets nothing through"),
        pytest.param(("default", "cloudmon-isolated"), False, "", id="that one beside another"),
        pytest.param(("default", "cloudmon-peers-x"), False, "cloudmon-peers-x", id="one of peers"),
    ],
)
def test_security_groups_say_whether_it_is_isolated_and_who_its_peers_are(
    names: tuple[str, ...], isolated: bool | None, peers: str | None
) -> None:
    (node, _) = read(grouped(*names).replace(b"</instancesSet>", WHOLE.encode() + b"</instancesSet>"))
    assert (node.isolated, node.peers) == (isolated, peers)


def test_every_field_of_an_instance_is_read() -> None:
    assert read(document(WHOLE)) == [
        Node(
            id="i-1",
            name="storefront-3",
            state=NodeState.RUNNING,
            word="running",
            token="cm1-aaaaaaaaaaaa-bbbbbbbbbbbb-3-1",
            estate="aaaaaaaaaaaa",
            location="us-east-1b",
            size="m5.large",
            image="ami-1",
            public_addresses=("54.0.0.9", "2001:db8::9"),
            private_addresses=("10.0.0.9",),
            created_at=dt.datetime(2026, 10, 31, 23, 59, 58, tzinfo=dt.UTC),
            tags={
                "Name": "storefront-3",
                "cloudmon:estate": "aaaaaaaaaaaa",
                "cloudmon:token": "cm1-aaaaaaaaaaaa-bbbbbbbbbbbb-3-1",
                "note": "a < b & ☺",
                "empty": "",
            },
        )
    ]


def test_an_instance_inherits_nothing_from_the_one_before_it() -> None:
    bare = "<item><instanceId>i-2</instanceId></item>"
    assert read(document(WHOLE + bare))[1] == Node(
        "i-2", "", NodeState.UNKNOWN, "", None, None, "", "", "", (), (), None, {}
    )


@pytest.mark.parametrize(
    ("word", "state"),
    [
        pytest.param("pending", NodeState.PENDING, id="pending"),
        pytest.param("running", NodeState.RUNNING, id="running"),
        pytest.param("stopping", NodeState.STOPPING, id="stopping"),
        pytest.param("stopped", NodeState.STOPPED, id="stopped"),
        pytest.param("shutting-down", NodeState.TERMINATING, id="shutting-down"),
        pytest.param("terminated", NodeState.TERMINATED, id="terminated"),
        pytest.param("meditating", NodeState.UNKNOWN, id="a word that EC2 does not have yet"),
        pytest.param("", NodeState.UNKNOWN, id="no word"),
    ],
)
def test_each_word_is_one_state_and_an_unknown_word_is_unknown(word: str, state: NodeState) -> None:
    (node,) = read(
        document(f"<item><instanceId>i-1</instanceId><instanceState><name>{word}</name></instanceState></item>")
    )
    assert (node.state, node.word) == (state, word)


def test_a_launch_time_that_does_not_read_costs_only_itself() -> None:
    (node,) = read(document(WHOLE.replace("2026-10-31T23:59:58.000Z", "yesterday")))
    assert node.created_at is None
    assert node.state is NodeState.RUNNING


@pytest.mark.parametrize(
    ("word", "reason", "ended_at"),
    [
        ("terminated", "User initiated (2026-11-22 10:00:00 GMT)", dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)),
        ("terminated", "User initiated (2026-11-22 10:00:00 UTC)", dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)),
        ("terminated", "Server.SpotInstanceTermination", None),
        ("terminated", "User initiated (2026-11-31 10:00:00 GMT)", None),
        ("terminated", "", None),
        ("stopped", "User initiated (2026-11-22 10:00:00 GMT)", None),
        ("shutting-down", "User initiated (2026-11-22 10:00:00 GMT)", None),
    ],
    ids=["GMT", "UTC", "no instant", "no day of the calendar", "no reason", "stopped", "on its way"],
)
def test_a_terminated_instance_says_when_it_ended(word: str, reason: str, ended_at: dt.datetime | None) -> None:
    """Where the reason of its state names the instant, which is that of the order."""
    state = f"<instanceState><name>{word}</name></instanceState><reason>{reason}</reason>"
    after = "<item><instanceId>i-2</instanceId><instanceState><name>terminated</name></instanceState></item>"
    first, second = read(document(f"<item><instanceId>i-1</instanceId>{state}</item>{after}"))
    assert (first.ended_at, second.ended_at) == (ended_at, None)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty body"),
        pytest.param(b" \n", id="blank body"),
        pytest.param(b'{"reservations": []}', id="JSON"),
        pytest.param(b"<html><body>Sign in to the hotel's network</body></html>", id="a portal's page"),
        pytest.param(document(WHOLE)[:-40], id="cut off at the end"),
        pytest.param(document(WHOLE)[:900], id="cut off in an instance"),
        pytest.param(document(root="DescribeVolumesResponse"), id="another call's answer"),
        pytest.param(document(ns="http://rds.amazonaws.com/doc/2014-10-31/"), id="another service's namespace"),
        pytest.param(document(ns="http://ec2.amazonaws.com"), id="a namespace that lacks its end"),
        pytest.param(
            f'<DescribeInstancesResponse xmlns="{NS}"><requestId>r</requestId></DescribeInstancesResponse>'.encode(),
            id="no reservationSet",
        ),
        pytest.param(
            f'<DescribeInstancesResponse xmlns="{NS}"><x><reservationSet/></x></DescribeInstancesResponse>'.encode(),
            id="reservationSet where it does not belong",
        ),
        pytest.param(document("<item><imageId>ami-1</imageId></item>"), id="an instance without an id"),
        pytest.param(
            b"<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>", id="an error"
        ),
    ],
)
def test_what_is_no_whole_listing_of_ec2_is_unexpected_and_never_empty(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer) as caught:
        read(body)
    assert caught.value.cloud == "east"


@pytest.mark.parametrize("version", ["2016-11-15", "2013-10-15", "2030-01-01"])
def test_an_account_without_instances_is_empty_in_any_version_of_the_api(version: str) -> None:
    ns = f"http://ec2.amazonaws.com/doc/{version}/"
    body = f'<DescribeInstancesResponse xmlns="{ns}"><reservationSet/></DescribeInstancesResponse>'.encode()
    assert listing.page(body, cloud="east") == ([], "")


def test_the_token_of_the_next_page_is_told() -> None:
    assert listing.page(document(tail="<nextToken>abc=</nextToken>"), cloud="east")[1] == "abc="
    assert listing.page(document(tail="<nextToken/>"), cloud="east")[1] == ""


def test_what_a_create_call_answers_is_read_the_same_way() -> None:
    body = f'<RunInstancesResponse xmlns="{NS}"><instancesSet>{WHOLE}</instancesSet></RunInstancesResponse>'.encode()
    assert listing.page(body, cloud="east", root="RunInstancesResponse")[0] == read(document(WHOLE))


def expected(body: bytes) -> list[tuple[str | None, ...]]:
    """The plain ElementTree way to the same fields."""
    ns = {"e": NS}
    root = ET.fromstring(body)  # noqa: S314 - made here
    return [
        (
            item.findtext("e:instanceId", "", ns),
            item.findtext("e:instanceState/e:name", "", ns),
            item.findtext("e:placement/e:availabilityZone", "", ns),
            item.findtext("e:instanceType", "", ns),
            item.findtext("e:imageId", "", ns),
            item.findtext("e:ipAddress", "", ns),
            item.findtext("e:privateIpAddress", "", ns),
            *(tag.findtext("e:value", "", ns) for tag in item.iterfind("e:tagSet/e:item", ns)),
        )
        for item in root.iterfind("e:reservationSet/e:item/e:instancesSet/e:item", ns)
    ]


def fields(node: Node) -> tuple[str | None, ...]:
    addresses = (*node.public_addresses, *node.private_addresses)
    return (node.id, node.word, node.location, node.size, node.image, *addresses, *node.tags.values())


def test_the_fast_pass_reads_what_an_element_tree_reads() -> None:
    (body,) = ec2_listing.pages(200)
    assert expected(body) == [fields(node) for node in read(body)]


NAMES = ["item", "instanceId", "tagSet", "key", "value", "name", "placement", "nextToken", "instancesSet", "other"]
trees = st.recursive(
    st.sampled_from(NAMES).map(lambda name: f"<{name}>text</{name}>"),
    lambda inner: st.builds(
        lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", st.sampled_from(NAMES), st.lists(inner)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(trees)
def test_subtrees_that_nobody_asked_for_change_nothing_whatever_stands_in_them(tree: str) -> None:
    strange = f"<strange>{tree}</strange>"
    body = document(WHOLE.replace("<monitoring>", f"{strange}<monitoring>", 1) + strange, tail=strange)
    assert listing.page(body, cloud="east") == (read(document(WHOLE)), "")


def test_an_answer_that_defines_entities_is_refused() -> None:
    body = document(WHOLE).replace(
        b"?>", b'?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]>', 1
    )
    with pytest.raises(UnexpectedAnswer):
        read(body)
