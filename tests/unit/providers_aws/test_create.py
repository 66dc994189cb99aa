"""Create calls: what goes into the one call, and what its answers mean."""

from __future__ import annotations

import base64
import dataclasses

import pytest

from cloudmon import errors
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.model.offers import Offer
from tests.benchmarks import ec2_listing

TOKEN = Token("e" * 12, "s" * 12, 3, 1)
NS = "http://ec2.amazonaws.com/doc/2016-11-15/"
REQUEST = NodeRequest(
    token=str(TOKEN),
    name="storefront-3",
    offer=Offer("east", "m5.large", "us-east-1b", 2, 8192, 8),
    image="ami-1",
    tags=ownership_tags(TOKEN, set_name="storefront", tenant="default"),
    user_data="#!/bin/sh\nécho",
)


def image(*volumes: tuple[str, int, bool]) -> str:
    items = "".join(
        f"<item><deviceName>{device}</deviceName><ebs><snapshotId>snap-1</snapshotId><volumeSize>{size}</volumeSize>"
        f"<deleteOnTermination>{str(ends).lower()}</deleteOnTermination></ebs></item>"
        for device, size, ends in volumes
    )
    return (
        f'<DescribeImagesResponse xmlns="{NS}"><imagesSet><item><imageId>ami-1</imageId><rootDeviceName>/dev/xvda'
        f"</rootDeviceName><blockDeviceMapping>{items}<item><deviceName>/dev/sdb</deviceName><virtualName>ephemeral0"
        "</virtualName></item></blockDeviceMapping></item></imagesSet></DescribeImagesResponse>"
    )


PLAIN = image(("/dev/xvda", 8, True))


def made(*ids: str, tags: str = "") -> str:
    items = "".join(
        f"<item><instanceId>{id_}</instanceId><instanceState><code>0</code><name>pending</name></instanceState>"
        f"{tags}</item>"
        for id_ in ids
    )
    return f'<RunInstancesResponse xmlns="{NS}"><instancesSet>{items}</instancesSet></RunInstancesResponse>'


def test_token_tags_and_user_data_go_into_the_create_call_itself(ec2, make) -> None:
    ec2.will(PLAIN).will(made("i-9"))
    node = make().create_node(REQUEST)
    form = ec2.forms[1]
    assert ec2.actions == ["DescribeImages", "RunInstances"]
    assert form["ClientToken"] == str(TOKEN)
    assert base64.b64decode(form["UserData"]).decode() == "#!/bin/sh\nécho"
    assert (form["MinCount"], form["MaxCount"], form["MetadataOptions.HttpTokens"]) == ("1", "1", "required")
    assert (form["InstanceType"], form["Placement.AvailabilityZone"]) == ("m5.large", "us-east-1b")
    kinds = {form[f"TagSpecification.{n}.ResourceType"]: n for n in (1, 2, 3)}
    assert set(kinds) == {"instance", "volume", "network-interface"}
    for n in kinds.values():
        tags = {
            form[f"TagSpecification.{n}.Tag.{t}.Key"]: form[f"TagSpecification.{n}.Tag.{t}.Value"] for t in range(1, 6)
        }
        assert tags == {"Name": "storefront-3", **REQUEST.tags}
    assert not [key for key in form if key.startswith(("BlockDeviceMapping", "NetworkInterface"))]
    # EC2 may answer before its tags show; the node is ours all the same.
    assert (node.id, node.token, node.estate) == ("i-9", str(TOKEN), TOKEN.estate)


def test_user_data_never_stands_in_the_address(ec2, make) -> None:
    ec2.will(PLAIN).will(made("i-9"))
    make().create_node(dataclasses.replace(REQUEST, user_data="x" * 16_384))
    assert {(asked.method, asked.path) for asked in ec2.asked} == {("POST", "/")}


