"""Images of a motion: they are valid at any size, and they show what they claim."""

import math

import pytest
import torch

from gid_core.motion import Motion, loop, playback
from gid_core.rendering.render import render
from gid_core.rendering.visualization import flow_to_image, flow_wheel, motion_map, power_spectrum, xt_slice
from gid_core.spectral_volume import SpectralVolume
from peak_memory import PeakMemory
from random_tensors import random_uniform


def volume_with_moving_rectangle(rows, columns, size=(40, 60), bins=4, pixels=3.0):
    """A volume in which only a rectangle moves, by `pixels` to the left and right."""
    coefficients = torch.zeros(1, bins, 4, *size)
    coefficients[0, 1, 0, rows, columns] = pixels * 75
    return SpectralVolume(coefficients)


def assert_image(result, height, width):
    assert result.shape == (height, width, 3) and result.dtype == torch.float32
    assert torch.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


MOVING_RECTANGLE = volume_with_moving_rectangle(slice(5, 20), slice(30, 50))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 20), (40, 60)])
@pytest.mark.parametrize("width", [8, 60, 300])
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_images_of_every_size(size, width, channels):
    volume = SpectralVolume((random_uniform(2, 4, 4, *size) - 0.5) * 200)
    image = None if channels is None else random_uniform(*size, channels)
    height = max(1, round(size[0] * width / size[1]))
    motion = loop(volume, 12)
    assert_image(motion_map(motion, image, width), height, width)
    assert_image(xt_slice(motion, image, width), 24, width)
    if image is None:
        assert_image(flow_wheel(motion, width), height, width)


@pytest.mark.parametrize("size", [(288, 512), (120, 160), (300, 90)])
@pytest.mark.parametrize("bins", [1, 2, 16, 60])
def test_spectra_of_every_number_of_bins(size, bins):
    assert_image(power_spectrum(SpectralVolume(random_uniform(1, bins, 4, 5, 6)), size), *size)


def test_static_volumes_give_images():
    static = SpectralVolume(torch.zeros(1, 4, 4, 20, 30))
    motion = loop(static, 5)
    assert_image(power_spectrum(static), 288, 512)
    assert_image(motion_map(motion, random_uniform(20, 30, 3), 90), 60, 90)
    assert_image(flow_wheel(motion, 90), 60, 90)
    result = xt_slice(motion, random_uniform(20, 30, 3), 90)
    assert torch.equal(result[0, 60:74], result[-1, 60:74])


def test_pictures_of_a_tall_photo_are_limited_in_size():
    """A long screenshot: the pictures do not become ever taller, nor is the volume enlarged without limit."""
    motion, photo = loop(SpectralVolume(torch.rand(1, 16, 4, 64, 4)), 12), torch.rand(960, 32, 3)
    with PeakMemory() as memory:
        assert_image(motion_map(motion, photo, 60), 120, 4)
        assert_image(xt_slice(motion, photo, 60), 24, 4)
        assert_image(flow_wheel(motion, 60), 120, 8)
    assert memory.peak < 3e6


def test_results_have_the_proportions_of_the_photo():
    """The volume has other proportions."""
    assert_image(motion_map(loop(MOVING_RECTANGLE, 6), random_uniform(30, 90, 3), 180), 60, 180)


def test_inputs_are_not_modified():
    volume, image = SpectralVolume(random_uniform(1, 4, 4, 20, 30) * 100), random_uniform(1, 20, 30, 4)
    copies = volume.coefficients.clone(), image.clone()
    motion = loop(volume, 6)
    motion_map(motion, image), xt_slice(motion, image), flow_wheel(motion), power_spectrum(volume)
    assert torch.equal(volume.coefficients, copies[0]) and torch.equal(image, copies[1])


# ---- content ----


@pytest.mark.parametrize("image", [None, random_uniform(40, 60, 3), random_uniform(40, 60, 4)])
def test_the_motion_map_is_bright_where_the_volume_moves(image):
    result = motion_map(loop(MOVING_RECTANGLE, 20), image, width=120)
    moving, static = result[12:38, 62:98], torch.cat([result[45:, :50].flatten(0, 1), result[:5].flatten(0, 1)])
    assert moving.mean() > static.mean() + 0.1
    # Warm colors where it moves; gray, or the dark end of the scale, where it does not.
    assert (moving[..., 0] - moving[..., 2]).mean() > 0.3
    assert (static[..., 0] - static[..., 2]).abs().max() < 0.05
    if image is not None:
        assert static.std() > 0.05


def test_twice_the_motion_has_the_same_map():
    """Colors are relative; only the scale's number differs."""
    single, double = (motion_map(loop(MOVING_RECTANGLE.amplify(gain), 20), width=120) for gain in (1, 2))
    torch.testing.assert_close(single, double, atol=0.02, rtol=0)


