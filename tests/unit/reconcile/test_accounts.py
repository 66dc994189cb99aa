"""Accounts of a set: who is to have one, what a request for one comes to, and that members come to have just those."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from examined import NOW, built_in, subject
from hypothesis import given
from hypothesis import strategies as st
from pictures import aset, case, member, request
from pictures import node as node_of

from cloudmon.model.actions import GUEST_VERBS, ActionClass, Verb
from cloudmon.model.changes import RuleClear
from cloudmon.model.grants import Access, Grant, fingerprint
from cloudmon.model.policies import RuleState
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.sets import ApplianceSet, SetSpec, Template
from cloudmon.reconcile import accounts, remedies
from cloudmon.reconcile.plan import Step
from cloudmon.testing.guest_words import KEY

OTHER = KEY.replace("ICRJ", "ICRK")
RULES = built_in()
ACCESS = Access((KEY,), ("sudo",))


def ahead(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def granted(user: str = "ada", access: Access = ACCESS) -> Grant:
    return Grant(f"grant-{user}", "default", "storefrontaa", user, access, "ann", "on call", NOW)


def shop(*given: Grant, accounts: dict[str, Access] | None = None, **other: Any) -> ApplianceSet:
    spec = SetSpec("storefront", 3, Template("web", {"*": "image-1"}), accounts=accounts or {})
    found: ApplianceSet = replace(aset(), spec=spec, grants=given, **other)
    return found


@pytest.mark.parametrize(
    ("of", "users"),
    [
        pytest.param(shop(), [], id="nobody"),
        pytest.param(shop(granted()), ["ada"], id="asked for"),
        pytest.param(shop(accounts={"bob": ACCESS}), ["bob"], id="the author's"),
        pytest.param(shop(granted(), accounts={"bob": ACCESS}), ["ada", "bob"], id="both"),
        pytest.param(shop(granted(access=replace(ACCESS, until=ahead(1)))), ["ada"], id="before its end"),
        pytest.param(shop(granted(access=replace(ACCESS, until=NOW))), [], id="at its end"),
        pytest.param(shop(accounts={"bob": replace(ACCESS, until=NOW)}), [], id="at the end in the file"),
        pytest.param(shop(granted(), lease_end=ahead(1)), ["ada"], id="before the end of the lease"),
        pytest.param(shop(granted(), lease_end=NOW), [], id="at the end of the lease"),
        pytest.param(shop(granted(), retiring_since=NOW), [], id="retiring"),
    ],
)
def test_an_account_is_wanted_while_its_grant_and_its_set_last(of: ApplianceSet, users: list[str]) -> None:
    assert list(accounts.wanted(of, NOW)) == users


def test_where_two_grant_one_user_the_author_s_counts() -> None:
    mine = Access((OTHER,))
    assert accounts.wanted(shop(granted(), accounts={"ada": mine}), NOW) == {"ada": mine}


def asked(verb: RequestVerb = RequestVerb.GRANT, of: ApplianceSet | None = None, **told: str) -> accounts.Asked:
    arguments = {"user": "ada", "keys": KEY, "rights": "sudo,adm", **told}
    return accounts.answer(request(verb, "storefront", arguments=arguments), of or shop(), NOW)


def test_a_grant_is_what_was_asked_for() -> None:
    found = asked(until=ahead(60).isoformat())
    assert found.grant is not None
    assert found.grant.access == Access((KEY,), ("adm", "sudo"), ahead(60))
    assert found.answer.state is RequestState.DONE


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(asked(until=NOW.isoformat()), "has passed", id="over"),
        pytest.param(asked(of=shop(retiring_since=NOW)), "being retired", id="retiring"),
        pytest.param(asked(of=shop(accounts={"ada": ACCESS})), "change it there", id="the author's"),
        pytest.param(asked(RequestVerb.WITHDRAW), "no account ada is granted", id="nothing to take back"),
        pytest.param(
            asked(RequestVerb.WITHDRAW, shop(accounts={"ada": ACCESS})), "change it there", id="the author's to take"
        ),
    ],
)
def test_what_cannot_be_granted_or_taken_back_is_refused(found: accounts.Asked, said: str) -> None:
    assert found.answer.state is RequestState.REFUSED
    assert said in found.answer.outcome
    assert (found.grant, found.withdraw) == (None, "")


@pytest.mark.parametrize(
    "told",
    [
        {"user": "root"},
        {"user": "a:b"},
        {"keys": ""},
        {"keys": "-----BEGIN OPENSSH PRIVATE KEY-----"},
        {"rights": "a b"},
    ],
    ids=["root", "a colon", "no key", "a private key", "a blank"],
)
def test_arguments_that_make_no_sense_are_told_without_showing_a_key(told: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is no name|has no key|private key") as wrong:
        asked(**told)
    assert "BEGIN" not in str(wrong.value)


def test_a_granted_account_is_not_ended_by_hand() -> None:
    ends = request(RequestVerb.COMMAND, "storefront/1", arguments={"verb": "account_revoke", "user": "ada"})
    assert "`cloudmon accounts revoke storefront ada`" in accounts.kept(ends, shop(granted()), NOW)
    assert accounts.kept(ends, shop(), NOW) == ""


# --- how it comes about -----------------------------------------------------------------------------------------------


@dataclass
class Machine:
    """An appliance whose agent does what it is told, and whose people do what they like."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    states: dict[str, RuleState] = field(default_factory=dict)
    opened: dict[str, int] = field(default_factory=dict)
    now: dt.datetime = NOW

    def turn(self, of: ApplianceSet) -> bool:
        """One look and what follows from it; False when nothing does."""
        self.now += dt.timedelta(hours=2)
        heard = replace(subject({"accounts": self.users}, granted=accounts.wanted(of, NOW)).state, received_at=self.now)  # type: ignore[type-var]
        about = subject(granted=accounts.wanted(of, NOW), member={"set_uid": of.uid})
        about = replace(about, state=heard, agent=replace(about.agent, received_at=self.now))  # type: ignore[type-var]
        found = RULES.look(about, self.now, states=self.states, opened=self.opened)
        for one in found.change.rules if found.change is not None else ():
            if isinstance(one, RuleClear):
                self.states.pop(one.rule)
            else:
                self.states[one.rule] = one
        self.opened = {one.key: 1 for one in found.symptoms}
        decision = remedies.treat(
            case(member(), node_of(), aset=of),
            [one for one in found.symptoms if one.rule.then],
            (),
            takes=GUEST_VERBS,
            heard=True,
        )
        if not isinstance(decision, Step):
            return False
        self.perform(decision)
        return True

    def perform(self, step: Step) -> None:
        intent, told = step.intent, step.intent.arguments
        assert intent.action_class is ActionClass.SAFE
        before = self.users.get(told["user"])
        assert before is None or before.get("managed"), "what is somebody else's is never touched"
        self.told.append(f"{intent.verb} {told['user']}")
        if intent.verb is Verb.ACCOUNT_REVOKE:
            assert told["only_made"] == "yes"
            del self.users[told["user"]]
            return
        keys = [fingerprint(key) for key in told["key"].splitlines()]
        groups = [one for one in told["rights"].split(",") if one]
        self.users[told["user"]] = {"managed": True, "keys": keys, "groups": groups, "locked": True}


