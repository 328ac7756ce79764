"""Audio: beats push in their rhythm and by their pitch; steady, quiet or silent audio does not."""

import math
import warnings

import numpy as np
import pytest
import torch

import gid_core as gid
from gid_core.dynamics.audio import band_loudness, follow_envelope, from_audio
from gid_core.dynamics.oscillators import INTEGRATORS

RATE = 16_000


def volume_of(size=(12, 20), bins=16, seed=0, scale=60.0, **settings) -> gid.SpectralVolume:
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.interpolate(torch.randn(bins, 4, 4, 5, generator=generator), size, mode="bicubic")
    smooth *= (scale / torch.arange(1, bins + 1)).view(-1, 1, 1, 1)
    return gid.SpectralVolume(smooth[None], **settings)


def swaying(size=(12, 20)) -> gid.SpectralVolume:
    """Everything moves sideways together, more at the top; each mode has its own phase."""
    phasor = torch.polar(torch.ones(8), torch.linspace(0, 5, 8))
    slices = torch.stack([phasor.real, phasor.imag, 0.2 * phasor.real, 0.2 * phasor.imag], 1)
    falloff = torch.linspace(1, 0, size[0]).view(-1, 1).expand(size)
    return gid.SpectralVolume(30 * slices[None, ..., None, None] * falloff)


def seconds(length):
    return torch.arange(round(length * RATE)) / RATE


def beats(length=8.0, rate=2.0, tone=200.0, seed=0) -> torch.Tensor:
    """Equal strokes of a tone, `rate` per second, the first after half a beat, with a little room noise."""
    t = seconds(length)
    since = (t - 0.5 / rate).remainder(1 / rate)
    noise = torch.randn(len(t), generator=torch.Generator().manual_seed(seed))
    stroke = torch.exp(-since / 0.04) * (t >= 0.5 / rate)
    return 0.5 * stroke * torch.sin(2 * math.pi * tone * since) + 1e-4 * noise


def gated_tone(tone, length=8.0, rate=2.0):
    t = seconds(length)
    return 0.4 * torch.sin(2 * math.pi * tone * t) * (t.remainder(1 / rate) < 0.3 / rate)


def rms_of(motion) -> torch.Tensor:
    """Rms displacement of each frame, in pixels: [frames]."""
    return motion.displacement().square().mean((0, 2, 3, 4)).sqrt()


# ---- rhythm ----


@pytest.mark.parametrize("rate", [1.0, 1.5, 2.0, 2.5])
def test_a_beat_moves_the_image_in_its_rhythm(rate):
    motion = from_audio(swaying(), beats(10, rate), RATE)
    x = motion.displacement()[0, 60:, 0, 0].mean(-1).double().numpy()  # the top, after two seconds
    spectrum = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x))))
    assert np.fft.rfftfreq(len(x), 1 / 30)[spectrum.argmax()] == pytest.approx(rate, abs=30 / len(x))


def test_strokes_push_along_the_direction():
    volume = swaying()
    for direction, sign in ((0.0, 1), (180.0, -1)):
        x = from_audio(volume, beats(8, 1.0), RATE, direction_degrees=direction).displacement()[0, :, 0, 0].mean(-1)
        strokes = torch.stack([x[start : start + 12].mean() for start in range(15, 225, 30)])
        between = torch.stack([x[start - 8 : start].mean() for start in range(45, 225, 30)])
        assert (sign * strokes > 0).all() and sign * strokes.mean() > sign * between.mean()


def test_the_motion_coincides_with_the_stroke():
    """It begins at most a sixth of a second after the stroke, and not before it."""
    audio = 1e-4 * torch.randn(6 * RATE, generator=torch.Generator().manual_seed(1))
    audio[3 * RATE : 3 * RATE + 1600] += 0.5 * torch.sin(torch.arange(1600) * 0.2)
    x = from_audio(swaying(), audio, RATE).displacement()[0, :, 0, 0].mean(-1)
    step = x.diff()
    assert step.argmax() in range(88, 96)
    assert step[:86].abs().max() < 0.1 * step.max()