@pytest.mark.parametrize("axis", [0, 2])
def test_the_spectrum_shows_the_dominant_bin(axis):
    heights = []
    for strongest in (1, 5, 10):
        coefficients = torch.full((1, 12, 4, 4, 4), 0.01)
        coefficients[:, strongest, axis] = 100
        result = power_spectrum(SpectralVolume(coefficients))
        color = torch.tensor([[26, 115, 217], [0, 0, 0], [230, 102, 13]][axis]) / 255
        bars = ((result - color).abs().amax(-1) < 0.01)[30:248, 62:498].sum(0)  # height of each column
        heights.append(bars)
        assert abs(int(bars.argmax()) - (strongest - 1 + 0.2 + 0.16 * axis) * 436 / 11) < 16
        assert bars.max() > 3 * bars.float().quantile(0.95)
    assert not torch.equal(heights[0], heights[1])


def test_the_constant_bin_is_not_drawn():
    coefficients = torch.ones(1, 6, 4, 4, 4)
    coefficients[:, 0] = 1e6
    expected = power_spectrum(SpectralVolume(torch.ones(1, 6, 4, 4, 4)))
    assert torch.equal(power_spectrum(SpectralVolume(coefficients)), expected)


def test_a_loop_is_drawn_twice_with_a_mark_at_its_seam():
    result = xt_slice(loop(MOVING_RECTANGLE, 30), random_uniform(40, 60, 3), width=200)
    assert_image(result, 60, 200)
    red = torch.tensor([255, 38, 51]) / 255
    assert torch.equal(result[30, :13], red.expand(13, 3)) and torch.equal(result[30, -13:], red.expand(13, 3))
    columns = slice(60, 180)  # beside the mark
    assert torch.equal(result[:30, columns], result[30:, columns])
    steps = (result[1:, columns] - result[:-1, columns]).abs().mean(dim=(1, 2))
    assert 0 < steps[29] <= 1.1 * steps.max()


def test_a_motion_that_does_not_loop_is_drawn_once_without_a_mark():
    result = xt_slice(playback(MOVING_RECTANGLE), torch.full((40, 60, 3), 0.5), width=100)
    assert result.shape == (150, 100, 3)
    assert (result - 0.5).abs().max() < 0.01


def test_long_motion_is_cut_to_600_rows():
    assert_image(xt_slice(loop(MOVING_RECTANGLE, 700), width=40), 600, 40)


@pytest.mark.parametrize(
    "size",
    [
        (80, 120),
        (10, 15),
    ],
)
def test_the_slice_is_a_row_of_the_rendered_frames(size):
    """The motion is 15 px of 80 up and down, so that pixels from far above and below reach the row."""
    coefficients = torch.zeros(1, 4, 4, *size)
    profile = 1 - 0.5 * torch.linspace(-1, 1, size[0]).abs()
    coefficients[0, 1, 3] = -15 * 75 * size[0] / 80 * profile[:, None]
    motion, photo = loop(SpectralVolume(coefficients), 30), random_uniform(5, 7, 3)
    photo = torch.nn.functional.interpolate(photo.movedim(-1, 0)[None], (80, 120))[0].movedim(0, -1)
    frames = render(photo, motion)
    error = (frames[:, :, 20:] - xt_slice(motion, photo, width=120)[:30, None, 20:]).abs().mean(dim=(0, 2, 3))
    assert error.min() < 0.01


def test_flow_colors_show_direction_and_length():
    flow = torch.zeros(2, 1, 6)
    flow[:, 0] = torch.tensor([[0.0, 1, 0, -1, 0, 0.5], [0, 0, 1, 0, -1, 0]])
    white, right, down, left, up, half = flow_to_image(flow, max_length=1.0)[0]
    assert torch.equal(white, torch.ones(3))
    torch.testing.assert_close(right, torch.tensor([1.0, 0, 0]), atol=0.01, rtol=0)  # hue 0 is red
    torch.testing.assert_close(left, torch.tensor([0.0, 1, 1]), atol=0.01, rtol=0)
    torch.testing.assert_close(half, torch.tensor([1.0, 0.5, 0.5]), atol=0.01, rtol=0)
    assert (down - up).abs().max() > 0.5
    torch.testing.assert_close(flow_to_image(flow * 40, max_length=40.0), flow_to_image(flow, max_length=1.0))


def test_the_wheel_shows_the_frame_with_the_largest_displacement():
    coordinates = torch.zeros(50, 4, 2)
    coordinates[33, 1, 0] = 1 / 75  # moves right in a single frame
    result = flow_wheel(Motion(volume_with_moving_rectangle(slice(0, 20), slice(0, 60)), coordinates, 30.0), width=240)
    torch.testing.assert_close(result[20, 20], torch.tensor([1.0, 0, 0]), atol=0.02, rtol=0)
    assert torch.equal(result[140, 20], torch.ones(3))
    wheel = result[-88:, -88:]
    directions = [wheel[44 + round(30 * math.sin(a)), 44 + round(30 * math.cos(a))] for a in (0, 2.1, 4.2)]
    assert [int(color.argmax()) for color in directions] == [0, 1, 2]
