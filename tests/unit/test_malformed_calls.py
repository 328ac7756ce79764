"""Every public function is called with wrong types and values: it refuses them with a ValueError, or succeeds.

The arguments come from a seeded generator: one or two of a valid call are replaced by values of WRONG. A failure prints
the call. Missing files may raise FileNotFoundError.
"""

import dataclasses
import inspect
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

import gid_core as gid
from gid_core.validation import check_flag, check_integer, check_number

# How many malformed calls are made of a function; slow ones get fewer.
CALLS = 1000
# What these raise when they are called is the caller's.
FUNCTIONS = {"renderer", "progress", "callback", "flow"}

WRONG: list[Any] = [
    None, True, "", "abc", "1", b"1", -1, 0, 1, 2.5, 1e-300, 1e300, 10**9, 10**400, -(10**400), math.nan, math.inf,
    -math.inf, 1j, Fraction(1, 3), [], [1], (1, 2), [None], ["a"], {}, {"a": 1}, set(), object(), int, len, print,
    np.float32(math.nan), np.int64(-5), np.array(3), np.array([1.0, 2.0]), np.array(["a"]), np.zeros((0, 3)),
    np.array([object()]), np.zeros((2, 2), np.complex64), torch.tensor(2), torch.tensor(math.nan), torch.zeros(0),
    torch.zeros(3), torch.zeros(2, 3), torch.zeros(2, 3, 3, dtype=torch.int64), torch.full((4, 5, 3), math.inf),
    torch.full((8, 10, 3), 255.0), torch.zeros(2, 2, dtype=torch.complex64), torch.zeros(1, 3, 4, 8, 10).to_sparse(),
    torch.zeros(1, 1, 4, 1, 1, dtype=torch.float64), torch.device("cpu"), torch.int8, "cuda:99", "\0", "x" * 5000, ".",
    float, range(3), iter([1]), lambda: None, gid,
]  # fmt: skip


def volume(num_bins: int = 3) -> gid.SpectralVolume:
    generator = torch.Generator().manual_seed(num_bins)
    return gid.SpectralVolume(torch.randn(1, num_bins, 4, 8, 10, generator=generator), 30.0, 12)


