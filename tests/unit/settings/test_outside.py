"""What a template says of how its appliances are asked from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError
from cloudmon.model import specs
from cloudmon.model.probes import Probe
from cloudmon.model.sets import SetSpec

Write = Callable[..., Path]

TEXT = """
[clouds.east]
provider = "moon"

[templates.web]
images = {{ "*" = "web-1" }}

[templates.web.probes]
it = {{ {} }}

[sets.storefront]
template = "web"
count = 3
"""


def spec(write: Write, written: str) -> SetSpec:
    (found,) = settings.load(write(text=TEXT.format(written))).specs()
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("tcp = 443", Probe(tcp=443)),
        ('http = "http://{address}"', Probe(port=80, path="/")),
        (
            'http = "http://{address}:8080/health?deep=1", status = 204, timeout_s = "2s", interval_s = "1m"',
            Probe(port=8080, path="/health?deep=1", status=204, timeout_s=2, interval_s=60),
        ),
        ('tcp = 22, address = "public", ip = 6', Probe(tcp=22, address="public", family=6)),
    ],
    ids=["a port", "a page", "everything of a page", "another address"],
)
def test_a_probe_is_what_was_written_and_survives_the_store(write: Write, written: str, expected: Probe) -> None:
    found = spec(write, written)
    assert found.template.probes == {"it": expected}
    assert specs.from_json(specs.to_json(found)) == found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("timeout_s = 1", "one of tcp, http"),
        ('tcp = 80, http = "http://{address}/"', "one of tcp, http"),
        ("tcp = 80, status = 200", "http only"),
        ("tcp = 0", "tcp"),
        ('http = "http://10.0.0.1/"', "{address}"),
        ('http = "https://{address}/"', "{address}"),
        ('http = "http://{address}.evil.example/"', "{address}"),
        ('http = "http://{address}:70000/"', "{address}"),
        ('http = "http://{address}/a b"', "{address}"),
        ('http = "http://{address}/\\r\\nX: 1"', "{address}"),
        ("tcp = 80, interval_s = 2", "timeout_s above"),
    ],
)
def test_what_is_no_question_to_the_appliance_itself_is_refused_in_one_sentence(
    write: Write, written: str, said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        spec(write, written)
    assert said in str(caught.value)
    assert "probes.it" in str(caught.value)
