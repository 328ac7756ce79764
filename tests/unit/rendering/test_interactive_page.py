"""The interactive photo as one file: what is in it, what is not, its size."""

import base64
import hashlib
import os
import re
import zlib
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch

import gid_core as gid
from gid_core.rendering.interactive_page import GRIDS, VOLUME_BYTES, interactive_page, save_interactive_page
from gid_core.rendering.live_packet import pack, unpack
from gid_core.rendering.script_bundle import bundle

NASTY = """</title></script><script>alert("1")</script> & 'quoted' "double" <img src=x onerror=alert(1)> -->`${x}`"""


class Page(HTMLParser):
    """The elements of a page: `attributes[tag]` of each, and the text in each."""

    def __init__(self, text: str):
        super().__init__()
        self.attributes, self.text, self._open = {}, {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes.setdefault(tag, []).append(dict(attrs))
        self.text.setdefault(tag, []).append("")
        self._open = tag

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open:
            self.text[self._open][-1] += data

    @property
    def packet(self) -> bytes:
        return zlib.decompress(base64.b64decode(self.text["script"][0]))

    @property
    def photo(self) -> np.ndarray:
        data = self.attributes["img"][0]["src"].removeprefix("data:image/jpeg;base64,")
        return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1] / 255


def volume(size=(24, 36), bins=5, noise=False) -> gid.SpectralVolume:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(bins, 4, *(size if noise else (4, 5)), generator=generator)
    return gid.SpectralVolume(torch.nn.functional.interpolate(values, size, mode="bicubic")[None] * 100)


def photo(height=40, width=60) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([x, y, 1 - x], -1)


def test_the_page_holds_the_photo_and_the_volume():
    page = Page(interactive_page(photo(), volume()))
    assert np.abs(page.photo - photo().numpy()).max() < 0.06
    packet = unpack(page.packet)
    assert packet.jpeg == b"" and packet.header["photo"] is True and packet.header["photo_size"] == [40, 60]
    live = unpack(pack(volume(), photo()))
    assert torch.equal(packet.slices, live.slices) and packet.header["scales"] == live.header["scales"]


@pytest.mark.parametrize("text", [NASTY, "", "a\u2028b\r\n\tc", "\u82b1 \U0001f33c", "$photo ${photo} $$"])
def test_title_and_alt_text_are_only_text(text):
    plain = Page(interactive_page(photo(), volume()))
    page = Page(interactive_page(photo(), volume(), title=text, alt=text))
    assert page.text["title"] == page.text["h1"] == [text]
    assert page.attributes["img"][0]["alt"] == text
    assert page.attributes["canvas"][0]["aria-label"] == f"Interactive photo: {text}"
    assert {tag: len(found) for tag, found in page.attributes.items()} == {
        tag: len(found) for tag, found in plain.attributes.items()
    }
    assert page.text["script"] == plain.text["script"]


