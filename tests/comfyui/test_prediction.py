"""Load GID Model, Predict Spectral Volume and Loop Guidance through the server, with a tiny model of random weights."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import gid_core as gid
from comfy_server import COMFYUI, ComfyServer, PromptRejected
from gid_core.models.checkpoint import BUNDLED_CHECKPOINT, read_header
from gid_core.models.loop_guidance import MODES

MODEL = "tiny.safetensors"
STEPS = 2


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (72, 96, 3)) / 255


def predict(graph, photo, model=None, **inputs):
    """A prediction from an image or from a node's output."""
    photo = graph.image(photo) if isinstance(photo, (np.ndarray, torch.Tensor)) else photo
    model = model or graph.add("GID_LoadModel", model_name=MODEL)
    return graph.add("GID_PredictSpectralVolume", **{"model": model, "image": photo, "steps": STEPS, **inputs})


def kept(graph, volume):
    return graph.add("GID_SaveSpectralVolume", spectral_volume=volume, filename_prefix="predicted/volume")


def load(graph, save) -> gid.SpectralVolume:
    """The volume that a Save node wrote."""
    return gid.SpectralVolume.load(graph.server.base / "output" / graph.text(save).removesuffix(" [output]"))


def predicted(graph, *arguments, **inputs) -> gid.SpectralVolume:
    graph.prompt.clear()
    save = kept(graph, predict(graph, *arguments, **inputs))
    return load(graph.run(), save)


# -- Load GID Model ----------------------------------------------------------------------------------------------------


def names(server) -> list[str]:
    return server.object_info("GID_LoadModel")["input"]["required"]["model_name"][1]["options"]


@pytest.fixture
def folder(server):
    """models/gid of the server. Files that a test adds are removed afterwards."""
    folder = server.base / "models" / "gid"
    before = set(folder.rglob("*"))
    yield folder
    for path in set(folder.rglob("*")) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def test_bundled_models_come_first_and_others_follow_by_name(server, folder, tiny_model):
    (folder / "a").mkdir()
    shutil.copy(tiny_model, folder / "a" / "deep.safetensors")
    (folder / "notes.txt").write_text("no model")
    shipped = [name for name in names(server) if name.endswith(" (shipped)")]
    assert names(server) == [*shipped, "a/deep.safetensors", MODEL]
    assert len(shipped) == len(list(BUNDLED_CHECKPOINT.parent.glob("*.safetensors")))
    assert shipped[:1] == [f"{BUNDLED_CHECKPOINT.stem} (shipped)"] * BUNDLED_CHECKPOINT.is_file()


def test_folders_of_extra_model_paths_are_searched(tmp_path, tiny_model):
    (tmp_path / "elsewhere" / "motion").mkdir(parents=True)
    shutil.copy(tiny_model, tmp_path / "elsewhere" / "motion" / "far.safetensors")
    settings = tmp_path / "paths.yaml"
    settings.write_text(f"mine:\n  base_path: {tmp_path / 'elsewhere'}\n  gid: motion\n")
    with ComfyServer(tmp_path / "base", None, ["--extra-model-paths-config", str(settings)], cpu=True) as server:
        assert names(server)[-1] == "far.safetensors"
        loaded = {"class_type": "GID_LoadModel", "inputs": {"model_name": "far.safetensors"}}
        server.run({"1": loaded, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}})


def sd_like(path):
    save_file({"model.diffusion_model.out.weight": torch.zeros(2)}, path)


def lora(path):
    save_file({"lora_unet_down.weight": torch.zeros(2)}, path)


def volume(path):
    gid.SpectralVolume(torch.zeros(1, 2, 4, 2, 2)).save(path)


def cut_short(path):
    path.write_bytes((path.parent / MODEL).read_bytes()[:200])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (sd_like, ["not a motion model", "a Stable Diffusion checkpoint"]),
        (lora, ["not a motion model", "a LoRA"]),
        (volume, ["not a motion model", "gid.spectral_volume"]),
        (cut_short, ["cannot be read as safetensors"]),
    ],
)
def test_a_foreign_file_is_refused_with_its_name_and_the_reason(graph, folder, make, words):
    make(folder / "foreign.safetensors")
    graph.show(graph.add("GID_LoadModel", model_name="foreign.safetensors"))
    with pytest.raises(PromptRejected) as refused:
        graph.run()
    message = json.dumps(refused.value.node_errors)
    for word in ["foreign.safetensors", *words]:
        assert word in message