@pytest.mark.parametrize("silence", [0.0, 0.25, 3.0])
@pytest.mark.parametrize("rate", [1.0, 1.5, 2.0])
def test_equal_strokes_move_it_by_similar_amounts(rate, silence):
    """Up to 120 beats per minute, and including the first stroke, which starts from rest."""
    t = seconds(silence + 8)
    since = (t - silence).remainder(1 / rate)
    clicks = torch.exp(-since / 0.01) * torch.sin(2 * math.pi * 1000 * since) * (t >= silence)
    for volume in (swaying(), volume_of()):
        largest = from_audio(volume, clicks, RATE).displacement().norm(dim=2).amax((0, 2, 3))
        per_beat = largest[round(30 * silence) :].unfold(0, round(30 / rate), round(30 / rate)).amax(1)
        assert per_beat[round(rate) :].max() < 1.5 * per_beat[round(rate) :].min()
        assert per_beat[0] < 1.6 * per_beat[1:].median()


def test_audio_that_starts_in_the_middle_of_a_beat_does_not_start_with_a_jump():
    largest = from_audio(swaying(), beats(12)[3 * RATE + 5000 :], RATE).displacement().norm(dim=2).amax((0, 2, 3))
    per_beat = largest.unfold(0, 15, 15).amax(1)
    assert per_beat.max() < 1.6 * per_beat.median()


def test_it_begins_with_the_photo_at_rest():
    for audio in (beats(), torch.sin(seconds(2) * 2000)):
        motion = from_audio(volume_of(), audio, RATE)
        assert not motion.loops and (motion.displacement(0, 1) == 0).all()


def test_a_steady_tone_barely_moves_it_after_its_start():
    tone, beating = 0.3 * torch.sin(2 * math.pi * 440 * seconds(12)), beats(12)
    sizes = [rms_of(from_audio(swaying(), audio, RATE)) for audio in (tone, beating)]
    steady, moving = (float(size[240:].max() / size.max()) for size in sizes)
    assert steady < 0.01 and moving > 0.2


# ---- pitch ----


def test_low_notes_move_slow_modes_and_high_notes_fast_ones():
    volume = volume_of()

    def share_of_slow(tone):
        power = from_audio(volume, gated_tone(tone), RATE).coordinates.double().square().sum((0, 2))
        return float(power[1:6].sum() / power[1:].sum())

    low, middle, high = (share_of_slow(tone) for tone in (80, 700, 6000))
    assert low > 1.3 * high
    assert low > middle > high


def test_a_note_is_loudest_in_its_band():
    edges = np.geomspace(60, 8000, 16)
    for band in (0, 3, 8, 14):
        tone = torch.sin(2 * math.pi * math.sqrt(edges[band] * edges[band + 1]) * seconds(2))
        loudness = band_loudness(tone, RATE, 60, 30.0, 15)
        assert loudness.shape == (60, 15)
        assert loudness[20:40].mean(0).argmax() == band
        assert loudness[20:40].mean(0)[band] == pytest.approx(1, abs=0.1)
        # Distant bands are almost silent and are not amplified.
        distant = [b for b in range(15) if abs(b - band) > 5]
        assert loudness[20:40].mean(0)[distant].max() < 0.2


# ---- loudness ----


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_the_overall_loudness_does_not_matter(factor):
    plain, other = (from_audio(volume_of(), audio, RATE).coordinates for audio in (beats(), factor * beats()))
    torch.testing.assert_close(plain, other, atol=1e-4 * float(plain.abs().max()), rtol=0)


def test_louder_strokes_push_further():
    audio = beats(8, 1.0)
    audio[4 * RATE :] *= 0.3
    size = rms_of(from_audio(swaying(), audio, RATE))
    assert size[:120].max() > 1.5 * size[150:].max()


def test_strength_1_moves_about_as_far_as_the_loop():
    for volume in (swaying(), volume_of()):
        loop = gid.loop(volume).displacement()
        loop_peak = (loop - loop.mean(1, keepdim=True)).norm(dim=2).max()
        peak = from_audio(volume, beats(), RATE, max_displacement=100.0).displacement().norm(dim=2).max()
        assert 0.3 < peak / loop_peak < 2.5


