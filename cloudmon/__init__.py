"""cloudmon: a virtual-appliance monitor for any cloud.

The package imports nothing here on purpose: ``cloudmon --help`` must start at once, and every room
is imported by whoever needs it. ``cloudmon/README.md`` is the map of the rooms.
"""

__version__ = "0.1.0"
