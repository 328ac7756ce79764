"""What every node shares: the wire types, the schema of old and new ComfyUI, progress, devices, pictures."""

from __future__ import annotations

import base64
import dataclasses
import logging
import os
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import comfy.model_management as model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ..gid_core.motion import Motion, loop
from ..gid_core.spectral_volume import DEFAULT_FPS, SpectralVolume

logger = logging.getLogger("gid")

CATEGORY = "image dynamics"
SpectralVolumeType = io.Custom("GID_SPECTRAL_VOLUME")
MotionType = io.Custom("GID_MOTION")
ModelType = io.Custom("GID_MODEL")
GuidanceType = io.Custom("GID_GUIDANCE")

PREVIEW_SIZE = 384
PREVIEW_FRAMES = 75
# A live preview more often than this costs more than it shows.
LIVE_PREVIEW_EVERY = 8


def schema(**fields) -> io.Schema:
    """io.Schema without the fields that this ComfyUI does not know yet."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def advanced(widget):
    """Fold an input away until the user asks for advanced ones; older frontends show it."""
    widget.extra_dict = {**(widget.extra_dict or {}), "advanced": True}
    return widget


def motion_or_volume_input(tooltip: str):
    """An input that takes a motion, or a volume that is then played as a loop."""
    return io.MultiType.Input("motion", [MotionType, SpectralVolumeType], tooltip=tooltip)


def as_motion(value: Motion | SpectralVolume) -> Motion:
    """A motion as it is; a volume as Loop Motion plays it by default."""
    if isinstance(value, SpectralVolume):
        return loop(value, fps=DEFAULT_FPS)
    if isinstance(value, Motion):
        return value
    raise ValueError(f"The motion input takes a motion or a spectral volume; got {type(value).__name__}.")


def optional_mask(mask: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    """The mask, or None for the 64 x 64 black one that Load Image makes for a picture without alpha."""
    if mask is None:
        return None
    placeholder = tuple(mask.shape[-2:]) == (64, 64) and tuple(size) != (64, 64) and not bool(mask.any())
    return None if placeholder else mask


def intermediate_dtype() -> torch.dtype:
    """What IMAGE outputs should be; float32 where ComfyUI does not say."""
    return getattr(model_management, "intermediate_dtype", lambda: torch.float32)()


class Progress:
    """A progress bar through which a cancel comes, and that shows frames in the node's own preview.

    ComfyUI's live preview would do, but stays on the node below the loop when the run is over.
    """

    def __init__(self, node_id=None):
        self.node_id = node_id
        self.bar = None
        self.calls = 0

    def __call__(self, done: int, total: int, frame: Tensor | Callable[[], Tensor] | None = None) -> None:
        """Report; `frame` may be a function that makes the picture, called only when somebody will see it."""
        self.bar = self.bar or comfy.utils.ProgressBar(total)
        model_management.throw_exception_if_processing_interrupted()
        self.bar.update_absolute(done, total)
        self.calls += 1
        due = self.calls == 1 or self.calls % LIVE_PREVIEW_EVERY == 0
        if frame is not None and self.node_id is not None and due and _listener() is not None:
            send_frame(frame() if callable(frame) else frame, self.node_id)


@contextmanager
def warnings_on_node(node_id):
    """Log the library's warnings and show them on the node that caused them.

    Yields:
        A list of lines to show above them. A node keeps its text until the next one, so a node that may warn should
        always have something to say.
    """
    lines = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield lines
    messages = [str(item.message) for item in caught if issubclass(item.category, UserWarning)]
    for message in messages:
        logger.warning(message)
    if lines or messages:
        show_text("\n".join(lines + messages), node_id)


def send_frame(frame: Tensor, node_id) -> None:
    """Send a small picture to the page that queued the run, for the preview of js/loop_preview.js."""
    server = _listener()
    if server is None:
        return
    picture, buffer = to_pil(frame), BytesIO()
    picture.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    picture.save(buffer, "JPEG", quality=75)
    image = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    server.send_sync("gid.frame", {"node": str(node_id), "image": image}, server.client_id)


def _listener():
    """ComfyUI's server if a page is there to listen, or None."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    return None if server is None or server.client_id is None else server


def show_text(text: str, node_id) -> None:
    """Write a line under a node, where there is a page to show it."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None and node_id is not None:
        server.send_progress_text(text, node_id)


def to_pil(picture: Tensor) -> Image.Image:
    """[H, W, 3 or 4] in 0..1 to a picture; alpha over gray, since previews are shown without."""
    picture = picture.detach().float().cpu()
    if picture.shape[-1] == 4:
        picture = picture[..., :3] * picture[..., 3:] + 0.5 * (1 - picture[..., 3:])
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().numpy())


def save_looping_preview(frames: Tensor, fps: float) -> dict:
    """An animated WebP of a clip in ComfyUI's temp folder, small enough to stay out of the way.

    Returns:
        {"filename", "subfolder", "type"}, as the page wants it.
    """
    step = max(1, -(-len(frames) // PREVIEW_FRAMES))
    pictures = [to_pil(frame) for frame in frames[::step]]
    for picture in pictures:
        picture.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        "gid_loop", folder_paths.get_temp_directory()
    )
    file = Path(folder) / f"{name}_{counter:05}_.webp"
    duration = round(1000 * step / fps)
    pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=duration, loop=0, quality=80, method=2)
    return {"filename": file.name, "subfolder": subfolder, "type": "temp"}


def inside(path: str | os.PathLike, folder: str | os.PathLike) -> bool:
    """Whether a path, with its links followed, lies in a folder."""
    return Path(path).resolve().is_relative_to(Path(folder).resolve())
