"""Each law of the suite bites: a provider with one fault is caught by the law that is about it, and by name."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import faulty
import pytest

from cloudmon import errors
from cloudmon.testing import FakeClock, ProviderConformance
from cloudmon_providers.dummy import DummyProvider, DummySettings

Law = Callable[..., None]
BROKEN: list[tuple[type[DummyProvider], str, tuple[str, ...]]] = [
    (faulty.ForgetsWhoseListing, "test_a_listing_names_its_cloud_and_the_instants_it_was_read_between", ()),
    (faulty.SpeaksItsOwnWords, "test_every_node_of_a_listing_is_told_in_the_words_of_the_model", ()),
    (faulty.ListsLive, "test_a_listing_is_a_picture_that_later_calls_do_not_change", ()),
    (faulty.LosesAPage, "test_a_listing_is_whole_however_many_nodes_there_are", ()),
    (faulty.TagsLater, "test_a_created_node_carries_token_and_tags_in_the_first_listing_that_shows_it", ()),
    (faulty.AnswersWithAnything, "test_create_answers_with_a_living_node_that_has_its_id_and_token", ()),
    (faulty.NeverRuns, "test_a_created_node_comes_to_run_as_what_was_asked_for", ()),
    (faulty.IgnoresTokens, "test_the_same_token_again_gives_the_same_node", ()),
    (faulty.ForgetsOverReset, "test_the_same_token_gives_the_same_node_over_a_new_connection", ()),
    (faulty.OneNodeForAll, "test_another_token_gives_another_node", ()),
    (faulty.OneNodeForAll, "test_another_incarnation_is_another_node", ()),
    (faulty.TakesAnySize, "test_an_unknown_size_is_refused_for_certain_and_makes_nothing", ()),
    (faulty.SwallowsOptions, "test_an_option_that_the_cloud_does_not_know_makes_no_node", ()),
    (faulty.ReadsOneDifferently, "test_one_node_is_read_as_the_listing_has_it", ()),
    (faulty.FindsWhatIsNot, "test_a_node_that_never_was_is_not_found", ()),
    (faulty.DestroysNothing, "test_a_destroyed_node_goes_from_the_listing", ()),
    (faulty.EndsBeforeItsTime, "test_only_a_node_that_is_no_more_says_when_it_ended", ()),
    (faulty.DestroysEverything, "test_a_destroy_leaves_the_others_alone", ()),
    (faulty.LoudOnGone, "test_a_second_destroy_is_quiet", ()),
    (faulty.DestroysNothing, "test_a_destroy_of_what_never_was_is_quiet", ()),
    (faulty.GivesIdsAgain, "test_the_id_of_a_node_that_went_is_not_given_again", ()),
    (faulty.SellsTwice, "test_offers_are_of_this_cloud_and_each_is_there_once", ()),
    (faulty.SellsForNothing, "test_a_price_is_more_than_zero_and_has_a_source_and_a_date", ()),
    (faulty.FindsWhatIsNot, "test_whatever_the_id_no_foreign_exception_comes_out", ("nonsense",)),
    (faulty.BoastsOfWhatItLacks, "test_a_verb_that_is_not_declared_raises_unsupported", ("suspend_node",)),
    (faulty.ObeysQuietly, "test_a_node_that_never_was_is_not_found_by", ("stop_node",)),
    (faulty.LetsForeignErrorsOut, "test_whatever_the_id_no_foreign_exception_comes_out_of", ("stop_node",)),
    (faulty.ObeysQuietly, "test_a_node_that_has_ended_obeys_no", ("start_node",)),
    (faulty.StopsAndNeverStarts, "test_a_stopped_node_comes_to_be_stopped_and_started_to_run", ()),
    (faulty.LoudOnSecondStop, "test_a_second_stop_is_quiet", ()),
    (faulty.LoudOnStartOfRunning, "test_a_start_of_what_runs_is_quiet", ()),
    (faulty.DestroysNothing, "test_a_stopped_node_is_destroyed_like_another", ()),
    (faulty.StopsOnReboot, "test_a_rebooted_node_comes_to_run_again", ()),
    (faulty.ObeysQuietly, "test_a_reboot_of_what_is_stopped_is_refused", ()),
    (faulty.StopsOnSuspend, "test_a_suspended_node_is_suspended_and_resumed_to_run", ()),
    (faulty.ObeysQuietly, "test_a_suspend_of_what_is_stopped_is_refused", ()),
    (faulty.ReplacesAllTags, "test_tags_are_added_and_replaced_and_the_others_kept", ()),
    (faulty.KeepsAnew, "test_a_snapshot_is_taken_once_for_each_name_and_its_node_goes_on", ()),
    (faulty.ForgetsByName, "test_a_snapshot_is_forgotten_by_its_name_and_its_id_and_no_other_is", ()),
    (faulty.ForgetsOfLiving, "test_what_was_never_kept_and_a_node_that_is_gone_are_quiet_for", ("forget_snapshot",)),
    (faulty.SaysNothingOfWalls, "test_a_node_that_nobody_isolated_is_told_as_such", ()),
    (faulty.IsolatesByStopping, "test_an_isolated_node_is_told_as_such_and_goes_on_running", ()),
    (faulty.LetsNobodyGo, "test_a_released_node_is_told_as_such", ()),
    (faulty.OpensAtStart, "test_isolation_lasts_over_a_stop_and_a_start", ()),
    (faulty.ForgetsPeersOverIsolation, "test_a_released_node_has_the_peers_that_it_had_whoever_releases_it", ()),
    (faulty.JoinsNobodyIsolated, "test_who_joins_its_peers_while_it_is_isolated_is_among_them_when_it_is_released", ()),
    (faulty.MakesEmptyGroups, "test_a_group_that_nobody_is_in_is_quiet_for", ("open_peers",)),
    (faulty.LetsNobodyLeave, "test_peers_join_a_group_with_its_ports_and_leave_it", ()),
    (faulty.KeepsItsFirstPorts, "test_the_ports_of_a_group_become_others", ()),
    (faulty.ClosesOverHeads, "test_a_group_is_closed_when_nobody_is_in_it_and_not_before", ()),
    (faulty.KnowsEveryCommand, "test_nothing_is_known_of_a_command_that_was_never_begun_by", ("command_result",)),
    (faulty.NeverAnswersCommands, "test_a_command_that_is_begun_comes_to_a_result", ()),
    (faulty.BeginsAnything, "test_a_command_is_not_begun_in_what_is_stopped", ()),
    (faulty.AlwaysHasNews, "test_nothing_to_tell_is_an_empty_answer_to", ("wait_events",)),
    (faulty.TellsAgain, "test_an_event_comes_until_it_is_taken_and_names_its_node", ()),
    (faulty.DeclaresNonsense, "test_what_is_declared_can_be_called", ()),
]


class Suite(ProviderConformance):
    """The suite with its fixtures given by hand, so that one law can be called."""

    unknown_id = "vm-0000000000"
    settle_s = 60

    def __init__(self, provider_class: type[DummyProvider]) -> None:
        clock = FakeClock()
        world = f"memory:{uuid.uuid4()}"
        options = DummySettings(world=world, boot_s=5, page_size=3, terminate_s=5, events=True, commands=True)
        self._provider = provider_class("east", options, now=clock.now, timeout_s=30)
        self._offer = DummyProvider("east", options, now=clock.now, timeout_s=30).list_offers()[0]
        self._pass_time = clock.advance
        self._estate, self._set = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
        self._made, self._grouped = [], []


@pytest.mark.parametrize(("provider_class", "law", "parameters"), BROKEN, ids=[row[1] for row in BROKEN])
def test_a_law_is_kept_by_the_dummy_and_broken_by_one_with_a_fault(
    provider_class: type[DummyProvider], law: str, parameters: tuple[str, ...]
) -> None:
    getattr(Suite(DummyProvider), law)(*parameters)
    broken: Law = getattr(Suite(provider_class), law)
    with pytest.raises((AssertionError, pytest.fail.Exception, errors.CloudError, KeyError)):
        broken(*parameters)


def test_every_law_is_broken_here_once() -> None:
    laws = {name for name in dir(ProviderConformance) if name.startswith("test_")}
    assert {law for _, law, _ in BROKEN} == laws
