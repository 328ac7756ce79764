"""Memory of frames: what does not fit is refused before it begins, and a full device halves the chunk."""

import gc
import math
import weakref

import pytest
import torch

from gid_core import memory
from gid_core.models.config import GID_SMALL
from gid_core.models.rendering_network import RenderingNetwork
from gid_core.motion import loop
from gid_core.rendering import render as rendering
from gid_core.rendering import render_plan
from gid_core.rendering.frame_memory import BLOCK_FRAMES, CHUNK_BYTES, FAST, FUSED, default_chunk, working_bytes
from gid_core.rendering.render import render, render_chunks, working_memory
from gid_core.spectral_volume import SpectralVolume
from peak_memory import PeakMemory
from random_tensors import random_uniform


def random_motion(size=(12, 17), frames=10):
    """A loop of smooth random motion of about two pixels."""
    coarse = random_uniform(6, 4, 3, 3) - 0.5
    fine = torch.nn.functional.interpolate(coarse, size, mode="bicubic").view(1, 6, 4, *size)
    return loop(SpectralVolume(fine * 150), frames)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 80000000000 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB, max allowed: 9.07 GB)."),
        RuntimeError("Invalid buffer size: 24.00 GB"),
        RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError("std::bad_alloc"),
    ],
    ids=lambda error: str(error)[:24],
)
def test_every_device_says_in_its_own_words_that_memory_ran_out(monkeypatch, error):
    sizes, render_flow = [], rendering._render_flow

    def small_memory(render_frames, photo, flow, mask):
        sizes.append(len(flow))
        if sizes[-1] > 1:
            raise error
        return render_flow(render_frames, photo, flow, mask)

    monkeypatch.setattr(rendering, "_render_flow", small_memory)
    assert len(render(random_uniform(12, 17, 3), random_motion(), count=2, chunk=2)) == 2
    assert sizes == [2, 1, 1]


def test_other_errors_are_not_taken_for_a_full_memory(monkeypatch):
    def broken(*_):
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")

    monkeypatch.setattr(rendering, "_render_flow", broken)
    with pytest.raises(RuntimeError, match="size of tensor a"):
        render(random_uniform(12, 17, 3), random_motion(), chunk=2)


def test_a_failed_attempt_is_free_before_the_next(monkeypatch):
    render_flow, kept = rendering._render_flow, []

    def small_memory(render_frames, photo, flow, mask):
        assert not [tensor for tensor in kept if tensor() is not None]
        if len(flow) > 1:
            activations = torch.zeros(len(flow), 1000)
            kept.append(weakref.ref(activations))
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return render_flow(render_frames, photo, flow, mask)

    monkeypatch.setattr(rendering, "_render_flow", small_memory)
    gc.disable()  # freed by their last reference, not by chance
    try:
        render(random_uniform(12, 17, 3), random_motion(), count=4, chunk=4)
    finally:
        gc.enable()
    assert len(kept) == 2


def test_when_preparing_a_photo_exceeds_memory_the_message_says_so():
    def no_memory(photo, importance):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.\nframe #0")

    with pytest.raises(MemoryError, match=r"single frame of 17 x 12 .*you tried to allocate 9 bytes.\)$"):
        render(random_uniform(12, 17, 3), random_motion(), renderer=no_memory)


# ---- what does not fit is refused ----


@pytest.mark.parametrize("holes", [False, True])
def test_frames_that_do_not_fit_are_refused_with_size_need_and_remedies(monkeypatch, holes):
    photo, motion = random_uniform(12, 17, 3), random_motion()
    count = 100_000  # of 12 * 17 * 3 float32: 0.24 GB, 0.33 GB with holes
    monkeypatch.setattr(rendering, "checked_chunks", lambda *a, **k: pytest.fail("rendering began"))
    monkeypatch.setattr(memory, "free_memory", lambda device: 0.2e9)
    need = "0.3" if holes else "0.2"
    words = (
        f"{count} frames of 17 x 12 pixels.* need {need} GB of memory, and 0.2 GB are free: .*render_to_video.*start"
    )
    with pytest.raises(ValueError, match=words + ".*, or make the image smaller"):
        render(photo, motion, count=count, return_holes=holes)


