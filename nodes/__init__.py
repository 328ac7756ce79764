"""The nodes: each adapts types and calls one function of gid_core."""

try:
    from comfy_api.latest import ComfyExtension
except ImportError:  # not inside ComfyUI: a test runner collecting, or a plain install of gid_core
    comfy_entrypoint = None
else:
    from .extraction import SpectralVolumeFromVideo
    from .forces import AudioForce, ModalForce, Wind
    from .guidance import LoopGuidance
    from .live import register_route
    from .model import LoadModel, register_folder
    from .motion import AmplifyMotion, LoopMotion
    from .prediction import PredictSpectralVolume
    from .preview import PreviewMotion
    from .rendering import SoftmaxSplatRender
    from .storage import LoadSpectralVolume, SaveSpectralVolume
    from .sway import VolumeFromMask

    register_folder()
    register_route()

    class GIDExtension(ComfyExtension):
        async def get_node_list(self):
            return [
                LoadModel,
                PredictSpectralVolume,
                LoopGuidance,
                SpectralVolumeFromVideo,
                VolumeFromMask,
                LoopMotion,
                AmplifyMotion,
                ModalForce,
                Wind,
                AudioForce,
                SoftmaxSplatRender,
                PreviewMotion,
                SaveSpectralVolume,
                LoadSpectralVolume,
            ]

    async def comfy_entrypoint() -> GIDExtension:
        return GIDExtension()
