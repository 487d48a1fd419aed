"""Artifacts: published in one step, verified before use."""

import pytest
import torch
from safetensors.torch import load_file

from autoprune.errors import AutopruneError, DamagedError
from autoprune.foundation.files import canonical, digest, pretty
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import Run
from tests.finished_run import CONFIG, finished_run
from tests.full_disk import room_for


def test_a_damaged_file_is_kept_when_it_is_made_anew(path):
    finished_run(path)
    (path / "plan.json").write_text("garbage")
    with Run(path, CONFIG) as run:
        run.publish_json("plan.json", {"conv1": 3})
        run.publish_json("plan.json", {"conv1": 4})
    assert (path / "plan.json.damaged-1").read_text() == "garbage"
    assert not (path / "plan.json.damaged-2").exists()
    assert Artifacts(path).json("plan.json") == {"conv1": 4}


def test_artifacts_come_back_as_they_were_published(path):
    found = Artifacts(finished_run(path))
    assert found.names == ["config.json", "plan.json", "model.safetensors", "result.json"]
    assert found.json("plan.json") == {"conv1": 3}
    assert torch.equal(load_file(found.file("model.safetensors"))["w"], torch.arange(9.0))


def test_every_flipped_bit_and_every_truncation_of_an_artifact_is_noticed(path):
    finished_run(path)
    for name in ("plan.json", "model.safetensors", "result.json"):
        whole = (path / name).read_bytes()
        flips = (flip(whole, bit) for bit in range(0, 8 * len(whole), 7))
        cuts = (whole[:size] for size in range(len(whole)))
        for content in (*flips, *cuts, whole + b"\0"):
            (path / name).write_bytes(content)
            with pytest.raises(DamagedError, match=name):
                Artifacts(path).file(name)
        (path / name).write_bytes(whole)
    Artifacts(path).file("plan.json")


def test_every_flipped_bit_of_the_manifest_is_noticed(path):
    finished_run(path)
    whole = (path / "manifest.json").read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        (path / "manifest.json").write_bytes(flip(whole, bit))
        with pytest.raises(DamagedError, match=r"manifest\.json"):
            Artifacts(path)
    for size in range(0, len(whole) - 1, 3):
        (path / "manifest.json").write_bytes(whole[:size])
        with pytest.raises(DamagedError, match=r"manifest\.json"):
            Artifacts(path)


def flip(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_swapped_missing_and_unpublished_files_are_not_read(path):
    finished_run(path)
    (path / "plan.json").write_bytes((path / "result.json").read_bytes())
    (path / "result.json").unlink()
    (path / "extra.json").write_text("{}")
    found = Artifacts(path)
    for name in ("plan.json", "result.json", "extra.json", "../config.json"):
        with pytest.raises(DamagedError):
            found.file(name)


@pytest.mark.parametrize("name", ["../plan.json", "/etc/passwd", "a/b", ".."])
def test_a_manifest_that_points_outside_is_refused(path, name):
    finished_run(path)
    entries = {name: {"bytes": 1, "sha256": "0", "previous": None}}
    sealed = {"format": 1, "files": entries, "check": digest(canonical(entries))}
    (path / "manifest.json").write_text(pretty(sealed))
    with pytest.raises(DamagedError, match="outside"):
        Artifacts(path)


def test_a_full_disk_leaves_the_published_content(path):
    finished_run(path)
    with Run(path, CONFIG) as run:
        with room_for(1000), pytest.raises(AutopruneError, match=r"cannot write .*plan\.json"):
            run.publish_json("plan.json", ["x" * 2000])
        assert Artifacts(path).json("plan.json") == {"conv1": 3}
        run.publish_json("plan.json", ["x" * 2000])
    assert Artifacts(path).json("plan.json") == ["x" * 2000]


@pytest.mark.parametrize("entry", [None, "x", {}, {"sha256": "0"}])
def test_a_manifest_that_says_too_little_is_refused(path, entry):
    finished_run(path)
    entries = {"plan.json": entry}
    sealed = {"format": 1, "files": entries, "check": digest(canonical(entries))}
    (path / "manifest.json").write_text(pretty(sealed))
    with pytest.raises(DamagedError, match=r"too little about plan\.json"):
        Artifacts(path)
