"""The rendering network: what it must not touch, and that its result does not depend on how it is computed."""

from dataclasses import replace

import pytest
import torch

from gid_core.models import rendering_network as renderer
from gid_core.models.config import RendererConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.rendering_network import RenderingNetwork
from gid_core.motion import playback
from gid_core.rendering.render import render, splatting
from gid_core.rendering.warping import premultiply, warp
from gid_core.spectral_volume import SpectralVolume
from gid_core.training.rendering_samples import RenderingDataset, RenderingSample
from gid_core.training.stages import LEAST_ERROR, Rendering, make_stage
from tiny_models import TINY

CONFIG = RendererConfig((8, 12, 16), (4, 8, 8))


def random(*size):
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    """With random weights everywhere, so that it changes what it may change, by a lot."""
    torch.manual_seed(0)
    network = RenderingNetwork(CONFIG)
    torch.nn.init.normal_(network.last.weight, std=0.2)
    return network.requires_grad_(False).eval()


def flow(count, height, width, size=3.0):
    """Smooth displacements of the left half; the right half stands still."""
    coarse = torch.randn(count, 2, 4, 5, generator=torch.Generator().manual_seed(3)) * size
    field = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    field[..., width // 2 :] = 0
    return field


@pytest.mark.parametrize("channels", [3, 4])
def test_without_motion_the_photo_comes_back_to_the_last_bit(network, channels):
    photo = random(1, channels, 37, 51)
    frames, holes = network.painter(photo, torch.zeros(1, 1, 37, 51))(torch.zeros(2, 2, 37, 51))
    assert torch.equal(frames, photo.expand(2, -1, -1, -1)) and not holes.any()


@pytest.mark.parametrize("channels", [3, 4])
def test_what_stands_still_keeps_its_bits_and_what_moves_is_redrawn(network, channels):
    photo, moves = random(1, channels, 48, 64), flow(2, 48, 64)
    importance = moves.norm(dim=1, keepdim=True).mean(0, keepdim=True)
    frames, _ = network.painter(photo, importance)(moves)
    still = warp(premultiply(photo), moves, importance).still.expand_as(frames)
    assert still[..., 48:].all()
    assert torch.equal(frames[..., 48:], photo.expand_as(frames)[..., 48:])
    # Two pixels around what moves, but no more, may be changed too.
    near = torch.nn.functional.max_pool2d((~still).float(), 5, 1, 2) > 0
    assert torch.equal(frames[~near], photo.expand_as(frames)[~near])
    assert not torch.equal(frames[still], photo.expand_as(frames)[still])
    fast, _ = splatting(photo, importance)(moves)
    assert ((frames - fast).abs()[:, :3, :, :24] > 0.01).float().mean() > 0.5
    assert frames.min() >= 0 and frames.max() <= 1


def test_before_training_it_is_the_fast_renderer():
    photo, moves, importance = random(1, 3, 40, 56), flow(2, 40, 56), torch.zeros(1, 1, 40, 56)
    drawn, holes = RenderingNetwork(CONFIG).requires_grad_(False).painter(photo, importance)(moves)
    fast, fast_holes = splatting(photo, importance)(moves)
    torch.testing.assert_close(drawn, fast, atol=1e-6, rtol=0)
    assert torch.equal(holes, fast_holes)


def test_alpha_is_carried_along_and_never_painted(network):
    """The colors may be anything; alpha is a mixture of where it was and where it went."""
    photo, moves = random(1, 4, 40, 56), flow(1, 40, 56)
    photo[:, 3] = 1
    frames, _ = network.painter(photo, torch.zeros(1, 1, 40, 56))(moves)
    torch.testing.assert_close(frames[:, 3], torch.ones(1, 40, 56), atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (33, 47), (64, 64)])
def test_any_size(network, size):
    frames, holes = network.painter(random(1, 3, *size), torch.zeros(1, 1, *size))(torch.full((2, 2, *size), 0.7))
    assert frames.shape == (2, 3, *size) and holes.shape == (2, 1, *size)
    assert torch.isfinite(frames).all()


def test_tiles_fit_together(network, monkeypatch):
    photo, moves, importance = random(1, 3, 250, 330), flow(1, 250, 330), torch.zeros(1, 1, 250, 330)
    whole, _ = network.painter(photo, importance)(moves)
    monkeypatch.setattr(renderer, "TILE", 128)
    tiled, _ = network.painter(photo, importance)(moves)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


def test_frames_do_not_depend_on_what_is_drawn_with_them(network):
    photo, moves, importance = random(1, 3, 40, 56), flow(3, 40, 56), torch.zeros(1, 1, 40, 56)
    paint = network.painter(photo, importance)
    together = paint(moves)[0]
    for i in range(3):
        torch.testing.assert_close(paint(moves[i : i + 1])[0][0], together[i], atol=1e-5, rtol=0)


