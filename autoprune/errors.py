"""Errors of autoprune: each says what is wrong and what to do next, and has an exit code.

Every error that a user can cause is an :class:`AutopruneError`; the command line prints it as one
line and exits with its code. Anything else that escapes is a bug of ours.
"""


class AutopruneError(Exception):
    """An error that a user can cause, with a hint what to do next.

    ``message`` says in one line what is wrong, ``hint`` what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(AutopruneError):
    """A request that cannot be understood or carried out as it was made."""

    exit_code = 2


class UserCodeError(UsageError):
    """A request that cannot be carried out, since the user's own code raised an exception."""

    exit_code = 1


class InfeasibleError(AutopruneError):
    """A budget that no plan can meet."""

    exit_code = 3


class DamagedError(AutopruneError):
    """A file that is broken, incompatible or not to be trusted."""

    exit_code = 4


class LockedError(AutopruneError):
    """A run that another process is writing to."""

    exit_code = 5
