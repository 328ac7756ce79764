"""The nodes: each adapts types and calls one function of gid_core."""

try:
    from comfy_api.latest import ComfyExtension
except ImportError:  # not inside ComfyUI: a test runner collecting, or a plain install of gid_core
    comfy_entrypoint = None
else:
    from .extraction import SpectralVolumeFromVideo
    from .guidance import LoopGuidance
    from .model import LoadModel, register_folder
    from .motion import AmplifyMotion, LoopMotion
    from .prediction import PredictSpectralVolume
    from .preview import PreviewMotion
    from .rendering import SoftmaxSplatRender
    from .storage import LoadSpectralVolume, SaveSpectralVolume

    register_folder()

    class GIDExtension(ComfyExtension):
        async def get_node_list(self):
            return [
                LoadModel,
                PredictSpectralVolume,
                LoopGuidance,
                SpectralVolumeFromVideo,
                LoopMotion,
                AmplifyMotion,
                SoftmaxSplatRender,
                PreviewMotion,
                SaveSpectralVolume,
                LoadSpectralVolume,
            ]

    async def comfy_entrypoint() -> GIDExtension:
        return GIDExtension()
