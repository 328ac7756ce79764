"""Audio files as waveforms."""

import random

import av
import numpy as np
import pytest
import torch

import gid_core as gid
from damaged_bytes import damaged


def write_tone(path, rate=8000, seconds=0.5):
    """A tone of 440 Hz at the left and silence at the right: float32 [2, samples]."""
    time = np.arange(round(rate * seconds)) / rate
    waveform = np.stack([0.5 * np.sin(2 * np.pi * 440 * time), np.zeros_like(time)]).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="stereo")
        interleaved = (waveform.T.reshape(1, -1) * 32767).round().astype(np.int16)
        frame = av.AudioFrame.from_ndarray(interleaved, "s16", "stereo")
        frame.sample_rate = rate
        for part in (frame, None):
            container.mux(stream.encode(part))
    return waveform


def test_reads_back_what_was_written(tmp_path):
    waveform = write_tone(tmp_path / "tone.wav")
    read, rate = gid.read_audio(tmp_path / "tone.wav")
    assert rate == 8000 and read.dtype == torch.float32
    assert read.shape == waveform.shape
    assert np.abs(read.numpy() - waveform).max() < 1e-3


def test_the_tune_is_read_completely(repo):
    waveform, rate = gid.read_audio(repo / "assets" / "tune.mp3")
    assert rate == 22050 and waveform.shape[0] == 1
    assert waveform.shape[1] / rate == pytest.approx(7.5, abs=0.1)
    assert 0.5 < waveform.abs().max() < 1


def test_a_file_without_sound_is_refused(repo, tmp_path):
    with pytest.raises(FileNotFoundError, match="No audio at"):
        gid.read_audio(tmp_path / "missing.mp3")
    with pytest.raises(ValueError, match="pots.mp4 holds no sound"):
        gid.read_audio(repo / "assets" / "pots.mp4")
    (tmp_path / "text.mp3").write_text("no sound")
    with pytest.raises(ValueError, match="text.mp3 cannot be read as audio"):
        gid.read_audio(tmp_path / "text.mp3")


@pytest.mark.parametrize("seed", range(10))
def test_damaged_files_are_read_or_refused(repo, tmp_path, seed):
    content = (repo / "assets" / "tune.mp3").read_bytes()
    (tmp_path / "damaged.mp3").write_bytes(damaged(content, random.Random(seed)))
    try:
        waveform, rate = gid.read_audio(tmp_path / "damaged.mp3")
    except ValueError as error:
        assert "damaged.mp3" in str(error)
    else:
        assert waveform.ndim == 2 and rate > 0
