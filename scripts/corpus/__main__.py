"""Make a synthetic training corpus: photorealistic renders with exact motion.

    python -m scripts.corpus --out runs/samples/corpus --count 500

It can be stopped at any time (Ctrl-C, or a file named `stop` in the folder); the next run resumes. Samples are
`name.png` and `name.safetensors` as `gid_core.training.motion_samples` defines them; `seeds.txt` lists finished seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import torch

from gid_core.spectral_volume import SpectralVolume
from gid_core.training.motion_samples import write_motion_sample

from .joint_motion import FPS, PERIOD

logger = logging.getLogger("corpus")
ROOT = Path(__file__).resolve().parents[2]
MAX_CRASHES = 3  # of a Blender process, in a row


def to_sample(photo: np.ndarray, volume: np.ndarray) -> tuple[torch.Tensor, SpectralVolume]:
    """Photo and volume of a motion sample, from uint8 [H, W, 3] and complex [h, w, 2, K] in pixels x T."""
    parts = np.stack([volume.real, volume.imag], axis=3)  # [h, w, x/y, re/im, K]
    height, width, bins = *volume.shape[:2], volume.shape[-1]
    channels = parts.reshape(height, width, 4, bins).transpose(3, 2, 0, 1)
    coefficients = torch.from_numpy(np.ascontiguousarray(channels, np.float32))[None]
    metadata = {"source": "scripts/corpus: rendered, exact to first order"}
    # Periodic motion has no ramp, so it counts as detrended without any change.
    return torch.from_numpy(photo).float() / 255, SpectralVolume(coefficients, FPS, PERIOD, "ramp", metadata)


class Corpus:
    """The folder of samples and the list of finished seeds. Its methods are thread-safe."""

    def __init__(self, folder: Path, count: int, seed: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, count
        self.seeds_path = folder / "seeds.txt"
        self._finished = {int(s) for s in self.seeds_path.read_text().split()} if self.seeds_path.is_file() else set()
        self._seeds = itertools.count(seed)
        self._lock = threading.Lock()
        self.ended = threading.Event()

    def __len__(self) -> int:
        return len(list(self.folder.glob("*.safetensors")))

    def next_seed(self) -> int | None:
        """A seed that is not finished, or None if there are enough samples."""
        if self.ended.is_set() or (self.folder / "stop").exists() or len(self) >= self.count:
            return None
        with self._lock:
            return next(seed for seed in self._seeds if seed not in self._finished)

    def add_scene(self, seed: int, raw: Path, response: dict) -> None:
        """Convert the files of one scene to samples, then mark the seed as finished."""
        for name, defect in response["views"].items():
            if defect:
                logger.info("Skipped %s: %s", name, defect)
                continue
            with np.load(raw / f"{name}.npz") as file:
                photo, volume = to_sample(file["photo"], file["volume"])
            write_motion_sample(self.folder, name, photo, volume, group=name.rsplit("_", 1)[0])
            (raw / f"{name}.npz").unlink()
        with self._lock:
            self._finished.add(seed)
            with self.seeds_path.open("a") as file:
                file.write(f"{seed}\n")
        count = sum(not defect for defect in response["views"].values())
        logger.info("seed %d: %d samples in %.0f s, %d in total", seed, count, response["seconds"], len(self))


def run_worker(corpus: Corpus, command: list[str]) -> None:
    """Send seeds to one Blender process. If it crashes, skip the scene and restart it; give up after three in a row."""
    process, crashes = None, 0
    with tempfile.TemporaryDirectory() as raw:
        while crashes < MAX_CRASHES and (seed := corpus.next_seed()) is not None:
            if process is None:
                # In its own session the process does not receive Ctrl-C, so it finishes its scene.
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
                process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(f"{seed} {raw}\n")
            response = process.stdout.readline()
            if response:
                corpus.add_scene(seed, Path(raw), json.loads(response))
                crashes = 0
            else:
                logger.warning("seed %d: Blender's process ended with %d", seed, process.wait())
                process, crashes = None, crashes + 1
        if process is not None:
            process.stdin.close()
            process.wait()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m scripts.corpus", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/samples/corpus"), help="folder of samples")
    parser.add_argument("--count", type=int, default=500, help="number of samples in the folder at the end")
    parser.add_argument("--seed", type=int, default=0, help="first seed; each is one scene with two views")
    parser.add_argument("--workers", type=int, default=1, help="Blender processes, one thread each")
    parser.add_argument("--family", default="", help="only scenes of this family")
    parser.add_argument("--blender-python", default=".corpus/bin/python", help="a Python that has bpy 4.2")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    python = ROOT / options.blender_python
    if not python.is_file():
        parser.error(f"there is no {python}: `make corpus` installs Blender's Python module")
    command = [str(python), "-m", "scripts.corpus.worker", "--family", options.family]
    corpus = Corpus(options.out.resolve(), options.count, options.seed)
    threads = [threading.Thread(target=run_worker, args=(corpus, command)) for _ in range(options.workers)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        logger.info("Stopping after the current scenes.")
        corpus.ended.set()


if __name__ == "__main__":
    main()
