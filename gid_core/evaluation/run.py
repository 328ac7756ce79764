"""The evaluation: every method on every clip, resumable, and what comes of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ..media.atomic import atomic_write
from ..media.image_io import write_image
from ..models.pipeline import GIDPipeline
from ..motion import Motion, loop
from ..rendering.render import render
from ..sources.optical_flow import trajectories
from ..sources.video import continuation, volume_from_trajectories
from ..spectral_volume import SpectralVolume
from . import motion_metrics
from .baselines import build
from .clip_folder import Clip, center_crop, load_window
from .frechet import bootstrap, frechet_distance, kernel_distance, small_sample_caveat
from .measures import WINDOWS, Networks, clip_features, frame_numbers, motion_numbers

# Part of every cache key: raise it when the protocol or a network's use changes.
PROTOCOL = "1"
REAL = "real"
PREVIEW_STEP, PREVIEW_WIDTH = 4, 160
# Replicates of a distance; fewer where each takes most of a second, with more than 512 dimensions.
BOOTSTRAP_SAMPLES, BOOTSTRAP_SAMPLES_LARGE = 200, 24
# Names of the set distances and the features that they compare.
DISTANCES = {
    "FVD": "i3d16",
    "FVD32": "i3d32",
    "DTFVD": "dtfvd16",
    "DTFVD32": "dtfvd32",
    "FID": "inception",
    "KID x 100": "inception",
    "FD-EffNet": "efficientnet",
}


# Distances over time: the features, and how many make one place: a window of 16 frames, or 30 frames of every fifth.
SLIDING = {"FVD": ("i3d16", 1), "DTFVD": ("dtfvd16", 1), "FID": ("inception", 6), "FD-EffNet": ("efficientnet", 6)}


@dataclass(frozen=True)
class Store:
    """Where results lie: <out>/cache for the real clips, <out>/<method> for the rest, one set of files a clip.

    versions: of methods that change, such as a digest of the model's checkpoint.
    """

    out: Path
    versions: Mapping[str, str] = field(default_factory=dict)

    def path(self, method: str, clip: Clip, suffix: str) -> Path:
        folder = self.out / ("cache" if method == REAL else method)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{clip.name}-{self._key(method, clip)}{suffix}"

    def _key(self, method: str, clip: Clip) -> str:
        """Changes with the file's content, the protocol and the method, so that what is stale is not found."""
        fixed = (PROTOCOL + self.versions.get(method, "")).encode()
        return hashlib.sha256(fixed + clip.path.read_bytes()).hexdigest()[:8]

    def features(self, method: str, clip: Clip) -> dict[str, Tensor]:
        return load_file(self.path(method, clip, ".safetensors"))

    def numbers(self, method: str, clip: Clip) -> dict[str, float]:
        return json.loads(self.path(method, clip, ".json").read_text())

    def finished(self, method: str, clip: Clip) -> bool:
        return self.path(method, clip, ".json").is_file()  # written last


def evaluate(
    clips: list[Clip],
    methods: list[str],
    out: str | Path,
    networks: Networks,
    *,
    library: list | None = None,
    model: GIDPipeline | None = None,
    versions: Mapping[str, str] | None = None,
    progress: Callable[[str, Clip], None] = lambda method, clip: None,
) -> dict:
    """Run the methods on the clips and sum up; what an earlier run finished is taken from its files.

    Args:
        clips: from `clips.find_clips`; one that cannot be used is left out with a warning.
        methods: names in `baselines.METHODS`.
        out: folder of results.
        networks: which features and distances there will be.
        library: (photo, volume) pairs for the method "nearest".
        model: for the method "model".
        versions: of methods that change (`Store`).
        progress: called before each method and clip that is computed.

    Returns:
        {"clips": names, "groups": count, "methods": {method: {measure: [value, low, high]}}, "curves", "spectra",
        "missing", "caveats"}.

    Raises:
        ValueError: if the clips that can be used come from fewer than two sources.
    """
    store = Store(Path(out), versions or {})
    usable = [clip for clip in clips if _prepare_real(store, clip, networks, progress)]
    if len({clip.group for clip in usable}) < 2:
        raise ValueError(
            f"The evaluation needs clips of at least 2 sources, for its intervals; got {len(usable)} usable clips of "
            f"{len({clip.group for clip in usable})}."
        )
    for method in methods:
        for clip in usable:
            if not store.finished(method, clip):
                progress(method, clip)
                _run_one(store, method, clip, networks, library, model)
    return summary(store, usable, methods, networks)


