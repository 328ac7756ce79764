"""Timing beside a rival in one run, and tables."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def in_turn(functions: dict[str, Callable], rounds: int = 15) -> dict[str, list[float]]:
    """Seconds of each function, called in turn so that all meet the same noise; one uncounted round first."""
    times = {name: [] for name in functions}
    for round_number in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_number:
                times[name].append(time.perf_counter() - start)
    return times


def median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e3


def median_ratio(rival: list[float], own: list[float]) -> float:
    """Median over rounds of rival / own: noise that slows a whole round cancels."""
    return statistics.median(a / b for a, b in zip(rival, own, strict=True))


def peak_memory() -> int:
    """Peak resident bytes of this process. Not ru_maxrss on Linux: a child starts with its parent's there."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine() -> str:
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    return f"{where}, PyTorch {torch.__version__}, Python {platform.python_version()}"


def report(name: str, title: str, header: list[str], rows: list[list], notes: str = "") -> None:
    """Print a markdown table and keep it in results/."""
    lines = [f"# {title}", "", f"{machine()}.", ""]
    lines += ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    lines += ["", notes.strip(), ""] if notes else [""]
    text = "\n".join(lines)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
