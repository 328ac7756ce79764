"""Pictures of motion: they are pictures at any size, and they show what they say."""

import math

import pytest
import torch

from gid_core.motion import Motion, loop, playback
from gid_core.rendering.render import render
from gid_core.rendering.visualization import flow_colors, flow_wheel, motion_map, power_spectrum, xt_slice
from gid_core.spectral_volume import SpectralVolume


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def volume_moving_at(rows, columns, size=(40, 60), bins=4, pixels=3.0):
    """Still but for a rectangle that moves by `pixels` to both sides."""
    coefficients = torch.zeros(1, bins, 4, *size)
    coefficients[0, 1, 0, rows, columns] = pixels * 75
    return SpectralVolume(coefficients)


def assert_picture(picture, height, width):
    assert picture.shape == (height, width, 3) and picture.dtype == torch.float32
    assert torch.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1


MOVING = volume_moving_at(slice(5, 20), slice(30, 50))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 20), (40, 60)])
@pytest.mark.parametrize("width", [8, 60, 300])
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_every_size_gives_a_picture(size, width, channels):
    volume = SpectralVolume((random(2, 4, 4, *size) - 0.5) * 200)
    image = None if channels is None else random(*size, channels)
    height = max(1, round(size[0] * width / size[1]))
    motion = loop(volume, 12)
    assert_picture(motion_map(motion, image, width), height, width)
    assert_picture(xt_slice(motion, image, width), 24, width)
    if image is None:
        assert_picture(flow_wheel(motion, width), height, width)


@pytest.mark.parametrize("size", [(288, 512), (120, 160), (300, 90)])
@pytest.mark.parametrize("bins", [1, 2, 16, 60])
def test_every_number_of_bins_gives_a_spectrum(size, bins):
    assert_picture(power_spectrum(SpectralVolume(random(1, bins, 4, 5, 6)), size), *size)


def test_stillness_gives_pictures():
    still = SpectralVolume(torch.zeros(1, 4, 4, 20, 30))
    motion = loop(still, 5)
    assert_picture(power_spectrum(still), 288, 512)
    assert_picture(motion_map(motion, random(20, 30, 3), 90), 60, 90)
    assert_picture(flow_wheel(motion, 90), 60, 90)
    picture = xt_slice(motion, random(20, 30, 3), 90)
    assert torch.equal(picture[0, 60:74], picture[-1, 60:74])


def test_the_size_is_that_of_the_photo():
    """The photo's proportions, not the volume's."""
    assert_picture(motion_map(loop(MOVING, 6), random(30, 90, 3), 180), 60, 180)


def test_inputs_stay_as_they_are():
    volume, image = SpectralVolume(random(1, 4, 4, 20, 30) * 100), random(1, 20, 30, 4)
    kept = volume.coefficients.clone(), image.clone()
    motion = loop(volume, 6)
    motion_map(motion, image), xt_slice(motion, image), flow_wheel(motion), power_spectrum(volume)
    assert torch.equal(volume.coefficients, kept[0]) and torch.equal(image, kept[1])


# ---- what they show ----


@pytest.mark.parametrize("image", [None, random(40, 60, 3), random(40, 60, 4)])
def test_the_motion_map_is_bright_where_it_moves(image):
    picture = motion_map(loop(MOVING, 20), image, width=120)
    moving, still = picture[12:38, 62:98], torch.cat([picture[45:, :50].flatten(0, 1), picture[:5].flatten(0, 1)])
    assert moving.mean() > still.mean() + 0.1
    # Warm where it moves; gray, or the dark end of the scale, where nothing does.
    assert (moving[..., 0] - moving[..., 2]).mean() > 0.3
    assert (still[..., 0] - still[..., 2]).abs().max() < 0.05
    if image is not None:
        assert still.std() > 0.05


def test_twice_the_motion_is_the_same_map():
    """Colors are relative; only the scale's number differs."""
    one, two = (motion_map(loop(MOVING.amplify(gain), 20), width=120) for gain in (1, 2))
    torch.testing.assert_close(one, two, atol=0.02, rtol=0)


@pytest.mark.parametrize("axis", [0, 2])
def test_the_spectrum_shows_the_bin_that_dominates(axis):
    heights = []
    for strongest in (1, 5, 10):
        coefficients = torch.full((1, 12, 4, 4, 4), 0.01)
        coefficients[:, strongest, axis] = 100
        picture = power_spectrum(SpectralVolume(coefficients))
        color = torch.tensor([[26, 115, 217], [0, 0, 0], [230, 102, 13]][axis]) / 255
        bars = ((picture - color).abs().amax(-1) < 0.01)[30:248, 62:498].sum(0)  # height of each column
        heights.append(bars)
        assert abs(int(bars.argmax()) - (strongest - 1 + 0.2 + 0.16 * axis) * 436 / 11) < 16
        assert bars.max() > 3 * bars.float().quantile(0.95)
    assert not torch.equal(heights[0], heights[1])


