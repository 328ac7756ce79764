"""A spectral volume from a painted mask: the painted regions sway on their roots as elastic sheets.

In the paper, motion comes from a model or a clip. Here it comes from the elastic modes of the painted regions, as in
the modal analysis that the paper's interaction builds on (Davis et al. 2015), with the natural 1/f amplitudes of the
paper's section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..notices import warn
from ..spectral_volume import DEFAULT_BINS, DEFAULT_FPS, DEFAULT_PERIOD, SpectralVolume
from ..tensors import box_mean, fit_size, mask_batch, smoothstep
from ..validation import MAX_FRAMES, check_integer, check_number, check_rate, check_size
from .mask_regions import MAX_MODES, Region, bounding_box, find_regions
from .motion_brush import BrushMaps, rasterize_strokes
from .spring_mesh import ElasticModes
from .steering import PAINTED, arrow_vectors, sway_along
from .stroke_list import Stroke, check_strokes

# The modes' frequencies are compressed until this many modes lie below the volume's highest frequency.
MIN_MODES_IN_RANGE = 3
# Damping ratio of a mode's resonance: how strongly it responds to gusts at other frequencies than its own.
DAMPING_RATIO = 0.15
# Width of the soft rim around the moving pixels, as a multiple of the amplitude, and its limits as fractions of the
# image's longest side. A narrower rim tears at the widest displacement; a wider rim drags the background along.
RIM_PER_AMPLITUDE = 4.0
MIN_RIM, MAX_RIM = 0.01, 0.08
MIN_RIM_PIXELS = 2.0
# An amplitude above this fraction of the longest region's length distorts it, since mesh points move along lines.
MAX_AMPLITUDE_PER_LENGTH = 0.1
# The whole range of `amplitude`, a fraction of the width.
MAX_AMPLITUDE = 10.0
# About how far the farthest pixel of a region goes, in multiples of its amplitude: what the length of an arrow is.
REACH_PER_AMPLITUDE = 4.0
# How much more than `PAINTED` a stroke must cover a pixel for its full motion; less is a soft edge.
FULL_MOTION = 0.5
# Longest side of the volume in pixels; rendering scales it to the photo.
MAX_SIZE = 512
NOTHING_PAINTED = 'Nothing is painted that moves: draw strokes of the kind "move" in strokes, or connect a mask.'
# Samples of one period at which the phase of the photo is chosen.
PHASE_SAMPLES = 256


def volume_from_mask(
    mask: Tensor | None = None,
    roots: Tensor | None = None,
    *,
    strokes: Sequence[Stroke] = (),
    size: Sequence[int] | None = None,
    gravity_degrees: float = 90.0,
    num_bins: int = DEFAULT_BINS,
    fps: float = DEFAULT_FPS,
    period: int = DEFAULT_PERIOD,
    amplitude: float = 0.01,
    base_frequency: float = 0.5,
    seed: int = 0,
    grid: int = 128,
) -> SpectralVolume:
    """A volume in which the white regions of a mask sway on their roots.

    Every connected region becomes a sheet of springs (`spring_mesh.elastic_modes`) and moves in its lowest modes m.
    Their frequencies f_m have the ratios of the sheet. f_1 is `base_frequency` for the longest region and higher for
    shorter ones, in inverse proportion to their length, up to half the volume's highest frequency f_max. Bin k holds

        S_k = sum_m a_m(f_k) e^(i phase_mk) shape_m,    a_m(f) = 2 z / (f_m |1 - r^2 + 2 i z r|),    r = f / g_m,
        g_m = f_1 (f_m / f_1)^c,    c = min(1, log(f_max / f_1) / log(f_3 / f_1))

    with shape_m of height 1, random phases and the damping ratio z. This is an oscillator that gusts excite at every
    frequency, most of all in the bin nearest to g_m, with 1/f amplitudes and the irregularity of wind. The modes of a
    slender stem (1 : 6 : 18) are too far apart for the bins. The exponent c compresses their frequencies, not their
    amplitudes, until three modes fit. Modes above the last bin are left out.

    Strokes of the motion brush paint a mask, too. What they paint softly moves less toward its edge. What they pin
    stays and holds the regions that it touches; the others stand on their underside, if there are no roots. The springs
    are as stiff as painted, and a region of the mean stiffness s sways sqrt(s) times as fast. A region with an arrow
    sways along it, and its farthest pixel goes as far as the arrow is long, with any amplitude above 0.

    Args:
        mask: [H, W] or [B, H, W] in 0..1; pixels above 0.25 move. Around them the motion fades out within 4 times the
            amplitude, at least 1 % and at most 8 % of the image's longest side. None if strokes paint what moves.
        roots: [H', W'] or [B or 1, H', W'], the fixed pixels of the same image at any size. Roots need not lie inside
            the mask but must touch it; regions that they do not touch do not move. If None, each region is held along
            its underside, from the lowest point up to where the underside becomes steep, in a band 5 % as deep as the
            region is tall along gravity.
        strokes: of the motion brush, see `Stroke`.
        size: (height, width) in pixels of the image on which the strokes were drawn; needed without a mask.
        gravity_degrees: direction of gravity in the image, 0 = right, 90 = down. Use -90 for hanging objects.
        num_bins: K >= 2, frequency slices.
        fps: samples per second of the volume's window, > 0.
        period: T, samples of the volume's window, >= 2 (K - 1).
        amplitude: `SpectralVolume.amplitude` of the result, a fraction of the width, 0 to 10.
        base_frequency: frequency of the longest region's slowest mode in Hz, above 0 and at most the last bin's.
        seed: of the random phases, >= 0.
        grid: mesh cells along the image's longer side, 8 to 256.

    Returns:
        A volume of B photos, at most 512 pixels wide and high, with F_0 = 0, so that loops begin with the photo.

    Raises:
        ValueError: if nothing is painted or only specks, if roots touch nothing or cover everything, or if a
            value is out of range.

    Warns:
        UserWarning: if the roots touch only some of several regions, or the amplitude is too large for the longest
            region.
    """
    gravity_degrees = check_number("gravity_degrees", gravity_degrees, meaning="90 is down")
    fps = check_rate("fps", fps, "samples of the volume per second")
    period = check_integer("period", period, 2, MAX_FRAMES, meaning="samples")
    num_bins = check_integer("num_bins", num_bins, 2, period // 2 + 1, meaning=f"with a period of {period} samples")
    amplitude = check_number("amplitude", amplitude, 0, MAX_AMPLITUDE, meaning="a fraction of the image's width")
    base_frequency = check_number("base_frequency", base_frequency, above=0, meaning="Hz")
    max_frequency = (num_bins - 1) * fps / period
    if base_frequency > max_frequency * (1 + 1e-6):
        raise ValueError(
            f"base_frequency must be at most the last bin's {max_frequency:g} Hz; got {base_frequency}. Lower it, or "
            "use more bins."
        )
    seed = check_integer("seed", seed, 0)
    grid = check_integer("grid", grid, 8, 256, meaning="cells along the image's longer side")
    strokes = check_strokes(strokes)
    masks = _check_mask(mask, strokes, size)
    painted_size = masks.shape[-2:] if size is None or mask is not None else size
    size = fit_size(masks.shape[-2:], MAX_SIZE)
    roots_batch = None if roots is None else (_check_roots(roots, len(masks), painted_size, size) > PAINTED).numpy()
    brush = rasterize_strokes(strokes, size)
    masked = _reduce_masks(masks, size) > PAINTED
    painted = masked | (brush.move > PAINTED)
    if mask is None and not painted.any():
        raise ValueError(NOTHING_PAINTED)
    painted_batch, pinned = painted.numpy(), (brush.pin > PAINTED).numpy()
    frequencies = np.arange(num_bins) * (fps / period)
    reaches = (arrow_vectors(brush.arrows, size).norm(dim=1) / size[1]).tolist() if brush.arrows else []
    widest = max([amplitude, *(reach / REACH_PER_AMPLITUDE for reach in reaches)])
    rim = max(MIN_RIM_PIXELS, min(max(RIM_PER_AMPLITUDE * widest, MIN_RIM), MAX_RIM) * max(size))
    slices = []
    for index, region_pixels in enumerate(painted_batch):
        held = None if roots_batch is None else roots_batch[index % len(roots_batch)]
        name = "mask" if len(painted_batch) == 1 else f"mask {index + 1}"
        regions = find_regions(
            region_pixels, held, gravity_degrees, grid, name, pinned=pinned, stiffness=brush.stiffness.numpy()
        )
        responses = _region_responses(regions, base_frequency, frequencies, seed)
        slices.append(_combine_regions(regions, responses, region_pixels, held, rim))
        max_length = max(region.length for region in regions)
        if widest * size[1] > MAX_AMPLITUDE_PER_LENGTH * max_length:
            warn(
                f"An amplitude of {widest:g} is {widest * size[1]:.0f} of {size[1]} pixels, and the longest "
                f"region of the {name} is {max_length:.0f} pixels long: it is distorted. Lower the amplitude"
                f"{', or draw shorter arrows' if reaches else ''}."
            )
    coefficients = torch.stack(slices)
    if strokes:
        coefficients *= _stroke_weight(brush, masked, rim)[:, None, None]
    volume = SpectralVolume(coefficients, fps, period, "ramp", {"source": "sway from mask"})
    scale = (amplitude / volume.amplitude.clamp_min(1e-20)).view(-1, 1, 1, 1, 1)
    volume = volume.replace(coefficients=volume.coefficients * scale).at_rest()
    return sway_along(volume, painted, brush.arrows) if brush.arrows else volume


def _stroke_weight(brush: BrushMaps, masked: Tensor, rim: float) -> Tensor:
    """How far the motion stays where strokes paint softly or pin: float32 [B, H, W] in 0..1.

    Args:
        brush: what the strokes paint.
        masked: bool [B, H, W], what the mask paints, which always moves fully.
        rim: width in pixels of the rim around what moves.
    """
    from scipy.ndimage import distance_transform_edt

    soft = torch.where(masked, 1.0, ((brush.move - PAINTED) / FULL_MOTION).clamp(0, 1))
    for weight, inside in zip(soft, masked | (brush.move > PAINTED), strict=True):
        nearest = distance_transform_edt(~inside.numpy(), return_distances=False, return_indices=True)
        weight.copy_(weight[tuple(torch.from_numpy(nearest).long())])  # the rim continues what it surrounds,
    soft = box_mean(soft[:, None], math.ceil(rim / 4))[:, 0]  # but not every single pixel of it
    return soft * (1 - brush.pin)


def _region_responses(
    regions: list[Region], base_frequency: float, frequencies: np.ndarray, seed: int
) -> list[np.ndarray]:
    """The response of every region's modes in every bin: complex [K, M] each."""
    max_length = max(region.length for region in regions)
    # A very short region would be too fast to be seen, or above the last bin. Its frequency is limited, and its
    # amplitude stays as small as it would be without the limit.
    max_frequency = max(base_frequency, frequencies[-1] / 2)
    responses = []
    for index, region in enumerate(regions):
        first_frequency = base_frequency * max_length / region.length * math.sqrt(region.stiffness)
        limited = min(first_frequency, max_frequency)
        response = mode_response(region.modes.frequencies, limited, frequencies, (seed, index))
        responses.append(response * min(1.0, max_frequency / first_frequency))
    return responses


