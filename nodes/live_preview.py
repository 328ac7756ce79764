"""Photo and motion for the live widgets in the page: stored in ComfyUI's temp folder and served over HTTP."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..gid_core.media.atomic import atomic_write
from ..gid_core.rendering.live_packet import pack
from ..gid_core.spectral_volume import SpectralVolume

if TYPE_CHECKING:
    from aiohttp import web

ROUTE = "/gid/live/{digest}"
NOT_FOUND_MESSAGE = "This live preview is no longer on the server: run the workflow once."
DIGEST_PATTERN = re.compile(r"[0-9a-f]{32}")


def save_live_packet(volume: SpectralVolume, image: Tensor | None = None) -> str:
    """Save the live packet of a volume's first photo for the page.

    Args:
        volume: the motion.
        image: the photo [B, H, W, C] in 0..1, or None to show a map of the motion instead.

    Returns:
        The packet's digest. GET /gid/live/{digest} serves the packet until ComfyUI ends.
    """
    packet = pack(volume, image)
    digest = hashlib.blake2b(packet, digest_size=16).hexdigest()
    path = _packet_path(digest)
    if not path.exists():
        os.makedirs(path.parent, exist_ok=True)  # ComfyUI removes the folder when it starts
        with atomic_write(path) as temporary:
            temporary.write_bytes(packet)
    return digest


def register_route() -> None:
    """Add the route to ComfyUI's server. Does nothing without a server, or if the route exists already."""
    # Looked up, not imported: if the server does not run, its module may fail to import.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is None or getattr(server, "gid_live_route", False):
        return
    server.gid_live_route = True
    server.routes.get(ROUTE)(_serve_packet)


async def _serve_packet(request: web.Request) -> web.StreamResponse:
    """Answer with a packet. The name is a digest of the content, so the page may cache it forever."""
    from aiohttp import web

    digest = request.match_info["digest"]
    # The whole name must match, so that no request can name another path.
    if not DIGEST_PATTERN.fullmatch(digest) or not _packet_path(digest).is_file():
        return web.Response(status=404, text=NOT_FOUND_MESSAGE)
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Content-Type": "application/octet-stream"}
    return web.FileResponse(_packet_path(digest), headers=headers)


def _packet_path(digest: str) -> Path:
    import folder_paths

    return Path(folder_paths.get_temp_directory()) / f"gid_live_{digest}.bin"