@pytest.fixture(scope="module")
def calls(tmp_path_factory, tiny_model, repo) -> dict[str, tuple[Callable, dict[str, Any]]]:
    """A function and arguments that it takes, by the public name that they belong to."""
    folder = tmp_path_factory.mktemp("malformed")
    photo, mask = torch.rand(8, 10, 3), torch.zeros(40, 40)
    mask[5:35, 15:25] = 1
    file, stored = gid.write_image(folder / "a.png", photo), volume().save(folder / "v.safetensors")
    motion, tune = gid.loop(volume()), repo / "assets" / "tune.mp3"
    pipe = gid.GIDPipeline.from_pretrained(tiny_model)
    force = dict(num_frames=6, fps=24.0, damping=gid.Damping(), speed=1.0, strength=1.0, max_displacement=0.2)
    force |= dict(integrator="exact")
    wind = dict(volume=volume(), direction_degrees=0.0, gustiness=0.5, seed=0, loops=False, **force)
    strokes = [gid.Stroke("move", ((0.5, 0.9), (0.5, 0.2)), 0.1), gid.Stroke("arrow", ((0.5, 0.2), (0.6, 0.2)))]
    sway = dict(mask=mask, roots=None, strokes=(), size=None, gravity_degrees=90.0, num_bins=4, fps=30.0)
    sway |= dict(period=30, amplitude=0.01, base_frequency=0.5, seed=0, grid=16)
    sway_on = dict(volume=volume(), seconds=0.5, variation=0.5, speed=1.0, fps=None, seed=0)
    frames = dict(image=photo, motion=motion, start=0, count=2, mask=None, renderer=None, chunk=None, device=None)
    output = dict(output_device="cpu", dtype=torch.float32, return_holes=False, progress=None)
    predict = dict(image=photo, num_inference_steps=1, guidance_scale=1.0, loop_guidance=None, seed=0, mask=None)
    predict |= dict(amplitude=1.0, sampler="dpm", resolution=16, callback=None)
    guidance = dict(mode="projection", strength=1.0, during_sampling=False, frames=20, weight=200.0)
    guidance |= dict(constraint="natural", recurrences=1, through_network=False)
    maps = torch.rand(1, 3, 6, 7), torch.zeros(1, 2, 6, 7), torch.zeros(1, 1, 6, 7)
    one_bin = dict(volume=volume(1), waveform=torch.rand(4000), sample_rate=8000)
    stored_volume = dict(coefficients=volume().coefficients, fps=30.0, period=12, detrend="none", metadata={})
    clip = torch.rand(16, 16, 20, 3)
    video = gid.write_video(folder / "clip.mp4", clip, 24.0)
    measure = dict(frames=clip, fps=24.0, num_bins=3, detrend="none", period=12, window_seconds=5.0, start=0)
    measure |= dict(first_frame=0, flow=None, stabilize=False, max_size=None, progress=None)
    tracks = gid.Tracks(torch.rand(1, 2, 5, 2) * 8, (8, 10), 24.0)
    view, text = dict(size=(8, 10), photo_size=(8, 10)), gid.format_tracks(tracks)
    choice = dict(motion=motion, kind="weighted", count=4, mask=torch.ones(8, 10), picked="", **view)
    follow = dict(motion=motion, points=torch.ones(2, 2), num_points=5, fps=24.0, **view)
    spread = dict(tracks=tracks, photo=photo, num_bins=3, spread=0.1, max_size=10, mask=None, outlines=None)
    page = dict(photo=photo, volume=volume(), title="a", alt="b", autoplay=False, max_size=64)
    return {
        "SpectralVolume": (gid.SpectralVolume, stored_volume),
        "SpectralVolume.replace": (volume().replace, stored_volume),
        "SpectralVolume.to": (volume().to, dict(device="cpu")),
        "SpectralVolume.resize": (volume().resize, dict(size=(4, 5))),
        "SpectralVolume.amplify": (volume().amplify, dict(gain=1.0, band_gains=None)),
        "SpectralVolume.mask": (volume().mask, dict(mask=torch.ones(8, 10), feather=0.0)),
        "SpectralVolume.save": (volume().save, dict(path=folder / "w.safetensors", metadata=None)),
        "SpectralVolume.load": (gid.SpectralVolume.load, dict(path=stored)),
        "modal_sum": (gid.modal_sum, dict(coefficients=volume().coefficients, coordinates=torch.zeros(2, 3, 2))),
        "Motion": (gid.Motion, dict(volume=volume(), coordinates=torch.zeros(2, 3, 2), fps=30.0, loops=False)),
        "Motion.displacement": (motion.displacement, dict(start=0, stop=None)),
        "Motion.magnitude": (motion.magnitude, dict(max_samples=48)),
        "Motion.retime": (motion.retime, dict(speed=1.0, num_frames=None)),
        "loop": (gid.loop, dict(volume=volume(), num_frames=None, speed=1.0, fps=None)),
        "playback": (gid.playback, dict(volume=volume())),
        "limit_displacement": (gid.limit_displacement, dict(volume=volume(), max_fraction=0.1)),
        "Damping": (gid.Damping, dict(alpha=0.4, beta=0.08, ratio=None)),
        "Poke": (gid.Poke, dict(x=0.5, y=0.5, dx=0.1, dy=0.0, time=0.0, hold=0.2, kind="pull", path=())),
        "poke": (gid.poke, dict(volume=volume(), pokes=[gid.Poke(0.5, 0.5, 0.1)], **force)),
        "parse_pokes": (gid.parse_pokes, dict(text="[]")),
        "format_pokes": (gid.format_pokes, dict(pokes=[])),
        "wind": (gid.wind, wind),
        "long_loop": (gid.long_loop, sway_on),
        "from_audio": (gid.from_audio, dict(one_bin, volume=volume(), attack=0.02, release=0.2, **force)),
        "from_audio.one_bin": (gid.from_audio, one_bin | dict(num_frames=None, fps=None)),
        "volume_from_mask": (gid.volume_from_mask, sway),
        "volume_from_mask.strokes": (gid.volume_from_mask, sway | dict(mask=None, strokes=strokes, size=(40, 40))),
        "Stroke": (gid.Stroke, dict(kind="move", points=((0.5, 0.5),), radius=0.1, softness=0.5, stiffness=1.0)),
        "parse_strokes": (gid.parse_strokes, dict(text="[]")),
        "format_strokes": (gid.format_strokes, dict(strokes=strokes)),
        "stroke_mask": (gid.stroke_mask, dict(strokes=strokes, size=(8, 10), mask=torch.ones(8, 10))),
        "steer": (gid.steer, dict(volume=volume(), strokes=strokes)),
        "softmax_splat": (gid.softmax_splat, dict(zip(("features", "flow", "importance"), maps, strict=True))),
        "render": (gid.render, frames | output),
        "render_chunks": (lambda **arguments: list(gid.render_chunks(**arguments)), frames),
        "render_to_video": (gid.render_to_video, frames | dict(path=folder / "r.mp4", crf=18, progress=None)),
        "fit_image": (gid.fit_image, dict(image=photo, longest_side=6)),
        "motion_flow": (gid.motion_flow, dict(motion=motion, kind="frame to frame", size=(4, 5), start=0, count=2)),
        "write_flow": (gid.write_flow, dict(path=folder / "f.flo", flow=torch.zeros(2, 4, 5))),
        "Tracks": (gid.Tracks, dict(positions=tracks.positions, size=(8, 10), fps=24.0)),
        "parse_tracks": (gid.parse_tracks, dict(text=text, size=(8, 10), fps=24.0)),
        "parse_points": (gid.parse_points, dict(text='[{"x": 1, "y": 2}]', size=(8, 10))),
        "format_tracks": (gid.format_tracks, dict(tracks=tracks)),
        "choose_points": (gid.choose_points, choice),
        "choose_points.grid": (gid.choose_points, choice | dict(kind="grid")),
        "choose_points.picked": (gid.choose_points, choice | dict(kind="picked", picked='[{"x": 1, "y": 2}]')),
        "grid_points": (gid.grid_points, dict(count=5, size=(8, 10))),
        "weighted_points": (gid.weighted_points, dict(count=5, weights=torch.ones(4, 4), size=(8, 10))),
        "follow_points": (gid.follow_points, follow),
        "draw_tracks": (gid.draw_tracks, dict(tracks=tracks, image=photo)),
        "motion_from_tracks": (gid.motion_from_tracks, spread),
        "interactive_page": (gid.interactive_page, page),
        "save_interactive_page": (gid.save_interactive_page, page | dict(path=folder / "p.html")),
        "GIDPipeline": (gid.GIDPipeline, dict(model=pipe.model)),
        "GIDPipeline.from_pretrained": (gid.GIDPipeline.from_pretrained, dict(path=tiny_model, device="cpu")),
        "GIDPipeline.to": (pipe.to, dict(device="cpu", dtype=None)),
        "GIDPipeline.call": (pipe, predict),
        "GIDPipeline.outlines": (pipe.outlines, dict(image=photo)),
        "GIDPipeline.projection": (pipe, predict | dict(loop_guidance=gid.LoopGuidance("projection"))),
        "LoopGuidance": (gid.LoopGuidance, guidance),
        "LoopGuidance.apply": (gid.LoopGuidance().apply, dict(volume=volume())),
        "load_model": (gid.load_model, dict(path=tiny_model)),
        "save_model": (gid.save_model, dict(path=folder / "m.safetensors", model=pipe.model, dtype=torch.float16)),
        "read_image": (gid.read_image, dict(path=file)),
        "write_image": (gid.write_image, dict(path=folder / "b.png", image=photo)),
        "read_video": (gid.read_video, dict(source=video, start=0, max_frames=None, size=None)),
        "probe_video": (gid.probe_video, dict(source=video)),
        "iterate_frames": (lambda **a: list(gid.iterate_frames(**a)), dict(source=video, start=0, count=2, size=None)),
        "read_audio": (gid.read_audio, dict(path=tune)),
        "write_video": (gid.write_video, dict(path=folder / "c.mp4", frames=clip[:2], fps=24.0, crf=18)),
        "extract_spectral_volume": (gid.extract_spectral_volume, measure),
    }


