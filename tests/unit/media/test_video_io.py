"""Video files: a written video is read again; writing is atomic; windows of clips."""

import math
import os

import av
import numpy as np
import pytest
import torch

from gid_core.media import video_io as video
from gid_core.media.video_io import clip_windows, read_video, write_video


def moving(frames=12, height=48, width=64, channels=3):
    """Smooth frames, which codecs preserve well."""
    y, x = torch.arange(height).view(-1, 1, 1), torch.arange(width).view(1, -1, 1)
    color = torch.arange(channels)
    rows = [0.5 + 0.35 * torch.sin(0.09 * x + 0.12 * y + 0.3 * t + color) for t in range(frames)]
    return torch.stack(rows)


def psnr(one, two):
    return -10 * math.log10(float((one - two).pow(2).mean()) + 1e-12)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".MP4"])
def test_a_written_video_is_read_again(tmp_path, suffix):
    clip = moving()
    path = write_video(tmp_path / f"größe 1{suffix}", clip, 24.0)
    frames, fps = read_video(str(path))
    assert frames.shape == clip.shape and frames.dtype == torch.float32
    assert fps == pytest.approx(24.0, rel=0.01)
    assert 0 <= frames.min() and frames.max() <= 1
    assert psnr(frames, clip) > 35
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("fps", [1.0, 12.5, 23.976, 30000 / 1001, 60.0])
def test_the_frame_rate_is_kept(tmp_path, fps):
    frames, read = read_video(write_video(tmp_path / "a.mp4", moving(10, 32, 32), fps))
    assert len(frames) == 10 and read == pytest.approx(fps, rel=1e-3)


