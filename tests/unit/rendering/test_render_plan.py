"""Plans: an accelerator's free memory chooses chunk and tiles, a CPU's cache and the photo's size do on a CPU."""

import math
from functools import wraps

import pytest
import torch

from gid_core.motion import loop
from gid_core.rendering import render as rendering
from gid_core.rendering import render_plan
from gid_core.rendering.fast_renderer import fast_splat, torch_splat
from gid_core.rendering.frame_memory import BLOCK_FRAMES, FAST, MAX_TENSOR_BYTES, longest_chunk, working_bytes
from gid_core.rendering.render import render
from gid_core.rendering.render_plan import plan_render
from gid_core.spectral_volume import SpectralVolume
from random_tensors import random_uniform

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MOTION = loop(SpectralVolume(torch.zeros(1, 2, 4, 8, 8)), 20)
FULL_HD, TWELVE_MEGAPIXELS = (1080, 1920), (3000, 4000)


def plan(monkeypatch, size, free, device=CUDA, chunk=None, renderer=torch_splat, beside=0):
    monkeypatch.setattr(render_plan, "free_memory", lambda _: free)
    photos = torch.empty(1).expand(1, 3, *size)
    return plan_render(photos, MOTION, renderer, chunk, device, beside)


def test_an_accelerators_chunk_grows_with_its_free_memory(monkeypatch):
    chunks = [plan(monkeypatch, FULL_HD, free * 1e9).chunk for free in (0.4, 2, 4, 24, 80)]
    assert chunks == sorted(chunks) and chunks[0] == 1 and 2 < chunks[2] < BLOCK_FRAMES == chunks[3] == chunks[4]
    for free in (2e9, 3e9, 6e9):
        one = plan(monkeypatch, FULL_HD, free)
        assert one.need == working_bytes(FAST, 3, FULL_HD, 0, one.chunk) < free / 2
        assert one.chunk == plan(monkeypatch, FULL_HD, free + 1e9, beside=1e9).chunk


def test_an_accelerator_renders_whole_photos_where_one_frame_fits(monkeypatch):
    fits = working_bytes(FAST, 3, TWELVE_MEGAPIXELS, 0, 1)
    assert plan(monkeypatch, TWELVE_MEGAPIXELS, fits).margin == 0
    tiled = plan(monkeypatch, TWELVE_MEGAPIXELS, fits - 1)
    assert tiled.margin == 32 and tiled.need < fits - 1
    assert plan(monkeypatch, TWELVE_MEGAPIXELS, math.inf).margin == 32  # unknown: as on a CPU
    assert plan(monkeypatch, (100, 100), 1.0).margin == 0  # too small for tiles; the caller refuses it


def test_a_cpus_plan_depends_on_the_photo_only(monkeypatch, by_pytorch):
    by_pytorch()
    for free in (20e9, 80e9):
        large, small = (plan(monkeypatch, size, free, CPU) for size in (TWELVE_MEGAPIXELS, (288, 512)))
        assert (large.margin, large.chunk, small.margin, small.chunk) == (32, 1, 0, 4)


@pytest.mark.parametrize("chunk", [None, 16])
def test_no_tensor_of_an_accelerator_is_too_large(monkeypatch, chunk):
    for size in (FULL_HD, (4000, 6000), (9000, 12000)):
        one = plan(monkeypatch, size, 1e12, chunk=chunk)
        assert one.chunk == max(1, longest_chunk(size)) and (one.margin == 0) == (longest_chunk(size) > 0)
        assert one.margin or 40 * one.chunk * size[0] * size[1] <= MAX_TENSOR_BYTES


@pytest.mark.parametrize("fails", ["prepare", "frame"])
def test_an_accelerator_on_which_a_whole_photo_fails_renders_tiles(monkeypatch, by_pytorch, fails):
    by_pytorch()
    photo = random_uniform(100, 300, 3)
    motion = loop(SpectralVolume(torch.full((1, 2, 4, 50, 150), 20.0)), 4)
    expected = render(photo, motion)
    for name, value in (("MAX_WHOLE_PIXELS", 4000), ("WINDOW_SIDE", 192), ("MIN_TILE_SIDE", 64)):
        monkeypatch.setattr(f"gid_core.rendering.renderer.{name}", value)
    monkeypatch.setattr(rendering, "can_tile", lambda size, device: True)  # as on another device than the CPU
    monkeypatch.setattr(rendering, "plan_render", lambda *a: plan_render(*a)._replace(margin=0, chunk=2))
    sizes = []

    @wraps(torch_splat)
    def little_memory(whole, importance):
        sizes.append(tuple(whole.shape[-2:]))
        if whole.shape[-1] == 300 and fails == "prepare":
            raise torch.OutOfMemoryError("no")
        render_frames = torch_splat(whole, importance)

        def frames(flow):
            if flow.shape[-1] == 300:
                raise torch.OutOfMemoryError("no")
            return render_frames(flow)

        return frames

    made = render(photo, motion, renderer=little_memory)
    assert sizes[0] == (100, 300) and len(sizes) > 3 and max(size[1] for size in sizes[1:]) < 300
    assert ((made - expected).abs() > 0.01).float().mean() < 0.005
    monkeypatch.setattr(rendering, "can_tile", lambda size, device: False)
    with pytest.raises(MemoryError, match="a single frame of 300 x 100"):
        render(photo, motion, renderer=little_memory)


def test_the_compiled_renderer_is_not_for_accelerators(monkeypatch):
    assert plan(monkeypatch, FULL_HD, 8e9, renderer=fast_splat).need % 1 == 0
    assert plan(monkeypatch, FULL_HD, 8e9, renderer=fast_splat).need == plan(monkeypatch, FULL_HD, 8e9).need