def test_user_data_that_ec2_would_not_take_is_refused_before_the_call(ec2, make) -> None:
    ec2.will(PLAIN)
    with pytest.raises(errors.Refused, match="16385 bytes and EC2 takes at most 16384"):
        make().create_node(dataclasses.replace(REQUEST, user_data="x" * 16_385))
    assert "RunInstances" not in ec2.actions


def test_no_volume_outlives_the_node_and_a_small_root_grows(ec2, make) -> None:
    ec2.will(image(("/dev/xvda", 8, True), ("/dev/sdf", 100, False), ("/dev/sdg", 5, True))).will(made("i-9"))
    make(root_volume_gib=20).create_node(REQUEST)
    found = {key: value for key, value in ec2.forms[1].items() if key.startswith("BlockDeviceMapping")}
    assert found == {
        "BlockDeviceMapping.1.DeviceName": "/dev/xvda",
        "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
        "BlockDeviceMapping.1.Ebs.VolumeSize": "20",
        "BlockDeviceMapping.2.DeviceName": "/dev/sdf",
        "BlockDeviceMapping.2.Ebs.DeleteOnTermination": "true",
        "BlockDeviceMapping.2.Ebs.VolumeSize": "100",
    }


def test_an_image_is_asked_for_once(ec2, make) -> None:
    ec2.will(PLAIN).will(made("i-9")).will(made("i-10"))
    provider = make()
    provider.create_node(REQUEST)
    provider.create_node(dataclasses.replace(REQUEST, token=str(TOKEN._replace(incarnation=2))))
    assert ec2.actions == ["DescribeImages", "RunInstances", "RunInstances"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(
            f'<DescribeImagesResponse xmlns="{NS}"><imagesSet/></DescribeImagesResponse>',
            errors.NotFound,
            id="no image",
        ),
        pytest.param("<html/>", errors.UnexpectedAnswer, id="foreign document"),
        pytest.param("", errors.UnexpectedAnswer, id="empty"),
    ],
)
def test_an_image_that_is_not_there_is_told_before_anything_is_made(ec2, make, answer, error) -> None:
    ec2.will(answer)
    with pytest.raises(error):
        make().create_node(REQUEST)
    assert "RunInstances" not in ec2.actions


def test_the_template_says_otherwise_than_the_cloud_where_it_wants(ec2, make) -> None:
    ec2.will(PLAIN).will(made("i-9"))
    provider = make(subnets={"us-east-1b": "subnet-b"}, security_groups=("sg-1",), key_name="operations")
    options = {"security_groups": ["sg-2", "sg-3"], "iam_profile": "arn:aws:iam::1:instance-profile/web"}
    provider.create_node(dataclasses.replace(REQUEST, options=options))
    form = ec2.forms[1]
    assert (form["SubnetId"], form["KeyName"]) == ("subnet-b", "operations")
    assert (form["SecurityGroupId.1"], form["SecurityGroupId.2"]) == ("sg-2", "sg-3")
    assert form["IamInstanceProfile.Arn"] == "arn:aws:iam::1:instance-profile/web"


def test_a_wish_for_a_public_address_moves_the_network_into_an_interface(ec2, make) -> None:
    ec2.will(PLAIN).will(made("i-9"))
    make(subnets={"us-east-1b": "subnet-b"}, security_groups=("sg-1",), public_address=False).create_node(REQUEST)
    found = {
        key: value for key, value in ec2.forms[1].items() if "Interface." in key or "Subnet" in key or "Group" in key
    }
    assert found == {
        "NetworkInterface.1.DeviceIndex": "0",
        "NetworkInterface.1.AssociatePublicIpAddress": "false",
        "NetworkInterface.1.DeleteOnTermination": "true",
        "NetworkInterface.1.SubnetId": "subnet-b",
        "NetworkInterface.1.SecurityGroupId.1": "sg-1",
    }


