"""The rendering network: clean frames at the edges of moving objects (paper section 5).

As in the paper, features of the photo at several scales are warped along the motion by softmax splatting, with the
motion's magnitude as depth, and a decoder makes the frame from them. Two things differ:

* Only the displacements are splatted, once, at full size. They give the origin in the photo of each pixel of the
  frame, and the features of every scale are sampled there. The weights are the same as in a splat of every
  channel of every scale, but the result is sharp and many times cheaper.
* The decoder starts from a finished frame. It edits the frame where something moves or is uncovered, and two pixels
  around, because outlines leave their colors in the background. Farther away a frame has the photo's exact values. The
  decoder predicts the weights of five images and a color to add to their mix, see `frame_edits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..rendering.outlines import find_outlines
from ..rendering.renderer import FrameRenderer, Tile
from ..rendering.warping import WarpResult, backward_warp, forward_warp, premultiply, unpremultiply
from .config import RendererConfig
from .frame_edits import (
    COLOR_CHANNELS,
    DECODED_CHANNELS,
    FLOW_SCALE,
    INPUT_CHANNELS,
    candidate_images,
    compose,
    decoder_inputs,
    find_departing,
    find_edit_mask,
    tiles,
)
from .fused_network import FusedNetwork, can_fuse_network

# Lower limit of the root mean square in `rms_norm`.
MIN_ROOT_MEAN_SQUARE = 1e-6


class RenderingNetwork(nn.Module):
    """An encoder of the photo, and a U-Net that makes frames from the photo's warped features. Fully convolutional."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.config = config
        widths, features = config.block_out_channels, config.feature_channels
        self.feature_encoder = nn.ModuleList(
            nn.Sequential(_level_conv(level, in_channels, out_channels), ResidualBlock(out_channels))
            for level, (in_channels, out_channels) in enumerate(
                zip((4 * COLOR_CHANNELS, *features), features, strict=False)
            )
        )
        self.down_convs = nn.ModuleList(
            _level_conv(level, in_channels, out_channels)
            for level, (in_channels, out_channels) in enumerate(
                zip((4 * INPUT_CHANNELS, *widths), widths, strict=False)
            )
        )
        self.feature_projections = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, 1) for in_channels, out_channels in zip(features, widths, strict=True)
        )
        self.encoder_blocks = nn.ModuleList(ResidualBlock(width) for width in widths)
        self.up_convs = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, 1)
            for out_channels, in_channels in zip(widths, widths[1:], strict=False)
        )
        self.decoder_blocks = nn.ModuleList(ResidualBlock(width) for width in widths)
        self.conv_out = nn.Conv2d(widths[0], 4 * DECODED_CHANNELS, 3, padding=1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    @property
    def stride(self) -> int:
        """Pixels of the frame per pixel of the lowest level. What is decoded is padded to multiples of it."""
        return 2 ** len(self.config.block_out_channels)

    @property
    def dtype(self) -> torch.dtype:
        """Of the convolutions."""
        return self.conv_out.weight.dtype

    def prepare(self, photo: Tensor, importance: Tensor) -> FrameRenderer:
        """A `rendering.Renderer`: computes once what all frames of a photo share. Compiled on the CPU, if Numba works.

        Args:
            photo: [1, C, H, W] in 0..1, C = 3, or 4 with straight alpha.
            importance: [1, 1, H, W], see `rendering.motion_importance`.
        """
        if can_fuse_network(self, photo, importance):
            return FusedNetwork(self, photo, importance)
        return self.prepare_by_operators(photo, importance)

    def prepare_by_operators(self, photo: Tensor, importance: Tensor) -> FrameRenderer:
        """`prepare` by PyTorch's operators, on any device; defines what the compiled one computes."""
        source = premultiply(photo)
        outlines, departing_index = find_outlines(source, importance), find_departing(importance)
        features = self.extract_features(source)

        def render_frames(flow: Tensor) -> tuple[Tensor, Tensor]:
            warped = forward_warp(source, flow, importance, outlines)
            candidates = candidate_images(source, flow, departing_index, warped)
            frames, edit_mask = self.refine_frames(candidates, importance, warped, features)
            frames = torch.where(warped.static & (edit_mask == 0), photo, unpremultiply(frames))
            return frames.clamp_(0, 1), warped.holes

        return render_frames

    def extract_features(self, source: Tensor) -> list[Tensor]:
        """Features of a photo's colors at several scales.

        Args:
            source: [N, C, H, W] from `premultiply`.

        Returns:
            [N, c, H / 2, W / 2], [N, c', H / 4, W / 4], ...; sides are rounded up to multiples of the stride first.
        """
        level = self._pixel_unshuffle(self._pad_to_stride(source[:, :COLOR_CHANNELS]) - 0.5)
        features = []
        for block in self.feature_encoder:
            level = block(level)
            features.append(level.float())  # they are sampled at coordinates, which need float32
        return features

    def refine_frames(
        self, candidates: Sequence[Tensor], importance: Tensor, warped: WarpResult, features: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Make frames from a photo's warp. Differentiable in the network's weights.

        Args:
            candidates: from `candidate_images`.
            importance: [1 or n, 1, H, W].
            warped: the photo's warp along n displacement fields.
            features: from `extract_features`.

        Returns:
            frames: [n, C, H, W], premultiplied alpha, not clamped.
            edit_mask: [n, 1, H, W] in 0..1, how far each pixel may be edited.
        """
        inputs, edit_mask = decoder_inputs(candidates, importance, warped), find_edit_mask(warped)
        decoded = edit_mask.new_zeros(len(edit_mask), DECODED_CHANNELS, *edit_mask.shape[-2:])
        for tile in tiles(edit_mask, self.stride):
            decoded[..., tile.rows, tile.columns] = self._decode_tile(inputs, tile, features)
        return compose(decoded, candidates, warped.consistency, edit_mask), edit_mask

    def _decode_tile(self, inputs: Sequence[Tensor], tile: Tile, features: Sequence[Tensor]) -> Tensor:
        """Decode a tile.

        Args:
            inputs: from `decoder_inputs`; the first is the displacement.
            tile: from `tiles`.
            features: from `extract_features`, of the whole photo.

        Returns:
            [n, `DECODED_CHANNELS`, h, w]: a color to add, and the weights of all candidates but the first.
        """
        window, count = (..., tile.window_rows, tile.window_columns), len(inputs[0])
        stacked = self._pad_to_stride(torch.cat([maps[window].expand(count, -1, -1, -1) for maps in inputs], 1))
        top, left = tile.window_rows.start, tile.window_columns.start

        def warp_features() -> Iterator[Tensor]:
            for level, maps in enumerate(features):
                scale = 2 ** (level + 1)
                displacement = F.avg_pool2d(stacked[:, :2], scale) * (FLOW_SCALE / scale)
                yield backward_warp(maps, displacement, "bilinear", (top // scale, left // scale))

        decoded = F.pixel_shuffle(self.decode(self._pixel_unshuffle(stacked), warp_features()), 2)
        rows = slice(tile.rows.start - top, tile.rows.stop - top)
        return decoded[..., rows, tile.columns.start - left : tile.columns.stop - left]

    def decode(self, inputs: Tensor, warped_features: Iterable[Tensor]) -> Tensor:
        """The U-Net.

        Args:
            inputs: [n, 4 * `INPUT_CHANNELS`, h, w] in the network's dtype: `pixel_unshuffle` of the maps.
            warped_features: of every level, [n, c, h, w], [n, c', h / 2, w / 2], ...

        Returns:
            float32 [n, 4 * `DECODED_CHANNELS`, h, w], for `pixel_shuffle`.
        """
        hidden, skips = inputs, []
        for down_conv, projection, block, features in zip(
            self.down_convs, self.feature_projections, self.encoder_blocks, warped_features, strict=True
        ):
            features = features.to(hidden.dtype, memory_format=torch.channels_last)
            hidden = block(down_conv(hidden) + projection(features))
            skips.append(hidden)
        hidden = self.decoder_blocks[-1](skips.pop())
        for up_conv, block in zip(reversed(self.up_convs), reversed(self.decoder_blocks[:-1]), strict=True):
            hidden = block(F.interpolate(up_conv(hidden), scale_factor=2, mode="nearest") + skips.pop())
        return self.conv_out(F.relu(rms_norm(hidden))).float()

    def _pad_to_stride(self, maps: Tensor) -> Tensor:
        """Repeat the last row and column until both sides are multiples of the stride."""
        bottom, right = (-side % self.stride for side in maps.shape[-2:])
        return F.pad(maps, (0, right, 0, bottom), mode="replicate") if bottom or right else maps

    def _pixel_unshuffle(self, maps: Tensor) -> Tensor:
        """`pixel_unshuffle` by 2 in the network's dtype, channels last, which a CPU convolves 2 to 3 times as fast."""
        return F.pixel_unshuffle(maps, 2).to(self.dtype, memory_format=torch.channels_last)


class ResidualBlock(nn.Module):
    """RMS norm, two 3 x 3 convolutions with a ReLU between them, and a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.conv2(F.relu(self.conv1(rms_norm(maps))))


def _level_conv(level: int, in_channels: int, out_channels: int) -> nn.Conv2d:
    """The 3 x 3 convolution into a level; it halves the size except in level 0."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=1 if level == 0 else 2, padding=1)


def rms_norm(maps: Tensor) -> Tensor:
    """Divide the channels [N, C, H, W] of each pixel by their root mean square.

    Without a norm, activations grow without limit in training. Statistics of whole images would make tiles differ from
    the whole image.
    """
    dtype = torch.float32 if maps.dtype == torch.float16 else None  # in which lengths would overflow
    length = torch.linalg.vector_norm(maps, dim=1, keepdim=True, dtype=dtype)
    return maps / (length * maps.shape[1] ** -0.5).clamp(min=MIN_ROOT_MEAN_SQUARE).to(maps)
