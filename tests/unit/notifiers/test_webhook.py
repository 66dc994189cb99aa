"""Webhooks: signed as the standard has it, impatient with whoever does not answer, and careful with addresses."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import receivers
from pydantic import ValidationError
from receivers import CUT, DRIPS, SILENT, Answer

from cloudmon.errors import NoticeRefused, NotifierUnavailable
from cloudmon.notifier import Notice, Notifier
from cloudmon.notifiers import webhook
from cloudmon.notifiers.webhook import Webhook, WebhookOptions

AT = dt.datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)
NOTICE = Notice("n-1", AT, "finding.opened", "critical", "web is dówn", {"kind": "fault", "n": [1]}, "t-1")
KEY = base64.b64encode(b"k" * 24).decode()


def hook(url: str, *, timeout_s: float = 5.0, **options: Any) -> Webhook:
    return Webhook("ops", WebhookOptions(url=url, **options), now=lambda: AT, timeout_s=timeout_s)


def test_the_signature_is_that_of_the_standard_s_own_example() -> None:
    """The vector that the standard's libraries are tested with."""
    (key,) = webhook.keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = webhook.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_notice_is_one_signed_post_with_the_same_body_each_time() -> None:
    """The id and the body stay; both keys sign while one takes another's place."""
    plain = "correct-horse-battery"
    with receivers.web() as web:
        ops = hook(web.url, secret=f"whsec_{KEY} {plain}")
        assert isinstance(ops, Notifier)
        assert ops.send(NOTICE) == ""
        ops.send(NOTICE)
    first, second = web.posts
    assert first == second
    assert first.path == "/hook?a=b"
    assert first.headers["webhook-id"] == "n-1"
    assert first.headers["webhook-timestamp"] == str(int(AT.timestamp()))
    assert first.headers["content-type"] == "application/json"
    expected = [webhook.signature(key, "n-1", int(AT.timestamp()), first.body) for key in (b"k" * 24, plain.encode())]
    assert first.headers["webhook-signature"].split() == expected
    assert json.loads(first.body) == {
        "type": "finding.opened",
        "timestamp": "2026-03-01T12:00:00.250000Z",
        "data": {"title": "web is dówn", "severity": "critical", "kind": "fault", "n": [1]},
    }


def test_without_a_secret_nothing_is_signed() -> None:
    """Rather no signature than one that proves nothing."""
    with receivers.web() as web:
        hook(web.url).send(NOTICE)
    assert "webhook-signature" not in web.posts[0].headers


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        pytest.param((429, {"Retry-After": "7"}), 7, id="asked to slow down"),
        pytest.param((503, {"Retry-After": "Sun, 01 Mar 2026 12:01:00 GMT"}), 59.75, id="until a date"),
        pytest.param((503, {"Retry-After": "soon"}), None, id="words that say nothing"),
        pytest.param(502, None, id="a proxy without a server"),
        pytest.param(CUT, None, id="hung up without a word"),
    ],
)
def test_whoever_takes_nothing_now_is_unavailable_and_says_for_how_long(answer: Answer, wait_s: float | None) -> None:
    """It is tried again, not before the other side's own wish."""
    with receivers.web(answer) as web, pytest.raises(NotifierUnavailable) as raised:
        hook(web.url).send(NOTICE)
    assert raised.value.retry_after_s == wait_s
    assert raised.value.notifier == "ops"


@pytest.mark.parametrize("answer", [SILENT, DRIPS])
def test_whoever_takes_it_and_does_not_answer_is_not_waited_for(answer: Answer) -> None:
    """Not even when he says a little now and then."""
    with receivers.web(answer) as web:
        with pytest.raises(NotifierUnavailable):
            hook(web.url, timeout_s=0.1).send(NOTICE)
        assert len(web.posts) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413, 500])
def test_whoever_answers_no_has_refused_it(status: int) -> None:
    """Others may pass."""
    with receivers.web(status) as web, pytest.raises(NoticeRefused, match=f"127.0.0.1 refuses it: {status}") as raised:
        hook(web.url).send(NOTICE)
    assert raised.value.code == str(status)


