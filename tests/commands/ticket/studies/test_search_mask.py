import shutil
from dataclasses import replace

import pytest
import torch

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.prepare import prepare
from autoprune.commands.ticket.studies.search_mask import SearchMask
from autoprune.commands.ticket.studies.search_run import read_search
from autoprune.errors import UsageError
from autoprune.problem.granularity.parse import Granularity


def test_masks_that_do_not_fit_and_runs_without_initial_weights(search_run, tmp_path):
    with pytest.raises(UsageError, match="holds no mask"):
        read_search(tmp_path)
    search = read_search(search_run)
    study, _ = prepare(TicketConfig(run=str(search_run)))
    broken = {name: mask.clone() for name, mask in search.masks.items()}
    next(iter(broken.values())).view(-1)[0] ^= True
    strange = {"gone": torch.ones(1, dtype=torch.bool)}
    shape = {"conv1.weight": torch.ones(1, 2, dtype=torch.bool)}
    for granularity, masks in (
        *(("channel", masks) for masks in (broken, {}, strange)),
        *(("weight", masks) for masks in ({}, strange, shape)),
    ):
        grain = Granularity.parse(granularity)
        with pytest.raises(UsageError, match="the mask does not fit the network"):
            SearchMask.of(replace(search, masks=masks, granularity=grain), study.experiment)
    bare = tmp_path / "bare"
    shutil.copytree(search_run, bare)
    (bare / "initial.safetensors").unlink()
    with pytest.raises(UsageError, match="no initial weights to rewind to"):
        read_search(bare)
