"""Simulated guests: appliances in process that speak the channel's wire with the shipped agent's own code, are struck
by faults, and are put right by the commands that the monitor sends. Thousands fit into one process.

Nothing here waits or asks for the time: whoever has guests steps each when it is due.
"""

from __future__ import annotations

from cloudmon.testing.guests.exchange import Exchange
from cloudmon.testing.guests.faults import FAULTS, Fault
from cloudmon.testing.guests.guest import Guest

__all__ = ["FAULTS", "Exchange", "Fault", "Guest"]
