"""Command lines and stored configurations that nobody would write, drawn at random."""

import json
import random
import shutil
from dataclasses import fields
from pathlib import Path

from autoprune.cli.commands import COMMANDS
from autoprune.foundation.files import pretty
from tests.torture.forge import Forge
from tests.torture.hostile import seal
from tests.torture.works import OWN, Tally

DOCUMENTED = (0, 1, 2, 3, 4, 5)
"""Exit codes that a command may end with when nobody interrupts it."""

LONGEST = 300.0
"""Seconds after which a command counts as hanging."""

VALUES = (
    *("", " ", "-1", "0", "1", "1e400", "nan", "inf", "-inf", "9" * 30, "0.5", "1.5", "--", "-"),
    *(
        "0.5flops",
        "0flops",
        "0.5foops",
        "0.5flops,",
        ",",
        "0.5params,2kB",
        "1e-9Mmacs",
        "0.9energy",
    ),
    *("nets.py:build", "nets.py", "nets.py:", ":", "a:b:c", "os:system", "nets.py:number", "../.."),
    *(
        "mydata.py:loaders",
        "mydata.py:none",
        "mytask.py:three",
        "nowhere",
        "/",
        ".",
        "~",
        "\n",
        "\t",
    ),
    *("build.safetensors", "nan.safetensors", "nets.py", "digits", "digit", "ddpg", "l1", "random"),
    *(
        "cpu",
        "cuda:99",
        "meta",
        "\ud800",
        "ü",
        "%s",
        "{}",
        "$(touch executed)",
        "None",
        "true",
    ),
    *(
        "sound",
        "copy",
        "1it",
        "2ep",
        "x" * 5000,
        "regression",
        "uniform",
        "2:4",
        "weight",
        "channel",
    ),
)


def speak(forge: Forge, lines: int, seed: int) -> Tally:
    """Run random command lines; each must end soon, with a documented code and no traceback."""
    chance, tally = random.Random(seed), Tally()
    for _ in range(lines):
        arguments = _line(chance)
        death = forge.run(*arguments, kill=LONGEST)
        tally.note(_judge(death, " ".join(arguments)))
        shutil.rmtree(forge.place / "logs", ignore_errors=True)
    return tally


def _line(chance: random.Random) -> list[str]:
    config = chance.choice(COMMANDS).config
    # With --debug a traceback is what was asked for.
    known = [f"--{item.name.replace('_', '-')}" for item in fields(config)]
    known = [name for name in known if name != "--debug"]
    base = {"--model": "nets.py:build", "--data": "mydata.py:loaders"}
    small = {"--evaluations": "2", "--finetune-epochs": "0", "--epochs": "1", "--levels": "1"}
    base |= small | {"--iterations": "3", "--weights": "build.safetensors", "--seeds": "1"}
    if config.command == "bench":  # its five networks take minutes
        base["--models"] = "digits-resnet"
    given = {name: value for name, value in base.items() if name in known}
    if chance.random() < 0.8 and "--budget" in known:
        given["--budget"] = "0.5flops"
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(known) if chance.random() < 0.9 else f"--{chance.choice(VALUES)}"
        given[name] = chance.choice(VALUES)
    words = [config.command, *(word for pair in given.items() for word in pair)]
    if chance.random() < 0.1:
        words.insert(chance.randint(0, len(words)), chance.choice(VALUES))
    if chance.random() < 0.1:
        del words[chance.randrange(len(words))]
    # No process can be given a zero byte or half a character.
    return [word.encode("utf-8", "replace").decode().replace("\0", "") for word in words]


def mutate(forge: Forge, configs: int, seed: int) -> Tally:
    """Change stored JSON at random places, with a manifest that fits, and read the run again."""
    chance, tally = random.Random(seed), Tally()
    made = forge.run(
        *f"search --budget 0.5flops {OWN} --agent ddpg --evaluations 3 --finetune-epochs 0"
        " --no-baseline --fresh --run sound".split()
    )
    assert made.code == 0, made.output
    again = f"search --budget 0.5flops {OWN} --agent ddpg --evaluations 3 --finetune-epochs 0"
    readers = {
        "config.json": (f"{again} --no-baseline --run copy", "report --run copy"),
        "result.json": (f"{again} --no-baseline --run copy", "report --run copy"),
        "model.json": ("export --run copy --to safetensors --output out",),
        "plan.json": ("report --run copy",),
        "policy.json": (f"apply --policy copy {OWN} --budget 0.5flops --evaluations 0 --run new",),
    }
    for _ in range(configs):
        name = chance.choice(list(readers))
        shutil.rmtree(forge.place / "copy", ignore_errors=True)
        copy = Path(shutil.copytree(forge.place / "sound", forge.place / "copy"))
        data = _changed(json.loads((copy / name).read_text()), chance)
        seal(copy, name, pretty(data))
        command = chance.choice(readers[name])
        for left in ("out", "new"):
            shutil.rmtree(forge.place / left, ignore_errors=True)
        death = forge.run(*command.split(), kill=LONGEST)
        tally.note(_judge(death, f"{command.split()[0]} with {name} {canonical_start(data)}"))
    return tally


def canonical_start(data: object) -> str:
    return json.dumps(data)[:120]


def _changed(data: object, chance: random.Random) -> object:
    """Change one value somewhere in JSON."""
    if isinstance(data, dict) and data and chance.random() < 0.8:
        key = chance.choice(list(data))
        rest = {name: value for name, value in data.items() if name != key}
        if chance.random() < 0.15:
            return rest
        return {**rest, key: _changed(data[key], chance)}
    if isinstance(data, list) and data and chance.random() < 0.8:
        place = chance.randrange(len(data))
        return [*data[:place], _changed(data[place], chance), *data[place + 1 :]]
    return chance.choice([None, -1, 0, 2**70, 1.5, "", "../x", "os:system", [], {}, [1], True, "x"])


def _judge(death, what: str) -> str:
    wrong = "Traceback" in death.output or "internal error" in death.output
    if death.code in DOCUMENTED and not wrong:
        return ""
    return f"{what[:200]}: exit {death.code}: {death.output[-300:]}"
