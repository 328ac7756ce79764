"""The rendering network: which pixels it must not edit, and that its result does not depend on tiles or batches."""

from dataclasses import replace

import pytest
import torch

from gid_core.models import frame_edits, rendering_network
from gid_core.models.config import RendererConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.rendering_network import RenderingNetwork
from gid_core.motion import playback
from gid_core.rendering.render import fast_splat, render
from gid_core.rendering.warping import forward_warp, premultiply
from gid_core.spectral_volume import SpectralVolume
from gid_core.training.rendering_dataset import RenderingDataset
from gid_core.training.rendering_samples import RenderingSample
from gid_core.training.stages import ERROR_FLOOR, RendererStage, make_stage
from random_tensors import random_uniform
from tiny_models import TINY

CONFIG = RendererConfig((8, 12, 16), (4, 8, 8))


@pytest.fixture
def network(both_ways):
    """A network with random weights everywhere, which changes every pixel that it may edit by a lot."""
    torch.manual_seed(0)
    network = RenderingNetwork(CONFIG)
    torch.nn.init.normal_(network.conv_out.weight, std=0.2)
    return network.requires_grad_(False).eval()


def random_flow(count, height, width, size=3.0):
    """Smooth displacements of the left half; the right half is static."""
    coarse = torch.randn(count, 2, 4, 5, generator=torch.Generator().manual_seed(3)) * size
    field = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    field[..., width // 2 :] = 0
    return field


@pytest.mark.parametrize("channels", [3, 4])
def test_without_motion_frames_equal_the_photo_exactly(network, channels):
    photo = random_uniform(1, channels, 37, 51)
    frames, holes = network.prepare(photo, torch.zeros(1, 1, 37, 51))(torch.zeros(2, 2, 37, 51))
    assert torch.equal(frames, photo.expand(2, -1, -1, -1)) and not holes.any()


@pytest.mark.parametrize("channels", [3, 4])
def test_static_pixels_keep_the_photo_and_moving_pixels_are_edited(network, channels):
    photo, flow = random_uniform(1, channels, 48, 64), random_flow(2, 48, 64)
    importance = flow.norm(dim=1, keepdim=True).mean(0, keepdim=True)
    frames, _ = network.prepare(photo, importance)(flow)
    static = forward_warp(premultiply(photo), flow, importance).static.expand_as(frames)
    assert static[..., 48:].all()
    assert torch.equal(frames[..., 48:], photo.expand_as(frames)[..., 48:])
    # Pixels within two pixels of these may be edited too, but no others.
    editable = torch.nn.functional.max_pool2d((~static).float(), 5, 1, 2) > 0
    assert torch.equal(frames[~editable], photo.expand_as(frames)[~editable])
    assert not torch.equal(frames[static], photo.expand_as(frames)[static])
    fast, _ = fast_splat(photo, importance)(flow)
    assert ((frames - fast).abs()[:, :3, :, :24] > 0.01).float().mean() > 0.5
    assert frames.min() >= 0 and frames.max() <= 1


def test_before_training_it_equals_the_fast_splat():
    photo, flow, importance = random_uniform(1, 3, 40, 56), random_flow(2, 40, 56), torch.zeros(1, 1, 40, 56)
    frames, holes = RenderingNetwork(CONFIG).requires_grad_(False).prepare(photo, importance)(flow)
    fast, fast_holes = fast_splat(photo, importance)(flow)
    torch.testing.assert_close((frames, holes), (fast, fast_holes), atol=5e-5, rtol=0)  # compiled, it rounds otherwise


def test_alpha_is_warped_and_never_added_to(network):
    """Colors may be anything, but alpha is a mixture of the candidates' alpha."""
    photo, flow = random_uniform(1, 4, 40, 56), random_flow(1, 40, 56)
    photo[:, 3] = 1
    frames, _ = network.prepare(photo, torch.zeros(1, 1, 40, 56))(flow)
    torch.testing.assert_close(frames[:, 3], torch.ones(1, 40, 56), atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (33, 47), (64, 64)])
