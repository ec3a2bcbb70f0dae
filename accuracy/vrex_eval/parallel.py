"""An evaluation on several processes: each watches a batch with some of the methods."""

import dataclasses
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING

import torch

from vrex_eval.units import Folder

if TYPE_CHECKING:
    from vrex_eval.run import Job, Meter, Settings

METHODS_OF_A_SHARE = 4
"""Most methods that a process takes at once: for each share full attention is run once more."""

_number = 0
"""Of this process."""


def run(todo: Sequence["Job"], folder: Folder, settings: "Settings", meter: "Meter") -> None:
    """Do the jobs, the longest streams first; what a process has done is kept if another fails.

    On ``cuda`` the processes are spread over the GPUs that torch sees. Each has one thread.
    """
    context = multiprocessing.get_context("spawn")
    counter = context.Value("i", 0)
    shares = sorted(_shares(todo, settings.jobs), key=lambda job: -job.context)
    with ProcessPoolExecutor(
        settings.jobs, mp_context=context, initializer=_begin, initargs=(counter,)
    ) as pool:
        tasks = {pool.submit(_do, share, folder, settings): share for share in shares}
        try:
            for done in as_completed(tasks):
                done.result()
                share = tasks[done]
                meter.add(len(share.methods) * share.context, f"a share at {share.context}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _shares(todo: Sequence["Job"], jobs: int) -> Iterator["Job"]:
    """Split the methods of each job, into as many shares as there are processes where it can."""
    for job in todo:
        size = max(1, min(METHODS_OF_A_SHARE, len(job.methods) * len(todo) // jobs))
        for first in range(0, len(job.methods), size):
            yield dataclasses.replace(job, methods=job.methods[first : first + size])


def _begin(counter: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    """Number this process."""
    global _number
    with counter.get_lock():
        _number = counter.value
        counter.value += 1
    torch.set_num_threads(1)


def _do(share: "Job", folder: Folder, settings: "Settings") -> None:
    """Do a share in this process."""
    from vrex_eval.run import Meter, run_job

    count = torch.cuda.device_count()
    if share.benchmark.device == "cuda" and count > 1:
        benchmark = share.benchmark.on(f"cuda:{_number % count}")
        share = dataclasses.replace(share, benchmark=benchmark)
    run_job(share, folder, settings, Meter(0, None))
