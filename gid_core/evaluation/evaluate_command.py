"""python -m gid_core evaluate: the command's own part of the command line."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from tqdm import tqdm

from ..media.atomic import atomic_write
from ..models.checkpoint import SHIPPED
from ..models.pipeline import GIDPipeline
from ..sources.video import extract_spectral_volume
from .baselines import METHODS, NearestNeighbor
from .clip_folder import find_clips, load_window
from .measures import Networks
from .rendering_only import evaluate_rendering
from .report import write_report
from .run import Store, evaluate


def evaluate_command(options) -> None:
    """How good generated clips are, beside baselines: numbers, and a page to look at."""
    clips = find_clips(options.clips, options.use)[: options.limit]
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    networks = Networks(options.weights, options.dtfvd, options.device)
    steps = len(clips) * (1 if options.mode == "rendering" else 1 + len(options.method))
    with tqdm(total=steps, unit="clip", disable=None) as bar:

        def progress(method, clip):
            bar.set_description(f"{method}: {clip.name}"[:40])
            bar.update()

        if options.mode == "rendering":
            renderer = GIDPipeline.from_pretrained(options.model, options.device).renderer
            summary = evaluate_rendering(clips, networks, renderer, progress)
        else:
            library = _library(options) if "nearest" in options.method else None
            model = GIDPipeline.from_pretrained(options.model, options.device) if "model" in options.method else None
            versions = {"model": _digest(options.model or SHIPPED)} if model else {}
            summary = evaluate(
                clips, options.method, out, networks, library=library, model=model, versions=versions, progress=progress
            )
    name = "rendering" if options.mode == "rendering" else "report"
    with atomic_write(out / f"{name}.json") as file:
        file.write_text(json.dumps(summary, indent=1))
    print(markdown(summary if options.mode == "rendering" else summary["methods"]))
    for network, why in networks.missing.items():
        print(f"Without {network}: {why}")
    if options.mode == "generation":
        for caveat in summary["caveats"]:
            print(caveat)
        print(write_report(summary, clips, Store(out, versions), out / "report.html"))


def _library(options) -> NearestNeighbor:
    """Photos and volumes of the clips that may train."""
    pairs = []
    for clip in tqdm(find_clips(options.library or options.clips, options.library_use), desc="library", disable=None):
        frames, fps = load_window(clip)
        pairs.append((frames[0], extract_spectral_volume(frames, fps, detrend="ramp")))
    return NearestNeighbor(pairs)


def _digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def markdown(rows: dict[str, dict]) -> str:
    """Rows of numbers, or of [value, low, high], as a table."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["| method | " + " | ".join(columns) + " |", "|" + " --- |" * (len(columns) + 1)]
    for name, row in rows.items():
        cells = [row.get(column) for column in columns]
        texts = [
            "–" if c is None else f"{c[0]:.3g} ({c[1]:.3g} … {c[2]:.3g})" if isinstance(c, list) else f"{c:.4g}"
            for c in cells
        ]
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def evaluation_options(sub: argparse.ArgumentParser) -> None:
    """Arguments of `evaluate`."""
    sub.add_argument("--clips", required=True, help="a folder of videos, 64 frames or longer, from a still camera")
    sub.add_argument("--use", help="only clips that index.csv beside them marks so")
    sub.add_argument("--limit", type=int, help="only so many clips")
    sub.add_argument("--mode", choices=("generation", "rendering"), default="generation",
                     help="generation: a photo in, a clip out; rendering: the clip's own motion in")  # fmt: skip
    sub.add_argument("--method", nargs="+", choices=tuple(METHODS), default=["repeat", "sway", "true"])
    sub.add_argument("--out", required=True, help="a folder for results; an interrupted run goes on from it")
    sub.add_argument("--weights", help="a folder with networks' weights, looked into before installed packages")
    sub.add_argument("--dtfvd", help="a folder with I3D networks trained on dynamic textures")
    sub.add_argument("--library", help="clips that 'nearest' takes motion from (default: the same folder)")
    sub.add_argument("--library-use", default="train", help="which of them, by index.csv (default: train)")
    sub.add_argument("--model", help="checkpoint of the method 'model' (default: the one that ships)")
    sub.add_argument("--device", default="cpu")