def test_a_redirect_is_not_followed() -> None:
    """What is told goes to whom the settings name."""
    with receivers.web() as other:
        elsewhere: Answer = (307, {"Location": other.url})
        with receivers.web(elsewhere) as web, pytest.raises(NoticeRefused, match="redirects are not followed"):
            hook(web.url).send(NOTICE)
    assert other.posts == []


def test_nobody_listens() -> None:
    """A port that is closed."""
    with receivers.web() as web:
        url = web.url
    with pytest.raises(NotifierUnavailable, match="127.0.0.1 did not answer"):
        hook(url).send(NOTICE)


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom we speak to stands in the settings alone."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with receivers.web() as web:
        assert hook(web.url).send(NOTICE) == ""


def test_only_a_certificate_that_is_believed_is_spoken_to(tmp_path: Path) -> None:
    """Of the authority in the settings, and of the very host."""
    tls, ca = receivers.certificate(tmp_path / "a")
    other, _ = receivers.certificate(tmp_path / "b", ["elsewhere.example"])
    pem = ca.read_text()
    with receivers.web(tls=tls) as web:
        assert hook(web.url, ca=pem).send(NOTICE) == ""
        with pytest.raises(NotifierUnavailable, match="certificate"):
            hook(web.url).send(NOTICE)
    with receivers.web(tls=other) as web, pytest.raises(NotifierUnavailable, match="certificate"):
        hook(web.url, ca=(tmp_path / "b/ca.pem").read_text()).send(NOTICE)
    assert web.posts == []


def test_errors_do_not_show_the_url() -> None:
    """Its path may be all the secret there is."""
    with receivers.web(404) as web, pytest.raises(NoticeRefused) as raised:
        hook(web.url.replace("/hook", "/T0P/S3CRET")).send(NOTICE)
    assert "S3CRET" not in str(raised.value)
    assert "S3CRET" not in repr(WebhookOptions(url="https://h.example/S3CRET"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        pytest.param({"url": "ftp://h.example/"}, "must be a URL such as", id="another scheme"),
        pytest.param({"url": "https://user:pw@h.example/"}, "without user and password", id="a password"),
        pytest.param({"url": "https://h.example/a b"}, "without blanks", id="a blank"),
        pytest.param({"url": "https://h.example:99999/"}, "must be a URL such as", id="no port"),
        pytest.param({"url": "http://h.example/"}, "use https, or say plain = true", id="in the clear"),
        pytest.param({"url": "https://h.example/", "secret": "short"}, "at least 16 bytes", id="short"),
        pytest.param({"url": "https://h.example/", "secret": "whsec_%%%"}, "must be Base64", id="no Base64"),
        pytest.param({"url": "https://h.example/", "secret": "whsec_AAAA"}, "at least 24 bytes", id="short key"),
        pytest.param({"url": "https://h.example/", "secret": "  "}, "must not be empty", id="blanks"),
        pytest.param({"url": "https://h.example/", "ca": "x"}, "certificates in PEM", id="no certificate"),
    ],
)
def test_options_that_could_not_work_are_refused(options: dict[str, str], why: str) -> None:
    """One sentence each."""
    with pytest.raises(ValidationError, match=why):
        WebhookOptions.model_validate(options)


def test_http_to_another_machine_is_taken_when_somebody_says_so() -> None:
    """And to this one always."""
    assert WebhookOptions(url="http://h.example/", plain=True).plain
    assert WebhookOptions(url="http://localhost:1/").secret is None


def test_it_is_reached_without_anything_being_told(tmp_path: Path) -> None:
    """As far as TLS goes, and what is missing is said."""
    tls, ca = receivers.certificate(tmp_path / "a")
    with receivers.web(tls=tls) as web:
        assert hook(web.url, ca=ca.read_text(), secret="correct-horse-battery").reach() == (
            "127.0.0.1 answers, its certificate is believed"
        )
        with pytest.raises(NotifierUnavailable, match="certificate"):
            hook(web.url).reach()
    with receivers.web() as plain:
        assert hook(plain.url).reach() == ("127.0.0.1 answers, in the clear; notices are not signed: it has no secret")
    assert web.posts == plain.posts == []
    with pytest.raises(NotifierUnavailable, match="did not answer"):
        hook(plain.url).reach()
