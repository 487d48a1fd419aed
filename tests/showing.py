"""How tests see what a view prints."""

from rich.console import Console


def show(view, width=80, **options):
    console = Console(width=width, record=True, file=None, quiet=False, **options)
    with console.capture() as capture:
        console.print(view)
    return capture.get()
