"""Generative Image Dynamics: make a still picture move (Li, Tucker, Snavely, Holynski, CVPR 2024).

    import gid_core as gid
    photo = gid.read_image("flowers.jpg")
    volume = gid.GIDPipeline.from_pretrained()(photo, seed=1)
    gid.write_video("loop.mp4", gid.render(photo, gid.loop(volume)), volume.fps)

The motion of a clip instead:

    frames, fps = gid.read_video("tree.mp4")
    volume = gid.extract_spectral_volume(frames, fps, detrend="ramp")
    gid.write_video("loop.mp4", gid.render(frames[0], gid.loop(volume)), volume.fps)

Names are imported when first used, so that `import gid_core` costs nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "SpectralVolume": "spectral_volume",
    "modal_sum": "spectral_volume",
    "Motion": "motion",
    "loop": "motion",
    "playback": "motion",
    "limit_displacement": "motion",
    "Damping": "modal",
    "Poke": "pokes",
    "poke": "pokes",
    "parse_pokes": "pokes",
    "format_pokes": "pokes",
    "wind": "winds",
    "from_audio": "sound",
    "volume_from_mask": "elastic",
    "extract_spectral_volume": "extract",
    "softmax_splat": "splatting",
    "render": "rendering",
    "render_chunks": "rendering",
    "GIDPipeline": "models.pipeline",
    "LoopGuidance": "models.guidance",
    "load_model": "models.checkpoint",
    "save_model": "models.checkpoint",
    "read_image": "images",
    "write_image": "images",
    "read_video": "video",
    "write_video": "video",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_HOME])
