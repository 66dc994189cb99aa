"""What the tests of the agent share."""

from agents import appliance, authority, monitor  # noqa: F401
