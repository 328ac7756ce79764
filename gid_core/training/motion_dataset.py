"""Endless training data: samples drawn, augmented and put together, each by its own number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..spectral_volume import SpectralVolume
from .augmentation import Augmentation, augment, composite, still
from .motion_samples import Sample


@dataclass(frozen=True)
class Mixture:
    """How samples are drawn.

    weights: share of each source of samples, in the order given to `MotionDataset`.
    composited: share of pictures into which a moving region of another is pasted.
    still: share of those whose background is kept still.
    """

    weights: tuple[float, ...]
    composited: float = 0.3
    still: float = 0.3


def combine_seeds(*numbers: int) -> int:
    """One seed out of several numbers >= 0. PyTorch's generator on the CPU heeds only the last 32 bits of a seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class MotionDataset(Dataset):
    """Item i: a photo float [3, H, W] in 0..1 and coefficients [K, 4, h, w] in pixels of their grid.

    Which samples are drawn and how they are augmented follows from (seed, i), so training that was cut off goes on
    with the very pictures that it would have seen.

    Args:
        sources: lists of samples; each sample's volume must begin at rest with the ramp taken off.
        mixture: see there.
        augmentation: its `size` is that of the items.
        length: number of items.
        unit_amplitude: divide every volume by its `amplitude`: moving pixels swing by the picture's width.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[Sample]],
        mixture: Mixture,
        augmentation: Augmentation,
        length: int,
        seed: int = 0,
        unit_amplitude: bool = True,
    ):
        if not sources or len(sources) != len(mixture.weights) or not all(sources):
            raise ValueError(f"{len(mixture.weights)} weights need as many lists of samples, none of them empty.")
        self.sources, self.mixture, self.augmentation = sources, mixture, augmentation
        self.length, self.seed, self.unit_amplitude = length, seed, unit_amplitude

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(combine_seeds(self.seed, index))
        photo, coefficients = self._one(generator)
        if torch.rand((), generator=generator) < self.mixture.composited:
            below = self._one(generator)
            if torch.rand((), generator=generator) < self.mixture.still:
                below = still(below[0], len(below[1]), self.augmentation.volume_stride)
            photo, coefficients = composite((photo, coefficients), below, generator)
        if self.unit_amplitude:
            coefficients = coefficients / max(float(SpectralVolume(coefficients[None]).amplitude), 1e-5)
        return photo, coefficients

    def _one(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        weights = torch.tensor(self.mixture.weights)
        source = self.sources[int(torch.multinomial(weights, 1, generator=generator))]
        sample = source[int(torch.randint(len(source), (), generator=generator))]
        volume = sample.volume.at_rest() if sample.volume.detrend == "ramp" else sample.volume
        return augment(sample.photo, volume, generator, self.augmentation)
