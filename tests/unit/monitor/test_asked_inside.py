"""What people, and grants of accounts, have agents do inside appliances, and how they are told of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from inhabited import DOWN, Inhabited, up
from watched import POLL_S

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.grants import fingerprint
from cloudmon.model.guests import Sections
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.settings import policies as policy_settings
from cloudmon.testing.guest_words import KEY


@pytest.fixture
def of(tmp_path: Path) -> Inhabited:
    return Inhabited(tmp_path, DOWN)


def test_people_ask_an_agent_and_are_told_how_it_went(of: Inhabited) -> None:
    of.say(1, up())
    asked = of.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": "app_restart", "application": "shop"})
    of.tick()
    assert of.request(asked).state is RequestState.ACCEPTED
    (command,) = of.commands()
    assert command.request_id == asked
    of.say(1, up(), of.done(command))
    of.tick()
    assert of.request(asked).state is RequestState.DONE


def test_what_an_agent_could_not_do_is_told(of: Inhabited) -> None:
    of.say(1, up())
    asked = of.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": "app_restart", "application": "shop"})
    of.tick()
    of.say(1, up(), of.done(of.commands()[0], ok=False))
    of.tick()
    assert of.request(asked).state is RequestState.FAILED
    assert "it did not work" in of.request(asked).outcome


def test_a_command_that_nobody_fetches_ends_as_failed_and_says_so(of: Inhabited) -> None:
    """Law 5: every intent ends."""
    of.say(1, up("down"))
    of.monitor.attend()
    of.clock.advance(600)
    of.tick(2)
    (command,) = of.commands()
    assert (command.state, command.error) == (IntentState.FAILED, "nobody fetched it in time")


def test_commands_for_the_same_appliance_wait_for_each_other(of: Inhabited) -> None:
    of.say(1, up("down"))
    of.monitor.attend()
    of.clock.advance(POLL_S)
    of.say(1, up("down"))
    of.tick(2)
    assert len(of.commands()) == 1


# --- accounts ---------------------------------------------------------------------------------------------------------

HAS = {"managed": True, "keys": [fingerprint(KEY)], "groups": ["wheel"], "locked": True}
NONE: Sections = {"accounts": {}}


@pytest.fixture
def granting(tmp_path: Path) -> Inhabited:
    """Under the rules that are built in; both members have said that they have no account."""
    of = Inhabited(tmp_path)
    of.insides.judged_by([policy_settings.built_in().policy("built in")])
    for ordinal in (1, 2):
        of.say(ordinal, NONE)
    of.tick()
    return of


def orders(of: Inhabited, verb: Verb) -> list[tuple[int, str]]:
    found = of.memory.intents.of(EVERYONE, of.id(1).set_uid)
    return sorted((one.appliance.ordinal, one.arguments["user"]) for one in found if one.verb is verb)


def test_a_grant_reaches_all_members_with_the_next_tick_and_its_end_does_too(granting: Inhabited) -> None:
    of = granting
    until = of.clock.now() + dt.timedelta(seconds=60)
    asked = of.ask(RequestVerb.GRANT, "storefront", user="ada", keys=KEY, rights="sudo", until=until.isoformat())
    of.tick()
    assert of.request(asked).state is RequestState.DONE
    assert orders(of, Verb.ACCOUNT_GRANT) == [(1, "ada"), (2, "ada")]
    for intent in of.memory.intents.open(EVERYONE):
        of.say(intent.appliance.ordinal, {"accounts": {"ada": HAS}}, of.done(intent))
    of.tick()
    assert of.found() == []
    of.clock.advance(60)
    of.tick()
    assert orders(of, Verb.ACCOUNT_REVOKE) == [(1, "ada"), (2, "ada")]
    assert orders(of, Verb.ACCOUNT_GRANT) == [(1, "ada"), (2, "ada")]


def test_a_member_of_which_nothing_is_known_is_left_alone(granting: Inhabited) -> None:
    of = granting
    of.say(2, up())
    of.ask(RequestVerb.GRANT, "storefront", user="ada", keys=KEY)
    of.tick()
    assert orders(of, Verb.ACCOUNT_GRANT) == [(1, "ada")]


def test_an_account_of_somebody_else_is_shown_and_left_alone(granting: Inhabited) -> None:
    of = granting
    of.say(1, {"accounts": {"ada": {"keys": [], "groups": []}}})
    of.ask(RequestVerb.GRANT, "storefront", user="ada", keys=KEY)
    of.tick(2)
    assert orders(of, Verb.ACCOUNT_GRANT) == [(2, "ada")]
    assert any("an account ada that cloudmon did not make" in one for one in of.found())


def test_a_granted_account_is_not_ended_by_a_command(granting: Inhabited) -> None:
    of = granting
    of.ask(RequestVerb.GRANT, "storefront", user="ada", keys=KEY)
    ends = of.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": "account_revoke", "user": "ada"})
    of.tick()
    assert of.request(ends).state is RequestState.REFUSED
    assert "`cloudmon accounts revoke storefront ada`" in of.request(ends).outcome
