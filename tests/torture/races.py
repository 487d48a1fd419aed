"""Two starts in one directory at once: one proceeds, the other is refused at once."""

from tests.torture.forge import Forge
from tests.torture.works import Tally, arguments, clear


def race(one: Forge, other: Forge, name: str, races: int) -> tuple[Tally, float, float]:
    """Start a command twice at once.

    Return the tally, and the longest that a refused one took: by the clock, and of the processor.
    """
    tally, longest, busiest = Tally(), 0.0, 0.0
    for number in range(races):
        clear(one.place)
        pair = (one, other) if number % 2 else (other, one)
        for forge in pair:
            forge.start(*arguments(name))
        deaths = [forge.end() for forge in pair]
        codes = sorted(death.code for death in deaths)
        refused = [death for death in deaths if death.code == 5]
        longest = max([longest, *(death.seconds for death in refused)])
        busiest = max([busiest, *(death.busy for death in refused)])
        said = all("another process is writing" in death.output for death in refused)
        tally.note("" if codes == [0, 5] and said else f"exits {codes}: {deaths[0].output[-200:]}")
    return tally, longest, busiest
