"""Workers that animate the photos of a folder: processes of this machine, or actors of Ray on many.

An engine is a context that gives a function which starts one `Worker`. Each worker loads the model once and animates
one photo at a time. A worker that dies, for want of memory or by a fault in a decoder, costs the photo that it had.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol

import torch

from ..notices import collect_warnings
from ..tensors import check_device
from .command_steps import Advance, LoadedModel
from .photo_commands import animate_photo


@dataclass(frozen=True)
class Job:
    """A photo and the video that it becomes, as absolute paths."""

    photo: Path
    output: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: a problem in words, "" if there was none, and the library's warnings."""

    job: Job
    problem: str = ""
    notes: list[str] = field(default_factory=list)


class Worker(Protocol):
    """Animates one photo at a time."""

    def submit(self, job: Job) -> Future[Outcome]:
        """Begin a job. The future raises if the worker died."""

    def cancel(self) -> None:
        """Give up the job in hand at its next step, without a trace on the disk."""

    def stop(self) -> None:
        """End the worker, which has no job."""


def animate_all(
    jobs: Sequence[Job], start_worker: Callable[[], Worker], num_workers: int
) -> Generator[Outcome, None, None]:
    """Animate photos side by side; yields the outcomes as they come. Closing the iterator cancels what is in hand."""
    waiting = deque(jobs)
    idle: list[Worker] = []
    busy: dict[Future[Outcome], tuple[Job, Worker]] = {}
    workers: set[Worker] = set()
    try:
        while waiting or busy:
            while waiting and len(busy) < num_workers:
                worker = idle.pop() if idle else start_worker()
                workers.add(worker)
                job = waiting.popleft()
                busy[worker.submit(job)] = job, worker
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                job, worker = busy.pop(future)
                error = future.exception()
                if error is None:
                    idle.append(worker)
                    yield future.result()
                else:
                    workers.remove(worker)
                    worker.stop()
                    yield Outcome(job, f"its worker ended, perhaps because memory ran out ({type(error).__name__})")
    finally:
        for worker in workers:
            worker.cancel()
        wait(busy)
        for worker in workers:
            worker.stop()


class PhotoAnimator:
    """Does jobs with one model, which is loaded at the first; `is_cancelled` is asked at every step."""

    def __init__(self, options: argparse.Namespace, is_cancelled: Callable[[], bool]) -> None:
        self.options, self.model, self.is_cancelled = options, LoadedModel(options), is_cancelled

    def __call__(self, job: Job) -> Outcome:
        files = {"photo": str(job.photo), "output": str(job.output)}
        with collect_warnings() as notes:
            try:
                animate_photo(argparse.Namespace(**vars(self.options) | files), self.model, self._bar)
            except (ValueError, OSError, MemoryError) as error:
                return Outcome(job, str(error) or type(error).__name__, notes)
            except Exception as error:  # a fault of this software, which should not end the whole run either
                return Outcome(job, f"{type(error).__name__}: {error}", notes)
        return Outcome(job, "", notes)

    @contextmanager
    def _bar(self, description: str, unit: str) -> Iterator[Advance]:
        """No bar, but the chance to cancel."""

        def advance(*_: Any) -> None:
            if self.is_cancelled():
                raise InterruptedError("canceled")

        yield advance


# ---- processes ----


class LocalWorker:
    """A `Worker` in a process of this machine, which computes with so many threads."""

    def __init__(self, options: argparse.Namespace, num_threads: int) -> None:
        context = get_context("spawn")
        self._cancelled = context.Event()
        self._pool = ProcessPoolExecutor(1, context, _start_process, (options, num_threads, self._cancelled))

    def submit(self, job: Job) -> Future[Outcome]:
        # The first job starts the process, which inherits that Ctrl-C is ignored: only the main process handles it.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return self._pool.submit(_animate, job)
        finally:
            signal.signal(signal.SIGINT, handler)

    def cancel(self) -> None:
        self._cancelled.set()

    def stop(self) -> None:
        self._pool.shutdown()


_animator: PhotoAnimator  # of a process that a LocalWorker started


def _start_process(options: argparse.Namespace, num_threads: int, cancelled: Event) -> None:
    global _animator
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, it is not inherited
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(num_threads)
    _animator = PhotoAnimator(options, cancelled.is_set)


def _end_with_parent() -> None:
    """End this process when the main one was killed: it would wait for jobs forever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _animate(job: Job) -> Outcome:
    return _animator(job)


@contextmanager
def local_engine(options: argparse.Namespace) -> Iterator[Callable[[], Worker]]:
    """Processes of this machine, which share its cores."""
    check_device(options.device, "--device")
    yield partial(LocalWorker, options, max(1, torch.get_num_threads() // options.workers))


# ---- Ray ----


class RayAnimator:
    """The actor of a `RayWorker`: `cancel` runs beside `animate`."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._cancelled = threading.Event()
        self._animator = PhotoAnimator(options, self._cancelled.is_set)

    def animate(self, job: Job) -> Outcome:
        return self._animator(job)

    def cancel(self) -> None:
        self._cancelled.set()


class RayWorker:
    """A `Worker` in an actor of Ray, which takes one core and, on cuda, one GPU of the cluster."""

    def __init__(self, ray: Any, options: argparse.Namespace, resources: dict[str, int]) -> None:
        self._ray = ray
        self._actor = ray.remote(RayAnimator).options(**resources, max_concurrency=2).remote(options)

    def submit(self, job: Job) -> Future[Outcome]:
        return self._actor.animate.remote(job).future()

    def cancel(self) -> None:
        self._actor.cancel.remote()

    def stop(self) -> None:
        self._ray.kill(self._actor)


@contextmanager
def ray_engine(options: argparse.Namespace) -> Iterator[Callable[[], Worker]]:
    """Actors on the cluster that RAY_ADDRESS names or that runs here; without one, Ray starts one here.

    The machines of a cluster need this library, and the folders at the same paths.

    Raises:
        ValueError: if Ray is not installed, or if the cluster is too small for the workers.
    """
    try:
        import ray
    except ImportError:
        raise ValueError('--engine ray needs Ray: pip install "generative-image-dynamics[batch]"') from None
    ray.init(logging_level=logging.ERROR, log_to_driver=False)
    try:
        needs = {"num_cpus": 1, "num_gpus": int(options.device.startswith("cuda"))}
        for name, need in zip(("CPU", "GPU"), needs.values(), strict=True):
            there = int(ray.cluster_resources().get(name, 0))
            if need * options.workers > there:
                raise ValueError(f"--workers must be at most {there}, one for each {name} of the Ray cluster; "
                                 f"got {options.workers}.")  # fmt: skip
        yield partial(RayWorker, ray, options, needs)
    finally:
        ray.shutdown()


ENGINES: dict[str, Callable[[argparse.Namespace], AbstractContextManager[Callable[[], Worker]]]] = {
    "local": local_engine,
    "ray": ray_engine,
}
