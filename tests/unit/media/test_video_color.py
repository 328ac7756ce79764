"""Colors and geometry of decoded frames: matrices, ranges, HDR, primaries, rotation, pixel aspect, reduction."""

import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from gid_core.media import video_color as color
from gid_core.media.video_io import iterate_frames, read_video, write_video
from video_files import quadrants, write_file

COLORS = [(200, 60, 30), (255, 255, 255), (0, 0, 0), (128, 128, 128), (10, 200, 250), (30, 90, 20)]
SPACES = {"bt709": 1, "bt601": 6, "bt2020": 9}


def bars(height=48, width=192, colors=COLORS):
    image = np.zeros((height, width, 3), np.uint8)
    for index, value in enumerate(colors):
        image[:, index * width // len(colors) : (index + 1) * width // len(colors)] = value
    return image


def bar_error(frame, colors=COLORS):
    """Largest difference from the colors in the middle of the bars, of 255."""
    values = np.asarray(frame, np.float32) * (1 if np.asarray(frame).dtype == np.uint8 else 255)
    height, width = values.shape[:2]
    centers = [values[height // 2, (2 * index + 1) * width // (2 * len(colors))] for index in range(len(colors))]
    return float(np.abs(np.array(centers) - colors).max())


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", SPACES)
def test_tagged_colors_are_read_as_tagged(tmp_path, matrix, full_range, pixel_format):
    tags = {"colorspace": SPACES[matrix], "color_range": 2 if full_range else 1}
    settings = dict(matrix=matrix, full_range=full_range, tags=tags, pixel_format=pixel_format)
    path = write_file(tmp_path / "a.mp4", [bars()] * 2, **settings)
    assert bar_error(read_video(path)[0][0]) <= 2.5


@pytest.mark.parametrize(("size", "matrix"), [((96, 192), "bt601"), ((720, 192), "bt709"), ((96, 1280), "bt709")])
def test_untagged_video_counts_as_bt601_when_small_and_bt709_when_large(tmp_path, size, matrix):
    path = write_file(tmp_path / "a.mp4", [bars(*size)], matrix=matrix)
    assert bar_error(read_video(path)[0][0]) <= 2.5


@pytest.mark.parametrize(("codec", "pixel_format", "suffix"), [("png", "rgb24", ".mov"), ("mjpeg", "yuvj420p", ".avi")])
def test_rgb_and_jpeg_have_full_range(tmp_path, codec, pixel_format, suffix):
    settings = dict(codec=codec, pixel_format=pixel_format, full_range=True, options={"qmin": "1", "qmax": "1"})
    path = write_file(tmp_path / f"a{suffix}", [bars()] * 2, **settings)
    assert bar_error(read_video(path)[0][0]) <= 3.5


def hdr_signal(values, transfer):
    """R'G'B' of sRGB colors in HLG or PQ and BT.2020, white at 203 cd/m2, as converters make them."""
    light = color.srgb_to_linear(values / 255) @ np.linalg.inv(color.to_bt709(color.BT2020))
    light = np.maximum(light, 0) * 203
    if transfer == color.PQ:
        power = (light / 10000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    scene = (light / 1000) ** (1 / 1.2)
    log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)


@pytest.mark.parametrize("transfer", [color.HLG, color.PQ])
def test_hdr_video_looks_as_its_sdr_original(tmp_path, transfer):
    signal = np.round(hdr_signal(bars(), transfer) * 255).astype(np.uint8)
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1}
    path = write_file(tmp_path / "a.mp4", [signal] * 2, matrix="bt2020", tags=tags, pixel_format="yuv420p10le")
    frame = read_video(path)[0][0]
    dark = [value for value in COLORS if max(value) < 220]
    error = [bar_error(frame[:, index * 32 : (index + 1) * 32], [value]) for index, value in enumerate(COLORS)]
    assert max(e for e, value in zip(error, COLORS, strict=True) if value in dark) <= 5
    assert max(error) <= 20  # white is compressed a little, to leave room for lights


def test_highlights_are_compressed_in_order_and_darker_light_is_kept():
    light = np.linspace(0, color.PEAK / color.REFERENCE_WHITE, 200)
    mapped = color.compress_highlights(light)
    assert np.allclose(mapped[light <= color.KNEE], light[light <= color.KNEE])
    assert (np.diff(mapped) > 0).all() and mapped[-1] == pytest.approx(1)
    assert np.diff(mapped).max() < 1.01 * np.diff(light)[0]  # no jump in slope at the knee


def test_hdr_curves_have_the_values_of_the_standard():
    assert color.pq_to_luminance(np.array([0.0, 0.508078, 0.751827, 1.0])) == pytest.approx([0, 100, 1000, 1e4], 1e-3)
    assert color.hlg_to_scene_light(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 1 / 12, 1], abs=1e-4)


def test_wide_primaries_of_sdr_video_become_those_of_srgb(tmp_path):
    colors = [(200, 60, 30), (128, 128, 128), (60, 160, 90), (90, 90, 180)]
    light = color.srgb_to_linear(bars(colors=colors) / 255) @ np.linalg.inv(color.to_bt709(color.BT2020))
    wide = np.round(color.linear_to_srgb(light) * 255).astype(np.uint8)
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 14}
    path = write_file(tmp_path / "a.mp4", [wide] * 2, matrix="bt2020", tags=tags, pixel_format="yuv420p10le")
    assert bar_error(wide, colors) > 30  # what players show that ignore the primaries
    assert bar_error(read_video(path)[0][0], colors) <= 4


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
@pytest.mark.parametrize("flip", [False, True])
def test_turned_and_mirrored_video_is_upright(tmp_path, degrees, turns, flip):
    if not hasattr(av.video.stream.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write display matrices")
    path = write_file(tmp_path / "a.mp4", [quadrants()] * 2, rotation=(degrees, flip))
    probe = subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
    ).stdout
    frame = read_video(path)[0][0]
    assert frame.shape == ((48, 32, 3) if turns % 2 else (32, 48, 3))
    if not flip:
        assert np.abs(np.rot90(quadrants(), turns) / 255 - frame.numpy()).mean() < 0.05
    assert np.abs(np.frombuffer(probe, np.uint8).reshape(frame.shape) / 255 - frame.numpy()).mean() < 0.05


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((0, -1, 1, 0), lambda image: np.rot90(image)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
)
def test_display_matrices(matrix, expected):
    image = np.arange(24).reshape(2, 4, 3)
    assert np.array_equal(color.upright(image, matrix), expected(image))


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(16, 15), (48, 68)), (Fraction(1, 2), (96, 64)), (None, (48, 64))]
)
def test_pixels_become_square_and_none_are_lost(tmp_path, aspect, size):
    path = write_file(tmp_path / "a.mp4", [quadrants(48, 64)] * 2, pixel_aspect=aspect)
    frame = read_video(path)[0][0]
    assert frame.shape[:2] == size
    y, x = size[0] // 4, size[1] // 4
    assert np.abs(frame[y, x].numpy() * 255 - (200, 0, 0)).max() < 6
    assert np.abs(frame[-y, -x].numpy() * 255 - 200).max() < 6


