"""moto's server, threaded, on loopback: an EC2 endpoint for adapters and for whole estates.

Where moto is laxer than EC2, it is made as strict here, so that an adapter needs no word about moto: EC2 refuses orders
to instances in the wrong state, unknown instance types and images, and tags for what is not there.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

CHANGED = "EC2 Instance State-change Notification"


IMAGE = "ami-12c6146b"
"""The one image that moto has here. It brings hundreds of them, and goes through all for each answer about images."""


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of moto's server in this process."""
    from moto.utilities.utils import load_resource  # noqa: PLC0415 - a second, which only the tests with moto pay

    images = [one for one in load_resource("ec2/resources/amis.json") if one["ami_id"] == IMAGE]
    kept = tmp_path_factory.mktemp("moto") / "images.json"
    kept.write_text(json.dumps(images))
    os.environ["MOTO_AMIS_PATH"] = str(kept)  # read when moto's EC2 is imported, and for each account
    import botocore.session as sessions  # noqa: PLC0415
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    # Each session reads what boto3 knows of its services anew, and each provider has one: here they share it.
    sessions.create_loader = cache(sessions.create_loader)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_ec2(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an EC2 endpoint without instances, as strict as EC2."""
    from moto import settings  # noqa: PLC0415
    from moto.core.exceptions import JsonRESTError  # noqa: PLC0415
    from moto.ec2.exceptions import EC2ClientError  # noqa: PLC0415
    from moto.ec2.models import EC2Backend, ec2_backends  # noqa: PLC0415
    from moto.ssm.models import SimpleSystemManagerBackend  # noqa: PLC0415

    class InvalidInstance(JsonRESTError):
        code = 400

        def __init__(self) -> None:
            super().__init__("InvalidInstanceId", "Instances not in a valid state for account")

    def only_in(verb: str, *states: str) -> None:
        loose = getattr(EC2Backend, verb)

        def strict(backend: Any, instance_ids: list[str]) -> Any:
            for instance in backend.get_multi_instances_by_id(instance_ids):
                if instance.state not in states:
                    raise EC2ClientError(
                        "IncorrectInstanceState", f"The instance {instance.id} is in the state {instance.state}"
                    )
            return loose(backend, instance_ids)

        monkeypatch.setattr(EC2Backend, verb, strict)

    only_in("start_instances", "stopped", "pending", "running")
    only_in("stop_instances", "pending", "running", "stopping", "stopped")
    only_in("reboot_instances", "pending", "running")
    run = SimpleSystemManagerBackend.send_command

    def heard_only(backend: Any, **asked: Any) -> Any:
        """Systems Manager knows instances that run, and no others."""
        known = {one.id: one.state for one in ec2_backends[backend.account_id][backend.region_name].all_instances()}
        if any(known.get(one) != "running" for one in asked["instance_ids"]):
            raise InvalidInstance
        return run(backend, **asked)

    monkeypatch.setattr(SimpleSystemManagerBackend, "send_command", heard_only)
    _groups_on_interfaces(monkeypatch)
    monkeypatch.setattr(EC2Backend, "do_resources_exist", EC2Backend.get_multi_instances_by_id)
    monkeypatch.setattr(settings, "EC2_ENABLE_INSTANCE_TYPE_VALIDATION", True)
    monkeypatch.setattr(settings, "ENABLE_AMI_VALIDATION", True)
    yield moto_server
    for regions in ec2_backends.values():
        for backend in regions.values():
            backend.reservations.clear()


def _groups_on_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Security groups lie on interfaces: an instance shows those of its first one, and what has one keeps it from
    being deleted."""
    from moto.ec2.exceptions import EC2ClientError  # noqa: PLC0415
    from moto.ec2.models import EC2Backend  # noqa: PLC0415
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface  # noqa: PLC0415
    from moto.ec2.models.instances import Instance  # noqa: PLC0415

    def shown(instance: Any) -> Any:
        first = getattr(instance, "nics", {}).get(0)
        if first is None:  # it is only being made
            return instance.__dict__["asked_groups"]
        return first._group_set if instance.state != "terminated" else []

    def asked(instance: Any, groups: Any) -> None:
        instance.__dict__["asked_groups"] = groups

    delete = EC2Backend.delete_security_group

    def unless_used(backend: Any, name: Any = None, group_id: Any = None) -> Any:
        living = [one for one in backend.all_instances() if one.state != "terminated"]
        if any(group.id == group_id for one in living for nic in one.nics.values() for group in nic._group_set):
            raise EC2ClientError("DependencyViolation", f"resource {group_id} has a dependent object")
        return delete(backend, name, group_id)

    monkeypatch.setattr(NetworkInterface, "group_set", property(lambda card: card._group_set))
    monkeypatch.setattr(Instance, "security_groups", property(shown, asked), raising=False)
    monkeypatch.setattr(EC2Backend, "delete_security_group", unless_used)


@pytest.fixture
def moto_ec2_with_tokens(moto_ec2: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same endpoint, honouring client tokens as EC2 does, which moto does not."""
    from moto.ec2.exceptions import EC2ClientError  # noqa: PLC0415
    from moto.ec2.models import EC2Backend  # noqa: PLC0415

    run = EC2Backend.run_instances
    known: dict[str, tuple[object, Any]] = {}

    def once(backend: Any, *arguments: Any, **named: Any) -> Any:
        token, asked = named["client_token"], repr((arguments, named))
        if token in known:
            earlier, reservation = known[token]
            if earlier != asked:
                raise EC2ClientError("IdempotentParameterMismatch", "other parameters came with this token")
            if reservation.instances[0].state == "terminated":
                raise EC2ClientError("IdempotentInstanceTerminated", "the instance of this token is terminated")
            return reservation
        known[token] = (asked, run(backend, *arguments, **named))
        return known[token][1]

    monkeypatch.setattr(EC2Backend, "run_instances", once)
    return moto_ec2


class EventBus:
    """EC2's word about an instance, from the event bus to a queue, as an account would set it up. moto sends none of
    its own."""

    def __init__(self, url: str) -> None:
        import boto3  # noqa: PLC0415

        def client(service: str) -> Any:
            return boto3.client(
                service, region_name="us-east-1", endpoint_url=url, aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )  # fmt: skip

        self._sqs, self._bus = client("sqs"), client("events")
        name = f"changes-{uuid.uuid4().hex[:12]}"
        self.queue = str(self._sqs.create_queue(QueueName=name)["QueueUrl"])
        arn = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["aws.ec2"], "detail-type": [CHANGED]}
        self._bus.put_rule(Name=name, EventPattern=json.dumps(pattern))
        self._bus.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def tell(self, instance: str, state: str) -> None:
        """EC2 says that the instance came into this state."""
        detail = json.dumps({"instance-id": instance, "state": state})
        self._bus.put_events(Entries=[{"Source": "aws.ec2", "DetailType": CHANGED, "Detail": detail}])

    def put(self, body: str) -> None:
        """Somebody puts anything into the queue."""
        self._sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    @property
    def left(self) -> int:
        """Messages that wait or are being looked at."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


@pytest.fixture
def event_bus(moto_server: str) -> EventBus:
    """EC2's events, into a queue of their own."""
    return EventBus(moto_server)