NAMES = st.sampled_from(["ada", "bob", "eve"])
ACCESSES = st.builds(
    Access,
    st.sampled_from([(KEY,), (OTHER,), (KEY, OTHER)]),
    st.sampled_from([(), ("adm",), ("adm", "sudo")]),
    st.sampled_from([None, ahead(-1), ahead(9)]),
)
USERS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries(
        {"keys": st.just([]), "groups": st.sampled_from([[], ["adm", "wheel"], ["adm", "x"]])},
        optional={"managed": st.just(True), "locked": st.booleans()},
    ),
)


@given(st.dictionaries(NAMES, ACCESSES), st.dictionaries(NAMES, ACCESSES), USERS)
def test_whatever_there_was_a_member_comes_to_have_just_what_is_granted(
    asked_for: dict[str, Access], authored: dict[str, Access], users: dict[str, dict[str, Any]]
) -> None:
    of = shop(*(granted(user, access) for user, access in asked_for.items()), accounts=authored)
    machine, foreign = Machine(dict(users)), {user for user, one in users.items() if "managed" not in one}
    before = {user: users[user] for user in foreign}
    for _ in range(8):
        if not machine.turn(of):
            break
    assert not machine.turn(of), "it comes to an end"
    wanted = accounts.wanted(of, NOW)
    ours = {user for user, one in machine.users.items() if one.get("managed")}
    assert ours == wanted.keys() - foreign
    for user in ours:
        assert machine.users[user]["keys"] == [fingerprint(key) for key in wanted[user].keys]
    assert {user: machine.users[user] for user in foreign} == before
    assert len(machine.told) == len(set(machine.told)), "each thing is done once"
