"""Softmax splatting: forward warping in which more important pixels win (paper section 5; Niklaus and Liu 2020).

Every source pixel p is spread bilinearly over the four pixels around p + F(p). Pixels that land on the same target are
averaged with weights exp(Z): out = sum e^Z b f / sum e^Z b, with b the bilinear weights.

On a CPU the cost is memory traffic, not arithmetic. Images are therefore splatted in strips of rows that stay in the
cache. The geometry of a strip is computed once. The accumulator is padded, so that no bounds are checked: pixels that
leave the image fall on the padding. The four corners shift the index and not the accumulator: in several releases of
PyTorch, `scatter_add_` on Metal loses what it writes into a view that begins inside of its storage.
"""

from __future__ import annotations

import os
from collections.abc import Callable
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
# Pixels of a strip. PyTorch runs an elementwise operation of this size on one core, so that strips of different images
# run side by side and do not compete for the cores.
STRIP_PIXELS = 32768
# Padding of the accumulator in rows and columns: 1 before the image and, for the far corners, 2 after it.
PADDING_BEFORE, PADDING = 1, 3


def softmax_splat(features: Tensor, flow: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """Splat features along a flow, weighted by exp(importance).

    Differentiable once in all three inputs. The backward pass gathers and stores no products of the forward pass.
    Computed in float32 (float64 for float64 features), whatever the inputs' precision.

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
    count, (height, width) = flow.shape[0], flow.shape[-2:]
    weight = weight.expand(features.shape[0], -1, -1, -1)
    sources = torch.cat([features * weight, weight, torch.ones_like(weight)], dim=1)
    out = flow.new_empty(count, features.shape[1], height, width)
    weight_sum, coverage = flow.new_empty(2, count, 1, height, width)
    on_cpu = flow.device.type == "cpu"
    strip_rows = max(1, STRIP_PIXELS // width) if on_cpu else height
    workers = min(count, torch.get_num_threads()) if on_cpu else 1
    # One accumulator per worker, reused for every image: allocating new pages costs as much as the splat itself.
    shape = (sources.shape[1], (height + PADDING) * (width + PADDING))
    buffers: SimpleQueue[Tensor] = SimpleQueue()
    for _ in range(workers):
        buffers.put(flow.new_empty(shape))

    def splat_image(index: int) -> None:
        buffer = buffers.get()
        try:
            sums = _accumulate(sources[index % len(sources)], flow[index], buffer, strip_rows)
            coverage[index, 0].copy_(sums[-1])
            weight_sum[index, 0].copy_(torch.where(sums[-2] > torch.finfo(sums.dtype).tiny, sums[-2], 1))
            torch.div(sums[:-2], weight_sum[index], out=out[index])
        finally:
            buffers.put(buffer)

    map_in_threads(splat_image, count, workers)
    return out, weight_sum, coverage


def _accumulate(sources: Tensor, flow: Tensor, buffer: Tensor, strip_rows: int) -> Tensor:
    """Splat one image: add up its weighted pixels at their targets.

    Args:
        sources: [S, H, W], what to splat, multiplied by the weights; ones for the coverage.
        flow: [2, H, W] in pixels.
        buffer: memory of the accumulator, [S, padded H * padded W].
        strip_rows: rows to splat at a time.

    Returns:
        Sums [S, H, W]; a view of `buffer`.
    """
    channels, height, width = sources.shape
    stride = width + PADDING
    sums = buffer.zero_()
    column = torch.arange(PADDING_BEFORE, width + PADDING_BEFORE, dtype=flow.dtype, device=flow.device)
    row = torch.arange(PADDING_BEFORE, height + PADDING_BEFORE, dtype=flow.dtype, device=flow.device)[:, None]
    for first_row in range(0, height, strip_rows):
        strip = slice(first_row, min(first_row + strip_rows, height))
        # Clamped to the padding, where every corner inside the image has weight 0.
        x = torch.nan_to_num(flow[0, strip] + column, nan=0.0).clamp_(0, width + PADDING_BEFORE)
        y = torch.nan_to_num(flow[1, strip] + row[strip], nan=0.0).clamp_(0, height + PADDING_BEFORE)
        x0, y0 = x.floor(), y.floor()
        x, y = x.sub_(x0), y.sub_(y0)
        index = torch.add(x0.long(), y0.long(), alpha=stride).view(-1)
        xy = x * y
        corners = (
            (0, 1 - x - y + xy),
            (1, x - xy),
            (stride, y - xy),
            (stride + 1, xy),
        )
        for offset, weight in corners:
            corner_index = (index + offset).expand(channels, -1)
            sums.scatter_add_(1, corner_index, (sources[:, strip] * weight).view(channels, -1))
    inside = slice(PADDING_BEFORE, -(PADDING - PADDING_BEFORE))
    return sums.view(channels, height + PADDING, stride)[:, inside, inside]


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
