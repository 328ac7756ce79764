"""The baselines: each a valid motion that renders, and does what it says."""

import inspect
import math
from dataclasses import replace

import pytest
import torch

from gid_core.evaluation.baselines import (
    METHODS,
    SWAY_MEAN_PIXELS,
    EulerianField,
    ModelMotion,
    NearestNeighbor,
    TrueMotion,
    build_method,
    euler_integration,
    global_translation,
    motion_from_displacements,
    repeat_photo,
)
from gid_core.evaluation.coherence import phase_coherence
from gid_core.evaluation.motion_metrics import mean_magnitude, reference_error, seam_ratio
from gid_core.models.config import (
    GID_SMALL,
    AffinityConfig,
    AutoencoderConfig,
    DenoiserConfig,
    DisplacementConfig,
    ImageEncoderConfig,
)
from gid_core.models.motion_model import MotionModel
from gid_core.models.pipeline import GIDPipeline
from gid_core.motion import Motion, loop, playback
from gid_core.rendering.render import render
from gid_core.spectral_volume import SpectralVolume


def photo(height=48, width=64, value=None):
    if value is not None:
        return torch.tensor(value).expand(height, width, 3).clone()
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(0))


def volume(size=(24, 32), pixels=1.0, **settings):
    """Everything swings along x, twice a period."""
    coefficients = torch.zeros(1, 16, 4, *size)
    coefficients[:, 2, 1] = -75 * pixels  # pixels · sin
    return SpectralVolume(coefficients, **settings)


def mean_color(photos):
    return photos.mean((1, 2))


LIBRARY = [(photo(20, 30, color), volume(pixels=1.0 + i)) for i, color in enumerate(torch.eye(3).tolist())]


def tiny_pipeline():
    """A model of a few thousand random weights."""
    torch.manual_seed(0)
    config = replace(
        GID_SMALL,
        volume=replace(GID_SMALL.volume, image_area=64 * 48),
        autoencoder=AutoencoderConfig((8, 16)),
        encoder=ImageEncoderConfig("resnet", 4, 16),
        affinity=AffinityConfig(),
        displacement=DisplacementConfig(),
        denoiser=DenoiserConfig((16, 32)),
    )
    return GIDPipeline(MotionModel(config))


# ---- what all methods promise ----


@pytest.mark.parametrize("name", METHODS)
def test_every_method_returns_a_motion_that_renders(name):
    library = NearestNeighbor(LIBRARY, mean_color)
    model = ModelMotion(tiny_pipeline(), {"num_inference_steps": 2}) if name == "model" else None
    method = build_method(name, reference=volume(), library=library, model=model)
    picture = photo()
    motion = method(picture, seed=3)
    assert isinstance(motion, Motion)
    assert (len(motion), motion.fps, motion.volume.period, len(motion.volume)) == (150, 30.0, 150, 1)
    frames = render(picture, motion, count=3)
    assert frames.shape == (3, 48, 64, 3)
    assert frames.isfinite().all()
    torch.testing.assert_close(frames[0], picture, atol=1e-4, rtol=0)
    again = method(picture, seed=3)
    assert torch.equal(again.volume.coefficients, motion.volume.coefficients)
    assert METHODS[name].__doc__


@pytest.mark.parametrize("method", [repeat_photo, global_translation, EulerianField, NearestNeighbor, TrueMotion])
def test_all_methods_have_the_same_signature(method):
    call = method.__call__ if inspect.isclass(method) else method
    parameters = [p for p in inspect.signature(call).parameters.values() if p.name != "self"]
    assert [p.name for p in parameters] == ["photo", "seed"]
    assert parameters[1].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters[1].default == 0


def test_errors_name_missing_inputs_and_unknown_methods():
    with pytest.raises(ValueError, match="no method 'magic'; the methods are repeat, sway"):
        build_method("magic")
    for name, what in (("true", "reference"), ("eulerian", "reference"), ("nearest", "library")):
        with pytest.raises(ValueError, match=f"'{name}' needs a {what}"):
            build_method(name)
    with pytest.raises(ValueError, match="one photo"):
        repeat_photo(torch.zeros(2, 4, 4, 3))


