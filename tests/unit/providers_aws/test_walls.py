"""Security groups as walls, call by call: in which order, and where another call was faster."""

from __future__ import annotations

import pytest

from cloudmon import errors
from cloudmon.model.nodes import PeerGroup

SPACE = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
INSTANCE = f"""<DescribeInstancesResponse {SPACE}><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>
<instanceState><name>running</name></instanceState></item></instancesSet></item></reservationSet>
</DescribeInstancesResponse>"""
DONE = f"<Response {SPACE}><return>true</return></Response>"
EGRESS = """<item><ipProtocol>-1</ipProtocol><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item>"""
GROUP = PeerGroup("cloudmon-peers-x", (80,))


def interfaces(*groups: str) -> str:
    """Those of i-1: one a group, the last one is the first of the instance."""
    items = "".join(
        f"""<item><networkInterfaceId>eni-{index}</networkInterfaceId><vpcId>vpc-1</vpcId>
        <groupSet><item><groupId>sg-{name}</groupId><groupName>{name}</groupName></item></groupSet>
        <attachment><instanceId>i-1</instanceId><deviceIndex>{index}</deviceIndex></attachment></item>"""
        for index, name in enumerate(reversed(groups))
    )
    return (
        f"<DescribeNetworkInterfacesResponse {SPACE}><networkInterfaceSet>{items}</networkInterfaceSet>"
        "</DescribeNetworkInterfacesResponse>"
    )


def security(name: str = "", egress: str = "") -> str:
    item = f"""<item><groupId>sg-0</groupId><groupName>{name}</groupName><vpcId>vpc-1</vpcId>
    <ipPermissionsEgress>{egress}</ipPermissionsEgress></item>""" if name else ""  # fmt: skip
    return (
        f"<DescribeSecurityGroupsResponse {SPACE}><securityGroupInfo>{item}</securityGroupInfo>"
        "</DescribeSecurityGroupsResponse>"
    )


def test_what_an_interface_had_is_written_down_before_it_is_taken_and_the_first_one_is_the_last(ec2, make) -> None:
    ec2.will(INSTANCE).will(interfaces("b", "a"))
    for _ in range(2):
        ec2.will(security("cloudmon-isolated")).will(DONE).will(DONE)
    make(firewall=True).isolate_node("i-1")
    each = ["DescribeSecurityGroups", "CreateTags", "ModifyNetworkInterfaceAttribute"]
    assert ec2.actions == ["DescribeInstances", "DescribeNetworkInterfaces", *each, *each]
    tagged = [(form["Tag.1.Key"], form["Tag.1.Value"]) for form in ec2.forms if form["Action"] == "CreateTags"]
    assert tagged == [("cloudmon:before:eni-1", "b"), ("cloudmon:before:eni-0", "a")]
    given = [form for form in ec2.forms if form["Action"] == each[-1]]
    assert [(form["NetworkInterfaceId"], form["SecurityGroupId.1"]) for form in given] == [
        ("eni-1", "sg-0"),
        ("eni-0", "sg-0"),
    ]


def test_another_call_may_have_made_the_group_and_taken_its_rules_away(ec2, make) -> None:
    ec2.will(INSTANCE).will(interfaces("a")).will(security()).will_refuse("InvalidGroup.Duplicate")
    ec2.will(security("cloudmon-isolated", EGRESS)).will_refuse("InvalidPermission.NotFound").will(DONE).will(DONE)
    make(firewall=True).isolate_node("i-1")
    assert ec2.actions[3:] == [
        "CreateSecurityGroup",
        "DescribeSecurityGroups",
        "RevokeSecurityGroupEgress",
        "CreateTags",
        "ModifyNetworkInterfaceAttribute",
    ]


def test_an_instance_is_not_isolated_by_a_group_whose_rules_could_not_be_taken_away(ec2, make) -> None:
    ec2.will(INSTANCE).will(interfaces("a")).will(security("cloudmon-isolated", EGRESS))
    ec2.will_refuse("UnauthorizedOperation", 403)
    with pytest.raises(errors.CredentialsRejected):
        make(firewall=True).isolate_node("i-1")
    assert ec2.actions[-1] == "RevokeSecurityGroupEgress"


def test_an_instance_that_ends_meanwhile_keeps_the_others_from_nothing(ec2, make) -> None:
    ec2.will(interfaces("a")).will(security("cloudmon-peers-x")).will(DONE).will(DONE)
    ec2.will_refuse("InvalidNetworkInterfaceID.NotFound")
    make(firewall=True).open_peers(GROUP, ["i-1"], [])
    assert ec2.actions[2:] == [
        "AuthorizeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
        "ModifyNetworkInterfaceAttribute",
    ]


def test_more_groups_than_a_tag_holds_are_refused_before_anything_is_done(ec2, make) -> None:
    many = "".join(f"<item><groupId>sg-{number:017x}</groupId></item>" for number in range(16))
    ec2.will(INSTANCE).will(interfaces("a").replace("<groupSet>", f"<groupSet>{many}"))
    ec2.will(security("cloudmon-isolated"))
    with pytest.raises(errors.Refused, match="more groups than a tag can hold"):
        make(firewall=True).isolate_node("i-1")
    assert ec2.actions[-1] == "DescribeSecurityGroups"


@pytest.mark.parametrize("verb", ["isolate_node", "release_node"])
def test_without_the_option_nothing_is_asked(ec2, make, verb) -> None:
    with pytest.raises(errors.Unsupported):
        getattr(make(), verb)("i-1")
    assert ec2.actions == []
