"""Session after session until so many faults have been made; resumed where it stopped."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resv_ref import files, generator
from resv_ref import run as reference
from vrex import HardwareError, Params, UserError
from vrex_hw.config import CONFIGS
from vrex_hw.models.system import emit
from vrex_sim import engine_rtl, sizing
from vrex_sim.core_jobs import CoreJobs
from vrex_sim.faults.session import Session

CONFIG = CONFIGS["tiny"]
PARAMS = Params(recent_window=12, join_window=8, cluster_cap=3, n_sinks=3, k_min=2, k_max=5)
FRAMES, TOKENS, Q_HEADS, KV_HEADS, DIMENSION = 12, 4, 4, 2, 16
FAULTS_OF_A_SESSION = 20


@dataclass
class Counts:
    """What a campaign has seen: faults made, met and flagged, by kind; the session to come.

    ``first``: the session with which it began; ``system``: a hash of the Verilog.
    """

    made: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    seed: int = 1
    first: int = 1
    system: str = ""


class Campaign:
    """Random faults over random jobs of a small system, compiled.

    ``keep``: a file in which the counts are kept after each session; one that is there already is
    gone on with. Raises :class:`~vrex.UserError` if it cannot be read or written, or is of another
    seed or of other Verilog.
    """

    def __init__(self, keep: Path | None = None, seed: int = 1) -> None:
        """Prepare the stream, its expected output and the Verilog."""
        self._keep = keep
        before = None if keep is None else _read(keep)
        self._trace = generator.generate(
            FRAMES, TOKENS, Q_HEADS, KV_HEADS, DIMENSION, 1, PARAMS, text_steps=0
        )
        sizes: dict[str, Any] = sizing.arithmetic(CONFIG)
        self._expected, _ = reference.run(self._trace, PARAMS, "exact", **sizes)
        place = CoreJobs(config=CONFIG, params=PARAMS, trace=self._trace).placement
        memory, host = engine_rtl.lines(place)
        # Room behind the run, so that a stray write is seen.
        self._verilog = emit(CONFIG, 2 * memory, 2 * host)
        system = hashlib.sha256(self._verilog.encode()).hexdigest()[:16]
        fresh = Counts(seed=seed, first=seed, system=system)
        self.counts = fresh if before is None else before
        if (self.counts.first, self.counts.system) != (seed, system):
            raise UserError(f"{keep}: is of another seed or other Verilog; delete it to begin anew")

    def run(self, faults: int, tell: Callable[[int, int], object] = lambda *_: None) -> Counts:
        """Go on until ``faults`` have been made in all; ``tell`` hears how many.

        Raises :class:`~vrex.HardwareError`, which names the session, for what must not be.
        """
        counts = self.counts
        while counts.made.total() < faults:
            session = Session(CONFIG, self._verilog, self._trace, self._expected, counts.seed)
            try:
                session.begin()
                for _ in range(FAULTS_OF_A_SESSION):
                    outcome = session.fault()
                    counts.made[outcome.kind] += 1
                    counts.met[outcome.kind] += outcome.met
                    counts.flagged[outcome.kind] += outcome.flagged
                session.end()
            except HardwareError as error:
                raise HardwareError(f"session {counts.seed}: {error}") from error
            counts.seed += 1
            if self._keep is not None:
                _write(self._keep, counts)
            tell(counts.made.total(), faults)
        return counts


def _read(path: Path) -> Counts | None:
    """Return the counts in a file that can be written, or None where there is no file yet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: its folder cannot be made ({error})") from None
    files.check_writable(path)
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        made, met, flagged = (
            Counter({str(kind): int(count) for kind, count in values[name].items()})
            for name in ("made", "met", "flagged")
        )
        return Counts(
            made=made,
            met=met,
            flagged=flagged,
            seed=int(values["seed"]),
            first=int(values["first"]),
            system=str(values["system"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not a campaign's counts; delete it to begin anew") from None


def _write(path: Path, counts: Counts) -> None:
    with files.whole(path) as unfinished:
        unfinished.write_text(json.dumps(vars(counts)))
