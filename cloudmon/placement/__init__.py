"""Placement, pure: a request and offers in, ranked choices with reasons out. No I/O, no clock, no memory."""

from cloudmon.placement.ranking import rank

__all__ = ["rank"]
