"""Claim: a volume extracted from a real clip reproduces the clip, and its loop has no visible seam.

    python -m benchmarks.bench_clips [folder of clips with index.csv] [--width 256] [--only substring]

Gain, for each clip: mean PSNR over the frames after the first of frame 0 splatted along the extracted 16-bin motion,
minus that of repeating frame 0, in dB. It is measured for detrend "none", with the constant bin as measured and with
F_0 = 0, and for detrend "ramp". Seam ratio: see `motion_metrics.seam_ratio`. Still part: the mean motion, in
pixels of this width, that the volume gives to the part of the image where no frame shows a change (`still_part`).
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import gid_core as gid
from benchmarks.measure import CLIPS, RESULTS, write_page
from gid_core.evaluation.image_metrics import psnr
from gid_core.evaluation.motion_metrics import seam_ratio
from gid_core.evaluation.tables import markdown_table
from gid_core.motion import Motion, playback_coordinates
from gid_core.sources.optical_flow import estimate_trajectories
from gid_core.sources.video import extrapolate_displacement, volume_from_trajectories

WINDOW_SECONDS = 5
COLUMNS = ["clip", "use", "none", "none pinned", "ramp", "seam", "seam none", "end", "still part", "seconds"]
# The still part of a clip is found without flow, on frames blurred by a Gaussian of STILL_BLUR pixels: the standard
# deviation of its colors over time (mean of RGB, 0..1) is at most STILL_NOISE times the clip's noise or STILL_CHANGE,
# and so is everything within STILL_DISTANCE pixels.
STILL_BLUR, STILL_NOISE, STILL_CHANGE, STILL_DISTANCE = 1.0, 2.0, 1.5 / 255, 6

Row = dict[str, Any]  # column -> text or number


def resize_to_width(frames: Tensor, width: int) -> Tensor:
    """Frames [T, H, W, 3] at another width, by area averaging."""
    height = round(frames.shape[1] * width / frames.shape[2])
    resized = [F.interpolate(f.movedim(-1, 0)[None], (height, width), mode="area")[0].movedim(0, -1) for f in frames]
    return torch.stack(resized)


def playback_gain(frames: Tensor, volume: gid.SpectralVolume, start_at_rest: bool) -> float:
    """Gain in dB of playing the volume over repeating frame 0."""
    times = torch.arange(len(frames), dtype=torch.float64) * volume.period / len(frames)
    coordinates = playback_coordinates(volume, times, start_at_rest=start_at_rest)
    rendered = gid.render(frames[0], Motion(volume, coordinates, volume.fps))[1:]
    repeated, real = frames[:1].expand_as(frames[1:]), frames[1:]
    return float(psnr(rendered, real).mean() - psnr(repeated, real).mean())


def still_part(frames: np.ndarray) -> np.ndarray:
    """Where float [T, H, W, 3] frames in 0..1 show no change over time: bool [H, W]."""
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), STILL_BLUR) for frame in frames])
    # A step between frames is the difference of two noises: its mean size is 2 / sqrt(pi) of their standard deviation.
    noise = np.median(np.abs(np.diff(blurred, axis=0)).mean((0, -1))) * np.sqrt(np.pi) / 2
    changed = blurred.std(0).mean(-1) > max(STILL_NOISE * noise, STILL_CHANGE)
    opened = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * STILL_DISTANCE + 1,) * 2)
    return cv2.dilate(opened, reach) == 0


def still_part_motion(frames: Tensor, volume: gid.SpectralVolume) -> float:
    """Mean motion of the volume in the still part of [T, H, W, 3] frames, in pixels; NaN if there is none."""
    times = torch.arange(len(frames), dtype=torch.float64) * volume.period / len(frames)
    motion = Motion(volume, playback_coordinates(volume, times, start_at_rest=False), volume.fps)
    return float(motion.magnitude()[0][torch.from_numpy(still_part(frames.numpy()))].mean())


def measure_clip(path: Path, width: int) -> Row:
    """The numbers of one clip."""
    frames, fps = gid.read_video(path)
    frames = resize_to_width(frames, width)
    count = min(len(frames), round(WINDOW_SECONDS * fps))
    start = time.perf_counter()
    flow, confidence = estimate_trajectories(frames[: count + 1])
    end = flow[count] if len(flow) > count else extrapolate_displacement(flow, frames.numpy())
    measured = volume_from_trajectories(flow[:count], fps, confidence=confidence)
    seconds = time.perf_counter() - start
    detrended = volume_from_trajectories(flow[:count], fps, confidence=confidence, end=end)
    frames = frames[:count]
    return {
        "clip": path.stem,
        "none": playback_gain(frames, measured, start_at_rest=False),
        "none pinned": playback_gain(frames, measured, start_at_rest=True),
        "ramp": playback_gain(frames, detrended, start_at_rest=True),
        "seam": seam_ratio(gid.loop(detrended)),
        "seam none": seam_ratio(gid.loop(measured)),
        "end": float(end.norm(dim=0).mean()),
        "still part": still_part_motion(frames, measured),
        "seconds": seconds,
    }


def format_table(rows: Sequence[Row]) -> str:
    """A Markdown table of rows."""
    return markdown_table(COLUMNS, [[_format(row[column]) for column in COLUMNS] for row in rows])


def medians_by_use(rows: Sequence[Row]) -> list[Row]:
    """A row of medians for each value of "use"."""
    medians = []
    for use in sorted({row["use"] for row in rows}):
        group = [row for row in rows if row["use"] == use]
        numbers = {k: float(np.nanmedian([r[k] for r in group])) for k, v in group[0].items() if isinstance(v, float)}
        medians.append({"clip": f"median of {len(group)}", "use": use, **numbers})
    return medians


def main(arguments: Sequence[str] = ()) -> None:
    """Write results/clips.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=CLIPS)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--only", default="", help="clips whose name contains this")
    parser.add_argument("--output", type=Path, default=RESULTS / "clips.md")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        print(f"No folder of clips at {options.folder}: real clips are not measured.")
        return
    with open(options.folder / "index.csv", newline="") as file:
        entries = [entry for entry in csv.DictReader(file) if options.only in entry["id"]]
    paths = [options.folder / f"{entry['id']}.mp4" for entry in entries]
    rows = []
    # One clip per core: most of the work does not parallelize further.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        results = pool.map(measure_clip, paths, [options.width] * len(paths))
        for entry, result in zip(entries, results, strict=True):
            rows.append({"use": entry["use"], **result})
            print(format_table(rows[-1:]).splitlines()[-1], flush=True)
    visible = [row["clip"] for row in rows if row["seam"] > 1]
    notes = (
        "Gain in mean PSNR over frames, dB, over repeating frame 0 (none, none pinned: F_0 = 0, ramp); seam ratio with "
        "and without subtraction of the ramp (<= 1: the loop is no faster at its seam than elsewhere); end: mean "
        "displacement one frame after the window, px; still part: mean motion where no frame shows a change, px; "
        "seconds of extraction, one clip per core."
    )
    write_page(
        options.output,
        f"Real clips, {options.width} px wide, {WINDOW_SECONDS} s windows, 16 bins",
        [
            notes,
            format_table(medians_by_use(rows)),
            format_table(rows),
            f"Seam ratio above 1: {', '.join(visible) or 'none'}.",
        ],
    )


def _format(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}" if 0 < abs(value) < 0.1 else f"{value:.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
