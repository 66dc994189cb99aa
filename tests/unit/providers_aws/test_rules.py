"""Rules of security groups, read and written."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from cloudmon.errors import UnexpectedAnswer
from cloudmon_providers.aws import rules
from cloudmon_providers.aws.rules import Rule

NS = "http://ec2.amazonaws.com/doc/2016-11-15/"
ITEMS = f"""<ipPermissions xmlns="{NS}">
<item><ipProtocol>-1</ipProtocol><groups/><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges>
<ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges><prefixListIds/></item>
<item><ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>81</toPort>
<groups><item><userId>1</userId><groupId>sg-1</groupId></item><item><groupId>sg-2</groupId></item></groups>
<prefixListIds><item><prefixListId>pl-1</prefixListId></item></prefixListIds></item></ipPermissions>"""
READ = {
    Rule("-1", "", "", "IpRanges", "0.0.0.0/0"),
    Rule("-1", "", "", "Ipv6Ranges", "::/0"),
    Rule("tcp", "80", "81", "Groups", "sg-1"),
    Rule("tcp", "80", "81", "Groups", "sg-2"),
    Rule("tcp", "80", "81", "PrefixListIds", "pl-1"),
}


def test_each_other_side_of_a_permission_is_a_rule() -> None:
    assert rules.read(ET.fromstring(ITEMS)) == READ  # noqa: S314 - written above


def test_rules_are_written_one_by_one() -> None:
    assert rules.parameters(
        {Rule("-1", "", "", "IpRanges", "0.0.0.0/0"), Rule("tcp", "80", "80", "Groups", "sg-1")}
    ) == {
        "IpPermissions.1.IpProtocol": "-1",
        "IpPermissions.1.IpRanges.1.CidrIp": "0.0.0.0/0",
        "IpPermissions.2.IpProtocol": "tcp",
        "IpPermissions.2.FromPort": "80",
        "IpPermissions.2.ToPort": "80",
        "IpPermissions.2.Groups.1.GroupId": "sg-1",
    }


@pytest.mark.parametrize(
    ("found", "ports"),
    [
        pytest.param(rules.among("sg-1", (5432, 80)), (80, 5432), id="its own"),
        pytest.param(frozenset(), (), id="none"),
        pytest.param(rules.among("sg-2", (80,)), (), id="those of another group"),
        pytest.param(
            rules.among("sg-1", (80,)) | {Rule("-1", "", "", "IpRanges", "0.0.0.0/0")}, (), id="more than its own"
        ),
        pytest.param({Rule("tcp", "80", "90", "Groups", "sg-1")}, (), id="a range"),
    ],
)
def test_only_the_very_rules_of_ports_are_told_as_ports(found: frozenset[Rule], ports: tuple[int, ...]) -> None:
    assert rules.ports("sg-1", found) == ports


@pytest.mark.parametrize(
    "body", [b"<html/>", b"no XML", f'<AResponse xmlns="{NS}"/>'.encode(), b"<AResponse><inside/></AResponse>"]
)
def test_an_answer_that_is_something_else_is_not_taken_for_an_empty_one(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        rules.tree(body, "AResponse", "inside", cloud="east")
