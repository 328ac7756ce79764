"""Photo and motion for the live widgets in the page: stored in ComfyUI's temp folder and served over HTTP."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from torch import Tensor

from ..gid_core.media.atomic import atomic_write
from ..gid_core.motion import Motion
from ..gid_core.rendering.live_packet import pack
from ..gid_core.spectral_volume import SpectralVolume
from .routes import add_route

if TYPE_CHECKING:
    from aiohttp import web

ROUTE = "/gid/live/{digest}"
NOT_FOUND_MESSAGE = "This live preview is no longer on the server: run the workflow once."
DIGEST_PATTERN = re.compile(r"[0-9a-f]{32}")

# The packets of the outputs that ComfyUI holds in its cache: a cached node does not run again, so it cannot save its
# packet again when the temp folder was emptied. A packet is forgotten with its output.
_cached_packets: WeakKeyDictionary[Motion | SpectralVolume, tuple[str, bytes]] = WeakKeyDictionary()
_cached_packets_lock = threading.Lock()  # nodes run in another thread than the server


def save_live_packet(volume: SpectralVolume, image: Tensor | None, output: Motion | SpectralVolume) -> str:
    """Save the live packet of a volume's first photo for the page.

    Args:
        volume: how the photo can move.
        image: the photo [B, H, W, C] in 0..1, or None to show a map of the motion instead.
        output: the node's output, which ComfyUI may cache.

    Returns:
        The packet's digest. GET /gid/live/{digest} serves the packet until ComfyUI ends. If the temp folder is emptied
        before, it serves the packet as long as the output is cached; after that, the node runs again.
    """
    packet = pack(volume, image)
    digest = hashlib.blake2b(packet, digest_size=16).hexdigest()
    with _cached_packets_lock:
        _cached_packets[output] = digest, packet
    _write(digest, packet)
    return digest


def _write(digest: str, packet: bytes) -> None:
    """Write a packet to the temp folder, if it is not there."""
    path = _packet_path(digest)
    if not path.exists():
        os.makedirs(path.parent, exist_ok=True)  # ComfyUI removes the folder when it starts, also a second one
        with atomic_write(path) as temporary:
            temporary.write_bytes(packet)


def _write_again(digest: str) -> bool:
    """Write a packet that is no longer in the temp folder. Returns whether it is there now."""
    with _cached_packets_lock:
        packet = dict(_cached_packets.values()).get(digest)
    if packet is not None:
        _write(digest, packet)
    return packet is not None


def register_route() -> None:
    """Add the route to ComfyUI's server, see `add_route`."""
    add_route("get", ROUTE, _serve_packet)


async def _serve_packet(request: web.Request) -> web.StreamResponse:
    """Answer with a packet. The name is a digest of the content, so the page may cache it forever."""
    from aiohttp import web

    digest = request.match_info["digest"]
    # The whole name must match, so that no request can name another path.
    known = DIGEST_PATTERN.fullmatch(digest) and (_packet_path(digest).is_file() or _write_again(digest))
    if not known:
        return web.Response(status=404, text=NOT_FOUND_MESSAGE)
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Content-Type": "application/octet-stream"}
    return web.FileResponse(_packet_path(digest), headers=headers)


def _packet_path(digest: str) -> Path:
    import folder_paths

    return Path(folder_paths.get_temp_directory()) / f"gid_live_{digest}.bin"
