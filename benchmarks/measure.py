"""Timing of functions in one run, peak memory, and the pages of results."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from gid_core.evaluation.tables import markdown_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CLIPS = ROOT.parent / "shared" / "clips"  # the real clips, if they are on this computer

Key = TypeVar("Key", bound=Hashable)


def interleaved_times(functions: dict[Key, Callable[[], Any]], rounds: int = 15) -> dict[Key, list[float]]:
    """Seconds per call of each function, called in turn so that noise affects all; one warm-up round first."""
    times: dict[Key, list[float]] = {name: [] for name in functions}
    for round_number in range(rounds + 1):
        for name, function in functions.items():
            seconds = call_seconds(function)
            if round_number:
                times[name].append(seconds)
    return times


def call_seconds(function: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call, including the work that it queued on a GPU."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_ms(seconds: Sequence[float]) -> float:
    """Median in milliseconds."""
    return statistics.median(seconds) * 1e3


def median_ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    """Median over rounds of times / reference, in which noise that slows a whole round cancels."""
    return statistics.median(a / b for a, b in zip(times, reference, strict=True))


def peak_memory() -> int:
    """Peak resident bytes of this process. Not ru_maxrss on Linux: a child process inherits its parent's value."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine() -> str:
    """The processor or GPU, and the versions of PyTorch and Python."""
    processor = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    return f"{processor}, PyTorch {torch.__version__}, Python {platform.python_version()}"


def write_results(name: str, title: str, header: Sequence[str], rows: Sequence[Sequence], notes: str = "") -> None:
    """Print a page with the machine, one table and notes, and write it to results/NAME.md."""
    write_page(RESULTS / f"{name}.md", title, [f"{machine()}.", markdown_table(header, rows), notes.strip()])


def write_page(path: Path, title: str, paragraphs: Sequence[str]) -> None:
    """Print a Markdown page and write it to a file; empty paragraphs are left out."""
    text = "\n\n".join([f"# {title}", *filter(None, paragraphs)]) + "\n"
    print(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
