"""The plots of ``autoprune ticket``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from autoprune.commands.ticket.iterative import Iterative
from autoprune.commands.ticket.jobs import Records, folder
from autoprune.commands.ticket.movement import histogram
from autoprune.commands.ticket.study import Study
from autoprune.commands.ticket.summary import Group
from autoprune.commands.ticket.ticket import Ticket
from autoprune.foundation.charts import Curve, canvas, draw_curves, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Writer = Callable[[Path], None]

FIGURES: Final = {
    "accuracy": ("test accuracy at the end, %", 100),
    "accuracy_at_300": ("test accuracy after 300 iterations, %", 100),
    "early_stop": ("iteration of the least validation loss", 1),
}
KINDS: Final = ("ticket", "dense", "reinit", "shuffled", "own", "finetune", "lr_rewind")
Points = Sequence[Sequence[float]]
"""(iteration, validation loss, validation accuracy), as a trial's ``curve``."""

PANELS: Final = 4
"""Most panels of learning curves: the first, the last and some between."""

LAYERS: Final = 6
"""Most layers whose histograms fit one picture: the first ones and the last."""


def draw(
    study: Study, result: Mapping[str, Any], records: Records, home: Path
) -> Iterator[tuple[str, Writer]]:
    """Yield names of plots and what writes them."""
    if isinstance(study, Iterative):
        yield "levels.png", partial(_save, levels(result["levels"]))
        dense, last = (
            Ticket.load(folder(home, study.seeds[0], study.name(level)))
            for level in (0, study.levels)
        )
        yield "distances.png", partial(_save, distances(dense, last))
    yield "curves.png", partial(_save, learning(study.groups(records)))


def levels(entries: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracies and early stops against the weights remaining, as the paper's figure 1 does.

    Means over seeds; bars reach from the least to the greatest.
    """
    known = [name for name in FIGURES if name in entries[0]["means"]["ticket"]]
    figure, panels = canvas(1, len(known))
    for axes, name in zip(panels, known, strict=True):
        label, scale = FIGURES[name]
        kinds = [kind for kind in KINDS if kind in entries[0]["means"]]
        draw_curves(
            axes, {kind: _against(entries, kind, name, scale) for kind in kinds}, markers=True
        )
        axes.set_xscale("log")
        axes.invert_xaxis()
        shares = [100 * entry["remaining"] for entry in entries]
        shown = shares[:: max(1, len(shares) // 6)]
        axes.set_xticks(shown, [f"{share:.3g}" for share in shown])
        axes.minorticks_off()
        axes.set_xlabel("weights remaining, %")
        axes.set_ylabel(label)
    return figure


def learning(groups: Sequence[Group]) -> Figure:
    """Draw validation accuracy in the course of training: a panel per mask, a line per kind.

    Means over seeds in bands from the least to the greatest.
    """
    step = (len(groups) - 1) / (PANELS - 1) if len(groups) > PANELS else 1
    shown = [groups[round(at * step)] for at in range(min(PANELS, len(groups)))]
    figure, panels = canvas(1, len(shown))
    for axes, group in zip(panels, shown, strict=True):
        kinds = [kind for kind in KINDS if kind in group.trials[0]]
        courses = {kind: _course([trials[kind].curve for trials in group.trials]) for kind in kinds}
        draw_curves(axes, courses)
        axes.set_title(group.title, fontsize=9)
        axes.set_xlabel("iteration")
        axes.set_ylabel("validation accuracy, %")
    return figure


def distances(dense: Ticket, ticket: Ticket) -> Figure:
    """Draw how far weights inside and outside a ticket moved in the dense training, by layer."""
    names = [name for name, mask in ticket.masks.items() if not bool(mask.all())]
    if len(names) > LAYERS:
        names = [*names[: LAYERS - 1], names[-1]]
    figure, panels = canvas(-(-len(names) // 3), min(3, len(names)))
    for axes, name in zip(panels, names, strict=False):
        found = histogram(dense.rewound[name], dense.trained[name], ticket.masks[name])
        for place in ("inside", "outside"):
            total = sum(found[place])
            axes.stairs(
                [count / total for count in found[place]],
                found["edges"],
                label=place,
                fill=True,
                alpha=0.5,
            )
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("distance from the initial value")
        axes.set_ylabel("part of the weights")
        axes.legend(fontsize=8)
    return figure


def _save(figure: Figure, path: Path) -> None:
    save(figure, path)


def _against(entries: Sequence[Mapping[str, Any]], kind: str, name: str, scale: float) -> Curve:
    shares = [100 * entry["remaining"] for entry in entries]
    values = [[scale * _figure(seed[kind], name) for seed in entry["seeds"]] for entry in entries]
    return Curve(
        shares,
        [fmean(column) for column in values],
        [min(column) for column in values],
        [max(column) for column in values],
    )


def _figure(trial: Mapping[str, Any], name: str) -> float:
    mark = name.removeprefix("accuracy_at_")
    return float(trial[name] if mark == name else trial["accuracy_at"][mark])


def _course(seeds: Sequence[Points]) -> Curve:
    columns = [[100 * curve[at][2] for curve in seeds] for at in range(len(seeds[0]))]
    return Curve(
        [point[0] for point in seeds[0]],
        [fmean(column) for column in columns],
        [min(column) for column in columns],
        [max(column) for column in columns],
    )
