"""What nodes ask of ComfyUI's memory management, and the state in which they leave the models that it manages."""

import os
import subprocess
import sys

from comfy_server import COMFYUI

LOAD_PACK = """
import importlib.util, sys
folder, comfyui, model_file, *cases = sys.argv[1:]
sys.path.insert(0, comfyui)
import comfy.cli_args
comfy.cli_args.args.cpu = True
spec = importlib.util.spec_from_file_location("pack", folder + "/__init__.py")
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
import torch
from comfy import model_management
from pack.gid_core.models.pipeline import GIDPipeline
from pack.gid_core.motion import loop
from pack.gid_core.rendering import render as rendering, render_plan
from pack.gid_core.spectral_volume import SpectralVolume
from pack.nodes import nodes_prediction, nodes_rendering
from pack.nodes.nodes_model import ManagedPipeline

cpu = torch.device("cpu")
volume = SpectralVolume(torch.ones(1, 4, 4, 6, 8))
"""

# Prints what renders asked ComfyUI for, and what the library computed as their need, in bytes. The GPU is only named.
ASKED = (
    LOAD_PACK
    + """
class Planned(Exception):
    pass

model = ManagedPipeline(GIDPipeline.from_pretrained(model_file), cpu)
for case in cases:
    mode, side, frames_at_once, pixels, kept, free = case.split()
    side, chunk, kept, asked, needs = int(side), int(frames_at_once), int(kept), [], []
    render_plan.check_device = lambda device: device
    render_plan.free_memory = lambda device: float(free)
    image, motion = torch.zeros(1, side, side, 3), loop(volume.amplify(float(pixels)))
    model_management.get_torch_device = lambda: torch.device("cuda")
    model_management.intermediate_device = lambda: torch.device("cuda" if kept else "cpu")
    model_management.free_memory = lambda need, device, *_, **__: asked.append(need)
    model_management.load_models_gpu = lambda models, memory_required, **_: asked.append(memory_required)

    def check_fits(what, need, *_):
        needs.append(need)
        raise Planned

    def render_on(device, renderer):
        options = dict(start=0, count=None, mask=None, renderer=renderer, chunk=chunk or None, device=device)
        try:
            rendering.checked_chunks(image, motion, **options, kept_bytes=kept, kept_on=device)
        except Planned:
            pass

    rendering.check_fits = check_fits

    inputs = image, motion, model, mode.replace("_", " "), chunk
    nodes_rendering._on_a_device(render_on, *inputs, [], kept_bytes=kept)
    print(len(asked), asked[0], needs[0])
"""
)

# A managed model in bfloat16 runs in a node until a layer raises; it must be as before. The node goes on with a copy in
# float32 if the device lacks an operation.
DTYPES = (
    LOAD_PACK
    + """
pipeline = GIDPipeline.from_pretrained(model_file).to(dtype=torch.bfloat16)
model, image = ManagedPipeline(pipeline, cpu), torch.rand(1, 24, 32, 3)

def fail(layer, _):
    if layer.weight.dtype == torch.bfloat16:
        raised.append(ERRORS[problem])
        raise raised[-1]

def state():
    weights = {name: (w.dtype, w.device, w.data_ptr()) for name, w in pipeline.model.state_dict().items()}
    return weights, [len(module._forward_pre_hooks) for module in pipeline.model.modules()]

def render():
    def render_on(device, renderer):
        return rendering.render(image, loop(volume), count=2, renderer=renderer)
    return nodes_rendering._on_a_device(render_on, image, loop(volume), model, "network", 0, [])

def predict():
    options = dict(num_inference_steps=1, guidance_scale=1.0, resolution=64)
    return nodes_prediction._BatchedPrediction(model, options, lambda *_: None, 1).predict(image[0], [0], None)

ERRORS = {"lacks": NotImplementedError("no such operation"), "error": RuntimeError("broken"),
          "cancel": model_management.InterruptProcessingException()}
for layer in (pipeline.model.renderer.conv_out, pipeline.model.denoiser.conv_out):
    layer.register_forward_pre_hook(fail)
for node in (render, predict):
    for problem in ERRORS:
        before, raised = state(), []
        try:
            with torch.inference_mode():
                made = node()
        except BaseException as error:
            assert problem != "lacks" and error is raised[-1], repr(error)
        else:
            assert problem == "lacks" and len(made)
        assert raised and state() == before, (node.__name__, problem)
        print(node.__name__, problem)

problem, warnings = "lacks", []
for adapters in (module for name, module in sys.modules.items() if name.endswith(".nodes.adapters")):
    adapters.warn_once.cache_clear()
    adapters.logger.warning = lambda message, *_: warnings.append(message)
for node in (render, predict, render, predict):
    with torch.inference_mode():
        node()
print(*warnings, sep="\\n")
"""
)

