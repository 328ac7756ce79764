"""Claim: how long `gid animate` takes from a photo to a video, and its peak memory, by the photo's size.

python -m benchmarks animate

The photo is the sample of dandelions, enlarged. Each command runs in a process of its own; its time includes the start
of Python, loading the model, predicting the motion and encoding the video.
"""

import sys
import tempfile
import time
from pathlib import Path

import psutil

import gid_core as gid
from benchmarks.bench_rendering import fit
from benchmarks.measure import ROOT, write_results

PHOTO = ROOT / "assets" / "dandelions.jpg"
WIDTHS = (768, 1280)
POLL_SECONDS = 0.02


def cost(command: list[str]) -> tuple[float, int]:
    """Seconds of a command, and the largest resident memory of its process in bytes."""
    start, peak = time.perf_counter(), 0
    process = psutil.Popen(command)
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(POLL_SECONDS)
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} failed.")
    return time.perf_counter() - start, peak


def main() -> None:
    """Write results/animate.md."""
    photo = gid.read_image(PHOTO)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for width in WIDTHS:
            height = round(width / photo.shape[1] * photo.shape[0])
            file = Path(folder) / f"{width}.png"
            gid.write_image(file, fit(photo, height, width, 3))
            row = [f"{width} x {height}"]
            for renderer in ("network", "fast-splat"):
                command = [sys.executable, "-m", "gid_core", "animate", str(file), "-o", f"{folder}/loop.mp4"]
                seconds, memory = cost([*command, "--renderer", renderer])
                row += [f"{seconds:.0f}", f"{memory / 2**30:.1f}"]
            rows.append(row)
    write_results(
        "animate",
        "A photo to a loop of five seconds, by size",
        ["photo", "network, s", "network, GiB", "fast splat, s", "fast splat, GiB"],
        rows,
        "`gid animate` of 150 frames in a process of its own, from the start of Python to the closed file, and its "
        "largest resident memory.",
    )


if __name__ == "__main__":
    main()
