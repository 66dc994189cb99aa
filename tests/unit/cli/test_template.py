"""``cloudmon template osquery``: what a host with osquery is started with."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509


def served(cli: Any, *more: str) -> None:
    """The settings get a channel."""
    text = cli.config.read_text()
    cli.config.write_text("\n".join([text, "[channel]", *more]))


@pytest.mark.usefixtures("estate")
def test_the_flags_name_the_channel_its_paths_and_the_files_that_a_host_needs(cli: Any) -> None:
    served(cli, "osquery = true", 'url = "https://monitor.example.net:8788"')
    lines = cli("template", "osquery", "storefront").stdout.splitlines()
    flags = dict(line.split("=", 1) for line in lines if line.startswith("--"))
    assert flags["--tls_hostname"] == "monitor.example.net:8788"
    assert flags["--tls_server_certs"] == "/etc/osquery/cloudmon.pem"
    assert flags["--enroll_secret_path"] == "/etc/osquery/cloudmon.secret"
    assert flags["--host_identifier"] == "instance"
    paths = {value for value in flags.values() if value.startswith("/osquery/")}
    assert paths == {
        f"/osquery/v1/{path}" for path in ("enroll", "config", "log", "distributed/read", "distributed/write")
    }
    assert all(line.startswith(("--", "# ")) for line in lines)


@pytest.mark.usefixtures("estate")
def test_a_host_behind_a_proxy_trusts_what_its_machine_trusts(cli: Any) -> None:
    served(cli, "osquery = true", 'tls = "proxy"', 'url = "https://monitor.example.net"')
    text = cli("template", "osquery", "storefront").stdout
    assert "--tls_hostname=monitor.example.net\n" in text
    assert "server_certs" not in text
    assert "shows a certificate of its own" in cli("template", "osquery", "storefront", "--ca", code=1).stderr


@pytest.mark.usefixtures("estate")
def test_the_authority_that_hosts_must_trust_is_printed(cli: Any) -> None:
    served(cli, "osquery = true")
    printed = cli("template", "osquery", "storefront", "--ca").stdout
    assert x509.load_pem_x509_certificate(printed.encode()).extensions.get_extension_for_class(x509.BasicConstraints)


@pytest.mark.usefixtures("estate")
@pytest.mark.parametrize("more", [None, ()], ids=["no channel", "not for osquery"])
def test_where_no_host_is_served_none_gets_flags(cli: Any, more: Any) -> None:
    if more is not None:
        served(cli, *more)
    assert "set osquery = true under [channel]" in cli("template", "osquery", "storefront", code=1).stderr
