"""The photo's features on the latents' grid, the denoiser's condition (supplement: "a standard ResNet encoder")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..tensors import resize_maps
from .config import ModelConfig
from .efficientnet import PYRAMID_CHANNELS, EfficientNetLite0

NUM_GROUPS = 8  # of group normalization
MIN_PRIOR = 0.01  # normalized modulus; keeps the prior above zero


class ImageEncoder(nn.Module):
    """Maps photos to features and to an expected modulus of every frequency's motion (`ImageEncoderConfig.prior`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.stride = config.latent_stride
        width, num_bins = config.encoder.hidden_channels, config.volume.num_bins
        self.backbone: PretrainedPyramid | ResNet
        if config.encoder.backbone == "efficientnet":
            self.backbone = PretrainedPyramid(width, self.stride)
        else:
            self.backbone = ResNet(width, self.stride)
        # The training set has few photos. Dropout of whole channels keeps the head from memorizing them.
        self.dropout = nn.Dropout2d(config.encoder.dropout)
        self.head = nn.Sequential(
            ResidualBlock(width), ResidualBlock(width), nn.GroupNorm(NUM_GROUPS, width), nn.SiLU()
        )
        self.feature_head = nn.Conv2d(width, config.encoder.feature_channels, 1)
        self.prior_head = nn.Conv2d(width, 2 * num_bins, 1) if config.encoder.prior else None

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor | None]:
        """Encode photos [B, 3, H, W] in 0..1, whose sides are multiples of the latents' stride.

        Returns:
            features [B, C, h, w] and prior [B, K, 2, h, w] > 0 or None, h = H / stride. The prior is the expected
            modulus of normalized coefficients of x and of y.
        """
        x = self.dropout(self.head(self.dropout(self.backbone(photo))))
        prior = None
        if self.prior_head is not None:
            prior = (F.softplus(self.prior_head(x).float()) + MIN_PRIOR).unflatten(1, (-1, 2))
        return self.feature_head(x), prior


class PretrainedPyramid(nn.Module):
    """EfficientNet-Lite0's features of four scales, projected, resized to one grid and added.

    EfficientNet itself stays frozen.
    """

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.network = EfficientNetLite0().requires_grad_(False)
        del self.network._conv_head, self.network._bn1  # for classification only
        self.lateral_convs = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in PYRAMID_CHANNELS.values())
        self.position_embedding = nn.Conv2d(2, width, 1)

    def train(self, mode: bool = True) -> PretrainedPyramid:
        super().train(mode)
        self.network.eval()  # batch normalization uses ImageNet's statistics
        return self

    def forward(self, photo: Tensor) -> Tensor:
        size = photo.shape[-2] // self.stride, photo.shape[-1] // self.stride
        with torch.no_grad():
            pyramid = self.network.pyramid(photo)
        laterals = [conv(level) for conv, level in zip(self.lateral_convs, pyramid, strict=True)]
        # Height in the photo is informative: stems stand on the ground, lanterns hang from above.
        y = torch.linspace(-1, 1, size[0]).to(photo).view(1, 1, -1, 1).expand(len(photo), 1, *size)
        position = self.position_embedding(torch.cat([y, y.square()], 1))
        return sum((resize_maps(lateral.float(), size) for lateral in laterals), position)


class ResNet(nn.Module):
    """A ResNet trained from scratch: one block per stage; each stage halves the size, down to the latents' grid."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 7, padding=3)
        num_stages = stride.bit_length() - 1
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, 2, padding=1), ResidualBlock(width)) for _ in range(num_stages)
        )

    def forward(self, photo: Tensor) -> Tensor:
        x = self.stem(photo * 2 - 1)
        for stage in self.stages:
            x = stage(x)
        return x


class ResidualBlock(nn.Module):
    """Normalization, SiLU and convolution, twice, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(NUM_GROUPS, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(NUM_GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden)))
