"""A crash, or a full disk, at every single write, sync and rename of a command."""

import shutil
from pathlib import Path

from autoprune.runs.artifacts import Artifacts
from tests.torture.forge import Forge
from tests.torture.works import RUN, Tally, arguments, clear, differences


def crash_everywhere(forge: Forge, whole: Path, name: str, every: int = 1) -> tuple[Tally, Tally]:
    """Continue from what a kill, and what a power cut, leaves at every step; two tallies."""
    images = forge.place / "images"
    shutil.rmtree(images, ignore_errors=True)
    clear(forge.place)
    death = forge.run(
        *arguments(name), steps={"home": str(forge.place / RUN), "images": str(images)}
    )
    assert death.code == 0, death.output
    tallies, known = {"kill": Tally(), "power": Tally()}, {}
    chosen = [path for kind in tallies for path in sorted(images.glob(f"* {kind} *"))[::every]]
    for image in chosen:
        _, kind, content, *_ = image.name.split()
        if content not in known:
            clear(forge.place)
            shutil.copytree(image, forge.place / RUN)
            death = forge.run(*arguments(name))
            known[content] = (
                death.output[-300:] if death.code else _unlike(forge.place / RUN, whole)
            )
        tallies[kind].note(f"{image.name}: {known[content]}" if known[content] else "")
    return tallies["kill"], tallies["power"]


def fill_everywhere(forge: Forge, whole: Path, name: str, every: int = 1) -> Tally:
    """Let every ``every``-th step find a full disk, then continue with room."""
    tally, number = Tally(), 1
    while True:
        clear(forge.place)
        terms = {"home": str(forge.place / RUN), "fails": number}
        death = forge.run(*arguments(name), steps=terms)
        if death.code == 0:
            return tally
        tally.note(_after_full_disk(forge, whole, name, death, f"step {number}"))
        number += every


def sizes(forge: Forge, whole: Path, name: str, limits: int) -> Tally:
    """Let no file grow beyond a size, for sizes up to the largest file of the run."""
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    tally = Tally()
    for number in range(limits):
        clear(forge.place)
        room = largest * number // limits
        death = forge.run(*arguments(name), room=room)
        tally.note(_after_full_disk(forge, whole, name, death, f"{room} bytes"))
    return tally


def _after_full_disk(forge: Forge, whole: Path, name: str, death, where: str) -> str:
    """Say what is wrong after a full disk, or nothing."""
    line = death.output.splitlines()[-1] if death.output else ""
    if death.code != 1 or "cannot write" not in line or "Traceback" in death.output:
        return f"{where}: exit {death.code}: {death.output[-300:]}"
    run = forge.place / RUN
    damaged = [name for name in Artifacts(run).damaged if (run / name).exists()]
    if damaged:
        return f"{where}: damaged {damaged}"
    death = forge.run(*arguments(name))
    problem = death.output[-300:] if death.code else _unlike(run, whole)
    return f"{where}, continued: {problem}" if problem else ""


def _unlike(run: Path, whole: Path) -> str:
    return ", ".join(differences(run, whole))