def mode_response(
    mode_frequencies: np.ndarray, first_frequency: float, frequencies: np.ndarray, seed: tuple[int, int]
) -> np.ndarray:
    """The factors a_m(f_k) e^(i phase_mk) of `volume_from_mask`.

    Args:
        mode_frequencies: float [M], angular frequencies of the modes in any unit, ascending.
        first_frequency: of the first mode in Hz.
        frequencies: float [K], of the bins in Hz.
        seed: of the phases.

    Returns:
        complex128 [K, M].
    """
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (MAX_MODES, len(frequencies)))
    phase = phase[: len(mode_frequencies)]
    step, max_frequency = frequencies[1], frequencies[-1]
    ratio = mode_frequencies / mode_frequencies[0]
    log_range = math.log(max(max_frequency / first_frequency, 1))
    exponent = min(1.0, log_range / max(math.log(ratio[:MIN_MODES_IN_RANGE][-1]), 1e-9))
    # Round to the nearest bin, so that every mode has its peak in a bin.
    resonance = np.maximum(np.floor(first_frequency * ratio**exponent / step + 0.5), 1) * step
    r = frequencies / resonance[:, None]
    amplitude = 2 * DAMPING_RATIO / np.abs(1 - r**2 + 2j * DAMPING_RATIO * r) / ratio[:, None] / first_frequency
    amplitude[resonance > max_frequency * (1 + 1e-6)] = 0
    amplitude[:, 0] = 0
    response = amplitude * np.exp(1j * phase)
    # Begin where the modes pass their mean position, so that the photo is not at one end of the motion.
    shifts = np.exp(2j * np.pi * np.arange(len(frequencies)) * np.arange(PHASE_SAMPLES)[:, None] / PHASE_SAMPLES)
    displacement = (shifts @ response.T).real
    return (response * shifts[np.square(displacement).sum(1).argmin()]).T


