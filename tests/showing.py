"""How tests see what a view prints."""

from rich.console import Console


def show(view, width=80, **options):
    console = Console(width=width, record=True, file=None, quiet=False, **options)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def assert_explains_itself(figure):
    """Every plot has a title, labels, names for what it shows, and bars that begin at zero."""
    for axes in figure.axes:
        assert axes.get_title(), "a title"
        names = [text.get_text() for text in axes.get_xticklabels()]
        assert axes.get_xlabel() or any(name and not name[0].isdigit() for name in names)
        rows = [text.get_text() for text in axes.get_yticklabels()]
        assert axes.get_ylabel() or any(name and not name[0].isdigit() for name in rows)
        _, labels = axes.get_legend_handles_labels()
        if len(labels) > 1 and axes.get_legend() is None:
            assert set(labels) == {"kept", "removed"}, labels
        elif len(labels) > 1:
            shown = {text.get_text() for text in axes.get_legend().get_texts()}
            assert shown == set(labels)
        for label in (axes.get_xlabel(), axes.get_ylabel()):
            assert "%" not in label or "[%" in label, label
        for bars in axes.containers:
            if getattr(bars, "patches", ()):
                low = (axes.get_xlim if bars.orientation == "horizontal" else axes.get_ylim)()[0]
                assert low == 0, "a bar that is cut off lies"
