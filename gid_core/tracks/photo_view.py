"""A picture that shows a photo scaled and cut to other proportions, as ComfyUI prepares the first frame of a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tensors import resize_maps


@dataclass(frozen=True)
class PhotoView:
    """The middle of a photo, scaled to a picture.

    If the proportions differ, equal margins of the photo are cut off at two sides, in whole pixels: ComfyUI's
    `common_upscale` with crop "center".

    Attributes:
        photo_size: (H, W) of the photo in pixels.
        size: (H, W) of the picture in pixels.
    """

    photo_size: tuple[int, int]
    size: tuple[int, int]

    @property
    def margins(self) -> tuple[int, int]:
        """(top and bottom, left and right) pixels of the photo that are cut off on either side."""
        (height, width), aspect = self.photo_size, self.size[1] / self.size[0]
        top = round((height - width / aspect) / 2) if width / height < aspect else 0
        left = round((width - height * aspect) / 2) if width / height > aspect else 0
        # Of extreme proportions, at least a pixel is left.
        return min(top, (height - 1) // 2), min(left, (width - 1) // 2)

    def pixels_per_cell(self, grid_size: Sequence[int]) -> tuple[float, float]:
        """Pixels of the picture, (x, y), for one cell of a grid of (H, W) cells that covers the whole photo."""
        top, left = self.margins
        x = self.size[1] / (self.photo_size[1] - 2 * left) * self.photo_size[1] / grid_size[1]
        y = self.size[0] / (self.photo_size[0] - 2 * top) * self.photo_size[0] / grid_size[0]
        return x, y

    def on_grid(self, points: Tensor, grid_size: Sequence[int]) -> Tensor:
        """Points [..., 2] of the picture in cells of a grid over the whole photo; centers at integers in both."""
        margins = points.new_tensor(self.margins[::-1])
        shown = points.new_tensor(self.photo_size[::-1]) - 2 * margins
        in_photo = margins + (points + 0.5) * shown / points.new_tensor(self.size[::-1])
        return in_photo * points.new_tensor(grid_size[::-1]) / points.new_tensor(self.photo_size[::-1]) - 0.5

    def sample(self, maps: Tensor, points: Tensor) -> Tensor:
        """Bilinear values of maps [B, C, h, w], which cover the photo, at points [N, 2] of the picture: [B, C, N]."""
        side = points.new_tensor(maps.shape[:-3:-1])
        grid = (self.on_grid(points, maps.shape[-2:]) + 0.5) * 2 / side - 1
        grid = grid.to(maps)[None, None].expand(len(maps), -1, -1, -1)
        return F.grid_sample(maps, grid, "bilinear", "border", align_corners=False)[:, :, 0]

    def crop(self, maps: Tensor) -> Tensor:
        """The picture of maps [B, C, H, W] of the photo's size: [B, C, *size]."""
        top, left = self.margins
        height, width = self.photo_size
        return resize_maps(maps[..., top : height - top, left : width - left], self.size)


def cell_centers(grid_size: Sequence[int], size: Sequence[int], device: torch.device | None = None) -> Tensor:
    """(x, y) of the centers of a grid of (rows, columns) cells that fill a picture, row by row: float32 [cells, 2].

    They are in pixels of the picture of `size`, (H, W), whose pixel centers are at integers.
    """
    y, x = torch.meshgrid(
        *((torch.arange(cells, device=device) + 0.5) * side / cells - 0.5
          for cells, side in zip(grid_size, size, strict=True)),
        indexing="ij",
    )  # fmt: skip
    return torch.stack([x, y], -1).flatten(0, 1)
