"""Plots of ``autoprune ticket``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from autoprune.commands.ticket.evidence.movement import histogram
from autoprune.commands.ticket.evidence.summary import Level
from autoprune.commands.ticket.jobs import Records, folder
from autoprune.commands.ticket.studies.iterative import Iterative
from autoprune.commands.ticket.studies.study import Study
from autoprune.commands.ticket.ticket import Ticket
from autoprune.foundation.charts import DENSE, Curve, canvas, draw_curves, legend, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Writer = Callable[[Path], None]

FIGURES: Final = {
    "accuracy": ("at the end", "test accuracy [%]", 100),
    "accuracy_at_300": ("after 300 iterations", "test accuracy [%]", 100),
    "early_stop": ("early stop", "iteration of the least validation loss", 1),
}
KINDS: Final = ("ticket", "dense", "reinit", "shuffled", "own", "finetune", "lr_rewind")
COLORS_OF: Final = {
    **{"ticket": 0, "dense": DENSE, "reinit": 1, "shuffled": 4},
    **{"own": 2, "finetune": 3, "lr rewind": 5},
}
"""Colors of the kinds of training, the same in all plots."""

Points = Sequence[Sequence[float]]
"""(iteration, validation loss, validation accuracy), as a trial's ``curve``."""

PANELS: Final = 4
"""Most panels of learning curves: the first level, the last and some between."""

LAYERS: Final = 6
"""Most layers whose histograms fit one picture: the first ones and the last."""


def draw(
    study: Study, result: Mapping[str, Any], records: Records, home: Path
) -> Iterator[tuple[str, Writer]]:
    """Yield the name of each plot and a function that writes it."""
    if isinstance(study, Iterative):
        yield "levels.png", partial(_save_figure, levels(result["levels"]))
        dense, last = (
            Ticket.load(folder(home, study.seeds[0], study.name(level)))
            for level in (0, study.levels)
        )
        yield "distances.png", partial(_save_figure, distances(dense, last))
    yield "curves.png", partial(_save_figure, learning_curves(study.levels_of(records)))


def levels(entries: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracies and early stops against the remaining weights, as the paper's figure 1 does.

    Points are means over seeds, bars reach from the least to the greatest.
    """
    known = [name for name in FIGURES if name in entries[0]["means"]["ticket"]]
    figure, panels = canvas(1, len(known))
    for axes, name in zip(panels, known, strict=True):
        title, label, scale = FIGURES[name]
        kinds = [kind for kind in KINDS if kind in entries[0]["means"]]
        curves = {kind.replace("_", " "): level_curve(entries, kind, name, scale) for kind in kinds}
        draw_curves(axes, curves, markers=True, log=True, colors=COLORS_OF)
        axes.invert_xaxis()
        shares = [100 * entry["remaining"] for entry in entries]
        shown = shares[:: max(1, len(shares) // 6)]
        axes.set_xticks(shown, [f"{share:.3g}" for share in shown])
        axes.minorticks_off()
        axes.set(title=f"{title}, {_seeds(entries[0])}", xlabel="weights left [%]", ylabel=label)
    return figure


def learning_curves(levels: Sequence[Level]) -> Figure:
    """Draw validation accuracy during training: a panel per level, a line per kind.

    Lines are means over seeds, bands reach from the least to the greatest.
    """
    step = (len(levels) - 1) / (PANELS - 1) if len(levels) > PANELS else 1
    shown = [levels[round(panel * step)] for panel in range(min(PANELS, len(levels)))]
    figure, panels = canvas(1, len(shown))
    for axes, level in zip(panels, shown, strict=True):
        kinds = [kind for kind in KINDS if kind in level.trials[0]]
        curves = {
            kind.replace("_", " "): learning_curve([trials[kind].curve for trials in level.trials])
            for kind in kinds
        }
        draw_curves(axes, curves, colors=COLORS_OF)
        axes.set(title=level.title, xlabel="iteration", ylabel="validation accuracy [%]")
    return figure


def distances(dense: Ticket, ticket: Ticket) -> Figure:
    """Draw histograms of distances that weights inside and outside a ticket moved, by layer."""
    names = [name for name, mask in ticket.masks.items() if not bool(mask.all())]
    if len(names) > LAYERS:
        names = [*names[: LAYERS - 1], names[-1]]
    figure, panels = canvas(-(-len(names) // 3), min(3, len(names)))
    for axes, name in zip(panels, names, strict=False):
        bars = histogram(dense.rewound[name], dense.trained[name], ticket.masks[name])
        for part in ("inside", "outside"):
            total = sum(bars[part])
            axes.stairs(
                [100 * count / total for count in bars[part]],
                bars["edges"],
                label=part,
                fill=True,
                alpha=0.5,
            )
        axes.set(title=name, xlabel="distance from the initial value", ylabel="weights [%]")
        legend(axes)
    return figure


def _save_figure(figure: Figure, path: Path) -> None:
    save(figure, path)


def level_curve(entries: Sequence[Mapping[str, Any]], kind: str, name: str, scale: float) -> Curve:
    """Return a figure of a kind of training by level, in percent of the weights left."""
    shares = [100 * entry["remaining"] for entry in entries]
    values = [[scale * _value(seed[kind], name) for seed in entry["seeds"]] for entry in entries]
    return Curve(
        shares,
        [fmean(column) for column in values],
        [min(column) for column in values],
        [max(column) for column in values],
    )


def _seeds(entry: Mapping[str, Any]) -> str:
    number = len(entry["seeds"])
    return "one seed" if number == 1 else f"{number} seeds, least to greatest"


def _value(trial: Mapping[str, Any], name: str) -> float:
    iteration = name.removeprefix("accuracy_at_")
    return float(trial[name] if iteration == name else trial["accuracy_at"][iteration])


def learning_curve(seeds: Sequence[Points]) -> Curve:
    """Return validation accuracy in percent by iteration, over seeds."""
    columns = [[100 * curve[at][2] for curve in seeds] for at in range(len(seeds[0]))]
    return Curve(
        [point[0] for point in seeds[0]],
        [fmean(column) for column in columns],
        [min(column) for column in columns],
        [max(column) for column in columns],
    )
