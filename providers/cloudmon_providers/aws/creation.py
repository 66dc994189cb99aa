"""RunInstances: what a create call is made of. Pure: the same request, options and image give the same parameters."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from pydantic import ValidationError

from cloudmon import errors
from cloudmon.model.nodes import NodeRequest
from cloudmon_providers.aws.options import AwsOptions, CreateOptions

USER_DATA_LIMIT: Final = 16_384
"""Bytes that EC2 takes, before base64."""
TOKEN_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that an image brings along."""

    device: str
    size_gib: int
    ends_with_node: bool


@dataclass(frozen=True, slots=True)
class Image:
    """What a create call must know of its image, so that no volume outlives the node."""

    id: str
    root_device: str
    volumes: tuple[Volume, ...]


def image(document: bytes, image_id: str, *, cloud: str) -> Image:
    """The image that a DescribeImages answer tells of. ``NotFound`` when it tells of none."""
    try:
        root = ET.fromstring(document)  # noqa: S314 - EC2's own answer; expat refuses expanding entities
    except ET.ParseError as error:
        raise errors.UnexpectedAnswer(f"{cloud}: DescribeImages: {error}", cloud=cloud) from error
    images = root.find("{*}imagesSet")
    if not root.tag.endswith("}DescribeImagesResponse") or images is None:
        raise errors.UnexpectedAnswer(f"{cloud}: DescribeImages answered with <{root.tag[-60:]}>", cloud=cloud)
    found = images.find("{*}item")
    if found is None:
        raise errors.NotFound(f"{cloud}: there is no image {image_id}", cloud=cloud, code="InvalidAMIID.NotFound")
    volumes = tuple(_volumes(found.iterfind("{*}blockDeviceMapping/{*}item")))
    return Image(image_id, found.findtext("{*}rootDeviceName", ""), volumes)


def _volumes(items: Iterable[ET.Element]) -> Iterator[Volume]:
    for item in items:
        ebs = item.find("{*}ebs")
        if ebs is not None:
            size = ebs.findtext("{*}volumeSize", "")
            yield Volume(
                item.findtext("{*}deviceName", ""),
                int(size) if size.isdecimal() else 0,
                ebs.findtext("{*}deleteOnTermination") == "true",
            )


def parameters(request: NodeRequest, options: AwsOptions, image: Image, *, cloud: str) -> dict[str, str]:
    """The parameters of RunInstances. ``Refused`` for what EC2 would refuse in worse words, or cut off."""
    offer = request.offer
    try:
        wanted = options.creating(request.options, offer.location)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise errors.Refused(f"{cloud}: template option {where}: {first['msg']}", cloud=cloud) from None
    if len(request.token) > TOKEN_LIMIT or not request.token.isascii():
        raise errors.Refused(f"{cloud}: EC2 takes tokens of at most {TOKEN_LIMIT} ASCII characters", cloud=cloud)
    found = {
        "ImageId": request.image,
        "InstanceType": offer.size,
        "MinCount": "1",
        "MaxCount": "1",
        "ClientToken": request.token,
        **_user_data(request, cloud),
        **_network(wanted),
        **_volume_changes(image, wanted),
        **_tags(request),
    }
    if offer.location != options.region:
        found["Placement.AvailabilityZone"] = offer.location
    if offer.spot:
        found["InstanceMarketOptions.MarketType"] = "spot"
    if wanted.key_name:
        found["KeyName"] = wanted.key_name
    if wanted.iam_profile:
        kind = "Arn" if wanted.iam_profile.startswith("arn:") else "Name"
        found[f"IamInstanceProfile.{kind}"] = wanted.iam_profile
    if options.require_imdsv2:
        found["MetadataOptions.HttpTokens"] = "required"
    return found


def _user_data(request: NodeRequest, cloud: str) -> Mapping[str, str]:
    data = request.user_data.encode()
    if len(data) > USER_DATA_LIMIT:
        raise errors.Refused(
            f"{cloud}: the user data takes {len(data)} bytes and EC2 takes at most {USER_DATA_LIMIT}: "
            "fetch the rest at boot, or compress it",
            cloud=cloud,
        )
    return {"UserData": base64.b64encode(data).decode("ascii")} if data else {}


def _network(wanted: CreateOptions) -> Mapping[str, str]:
    # A wish for or against a public address must stand in an interface of its own; then the rest goes there, too.
    prefix = "NetworkInterface.1." if wanted.public_address is not None else ""
    found = {
        f"{prefix}SecurityGroupId.{number}": group for number, group in enumerate(wanted.security_groups or (), start=1)
    }
    if wanted.subnet:
        found[f"{prefix}SubnetId"] = wanted.subnet
    if prefix:
        found[f"{prefix}DeviceIndex"] = "0"
        found[f"{prefix}AssociatePublicIpAddress"] = str(wanted.public_address).lower()
        found[f"{prefix}DeleteOnTermination"] = "true"
    return found


def _volume_changes(image: Image, wanted: CreateOptions) -> Mapping[str, str]:
    """Only the volumes that the image has otherwise: too small a root, or one that would outlive the node."""
    found: dict[str, str] = {}
    number = 0
    for volume in image.volumes:
        least = wanted.root_volume_gib or 0 if volume.device == image.root_device else 0
        if volume.ends_with_node and volume.size_gib >= least:
            continue
        number += 1
        prefix = f"BlockDeviceMapping.{number}."
        found[f"{prefix}DeviceName"] = volume.device
        found[f"{prefix}Ebs.DeleteOnTermination"] = "true"
        size = max(volume.size_gib, least)
        if size:
            found[f"{prefix}Ebs.VolumeSize"] = str(size)
    return found


def _tags(request: NodeRequest) -> Mapping[str, str]:
    """The same tags on all that the call makes, so that leftovers can be told, too."""
    tags = {"Name": request.name, **request.tags}
    kinds = ["instance", "volume", "network-interface"]
    if request.offer.spot:
        kinds.append("spot-instances-request")
    found: dict[str, str] = {}
    for number, kind in enumerate(kinds, start=1):
        found[f"TagSpecification.{number}.ResourceType"] = kind
        found |= numbered(tags, f"TagSpecification.{number}.Tag")
    return found


def numbered(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Tags as EC2's query API writes lists: ``prefix.1.Key``, ``prefix.1.Value`` …"""
    found: dict[str, str] = {}
    for number, (key, value) in enumerate(tags.items(), start=1):
        found[f"{prefix}.{number}.Key"] = key
        found[f"{prefix}.{number}.Value"] = value
    return found
