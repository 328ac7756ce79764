"""Softmax splatting: identities, gradients, and inputs that break other implementations."""

import multiprocessing
import os

import pytest
import torch

from gid_core.rendering import softmax_splatting
from gid_core.rendering.softmax_splatting import softmax_splat, splat_with_flow
from random_tensors import random_uniform


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (13, 17), (70, 600)])
def test_zero_flow_is_the_identity(size):
    features = random_uniform(2, 3, *size)
    out, coverage = softmax_splat(features, torch.zeros(2, 2, *size), random_uniform(2, 1, *size) * 20)
    torch.testing.assert_close(out, features, atol=1e-6, rtol=1e-6)
    assert torch.equal(coverage, torch.ones(2, 1, *size))


def test_integer_shift_is_exact():
    features = random_uniform(1, 4, 12, 15)
    flow = torch.zeros(1, 2, 12, 15)
    flow[:, 0], flow[:, 1] = 3, -2
    out, coverage = softmax_splat(features, flow, torch.zeros(1, 1, 12, 15))
    assert torch.equal(out[..., :10, 3:], features[..., 2:, :12])
    assert torch.equal(coverage[..., :10, 3:], torch.ones(1, 1, 10, 12))
    assert coverage[..., 10:, :].sum() == 0 and coverage[..., :3].sum() == 0
    assert out[..., 10:, :].abs().sum() == 0


def test_half_pixel_shift_averages_neighbors():
    features = random_uniform(1, 1, 6, 8)
    flow = torch.zeros(1, 2, 6, 8)
    flow[:, 0] = 0.5
    out, coverage = softmax_splat(features, flow, torch.zeros(1, 1, 6, 8))
    torch.testing.assert_close(out[..., 1:], (features[..., 1:] + features[..., :-1]) / 2)
    torch.testing.assert_close(coverage[..., 0], torch.full((1, 1, 6), 0.5))


def test_static_pixels_beside_an_object_that_moves_60_px_are_unchanged():
    """Subtracting the maximum and adding an epsilon turns static pixels black; dividing by the sum does not."""
    features = random_uniform(1, 3, 80, 160)
    flow = torch.zeros(1, 2, 80, 160)
    flow[:, 0, 30:50, 20:60] = 60
    importance = flow.norm(dim=1, keepdim=True)
    out, coverage = softmax_splat(features, flow, importance)
    static = torch.ones(80, 160, dtype=torch.bool)
    static[30:50, 20:60] = static[30:50, 80:120] = False
    torch.testing.assert_close(out[..., static], features[..., static], atol=2e-6, rtol=2e-6)
    torch.testing.assert_close(out[..., 30:50, 80:120], features[..., 30:50, 20:60], atol=2e-6, rtol=2e-6)
    assert coverage[..., 30:50, 20:60].sum() == 0


def test_more_important_pixels_win_and_only_differences_matter():
    features = torch.tensor([[[[1.0, 0.0]]]])
    flow = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
    for z, expected in ((0.0, 0.5), (2.0, torch.tensor(2.0).sigmoid().item()), (40.0, 1.0)):
        for shift in (0.0, 500.0):
            out, _ = softmax_splat(features, flow, torch.tensor([[[[z, 0.0]]]]) + shift)
            assert out[0, 0, 0, 1].item() == pytest.approx(expected, abs=1e-5)


def test_weighted_sums_are_conserved_inside():
    """The sum of the coverage is the sum of the bilinear weights inside the image, for any flow."""
    flow = (random_uniform(3, 2, 20, 24) - 0.5) * 6
    _, coverage = softmax_splat(random_uniform(3, 1, 20, 24), flow, random_uniform(3, 1, 20, 24))
    x = torch.arange(24) + flow[:, 0]
    y = torch.arange(20)[:, None] + flow[:, 1]
    weight = (1 - (x - x.clamp(0, 23)).abs()).clamp(0) * (1 - (y - y.clamp(0, 19)).abs()).clamp(0)
    torch.testing.assert_close(coverage.sum(dim=(1, 2, 3)), weight.sum(dim=(1, 2)))


def test_matches_a_plain_loop():
    features, flow, z = (
        random_uniform(1, 2, 6, 7),
        (random_uniform(1, 2, 6, 7, seed=1) - 0.5) * 5,
        random_uniform(1, 1, 6, 7, seed=2) * 3,
    )
    numerator, denominator = torch.zeros(2, 6, 7), torch.zeros(6, 7)
    for y in range(6):
        for x in range(7):
            u, v = x + flow[0, 0, y, x].item(), y + flow[0, 1, y, x].item()
            for j in range(6):
                for i in range(7):
                    b = max(0, 1 - abs(u - i)) * max(0, 1 - abs(v - j)) * z[0, 0, y, x].exp()
                    numerator[:, j, i] += features[0, :, y, x] * b
                    denominator[j, i] += b
    expected = torch.where(denominator > 0, numerator / denominator.clamp(min=1e-12), 0)
    torch.testing.assert_close(softmax_splat(features, flow, z)[0][0], expected, atol=1e-5, rtol=1e-5)


