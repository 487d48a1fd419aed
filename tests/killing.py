"""A progress that ends the process in the middle of a phase."""

from autoprune.foundation.progress import Silent


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class Dies(Silent):
    """Ends the process in a phase, after so many steps."""

    def __init__(self, phase, steps):
        self._deadly, self._left, self._name = phase, steps, ""

    def phase(self, name, total):
        self._name = name
        return super().phase(name, total)

    def advance(self, steps=1, **facts):
        if self._name == self._deadly and steps:
            self._left -= steps
            if self._left <= 0:
                raise Killed