def test_the_policy_allows_this_script_and_this_style_only():
    text = interactive_page(photo(), volume(), title=NASTY)
    page = Page(text)
    metas = [meta for meta in page.attributes["meta"] if "http-equiv" in meta]
    assert len(metas) == 1 and metas[0]["http-equiv"] == "Content-Security-Policy"
    policy = dict(directive.split(" ", 1) for directive in metas[0]["content"].split("; "))

    def digest(content: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    data, script = page.text["script"]
    assert page.attributes["script"][0]["type"] == "application/octet-stream" and re.fullmatch(r"[\w+/=]+", data)
    assert policy == {
        "default-src": "'none'",
        "script-src": digest(script),
        "style-src": digest(page.text["style"][0]),
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # It stands before everything that it governs, and the encoding before it.
    assert text.index("Content-Security-Policy") < min(text.index(f"<{tag}") for tag in ("style", "script", "link"))
    assert not [name for found in page.attributes.values() for names in found for name in names if name[:2] == "on"]
    assert not [names for found in page.attributes.values() for names in found if "style" in names]


def test_the_page_names_no_other_place():
    text = interactive_page(photo(), volume())
    page = Page(text)
    places = [value for found in page.attributes.values() for names in found for key, value in names.items()
              if key in ("src", "href", "srcset", "action", "poster", "data")]  # fmt: skip
    assert len(places) == 2 and all(place.startswith("data:") for place in places)
    assert not re.search(r"\w+://|@import|url\(", text)
    assert "\r" not in text


def test_the_script_is_the_bundle_of_the_folder():
    script = Page(interactive_page(photo(), volume())).text["script"][1]
    assert script == f"\n{bundle('interactive_page')}\n$interactive_page.startPage();\n"
    assert len(script) < 80_000


@pytest.mark.parametrize("shape", [(1024, 1024), (1100, 733), (2000, 3000)])
@pytest.mark.parametrize("noise", [False, True])
def test_a_page_of_the_default_size_has_at_most_3_mb(shape, noise):
    height, width = shape
    picture = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(1)) if noise else photo(*shape)
    grid = (160, round(160 * width / height)) if height > width else (round(160 * height / width), 160)
    text = interactive_page(picture, volume(grid, 16, noise), title="a" * 1000)
    assert 100_000 < len(text.encode()) <= 3_000_000
    packet = unpack(Page(text).packet)
    assert max(packet.header["photo_size"]) == 1024
    assert noise or max(packet.header["grid"]) == 160
    assert packet.header["bins"] == 15


def test_a_volume_of_many_bins_gets_a_coarser_grid():
    page = Page(interactive_page(photo(), volume((160, 160), 32, noise=True)))
    header = unpack(page.packet).header
    assert max(header["grid"]) in GRIDS[1:] and header["bins"] == 31 and header["volume_size"] == [160, 160]
    assert len(base64.b64decode(page.text["script"][0])) <= VOLUME_BYTES


def test_the_size_of_the_photo_is_a_choice():
    big = Page(interactive_page(photo(300, 400), volume(), max_size=200))
    assert big.photo.shape == (150, 200, 3) and big.attributes["img"][0]["width"] == "200"
    small = Page(interactive_page(photo(), volume(), max_size=4096))
    assert small.photo.shape == (40, 60, 3)  # never enlarged


def test_only_the_first_photo_is_used_and_alpha_is_blended():
    clear = torch.cat([photo(), torch.zeros(40, 60, 1)], -1)
    assert np.abs(Page(interactive_page(torch.stack([clear, 1 - clear]), volume())).photo - 0.5).max() < 0.02


def test_autoplay_is_a_mark_of_the_page():
    marks = [Page(interactive_page(photo(), volume(), autoplay=value)).attributes["html"][0] for value in (False, True)]
    assert ["data-autoplay" in mark for mark in marks] == [False, True]


def test_a_page_for_all_readers():
    page = Page(interactive_page(photo(), volume(), alt="A rose"))
    assert page.attributes["html"][0]["lang"] == "en"
    canvas = page.attributes["canvas"][0]
    assert canvas["role"] == "application" and canvas["tabindex"] == "0" and "A rose" in canvas["aria-label"]
    controls = page.attributes["button"] + page.attributes["input"]
    assert len(controls) == 3 and all(control["aria-label"] for control in controls)
    assert "JavaScript" in page.text["p"][-1] and "noscript" in page.attributes
    style = page.text["style"][0]
    assert ":focus-visible" in style and "touch-action: none" in style and "prefers-reduced-motion" in style


def test_still_and_constant_volumes_make_a_page():
    for still in (gid.SpectralVolume(torch.zeros(1, 3, 4, 6, 8)), gid.SpectralVolume(torch.ones(1, 1, 4, 6, 8))):
        assert not unpack(Page(interactive_page(photo(), still)).packet).slices.any()


def test_equal_inputs_give_equal_pages():
    assert interactive_page(photo(), volume(), title="a") == interactive_page(photo(), volume(), title="a")


def test_saving(tmp_path, monkeypatch):
    path = save_interactive_page(tmp_path / "a.html", photo(), volume(), title="\u82b1", autoplay=True)
    assert path == tmp_path / "a.html"
    assert path.read_bytes().decode() == interactive_page(photo(), volume(), title="\u82b1", autoplay=True)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    before = path.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        save_interactive_page(path, photo(), volume())
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.html"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photo": torch.rand(4, 4)}, "photo"),
        ({"volume": torch.rand(4, 4)}, "volume"),
        ({"title": None}, "title must be text"),
        ({"alt": 3}, "alt must be text"),
        ({"max_size": 5000}, "max_size"),
        ({"autoplay": "yes"}, "autoplay"),
        ({"path": "a.png"}, r"\.png"),
        ({"path": "a"}, "suffix"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, changes, message):
    arguments = {"path": tmp_path / "a.html", "photo": photo(), "volume": volume()} | changes
    with pytest.raises(ValueError, match=message):
        save_interactive_page(**arguments)
    assert not os.listdir(tmp_path)


def test_texts_with_half_a_character_are_refused_before_a_file_is_written(tmp_path):
    with pytest.raises(ValueError, match="title"):
        save_interactive_page(tmp_path / "a.html", photo(), volume(), title="\ud800")
    assert not os.listdir(tmp_path)
