"""`GIDPipeline` with photos of any kind and all of its settings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gid_core.models.checkpoint import save_model
from gid_core.models.config import DiffusionConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.pipeline import GIDPipeline, model_input_size
from gid_core.models.sampling import SAMPLERS
from gid_core.motion import playback
from tiny_models import BINS, TINY, expect_motion


def random_model(config=TINY, seed=0):
    """A model without zero weights, so that all of its parts have an effect."""
    torch.manual_seed(seed)
    model = MotionModel(config)
    with torch.no_grad():
        for parameter in model.denoiser.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return expect_motion(model.requires_grad_(False).eval())


@pytest.fixture(scope="module")
def pipe():
    return GIDPipeline(random_model())


def photo(height, width, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(1, channels, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear")[0].permute(1, 2, 0)


FAST = dict(num_inference_steps=3, resolution=64)


@pytest.mark.parametrize("size", [(1, 1), (17, 300), (40, 1000), (1000, 40), (64, 64), (90, 160), (2, 700), (301, 173)])
def test_photos_may_have_any_size_and_aspect(pipe, size):
    volume = pipe(photo(*size), **FAST)
    height, width = volume.size
    assert max(height, width) == min(64, max(size))
    assert abs(height - size[0] * max(height, width) / max(size)) <= 1
    assert (len(volume), volume.num_bins, volume.period) == (1, BINS, 150)
    assert volume.detrend == "ramp"
    assert "tiny" in volume.metadata["source"]


def test_model_input_has_the_models_area_and_a_multiple_of_its_stride(pipe):
    for size in ((1, 1), (17, 300), (2160, 3840), (512, 512), (300, 5000)):
        height, width = model_input_size(size, pipe.model)
        assert height % 16 == width % 16 == 0
        assert 0.5 < height * width / (64 * 128) < 1.6
        aspect = min(4, max(0.25, size[1] / size[0]))
        assert 0.6 < width / height / aspect < 1.6


def test_volume_has_the_requested_size_but_at_most_the_photos(pipe):
    assert pipe(photo(90, 160), num_inference_steps=1, resolution=320).size == (90, 160)
    assert pipe(photo(90, 160), num_inference_steps=1, resolution=80).size == (45, 80)
    assert pipe(photo(900, 1600), num_inference_steps=1).size == (288, 512)


def test_photos_may_be_uint8_and_numpy_arrays(pipe):
    uint8 = (photo(32, 48) * 255).byte()
    expected = pipe(uint8.float() / 255, **FAST).coefficients
    for image in (uint8, uint8.numpy(), uint8.numpy().astype(np.float64) / 255):
        torch.testing.assert_close(pipe(image, **FAST).coefficients, expected, rtol=1e-4, atol=1e-4)


def test_seed_determines_the_motion(pipe):
    image = photo(40, 60)
    first = pipe(image, seed=3, **FAST)
    torch.manual_seed(99)
    torch.testing.assert_close(pipe(image, seed=3, **FAST).coefficients, first.coefficients, rtol=0, atol=0)
    assert not torch.allclose(pipe(image, seed=4, **FAST).coefficients, first.coefficients, atol=0.1)


def test_several_seeds_are_ordered_by_photo_and_photo_b_uses_seed_plus_b(pipe):
    images = torch.stack([photo(40, 60), photo(40, 60, seed=1)])
    volumes = pipe(images, seed=[7, 20], **FAST)
    assert len(volumes) == 4
    for place, (b, seed) in enumerate([(0, 7), (0, 20), (1, 8), (1, 21)]):
        alone = pipe(images[b], seed=seed, **FAST).coefficients[0]
        torch.testing.assert_close(volumes.coefficients[place], alone, rtol=1e-3, atol=1e-3)


def test_seeds_of_comfyui_and_numpy_are_accepted(pipe):
    """ComfyUI's largest seed is 2^64 - 1; photo 1 of a batch uses the next one."""
    images = torch.stack([photo(20, 30), photo(20, 30)])
    largest = pipe(images, seed=2**64 - 1, num_inference_steps=1)
    zero = pipe(photo(20, 30), seed=0, num_inference_steps=1)
    torch.testing.assert_close(largest.coefficients[1], zero.coefficients[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        pipe(photo(20, 30), seed=np.int64(0), num_inference_steps=1).coefficients, zero.coefficients, rtol=0, atol=0
    )


def test_nothing_moves_where_the_mask_is_black(pipe):
    image = photo(60, 100)
    mask = torch.zeros(60, 100)
    mask[20:50, 40:90] = 1
    volume = pipe(image, mask=mask, num_inference_steps=3)
    moving = volume.coefficients.abs().amax((0, 1, 2)) > 0
    assert not moving[mask == 0].any()
    assert moving[25:45, 45:85].float().mean() > 0.95


def test_masks_may_be_shared_or_one_per_photo_and_of_any_size(pipe):
    images = torch.stack([photo(40, 60), photo(40, 60)])
    masks = torch.stack([torch.zeros(20, 30), torch.ones(20, 30)])
    volume = pipe(images, mask=masks, seed=[0, 1], **FAST)
    moving = volume.coefficients.abs().amax((1, 2, 3, 4)) > 0
    assert moving.tolist() == [False, False, True, True]
    assert (pipe(images, mask=torch.zeros(7, 9), **FAST).coefficients == 0).all()


def test_white_mask_changes_nothing(pipe):
    image = photo(40, 60)
    expected = pipe(image, **FAST).coefficients
    white = pipe(image, mask=torch.ones(40, 60), **FAST).coefficients
    torch.testing.assert_close(white, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))


