"""An endless dataset of motion samples. The index of an item alone determines which sample is drawn and augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..spectral_volume import SpectralVolume
from .augmentation import Augmentation, augment, composite, static_sample
from .motion_samples import MotionSample
from .splits import combine_seeds

MIN_AMPLITUDE = 1e-5  # smaller amplitudes are not normalized further


@dataclass(frozen=True)
class Mixture:
    """How samples are drawn.

    Attributes:
        weights: sampling weight of each source of samples, in the order given to `MotionDataset`.
        composite_probability: of pasting a moving region onto another sample.
        static_probability: of replacing the motion of that other sample by zero.
    """

    weights: tuple[float, ...]
    composite_probability: float = 0.3
    static_probability: float = 0.3


class MotionDataset(Dataset[tuple[Tensor, Tensor]]):
    """Item i: a photo float [3, H, W] in 0..1 and coefficients [K, 4, h, w] in pixels of their grid.

    (seed, i) determines the item, so resumed training sees the same items as an uninterrupted run.

    Args:
        sources: lists of samples. Volumes with detrend == "ramp" are shifted to start at rest.
        mixture: how samples are drawn from the sources.
        augmentation: its `size` is the size of the items.
        length: number of items.
        seed: of the dataset.
        unit_amplitude: divide each volume by its `amplitude`, so the moving pixels' displacement is of the size of
            the image's width.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[MotionSample]],
        mixture: Mixture,
        augmentation: Augmentation,
        length: int,
        seed: int = 0,
        unit_amplitude: bool = True,
    ) -> None:
        if not sources or len(sources) != len(mixture.weights) or not all(sources):
            raise ValueError(f"{len(mixture.weights)} weights need as many lists of samples, none of them empty.")
        self.sources, self.mixture, self.augmentation = sources, mixture, augmentation
        self.length, self.seed, self.unit_amplitude = length, seed, unit_amplitude

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(combine_seeds(self.seed, index))
        photo, coefficients = self._draw(generator)
        if torch.rand((), generator=generator) < self.mixture.composite_probability:
            background = self._draw(generator)
            if torch.rand((), generator=generator) < self.mixture.static_probability:
                background = static_sample(background[0], len(background[1]), self.augmentation.volume_stride)
            photo, coefficients = composite((photo, coefficients), background, generator)
        if self.unit_amplitude:
            coefficients = coefficients / max(float(SpectralVolume(coefficients[None]).amplitude), MIN_AMPLITUDE)
        return photo, coefficients

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A random sample, augmented."""
        weights = torch.tensor(self.mixture.weights)
        source = self.sources[int(torch.multinomial(weights, 1, generator=generator))]
        sample = source[int(torch.randint(len(source), (), generator=generator))]
        volume = sample.volume.at_rest() if sample.volume.detrend == "ramp" else sample.volume
        return augment(sample.photo, volume, generator, self.augmentation)


class DatasetWithPlants(Dataset[tuple[Tensor, ...]]):
    """Item i: that of a dataset, then a photo and motion only where plants are, for `stages.EncoderStage`."""

    def __init__(self, motion: MotionDataset, plants: MotionDataset) -> None:
        self.motion, self.plants = motion, plants

    def __len__(self) -> int:
        return len(self.motion)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return *self.motion[index], *self.plants[index]
