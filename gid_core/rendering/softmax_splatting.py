"""Softmax splatting: forward warping in which what matters more wins (paper section 5; Niklaus and Liu 2020).

Every source pixel p is spread bilinearly over the four pixels around p + F(p). Where several land on one pixel,
they are averaged with weights exp(Z): out = sum e^Z b f / sum e^Z b, with b the bilinear weights.

Cost on a CPU is memory traffic, not arithmetic, so pictures are splatted in strips of rows that stay in the
cache: the geometry is computed once a strip, and the four corners write through shifted views of one padded
accumulator, with one index and no bounds checks (pixels that leave the picture fall on the padding).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from queue import SimpleQueue

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Importance further below the maximum than this counts as this far: exp stays a normal float32 number.
MAX_IMPORTANCE_RANGE = 60.0
# Rows x columns of a strip: the size below which PyTorch runs an elementwise operation on one core, so that
# strips of different pictures run side by side without fighting for the cores.
STRIP_PIXELS = 32768
# Margin of the accumulator: one column or row before the picture, two after, for the far corners.
_BEFORE, _MARGIN = 1, 3


def softmax_splat(features: Tensor, flow: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """Splat features along a flow, weighted by exp(importance).

    Differentiable once in all three inputs; the backward pass gathers, and keeps no products of the forward pass.
    Computed in float32 (float64 for float64 features), whatever the inputs' precision.

    Args:
        features: [N, C, H, W], or [1, C, H, W] for the same features in all N pictures.
        flow: [N, 2, H, W], (dx, dy) in pixels. A pixel whose flow is NaN or infinite is left out.
        importance: [N, 1, H, W] or [1, 1, H, W]; Z in the formula. Only differences count, up to 60.

    Returns:
        out: [N, C, H, W]; 0 where nothing lands.
        coverage: [N, 1, H, W], the sum of bilinear weights that land on a pixel: 0 in a hole, 1 where the flow is
            smooth and keeps areas, more where surfaces overlap.

    Raises:
        ValueError: if the shapes do not fit together.
    """
    count = flow.shape[0]
    fits = (
        features.ndim == flow.ndim == importance.ndim == 4
        and flow.shape[1] == 2
        and importance.shape[1] == 1
        and features.shape[-2:] == flow.shape[-2:] == importance.shape[-2:]
        and features.shape[0] in (1, count)
        and importance.shape[0] in (1, count)
    )
    if not fits:
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
    @staticmethod
    def forward(ctx, features, flow, importance):
        weight = _softmax_weight(importance)
        out, total, coverage = _normalized_splat(features, flow, weight)
        ctx.save_for_backward(features, flow, weight, out, total)
        return out, coverage

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out, grad_coverage):
        features, flow, weight, out, total = ctx.saved_tensors
        # With sums A = sum w b f and D = sum w b, out = A / D: the gradient of a sum at a target is gathered at
        # p + F by the same bilinear weights that splatted it, and its derivative along the flow is the sampler's.
        grad_sum = grad_out / total
        grad_total = -(grad_sum * out).sum(1, keepdim=True)
        targets = torch.cat([grad_sum, grad_total, grad_coverage], dim=1)
        grid = _sampling_grid(flow)
        gathered = F.grid_sample(targets, grid, "bilinear", "zeros", align_corners=False)
        channels = features.shape[1]
        grad_features = weight * gathered[:, :channels] if ctx.needs_input_grad[0] else None
        grad_importance = grad_flow = None
        if ctx.needs_input_grad[2]:
            score = (features * gathered[:, :channels]).sum(1, keepdim=True) + gathered[:, channels : channels + 1]
            grad_importance = weight * score
        if ctx.needs_input_grad[1]:
            sources = torch.cat([weight * features, weight, torch.ones_like(weight)], dim=1)
            _, grad_grid = torch.ops.aten.grid_sampler_2d_backward(sources, targets, grid, 0, 0, False, [False, True])
            height, width = flow.shape[-2:]
            grad_flow = grad_grid.permute(0, 3, 1, 2) * grad_grid.new_tensor([2 / width, 2 / height]).view(1, 2, 1, 1)
        return grad_features, grad_flow, grad_importance


def _sampling_grid(flow: Tensor) -> Tensor:
    """p + F(p) in grid_sample's units (align_corners=False, which also holds for sides of one pixel)."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + 0.5
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + 0.5
    grid = torch.stack([(flow[:, 0] + x) * (2 / width) - 1, (flow[:, 1] + y) * (2 / height) - 1], dim=-1)
    return torch.nan_to_num(grid, nan=-1e4, posinf=1e4, neginf=-1e4)


