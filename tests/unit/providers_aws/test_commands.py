"""Commands by Systems Manager: what is sent, and what an invocation says."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from cloudmon import errors
from cloudmon.model.nodes import CommandResult
from cloudmon_providers.aws import commands


@pytest.mark.parametrize(
    "argv",
    [
        ["true"],
        ["echo", "a b", "$(reboot)", "`reboot`"],
        ["sh", "-c", "it's; rm -rf /"],
        ["printf", "", "\n", "*", "&"],
    ],
)
def test_a_line_is_its_words_and_nothing_else(argv: list[str]) -> None:
    assert shlex.split(commands.line(argv)) == argv


def test_what_systems_manager_would_read_something_into_is_refused() -> None:
    with pytest.raises(errors.Refused):
        commands.line(["echo", "{{ssm:secret}}"])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"Status": "InProgress", "ResponseCode": -1}, None),
        ({"Status": "Success", "ResponseCode": 0, "StandardOutputContent": "x"}, CommandResult(0, "x")),
        (
            {"Status": "Failed", "ResponseCode": 3, "StandardOutputContent": "x", "StandardErrorContent": "y"},
            CommandResult(3, "xy"),
        ),
        (
            {"Status": "TimedOut", "ResponseCode": -1},
            CommandResult(None, "", "it did not end in time and was ended"),
        ),
        ({"Status": "Failed", "ResponseCode": -1}, CommandResult(None, "", "Systems Manager says Failed")),
        ({}, CommandResult(None, "", "Systems Manager says nothing")),
    ],
    ids=["runs", "well", "ill", "too long", "never began", "odd"],
)
def test_an_invocation_is_told_as_a_result(found: dict[str, Any], expected: CommandResult | None) -> None:
    assert commands.of(found) == expected