def _combine_regions(
    regions: list[Region], responses: list[np.ndarray], painted: np.ndarray, held: np.ndarray | None, rim: float
) -> Tensor:
    """The slices float32 [K, 4, H, W] of all regions of one mask [H, W], in an arbitrary unit."""
    total = torch.zeros(len(responses[0]), 4, *painted.shape)
    total_weight = torch.zeros(painted.shape)
    for region, response in zip(regions, responses, strict=True):
        window, weight = _rim_weight(region.pixels, painted, rim)
        shapes = _sample_shapes(region.modes, painted.shape, window, rim)
        factors = torch.view_as_real(torch.from_numpy(response)).float()
        total[..., window[0], window[1]] += torch.einsum("kmp,mdyx->kdpyx", factors, shapes).flatten(1, 2) * weight
        total_weight[window] += weight
    total /= total_weight.clamp_min(1)  # where rims overlap, the motion of their regions is averaged
    return total if held is None else total * torch.from_numpy(~held)


def _rim_weight(pixels: np.ndarray, painted: np.ndarray, rim: float) -> tuple[tuple[slice, slice], Tensor]:
    """A window around a region, and the weight of its motion there: 1 inside, falling to 0 over the rim outside."""
    from ..packages import cv2

    window = bounding_box(pixels, math.ceil(rim))
    inside = pixels[window]
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    fade = np.clip(1 - distance / rim, 0, 1) * (inside | ~painted[window])
    weight = np.where(inside, 1, smoothstep(fade))
    return window, torch.from_numpy(weight).float()


