"""The command `python -m gid_core evaluate`: its options and its output."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..media.atomic import atomic_write
from ..models.checkpoint import BUNDLED_CHECKPOINT
from ..models.pipeline import GIDPipeline
from ..sources.video import extract_spectral_volume
from .baselines import METHODS, NearestNeighbor
from .clip_folder import Clip, find_clips, load_window
from .markdown_report import markdown_report
from .networks.feature_networks import FeatureNetworks
from .rendering_evaluation import evaluate_rendering
from .report import write_report
from .result_store import ResultStore
from .runner import evaluate
from .scene_evaluation import SceneSettings, evaluate_scenes
from .tables import metrics_table


def evaluate_command(options: argparse.Namespace) -> None:
    """Measure generated motion beside baselines: tables of metrics, and an HTML report."""
    clips = find_clips(options.clips, options.use)[: options.limit]
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    networks = FeatureNetworks(options.weights, options.dtfvd, options.device)
    rendering = options.mode == "rendering"
    steps = len(clips) if rendering else (len(clips) + options.scenes) * (1 + len(options.method))
    with tqdm(total=steps, unit="clip", disable=None) as bar:

        def progress(method: str, item: Clip | str) -> None:
            bar.set_description(f"{method}: {item if isinstance(item, str) else item.name}"[:40])
            bar.update()

        if rendering:
            renderer = GIDPipeline.from_pretrained(options.model, options.device).renderer
            rows = evaluate_rendering(clips, networks, renderer, progress)
            _write_json(out / "rendering.json", rows)
            print(metrics_table(rows))
        else:
            summary, store = _evaluate_generation(options, clips, networks, progress)
            _write_json(out / "report.json", summary)
            text = markdown_report(summary)
            with atomic_write(out / "report.md") as file:
                file.write_text(text, encoding="utf-8")
            print(text)
    for network, reason in networks.missing.items():
        print(f"Without {network}: {reason}")
    if options.mode == "generation":
        for warning in summary["caveats"]:
            print(warning)
        print(write_report(summary, clips, store, out / "report.html"))


def evaluation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`."""
    parser.add_argument(
        "--clips", required=True, help="a folder of videos, 64 frames and 4 seconds or longer, from a static camera"
    )
    parser.add_argument("--use", help="only clips whose column 'use' in the folder's index.csv has this value")
    parser.add_argument("--limit", type=int, help="the largest number of clips")
    parser.add_argument(
        "--mode", choices=("generation", "rendering"), default="generation",
        help="generation: clips from photos; rendering: frames along the clips' own motion",
    )  # fmt: skip
    parser.add_argument(
        "--scenes", type=int, default=8, metavar="N", help="also measure motion on N painted scenes (default 8)"
    )
    parser.add_argument(
        "--scene-seeds", type=int, default=2, metavar="S", help="motions of each painted scene (default 2)"
    )
    parser.add_argument("--method", nargs="+", choices=tuple(METHODS), default=["repeat", "sway", "true"])
    parser.add_argument("--out", required=True, help="a folder for results; an interrupted run resumes from it")
    parser.add_argument("--weights", help="a folder to search for network weights before installed packages")
    parser.add_argument("--dtfvd", help="a folder with I3D networks trained on dynamic textures")
    parser.add_argument("--library", help="folder of clips for the method 'nearest' (default: the same folder)")
    parser.add_argument("--library-use", default="train", help="which of them, by index.csv (default: train)")
    parser.add_argument("--model", help="checkpoint of the method 'model' (default: the bundled one)")
    parser.add_argument("--device", default="cpu")


def _evaluate_generation(
    options: argparse.Namespace,
    clips: list[Clip],
    networks: FeatureNetworks,
    progress: Callable[[str, Clip | str], None],
) -> tuple[dict[str, Any], ResultStore]:
    """Run `runner.evaluate` and `scene_evaluation.evaluate_scenes` with the command's options."""
    library = _load_library(options) if "nearest" in options.method else None
    model = GIDPipeline.from_pretrained(options.model, options.device) if "model" in options.method else None
    versions = {"model": _digest(options.model or BUNDLED_CHECKPOINT)} if model else {}
    out = Path(options.out)
    summary = evaluate(
        clips, options.method, out, networks, library=library, model=model, versions=versions, progress=progress
    )
    if options.scenes:
        settings = SceneSettings(options.scenes, options.scene_seeds, out, versions)
        summary["scenes"] = evaluate_scenes(options.method, settings, library=library, model=model, progress=progress)
    return summary, ResultStore(out, versions)


def _load_library(options: argparse.Namespace) -> NearestNeighbor:
    """Photos and volumes of the training clips."""
    pairs = []
    for clip in tqdm(find_clips(options.library or options.clips, options.library_use), desc="library", disable=None):
        frames, fps = load_window(clip)
        pairs.append((frames[0], extract_spectral_volume(frames, fps, detrend="ramp")))
    return NearestNeighbor(pairs)


def _digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Write strict JSON, which has no NaN: what is undefined is null."""

    def defined(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: defined(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [defined(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    with atomic_write(path) as file:
        file.write_text(json.dumps(defined(content), indent=1, allow_nan=False))