NAMES = """SpectralVolume SpectralVolume.replace SpectralVolume.to SpectralVolume.resize SpectralVolume.amplify
SpectralVolume.mask SpectralVolume.save SpectralVolume.load modal_sum Motion Motion.displacement
Motion.magnitude Motion.retime loop playback limit_displacement Damping Poke poke parse_pokes format_pokes
wind long_loop from_audio from_audio.one_bin volume_from_mask volume_from_mask.strokes Stroke parse_strokes
format_strokes stroke_mask steer softmax_splat render render_chunks render_to_video
motion_flow write_flow Tracks parse_tracks parse_points format_tracks choose_points choose_points.grid
choose_points.picked grid_points weighted_points follow_points draw_tracks motion_from_tracks
interactive_page save_interactive_page
GIDPipeline GIDPipeline.from_pretrained GIDPipeline.to GIDPipeline.call GIDPipeline.outlines
GIDPipeline.projection LoopGuidance LoopGuidance.apply load_model save_model read_image write_image read_video
probe_video iterate_frames fit_image read_audio
write_video extract_spectral_volume""".split()
SLOW = {"GIDPipeline.call", "GIDPipeline.projection", "volume_from_mask", "GIDPipeline.from_pretrained", "load_model"}
SLOW |= {"read_video", "iterate_frames", "write_video", "render_to_video", "extract_spectral_volume"}
SLOW |= {"volume_from_mask.strokes"}


