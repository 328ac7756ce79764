"""From the decoder's coefficients to motion that follows the photo's objects. Ours, not in the paper.

1. `match_expected_spectrum`: about as much motion at each frequency as the encoder expects.
2. `match_expected_energy`: and at each position.
3. `smooth_along_objects`: each object moves as one.
4. `stillness_gate`: what should not move is still.
5. `upsampling.upsample_to_photo`: outlines of motion on the photo's own pixels.
6. `suppress_faint_motion`: faint motion becomes exactly zero.
7. `reach_beyond_outlines`: the rim of what moves travels with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..edge_aware_smoothing import Affinities, edge_aware_smooth
from ..rendering.outlines import gather_pixels, local_argmax
from ..spectral_volume import SpectralVolume
from ..tensors import resize_maps, smoothstep
from .motion_model import MotionModel

# `match_expected_energy`
ENERGY_MATCHING = 0.75  # exponent: 0 leaves the sample's energy, 1 gives each position the expected energy
MAX_ENERGY_RATIO = 30.0  # of expected to sampled energy, and its inverse
MAX_SPECTRUM_RATIO = 100.0  # the same for a frequency
MIN_ENERGY_SHARE = 1e-4  # of a position relative to the mean
ENERGY_SIGMA = 8.0  # cells of the volume over which the expected energy is spread along objects
# `smooth_along_objects`. Chosen on filmed clips and painted scenes: with a sigma of 6 cells, every cell counting alike,
# motion inside an object was 1.5 times as uneven as that of clips, and 0.11 of it was not affine instead of 0.07.
OBJECT_SIGMA = 48.0  # cells of the volume: an object that fills a third of the photo moves as one
AFFINITY_EXPONENT = 2.0  # of affinities, so that motion does not leak through a weak outline over such distances
MIN_WEIGHT = 1e-6  # of a cell that does not move, as a share of the largest
LOCAL_SIGMA = 6.0  # cells
MAX_GAIN = 8.0  # of a cell's motion, over its own neighborhood's: the background beside an object does not join it
# `stillness_gate`: of `expected_displacement`. Of photos of still things that were trained on, nine of ten expect less
# than 0.04 everywhere; of photos of plants, nine of ten expect more than 0.2 somewhere. The rise is wide: between the
# two, motion is too small to see, but it keeps its order. With a gate that closes at 0.03, grass stood still, and the
# AUC of what moves fell from 0.81 to 0.75.
STILL_EXPECTATION, MOVING_EXPECTATION = 0.005, 0.08
# And of what is expected in detail, as a share of that of the surroundings (`ENERGY_SIGMA`). On filmed clips, the AUC
# at outlines rises from 0.70 to 0.72 by it, and what stands still beside what moves moves less.
STILL_SHARE, MOVING_SHARE = 0.03, 0.3
# `suppress_faint_motion`: as shares of the typical rms motion of moving cells
STILL_BELOW, MOVING_ABOVE = 0.005, 0.12
# `reach_beyond_outlines`, in pixels of the volume's grid. Chosen by looking: less leaves specks of a rim behind, more
# tears the background. And the step that is an outline, as a share of the typical motion: 0.1 pixels of 256, as a rule.
OUTLINE_REACH = 2
OUTLINE_STEP = 0.1


@dataclass(frozen=True, eq=False)
class ExpectedMotion:
    """What a model expects of the motion of B photos.

    Attributes:
        displacement: [B, 1, h, w] of `expected_displacement`.
        spectrum: [B, K] of `mean_spectrum`.
        gate: [B, 1, H, W] of `stillness_gate`, on the volume's grid.
    """

    displacement: Tensor
    spectrum: Tensor
    gate: Tensor

    def repeat_interleave(self, count: int) -> ExpectedMotion:
        """Every photo's `count` times in a row."""
        displacement, spectrum, gate = (
            each.repeat_interleave(count, 0) for each in (self.displacement, self.spectrum, self.gate)
        )
        return ExpectedMotion(displacement, spectrum, gate)


def expect_motion(model: MotionModel, photo: Tensor, prior: Tensor, affinities: Affinities) -> ExpectedMotion:
    """What a model expects of photos [B, 3, H', W'] in 0..1, of the encoder's input size.

    Args:
        prior: of the encoder, [B, K, 2, h, w].
        affinities: of B grids of H x W cells.
    """
    coefficients = _prior_coefficients(model, prior)
    displacement = rms_displacement(coefficients, model.config.volume.period)
    if model.config.volume.unit_amplitude:
        gate = stillness_gate(displacement, model.refine_displacement(photo, displacement), affinities)
    else:  # what is expected has no absolute size
        gate = displacement.new_ones(len(displacement), 1, *affinities.size)
    return ExpectedMotion(displacement, mean_spectrum(coefficients), gate)