@pytest.mark.parametrize("size", [(47, 64), (48, 63), (47, 63)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_odd_sides_are_extended_by_the_last_row_or_column(tmp_path, size, suffix):
    clip = moving(3, *size)
    frames, _ = read_video(write_video(tmp_path / f"a{suffix}", clip, 10))
    height, width = size
    assert psnr(frames[:, :height, :width], clip) > 33
    if suffix == ".mp4":
        assert frames.shape[1:3] == (48, 64)
    if frames.shape[1] > height:
        assert psnr(frames[:, height], frames[:, height - 1]) > 30
    if frames.shape[2] > width:
        assert psnr(frames[:, :, width], frames[:, :, width - 1]) > 30


def test_a_smaller_crf_gives_a_smaller_error_and_a_larger_file(tmp_path):
    clip = (moving(6) + 0.1 * torch.randn(6, 48, 64, 3, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    good, bad = (write_video(tmp_path / f"{crf}.mp4", clip, 10, crf=crf) for crf in (5, 40))
    assert good.stat().st_size > 2 * bad.stat().st_size
    luma = torch.tensor([0.2126, 0.7152, 0.0722])  # the codec halves the resolution of the rest
    gray = [frames @ luma for frames in (read_video(good)[0], read_video(bad)[0], clip)]
    assert psnr(gray[0], gray[2]) > psnr(gray[1], gray[2]) + 5


def test_webm_keeps_alpha(tmp_path):
    clip = moving(5, channels=4)
    clip[..., 3] = torch.linspace(0, 1, 64)
    path = write_video(tmp_path / "a.webm", clip, 10)
    frames, _ = read_video(path)
    assert frames.shape == (5, 48, 64, 3)
    alpha = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own decoder drops alpha
        for packet in container.demux(stream):
            for frame in decoder.decode(packet):
                assert frame.format.name == "yuva420p"
                alpha.append(torch.from_numpy(frame.to_ndarray(format="rgba")[..., 3] / np.float32(255)))
    assert len(alpha) == 5 and psnr(torch.stack(alpha), clip[..., 3]) > 35


def test_alpha_is_dropped_where_the_format_has_none(tmp_path):
    clip = moving(3, channels=4)
    frames, _ = read_video(write_video(tmp_path / "a.mp4", clip, 10))
    assert psnr(frames, clip[..., :3]) > 35


def test_frames_and_chunks_are_encoded_as_they_arrive(tmp_path):
    clip, asked = moving(9), []

    def chunks():
        for start in (0, 4, 8):
            asked.append(start)
            yield clip[start : start + 4]

    ways = {"chunks": chunks(), "frames": list(clip), "mixed": iter([clip[0], clip[1:5], clip[5], clip[6:]])}
    for name, way in ways.items():
        frames, _ = read_video(write_video(tmp_path / f"{name}.mp4", way, 10))
        assert frames.shape == clip.shape
        assert min(psnr(*pair) for pair in zip(frames, clip, strict=True)) > 33
    assert asked == [0, 4, 8]


def test_the_first_frame_is_encoded_before_the_last_is_made(tmp_path, monkeypatch):
    events, encode = [], video.bt709_frame
    monkeypatch.setattr(video, "bt709_frame", lambda *a, **k: events.append("encode") or encode(*a, **k))

    def frames():
        for image in moving(4):
            events.append("make")
            yield image

    write_video(tmp_path / "a.mp4", frames(), 10)
    assert events == ["make", "encode"] * 4


def test_writing_does_not_change_the_frames(tmp_path):
    clip = moving(3, 33, 33) * 1.5 - 0.2
    kept = clip.clone()
    write_video(tmp_path / "a.mp4", clip, 10)
    assert torch.equal(clip, kept)


def test_reading_can_stop_early(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving(9, 32, 32), 10)
    whole, fps = read_video(path)
    part, part_fps = read_video(path, max_frames=4)
    assert torch.equal(part, whole[:4]) and fps == part_fps
    assert len(read_video(path, max_frames=100)[0]) == 9


def test_an_existing_file_is_replaced(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving(3, 32, 32), 10)
    write_video(path, moving(5, 32, 32), 10)
    assert len(read_video(path)[0]) == 5 and os.listdir(tmp_path) == ["a.mp4"]


# ---- invalid input ----


@pytest.mark.parametrize("name", ["a.apng", "a.avi", "a", "mp4"])
def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.mp4.*\.webm"):
        write_video(tmp_path / name, moving(2), 10)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "fps",
    [
        0,
        -5,
        float("nan"),
        float("inf"),
    ],
)
def test_an_invalid_frame_rate_is_refused(tmp_path, fps):
    with pytest.raises(ValueError, match="fps"):
        write_video(tmp_path / "a.mp4", moving(2), fps)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("frames", [[], torch.zeros(0, 8, 8, 3), iter(())])
def test_no_frames_are_refused(tmp_path, frames):
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "a.mp4", frames, 10)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        write_video(tmp_path / "nowhere" / "a.mp4", moving(2), 10)


class Canceled(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 20])
def test_canceling_keeps_the_old_file_and_leaves_no_other(tmp_path, after):
    path = write_video(tmp_path / "a.mp4", moving(3, 32, 32), 10)
    before = path.read_bytes()

    def frames():
        yield from moving(after, 32, 32)[:after] if after else ()
        raise Canceled

    with pytest.raises(Canceled):
        write_video(path, frames(), 10)
    assert os.listdir(tmp_path) == ["a.mp4"] and path.read_bytes() == before


def test_a_failing_rename_leaves_no_file(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(video.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_video(tmp_path / "a.mp4", moving(2, 32, 32), 10)
    assert os.listdir(tmp_path) == []


def test_a_video_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    path = write_video(tmp_path / "a.mp4", moving(2, 32, 32), 10)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_missing_video_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.mp4"):
        read_video(tmp_path / "nothing.mp4")
    with pytest.raises(FileNotFoundError):
        read_video(tmp_path)


@pytest.mark.parametrize("content", [b"", b"this is no video", bytes(5000)])
def test_a_file_that_is_not_a_video_is_refused(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.mp4"):
        read_video(tmp_path / "a.mp4")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_mp4_is_refused(tmp_path, share):
    """The index of an MP4 file is at its end."""
    path = write_video(tmp_path / "a.mp4", moving(), 10)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"a\.mp4 cannot be read"):
        read_video(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_mkv_gives_its_first_frames_or_is_refused(tmp_path, share):
    path = write_video(tmp_path / "a.mkv", moving(), 10)
    whole, data = read_video(path)[0], path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    try:
        frames, _ = read_video(path)
    except ValueError as error:
        assert "a.mkv" in str(error)
    else:
        assert 0 < len(frames) < len(whole)


def test_a_file_with_only_audio_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"a\.mp4 has no video stream"):
        read_video(tmp_path / "a.mp4")


def test_reading_can_start_at_any_frame(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving(20, 32, 48), 12)
    whole, fps = read_video(path)
    part, part_fps = read_video(path, start=7, max_frames=5)
    assert torch.equal(part, whole[7:12]) and part_fps == fps == 12
    with open(path, "rb") as file:
        file.read(100)  # wherever it stands
        assert torch.equal(read_video(file, start=19)[0], whole[19:])
    with pytest.raises(ValueError, match="only 20 frames"):
        read_video(path, start=20)


# ---- windows ----


@pytest.mark.parametrize(
    ("num_frames", "settings", "expected"),
    [
        (400, {}, [(0, 150)]),
        (100, {}, [(0, 100)]),
        (400, {"count": 3}, [(0, 150), (125, 150), (250, 150)]),
        (151, {"count": 2}, [(0, 150), (1, 150)]),
        (151, {"count": 3}, [(0, 150)]),  # three windows would not all start at different frames
        (180, {"count": 3, "min_extra": 30}, [(0, 150)]),
        (181, {"count": 3, "min_extra": 30}, [(0, 150), (15, 150), (31, 150)]),
        (90, {"count": 3, "loops": True}, [(0, 90), (30, 90), (60, 90)]),
        (400, {"seconds": 0.2, "min_frames": 16}, [(0, 16)]),
        (10, {"seconds": 0.2, "min_frames": 16}, [(0, 10)]),
    ],
)
def test_windows_are_spread_over_the_clip(num_frames, settings, expected):
    assert clip_windows(num_frames, 30, **settings) == expected


def test_frames_are_read_as_bytes_or_floats(tmp_path):
    path = write_video(tmp_path / "a.mp4", torch.rand(5, 16, 16, 3), 30)
    floats, _ = read_video(path)
    data, fps = read_video(path, start=1, max_frames=3, dtype=torch.uint8)
    assert data.dtype == torch.uint8 and fps == 30 and torch.equal(data / 255, floats[1:4])
    with pytest.raises(ValueError, match="dtype"):
        read_video(path, dtype=torch.float16)


@pytest.mark.parametrize("size", [(1080, 1920), (2160, 3840), (3000, 4000)])
def test_x264_looks_less_far_ahead_in_larger_frames(size):
    options = video._codec_options("libx264", *size)
    assert int(options["rc-lookahead"]) * size[0] * size[1] <= 40 * 1920 * 1080
    assert (options["rc-lookahead"] == "0") == (options["bf"] == "0") == (size == (3000, 4000))
    assert video.encoder_memory(*size) < 1.5e9
    assert video.encoder_memory(3000, 4000) < 0.5e9


@pytest.mark.parametrize("name", ["10:30.mp4", "pipe:1.mkv", "file:a.webm", "-a.mp4", "a%03d.mp4"])
def test_names_that_ffmpeg_would_take_for_a_protocol_are_files(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(name, moving(3, 32, 32), 10)
    assert os.listdir() == [name] and len(read_video(name)[0]) == 3


@pytest.mark.parametrize(("suffix", "side", "advice"), [(".mp4", 16386, ".webm"), (".webm", 65538, "smaller")])
def test_frames_too_large_for_a_format_are_refused_with_what_to_do(tmp_path, suffix, side, advice):
    with pytest.raises(ValueError, match=f"at most {side - 2} pixels; got frames of {side} x 2: .*{advice}"):
        write_video(tmp_path / f"a{suffix}", torch.zeros(1, 2, side, 3), 10)
    assert os.listdir(tmp_path) == []


def test_an_encoder_that_fails_is_told_in_words_and_leaves_no_file(tmp_path, monkeypatch):
    """As x264 does without memory: FFmpeg's own error is neither an OSError nor a MemoryError."""
    monkeypatch.setitem(video.MAX_SIDES, "libx264", 10**6)
    with pytest.raises(OSError, match="a.mp4 cannot be written: .*Free memory and disk space"):
        write_video(tmp_path / "a.mp4", torch.zeros(1, 2, 16386, 3), 10)
    assert os.listdir(tmp_path) == []


def test_a_clip_that_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", moving(10, 32, 32), 10)
    monkeypatch.setattr("gid_core.memory.free_memory", lambda device: 5 * 32 * 32 * 3 * 4)
    assert len(read_video(path, max_frames=5)[0]) == 5 and len(read_video(path, dtype=torch.uint8)[0]) == 10
    with pytest.raises(ValueError, match="10 frames of 32 x 32 pixels need .*start and max_frames"):
        read_video(path)
