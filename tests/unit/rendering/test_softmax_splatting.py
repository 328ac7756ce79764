"""Softmax splatting: identities first, then gradients, then what breaks other implementations."""

import multiprocessing
import os

import pytest
import torch

from gid_core.rendering.softmax_splatting import softmax_splat


def random(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (13, 17), (70, 600)])
def test_zero_flow_is_the_identity(size):
    features = random(2, 3, *size)
    out, coverage = softmax_splat(features, torch.zeros(2, 2, *size), random(2, 1, *size) * 20)
    torch.testing.assert_close(out, features, atol=1e-6, rtol=1e-6)
    assert torch.equal(coverage, torch.ones(2, 1, *size))


def test_integer_shift_is_exact():
    features = random(1, 4, 12, 15)
    flow = torch.zeros(1, 2, 12, 15)
    flow[:, 0], flow[:, 1] = 3, -2
    out, coverage = softmax_splat(features, flow, torch.zeros(1, 1, 12, 15))
    assert torch.equal(out[..., :10, 3:], features[..., 2:, :12])
    assert torch.equal(coverage[..., :10, 3:], torch.ones(1, 1, 10, 12))
    assert coverage[..., 10:, :].sum() == 0 and coverage[..., :3].sum() == 0
    assert out[..., 10:, :].abs().sum() == 0


def test_half_pixel_shift_averages_neighbors():
    features = random(1, 1, 6, 8)
    flow = torch.zeros(1, 2, 6, 8)
    flow[:, 0] = 0.5
    out, coverage = softmax_splat(features, flow, torch.zeros(1, 1, 6, 8))
    torch.testing.assert_close(out[..., 1:], (features[..., 1:] + features[..., :-1]) / 2)
    torch.testing.assert_close(coverage[..., 0], torch.full((1, 1, 6), 0.5))


def test_static_background_stays_beside_a_60_px_mover():
    """Subtracting the maximum and adding an epsilon turns still pixels black here; dividing by the sum does not."""
    features = random(1, 3, 80, 160)
    flow = torch.zeros(1, 2, 80, 160)
    flow[:, 0, 30:50, 20:60] = 60
    importance = flow.norm(dim=1, keepdim=True)
    out, coverage = softmax_splat(features, flow, importance)
    still = torch.ones(80, 160, dtype=torch.bool)
    still[30:50, 20:60] = still[30:50, 80:120] = False
    torch.testing.assert_close(out[..., still], features[..., still], atol=2e-6, rtol=2e-6)
    torch.testing.assert_close(out[..., 30:50, 80:120], features[..., 30:50, 20:60], atol=2e-6, rtol=2e-6)
    assert coverage[..., 30:50, 20:60].sum() == 0


def test_importance_decides_and_only_differences_count():
    features = torch.tensor([[[[1.0, 0.0]]]])
    flow = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
    for z, expected in ((0.0, 0.5), (2.0, torch.tensor(2.0).sigmoid().item()), (40.0, 1.0)):
        for shift in (0.0, 500.0):
            out, _ = softmax_splat(features, flow, torch.tensor([[[[z, 0.0]]]]) + shift)
            assert out[0, 0, 0, 1].item() == pytest.approx(expected, abs=1e-5)


def test_weighted_sums_are_conserved_inside():
    """sum of coverage = number of pixels whose four corners are inside, for any flow."""
    flow = (random(3, 2, 20, 24) - 0.5) * 6
    _, coverage = softmax_splat(random(3, 1, 20, 24), flow, random(3, 1, 20, 24))
    x = torch.arange(24) + flow[:, 0]
    y = torch.arange(20)[:, None] + flow[:, 1]
    weight = (1 - (x - x.clamp(0, 23)).abs()).clamp(0) * (1 - (y - y.clamp(0, 19)).abs()).clamp(0)
    torch.testing.assert_close(coverage.sum(dim=(1, 2, 3)), weight.sum(dim=(1, 2)))


def test_matches_a_plain_loop():
    features, flow, z = (
        random(1, 2, 6, 7),
        (random(1, 2, 6, 7, seed=1) - 0.5) * 5,
        random(1, 1, 6, 7, seed=2) * 3,
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
    features, z = random(1, 3, 9, 11), random(1, 1, 9, 11)
    flow = (random(5, 2, 9, 11) - 0.5) * 4
    shared = softmax_splat(features, flow, z)
    repeated = softmax_splat(features.repeat(5, 1, 1, 1), flow, z.repeat(5, 1, 1, 1))
    for a, b in zip(shared, repeated, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("coverage_too", [False, True])
def test_gradients(coverage_too):
    features = random(2, 2, 5, 6, dtype=torch.float64).requires_grad_()
    # Away from integers, where the derivative of bilinear weights jumps, and partly leaving the picture.
    flow = random(2, 2, 5, 6, seed=1, dtype=torch.float64) * 0.8 + 0.1 + torch.tensor([-2.0, 1.0]).view(1, 2, 1, 1)
    flow = flow.detach().requires_grad_()
    importance = random(2, 1, 5, 6, seed=2, dtype=torch.float64).requires_grad_()

    def function(*inputs):
        out, coverage = softmax_splat(*inputs)
        return (out, coverage) if coverage_too else out

    assert torch.autograd.gradcheck(function, (features, flow, importance), atol=1e-6)


def test_gradients_reach_shared_features():
    features = random(1, 2, 5, 6).requires_grad_()
    out, _ = softmax_splat(features, torch.zeros(3, 2, 5, 6), torch.zeros(1, 1, 5, 6))
    out.sum().backward()
    torch.testing.assert_close(features.grad, torch.full_like(features, 3.0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_impossible_flow_leaves_the_pixel_out(bad):
    features, flow = random(1, 3, 8, 8), torch.zeros(1, 2, 8, 8)
    flow[0, 0, 3, 4] = bad
    out, coverage = softmax_splat(features, flow, torch.zeros(1, 1, 8, 8))
    assert coverage[0, 0, 3, 4] == 0 and coverage.sum() == 63
    assert torch.isfinite(out).all()


def test_half_precision_is_splatted_in_float32():
    features = random(1, 3, 8, 8).half()
    out, _ = softmax_splat(features, torch.zeros(1, 2, 8, 8).half(), torch.full((1, 1, 8, 8), 50.0).half())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, features.float())


def test_works_under_inference_mode_in_threads():
    with torch.inference_mode():
        features = random(6, 3, 20, 20)
        out, _ = softmax_splat(features, torch.zeros(6, 2, 20, 20), torch.zeros(6, 1, 20, 20))
        assert torch.equal(out, features)


def test_wrong_shapes_say_what_came():
    with pytest.raises(ValueError, match=r"\[1, 3, 8, 9\]"):
        softmax_splat(random(1, 3, 8, 9), torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_splat_too():
    """A child inherits the thread pool's object without its threads; data loaders fork."""

    def work():
        softmax_splat(random(4, 3, 9, 9), torch.zeros(4, 2, 9, 9), torch.zeros(4, 1, 9, 9))

    work()
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(20)
    alive = child.is_alive()
    child.kill()
    assert not alive and child.exitcode == 0


def test_a_failing_picture_ends_the_call(monkeypatch):
    """An error in a worker must reach the caller, and not leave the others waiting for its buffer."""

    def fail(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr("gid_core.rendering.softmax_splatting._accumulate", fail)
    with pytest.raises(RuntimeError, match="broken"):
        softmax_splat(random(6, 3, 9, 9), torch.zeros(6, 2, 9, 9), torch.zeros(6, 1, 9, 9))