def test_render_takes_it_for_batches_and_masks(network):
    coefficients = torch.zeros(2, 4, 4, 12, 16)
    coefficients[:, 1, ::2, :, :8] = 40
    motion = playback(SpectralVolume(coefficients, 30.0, 16))
    photos, mask = random(2, 24, 32, 3), torch.zeros(24, 32)
    mask[:12] = 1
    frames = render(photos, motion, renderer=network.painter, mask=mask)
    assert frames.shape == (32, 24, 32, 3)
    assert torch.equal(frames[:16, 12:], photos[0, 12:].expand(16, -1, -1, -1))
    assert torch.equal(frames[16:, 12:], photos[1, 12:].expand(16, -1, -1, -1))
    assert (frames - render(photos, motion, mask=mask)).abs().max() > 0.05
    with torch.inference_mode():
        assert torch.equal(render(photos, motion, renderer=network.painter, mask=mask), frames)


def test_half_precision_is_near(network):
    photo, moves, importance = random(1, 3, 40, 56), flow(2, 40, 56), torch.zeros(1, 1, 40, 56)
    full = network.painter(photo, importance)(moves)[0]
    half = network.to(torch.bfloat16).painter(photo, importance)(moves)[0]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, atol=0.05, rtol=0)


# ---- training ----


def passage(name="a", count=4, size=(64, 80)):
    frames = (random(count + 1, *size, 3) * 255).byte()
    moves = torch.cat([torch.zeros(1, 2, *size), flow(count, *size)])
    return RenderingSample(name, name, frames, moves.half(), moves.norm(dim=1).mean(0).half())


def test_a_passage_is_saved_whole(tmp_path):
    kept = passage()
    back = RenderingSample.load(kept.save(tmp_path))
    assert (back.name, back.group) == ("a", "a")
    for name in ("frames", "flow", "magnitude"):
        assert torch.equal(getattr(back, name), getattr(kept, name))


def test_items_show_a_photo_and_the_frame_that_its_flow_leads_to():
    """A photo that is shifted, mirrored, turned and scaled with its flow: the warp meets the frame."""
    coarse = random(1, 3, 12, 16)
    photo = torch.nn.functional.interpolate(coarse, (96, 128), mode="bicubic").clamp(0, 1)[0]
    frames = torch.stack([photo, photo.roll((3, -5), (1, 2))]).permute(0, 2, 3, 1)
    moves = torch.zeros(2, 2, 96, 128)
    moves[1, 0], moves[1, 1] = -5, 3
    source = RenderingSample("shift", "shift", (frames * 255).round().byte(), moves.half(), moves[1].norm(dim=0).half())
    data = RenderingDataset([[source]], [1.0], (48, 48), 40, seed=1, scales=(0.7, 1.0))
    directions = set()
    for i in range(40):
        photo, move, importance, frame, counts = data[i]
        assert photo.shape == frame.shape == (3, 48, 48) and move.shape == (2, 48, 48) and importance.shape[0] == 1
        warped = warp(photo[None], move[None], importance[None]).blended()[0]
        # The frame was rolled, so that at the picture's own sides it shows what is on the other side.
        inside = (counts * torch.nn.functional.pad(torch.ones(1, 28, 28), [10] * 4)).expand(3, -1, -1) > 0
        assert inside.any()
        assert (warped - frame)[inside].abs().mean() < 0.1 * (photo - frame)[inside].abs().mean() + 0.01
        directions.add(tuple(move[:, 20, 20].sign().tolist()))
    assert len(directions) == 4
    assert all(torch.equal(a, b) for a, b in zip(data[3], data[3], strict=True))


def test_all_counts_but_a_margin_where_a_crop_ends_inside_the_picture():
    data = RenderingDataset([[passage(size=(48, 80))]], [1.0], (48, 48), 12, scales=(1.0, 1.0))
    found = set()
    for i in range(12):
        counts = data[i][4][0]
        rows, columns = counts.amax(1), counts.amax(0)
        assert torch.equal(counts, rows[:, None] * columns)
        found.add(tuple(int(side[end]) for side in (rows, columns) for end in (0, -1)))
    # The crop is as high as the picture: both of these sides count, turned or not.
    assert all(sides[:2] == (1, 1) or sides[2:] == (1, 1) for sides in found)
    assert found >= {(1, 1, 0, 0), (0, 0, 1, 1)}


def test_it_learns_to_draw():
    """Frames that are darker than what the warp gives: a few steps on one item find that out."""
    torch.manual_seed(0)
    model = MotionModel(replace(TINY, renderer=CONFIG))
    stage = make_stage("renderer", model, perceptual=0.0)
    assert isinstance(stage, Rendering)
    assert not any(p.requires_grad for n, p in model.named_parameters() if not n.startswith("renderer."))
    photo, moves, importance = random(2, 3, 48, 48), flow(2, 48, 48, 6.0), torch.zeros(2, 1, 48, 48)
    moves[..., 24:] = 2.5
    frames = warp(photo, moves, importance).blended() * 0.6
    optimizer = torch.optim.Adam(model.renderer.parameters(), 3e-3)
    losses = []
    for step in range(60):
        loss, parts = stage(photo, moves, importance, frames, torch.ones(2, 1, 48, 48), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(parts["before"] / (parts["before"] + LEAST_ERROR), rel=2e-3)  # as the fast one
    assert losses[-1] < 0.6 * losses[0]


def test_a_model_without_one_says_so():
    with pytest.raises(ValueError, match="no rendering network"):
        make_stage("renderer", MotionModel(replace(TINY, renderer=RendererConfig())), perceptual=0.0)