@pytest.mark.parametrize("kind", [FAST, FUSED])
def test_without_memory_for_a_chunk_it_is_halved_and_without_memory_for_one_frame_refused(monkeypatch, request, kind):
    if kind is FUSED:
        request.getfixturevalue("compiled")
    else:
        request.getfixturevalue("by_pytorch")()
    photo, motion, sizes = random_uniform(24, 34, 3), random_motion(), []
    render_flow = rendering._render_flow

    def record(render_frames, photo, flow, mask):
        sizes.append(len(flow))
        return render_flow(render_frames, photo, flow, mask)

    monkeypatch.setattr(rendering, "_render_flow", record)
    fits = working_bytes(kind, 3, (24, 34), 0, 2)
    for module in (memory, render_plan):
        monkeypatch.setattr(module, "free_memory", lambda device: fits)
    list(render_chunks(photo, motion, count=8, chunk=8))
    assert sizes == [2, 2, 2, 2]
    for module in (memory, render_plan):
        monkeypatch.setattr(module, "free_memory", lambda device: 1e4)
    with pytest.raises(ValueError, match=r"One frame of 34 x 24 .* need 0.0 GB .*: make the image smaller, close"):
        render_chunks(photo, motion)


def test_when_memory_runs_out_the_chunk_is_halved(monkeypatch):
    photo, motion, render_flow, sizes = random_uniform(24, 34, 3), random_motion(), rendering._render_flow, []
    expected = render(photo, motion, chunk=2)

    def small_memory(render_frames, photo, flow, mask):
        sizes.append(len(flow))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError
        return render_flow(render_frames, photo, flow, mask)

    monkeypatch.setattr(rendering, "_render_flow", small_memory)
    assert torch.equal(render(photo, motion, chunk=8), expected)
    assert sizes == [8, 4, 2, 2, 2, 2, 2]


def test_when_one_frame_does_not_fit_the_error_is_raised(monkeypatch):
    sizes = []

    def no_memory(render_frames, photo, flow, mask):
        sizes.append(len(flow))
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(rendering, "_render_flow", no_memory)
        with pytest.raises(MemoryError, match="a single frame of 17 x 12 pixels on cpu: make the image smaller"):
            render(random_uniform(12, 17, 3), random_motion(), chunk=8)
    assert sizes == [8, 4, 2, 1]
    assert len(render(random_uniform(12, 17, 3), random_motion())) == 10


@pytest.mark.parametrize("size", [(16, 16), (288, 512), (720, 1280), (4000, 6000)])
def test_the_default_chunk_fits_the_working_memory(size):
    rgb, rgba = (default_chunk(FAST, channels, size, 0, math.inf) for channels in (3, 4))
    assert 1 <= rgba <= rgb <= BLOCK_FRAMES
    assert rgb == 1 or rgb * size[0] * size[1] * 120 <= CHUNK_BYTES


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("network", [False, True], ids=["fast splat", "network"])
def test_a_render_takes_the_memory_that_is_computed(by_pytorch, network, channels, chunk):
    by_pytorch()  # the compiled one has a test of its own
    size = (160, 288)
    photo, motion = random_uniform(*size, channels), random_motion((40, 72))
    renderer = RenderingNetwork(GID_SMALL.renderer).requires_grad_(False).prepare if network else None
    need = working_memory(photo, motion, renderer, chunk)
    with PeakMemory() as used:
        for _ in render_chunks(photo, motion, start=3, count=chunk, chunk=chunk, renderer=renderer):  # it moves there
            pass
    peak = used.peak + photo.nbytes
    assert need / 1.3 < peak < need * 1.3
