"""Claim: FVD ranks other real clips before the repeated photo, and that before noise, all against the same real clips.

    python -m benchmarks.bench_evaluation [folder of results of `make evaluate`]

Sources are split into two halves, so that no two compared windows show the same scene; every set has as many windows.
It also copies the table of `make evaluate` into results/.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import CLIPS, RESULTS, ROOT, write_page, write_results
from gid_core.evaluation.clip_folder import find_clips
from gid_core.evaluation.frechet import bootstrap, frechet_distance
from gid_core.evaluation.networks.i3d import I3D
from gid_core.evaluation.result_store import REAL, ResultStore
from gid_core.evaluation.tables import metrics_table

WINDOWS = 96  # per set
BATCH = 4  # windows of noise at a time
SHOWN_METRICS = ("FVD", "FVD32", "FD-EffNet", "psnr", "ssim", "lpips", "auc", "log_spectrum", "coherence", "seam_ratio")


def main(arguments: Sequence[str] = ()) -> None:
    """Write results/evaluation_ranking.md and results/evaluation.md."""
    folder = Path(arguments[0]) if arguments else ROOT / "runs" / "evaluation"
    if not (folder / "report.json").is_file() or not CLIPS.is_dir():
        print(f"No results at {folder}: run `make evaluate` first.")
        return
    summary = json.loads((folder / "report.json").read_text())
    rank_sets(folder, summary["clips"])
    methods = summary["methods"]
    shown = {method: {name: row[name] for name in SHOWN_METRICS if name in row} for method, row in methods.items()}
    notes = (
        f"`make evaluate`; value (95 % interval over {summary['groups']} sources). true: the clip's own motion, "
        "extracted and rendered."
    )
    title = f"Baselines on {len(summary['clips'])} clips"
    write_page(RESULTS / "evaluation.md", title, [notes, metrics_table(shown)])


def rank_sets(folder: Path, clip_names: Sequence[str]) -> None:
    """Write results/evaluation_ranking.md."""
    store = ResultStore(folder)
    clips = [clip for clip in find_clips(CLIPS) if clip.name in clip_names]
    groups = sorted({clip.group for clip in clips})
    halves = [[clip for clip in clips if groups.index(clip.group) % 2 == half] for half in (0, 1)]

    def features(method: str, half: int) -> np.ndarray:
        rows = torch.cat([store.load_features(method, clip)["i3d16"] for clip in halves[half]]).numpy()
        return np.random.default_rng(0).permutation(rows)[:WINDOWS]

    rng = torch.Generator().manual_seed(0)
    network = I3D.from_weights()
    noise = np.concatenate(
        [network.features(torch.rand(BATCH, 16, 128, 256, 3, generator=rng)).numpy() for _ in range(WINDOWS // BATCH)]
    )
    sets = {"other real clips": features(REAL, 0), "repeated photos": features("repeat", 0), "noise": noise}
    rows = []
    for name, set_features in sets.items():
        value, low, high = bootstrap(frechet_distance, set_features, features(REAL, 1), num_resamples=200)
        rows.append([name, f"{value:.0f}", f"{low:.0f} … {high:.0f}"])
    write_results(
        "evaluation_ranking",
        "FVD ranks as it should",
        ["set", f"FVD to {WINDOWS} windows of real clips", "95 %"],
        rows,
        "Every set has as many windows, from other sources. With so few windows the values are high; only their order "
        "is meaningful.",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
