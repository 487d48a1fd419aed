import pytest

from autoprune.commands.train.config import FinetuneConfig
from autoprune.errors import UsageError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "finetune needs a network"),
        ({"run": "a", "weights": "b"}, "finetune needs a network"),
        ({"run": "a", "epochs": 0}, "--epochs must be at least 1"),
        ({"run": "a", "epochs": 1, "steps": 1}, "--epochs and --steps are both lengths"),
        ({"run": "a", "distill": 1.5}, "--distill must lie in"),
        ({"weights": "w", "data": "pictures"}, "needs a --model"),
    ],
)
def test_requests_that_make_no_sense(settings, message):
    with pytest.raises(UsageError, match=message):
        FinetuneConfig(**settings)