def _prepare_real(store: Store, clip: Clip, networks: Networks, progress) -> bool:
    """Features, reference volume and preview of a real clip; False if it cannot be used."""
    if store.finished(REAL, clip):
        return True
    progress(REAL, clip)
    try:
        frames, fps = load_window(clip)
    except ValueError as error:
        warnings.warn(f"Left out: {error}", stacklevel=2)
        return False
    path, confidence = trajectories(frames)
    plain = volume_from_trajectories(path, fps, confidence=confidence)
    volume = volume_from_trajectories(path, fps, confidence=confidence, end=continuation(path, frames.numpy()))
    volume.save(store.path(REAL, clip, "-ramp.safetensors"))
    plain.save(store.path(REAL, clip, "-none.safetensors"))
    row = _busiest_row(volume, center_crop(frames).shape)
    _keep_pictures(store, REAL, clip, center_crop(frames), row)
    _keep(
        store,
        REAL,
        clip,
        clip_features(center_crop(frames), networks),
        {"fps": fps, "row": row, "spectrum": _spectrum(volume, volume)},
    )
    return True


def _run_one(store: Store, method: str, clip: Clip, networks: Networks, library, model) -> None:
    frames, fps = load_window(clip)
    ramp = SpectralVolume.load(store.path(REAL, clip, "-ramp.safetensors"))
    plain = SpectralVolume.load(store.path(REAL, clip, "-none.safetensors"))
    seed = int(hashlib.sha256(clip.name.encode()).hexdigest()[:8], 16)
    motion = build(method, reference=plain, library=library, model=model)(frames[0], seed=seed)
    motion = at_times(motion, len(frames))
    renderer = model.renderer if method == "model" else None
    fake, holes = render(frames[0], motion, renderer=renderer, return_holes=True)
    cropped = center_crop(fake)
    numbers = frame_numbers(center_crop(frames), cropped, networks)
    numbers |= motion_numbers(ramp, motion, holes, fake, frames[0])
    numbers["spectrum"] = _spectrum(ramp, motion.volume)
    _keep_pictures(store, method, clip, cropped, store.numbers(REAL, clip)["row"])
    _keep(store, method, clip, clip_features(cropped, networks), numbers)


def at_times(motion: Motion, count: int) -> Motion:
    """A motion over the clip's seconds as `count` frames. Those of the methods are sums of whole periods, looping or
    not, so that their Fourier series is exact between frames."""
    if len(motion) == count:
        return motion
    return dataclasses.replace(dataclasses.replace(motion, loops=True).retime(num_frames=count), loops=motion.loops)


def _keep(store: Store, method: str, clip: Clip, features: dict, numbers: dict) -> None:
    with atomic_write(store.path(method, clip, ".safetensors")) as file:
        file.write_bytes(save({name: value.contiguous() for name, value in features.items()}))
    with atomic_write(store.path(method, clip, ".json")) as file:
        file.write_text(json.dumps(numbers))


