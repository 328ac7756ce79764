"""Input images and masks: accepted and refused shapes, resizing, and image files."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps, features

from gid_core.media.image_io import read_image, write_image
from gid_core.tensors import feather_mask, image_batch, mask_batch, resize_maps
from random_tensors import random_uniform

# ---- images ----


@pytest.mark.parametrize("channels", [3, 4])
def test_images_and_batches_become_channels_first(channels):
    image = random_uniform(5, 7, channels)
    assert torch.equal(image_batch(image)[0], image.movedim(-1, 0))
    batch = random_uniform(2, 5, 7, channels)
    assert torch.equal(image_batch(batch), batch.movedim(-1, 1))
    assert torch.equal(image_batch(batch.numpy()), batch.movedim(-1, 1))


def test_bytes_are_scaled_to_0_to_1():
    every = torch.arange(256, dtype=torch.uint8).view(16, 16, 1).expand(16, 16, 3)
    expected = torch.linspace(0, 1, 256).view(16, 16)
    for image in (every, every.numpy()):
        torch.testing.assert_close(image_batch(image)[0, 1], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_point_type_becomes_float32(dtype):
    image = random_uniform(4, 4, 3).to(dtype)
    batch = image_batch(image)
    assert batch.dtype == torch.float32 and torch.equal(batch[0].movedim(0, -1), image.float())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(4, 4, 1), r"3 \(RGB\) or 4 \(RGBA\) channels; got 1\. Repeat a gray image"),
        (torch.rand(1, 4, 4, 2), "got 2"),
        (torch.rand(3, 64, 48), "got 48"),
        (torch.rand(4, 4), r"got \[4, 4\]"),
        (torch.rand(1, 1, 4, 4, 3), r"got \[1, 1, 4, 4, 3\]"),
        (torch.rand(0, 4, 3), "at least one pixel"),
        (torch.rand(0, 4, 4, 3), r"\[0, 4, 4, 3\]"),
        (torch.full((4, 4, 3), float("nan")), "NaN"),
        (torch.full((4, 4, 3), float("inf")).half(), "infinite"),
    ],
)
def test_images_of_wrong_shape_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        image_batch(image)


def test_the_error_names_the_input_and_gives_a_hint_only_for_gray_images():
    with pytest.raises(ValueError) as error:
        image_batch(torch.rand(4, 4, 2), name="start_image")
    assert "start_image" in str(error.value) and "gray" not in str(error.value)


# ---- masks ----


def test_masks_become_batches_and_are_clamped():
    mask = random_uniform(5, 7)
    assert torch.equal(mask_batch(mask, 3), mask[None])
    assert torch.equal(mask_batch(mask.numpy(), 3), mask[None])
    assert mask_batch(random_uniform(3, 5, 7), 3).shape == (3, 5, 7)
    clamped = mask_batch(torch.tensor([[-1.0, 0.5, 2.0]]), 1)
    assert torch.equal(clamped, torch.tensor([[[0.0, 0.5, 1.0]]]))
    assert torch.equal(mask_batch(torch.tensor([[True, False]]), 1), torch.tensor([[[1.0, 0.0]]]))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.rand(2, 5, 7), r"\(3\); got 2"),
        (torch.rand(5), r"\[5\]"),
        (torch.rand(1, 5, 7, 1), r"\[1, 5, 7, 1\]"),
        (torch.rand(0, 7), r"\[1, 0, 7\]"),
        (torch.full((5, 7), float("nan")), "NaN"),
    ],
)
def test_masks_of_wrong_shape_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        mask_batch(mask, 3)


def test_feathering_stays_inside_and_reaches_full_white():
    mask = torch.zeros(2, 30, 40)
    mask[0, 5:25, 5:35] = 1
    mask[1, 5:25, 5:35] = 0.5
    soft = feather_mask(mask, 4)
    assert soft[mask == 0].abs().sum() == 0 and (soft <= mask).all()
    assert torch.equal(soft[:, 9:21, 9:31], mask[:, 9:21, 9:31])
    assert (soft[0, 15, 5:9].diff() > 0).all()
    assert feather_mask(mask, 0) is mask and mask[0, 5, 5] == 1


def test_negative_feather_is_refused():
    with pytest.raises(ValueError, match="-2"):
        feather_mask(torch.ones(1, 4, 4), -2)


# ---- resizing ----


@pytest.mark.parametrize("size", [(5, 7), (10, 14), (3, 3), (1, 1), (3, 20)])
def test_resizing_keeps_constants_and_does_nothing_for_the_same_size(size):
    torch.testing.assert_close(resize_maps(torch.full((2, 3, 5, 7), 0.3), size), torch.full((2, 3, *size), 0.3))
    maps = random_uniform(1, 1, *size)
    assert torch.equal(resize_maps(maps, size), maps)


def test_shrinking_averages():
    checks = (torch.arange(32)[:, None] + torch.arange(32)).remainder(2).float()[None, None]
    small = resize_maps(checks, (4, 4))
    assert (small - 0.5).abs().max() < 0.05


# ---- files ----


def in_bytes(*shape):
    return (random_uniform(*shape) * 255).round() / 255


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "name", ["plain.png", "größe ünï 图片.png", "with spaces & (brackets) #1.PNG", "two.dots.webp"]
)
def test_lossless_files_keep_every_byte(tmp_path, channels, name):
    if name.endswith("webp") and channels == 4:
        pytest.skip("webp is lossy by default")
    image = in_bytes(9, 13, channels)
    path = write_image(tmp_path / name, image)
    read = read_image(str(path))
    assert read.shape == image.shape and read.dtype == torch.float32
    if not name.endswith("webp"):
        torch.testing.assert_close(read, image)
    assert os.listdir(tmp_path) == [name]


def test_colors_keep_their_order(tmp_path):
    red = torch.tensor([0.9, 0.1, 0.3]).expand(16, 16, 3)
    for name, tolerance in (("a.png", 1 / 255), ("a.jpg", 0.03), ("a.bmp", 1 / 255)):
        torch.testing.assert_close(read_image(write_image(tmp_path / name, red)), red, atol=tolerance, rtol=0)


def test_values_outside_are_clipped_when_written(tmp_path):
    image = torch.tensor([[[-1.0, 0.5, 2.0]]])
    torch.testing.assert_close(
        read_image(write_image(tmp_path / "a.png", image)), torch.tensor([[[0.0, 0.5, 1.0]]]), atol=0.002, rtol=0
    )


def test_gray_palette_and_deep_files(tmp_path):
    from PIL import Image

    gray = np.arange(0, 240, 5, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    expected = torch.from_numpy(gray / np.float32(255))[..., None].expand(6, 8, 3)
    torch.testing.assert_close(read_image(tmp_path / "gray.png"), expected)
    Image.fromarray(gray).convert("P").save(tmp_path / "palette.png")
    torch.testing.assert_close(read_image(tmp_path / "palette.png"), expected)
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    torch.testing.assert_close(read_image(tmp_path / "deep.png"), expected)
    Image.fromarray(np.stack([gray, 255 - gray], -1), "LA").save(tmp_path / "alpha.png")
    both = torch.cat([expected, 1 - expected[..., :1]], dim=-1)
    torch.testing.assert_close(read_image(tmp_path / "alpha.png"), both)


def test_the_exif_orientation_is_applied(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show
    Image.new("RGB", (12, 8)).save(tmp_path / "phone.jpg", exif=exif)
    assert read_image(tmp_path / "phone.jpg").shape == (12, 8, 3)


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.png"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"this is no image",
        b"",
    ],
)
def test_a_file_that_is_not_an_image_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png cannot be read"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="Cannot write"):
        write_image(tmp_path / name, torch.rand(4, 4, 3))
    assert os.listdir(tmp_path) == []


# ---- pictures as they are ----


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "mode"), [("jpeg", "RGB"), ("png", "RGB"), ("png", "RGBA"), ("webp", "RGBA")])
def test_images_are_turned_as_their_exif_data_say(tmp_path, kind, mode, orientation):
    pixels = np.zeros((12, 20, len(mode)), np.uint8)
    pixels[:6, :10], pixels[:6, 10:], pixels[6:, :10] = (np.array(c)[: len(mode)] for c in np.eye(4)[:3] * 200)
    if mode == "RGBA":
        pixels[..., 3] = 255
        pixels[-1, -1, 3] = 128  # or WebP would leave alpha out
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}", exif=exif, quality=100)
    with Image.open(tmp_path / f"a.{kind}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image), np.float32) / 255
    image = read_image(tmp_path / f"a.{kind}")
    assert image.shape == expected.shape
    assert (image - torch.from_numpy(expected)).abs().mean() < 0.02


def test_damaged_exif_data_do_not_matter(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (255, 0, 0)).save(buffer, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert read_image(tmp_path / "a.jpg").shape == (4, 6, 3)


@pytest.mark.parametrize(("width", "height"), [(40_000, 40_000), (2_000_000, 2_000_000), (3_000_000, 1)])
def test_a_header_of_a_huge_image_is_refused_in_words(tmp_path, monkeypatch, width, height):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data)
    for limit in (Image.MAX_IMAGE_PIXELS, None):  # some programs switch Pillow's limit off
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match=r"p\.png is too large to be read as an image"):
            read_image(tmp_path / "p.png")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.full((4, 4, 3), 255.0), "image must be in 0..1; got values from 255 to 255"),
        (torch.full((4, 4, 3), -200.0), "image must be in 0..1"),
        (torch.full((4, 4, 3), 200), "floating point in 0..1, uint8 or uint16; got torch.int64"),
        (np.full((4, 4, 3), 200, np.int32), "got torch.int32"),
        ("photo.jpg", "image must be a tensor .*; got 'photo.jpg'"),
    ],
)
def test_other_ranges_and_types_are_refused_and_never_white(tmp_path, image, message):
    for use in (image_batch, lambda image: write_image(tmp_path / "a.png", image)):
        with pytest.raises(ValueError, match=message):
            use(image)
    assert os.listdir(tmp_path) == []


def test_integers_are_divided_by_their_white(tmp_path):
    half = np.full((4, 6, 3), 0.5)
    for image in (half, (half * 255).astype(np.uint8), (half * 65535).astype(np.uint16)):
        assert image_batch(image).mean() == pytest.approx(0.5, abs=0.003)
        assert read_image(write_image(tmp_path / "a.png", image)).mean() == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize(
    ("mask", "mean"),
    [
        (np.full((2, 2), 128, np.uint8), 128 / 255),
        (np.full((2, 2), 65535, np.uint16), 1),
        (np.eye(2, dtype=np.uint8), 0.5),  # 0 and 1, as segmentation makes them
        (np.eye(2, dtype=bool), 0.5),
        (np.eye(2, dtype=np.int64), 0.5),
    ],
)
def test_masks_of_any_type_keep_their_values(mask, mean):
    assert mask_batch(mask, 1).mean() == pytest.approx(mean)


@pytest.mark.parametrize("mask", [torch.full((2, 2), 255.0), torch.full((2, 2), 255), torch.full((2, 2), -7)])
def test_masks_of_other_ranges_are_refused(mask):
    with pytest.raises(ValueError, match="mask must be in 0..1; got values from"):
        mask_batch(mask, 1)


def test_only_one_image_is_written(tmp_path):
    for image, message in ((torch.rand(36, 64), r"got \[36, 64\]"), (torch.rand(2, 4, 4, 3), "got 2 images")):
        with pytest.raises(ValueError, match=message):
            write_image(tmp_path / "a.png", image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_as_it_says(tmp_path, orientation):
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.avif", exif=exif, quality=100)
    with Image.open(tmp_path / "a.avif") as image:
        expected = np.asarray(ImageOps.exif_transpose(image), np.float32) / 255
    try:
        image = read_image(tmp_path / "a.avif")
    except ValueError:
        pytest.skip("this OpenCV has no AVIF")
    assert image.shape == expected.shape and (image - torch.from_numpy(expected)).abs().mean() < 0.05


@pytest.mark.parametrize("alpha", [255, 128, 20, 0])
def test_tiff_files_keep_their_colors_where_they_are_transparent(tmp_path, alpha):
    color = (200, 100, 50, alpha)
    Image.new("RGBA", (6, 4), color).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")[0, 0] * 255
    assert image[3] == alpha
    if alpha:
        assert (image[:3] - torch.tensor(color[:3])).abs().max() <= 255 / alpha


@pytest.mark.parametrize("channels", [1, 3])
def test_floating_point_files_are_read_in_0_to_1_only(tmp_path, channels):
    pixels = np.linspace(0, 1, 12 * channels, dtype=np.float32).reshape(3, 4, channels)
    path = str(tmp_path / "a.tiff")
    cv2.imwrite(path, pixels)
    expected = np.broadcast_to(pixels[..., ::-1], (3, 4, 3))
    assert np.array_equal(read_image(path).numpy(), expected)
    for wrong in (pixels * 255, pixels * 3, pixels - 0.5, np.where(pixels > 0.5, np.nan, pixels)):
        cv2.imwrite(path, wrong.astype(np.float32))
        with pytest.raises(ValueError, match=r"a\.tiff holds float32 from .* Convert it"):
            read_image(path)
    cv2.imwrite(path, (pixels * 1000).astype(np.int32))
    with pytest.raises(ValueError, match=r"a\.tiff"):
        read_image(path)
