"""DescribeInstances answers in the shape and size of EC2's own, generated, since a simulated cloud is too slow to ask.

An instance takes about 3.4 KB, as recorded ones of a VPC with one interface, one volume and eight tags do. The same
arguments always give the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"

HEAD = f"""<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="{NAMESPACE}">
 <requestId>8f7724cf-496f-496e-8fe3-example00001</requestId>
 <reservationSet>
"""

ITEM = """        <item>
   <reservationId>r-{serial:017x}</reservationId>
   <ownerId>123456789012</ownerId>
   <groupSet/>
   <instancesSet>
    <item>
     <instanceId>{id}</instanceId>
     <imageId>ami-0{image:016x}</imageId>
     <instanceState><code>{code}</code><name>{word}</name></instanceState>
     <privateDnsName>ip-10-{a}-{b}-{c}.ec2.internal</privateDnsName>
     <dnsName>ec2-54-{a}-{b}-{c}.compute-1.amazonaws.com</dnsName>
     <reason/>
     <keyName>operations</keyName>
     <amiLaunchIndex>0</amiLaunchIndex>
     <productCodes/>
     <instanceType>{size}</instanceType>
     <launchTime>2026-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z</launchTime>
     <placement>
      <availabilityZone>us-east-1{zone}</availabilityZone><groupName/><tenancy>default</tenancy>
     </placement>
     <monitoring><state>disabled</state></monitoring>
     <subnetId>subnet-0d5e7d6ee0f1b0d3f</subnetId>
     <vpcId>vpc-0a9b3a2a9e2f7c8d1</vpcId>
     <privateIpAddress>10.{a}.{b}.{c}</privateIpAddress>
     <ipAddress>54.{a}.{b}.{c}</ipAddress>
     <sourceDestCheck>true</sourceDestCheck>
     <groupSet>
      <item><groupId>sg-0c1d2e3f4a5b6c7d8</groupId><groupName>web</groupName></item>
     </groupSet>
     <architecture>x86_64</architecture>
     <rootDeviceType>ebs</rootDeviceType>
     <rootDeviceName>/dev/xvda</rootDeviceName>
     <blockDeviceMapping>
      <item>
       <deviceName>/dev/xvda</deviceName>
       <ebs><volumeId>vol-{serial:017x}</volumeId><status>attached</status>
       <attachTime>2026-01-05T10:00:01.000Z</attachTime>
       <deleteOnTermination>true</deleteOnTermination></ebs>
      </item>
     </blockDeviceMapping>
     <virtualizationType>hvm</virtualizationType>
     <clientToken>{token}</clientToken>
     <tagSet>
{tags}
     </tagSet>
     <hypervisor>xen</hypervisor>
     <networkInterfaceSet>
      <item>
       <networkInterfaceId>eni-{serial:017x}</networkInterfaceId>
       <subnetId>subnet-0d5e7d6ee0f1b0d3f</subnetId><vpcId>vpc-0a9b3a2a9e2f7c8d1</vpcId>
       <description/><ownerId>123456789012</ownerId><status>in-use</status>
       <macAddress>0a:ff:{a:02x}:{b:02x}:{c:02x}:01</macAddress>
       <privateIpAddress>10.{a}.{b}.{c}</privateIpAddress>
       <privateDnsName>ip-10-{a}-{b}-{c}.ec2.internal</privateDnsName>
       <sourceDestCheck>true</sourceDestCheck>
       <groupSet><item><groupId>sg-0c1d2e3f4a5b6c7d8</groupId><groupName>web</groupName></item>
       </groupSet>
       <attachment><attachmentId>eni-attach-{serial:017x}</attachmentId>
       <deviceIndex>0</deviceIndex><status>attached</status>
       <attachTime>2026-01-05T10:00:00.000Z</attachTime>
       <deleteOnTermination>true</deleteOnTermination></attachment>
       <association><publicIp>54.{a}.{b}.{c}</publicIp><ipOwnerId>amazon</ipOwnerId></association>
       <privateIpAddressesSet><item><privateIpAddress>10.{a}.{b}.{c}</privateIpAddress>
       <primary>true</primary></item></privateIpAddressesSet>
       <ipv6AddressesSet/>
      </item>
     </networkInterfaceSet>
     <ebsOptimized>false</ebsOptimized>
     <cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>
     <metadataOptions><state>applied</state><httpTokens>required</httpTokens></metadataOptions>
    </item>
   </instancesSet>
  </item>
"""

STATES = (("16", "running"),) * 17 + (("80", "stopped"), ("0", "pending"), ("48", "terminated"))
SIZES = ("t3.micro", "t3.small", "m5.large", "c5.xlarge")


def instance_id(serial: int) -> str:
    """Id of the instance with this serial number, in the form that EC2 gives."""
    return f"i-{serial:017x}"


def instance(serial: int, *, estate: str, set_uid: str, seed: int = 0, word: str | None = None) -> str:
    """One reservation with one instance of our estate, ``serial`` being also its ordinal."""
    draw = random.Random(f"{seed}/{serial}")
    code, drawn = draw.choice(STATES)
    token = f"cm1-{estate}-{set_uid}-{serial}-1"
    tags = {
        "Name": f"storefront-{serial}",
        "cloudmon:estate": estate,
        "cloudmon:token": token,
        "cloudmon:set": "storefront",
        "cloudmon:tenant": "default",
        "department": "sales &amp; support",
        "environment": "production",
        "aws:ec2:fleet-id": f"fleet-{serial:08x}",
    }
    return ITEM.format(
        serial=serial,
        id=instance_id(serial),
        image=draw.randrange(3),
        code=code,
        word=word or drawn,
        a=serial >> 16 & 255,
        b=serial >> 8 & 255,
        c=serial & 255,
        size=draw.choice(SIZES),
        zone=draw.choice("abc"),
        month=draw.randint(1, 10),
        day=draw.randint(1, 28),
        hour=draw.randrange(24),
        minute=draw.randrange(60),
        second=draw.randrange(60),
        token=token,
        tags="\n".join(f"      <item><key>{key}</key><value>{value}</value></item>" for key, value in tags.items()),
    )


def page(instances: Iterator[str] | list[str], next_token: str = "") -> bytes:
    """One answer with these reservations; ``next_token`` names the next page, empty on the last one."""
    tail = f" <nextToken>{next_token}</nextToken>\n" if next_token else ""
    return (HEAD + "".join(instances) + " </reservationSet>\n" + tail + "</DescribeInstancesResponse>\n").encode()


def pages(
    count: int,
    *,
    size: int = 1_000,
    estate: str = "estateestate",
    set_uid: str = "setsetsetset",
    seed: int = 0,
    states: tuple[str, ...] = (),
) -> list[bytes]:
    """A whole listing of ``count`` instances in pages of ``size``; page n ends with the token ``page-n``.

    ``states`` makes the instances take these words in turn; without it most of them run.
    """
    made = []
    for first in range(0, max(count, 1), size):
        serials = range(first, min(first + size, count))
        items = [
            instance(
                serial, estate=estate, set_uid=set_uid, seed=seed, word=states[serial % len(states)] if states else None
            )
            for serial in serials
        ]
        made.append(page(items, f"page-{len(made) + 1}" if first + size < count else ""))
    return made
