"""The Markdown report of an evaluation: its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .object_coherence import DISTANCES
from .result_store import REAL
from .tables import curves_table, metrics_table


def markdown_report(summary: Mapping[str, Any]) -> str:
    """Tables of metrics, of object curves and, if there are any, of painted scenes.

    Args:
        summary: from `runner.evaluate`; with "scenes" from `scene_evaluation.evaluate_scenes`, or without.

    Returns:
        Markdown text with a heading for each table.
    """
    curves = summary["object_curves"]
    parts = [
        f"# Evaluation on {len(summary['clips'])} clips",
        metrics_table({**summary["methods"], REAL: summary["real"]}),
        "## Objects",
        "Median over clips, by the distance of two moving cells in a grid 128 wide.",
        "Coherence: do they move alike, up to one phase?",
        curves_table(curves["coherence"], DISTANCES),
        "Unevenness: median log ratio of how far they move.",
        curves_table(curves["unevenness"], DISTANCES),
    ]
    if "scenes" in summary:
        scenes = summary["scenes"]
        parts += [
            "## Painted scenes",
            f"Scenes: {scenes['count']}; motions of each: {scenes['seeds']}. Real: the true motion.",
            metrics_table(scenes["methods"]),
        ]
    return "\n\n".join(parts) + "\n"
