"""The evaluation of generated clips: every method on every clip, resumable."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..media.video_io import WINDOW_SECONDS
from ..models.pipeline import GIDPipeline
from ..motion import Motion, loop
from ..notices import warn
from ..rendering.render import render
from ..sources.optical_flow import estimate_trajectories
from ..sources.video import extrapolate_displacement, volume_from_trajectories
from ..spectral_volume import SpectralVolume
from . import motion_metrics
from .baselines import Library, build_method
from .clip_folder import Clip, center_crop, load_window
from .clip_measures import clip_features, measure_frames, measure_motion, measure_real_motion
from .networks.feature_networks import FeatureNetworks
from .result_store import REAL, ResultStore
from .summary import summarize

ClipProgress = Callable[[str, Clip], None]  # called as progress(method, clip)


def evaluate(
    clips: Sequence[Clip],
    methods: Sequence[str],
    out: str | Path,
    networks: FeatureNetworks,
    *,
    library: Library | None = None,
    model: GIDPipeline | None = None,
    versions: Mapping[str, str] | None = None,
    progress: ClipProgress = lambda method, clip: None,
) -> dict[str, Any]:
    """Run the methods on the clips and summarize. Results that an earlier run finished are read from its files.

    Args:
        clips: from `clip_folder.find_clips`; an unusable clip is skipped with a warning.
        methods: names in `baselines.METHODS`.
        out: folder of results.
        networks: determine which features and distances there are.
        library: (photo, volume) pairs for the method "nearest".
        model: for the method "model".
        versions: of methods that change (`ResultStore`).
        progress: called before each method and clip that is computed.

    Returns:
        {"clips": names, "groups": number of sources, "methods": {method: {metric: [value, low, high]}},
        "real": {metric: [value, low, high]}, "curves": {method: {distance: values over time}},
        "spectra": {method: amplitude of each bin, px}, "object_curves": {"coherence" or "unevenness":
        {method: values at `object_coherence.DISTANCES`}}, "missing": {network: reason},
        "caveats": warnings about small samples}. Spectra and object curves also have an entry "real".

    Raises:
        ValueError: if the usable clips come from fewer than two sources, or a method fails on a clip, which is named.
    """
    store = ResultStore(Path(out), versions or {})
    usable = [clip for clip in clips if _prepare_real_clip(store, clip, networks, progress)]
    if len({clip.group for clip in usable}) < 2:
        raise ValueError(
            f"The evaluation needs clips of at least 2 sources, for its intervals; got {len(usable)} usable clips of "
            f"{len({clip.group for clip in usable})}."
        )
    for method in methods:
        for clip in usable:
            if not store.is_finished(method, clip):
                progress(method, clip)
                try:
                    _evaluate_clip(store, method, clip, networks, library, model)
                except ValueError as error:
                    raise ValueError(f"{method} on {clip.path.name}: {error}") from error
    return summarize(store, usable, methods, networks)


def resample_motion(motion: Motion, count: int) -> Motion:
    """A motion over the same duration with `count` frames.

    The motions of all methods are sums of whole periods, whether they loop or not, so their Fourier series is exact
    between frames.
    """
    if len(motion) == count:
        return motion
    return dataclasses.replace(dataclasses.replace(motion, loops=True).retime(num_frames=count), loops=motion.loops)


def _prepare_real_clip(store: ResultStore, clip: Clip, networks: FeatureNetworks, progress: ClipProgress) -> bool:
    """Compute features, reference volumes and images of a real clip; False if it is unusable."""
    if store.is_finished(REAL, clip):
        return True
    progress(REAL, clip)
    try:
        frames, fps = load_window(clip)
        _check_duration(clip, len(frames) / fps)
    except ValueError as error:
        warn(f"Left out: {error}")
        return False
    path, confidence = estimate_trajectories(frames)
    measured = volume_from_trajectories(path, fps, confidence=confidence)
    detrended = volume_from_trajectories(
        path, fps, confidence=confidence, end=extrapolate_displacement(path, frames.numpy())
    )
    detrended.save(store.path(REAL, clip, "-ramp.safetensors"))
    measured.save(store.path(REAL, clip, "-none.safetensors"))
    cropped = center_crop(frames)
    row = _row_with_most_motion(detrended, (cropped.shape[1], cropped.shape[2]))
    store.save_images(REAL, clip, cropped, row)
    features = clip_features(cropped, networks)
    metrics = {"fps": fps, "row": row, "spectrum": _spectrum(detrended, detrended), **measure_real_motion(detrended)}
    store.save_results(REAL, clip, features, metrics)
    return True


def _check_duration(clip: Clip, seconds: float) -> None:
    """ValueError if a clip is so short that its bins are at other frequencies than those of the methods' motion."""
    shortest = WINDOW_SECONDS / (1 + motion_metrics.DURATION_TOLERANCE)
    if seconds < shortest:
        raise ValueError(
            f"{clip.path.name} has {seconds:.2f} s; the evaluation needs {shortest:g} s or more of the motion's "
            f"{WINDOW_SECONDS:g} s."
        )


def _evaluate_clip(
    store: ResultStore,
    method: str,
    clip: Clip,
    networks: FeatureNetworks,
    library: Library | None,
    model: GIDPipeline | None,
) -> None:
    """Generate a clip from the first frame of a real one, and store its features, metrics and images."""
    frames, _ = load_window(clip)
    photo = frames[0]
    detrended = SpectralVolume.load(store.path(REAL, clip, "-ramp.safetensors"))
    measured = SpectralVolume.load(store.path(REAL, clip, "-none.safetensors"))
    seed = int(hashlib.sha256(clip.name.encode()).hexdigest()[:8], 16)
    motion = build_method(method, reference=measured, library=library, model=model)(photo, seed=seed)
    motion = resample_motion(motion, len(frames))
    renderer = model.renderer if method == "model" and model is not None else None
    generated, holes = render(photo, motion, renderer=renderer, return_holes=True)
    cropped = center_crop(generated)
    metrics: dict[str, Any] = {
        **measure_frames(center_crop(frames), cropped, networks),
        **measure_motion(detrended, motion, holes, generated, photo),
        "spectrum": _spectrum(detrended, motion.volume),
    }
    store.save_images(method, clip, cropped, store.load_metrics(REAL, clip)["row"])
    store.save_results(method, clip, clip_features(cropped, networks), metrics)


def _spectrum(true: SpectralVolume, volume: SpectralVolume) -> list[float]:
    """Amplitude of bins 1 .. K-1 in pixels at 256 wide, both axes together."""
    return motion_metrics.amplitude_spectrum(true, volume).square().sum(1).sqrt().tolist()


def _row_with_most_motion(volume: SpectralVolume, size: tuple[int, int]) -> int:
    """The row with the largest mean motion, in the center crop of this size (H, W)."""
    magnitude = center_crop(loop(volume).magnitude()[0, :, :, None], size)[..., 0]
    return int(magnitude.mean(dim=1).argmax())
