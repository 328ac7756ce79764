"""Claim: how many times faster this version is than another one, such as version 0.1, with each version's defaults.

    GID_REFERENCE=FOLDER python -m benchmarks versions

FOLDER contains the other version's `gid_core` (`git archive COMMIT gid_core | tar x -C FOLDER`). Both versions run in
turn, each round in a process of its own, on two pictures: the sample photo, of which little moves, and noise, all of
which moves.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT, write_results

ROUNDS = 3
PROBE = """
import json, sys, time
import torch
import gid_core as gid
import torch.nn.functional as F

seconds = {}

def measure(name, function, *, warm=True):
    if warm:
        function()
    start = time.perf_counter()
    result = function()
    seconds[name] = time.perf_counter() - start
    return result

rng = torch.Generator().manual_seed(0)
pipe = measure("loading the model", gid.GIDPipeline.from_pretrained, warm=False)
photo = gid.read_image(sys.argv[1])[..., :3].permute(2, 0, 1)[None]
coarse = torch.randn(16, 4, 6, 10, generator=rng) * (200 / torch.arange(1, 17)).view(-1, 1, 1, 1)
for height in (288, 720):
    size = (height, height * 16 // 9)
    sample = F.interpolate(photo, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).clamp(0, 1).contiguous()
    if height == 288:
        volume = measure("volume of a photo", lambda: pipe(sample, seed=1))
    noise = torch.rand(*size, 3, generator=rng)
    everything = gid.SpectralVolume(F.interpolate(coarse, (288, 512), mode="bicubic")[None])
    for content, image, motion in (("photo", sample, gid.loop(volume)), ("noise", noise, gid.loop(everything))):
        for way, renderer in (("fast splat", None), ("network", pipe.renderer)):
            count = 24 if way == "fast splat" or height == 288 else 4
            render = lambda: gid.render(image, motion, start=20, count=count, renderer=renderer)
            label = f"{size[1]} x {size[0]}, {content}, {way}: a frame"
            measure(label, render)
            seconds[label] /= count
    if height == 288:
        frames = gid.render(sample, gid.loop(volume.amplify(2)))
        measure("extraction of 150 frames, 512 x 288", lambda: gid.extract_spectral_volume(frames, 30.0), warm=False)
print(json.dumps(seconds))
"""


def probe(folder: Path) -> dict[str, float]:
    """Seconds of each part, by the version of `gid_core` in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", PROBE, str(ROOT / "assets" / "dandelions.jpg")]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=folder)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    """Write results/versions.md."""
    other = Path(os.environ["GID_REFERENCE"])
    rounds = [(probe(other), probe(ROOT)) for _ in range(ROUNDS)]
    rows = []
    for name in rounds[0][0]:
        before, after = (statistics.median(round_[side][name] for round_ in rounds) for side in (0, 1))
        ratio = statistics.median(old[name] / new[name] for old, new in rounds)
        rows.append([name, f"{before:.3f}", f"{after:.3f}", f"{ratio:.1f}"])
    write_results(
        "versions",
        "This version beside another",
        ["part", "before, s", "now, s", "times as fast"],
        rows,
        f"Medians of {ROUNDS} alternating rounds. A frame: of 24 (of the network at 1280 x 720: of 4), with the "
        "preparation of the photo.",
    )


if __name__ == "__main__":
    main()
