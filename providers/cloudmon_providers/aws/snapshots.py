"""Snapshots of all volumes of an instance, found again by a tag: EC2 has no token for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

from cloudmon.errors import UnexpectedAnswer
from cloudmon_providers.aws import creation, listing

TAG_NAME: Final = "cloudmon:snapshot"
TAG_NODE: Final = "cloudmon:snapshot-of"


def named(node_id: str, name: str) -> Mapping[str, str]:
    """Asks for those of an instance with this name."""
    return {
        "Owner.1": "self",
        "Filter.1.Name": f"tag:{TAG_NAME}",
        "Filter.1.Value.1": name,
        "Filter.2.Name": f"tag:{TAG_NODE}",
        "Filter.2.Value.1": node_id,
    }


def parameters(node_id: str, name: str, tags: Mapping[str, str]) -> Mapping[str, str]:
    """Asks for snapshots of all volumes, of one instant, with their tags in the call itself."""
    return {
        "InstanceSpecification.InstanceId": node_id,
        "Description": name,
        "TagSpecification.1.ResourceType": "snapshot",
        **creation.numbered({"Name": name, TAG_NAME: name, TAG_NODE: node_id, **tags}, "TagSpecification.1.Tag"),
    }


def ids(answer: bytes, *, cloud: str) -> str:
    """Ids of the snapshots in an answer, in order, joined with commas; empty: none."""
    try:
        root = ET.fromstring(answer)  # noqa: S314 - expat stops at entities that multiply; the answer is the cloud's
    except ET.ParseError as error:
        raise UnexpectedAnswer(f"{cloud}: an answer about snapshots is no XML", cloud=cloud) from error
    space, _, kind = root.tag.rpartition("}")
    found = root.find(f"{space}}}snapshotSet") if space.startswith("{" + listing.NAMESPACE) else None
    if found is None or kind not in ("DescribeSnapshotsResponse", "CreateSnapshotsResponse"):
        raise UnexpectedAnswer(f"{cloud}: an answer about snapshots is something else", cloud=cloud)
    return ",".join(sorted(item.findtext(f"{space}}}snapshotId", "") for item in found))
