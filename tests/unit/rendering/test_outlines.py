"""Outlines: rims travel with their objects, and the background behind objects has nothing of them."""

import pytest
import torch

from gid_core.rendering.outlines import Outlines, find_outlines, gather_pixels, local_argmax, local_max
from gid_core.rendering.render import magnitude_importance
from gid_core.rendering.warping import forward_warp
from random_tensors import random_uniform

SIZE = (72, 96)
RED = torch.tensor([0.95, 0.05, 0.05]).view(3, 1, 1)


def background():
    """A smooth green and blue texture, without red: [3, H, W]."""
    texture = torch.nn.functional.interpolate(random_uniform(1, 3, 18, 24), SIZE, mode="bicubic")[0].clamp(0, 1)
    texture[0] = 0
    return texture


def disc(x, y, radius=14.0):
    """How much of each pixel a disc covers: [H, W] in 0..1, with a rim of about one pixel."""
    rows, columns = torch.arange(SIZE[0])[:, None] - float(y), torch.arange(SIZE[1]) - float(x)
    return (radius + 0.5 - torch.hypot(rows, columns)).clamp(0, 1)


def scene(dx, dy, coarseness=1):
    """A red disc that moves by (dx, dy): photo [1, 3, H, W], flow [1, 2, H, W], importance, and the true frame."""
    photo, frame = (torch.lerp(background(), RED.expand(3, *SIZE), disc(36 + x, 34 + y)) for x, y in ((0, 0), (dx, dy)))
    flow = (disc(36, 34) > 0.5).float() * torch.tensor([dx, dy]).view(1, 2, 1, 1)
    if coarseness > 1:
        flow = torch.nn.functional.avg_pool2d(flow, coarseness)
        flow = torch.nn.functional.interpolate(flow, SIZE, mode="bilinear", align_corners=False)
    importance = magnitude_importance(flow.norm(dim=1) * 0.5, SIZE)
    return photo[None], flow, importance, frame[None]


def unchanged_outlines(photo):
    """Outlines beyond which nothing reaches, with the photo itself as background."""
    index = torch.arange(photo[0, 0].numel())[None]
    return Outlines(index, photo, index)


def test_the_rim_travels_with_its_object():
    photo, flow, importance, truth = scene(9.4, -3.3)
    frame, plain = (
        forward_warp(photo, flow, importance, outlines).blended() for outlines in (None, unchanged_outlines(photo))
    )
    rims = torch.zeros(SIZE, dtype=torch.bool)
    for x, y in ((36, 34), (45.4, 30.7)):
        rims |= (disc(x, y, 17) > 0) & (disc(x, y, 11) == 0)
    error, plain_error = ((image - truth)[0, :, rims].abs().mean() for image in (frame, plain))
    assert error < 0.85 * plain_error
    # nothing red is left where the disc was
    left_behind = (disc(45.4, 30.7, 17) == 0) & (disc(36, 34, 17) > 0)
    assert frame[0, 0, left_behind].max() < 0.02 < 0.2 < plain[0, 0, left_behind].max()


def test_exact_motion_reaches_beyond_outlines_and_nowhere_else():
    photo, flow, importance, _ = scene(8, 0)
    reached = gather_pixels(flow, find_outlines(photo, importance).motion_index)
    outside = (disc(36, 34, 15.4) == 1) & (disc(36, 34) < 0.5)
    assert reached[0, 0, outside].min() > 7.9
    assert (reached[0, 0] >= flow[0, 0]).all()
    assert not reached[0, :, disc(36, 34, 17) == 0].any()


def test_motion_that_rises_softly_stays_as_it_was_measured():
    """It contains the rim: reaching farther would drag the background along."""
    photo, flow, importance, _ = scene(8, 0, coarseness=4)
    index = find_outlines(photo, importance).motion_index
    assert torch.equal(gather_pixels(flow, index), flow)


def test_smooth_motion_is_hardly_changed():
    """A branch that bends: its importance grows from 0 to 4 over 160 pixels."""
    x = torch.linspace(0, 1, 160).expand(40, 160)
    flow = torch.stack([torch.zeros(40, 160), 8 * x**2])[None]
    importance = magnitude_importance(flow.norm(dim=1), (40, 160))
    index = find_outlines(random_uniform(1, 3, 40, 160), importance).motion_index
    assert (gather_pixels(flow, index) - flow).abs().max() < 0.25


