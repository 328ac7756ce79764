"""The summary of metrics over clips."""

import math

import pytest

from gid_core.evaluation.summary import _median_curve, summarize_metrics

NAN = math.nan


def test_ratios_are_summarized_by_their_median_and_others_by_their_mean():
    metrics = [{"fast_ratio": value, "auc": value} for value in (1.0, 2.0, 9.0)]
    row = summarize_metrics(metrics, ["a", "b", "c"])
    assert row["fast_ratio"][0] == 2 and row["auc"][0] == 4
    for center, low, high in row.values():
        assert 1 <= low <= center <= high <= 9


def test_clips_without_a_value_and_lists_are_left_out():
    metrics = [{"auc": value, "spectrum": [value]} for value in (1.0, NAN, 3.0, math.inf)]
    row = summarize_metrics(metrics, ["a", "b", "c", "d"])
    assert row.keys() == {"auc"} and row["auc"][0] == 2
    assert all(map(math.isnan, summarize_metrics([{"auc": NAN}], ["a"])["auc"]))


def test_clips_of_one_group_are_drawn_together():
    metrics = [{"auc": value} for value in (0.0, 1.0, 0.0, 1.0)]
    assert summarize_metrics(metrics, ["a", "a", "b", "b"])["auc"] == [0.5, 0.5, 0.5]


def test_the_median_curve_takes_each_position_by_itself():
    curves = [{"c": [1.0, NAN, NAN]}, {"c": [2.0, 5.0, NAN]}, {"c": [9.0, 7.0, NAN]}]
    assert _median_curve(curves, "c") == pytest.approx([2, 6, NAN], nan_ok=True)
