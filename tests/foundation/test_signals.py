"""Signals: the first ends in order, the second at once."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autoprune.foundation.signals import interruptible, shielded

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_and_the_handlers_are_put_back(number):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), interruptible() as interrupts:
        assert not interrupts.came
        os.kill(os.getpid(), number)
    assert interrupts.came
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
        assert not interrupts.came
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_may_run_commands_too():
    came = []

    def work():
        with interruptible() as interrupts:
            came.append(interrupts.came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert came == [False]


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_a_process_that_will_not_end(second):
    code = (
        "import time\n"
        "from autoprune.foundation.signals import interruptible\n"
        "with interruptible():\n"
        "    while True:\n"
        "        try:\n"
        "            print('here', flush=True); time.sleep(60)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        for number in (signal.SIGTERM, second):
            assert process.stdout.readline() == b"here\n"
            process.send_signal(number)
        assert process.wait(30) == 130


def test_a_shield_puts_the_interrupt_off_until_the_step_is_done():
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible() as interrupts:
        with shielded(), shielded():
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.came
            done.append("step")
        done.append("more")
    assert done == ["step"]
    with shielded():
        done.append("no handler, no harm")
