"""The photo's features on the latents' grid, the denoiser's condition (supplement: "a standard ResNet encoder")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..tensors import resize_maps
from .config import ModelConfig
from .efficientnet import TAPS, EfficientNetLite0

GROUPS = 8
LEAST_PRIOR = 0.01


class ConditionEncoder(nn.Module):
    """Photos to features, and to a first guess at how much every frequency moves where (`EncoderConfig.prior`)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.stride = config.latent_stride
        width, bins = config.encoder.width, config.volume.num_bins
        trunk = PretrainedPyramid if config.encoder.kind == "efficientnet" else ResNet
        self.trunk = trunk(width, self.stride)
        # Few photos train this: whole channels are left out, so that none is learned by heart.
        self.forget = nn.Dropout2d(config.encoder.dropout)
        self.head = nn.Sequential(_Residual(width), _Residual(width), nn.GroupNorm(GROUPS, width), nn.SiLU())
        self.features = nn.Conv2d(width, config.encoder.channels, 1)
        self.prior = nn.Conv2d(width, 2 * bins, 1) if config.encoder.prior else None

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor | None]:
        """Photos [B, 3, H, W] in 0..1, sides multiples of the latents' stride.

        Returns:
            features [B, C, h, w] and prior [B, K, 2, h, w] > 0 or None, h = H / stride. The prior is the expected
            modulus of normalized coefficients of x and of y.
        """
        x = self.forget(self.head(self.forget(self.trunk(photo))))
        prior = None
        if self.prior is not None:
            prior = (F.softplus(self.prior(x).float()) + LEAST_PRIOR).unflatten(1, (-1, 2))
        return self.features(x), prior


class PretrainedPyramid(nn.Module):
    """EfficientNet-Lite0's features of four scales, brought to one grid and added. The network itself stays frozen."""

    def __init__(self, width: int, stride: int):
        super().__init__()
        self.stride = stride
        self.network = EfficientNetLite0().requires_grad_(False)
        del self.network._conv_head, self.network._bn1  # for classification only
        self.project = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in TAPS.values())
        self.position = nn.Conv2d(2, width, 1)

    def train(self, mode: bool = True) -> PretrainedPyramid:
        super().train(mode)
        self.network.eval()  # its statistics are ImageNet's, not those of a batch of ours
        return self

    def forward(self, photo: Tensor) -> Tensor:
        size = photo.shape[-2] // self.stride, photo.shape[-1] // self.stride
        with torch.no_grad():
            pyramid = self.network.pyramid(photo)
        maps = [project(level) for project, level in zip(self.project, pyramid, strict=True)]
        # Stems stand on the ground and lanterns hang from above: height in the picture says something.
        y = torch.linspace(-1, 1, size[0]).to(photo).view(1, 1, -1, 1).expand(len(photo), 1, *size)
        place = self.position(torch.cat([y, y.square()], 1))
        return sum((resize_maps(level.float(), size) for level in maps), place)


class ResNet(nn.Module):
    """A ResNet from scratch: a block a level, each halving the size, up to the latents' grid."""

    def __init__(self, width: int, stride: int):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 7, padding=3)
        halvings = stride.bit_length() - 1
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, 2, padding=1), _Residual(width)) for _ in range(halvings)
        )

    def forward(self, photo: Tensor) -> Tensor:
        x = self.stem(photo * 2 - 1)
        for level in self.levels:
            x = level(x)
        return x


class _Residual(nn.Module):
    """Normalize, convolve, twice, and add."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
