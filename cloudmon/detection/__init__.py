"""PURE: facts and policies → what holds in an appliance. No I/O, no clock, no store."""
