"""SpectralVolume: the transform against torch.fft, loops, and every method's result and invariants."""

import pytest
import torch

from gid_core import spectral_volume
from gid_core.motion import loop, playback, playback_coordinates
from gid_core.rendering.render import render
from gid_core.spectral_volume import SpectralVolume, modal_sum, temporal_dft
from random_tensors import random_normal


def random_volume(batch=1, bins=6, size=(9, 13), seed=0, **settings):
    return SpectralVolume(random_normal(batch, bins, 4, *size, seed=seed) * 50, **settings)


def smooth_volume(size, bins=5):
    """One motion, in fractions of the image, sampled on a grid of any size."""
    height, width = size
    y = ((torch.arange(height) + 0.5) / height)[:, None]
    x = (torch.arange(width) + 0.5) / width
    slices = []
    for k in range(bins):
        parts = [torch.sin(2 * x + (1 + k) * y + i) for i in range(4)]
        slices.append(torch.stack(parts) * torch.tensor([width, width, height, height]).view(4, 1, 1))
    return SpectralVolume(torch.stack(slices)[None])


def as_complex(coefficients):
    """[B, K, 4, H, W] to complex [B, K, 2, H, W]."""
    c = coefficients.double()
    return torch.stack([torch.complex(c[:, :, 0], c[:, :, 1]), torch.complex(c[:, :, 2], c[:, :, 3])], dim=2)


# ---- the transform ----

TRANSFORMS = [(150, 16), (15, 8), (15, 3), (16, 9), (16, 8), (7, 1), (2, 2), (1, 1)]


@pytest.mark.parametrize(("period", "bins"), TRANSFORMS)
def test_temporal_dft_equals_rfft(period, bins):
    motion = random_normal(2, period, 2, 3, 4)
    expected = torch.fft.rfft(motion.double(), dim=1)[:, :bins]
    torch.testing.assert_close(as_complex(temporal_dft(motion, bins)), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("period", "bins"), TRANSFORMS)
def test_playback_is_irfft(period, bins):
    """Odd and even periods, and the Nyquist bin, which counts once (period == 2 (K - 1))."""
    motion = random_normal(2, period, 2, 3, 4)
    volume = SpectralVolume(temporal_dft(motion, bins), period=period)
    expected = torch.fft.irfft(torch.fft.rfft(motion.double(), dim=1)[:, :bins], n=period, dim=1).float()
    played = modal_sum(volume.coefficients, playback_coordinates(volume, torch.arange(period), start_at_rest=False))
    torch.testing.assert_close(played, expected, atol=2e-5, rtol=1e-5)
    if bins == period // 2 + 1:
        torch.testing.assert_close(played, motion, atol=2e-5, rtol=1e-5)


