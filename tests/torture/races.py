"""Two starts in one directory at once: one proceeds, the other is refused at once."""

from tests.torture.forge import Forge
from tests.torture.works import RUN, Tally, arguments, clear

LINK = "link"


def race(one: Forge, other: Forge, name: str, races: int) -> tuple[Tally, float, float]:
    """Start a command twice at once, every other time one of them through a link to the directory.

    Return the tally, and the longest that a refused one took: by the clock, and of the processor.
    """
    tally, longest, busiest = Tally(), 0.0, 0.0
    for number in range(races):
        clear(one.place)
        pair = (one, other) if number % 2 else (other, one)
        (one.place / LINK).unlink(missing_ok=True)
        ways = [RUN, RUN]
        if number % 2:
            (one.place / RUN).mkdir()
            (one.place / LINK).symlink_to(RUN)
            ways = [RUN, LINK] if number % 4 == 1 else [LINK, RUN]
        for forge, way in zip(pair, ways, strict=True):
            words = arguments(name)
            forge.start(*words[: words.index("--run") + 1], way)
        deaths = [forge.end() for forge in pair]
        codes = sorted(death.code for death in deaths)
        refused = [death for death in deaths if death.code == 5]
        longest = max([longest, *(death.seconds for death in refused)])
        busiest = max([busiest, *(death.busy for death in refused)])
        said = all("another process is writing" in death.output for death in refused)
        tally.note("" if codes == [0, 5] and said else f"exits {codes}: {deaths[0].output[-200:]}")
    return tally, longest, busiest
