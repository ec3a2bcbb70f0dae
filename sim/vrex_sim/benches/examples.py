"""The traces that ship with the project, as the figures find them."""

from pathlib import Path

FOLDER = Path(__file__).parents[3] / "examples"
FIRST = FOLDER / "video-layer1.safetensors"
"""The one that is used where one must do."""


def every() -> list[Path]:
    """Return all of them, by name."""
    return sorted(FOLDER.glob("*.safetensors"))
