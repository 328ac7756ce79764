"""Blender's side: reads "seed folder" lines, builds the scene of each seed and writes its views as folder/name.npz.

    .corpus/bin/python -m scripts.corpus.worker

It answers each line with one line of JSON: {"seconds": ..., "views": {name: fault, or "" if the file is there}}.
A seed alone decides the scene, its motion and its pictures.
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
from .chance import log_uniform
from .families import FAMILIES
from .motion import Wind
from .photo import develop
from .stage import Stage
from .surroundings import relight

PATIENCE = 3600  # s for a scene; then the process ends itself and the other side starts a new one


def make_scene(seed: int, folder: Path, samples: int, threads: int, family: str = "") -> dict[str, str]:
    """All views of one scene as files; {name: fault or ""}."""
    rng = np.random.default_rng(seed)
    family = family or list(FAMILIES)[seed % len(FAMILIES)]
    stage = Stage(rng, samples, threads)
    faults = {}
    for number, view in enumerate(FAMILIES[family](stage)):
        if number:
            relight(stage)
        name = f"{family}_{seed:06d}_{number}"
        camera = stage.look(view)
        volume = stage.volume(stage.see(), camera, Wind.draw(rng))
        volume = quality.scaled(volume, log_uniform(rng, *quality.TARGET))
        faults[name] = quality.motion_fault(volume)
        if faults[name]:
            continue
        photo = develop(stage.photograph(), rng)
        faults[name] = quality.photo_fault(photo)
        if not faults[name]:
            np.savez(folder / f"{name}.npz", photo=photo, volume=volume)
    return faults


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=6, help="light paths a pixel before denoising")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--family", default="", choices=["", *FAMILIES], help="only this kind of scene")
    options = parser.parse_args()
    for line in sys.stdin:
        seed, folder = line.split(maxsplit=1)
        signal.alarm(PATIENCE)
        start = time.monotonic()
        views = make_scene(int(seed), Path(folder.strip()), options.samples, options.threads, options.family)
        print(json.dumps({"seconds": time.monotonic() - start, "views": views}), flush=True)


if __name__ == "__main__":
    main()