def test_images_of_any_size(network, size):
    frames, holes = network.prepare(random_uniform(1, 3, *size), torch.zeros(1, 1, *size))(
        torch.full((2, 2, *size), 0.7)
    )
    assert frames.shape == (2, 3, *size) and holes.shape == (2, 1, *size)
    assert torch.isfinite(frames).all()


def test_tiled_frames_equal_whole_frames(network, monkeypatch):
    photo, flow, importance = random_uniform(1, 3, 250, 330), random_flow(1, 250, 330), torch.zeros(1, 1, 250, 330)
    whole, _ = network.prepare(photo, importance)(flow)
    monkeypatch.setattr(frame_edits, "TILE_SIZE", 128)
    tiled, _ = network.prepare(photo, importance)(flow)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


def test_frames_do_not_depend_on_the_other_frames_of_a_batch(network):
    photo, flow, importance = random_uniform(1, 3, 40, 56), random_flow(3, 40, 56), torch.zeros(1, 1, 40, 56)
    render_frames = network.prepare(photo, importance)
    together = render_frames(flow)[0]
    for i in range(3):
        torch.testing.assert_close(render_frames(flow[i : i + 1])[0][0], together[i], atol=1e-5, rtol=0)


def test_render_accepts_it_with_batches_and_masks(network):
    coefficients = torch.zeros(2, 4, 4, 12, 16)
    coefficients[:, 1, ::2, :, :8] = 40
    motion = playback(SpectralVolume(coefficients, 30.0, 16))
    photos, mask = random_uniform(2, 24, 32, 3), torch.zeros(24, 32)
    mask[:12] = 1
    frames = render(photos, motion, renderer=network.prepare, mask=mask)
    assert frames.shape == (32, 24, 32, 3)
    assert torch.equal(frames[:16, 12:], photos[0, 12:].expand(16, -1, -1, -1))
    assert torch.equal(frames[16:, 12:], photos[1, 12:].expand(16, -1, -1, -1))
    assert (frames - render(photos, motion, mask=mask)).abs().max() > 0.05
    with torch.inference_mode():
        assert torch.equal(render(photos, motion, renderer=network.prepare, mask=mask), frames)


def test_half_precision_is_close(network):
    photo, flow, importance = random_uniform(1, 3, 40, 56), random_flow(2, 40, 56), torch.zeros(1, 1, 40, 56)
    full = network.prepare(photo, importance)(flow)[0]
    half = network.to(torch.bfloat16).prepare(photo, importance)(flow)[0]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, atol=0.05, rtol=0)


# ---- training ----


def make_sample(name="a", count=4, size=(64, 80)):
    frames = (random_uniform(count + 1, *size, 3) * 255).byte()
    flow = torch.cat([torch.zeros(1, 2, *size), random_flow(count, *size)])
    return RenderingSample(name, name, frames, flow.half(), flow.norm(dim=1).mean(0).half())


def test_a_rendering_sample_is_saved_and_loaded_unchanged(tmp_path):
    sample = make_sample()
    loaded = RenderingSample.load(sample.save(tmp_path))
    assert (loaded.name, loaded.group) == ("a", "a")
    for name in ("frames", "flow", "magnitude"):
        assert torch.equal(getattr(loaded, name), getattr(sample, name))


