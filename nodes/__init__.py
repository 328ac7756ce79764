"""ComfyUI nodes. Each node converts its inputs and calls one function of gid_core."""

import logging

try:
    from comfy_api.latest import ComfyExtension, io
except ImportError:  # outside ComfyUI: pytest collects tests, or gid_core is installed as a library
    comfy_entrypoint = None
else:
    from ..gid_core.packages import missing_packages

    # Before the nodes: their imports may need what is too old.
    for sentence in missing_packages().values():
        logging.getLogger("gid").error(sentence)

    from .brush_preview import register_sway_route
    from .live_preview import register_route
    from .nodes_flow import MotionToFlow
    from .nodes_forces import AudioForce, ModalForce, Wind
    from .nodes_guidance import LoopGuidance
    from .nodes_interactive import SaveInteractivePhoto
    from .nodes_mask import VolumeFromMask
    from .nodes_model import LoadModel, register_folder
    from .nodes_motion import AmplifyMotion, LongLoop, LoopMotion
    from .nodes_prediction import PredictSpectralVolume
    from .nodes_preview import PreviewMotion
    from .nodes_rendering import RenderLoopToVideo, SoftmaxSplatRender
    from .nodes_storage import LoadSpectralVolume, SaveSpectralVolume
    from .nodes_tracks import MotionToTracks, TracksToMotion
    from .nodes_video import SpectralVolumeFromVideo

    register_folder()
    register_route()
    register_sway_route()

    class GIDExtension(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            return [
                LoadModel,
                PredictSpectralVolume,
                LoopGuidance,
                SpectralVolumeFromVideo,
                VolumeFromMask,
                LoopMotion,
                LongLoop,
                AmplifyMotion,
                ModalForce,
                Wind,
                AudioForce,
                SoftmaxSplatRender,
                RenderLoopToVideo,
                PreviewMotion,
                MotionToTracks,
                TracksToMotion,
                MotionToFlow,
                SaveInteractivePhoto,
                SaveSpectralVolume,
                LoadSpectralVolume,
            ]

    async def comfy_entrypoint() -> GIDExtension:
        return GIDExtension()
