"""Motion extraction against OpenCV's own flows, on stems whose motion is known exactly.

Every method measures the same 150 noisy frames (256 x 160, stems 3, 6 and 12 px wide moving 1.5 px rms), and its
trajectories become 16 bins in the same way. Error: mean distance between the volume's displacement and the truth,
inside stems of each width. Leak: mean displacement of the background that no stem ever covers. All in one run.
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import torch

from benchmarks.measure import report
from gid_core.motion import Motion, playback_coordinates
from gid_core.sources.optical_flow import gray_pictures, trajectories
from gid_core.sources.video import volume_from_trajectories
from gid_core.synthetic import random_scene as synthetic

WIDTHS = (3, 6, 12)


def pairwise(estimate):
    """A method out of flow between two gray pictures, (H, W, 2)."""

    def run(frames):
        gray = gray_pictures(frames)
        flows = [estimate(gray[0], picture).transpose(2, 0, 1) for picture in gray]
        return torch.from_numpy(np.stack(flows)), None

    return run


def dis_preset(preset):
    estimator = cv2.DISOpticalFlow_create(preset)
    return pairwise(lambda a, b: estimator.calc(a, b, None))


METHODS = {
    "ours": trajectories,
    "DIS ultrafast": dis_preset(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
    "DIS fast": dis_preset(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "DIS medium": dis_preset(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "Farneback": pairwise(lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 4, 15, 3, 5, 1.2, 0)),
}


def errors(scene, path, confidence) -> list[float]:
    """Mean error inside stems of each width, then the background leak, px."""
    volume = volume_from_trajectories(path, scene.fps, confidence=confidence)
    time_points = torch.arange(scene.period, dtype=torch.float64)
    motion = Motion(volume, playback_coordinates(volume, time_points, pin=False), scene.fps)
    measured = motion.displacement()[0].numpy()
    wrong = np.linalg.norm(measured - scene.displacements(range(scene.period)), axis=1).mean(0)
    leak = np.linalg.norm(measured, axis=1).mean(0)
    return [float(wrong[scene.interior(width=w)].mean()) for w in WIDTHS] + [
        float(leak[scene.background(margin=1)].mean())
    ]


def main() -> None:
    rows = []
    for size, seeds in (((160, 256), (0, 1)), ((288, 512), (0,))):
        found = {name: [] for name in METHODS}
        for seed in seeds:
            scene = synthetic.stems_scene(seed=seed, size=size, noise=0.008)
            frames = scene.frames()
            for name, method in METHODS.items():
                began = time.perf_counter()
                path, confidence = method(frames)
                found[name].append([*errors(scene, path, confidence), time.perf_counter() - began])
        for name, values in found.items():
            *pixels, seconds = np.median(values, axis=0)
            rows.append([f"{size[1]} x {size[0]}", name, *(f"{p:.3f}" for p in pixels), f"{seconds:.1f}"])
    report(
        "extraction",
        "Extraction from video",
        ["picture", "method", "3 px stems, px", "6 px", "12 px", "background leak, px", "150 frames, s"],
        rows,
        "Errors of the displacement that 16 bins give back; 2 scenes (1 for the larger picture). All in one run.",
    )


if __name__ == "__main__":
    main()