def test_transparent_pixels_are_static_and_colorless(pipe):
    image = torch.cat([photo(40, 60), torch.ones(40, 60, 1)], -1)
    image[:, 30:, 3] = 0
    volume = pipe(image, **FAST)
    assert (volume.coefficients[..., 30:] == 0).all()
    assert (volume.coefficients[..., :25] != 0).any()
    torch.testing.assert_close(pipe._encoder_input(torch.zeros(1, 4, 8, 8)), torch.full((1, 3, 96, 96), 0.5))
    opaque = torch.cat([photo(40, 60), torch.ones(40, 60, 1)], -1)
    expected = pipe(photo(40, 60), **FAST).coefficients
    torch.testing.assert_close(
        pipe(opaque, **FAST).coefficients, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max())
    )


def test_amplitude_is_a_factor(pipe):
    image = photo(40, 60)
    expected = pipe(image, **FAST).coefficients
    torch.testing.assert_close(pipe(image, amplitude=2.5, **FAST).coefficients, 2.5 * expected, rtol=1e-4, atol=1e-5)
    assert (pipe(image, amplitude=0, **FAST).coefficients == 0).all()


def test_volumes_begin_at_rest(pipe):
    volume = pipe(photo(45, 77), seed=[0, 1], **FAST)
    first = playback(volume).displacement(0, 1)
    motion = playback(volume).displacement(0, 150)
    assert float(first.abs().max()) < 1e-5 * float(motion.abs().max())
    assert (volume.coefficients[:, 0, 1::2] == 0).all()
    rest = -2 * volume.coefficients[:, 1:, 0::2].sum(1)
    scale = float(volume.coefficients.abs().max())
    torch.testing.assert_close(volume.coefficients[:, 0, 0::2], rest, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_callback_is_called_after_every_step_with_a_preview(pipe, sampler):
    calls = []

    def callback(done, total, preview):
        calls.append((done, total, preview().shape))

    pipe(photo(40, 60), num_inference_steps=5, sampler=sampler, callback=callback, seed=[0, 1])
    height, width = (side // 4 for side in model_input_size((40, 60), pipe.model))
    assert calls == [(i + 1, 5, (2, BINS, 4, height, width)) for i in range(5)]


def test_callback_can_cancel_and_the_pipeline_stays_usable(pipe):
    expected = pipe(photo(40, 60), **FAST).coefficients

    class Canceled(Exception):
        pass

    def callback(done, total, preview):
        if done == 2:
            raise Canceled

    with pytest.raises(Canceled):
        pipe(photo(40, 60), num_inference_steps=5, callback=callback)
    torch.testing.assert_close(pipe(photo(40, 60), **FAST).coefficients, expected, rtol=0, atol=0)
    assert torch.is_grad_enabled()


def test_guidance_changes_the_motion(pipe):
    image = photo(40, 60)
    plain = pipe(image, guidance_scale=1, **FAST).coefficients
    for scale in (0, 2):
        assert not torch.allclose(pipe(image, guidance_scale=scale, **FAST).coefficients, plain, atol=0.1)


def test_half_precision_gives_almost_the_same_motion(pipe):
    half = GIDPipeline(random_model()).to(dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16
    assert half.model.normalizer.scale.dtype == half.model.autoencoder.latent_mean.dtype == torch.float32
    full = pipe(photo(40, 60), num_inference_steps=8).coefficients
    other = half(photo(40, 60), num_inference_steps=8).coefficients
    assert other.dtype == torch.float32
    assert float((other - full).norm() / full.norm()) < 0.05


@pytest.mark.parametrize(("capabilities", "dtype"), [({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)])
def test_networks_run_in_the_dtype_that_the_processor_is_fast_in(pipe, tmp_path, monkeypatch, capabilities, dtype):
    path = save_model(tmp_path / "tiny.safetensors", pipe.model)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert GIDPipeline.from_pretrained(path).model.dtype == dtype
    assert GIDPipeline.from_pretrained(path, dtype=torch.float16).model.dtype == torch.float16
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as before PyTorch 2.10
    assert GIDPipeline.from_pretrained(path).model.dtype == torch.float32


def test_outlines_are_where_the_models_affinities_are_low(pipe):
    """Also in inference mode, as ComfyUI runs nodes, and of photos with alpha."""
    image = photo(48, 80)
    with torch.inference_mode():
        outlines = pipe.outlines(image.clone())
    affinities = pipe.model.affinities(pipe._encoder_input(image.permute(2, 0, 1)[None]))
    assert outlines.shape == (1, 1, *affinities.size) and outlines.dtype == torch.float32
    assert torch.allclose(outlines, affinities.outlines(), atol=1e-5) and float(outlines.std()) > 0
    assert pipe.outlines(photo(48, 80, 4)[None].expand(2, -1, -1, -1)).shape[0] == 2


def test_pipeline_runs_in_inference_mode(pipe, tmp_path):
    path = save_model(tmp_path / "tiny.safetensors", pipe.model, torch.float32)
    expected = pipe(photo(40, 60), mask=torch.ones(40, 60), **FAST).coefficients
    with torch.inference_mode():
        loaded = GIDPipeline.from_pretrained(path, dtype=torch.float32)
        volume = loaded(photo(40, 60), mask=torch.ones(40, 60), **FAST)
        half = GIDPipeline.from_pretrained(path, dtype=torch.bfloat16)
    torch.testing.assert_close(volume.coefficients, expected, rtol=1e-5, atol=1e-5)
    # Tensors that are created in inference mode cannot take part in gradients, which loop guidance needs.
    for each in (loaded, half):
        assert not any(t.is_inference() for t in each.model.state_dict().values())


@pytest.mark.parametrize("name", ["independent", "stacked"])
def test_other_layouts_and_prediction_types(name):
    config = replace(
        TINY,
        denoiser=replace(TINY.denoiser, layout=name),
        volume=replace(TINY.volume, unit_amplitude=False),
        normalization="polar",
        diffusion=DiffusionConfig(prediction_type="epsilon", rescale_betas_zero_snr=False),
    )
    volume = GIDPipeline(random_model(config))(photo(40, 60), **FAST)
    assert torch.isfinite(volume.coefficients).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(num_inference_steps=0), "0"),
        (dict(num_inference_steps=1001), "1001"),
        (dict(num_inference_steps=2.5), "2.5"),
        (dict(guidance_scale=-1), "-1"),
        (dict(guidance_scale=float("nan")), "nan"),
        (dict(amplitude=-2), "-2"),
        (dict(amplitude=float("inf")), "inf"),
        (dict(resolution=3), "3"),
        (dict(sampler="euler"), "euler"),
        (dict(seed=[]), "none"),
        (dict(seed=1.5), "1.5"),
        (dict(mask=torch.ones(3, 4, 5)), "3"),
        (dict(mask=torch.full((4, 5), torch.nan)), "NaN"),
        (dict(image=torch.rand(10, 10, 1)), "channels"),
        (dict(image=torch.rand(10, 10)), "image"),
        (dict(image=torch.full((4, 4, 3), torch.nan)), "NaN"),
        (dict(image=torch.rand(0, 4, 3)), "pixel"),
    ],
)
def test_errors_name_invalid_arguments(pipe, changes, message):
    arguments = dict(image=photo(20, 30)) | changes
    with pytest.raises(ValueError, match=message):
        pipe(arguments.pop("image"), **arguments)


def test_other_dtypes_are_refused(pipe):
    with pytest.raises(ValueError, match="float64"):
        pipe.to(dtype=torch.float64)
