"""Pure: usage events -> intervals -> totals. No store, no clock; later rated lines, invoices and FOCUS rows.

What is counted here is decided by the events and the observation spans alone, never by when anybody asked or in what
order things were written down: the same statements give the same seconds, on every machine and every time.
"""

from cloudmon.metering.folding import fold
from cloudmon.metering.totals import By, Total, clip, totals

__all__ = ["By", "Total", "clip", "fold", "totals"]
