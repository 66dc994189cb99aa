"""What is shipped for tests costs nothing until it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cloudmon.testing


def test_the_clock_brings_neither_pytest_nor_the_store() -> None:
    """Nor libcloud: a program may use it without the test extra."""
    script = (
        "import sys; from cloudmon.testing import FakeClock; FakeClock(); "
        "print([name for name in ('pytest', 'sqlmodel', 'libcloud', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", cloudmon.testing.__all__)
def test_every_name_that_is_offered_is_there(name: str) -> None:
    assert getattr(cloudmon.testing, name).__name__ == name


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        cloudmon.testing.Nonsense  # noqa: B018