@pytest.mark.parametrize("name", ["none.safetensors", "../../input/none.safetensors", ""])
def test_a_missing_model(graph, folder, name):
    graph.show(graph.add("GID_LoadModel", model_name=name))
    with pytest.raises(PromptRejected) as refused:
        graph.run()
    assert "No motion model named" in str(refused.value) and str(folder) in str(refused.value)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_gives_nearly_the_same(graph, photo, dtype):
    saves = []
    for each in ("float32", dtype):
        saves.append(kept(graph, predict(graph, photo, graph.add("GID_LoadModel", model_name=MODEL, dtype=each))))
    entry = graph.run()
    full, half = (load(entry, save).coefficients for save in saves)
    difference = half - full
    assert 0 < difference.abs().mean() < 0.1 * full.abs().mean()


# -- Predict Spectral Volume -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [((71, 93), (71, 93)), ((401, 800), (257, 512)), ((20, 300), (20, 300))])
def test_any_size_of_photo(graph, size, expected):
    made = predicted(graph, np.random.default_rng(1).random((*size, 3)))
    assert made.coefficients.shape == (1, 16, 4, *expected)
    assert (made.fps, made.period, made.detrend) == (30, 150, "ramp")
    assert made.coefficients.abs().max() > 0.1


def test_resolution_is_the_longest_side(graph, photo):
    assert predicted(graph, photo, resolution=64).size == (48, 64)


