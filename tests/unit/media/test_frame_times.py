"""Presentation times become an even frame rate."""

import numpy as np
import pytest

from gid_core.media.frame_times import even_frames


@pytest.mark.parametrize("rate", [24000 / 1001, 24, 25, 29.97, 30, 59.94])
def test_times_rounded_to_milliseconds_keep_every_frame_and_the_stated_rate(rate):
    times = np.round(np.arange(200) / rate, 3)
    fps, shown = even_frames(times, 1 / rate, [rate, 90000.0])
    assert fps == rate and shown.tolist() == list(range(200))


def test_a_wrong_stated_rate_is_not_believed():
    fps, shown = even_frames(np.arange(100) / 24, 1 / 24, [30.0, 1000.0])
    assert fps == pytest.approx(24) and len(shown) == 100


def test_a_jittering_camera_keeps_every_frame():
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, 90)
    fps, shown = even_frames((np.arange(90) + jitter) / 30, 1 / 30, [30.0])
    assert fps == 30 and len(shown) == 90


def test_a_dropped_frame_is_shown_as_its_neighbor():
    times = np.delete(np.arange(60) / 30, 20)
    fps, shown = even_frames(times, 1 / 30, [30.0])
    assert fps == 30 and len(shown) == 60
    assert np.abs(times[shown] - np.arange(60) / 30).max() == pytest.approx(1 / 30)
    assert (times[shown] != np.arange(60) / 30).sum() == 1


def test_a_clip_that_slows_down_keeps_its_faster_rate_and_its_length():
    times = np.array([k / 30 for k in range(60)] + [2 + k / 15 for k in range(45)])
    fps, shown = even_frames(times, 1 / 15, [21.0])
    assert fps == 30 and len(shown) == 150
    assert np.abs(times[shown] - np.arange(150) / 30).max() < 1.01 / 30


def test_the_last_frame_lasts_as_long_as_the_file_says():
    _, shown = even_frames(np.array([0, 0.1, 0.2, 0.5]), 1.0, [10.0])
    assert len(shown) == 15 and shown.tolist()[-10:] == [3] * 10
    _, shown = even_frames(np.array([0, 0.1, 0.2, 0.5]), 0.0, [10.0])
    assert len(shown) == 8  # it does not say, so as long as the frame before


def test_time_stamps_close_together_do_not_raise_the_rate_without_bound():
    fps, _ = even_frames(np.cumsum([0, 0.0001, 0.0001, 0.0001, 0.5, 0.0001]), 0.1, [])
    assert fps <= 240


@pytest.mark.parametrize(("rates", "expected"), [([25.0], 25), ([0.0, 12.0], 12), ([], 0)])
def test_a_single_frame_has_the_stated_rate(rates, expected):
    fps, shown = even_frames(np.array([3.0]), 0.1, rates)
    assert fps == expected and shown.tolist() == [0]


@pytest.mark.parametrize("seconds", [1e6, 1e9, 1e15])
def test_times_that_jump_are_refused_and_fill_no_memory(seconds):
    with pytest.raises(ValueError, match="times of the video's 21 frames jump"):
        even_frames(np.append(np.arange(20) / 30, seconds), 0.0, [30.0])
