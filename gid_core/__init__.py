"""Generative Image Dynamics: animate a still photo (Li, Tucker, Snavely, Holynski, CVPR 2024).

    import gid_core as gid
    photo = gid.read_image("flowers.jpg")
    volume = gid.GIDPipeline.from_pretrained()(photo, seed=1)
    gid.render_to_video("loop.mp4", photo, gid.loop(volume))

The motion of a clip instead:

    frames, fps = gid.read_video("tree.mp4")
    volume = gid.extract_spectral_volume(frames, fps, detrend="ramp")
    gid.render_to_video("loop.mp4", frames[0], gid.loop(volume))

spectral_volume   `SpectralVolume`: the motion of every pixel in the Fourier domain, and the conventions of units
motion            `Motion`: a spectral volume played over time
sources           volumes from a clip, a painted mask or strokes of the motion brush
models            volumes from a photo, and the rendering network
dynamics          poke, wind, audio and long loops
rendering         frames, and the interactive page
tracks            points followed over time, and motion from them
media             image, video and audio files
synthetic         scenes with exact motion
training, evaluation   models of one's own, and metrics
cli, commands     the command line
edge_aware_smoothing   maps smoothed inside objects and not across outlines
memory            what is free on a device, and what fits
tensors           helpers on images, masks and maps
validation        checks of arguments
presets           named values of wind and of what sways
packages          packages that may be missing

Names are imported on first use, so that `import gid_core` is fast.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "SpectralVolume": "spectral_volume",
    "modal_sum": "spectral_volume",
    "Motion": "motion",
    "loop": "motion",
    "playback": "motion",
    "limit_displacement": "motion",
    "Damping": "dynamics.oscillators",
    "Poke": "dynamics.poke_list",
    "poke": "dynamics.poke",
    "parse_pokes": "dynamics.poke_list",
    "format_pokes": "dynamics.poke_list",
    "wind": "dynamics.wind",
    "long_loop": "dynamics.long_loop",
    "from_audio": "dynamics.audio",
    "volume_from_mask": "sources.mask",
    "Stroke": "sources.stroke_list",
    "parse_strokes": "sources.stroke_list",
    "format_strokes": "sources.stroke_list",
    "stroke_mask": "sources.motion_brush",
    "steer": "sources.steering",
    "extract_spectral_volume": "sources.video",
    "softmax_splat": "rendering.softmax_splatting",
    "render": "rendering.render",
    "render_chunks": "rendering.render",
    "render_to_video": "rendering.video_output",
    "fit_image": "rendering.fitting",
    "motion_flow": "rendering.motion_flow",
    "write_flow": "media.flow_files",
    "Tracks": "tracks.track_list",
    "parse_tracks": "tracks.track_list",
    "parse_points": "tracks.track_list",
    "format_tracks": "tracks.track_list",
    "choose_points": "tracks.point_choice",
    "grid_points": "tracks.point_choice",
    "weighted_points": "tracks.point_choice",
    "follow_points": "tracks.following",
    "draw_tracks": "tracks.track_picture",
    "motion_from_tracks": "tracks.spreading",
    "interactive_page": "rendering.interactive_page",
    "save_interactive_page": "rendering.interactive_page",
    "GIDPipeline": "models.pipeline",
    "LoopGuidance": "models.loop_guidance",
    "load_model": "models.checkpoint",
    "save_model": "models.checkpoint",
    "read_image": "media.image_io",
    "write_image": "media.image_io",
    "iterate_frames": "media.video_io",
    "probe_video": "media.video_probe",
    "read_video": "media.video_io",
    "write_video": "media.video_io",
    "read_audio": "media.audio_io",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .packages import torch  # noqa: F401  an old one is told in words before the names that it lacks

    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
