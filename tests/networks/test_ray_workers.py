"""Workers of a Ray cluster: the same results as here, whatever is lost on the way."""

import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from autoprune.cli.main import main
from autoprune.errors import AutopruneError, UsageError
from autoprune.networks.executor import hire
from autoprune.networks.ray_workers import Place
from autoprune.networks.workers import Workers
from autoprune.pipeline.config import SearchConfig

here = pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'autoprune[ray]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # of ray, which are its own


class Affine:
    def __init__(self, shift):
        self.shift = shift

    def __call__(self, item):
        if item is None:
            raise UsageError("nothing to do", "give something")
        return item * 2 + self.shift


class Mortal:
    """Ends its process at the first item that it sees, or at every one."""

    def __init__(self, place, always=False):
        self.place, self.always = Path(place), always

    def __call__(self, item):
        if item == 2 and (self.always or not (self.place / "died").exists()):
            (self.place / "died").touch()
            os._exit(1)
        return item + 1


class Slow:
    """Says on which node it works."""

    def __init__(self, place):
        self.place = Path(place)

    def __call__(self, item):
        import ray

        (self.place / f"{item}-{ray.get_runtime_context().get_node_id()}").touch()
        time.sleep(0.2)
        return item**2


def nodes(paths):
    return {path.name.partition("-")[2] for path in paths}


@here
def test_the_results_are_those_of_local_workers_in_the_same_order():
    items = [torch.arange(n, dtype=torch.float32) for n in range(5)]
    with hire("ray", 2, Affine, torch.tensor(0.5)) as workers:
        far = list(workers.map(items))
        assert [one.tolist() for one in workers.map(items[:2])] == [[], [0.5]]  # a second round
        given_up = workers.map(items)
        next(given_up)
        assert len(list(workers.map(items))) == 5
        with pytest.raises(UsageError, match="nothing to do"):
            list(workers.map([items[1], None]))
    with Workers(1, Affine, torch.tensor(0.5)) as workers:
        assert [one.tolist() for one in workers.map(items)] == [one.tolist() for one in far]


@here
def test_an_actor_that_dies_is_replaced_and_its_item_sent_again(tmp_path):
    with hire("ray", 2, Mortal, str(tmp_path)) as workers:
        assert list(workers.map(range(6))) == [1, 2, 3, 4, 5, 6]
    with hire("ray", 2, Mortal, str(tmp_path), True) as workers:
        with pytest.raises(AutopruneError, match="3 workers of the cluster were lost"):
            list(workers.map(range(6)))
    import ray

    assert not ray.is_initialized()  # nothing is left


@here
def test_a_node_that_is_lost_costs_nothing(tmp_path):
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        other = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        with hire(cluster.address, 2, Slow, str(tmp_path)) as workers:
            results, found = workers.map(range(100)), []
            while len(nodes(tmp_path.iterdir())) < 2:
                found.append(next(results))
            cluster.remove_node(other, allow_graceful=False)
            found += results
        assert found == [item**2 for item in range(100)]
        assert len(nodes(tmp_path.glob("9?-*"))) == 1  # both worked, in the end one alone
    finally:
        ray.shutdown()
        cluster.shutdown()


@here
def test_code_that_a_node_lacks_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "autoprune.networks.ray_workers.imported_files", lambda: [tmp_path / "mine.py"]
    )
    with hire("ray", 1, Affine, 0) as workers:
        with pytest.raises(UsageError, match=r"lacks the file .*mine\.py"):
            list(workers.map([1]))


@here
def test_a_worker_that_computes_otherwise_is_refused(monkeypatch):
    other = Place("far", "cpu", "torch 1.0")
    monkeypatch.setattr("autoprune.networks.ray_workers.here", lambda: other)
    before = signal.getsignal(signal.SIGTERM)
    with hire("ray", 1, Affine, 0) as workers:
        assert signal.getsignal(signal.SIGTERM) is before  # ray puts in its own
        with pytest.raises(UsageError, match="computes by torch 2"):
            list(workers.map([1]))


def test_a_cluster_makes_rounds_as_large_as_its_workers():
    def asked(**options):
        return SearchConfig(budget="0.5flops", **options)

    assert asked(workers=8).round_size == 4  # results depend on it, not on the workers
    assert asked(workers=8, executor="ray").round_size == 8
    assert asked(workers=8, executor="ray", round=3).round_size == 3
    assert asked(workers=2, executor="ray").key == asked().key
    assert asked(workers=8, executor="ray").key == asked(round=8).key
    with pytest.raises(UsageError, match="--round must be at least 1"):
        asked(round=0)


@here
def test_a_cluster_out_of_reach_is_said():
    with pytest.raises(UsageError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        hire("127.0.0.1:1", 1, Affine, 0)


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_extra_is_named():
    with pytest.raises(UsageError, match="ray is not installed") as raised:
        hire("ray", 1, Affine, 0)
    assert "autoprune[ray]" in str(raised.value)


def test_an_executor_that_there_is_not_is_refused(capsys):
    assert main("search --budget 0.5flops --executor rya".split()) == 2
    error = capsys.readouterr().err
    assert "unknown executor 'rya'" in error and error.count("\n") == 1
