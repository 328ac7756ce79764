"""The Blender process: reads lines "seed folder", builds each seed's scene and writes its views as folder/name.npz.

    .corpus/bin/python -m scripts.corpus.worker

The response to each line is one line of JSON: {"seconds": ..., "views": {name: defect, or "" if the file exists}}.
The seed alone determines the scene, its motion and its photos.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

import numpy as np

from . import quality
from .blender_scene import BlenderScene
from .families import FAMILIES
from .joint_motion import Wind
from .photo import develop
from .random_choices import log_uniform
from .surroundings import randomize_light

SCENE_TIMEOUT = 3600  # seconds; then the process ends, and `__main__` starts a new one


def make_scene(seed: int, folder: Path, samples: int, threads: int, family: str = "") -> dict[str, str]:
    """Write all views of one scene as files. Returns {name: defect or ""}."""
    rng = np.random.default_rng(seed)
    family = family or list(FAMILIES)[seed % len(FAMILIES)]
    scene = BlenderScene(rng, samples, threads)
    defects = {}
    for number, view in enumerate(FAMILIES[family](scene)):
        if number:
            randomize_light(scene)
        name = f"{family}_{seed:06d}_{number}"
        camera = scene.set_camera(view)
        volume = scene.spectral_volume(scene.render_data_pass(), camera, Wind.random(rng))
        volume = quality.scale_motion(volume, log_uniform(rng, *quality.MOTION_RANGE))
        defects[name] = quality.motion_defect(volume)
        if defects[name]:
            continue
        photo = develop(scene.render_photo(), rng)
        defects[name] = quality.photo_defect(photo)
        if not defects[name]:
            np.savez(folder / f"{name}.npz", photo=photo, volume=volume)
    return defects


def main() -> None:
    """Process lines until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=6, help="light paths per pixel before denoising")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--family", default="", choices=["", *FAMILIES], help="only scenes of this family")
    options = parser.parse_args()
    for line in sys.stdin:
        seed, folder = line.split(maxsplit=1)
        signal.alarm(SCENE_TIMEOUT)
        start = time.monotonic()
        views = make_scene(int(seed), Path(folder.strip()), options.samples, options.threads, options.family)
        print(json.dumps({"seconds": time.monotonic() - start, "views": views}), flush=True)


if __name__ == "__main__":
    main()
