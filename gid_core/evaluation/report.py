"""One self-contained HTML page out of an evaluation: table, curves, X-t slices, looping previews."""

from __future__ import annotations

import base64
import html
import math
from pathlib import Path

from ..media.atomic import atomic_write
from .clip_folder import Clip
from .run import DISTANCES, REAL, SLIDING, Store, picture_paths

# Which way is better; what is not listed has no better way, or 1 is best.
LOWER = {*DISTANCES, "lpips", "log_spectrum", "wasserstein", "reference_error", "leak", "flow_error", "seam_ratio"}
HIGHER = {"psnr", "ssim", "auc", "rank_correlation", "coverage"}
MEANINGS = {
    "FVD": "Frechet distance of I3D features of 16-frame windows, real against generated",
    "FVD32": "the same, 32-frame windows",
    "FD-EffNet": "Frechet distance of EfficientNet-Lite0 features of frames; not FID, whose network no package carries",
    "lpips": "perceptual distance to the real frame (AlexNet)",
    "log_spectrum": "rms difference of log amplitude over bins, moving pixels",
    "wasserstein": "1-Wasserstein distance of amplitudes of bins, px",
    "coherence": "phase coherence of neighboring pixels",
    "auc": "area under the curve: predicted motion against what really moves",
    "rank_correlation": "Spearman, predicted against true mean motion",
    "seam_ratio": "largest step near the loop's seam over the largest elsewhere",
    "reference_error": "displacement of frame 0, px rms",
    "coverage": "share of pixels on which something landed",
    "leak": "mean displacement of what does not move, px",
    "flow_error": "flow of the rendered frames against the commanded one, px",
}
COLORS = ("#1a73d9", "#d9480f", "#2b8a3e", "#862e9c", "#c92a2a", "#5c5f66")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #212529; max-width: 1200px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .3em .8em; text-align: right }
ul { font-size: 12px; color: #495057 } td small { white-space: nowrap }
th { border-bottom: 2px solid #adb5bd; vertical-align: bottom } td:first-child, th:first-child { text-align: left }
tr:nth-child(even) { background: #f8f9fa } small { color: #868e96; display: block; font-size: 11px }
.best { font-weight: 700; color: #1864ab } figure { display: inline-block; margin: 0 6px 10px 0; font-size: 12px }
figure img { display: block; image-rendering: auto } .scroll { overflow-x: auto } h3 { margin: 1.2em 0 .3em }
"""


def write_report(summary: dict, clips: list[Clip], store: Store, path: str | Path, max_clips: int = 16) -> Path:
    """Write the page.

    Args:
        summary: from `run.evaluate`.
        clips: of which pictures are shown, spread over the list if there are more than `max_clips`.
        store: where the pictures lie.
        path: the .html file.
    """
    shown = [clip for clip in clips if clip.name in summary["clips"]]
    shown = shown[:: max(1, math.ceil(len(shown) / max_clips))]
    methods = list(summary["methods"])
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Evaluation</title><style>{STYLE}</style><h1>Evaluation</h1>",
        f"<p>{len(summary['clips'])} clips from {summary['groups']} sources; 95 % intervals draw sources with "
        "replacement. Only figures within this page compare: clips, windows and networks differ elsewhere.</p>",
        f'<div class="scroll">{_table(summary)}</div>',
        f"<ul>{''.join(f'<li>{html.escape(text)}' for text in _notes(summary))}</ul>",
        "<h2>Over time</h2><p>Distance of the windows at each place in the clips.</p>",
        *(
            _curve(
                name, {method: curves.get(name) for method, curves in summary["curves"].items()}, f"{name} by window"
            )
            for name in SLIDING
        ),
        "<h2>Spectra</h2><p>Amplitude of each frequency bin where the real clip moves, median over clips.</p>",
        _curve("px", summary["spectra"], "bin"),
        "<h2>Clips</h2><p>X–t slices (one row over time, downwards) and looping previews.</p>",
    ]
    for clip in shown:
        parts.append(f"<h3>{html.escape(clip.name)}</h3>")
        parts += [_figures(store, method, clip) for method in (REAL, *methods)]
    path = Path(path)
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    return path


def _table(summary: dict) -> str:
    rows = summary["methods"]
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    best = {}
    for name in names:
        values = {method: row[name][0] for method, row in rows.items() if name in row and not math.isnan(row[name][0])}
        if values and name in LOWER | HIGHER:
            best[name] = (min if name in LOWER else max)(values, key=values.get)
    head = "".join(
        f'<th title="{html.escape(MEANINGS.get(name, name))}">{html.escape(name)}'
        f"<small>{'lower is better' if name in LOWER else 'higher is better' if name in HIGHER else ''}</small></th>"
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


def _notes(summary: dict) -> list[str]:
    shown = {name for row in summary["methods"].values() for name in row}
    meanings = [f"{name}: {text}." for name, text in MEANINGS.items() if name in shown]
    return summary["caveats"] + [f"Without {name}: {why}" for name, why in summary["missing"].items()] + meanings


def _curve(name: str, curves: dict, below: str, width: int = 560, height: int = 240) -> str:
    """A small line chart of each method's values, as SVG."""
    series = {method: values for method, values in curves.items() if values}
    if not series:
        return ""
    top = max(max(values) for values in series.values()) * 1.05 or 1.0
    lines = [f'<svg width="{width + 160}" height="{height + 40}" font-size="12" role="img" aria-label="{name}">']
    for step in range(5):
        y = height - step / 4 * (height - 20)
        lines.append(f'<line x1="50" x2="{width}" y1="{y}" y2="{y}" stroke="#dee2e6"/>')
        lines.append(f'<text x="44" y="{y + 4}" text-anchor="end">{top * step / 4:.3g}</text>')
    for number, (method, values) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        gap = (width - 60) / max(1, len(values) - 1)
        points = " ".join(f"{55 + i * gap:.1f},{height - v / top * (height - 20):.1f}" for i, v in enumerate(values))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        lines.append(f'<text x="{width + 12}" y="{24 + 18 * number}" fill="{color}">{html.escape(method)}</text>')
    lines.append(f'<text x="{width // 2}" y="{height + 24}" text-anchor="middle">{below}</text>')
    lines.append(f'<text x="50" y="14">{name}</text></svg>')
    return "".join(lines)


def _figures(store: Store, method: str, clip: Clip) -> str:
    pictures = []
    for path, kind, size in zip(picture_paths(store, method, clip), ("png", "webp"), (200, 160), strict=True):
        if path.is_file():
            data = base64.b64encode(path.read_bytes()).decode()
            pictures.append(f'<img src="data:image/{kind};base64,{data}" width="{size}" alt="{html.escape(method)}">')
    return f"<figure>{''.join(pictures)}<figcaption>{html.escape(method)}</figcaption></figure>"
