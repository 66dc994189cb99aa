"""Commands in instances by Systems Manager's Run Command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cloudmon import errors
from cloudmon.model.nodes import CommandResult
from cloudmon_providers.aws import boto
from cloudmon_providers.aws.chain import Source
from cloudmon_providers.aws.options import AwsOptions
from cloudmon_providers.aws.service import Service

DOCUMENT: Final = "AWS-RunShellScript"
LEAST_S: Final = 30
"""Shortest time that Systems Manager lets a command wait for its instance."""

_RUNNING = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})
_ENDS: Final[Mapping[str, str]] = {
    "TimedOut": "it did not end in time and was ended",
    "Cancelled": "somebody cancelled it",
}


class Commands:
    """Systems Manager of one cloud; not shared between threads."""

    def __init__(self, cloud: str, options: AwsOptions, source: Source, *, timeout_s: float) -> None:
        self._cloud = cloud
        self._options = options
        self._service = Service("ssm", cloud, options, source, timeout_s=timeout_s, attempts=1)

    def reset(self) -> None:
        """Drop the connection; the next call makes another."""
        self._service.reset()

    def start(self, node_id: str, argvs: Sequence[Sequence[str]], timeout_s: float) -> str:
        """Send the programs as lines of a script, each word quoted."""
        client = self._client()
        for_s = max(1, int(timeout_s))
        with boto.translating(self._cloud, "start_command"):
            answer = client.send_command(
                InstanceIds=[node_id],
                DocumentName=DOCUMENT,
                TimeoutSeconds=max(LEAST_S, for_s),
                Parameters={"commands": [line(argv) for argv in argvs], "executionTimeout": [str(for_s)]},
            )
        return str(answer["Command"]["CommandId"])

    def result(self, node_id: str, command_id: str) -> CommandResult | None:
        """What the invocation came to; None while it runs, and while it does not show."""
        client = self._client()
        try:
            with boto.translating(self._cloud, "command_result"):
                found = client.get_command_invocation(CommandId=command_id, InstanceId=node_id)
        except errors.CloudError as error:
            if getattr(error, "code", "") in ("InvocationDoesNotExist", "InvalidCommandId"):
                return None
            raise
        return of(found)

    def _client(self) -> Any:
        if not self._options.run_command:
            raise errors.Unsupported(f"{self._cloud}: run_command is off", cloud=self._cloud)
        return self._service.client("start_command")


def line(argv: Sequence[str]) -> str:
    """A line of a script that is these words and nothing else. Refused where Systems Manager would read a parameter
    of its own into it."""
    if any("{{" in word for word in argv):
        raise errors.Refused("Systems Manager reads {{ in a command as a parameter of its own")
    return shlex.join(argv)


def of(found: Mapping[str, Any]) -> CommandResult | None:
    """An invocation as a result."""
    status = str(found.get("Status", ""))
    if status in _RUNNING:
        return None
    code = found.get("ResponseCode")
    exit_code = code if isinstance(code, int) and code >= 0 else None
    output = str(found.get("StandardOutputContent") or "") + str(found.get("StandardErrorContent") or "")
    if status == "Success":
        return CommandResult(exit_code or 0, output)
    if status == "Failed" and exit_code:
        return CommandResult(exit_code, output)
    return CommandResult(exit_code, output, _ENDS.get(status, f"Systems Manager says {status or 'nothing'}"))
