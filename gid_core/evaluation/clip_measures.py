"""What is measured of one generated clip: features for the set distances, and metrics of its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..motion import Motion, loop
from ..spectral_volume import SpectralVolume
from . import image_metrics, motion_metrics
from .amplitude_metrics import amplitude_error, fast_share
from .coherence import phase_coherence
from .networks.feature_networks import FeatureNetworks
from .object_coherence import object_curves, volume_lattice_share
from .outline_metrics import outline_auc, still_motion

WINDOW_LENGTHS = (16, 32)  # frames per window for FVD and DTFVD
# Image metrics use every fifth frame: neighboring frames are alike, and networks are slow on a CPU.
FRAME_STEP = 5


def windows(frames: Tensor, length: int) -> Tensor:
    """Split frames [T, ...] into consecutive windows [T // length, length, ...]; the remainder is dropped."""
    count = len(frames) // length
    return frames[: count * length].unflatten(0, (count, length))


def clip_features(frames: Tensor, networks: FeatureNetworks) -> dict[str, Tensor]:
    """Features of one cropped clip [T, H, W, 3] for every available network.

    Returns:
        "i3d16", "i3d32", "dtfvd16", "dtfvd32" [windows, D]; "efficientnet", "inception" [frames / 5, D].
    """
    features = {}
    for length in WINDOW_LENGTHS:
        for name, network in (("i3d", networks.get("i3d")), ("dtfvd", networks.get(f"dtfvd{length}"))):
            if network and len(frames) >= length:
                features[f"{name}{length}"] = network(windows(frames, length)).float().cpu()
    for name in ("efficientnet", "inception"):
        network = networks.get(name)
        if network:
            features[name] = network(frames[::FRAME_STEP]).float().cpu()
    return features


def measure_frames(real: Tensor, generated: Tensor, networks: FeatureNetworks) -> dict[str, float]:
    """PSNR, SSIM and LPIPS of cropped clips [T, H, W, 3]: means over every fifth frame after the first.

    Only a method that is given the clip's own motion can match frames. For the other methods these metrics say how
    far the frames deviate.
    """
    a, b = real[FRAME_STEP::FRAME_STEP], generated[FRAME_STEP::FRAME_STEP]
    metrics = {"psnr": float(image_metrics.psnr(a, b).mean()), "ssim": float(image_metrics.ssim(a, b).mean())}
    lpips = networks.get("lpips")
    if lpips:
        metrics["lpips"] = float(lpips(a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)).mean())
    return metrics


def measure_volume(volume: SpectralVolume) -> dict[str, Any]:
    """What is measured of a single volume, real or generated, without comparing it to another.

    Returns:
        "amplitude" in pixels at 256 wide, "coherence", "fast_share", "lattice_share"; and lists with one value for
        each of `object_coherence.DISTANCES`: "coherence_curve", "unevenness_curve".
    """
    curves = object_curves(volume)
    return {
        "amplitude": float(volume.amplitude) * motion_metrics.REFERENCE_WIDTH,
        "coherence": phase_coherence(volume),
        "fast_share": fast_share(volume),
        "lattice_share": volume_lattice_share(volume),
        "coherence_curve": curves.coherence.tolist(),
        "unevenness_curve": curves.unevenness.tolist(),
    }


def measure_real_motion(reference: SpectralVolume) -> dict[str, Any]:
    """`measure_volume` of the motion extracted from a real clip, and how far its still pixels move."""
    true = loop(reference)
    return {**measure_volume(reference), "still_motion": still_motion(true, true)}


def measure_motion(
    reference: SpectralVolume, motion: Motion, holes: Tensor, generated: Tensor, photo: Tensor
) -> dict[str, Any]:
    """The motion metrics of one clip that need no weights: numbers, and the lists of `measure_volume`.

    Args:
        reference: extracted from the real clip, detrended.
        motion: the method's; its volume is resized to the reference's grid.
        holes: [T, H, W], from the renderer.
        generated: the rendered frames [T, H, W, 3], not cropped.
        photo: what was rendered, [H, W, 3].
    """
    volume = motion.volume.resize(reference.size)
    true, predicted = loop(reference), Motion(volume, motion.coordinates, motion.fps, motion.loops)
    true_curves, curves = object_curves(reference), object_curves(volume)
    true_fast_share, own = fast_share(reference), measure_volume(volume)
    return {
        "log_spectrum": motion_metrics.log_spectrum_distance(reference, volume),
        "wasserstein": motion_metrics.amplitude_wasserstein(reference, volume),
        **own,
        "amplitude_error": amplitude_error(reference, volume),
        "fast_ratio": own["fast_share"] / true_fast_share if true_fast_share > 0 else float("nan"),
        "object_coherence": curves.coherence_distance(true_curves),
        "unevenness": curves.unevenness_distance(true_curves),
        "auc": motion_metrics.moving_auc(true, predicted),
        "outline_auc": outline_auc(true, predicted),
        "rank_correlation": motion_metrics.magnitude_rank_correlation(true, predicted),
        "seam_ratio": motion_metrics.seam_ratio(predicted),
        "reference_error": motion_metrics.reference_error(predicted),
        "coverage": image_metrics.coverage_fraction(holes),
        "leak": motion_metrics.background_motion(true, predicted),
        "still_motion": still_motion(true, predicted),
        "flow_error": motion_metrics.flow_error(generated, predicted, photo=photo),
    }
