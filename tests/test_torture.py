"""A small share of ``make torture``, the same every time: see benchmarks/torture.py."""

import sys

import pytest

from tests.torture import (
    bombs,
    caches,
    clocks,
    crashes,
    crew,
    damage,
    hostile,
    kills,
    races,
    strangers,
    words,
)
from tests.torture.forge import Forge
from tests.torture.works import furnish

if sys.platform != "linux":
    pytest.skip("victims are forked and watched as only Linux can", allow_module_level=True)

SEARCH = "search, evolution"


@pytest.fixture(scope="module")
def forges(tmp_path_factory):
    """Two servers with different hashes of strings, in one place."""
    place = furnish(tmp_path_factory.mktemp("torture"))
    with Forge(place, hashing=1) as one, Forge(place, hashing=2) as other:
        yield one, other


@pytest.fixture(scope="module")
def whole(forges):
    """A search that nothing happened to, and how long it took."""
    return kills.reference(forges[0], SEARCH)


def sound(tally, least):
    assert tally.done >= least
    assert tally.examples == ()
    assert tally.bad == 0


def test_a_search_killed_anywhere_ends_like_one_that_was_not(forges, whole):
    sound(kills.kill(forges[1], *whole, SEARCH, kills=3, seed=0), 3)


def test_an_interrupted_search_ends_at_once_and_in_order(forges, whole):
    tally, waits = kills.interrupt(forges[1], *whole, SEARCH, times=2, seed=0)
    sound(tally, len(waits))


def test_a_crash_at_a_write_a_sync_or_a_rename_needs_no_human(forges, whole):
    killed, cut = crashes.crash_everywhere(forges[1], whole[0], SEARCH, every=30)
    sound(killed, 2)
    sound(cut, 1)


def test_a_full_disk_costs_nothing_that_was_there(forges, whole):
    sound(crashes.sizes(forges[1], whole[0], SEARCH, limits=2), 2)
    sound(crashes.fill_everywhere(forges[1], whole[0], SEARCH, every=60), 1)


def test_damage_is_noticed(forges, whole):
    sound(damage.damage(forges[1], whole[0], SEARCH, flips=3, cuts=1, seed=0), 4)


def test_one_of_two_starts_proceeds(forges):
    sound(races.race(*forges, SEARCH, races=2)[0], 2)


def test_a_worker_that_is_killed_costs_nothing(forges):
    sound(crew.kill_workers(forges[0].place, kills=1, seed=0), 1)


def test_damaged_caches_are_made_anew(forges):
    sound(caches.spoil(forges[0], times=3, seed=0), 3)


def test_files_of_strangers_run_nothing(forges):
    tally, most = hostile.attack(forges[0], every=16)
    sound(tally, 15)
    assert most["executions"] == 0


def test_random_words_get_a_line_and_a_documented_exit_code(forges):
    sound(words.speak(forges[0], lines=15, seed=1), 15)
    sound(words.mutate(forges[0], configs=8, seed=1), 8)


def test_bombs_are_refused_in_a_line(forges):
    sound(bombs.explode(forges[0], every=8)[0], 3)


def test_tickets_and_policies_of_strangers_harm_nobody(forges):
    tally, most = strangers.offer_all(forges[0], every=60, seed=2)
    sound(tally, 3)
    assert most["executions"] == 0


def test_a_clock_that_runs_backwards_changes_nothing(forges, whole):
    sound(clocks.set_back(forges[1], *whole, SEARCH, times=2, seed=0), 2)