def _keep_pictures(store: Store, method: str, clip: Clip, frames: Tensor, row: int) -> None:
    """The X-t slice of one row, and a small looping preview."""
    from PIL import Image

    write_image(store.path(method, clip, "-xt.png"), frames[:, row])
    small = [Image.fromarray((frame * 255).round().byte().numpy()) for frame in frames[::PREVIEW_STEP].clamp(0, 1)]
    small = [picture.resize((PREVIEW_WIDTH, PREVIEW_WIDTH * picture.height // picture.width)) for picture in small]
    with atomic_write(store.path(method, clip, ".webp")) as file:
        small[0].save(file, save_all=True, append_images=small[1:], duration=33 * PREVIEW_STEP, loop=0, quality=60)


def _spectrum(true: SpectralVolume, volume: SpectralVolume) -> list[float]:
    """Amplitude of bins 1 .. K-1 in px, both axes together."""
    return motion_metrics.amplitude_spectrum(true, volume).square().sum(1).sqrt().tolist()


def _busiest_row(volume: SpectralVolume, cropped_shape) -> int:
    magnitude = center_crop(loop(volume).magnitude()[0, :, :, None], tuple(cropped_shape[1:3]))[..., 0]
    return int(magnitude.mean(dim=1).argmax())


def summary(store: Store, clips: list[Clip], methods: list[str], networks: Networks) -> dict:
    """Set distances with bootstrap intervals over sources, means of the clips' numbers, curves over time."""
    groups = [clip.group for clip in clips]
    real = [store.features(REAL, clip) for clip in clips]
    report = {
        "clips": [clip.name for clip in clips],
        "groups": len(set(groups)),
        "methods": {},
        "curves": {},
        "spectra": {REAL: _median_spectrum([store.numbers(REAL, clip) for clip in clips])},
        "missing": dict(networks.missing),
        "caveats": [],
    }
    for method in methods:
        fake = [store.features(method, clip) for clip in clips]
        numbers = [store.numbers(method, clip) for clip in clips]
        row = {}
        for name, key in DISTANCES.items():
            if all(key in item for item in real + fake):
                row[name] = _distance(name, [r[key] for r in real], [f[key] for f in fake], groups)
        for name in [name for name, value in numbers[0].items() if not isinstance(value, list)]:
            row[name] = _mean(np.array([n[name] for n in numbers], float), groups)
        report["methods"][method] = row
        report["curves"][method] = {
            name: _sliding([r[key] for r in real], [f[key] for f in fake], each)
            for name, (key, each) in SLIDING.items()
            if all(key in item for item in real + fake)
        }
        report["spectra"][method] = _median_spectrum(numbers)
    for name, key in DISTANCES.items():
        if all(key in item for item in real):
            count = sum(len(r[key]) for r in real)
            caveat = small_sample_caveat(count, real[0][key].shape[1])
            report["caveats"] += [f"{name}: {caveat}"] if caveat else []
    return report


def _distance(name: str, real: list[Tensor], fake: list[Tensor], groups: list[str]) -> list[float]:
    def value(a, b):
        return 100 * kernel_distance(a, b)[0] if name.startswith("KID") else frechet_distance(a, b)

    sizes = [len(item) for item in real]
    samples = BOOTSTRAP_SAMPLES if real[0].shape[1] <= 512 else BOOTSTRAP_SAMPLES_LARGE
    ids = np.repeat(np.unique(groups, return_inverse=True)[1], sizes)
    own = np.repeat(np.unique(groups, return_inverse=True)[1], [len(item) for item in fake])
    result = bootstrap(
        value, torch.cat(real), torch.cat(fake), samples=samples, groups_a=ids, groups_b=own, paired=True
    )
    return [float(number) for number in result]


def _mean(values: np.ndarray, groups: list[str]) -> list[float]:
    """Mean over the clips where it is defined, and a 95 % interval, drawing sources with replacement."""
    values, names = values[np.isfinite(values)], np.array(groups)[np.isfinite(values)]
    if not len(values):
        return [float("nan")] * 3
    random, distinct = np.random.default_rng(0), sorted(set(names))
    by_name = {name: values[names == name] for name in distinct}
    draws = [
        np.concatenate([by_name[distinct[i]] for i in random.integers(len(distinct), size=len(distinct))]).mean()
        for _ in range(1000)
    ]
    return [float(values.mean()), *(float(q) for q in np.quantile(draws, (0.025, 0.975)))]


def _sliding(real: list[Tensor], fake: list[Tensor], each: int) -> list[float]:
    """The distance at each place in the clips, `each` features wide: does it grow as the clip goes on?"""
    places = min(len(item) for item in real + fake) // each
    at = [slice(place * each, (place + 1) * each) for place in range(places)]
    return [frechet_distance(torch.cat([r[part] for r in real]), torch.cat([f[part] for f in fake])) for part in at]


def _median_spectrum(numbers: list[dict]) -> list[float]:
    """Median over clips of the amplitude in each bin."""
    return np.nanmedian(np.array([n["spectrum"] for n in numbers]), axis=0).tolist()


def picture_paths(store: Store, method: str, clip: Clip) -> tuple[Path, Path]:
    """The X-t slice and the preview of a clip."""
    return store.path(method, clip, "-xt.png"), store.path(method, clip, ".webp")


__all__ = ["DISTANCES", "REAL", "WINDOWS", "Store", "at_times", "evaluate", "picture_paths", "summary"]
