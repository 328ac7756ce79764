"""The networks that the evaluation measures with, loaded on first use; missing weights are reported, not fatal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from .pretrained_weights import MissingWeightsError

FeatureFunction = Callable[..., Tensor]


@dataclass
class FeatureNetworks:
    """The networks whose weights are installed, by name; the others are listed with the reason in `missing`.

    Attributes:
        weights: a folder to search for weights before the installed packages.
        dtfvd: the user's folder with the two I3D networks trained on dynamic textures.
        device: where the networks compute.
        missing: the reason for each network that was asked for and could not be loaded.
    """

    weights: str | None = None
    dtfvd: str | None = None
    device: str = "cpu"
    missing: dict[str, str] = field(default_factory=dict)
    _loaded: dict[str, FeatureFunction] = field(default_factory=dict)

    def get(self, name: str) -> FeatureFunction | None:
        """The feature function of a network, or None if its weights are absent (then `missing` says why).

        Args:
            name: "i3d", "dtfvd16", "dtfvd32", "lpips", "inception" or "efficientnet".
        """
        if name not in self._loaded and name not in self.missing:
            try:
                self._loaded[name] = self._load(name)
            except (MissingWeightsError, ImportError) as error:
                self.missing[name] = str(error)
        return self._loaded.get(name)

    def _load(self, name: str) -> FeatureFunction:
        if name == "i3d":
            from .i3d import I3D

            return I3D.from_weights(self.weights, device=self.device).features
        if name.startswith("dtfvd"):
            from .i3d import I3D

            length = int(name.removeprefix("dtfvd"))
            return I3D.for_dtfvd(length, self.dtfvd or self.weights, self.device).representation
        if name == "lpips":
            from .lpips import LPIPS

            return LPIPS("alex", self.weights, self.device).distance
        if name == "inception":
            from .inception import inception_extractor

            return inception_extractor(self.weights, self.device)
        from .efficientnet_features import efficientnet_extractor

        return efficientnet_extractor(self.weights, self.device)
