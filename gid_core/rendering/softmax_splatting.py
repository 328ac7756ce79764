"""Softmax splatting: forward warping in which more important pixels win (paper section 5; Niklaus and Liu 2020).

Every source pixel p is spread bilinearly over the four pixels around p + F(p). Pixels that land on the same target are
averaged with weights exp(Z): out = sum e^Z b f / sum e^Z b, with b the bilinear weights.

On a CPU the cost is memory traffic, not arithmetic. Images are therefore splatted in strips of rows that stay in the
cache. On other devices small operations cost more than their work, so that all images are splatted together: one
`scatter_add_` per corner. The accumulator is padded, so that no bounds are checked: pixels that leave the image fall on
the padding. The four corners shift the index and not the accumulator: in several releases of PyTorch, `scatter_add_` on
Metal loses what it writes into a view that begins inside of its storage.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..tensors import to_tensor

# Importance is clamped to this much below its maximum, so that exp(Z) stays a normal float32 number.
MAX_IMPORTANCE_RANGE = 60.0
# Types of devices on which images are splatted one by one, in strips; on others all together.
STRIP_DEVICES = ("cpu",)
# Pixels of a strip. PyTorch runs an elementwise operation of this size on one core, so that strips of different images
# run side by side and do not compete for the cores.
STRIP_PIXELS = 32768
# Padding of the accumulator in rows and columns: 1 before the image and, for the far corners, 2 after it.
PADDING_BEFORE, PADDING = 1, 3


def softmax_splat(features: Tensor, flow: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """Splat features along a flow, weighted by exp(importance).

    Differentiable once in all three inputs. The backward pass gathers and stores no products of the forward pass.
    Computed in float32 (float64 for float64 features), whatever the inputs' precision. Working memory grows with N on
    accelerators, and with the number of threads on a CPU.

    Args:
        features: [N, C, H, W], or [1, C, H, W] for the same features in all N images.
        flow: [N, 2, H, W], (dx, dy) in pixels. A pixel whose flow is NaN or infinite is left out.
        importance: [N, 1, H, W] or [1, 1, H, W]; Z in the formula. Only differences matter, up to 60.

    Returns:
        out: [N, C, H, W]; 0 where nothing lands.
        coverage: [N, 1, H, W], the sum of the bilinear weights that land on a pixel: 0 in a hole, 1 where the flow is
            smooth and preserves areas, more than 1 where surfaces overlap.

    Raises:
        ValueError: if the shapes do not fit together.
    """
    features = to_tensor(features, "features", "[N, C, H, W]")
    flow = to_tensor(flow, "flow", "[N, 2, H, W]")
    importance = to_tensor(importance, "importance", "[N, 1, H, W]")
    count = flow.shape[0]
    shapes_match = (
        features.ndim == flow.ndim == importance.ndim == 4
        and 0 not in (*features.shape, *flow.shape, *importance.shape)
        and flow.shape[1] == 2
        and importance.shape[1] == 1
        and features.shape[-2:] == flow.shape[-2:] == importance.shape[-2:]
        and features.shape[0] in (1, count)
        and importance.shape[0] in (1, count)
    )
    if not shapes_match:
        raise ValueError(
            "softmax_splat takes features [N, C, H, W], flow [N, 2, H, W] and importance [N, 1, H, W]; got "
            f"{list(features.shape)}, {list(flow.shape)} and {list(importance.shape)}."
        )
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    features, flow, importance = features.to(dtype), flow.to(dtype), importance.to(dtype)
    if torch.is_grad_enabled() and (features.requires_grad or flow.requires_grad or importance.requires_grad):
        features = features.expand(count, -1, -1, -1)
        importance = importance.expand(count, -1, -1, -1)
        return _SoftmaxSplat.apply(features, flow, importance)
    out, _, coverage = _normalized_splat(features, flow, _softmax_weight(importance))
    return out, coverage


def splat_with_flow(features: Tensor, flow: Tensor, importance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`softmax_splat` of features and of the flow that carries them; features that all images share are not repeated.

    Args:
        features, flow, importance: see `softmax_splat`.

    Returns:
        The splatted features [N, C, H, W] and flow [N, 2, H, W], and the coverage [N, 1, H, W].
    """
    inputs = features, flow, importance
    gradients = torch.is_grad_enabled() and any(maps.requires_grad for maps in inputs)
    if flow.device.type in STRIP_DEVICES or gradients or any(maps.dtype != torch.float32 for maps in inputs):
        out, coverage = softmax_splat(torch.cat([features.expand(len(flow), -1, -1, -1), flow], 1), flow, importance)
        return out[:, :-2], out[:, -2:], coverage
    (out, displacement), _, coverage = _splat_together([features, flow], flow, _softmax_weight(importance))
    return out, displacement, coverage


