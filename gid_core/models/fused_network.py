"""The rendering network on the CPU: all of its work beside the convolutions by compiled kernels, where Numba works.

`RenderingNetwork` defines the same frames by PyTorch's operators, and renders them wherever the kernels cannot. Frames
are made one by one, in the memory of one; threads share the rows of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..rendering.fused_splat import MIN_BAND_ROWS, PreparedSplat, can_fuse, can_fuse_flow
from ..rendering.numba_kernels import tried
from ..rendering.renderer import FrameRenderer, Tile
from ..rendering.softmax_splatting import map_in_threads
from ..rendering.warping import premultiply
from .frame_edits import COLOR_CHANNELS, DECODED_CHANNELS, INPUT_CHANNELS, find_departing, tiles


class Decoder(Protocol):
    """What frames need of a `RenderingNetwork`, which see."""

    @property
    def stride(self) -> int: ...
    @property
    def dtype(self) -> torch.dtype: ...
    def extract_features(self, source: Tensor, /) -> list[Tensor]: ...
    def decode(self, inputs: Tensor, warped_features: Iterable[Tensor], /) -> Tensor: ...
    def prepare_by_operators(self, photo: Tensor, importance: Tensor, /) -> FrameRenderer: ...


@lru_cache(maxsize=1)
def _kernel() -> ModuleType | None:
    """The kernels, compiled and tried on a small frame; None if they fail."""

    def load() -> ModuleType:
        from . import edit_kernel

        _try(edit_kernel)
        return edit_kernel

    return tried("rendering network", load)


def can_fuse_network(network: nn.Module, photo: Tensor, importance: Tensor) -> bool:
    """Whether frames can be rendered by the kernels, see `fused_splat.can_fuse`; the network may be half precision."""
    trained = torch.is_grad_enabled() and any(weight.requires_grad for weight in network.parameters())
    return not trained and can_fuse(photo, importance) and _kernel() is not None


class FusedNetwork:
    """The `FrameRenderer` of a rendering network, compiled. Not for calls from several threads at once.

    Args:
        network: makes the frames.
        photo, importance: as for `Renderer`; `can_fuse_network` them.
        kernel: the module of kernels; None is the one that was tried.
    """

    def __init__(self, network: Decoder, photo: Tensor, importance: Tensor, kernel: ModuleType | None = None) -> None:
        kernel = kernel or _kernel()
        assert kernel is not None
        self._kernel, self._network = kernel, network
        self._reference = partial(network.prepare_by_operators, photo, importance)
        self._splat = PreparedSplat(photo, importance)
        self._importance = importance[0, 0].contiguous().numpy()
        departing, width = find_departing(importance).view(self._importance.shape), photo.shape[-1]
        self._departing = torch.stack([departing // width, departing % width]).int().numpy()
        features = network.extract_features(premultiply(photo))
        self._features = [level[0].permute(1, 2, 0).contiguous().numpy() for level in features]

    def __call__(self, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Frames and holes for flow [n, 2, H, W] in pixels, see `FrameRenderer`."""
        if not can_fuse_flow(flow):
            return self._reference()(flow)
        count, (height, width) = len(flow), self._importance.shape
        frames, holes = torch.empty(count, height, width, self._splat.photo_tensor.shape[1]), []
        for index in range(count):
            holes.append(self._render_frame(flow[index : index + 1].detach().contiguous(), frames[index].numpy()))
        return frames.permute(0, 3, 1, 2), torch.stack(holes)

    def _render_frame(self, flow: Tensor, frame: np.ndarray) -> Tensor:
        """Write one frame [H, W, C]; returns its holes [1, H, W]."""
        kernel, (height, width) = self._kernel, self._importance.shape
        source = self._splat.features
        warped_pixels, holes = self._splat.warp(flow)
        warped = warped_pixels[0].numpy(), holes[0].numpy()
        moved, change = (torch.empty(height, width, values).numpy() for values in (8, 4))
        edit_mask, largest = torch.empty(2, height, width).numpy()
        _in_bands(height, kernel.find_candidates, *warped, flow[0].numpy(), self._departing, source, moved, edit_mask)
        for tile in tiles(torch.from_numpy(edit_mask)[None, None], self._network.stride):
            part = tile.rows.start, tile.columns.start, tile.rows.stop, tile.columns.stop
            decoded = self._decode(tile, *warped, moved)
            _in_bands(height, kernel.find_change, *part, decoded, warped[0], moved, source, change, largest)
        _in_bands(height, kernel.compose, warped[0], edit_mask, change, largest, self._splat.photo, frame)
        return holes

    def _decode(self, tile: Tile, warped: np.ndarray, holes: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Decode a tile: [h, w, 28], each for 2 x 2 pixels."""
        stride = self._network.stride
        top, left = tile.window_rows.start, tile.window_columns.start
        height, width = (
            math.ceil((min(window.stop, side) - window.start) / stride) * stride // 2
            for window, side in zip((tile.window_rows, tile.window_columns), holes.shape, strict=True)
        )
        inputs = torch.empty(height, width, 4 * INPUT_CHANNELS)
        displacement = torch.empty(height, width, 2).numpy()
        _in_bands(
            height, self._kernel.stack_inputs, top, left, warped, holes, moved, self._splat.features, self._importance,
            inputs.numpy(), displacement,
        )  # fmt: skip
        warped_features = self._warp_features((top, left), displacement)
        decoded = self._network.decode(_as_batch(inputs).to(self._network.dtype), warped_features)
        rows, columns = (
            slice((part.start - window.start) // 2, math.ceil((part.stop - window.start) / 2))
            for part, window in ((tile.rows, tile.window_rows), (tile.columns, tile.window_columns))
        )
        return decoded[0, :, rows, columns].permute(1, 2, 0).contiguous().numpy()

    def _warp_features(self, origin: tuple[int, int], displacement: np.ndarray) -> list[Tensor]:
        """The features of every level, sampled for a window whose first pixel is (y, x) = `origin`."""
        result: list[Tensor] = []
        top, left = origin
        for features in self._features:
            top, left = top // 2, left // 2
            if result:
                displacement = _halve(displacement)
            sampled = torch.empty(*displacement.shape[:2], features.shape[2])
            _in_bands(
                len(displacement), self._kernel.sample_features, top, left, features, displacement, sampled.numpy()
            )
            result.append(_as_batch(sampled))
        return result


class _Brighter:
    """In place of a network, to try the kernels: it adds 0.1 to the colors that the fast splat would show."""

    stride, dtype = 2, torch.float32

    def extract_features(self, source: Tensor) -> list[Tensor]:
        return [source[..., ::2, ::2]]

    def decode(self, inputs: Tensor, warped_features: Iterable[Tensor]) -> Tensor:
        decoded = torch.zeros(1, 4 * DECODED_CHANNELS, *inputs.shape[-2:])
        decoded[:, : 4 * COLOR_CHANNELS] = 0.1
        return decoded

    def prepare_by_operators(self, photo: Tensor, importance: Tensor) -> FrameRenderer:
        raise NotImplementedError


def _try(kernel: ModuleType) -> None:
    """Compile kernels, and see whether a photo that they move and brighten is right."""
    photo = torch.arange(60).view(1, 3, 4, 5) / 80
    frames, _ = FusedNetwork(_Brighter(), photo, torch.ones(1, 1, 4, 5), kernel)(torch.ones(1, 2, 4, 5))
    if not torch.allclose(frames[..., 1:, 1:], photo[..., :-1, :-1] + 0.1, atol=1e-5):
        raise RuntimeError("it renders a wrong frame here")


def _in_bands(rows: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call function(first, last, *arguments) for bands of rows, in threads."""
    bands = max(1, min(torch.get_num_threads(), rows // MIN_BAND_ROWS))
    limits = [rows * band // bands for band in range(bands + 1)]
    map_in_threads(lambda band: function(limits[band], limits[band + 1], *arguments), bands, bands)


def _halve(maps: np.ndarray) -> np.ndarray:
    """Displacements [H, W, 2] in pixels at half the size, [H / 2, W / 2, 2]."""
    return (maps[::2, ::2] + maps[1::2, ::2] + maps[::2, 1::2] + maps[1::2, 1::2]) / 8


def _as_batch(maps: Tensor) -> Tensor:
    """Maps [H, W, C] as [1, C, H, W], channels last."""
    return maps.unsqueeze(0).permute(0, 3, 1, 2)
