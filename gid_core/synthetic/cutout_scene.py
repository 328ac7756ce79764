"""Random scenes of cut-out plants that sway over a photograph: real texture with exact motion, for training.

cutouts = load_cutouts("cutouts/")           # pictures with alpha, upright, rooted at the bottom
scene = cutout_scene(3, cutouts, photo)
image, volume = scene.render(0), scene.spectral_volume()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..media.image_io import read_image
from ..packages import cv2
from .deformation import Beam, cantilever_fields, unit_vector
from .gust import Gust, random_gust
from .painting import Painted
from .random_scene import MAX_ATTEMPTS, MIN_COVERAGE, scale_motion
from .scene import Layer, Scene

MAX_CUTOUTS = 6  # in one scene
MIN_CUTOUT_SIDE = 64  # pixels; smaller parts of a picture are scraps
PART_DISTANCE = 9  # pixels of transparency that separate two cut-outs of one picture
OPAQUE = 0.1  # alpha above which a pixel belongs to a cut-out
SCALES = (0.25, 1.1)  # of a cut-out's length, in heights of the scene
TILT = 0.25  # radians, standard deviation
HANGING_PROBABILITY = 0.2
DEFOCUS_PROBABILITY, MAX_DEFOCUS = 0.25, 2.0  # of single cut-outs; standard deviation in pixels
BACKGROUND_DEFOCUS_PROBABILITY, MAX_BACKGROUND_DEFOCUS = 0.5, 8.0
NEW_HUE_PROBABILITY = 0.4  # of any hue, as flowers have


@dataclass(frozen=True, eq=False)
class Cutout:
    """An upright plant.

    Attributes:
        image: float32 [h, w, 4], RGBA in 0..1 with straight alpha.
        root: (x, y) in pixels, where it is fixed.
    """

    image: np.ndarray
    root: tuple[float, float]


def load_cutouts(folder: str | Path) -> list[Cutout]:
    """The cut-outs in a folder of pictures with alpha. A picture may hold several that do not touch.

    Raises:
        ValueError: if there are none.
    """
    cutouts = [cutout for path in sorted(Path(folder).glob("*.png")) for cutout in _parts(read_image(path).numpy())]
    if not cutouts:
        raise ValueError(f"{folder} holds no PNG with alpha that shows anything of {MIN_CUTOUT_SIDE} pixels or more.")
    return cutouts


def cutout_scene(
    seed: int,
    cutouts: Sequence[Cutout],
    photo: np.ndarray,
    size: tuple[int, int] = (288, 512),
    mean_motion: float = 3.0,
    supersample: int = 2,
) -> Scene:
    """A random scene: up to `MAX_CUTOUTS` cut-outs in changed colors, rooted below, above or in the frame.

    Args:
        seed: determines every random choice.
        cutouts: to choose from.
        photo: float32 [h, w, 3] in 0..1, the static background; cropped to the scene, and out of focus in half of them.
        size: (H, W).
        mean_motion: as in `random_scene`.
        supersample: sub-pixels per pixel, in both directions.

    Raises:
        ValueError: if every attempt leaves the frame nearly empty.
    """
    rng = np.random.default_rng(seed)
    for _ in range(MAX_ATTEMPTS):
        gust = random_gust(rng, size[1], periodic=True)
        layers = []
        count = int(rng.integers(1, MAX_CUTOUTS + 1))
        chosen = [cutouts[i] for i in rng.integers(len(cutouts), size=rng.integers(1, 3))]  # one or two species
        lengths = (
            np.sort(SCALES[0] * (SCALES[1] / SCALES[0]) ** rng.random(count)) * size[0]
        )  # far ones behind near ones
        color_change = _color_change(rng)
        for length in lengths:
            cutout = chosen[rng.integers(len(chosen))]
            layers += _sway(rng, gust, cutout, color_change, length, size, supersample)
        background = _background(rng, photo, size)
        scene = Scene(size, layers, background, gust.frequencies, seed, supersample=supersample)
        if layers and (scene.labels() > 0).mean() >= MIN_COVERAGE:
            return scale_motion(scene, mean_motion)
    raise ValueError(f"seed {seed} drew nothing inside a frame of size {size}; use a larger size")


def _parts(image: np.ndarray) -> list[Cutout]:
    """The connected parts of a picture [H, W, 4]; none if it has no alpha."""
    if image.shape[-1] != 4:
        return []
    opaque = (image[..., 3] > OPAQUE).astype(np.uint8)
    joined = cv2.dilate(opaque, np.ones((PART_DISTANCE, PART_DISTANCE), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    parts = []
    for label in range(1, count):
        x, y, width, height = stats[label, :4]
        if max(width, height) >= MIN_CUTOUT_SIDE:
            window = np.s_[y : y + height, x : x + width]
            part = image[window] * (labels[window] == label)[..., None]
            ys, xs = np.nonzero(part[..., 3] > OPAQUE)
            lowest = xs[ys >= ys.max() - height // 50]
            parts.append(Cutout(part.astype(np.float32), (float(lowest.mean()), float(ys.max()))))
    return parts


def _sway(
    rng: np.random.Generator,
    gust: Gust,
    cutout: Cutout,
    color_change: tuple[float, float, float],
    length: float,
    size: tuple[int, int],
    supersample: int,
) -> list[Layer]:
    """One cut-out as a layer that bends about its root; an empty list if it lies outside the frame."""
    height, width = size
    hangs = rng.random() < HANGING_PROBABILITY
    axis = unit_vector((0.5 if hangs else -0.5) * np.pi + TILT * rng.standard_normal())
    root_y = rng.uniform(-0.1, 0.2) if hangs else rng.uniform(0.7, 1.15)
    root = np.array([rng.uniform(-0.05, 1.05) * width, root_y * height])
    painted = _place(cutout, _changed_colors(rng, cutout.image, color_change), Beam(root, axis, length), rng,
                     size, supersample)  # fmt: skip
    if painted is None:
        return []
    fields = cantilever_fields(root, axis, length, rng.uniform(1.4, 2.1), second_mode=True)
    relative = length / height
    natural_frequency = 0.45 / relative**0.5 * rng.uniform(0.8, 1.2)
    first = relative * gust.oscillator_weights(rng, natural_frequency, rng.uniform(0.06, 0.2), root[0])
    second = 0.12 * relative * gust.oscillator_weights(rng, 3.5 * natural_frequency, 0.1, root[0])
    return [Layer(*painted, fields, np.stack([first, second]), "cutouts", length)]


def _place(
    cutout: Cutout, image: np.ndarray, beam: Beam, rng: np.random.Generator, size: tuple[int, int], supersample: int
) -> Painted | None:
    """The texture of a cut-out that grows along a beam, with a margin around the frame; None if it is outside."""
    margin = size[0] // 4
    scale = beam.length / image.shape[0] * supersample
    small = cv2.resize(_premultiply(image), None, fx=min(1, scale), fy=min(1, scale), interpolation=cv2.INTER_AREA)
    if rng.random() < DEFOCUS_PROBABILITY:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.5, MAX_DEFOCUS) * supersample)
    scale /= small.shape[0] / image.shape[0]
    mirror = rng.choice([-1, 1])
    # Upright (0, -1) turns into the beam's axis; the root goes to the beam's root.
    cos, sin = -beam.axis[1] * scale, beam.axis[0] * scale
    rotation = np.array([[cos * mirror, -sin], [sin * mirror, cos]])
    root = np.array(cutout.root) * (np.array(small.shape[1::-1]) / image.shape[1::-1])
    offset = (beam.root + margin) * supersample - rotation @ root
    canvas = (size[1] + 2 * margin) * supersample, (size[0] + 2 * margin) * supersample
    texture = cv2.warpAffine(small, np.column_stack([rotation, offset]), canvas, flags=cv2.INTER_LINEAR)
    ys, xs = np.nonzero(texture[..., 3] > 0)
    if len(ys) == 0:
        return None
    x0, y0 = xs.min() // supersample, ys.min() // supersample
    x1, y1 = xs.max() // supersample + 1, ys.max() // supersample + 1
    texture = texture[y0 * supersample : y1 * supersample, x0 * supersample : x1 * supersample]
    return np.ascontiguousarray(texture), (int(x0) - margin, int(y0) - margin)


def _premultiply(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image[..., :3] * image[..., 3:], image[..., 3:]], -1)


def _color_change(rng: np.random.Generator) -> tuple[float, float, float]:
    """(shift of hue in degrees, factor of saturation, factor of brightness) of the plants of one scene."""
    hue = rng.uniform(0, 360) if rng.random() < NEW_HUE_PROBABILITY else 15 * rng.standard_normal()
    return hue, rng.uniform(0.2, 1.5), rng.uniform(0.5, 1.6)


def _changed_colors(rng: np.random.Generator, image: np.ndarray, change: tuple[float, float, float]) -> np.ndarray:
    hue, saturation, brightness = change
    hsv = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + hue + 8 * rng.standard_normal()) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
    hsv[..., 2] = np.clip(hsv[..., 2] * brightness * rng.uniform(0.8, 1.2), 0, 1)
    return np.dstack([cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), image[..., 3]])


def _background(rng: np.random.Generator, photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A random crop of a photo in the size (H, W), mirrored and defocused at random."""
    (height, width), (photo_height, photo_width) = size, photo.shape[:2]
    zoom = max(height / photo_height, width / photo_width) * rng.uniform(1, 1.5)
    resized = cv2.resize(photo, (int(np.ceil(photo_width * zoom)), int(np.ceil(photo_height * zoom))),
                         interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)  # fmt: skip
    top = rng.integers(resized.shape[0] - height + 1)
    left = rng.integers(resized.shape[1] - width + 1)
    crop = resized[top : top + height, left : left + width]
    crop = crop[:, ::-1] if rng.random() < 0.5 else crop
    if rng.random() < BACKGROUND_DEFOCUS_PROBABILITY:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.5, MAX_BACKGROUND_DEFOCUS))
    return np.clip(np.ascontiguousarray(crop), 0, 1).astype(np.float32)
