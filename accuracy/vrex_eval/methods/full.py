"""Full attention; FlexGen is the same with everything fetched from the host, step after step."""

from dataclasses import dataclass

from vrex_eval.method import Step
from vrex_eval.methods.selecting import Choice, Selecting, SelectingCache


@dataclass(frozen=True, kw_only=True)
class Full(Selecting):
    """Every row attends everything before it. Nothing is resident: all of it is fetched."""

    sinks: int = 0
    recent: int = 0

    def layer(self, index: int, layers: int) -> "FullCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return FullCache(self)


class FullCache(SelectingCache):
    """Reads all."""

    def choose(self, step: Step, past: int) -> Choice | None:
        """Return None: all."""
        return None
