"""The fast renderer on the CPU: `warping.forward_warp` fused into one compiled kernel, where Numba is installed.

Numba is optional, and imported when the first frame is rendered. Without it, or where it fails, and for other devices
and gradients, the same frames are rendered with PyTorch's operators.

Frames, or bands of their rows, are rendered side by side in threads: as many as PyTorch uses, and as fit into
`RING_BYTES`. Each has a ring of rows, which is kept for the next frames.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from queue import SimpleQueue
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..tensors import resize_flow
from .numba_kernels import tried
from .outlines import find_outlines
from .renderer import Renderer, Tile, is_tiled, tiles
from .softmax_splatting import MAX_IMPORTANCE_RANGE, PADDING, map_in_threads
from .warping import premultiply

# Bytes per pixel of a ring: eight sums and the displacement, float32.
RING_PIXEL_BYTES = 40
# Rings of all threads together; a single one may be larger, up to that of a whole frame.
RING_BYTES = 400e6
# Bands of rows for several threads are at least so high: their splats overlap by the largest displacement.
MIN_BAND_ROWS = 32
# Pixels around a window in which the outlines of a large photo are found: those of `render.tiled` for small motion.
OUTLINE_MARGIN = 64


@lru_cache(maxsize=1)
def _kernel() -> ModuleType | None:
    """The kernel, compiled and tried on a small photo; None if Numba is missing, too old, or fails."""

    def load() -> ModuleType:
        from . import splat_kernel

        photo = torch.arange(60).view(1, 3, 4, 5) / 60
        frames, _ = PreparedSplat(photo, torch.ones(1, 1, 4, 5), splat_kernel).render(torch.ones(1, 2, 4, 5), None)
        if not torch.allclose(frames[..., 1:, 1:], photo[..., :-1, :-1], atol=1e-5):
            raise RuntimeError("it renders a wrong frame here")
        return splat_kernel

    return tried("fast splat", load)


def can_fuse(*inputs: Tensor) -> bool:
    """Whether frames of these inputs can be rendered by the kernel: float32 on the CPU, no gradients, Numba works."""
    plain = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in inputs)
    if not plain or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)):
        return False
    return _kernel() is not None


def can_fuse_flow(flow: Tensor) -> bool:
    """Whether the kernel can render a flow: `can_fuse`, and all of it is finite."""
    return can_fuse(flow) and bool(torch.isfinite(flow.sum()))


class FusedSplat:
    """The `FrameRenderer` of `render.fast_splat`, compiled. Not for calls from several threads at once.

    Args:
        photo, importance: as for `Renderer`; `can_fuse` them.
        reference: the same renderer by PyTorch's operators, for flow that cannot be fused.
    """

    def __init__(self, photo: Tensor, importance: Tensor, reference: Renderer) -> None:
        self._splat = PreparedSplat(photo, importance)
        self._reference = partial(reference, photo, importance)

    def __call__(self, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Frames and holes for flow [n, 2, H, W] in pixels, see `FrameRenderer`."""
        return self.render(flow, None)

    def render(self, displacement: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Frames [n, C, H, W] and holes [n, 1, H, W] for displacements on the volume's grid.

        Args:
            displacement: [n, 2, h, w] in pixels of its own grid.
            mask: [1, 1, H, W] or [1, H, W] in 0..1, by which motion is multiplied; the photo is kept where it is 0.
        """
        if can_fuse_flow(displacement):
            return self._splat.render(displacement, mask)
        photo = self._splat.photo_tensor
        flow = resize_flow(displacement, photo.shape[-2:])
        frames, holes = self._reference()(flow if mask is None else flow * mask)
        return (frames if mask is None else torch.where(mask == 0, photo, frames)), holes


class PreparedSplat:
    """A photo prepared for the kernel, and the memory of its threads.

    Args:
        photo, importance: as for `Renderer`; `can_fuse` them.
        kernel: the module of the kernel; None is the one that was tried.

    Attributes:
        photo_tensor: the photo.
        photo, features: the same as arrays [H, W, 4], straight and premultiplied.
    """

    def __init__(self, photo: Tensor, importance: Tensor, kernel: ModuleType | None = None) -> None:
        kernel = kernel or _kernel()
        assert kernel is not None
        self.photo_tensor, self._kernel = photo, kernel
        height, width = photo.shape[-2:]
        self._outlines = _outlines(photo, importance)
        weight = (importance - importance.amax()).clamp_(min=-MAX_IMPORTANCE_RANGE).exp_()[0, 0]
        self.photo = self.features = _interleaved(photo)
        if photo.shape[1] == 4:
            self.features = self.photo.copy()
            self.features[..., :3] *= self.features[..., 3:]
        self._weight = weight.contiguous().numpy()
        self._rings: list[Tensor] = []
        self._rows = np.arange(height)

    def render(self, displacement: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `FusedSplat.render`."""
        height, width = self.photo_tensor.shape[-2:]
        if displacement.shape[-2] > height or displacement.shape[-1] > width:  # with antialiasing
            displacement = resize_flow(displacement, (height, width))
        masked = torch.empty(0, 0) if mask is None else mask.detach().reshape(height, width).contiguous()
        frames, holes = self._run(displacement, masked, self.photo_tensor.shape[1])
        return frames.permute(0, 3, 1, 2), holes.unsqueeze(1)

    def warp(self, flow: Tensor) -> tuple[Tensor, Tensor]:
        """The `WarpResult` of `warping.forward_warp` for flow [n, 2, H, W], as the kernel writes it.

        Returns:
            [n, H, W, `splat_kernel.WARPED`] and the holes [n, H, W].
        """
        return self._run(flow, torch.empty(0, 0), self._kernel.WARPED)

    def _run(self, displacement: Tensor, mask: Tensor, values: int) -> tuple[Tensor, Tensor]:
        """What the kernel writes: [n, H, W, values] and the holes [n, H, W]."""
        height, width = self.photo_tensor.shape[-2:]
        grid = tuple(displacement.shape[-2:])
        displacement = displacement.detach().contiguous()
        scale = np.array([width / grid[1], height / grid[0]], np.float32)
        reaches = displacement[:, 1].abs().amax((1, 2)).mul_(float(scale[1])).clamp_(max=height).ceil_().int().tolist()
        rows, columns = _neighbors(grid[0], height), _neighbors(grid[1], width)
        frames = torch.empty(len(displacement), height, width, values)
        holes = torch.empty(len(displacement), height, width)
        fields, frame_rows, hole_rows = displacement.numpy(), frames.numpy(), holes.numpy()

        reach = max(reaches) + 1
        ring_rows = min(height, 2 * reach + self._kernel.SPARE_ROWS)
        workers, bands = _division(len(fields), height, ring_rows * width * RING_PIXEL_BYTES)
        rings: SimpleQueue[tuple[np.ndarray, np.ndarray]] = SimpleQueue()
        for index in range(workers):
            rings.put(self._ring(index, ring_rows, width))
        slots = (self._rows % ring_rows).astype(np.int32)
        limits = [height * band // bands for band in range(bands + 1)]

        def render_band(index: int) -> None:
            frame, band = divmod(index, bands)
            sums, flow = ring = rings.get()
            try:
                self._kernel.render_rows(
                    limits[band], limits[band + 1], reaches[frame] + 1, self.photo, self.features, self._weight,
                    *self._outlines, mask.numpy(), fields[frame], scale, *rows, *columns, slots, sums, flow,
                    np.empty((grid[1], 2), np.float32), np.empty(4, np.float32),
                    frame_rows[frame], hole_rows[frame],
                )  # fmt: skip
            finally:
                rings.put(ring)

        map_in_threads(render_band, len(fields) * bands, workers)
        return frames, holes

    def _ring(self, index: int, rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The memory of a worker for a ring of some rows; kept, and enlarged when it is too small."""
        sizes = rows * (width + PADDING) * 8, rows * width * 2
        while len(self._rings) <= index:
            self._rings.append(torch.empty(0))
        if self._rings[index].numel() < sum(sizes):
            self._rings[index] = torch.empty(sum(sizes))
        memory = self._rings[index].numpy()
        sums = memory[: sizes[0]].reshape(rows, width + PADDING, 8)
        return sums, memory[sizes[0] : sum(sizes)].reshape(rows, width, 2)


def ring_bytes(pixels: int) -> float:
    """Memory that the rings take at most, for frames of so many pixels."""
    one = RING_PIXEL_BYTES * pixels
    return max(one, min(torch.get_num_threads() * one, RING_BYTES))


def _division(frames: int, height: int, ring_bytes: int) -> tuple[int, int]:
    """Number of threads, and of bands of rows into which each frame is divided, so that all threads have work."""
    threads = max(1, min(torch.get_num_threads(), int(RING_BYTES // ring_bytes)))
    bands = min(threads // math.gcd(frames, threads), max(1, height // MIN_BAND_ROWS))
    return min(threads, frames * bands), bands


def _interleaved(maps: Tensor) -> np.ndarray:
    """Maps [1, C, H, W] as an array [H, W, 4]."""
    result = torch.zeros(*maps.shape[-2:], 4)
    result[..., : maps.shape[1]] = maps[0].permute(1, 2, 0)
    return result.numpy()


def _neighbors(grid_side: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Between which lines of a grid those of the photo lie, int32 [2, side], and the share of the second one."""
    position = ((torch.arange(side) + 0.5) * (grid_side / side) - 0.5).clamp_(min=0)
    first = position.int().clamp_(max=grid_side - 1)
    second = (first + 1).clamp_(max=grid_side - 1)
    return torch.stack([first, second]).numpy(), (position - first).numpy()


def _outlines(photo: Tensor, importance: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the kernel takes of `find_outlines`; of large photos found in windows, whose memory does not grow."""
    size = height, width = photo.shape[-2:]
    offset = torch.empty(size, dtype=torch.int8)
    background = torch.zeros(*size, 4)
    index = torch.empty(size, dtype=torch.int32)
    whole = slice(0, height), slice(0, width)
    for tile in tiles(size, OUTLINE_MARGIN) if is_tiled(size) else [Tile(*whole, *whole)]:
        window = (..., tile.window_rows, tile.window_columns)
        outlines = find_outlines(premultiply(photo[window]), importance[window].contiguous())
        origin_y, origin_x = tile.window_rows.start, tile.window_columns.start
        inner = (
            slice(tile.rows.start - origin_y, tile.rows.stop - origin_y),
            slice(tile.columns.start - origin_x, tile.columns.stop - origin_x),
        )
        part, window_size = (tile.rows, tile.columns), outlines.background.shape[-2:]
        own = torch.arange(window_size[0] * window_size[1]).view(window_size)[inner]
        motion = outlines.motion_index.view(window_size)[inner]
        step_y, step_x = (
            motion // window_size[1] - own // window_size[1],
            motion % window_size[1] - own % window_size[1],
        )
        offset[part] = 16 * step_y + step_x
        background[part][..., : photo.shape[1]] = outlines.background[0][:, inner[0], inner[1]].permute(1, 2, 0)
        behind = outlines.background_index.view(window_size)[inner]
        index[part] = ((behind // window_size[1] + origin_y) * width + behind % window_size[1] + origin_x).int()
    return offset.numpy(), background.numpy(), index.numpy()