def test_uniform_and_missing_motion_is_not_changed():
    photo = random_uniform(1, 3, 20, 30)
    for importance in (torch.zeros(1, 1, 20, 30), torch.full((1, 1, 20, 30), 3.0)):
        outlines = find_outlines(photo, importance)
        own = torch.arange(600)[None]
        assert torch.equal(outlines.motion_index, own) and torch.equal(outlines.background_index, own)
        torch.testing.assert_close(outlines.background, photo, atol=1e-6, rtol=0)


def test_the_background_has_nothing_of_the_object():
    """Behind a small disc lies its surroundings; nothing is red, not even from the rim."""
    photo = torch.lerp(background(), RED.expand(3, *SIZE), disc(36, 34, 3))[None]
    importance = 5 * (disc(36, 34, 3) > 0.5).float()[None, None]
    outlines = find_outlines(photo, importance)
    assert outlines.background[0, 0].max() < 0.01
    torch.testing.assert_close(outlines.background[0, :, :20], background()[:, :20], atol=1e-5, rtol=0)
    assert not gather_pixels(importance, outlines.background_index).any()


def test_importance_of_several_objects_is_compared_locally():
    """Behind an object in front of another moving object lies that one, not the static background far away."""
    photo, importance = torch.zeros(1, 3, 96, 96), torch.zeros(1, 1, 96, 96)
    photo[:, 1, 16:80, 16:80], importance[..., 16:80, 16:80] = 0.5, 2
    photo[:, 0, 44:52, 44:52], importance[..., 44:52, 44:52] = 1, 5
    outlines = find_outlines(photo, importance)
    behind = outlines.background[0, :, 44:52, 44:52]
    torch.testing.assert_close(behind, torch.tensor([0, 0.5, 0]).view(3, 1, 1).expand_as(behind), atol=0.02, rtol=0)
    index = outlines.background_index.view(96, 96)[44:52, 44:52]
    assert (importance.flatten()[index] == 2).all()


def test_each_photo_of_a_batch_has_its_own_outlines():
    scenes = [scene(9, 2), scene(9, 2, 4), scene(0, 0)]
    photos, importance = (torch.cat([item[i] for item in scenes]) for i in (0, 2))
    batch = find_outlines(photos, importance)
    for i in range(3):
        single = find_outlines(photos[i : i + 1], importance[i : i + 1])
        assert torch.equal(batch.motion_index[i], single.motion_index[0])
        assert torch.equal(batch.background_index[i], single.background_index[0])
        torch.testing.assert_close(batch.background[i], single.background[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (13, 17), (33, 64)])
def test_photos_of_any_size(size):
    photo, importance = random_uniform(1, 4, *size), 6 * random_uniform(1, 1, *size)
    outlines = find_outlines(photo, importance)
    assert outlines.background.shape == photo.shape and torch.isfinite(outlines.background).all()
    for index in (outlines.motion_index, outlines.background_index):
        assert index.shape == (1, size[0] * size[1]) and index.min() >= 0 and index.max() < size[0] * size[1]
    assert (gather_pixels(importance, outlines.motion_index) >= importance).all()


def test_local_maxima_are_those_of_the_window():
    maps = random_uniform(2, 1, 9, 11)
    highest = local_max(maps, 2)
    assert torch.equal(highest[0, 0, 4, 5], maps[0, 0, 2:7, 3:8].max())
    assert torch.equal(gather_pixels(maps, local_argmax(maps, 2)), highest)


def test_soft_outlines_of_one_object_do_not_change_anothers():
    size = (64, 256)
    sharp = torch.zeros(1, 1, *size)
    sharp[..., 20:44, 20:60] = 2.0
    both = sharp.clone()
    distance = (torch.arange(size[1]) - 200.0).abs()
    both += 3 * (1 - distance / 40).clamp(min=0)  # a rise over many pixels
    left = torch.arange(sharp.numel()).view(size)[:, :100].flatten()
    index = [find_outlines(importance, importance).motion_index[0, left] for importance in (sharp, both)]
    assert torch.equal(*index)
    assert (index[0] != left).any()