def test_frames_are_reduced_by_averaging(tmp_path):
    checkers = np.zeros((64, 96, 3), np.uint8)
    checkers[::2, ::2] = checkers[1::2, 1::2] = 255
    path = write_file(tmp_path / "a.mp4", [checkers] * 2, pixel_format="yuv444p", options={"qp": "0"})
    frame = next(iterate_frames(path, size=(16, 24)))
    assert frame.dtype == torch.uint8 and frame.shape == (16, 24, 3)
    assert (frame.float() - 127.5).abs().max() < 4


def test_alpha_is_left_out(tmp_path):
    image = np.concatenate([bars(), np.full((48, 192, 1), 128, np.uint8)], -1)
    frames, _ = read_video(write_file(tmp_path / "a.mov", [image] * 2, codec="png", pixel_format="rgba"))
    assert frames.shape[-1] == 3 and bar_error(frames[0]) == 0


# ---- written video ----


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("size", [(96, 192), (720, 1280), (95, 191)])
def test_written_colors_are_tagged_and_look_the_same_in_ffmpeg_and_pyav(tmp_path, size, suffix):
    values = COLORS[::5] if size[0] > 500 else COLORS[::2]
    for value in values:
        clip = (torch.tensor(value) / 255).expand(2, *size, 3)
        path = write_video(tmp_path / f"a{suffix}", clip, 10)
        command = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo"]
        raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
        assert np.abs(np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(int) - value).max() <= 2
        assert (read_video(path)[0] * 255 - torch.tensor(value)).abs().max() <= 2
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            context = container.streams.video[0].codec_context
            assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)
            assert (int(context.color_primaries), int(context.color_trc)) == (1, 1)
            if int(av.__version__.split(".")[0]) >= 17:  # before, PyAV's own conversion ignored the tags
                assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - value).max() <= 2


def test_data_that_pyav_does_not_know_leave_a_frame_readable(tmp_path):
    """FFmpeg 8 attaches EXIF data to frames, which PyAV 18 does not list: it then tells no other data either."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(quadrants()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    frame = read_video(tmp_path / "a.jpg")[0][0]
    assert np.abs(np.rot90(quadrants(), -1) / 255 - frame.numpy()).mean() < 0.05


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 1), (180, 2), (-180, 2), (-90, 3)])
def test_the_rotation_serves_where_side_data_cannot_be_read(degrees, turns):
    class Frame:
        rotation = degrees

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")

    matrix = color.display_matrix(Frame())
    assert np.array_equal(color.upright(quadrants(), matrix), np.rot90(quadrants(), turns))
