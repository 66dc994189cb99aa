"""The version, and nothing else: the builder of the shipped file writes a sharper one over it."""

VERSION = "0.1.0"
URL = ""
"""Where the monitor is, of a file that was built for one."""