def test_band_limited_motion_survives_the_round_trip():
    time = torch.arange(150.0) * (2 * torch.pi / 150)
    waves = sum(torch.sin(k * time + k) for k in (1, 4, 15)) + 0.7
    motion = waves.view(1, -1, 1, 1, 1) * random_normal(1, 1, 2, 5, 6)
    volume = SpectralVolume(temporal_dft(motion, 16))
    torch.testing.assert_close(playback(volume).displacement(), motion, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(loop(volume).displacement(), motion - motion[:, :1], atol=5e-5, rtol=1e-5)


def test_a_single_wave_lies_in_its_own_bin_with_the_right_sign():
    """cos in bin k is T/2, sin is -i T/2: a sign error here would play motion backwards."""
    time = torch.arange(30.0) * (2 * torch.pi * 3 / 30)
    motion = torch.stack([torch.cos(time), torch.sin(time)], dim=1).view(1, 30, 2, 1, 1)
    expected = torch.zeros(6, 4)
    expected[3] = torch.tensor([15.0, 0.0, 0.0, -15.0])
    torch.testing.assert_close(temporal_dft(motion, 6)[0, ..., 0, 0], expected, atol=1e-4, rtol=0)


def test_modal_sum_is_the_real_part_of_the_complex_product():
    volume, q = random_volume(batch=2), random_normal(7, 6, 2, seed=1)
    coordinates = torch.complex(q[..., 0], q[..., 1]).to(torch.complex128)
    expected = torch.einsum("bkchw,tk->btchw", as_complex(volume.coefficients), coordinates).real.float()
    torch.testing.assert_close(modal_sum(volume.coefficients, q), expected, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("bins", [0, 9, -1])
def test_more_bins_than_the_samples_hold_are_refused(bins):
    with pytest.raises(ValueError, match=f"num_bins={bins}"):
        temporal_dft(random_normal(1, 15, 2, 2, 2), bins)


# ---- looping ----


@pytest.mark.parametrize("seed", range(3))
def test_a_loop_of_any_volume_starts_at_the_photo(seed):
    motion = loop(random_volume(bins=16, seed=seed), num_frames=50)
    assert torch.equal(motion.displacement(0, 1), torch.zeros(1, 1, 2, 9, 13))
    assert motion.displacement(1, 2).abs().max() > 0.1


def test_a_loop_repeats():
    volume = random_volume(bins=16)
    once, twice = loop(volume, 150).displacement(), loop(volume, 300).displacement()
    torch.testing.assert_close(twice[:, :150], once, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(twice[:, 150:], once, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [150, 97, 60])
def test_the_step_at_the_seam_is_as_large_as_other_steps(frames):
    volume = smooth_volume((8, 10), bins=8).amplify(2.0)
    played = loop(volume, frames).displacement()[0]
    steps = (played.roll(-1, 0) - played).norm(dim=1).mean(dim=(1, 2))
    assert steps[-1] <= 1.1 * steps[:-1].max()
    assert steps[-1] > 0


# ---- resize ----


@pytest.mark.parametrize("size", [(18, 26), (5, 7), (9, 40), (30, 6), (1, 1)])
def test_resizing_commutes_with_playback(size):
    volume = random_volume(batch=2)
    first = modal_sum(volume.resize(size).coefficients, random_normal(3, 6, 2))
    shrinks = size[0] < 9 or size[1] < 13
    flat = modal_sum(volume.coefficients, random_normal(3, 6, 2)).flatten(0, 1)
    last = torch.nn.functional.interpolate(flat, size, mode="bilinear", antialias=shrinks).view(first.shape)
    last = last * torch.tensor([size[1] / 13, size[0] / 9]).view(2, 1, 1)
    torch.testing.assert_close(first, last, atol=1e-3, rtol=1e-4)


def test_twice_the_size_moves_twice_as_many_pixels():
    volume = SpectralVolume(torch.ones(1, 3, 4, 6, 8))
    assert torch.equal(volume.resize((12, 16)).coefficients, torch.full((1, 3, 4, 12, 16), 2.0))
    wide = volume.resize((6, 16)).coefficients
    assert torch.equal(wide[:, :, :2], torch.full((1, 3, 2, 6, 16), 2.0))
    assert torch.equal(wide[:, :, 2:], torch.ones(1, 3, 2, 6, 16))


@pytest.mark.parametrize("size", [(48, 64), (30, 50), (16, 20)])
def test_the_same_motion_at_any_resolution(size):
    resized, drawn = smooth_volume((24, 32)).resize(size), smooth_volume(size)
    inside = (..., slice(2, -2), slice(2, -2))  # interpolation has no neighbors outside the image
    error = (resized.coefficients - drawn.coefficients)[inside].abs().max()
    assert error < 0.02 * drawn.coefficients.abs().max()


def test_enlarging_and_shrinking_keeps_a_smooth_field():
    volume = smooth_volume((24, 32))
    back = volume.resize((48, 64)).resize((24, 32)).coefficients
    change = (back - volume.coefficients).abs() / volume.coefficients.abs().max()
    assert change[..., 1:-1, 1:-1].max() < 0.02 and change.max() < 0.1  # the border has neighbors on one side only


def test_resize_keeps_other_attributes_and_does_nothing_for_the_same_size():
    volume = random_volume(fps=24.0, period=99, detrend="ramp", metadata={"a": "b"})
    resized = volume.resize((4, 4))
    assert (resized.fps, resized.period, resized.detrend) == (24.0, 99, "ramp")
    assert resized.metadata == {"a": "b"} and resized.size == (4, 4)
    assert torch.equal(volume.resize((9, 13)).coefficients, volume.coefficients)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-3, 5)])
def test_resize_to_an_empty_size_is_refused(size):
    with pytest.raises(ValueError, match=f"(height|width) must be a whole number from 1 .*got {min(size)}"):
        random_volume().resize(size)


# ---- amplify ----


@pytest.mark.parametrize("gain", [0.0, 1.0, 2.5, -1.0])
def test_gain_scales_every_displacement(gain):
    volume = random_volume()
    torch.testing.assert_close(
        loop(volume.amplify(gain), 12).displacement(), loop(volume, 12).displacement() * gain, atol=1e-4, rtol=1e-5
    )


def test_gain_zero_removes_motion_and_gain_one_changes_nothing():
    volume = random_volume()
    assert volume.amplify(0.0).coefficients.abs().sum() == 0
    assert torch.equal(volume.amplify(1.0).coefficients, volume.coefficients)
    assert torch.equal(volume.amplify(1.0, [1, 1, 1]).coefficients, volume.coefficients)


