"""Trust in user code: which functions a stored run may import again, as direnv does for files.

Naming a function on the command line or in ``search`` allows it, for the content of its file at
that time. A run directory can come from anybody: functions that it names are imported only if they
were allowed here, or with ``--trust-code`` (``trust_code=True`` in Python), which allows them.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from autoprune.errors import DamagedError
from autoprune.foundation.files import canonical, expand_user, file_digest, user_directory
from autoprune.foundation.user_code import Factory, is_factory, locate


def store() -> Path:
    """Return the path of the list of allowed functions, one JSON line each."""
    return user_directory("XDG_STATE_HOME", ".local/state") / "trusted.jsonl"


def allow(factory: Factory) -> None:
    """Record that the user has named ``factory``; a list that cannot be written is no error."""
    if _line(factory) in _lines():
        return
    with contextlib.suppress(OSError):
        store().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with store().open(
            "a", encoding="utf-8"
        ) as stream:  # one short write: parallel runs mix well
            stream.write(_line(factory) + "\n")


def check(factory: Factory) -> None:
    """Raise DamagedError unless ``factory`` was allowed and its file is still the same."""
    path = locate(factory.name)
    if _line(factory) not in _lines():
        reason = "was never named here"
    elif path is None or not path.is_file():
        raise DamagedError(f"{factory.name} is gone: no such file", f"it was {factory.path}")
    elif str(path) != factory.path or file_digest(path) != factory.sha256:
        reason = f"is not what it was: {path} has changed"
    else:
        return
    raise DamagedError(
        f"{factory.name} {reason}, so it is not run",
        "read it, then pass --trust-code (in Python trust_code=True) if you trust it",
    )


def check_named(spec: str, otherwise: str = "name another run") -> None:
    """Raise DamagedError unless the function that a stored run names was allowed, as it is now.

    A spec that names no function passes. ``otherwise`` is the hint for a function whose file is
    gone.
    """
    if not is_factory(spec):
        return
    module, _, function = spec.rpartition(":")
    path = locate(spec)
    if path is None or not expand_user(path).is_file():
        raise DamagedError(f"{spec} is gone: no such file", f"bring it back, or {otherwise}")
    path = expand_user(path).resolve()  # as naming it resolves it: allowed names are whole paths
    name = f"{path}:{function}" if module.endswith(".py") else spec
    check(Factory(name, str(path), file_digest(path)))


def _line(factory: Factory) -> str:
    return canonical([factory.name, factory.path, factory.sha256])


def _lines() -> set[str]:
    try:
        return set(store().read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return set()
