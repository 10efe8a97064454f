"""Runs jobs side by side, one thread each: two networks on two cores get on faster than one after the other."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
import transformers

from .recipe import KINDS, Job
from .workspace import Workspace


def quiet() -> None:
    """Our own progress is enough."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def run(folder: Path, data: Path, jobs: list[tuple[str, Job]]) -> None:
    """Each job is a kind of network and what it is made of. A job that is done is not done again."""
    waiting = [(kind, job) for kind, job in jobs if not (folder / job.folder(kind)).exists()]
    workers = min(os.cpu_count() or 1, len(waiting))
    if workers:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
            # The results are asked for, so that the first failure is the run's.
            list(pool.map(_do, [folder] * len(waiting), [data] * len(waiting), *zip(*waiting, strict=True)))


def _one_thread() -> None:
    torch.set_num_threads(1)
    quiet()


def _do(folder: Path, data: Path, kind: str, job: Job) -> None:
    KINDS[kind](Workspace(folder, data), job)
