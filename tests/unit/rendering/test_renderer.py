"""Tiles: they cover the frame once, join without a seam, and their memory does not grow with the photo."""

import math

import pytest
import torch

from gid_core.models.config import GID_SMALL
from gid_core.models.rendering_network import RenderingNetwork
from gid_core.motion import loop
from gid_core.rendering import renderer
from gid_core.rendering.frame_memory import FAST, FUSED, NETWORK, default_chunk, working_bytes
from gid_core.rendering.render import fast_splat, render
from gid_core.rendering.render_plan import tile_margin
from gid_core.spectral_volume import SpectralVolume
from random_tensors import random_uniform


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 64 x 64 pixels in photos of more than 4000."""
    for name, value in (("MAX_WHOLE_PIXELS", 4000), ("WINDOW_SIDE", 192), ("MIN_TILE_SIDE", 64)):
        monkeypatch.setattr(renderer, name, value)


def smooth(*shape, seed=0):
    """Maps [N, C, H, W] in 0..1 that vary over about ten pixels."""
    coarse = random_uniform(*shape[:2], shape[2] // 10 + 2, shape[3] // 10 + 2, seed=seed)
    return torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize(("size", "margin"), [((3000, 4000), 90), ((1001, 2999), 184), ((65, 4001), 1000)])
def test_tiles_cover_the_frame_once_and_windows_hold_their_margins(size, margin):
    covered = torch.zeros(size, dtype=torch.int8)
    for tile in renderer.tiles(size, margin):
        covered[tile.rows, tile.columns] += 1
        for part, window, side in (
            (tile.rows, tile.window_rows, size[0]),
            (tile.columns, tile.window_columns, size[1]),
        ):
            assert window.start <= max(0, part.start - margin) and min(side, window.stop) >= min(
                side, part.stop + margin
            )
            assert window.start % renderer.ALIGNMENT == 0
    assert (covered == 1).all()


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("network", [False, True])
def test_tiles_make_the_frame_that_the_whole_photo_makes(monkeypatch, small_tiles, both_ways, channels, network):
    photo = smooth(1, channels, 150, 210)[0].permute(1, 2, 0)
    motion = loop(SpectralVolume((smooth(1, 24, 75, 105, seed=1) - 0.5).view(1, 6, 4, 75, 105) * 300), 10)
    prepare = None
    if network:
        torch.manual_seed(0)
        model = RenderingNetwork(GID_SMALL.renderer).requires_grad_(False)
        torch.nn.init.normal_(model.conv_out.weight, std=0.02)
        prepare = model.prepare
    tiled, holes = render(photo, motion, start=3, count=2, renderer=prepare, return_holes=True)
    monkeypatch.setattr(renderer, "MAX_WHOLE_PIXELS", 10**9)
    whole, whole_holes = render(photo, motion, start=3, count=2, renderer=prepare, return_holes=True)
    assert (whole[0] - photo).abs().mean() > 0.01  # it moves
    # The background of pixels deep inside of objects is looked for in the window only.
    for a, b in ((tiled, whole), (holes, whole_holes)):
        assert ((a - b).abs() > 0.01).float().mean() < 0.005
        assert (a - b).abs().mean() < 1e-4


def test_tiles_keep_still_pixels_exactly_and_frames_do_not_depend_on_the_chunk(small_tiles, both_ways):
    photo = smooth(1, 3, 100, 140)[0].permute(1, 2, 0)
    coefficients = torch.zeros(1, 4, 4, 50, 70)
    coefficients[:, 1, 0, 20:30, 20:50] = 300
    motion = loop(SpectralVolume(coefficients), 8)
    frames = render(photo, motion, chunk=4)
    assert torch.equal(frames[:, :20], photo[:20].expand(8, -1, -1, -1))
    assert (frames[4] - photo).abs().amax() > 0.05
    assert torch.equal(render(photo, motion, start=3, count=3, chunk=1), frames[3:6])


def test_the_memory_of_windows_does_not_grow_with_the_photo():
    margin = 90
    sizes = ((2000, 3000), (4000, 6000))
    windows = [working_bytes(FAST, 3, size, margin, 1) - size[0] * size[1] * (12 + 8 + 24) for size in sizes]
    assert windows[0] == windows[1] == pytest.approx(250 * 1024**2, rel=0.3)
    assert (
        working_bytes(NETWORK, 3, (3000, 4000), margin + 96, default_chunk(NETWORK, 3, (3000, 4000), margin, math.inf))
        < 1.5e9
    )
    fused = [working_bytes(FUSED, 3, size, 0, 1) - size[0] * size[1] * (12 + 65 + 16) for size in sizes]
    assert fused[1] - fused[0] <= 40 * (24 - 6) * 1e6  # one ring of a whole frame, at most
    assert tile_margin(loop(SpectralVolume(torch.zeros(1, 2, 4, 8, 8))), fast_splat, (80, 80)) == 32
