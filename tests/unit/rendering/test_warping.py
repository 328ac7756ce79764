"""Warping a photo along displacement fields: the images, and the maps that describe them."""

import pytest
import torch

from gid_core.rendering.warping import _window_mean, backward_warp, forward_warp, premultiply, unpremultiply
from random_tensors import random_normal, random_uniform


def smooth(height, width, channels=3, seed=0):
    coarse = random_uniform(1, channels, max(2, height // 6), max(2, width // 6), seed=seed)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


UNIFORM_IMPORTANCE = torch.zeros(1, 1, 20, 30)


def test_without_motion_all_images_equal_the_photo_exactly():
    photo = random_uniform(1, 4, 20, 30)
    warped = forward_warp(photo, torch.zeros(2, 2, 20, 30), UNIFORM_IMPORTANCE)
    for frames in (warped.splatted, warped.sampled, warped.blended()):
        assert torch.equal(frames, photo.expand(2, -1, -1, -1))
    assert warped.static.all() and not warped.holes.any() and not warped.displacement.any()


def test_a_shift_of_half_a_pixel_preserves_texture_better_than_splatting():
    """A sine of 5 pixels, which is known between pixels too. Bilinear weights damp it by a fifth."""
    x = torch.arange(60.0)

    def sine(x):
        return (0.5 + 0.4 * torch.sin(x * (2 * torch.pi / 5))).expand(1, 3, 20, -1)

    flow = torch.zeros(1, 2, 20, 60)
    flow[:, 0] = 0.5
    warped = forward_warp(sine(x), flow, torch.zeros(1, 1, 20, 60))
    inside, truth = (..., slice(4, -4), slice(4, -4)), sine(x - 0.5)
    errors = [(frames[inside] - truth[inside]).abs().max() for frames in (warped.splatted, warped.blended())]
    assert errors[1] < 0.4 * errors[0]
    torch.testing.assert_close(warped.displacement[inside], flow[inside])
    assert (warped.consistency[inside] > 0.999).all()


def test_where_two_surfaces_meet_the_splatted_colors_are_kept():
    """A bar of noise moves over static noise: low consistency at its outline, full consistency inside and far away."""
    photo, flow = random_uniform(1, 3, 20, 60), torch.zeros(1, 2, 20, 60)
    flow[:, 0, :, 20:30] = 5.5
    importance = (flow[:, :1] != 0).float() * 6
    warped = forward_warp(photo, flow, importance)
    consistency = warped.consistency[0, 0, 10]
    assert consistency[27:35].min() > 0.9 and consistency[45:].min() == 1
    # Motion reaches one pixel beyond the bar: half of a pixel that moves with it, and half of the hole behind it.
    outline = warped.consistency[..., 24:25]
    assert outline.max() < 0.5
    assert torch.equal(warped.blended()[..., 45:], photo[..., 45:])


def test_a_hole_shows_the_background_never_the_moving_object():
    """A bright bar moves by more than its width, and p - F(p) would show a second bar, which moves too."""
    photo, flow = 0.3 * random_uniform(1, 3, 20, 80), torch.zeros(1, 2, 20, 80)
    for columns in (slice(12, 20), slice(30, 42)):
        photo[..., columns] += 0.7
        flow[:, 0, :, columns] = 20
    warped = forward_warp(photo, flow, (flow[:, :1] != 0).float() * 6)
    # Motion reaches one pixel beyond the bars.
    assert (warped.holes[..., 11:21] == 1).all() and (warped.holes[..., 41:43] == 1).all()
    for columns in (slice(11, 21), slice(41, 43)):
        assert warped.blended()[..., columns].max() < 0.3


def test_the_background_of_a_hole_moves_with_the_background():
    """Everything moves down; a bar moves right as well. Its hole shows the ramp of the background, moved down."""
    y = torch.arange(60.0)[:, None].expand(60, 80)
    photo, flow = (y / 60).expand(1, 3, -1, -1).clone(), torch.zeros(1, 2, 60, 80)
    photo[..., 35:43], flow[:, 1], flow[:, 0, :, 35:43] = 1, 3, 12
    importance = torch.full((1, 1, 60, 80), 1.0)
    importance[..., 35:43] = 5
    warped = forward_warp(photo, flow, importance)
    hole = (..., slice(10, 50), slice(35, 43))
    assert (warped.holes[hole] == 1).all()
    # Means over up to 16 rows shift a ramp a little.
    torch.testing.assert_close(warped.blended()[hole], ((y - 3) / 60).expand(1, 3, -1, -1)[hole], atol=0.05, rtol=0)


def test_a_hole_inside_of_a_stretched_object_shows_the_object():
    """A bright bar on black is stretched to twice its width, so that half of what it uncovers are holes."""
    photo, flow = torch.zeros(1, 3, 40, 120), torch.zeros(1, 2, 40, 120)
    photo[..., 20:80] = 0.8
    flow[:, 0, :, 20:80] = 4 + torch.arange(60)
    warped = forward_warp(photo, flow, (flow[:, :1] != 0).float() * 6)
    inside = (..., slice(10, 30), slice(28, 78))
    assert warped.holes[inside].mean() > 0.4
    frame = warped.blended()[inside]
    torch.testing.assert_close(frame, torch.full_like(frame, 0.8), atol=0.1, rtol=0)


def test_what_enters_at_the_edge_is_mirrored():
    photo, flow = random_uniform(1, 3, 24, 40), torch.zeros(1, 2, 24, 40)
    flow[:, 0], flow[:, 1] = 5, -3
    frame = forward_warp(photo, flow, torch.zeros(1, 1, 24, 40)).blended()
    torch.testing.assert_close(frame[..., :21, 5:], photo[..., 3:, :35], atol=1e-5, rtol=0)
    torch.testing.assert_close(frame[..., :21, :5], photo[..., 3:, :5].flip(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(frame[..., 21:, 5:], photo[..., 21:, :35].flip(-2), atol=1e-4, rtol=0)


def test_an_object_that_leaves_the_edge_shows_no_gap_and_no_repeated_pixels():
    """A bar of noise from the left edge moves right: noise follows it, neither background nor stripes."""
    photo, flow = torch.zeros(1, 3, 40, 60), torch.zeros(1, 2, 40, 60)
    photo[..., 10:30, :40] = 0.5 + 0.5 * random_uniform(1, 3, 20, 40)
    flow[:, 0, 10:30, :40] = 8
    frame = forward_warp(photo, flow, 6 * (flow[:, :1] > 0).float()).blended()
    entered = frame[..., 12:28, :8]
    assert entered.min() > 0.45
    assert entered.diff(dim=-1).abs().mean() > 0.1


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_window_equals_that_part_of_the_whole(mode):
    photo, displacement = smooth(24, 36), 6 * smooth(24, 36, 2, seed=1) - 3
    whole = backward_warp(photo, displacement, mode)
    window = backward_warp(photo, displacement[..., 8:20, 16:30], mode, (8, 16))
    torch.testing.assert_close(window, whole[..., 8:20, 16:30], atol=1e-5, rtol=0)


def test_each_photo_of_a_batch_is_warped_alone():
    photos, flow, importance = (
        random_uniform(3, 3, 20, 30),
        4 * random_uniform(3, 2, 20, 30, seed=1),
        random_uniform(3, 1, 20, 30, seed=2),
    )
    batch = forward_warp(photos, flow, importance)
    for i in range(3):
        single = forward_warp(photos[i : i + 1], flow[i : i + 1], importance[i : i + 1])
        torch.testing.assert_close(batch.blended()[i], single.blended()[0])


def test_unpremultiply_inverts_premultiply():
    photo = random_uniform(2, 4, 5, 6)
    photo[:, 3, :2] = 0
    restored = unpremultiply(premultiply(photo))
    torch.testing.assert_close(restored[:, :, 2:], photo[:, :, 2:])
    assert not restored[:, :, :2].any()
    assert premultiply(photo[:, :3]) is not None and torch.equal(premultiply(photo[:, :3]), photo[:, :3])


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (20, 31)])
def test_bicubic_sampling_without_the_devices_sampler(monkeypatch, size):
    maps, displacement = random_normal(2, 3, *size), 9 * random_normal(2, 2, *size, seed=1)
    expected = backward_warp(maps, displacement)
    monkeypatch.setattr("gid_core.rendering.warping.NO_BICUBIC_SAMPLER", ("cpu",))
    monkeypatch.setattr(torch.nn.functional, "grid_sample", lambda *_, **__: pytest.fail("the device refuses this"))
    torch.testing.assert_close(backward_warp(maps, displacement), expected, atol=2e-4, rtol=1e-3)


def test_window_means_by_convolution_are_those_of_pooling():
    maps = random_uniform(2, 4, 9, 11) * 100
    expected = torch.nn.functional.avg_pool2d(maps, 5, 1, 2)  # what other devices compute in two passes
    torch.testing.assert_close(_window_mean(maps, 2), expected, atol=1e-4, rtol=0)
