"""EC2's word about an instance, as a queue holds it: whatever else is in there does no harm."""

from __future__ import annotations

import json

import pytest
from on_moto import EventBus
from pydantic import ValidationError

from cloudmon import errors
from cloudmon.model.nodes import NodeEvent
from cloudmon_providers.aws import events
from cloudmon_providers.aws.chain import Source
from cloudmon_providers.aws.options import AwsOptions

TOLD = {
    "version": "0",
    "id": "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "account": "123456789012",
    "time": "2026-11-11T21:29:54Z",
    "region": "us-east-1",
    "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-abcd1111"],
    "detail": {"instance-id": "i-abcd1111", "state": "stopped"},
}


def test_a_state_change_names_its_instance() -> None:
    assert events.event(json.dumps(TOLD), "r") == NodeEvent("i-abcd1111", "stopped", "r")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "null",
        "[]",
        "[" * 100_000,
        json.dumps({**TOLD, "source": "mallory"}),
        json.dumps({**TOLD, "detail": None}),
        json.dumps({**TOLD, "detail": {"instance-id": 7}}),
        json.dumps({**TOLD, "detail": {"instance-id": "i-abcd1111 or so"}}),
        json.dumps({**TOLD, "detail": {"instance-id": "i-" + "a" * 99}}),
    ],
)
def test_anything_else_is_taken_and_about_nobody(body: str) -> None:
    assert events.event(body, "r") == NodeEvent("", "", "r")


def test_an_odd_word_is_left_out() -> None:
    odd = {**TOLD, "detail": {"instance-id": "i-abcd1111", "state": "<b>"}}
    assert events.event(json.dumps(odd), "r") == NodeEvent("i-abcd1111", "", "r")


def options(url: str, queue: str) -> AwsOptions:
    given = {"region": "us-east-1", "access_key": "testing", "secret_key": "testing", "endpoint": url}
    return AwsOptions.model_validate({**given, "events_queue": queue})


def queue_of(url: str, queue: str) -> events.Queue:
    found = options(url, queue)
    return events.Queue("aws", found, Source("aws", found), timeout_s=5)


def test_what_was_taken_is_deleted_and_the_rest_is_not(moto_server: str, event_bus: EventBus) -> None:
    queue = queue_of(moto_server, event_bus.queue)
    for number in range(12):
        event_bus.put(json.dumps({**TOLD, "detail": {"instance-id": f"i-0000000{number:x}", "state": "stopped"}}))
    first = queue.wait(0)
    assert len(first) == 10
    queue.take([event.receipt for event in first])
    assert event_bus.left == 2
    rest = queue.wait(0)
    assert len({event.node_id for event in (*first, *rest)}) == 12
    assert event_bus.left == 2


def test_a_queue_that_is_not_there_is_an_error_of_ours(moto_server: str) -> None:
    with pytest.raises(errors.CloudError) as caught:
        queue_of(moto_server, f"{moto_server}/123456789012/none").wait(0)
    assert caught.value.cloud == "aws"


def test_a_cloud_without_a_queue_tells_of_nothing(moto_server: str) -> None:
    with pytest.raises(errors.Unsupported):
        queue_of(moto_server, "").wait(0)


@pytest.mark.parametrize("queue", ["changes", "https://", "https://sqs.us-east-1.amazonaws.com"])
def test_what_is_no_url_of_a_queue_is_refused(queue: str) -> None:
    with pytest.raises(ValidationError, match="URL of a queue"):
        options("", queue)
