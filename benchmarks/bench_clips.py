"""How well a volume extracted from a real clip gives the clip back, and how smoothly it loops.

    python -m benchmarks.clips [folder of clips with index.csv] [--width 256] [--only substring]

For each clip: mean PSNR over the frames after the first of frame 0 splatted along the extracted 16-bin motion, minus
that of repeating frame 0 (gain, dB); once as measured (detrend "none"), with the constant bin as measured and pinned to
F_0 = 0, and once with the ramp taken off. Seam ratio of the "ramp" loop: displacement steps between frames, 99th
percentile over moving pixels; the largest within 5 frames of the seam over the largest elsewhere.
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

import numpy as np
import torch
import torch.nn.functional as F

import gid_core as gid
from gid_core.evaluation.image_metrics import psnr
from gid_core.evaluation.motion_metrics import seam_ratio
from gid_core.motion import Motion, playback_coordinates
from gid_core.sources.optical_flow import trajectories
from gid_core.sources.video import continuation, volume_from_trajectories

ROOT = Path(__file__).resolve().parents[1]


def resized(frames: torch.Tensor, width: int) -> torch.Tensor:
    height = round(frames.shape[1] * width / frames.shape[2])
    small = [F.interpolate(f.movedim(-1, 0)[None], (height, width), mode="area")[0].movedim(0, -1) for f in frames]
    return torch.stack(small)


def playback_gain(frames: torch.Tensor, volume: gid.SpectralVolume, pin: bool) -> float:
    """Gain in dB of playing the volume over repeating frame 0."""
    time_points = torch.arange(len(frames), dtype=torch.float64) * volume.period / len(frames)
    motion = Motion(volume, playback_coordinates(volume, time_points, pin), volume.fps)
    still, real = frames[:1].expand_as(frames[1:]), frames[1:]
    return float(psnr(gid.render(frames[0], motion)[1:], real).mean() - psnr(still, real).mean())


def measure(path: Path, width: int) -> dict:
    frames, fps = gid.read_video(path)
    frames = resized(frames, width)
    count = min(len(frames), round(5 * fps))
    began = time.perf_counter()
    flow, confidence = trajectories(frames[: count + 1])
    end = flow[count] if len(flow) > count else continuation(flow, frames.numpy())
    plain = volume_from_trajectories(flow[:count], fps, confidence=confidence)
    seconds = time.perf_counter() - began
    ramp = volume_from_trajectories(flow[:count], fps, confidence=confidence, end=end)
    frames = frames[:count]
    return {
        "clip": path.stem,
        "none": playback_gain(frames, plain, pin=False),
        "none pinned": playback_gain(frames, plain, pin=True),
        "ramp": playback_gain(frames, ramp, pin=True),
        "seam": seam_ratio(gid.loop(ramp)),
        "seam none": seam_ratio(gid.loop(plain)),
        "end": float(end.norm(dim=0).mean()),
        "seconds": seconds,
    }


def table(rows: list[dict]) -> str:
    head = ["clip", "use", "none", "none pinned", "ramp", "seam", "seam none", "end", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [row[key] if isinstance(row[key], str) else f"{row[key]:.2f}" for key in head]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def medians(rows: list[dict]) -> list[dict]:
    out = []
    for use in sorted({row["use"] for row in rows}):
        group = [row for row in rows if row["use"] == use]
        numbers = {k: float(np.nanmedian([r[k] for r in group])) for k, v in group[0].items() if isinstance(v, float)}
        out.append({"clip": f"median of {len(group)}", "use": use, **numbers})
    return out


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared" / "clips")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--only", default="", help="clips whose name contains this")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "clips.md")
    arguments = parser.parse_args(arguments)
    if not arguments.folder.is_dir():
        print(f"No folder of clips at {arguments.folder}: real clips are not measured.")
        return
    with open(arguments.folder / "index.csv", newline="") as file:
        entries = [entry for entry in csv.DictReader(file) if arguments.only in entry["id"]]
    paths = [arguments.folder / f"{entry['id']}.mp4" for entry in entries]
    rows = []
    # Clips side by side, each on one core: most of the work does not split further.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        results = pool.map(measure, paths, [arguments.width] * len(paths))
        for entry, result in zip(entries, results, strict=True):
            rows.append({"use": entry["use"], **result})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    rough = [row["clip"] for row in rows if row["seam"] > 1]
    text = (
        f"# Real clips, {arguments.width} px wide, 5 s windows, 16 bins\n\n"
        "Gain in mean PSNR over frames, dB, over repeating frame 0 (none, none pinned, ramp); "
        "seam ratio with and without the ramp taken "
        "off (<= 1: the loop's seam is no faster than the rest); end: mean displacement one frame after the window, "
        "px; seconds of extraction, clips side by side.\n\n"
        f"{table(medians(rows))}\n\n{table(rows)}\n\nSeam ratio above 1: {', '.join(rough) or 'none'}.\n"
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text)
    print(table(medians(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])
