"""The nodes: each adapts types and calls one function of gid_core."""

try:
    from comfy_api.latest import ComfyExtension
except ImportError:  # not inside ComfyUI: a test runner collecting, or a plain install of gid_core
    comfy_entrypoint = None
else:
    from .live_preview import register_route
    from .nodes_forces import AudioForce, ModalForce, Wind
    from .nodes_guidance import LoopGuidance
    from .nodes_mask import VolumeFromMask
    from .nodes_model import LoadModel, register_folder
    from .nodes_motion import AmplifyMotion, LoopMotion
    from .nodes_prediction import PredictSpectralVolume
    from .nodes_preview import PreviewMotion
    from .nodes_rendering import SoftmaxSplatRender
    from .nodes_storage import LoadSpectralVolume, SaveSpectralVolume
    from .nodes_video import SpectralVolumeFromVideo

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