# ComfyUI's option --fp16-intermediates: images come and go in float16, where the version has it.
HALF = (
    LOAD_PACK
    + """
import tempfile, types
import folder_paths
folder_paths.set_temp_directory(tempfile.mkdtemp())
sys.modules["server"] = types.SimpleNamespace(PromptServer=None)  # none runs here
model_management.intermediate_dtype = lambda: torch.float16
class Node(nodes_rendering.SoftmaxSplatRender):
    hidden = types.SimpleNamespace(unique_id="1", dynprompt=None)

image = torch.rand(1, 24, 32, 3).half()
with torch.inference_mode():
    frames = Node.execute(image=image, motion=loop(volume), start_frame=0, num_frames=3).args[0]
print(frames.dtype, frames.device, tuple(frames.shape), torch.equal(frames[0], image[0]))
"""
)


# Prints what a prediction asks for, and the peak of its tensors on the CPU.
PREDICTED = (
    LOAD_PACK
    + """
from peak_memory import PeakMemory
model = ManagedPipeline(GIDPipeline.from_pretrained(), cpu)
for case in cases:
    height, width, resolution = map(int, case.split())
    photo = torch.rand(height, width, 3)
    options = dict(num_inference_steps=1, guidance_scale=1.0, resolution=resolution)
    with torch.inference_mode(), PeakMemory() as used:
        model.pipeline(photo, **options)
    print(nodes_prediction._memory_required(model, photo, 1, resolution), used.peak)
"""
)


def run(code: str, repo, model, *cases: str) -> list[str]:
    command = [sys.executable, "-c", code, str(repo), str(COMFYUI), str(model), *cases]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(repo / "tests")})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_a_render_asks_once_for_what_the_library_computes(repo, tiny_model):
    cases = (  # mode, side of the image, frames_at_once, factor of the motion, bytes that stay on the device, free ones
        "fast_splat 64 0 1 0 8e9",
        "network 64 3 1 0 8e9",
        "fast_splat 1600 0 1 0 8e9",
        "fast_splat 1600 0 1 0 0.5e9",  # in tiles
        "fast_splat 1600 0 4000 0 0.5e9",  # windows grow with the motion
        "network 1600 1 1 5000000000 8e9",
    )
    lines = run(ASKED, repo, tiny_model, *cases)
    assert len(lines) == len(cases)
    for line, case in zip(lines, cases, strict=True):
        requests, asked, need = map(float, line.split())
        assert requests == 1, case
        assert need / 1.3 < asked < need * 1.3, case


def test_a_prediction_takes_what_it_asks_for(repo, tiny_model):
    for line in run(PREDICTED, repo, tiny_model, "72 128 512", "288 512 512"):
        asked, peak = map(float, line.split())
        assert asked / 1.3 < peak < asked * 1.3, line


def test_a_managed_model_is_left_as_it_was(repo, tiny_model):
    """After a fallback to another dtype, an error, and a cancel. The log tells once of a fallback."""
    assert run(DTYPES, repo, tiny_model) == [
        *(f"{node} {problem}" for node in ("render", "predict") for problem in ("lacks", "error", "cancel")),
        "Rendering on the CPU: cpu cannot (no such operation).",
        "Predicting on the CPU: cpu cannot (no such operation).",
    ]


def test_half_precision_images_stay_so(repo, tiny_model):
    assert run(HALF, repo, tiny_model)[-1] == "torch.float16 cpu (3, 24, 32, 3) True"