def test_items_are_a_photo_and_the_frame_that_its_flow_leads_to():
    """A photo is shifted, mirrored, turned and scaled together with its flow, so that its warp matches the frame."""
    coarse = random_uniform(1, 3, 12, 16)
    photo = torch.nn.functional.interpolate(coarse, (96, 128), mode="bicubic").clamp(0, 1)[0]
    frames = torch.stack([photo, photo.roll((3, -5), (1, 2))]).permute(0, 2, 3, 1)
    flow = torch.zeros(2, 2, 96, 128)
    flow[1, 0], flow[1, 1] = -5, 3
    source = RenderingSample("shift", "shift", (frames * 255).round().byte(), flow.half(), flow[1].norm(dim=0).half())
    data = RenderingDataset([[source]], [1.0], (48, 48), 40, seed=1, scales=(0.7, 1.0))
    directions = set()
    for i in range(40):
        photo, flow, importance, frame, loss_mask = data[i]
        assert photo.shape == frame.shape == (3, 48, 48) and flow.shape == (2, 48, 48) and importance.shape[0] == 1
        warped = forward_warp(photo[None], flow[None], importance[None]).blended()[0]
        # The frame was rolled, so that at the image's borders it shows the opposite side.
        inside = (loss_mask * torch.nn.functional.pad(torch.ones(1, 28, 28), [10] * 4)).expand(3, -1, -1) > 0
        assert inside.any()
        assert (warped - frame)[inside].abs().mean() < 0.1 * (photo - frame)[inside].abs().mean() + 0.01
        directions.add(tuple(flow[:, 20, 20].sign().tolist()))
    assert len(directions) == 4
    assert all(torch.equal(a, b) for a, b in zip(data[3], data[3], strict=True))


def test_the_loss_mask_leaves_out_a_margin_where_a_crop_ends_inside_the_image():
    data = RenderingDataset([[make_sample(size=(48, 80))]], [1.0], (48, 48), 12, scales=(1.0, 1.0))
    corners = set()
    for i in range(12):
        loss_mask = data[i][4][0]
        rows, columns = loss_mask.amax(1), loss_mask.amax(0)
        assert torch.equal(loss_mask, rows[:, None] * columns)
        corners.add(tuple(int(side[end]) for side in (rows, columns) for end in (0, -1)))
    # The crop is as high as the image: both of these sides are in the loss, turned or not.
    assert all(sides[:2] == (1, 1) or sides[2:] == (1, 1) for sides in corners)
    assert corners >= {(1, 1, 0, 0), (0, 0, 1, 1)}


def test_training_reduces_the_loss():
    """The frames are darker than the warp; a few steps on one item learn that."""
    torch.manual_seed(0)
    model = MotionModel(replace(TINY, renderer=CONFIG))
    stage = make_stage("renderer", model, lpips_weight=0.0)
    assert isinstance(stage, RendererStage)
    assert not any(p.requires_grad for n, p in model.named_parameters() if not n.startswith("renderer."))
    photo, flow, importance = random_uniform(2, 3, 48, 48), random_flow(2, 48, 48, 6.0), torch.zeros(2, 1, 48, 48)
    flow[..., 24:] = 2.5
    frames = forward_warp(photo, flow, importance).blended() * 0.6
    optimizer = torch.optim.Adam(model.renderer.parameters(), 3e-3)
    losses = []
    for step in range(60):
        loss, terms = stage(photo, flow, importance, frames, torch.ones(2, 1, 48, 48), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    error = terms["fast_splat_error"]  # of the network too, before training
    assert losses[0] == pytest.approx(error / (error + ERROR_FLOOR), rel=2e-3)
    assert losses[-1] < 0.6 * losses[0]


def test_a_model_without_a_rendering_network_is_refused():
    with pytest.raises(ValueError, match="no rendering network"):
        make_stage("renderer", MotionModel(replace(TINY, renderer=RendererConfig())), lpips_weight=0.0)


def test_crops_without_a_pixel_for_the_loss_are_refused():
    with pytest.raises(ValueError, match="larger than 32 pixels; got 32 x 48"):
        RenderingDataset([[make_sample(size=(48, 80))]], [1.0], (32, 48), 12)
    data = RenderingDataset([[make_sample(size=(48, 80))]], [1.0], (33, 33), 12)
    assert all(data[i][4].mean() > 0 for i in range(12))


@pytest.mark.parametrize("size", [1e-7, 1.0, 6e4])
def test_norm_of_half_precision_neither_overflows_nor_vanishes(size):
    maps = (torch.ones(1, 4, 2, 2) * size).half()
    normalized = rendering_network.rms_norm(maps)
    assert normalized.dtype == torch.float16
    expected = rendering_network.rms_norm(maps.double()).half()
    torch.testing.assert_close(normalized, expected, atol=1e-3, rtol=1e-2)
