"""The HTML report of an evaluation, in one file: tables, curves, X-t slices and looping previews."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..media.atomic import atomic_write
from .charts import line_chart
from .clip_folder import Clip
from .object_coherence import DISTANCES as OBJECT_DISTANCES
from .result_store import REAL, ResultStore
from .summary import DISTANCES, SLIDING_DISTANCES

# Metrics for which lower or higher is better; for the others neither is, or 1 is best.
LOWER_IS_BETTER = {
    *DISTANCES, "lpips", "log_spectrum", "wasserstein", "reference_error", "leak", "flow_error", "seam_ratio",
    "object_coherence", "unevenness", "amplitude_error", "still_motion", "lattice_share",
}  # fmt: skip
HIGHER_IS_BETTER = {
    "psnr", "ssim", "auc", "outline_auc", "rank_correlation", "coverage", "object_rank_correlation",
}  # fmt: skip
DESCRIPTIONS = {
    "FVD": "Fréchet distance of I3D features of 16-frame windows, real against generated",
    "FVD32": "the same, 32-frame windows",
    "FD-EffNet": "Fréchet distance of EfficientNet-Lite0 features of frames; not FID, which uses another network",
    "lpips": "perceptual distance to the real frame (AlexNet)",
    "log_spectrum": "RMS difference of log amplitude over bins, moving pixels",
    "wasserstein": "1-Wasserstein distance of amplitudes of bins, px",
    "amplitude": "amplitude of what moves, px; median over clips",
    "amplitude_error": "difference of log amplitude from the real clip's; 0.69 is a factor of 2; median over clips",
    "fast_share": "share of motion energy above 1.5 Hz; the real clips' value is best",
    "fast_ratio": "this share divided by the real clip's; 1 is best; median over clips",
    "coherence": "phase coherence of neighboring pixels; the real clips' value is best",
    "lattice_share": "share of the fine variation of motion that repeats every 4 cells of a grid 128 wide, as the "
    "latents of the bundled model do",
    "object_coherence": "difference of the coherence of moving cells 2 to 16 cells apart (of 128) from the true curve",
    "unevenness": "log ratio of the unevenness of moving cells 2 to 16 cells apart to the true curve",
    "auc": "area under the curve: predicted motion as a detector of moving pixels",
    "outline_auc": "the same of the pixels within 4 cells (of 128) of the outlines of what moves",
    "rank_correlation": "Spearman, predicted against true mean motion",
    "seam_ratio": "largest step near the loop's seam over the largest elsewhere",
    "reference_error": "RMS displacement of frame 0, px",
    "coverage": "share of rendered pixels that received a source pixel",
    "leak": "mean displacement of static pixels, px",
    "still_motion": "median displacement of static pixels, px; median over clips",
    "flow_error": "difference of the rendered frames' flow from the motion that was rendered, px",
}
SCENE_DESCRIPTIONS = {
    "affine_residual": "share of the objects' motion that one affine motion per object does not explain; the true "
    "motion's value is best; median",
    "affine_ratio": "this divided by the true motion's; 1 is best; median",
    "object_rank_correlation": "Spearman, predicted against true rms motion along each object, from root to tip",
    "lattice_share": DESCRIPTIONS["lattice_share"],
}
UNEVENNESS_FLOOR = 1e-2  # smaller unevenness is drawn at this value
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #212529; max-width: 1200px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .3em .8em; text-align: right }
ul { font-size: 12px; color: #495057 } td small { white-space: nowrap }
th { border-bottom: 2px solid #adb5bd; vertical-align: bottom } td:first-child, th:first-child { text-align: left }
tr:nth-child(even) { background: #f8f9fa } small { color: #868e96; display: block; font-size: 11px }
.best { font-weight: 700; color: #1864ab } figure { display: inline-block; margin: 0 6px 10px 0; font-size: 12px }
figure img { display: block; image-rendering: auto } .scroll { overflow-x: auto } h3 { margin: 1.2em 0 .3em }
"""


