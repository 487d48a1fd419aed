"""The rooms of the package and the imports between them; run as a script it prints the count.

    python tests/rooms.py

A room imports only rooms before it in ``ROOMS``. Each command is a room of its own inside
``commands``: none imports another. Imports for type checkers count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    *("errors", "foundation", "runs", "structure", "data", "networks", "cost", "ranking"),
    *("training", "problem", "envs", "agents", "testing", "pipeline", "integrations"),
    *("commands", "cli"),
)
# The public face names what is far below it, and only when asked.
FACE = ("__init__", "__main__")


def files() -> list[Path]:
    """Source files of the package."""
    folders = ("autoprune", "envs", "agents")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module(path: Path) -> str:
    """Dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = () if parts[0] == "autoprune" else ("autoprune",)
    return ".".join((*package, *parts))


def room(name: str) -> str:
    """Room of a module."""
    return name.split(".")[1] if "." in name else "__init__"


def box(name: str) -> str:
    """Room of a module, and the command it belongs to."""
    return ".".join(name.split(".")[1:3]) if room(name) == "commands" else room(name)


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything of ours that a file imports, for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.startswith("autoprune."))


def allowed(name: str, target: str) -> bool:
    """Whether a module may import another."""
    if room(name) in FACE:
        return True
    if room(target) not in ROOMS:  # the face, which names what is below it
        return room(name) == "cli"
    if "commands" in (room(name), room(target)) and room(name) == room(target):
        return box(name) == box(target)
    return ROOMS.index(room(target)) <= ROOMS.index(room(name))


def graph() -> dict[str, set[str]]:
    """Modules that each module imports."""
    known = {module(path): path for path in files()}
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        targets = {_owner(target, known) for target in imports(path)}
        found[name.removesuffix(".__init__")] = targets - {name.removesuffix(".__init__"), None}
    return found


def _owner(target: str, known: Mapping[str, Path]) -> str | None:
    """Module that an imported name belongs to."""
    for name in (target, target.rpartition(".")[0]):
        if name in known or f"{name}.__init__" in known:
            return name
    return None


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, however long the way around (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(arrows.get(name, ())):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            place = stack.index(name)
            part = stack[place:]
            del stack[place:]
            if len(part) > 1:
                found.append(sorted(part))

    for name in sorted(arrows):
        if name not in index:
            visit(name)
    return found


def main() -> None:
    """Print the count."""
    arrows = graph()
    pairs = {
        (box(name), box(target))
        for name, targets in arrows.items()
        for target in targets
        if room(name) not in FACE and box(name) != box(target)
    }
    upwards = [
        (name, target)
        for name, targets in arrows.items()
        for target in targets
        if not allowed(name, target)
    ]
    print(f"modules {len(arrows)}, rooms {len(ROOMS)}, arrows between rooms {len(pairs)}")
    print(f"arrows upwards {len(upwards)}, circles {len(circles(arrows))}")
    for name, target in upwards:
        print(f"  {name} -> {target}")
    for part in circles(arrows):
        print(f"  circle: {', '.join(part)}")


if __name__ == "__main__":
    main()
