"""Who is told: kinds that are installed, options that their models take, rules that name somebody who is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cloudmon import plugins, settings
from cloudmon.errors import SettingsError
from cloudmon.model.findings import FindingKind
from cloudmon.model.policies import Remedy
from cloudmon.notifiers.webhook import WebhookOptions
from cloudmon.settings import secrets_of

Write = Callable[..., Path]

OPS = """
[notify.ops]
kind = "webhook"
options = { url = "https://hooks.example.net/T0P", secret_file = "hook.key" }
"""


@pytest.fixture(autouse=True)
def _installed(moon: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The providers of the other tests, and the notifiers that come along."""
    before: Any = metadata.entry_points
    points = [
        metadata.EntryPoint("webhook", "cloudmon.notifiers.webhook:Webhook", plugins.NOTIFIERS),
        metadata.EntryPoint("email", "cloudmon.notifiers.mail:Mail", plugins.NOTIFIERS),
        metadata.EntryPoint("pigeon", "pigeon_that_is_not_there:Pigeon", plugins.NOTIFIERS),
    ]
    monkeypatch.setattr(
        metadata, "entry_points", lambda *, group: points if group == plugins.NOTIFIERS else before(group=group)
    )
    (tmp_path / "hook.key").write_text("a secret of many letters-and-signs".replace(" ", "-") + "\n", encoding="utf-8")


def refusal(path: Path) -> str:
    with pytest.raises(SettingsError) as raised:
        settings.load(path)
    return raised.value.message


def test_a_notifier_is_what_was_written(write: Write) -> None:
    """Its options are checked by its own model, with secrets from files."""
    told = settings.load(write(OPS + 'findings = ["fault", "incident"]\nsets = ["store*"]\ngive_up_after_s = "2h"'))
    ops = told.notify["ops"]
    assert (ops.kind, ops.severity, ops.findings, ops.sets, ops.give_up_after_s) == (
        "webhook",
        "warning",
        (FindingKind.FAULT, FindingKind.INCIDENT),
        ("store*",),
        7_200,
    )
    options = told.notifier_options("ops")
    assert isinstance(options, WebhookOptions)
    assert options.secret is not None
    assert options.secret.get_secret_value() == "a-secret-of-many-letters-and-signs"


def test_the_environment_goes_over_the_file_and_digits_stay_text(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password of digits must not become a number."""
    monkeypatch.setenv("CLOUDMON_NOTIFY__OPS__SEVERITY", "critical")
    monkeypatch.setenv("CLOUDMON_NOTIFY__OPS__OPTIONS__SECRET", "1234567890123456")
    told = settings.load(write(OPS.replace(', secret_file = "hook.key"', "")))
    options = told.notifier_options("ops")
    assert isinstance(options, WebhookOptions)
    assert options.secret is not None
    assert (told.notify["ops"].severity, options.secret.get_secret_value()) == ("critical", "1234567890123456")


def test_its_secrets_are_known_as_secrets_and_are_never_shown(write: Write) -> None:
    """The URL as a whole is one."""
    told = settings.load(write(OPS))
    assert {"a-secret-of-many-letters-and-signs", "https://hooks.example.net/T0P"} <= secrets_of(told)
    assert not re.search("T0P|many-letters", repr(told))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            OPS.replace("webhook", "webhok"),
            'notify.ops.kind = "webhok" is no installed notifier; did you mean "webhook"?',
            id="unknown kind",
        ),
        pytest.param(
            OPS.replace("webhook", "pigeon"), 'notify.ops.kind = "pigeon" cannot be used: notifier', id="broken kind"
        ),
        pytest.param('[notify.ops]\nkind = "webhook"', "notify.ops.options.url is missing", id="an option is missing"),
        pytest.param(
            OPS.replace("https://hooks.example.net/T0P", "ftp://x"),
            'notify.ops.options.url = "***" must be a URL such as',
            id="a URL is masked",
        ),
        pytest.param(OPS.replace("url", "urll"), "notify.ops.options.urll is an unknown key", id="misspelt"),
        pytest.param(
            OPS.replace("hook.key", "gone.key"), "notify.ops.options.secret_file = *** cannot be read", id="no file"
        ),
        pytest.param(OPS + 'findings = ["fire"]', "must be one of", id="unknown kind of finding"),
        pytest.param(OPS + "most_a_minute = 0", "notify.ops.most_a_minute = 0 must be at least 1", id="no messages"),
        pytest.param('[notify."a b"]\nkind = "webhook"', "must be a name", id="no name"),
    ],
)
def test_a_mistake_is_one_sentence(write: Write, text: str, sentence: str) -> None:
    """Where it stands, what is there, and what would be right."""
    message = refusal(write(text))
    assert sentence in message
    assert "T0P" not in message


RULE = """
[[policies]]
name = "shop"
rules = [{{ name = "busy", when = "load.one > 9.0", then = [{then}] }}]
"""


def test_a_rule_may_tell_somebody_by_name_or_everybody(write: Write) -> None:
    """As a rung of its ladder."""
    path = write(OPS + RULE.format(then='"reboot", { verb = "notify", to = "ops" }, "notify"'))
    (rule,) = next(one for one in settings.load(path).rulebook() if one.name == "shop").rules
    assert rule.then == (Remedy("reboot"), Remedy("notify", {"to": "ops"}), Remedy("notify"))


@pytest.mark.parametrize(
    ("head", "then", "sentence"),
    [
        pytest.param(
            OPS, '{ verb = "notify", to = "opz" }',
            'rules.busy.then.to = "opz" names no notifier; did you mean "ops"?', id="unknown name",
        ),
        pytest.param(
            "", '"notify"', 'rules.busy.then = "notify" tells nobody: no notifier is configured', id="nobody there"
        ),
        pytest.param(
            OPS, '{ verb = "notify", too = "ops" }', "takes no argument but to", id="unknown argument"
        ),
        pytest.param(
            OPS, '"notfy"', '"notfy" is no action that a rule can take; did you mean "notify"?', id="unknown verb"
        ),
    ],
)  # fmt: skip
def test_a_rule_that_tells_nobody_is_refused(write: Write, head: str, then: str, sentence: str) -> None:
    """At loading, and not when it matters."""
    assert sentence in refusal(write(head + RULE.format(then=then)))
