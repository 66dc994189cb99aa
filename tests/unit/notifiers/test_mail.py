"""E-mail: one message a notice, one thread a finding, and what servers say taken for what they mean."""

from __future__ import annotations

import datetime as dt
import socket
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import receivers
from aiosmtpd.smtp import AuthResult
from pydantic import ValidationError
from receivers import CUT

from cloudmon.errors import NoticeRefused, NotifierUnavailable
from cloudmon.notifier import Notice, Notifier
from cloudmon.notifiers.mail import Mail, MailOptions

AT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NOTICE = Notice("n-1", AT, "finding.opened", "critical", "web is dówn", {"kind": "fault", "evidence": {"n": 1}}, "t-1")


def mail(port: int, *, timeout_s: float = 5.0, **options: Any) -> Mail:
    given = {
        "host": "127.0.0.1", "port": port, "security": "none", "from": "cm@example.net",
        "to": ["ops@example.net", "boss@example.net"], **options,
    }  # fmt: skip
    return Mail("ops", MailOptions.model_validate(given), now=lambda: AT, timeout_s=timeout_s)


def test_a_notice_is_one_mail_and_the_same_mail_each_time() -> None:
    """A repetition is known by its Message-ID."""
    with receivers.post_office() as office:
        ops = mail(office.port, subject_prefix="[shop]")
        assert isinstance(ops, Notifier)
        assert ops.send(NOTICE) == ""
        ops.send(NOTICE)
    (who, first), (_, second) = office.taken
    assert who == ("ops@example.net", "boss@example.net")
    assert first["Subject"] == "[shop] web is dówn"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Date"].datetime == AT
    assert "kind: fault" in first.get_content()
    assert first.as_bytes() == second.as_bytes()


def test_all_that_is_told_of_one_finding_is_one_thread() -> None:
    """Its opening and its end refer to the same."""
    with receivers.post_office() as office:
        ops = mail(office.port)
        for notice_id in ("n-1", "n-2"):
            ops.send(replace(NOTICE, id=notice_id))
        ops.send(replace(NOTICE, id="n-3", thread=""))
    first, second, digest = (told for _, told in office.taken)
    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"]
    assert digest["References"] is None


def test_what_a_cloud_calls_its_things_writes_no_header() -> None:
    """A line end in a title is a blank, and a long one is cut."""
    with receivers.post_office() as office:
        mail(office.port).send(replace(NOTICE, title="bad\r\nBcc: all@example.net " + "x" * 500))
    ((who, told),) = office.taken
    assert told["Bcc"] is None
    assert len(who) == 2
    assert len(told["Subject"]) == 200


@pytest.mark.parametrize(
    ("recipients", "data"),
    [
        pytest.param(
            {"ops@example.net": "451 4.7.1 greylisted", "boss@example.net": "451 greylisted"}, "", id="all grey"
        ),
        pytest.param({"boss@example.net": "450 4.2.1 busy"}, "", id="one is asked to come again"),
        pytest.param({}, "452 4.3.1 disk is full", id="after the data"),
        pytest.param({}, CUT, id="the line breaks after it was taken"),
    ],
)
def test_not_now_is_no_refusal(recipients: dict[str, str], data: str) -> None:
    """It is tried again for all."""
    with receivers.post_office() as office:
        office.recipients = {who: deque([said]) for who, said in recipients.items()}
        office.data = deque([data] if data else [])
        ops = mail(office.port)
        with pytest.raises(NotifierUnavailable):
            ops.send(NOTICE)
        assert ops.send(NOTICE) == ""


def test_a_server_that_takes_it_for_some_has_taken_it() -> None:
    """And the remark says whom it refused."""
    with receivers.post_office() as office:
        office.recipients = {"boss@example.net": deque(["550 5.1.1 no such user"])}
        assert mail(office.port).send(NOTICE) == "refused for boss@example.net: 550 5.1.1 no such user"
    assert [who for who, _ in office.taken] == [("ops@example.net",)]