def test_strength_is_a_factor_until_the_limit():
    volume = swaying()
    single, double = (
        from_audio(volume, beats(), RATE, strength=s, max_displacement=1e4).coordinates for s in (1.0, 2.0)
    )
    torch.testing.assert_close(double, 2 * single)
    strong = from_audio(volume, beats(), RATE, strength=1e4, max_displacement=0.1).displacement().norm(dim=2).max()
    assert 0.3 * 0.1 * 20 < strong < 1.7 * 0.1 * 20
    assert (from_audio(volume, beats(), RATE, strength=0.0).displacement() == 0).all()


@pytest.mark.parametrize("audio", [torch.zeros(2 * RATE), torch.full((2 * RATE,), 1e-6)])
def test_silence_moves_nothing_and_warns(audio):
    with pytest.warns(UserWarning, match="silent"):
        motion = from_audio(volume_of(), audio, RATE)
    assert len(motion) == 60 and (motion.displacement() == 0).all()


def test_a_single_click_is_not_silence():
    click = torch.zeros(4 * RATE)
    click[2 * RATE] = 1
    motion = from_audio(swaying(), click, RATE)
    size = rms_of(motion)
    assert size[60:75].max() == size.max() > 0 and torch.isfinite(motion.coordinates).all()


# ---- timing ----


def test_it_is_as_long_as_the_audio():
    for length, fps, frames in ((2.0, None, 60), (1.5, 24.0, 36), (0.01, None, 1), (1.001, 10.0, 11)):
        motion = from_audio(volume_of(), beats(length), RATE, fps=fps)
        assert (len(motion), motion.fps) == (frames, fps or 30.0)


def test_the_motion_decays_after_the_audio_ends():
    volume = swaying()
    size = rms_of(from_audio(volume, beats(4), RATE, num_frames=600))
    assert len(size) == 600 and size[100:120].max() > 0.1 * size.max()
    tail = size[150:].unfold(0, 60, 60).amax(1)
    assert (tail.diff() <= 1e-6).all() and tail[-1] < 1e-3 * size.max()
    longer = rms_of(from_audio(volume, beats(4), RATE, num_frames=600, damping=gid.Damping(ratio=0.03)))
    assert longer[240:300].max() / longer.max() > size[240:300].max() / size.max()


def test_attack_and_release_are_time_constants():
    step = np.concatenate([np.zeros(50), np.ones(200), np.zeros(200)])[:, None]
    followed = follow_envelope(step, 100.0, attack=0.3, release=0.5)[:, 0]
    assert followed[50 + 29] == pytest.approx(1 - math.exp(-1), abs=0.01)
    assert followed[250 + 49] == pytest.approx(followed[249] * math.exp(-1), rel=0.03)
    assert (followed[:50] == 0).all()
    np.testing.assert_array_equal(follow_envelope(step, 100.0, 0.0, 0.0), step)


def test_a_long_release_smooths_fast_beats():
    audio = beats(10, 6.0)

    def mean_step(release):
        x = from_audio(swaying(), audio, RATE, release=release).displacement()[0, 90:, 0, 0].mean(-1)
        return float(x.diff().abs().mean())

    assert mean_step(0.02) > 1.5 * mean_step(2.0)


# ---- shape of the waveform ----


def test_channels_are_mixed():
    audio = beats(3)
    plain = from_audio(volume_of(), audio, RATE).coordinates
    for same in (audio[None], torch.stack([audio, audio]), torch.stack([0 * audio, 2 * audio])[None], audio.double()):
        torch.testing.assert_close(from_audio(volume_of(), same, RATE).coordinates, plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000])
def test_the_sample_rate_does_not_matter(rate):
    """The same strokes at 200 Hz; higher rates add only frequencies above those that lower rates contain."""

    def strokes(rate):
        t = torch.arange(6 * rate) / rate
        return torch.sin(2 * math.pi * 200 * t) * torch.exp(-t.remainder(0.5) / 0.05)

    plain, other = (rms_of(from_audio(swaying(), strokes(r), r)) for r in (RATE, rate))
    assert (plain - other).norm() < 0.25 * plain.norm()


