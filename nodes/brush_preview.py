"""What the motion brush paints, at once: while strokes are drawn, the page asks the server how they sway.

The answer is the packet of the volume that the node Sway From Mask would make, by the same function, so that the live
picture and a run cannot differ.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..gid_core.notices import collect_warnings
from ..gid_core.rendering.live_packet import pack_without_photo
from ..gid_core.sources.mask import volume_from_mask
from ..gid_core.sources.stroke_list import parse_strokes
from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.validation import check_choice, check_number, check_size, refuse
from .routes import add_route

if TYPE_CHECKING:
    from aiohttp import web

ROUTE = "/gid/sway"
GRAVITY_DEGREES = {"down": 90.0, "up": -90.0, "left": 180.0, "right": 0.0}
MAX_KEPT_MASKS = 8  # masks and roots of the latest runs: their strokes are previewed together with these

_kept_masks: OrderedDict[str, tuple[Tensor | None, Tensor | None]] = OrderedDict()


def sway_volume(
    mask: Tensor | None,
    roots: Tensor | None,
    *,
    strokes: str,
    size: Sequence[int] | None,
    gravity: str,
    amplitude: float,
    base_frequency: float,
    seed: int,
    grid: int,
) -> SpectralVolume:
    """`volume_from_mask` of the values of Sway From Mask's inputs; `size` is that of its image."""
    check_choice("gravity", gravity, tuple(GRAVITY_DEGREES))
    return volume_from_mask(
        mask,
        roots,
        strokes=parse_strokes(strokes),
        size=size,
        gravity_degrees=GRAVITY_DEGREES[gravity],
        amplitude=check_number("amplitude", amplitude, meaning="percent of the width") / 100,
        base_frequency=base_frequency,
        seed=seed,
        grid=grid,
    )


def keep_masks(digest: str, mask: Tensor | None, roots: Tensor | None) -> None:
    """Keep what is connected to a node for previews, by the digest of the live packet of its run."""
    _kept_masks[digest] = mask, roots
    _kept_masks.move_to_end(digest)  # also if an earlier run had the same
    while len(_kept_masks) > MAX_KEPT_MASKS:
        _kept_masks.popitem(last=False)


def preview_packet(request: Any) -> bytes:
    """The live packet, without a photo, of the strokes and settings in a request of the page.

    Args:
        request: an object with the names of `sway_volume`, and `digest`, which names the node's last run or is null.

    Raises:
        ValueError: if it holds anything else, or if nothing can sway; the message is for the page.
    """
    names = {"strokes", "size", "gravity", "amplitude", "base_frequency", "seed", "grid", "digest"}
    if not isinstance(request, Mapping) or set(request) != names:
        refuse("the request", f"an object with {', '.join(sorted(names))}", request)
    settings = dict(request)
    mask, roots = _kept_masks.get(str(settings.pop("digest")), (None, None))
    size = check_size("size", settings["size"])
    with torch.inference_mode(), collect_warnings():
        return pack_without_photo(sway_volume(mask, roots, **settings), size)


def register_sway_route() -> None:
    """Add the route to ComfyUI's server, see `add_route`."""
    add_route("post", ROUTE, _serve_preview)


async def _serve_preview(request: web.Request) -> web.Response:
    """Answer with a packet, or with what is wrong. The server goes on meanwhile."""
    from aiohttp import web

    try:
        content = await request.read()  # JSON has one encoding, whatever the request says
        packet = await asyncio.get_running_loop().run_in_executor(None, lambda: preview_packet(json.loads(content)))
    except (ValueError, RecursionError) as error:
        return web.Response(status=400, text=str(error))
    return web.Response(body=packet, content_type="application/octet-stream")
