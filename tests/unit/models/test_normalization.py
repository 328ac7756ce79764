"""Normalization of spectral volumes: exact inverse, equation 4 and the statistics."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gid_core.models.config import (
    NORMALIZATIONS,
)
from gid_core.models.normalization import FrequencyNormalizer, fit_frequency_scale
from gid_core.spectral_volume import SpectralVolume
from random_tensors import random_normal
from tiny_models import BINS, TINY


def random_coefficients(*shape, seed=0):
    """Coefficients [..., K, 4, H, W] with the dynamic range of motion, many of them 0."""
    values = random_normal(*shape, seed=seed)
    bins = shape[-4]
    values = (
        values * (300 / (1 + torch.arange(bins)) ** 2).view(-1, 1, 1, 1) * random_normal(*shape, seed=seed + 1).exp()
    )
    return values * (random_normal(*shape[:-3], 1, *shape[-2:], seed=seed + 2) > 0)


@pytest.mark.parametrize("mode", NORMALIZATIONS)
def test_denormalize_inverts_normalize(mode):
    scale = 10.0 ** torch.linspace(0, -4, BINS)
    normalizer = FrequencyNormalizer(TINY.volume, mode, scale)
    coefficients = random_coefficients(2, BINS, 4, 9, 13) * torch.logspace(-6, 2, 13)
    restored = normalizer.denormalize(normalizer.normalize(coefficients))
    torch.testing.assert_close(restored, coefficients, rtol=1e-6, atol=0)
    assert (restored[coefficients == 0] == 0).all()


@pytest.mark.parametrize("mode", NORMALIZATIONS)
def test_zero_motion_stays_zero_and_has_finite_gradients(mode):
    normalizer = FrequencyNormalizer(TINY.volume, mode)
    zero = torch.zeros(1, BINS, 4, 3, 3, requires_grad=True)
    assert (normalizer.normalize(zero) == 0).all()
    assert (normalizer.denormalize(zero) == 0).all()
    normalizer.denormalize(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_sqrt_normalization_is_equation_4():
    scale = torch.linspace(0.5, 2, BINS)
    normalizer = FrequencyNormalizer(TINY.volume, "sqrt", scale)
    coefficients = random_coefficients(BINS, 4, 5, 7)
    expected = coefficients.sign() * (coefficients.abs() / 7 / scale.view(-1, 1, 1, 1)).sqrt()
    torch.testing.assert_close(normalizer.normalize(coefficients), expected)


def shift_phase(coefficients, angle):
    """Multiply every complex number by exp(i angle): the same motion with another phase."""
    pairs = coefficients.unflatten(-3, (2, 2))
    real, imaginary = pairs.unbind(-3)
    c, s = np.cos(angle), np.sin(angle)
    return torch.stack([c * real - s * imaginary, s * real + c * imaginary], -3).flatten(-4, -3)


def test_only_polar_and_linear_normalization_commute_with_phase_shifts():
    coefficients = random_coefficients(BINS, 4, 5, 7)
    deviation = {}
    for mode in NORMALIZATIONS:
        normalizer = FrequencyNormalizer(TINY.volume, mode, torch.linspace(0.5, 2, BINS))
        normalized = normalizer.normalize(coefficients)
        difference = normalizer.normalize(shift_phase(coefficients, 0.7)) - shift_phase(normalized, 0.7)
        deviation[mode] = float(difference.abs().max() / normalized.abs().max())
    assert deviation["polar"] < 1e-5
    assert deviation["linear"] < 1e-5
    assert deviation["sqrt"] > 0.05  # eq. 4 as printed treats real and imaginary parts separately


def test_volumes_of_another_kind_are_refused():
    normalizer = FrequencyNormalizer(TINY.volume)
    coefficients = torch.zeros(1, BINS, 4, 2, 2)
    volume = SpectralVolume(coefficients, fps=30, period=150, detrend="ramp")
    normalizer.check(volume)
    normalizer.check(volume.replace(fps=29.97))
    for other in (
        volume.replace(period=300),
        volume.replace(detrend="none"),
        volume.replace(coefficients=torch.zeros(1, BINS + 1, 4, 2, 2)),
        volume.replace(fps=60),
    ):
        with pytest.raises(ValueError, match="statistics hold for"):
            normalizer.check(other)


@pytest.mark.parametrize("scale", [torch.ones(BINS - 1), torch.zeros(BINS), torch.full((BINS,), torch.nan)])
def test_invalid_scales_are_refused(scale):
    with pytest.raises(ValueError, match=f"{BINS} numbers > 0"):
        FrequencyNormalizer(TINY.volume, scale=scale)


@pytest.mark.parametrize("mode", NORMALIZATIONS)
def test_normalization_does_not_depend_on_resolution(mode):
    normalizer = FrequencyNormalizer(TINY.volume, mode)
    coarse = SpectralVolume(random_coefficients(1, BINS, 4, 6, 8))
    fine = coarse.coefficients.repeat_interleave(2, -1).repeat_interleave(2, -2) * 2
    expected = normalizer.normalize(coarse.coefficients).repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(normalizer.normalize(fine), expected)


def relative_moduli(volumes):
    """Moduli of x and y relative to the width, float64 [K, N]."""
    parts = [v.unflatten(-3, (2, 2)).norm(dim=-3).div(v.shape[-1]).transpose(0, 1).flatten(1) for v in volumes]
    return torch.cat(parts, 1).double().numpy()


def test_scale_is_the_95th_percentile_of_the_modulus_within_one_histogram_bin():
    volumes = [random_coefficients(2, BINS, 4, 20, 30, seed=s) for s in range(3)]
    volumes.append(random_coefficients(1, BINS, 4, 40, 60, seed=9))
    expected = np.percentile(relative_moduli(volumes), 95, axis=1)
    measured = fit_frequency_scale(TINY, volumes)
    octaves = np.log2(measured.numpy() / expected)
    assert np.abs(octaves).max() < 1 / 64 + 0.01


def test_linear_normalization_has_one_scale_for_all_frequencies():
    volumes = [random_coefficients(2, BINS, 4, 20, 30, seed=s) for s in range(3)]
    linear = fit_frequency_scale(replace(TINY, normalization="linear"), volumes)
    assert (linear == linear[0]).all()
    expected = np.percentile(relative_moduli(volumes), 95)
    assert abs(np.log2(float(linear[0]) / expected)) < 1 / 64 + 0.01
    assert len(set(fit_frequency_scale(TINY, volumes).tolist())) == BINS


def test_scales_of_static_clips_are_positive():
    scale = fit_frequency_scale(TINY, [torch.zeros(1, BINS, 4, 8, 8)])
    normalizer = FrequencyNormalizer(TINY.volume, "sqrt", scale)
    assert torch.isfinite(normalizer.normalize(torch.ones(1, BINS, 4, 8, 8))).all()
