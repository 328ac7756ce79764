"""Shared by all nodes: wire types, schemas for old and new ComfyUI versions, progress, devices and images."""

from __future__ import annotations

import base64
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import Any

import comfy.model_management as model_management
import comfy.utils
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ..gid_core.motion import Motion, loop
from ..gid_core.notices import collect_warnings
from ..gid_core.spectral_volume import DEFAULT_FPS, SpectralVolume
from .files import temporary_file

logger = logging.getLogger("gid")

CATEGORY = "image dynamics"
SpectralVolumeType = io.Custom("GID_SPECTRAL_VOLUME")
MotionType = io.Custom("GID_MOTION")
ModelType = io.Custom("GID_MODEL")
GuidanceType = io.Custom("GID_GUIDANCE")

# Preview images and animations on the nodes.
PREVIEW_SIZE = 384  # pixels of the longer side, at most
PREVIEW_FRAMES = 75  # frames of an animation, at most
PREVIEW_INTERVAL = 8  # progress reports per preview; encoding more of them would slow down the run


def schema(**fields: Any) -> io.Schema:
    """Build an io.Schema without the fields that this ComfyUI version does not know."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def advanced(widget: io.Input) -> io.Input:
    """Mark an input as advanced. Newer frontends hide it until the user asks for it; older ones always show it."""
    widget.extra_dict = {**(widget.extra_dict or {}), "advanced": True}
    return widget


def motion_or_volume_input(tooltip: str) -> io.Input:
    """An input that takes a motion or a spectral volume; `as_motion` plays the volume as a loop."""
    return io.MultiType.Input("motion", [MotionType, SpectralVolumeType], tooltip=tooltip)


def volume_input(tooltip: str) -> io.Input:
    """The spectral volume of a node that makes a motion; `as_volume` checks it.

    It has both types for the page's Bypass, which connects a node's input with an output of its type: the volume then
    goes to the node that takes the motion.
    """
    return io.MultiType.Input("spectral_volume", [SpectralVolumeType, MotionType], tooltip=tooltip)


def as_volume(value: SpectralVolume | Motion) -> SpectralVolume:
    """Return a volume unchanged."""
    if isinstance(value, SpectralVolume):
        return value
    raise ValueError(
        f"The spectral_volume input takes a spectral volume; got a {type(value).__name__.lower()}. Connect the "
        "spectral volume that the motion was made of."
    )


def as_motion(value: Motion | SpectralVolume) -> Motion:
    """Return a motion unchanged; play a volume as Loop Motion does by default."""
    return loop(value, fps=DEFAULT_FPS) if isinstance(value, SpectralVolume) else value


def seed_input(tooltip: str, max_seed: int = 2**64) -> io.Input:
    """The seed of whatever is random, below `max_seed`."""
    return io.Int.Input("seed", default=0, min=0, max=max_seed - 1, control_after_generate=True, tooltip=tooltip)


def speed_input(tooltip: str, **options: Any) -> io.Input:
    """Relative speed of a motion."""
    return io.Float.Input("speed", default=1.0, min=0.05, max=8.0, step=0.05, tooltip=tooltip, **options)


def fps_input(tooltip: str, default: float = 30.0) -> io.Input:
    """Frames per second of a motion, or points of a track per second."""
    return io.Float.Input("fps", default=default, min=1.0, max=240.0, step=0.01, tooltip=tooltip)


def motion_outputs(motion_tooltip: str, count_tooltip: str) -> list[io.Output]:
    """A motion, and what Create Video needs to know of it."""
    return [
        MotionType.Output("motion", display_name="motion", tooltip=motion_tooltip),
        io.Float.Output("frame_rate", display_name="fps", tooltip="Frames per second, for Create Video."),
        io.Int.Output("frame_count", display_name="frames", tooltip=count_tooltip),
    ]


def duration_text(motion: Motion) -> str:
    """The length of a motion for the text on its node."""
    return f"{len(motion)} frames, {len(motion) / motion.fps:.2f} s at {motion.fps:g} fps"


def intermediate_dtype() -> torch.dtype:
    """The dtype of IMAGE outputs; float32 if this ComfyUI version has no setting for it."""
    return getattr(model_management, "intermediate_dtype", lambda: torch.float32)()


def as_image(images: Tensor) -> Tensor:
    """Images [N, H, W, C] as ComfyUI passes them between nodes."""
    return images.to(model_management.intermediate_device(), intermediate_dtype())


class Progress:
    """A progress bar that raises when the user cancels, and that shows frames in the node's own preview.

    ComfyUI's built-in live preview is not used: it would stay on the node after the run, below the looping preview.
    """

    def __init__(self, node_id: str | None = None) -> None:
        self.node_id = node_id
        self.bar: comfy.utils.ProgressBar | None = None
        self.calls = 0

    def __call__(self, done: int, total: int, frame: Tensor | Callable[[], Tensor] | None = None) -> None:
        """Report progress.

        Args:
            done: finished steps.
            total: all steps.
            frame: preview image [H, W, C] in 0..1, or a function that makes it. The function is called only if a page
                will show the preview.
        """
        self.bar = self.bar or comfy.utils.ProgressBar(total)
        model_management.throw_exception_if_processing_interrupted()
        self.bar.update_absolute(done, total)
        self.calls += 1
        preview_due = self.calls == 1 or self.calls % PREVIEW_INTERVAL == 0
        if frame is not None and self.node_id is not None and preview_due and _connected_server() is not None:
            send_frame(frame() if callable(frame) else frame, self.node_id)


@contextmanager
def warnings_on_node(node_id: str | None) -> Iterator[list[str]]:
    """Log the library's warnings and show them on the node that caused them.

    Yields:
        A list to which the caller may append lines; they are shown above the warnings.
    """
    lines: list[str] = []
    with collect_warnings() as messages:
        yield lines
    for message in messages:
        logger.warning(message)
    show_text("\n".join(lines + messages), node_id)


@cache
def warn_once(message: str) -> None:
    """Log a warning, but not again for the same message."""
    logger.warning(message)


def send_frame(frame: Tensor, node_id: str) -> None:
    """Send a small image to the page that queued the run; js/loop_preview.js shows it."""
    server = _connected_server()
    if server is None:
        return
    image, buffer = thumbnail(frame), BytesIO()
    image.save(buffer, "JPEG", quality=75)
    data_url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    server.send_sync("gid.frame", {"node": str(node_id), "image": data_url}, server.client_id)


def _connected_server() -> Any | None:
    """ComfyUI's server if the page that queued the run is connected, else None."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    return None if server is None or server.client_id is None else server


