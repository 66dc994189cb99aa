"""EC2's state changes as EventBridge puts them into a queue of SQS."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cloudmon import errors
from cloudmon.model.nodes import NodeEvent
from cloudmon_providers.aws import boto
from cloudmon_providers.aws.chain import Source
from cloudmon_providers.aws.options import AwsOptions
from cloudmon_providers.aws.service import Service

LONGEST_WAIT_S: Final = 20
"""Longest poll that SQS allows."""
AT_A_TIME: Final = 10
"""Most messages that SQS gives, and takes back, in one call."""
_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")
_WORD = re.compile(r"[a-z-]{1,40}")


class Queue:
    """The queue of one cloud; not shared between threads."""

    def __init__(self, cloud: str, options: AwsOptions, source: Source, *, timeout_s: float) -> None:
        self._cloud = cloud
        self._options = options
        self._service = Service("sqs", cloud, options, source, timeout_s=timeout_s + LONGEST_WAIT_S)

    def reset(self) -> None:
        """Drop the connection; the next call makes another."""
        self._service.reset()

    def wait(self, wait_s: float) -> list[NodeEvent]:
        """Messages as events, as soon as there are any."""
        client = self._client()
        with boto.translating(self._cloud, "wait_events"):
            answer = client.receive_message(
                QueueUrl=self._options.events_queue,
                MaxNumberOfMessages=AT_A_TIME,
                WaitTimeSeconds=max(0, min(LONGEST_WAIT_S, int(wait_s))),
            )
        messages = answer.get("Messages", ())
        return [event(str(message.get("Body", "")), str(message.get("ReceiptHandle", ""))) for message in messages]

    def take(self, receipts: Sequence[str]) -> None:
        """Delete these messages. One that cannot be deleted comes again, which does no harm."""
        client = self._client()
        for start in range(0, len(receipts), AT_A_TIME):
            batch = receipts[start : start + AT_A_TIME]
            entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(batch)]
            with boto.translating(self._cloud, "take_events"):
                client.delete_message_batch(QueueUrl=self._options.events_queue, Entries=entries)

    def _client(self) -> Any:
        if not self._options.events_queue:
            raise errors.Unsupported(f"{self._cloud}: there is no events_queue", cloud=self._cloud)
        return self._service.client("wait_events")


def event(body: str, receipt: str) -> NodeEvent:
    """A message's body as an event; one without a node where it is anything but EC2's word about an instance."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return NodeEvent("", receipt=receipt)
    detail = found.get("detail") if isinstance(found, Mapping) and found.get("source") == "aws.ec2" else None
    instance = detail.get("instance-id") if isinstance(detail, Mapping) else None
    if not isinstance(instance, str) or not _INSTANCE.fullmatch(instance):
        return NodeEvent("", receipt=receipt)
    word = detail.get("state") if isinstance(detail, Mapping) else None
    return NodeEvent(instance, word if isinstance(word, str) and _WORD.fullmatch(word) else "", receipt)
