"""What is fuzzed: every reader of foreign bytes of the channel and of the agent."""

from __future__ import annotations

from tests.fuzz import agent, channel
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {**channel.TARGETS, **agent.TARGETS}
"""By name."""
