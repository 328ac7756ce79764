"""What the networks share: work in chunks, and checks of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

Progress = Callable[[int, int], None]


def in_chunks(
    function: Callable[[Tensor], Tensor],
    items: Tensor | Iterable[Tensor],
    shape: str,
    chunk: int,
    progress: Progress | None = None,
) -> Tensor:
    """function of `chunk` items at a time, without gradients: [N, ...] on the CPU, float32.

    Args:
        function: takes [n, ...], gives [n, D].
        items: a batch, or single items one after another, so that not all have to be in memory.
        shape: what one item is, such as "[H, W, 3]", for errors; RGB in 0..1.
        chunk: items at a time, >= 1.
        progress: called as progress(done, total) after every chunk; total is 0 if it is not known. May raise.

    Raises:
        ValueError: if there is no item, or one has another shape, another range or values that are not finite.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be >= 1; got {chunk}.")
    total = len(items) if hasattr(items, "__len__") else 0
    results: list[Tensor] = []
    done = 0
    with torch.no_grad():
        for batch in _batches(items, chunk):
            if batch.ndim != 1 + shape.count(",") + 1 or batch.shape[-1] != 3 or 0 in batch.shape:
                raise ValueError(f"Each item must be {shape}; got {list(batch.shape[1:])}.")
            if not batch.is_floating_point():
                raise ValueError(f"Values must be floating point in 0..1; got {batch.dtype}.")
            low, high = (float(v) for v in batch.aminmax())
            if not (-1e-3 <= low and high <= 1 + 1e-3):
                raise ValueError(f"Values must be in 0..1; got {low:.4g} to {high:.4g}.")
            results.append(function(batch.float()).float().cpu())
            done += len(batch)
            if progress is not None:
                progress(done, total)
    if not results:
        raise ValueError("There is nothing to look at.")
    return torch.cat(results)


def _batches(items: Tensor | Iterable[Tensor], chunk: int) -> Iterator[Tensor]:
    """`chunk` items at a time as one tensor; the last may be fewer."""
    if isinstance(items, Tensor):
        yield from items.split(chunk)
        return
    iterator = iter(items)
    while group := list(islice(iterator, chunk)):
        if len({tuple(item.shape) for item in group}) > 1:
            raise ValueError(f"All items of a chunk must have one shape; got {[list(item.shape) for item in group]}.")
        yield torch.stack(group)
