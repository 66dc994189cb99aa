"""Frozen nouns: what cloudmon talks about. No I/O, no clock, no ORM; values are replaced, never edited."""