def _sample_shapes(modes: ElasticModes, size: tuple[int, ...], window: tuple[slice, slice], rim: float) -> Tensor:
    """Mode shapes float32 [M, 2, h, w] of height 1 at the pixels of a window, extrapolated beyond the mesh."""
    # Mesh corner i lies at pixel i * step - 1/2.
    steps = [side / (corners - 1) for side, corners in zip(size, modes.mass.shape, strict=True)]
    rows, columns = (
        slice(max(0, int(pixels.start / step) - 1), math.ceil(pixels.stop / step) + 2)
        for pixels, step in zip(window, steps, strict=True)
    )
    shapes = torch.from_numpy(modes.shapes[..., rows, columns]).float()
    shapes = shapes / shapes.norm(dim=1).amax((1, 2)).view(-1, 1, 1, 1)
    known = torch.from_numpy(modes.mass[rows, columns] > 0).float()[None, None]
    box = torch.ones(1, 1, 3, 3)
    for _ in range(math.ceil(rim / min(steps)) + 1):
        count = F.conv2d(known, box, padding=1)
        mean = F.conv2d(shapes.flatten(0, 1)[:, None], box, padding=1).view_as(shapes) / count.clamp_min(1)
        shapes = torch.where(known > 0, shapes, mean)
        known = (count > 0).float()
    axes = []  # grid_sample's coordinates with align_corners=True: -1 is the first corner, 1 the last
    for side, step, pixels, cells, corners in zip(size, steps, window, (rows, columns), shapes.shape[-2:], strict=True):
        position = (torch.arange(side)[pixels].float() + 0.5) / step - cells.start
        axes.append(position * (2 / (corners - 1)) - 1)
    sampling_grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None]
    return F.grid_sample(shapes.flatten(0, 1)[None], sampling_grid, align_corners=True)[0].unflatten(0, (-1, 2))


def _reduce_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks [B, H, W] at another size, by the maximum in each pixel, so that thin lines do not fade."""
    return F.adaptive_max_pool2d(masks, size)


def _check_mask(mask: Tensor | None, strokes: Sequence[Stroke], size: Sequence[int] | None) -> Tensor:
    """The masks [B, H, W]; a black one of the volume's size if only strokes paint what moves."""
    if mask is not None:
        return mask_batch(mask, len(mask) if getattr(mask, "ndim", 0) == 3 else 1).cpu()
    if not strokes:
        raise ValueError(NOTHING_PAINTED)
    if size is None:
        raise ValueError("Strokes without a mask need the size of the image on which they were drawn: connect image.")
    return torch.zeros(1, *fit_size(check_size("size", size), MAX_SIZE))


def _check_roots(roots: Tensor, batch: int, painted_size: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Roots at the volume's size, after a check that they match what was painted on: [B or 1, H, W]."""
    root_masks = mask_batch(roots, batch, "roots").cpu()
    (height, width), (root_height, root_width) = painted_size, root_masks.shape[-2:]
    if abs(root_width * height - root_height * width) > 0.02 * root_height * width + max(root_width, width):
        raise ValueError(
            f"roots is {root_width} x {root_height} and what sways is painted on {width} x {height}: they are not of "
            "one image. Paint the roots on the same image."
        )
    if not bool((root_masks > PAINTED).any()):
        raise ValueError(
            "roots is black everywhere; paint where the region is held, or leave roots out to hold it along its "
            "underside."
        )
    return _reduce_masks(root_masks, size)