@pytest.mark.parametrize("stage", ["recipients", "data"])
def test_a_definite_no_is_a_refusal(stage: str) -> None:
    """With the server's own words."""
    with receivers.post_office() as office:
        if stage == "data":
            office.data = deque(["554 5.7.1 looks like spam"])
        else:
            office.recipients = {f"{who}@example.net": deque(["554 5.7.1 looks like spam"]) for who in ("ops", "boss")}
        with pytest.raises(NoticeRefused, match="554 5.7.1 looks like spam"):
            mail(office.port).send(NOTICE)


def test_nobody_listens_or_somebody_else_does() -> None:
    """Neither is waited for."""
    with receivers.post_office() as office:
        port = office.port
    with pytest.raises(NotifierUnavailable, match="127.0.0.1 did not take it"):
        mail(port).send(NOTICE)
    later = receivers.speaking(lambda line: line.sendall(b"421 4.3.2 come later\r\n"))
    with later as port, pytest.raises(NotifierUnavailable, match="421"):
        mail(port).send(NOTICE)


def test_a_server_that_only_drips_is_not_waited_for() -> None:
    """A time-out alone would count from each byte anew."""

    def drips(line: socket.socket) -> None:
        line.sendall(b"220-hello ")
        receivers.drip(line)

    with receivers.speaking(drips) as port, pytest.raises(NotifierUnavailable):
        mail(port, timeout_s=0.1).send(NOTICE)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_it_is_encrypted_for_whom_the_settings_believe_and_logs_in(security: str, tmp_path: Path) -> None:
    """A wrong password keeps everything waiting until somebody mends it."""
    tls, ca = receivers.certificate(tmp_path / "a")

    def known(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"cm", b"open sesame"), handled=False)

    about: dict[str, Any] = {"authenticator": known, "auth_require_tls": False}
    if security == "tls":
        about["ssl_context"] = tls
    else:
        about |= {"tls_context": tls, "require_starttls": True}
    with receivers.post_office(**about) as office:
        right = {"security": security, "user": "cm", "password": "open sesame", "ca": ca.read_text()}
        assert mail(office.port, **right).send(NOTICE) == ""
        assert mail(office.port, **right).reach() == ("127.0.0.1 answers, its certificate is believed, cm may log in")
        with pytest.raises(NotifierUnavailable, match="535"):
            mail(office.port, **{**right, "password": "open barley"}).send(NOTICE)
        with pytest.raises(NotifierUnavailable, match="certificate"):
            mail(office.port, **{**right, "ca": ""}).send(NOTICE)
    assert len(office.taken) == 1


def test_it_never_goes_on_in_the_clear() -> None:
    """A server without STARTTLS gets nothing."""
    with receivers.post_office() as office, pytest.raises(NotifierUnavailable, match="STARTTLS"):
        mail(office.port, security="starttls").send(NOTICE)
    assert office.taken == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        pytest.param({"from": "nobody"}, "must be an address", id="no address"),
        pytest.param({"to": ["a@b.example\nBcc: c@d.example"]}, "must be an address", id="a header"),
        pytest.param({"to": []}, "at least 1 item", id="nobody"),
        pytest.param({"user": "cm"}, "both user and password", id="half a login"),
        pytest.param({"host": "h.example", "user": "cm", "password": "p"}, "in the clear", id="in the clear"),
        pytest.param({"subject_prefix": "a\nb"}, "must be one line", id="two lines"),
        pytest.param({"ssl": True}, "Extra inputs", id="unknown key"),
    ],
)
def test_options_that_could_not_work_are_refused(options: dict[str, Any], why: str) -> None:
    """One sentence each."""
    given = {"host": "127.0.0.1", "security": "none", "from": "cm@example.net", "to": ["ops@example.net"], **options}
    with pytest.raises(ValidationError, match=why):
        MailOptions.model_validate(given)