def refine_motion(coefficients: Tensor, expected: ExpectedMotion | None, affinities: Affinities) -> Tensor:
    """Motion that follows the photo's objects: steps 1 to 4.

    Args:
        coefficients: [B, K, 4, H, W] in pixels, from the decoder.
        expected: None for a model without a prior.
        affinities: of B grids of H x W cells.
    """
    if expected is None:
        return smooth_along_objects(coefficients, affinities)
    coefficients = match_expected_spectrum(coefficients, expected.spectrum)
    coefficients = match_expected_energy(coefficients, expected.displacement, affinities)
    return smooth_along_objects(coefficients, affinities) * expected.gate.unsqueeze(1)


def match_expected_spectrum(coefficients: Tensor, expected: Tensor) -> Tensor:
    """Bring the energy of a sample at each frequency closer to what the encoder expects for the photo.

    Frequency k is multiplied by (expected / sampled)^(ENERGY_MATCHING / 2), both relative to all frequencies. Reason:
    in the upper half of the frequencies, samples hold a sixth of the motion that filmed clips have.

    Args:
        coefficients: [B, K, 4, H, W] in pixels.
        expected: [B, K] of `mean_spectrum`; only ratios count.
    """
    shares = [
        each / each[:, 1:].sum(1, keepdim=True).clamp_min(1e-30) for each in (expected, mean_spectrum(coefficients))
    ]
    ratio = (shares[0] / shares[1].clamp_min(1e-12)).clamp(1 / MAX_SPECTRUM_RATIO, MAX_SPECTRUM_RATIO)
    gain = ratio ** (ENERGY_MATCHING / 2)
    return coefficients * gain.view(*gain.shape, 1, 1, 1)


def mean_spectrum(coefficients: Tensor) -> Tensor:
    """Mean energy of each frequency over all cells: [B, K, 4, H, W] -> [B, K]."""
    return coefficients.square().sum(2).mean((2, 3))


def match_expected_energy(coefficients: Tensor, expected: Tensor, affinities: Affinities) -> Tensor:
    """Bring the energy of a sample at each position closer to what is expected for the photo.

    The energy over all frequencies is multiplied by (expected / sampled)^ENERGY_MATCHING, both relative to their means
    and spread along the photo's objects. Phases, directions and the distribution over frequencies stay random. Reason:
    a single sample is never averaged, so chance motion where the photo gives no cause for it would stay visible.

    Args:
        coefficients: [B, K, 4, H, W] in pixels.
        expected: displacements [B, 1, h, w] on any grid; only their ratios count.
        affinities: of B grids of H x W cells.
    """
    # Energies span orders of magnitude. Their roots keep the strongest cells from ruling a whole object.
    both = torch.cat([resize_maps(expected, affinities.size), rms_motion(coefficients)], 1)
    both = edge_aware_smooth(both, affinities, ENERGY_SIGMA).square()
    ratio = _energy_share(both[:, :1]) / _energy_share(both[:, 1:])
    gain = ratio.clamp(1 / MAX_ENERGY_RATIO, MAX_ENERGY_RATIO) ** (ENERGY_MATCHING / 2)
    return coefficients * gain.unsqueeze(1)


def stillness_gate(expected: Tensor, detailed: Tensor, affinities: Affinities) -> Tensor:
    """0 where no motion is expected, or much less than in the surroundings; 1 where some is: [B, 1, H, W].

    Only for models of volumes of unit amplitude, whose expected motion has an absolute size. Inside an object the
    expectation is nearly even, so the comparison with the surroundings changes motion at outlines only.

    Args:
        expected: [B, 1, h, w] of `expected_displacement`.
        detailed: [B, 1, H, W] of `MotionModel.refine_displacement`.
        affinities: of B grids of H x W cells.
    """
    expected = edge_aware_smooth(resize_maps(expected, affinities.size), affinities, ENERGY_SIGMA)
    weight = detailed / detailed.amax((2, 3), keepdim=True).clamp_min(1e-12) + MIN_WEIGHT
    surroundings = edge_aware_smooth(detailed, affinities, ENERGY_SIGMA, weight)
    share = detailed / surroundings.clamp_min(1e-12)
    return _rise(expected, STILL_EXPECTATION, MOVING_EXPECTATION) * _rise(share, STILL_SHARE, MOVING_SHARE)