def test_amplify_is_linear():
    one, two = random_volume(seed=1), random_volume(seed=2)
    both = SpectralVolume(one.coefficients + two.coefficients)
    gains = [0.5, 3, -1]
    expected = one.amplify(1.5, gains).coefficients + two.amplify(1.5, gains).coefficients
    torch.testing.assert_close(both.amplify(1.5, gains).coefficients, expected, atol=1e-4, rtol=1e-5)


def test_band_gains_go_from_the_lowest_frequency_to_the_highest():
    ones = SpectralVolume(torch.ones(1, 6, 4, 2, 2))  # bins 1..5
    per_bin = lambda gains, gain=1.0: ones.amplify(gain, gains).coefficients[0, :, 0, 0, 0].tolist()  # noqa: E731
    assert per_bin([1, 0]) == pytest.approx([1, 1, 0.75, 0.5, 0.25, 0])
    assert per_bin([0, 1, 0]) == pytest.approx([0, 0, 0.5, 1, 0.5, 0])
    assert per_bin([3]) == pytest.approx([3] * 6)
    assert per_bin([1, 2, 3, 4, 5], 2.0) == pytest.approx([2, 2, 4, 6, 8, 10])


@pytest.mark.parametrize("bins", [1, 2])
def test_one_or_two_bins_take_the_first_band_gain(bins):
    ones = SpectralVolume(torch.ones(1, bins, 4, 2, 2))
    assert torch.equal(ones.amplify(1.0, [2, 7]).coefficients, ones.coefficients * 2)


@pytest.mark.parametrize(
    ("gain", "bands"), [(float("nan"), None), (float("inf"), None), (1.0, []), (1.0, [1, float("nan")])]
)
def test_invalid_gains_are_refused(gain, bands):
    with pytest.raises(ValueError, match="finite"):
        random_volume().amplify(gain, bands)


# ---- mask ----


def square(height=40, width=60):
    mask = torch.zeros(height, width)
    mask[8:32, 10:50] = 1
    return mask


def test_black_removes_motion_and_white_keeps_it():
    volume, mask = random_volume(size=(40, 60)), square()
    masked = volume.mask(mask).coefficients
    assert masked[..., mask == 0].abs().sum() == 0
    assert torch.equal(masked[..., mask == 1], volume.coefficients[..., mask == 1])


def test_the_feather_lies_inside_the_white():
    mask = square()
    ones = SpectralVolume(torch.ones(1, 2, 4, 40, 60))
    soft = ones.mask(mask, feather=6).coefficients[0, 0, 0]
    assert soft[mask == 0].abs().sum() == 0
    assert torch.equal(soft[14:26, 16:44], torch.ones(12, 28))
    row = soft[20, 10:30]
    assert (row.diff() >= 0).all() and 0 < row[0] < 0.2 and row[2] < 1
    assert (ones.mask(mask, feather=12).coefficients <= ones.mask(mask, feather=6).coefficients).all()


def test_feathering_a_white_mask_changes_nothing():
    volume = random_volume()
    assert torch.equal(volume.mask(torch.ones(9, 13), feather=50).coefficients, volume.coefficients)


def test_gray_reduces_motion():
    volume = random_volume()
    torch.testing.assert_close(volume.mask(torch.full((9, 13), 0.25)).coefficients, volume.coefficients * 0.25)


