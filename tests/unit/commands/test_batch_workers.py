"""Workers of a batch: side by side, replaced when they die, canceled, and what they say of a photo."""

import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from concurrent.futures import Future

import psutil
import pytest

from deadline import Deadline
from gid_core.commands import batch_workers
from gid_core.commands.batch_workers import Job, LocalWorker, Outcome, PhotoAnimator, animate_all
from gid_core.notices import warn


class FakeWorker:
    """Finishes every job at once, except "dies" and "hangs", which is finished by `cancel`."""

    def __init__(self, log):
        self.log, self.current = log, None
        log.append("start")

    def submit(self, job):
        future = Future()
        self.current = job, future
        if job.photo == "dies":
            future.set_exception(RuntimeError("the process ended"))
        elif job.photo != "hangs":
            future.set_result(Outcome(job))
        return future

    def cancel(self):
        self.log.append("cancel")
        job, future = self.current
        if not future.done():
            future.set_result(Outcome(job, "canceled"))

    def stop(self):
        self.log.append("stop")


def test_a_worker_that_dies_costs_one_photo_and_is_replaced():
    log = []
    jobs = [Job(photo, f"{photo}.mp4") for photo in ("a", "dies", "b", "c")]
    outcomes = {outcome.job.photo: outcome.problem for outcome in animate_all(jobs, lambda: FakeWorker(log), 1)}
    assert list(outcomes) == ["a", "dies", "b", "c"]
    assert "its worker ended" in outcomes.pop("dies") and not any(outcomes.values())
    assert log == ["start", "stop", "start", "cancel", "stop"]


def test_no_more_workers_are_started_than_there_are_photos():
    log = []
    jobs = [Job(photo, f"{photo}.mp4") for photo in "ab"]
    assert len(list(animate_all(jobs, lambda: FakeWorker(log), 8))) == 2
    assert log.count("start") == 2
    assert list(animate_all([], lambda: FakeWorker(log), 8)) == []


def test_closing_cancels_what_is_in_hand_and_begins_nothing_more():
    log = []
    outcomes = animate_all([Job(photo, "") for photo in ("hangs", "a", "b")], lambda: FakeWorker(log), 2)
    assert next(outcomes).job.photo == "a"
    outcomes.close()
    assert sorted(log) == ["cancel", "cancel", "start", "start", "stop", "stop"]


def test_the_death_of_a_process_is_told(tmp_path):
    worker = LocalWorker(Namespace(), 1)
    future = worker.submit(Job(tmp_path / "a.png", tmp_path / "a.mp4"))
    (process,) = worker._pool._processes.values()
    os.kill(process.pid, signal.SIGTERM)
    assert future.exception() is not None
    worker.stop()


WAITING = """
import time
from argparse import Namespace
from gid_core.commands.batch_workers import Job, LocalWorker
if __name__ == "__main__":
    worker = LocalWorker(Namespace(photo="", model=None, device="cpu"), 1)
    worker.submit(Job("nothing.png", "nothing.mp4")).result()
    print(*worker._pool._processes, flush=True)
    time.sleep(1000)
"""


def test_workers_end_when_the_main_process_is_killed(repo, tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING)
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    main = subprocess.Popen([sys.executable, tmp_path / "waiting.py"], env=environment, stdout=subprocess.PIPE)
    worker = int(main.stdout.readline())
    assert psutil.pid_exists(worker)
    main.kill()
    main.communicate()
    deadline = Deadline(30)
    while psutil.pid_exists(worker):
        assert not deadline.passed()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (None, ""),
        (ValueError("in words"), "in words"),
        (MemoryError(), "MemoryError"),
        (KeyError("a fault"), "KeyError: 'a fault'"),
    ],
)
def test_an_outcome_has_the_problem_and_the_warnings(monkeypatch, tmp_path, error, problem):
    def animate_photo(options, model, bar):
        assert options.photo == str(tmp_path / "a.png") and options.output == "a.mp4" and options.crf == 18
        warn("a note")
        if error:
            raise error

    monkeypatch.setattr(batch_workers, "animate_photo", animate_photo)
    job = Job(tmp_path / "a.png", "a.mp4")
    assert PhotoAnimator(Namespace(crf=18), lambda: False)(job) == Outcome(job, problem, ["a note"])


def test_a_job_is_canceled_at_its_next_step(monkeypatch):
    steps = []

    def animate_photo(options, model, bar):
        with bar("frames", "frame") as advance:
            for step in range(9):
                steps.append(step)
                advance(step, 9)

    monkeypatch.setattr(batch_workers, "animate_photo", animate_photo)
    assert PhotoAnimator(Namespace(), lambda: len(steps) == 3)(Job("a.png", "a.mp4")).problem == "canceled"
    assert steps == [0, 1, 2]
