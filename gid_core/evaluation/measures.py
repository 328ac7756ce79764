"""What is measured of one generated clip: features for the set distances, and numbers of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from ..motion import Motion, loop
from ..spectral_volume import SpectralVolume
from . import image_metrics, motion_metrics
from .coherence import phase_coherence
from .networks.pretrained_weights import MissingWeightsError

WINDOWS = (16, 32)
# Every how many-th frame image metrics look at: neighbors say the same, and networks are slow on a CPU.
FRAME_STEP = 5


@dataclass
class Networks:
    """The networks whose weights are at hand, loaded when first used; the others by what is missing.

    weights: a folder to look for weights in, before installed packages.
    dtfvd: a folder with the two I3D networks trained on dynamic textures, the user's own.
    """

    weights: str | None = None
    dtfvd: str | None = None
    device: str = "cpu"
    missing: dict[str, str] = field(default_factory=dict)
    _loaded: dict = field(default_factory=dict)

    def get(self, name: str) -> Callable | None:
        """The feature function of a network, or None if its weights are absent (then `missing` says why)."""
        if name not in self._loaded and name not in self.missing:
            try:
                self._loaded[name] = self._load(name)
            except (MissingWeightsError, ImportError) as error:
                self.missing[name] = str(error)
        return self._loaded.get(name)

    def _load(self, name: str) -> Callable:
        if name == "i3d":
            from .networks.i3d import I3D

            return I3D.from_weights(self.weights, device=self.device).features
        if name.startswith("dtfvd"):
            from .networks.i3d import I3D

            length = int(name.removeprefix("dtfvd"))
            return I3D.for_dtfvd(length, self.dtfvd or self.weights, self.device).representation
        if name == "lpips":
            from .networks.lpips import LPIPS

            return LPIPS("alex", self.weights, self.device).distance
        if name == "inception":
            from .networks.inception import inception_extractor

            return inception_extractor(self.weights, self.device)
        from .networks.efficientnet_features import efficientnet_extractor

        return efficientnet_extractor(self.weights, self.device)


def windows(frames: Tensor, length: int) -> Tensor:
    """Frames [T, ...] as consecutive windows [T // length, length, ...]; the rest is left out."""
    count = len(frames) // length
    return frames[: count * length].unflatten(0, (count, length))


def clip_features(frames: Tensor, networks: Networks) -> dict[str, Tensor]:
    """Features of one cropped clip [T, H, W, 3] for every network at hand.

    Returns:
        "i3d16", "i3d32", "dtfvd16", "dtfvd32" [windows, D]; "efficientnet", "inception" [frames / 5, D].
    """
    features = {}
    for length in WINDOWS:
        for name, network in (("i3d", networks.get("i3d")), ("dtfvd", networks.get(f"dtfvd{length}"))):
            if network and len(frames) >= length:
                features[f"{name}{length}"] = network(windows(frames, length)).float().cpu()
    for name in ("efficientnet", "inception"):
        network = networks.get(name)
        if network:
            features[name] = network(frames[::FRAME_STEP]).float().cpu()
    return features


def frame_numbers(real: Tensor, fake: Tensor, networks: Networks) -> dict[str, float]:
    """Frame-by-frame agreement of cropped clips: PSNR, SSIM and LPIPS, means over every fifth frame after the first.

    Only a method that is given the clip's own motion can match frames; for the others these say how far they stray.
    """
    a, b = real[FRAME_STEP::FRAME_STEP], fake[FRAME_STEP::FRAME_STEP]
    numbers = {"psnr": float(image_metrics.psnr(a, b).mean()), "ssim": float(image_metrics.ssim(a, b).mean())}
    lpips = networks.get("lpips")
    if lpips:
        numbers["lpips"] = float(lpips(a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)).mean())
    return numbers


def motion_numbers(
    reference: SpectralVolume, motion: Motion, holes: Tensor, fake: Tensor, photo: Tensor
) -> dict[str, float]:
    """The weight-free motion measures of one clip.

    Args:
        reference: extracted from the real clip, ramp taken off.
        motion: the method's; its volume is brought to the reference's grid.
        holes: [T, H, W], from the renderer.
        fake: the rendered frames [T, H, W, 3], not cropped.
        photo: what was rendered, [H, W, 3].
    """
    volume = motion.volume.resize(reference.size)
    truth, own = loop(reference), Motion(volume, motion.coordinates, motion.fps, motion.loops)
    return {
        "log_spectrum": motion_metrics.log_spectrum_distance(reference, volume),
        "wasserstein": motion_metrics.amplitude_wasserstein(reference, volume),
        "coherence": phase_coherence(volume),
        "auc": motion_metrics.moving_auc(truth, own),
        "rank_correlation": motion_metrics.magnitude_rank_correlation(truth, own),
        "seam_ratio": motion_metrics.seam_ratio(own),
        "reference_error": motion_metrics.reference_error(own),
        "coverage": image_metrics.coverage_fraction(holes),
        "leak": motion_metrics.background_leak(truth, own),
        "flow_error": motion_metrics.flow_error(fake, own, photo=photo),
    }
