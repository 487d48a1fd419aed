"""Worker processes."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.user_code import load
from autoprune.networks.workers import Workers

# Processes take seconds to start, so tests share what they can.


class Affine:
    """A state: adds a tensor to what comes, or fails as told."""

    def __init__(self, shift, told=None):
        self.shift, self.told = shift, told

    def __call__(self, item):
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "stop":
            raise KeyboardInterrupt
        if item == "fail":
            raise ZeroDivisionError("no such number")
        if item == "refuse":
            raise UsageError("not this", "take another")
        time.sleep(0.05 if item == 0 else 0)
        return item + self.shift, torch.get_num_threads(), os.getpid()


@pytest.fixture(scope="module")
def pair():
    with Workers(2, Affine, torch.ones(3, dtype=torch.bfloat16)) as workers:
        yield workers


def test_results_come_in_the_order_of_the_items_from_processes_of_one_thread(pair):
    results = list(pair.map(range(7)))
    assert [value.tolist() for value, _, _ in results] == [[i + 1.0] * 3 for i in range(7)]
    assert {threads for _, threads, _ in results} == {1}
    processes = {process for _, _, process in results}
    assert len(processes) == 2 and os.getpid() not in processes


def test_one_worker_is_this_process_and_leaves_the_number_of_threads_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Workers(1, Affine, torch.ones(1)) as workers:
            ((value, threads, process),) = workers.map([4])
        assert (value.item(), threads, process) == (5.0, 1, os.getpid())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2])
def test_workers_compute_on_as_many_threads_as_asked_for(count):
    with Workers(count, _counting, threads=3) as workers:
        assert set(workers.map(range(3))) == {3}


def _counting():
    return _threads


def _threads(_):
    return torch.get_num_threads()


def test_errors_are_raised_in_their_place_and_the_workers_go_on(pair):
    results = pair.map([1, "refuse", 2])
    assert next(results)[0][0] == 2
    with pytest.raises(UsageError, match=r"not this \(take another\)"):
        next(results)
    with pytest.raises(AutopruneError, match="ZeroDivisionError: no such number"):
        list(pair.map(["fail"]))
    assert [value[0].item() for value, _, _ in pair.map([5, 6])] == [6, 7]


def test_a_map_that_is_given_up_does_not_disturb_the_next(pair):
    first = pair.map(range(6))
    next(first)
    first.close()
    assert [value[0].item() for value, _, _ in pair.map([10, 20, 30])] == [11, 21, 31]


def test_a_worker_that_dies_is_replaced_and_its_item_sent_again(tmp_path):
    with Workers(2, Mortal, tmp_path / "died") as workers:
        assert list(workers.map(["once", 1, 2, 3])) == ["once", 1, 2, 3]
        assert list(workers.map(range(3))) == [0, 1, 2]
        os.kill(workers._crew[0].process.pid, signal.SIGKILL)  # while it waits for work
        assert list(workers.map(range(3))) == [0, 1, 2]


class Mortal:
    """Dies at an item, once."""

    def __init__(self, note):
        self.note = note

    def __call__(self, item):
        if item == "once" and not self.note.exists():
            self.note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item


def test_what_kills_every_worker_is_one_clear_error_and_nothing_is_left():
    before = set(multiprocessing.active_children())
    with Workers(2, Affine, 0) as workers:
        with pytest.raises(AutopruneError, match=r"3 worker processes ended .* exit code -9"):
            list(workers.map(["die", 1, 2]))
        crew = [worker.process for worker in workers._crew]
    assert all(process.exitcode is not None for process in crew)
    assert set(multiprocessing.active_children()) <= before


def test_no_more_processes_are_started_than_there_is_work():
    with Workers(40, Affine, 0) as workers:
        assert len({process for _, _, process in workers.map([1])}) == 1
        assert len(workers._crew) == 1
        list(workers.map([1, 2]))
        assert len(workers._crew) == 2


def test_an_error_that_is_no_exception_kills_nobody():
    with Workers(2, Affine, 0) as workers:
        with pytest.raises(AutopruneError, match="a worker fails: KeyboardInterrupt"):
            list(workers.map(["stop"]))


def test_networks_of_the_users_own_file_arrive_with_layout_gradient_flags_and_type(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __call__(self, item):\n"
        "        p = self[0].weight\n"
        "        return type(p).__name__, p.stride(), p.requires_grad, p.dtype, p.sum().item()\n"
        "def build():\n"
        "    return Net(nn.Conv2d(3, 4, 2))\n"
    )
    net = load(f"{file}:build")[0]().to(memory_format=torch.channels_last)
    net[0].weight.requires_grad_(False)
    with Workers(2, _given, net) as workers:
        assert list(workers.map([0])) == [net(0)]


def _given(state):
    return state


@pytest.mark.parametrize("count", [0, -1])
def test_there_must_be_a_worker(count):
    with pytest.raises(UsageError, match="at least 1 worker"):
        Workers(count, Affine, 0)


def test_a_state_that_cannot_be_made_is_reported():
    with Workers(2, _refusing, 0) as workers:
        with pytest.raises(UsageError, match="no state"):
            list(workers.map([1]))


def _refusing(_):
    raise UsageError("no state")


def test_what_cannot_be_sent_is_named():
    with pytest.raises(UsageError, match="cannot be sent to worker processes"):
        Workers(2, Affine, lambda: 0)
