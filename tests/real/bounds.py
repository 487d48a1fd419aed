"""Networks of which more than the usual share of parameters is left at uniform 0.5, and why."""

USUAL = 0.35

BOUNDS: dict[str, tuple[float, str]] = {
    "timm:edgenext_xx_small": (0.72, "halves of heads: a unit that takes all of them"),
    "segmentation:PSPNet": (0.95, "an encoder that is built whole and read in part"),
    "segmentation:MAnet": (0.45, "a bottleneck of single units"),
}
"""Name -> the share that may be left, and what stays."""


def most(name: str) -> float:
    """Return the share of a network's parameters that may be left."""
    return BOUNDS.get(name, (USUAL, ""))[0]