def test_a_misspelt_template_option_is_refused_without_its_value(ec2, make) -> None:
    ec2.will(PLAIN)
    with pytest.raises(errors.Refused, match="sebnet") as caught:
        make().create_node(dataclasses.replace(REQUEST, options={"sebnet": "hush"}))
    assert "hush" not in str(caught.value)


def test_a_spot_offer_asks_for_a_spot_instance_and_tags_its_request(ec2, make) -> None:
    ec2.will(PLAIN).will(made("i-9"))
    make().create_node(dataclasses.replace(REQUEST, offer=dataclasses.replace(REQUEST.offer, spot=True)))
    assert ec2.forms[1]["InstanceMarketOptions.MarketType"] == "spot"
    assert ec2.forms[1]["TagSpecification.4.ResourceType"] == "spot-instances-request"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(made(), id="no node"),
        pytest.param(made("i-1", "i-2"), id="two nodes"),
        pytest.param(ec2_listing.page([]), id="a listing"),
        pytest.param("", id="empty 200"),
        pytest.param(made("i-1", tags="<tagSet><item><key>cloudmon:token</key><value>other</value></item></tagSet>"),
                     id="somebody else's node"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_one_node_is_unexpected_and_so_not_definite(ec2, make, answer) -> None:
    ec2.will(PLAIN).will(answer)
    with pytest.raises(errors.UnexpectedAnswer) as caught:
        make().create_node(REQUEST)
    assert not caught.value.definite


def test_a_token_used_with_other_parameters_gives_the_node_it_made_then(ec2, make) -> None:
    earlier = ec2_listing.page([ec2_listing.instance(3, estate="e" * 12, set_uid="s" * 12, word="running")])
    ec2.will(PLAIN).will_refuse("IdempotentParameterMismatch").will(earlier)
    assert make().create_node(REQUEST).id == ec2_listing.instance_id(3)
    assert (ec2.forms[2]["Filter.1.Name"], ec2.forms[2]["Filter.1.Value.1"]) == ("tag:cloudmon:token", str(TOKEN))


def test_a_token_used_with_other_parameters_whose_node_is_gone_is_refused(ec2, make) -> None:
    ended = ec2_listing.page([ec2_listing.instance(3, estate="e" * 12, set_uid="s" * 12, word="shutting-down")])
    ec2.will(PLAIN).will_refuse("IdempotentParameterMismatch").will(ended)
    with pytest.raises(errors.Refused) as caught:
        make().create_node(REQUEST)
    assert caught.value.code == "IdempotentParameterMismatch"


def test_a_token_used_with_other_parameters_whose_node_is_not_listed_yet_may_have_made_one(ec2, make) -> None:
    ec2.will(PLAIN).will_refuse("IdempotentParameterMismatch").will(ec2_listing.page([]))
    with pytest.raises(errors.UnexpectedAnswer) as caught:
        make().create_node(REQUEST)
    assert not caught.value.definite


def test_a_token_whose_instance_ended_is_spent(ec2, make) -> None:
    ec2.will(PLAIN).will_refuse("IdempotentInstanceTerminated")
    with pytest.raises(errors.Refused) as caught:
        make().create_node(REQUEST)
    assert caught.value.code == "IdempotentInstanceTerminated"


def test_where_tokens_are_not_honoured_the_tag_is_looked_for_first(ec2, make) -> None:
    earlier = ec2_listing.page([ec2_listing.instance(3, estate="e" * 12, set_uid="s" * 12, word="running")])
    ec2.will(earlier)
    assert make(honours_tokens=False).create_node(REQUEST).id == ec2_listing.instance_id(3)
    assert ec2.actions == ["DescribeInstances"]


def test_a_lost_answer_is_not_definite(ec2, make) -> None:
    ec2.will(PLAIN).will("", 500)
    with pytest.raises(errors.Unreachable) as caught:
        make().create_node(REQUEST)
    assert not caught.value.definite
    assert ec2.actions == ["DescribeImages", "RunInstances"]  # asking again is for whoever knows the deadline
