"""The agent: runs inside an appliance, says what it sees there and does what the monitor asks for.

It is shipped as one file to machines that have nothing but Python 3.9 or newer, so it uses the standard library only,
imports no other room, and no room imports it. What it shares with the monitor is the protocol:
``channel/PROTOCOL.md``.
"""
