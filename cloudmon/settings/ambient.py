"""Variables of the environment that libraries obey behind our back."""

from __future__ import annotations

import os
from collections.abc import Mapping

OBEYED: Mapping[str, str] = {
    "LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS": (
        "libcloud repeats calls whose answer was lost, creates too; cloudmon keeps its own calls from that, other "
        "programs and a driver's side connections are not kept from it"
    ),
    "LIBCLOUD_DEBUG": "libcloud writes every call with its credentials to a file",
}


def obeyed() -> dict[str, str]:
    """Those that are set, with what they do."""
    return {name: what for name, what in OBEYED.items() if os.environ.get(name)}
