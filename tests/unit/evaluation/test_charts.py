"""Line charts as SVG."""

import math
import re

from gid_core.evaluation.charts import line_chart


def heights(svg):
    """The height in pixels of every point, for each line."""
    return [[float(p.split(",")[1]) for p in line.split()] for line in re.findall(r'points="([^"]*)"', svg)]


def test_each_method_has_a_line_and_higher_values_lie_higher():
    svg = line_chart("px", {"a": [0.0, 1.0, 2.0], "b": [2.0, 2.0]}, "bin")
    (rising, flat) = heights(svg)
    assert rising[0] == 240 and rising[0] > rising[1] > rising[2] == flat[0] == flat[1]
    assert abs((rising[0] - rising[1]) - (rising[1] - rising[2])) < 0.2
    assert svg.startswith("<svg") and svg.endswith("</svg>") and ">bin</text>" in svg


def test_a_logarithmic_axis_shows_factors_as_distances():
    (line,) = heights(line_chart("u", {"a": [0.1, 0.2, 0.4, 0.0]}, "d", log_floor=0.05))
    assert abs((line[0] - line[1]) - (line[1] - line[2])) < 0.2 and line[0] > line[2]
    assert abs((line[3] - line[0]) - (line[0] - line[1])) < 0.2  # 0 is drawn at the floor


def test_values_that_are_not_finite_are_left_out():
    nan = math.nan
    assert line_chart("u", {"a": [nan, nan], "b": None}, "d", log_floor=0.1) == ""
    assert [len(line) for line in heights(line_chart("u", {"a": [1.0, nan, 3.0], "b": [nan] * 3}, "d"))] == [2]


def test_positions_are_written_below_the_axis_and_names_are_escaped():
    svg = line_chart("u", {"<a>": [1.0, 2.0]}, "d", positions=(2, 16))
    assert ">2</text>" in svg and ">16</text>" in svg and "&lt;a&gt;" in svg and "<a>" not in svg