def test_shared_features_equal_repeated_ones():
    features, z = random_uniform(1, 3, 9, 11), random_uniform(1, 1, 9, 11)
    flow = (random_uniform(5, 2, 9, 11) - 0.5) * 4
    shared = softmax_splat(features, flow, z)
    repeated = softmax_splat(features.repeat(5, 1, 1, 1), flow, z.repeat(5, 1, 1, 1))
    for a, b in zip(shared, repeated, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("coverage_too", [False, True])
def test_gradients(coverage_too):
    features = random_uniform(2, 2, 5, 6, dtype=torch.float64).requires_grad_()
    # Not near integers, where the derivative of the bilinear weights jumps, and partly leaving the image.
    flow = (
        random_uniform(2, 2, 5, 6, seed=1, dtype=torch.float64) * 0.8 + 0.1 + torch.tensor([-2.0, 1.0]).view(1, 2, 1, 1)
    )
    flow = flow.detach().requires_grad_()
    importance = random_uniform(2, 1, 5, 6, seed=2, dtype=torch.float64).requires_grad_()

    def function(*inputs):
        out, coverage = softmax_splat(*inputs)
        return (out, coverage) if coverage_too else out

    assert torch.autograd.gradcheck(function, (features, flow, importance), atol=1e-6)


def test_gradients_of_shared_features():
    features = random_uniform(1, 2, 5, 6).requires_grad_()
    out, _ = softmax_splat(features, torch.zeros(3, 2, 5, 6), torch.zeros(1, 1, 5, 6))
    out.sum().backward()
    torch.testing.assert_close(features.grad, torch.full_like(features, 3.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_pixels_with_non_finite_or_huge_flow_are_left_out(value):
    features, flow = random_uniform(1, 3, 8, 8), torch.zeros(1, 2, 8, 8)
    flow[0, 0, 3, 4] = value
    out, coverage = softmax_splat(features, flow, torch.zeros(1, 1, 8, 8))
    assert coverage[0, 0, 3, 4] == 0 and coverage.sum() == 63
    assert torch.isfinite(out).all()


def test_half_precision_is_splatted_in_float32():
    features = random_uniform(1, 3, 8, 8).half()
    out, _ = softmax_splat(features, torch.zeros(1, 2, 8, 8).half(), torch.full((1, 1, 8, 8), 50.0).half())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, features.float())


def test_works_under_inference_mode_in_threads():
    with torch.inference_mode():
        features = random_uniform(6, 3, 20, 20)
        out, _ = softmax_splat(features, torch.zeros(6, 2, 20, 20), torch.zeros(6, 1, 20, 20))
        assert torch.equal(out, features)


@pytest.mark.parametrize("shared", ["features and importance", "features", "importance", "nothing"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 17), (70, 600)])
def test_images_splatted_together_are_those_splatted_in_strips(monkeypatch, size, shared):
    features = random_uniform(1 if "features" in shared else 3, 3, *size)
    importance = 20 * random_uniform(1 if "importance" in shared else 3, 1, *size, seed=1)
    flow = (random_uniform(3, 2, *size, seed=2) - 0.5) * 12
    flow[1, 0, 0, 0], flow[2, 1, 0, -1] = float("nan"), float("inf")
    flow[0, :, size[0] // 2 :] = 0
    expected, expected_coverage = softmax_splat(features, flow, importance)
    expected_flow = splat_with_flow(features, flow.nan_to_num(0, 9, -9), importance)[1]
    monkeypatch.setattr(softmax_splatting, "STRIP_DEVICES", ())
    out, coverage = softmax_splat(features, flow, importance)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(coverage, expected_coverage, atol=1e-6, rtol=1e-6)
    out, displacement, coverage = splat_with_flow(features, flow.nan_to_num(0, 9, -9), importance)
    torch.testing.assert_close(displacement, expected_flow, atol=1e-5, rtol=1e-6)
    assert out.is_contiguous() and displacement.is_contiguous() and coverage.is_contiguous()


def test_gradients_of_images_splatted_together(monkeypatch):
    features, flow = (
        random_uniform(2, 2, 5, 6).requires_grad_(),
        (4 * random_uniform(2, 2, 5, 6, seed=1)).requires_grad_(),
    )
    importance = random_uniform(2, 1, 5, 6, seed=2).requires_grad_()
    expected = torch.autograd.grad(softmax_splat(features, flow, importance)[0].square().sum(), (features, flow))
    monkeypatch.setattr(softmax_splatting, "STRIP_DEVICES", ())
    gradients = torch.autograd.grad(splat_with_flow(features, flow, importance)[0].square().sum(), (features, flow))
    torch.testing.assert_close(gradients, expected, atol=1e-5, rtol=1e-5)


def test_wrong_shapes_are_refused_with_the_shapes_given():
    with pytest.raises(ValueError, match=r"\[1, 3, 8, 9\]"):
        softmax_splat(random_uniform(1, 3, 8, 9), torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_splat():
    """Data loaders fork. A child inherits the thread pool's object without its threads."""

    def splat():
        softmax_splat(random_uniform(4, 3, 9, 9), torch.zeros(4, 2, 9, 9), torch.zeros(4, 1, 9, 9))

    splat()
    child = multiprocessing.get_context("fork").Process(target=splat)
    child.start()
    child.join(20)
    alive = child.is_alive()
    child.kill()
    assert not alive and child.exitcode == 0


def test_an_error_in_a_worker_is_raised(monkeypatch):
    """The error must reach the caller, and the other workers must not wait for the buffer."""

    def fail(*_):
        raise RuntimeError("worker failed")

    monkeypatch.setattr("gid_core.rendering.softmax_splatting._accumulate", fail)
    with pytest.raises(RuntimeError, match="worker failed"):
        softmax_splat(random_uniform(6, 3, 9, 9), torch.zeros(6, 2, 9, 9), torch.zeros(6, 1, 9, 9))