def test_every_public_function_is_called(calls):
    assert set(calls) == set(NAMES)
    assert {name.partition(".")[0] for name in NAMES} == set(gid.__all__)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_are_value_errors(calls, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where "abc" would be written
    function, valid = calls[name]
    function(**valid)
    choose = random.Random(name)
    # Every argument with every wrong value would take minutes: a sample, but every argument at least once.
    for number in range(100 if name in SLOW else CALLS):
        names = [list(valid)[number % len(valid)]] if number % 3 else choose.sample(list(valid), min(2, len(valid)))
        wrong = {argument: choose.choice(WRONG) for argument in names}
        if any(callable(value) for argument, value in wrong.items() if argument in FUNCTIONS):
            continue
        try:
            function(**valid | wrong)
        except (ValueError, FileNotFoundError) as error:
            assert str(error).strip(), f"{name}({wrong}) gives no message"
        except Exception as error:
            pytest.fail(f"{name}({wrong}) raises {type(error).__name__}: {error}")


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in a value, its fields, items and weights."""
    if isinstance(value, torch.Tensor):
        yield value
        return
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    elif isinstance(value, gid.GIDPipeline):
        value = [value.model]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ():
        yield from tensors_in(part)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_arguments_stay_as_they_were(calls, name, monkeypatch, tmp_path):
    """ComfyUI caches the results of nodes: what one of them gets is what others get, too."""
    monkeypatch.chdir(tmp_path)
    function, valid = calls[name]
    inputs = list(tensors_in([getattr(function, "__self__", None), valid]))
    before = [tensor.clone() for tensor in inputs]
    function(**valid)
    assert all(map(torch.equal, inputs, before))


@pytest.mark.parametrize("name", NAMES)
def test_the_arguments_are_those_of_the_function(calls, name):
    function, valid = calls[name]
    if name not in ("render_chunks", "iterate_frames"):
        inspect.signature(function).bind(**valid)


def test_messages_say_what_came_and_what_is_allowed():
    pokes = [gid.Poke(0.5, 0.5, 0.1)]
    for call, message in (
        (
            lambda: gid.poke(volume(), pokes, num_frames=10**9),
            "num_frames must be a whole number from 1 to 100000",
        ),
        (lambda: gid.loop(volume(), (0.1 + 0.2) * 30), "num_frames must be a whole number .* got 9.000000000000002"),
        (lambda: gid.loop(volume(), speed=1e-6), "give .* frames; at most 100000 are allowed"),
        (lambda: gid.limit_displacement(volume(), math.nan), "max_fraction must be a number > 0 .*; got nan"),
        (
            lambda: gid.SpectralVolume(volume().coefficients, 30, 10**12),
            "period must be a whole number from 4",
        ),
        (lambda: gid.poke(pokes, volume()), "volume must be a spectral volume; got"),
        (
            lambda: gid.wind(volume(), integrator="Exact"),
            "integrator must be one of exact, .* got 'Exact'",
        ),
        (lambda: gid.from_audio(volume(), torch.rand(10), 8000, fps=math.inf), "fps must be a number > 0 .* got inf"),
        (
            lambda: gid.render(torch.full((8, 10, 3), 200.0), gid.loop(volume())),
            "image must be in 0..1; got",
        ),
        (lambda: gid.render(torch.zeros(8, 10, 3), volume()), "motion must be a Motion.*; got SpectralVolume"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_numbers_of_numpy_and_torch_are_numbers():
    assert check_integer("n", np.int32(3)) == check_integer("n", torch.tensor(3)) == check_integer("n", 3.0) == 3
    assert (
        check_number("x", np.float32(0.5)) == check_number("x", torch.tensor(0.5)) == check_number("x", Fraction(1, 2))
    )
    assert check_flag("f", np.True_) is check_flag("f", torch.tensor(True)) is check_flag("f", 1) is True


def test_audio_on_a_volume_without_frequencies_does_not_move():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        motion = gid.from_audio(volume(1), torch.rand(8000), 8000)
    assert "no frequency above 0" in str(caught[0].message) and not motion.coordinates.any()
