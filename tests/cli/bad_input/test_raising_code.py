"""Code of the user's that raises, whatever it raises and however late."""

import json

import pytest

from autoprune.cli.main import main
from tests.complaints import FAILED, command

CODE = """
import mydata, mytask, nets

left = {{"{where}": {calls}}}


def use(where):
    left[where] = left.get(where, -1) - 1
    if left.get(where + " raises") or left[where] == 0:
        left[where + " raises"] = True  # from then on: what runs a model twice may forgive it once
        raise {kind}("oh")


class Mine(BaseException):
    pass


class Net(nets.Small):
    def forward(self, x):
        use("forward")
        return super().forward(x)


class Task(mytask.Task):
    def loss(self, outputs, batch):
        use("loss")
        return super().loss(outputs, batch)

    def score(self, outputs, batch):
        use("score")
        return super().score(outputs, batch)


def net():
    use("net")
    return Net()


def data():
    use("data")
    return mydata.loaders()


def task():
    use("task")
    return Task()
"""

KINDS = ("ValueError", "OSError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "Mine")
USES = (
    *(("net", 1), ("data", 1), ("task", 1), ("forward", 1), ("forward", 8)),
    *(("loss", 1), ("loss", 4), ("score", 1), ("score", 3)),
)


@pytest.mark.parametrize("number", range(len(USES)))
def test_what_user_code_raises_is_one_line_and_exit_1(number, place, capsys, monkeypatch):
    monkeypatch.syspath_prepend(place)
    where, calls = USES[number]
    for kind in (KINDS[number % len(KINDS)], KINDS[(number + 3) % len(KINDS)]):
        text = CODE.format(where=where, calls=calls, kind=kind)
        (place / "raising.py").write_text(text)
        words = command("--json", model="raising.py:net", data="raising.py:data")
        assert main([*words, "--task", "raising.py:task", "--fresh"]) == FAILED
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert "internal error" not in err
        last = err.splitlines()[-1]
        assert last.startswith("autoprune: error: ")
        assert f"{kind}: oh" in last
        failure = json.loads(out)
        assert failure["exit_code"] == FAILED
        assert failure["hint"]
