"""Lottery tickets of LeNet-300-100 in the paper's set-up, with fewer iterations.

python benchmarks/lottery_mnist.py --data DIR [--levels 13] [--iterations 4000] [--seeds 5]
python benchmarks/lottery_mnist.py --data mnist --iterations 4000 --redraw
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from support.reporting import RESULTS, Row, draw_shares, numbers, report, stored, with_bars
from support.tickets import options, percent, rows, setup, ticket

from autoprune.commands.ticket.plots import COLORS_OF
from autoprune.foundation.charts import COLORS, DENSE, canvas, draw_level, legend, save

KINDS = ("ticket", "dense", "reinit", "shuffled")
PANELS = {
    "": ("at the end", "test accuracy [%]"),
    ", 300 it": ("after 300 iterations", "test accuracy [%]"),
    ", early stop": ("early stop", "iteration of the least validation loss"),
}
"""Columns of the table by their ending, the title of their plot and its vertical axis."""
AIMED = (0.21, 0.07)
"""Parts of the weights left at which the criteria are checked."""


def main() -> None:
    """Train every level and report accuracies, the criteria, and how far weights move."""
    parser = options(__doc__ or "", levels=13, iterations=4000, seeds=5)
    parser.add_argument("--data", required=True, help="directory with MNIST, or digits")
    parser.add_argument("--redraw", action="store_true", help="draw what is stored, and no more")
    chosen = parser.parse_args()
    name = Path(chosen.data).name
    stem = f"lottery_{name}_{chosen.iterations}it"
    if chosen.redraw:
        draw(*stored(stem), RESULTS / f"{stem}.svg")
        return
    result = ticket(
        chosen,
        stem,
        model="lenet-300-100",
        data=chosen.data,
        levels=chosen.levels,
        iterations=chosen.iterations,
        seeds=chosen.seeds,
    )
    how = (
        "Adam 1.2e-3, batch 60, Glorot, 20 % per level, output layer 10 % (the paper's, but for its"
    )
    report(
        stem,
        f"Lottery tickets of lenet-300-100 on {name}",
        rows(result, KINDS, ["300"], stop=True),
        [
            setup(result, chosen.seeds, f"{how} 50,000 iterations)"),
            "",
            *(line for share in AIMED for line in criteria(result, share)),
            "",
            *result["verdict"],
        ],
        chosen.write,
    )
    report(
        f"{stem}_distances",
        f"How far weights of lenet-300-100 on {name} move in the dense training",
        distances(result["analysis"]),
        [
            f"{100 * result['analysis']['remaining']:.1f} % of the weights left; means over"
            f" {chosen.seeds} seeds; {chosen.iterations} iterations. Matched: for every weight"
            " inside the ticket the one outside whose initial magnitude is nearest. Largest first:"
            " the mask of the weights that began largest.",
        ],
        chosen.write,
    )
    if chosen.write:
        draw(*stored(stem), RESULTS / f"{stem}.svg")


def draw(rows: Sequence[Row], notes: Sequence[str], path: Path) -> None:
    """Draw the table as the paper's figure 1: every kind of training against the weights left."""
    figure, panels = canvas(1, len(PANELS))
    shares = [numbers(row["left"])[0] for row in rows]
    seeds = notes[0].partition(" seeds;")[0].rpartition(" ")[2]
    for axes, (ending, (title, label)) in zip(panels, PANELS.items(), strict=True):
        columns = {
            kind: with_bars(shares, [row[kind + ending] for row in rows])
            for kind in KINDS
            if kind != "dense"
        }
        draw_shares(axes, columns, COLORS_OF)
        mean, *half = numbers(rows[0]["dense" + ending])
        draw_level(axes, "dense", mean)
        if half:
            axes.axhspan(mean - half[0], mean + half[0], color=COLORS[DENSE], alpha=0.1, lw=0)
        legend(axes)
        bars = "mean and 95 % interval" if half else "mean"
        axes.set(title=f"{title}: {bars}, {seeds} seeds", xlabel="weights left [%]", ylabel=label)
    save(figure, path)


def criteria(result: Mapping[str, Any], share: float) -> Iterator[str]:
    """Check what the paper finds, at the level nearest to ``share``."""
    level = min(result["levels"], key=lambda item: abs(item["remaining"] - share))
    means, gaps = level["means"], level["ticket_minus"]
    marks = [means[kind]["accuracy_at_300"]["mean"] for kind in ("ticket", "dense", "reinit")]
    end, early = (gaps["reinit"][name] for name in ("accuracy", "accuracy_early_stop"))
    dense, stop = gaps["dense"]["accuracy"], gaps["dense"]["early_stop"]
    left = f"{100 * level['remaining']:.1f} % left"
    checks = (
        (
            "ticket minus reinit at the end >= 1 point (aim for the short run)",
            percent(end),
            end["mean"] >= 0.01,
        ),
        (
            "or at early stop >= 0.3 points (aim for the long run)",
            percent(early),
            early["mean"] >= 0.003,
        ),
        ("ticket minus dense at the end >= -0.3 points", percent(dense), dense["mean"] >= -0.003),
        (
            "after 300 iterations ticket > dense > reinit",
            " / ".join(f"{100 * mark:.2f}" for mark in marks),
            marks[0] > marks[1] > marks[2],
        ),
        (
            "early stop earlier than dense, iterations",
            f"{stop['mean']:.0f} ± {stop['margin'] or 0:.0f}",
            stop["mean"] < 0,
        ),
    )
    for what, value, met in checks:
        yield f"- {left}: {what}: {value}: {'met' if met else 'not met'}"


def distances(analysis: Mapping[str, Any]) -> list[dict[str, str]]:
    """Show every layer and place."""
    return [
        {
            "layer": layer,
            "weights": place.replace("_", " "),
            "initial magnitude": f"{motion['initial']:.4f}",
            "distance": f"{motion['moved']:.4f}",
            "grew": f"{motion['grew']:.1%}",
            "kept sign": f"{motion['sign']:.1%}",
        }
        for layer, places in analysis["movement"].items()
        for place, motion in places.items()
    ]


if __name__ == "__main__":
    main()
