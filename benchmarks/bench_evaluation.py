"""Does FVD rank as it should? Other real clips, the still photo, noise: each against the same real clips.

    python -m benchmarks.evaluation [folder of results of `make evaluate`]

Sources are split in two halves, so that no two windows that are compared show the same scene; every set has as many
windows. Also copies the table of `make evaluate` into results/.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import RESULTS, report
from gid_core.evaluation.clip_folder import find_clips
from gid_core.evaluation.evaluate_command import markdown
from gid_core.evaluation.frechet import bootstrap, frechet_distance
from gid_core.evaluation.networks.i3d import I3D
from gid_core.evaluation.run import REAL, Store

ROOT = Path(__file__).resolve().parents[1]
WINDOWS = 96
SHOWN = ("FVD", "FVD32", "FD-EffNet", "psnr", "ssim", "lpips", "auc", "log_spectrum", "coherence", "seam_ratio")


def main(arguments: Sequence[str] = ()) -> None:
    folder = Path(arguments[0]) if arguments else ROOT / "runs" / "evaluation"
    clips_folder = ROOT.parent / "shared" / "clips"
    if not (folder / "report.json").is_file() or not clips_folder.is_dir():
        print(f"No results at {folder}: run `make evaluate` first.")
        return
    summary = json.loads((folder / "report.json").read_text())
    store = Store(folder)
    clips = [clip for clip in find_clips(clips_folder) if clip.name in summary["clips"]]
    groups = sorted({clip.group for clip in clips})
    halves = [[clip for clip in clips if groups.index(clip.group) % 2 == side] for side in (0, 1)]

    def features(method: str, side: int) -> np.ndarray:
        rows = torch.cat([store.features(method, clip)["i3d16"] for clip in halves[side]]).numpy()
        return np.random.default_rng(0).permutation(rows)[:WINDOWS]

    random = torch.Generator().manual_seed(0)
    network = I3D.from_weights()
    noise = np.concatenate(
        [network.features(torch.rand(4, 16, 128, 256, 3, generator=random)).numpy() for _ in range(WINDOWS // 4)]
    )
    sets = {"other real clips": features(REAL, 0), "repeated photos": features("repeat", 0), "noise": noise}
    rows = []
    for name, own in sets.items():
        value, low, high = bootstrap(frechet_distance, own, features(REAL, 1), samples=200)
        rows.append([name, f"{value:.0f}", f"{low:.0f} … {high:.0f}"])
    report(
        "evaluation_ranking",
        "FVD ranks as it should",
        ["set", f"FVD to {WINDOWS} windows of real clips", "95 %"],
        rows,
        "Every set has as many windows, from other sources. With so few windows the level is high; the order counts.",
    )
    table = {method: {name: row[name] for name in SHOWN if name in row} for method, row in summary["methods"].items()}
    text = (
        f"# Baselines on {len(summary['clips'])} clips\n\n`make evaluate`; value (95 % interval over "
        f"{summary['groups']} sources). true: the clip's own motion, extracted and rendered.\n\n{markdown(table)}\n"
    )
    (RESULTS / "evaluation.md").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
