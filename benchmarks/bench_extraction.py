"""Claims: motion extraction has smaller errors than OpenCV's flows, on stems whose motion is known exactly, and a
long clip in 4K does not need much memory.

    python -m benchmarks extraction

Every method measures the same 150 noisy frames (256 x 160, stems 3, 6 and 12 px wide moving 1.5 px RMS). Its
trajectories are converted to 16 bins in the same way. Error: mean distance between the volume's displacement and the
true one, inside stems of each width. Background motion: mean displacement of the background that no stem ever covers.

Memory: the peak of `gid extract` on clips of 40 s at 60 frames per second, test patterns that rock slowly. FFmpeg's
command makes them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import ROOT, write_results
from gid_core.motion import Motion, playback_coordinates
from gid_core.sources.optical_flow import estimate_trajectories, gray_frames
from gid_core.sources.video import volume_from_trajectories
from gid_core.synthetic.random_scene import stems_scene
from gid_core.synthetic.scene import Scene

STEM_WIDTHS = (3, 6, 12)  # px
NOISE = 0.008  # standard deviation of the frames' noise
CLIP_SIZES = ((720, 1280), (1080, 1920), (2160, 3840))
REPEATS, SEGMENT_SECONDS, CLIP_FPS = 10, 4, 60  # a clip is a short one, repeated
SCENES = (((160, 256), (0, 1)), ((288, 512), (0,)))  # size, seeds

Extraction = Callable[[np.ndarray], tuple[Tensor, Tensor | None]]  # frames -> trajectories, confidence
PairwiseFlow = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two gray images [H, W] -> [H, W, 2]


def from_first_frame(flow: PairwiseFlow) -> Extraction:
    """A method that computes flow from the first frame to each frame."""

    def extract(frames: np.ndarray) -> tuple[Tensor, None]:
        gray = gray_frames(frames)
        flows = [flow(gray[0], image).transpose(2, 0, 1) for image in gray]
        return torch.from_numpy(np.stack(flows)), None

    return extract


def dis(preset: int) -> Extraction:
    """OpenCV's DIS flow with one of its presets."""
    estimator = cv2.DISOpticalFlow_create(preset)
    return from_first_frame(lambda a, b: estimator.calc(a, b, None))


METHODS: dict[str, Extraction] = {
    "ours": estimate_trajectories,
    "DIS ultrafast": dis(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
    "DIS fast": dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "DIS medium": dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "Farneback": from_first_frame(lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 4, 15, 3, 5, 1.2, 0)),
}


def errors(scene: Scene, trajectories: Tensor, confidence: Tensor | None) -> list[float]:
    """Mean error inside stems of each width, then the background motion, px."""
    volume = volume_from_trajectories(trajectories, scene.fps, confidence=confidence)
    times = torch.arange(scene.period, dtype=torch.float64)
    motion = Motion(volume, playback_coordinates(volume, times, start_at_rest=False), scene.fps)
    measured = motion.displacement()[0].numpy()
    error = np.linalg.norm(measured - scene.displacements(range(scene.period)), axis=1).mean(0)
    magnitude = np.linalg.norm(measured, axis=1).mean(0)
    stems = [float(error[scene.interior_mask(width=width)].mean()) for width in STEM_WIDTHS]
    return [*stems, float(magnitude[scene.background_mask(margin=1)].mean())]


def measure(size: tuple[int, int], seeds: Sequence[int]) -> list[list[str]]:
    """The rows of the table for one image size: medians over scenes."""
    results: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for seed in seeds:
        scene = stems_scene(seed=seed, size=size, noise=NOISE)
        frames = scene.frames()
        for name, method in METHODS.items():
            start = time.perf_counter()
            trajectories, confidence = method(frames)
            results[name].append([*errors(scene, trajectories, confidence), time.perf_counter() - start])
    rows = []
    for name, values in results.items():
        *pixels, seconds = np.median(values, axis=0)
        rows.append([f"{size[1]} x {size[0]}", name, *(f"{value:.3f}" for value in pixels), f"{seconds:.1f}"])
    return rows


def write_clip(path: Path, size: tuple[int, int]) -> None:
    """A clip of 40 s that FFmpeg's command writes."""
    pattern = f"testsrc2=s={size[1]}x{size[0]}:r={CLIP_FPS}:d={SEGMENT_SECONDS}"
    segment = path.with_name("segment.mp4")
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", str(CLIP_FPS)]
    rocking = ["-f", "lavfi", "-i", pattern, "-vf", "rotate=0.002*sin(2*PI*t):c=black"]
    repeated = ["-stream_loop", str(REPEATS - 1), "-i", str(segment), "-c", "copy"]
    for arguments in ([*rocking, *encoder, str(segment)], [*repeated, str(path)]):
        subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *arguments], check=True)


def peak_of_extract(clip: Path) -> tuple[int, float]:
    """Peak resident bytes of `gid extract`, and its seconds."""
    probe = (
        "import sys; from benchmarks.measure import peak_memory; from gid_core.cli import main; "
        "assert main(sys.argv[1:]) == 0; print(peak_memory())"
    )
    volume, reference = clip.with_suffix(".safetensors"), clip.with_suffix(".png")
    arguments = ["extract", str(clip), "-o", str(volume), "--reference", str(reference)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    command = [sys.executable, "-c", probe, *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment).stdout
    return int(output.split()[-1]), time.perf_counter() - start


def measure_memory() -> None:
    """Write results/extraction_memory.md."""
    rows = []
    for size in CLIP_SIZES:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            write_clip(clip, size)
            peak, seconds = peak_of_extract(clip)
        length = f"{REPEATS * SEGMENT_SECONDS} s, {CLIP_FPS} Hz"
        rows.append([f"{size[1]} x {size[0]}", length, f"{peak / 1e9:.2f}", f"{seconds:.0f}"])
    write_results(
        "extraction_memory",
        "Memory of extraction from video",
        ["clip", "length", "peak, GB", "whole command, s"],
        rows,
        "`gid extract CLIP -o volume.safetensors --reference photo.png`: five seconds are measured at 512 px. Peak "
        "resident memory of the process, with Python and the libraries (0.25 GB).",
    )


def main() -> None:
    """Measure memory, then the errors: write results/extraction_memory.md and results/extraction.md."""
    measure_memory()
    write_results(
        "extraction",
        "Extraction from video",
        ["image", "method", "3 px stems, px", "6 px", "12 px", "background motion, px", "150 frames, s"],
        [row for size, seeds in SCENES for row in measure(size, seeds)],
        "Errors of the displacement that 16 bins reproduce; 2 scenes (1 for the larger image). All in one run.",
    )


if __name__ == "__main__":
    main()