class _SoftmaxSplat(torch.autograd.Function):
    """The splat of one image per flow, with gradients of all inputs."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, flow: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
        weight = _softmax_weight(importance)
        out, weight_sum, coverage = _normalized_splat(features, flow, weight)
        ctx.save_for_backward(features, flow, weight, out, weight_sum)
        return out, coverage

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_out: Tensor, grad_coverage: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        features, flow, weight, out, weight_sum = ctx.saved_tensors
        # With the sums A = sum w b f and D = sum w b, out = A / D. The gradient of a sum at a target is gathered at
        # p + F(p) with the bilinear weights of the splat. Its derivative along the flow is that of the grid sampler.
        grad_feature_sum = grad_out / weight_sum
        grad_weight_sum = -(grad_feature_sum * out).sum(1, keepdim=True)
        targets = torch.cat([grad_feature_sum, grad_weight_sum, grad_coverage], dim=1)
        grid = _sampling_grid(flow)
        gathered = F.grid_sample(targets, grid, "bilinear", "zeros", align_corners=False)
        channels = features.shape[1]
        grad_features = weight * gathered[:, :channels] if ctx.needs_input_grad[0] else None
        grad_importance = grad_flow = None
        if ctx.needs_input_grad[2]:
            grad_weight = (features * gathered[:, :channels]).sum(1, keepdim=True)
            grad_weight = grad_weight + gathered[:, channels : channels + 1]
            grad_importance = weight * grad_weight
        if ctx.needs_input_grad[1]:
            sources = torch.cat([weight * features, weight, torch.ones_like(weight)], dim=1)
            _, grad_grid = torch.ops.aten.grid_sampler_2d_backward(sources, targets, grid, 0, 0, False, [False, True])
            height, width = flow.shape[-2:]
            grad_flow = grad_grid.permute(0, 3, 1, 2) * grad_grid.new_tensor([2 / width, 2 / height]).view(1, 2, 1, 1)
        return grad_features, grad_flow, grad_importance


def _sampling_grid(flow: Tensor) -> Tensor:
    """p + F(p) in the units of grid_sample with align_corners=False, which also suits sides of one pixel."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + 0.5
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + 0.5
    grid = torch.stack([(flow[:, 0] + x) * (2 / width) - 1, (flow[:, 1] + y) * (2 / height) - 1], dim=-1)
    return torch.nan_to_num(grid, nan=-1e4, posinf=1e4, neginf=-1e4)


def _softmax_weight(importance: Tensor) -> Tensor:
    """exp(Z - max Z), clamped to the range of float32. The maximum cancels in the division."""
    max_importance = importance.amax(dim=(1, 2, 3), keepdim=True)
    return (importance - max_importance).clamp_(min=-MAX_IMPORTANCE_RANGE).exp_()


