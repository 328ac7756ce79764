"""Measures at the outlines of what moves, on maps whose values are known."""

import math

import pytest
import torch

from gid_core.evaluation.motion_metrics import moving_auc
from gid_core.evaluation.outline_metrics import outline_auc, outline_band, still_motion


def moving_half():
    """The right half of a picture 128 wide moves."""
    moving = torch.zeros(20, 128, dtype=torch.bool)
    moving[:, 64:] = True
    return moving


def test_the_band_lies_on_both_sides_of_an_edge_and_not_at_the_pictures_edge():
    band = outline_band(moving_half(), 4)
    assert band[0].nonzero().flatten().tolist() == list(range(60, 68)) and (band == band[:1]).all()
    assert not outline_band(torch.ones(9, 9, dtype=torch.bool)).any()
    assert not outline_band(torch.zeros(9, 9, dtype=torch.bool)).any()


def test_the_band_is_as_wide_in_a_larger_picture():
    assert outline_band(moving_half().repeat_interleave(2, 1), 4)[0].sum() == 16


def test_a_leak_over_the_edge_lowers_the_auc_at_outlines_more_than_the_whole_auc():
    """Motion that begins 3 cells before the edge: of 4 static columns in the band, 3 tie with the 4 moving ones."""
    predicted = torch.zeros(20, 128)
    predicted[:, 61:] = 1
    assert outline_auc(moving_half(), predicted) == pytest.approx((1 + 3 * 0.5) / 4)
    assert moving_auc(moving_half(), predicted) == pytest.approx((61 + 3 * 0.5) / 64)


def test_what_lies_far_from_outlines_does_not_count():
    predicted = moving_half().float()
    predicted[:, :40], predicted[:, 90:] = 2, 0
    assert outline_auc(moving_half(), predicted) == 1
    assert moving_auc(moving_half(), predicted) < 0.6
    assert outline_auc(moving_half(), 1 - predicted) == 0


def test_a_picture_without_outlines_has_no_auc():
    assert math.isnan(outline_auc(torch.ones(8, 8, dtype=torch.bool), torch.rand(8, 8)))


def test_still_motion_is_a_median_over_static_pixels():
    magnitude = torch.full((20, 128), 5.0)
    magnitude[:, :40], magnitude[:, 40:64] = 0.1, 3.0
    assert still_motion(moving_half(), magnitude) == pytest.approx(0.1)
    magnitude[:, 20:64] = 3.0
    assert still_motion(moving_half(), magnitude) == pytest.approx(3.0)
    assert math.isnan(still_motion(torch.ones(20, 128, dtype=torch.bool), magnitude))
