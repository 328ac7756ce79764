"""Frames from an accelerator to the host while it makes the next ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class _HostCopy(NamedTuple):
    """A chunk on its way to the host; complete when the event has passed, or at once without one."""

    tensors: tuple[Tensor, ...]
    event: torch.cuda.Event | None

    def wait(self) -> tuple[Tensor, ...]:
        if self.event is not None:
            self.event.synchronize()
        return self.tensors


def to_host(
    chunks: Iterator[tuple[Tensor, ...]],
    device: torch.device,
    *,
    dtype: torch.dtype = torch.float32,
    tensors: int = 1,
) -> Iterator[tuple[Tensor, ...]]:
    """Chunks for a consumer on the host. Those of a CUDA device are copied while it makes the next one.

    Each chunk has page-locked memory of its own, so that the consumer may keep it. PyTorch keeps such memory and uses
    it again: a consumer that keeps nothing takes two buffers in turn. Without page-locked memory, copies wait.

    Args:
        chunks: of `render_chunks`.
        device: where they are made. Those of other devices than CUDA pass through as they are.
        dtype: of the copies.
        tensors: how many of a chunk's tensors to copy: 1 is the frames, 2 the holes, too.
    """
    return _copied(chunks, torch.cuda.Stream(device), dtype, tensors) if device.type == "cuda" else chunks


def _copied(
    chunks: Iterator[tuple[Tensor, ...]], stream: torch.cuda.Stream, dtype: torch.dtype, tensors: int
) -> Iterator[tuple[Tensor, ...]]:
    last: _HostCopy | None = None
    while (copy := _start_copy(chunks, stream, dtype, tensors)) is not None:
        if last is not None:
            yield last.wait()
        last = copy
    if last is not None:
        yield last.wait()


def _start_copy(
    chunks: Iterator[tuple[Tensor, ...]], stream: torch.cuda.Stream, dtype: torch.dtype, tensors: int
) -> _HostCopy | None:
    """Make the next chunk and start its copy; None after the last one."""
    chunk = next(chunks, None)
    if chunk is None:
        return None
    sources = [tensor.to(dtype).contiguous() for tensor in chunk[:tensors]]
    try:
        copies = tuple(_pinned(source) for source in sources)
    except RuntimeError:  # the system locks no more memory
        return _HostCopy(tuple(source.cpu() for source in sources), None)
    stream.wait_stream(torch.cuda.current_stream(sources[0].device))
    with torch.cuda.stream(stream):
        for source, copy in zip(sources, copies, strict=True):
            copy.copy_(source, non_blocking=True)
            source.record_stream(stream)  # its memory is not used again before the copy is complete
        return _HostCopy(copies, stream.record_event())


def _pinned(like: Tensor) -> Tensor:
    """Page-locked memory of a tensor's shape and type."""
    return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)
