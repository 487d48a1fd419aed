"""TensorBoard curves of a run."""

from autoprune.runs.run import Run
from tests.finished_run import CONFIG


def test_curves_of_a_continued_run_replace_the_old_ones(path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for value in (1.0, 2.0):
        with Run(path, CONFIG) as run:
            writer = run.events()
            for step in range(3):
                writer.add_scalar("reward", value, step)
            writer.close()
    accumulator = EventAccumulator(str(path))
    accumulator.Reload()
    assert [(e.step, e.value) for e in accumulator.Scalars("reward")] == [
        (0, 2.0),
        (1, 2.0),
        (2, 2.0),
    ]
