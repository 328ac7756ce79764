"""The compiled fast splat: the frames of PyTorch's operators, which render them wherever it cannot."""

import logging
import os
import subprocess
import sys

import numba
import pytest
import torch

from gid_core.motion import Motion, loop
from gid_core.rendering import fused_splat, numba_kernels
from gid_core.rendering.fast_renderer import fast_splat, torch_splat
from gid_core.rendering.frame_memory import FAST, FUSED, working_bytes
from gid_core.rendering.fused_splat import FusedSplat, _division
from gid_core.rendering.render import render
from gid_core.spectral_volume import SpectralVolume
from peak_memory import PeakMemory
from random_tensors import random_normal, random_uniform


def motion_of(height, width, pixels, seed=0, objects=True):
    """Smooth random motion, and a rectangle that moves otherwise: outlines, occlusion and holes."""
    coarse = random_uniform(6, 4, 4, 5, seed=seed) - 0.5
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic") * (pixels * 100)
    if objects:
        fine[:, :, height // 3 : height // 2 + 1, width // 4 : width // 2 + 1] += 30 * pixels
        fine[:, :, : height // 4, : width // 4] = 0  # at rest
    return loop(SpectralVolume(fine[None]), 10)


def premultiplied(frames):
    """Colors of nearly transparent pixels are a division of rounding errors, and seen by nobody."""
    return torch.cat([frames[..., :3] * frames[..., 3:], frames[..., 3:]], -1) if frames.shape[-1] == 4 else frames


def assert_equal(fused, expected):
    """At least 90 dB, and at most 1e-3 off at any pixel; holes too."""
    for a, b in zip(fused, expected, strict=True):
        error = (premultiplied(a) if a.ndim == 4 else a) - (premultiplied(b) if b.ndim == 4 else b)
        assert error.square().mean() < 1e-9
        assert error.abs().max() < 1e-3


@pytest.mark.parametrize(
    ("size", "grid", "channels", "pixels"),
    [
        ((96, 128), (96, 128), 3, 1),
        ((97, 131), (97, 131), 4, 2),
        ((97, 131), (40, 61), 3, 2),  # a coarser volume
        ((97, 131), (40, 61), 4, 2),
        ((60, 41), (90, 80), 3, 1),  # a finer one
        ((60, 91), (60, 91), 3, 8),  # across a third of the frame
        ((1, 9), (1, 9), 3, 1),
        ((7, 1), (7, 1), 4, 1),
        ((1, 1), (1, 1), 3, 1),
        ((4, 5), (2, 2), 3, 1),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_it_renders_the_frames_of_pytorch(compiled, by_pytorch, size, grid, channels, pixels, masked):
    photo, motion = random_uniform(*size, channels), motion_of(*grid, pixels, objects=min(grid) > 8)
    if channels == 4:
        photo[..., 3] = (photo[..., 3] * 2 - 0.5).clamp(0, 1)
    mask = (random_uniform(*size, seed=3) * 2 - 0.5).clamp(0, 1) if masked else None
    fused = render(photo, motion, mask=mask, count=4, start=2, return_holes=True)
    by_pytorch()
    expected = render(photo, motion, mask=mask, count=4, start=2, return_holes=True)
    assert_equal(fused, expected)
    if min(size) > 8:
        assert (expected[0][1] - photo).abs().mean() > 0.01 and (expected[1] > 0).float().mean() > 0.01


def test_a_scene_that_jumps_by_whole_pixels(compiled, by_pytorch):
    """Occlusion, holes at outlines and at the frame's edge, where pixels land exactly on others."""
    photo = random_uniform(50, 70, 3)
    coefficients = torch.zeros(1, 1, 4, 50, 70)
    coefficients[:, :, 0, 10:30, 20:40], coefficients[:, :, 2, 20:50, 45:70] = 9, -7
    coordinates = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[-1.0, 0.0]]])
    motion = Motion(SpectralVolume(coefficients), coordinates, 30.0)
    fused = render(photo, motion, return_holes=True)
    assert torch.equal(fused[0][0], photo)
    by_pytorch()
    assert_equal(fused, render(photo, motion, return_holes=True))


def test_motion_far_beyond_the_frame(compiled, by_pytorch):
    """Steep motion multiplies what rounding changes in a coordinate: by hundreds, so that only most pixels agree."""
    photo, motion = random_uniform(33, 50, 4), motion_of(33, 50, 400)
    fused = render(photo, motion, return_holes=True)
    by_pytorch()
    expected = render(photo, motion, return_holes=True)
    for a, b in zip(fused, expected, strict=True):
        assert ((a - b).abs() < 0.01).float().mean() > 0.99
    assert (expected[1] == 1).float().mean() > 0.5


@pytest.mark.parametrize("division", [(1, 1), (2, 1), (3, 4), (1, 7)])
@pytest.mark.parametrize("pixels", [1, 30])
def test_threads_and_bands_change_nothing(compiled, monkeypatch, division, pixels):
    photo, motion = random_uniform(57, 40, 3), motion_of(57, 40, pixels)
    expected = render(photo, motion, count=5)
    monkeypatch.setattr(fused_splat, "_division", lambda *_: division)
    assert torch.equal(render(photo, motion, count=5), expected)


def test_all_threads_have_work_and_their_rings_fit(monkeypatch):
    for threads, frames in ((1, 5), (2, 5), (2, 4), (16, 1), (16, 4), (6, 16)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        workers, bands = _division(frames, 2160, 1000)
        assert workers == threads and frames * bands % threads == 0
        assert _division(frames, 20, 1000)[1] == 1  # rows are too few
        assert _division(frames, 2160, int(fused_splat.RING_BYTES / 2.5))[0] == min(threads, 2)
        assert _division(frames, 2160, int(fused_splat.RING_BYTES * 3))[0] == 1


def test_nothing_is_read_that_was_not_written(compiled, monkeypatch):
    photo, motion = random_uniform(60, 50, 3), motion_of(60, 50, 3)
    expected, ring = render(photo, motion, return_holes=True), fused_splat.PreparedSplat._ring

    def poisoned(*arguments):
        arrays = ring(*arguments)
        for array in arrays:
            array.fill(float("nan"))
        return arrays

    monkeypatch.setattr(fused_splat.PreparedSplat, "_ring", poisoned)
    for a, b in zip(render(photo, motion, return_holes=True), expected, strict=True):
        assert torch.equal(a, b)


def test_memory_is_kept_from_chunk_to_chunk_and_is_what_was_told(compiled):
    photo, importance = random_uniform(1, 3, 120, 160), random_uniform(1, 1, 120, 160)
    flow = random_normal(2, 2, 120, 160)
    with PeakMemory() as memory:
        renderer = fast_splat(photo, importance)
        renderer(flow)
    assert isinstance(renderer, FusedSplat)
    kept = 120 * 160 * (12 + 4)  # photo and importance were there before
    assert (
        0.3 * working_bytes(FUSED, 3, (120, 160), 0, 2) < memory.peak + kept < working_bytes(FUSED, 3, (120, 160), 0, 2)
    )
    rings = [ring.data_ptr() for ring in renderer._splat._rings]
    with PeakMemory() as memory:
        renderer(flow / 2)
    assert rings == [ring.data_ptr() for ring in renderer._splat._rings]
    assert memory.peak < 120 * 160 * 2 * (16 + 40)  # frames, holes and a little more


def test_one_compilation_serves_all(compiled):
    for channels, size in ((3, (20, 30)), (4, (1, 1)), (3, (30, 1))):
        photo, flow = random_uniform(1, channels, *size), random_normal(2, 2, *size)
        fast_splat(photo, torch.zeros(1, 1, *size))(flow)
        with torch.inference_mode():
            fast_splat(photo, torch.zeros(1, 1, *size))(flow)
    assert len(compiled.render_rows.signatures) == 1
    assert numba.config.SLP_VECTORIZE == 0  # as other packages expect it


# ---- where it cannot ----


def test_with_little_memory_a_large_photo_is_rendered_in_tiles(compiled, monkeypatch):
    for name, value in (("MAX_WHOLE_PIXELS", 4000), ("WINDOW_SIDE", 192), ("MIN_TILE_SIDE", 64)):
        monkeypatch.setattr(f"gid_core.rendering.renderer.{name}", value)
    photo, motion, made = random_uniform(400, 500, 3), motion_of(40, 50, 0.2), []
    expected = render(photo, motion, start=3, count=1)
    needs = [working_bytes(kind, 3, (400, 500), 64, 1) + expected.nbytes for kind in (FUSED, FAST)]
    assert needs[0] > needs[1]
    for module in ("gid_core.memory", "gid_core.rendering.render_plan"):
        monkeypatch.setattr(f"{module}.free_memory", lambda device: needs[0] - 1)
    fused = fused_splat.PreparedSplat.render
    monkeypatch.setattr(fused_splat.PreparedSplat, "render", lambda *arguments: made.append(1) or fused(*arguments))
    frames = render(photo, motion, start=3, count=1)
    assert not made and ((frames - expected).abs() > 0.01).float().mean() < 0.005


def test_gradients_other_dtypes_and_nan_are_left_to_pytorch(compiled):
    photo, importance, flow = random_uniform(1, 3, 12, 17), random_uniform(1, 1, 12, 17), random_normal(1, 2, 12, 17)
    expected = torch_splat(photo, importance)(flow)
    torch.testing.assert_close(fast_splat(photo, importance)(flow), expected, atol=1e-4, rtol=0)
    moving = flow.clone().requires_grad_()
    frames, _ = fast_splat(photo, importance)(moving)
    assert frames.requires_grad
    assert not isinstance(fast_splat(photo.requires_grad_(), importance), FusedSplat)
    photo = photo.detach()
    doubles = fast_splat(photo.double(), importance.double())
    assert not isinstance(doubles, FusedSplat) and doubles(flow.double())[0].dtype == torch.float64
    assert not isinstance(fast_splat(photo.to("meta"), importance.to("meta")), FusedSplat)
    flow[0, :, 3, 4] = float("nan")
    for a, b in zip(fast_splat(photo, importance)(flow), torch_splat(photo, importance)(flow), strict=True):
        assert torch.equal(a.isnan(), b.isnan()) and torch.equal(a[~a.isnan()], b[~b.isnan()])


@pytest.fixture
def fresh_kernel():
    """The kernel is looked for anew, in the test and after it."""
    fused_splat._kernel.cache_clear()
    yield
    fused_splat._kernel.cache_clear()


@pytest.mark.parametrize("failure", ["missing", "broken", "too old", "no compiler", "wrong"])
def test_without_numba_pytorch_renders_the_same_and_one_line_says_so(
    compiled, fresh_kernel, monkeypatch, caplog, failure
):
    photo, motion = random_uniform(20, 30, 3), motion_of(20, 30, 1)
    expected = render(photo, motion)
    fused_splat._kernel.cache_clear()
    words = "fails"

    def refuse(*_, **__):
        raise OSError("it needs NumPy 2.3 or less\nor another folder")

    if failure in ("missing", "broken"):
        monkeypatch.delitem(sys.modules, "gid_core.rendering.splat_kernel")
        monkeypatch.delattr("gid_core.rendering.splat_kernel")
    if failure == "missing":
        monkeypatch.setitem(sys.modules, "numba", None)
        words = "is not installed"
    elif failure == "broken":  # as for a NumPy that it does not know
        monkeypatch.setattr(numba, "njit", refuse)
    elif failure == "too old":
        monkeypatch.delattr(numba.config, "SLP_VECTORIZE")
    elif failure == "no compiler":
        monkeypatch.setattr(compiled, "render_rows", refuse)
    else:
        monkeypatch.setattr(compiled, "render_rows", lambda *arguments: arguments[-2].fill(0))
    with caplog.at_level(logging.INFO, "gid_core"):
        frames = render(photo, motion)
        render(photo, motion, count=1)
    assert fused_splat._kernel() is None
    torch.testing.assert_close(frames, expected, atol=1e-4, rtol=0)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1 and "\n" not in lines[0] and f"Numba {words}" in lines[0]


def test_without_a_folder_for_its_cache_it_compiles_all_the_same(compiled, monkeypatch):
    njit, caching = numba.njit, []

    def no_folder(**settings):
        caching.append(settings.get("cache", False))
        if caching[-1]:
            raise RuntimeError("cannot cache function 'double': no locator available for file 'a.py'")
        return njit(**settings)

    monkeypatch.setattr(numba, "njit", no_folder)
    assert numba_kernels.compiled(lambda x: 2 * x)(4) == 8 and caching == [True, False]


def test_numba_is_imported_by_the_first_frame_and_not_before(compiled, repo):
    code = """
import sys, torch, gid_core as gid
motion = gid.loop(gid.SpectralVolume(torch.ones(1, 3, 4, 6, 8)), 2)
gid.render, gid.softmax_splat
before = "numba" in sys.modules
gid.render(torch.rand(6, 8, 3), motion)
print(before, "numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repo)
    assert done.stdout.split() == ["False", "True"]


RUN_UNDER_A_NAME = """
import importlib, importlib.util, sys
import numpy as np
name, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[name])
function = importlib.import_module(name + ".rendering.splat_kernel")._normalize_row
function(np.ones((2, 8), np.float32))
print(sum(function.stats.cache_hits.values()))
"""


def test_what_is_kept_on_disk_serves_the_library_under_every_name(compiled, repo, tmp_path):
    """ComfyUI imports the pack under its path, which other programs do not know, and which changes with the folder."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for name, hits in (("/comfyui/custom_nodes/pack", "0"), ("gid_core", "1")):
        command = [sys.executable, "-c", RUN_UNDER_A_NAME, name, str(repo / "gid_core")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == hits, name
