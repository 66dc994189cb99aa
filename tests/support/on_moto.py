"""moto's server, threaded, on loopback: an EC2 endpoint for adapters and for whole estates.

Where moto is laxer than EC2, it is made as strict here, so that an adapter needs no word about moto: EC2 refuses orders
to instances in the wrong state, unknown instance types and images, and tags for what is not there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """URL of moto's server in this process."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - a second, which only the tests with moto pay

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
    from moto.ec2.exceptions import EC2ClientError  # noqa: PLC0415
    from moto.ec2.models import EC2Backend, ec2_backends  # noqa: PLC0415

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
    monkeypatch.setattr(EC2Backend, "do_resources_exist", EC2Backend.get_multi_instances_by_id)
    monkeypatch.setattr(settings, "EC2_ENABLE_INSTANCE_TYPE_VALIDATION", True)
    monkeypatch.setattr(settings, "ENABLE_AMI_VALIDATION", True)
    yield moto_server
    for regions in ec2_backends.values():
        for backend in regions.values():
            backend.reservations.clear()


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
