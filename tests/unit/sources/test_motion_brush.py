"""What strokes paint: soft edges, order, the numbers that the page shares, and the mask of a prediction."""

import os

import numpy as np
import pytest
import torch

from brush_vectors import make_vectors, read_vectors, write_vectors
from gid_core.sources.motion_brush import rasterize_strokes, stroke_mask
from gid_core.sources.stroke_list import Stroke

SIZE = (60, 100)
LINE = Stroke("move", ((0.2, 0.5), (0.8, 0.5)), 0.1)


def test_the_committed_vectors_are_current():
    """After an intended change, GID_UPDATE_VECTORS=1 pytest tests/unit/sources/test_motion_brush.py rewrites them."""
    if os.environ.get("GID_UPDATE_VECTORS") == "1":
        write_vectors()
    for made, stored in zip(make_vectors(), read_vectors(), strict=True):
        assert made["strokes"] == stored["strokes"] and made["arrows"] == stored["arrows"]
        for name in ("move", "pin", "stiffness", "coverage"):
            np.testing.assert_allclose(made[name], stored[name], atol=1e-6)


def test_a_stroke_is_full_in_the_middle_and_fades_to_its_radius():
    move = rasterize_strokes([LINE], SIZE).move
    assert move.min() == 0 and move.max() == 1
    column = move[:, 50]  # the line is at 30, its radius is 10
    assert (column[26:34] == 1).all() and (column[:20] == 0).all() and (column[40:] == 0).all()
    assert (column[20:26].diff() > 0).all()
    hard = rasterize_strokes([Stroke("move", LINE.points, 0.1, 0)], SIZE).move
    assert ((hard > 0) & (hard < 1)).float().mean() < 0.02


def test_strokes_scale_with_the_picture():
    small, large = (rasterize_strokes([LINE], [side * scale for side in SIZE]).move for scale in (1, 4))
    assert (torch.nn.functional.avg_pool2d(large[None], 4)[0] - small).abs().max() < 0.12


def test_pressure_narrows_a_stroke():
    move = rasterize_strokes([Stroke("move", ((0.2, 0.5, 0.2), (0.8, 0.5, 1)), 0.1)], SIZE).move
    assert move[:, 25].sum() < 0.5 * move[:, 75].sum()


def test_later_strokes_lie_over_earlier_ones():
    pin = Stroke("pin", ((0.5, 0.5),), 0.1)
    pinned = rasterize_strokes([LINE, pin], SIZE)
    assert pinned.pin[30, 50] == 1 and pinned.move[30, 50] == 1
    freed = rasterize_strokes([pin, LINE], SIZE)
    assert freed.pin[30, 50] == 0
    erased = rasterize_strokes([LINE, pin, Stroke("erase", ((0.5, 0.5),), 0.2)], SIZE)
    assert erased.move[30, 50] == erased.pin[30, 50] == 0 and erased.move[30, 25] == 1


def test_the_stiffness_is_that_of_the_last_stroke_and_blends_at_its_edge():
    maps = rasterize_strokes([LINE, Stroke("move", ((0.5, 0.5),), 0.1, stiffness=5)], SIZE)
    assert maps.stiffness[30, 50] == 5 and maps.stiffness[30, 25] == 1
    assert (maps.stiffness[30, 50:60].diff() <= 0).all()
    alone = rasterize_strokes([Stroke("move", LINE.points, 0.1, stiffness=0.2)], SIZE)
    assert torch.allclose(alone.stiffness[alone.move > 0], torch.tensor(0.2))


def test_an_eraser_removes_arrows_that_begin_under_it():
    arrows = [Stroke("arrow", ((x, 0.5), (x, 0.2))) for x in (0.3, 0.7)]
    eraser = Stroke("erase", ((0.3, 0.4), (0.3, 0.6)), 0.05)
    assert rasterize_strokes([*arrows, eraser], SIZE).arrows == (arrows[1],)
    assert rasterize_strokes([eraser, *arrows], SIZE).arrows == tuple(arrows)


def test_strokes_outside_of_the_image_paint_nothing():
    outside = Stroke("move", ((-0.9, 0.5), (-0.5, 1.8)), 0.05)
    maps = rasterize_strokes([outside, Stroke("pin", ((1.9, 1.9),))], SIZE)
    assert maps.move.max() == 0 and maps.pin.max() == 0


def test_the_mask_joins_strokes_and_mask_without_what_is_pinned():
    pin = Stroke("pin", ((0.2, 0.5),), 0.1)
    assert (stroke_mask([], SIZE) == 1).all()
    only_pinned = stroke_mask([pin], SIZE)[0]
    assert only_pinned[30, 20] == 0 and only_pinned[30, 80] == 1
    painted = stroke_mask([LINE, pin], SIZE)[0]
    assert painted[30, 20] == 0 and painted[30, 50] == 1 and painted[5, 5] == 0
    masks = torch.zeros(2, 30, 50)
    masks[1, :5] = 1
    both = stroke_mask([LINE, pin], SIZE, masks)
    assert both.shape == (2, *SIZE) and both[1, 2, 50] == 1 and both[0, 2, 50] == 0 and (both[:, 30, 50] == 1).all()


@pytest.mark.parametrize(("strokes", "size"), [("[]", SIZE), ([3], SIZE), ([LINE], (0, 5)), ([LINE], 7), (None, SIZE)])
def test_wrong_arguments_are_refused(strokes, size):
    with pytest.raises(ValueError, match="must be"):
        rasterize_strokes(strokes, size)