def test_grid_size_is_limited_for_all_photo_sizes():
    assert repeat_photo(torch.zeros(1000, 2000, 3)).volume.size == (128, 256)
    assert repeat_photo(torch.zeros(2000, 1000, 4)).volume.size == (256, 128)
    assert repeat_photo(torch.zeros(1, 700, 3)).volume.size == (1, 256)
    assert repeat_photo(torch.zeros(5, 7, 3)).volume.size == (5, 7)


# ---- one by one ----


def test_repeat_photo_does_not_move():
    picture = photo()
    frames = render(picture, repeat_photo(picture), count=40)
    assert torch.equal(frames, picture.expand_as(frames))


def test_global_translation_is_uniform_with_the_strength_of_the_training_clips():
    motion = global_translation(photo(), seed=1)
    path = motion.displacement()[0]
    assert torch.equal(path, path[:, :, :1, :1].expand_as(path))
    assert float(torch.hypot(*path.unbind(1)).mean()) * 256 / 64 == pytest.approx(SWAY_MEAN_PIXELS, rel=1e-4)
    assert phase_coherence(motion.volume) == pytest.approx(1)
    assert motion.loops
    assert reference_error(playback(motion.volume)) == pytest.approx(0, abs=1e-5)  # its constant bin is consistent
    amplitude = torch.hypot(*motion.volume.coefficients[0, 1:, :2, 0, 0].unbind(1))
    torch.testing.assert_close(amplitude[0] / amplitude, torch.arange(1.0, 16))


def test_global_translation_depends_on_the_seed_and_scales_with_the_photo():
    here, there = (global_translation(photo(), seed=s).volume.coefficients for s in (1, 2))
    assert not torch.allclose(here, there)
    large = global_translation(photo(96, 128), seed=1)
    torch.testing.assert_close(large.volume.coefficients[..., 0, 0], here[..., 0, 0] * 2)


def test_a_constant_field_moves_along_a_straight_line():
    field = EulerianField(torch.tensor([0.5, -0.25]).view(2, 1, 1).expand(2, 12, 16))
    path = field(photo(12, 16)).displacement()[0]
    line = torch.arange(150.0)[:, None, None, None] * field.velocity
    torch.testing.assert_close(path, line, atol=1e-3, rtol=1e-4)


def test_a_rotating_field_moves_in_circles_to_first_order():
    """Euler's method leaves a circle of radius r by a factor sqrt(1 + w^2) a step, exactly, in a linear field."""
    w, frames, size = 0.01, 60, 65
    y, x = torch.meshgrid(torch.arange(size) - 32.0, torch.arange(size) - 32.0, indexing="ij")
    path = euler_integration(torch.stack([-w * y, w * x]), frames)
    inner = torch.hypot(x, y) < 20
    end_x, end_y = path[-1, 0] + x, path[-1, 1] + y
    growth = (torch.hypot(end_x, end_y) / torch.hypot(x, y))[inner & (x != 0)]
    expected = (1 + w * w) ** ((frames - 1) / 2)
    torch.testing.assert_close(growth, torch.full_like(growth, expected), atol=1e-4, rtol=0)
    assert expected < 1.003
    turned = torch.atan2(end_y, end_x) - torch.atan2(y, x)
    turned = torch.remainder(turned, 2 * math.pi)[inner & (x != 0)]
    torch.testing.assert_close(turned, torch.full_like(turned, (frames - 1) * math.atan(w)), atol=1e-4, rtol=0)


def test_the_field_is_extended_beyond_the_edge_by_its_edge_values():
    velocity = torch.zeros(2, 3, 8)
    velocity[0, :, -1] = 2
    path = euler_integration(velocity, 10)
    assert torch.equal(path[-1, 0, :, -1], torch.full((3,), 18.0))
    assert path[-1, :, :, :-1].abs().sum() == 0


