"""PSNR and SSIM against their definitions, and what is seen of holes and background."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from gid_core.evaluation.image_metrics import MAX_PSNR, background_change, coverage_fraction, psnr, ssim


def pictures(count=2, size=(24, 31), seed=0):
    return torch.rand(count, *size, 3, generator=torch.Generator().manual_seed(seed))


def ssim_by_definition(a, b):
    """Wang et al. 2004, in float64: mean over channels and windows inside the picture."""
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def mean(x):
        return correlate1d(correlate1d(x, taps, 0), taps, 1)[5:-5, 5:-5]

    a, b = a.double().numpy(), b.double().numpy()
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, cov = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return (
        ((2 * mean_a * mean_b + c1) * (2 * cov + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    ).mean()


def test_psnr_is_in_decibels_per_frame():
    a = torch.full((3, 4, 5, 3), 0.5)
    b = a + torch.tensor([0.1, 0.01, 0.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(psnr(a, b), torch.tensor([20.0, 40.0, MAX_PSNR]).double(), atol=1e-3, rtol=0)
    assert torch.equal(psnr(a, b), psnr(b, a))


def test_ssim_equals_its_definition():
    a = pictures()
    b = (a + 0.2 * pictures(seed=1) - 0.1).clamp(0, 1)
    expected = [ssim_by_definition(x, y) for x, y in zip(a, b, strict=True)]
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=1e-5)


def test_equal_frames_score_one_even_black_ones():
    a = torch.cat([pictures(), torch.zeros(1, 24, 31, 3)])
    assert ssim(a, a).tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    assert psnr(a, a).tolist() == [MAX_PSNR] * 3


def test_frames_are_scored_one_by_one(monkeypatch):
    from gid_core.evaluation import image_metrics

    a, b = pictures(5), pictures(5, seed=1)
    whole = ssim(a, b)
    monkeypatch.setattr(image_metrics, "CHUNK_BYTES", 2 * 12 * 24 * 31)
    torch.testing.assert_close(ssim(a, b), whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(ssim(a[3:4], b[3:4]), whole[3:4], atol=1e-6, rtol=0)


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize("change", [lambda x: x.flip(1), lambda x: x.flip(2), lambda x: x.transpose(1, 2)])
def test_scores_do_not_depend_on_orientation(measure, change):
    a, b = pictures(), pictures(seed=1)
    torch.testing.assert_close(measure(change(a), change(b)), measure(a, b), atol=1e-6, rtol=1e-6)


def test_frames_must_have_the_same_shape():
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match=r"\[2, 24, 31, 3\] and \[1, 24, 31, 3\]"):
            measure(pictures(2), pictures(1))
        with pytest.raises(ValueError, match="Frames to compare"):
            measure(pictures(2)[..., :1], pictures(2)[..., :1])
    with pytest.raises(ValueError, match="at least 11 x 11; got 10 x 31"):
        ssim(pictures(size=(10, 31)), pictures(size=(10, 31)))


def test_coverage_is_one_minus_holes():
    holes = torch.zeros(2, 4, 4)
    holes[0, 0, 0], holes[1, 0, :3] = 1, 0.5
    assert coverage_fraction(holes) == pytest.approx(1 - 2.5 / 32)


def test_background_change_ignores_the_motion_and_its_margin():
    frames = torch.full((3, 8, 8, 3), 0.5)
    moving = torch.zeros(8, 8, dtype=torch.bool)
    moving[:, 4:] = True
    frames[1, :, 4:] += 0.4  # motion: not looked at
    frames[2, :, 3] += 0.2  # one column of four beside it
    assert background_change(frames, moving) == pytest.approx(0.2 / 4 / 3)
    assert background_change(frames, moving, margin=1) == 0
    assert background_change(frames, moving, margin=1, reference=torch.zeros(8, 8, 3)) == pytest.approx(0.5)
    assert math.isnan(background_change(frames, moving, margin=4))
    with pytest.raises(ValueError, match="mask"):
        background_change(frames, moving[:4])
