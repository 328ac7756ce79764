"""An interactive photo: a web page in one file, with the photo, its motion and the scripts of the live view.

The page works from a double click, without a network and in an `<iframe>`. It loads nothing and sends nothing: its
content policy allows this one script, this one style, and images inside the page. Where a browser has no WebGL 2 or no
JavaScript, it shows the photo.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from functools import cache
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from torch import Tensor

from ..media.atomic import atomic_write
from ..spectral_volume import SpectralVolume
from ..tensors import image_batch
from ..validation import check_flag, check_instance, check_integer, check_path, refuse
from .live_packet import MAX_GRID, encode_jpeg, pack_without_photo, photo_pixels
from .script_bundle import bundle

DEFAULT_TITLE = "Interactive photo"
DEFAULT_ALT = "A photo that moves when it is touched"
# Longest side of the photo in the page, in pixels.
DEFAULT_SIZE = 1024
MAX_SIZE = 4096
# Most bytes of the photo of the default size and of the compressed volume. In base64, with 75 kB of text, they make a
# page of at most 3 MB. A larger photo may take more, in proportion to its pixels.
PHOTO_BYTES = 700_000
VOLUME_BYTES = 1_450_000
# JPEG qualities and longest sides of the volume that are tried in this order until the result is small enough. The
# photos of a camera fit with the first of each, noise with the last.
QUALITIES = (92, 88, 84, 78, 70, 60, 45, 30)
GRIDS = (MAX_GRID, 128, 96, 64, 48, 32)


def interactive_page(
    photo: Tensor,
    volume: SpectralVolume,
    *,
    title: str = DEFAULT_TITLE,
    alt: str = DEFAULT_ALT,
    autoplay: bool = False,
    max_size: int = DEFAULT_SIZE,
) -> str:
    """An interactive photo as the text of an HTML file: drag to poke, wind by a slider or by tilting, and the loop.

    Args:
        photo: [H, W, C] or [B, H, W, C], C = 3 or 4, 0..1; the first one is used. Alpha is blended over gray.
        volume: how the photo can move; the motion of its first photo is used.
        title: of the page; any text.
        alt: what the photo shows, for those who do not see it; any text.
        autoplay: the loop plays when the page opens, except for visitors who prefer reduced motion. Otherwise it
            plays on request, or if the address ends in `?autoplay`.
        max_size: longest side of the photo in pixels, 64 to 4096.

    Returns:
        The page: at most 3 MB with the default size.

    Raises:
        ValueError: if an argument is something else.
    """
    photo = image_batch(photo, "photo")[:1].permute(0, 2, 3, 1)
    check_instance("volume", volume, SpectralVolume, "a spectral volume")
    _check_text("title", title)
    _check_text("alt", alt)
    autoplay = check_flag("autoplay", autoplay)
    max_size = check_integer("max_size", max_size, 64, MAX_SIZE, meaning="pixels")
    pixels = photo_pixels(photo, max_size)
    height, width = pixels.shape[:2]
    style = Template(_text("interactive_page.css")).substitute(width=width, height=height)
    script = _script()
    policy = {
        "default-src": "'none'",
        "script-src": _source_hash(script),
        "style-src": _source_hash(style),
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return Template(_text("interactive_page.html")).substitute(
        policy="; ".join(f"{directive} {source}" for directive, source in policy.items()),
        autoplay=" data-autoplay" if autoplay else "",
        title=escape(title),
        alt=escape(alt),
        width=width,
        height=height,
        style=style,
        script=script,
        photo=_base64(_fit_photo(pixels, PHOTO_BYTES * max(1.0, max_size / DEFAULT_SIZE) ** 2)),
        volume=_base64(_fit_volume(volume, (height, width))),
    )


def save_interactive_page(
    path: str | os.PathLike,
    photo: Tensor,
    volume: SpectralVolume,
    *,
    title: str = DEFAULT_TITLE,
    alt: str = DEFAULT_ALT,
    autoplay: bool = False,
    max_size: int = DEFAULT_SIZE,
) -> Path:
    """Write an interactive photo to a .html file; see `interactive_page` for the other arguments.

    A failed write leaves an existing file as it was.

    Raises:
        ValueError: if an argument is wrong, or if the file has another suffix.
        FileNotFoundError: if its folder does not exist.
    """
    path = check_path("path", path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"Cannot write {path.suffix or 'a file without suffix'}; an interactive photo is .html.")
    page = interactive_page(photo, volume, title=title, alt=alt, autoplay=autoplay, max_size=max_size)
    with atomic_write(path) as temporary:
        temporary.write_bytes(page.encode())  # not as text, which would get the line ends of Windows
    return path


def _check_text(name: str, text: str) -> None:
    """Refuse what is not text, or cannot be written as UTF-8 because it holds half a character."""
    check_instance(name, text, str, "text")
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(name, "text of whole characters", text)


def _fit_photo(pixels: np.ndarray, max_bytes: float) -> bytes:
    """The photo as a JPEG file of the best quality that is small enough."""
    for quality in QUALITIES:
        jpeg = encode_jpeg(pixels, quality)
        if len(jpeg) <= max_bytes:
            break
    return jpeg


def _fit_volume(volume: SpectralVolume, photo_size: tuple[int, int]) -> bytes:
    """The packet of the volume, compressed, on the finest grid on which it is small enough."""
    for grid in GRIDS:
        packed = zlib.compress(pack_without_photo(volume, photo_size, grid), 9)
        if len(packed) <= VOLUME_BYTES:
            break
    return packed


@cache
def _script() -> str:
    return f"\n{bundle('interactive_page')}\n$interactive_page.startPage();\n"


@cache
def _text(name: str) -> str:
    """A file beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _source_hash(text: str) -> str:
    """What the content policy allows instead of all inline text: this text."""
    return f"'sha256-{_base64(hashlib.sha256(text.encode()).digest())}'"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
