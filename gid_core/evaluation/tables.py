"""Markdown tables of results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; cells are converted with str."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def metrics_table(rows: Mapping[str, Mapping[str, float | Sequence[float]]]) -> str:
    """A Markdown table of {method: {metric: value or [value, low, high]}}; a missing metric or NaN is a dash."""
    metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    body = [[method, *(_format(row.get(metric)) for metric in metrics)] for method, row in rows.items()]
    return markdown_table(["method", *metrics], body)


def curves_table(curves: Mapping[str, Sequence[float]], positions: Sequence[object]) -> str:
    """A Markdown table of {method: values}, one column for each position; a value that is not finite is a dash."""
    body = [
        [method, *(f"{value:.3g}" if math.isfinite(value) else "–" for value in values)]
        for method, values in curves.items()
    ]
    return markdown_table(["method", *map(str, positions)], body)


def _format(value: float | Sequence[float] | None) -> str:
    if value is None or (not isinstance(value, Sequence) and math.isnan(value)):
        return "–"
    if isinstance(value, Sequence):
        center, low, high = value
        if center is None or math.isnan(center):  # None in a table that was read from JSON
            return "–"
        return f"{center:.3g} ({low:.3g} … {high:.3g})"
    return f"{value:.4g}"
