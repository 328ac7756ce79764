"""Batched, gradient-free evaluation of the networks, with checks of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice

import torch
from torch import Tensor

ProgressCallback = Callable[[int, int], None]
# How far values may lie outside 0..1: resizing and video decoding round a little.
RANGE_TOLERANCE = 1e-3


def apply_in_batches(
    function: Callable[[Tensor], Tensor],
    items: Tensor | Iterable[Tensor],
    item_shape: str,
    batch_size: int,
    progress: ProgressCallback | None = None,
) -> Tensor:
    """Apply a function to `batch_size` items at a time, without gradients.

    Args:
        function: maps [n, ...] to [n, D].
        items: a batch, or an iterable of single items, so that they need not all be in memory; RGB in 0..1.
        item_shape: shape of one item for error messages, such as "[H, W, 3]".
        batch_size: items per call, >= 1.
        progress: called as progress(done, total) after every batch; total is 0 if unknown. It may raise to cancel.

    Returns:
        float32 [N, D] on the CPU.

    Raises:
        ValueError: if there is no item, or an item has a wrong shape, range or dtype, or values that are not finite.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1; got {batch_size}.")
    total = len(items) if isinstance(items, Sized) else 0
    results: list[Tensor] = []
    done = 0
    with torch.no_grad():
        for batch in _batches(items, batch_size):
            if batch.ndim != 1 + item_shape.count(",") + 1 or batch.shape[-1] != 3 or 0 in batch.shape:
                raise ValueError(f"Each item must be {item_shape}; got {list(batch.shape[1:])}.")
            if not batch.is_floating_point():
                raise ValueError(f"Values must be floating point in 0..1; got {batch.dtype}.")
            low, high = (float(value) for value in batch.aminmax())
            if not (-RANGE_TOLERANCE <= low and high <= 1 + RANGE_TOLERANCE):
                raise ValueError(f"Values must be in 0..1; got {low:.4g} to {high:.4g}.")
            results.append(function(batch.float()).float().cpu())
            done += len(batch)
            if progress is not None:
                progress(done, total)
    if not results:
        raise ValueError("There are no items to process.")
    return torch.cat(results)


def _batches(items: Tensor | Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """Tensors of `batch_size` items; the last may hold fewer."""
    if isinstance(items, Tensor):
        yield from items.split(batch_size)
        return
    iterator = iter(items)
    while batch := list(islice(iterator, batch_size)):
        if len({tuple(item.shape) for item in batch}) > 1:
            raise ValueError(f"All items of a batch must have one shape; got {[list(item.shape) for item in batch]}.")
        yield torch.stack(batch)