def write_report(
    summary: Mapping[str, Any], clips: Sequence[Clip], store: ResultStore, path: str | Path, max_clips: int = 16
) -> Path:
    """Write the HTML report.

    Args:
        summary: from `runner.evaluate`.
        clips: those in the summary are shown.
        store: holds their images.
        path: the .html file.
        max_clips: of more clips, an evenly spaced selection is shown.
    """
    shown = [clip for clip in clips if clip.name in summary["clips"]]
    shown = shown[:: max(1, math.ceil(len(shown) / max_clips))]
    methods = list(summary["methods"])
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Evaluation</title><style>{STYLE}</style><h1>Evaluation</h1>",
        f"<p>{len(summary['clips'])} clips from {summary['groups']} sources; 95 % intervals draw sources with "
        "replacement. Compare only figures within this page: clips, windows and networks differ elsewhere.</p>",
        f'<div class="scroll">{_table(summary["methods"], {REAL: summary["real"]})}</div>',
        f"<ul>{''.join(f'<li>{html.escape(text)}' for text in _notes(summary))}</ul>",
        "<h2>Over time</h2><p>Distance of the windows at each position in the clips.</p>",
        *(
            line_chart(
                name, {method: curves.get(name) for method, curves in summary["curves"].items()}, f"{name} by window"
            )
            for name in SLIDING_DISTANCES
        ),
        "<h2>Spectra</h2><p>Amplitude of each frequency bin where the real clip moves, median over clips.</p>",
        line_chart("px", summary["spectra"], "bin"),
        *_object_curves(summary["object_curves"]),
        *(_scenes(summary["scenes"]) if "scenes" in summary else ()),
        "<h2>Clips</h2><p>X–t slices (one row over time, downwards) and looping previews.</p>",
    ]
    for clip in shown:
        parts.append(f"<h3>{html.escape(clip.name)}</h3>")
        parts += [_figures(store, method, clip) for method in (REAL, *methods)]
    path = Path(path)
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    return path


def _object_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """The section about whether motion follows objects."""
    label = "distance in cells of a grid 128 wide"
    return [
        "<h2>Objects</h2><p>Pairs of moving cells by their distance, median over clips. Coherence: do they move "
        "alike, up to one phase? Unevenness: the median log ratio of how far they move. Motion that follows objects "
        "has the curves of the real clips.</p>",
        line_chart("coherence", curves["coherence"], label, positions=OBJECT_DISTANCES),
        line_chart("unevenness", curves["unevenness"], label, positions=OBJECT_DISTANCES, log_floor=UNEVENNESS_FLOOR),
    ]


def _scenes(scenes: Mapping[str, Any]) -> list[str]:
    """The section about painted scenes."""
    rows = dict(scenes["methods"])
    true = {REAL: rows.pop(REAL)}
    notes = "".join(f"<li>{name}: {html.escape(text)}." for name, text in SCENE_DESCRIPTIONS.items())
    return [
        f"<h2>Painted scenes</h2><p>{scenes['count']} synthetic scenes whose objects and motion are known, "
        f"{scenes['seeds']} motions each; 95 % intervals draw scenes with replacement.</p>",
        f'<div class="scroll">{_table(rows, true)}</div><ul>{notes}</ul>',
    ]


def _table(methods: Mapping[str, Mapping[str, Any]], real: Mapping[str, Mapping[str, Any]]) -> str:
    """The metrics of every method, of which the best of each metric is highlighted, and of what is real."""
    rows = {**methods, **real}
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    best = {}
    for name in names:
        values = {
            method: row[name][0] for method, row in methods.items() if name in row and not math.isnan(row[name][0])
        }
        if values and name in LOWER_IS_BETTER | HIGHER_IS_BETTER:
            best[name] = (min if name in LOWER_IS_BETTER else max)(values, key=lambda method: values[method])
    head = "".join(
        f'<th title="{html.escape((SCENE_DESCRIPTIONS | DESCRIPTIONS).get(name, name))}">{html.escape(name)}'
        f"<small>{_better_direction(name)}</small></th>"
        for name in names
    )
    body = []
    for method, row in rows.items():
        cells = []
        for name in names:
            if name not in row or math.isnan(row[name][0]):
                cells.append("<td>–</td>")
                continue
            value, low, high = row[name]
            mark = ' class="best"' if best.get(name) == method else ""
            cells.append(f"<td{mark}>{value:.4g}<small>{low:.3g} … {high:.3g}</small></td>")
        body.append(f"<tr><td>{html.escape(method)}</td>{''.join(cells)}</tr>")
    return f"<table><tr><th>method</th>{head}</tr>{''.join(body)}</table>"


def _better_direction(name: str) -> str:
    if name in LOWER_IS_BETTER:
        return "lower is better"
    return "higher is better" if name in HIGHER_IS_BETTER else ""


def _notes(summary: Mapping[str, Any]) -> list[str]:
    """Warnings, missing networks, and the descriptions of the metrics shown."""
    shown = {name for row in summary["methods"].values() for name in row}
    descriptions = [f"{name}: {text}." for name, text in DESCRIPTIONS.items() if name in shown]
    missing = [f"Without {name}: {reason}" for name, reason in summary["missing"].items()]
    return summary["caveats"] + missing + descriptions


def _figures(store: ResultStore, method: str, clip: Clip) -> str:
    """The X-t slice and the preview of a method on a clip."""
    images = []
    for path, kind, width in zip(store.image_paths(method, clip), ("png", "webp"), (200, 160), strict=True):
        if path.is_file():
            data = base64.b64encode(path.read_bytes()).decode()
            images.append(f'<img src="data:image/{kind};base64,{data}" width="{width}" alt="{html.escape(method)}">')
    return f"<figure>{''.join(images)}<figcaption>{html.escape(method)}</figcaption></figure>"
