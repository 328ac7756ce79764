"""ComfyUI nodes. Each node converts its inputs and calls one function of gid_core."""

import logging

try:
    from comfy_api.latest import ComfyExtension, io
except ImportError:  # outside ComfyUI: pytest collects tests, or gid_core is installed as a library
    comfy_entrypoint = None
else:
    from ..gid_core.packages import missing_packages
    from .live_preview import register_route
    from .nodes_forces import AudioForce, ModalForce, Wind
    from .nodes_guidance import LoopGuidance
    from .nodes_interactive import SaveInteractivePhoto
    from .nodes_mask import VolumeFromMask
    from .nodes_model import LoadModel, register_folder
    from .nodes_motion import AmplifyMotion, LoopMotion
    from .nodes_prediction import PredictSpectralVolume
    from .nodes_preview import PreviewMotion
    from .nodes_rendering import RenderLoopToVideo, SoftmaxSplatRender
    from .nodes_storage import LoadSpectralVolume, SaveSpectralVolume
    from .nodes_video import SpectralVolumeFromVideo

    for sentence in missing_packages().values():
        logging.getLogger("gid").error(sentence)
    register_folder()
    register_route()

    class GIDExtension(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
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
                RenderLoopToVideo,
                PreviewMotion,
                SaveInteractivePhoto,
                SaveSpectralVolume,
                LoadSpectralVolume,
            ]

    async def comfy_entrypoint() -> GIDExtension:
        return GIDExtension()
