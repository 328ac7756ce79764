"""How well a volume extracted from a real clip gives the clip back, and how smoothly it loops.

    python -m benchmarks.clips [folder of clips with index.csv] [--width 256] [--only substring]

For each clip: PSNR of frame 0 splatted along the extracted 16-bin motion, over the clip's frames, minus PSNR of
repeating frame 0 (gain, dB); once as measured (detrend "none"), with the constant bin as measured and pinned to
F_0 = 0, and once with the ramp taken off. Seam ratio of the "ramp" loop: displacement steps between frames, 99th
percentile over moving pixels; the largest within 5 frames of the seam over the largest elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import gid_core as gid
from gid_core.extract import continuation, volume_from_trajectories
from gid_core.flow import trajectories
from gid_core.motion import Motion, playback_coordinates

ROOT = Path(__file__).resolve().parents[1]
SEAM_FRAMES = 5
MOVING_PIXELS = 0.25  # mean displacement in px beyond which a pixel counts as moving


def resized(frames: torch.Tensor, width: int) -> torch.Tensor:
    height = round(frames.shape[1] * width / frames.shape[2])
    small = [F.interpolate(f.movedim(-1, 0)[None], (height, width), mode="area")[0].movedim(0, -1) for f in frames]
    return torch.stack(small)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean() + 1e-12))


def playback_gain(frames: torch.Tensor, volume: gid.SpectralVolume, pin: bool) -> float:
    """Gain in dB of playing the volume over repeating frame 0."""
    time_points = torch.arange(len(frames), dtype=torch.float64) * volume.period / len(frames)
    motion = Motion(volume, playback_coordinates(volume, time_points, pin), volume.fps)
    still = frames[:1].expand_as(frames)
    return psnr(gid.render(frames[0], motion), frames) - psnr(still, frames)


def seam_ratio(volume: gid.SpectralVolume) -> float:
    """Largest displacement step near the seam of the loop over the largest elsewhere."""
    path = gid.loop(volume).displacement()[0]
    moving = path.norm(dim=1).mean(0) > MOVING_PIXELS
    if not moving.any():
        return float("nan")
    steps = (path.roll(-1, 0) - path).norm(dim=1)[:, moving]
    largest = np.array([float(torch.quantile(step, 0.99)) for step in steps])
    near = np.r_[0:SEAM_FRAMES, len(largest) - SEAM_FRAMES : len(largest)]
    return largest[near].max() / np.delete(largest, near).max()


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
        "seam": seam_ratio(ramp),
        "seam none": seam_ratio(plain),
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
    rows = []
    for entry in csv.DictReader(open(arguments.folder / "index.csv")):
        if arguments.only in entry["id"]:
            rows.append({"use": entry["use"], **measure(arguments.folder / f"{entry['id']}.mp4", arguments.width)})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    rough = [row["clip"] for row in rows if row["seam"] > 1]
    text = (
        f"# Real clips, {arguments.width} px wide, 5 s windows, 16 bins\n\n"
        "Gain in dB over repeating frame 0 (none, none pinned, ramp); seam ratio with and without the ramp taken "
        "off (<= 1: the loop's seam is no faster than the rest); end: mean displacement one frame after the window, "
        "px; seconds of extraction.\n\n"
        f"{table(medians(rows))}\n\n{table(rows)}\n\nSeam ratio above 1: {', '.join(rough) or 'none'}.\n"
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text)
    print(table(medians(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])
