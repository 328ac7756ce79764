"""Copies to the host, with a simulated CUDA: a copy happens no earlier than somebody waits for it."""

from contextlib import contextmanager

import pytest
import torch

from gid_core.motion import loop
from gid_core.rendering import host_copies
from gid_core.rendering import render as rendering
from gid_core.rendering.host_copies import to_host
from gid_core.rendering.render import render
from gid_core.spectral_volume import SpectralVolume
from random_tensors import random_uniform

CUDA = torch.device("cuda")


class Pinned(torch.Tensor):
    """Page-locked memory: full of NaN until a copy into it is complete."""

    def copy_(self, source, non_blocking=False):
        assert non_blocking and source.is_contiguous() and source.dtype == self.dtype
        assert simulated.current is not None, "the copy is not on the stream for copies"
        simulated.current.pending.append((self, source))
        return self


class Stream:
    def __init__(self, device):
        self.pending, self.waits = [], 0

    def wait_stream(self, stream):
        assert stream == "compute stream"
        self.waits += 1

    def record_event(self):
        return Event(self, list(self.pending))


class Event:
    def __init__(self, stream, copies):
        self.stream, self.copies = stream, copies

    def synchronize(self):
        for target, source in self.copies:
            torch.Tensor.copy_(target.as_subclass(torch.Tensor), source)
        self.stream.pending.clear()


class Simulated:
    """What the simulation recorded."""

    def __init__(self):
        self.current, self.recorded, self.locked = None, [], 0


@pytest.fixture
def cuda(monkeypatch):
    global simulated
    simulated = Simulated()

    @contextmanager
    def on_stream(stream):
        simulated.current = stream
        yield
        simulated.current = None

    def pinned(like):
        simulated.locked += 1
        return torch.full_like(like, torch.nan).as_subclass(Pinned)

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", on_stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "compute stream")
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: simulated.recorded.append(self))
    monkeypatch.setattr(host_copies, "_pinned", pinned)
    return simulated


def made_chunks(log, count=5):
    """Chunks of two frames that say when they are made; frames are views of another layout, as those of a render."""
    for index in range(count):
        log.append(f"made {index}")
        yield random_uniform(2, 3, 4, 5, seed=index).permute(0, 2, 3, 1), random_uniform(2, 4, 5, seed=index + 100)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_chunks_arrive_in_order_one_behind_the_device_and_may_be_kept(cuda, dtype):
    log, kept = [], []
    for index, chunk in enumerate(to_host(made_chunks(log), CUDA, dtype=dtype, tensors=2)):
        log.append(f"handed out {index}")
        kept.append(chunk)
    assert log == ["made 0"] + [f"{word} {i + j}" for i in range(4) for word, j in (("made", 1), ("handed out", 0))] + [
        "handed out 4"
    ]
    assert len(kept) == 5 and cuda.locked == len(cuda.recorded) == 10
    for chunk, expected in zip(kept, made_chunks([]), strict=True):
        for copy, source in zip(chunk, expected, strict=True):
            assert torch.equal(copy, source.to(dtype))


def test_a_consumer_that_stops_early_leaves_nothing_wrong(cuda):
    log = []
    chunks = to_host(made_chunks(log), CUDA)
    first = next(chunks)
    chunks.close()
    assert log == ["made 0", "made 1"] and torch.equal(first[0], next(made_chunks([]))[0])
    assert list(to_host(iter(()), CUDA)) == []


def test_without_page_locked_memory_copies_are_plain(cuda, monkeypatch):
    def fails(like):
        raise RuntimeError("CUDA error: OS call failed or operation not supported on this OS")

    monkeypatch.setattr(host_copies, "_pinned", fails)
    copies = list(to_host(made_chunks([]), CUDA, tensors=2))
    for chunk, expected in zip(copies, made_chunks([]), strict=True):
        assert all(map(torch.equal, chunk, expected))


def test_other_devices_pass_through():
    chunks = made_chunks([])
    assert to_host(chunks, torch.device("cpu")) is chunks and to_host(chunks, torch.device("mps")) is chunks


@pytest.mark.parametrize("holes", [False, True])
def test_a_render_is_the_same(cuda, monkeypatch, by_pytorch, holes):
    by_pytorch()
    photo = random_uniform(12, 17, 3)
    motion = loop(SpectralVolume(300 * random_uniform(2, 4, 4, 12, 17) - 150), 10)
    expected, seen = render(photo, motion, return_holes=True), []
    monkeypatch.setattr(rendering, "to_host", lambda chunks, device, **options: to_host(chunks, CUDA, **options))
    made = render(photo, motion, chunk=3, return_holes=holes, progress=lambda done, *_: seen.append(done))
    assert cuda.locked == 8 * (1 + holes) and seen == list(range(1, 21))
    for a, b in zip(made if holes else [made], expected, strict=False):
        assert torch.equal(a, b)
