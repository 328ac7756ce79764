"""Does motion follow objects: do neighboring cells move alike, and each object nearly rigidly? Ours, not in the paper.

Real objects move nearly rigidly, each inside its own outline. A measure of where motion is (an AUC) does not see
whether a flower moves as one piece or melts; the curves here do. Volumes are resized to a grid `GRID_WIDTH` wide, so
that distances mean the same for every photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..spectral_volume import SpectralVolume
from .motion_metrics import check_single_photo, magnitude_rank_correlation

GRID_WIDTH = 128  # cells
DISTANCES = (2, 4, 8, 16)  # cells between the two places of a pair
# A cell moves if its rms motion m is above this share of sum m^2 / sum m over the picture, the typical motion of what
# moves. A quantile over the picture would not do: where less moves than it leaves out, it is a value of static cells.
MOVING_SHARE = 0.3
MIN_PAIRS = 32  # of moving cells; a distance with fewer is not measured
MIN_OBJECT_CELLS = 12  # an affine fit has 3 unknowns per axis; smaller objects say nothing
# Cells of an object are ranked only if motion differs along it: its 90th percentile over its 10th, at least.
MIN_OBJECT_SPREAD = 1.5
ROUNDING = 1e-4  # relative differences of rms motion below it are not motion that differs
LATENT_PERIOD = 4  # cells of a grid GRID_WIDTH wide that one cell of the bundled model's latents covers


@dataclass(frozen=True)
class ObjectCurves:
    """How motion changes with distance inside what moves.

    Attributes:
        coherence: float64 [len(distances)] in 0..1, mean over pairs of |sum_k S_k(p) . conj S_k(p + d)| divided by
            sum_k |S_k(p)| |S_k(p + d)|: do they move alike, up to one constant phase?
        unevenness: float64 [len(distances)] >= 0, median over pairs of |log m(p) - log m(p + d)|, where m is the rms
            motion: do they move equally far?
        distances: cells of a grid GRID_WIDTH wide.
    """

    coherence: Tensor
    unevenness: Tensor
    distances: tuple[int, ...] = DISTANCES

    def coherence_distance(self, true: ObjectCurves) -> float:
        """Mean absolute difference to the true volume's coherence; NaN where nothing can be compared."""
        return float((self.coherence - true.coherence).abs().nanmean())

    def unevenness_distance(self, true: ObjectCurves) -> float:
        """Mean absolute log ratio to the true volume's unevenness; log 1.25 = 0.22 is a factor of 1.25."""
        return float((self.unevenness.clamp_min(1e-3) / true.unevenness.clamp_min(1e-3)).log().abs().nanmean())


def object_curves(volume: SpectralVolume, distances: Sequence[int] = DISTANCES) -> ObjectCurves:
    """Coherence and unevenness of one photo's motion over the distance between two places.

    Pairs lie side by side or one above the other, and both cells move (`moving_cells`).

    Args:
        volume: of one photo, on any grid.
        distances: in cells of a grid GRID_WIDTH wide, >= 1.

    Returns:
        The curves; NaN at distances with fewer than MIN_PAIRS pairs.

    Raises:
        ValueError: if the volume holds several photos, or a distance is below 1.
    """
    check_single_photo(volume)
    if min(distances) < 1:
        raise ValueError(f"distances must be at least 1 cell; got {tuple(distances)}.")
    slices = resize_to_grid(volume).coefficients[0, 1:].double()
    re, im = slices[:, 0::2], slices[:, 1::2]
    rms = slices.square().sum((0, 1)).sqrt()
    moving = moving_cells(rms)
    log_rms = rms.clamp_min(1e-12).log()
    coherence, unevenness = [], []
    for distance in distances:
        alike, ratios = [], []
        for axis in (-1, -2):
            count = rms.shape[axis] - distance
            if count < 1:
                continue
            (re_a, re_b), (im_a, im_b), (log_a, log_b), (moves_a, moves_b) = (
                [maps.narrow(axis, start, count) for start in (0, distance)] for maps in (re, im, log_rms, moving)
            )
            # S(p) conj S(p + d), written out: complex tensors do not go to every device.
            real = (re_a * re_b + im_a * im_b).sum((0, 1))
            imaginary = (im_a * re_b - re_a * im_b).sum((0, 1))
            powers = [(a.square() + b.square()).sum(1) for a, b in ((re_a, im_a), (re_b, im_b))]
            lengths = (powers[0] * powers[1]).sqrt().sum(0)
            pairs = moves_a & moves_b
            alike.append((torch.hypot(real, imaginary) / lengths.clamp_min(1e-30))[pairs])
            ratios.append((log_a - log_b).abs()[pairs])
        enough = sum(len(part) for part in alike) >= MIN_PAIRS
        coherence.append(float(torch.cat(alike).mean()) if enough else float("nan"))
        unevenness.append(float(torch.cat(ratios).median()) if enough else float("nan"))
    return ObjectCurves(_float64(coherence), _float64(unevenness), tuple(distances))


def affine_residual(volume: SpectralVolume, labels: np.ndarray | Tensor) -> float:
    """Share of the objects' motion energy that one affine motion per object and frequency does not explain.

    A rigid object that shifts, turns, shears or bends a little has a small share; an object that melts has a large one.

    Args:
        volume: of one photo.
        labels: int [H, W] of the volume's size; 0 is background, every other number is one object.

    Returns:
        0..1; NaN if no object of at least MIN_OBJECT_CELLS cells moves.

    Raises:
        ValueError: if the volume holds several photos, or the labels have another size.
    """
    check_single_photo(volume)
    labels = torch.as_tensor(labels)
    if tuple(labels.shape) != volume.size:
        raise ValueError(f"labels must be {list(volume.size)}, as the volume is; got {list(labels.shape)}.")
    maps = volume.coefficients[0, 1:].flatten(0, 1).double()  # [4 (K - 1), H, W]
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side, dtype=torch.float64) for side in volume.size), indexing="ij")
    basis = torch.stack([torch.ones_like(x), x, y], -1)
    total = residual = 0.0
    for label in labels.unique().tolist():
        inside = labels == label
        if label == 0 or int(inside.sum()) < MIN_OBJECT_CELLS:
            continue
        values, columns = maps[:, inside].T, basis[inside]  # [cells, channels], [cells, 3]
        fitted = columns @ torch.linalg.lstsq(columns, values).solution
        residual += float((values - fitted).square().sum())
        total += float(values.square().sum())
    return residual / total if total > 0 else float("nan")


