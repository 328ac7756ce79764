"""Synthetic scenes: rendered frames follow the exact ground truth."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from gid_core.synthetic.random_scene import KINDS, random_scene, stems_scene

SMALL = (81, 119)  # odd sides, to test them as well


def backward_warp(image, flow):
    """The image sampled at p + flow(p), by cubic splines (cv2.remap rounds positions to 1/32 px)."""
    h, w = image.shape[:2]
    y, x = np.mgrid[0:h, 0:w]
    channels = [map_coordinates(image[..., c], [y + flow[1], x + flow[0]], mode="nearest") for c in range(3)]
    return np.stack(channels, axis=-1)


@pytest.fixture(scope="module")
def stems():
    return stems_scene(seed=1)


def test_same_seed_same_scene():
    first, second, other = (random_scene(seed, SMALL) for seed in (5, 5, 6))
    assert np.array_equal(first.render(7.5), second.render(7.5))
    assert np.array_equal(first.displacement(7.5), second.displacement(7.5))
    assert not np.array_equal(first.render(0), other.render(0))


@pytest.mark.parametrize("periodic", [True, False])
def test_starts_at_rest(periodic):
    scene = random_scene(2, SMALL, periodic=periodic)
    moving = scene.labels() > 0
    assert np.all(scene.displacement(0) == 0)
    later = scene.displacement(40)
    assert np.hypot(*later)[moving].mean() > 0.2
    assert np.all(later[:, ~moving] == 0)
    assert later.shape == (2, *SMALL) and later.dtype == np.float32


@pytest.mark.parametrize("seed", range(3))
def test_periodic_volume_is_exact(seed):
    scene = random_scene(seed, SMALL)
    volume = scene.spectral_volume(num_bins=16)
    x_re, x_im, y_re, y_im = volume.coefficients[0].double().numpy().transpose(1, 0, 2, 3)
    bins = np.stack([x_re + 1j * x_im, y_re + 1j * y_im], axis=1)
    inverse = np.fft.irfft(np.concatenate([bins, np.zeros((60, *bins.shape[1:]))]), n=150, axis=0)
    assert np.abs(inverse - scene.displacements(range(150))).max() < 1e-3
    assert np.abs(scene.displacement(150)).max() < 1e-4
    assert (volume.fps, volume.period, volume.detrend) == (30.0, 150, "none")


def test_ramp_leaves_no_net_displacement():
    scene = random_scene(4, SMALL, periodic=False)
    assert np.abs(scene.displacement(150)).max() > 0.5
    raw = scene.spectral_volume(76).coefficients[0].numpy()
    detrended = scene.spectral_volume(76, detrend="ramp").coefficients[0].numpy()
    assert np.abs(detrended[40:]).max() < 0.2 * np.abs(raw[40:]).max()
    with pytest.raises(ValueError, match="detrend"):
        scene.spectral_volume(detrend="spline")


def test_stems_move_by_the_requested_amplitude(stems):
    flow = stems.displacements(range(150))
    assert {layer.width for layer in stems.layers} == {3.0, 6.0, 12.0}
    for number in range(1, 10):
        inside = stems.interior_mask(number)
        assert inside.sum() > 100
        rms = np.sqrt((flow[:, :, inside] ** 2).sum(1).mean(0))
        assert rms.max() == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize("t", [20, 31.5, 75])
def test_frames_follow_the_displacements(stems, t):
    reference, moved, flow = stems.render(0), stems.render(t), stems.displacement(t)
    for width in (3, 6, 12):
        inside = stems.interior_mask(width=width)
        error = np.abs(backward_warp(moved, flow) - reference)[inside].mean()
        assert error < 0.012
        assert error < 0.4 * np.abs(moved - reference)[inside].mean()


@pytest.mark.parametrize("t", [20, 31.5, 75])
def test_displacements_are_accurate_to_three_hundredths_of_a_pixel(stems, t):
    reference, moved, flow = stems.render(0), stems.render(t), stems.displacement(t)
    warped = backward_warp(moved, flow)
    gy, gx = np.gradient((warped + reference) / 2, axis=(0, 1))
    for number, layer in enumerate(stems.layers, start=1):
        if layer.width < 6:
            continue  # no pixel is far enough from the edges for gradients
        inside = stems.interior_mask(number, margin=1)
        slopes = np.stack([gx[inside].ravel(), gy[inside].ravel()], axis=1)
        residual, *_ = np.linalg.lstsq(slopes, (reference - warped)[inside].ravel(), rcond=None)
        assert np.abs(residual).max() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_follows_its_displacements(kind):
    scene = random_scene(11, (120, 160), kinds=(kind,))
    reference, moved, flow = scene.render(0), scene.render(50), scene.displacement(50)
    inside = scene.interior_mask(kind=kind, margin=1) & (np.hypot(*flow) > 0.5)
    assert inside.sum() > 20
    # The median ignores pixels that another surface has occluded.
    error = np.median(np.abs(backward_warp(moved, flow) - reference)[inside])
    assert error < 0.02
    assert error < 0.5 * np.median(np.abs(moved - reference)[inside])


def test_background_is_static():
    scene = random_scene(3, SMALL)
    frames = scene.frames(40)
    static = scene.background_mask(margin=1)
    assert static.any()
    assert np.all(frames[:, static] == frames[0, static])
    assert np.any(scene.frames(40)[:, ~static] != frames[0, ~static])


def test_labels_and_interiors_agree(stems):
    labels = stems.labels()
    assert labels.max() == 9 and labels.shape == stems.size
    for number in range(1, 10):
        assert np.all(labels[stems.interior_mask(number)] == number)
    assert not np.any(stems.interior_mask() & stems.background_mask())
    assert stems.interior_mask(width=12, margin=2).sum() < stems.interior_mask(width=12).sum()


def test_mean_motion_is_as_requested():
    for mean_motion in (0.5, 1.5):
        scene = random_scene(1, SMALL, mean_motion=mean_motion)
        flow = scene.displacements(range(0, 150, 6))[:, :, scene.labels() > 0]
        assert np.hypot(flow[:, 0], flow[:, 1]).mean() == pytest.approx(mean_motion, rel=0.02)


def test_sensor_noise_differs_between_frames_only():
    clean, noisy = stems_scene(0, SMALL), stems_scene(0, SMALL, noise=0.01)
    assert np.array_equal(noisy.render(2), noisy.render(2))
    assert 0.008 < (noisy.render(2) - clean.render(2)).std() < 0.011
    assert not np.array_equal(noisy.render(2) - clean.render(2), noisy.render(3) - clean.render(3))


def test_unknown_kind_is_rejected():
    with pytest.raises(ValueError, match="kinds"):
        random_scene(0, kinds=("clouds",))
