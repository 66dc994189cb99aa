"""What a template says of the inside of its appliances: applications, probes, files, jobs, who belongs there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError
from cloudmon.model.sets import Application, Job, Template

Write = Callable[..., Path]

TEXT = """
[clouds.east]
provider = "moon"

[templates.web]
images = {{ "*" = "web-1" }}
{}

[sets.storefront]
template = "web"
count = 3
"""
HASH = "ab" * 32


def template(write: Write, written: str) -> Template:
    (spec,) = settings.load(write(text=TEXT.format(written))).specs()
    return spec.template


def test_an_application_is_what_was_written(write: Write) -> None:
    found = template(
        write,
        """
        [templates.web.applications.shop]
        start = ["/opt/shop/bin/shop", "--port", "80"]
        stop = ["/opt/shop/bin/stop"]
        match = "shop --port"
        package = "shop"
        version = "2.1"
        probe = { http = "http://127.0.0.1/health", timeout_s = "2s" }
        """,
    )
    assert found.applications == {
        "shop": Application(
            start=("/opt/shop/bin/shop", "--port", "80"),
            stop=("/opt/shop/bin/stop",),
            match="shop --port",
            package="shop",
            version="2.1",
            probe={"http": "http://127.0.0.1/health", "status": 200, "timeout_s": 2},
        )
    }


@pytest.mark.parametrize(
    ("written", "probe"),
    [
        pytest.param("{ tcp = 80 }", {"tcp": 80, "timeout_s": 5}, id="tcp"),
        pytest.param(
            '{ http = "https://localhost/", status = 204 }',
            {"http": "https://localhost/", "status": 204, "timeout_s": 5},
            id="http",
        ),
        pytest.param('{ command = ["a", "b"] }', {"command": ["a", "b"], "timeout_s": 5}, id="command"),
        pytest.param('{ file = "/run/beat" }', {"file": "/run/beat", "max_age_s": 60}, id="file"),
        pytest.param('{ file = "/run/beat", max_age_s = "5m" }', {"file": "/run/beat", "max_age_s": 300}, id="its age"),
    ],
)
def test_a_probe_asks_one_thing_and_carries_its_limits(write: Write, written: str, probe: object) -> None:
    found = template(write, f"applications.shop = {{ probe = {written} }}")
    assert found.applications["shop"].probe == probe


def test_files_are_paths_and_some_have_a_hash(write: Write) -> None:
    found = template(write, f'files = ["/etc/hosts", {{ path = "/etc/shop.conf", sha256 = "{HASH.upper()}" }}]')
    assert found.files == ("/etc/hosts", "/etc/shop.conf")
    assert found.file_hashes == {"/etc/shop.conf": HASH}


def test_jobs_the_agent_and_who_belongs_there(write: Write) -> None:
    found = template(
        write,
        """
        jobs.vacuum = { argv = ["vacuumdb", "--all"], timeout_s = "10m" }
        agent = true
        report_interval_s = "1m"
        accounts = ["root", "www-*"]
        processes = []
        """,
    )
    assert found.jobs == {"vacuum": Job(("vacuumdb", "--all"), 600)}
    assert (found.agent, found.report_interval_s) == (True, 60)
    assert (found.accounts, found.processes) == (("root", "www-*"), ())


def test_a_template_that_says_nothing_of_its_inside_has_the_models_defaults(write: Write) -> None:
    assert template(write, "") == Template("web", {"*": "web-1"})


FAULTS = [
    pytest.param(
        'applications.shop = { start = "shop --port 80" }',
        'applications.shop.start = "shop --port 80" must be a list of words, such as ["systemctl", "reload", "nginx"]',
        id="a shell's line",
    ),
    pytest.param(
        'applications.shop = { start = ["shop", ""] }',
        'applications.shop.start.1 = "" must be text that is not empty.',
        id="an empty word",
    ),
    pytest.param("applications.shop = {}", "applications.shop says nothing by which it can be seen", id="unseen"),
    pytest.param(
        'applications.shop = { match = "shop", stop = ["x"] }', "shop has stop, but nothing that starts", id="only stop"
    ),
    pytest.param(
        'applications.shop = { match = "shop", version = "1" }', "has a version, but no package", id="no package"
    ),
    pytest.param(
        'applications.shop = { servise = "shop" }',
        'shop.servise = "shop" is an unknown key; did you mean "service"?',
        id="unknown key",
    ),
    pytest.param(
        "applications.shop = { probe = {} }",
        "applications.shop.probe must have one of tcp, http, command, file; it has none.",
        id="no probe",
    ),
    pytest.param(
        'applications.shop = { probe = { tcp = 1, file = "/x" } }', "file; it has tcp and file.", id="two probes"
    ),
    pytest.param(
        "applications.shop = { probe = { tcp = 80, status = 200 } }",
        "has status, which means something for http only.",
        id="a limit of another probe",
    ),
    pytest.param(
        "applications.shop = { probe = { tcp = 80000 } }", "probe.tcp = 80000 must be at most 65535.", id="no port"
    ),
    pytest.param(
        'applications."the shop" = { service = "shop" }', "must be a name of letters", id="no name of an application"
    ),
    pytest.param('files = ["etc/hosts"]', 'files.0.path = "etc/hosts" must be an absolute path.', id="relative"),
    pytest.param('files = ["/a", "/a"]', "templates.web names the file /a twice.", id="twice"),
    pytest.param(
        'files = [{ path = "/a", sha256 = "abc" }]',
        'files.0.sha256 = "abc" must be a SHA-256 in 64 hexadecimal digits.',
        id="no hash",
    ),
    pytest.param(
        'files = [{ path = "/a", sha = "abc" }]', 'sha = "abc" is an unknown key; did you mean "sha256"?', id="no key"
    ),
    pytest.param("jobs.tidy = { argv = [] }", "jobs.tidy.argv = [] must not be empty.", id="an empty job"),
    pytest.param("jobs.tidy = {}", "jobs.tidy.argv is missing.", id="a job of nothing"),
    pytest.param("report_interval_s = 0", "report_interval_s = 0 must be at least 1.", id="no interval"),
    pytest.param('accounts = "root"', 'accounts = "root" must be a list.', id="no list"),
]


@pytest.mark.parametrize(("written", "sentence"), FAULTS)
def test_a_fault_is_one_sentence(write: Write, written: str, sentence: str) -> None:
    path = write(text=TEXT.format(written))
    with pytest.raises(SettingsError) as caught:
        settings.load(path)
    assert caught.value.message.startswith(f"{path}: templates.web")
    assert sentence in caught.value.message
