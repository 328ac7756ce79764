"""The compiled rendering network: the frames of PyTorch's operators, which render them wherever it cannot."""

import logging

import pytest
import torch

from gid_core.models import frame_edits, fused_network, rendering_network
from gid_core.models.config import GID_SMALL, RendererConfig
from gid_core.models.fused_network import FusedNetwork
from gid_core.models.rendering_network import RenderingNetwork
from gid_core.rendering.frame_memory import NETWORK, working_bytes
from gid_core.rendering.renderer import Tile
from peak_memory import PeakMemory
from random_tensors import random_normal, random_uniform

CONFIG = RendererConfig((8, 12, 16), (4, 8, 8))


@pytest.fixture
def network(compiled, unavailable):
    """A network with random weights, whose edits are as strong as those of a trained one, and compiled kernels."""
    if fused_network._kernel() is None:
        unavailable("the kernels fail here")
    return random_network()


def random_network(config=CONFIG):
    torch.manual_seed(0)
    network = RenderingNetwork(config)
    torch.nn.init.normal_(network.conv_out.weight, std=0.05)
    return network.requires_grad_(False).eval()


def scene(size, channels=3, count=2, pixels=2.0):
    """A photo, its importance, and smooth motion with a rectangle that moves otherwise and a corner at rest."""
    photo, (height, width) = random_uniform(1, channels, *size), size
    flow = torch.nn.functional.interpolate(random_normal(count, 2, 4, 5) * pixels, size, mode="bicubic")
    # Not twice: then two pixels near each other move equally far, and rounding decides which of them is sampled.
    flow[:, :, height // 3 : height // 2 + 1, width // 4 : width // 2 + 1] += 2.1 * pixels
    flow[..., : height // 4, : width // 4] = 0
    importance = flow.norm(dim=1, keepdim=True).mean(0, keepdim=True)
    return photo, importance, flow


def assert_equal(fused, expected):
    """At least 90 dB, and at most 1e-3 off at any pixel; holes too. Colors of transparent pixels are seen by nobody."""
    for a, b in zip(fused, expected, strict=True):
        if a.shape[1] == 4:
            a, b = (torch.cat([maps[:, :3] * maps[:, 3:], maps[:, 3:]], 1) for maps in (a, b))
        assert a.shape == b.shape
        assert (a - b).square().mean() < 1e-9
        assert (a - b).abs().max() < 1e-3


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [(96, 128), (97, 131), (1, 1), (3, 200), (33, 47)])
def test_it_renders_the_frames_of_pytorch(network, size, channels):
    photo, importance, flow = scene(size, channels)
    render_frames = network.prepare(photo, importance)
    assert isinstance(render_frames, FusedNetwork)
    expected = network.prepare_by_operators(photo, importance)(flow)
    assert_equal(render_frames(flow), expected)
    if min(size) > 8:
        assert (expected[0][1] - photo).abs().mean() > 0.01 and (expected[1] > 0).float().mean() > 0.01


@pytest.mark.parametrize("tile_size", [64, 1024])
@pytest.mark.parametrize(
    "moving", [(slice(150, 151), slice(80, 81)), (slice(0, 40), slice(300, 330)), (slice(0, 0),) * 2]
)
def test_what_may_not_be_edited_is_not_decoded(network, monkeypatch, tile_size, moving):
    """Only a window around what moves; the frame is that of a network that decodes everything."""
    monkeypatch.setattr(frame_edits, "TILE_SIZE", tile_size)
    photo, importance, smooth = scene((250, 330))
    flow = torch.zeros_like(smooth)
    flow[..., moving[0], moving[1]] = 1.5
    decode, pixels = RenderingNetwork.decode, []
    monkeypatch.setattr(
        RenderingNetwork,
        "decode",
        lambda self, inputs, features: pixels.append(inputs[0, 0].numel()) or decode(self, inputs, features),
    )
    fused = network.prepare(photo, importance)(flow)
    by_operators = network.prepare_by_operators(photo, importance)(flow)
    assert max(pixels, default=0) < 0.6 * 250 * 330 / 4
    assert bool(pixels) == bool(flow.any())
    monkeypatch.setattr(frame_edits, "TILE_SIZE", 1024)
    frame = Tile(*(slice(0, side) for side in (250, 330) * 2))
    monkeypatch.setattr(rendering_network, "tiles", lambda edit_mask, stride: [frame])
    whole = network.prepare_by_operators(photo, importance)(flow)
    assert_equal(fused, whole)
    for a, b in zip(by_operators, whole, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_half_precision(network):
    photo, importance, flow = scene((96, 128))
    full = network.prepare(photo, importance)(flow)[0]
    network.to(torch.bfloat16)
    half, expected = (
        prepare(photo, importance)(flow)[0] for prepare in (network.prepare, network.prepare_by_operators)
    )
    assert half.dtype == torch.float32
    assert (half - full).square().mean() < 1e-5 and (half - expected).square().mean() < 1e-5


def test_frames_do_not_depend_on_chunks_threads_or_what_memory_held(network, monkeypatch):
    photo, importance, flow = scene((75, 90), count=3)
    render_frames = network.prepare(photo, importance)
    frames = render_frames(flow)[0]
    for index in range(3):
        assert torch.equal(render_frames(flow[index : index + 1])[0][0], frames[index])
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        assert torch.empty(1).isnan()
        assert torch.equal(network.prepare(photo, importance)(flow)[0], frames)
    finally:
        torch.use_deterministic_algorithms(False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(fused_network, "MIN_BAND_ROWS", 7)
    assert torch.equal(network.prepare(photo, importance)(flow)[0], frames)


def test_memory_of_a_chunk_is_at_most_what_is_planned(compiled):
    network = random_network(GID_SMALL.renderer)
    size = (160, 288)
    photo, importance, flow = scene(size, count=4)
    for chunk in (1, 4):
        with PeakMemory() as used:
            network.prepare(photo, importance)(flow[:chunk])
        before = size[0] * size[1] * 4 * (3 + 1 + 2 * chunk)
        assert used.peak + before < working_bytes(NETWORK, 3, size, 0, chunk)


def test_one_compilation_serves_all(network):
    kernel = fused_network._kernel()
    for channels, size in ((3, (20, 30)), (4, (1, 1)), (3, (30, 1))):
        photo, importance, flow = scene(size, channels)
        for dtype in (torch.float32, torch.bfloat16):
            network.to(dtype).prepare(photo, importance)(flow)
        with torch.inference_mode():
            network.prepare(photo, importance)(flow)
    for name in ("find_candidates", "stack_inputs", "sample_features", "find_change", "compose"):
        assert len(getattr(kernel, name).signatures) == 1, name


# ---- where it cannot ----


def test_gradients_other_dtypes_and_nan_are_left_to_pytorch(network):
    photo, importance, flow = scene((24, 34))
    assert not isinstance(network.prepare(photo.double(), importance.double()), FusedNetwork)
    moving = flow.clone().requires_grad_()
    assert network.prepare(photo, importance)(moving)[0].requires_grad
    flow[0, :, 3, 4] = float("nan")
    fused, expected = (
        prepare(photo, importance)(flow)[0] for prepare in (network.prepare, network.prepare_by_operators)
    )
    torch.testing.assert_close(fused, expected, atol=0, rtol=0, equal_nan=True)
    network.requires_grad_(True)
    assert not isinstance(network.prepare(photo, importance), FusedNetwork)
    with torch.no_grad():
        assert isinstance(network.prepare(photo, importance), FusedNetwork)


@pytest.mark.parametrize("failure", ["no compiler", "wrong"])
def test_if_the_kernels_fail_pytorch_renders_the_same_and_one_line_says_so(network, monkeypatch, caplog, failure):
    kernel, (photo, importance, flow) = fused_network._kernel(), scene((24, 34))
    expected, state = network.prepare(photo, importance)(flow)[0], torch.get_rng_state()

    def refuse(*_):
        raise OSError("no compiler")

    monkeypatch.setattr(
        kernel, "compose", refuse if failure == "no compiler" else lambda *arguments: arguments[-1].fill(0)
    )
    fused_network._kernel.cache_clear()
    try:
        with caplog.at_level(logging.INFO, "gid_core"):
            frames = [network.prepare(photo, importance)(flow)[0] for _ in range(2)]
    finally:
        fused_network._kernel.cache_clear()
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(frames, [expected, expected], atol=1e-3, rtol=0)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1 and "rendering network" in lines[0] and "Numba fails" in lines[0]
