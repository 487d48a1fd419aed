"""A progress that ends the process in the middle of a training."""

from autoprune.foundation.progress import Silent


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class Dies(Silent):
    """Ends the process after so many iterations of training."""

    def __init__(self, iterations):
        self._left, self._training = iterations, False

    def phase(self, name, total):
        self._training = name == "tickets"
        return super().phase(name, total)

    def advance(self, steps=1, **facts):
        if self._training and steps:
            self._left -= steps
            if self._left <= 0:
                raise Killed