def object_rank_correlation(true: SpectralVolume, predicted: SpectralVolume, labels: np.ndarray | Tensor) -> float:
    """Does each object move more at the places where it truly moves more, such as a stem from its root to its tip?

    Args:
        true, predicted: of one photo each, on one grid.
        labels: int [H, W] of that size; 0 is background, every other number is one object.

    Returns:
        -1..1, mean over objects of Spearman's correlation of rms motion over the object's cells; 1 is best. Objects
        that truly move almost evenly (`MIN_OBJECT_SPREAD`) or have fewer than MIN_OBJECT_CELLS cells are left out, and
        those that are predicted to move evenly. NaN if none is left.

    Raises:
        ValueError: if a volume holds several photos, or sizes differ.
    """
    check_single_photo(true)
    check_single_photo(predicted)
    labels = torch.as_tensor(labels)
    if not tuple(labels.shape) == true.size == predicted.size:
        raise ValueError(
            f"Volumes and labels must have one size; got {list(true.size)}, {list(predicted.size)} and "
            f"{list(labels.shape)}."
        )
    true_rms, rms = _rms_motion(true), _rms_motion(predicted)
    correlations = []
    for label in labels.unique().tolist():
        inside = labels == label
        if label == 0 or int(inside.sum()) < MIN_OBJECT_CELLS:
            continue
        low, high = torch.quantile(true_rms[inside], torch.tensor([0.1, 0.9], dtype=torch.float64)).tolist()
        differs = float(rms[inside].max()) > (1 + ROUNDING) * float(rms[inside].min())
        if high > MIN_OBJECT_SPREAD * low and differs:
            correlations.append(magnitude_rank_correlation(true_rms[inside][None], rms[inside][None]))
    return float(np.mean(correlations)) if correlations else float("nan")


def volume_lattice_share(volume: SpectralVolume) -> float:
    """`lattice_share` at the period of the bundled model's latents, for any volume.

    The volume is resized to a grid GRID_WIDTH wide, which is the model's own for photos of 16:9; one latent covers
    LATENT_PERIOD cells of it. NaN if too little moves to tell.
    """
    return lattice_share(resize_to_grid(volume), LATENT_PERIOD)


def lattice_share(volume: SpectralVolume, period: int) -> float:
    """Share of the fine variation of motion that repeats with a period, as the grid of a decoder's latents makes it.

    Fine variation is log rms motion less its mean over one period, at cells whose whole neighborhood moves, so that
    outlines do not count. Its means over the cells of each phase of the period hold this share of its variance.

    Args:
        volume: of one photo.
        period: in pixels of the volume's own grid, >= 2.

    Returns:
        0..1, the larger of both axes; near 0 without a lattice. NaN if too little moves to tell.

    Raises:
        ValueError: if the volume holds several photos, or the period is below 2.
    """
    check_single_photo(volume)
    if period < 2:
        raise ValueError(f"period must be at least 2 pixels; got {period}.")
    rms = _rms_motion(volume)
    moving = moving_cells(rms)
    logs = torch.where(moving, rms.clamp_min(1e-12).log(), 0.0)
    shares = [
        share
        for log_lines, moving_lines in ((logs, moving), (logs.T, moving.T))
        if not np.isnan(share := _lattice_share_of_lines(log_lines, moving_lines, period))
    ]
    return max(shares, default=float("nan"))


def _lattice_share_of_lines(logs: Tensor, moving: Tensor, period: int) -> float:
    """`lattice_share` along the lines of [lines, length] maps."""
    if logs.shape[1] < 2 * period:
        return float("nan")
    windows, moves = logs.unfold(1, period, 1), moving.unfold(1, period, 1).all(-1)  # [lines, length - period + 1]
    first = period // 2
    variation = logs[:, first : first + windows.shape[1]] - windows.mean(-1)
    phases = torch.arange(variation.shape[1]).expand(len(variation), -1)[moves] % period
    values = variation[moves]
    counts = torch.bincount(phases, minlength=period).double()
    if counts.min() < MIN_PAIRS:
        return float("nan")
    means = torch.bincount(phases, values, period) / counts
    overall = values.mean()
    return float((counts * (means - overall).square()).sum() / (values - overall).square().sum().clamp_min(1e-30))


def _rms_motion(volume: SpectralVolume) -> Tensor:
    """float64 [H, W], proportional to each cell's rms motion."""
    return volume.coefficients[0, 1:].double().square().sum((0, 1)).sqrt()


def moving_cells(rms: Tensor) -> Tensor:
    """bool [H, W]: the cells of a map of rms motion that move."""
    typical = rms.square().sum() / rms.sum().clamp_min(1e-30)
    return rms > MOVING_SHARE * typical


def resize_to_grid(volume: SpectralVolume) -> SpectralVolume:
    """The volume on a grid GRID_WIDTH wide, with its aspect ratio."""
    height, width = volume.size
    return volume.resize((max(1, round(height * GRID_WIDTH / width)), GRID_WIDTH))


def _float64(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