def _softmax_weight(importance: Tensor) -> Tensor:
    """exp(Z - max Z), within the range that float32 holds. The maximum cancels in the division."""
    top = importance.amax(dim=(1, 2, 3), keepdim=True)
    return (importance - top).clamp_(min=-MAX_IMPORTANCE_RANGE).exp_()


def _normalized_splat(features: Tensor, flow: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """out, the sum of weights (1 in holes), and coverage; all [N, ., H, W]."""
    count, (height, width) = flow.shape[0], flow.shape[-2:]
    sources = torch.cat([features * weight, weight.expand(features.shape[0], -1, -1, -1)], dim=1)
    out = flow.new_empty(count, features.shape[1], height, width)
    total, coverage = flow.new_empty(2, count, 1, height, width)
    on_cpu = flow.device.type == "cpu"
    rows = max(1, STRIP_PIXELS // width) if on_cpu else height
    workers = min(count, torch.get_num_threads()) if on_cpu else 1
    # Memory for sums, one a worker, used again for every picture: fresh pages cost as much as the splat itself.
    shape = (sources.shape[1] + 1, (height + _MARGIN) * (width + _MARGIN))
    buffers = SimpleQueue()
    for _ in range(workers):
        buffers.put(flow.new_empty(shape))

    def one(index: int) -> None:
        buffer = buffers.get()
        try:
            sums = _accumulate(sources[index % len(sources)], flow[index], buffer, rows)
            coverage[index, 0].copy_(sums[-1])
            total[index, 0].copy_(torch.where(sums[-2] > torch.finfo(sums.dtype).tiny, sums[-2], 1))
            torch.div(sums[:-2], total[index], out=out[index])
        finally:
            buffers.put(buffer)

    _map_in_threads(one, count, workers)
    return out, total, coverage


def _accumulate(sources: Tensor, flow: Tensor, buffer: Tensor, rows: int) -> Tensor:
    """Splat one picture: sources [S, H, W] along flow [2, H, W]; sums [S + 1, H, W], coverage last.

    The result is a view of `buffer`.
    """
    channels, height, width = sources.shape
    stride = width + _MARGIN
    sums = buffer.zero_()
    columns = torch.arange(_BEFORE, width + _BEFORE, dtype=flow.dtype, device=flow.device)
    lines = torch.arange(_BEFORE, height + _BEFORE, dtype=flow.dtype, device=flow.device)[:, None]
    for top in range(0, height, rows):
        strip = slice(top, min(top + rows, height))
        # Clamped to the margin, where the weight of every corner inside the picture is 0.
        x = torch.nan_to_num(flow[0, strip] + columns, nan=0.0).clamp_(0, width + _BEFORE)
        y = torch.nan_to_num(flow[1, strip] + lines[strip], nan=0.0).clamp_(0, height + _BEFORE)
        left, above = x.floor(), y.floor()
        x, y = x.sub_(left), y.sub_(above)
        index = torch.add(left.long(), above.long(), alpha=stride).view(-1)
        rows_index = index.expand(channels, -1)
        both = x * y
        corners = (
            (0, 1 - x - y + both),
            (1, x - both),
            (stride, y - both),
            (stride + 1, both),
        )
        for offset, corner in corners:
            sums[:-1, offset:].scatter_add_(1, rows_index, (sources[:, strip] * corner).view(channels, -1))
            sums[-1, offset:].scatter_add_(0, index, corner.view(-1))
    inside = slice(_BEFORE, -(_MARGIN - _BEFORE))
    return sums.view(channels + 1, height + _MARGIN, stride)[:, inside, inside]


@lru_cache(maxsize=1)
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    # One for each process: a forked child inherits the object, but not the threads in it.
    return ThreadPoolExecutor(workers, thread_name_prefix="gid-splat")


def _map_in_threads(function, count: int, workers: int) -> None:
    """Call function(0), ..., function(count - 1), `workers` at a time."""
    if workers == 1:
        for index in range(count):
            function(index)
        return
    # Inference mode belongs to a thread, and tensors made under it can only be written under it.
    inference = torch.is_inference_mode_enabled()

    def guarded(index: int) -> None:
        with torch.inference_mode() if inference else torch.no_grad():
            function(index)

    for _ in _pool(torch.get_num_threads(), os.getpid()).map(guarded, range(count)):
        pass