def smooth_along_objects(coefficients: Tensor, affinities: Affinities, sigma: float = OBJECT_SIGMA) -> Tensor:
    """Smooth motion inside each object, so that it moves as one.

    Cells count by their rms motion. Otherwise an object would move less, and less evenly, the more still background
    leaks into it. Averaging motions of different phases shrinks them, so the rms motion is smoothed apart and restored,
    up to `MAX_GAIN` times that of a cell's neighborhood.

    Args:
        coefficients: [B, K, 4, H, W].
        affinities: of B grids of H x W cells.
        sigma: standard deviation in cells.
    """
    rms = rms_motion(coefficients)
    weight = rms / rms.amax((1, 2, 3), keepdim=True).clamp_min(1e-12) + MIN_WEIGHT
    maps = torch.cat([coefficients.flatten(1, 2), rms], 1)
    smoothed = edge_aware_smooth(maps, affinities.power(AFFINITY_EXPONENT), sigma, weight)
    limit = MAX_GAIN * edge_aware_smooth(rms, affinities, min(sigma, LOCAL_SIGMA))
    smoothed, rms = smoothed[:, :-1].view_as(coefficients), torch.minimum(smoothed[:, -1:], limit)
    return smoothed * (rms / rms_motion(smoothed).clamp_min(1e-12)).unsqueeze(1)


def suppress_faint_motion(volume: SpectralVolume) -> SpectralVolume:
    """Make motion exactly zero where it is below `STILL_BELOW` of the typical motion; full from `MOVING_ABOVE` on."""
    rms = rms_motion(volume.coefficients)
    share = rms / typical_motion(rms)
    gate = _rise(share, STILL_BELOW, MOVING_ABOVE)
    return volume.replace(coefficients=volume.coefficients * gate.unsqueeze(1))


def reach_beyond_outlines(volume: SpectralVolume) -> SpectralVolume:
    """Carry the motion of what moves `OUTLINE_REACH` pixels beyond its outlines.

    The antialiased rim of an object is mixed with the background, and lies outside of its outline in part. Every pixel
    takes the motion of the pixel within reach that moves most, where that is clearly more than its own.
    """
    rms = rms_motion(volume.coefficients)
    index = local_argmax(rms, OUTLINE_REACH)
    step = (gather_pixels(rms, index) - rms) / typical_motion(rms)
    own = torch.arange(rms[0].numel(), device=rms.device).expand_as(index)
    index = torch.where(step.flatten(1) > OUTLINE_STEP, index, own)
    reached = gather_pixels(volume.coefficients.flatten(1, 2), index)
    return volume.replace(coefficients=reached.view_as(volume.coefficients))


def rms_motion(coefficients: Tensor) -> Tensor:
    """Root of the energy over all frequencies but bin 0 and both axes: [B, K, 4, H, W] -> [B, 1, H, W]."""
    return coefficients[:, 1:].square().sum((1, 2)).sqrt().unsqueeze(1)


def expected_displacement(model: MotionModel, prior: Tensor) -> Tensor:
    """The displacement that the encoder expects at each position, as a root mean square over time: [B, 1, h, w].

    It is a share of the image's width; for models of volumes of unit amplitude, about 1 where a typical photo moves.

    Args:
        prior: of the encoder, [B, K, 2, h, w].
    """
    return rms_displacement(_prior_coefficients(model, prior), model.config.volume.period)


def _prior_coefficients(model: MotionModel, prior: Tensor) -> Tensor:
    """The prior's modulus [B, K, 2, h, w] as coefficients [B, K, 4, h, w] in pixels of its grid."""
    parts = prior[:, :, :, None].expand(-1, -1, -1, 2, -1, -1).flatten(2, 3)  # of x and y, real and imaginary
    return model.normalizer.denormalize(parts)


def rms_displacement(coefficients: Tensor, period: int) -> Tensor:
    """Root mean square of the displacement over time, as a share of the image's width: [B, 1, h, w].

    Args:
        coefficients: [B, K, 4, h, w] in pixels of their grid.
        period: of the volume, in frames.
    """
    return rms_motion(coefficients) * (2**0.5 / period / coefficients.shape[-1])


def typical_motion(rms: Tensor) -> Tensor:
    """Mean of rms motion [B, 1, H, W], each pixel weighted by its own motion, above zero: [B, 1, 1, 1]."""
    mean = rms.mean((2, 3), keepdim=True)
    return (rms.square().mean((2, 3), keepdim=True) / mean.clamp_min(1e-12)).clamp_min(1e-12)


def _energy_share(energy: Tensor) -> Tensor:
    """Energies [B, 1, h, w] relative to their mean, and above zero."""
    return energy / energy.mean((2, 3), keepdim=True).clamp_min(1e-12) + MIN_ENERGY_SHARE


def _rise(values: Tensor, low: float, high: float) -> Tensor:
    """From 0 at `low` to 1 at `high`, smoothly."""
    return smoothstep(((values - low) / (high - low)).clamp(0, 1))
