"""What a template says of how its appliances are asked from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from receivers import certificate

from cloudmon import settings
from cloudmon.errors import SettingsError
from cloudmon.model import specs
from cloudmon.model.probes import Probe, Tls
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
        ('http = "http://{address}", host = "shop.example"', Probe(path="/", host="shop.example")),
        ('https = "https://{address}"', Probe(port=443, path="/", tls=Tls())),
        (
            'https = "https://{address}:8443/health", host = "shop.example", verify = false',
            Probe(port=8443, path="/health", host="shop.example", tls=Tls(verify=False)),
        ),
    ],
    ids=["a port", "a page", "everything of a page", "another address", "a name", "TLS", "TLS with anybody"],
)
def test_a_probe_is_what_was_written_and_survives_the_store(write: Write, written: str, expected: Probe) -> None:
    found = spec(write, written)
    assert found.template.probes == {"it": expected}
    assert specs.from_json(specs.to_json(found)) == found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("timeout_s = 1", "one of tcp, http, https; it has none"),
        ('tcp = 80, http = "http://{address}/"', "one of tcp, http, https; it has tcp and http"),
        ("tcp = 80, status = 200", "http and https only"),
        ('tcp = 80, host = "a"', "http and https only"),
        ('http = "http://{address}/", verify = false', "https only"),
        ('https = "http://{address}/"', "by https"),
        ('https = "https://{address}/", host = "a b"', "host"),
        ('https = "https://{address}/", host = "a\\r\\nX: 1"', "host"),
        ('https = "https://{address}/", ca = "x"', "certificates in PEM"),
        ('https = "https://{address}/", ca_file = "gone.pem"', "cannot be read"),
        ('https = "https://{address}/", ca_file = "gone.pem", verify = false', "believes anybody"),
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


def test_the_file_of_authorities_that_are_believed_is_read_and_goes_where_the_set_goes(
    write: Write, tmp_path: Path
) -> None:
    _, file = certificate(tmp_path)
    found = spec(write, 'https = "https://{address}", ca_file = "ca.pem"')
    assert found.template.probes["it"].tls == Tls(ca=file.read_text(encoding="utf-8").strip())
    file.write_text("no certificate", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"probes\.it\.ca_file .*certificates in PEM"):
        spec(write, 'https = "https://{address}", ca_file = "ca.pem"')