def test_fields_scale_with_the_photo():
    field = EulerianField(torch.tensor([0.5, 0.25]).view(2, 1, 1).expand(2, 8, 16))
    step = field(photo(32, 32)).displacement(0, 2)[0, 1, :, 0, 0]
    torch.testing.assert_close(step, torch.tensor([1.0, 1.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("frames", [2, 7, 10, 150])
def test_motion_from_displacements_is_exact(frames):
    path = torch.randn(frames, 2, 5, 6, generator=torch.Generator().manual_seed(0)) * 10
    motion = motion_from_displacements(path, fps=24.0)
    assert (len(motion), motion.fps, motion.loops) == (frames, 24.0, False)
    torch.testing.assert_close(motion.displacement()[0], path, atol=1e-4, rtol=1e-5)


def test_the_speed_field_has_the_mean_speed_of_the_clip_along_its_axis():
    t = torch.arange(150.0)
    there_and_back = torch.stack([2 * torch.sin(t / 10) + 0.01 * t, torch.sin(t / 10)], 1)[:, :, None, None]
    motion = motion_from_displacements(there_and_back.expand(-1, -1, 4, 6).contiguous())
    velocity = EulerianField.from_motion(motion).velocity
    steps = there_and_back.diff(dim=0)
    speed = torch.hypot(*steps.unbind(1)).mean()
    torch.testing.assert_close(torch.hypot(*velocity), speed.expand(4, 6), atol=1e-4, rtol=1e-4)
    assert (velocity[0] > 0).all()  # where it drifts
    torch.testing.assert_close(velocity[1] / velocity[0], torch.full((4, 6), 0.5), atol=0.02, rtol=0)
    drift = EulerianField.from_motion(motion, match="drift").velocity
    torch.testing.assert_close(drift, (steps.mean(0)).expand(2, 4, 6), atol=1e-4, rtol=1e-4)


def test_a_steady_flow_is_recovered_at_its_frame_rate():
    steady = (torch.arange(100.0)[:, None, None, None] * torch.tensor([-0.3, 0.4]).view(2, 1, 1)).expand(-1, -1, 4, 6)
    for match in ("speed", "drift"):
        field = EulerianField.from_motion(motion_from_displacements(steady.contiguous(), fps=60.0), match)
        expected = torch.tensor([-0.6, 0.8]).view(2, 1, 1).expand(2, 4, 6)
        torch.testing.assert_close(field.velocity, expected, atol=1e-3, rtol=1e-3)


def test_a_static_field_has_a_seam_where_an_oscillation_loops():
    reference = volume()
    assert seam_ratio(loop(reference)) < 1.1
    assert seam_ratio(EulerianField.from_motion(playback(reference))(photo())) > 20


def test_the_motion_is_that_of_the_nearest_photo():
    neighbor = NearestNeighbor(LIBRARY, mean_color)
    for i, color in enumerate(([0.9, 0.2, 0.1], [0.3, 0.5, 0.3], [0.0, 0.1, 0.2])):
        picture = photo(48, 64, color)
        assert neighbor.nearest(picture) == i
        motion = neighbor(picture)
        assert motion.volume.size == (48, 64)
        expected = mean_magnitude(playback(LIBRARY[i][1]), (48, 64))
        torch.testing.assert_close(mean_magnitude(motion), expected, atol=1e-3, rtol=1e-4)


def test_library_features_are_computed_once():
    calls = []

    def feature(photos):
        calls.append(len(photos))
        return mean_color(photos)

    neighbor = build_method("nearest", library=NearestNeighbor(LIBRARY, feature))
    neighbor(photo())
    neighbor(photo())
    assert len(calls) == len(LIBRARY) + 2
    with pytest.raises(ValueError, match="at least one"):
        NearestNeighbor([], feature)


def test_true_motion_loops_if_detrended_or_if_requested():
    assert TrueMotion(volume(detrend="ramp"))(photo()).loops
    assert not TrueMotion(volume())(photo()).loops
    assert TrueMotion(volume(), loops=True)(photo()).loops
    reference = volume()
    torch.testing.assert_close(TrueMotion(reference)(photo()).displacement(), playback(reference).displacement())