def show_text(text: str, node_id: str | None) -> None:
    """Show text under a node in the page that queued the run; js/status_text.js keeps it. An empty one removes it."""
    server = _connected_server()
    if server is not None and node_id is not None:
        server.send_sync("gid.text", {"node": str(node_id), "text": text}, server.client_id)


def to_pil(image: Tensor) -> Image.Image:
    """Convert an image [H, W, 3 or 4] in 0..1 to PIL; an image with alpha is blended over gray."""
    image = image.detach().float().cpu()
    if image.shape[-1] == 4:
        image = image[..., :3] * image[..., 3:] + 0.5 * (1 - image[..., 3:])
    return Image.fromarray(image.clamp(0, 1).mul_(255).round_().byte().numpy())


def preview_step(count: int) -> int:
    """Every how manieth of so many frames a looping preview shows."""
    return max(1, -(-count // PREVIEW_FRAMES))


def thumbnail(frame: Tensor) -> Image.Image:
    """A frame [H, W, C] in 0..1 at the size of previews."""
    image = to_pil(frame)
    image.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    return image


def save_looping_preview(images: Sequence[Image.Image], fps: float) -> dict[str, str]:
    """Save thumbnails as an animated WebP in ComfyUI's temp folder.

    Args:
        images: every `preview_step`-th frame of a clip.
        fps: of these.

    Returns:
        {"filename", "subfolder", "type"}: the file as the page requests it.
    """
    file = temporary_file("gid_loop", ".webp")
    images[0].save(
        file, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0, quality=80, method=2
    )
    return {"filename": file.name, "subfolder": "", "type": "temp"}


def nodes_with_output(node_class: str, output: int) -> list[str]:
    """Ids of the nodes of a class whose output is connected, in the prompt that runs. Sorted."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    running = server.prompt_queue.currently_running.values() if server is not None else ()
    found = set()
    for item in running:
        prompt = item[2]
        links = [value for node in prompt.values() for value in node["inputs"].values() if isinstance(value, list)]
        ids = {str(link[0]) for link in links if len(link) == 2 and link[1] == output}
        found |= {node_id for node_id, node in prompt.items() if node["class_type"] == node_class and node_id in ids}
    return sorted(found)
