"""Progress on a console."""

import io

import pytest
from rich.console import Console

from autoprune.foundation.terminal import Terminal, TerminalConfig, duration

EVERY_LINE = TerminalConfig(seconds_between_lines=0.0)


def work(reporter, steps=40):
    with reporter.phase("search", steps) as phase:
        for step in range(steps):
            phase.advance(best=step / 100)


def test_without_a_terminal_a_phase_is_two_plain_lines():
    out = io.StringIO()
    work(Terminal(Console(file=out, width=80)))
    first, last = out.getvalue().splitlines()
    assert first == "searching   40 evaluations ..."
    assert last.startswith("searching   40 evaluations in ")
    assert last.endswith("best 39.00 %")


def test_a_long_phase_says_how_far_it_is():
    out = io.StringIO()
    work(Terminal(Console(file=out, width=80), EVERY_LINE), steps=4)
    lines = out.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines[1:-1]] == [
        "searching   1/4",
        "searching   2/4",
        "searching   3/4",
    ]
    assert all(line.endswith(" left") for line in lines[1:-1])


@pytest.mark.parametrize("width", [20, 80])
def test_on_a_terminal_a_live_bar_ends_as_one_line(width):
    out = io.StringIO()
    work(Terminal(Console(file=out, width=width, force_terminal=True, color_system=None)))
    live, _, last = out.getvalue().rpartition("searching   ")
    assert "\x1b[?25l" in live
    assert live.endswith("\x1b[2K"), "the bar is wiped before the line that replaces it"
    assert " ".join(last.split()).startswith("40 evaluations in ")


def test_an_error_inside_a_phase_passes_and_claims_nothing():
    out = io.StringIO()
    reporter = Terminal(Console(file=out, width=80))
    with pytest.raises(KeyboardInterrupt), reporter.phase("train", 3) as phase:
        phase.advance(loss=0.5)
        raise KeyboardInterrupt
    assert out.getvalue() == "training    3 steps ...\n"


def test_time_left_follows_the_pace_of_now_not_what_a_continued_run_found_done():
    clock, out = [0.0], io.StringIO()
    terminal = Terminal(Console(file=out, width=80), EVERY_LINE, clock=lambda: clock[0])
    with terminal.phase("train", 1000) as phase:
        phase.advance(800, loss=1.0)
        for _ in range(90):
            clock[0] += 1.0
            phase.advance(2, loss=1.0)
    assert "980/1000, loss 1, 2 steps/s, 10 s left" in out.getvalue()


def test_notes_are_not_markup():
    out = io.StringIO()
    Terminal(Console(file=out, width=80)).note("kept [red]8[/red] of 16")
    assert out.getvalue() == "kept [red]8[/red] of 16\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"),
        (200, "3 min 20 s"), (7500, "2 h 5 min"),
    ],
)  # fmt: skip
def test_durations(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("finetune", "fine-tuning 3 steps"),
        ("finetune-plain", "fine-tuning (uniform + l1) 3 steps"),
        ("finetune-dense", "fine-tuning (dense) 3 steps"),
        ("finetune-2", "fine-tuning (round 2) 3 steps"),
        ("finetune-0.5flops-0-abc", "fine-tuning 3 steps"),
        ("match-1", "matching (round 1) 3 steps"),
    ],
)
def test_lines_say_whose_fine_tuning_it_is(name, shown):
    out = io.StringIO()
    with Terminal(Console(file=out, width=80)).phase(name, 3) as phase:
        phase.advance(3)
    first, last = out.getvalue().splitlines()
    assert first == f"{shown} ..." and last.startswith(f"{shown} in ")
