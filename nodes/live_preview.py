"""The photo and its motion for the live widgets in the page: kept in ComfyUI's temp folder, served by a route."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

from torch import Tensor

from ..gid_core.media.atomic import atomic_write
from ..gid_core.rendering.live_packet import pack
from ..gid_core.spectral_volume import SpectralVolume

ROUTE = "/gid/live/{digest}"
GONE = "This live preview is no longer on the server: run the workflow once."
DIGEST = re.compile(r"[0-9a-f]{32}")


def publish(volume: SpectralVolume, image: Tensor | None = None) -> str:
    """Make the packet of a volume's first photo available to the page.

    Args:
        volume: the motion.
        image: the photo [B, H, W, C], or None for a map of the motion.

    Returns:
        The packet's digest, under which the route GET /gid/live/{digest} serves it until ComfyUI ends.
    """
    packet = pack(volume, image)
    digest = hashlib.blake2b(packet, digest_size=16).hexdigest()
    file = _file(digest)
    if not file.exists():
        os.makedirs(file.parent, exist_ok=True)  # ComfyUI removes the folder when it starts
        with atomic_write(file) as temporary:
            temporary.write_bytes(packet)
    return digest


def register_route() -> None:
    """Add the route to ComfyUI's server, once; without a server there is nothing to do."""
    # Not imported: where ComfyUI's server does not run already, its module may not even be importable.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is None or getattr(server, "gid_live_route", False):
        return
    server.gid_live_route = True
    server.routes.get(ROUTE)(_serve)


async def _serve(request):
    """Answer with a packet; it never changes under its name, so the page may keep it."""
    from aiohttp import web

    digest = request.match_info["digest"]
    # The name is checked whole, so that no path can come out of it.
    if not DIGEST.fullmatch(digest) or not _file(digest).is_file():
        return web.Response(status=404, text=GONE)
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Content-Type": "application/octet-stream"}
    return web.FileResponse(_file(digest), headers=headers)


def _file(digest: str) -> Path:
    import folder_paths

    return Path(folder_paths.get_temp_directory()) / f"gid_live_{digest}.bin"
