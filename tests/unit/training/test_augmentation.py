"""Augmentation: photos and their motion must change together, determined by the generator alone."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from gid_core.motion import loop, playback_coordinates
from gid_core.spectral_volume import SpectralVolume, modal_sum
from gid_core.training.augmentation import NO_AUGMENTATION, Augmentation, augment, composite, motion_mask, static_sample

SIZE = (64, 96)
GRID = (16, 24)


def settings(**changes):
    """No augmentation, except for these changes."""
    return replace(NO_AUGMENTATION, **{"size": SIZE, **changes})


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth_photo(size=SIZE, seed=0):
    """uint8 [H, W, 3], smooth enough to be interpolated accurately."""
    small = torch.rand(1, 3, size[0] // 16, size[1] // 16, generator=seeded(seed))
    photo = F.interpolate(small, size=size, mode="bicubic", align_corners=False)[0].permute(1, 2, 0)
    return (photo.clamp(0, 1) * 255).round().byte()


def random_volume(grid=GRID, seed=0, detrend="ramp", bins=6):
    coefficients = torch.randn(1, bins, 4, *grid, generator=seeded(seed)) * 50
    return SpectralVolume(coefficients, detrend=detrend).at_rest()


def constant_volume(vector, grid=GRID):
    """Bin 1 is the same x_re, x_im, y_re, y_im everywhere."""
    coefficients = torch.zeros(1, 3, 4, *grid)
    coefficients[:, 1] = torch.tensor(vector, dtype=torch.float32).view(4, 1, 1)
    return SpectralVolume(coefficients, detrend="ramp").at_rest()


# ---- identity and randomness ----


def test_no_augmentation_returns_the_sample():
    photo, volume = smooth_photo(), random_volume()
    pixels, coefficients = augment(photo, volume, seeded(), settings())
    assert pixels.dtype == coefficients.dtype == torch.float32
    torch.testing.assert_close(pixels, photo.permute(2, 0, 1) / 255, atol=1e-5, rtol=0)
    torch.testing.assert_close(coefficients / 50, volume.coefficients[0] / 50, atol=1e-5, rtol=1e-5)


def test_the_seed_determines_the_result():
    photo, volume = smooth_photo((128, 192)), random_volume((32, 48))
    everything = Augmentation(size=SIZE, blur_probability=1.0, noise_probability=1.0)
    first, again = (augment(photo, volume, seeded(3), everything) for _ in range(2))
    torch.rand(5)  # the global generator must not matter
    other = augment(photo, volume, seeded(4), everything)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])


def test_shapes_range_and_rest_with_all_defaults():
    photo, volume = smooth_photo((272, 480)), random_volume((68, 120))
    for seed in range(8):
        pixels, coefficients = augment(photo, volume, seeded(seed), Augmentation(noise_probability=1.0))
        assert pixels.shape == (3, 288, 512) and coefficients.shape == (6, 4, 72, 128)
        assert 0 <= float(pixels.min()) and float(pixels.max()) <= 1 and float(pixels.std()) > 0.02
        at_rest = coefficients[0, 0::2] + 2 * coefficients[1:, 0::2].sum(0)
        assert float(at_rest.abs().max()) < 1e-2 and float(coefficients[0, 1::2].abs().max()) == 0


def test_inputs_are_not_changed():
    photo, volume = smooth_photo(), random_volume()
    before = photo.clone(), volume.coefficients.clone()
    augment(photo, volume, seeded(), Augmentation(size=SIZE, grayscale_probability=1.0, noise_probability=1.0))
    assert torch.equal(photo, before[0]) and torch.equal(volume.coefficients, before[1])


@pytest.mark.parametrize("bad", [{"size": (60, 96)}, {"min_scale": 2.0}, {"min_scale": 0.0}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError):
        settings(**bad)


# ---- the affine map ----


def test_flip_negates_x_and_is_its_own_inverse():
    photo, volume = smooth_photo(), random_volume()
    pixels, coefficients = augment(photo, volume, seeded(), settings(flip_probability=1.0))
    expected = volume.coefficients[0].flip(-1) * torch.tensor([-1.0, -1, 1, 1]).view(1, 4, 1, 1)
    torch.testing.assert_close(pixels, (photo.permute(2, 0, 1) / 255).flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(coefficients, expected, atol=2e-3, rtol=1e-5)
    mirrored = (pixels.permute(1, 2, 0) * 255).round().byte(), volume.replace(coefficients=coefficients[None])
    pixels, coefficients = augment(*mirrored, seeded(1), settings(flip_probability=1.0))
    torch.testing.assert_close(pixels, photo.permute(2, 0, 1) / 255, atol=1e-5, rtol=0)
    torch.testing.assert_close(coefficients, volume.coefficients[0], atol=4e-3, rtol=1e-5)


def test_scale_multiplies_vectors():
    volume = constant_volume([3, -1, 2, 5])
    _, coefficients = augment(smooth_photo(), volume, seeded(), settings(min_scale=2.0, max_scale=2.0))
    expected = 2 * volume.coefficients[0, 1, :, 0, 0]
    torch.testing.assert_close(coefficients[1], expected.view(4, 1, 1).expand(4, *GRID))


def test_grids_of_other_ratios_give_vectors_in_output_pixels():
    volume = constant_volume([3, -1, 2, 5], grid=(32, 24))  # a photo pixel is 1/4 of its width and 1/2 of its height
    _, coefficients = augment(smooth_photo(), volume, seeded(), settings())
    torch.testing.assert_close(coefficients[1, :, 8, 8], torch.tensor([3.0, -1, 1, 2.5]))


def test_rotation_rotates_vectors_with_the_photo():
    """The angle is measured in the photo, from two marks on a horizontal line, and compared with the vectors."""
    photo = torch.zeros(128, 128, 3, dtype=torch.uint8)
    marks = [(62, 40), (62, 88)]
    for row, column in marks:
        photo[row : row + 4, column : column + 4] = 255
    volume = constant_volume([1, -2, 0, 0], grid=(32, 32))
    options = settings(size=(128, 128), max_rotation=20.0, max_scale=1.0)
    for seed in range(4):
        pixels, coefficients = augment(photo, volume, seeded(seed), options)
        centers = []
        for half in (slice(0, 64), slice(64, 128)):
            part = pixels[0, :, half]
            ys, xs = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in part.shape], indexing="ij")
            centers.append(torch.stack([(xs * part).sum(), (ys * part).sum()]) / part.sum())
        (dx, dy) = centers[1] - centers[0] + torch.tensor([64.0, 0])
        angle = math.atan2(float(dy), float(dx))
        assert 0.01 < abs(angle) < math.radians(20.5)
        middle = coefficients[1, :, 16, 16]
        cos, sin = math.cos(angle), math.sin(angle)
        torch.testing.assert_close(middle, torch.tensor([cos, -2 * cos, sin, -2 * sin]), atol=0.02, rtol=0)


@pytest.mark.parametrize("move", [(8, 0), (0, 8), (-4, 12)])
def test_photo_and_motion_stay_consistent(move):
    """Augmentation commutes with moving the photo by F."""
    dx, dy = move
    photo = smooth_photo((128, 192), seed=2)
    moved = photo.roll((dy, dx), (0, 1))
    volume = constant_volume([dx / 4, 0, dy / 4, 0], grid=(32, 48))
    options = Augmentation(
        size=SIZE,
        color_jitter=0.0,
        blur_probability=0.0,
        noise_probability=0.0,
        grayscale_probability=0.0,
        time_shift=False,
        time_reversal_probability=0.0,
        max_rotation=15.0,
    )
    for seed in range(6):
        before, coefficients = augment(photo, volume, seeded(seed), options)
        after, _ = augment(moved, volume, seeded(seed), options)
        flow = F.interpolate(coefficients[1, 0::2][None], size=SIZE, mode="bilinear", align_corners=False)[0] * 4
        ys, xs = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in SIZE], indexing="ij")
        x, y = xs + flow[0], ys + flow[1]  # `after` at (x, y) equals `before` at (xs, ys)

        def sample(x, y, image=after):
            grid = torch.stack([(2 * x + 1) / SIZE[1] - 1, (2 * y + 1) / SIZE[0] - 1], -1)[None]
            return F.grid_sample(image[None], grid, align_corners=False, padding_mode="border")[0]

        inside = ..., slice(20, -20), slice(24, -24)
        error = (sample(x, y) - before)[inside].abs().mean()
        wrong = (sample(xs - flow[0], ys - flow[1]) - before)[inside].abs().mean()
        assert error < 0.006
        assert wrong > 5 * error


def test_volume_is_aligned_with_the_photo():
    """A single moving bright square stays where the motion is, to a fraction of a pixel of the volume."""
    photo = torch.zeros(128, 192, 3, dtype=torch.uint8)
    photo[48:80, 80:120] = 255
    coefficients = torch.zeros(1, 3, 4, 32, 48)
    coefficients[:, 1, 0, 12:20, 20:30] = 1
    volume = SpectralVolume(coefficients, detrend="ramp")
    options = settings(size=(96, 160), max_scale=1.2, min_scale=0.9, max_rotation=10.0, flip_probability=0.5)
    for seed in range(8):
        pixels, motion = augment(photo, volume, seeded(seed), options)
        shown = F.avg_pool2d(pixels[:1], 4)[0]
        length = motion[1, 0::2].square().sum(0).sqrt()
        length = length / length.max()
        ys, xs = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shown.shape], indexing="ij")
        centers = [torch.stack([(m * xs).sum(), (m * ys).sum()]) / m.sum() for m in (shown, length)]
        assert float((centers[0] - centers[1]).abs().max()) < 0.06


def test_mirrored_borders_move_in_the_opposite_direction():
    volume = constant_volume([3, 0, 2, 0])
    options = settings(min_scale=0.5, max_scale=0.5)
    _, coefficients = augment(smooth_photo(), volume, seeded(), options)
    assert coefficients[1, 0, 8, [1, 12, 22]].tolist() == pytest.approx([-1.5, 1.5, -1.5])
    assert coefficients[1, 2, [1, 8, 14], 12].tolist() == pytest.approx([-1, 1, -1])
    assert coefficients[1, 0::2, 1, 1].tolist() == pytest.approx([-1.5, -1])


def test_the_crop_is_inside_the_photo():
    """If the scale allows it: no vector of a constant field is mirrored."""
    volume = constant_volume([1, 0, 0, 0], grid=(32, 48))
    for seed in range(20):
        options = settings(size=(128, 192), min_scale=0.85, max_scale=1.6, max_rotation=5.0)
        _, coefficients = augment(smooth_photo((128, 192)), volume, seeded(seed), options)
        assert float(coefficients[1, 0].min()) > 0.9
        assert float(coefficients[1, 0].max()) < 1.6


# ---- time ----


def displacement(volume, time):
    return modal_sum(volume.coefficients, playback_coordinates(volume, time))


def test_time_shift_starts_at_another_time_of_the_period():
    volume = random_volume(bins=6)
    for seed in range(5):
        _, coefficients = augment(smooth_photo(), volume, seeded(seed), settings(time_shift=True))
        shifted = volume.replace(coefficients=coefficients[None])
        old = torch.complex(*volume.coefficients[0, 1, :2, 5, 5])
        new = torch.complex(*coefficients[1, :2, 5, 5])
        tau = float((new / old).angle()) / (2 * math.pi) * volume.period % volume.period
        assert 0 < tau < volume.period
        time = torch.arange(volume.period, dtype=torch.float64)
        expected = displacement(volume, time + tau) - displacement(volume, torch.tensor([tau], dtype=torch.float64))
        torch.testing.assert_close(loop(shifted).displacement(), expected, atol=2e-3, rtol=0)


def test_time_reversal_plays_backward():
    volume = random_volume(bins=6)
    _, coefficients = augment(smooth_photo(), volume, seeded(), settings(time_reversal_probability=1.0))
    backward = loop(volume.replace(coefficients=coefficients[None])).displacement()
    forward = loop(volume).displacement()
    torch.testing.assert_close(backward, forward[:, [0, *range(volume.period - 1, 0, -1)]], atol=2e-3, rtol=0)
    assert float((backward - forward).abs().max()) > 0.1


def test_motion_that_is_not_periodic_is_not_shifted_in_time():
    volume = random_volume(detrend="none")
    _, coefficients = augment(
        smooth_photo(), volume, seeded(), settings(time_shift=True, time_reversal_probability=1.0)
    )
    torch.testing.assert_close(coefficients, volume.coefficients[0], atol=2e-3, rtol=1e-5)


# ---- colors ----


def test_color_jitter_changes_the_photo_only():
    photo, volume = smooth_photo(), random_volume()
    plain = augment(photo, volume, seeded(), settings())
    means = set()
    for seed in range(5):
        pixels, coefficients = augment(photo, volume, seeded(seed), settings(color_jitter=0.2))
        assert torch.equal(coefficients, plain[1])
        assert 0.003 < float((pixels - plain[0]).abs().mean()) < 0.25
        means.add(round(float(pixels.mean()), 4))
    assert len(means) == 5


def test_grayscale_has_no_color():
    pixels, _ = augment(smooth_photo(), random_volume(), seeded(), settings(grayscale_probability=1.0))
    assert float((pixels - pixels.mean(0)).abs().max()) < 1e-4
    assert float(pixels.std()) > 0.02


@pytest.mark.parametrize("change", ["blur_probability", "noise_probability"])
def test_blur_and_noise(change):
    photo = (torch.rand(*SIZE, 3, generator=seeded()) * 255).byte()
    photo = (photo / 2 + 64).byte()
    plain, _ = augment(photo, random_volume(), seeded(), settings())
    pixels, _ = augment(photo, random_volume(), seeded(), settings(**{change: 1.0}))
    assert (float(pixels.std()) < float(plain.std())) == (change == "blur_probability")


# ---- compositing ----


def scene(seed, moving=None, vector=(5.0, 1.0, 2.0, -3.0)):
    """(photo, coefficients) at 128 x 192 in which a red rectangle (rows, columns of the volume) moves."""
    photo = smooth_photo((128, 192), seed=seed).permute(2, 0, 1) / 255 * 0.5
    coefficients = torch.zeros(3, 4, 32, 48)
    if moving:
        rows, columns = moving
        coefficients[1, :, rows, columns] = torch.tensor(vector).view(4, 1, 1)
        coefficients[0, 0::2] = -2 * coefficients[1, 0::2]
        block = [slice(s.start * 4, s.stop * 4) for s in (rows, columns)]
        photo[:, block[0], block[1]] = torch.tensor([1.0, 0.05, 0.05]).view(3, 1, 1)
    return photo, coefficients


def test_composite_has_the_motion_of_a_inside_and_of_b_outside():
    a = scene(1, (slice(10, 22), slice(14, 30)))
    b_photo, b_motion = scene(2)
    b = b_photo, b_motion + 0.25
    shifted, mirrored = set(), set()
    for seed in range(12):
        photo, motion = composite(a, b, seeded(seed))
        inside = (motion[1] - 0.25).abs().sum(0) > 0.1
        assert 150 < int(inside.sum()) < 230  # the rectangle has 12 x 16 = 192
        signs = motion[1][:, inside].T.unique(dim=0)
        assert signs.shape[0] == 1
        mirrored.add(tuple(signs[0].tolist()))
        assert bool((motion[:, :, ~inside] == 0.25).all())
        red = F.avg_pool2d((photo[0] - photo[1] > 0.6).float()[None], 4)[0] > 0.5
        assert float((red == inside).float().mean()) > 0.98
        outside = F.max_pool2d(inside.float()[None], 7, 1, 3)[0] == 0
        far = outside.repeat_interleave(4, 0).repeat_interleave(4, 1)
        assert torch.equal(photo[:, far], b_photo[:, far])
        shifted.add(tuple(inside.nonzero()[0].tolist()))
    assert mirrored == {(5.0, 1.0, 2.0, -3.0), (-5.0, -1.0, 2.0, -3.0)}
    assert len(shifted) > 6


def test_region_at_the_border_stays_at_the_border():
    a = scene(1, (slice(20, 32), slice(10, 26)))  # stands on the lower edge
    for seed in range(12):
        _, motion = composite(a, static_sample(scene(2)[0], num_bins=3), seeded(seed))
        inside = motion[1].abs().sum(0) > 0
        assert bool(inside[-1].any())


def test_composite_needs_some_but_not_all_to_move():
    b = scene(2)
    for moving in (None, (slice(0, 5), slice(0, 6)), (slice(0, 32), slice(0, 44))):
        a = scene(1, moving)
        result = composite(a, b, seeded())
        assert result is a
    a = scene(1, (slice(10, 22), slice(14, 30)))
    assert composite(a, b, seeded()) is not a


def test_composite_is_determined_by_its_generator():
    a, b = scene(1, (slice(10, 22), slice(14, 30))), scene(2)
    first, again = composite(a, b, seeded(5)), composite(a, b, seeded(5))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])


def test_static_sample_has_an_empty_mask():
    photo, motion = static_sample(scene(2)[0], num_bins=3)
    assert motion.shape == (3, 4, 32, 48) and not motion.any()
    assert not motion_mask(photo, motion).any()


def test_a_pasted_edge_is_soft_but_narrow():
    alpha = motion_mask(*scene(1, (slice(10, 22), slice(14, 30))))
    row = alpha[64]
    between = int(((row > 0.02) & (row < 0.98)).sum())
    assert 0 < between <= 16  # two edges
    assert float(alpha[64, 90]) == 1 and float(alpha[20, 20]) == 0
