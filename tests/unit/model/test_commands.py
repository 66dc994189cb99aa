"""What a command is told: refused before it waits for an agent, where every agent would refuse it."""

from __future__ import annotations

import pytest

from cloudmon.agent import verbs as of_agent
from cloudmon.model.actions import GUEST_VERBS, Verb
from cloudmon.model.commands import LONGEST, TERMS, fault

GOOD = {
    "application": "web", "version": "1.2-3", "restart": "yes", "job": "tidy", "pid": "42", "name": "sshd",
    "path": "/srv/x y", "signature": "Eicar", "user": "ada", "key": "ssh-ed25519 AAAA", "rights": "sudo",
    "only_made": "no",
}  # fmt: skip


@pytest.mark.parametrize("verb", sorted(GUEST_VERBS))
def test_what_the_monitor_lets_pass_an_agent_takes(verb: Verb) -> None:
    terms = TERMS[verb]
    for names in (terms.required, (*terms.required, *terms.optional)):
        told = {name: GOOD[name] for name in names}
        assert fault(verb, told) == ""
        assert of_agent.fault(verb.value, told) == ""


@pytest.mark.parametrize(
    ("verb", "told", "sentence"),
    [
        (Verb.PROCESS_END, {"pid": "abc", "name": "x"}, "pid='abc' is no number of a process"),
        (Verb.PROCESS_END, {"pid": "0", "name": "x"}, "pid='0' is no number of a process"),
        (Verb.PROCESS_END, {"pid": "1" * 10, "name": "x"}, "is no number of a process"),
        (Verb.PROCESS_END, {"pid": "1"}, "process_end needs name=…"),
        (Verb.QUARANTINE, {"path": "etc/passwd"}, "path='etc/passwd' must begin with /"),
        (Verb.QUARANTINE, {"path": ""}, "path='' says nothing"),
        (Verb.QUARANTINE, {"path": "/a\0b"}, "has a NUL in it"),
        (Verb.QUARANTINE, {"path": "/" + "a" * 4_096}, "is longer than 4096 characters"),
        (Verb.JOB_RUN, {"job": "a" * 257}, "is longer than 256 characters"),
        (Verb.APP_UPDATE, {"application": "web", "restart": "please"}, "restart='please' must be yes or no"),
        (Verb.SCAN, {"depth": "1"}, "scan takes no 'depth'; what it takes: path, signature"),
    ],
)
def test_what_no_agent_takes_is_refused_with_what_is_wrong(verb: Verb, told: dict[str, str], sentence: str) -> None:
    assert sentence in fault(verb, told)


def test_both_ends_take_the_same_lengths() -> None:
    assert dict(LONGEST) == of_agent.LONGEST
