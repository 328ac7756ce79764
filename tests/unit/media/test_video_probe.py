"""Streams, times, cut ends and windows of video files of all kinds."""

import io
import os
import subprocess
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from gid_core.media.video_io import iterate_frames, read_video, write_video
from gid_core.media.video_probe import probe_video
from video_files import add_stream, numbered, numbers, write_file

CODECS = {".mp4": "libx264", ".mkv": "libx264", ".webm": "libvpx", ".avi": "libx264", ".ts": "libx264", ".mov": "mpeg4"}


@pytest.mark.parametrize("suffix", CODECS)
def test_every_container_gives_all_frames_in_order(tmp_path, suffix):
    ticks = 30 if suffix == ".avi" else 30000
    path = write_file(tmp_path / f"a{suffix}", numbered(20), codec=CODECS[suffix], ticks=ticks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames, fps = read_video(path)
    assert numbers(frames) == list(range(20)) and fps == pytest.approx(30, rel=1e-3)
    assert numbers(read_video(path, start=13, max_frames=4)[0]) == [13, 14, 15, 16]


def test_a_stream_without_times_is_counted(tmp_path):
    path = write_file(tmp_path / "a.h264", numbered(12))
    frames, fps = read_video(path)
    assert numbers(frames) == list(range(12)) and fps > 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_variable_rate_is_resampled_by_time(tmp_path, suffix):
    times = [k / 30 for k in range(12)] + [0.4 + k / 15 for k in range(6)]
    path = write_file(tmp_path / f"a{suffix}", numbered(18), times, codec=CODECS[suffix])
    frames, fps = read_video(path)
    assert fps == pytest.approx(30, rel=1e-3) and len(frames) / fps == pytest.approx(0.8, abs=0.05)
    shown = numbers(frames)
    assert shown[:13] == list(range(13))
    assert max(abs(times[number] - k / 30) for k, number in enumerate(shown)) < 1.05 / 30
    assert numbers(read_video(path, start=14, max_frames=5)[0]) == shown[14:19]


def test_times_that_do_not_begin_at_zero_are_taken_from_the_first_frame(tmp_path):
    path = write_file(tmp_path / "a.mkv", numbered(10), [2 + k / 30 for k in range(10)])
    frames, fps = read_video(path)
    assert numbers(frames) == list(range(10)) and fps == pytest.approx(30, rel=1e-3)


def test_an_edited_beginning_is_not_shown(tmp_path):
    write_file(tmp_path / "a.mp4", numbered(24), options={"bf": "0"})
    command = ["ffmpeg", "-loglevel", "error", "-ss", "0.2", "-i", str(tmp_path / "a.mp4"), "-c", "copy"]
    subprocess.run([*command, str(tmp_path / "b.mp4")], check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames, _ = read_video(tmp_path / "b.mp4")
    assert numbers(frames) == list(range(6, 24))


def test_windows_are_the_same_after_a_seek(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(40)]
    path = write_file(tmp_path / "a.mp4", images, options={"g": "8", "bf": "2", "crf": "20"})
    whole = (read_video(path)[0] * 255).round().byte()
    probe = probe_video(path)
    for start in (0, 1, 7, 8, 9, 23, 38):
        window = torch.stack(list(iterate_frames(probe, start=start, count=5)))
        assert torch.equal(window, whole[start : start + 5])
    with open(path, "rb") as file:
        assert torch.equal(next(iterate_frames(file, start=30)), whole[30])


def test_frames_are_decoded_as_they_are_asked_for(tmp_path, monkeypatch):
    from gid_core.media import video_io

    converted, convert = [], video_io.RGBConverter.__call__
    monkeypatch.setattr(
        video_io.RGBConverter, "__call__", lambda self, frame: converted.append(1) or convert(self, frame)
    )
    path = write_file(tmp_path / "a.mp4", numbered(20))
    frames = iterate_frames(path, start=5, count=10)
    assert not converted
    next(frames), next(frames)
    assert len(converted) == 2


def test_memory_does_not_grow_with_the_clip(tmp_path):
    """Decoded frames are freed at once: PyAV's own memory does not show in tracemalloc, so resident memory is read."""
    statm = "/proc/self/statm"
    if not os.path.exists(statm):
        pytest.skip("needs /proc")
    path = write_file(tmp_path / "a.mp4", [np.zeros((540, 960, 3), np.uint8)] * 60, codec="mpeg4")
    resident = []
    for _ in iterate_frames(path, size=(90, 160)):
        with open(statm) as file:
            resident.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    assert max(resident) - resident[10] < 15e6  # 50 frames would be 39 MB


def test_cover_art_and_still_streams_are_skipped(tmp_path):
    cover = [np.full((64, 64, 3), 250, np.uint8)]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        still = container.add_stream("mjpeg", rate=30)
        still.height, still.width, still.pix_fmt = 64, 64, "yuvj420p"
        movie = container.add_stream("libx264", rate=30)
        movie.height, movie.width, movie.pix_fmt = 32, 48, "yuv420p"
        for stream, images in ((still, cover), (movie, numbered(6))):
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    frames, _ = read_video(tmp_path / "a.mkv")
    assert frames.shape == (6, 32, 48, 3)


def test_attached_pictures_are_skipped(tmp_path):
    write_file(tmp_path / "cover.mkv", numbered(1, 64, 64), codec="mjpeg", pixel_format="yuvj420p")
    movie = write_file(tmp_path / "movie.mp4", numbered(6))
    command = ["ffmpeg", "-loglevel", "error", "-i", str(tmp_path / "cover.mkv"), "-i", str(movie), "-map", "0", "-map"]
    command += ["1", "-c", "copy", "-disposition:v:0", "attached_pic", str(tmp_path / "a.mp4")]
    subprocess.run(command, check=True)
    assert numbers(read_video(tmp_path / "a.mp4")[0]) == list(range(6))


def test_a_file_of_one_frame_is_read(tmp_path):
    assert read_video(write_file(tmp_path / "a.mp4", numbered(1)))[0].shape == (1, 32, 48, 3)


def test_a_change_of_size_names_the_frame(tmp_path):
    parts = b""
    for index, size in enumerate(((32, 48), (48, 64))):
        parts += write_file(tmp_path / f"{index}.h264", numbered(6, *size)).read_bytes()
    (tmp_path / "a.h264").write_bytes(parts)
    with pytest.raises(ValueError, match=r"a\.h264 changes its size at frame 6: 64 x 48 after 48 x 32"):
        read_video(tmp_path / "a.h264")
    assert len(read_video(tmp_path / "a.h264", max_frames=5)[0]) == 5


# ---- cut ends ----


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
def test_a_cut_end_is_reported_with_the_seconds_that_are_there(tmp_path, suffix):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(60)]
    path = tmp_path / f"a{suffix}"
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        settings = dict(codec=CODECS[suffix], options={"crf": "20", "g": "10"}, ticks=30)
        add_stream(container, images, [k / 30 for k in range(60)], **settings)
    with pytest.warns(UserWarning, match=r"is cut off: [01]\.\d\d of its 2\.0\d seconds are there") as said:
        frames, fps = read_video(cut(path, 0.5))
    assert 10 < len(frames) < 55 and fps == pytest.approx(30, rel=1e-3)
    assert float(str(said[0].message).split("off: ")[1].split()[0]) == pytest.approx(len(frames) / fps, abs=0.11)


def test_a_longer_sound_is_no_cut_end(tmp_path):
    path = tmp_path / "a.mkv"
    command = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=3", "-i"]
    write_file(tmp_path / "movie.mp4", numbered(12))
    subprocess.run([*command, str(tmp_path / "movie.mp4"), "-map", "1", "-map", "0", str(path)], check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_video(path)[0]) == 12


def test_a_damaged_frame_is_replaced_by_the_next(tmp_path):
    path = write_file(tmp_path / "a.mov", numbered(8), codec="png", pixel_format="rgb24")
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[3]
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + 8] = bytes(8)
    path.write_bytes(data)
    assert numbers(read_video(path)[0]) == [0, 1, 2, 4, 4, 5, 6, 7]


def test_the_start_of_the_file_does_not_matter_for_open_files(tmp_path):
    data = io.BytesIO(write_file(tmp_path / "a.mp4", numbered(6)).read_bytes())
    data.seek(50)
    assert numbers(read_video(data)[0]) == list(range(6))


def test_text_with_wrong_bytes_in_a_file_does_not_matter(tmp_path):
    path = write_video(tmp_path / "a.mp4", torch.zeros(2, 16, 16, 3), 8)
    content = path.read_bytes()
    assert b"Lavf" in content  # the name of the program that wrote it
    path.write_bytes(content.replace(b"Lavf", b"La\xfcf"))
    assert len(probe_video(path)) == 2