def test_the_constant_bin_is_not_drawn():
    loud = torch.ones(1, 6, 4, 4, 4)
    loud[:, 0] = 1e6
    assert torch.equal(power_spectrum(SpectralVolume(loud)), power_spectrum(SpectralVolume(torch.ones(1, 6, 4, 4, 4))))


def test_a_loop_is_drawn_twice_with_a_mark_at_its_seam():
    picture = xt_slice(loop(MOVING, 30), random(40, 60, 3), width=200)
    assert_picture(picture, 60, 200)
    red = torch.tensor([255, 38, 51]) / 255
    assert torch.equal(picture[30, :13], red.expand(13, 3)) and torch.equal(picture[30, -13:], red.expand(13, 3))
    plain = slice(60, 180)  # beside the mark
    assert torch.equal(picture[:30, plain], picture[30:, plain])
    steps = (picture[1:, plain] - picture[:-1, plain]).abs().mean(dim=(1, 2))
    assert 0 < steps[29] <= 1.1 * steps.max()


def test_what_does_not_loop_is_drawn_once_without_a_mark():
    picture = xt_slice(playback(MOVING), torch.full((40, 60, 3), 0.5), width=100)
    assert picture.shape == (150, 100, 3)
    assert (picture - 0.5).abs().max() < 0.01


def test_long_motion_is_cut_to_600_rows():
    assert_picture(xt_slice(loop(MOVING, 700), width=40), 600, 40)


@pytest.mark.parametrize(
    "size",
    [
        (80, 120),
        (10, 15),
    ],
)
def test_the_slice_is_a_row_of_the_rendered_picture(size):
    """Up and down by 15 px of 80: the row shows what comes in from far above and below."""
    coefficients = torch.zeros(1, 4, 4, *size)
    profile = 1 - 0.5 * torch.linspace(-1, 1, size[0]).abs()
    coefficients[0, 1, 3] = -15 * 75 * size[0] / 80 * profile[:, None]
    motion, photo = loop(SpectralVolume(coefficients), 30), random(5, 7, 3)
    photo = torch.nn.functional.interpolate(photo.movedim(-1, 0)[None], (80, 120))[0].movedim(0, -1)
    frames = render(photo, motion)
    error = (frames[:, :, 20:] - xt_slice(motion, photo, width=120)[:30, None, 20:]).abs().mean(dim=(0, 2, 3))
    assert error.min() < 0.01


def test_flow_colors_show_direction_and_length():
    flow = torch.zeros(2, 1, 6)
    flow[:, 0] = torch.tensor([[0.0, 1, 0, -1, 0, 0.5], [0, 0, 1, 0, -1, 0]])
    white, right, down, left, up, half = flow_colors(flow, maximum=1.0)[0]
    assert torch.equal(white, torch.ones(3))
    torch.testing.assert_close(right, torch.tensor([1.0, 0, 0]), atol=0.01, rtol=0)  # red, as usual
    torch.testing.assert_close(left, torch.tensor([0.0, 1, 1]), atol=0.01, rtol=0)
    torch.testing.assert_close(half, torch.tensor([1.0, 0.5, 0.5]), atol=0.01, rtol=0)
    assert (down - up).abs().max() > 0.5
    torch.testing.assert_close(flow_colors(flow * 40, maximum=40.0), flow_colors(flow, maximum=1.0))


def test_the_wheel_shows_the_frame_that_moves_most():
    coordinates = torch.zeros(50, 4, 2)
    coordinates[33, 1, 0] = 1 / 75  # moves right in one frame alone
    picture = flow_wheel(Motion(volume_moving_at(slice(0, 20), slice(0, 60)), coordinates, 30.0), width=240)
    torch.testing.assert_close(picture[20, 20], torch.tensor([1.0, 0, 0]), atol=0.02, rtol=0)
    assert torch.equal(picture[140, 20], torch.ones(3))
    wheel = picture[-88:, -88:]
    directions = [wheel[44 + round(30 * math.sin(a)), 44 + round(30 * math.cos(a))] for a in (0, 2.1, 4.2)]
    assert [int(color.argmax()) for color in directions] == [0, 1, 2]
