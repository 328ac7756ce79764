"""Line charts as SVG, for the HTML report."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

COLORS = ("#1a73d9", "#d9480f", "#2b8a3e", "#862e9c", "#c92a2a", "#5c5f66", "#0b7285", "#e67700")
WIDTH, HEIGHT = 560, 240  # pixels of the plot
LEGEND_WIDTH, AXIS_HEIGHT = 160, 40  # pixels beside and below it
LEFT, TOP = 55, 20  # pixels inside it, left of the first and above the highest point
LOG_TICKS = (1, 2, 5)  # per decade


def line_chart(
    name: str,
    curves: Mapping[str, Sequence[float] | None],
    axis_label: str,
    *,
    positions: Sequence[object] | None = None,
    log_floor: float | None = None,
) -> str:
    """A line of values for each method, spaced evenly.

    Args:
        name: of the values; text at the top left.
        curves: {method: values}. Values that are not finite are left out, and methods without any.
        axis_label: of the horizontal axis.
        positions: text below each value; default: none.
        log_floor: makes the vertical axis logarithmic; smaller values are drawn at this one, > 0.

    Returns:
        An <svg> element; empty if there are no values.
    """
    series = {
        method: points
        for method, values in curves.items()
        if values and (points := [(i, value) for i, value in enumerate(values) if math.isfinite(value)])
    }
    if not series:
        return ""
    values = [value for points in series.values() for _, value in points]
    count = max(len(values) for method, values in curves.items() if values and method in series)
    scale = _linear_scale(values) if log_floor is None else _log_scale(values, log_floor)
    step = (WIDTH - LEFT - 5) / max(1, count - 1)
    size = f'width="{WIDTH + LEGEND_WIDTH}" height="{HEIGHT + AXIS_HEIGHT}"'
    parts = [f'<svg {size} font-size="12" role="img" aria-label="{html.escape(name)}">']
    for tick in scale.ticks:
        y = scale.y(tick)
        parts.append(f'<line x1="{LEFT - 5}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dee2e6"/>')
        parts.append(f'<text x="{LEFT - 11}" y="{y + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    for i, text in enumerate(positions or ()):
        parts.append(f'<text x="{LEFT + i * step:.1f}" y="{HEIGHT + 14}" text-anchor="middle">{text}</text>')
    for number, (method, points) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        line = " ".join(f"{LEFT + i * step:.1f},{scale.y(value):.1f}" for i, value in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH + 12}" y="{24 + 18 * number}" fill="{color}">{html.escape(method)}</text>')
    parts.append(f'<text x="{WIDTH // 2}" y="{HEIGHT + 32}" text-anchor="middle">{html.escape(axis_label)}</text>')
    parts.append(f'<text x="{LEFT - 5}" y="14">{html.escape(name)}</text></svg>')
    return "".join(parts)


class _Scale:
    """Heights of values between two values, linear in value or in its logarithm."""

    def __init__(self, low: float, high: float, ticks: Sequence[float], logarithmic: bool) -> None:
        self.low, self.high, self.ticks, self.logarithmic = low, high, ticks, logarithmic

    def y(self, value: float) -> float:
        """Pixels from the top; values below the scale lie on its lower end."""
        low, high, value = self.low, self.high, max(value, self.low)
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return HEIGHT - (value - low) / (high - low) * (HEIGHT - TOP)


def _linear_scale(values: Sequence[float]) -> _Scale:
    """From 0 to slightly above the largest value."""
    top = max(values) * 1.05 or 1.0
    return _Scale(0.0, top, [top * i / 4 for i in range(5)], logarithmic=False)


def _log_scale(values: Sequence[float], floor: float) -> _Scale:
    """From slightly below the smallest value, or from the floor, to slightly above the largest value."""
    low = max(floor, min(values) / 1.1)
    high = max(low * 2, max(values) * 1.1)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [tick for decade in decades for digit in LOG_TICKS if low <= (tick := digit * 10.0**decade) <= high]
    return _Scale(low, high, ticks, logarithmic=True)