@pytest.mark.parametrize("size", [(80, 120), (20, 30), (4, 6), (37, 53)])
def test_masks_of_another_size(size):
    """Away from its edge a mask of any size is black or white."""
    volume = random_volume(size=(40, 60))
    mask = torch.zeros(size)
    mask[:, size[1] // 2 :] = 1
    masked = volume.mask(mask).coefficients
    assert masked[..., :20].abs().sum() == 0
    torch.testing.assert_close(masked[..., 40:], volume.coefficients[..., 40:])
    white = volume.mask(torch.ones(size)).coefficients
    torch.testing.assert_close(white, volume.coefficients, atol=1e-4, rtol=1e-5)


def test_one_mask_for_all_photos_or_one_mask_each():
    volume, mask = random_volume(batch=2, size=(40, 60)), square()
    expected = volume.coefficients * mask
    for masks in (mask, mask[None], torch.stack([mask, mask])):
        assert torch.equal(volume.mask(masks).coefficients, expected)
    each = volume.mask(torch.stack([mask, 1 - mask])).coefficients
    assert torch.equal(each[0], expected[0]) and torch.equal(each[1], volume.coefficients[1] * (1 - mask))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(3, 9, 13), r"\(2\); got 3"),
        (torch.ones(1, 1, 9, 13), r"\[1, 1, 9, 13\]"),
        (torch.ones(5), r"\[5\]"),
        (torch.ones(0, 9), r"\[1, 0, 9\]"),
        (torch.full((9, 13), float("nan")), "NaN"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        random_volume(batch=2).mask(mask)


def test_negative_feather_is_refused():
    with pytest.raises(ValueError, match="-1"):
        random_volume().mask(torch.ones(9, 13), feather=-1)


# ---- the object ----


@pytest.mark.parametrize(
    ("coefficients", "settings", "message"),
    [
        (torch.zeros(2, 3, 4, 5), {}, r"\(2, 3, 4, 5\)"),
        (torch.zeros(1, 2, 3, 4, 5), {}, r"\(1, 2, 3, 4, 5\)"),
        (torch.zeros(1, 0, 4, 4, 5), {}, r"\(1, 0, 4, 4, 5\)"),
        ([1, 2], {}, "list"),
        (torch.zeros(1, 2, 4, 3, 3, dtype=torch.long), {}, "int64"),
        (torch.full((1, 2, 4, 3, 3), float("nan")), {}, "NaN"),
        (torch.full((1, 2, 4, 3, 3), float("-inf")), {}, "infinite"),
        (torch.zeros(1, 2, 4, 3, 3), {"fps": 0}, "fps"),
        (torch.zeros(1, 2, 4, 3, 3), {"fps": float("nan")}, "fps"),
        (torch.zeros(1, 2, 4, 3, 3), {"fps": float("inf")}, "fps"),
        (
            torch.zeros(1, 9, 4, 3, 3),
            {"period": 15},
            "a whole number from 16 to .*9 bins.; got 15",
        ),
        (torch.zeros(1, 2, 4, 3, 3), {"period": -150}, "-150"),
        (torch.zeros(1, 2, 4, 3, 3), {"detrend": "linear"}, "linear"),
        (torch.zeros(1, 1, 4, 3, 3), {"period": 0}, "period"),
    ],
)
def test_invalid_volumes_are_refused(coefficients, settings, message):
    with pytest.raises(ValueError, match=message):
        SpectralVolume(coefficients, **settings)


def test_properties():
    volume = SpectralVolume(torch.zeros(2, 5, 4, 7, 11, dtype=torch.float16), fps=24.0, period=48)
    assert (len(volume), volume.num_bins, volume.size, volume.duration) == (2, 5, (7, 11), 2.0)
    assert volume.coefficients.dtype == torch.float32
    assert volume.frequencies.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_volumes_are_equal_only_to_themselves():
    """Comparison of the tensors in them would raise."""
    volume = random_volume()
    other = volume.replace(coefficients=volume.coefficients.clone())
    assert volume == volume and volume != other
    assert len({volume, other, volume}) == 2


def test_methods_do_not_change_their_input(tmp_path):
    coefficients, mask = random_normal(2, 6, 4, 9, 13), torch.rand(9, 13)
    kept, kept_mask = coefficients.clone(), mask.clone()
    volume = SpectralVolume(coefficients, metadata={"a": "b"})
    volume.resize((4, 30)), volume.amplify(3, [0, 1]), volume.mask(mask, feather=3), volume.mask(mask)
    loop(volume).displacement(), volume.save(tmp_path / "v.safetensors", {"c": "d"})
    assert torch.equal(coefficients, kept) and torch.equal(mask, kept_mask)
    assert volume.metadata == {"a": "b"}


def test_coefficients_are_scanned_once_and_sums_that_overflow_are_no_error(monkeypatch):
    scanned, all_finite = [], spectral_volume._all_finite
    monkeypatch.setattr(spectral_volume, "_all_finite", lambda c: scanned.append(c.numel()) or all_finite(c))
    volume = SpectralVolume(torch.full((1, 3, 4, 5, 6), 3e38))
    assert scanned == [volume.coefficients.numel()] and torch.isinf(volume.coefficients.sum())
    changed = volume.replace(fps=25.0).to("cpu")
    assert changed.fps == 25 and changed.coefficients is volume.coefficients and sum(scanned[1:]) <= 12
    render(torch.rand(5, 6, 3), loop(SpectralVolume(torch.zeros(1, 3, 4, 5, 6)), 4))
    assert sum(scanned[1:]) <= 12 + volume.coefficients.numel()
    for value in (float("nan"), float("inf"), -float("inf")):
        coefficients = volume.coefficients.clone()
        coefficients[0, 1, 2, 3, 4] = value
        with pytest.raises(ValueError, match="NaN or infinite"):
            volume.replace(coefficients=coefficients)
