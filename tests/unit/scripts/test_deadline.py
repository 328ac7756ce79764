"""Deadlines count the time in which a program could have worked, and begin anew with each sign of progress."""

import os
import subprocess
import sys
import time

import pytest

import deadline

BUSY = "while True: pass"


@pytest.fixture
def machine(monkeypatch):
    """machine(wall, waited): let wall time pass, of which a thread waits `waited` seconds for a core."""
    state = {"now": 0.0, "waited": 0.0}
    monkeypatch.setattr(deadline.time, "monotonic", lambda: state["now"])
    monkeypatch.setattr(deadline, "seconds_without_core", lambda pid: {"thread": state["waited"]})

    def go_on(wall, waited=0.0):
        state["now"] += wall
        state["waited"] += waited

    return go_on


def test_without_load_it_is_wall_time(machine):
    limit = deadline.Deadline(10)
    machine(9)
    assert not limit.passed()
    machine(2)
    assert limit.passed()


def test_time_without_a_core_does_not_count(machine):
    limit = deadline.Deadline(10)
    for _ in range(12):
        machine(1, waited=0.75)
        assert not limit.passed()
    for _ in range(30):
        machine(1, waited=0.75)
    assert limit.passed()


def test_it_passes_under_any_load(machine):
    limit = deadline.Deadline(10)
    passed = []
    for _ in range(300):
        machine(1, waited=3)
        passed.append(limit.passed())
    assert any(passed)


def test_progress_begins_anew(machine):
    limit = deadline.Deadline(10)
    for sign in range(5):
        machine(9)
        assert not limit.passed(sign)
    machine(9)
    assert not limit.passed(4)
    machine(2)
    assert limit.passed(4)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts the time without a core")
def test_the_clock_sees_that_a_descendant_waits_for_a_core():
    """Four programs on one core: at any time three of them wait."""
    core = min(os.sched_getaffinity(0))
    command = f"import os; os.sched_setaffinity(0, [{core}])\n{BUSY}"
    programs = [subprocess.Popen([sys.executable, "-c", command]) for _ in range(4)]
    try:
        time.sleep(0.5)
        clock, started = deadline.Clock(), time.monotonic()
        time.sleep(1)
        assert clock.seconds() < 0.6 * (time.monotonic() - started)
    finally:
        for program in programs:
            program.kill()
            program.wait()