def test_a_mirrored_photo_pushed_in_the_mirrored_direction_moves_mirrored():
    volume = volume_of()
    mirror = volume.replace(coefficients=volume.coefficients.flip(-1) * torch.tensor([-1.0, -1, 1, 1]).view(4, 1, 1))
    plain = from_audio(volume, beats(3), RATE, direction_degrees=30.0).displacement()
    other = from_audio(mirror, beats(3), RATE, direction_degrees=150.0).displacement()
    flipped = plain.flip(-1) * torch.tensor([-1.0, 1]).view(2, 1, 1)
    torch.testing.assert_close(other, flipped, atol=1e-4, rtol=1e-4)


def test_several_photos_share_the_audio():
    both = gid.SpectralVolume(torch.cat([volume_of(seed=0).coefficients, volume_of(seed=1).coefficients]))
    assert from_audio(both, beats(2), RATE).displacement().shape == (2, 60, 2, 12, 20)


def test_speed_changes_the_modes_and_not_the_audio():
    motion = from_audio(swaying(), beats(10, 2.0), RATE, speed=3.0)
    x = motion.displacement()[0, 60:, 0, 0].mean(-1).double().numpy()
    spectrum = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x))))
    assert np.fft.rfftfreq(len(x), 1 / 30)[spectrum.argmax()] == pytest.approx(2, abs=30 / len(x))
    assert (motion.coordinates != from_audio(swaying(), beats(10, 2.0), RATE).coordinates).any()


def test_a_static_volume_does_not_move():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        motion = from_audio(gid.SpectralVolume(torch.zeros(1, 4, 4, 5, 6)), beats(2), RATE)
    assert (motion.coordinates == 0).all()


# ---- rejected input ----


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(0), "empty"),
        (torch.zeros(2, 0), "empty"),
        (torch.zeros(0, 100), "empty"),
        (torch.full((100,), math.nan), "NaN"),
        (torch.tensor([0.0, math.inf]), "NaN or infinite"),
        (torch.zeros(2, 1, 100), r"\(2, 1, 100\)"),
        (torch.zeros(1, 1, 1, 100), r"\(1, 1, 1, 100\)"),
        (torch.tensor(1.0), r"got \(\)"),
        (np.zeros(100), r"waveform must be a tensor \[samples\]"),
        ([0.0, 1.0], r"waveform must be a tensor \[samples\]"),
        (None, r"waveform must be a tensor \[samples\]"),
    ],
)
def test_invalid_waveforms_are_rejected(waveform, message):
    with pytest.raises(ValueError, match=message):
        from_audio(volume_of(), waveform, RATE)


@pytest.mark.parametrize(
    ("setting", "bad"),
    [("sample_rate", 0), ("sample_rate", -1), ("sample_rate", math.nan), ("attack", -1), ("release", math.inf)]
    + [("direction_degrees", math.nan), ("num_frames", 0), ("fps", 0), ("speed", 0), ("strength", -1)]
    + [("max_displacement", 0), ("integrator", "rk4")],
)
def test_invalid_settings_are_rejected(setting, bad):
    with pytest.raises(ValueError, match=f"{setting}.*{bad}"):
        from_audio(**({"volume": volume_of(), "waveform": beats(1), "sample_rate": RATE} | {setting: bad}))


@pytest.mark.parametrize("integrator", INTEGRATORS[1:])
def test_unstable_integrators_are_rejected(integrator):
    with pytest.raises(ValueError, match="blows up"):
        from_audio(volume_of(bins=60), beats(1), RATE, integrator=integrator)


@pytest.mark.parametrize("rate", [10, 100, 1000, 44_100.5])
def test_unusual_sample_rates_and_short_audio_work(rate):
    generator = torch.Generator().manual_seed(0)
    for count in (1, 2, 50):
        motion = from_audio(volume_of(), torch.randn(count, generator=generator), rate, num_frames=40)
        assert torch.isfinite(motion.coordinates).all()