def _normalized_splat(features: Tensor, flow: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Splat all images.

    Returns:
        out [N, C, H, W], weight_sum [N, 1, H, W] (1 in holes) and coverage [N, 1, H, W].
    """
    if flow.device.type not in STRIP_DEVICES:
        (out,), weight_sum, coverage = _splat_together([features], flow, weight)
        return out, weight_sum, coverage
    count, (height, width) = flow.shape[0], flow.shape[-2:]
    sources = _weighted(features, weight)
    out = flow.new_empty(count, features.shape[1], height, width)
    weight_sum, coverage = flow.new_empty(2, count, 1, height, width)
    strip_rows = max(1, STRIP_PIXELS // width)
    workers = min(count, torch.get_num_threads())
    # One accumulator per worker, reused for every image: allocating new pages costs as much as the splat itself.
    shape = (sources.shape[1], _padded_pixels(flow))
    buffers: SimpleQueue[Tensor] = SimpleQueue()
    for _ in range(workers):
        buffers.put(flow.new_empty(shape))

    def splat_image(index: int) -> None:
        buffer = buffers.get()
        try:
            sums = _accumulate(sources[index % len(sources)], flow[index], buffer, strip_rows)
            coverage[index, 0].copy_(sums[-1])
            weight_sum[index, 0].copy_(_divisor(sums[-2]))
            torch.div(sums[:-2], weight_sum[index], out=out[index])
        finally:
            buffers.put(buffer)

    map_in_threads(splat_image, count, workers)
    return out, weight_sum, coverage


def _splat_together(maps: Sequence[Tensor], flow: Tensor, weight: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """Splat all images at once: for each corner, one `scatter_add_` per tensor of `maps`.

    Args:
        maps: tensors [1 or N, ., H, W] to splat. Those that all images share are multiplied by their weights once.
        flow: [N, 2, H, W] in pixels.
        weight: [1 or N, 1, H, W].

    Returns:
        The splatted maps [N, ., H, W], weight_sum [N, 1, H, W] (1 in holes) and coverage [N, 1, H, W].
    """
    count, (height, width) = flow.shape[0], flow.shape[-2:]
    sources = [_weighted(maps[0], weight), *(others * weight for others in maps[1:])]
    sums = [flow.new_zeros(count, source.shape[1], _padded_pixels(flow)) for source in sources]
    for index, corner_weight in _corners(flow, height):
        for total, source in zip(sums, sources, strict=True):
            corner_index = index.flatten(1)[:, None].expand(-1, source.shape[1], -1)
            total.scatter_add_(2, corner_index, (source * corner_weight[:, None]).flatten(2))
    inner = [_inside(total, height, width) for total in sums]
    weight_sum, coverage = _divisor(inner[0][:, -2:-1]), inner[0][:, -1:].contiguous()
    inner[0] = inner[0][:, :-2]
    return [total / weight_sum for total in inner], weight_sum, coverage


def _accumulate(sources: Tensor, flow: Tensor, buffer: Tensor, strip_rows: int) -> Tensor:
    """Splat one image in strips: add up its weighted pixels at their targets.

    Args:
        sources: [S, H, W], what to splat, multiplied by the weights; ones for the coverage.
        flow: [2, H, W] in pixels.
        buffer: memory of the accumulator, [S, padded H * padded W].
        strip_rows: rows to splat at a time.

    Returns:
        Sums [S, H, W]; a view of `buffer`.
    """
    channels, height, width = sources.shape
    sums = buffer.zero_()
    for first_row in range(0, height, strip_rows):
        strip = slice(first_row, min(first_row + strip_rows, height))
        for index, weight in _corners(flow[:, strip], height, first_row):
            corner_index = index.view(-1).expand(channels, -1)
            sums.scatter_add_(1, corner_index, (sources[:, strip] * weight).view(channels, -1))
    return _inside(sums, height, width)


def _corners(flow: Tensor, height: int, first_row: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """The four pixels around each target p + F(p): flat indices into the accumulator, and bilinear weights.

    Args:
        flow: [..., 2, h, W] in pixels, of rows from `first_row` of images of `height` rows.

    Yields:
        index int64 [..., h, W] and weight [..., h, W]; the memory of an index is that of the last one.
    """
    rows, width = flow.shape[-2:]
    stride, first_row = width + PADDING, first_row + PADDING_BEFORE
    column = torch.arange(PADDING_BEFORE, width + PADDING_BEFORE, dtype=flow.dtype, device=flow.device)
    row = torch.arange(first_row, first_row + rows, dtype=flow.dtype, device=flow.device)[:, None]
    # Clamped to the padding, where every corner inside the image has weight 0.
    x = (flow.select(-3, 0) + column).nan_to_num_(nan=0.0).clamp_(0, width + PADDING_BEFORE)
    y = (flow.select(-3, 1) + row).nan_to_num_(nan=0.0).clamp_(0, height + PADDING_BEFORE)
    x0, y0 = x.floor(), y.floor()
    x, y = x.sub_(x0), y.sub_(y0)
    index = torch.add(x0.long(), y0.long(), alpha=stride)
    del x0, y0
    xy = x * y
    yield index, (1 - x).sub_(y).add_(xy)
    yield index.add_(1), x.sub_(xy)
    yield index.add_(stride - 1), y.sub_(xy)
    yield index.add_(1), xy


def _weighted(features: Tensor, weight: Tensor) -> Tensor:
    """What is added up: features multiplied by the weights, the weights, and ones for the coverage."""
    weighted = features * weight
    weight = weight.expand(len(weighted), -1, -1, -1)
    return torch.cat([weighted, weight, torch.ones_like(weight)], dim=1)


def _divisor(weight_sum: Tensor) -> Tensor:
    """The sum of the weights, or 1 where nothing lands."""
    return torch.where(weight_sum > torch.finfo(weight_sum.dtype).tiny, weight_sum, 1)


def _padded_pixels(flow: Tensor) -> int:
    """Pixels of the accumulator of an image."""
    return (flow.shape[-2] + PADDING) * (flow.shape[-1] + PADDING)


def _inside(sums: Tensor, height: int, width: int) -> Tensor:
    """The accumulator [..., padded H * padded W] without its padding: a view [..., H, W]."""
    inside = slice(PADDING_BEFORE, -(PADDING - PADDING_BEFORE))
    return sums.unflatten(-1, (height + PADDING, width + PADDING))[..., inside, inside]


@lru_cache(maxsize=1)
def _thread_pool(workers: int, process_id: int) -> ThreadPoolExecutor:
    # One pool per process: a forked child inherits the pool object but not its threads.
    return ThreadPoolExecutor(workers, thread_name_prefix="gid-splat")


def map_in_threads(function: Callable[[int], None], count: int, workers: int) -> None:
    """Call function(0), ..., function(count - 1), in threads if `workers` is more than 1."""
    if workers == 1:
        for index in range(count):
            function(index)
        return
    # Inference mode is set per thread. Tensors made in inference mode can only be written in inference mode.
    inference = torch.is_inference_mode_enabled()

    def call_without_gradients(index: int) -> None:
        with torch.inference_mode() if inference else torch.no_grad():
            function(index)

    for _ in _thread_pool(torch.get_num_threads(), os.getpid()).map(call_without_gradients, range(count)):
        pass
