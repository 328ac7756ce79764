"""The packet for the live preview: its contents, its precision, and how the server sends it."""

import asyncio
import importlib
import json
import shutil
import struct
import sys
import types

import cv2
import numpy as np
import pytest
import torch

import gid_core as gid
from gid_core.rendering.live_packet import MAX_BINS, MAX_GRID, MAX_PHOTO, pack, unpack
from gid_core.tensors import resize_maps


def random_volume(size=(24, 32), bins=5, batch=1, seed=0, period=150) -> gid.SpectralVolume:
    """Smooth random motion whose bins differ a hundredfold, as in real volumes."""
    coarse = torch.randn(batch * bins, 4, 4, 5, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    bin_scale = 200.0 * 0.3 ** torch.arange(bins).view(1, bins, 1, 1, 1)
    return gid.SpectralVolume(smooth.unflatten(0, (batch, bins)) * bin_scale, period=period)


def photo(height=20, width=30, channels=3) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([x, y, 1 - x, 0.5 + 0 * x][:channels], -1)


def decode_jpeg(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] / 255


def test_slices_are_restored_within_half_a_step_of_each_channel():
    volume = random_volume()
    packet = unpack(pack(volume, photo()))
    expected = volume.coefficients[0, 1:]
    half_step = expected.abs().amax((2, 3), keepdim=True) / 127 / 2
    error = (packet.slices - expected).abs()
    assert packet.slices.shape == expected.shape
    assert bool((error <= half_step * 1.0001).all())
    # The bound is not trivial: the steps of the weakest and the strongest channel differ by more than 30 times.
    assert half_step.max() / half_step.min() > 30
    assert error.max() > 0.2 * half_step.max()


def test_the_header_describes_the_slices():
    volume = random_volume(bins=4, period=90).replace(fps=24.0)
    header = unpack(pack(volume, photo())).header
    assert header["version"] == 1 and header["bins"] == 3
    assert header["fps"] == 24.0 and header["period"] == 90
    assert header["volume_size"] == [24, 32] and header["grid"] == [24, 32]
    assert np.shape(header["scales"]) == (3, 4)
    assert header["photo"] is True and header["photo_size"] == [20, 30]


def test_the_layout_is_header_length_header_photo_slices():
    volume = random_volume(size=(6, 8), bins=3)
    packet = pack(volume, photo())
    (length,) = struct.unpack("<I", packet[:4])
    header = json.loads(packet[4 : 4 + length])
    jpeg = packet[4 + length : 4 + length + header["photo_bytes"]]
    assert jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
    levels = np.frombuffer(packet, np.int8, offset=4 + length + len(jpeg)).reshape(2, 6, 8, 4)
    # Channels are last, as in a texture.
    value = levels[1, 2, 5, 3] * header["scales"][1][3] / 127
    assert value == pytest.approx(float(volume.coefficients[0, 2, 3, 2, 5]), abs=header["scales"][1][3] / 253)


def test_a_large_volume_is_reduced_and_keeps_its_motion_relative_to_the_image():
    volume = random_volume(size=(180, 320))
    packet = unpack(pack(volume, photo()))
    assert packet.header["grid"] == [90, MAX_GRID] and packet.header["volume_size"] == [180, 320]
    # Values stay in pixels of the volume's own grid, so that value / volume width does not change.
    expected = resize_maps(volume.coefficients[0, 1:], (90, 160))
    step = expected.abs().amax() / 127
    assert (packet.slices - expected).abs().max() <= 0.51 * step
    resized = volume.resize((90, 160)).coefficients[0, 1:, :2]
    assert torch.allclose(packet.slices[:, :2] / 320, resized / 160, atol=float(step / 320))


def test_a_small_volume_keeps_its_grid():
    assert unpack(pack(random_volume(size=(7, 5)), photo())).header["grid"] == [7, 5]
    assert unpack(pack(random_volume(size=(1, 1)), photo())).header["grid"] == [1, 1]


def test_only_the_first_photo_is_packed():
    both = random_volume(batch=2)
    first = both.replace(coefficients=both.coefficients[:1])
    photos = torch.stack([photo(), 1 - photo()])
    assert pack(both, photos) == pack(first, photos[0])


def test_only_equal_inputs_give_equal_bytes():
    volume = random_volume()
    assert pack(volume, photo()) == pack(random_volume(), photo())
    assert pack(volume, photo()) != pack(volume, 1 - photo())
    assert pack(volume, photo()) != pack(volume.amplify(1.5), photo())


def test_the_photo_keeps_its_colors():
    packet = unpack(pack(random_volume(), photo(64, 96)))
    assert np.abs(decode_jpeg(packet.jpeg) - photo(64, 96).numpy()).max() < 0.06


def test_a_large_photo_is_reduced():
    packet = unpack(pack(random_volume(), torch.rand(1, 500, 1000, 3)))
    assert packet.header["photo_size"] == [384, MAX_PHOTO]
    assert decode_jpeg(packet.jpeg).shape == (384, 768, 3)


def test_transparent_pixels_are_gray():
    rgba = torch.zeros(16, 16, 4)
    rgba[..., 0] = 1
    rgba[:, 8:, 3] = 1
    image = decode_jpeg(unpack(pack(random_volume(), rgba)).jpeg)
    assert np.abs(image[:, 2] - 0.5).max() < 0.1
    assert np.abs(image[:, 13] - [1, 0, 0]).max() < 0.1


def test_without_a_photo_the_packet_has_a_gray_map_of_the_motion():
    volume = random_volume(size=(20, 40))
    mask = torch.zeros(20, 40)
    mask[:, 30:] = 1
    packet = unpack(pack(volume.mask(mask)))
    assert packet.header["photo"] is False
    assert packet.header["photo_size"] == [256, 512]
    image = decode_jpeg(packet.jpeg)
    assert np.abs(image - image.mean(-1, keepdims=True)).max() < 0.02
    assert image[:, 420:].mean() > image[:, :360].mean() + 0.2


def test_static_and_constant_volumes():
    static = gid.SpectralVolume(torch.zeros(1, 3, 4, 6, 8))
    assert not unpack(pack(static)).slices.any()
    constant = gid.SpectralVolume(torch.ones(1, 1, 4, 6, 8))
    packet = unpack(pack(constant, photo()))
    assert packet.header["bins"] == 0 and packet.slices.shape == (0, 4, 6, 8)


def test_bins_beyond_the_limit_of_the_page_are_left_out():
    volume = gid.SpectralVolume(torch.rand(1, MAX_BINS + 9, 4, 2, 2), period=1000)
    assert unpack(pack(volume)).header["bins"] == MAX_BINS


@pytest.mark.parametrize("damage", [lambda p: p[:-1], lambda p: p[:3], lambda p: b"\x08\0\0\0nonsense", lambda p: b""])
def test_damaged_packets_are_refused(damage):
    with pytest.raises(ValueError, match="packet"):
        unpack(damage(pack(random_volume(), photo())))


def test_other_versions_are_refused():
    packet = pack(random_volume(), photo()).replace(b'"version":1', b'"version":2')
    with pytest.raises(ValueError, match="version 2"):
        unpack(packet)


# -- nodes/live_preview.py with stand-ins for two of ComfyUI's modules ---------------------------------------------


@pytest.fixture
def live(repo, tmp_path, monkeypatch):
    """nodes/live_preview.py imported as ComfyUI does, in a package of any name. Its temp folder is `live.folder`."""
    folder = tmp_path / "temp"
    package = types.ModuleType("pack_under_test")
    package.__path__ = [str(repo)]
    nodes = types.ModuleType("pack_under_test.nodes")
    nodes.__path__ = [str(repo / "nodes")]
    folder_paths = types.ModuleType("folder_paths")
    folder_paths.get_temp_directory = lambda: str(folder)
    for module in (package, nodes, folder_paths):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    loaded = set(sys.modules)
    module = importlib.import_module("pack_under_test.nodes.live_preview")
    module.folder = folder
    yield module
    for name in set(sys.modules) - loaded:
        if name.startswith("pack_under_test"):
            del sys.modules[name]


def live_motion(live):
    """A motion of the module's own classes."""
    return live.Motion(
        live.SpectralVolume(random_volume().coefficients), torch.zeros(2, random_volume().num_bins, 2), 30
    )


def test_one_packet_is_saved_under_the_digest_of_its_content(live):
    volume = live.SpectralVolume(random_volume().coefficients)
    digest = live.save_live_packet(volume, photo(), live_motion(live))
    assert [file.name for file in live.folder.iterdir()] == [f"gid_live_{digest}.bin"]
    assert unpack((live.folder / f"gid_live_{digest}.bin").read_bytes()).header["bins"] == 4
    assert live.DIGEST_PATTERN.fullmatch(digest)
    assert live.save_live_packet(volume, photo(), live_motion(live)) == digest
    assert live.save_live_packet(volume, 1 - photo(), live_motion(live)) != digest
    assert len(list(live.folder.iterdir())) == 2


def test_a_failed_write_leaves_no_file(live, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        live.save_live_packet(live.SpectralVolume(random_volume().coefficients), photo(), live_motion(live))
    assert not list(live.folder.iterdir())


def test_the_route_serves_only_packets(live, monkeypatch):
    web = pytest.importorskip("aiohttp.web")
    from aiohttp.test_utils import TestClient, TestServer

    class PromptServer:
        instance = types.SimpleNamespace(routes=web.RouteTableDef())

    monkeypatch.setitem(sys.modules, "server", types.SimpleNamespace(PromptServer=PromptServer))
    live.register_route()
    live.register_route()
    assert len(PromptServer.instance.routes) == 1
    motion = live_motion(live)
    digest = live.save_live_packet(motion.volume, photo(), motion)
    (live.folder.parent / "secret.bin").write_text("secret")

    async def check_requests():
        application = web.Application()
        application.add_routes(PromptServer.instance.routes)
        async with TestClient(TestServer(application)) as client:
            response = await client.get(f"/gid/live/{digest}")
            assert response.status == 200
            assert "immutable" in response.headers["Cache-Control"]
            assert await response.read() == (live.folder / f"gid_live_{digest}.bin").read_bytes()
            for wrong in ("0" * 32, digest[:-1], digest.upper(), "..%2Fsecret", "%2e%2e%2fsecret.bin", digest + "%00"):
                response = await client.get(f"/gid/live/{wrong}")
                assert response.status == 404, wrong
                assert "secret" not in await response.text()
            response = await client.get("/gid/live/" + "0" * 32)
            assert "run the workflow" in await response.text()

    asyncio.run(check_requests())

    # The temp folder is emptied: the packet is there as long as its motion is.
    async def status() -> int:
        application = web.Application()
        application.add_routes(PromptServer.instance.routes)
        async with TestClient(TestServer(application)) as client:
            return (await client.get(f"/gid/live/{digest}")).status

    shutil.rmtree(live.folder)
    assert asyncio.run(status()) == 200 and (live.folder / f"gid_live_{digest}.bin").is_file()
    shutil.rmtree(live.folder)
    del motion
    assert asyncio.run(status()) == 404


def test_without_a_server_there_is_no_route(live, monkeypatch):
    monkeypatch.setitem(sys.modules, "server", types.SimpleNamespace(PromptServer=types.SimpleNamespace()))
    live.register_route()
