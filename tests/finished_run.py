"""A small finished run."""

import torch
from safetensors.torch import save_file

from autoprune.pipeline.config import SearchConfig
from autoprune.runs.run import Run

CONFIG = SearchConfig(budget="0.5flops")


def finished_run(path):
    with Run(path, CONFIG) as run:
        run.expect(data="d1", weights="w1")
        run.journal.append({"plan": {"conv1": 3}, "score": 0.5})
        run.publish_json("plan.json", {"conv1": 3})
        run.publish("model.safetensors", lambda p: save_file({"w": torch.arange(9.0)}, p))
        run.publish_json("result.json", {"score": 0.5})
    return path