def test_the_seed_sets_the_motion(graph, photo):
    first, again, other = (predicted(graph, photo, seed=seed).coefficients for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.1 * first.abs().mean()
    assert torch.equal(predicted(graph, photo, seed=2**64 - 1, variations=2).coefficients[1:],
                       predicted(graph, photo, seed=0).coefficients)  # fmt: skip


def test_variations_are_ordered_by_photo(graph, photo):
    graph.prompt.clear()
    pair = graph.add("ImageBatch", image1=graph.image(photo), image2=graph.image(photo[::-1].copy()))
    both = predict(graph, pair, seed=3, variations=2)
    save = kept(graph, both)
    photos = graph.save(both[1])
    frames = graph.save(graph.add("GID_SoftmaxSplatRender", image=both[1], motion=both, num_frames=1))
    made = load(graph.run(), save).coefficients
    assert len(made) == 4
    shown = graph.images(photos)
    assert (shown[0] == shown[1]).all() and (shown[2] == shown[3]).all() and (shown[0] != shown[2]).any()
    assert (graph.images(frames) == shown).all()
    # A photo of a batch uses the seed plus its index, so that equal photos get different motions.
    for row, (source, seed) in enumerate([(photo, 3), (photo, 4), (photo[::-1].copy(), 4)]):
        alone = predicted(graph, source, seed=seed).coefficients[0]
        torch.testing.assert_close(made[row], alone, atol=1e-3, rtol=1e-3)


def test_black_in_the_mask_does_not_move(graph, photo):
    alpha = np.ones((36, 48, 1))
    alpha[:, :24] = 0  # Load Image's mask is 1 - alpha: the left half may move
    mask = graph.image(np.concatenate([photo[::2, ::2], alpha], axis=2))[1]
    save = kept(graph, predict(graph, photo, mask=mask))
    made = load(graph.run(), save).coefficients
    assert (made[..., 48:] == 0).all() and made[..., :40].abs().mean() > 0.01


def test_strokes_say_what_may_move_and_where_to(graph, photo):
    strokes = [gid.Stroke("move", ((0.3, 0.1), (0.3, 0.9)), 0.15), gid.Stroke("arrow", ((0.3, 0.5), (0.3, 0.4)))]
    free = predicted(graph, photo, strokes=gid.format_strokes(strokes[:1]))
    steered = predicted(graph, photo, strokes=gid.format_strokes(strokes))
    for volume in (free, steered):
        assert volume.coefficients[..., 60:].abs().max() == 0 < volume.coefficients[..., 20:36].abs().max()
    expected = gid.steer(free, strokes).coefficients
    assert float((steered.coefficients - expected).abs().max()) < 2e-3 * float(expected.abs().max())
    across, along = (steered.coefficients[:, 1:, part].square().sum() for part in (slice(0, 2), slice(2, 4)))
    assert along > 3 * across


def test_nothing_moves_where_alpha_is_zero_and_the_placeholder_mask_is_ignored(graph, photo):
    full = predicted(graph, photo).coefficients
    graph.prompt.clear()
    source = graph.image(photo)
    save = kept(graph, predict(graph, source, mask=source[1]))
    assert torch.equal(load(graph.run(), save).coefficients, full)

    alpha = np.ones((72, 96, 1))
    alpha[:36] = 0
    graph.prompt.clear()
    source = graph.image(np.concatenate([photo, alpha], axis=2))
    joined = graph.add("JoinImageWithAlpha", image=source, alpha=source[1])
    both = predict(graph, joined)
    save, photos = kept(graph, both), graph.save(both[1])
    made = load(graph.run(), save).coefficients
    assert (made[..., :36, :] == 0).all() and made[..., 40:, :].abs().mean() > 0.01
    assert graph.images(photos).shape[-1] == 4


def test_amplitude_scales_the_motion(graph, photo):
    one, two = (predicted(graph, photo, amplitude=value).coefficients for value in (1.0, 2.0))
    torch.testing.assert_close(two, 2 * one, atol=1e-3, rtol=1e-3)
    assert (predicted(graph, photo, amplitude=0.0).coefficients == 0).all()


def test_the_papers_sampler(graph, photo):
    quick, slow = (predicted(graph, photo, sampler=name, steps=4) for name in ("unipc", "ddim (paper)"))
    assert (quick.coefficients - slow.coefficients).abs().mean() > 1e-4


def test_prediction_works_with_the_other_nodes(graph, photo):
    source = graph.image(photo)
    volume = predict(graph, source)
    amplified = graph.add("GID_AmplifyMotion", spectral_volume=volume, gain=0.5)
    motion = graph.add("GID_LoopMotion", spectral_volume=amplified, num_frames=6)
    frames = graph.save(graph.add("GID_SoftmaxSplatRender", image=source, motion=motion))
    preview = graph.add("GID_PreviewMotion", motion=volume, image=source)
    graph.run()
    assert len(graph.images(frames)) == 6 and len(graph.files(preview)) == 1


def test_the_preview_shows_each_variation(server, graph, photo):
    made = predict(graph, photo, variations=3)
    kept(graph, made)
    graph.run()
    (shown,) = graph.entry["outputs"][made.id]["gid_loop"]
    with Image.open(server.base / "temp" / shown["filename"]) as webp:
        assert webp.n_frames == 3 and webp.size == (384, 288)


def test_a_widget_beyond_its_limits(graph, photo):
    kept(graph, predict(graph, photo, steps=1001))
    with pytest.raises(PromptRejected, match="1000"):
        graph.run()


# -- Loop Guidance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("through_network", [False, True], ids=["", "through the network"])
@pytest.mark.parametrize("mode", MODES)
def test_guidance_under_inference_mode(graph, photo, mode, through_network):
    """Nodes run in torch.inference_mode, which disables gradients unless the code enables them."""
    if through_network and mode != "gradient":
        pytest.skip("gradients only")
    guidance = graph.add("GID_LoopGuidance", mode=mode, through_network=through_network, frames=30, strength=0.5)
    plain, guided = (
        kept(graph, predict(graph, photo, steps=5, variations=2, **extra))
        for extra in ({}, {"loop_guidance": guidance})
    )
    graph.run()
    plain, guided = load(graph, plain), load(graph, guided)
    assert len(guided) == 2
    assert guided.coefficients.shape == plain.coefficients.shape
    if mode == "crossfade":
        assert guided.period in (135, 150)
    if mode == "gradient":
        assert (guided.coefficients - plain.coefficients).abs().max() > 0


def test_guidance_of_strength_zero_changes_nothing(graph, photo):
    guidance = graph.add("GID_LoopGuidance", strength=0.0)
    saves = [kept(graph, predict(graph, photo, **extra)) for extra in ({}, {"loop_guidance": guidance})]
    graph.run()
    plain, guided = (load(graph, save).coefficients for save in saves)
    assert torch.equal(plain, guided)


# -- memory ------------------------------------------------------------------------------------------------------------

# The node's loop over seeds, with a pipeline that runs out of memory for more than `fits` seeds.
OUT_OF_MEMORY = """
import contextlib, importlib.util, logging, sys, types
folder, comfyui, fits = sys.argv[1:]
sys.path.insert(0, comfyui)
import comfy.cli_args
comfy.cli_args.args.cpu = True
spec = importlib.util.spec_from_file_location("pack", folder + "/__init__.py")
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
import torch
from pack.gid_core.models.config import GID_SMALL
from pack.gid_core.spectral_volume import SpectralVolume
from pack.nodes import nodes_prediction

class Pipeline:
    model = types.SimpleNamespace(config=GID_SMALL)
    def __call__(self, photo, seed, **options):
        if len(seed) > int(fits):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return SpectralVolume(torch.tensor(seed).view(-1, 1, 1, 1, 1).expand(-1, 2, 4, 2, 2).float())

class Model:
    pipeline = Pipeline()
    patcher = types.SimpleNamespace(load_device=torch.device("cuda"))
    @contextlib.contextmanager
    def loaded(self, memory_required):
        assert memory_required > 0
        yield self.pipeline

options = dict(num_inference_steps=1, resolution=64, amplitude=1.0)
prediction = nodes_prediction._BatchedPrediction(Model(), options, None, 11)
try:
    volumes = prediction.predict(torch.rand(4, 4, 3), list(range(11)), None)
    sys.stdout.write(" ".join(str(int(c[0, 0, 0, 0])) for v in volumes for c in v.coefficients))
except RuntimeError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.parametrize(("fits", "message"), [(2, " ".join(map(str, range(11)))), (0, "lower resolution")])
def test_out_of_memory_retries_with_fewer_seeds_and_then_fails(repo, fits, message):
    command = [sys.executable, "-c", OUT_OF_MEMORY, str(repo), str(COMFYUI), str(fits)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert message in done.stdout and "Traceback" not in done.stdout


# -- the bundled model -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not BUNDLED_CHECKPOINT.is_file(), reason=f"{BUNDLED_CHECKPOINT.name} is not in this checkout")
def test_the_bundled_model_moves_a_photo(graph, repo):
    photo = gid.read_image(repo / "assets" / "flowers.jpg")
    graph.prompt.clear()
    shipped = graph.add("GID_LoadModel", model_name=f"{BUNDLED_CHECKPOINT.stem} (shipped)")
    save = kept(graph, predict(graph, photo, shipped, steps=4, guidance=1.0))
    made = load(graph.run(timeout=600), save)
    assert made.size == (288, 512)
    assert 0.05 < gid.loop(made).magnitude().mean() < 20  # pixels


# -- the rendering network ---------------------------------------------------------------------------------------------


def rendered(graph, photo, volume, model=None, **inputs):
    """Save three frames of Softmax Splat Render."""
    loaded = {"model": graph.add("GID_LoadModel", model_name=model)} if model else {}
    sources = {"image": graph.image(photo), "motion": graph.volume(volume)}
    return graph.save(graph.add("GID_SoftmaxSplatRender", start_frame=9, num_frames=3, **sources, **loaded, **inputs))


def test_the_network_of_a_model_draws_the_frames(graph, photo, volume, tiny_model):
    made = [rendered(graph, photo, volume, *arguments) for arguments in ((), (MODEL,))]
    made.append(rendered(graph, photo, volume, MODEL, mode="fast splat"))
    graph.run()
    plain, network, fast = (graph.images(save) for save in made)
    assert (plain == fast).all()
    assert (network != plain).mean() > 0.1
    renderer = gid.GIDPipeline.from_pretrained(tiny_model).renderer
    settings = {"start": 9, "count": 3, "renderer": renderer}
    expected = gid.render(torch.from_numpy(photo).float(), gid.loop(volume), **settings).numpy()
    assert np.abs(network - 255 * expected).max() < 1  # Save Image truncates


def test_a_model_without_a_rendering_network_uses_the_fast_splat(server, graph, photo, volume, tiny_model, folder):
    tensors, header = load_file(tiny_model), read_header(tiny_model)
    config = json.loads(header["config"]) | {"renderer": {"block_out_channels": [], "feature_channels": []}}
    left = {name: value for name, value in tensors.items() if not name.startswith("renderer.")}
    save_file(left, folder / "old.safetensors", header | {"config": json.dumps(config)})
    saves = rendered(graph, photo, volume, "old.safetensors"), rendered(graph, photo, volume)
    with_model, without = (graph.run().images(save) for save in saves)
    assert (with_model == without).all()
