"""Fixtures for all tests. ComfyUI is started only when a test asks for it."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

# Before torch is imported: the processes of pytest-xdist share the cores, also those that tests start.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    threads = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))

import comfy_server

ROOT = Path(__file__).resolve().parents[1]
SLOW_FOLDERS = ("browser", "comfyui")


def pytest_collection_modifyitems(config, items):
    """Run the quick tests first, and mark those that need a server or a browser by the folder they are in.

    Of several processes each begins with its share of the list and then takes over the ends of others' shares. So they
    begin with slow tests, each with its own servers, and end with quick ones. Tests of one page follow each other.
    """
    tests = {folder: [] for folder in ("", *SLOW_FOLDERS)}
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        tests[folder if folder in SLOW_FOLDERS else ""].append(item)
        if folder in SLOW_FOLDERS:
            item.add_marker(folder)
    tests["browser"].sort(key=page_kind)
    quick = tests[""]
    if hasattr(config, "workerinput"):
        half = max(0, len(items) // 2 - len(tests["browser"]))
        items[:] = tests["browser"] + quick[:half] + tests["comfyui"] + quick[half:]
    else:
        items[:] = quick + tests["comfyui"] + tests["browser"]


def page_kind(item) -> str:
    """The frontend and renderer of the page that a test opens; "" for others, which begin."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "-".join(reversed(parameters.get("page", ())))


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def clips() -> Path:
    """A folder of real video clips beside the checkout; few people have it, so tests must do without."""
    folder = ROOT.parent / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip(f"no folder of real clips at {folder}")
    return folder


@pytest.fixture(scope="session")
def unavailable():
    """Say that a test cannot run here: skips it, but fails it under CI, where everything must run."""

    def say(reason: str):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)

    return say


@pytest.fixture(scope="session")
def comfyui(unavailable):
    """ComfyUI is installed, by this fixture if need be."""
    if not (comfy_server.COMFYUI / "main.py").exists():
        install = [sys.executable, str(ROOT / "scripts" / "comfyui.py"), "install"]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            unavailable(f"ComfyUI cannot be installed here: {done.stderr[-500:]}")


@pytest.fixture(scope="session")
def server_for(tmp_path_factory, comfyui, tiny_model):
    """server_for(frontend) is a running ComfyServer; one for each frontend, shared by all tests.

    Its folder models/gid holds `tiny_model` as tiny.safetensors. It has the node of comfyui/any_value_node.py, too.
    """
    running = {}

    def get(frontend=None):
        if frontend not in running:
            base = tmp_path_factory.mktemp("comfyui")
            (base / "models" / "gid").mkdir(parents=True)
            shutil.copy(tiny_model, base / "models" / "gid" / TINY)
            (base / "custom_nodes").mkdir()
            shutil.copy(ROOT / "tests" / "comfyui" / "any_value_node.py", base / "custom_nodes")
            # Without the cache a second run of the same prompt runs its nodes again.
            server = comfy_server.ComfyServer(base, frontend, ["--cache-none"], cpu=True)
            try:
                running[frontend] = server.start()
            except comfy_server.ServerFailed as failure:
                running[frontend] = failure  # told to every test, without another try
        if isinstance(running[frontend], Exception):
            raise running[frontend]
        return running[frontend]

    yield get
    for server in running.values():
        if isinstance(server, comfy_server.ComfyServer):
            server.stop()


TINY = "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The file of a motion model with some ten thousand random weights, whose motion is about three pixels."""
    import torch

    import gid_core as gid
    from gid_core.models.checkpoint import save_model
    from gid_core.models.config import (
        AutoencoderConfig,
        DenoiserConfig,
        ImageEncoderConfig,
        ModelConfig,
        RendererConfig,
        VolumeConfig,
    )
    from gid_core.models.motion_model import MotionModel
    from tiny_models import expect_motion

    torch.manual_seed(0)
    config = ModelConfig(
        name="tiny",
        volume=VolumeConfig(image_area=96 * 64),
        autoencoder=AutoencoderConfig((8, 16)),
        encoder=ImageEncoderConfig("resnet", 8, 16),
        denoiser=DenoiserConfig((16, 32), attention_levels=(1,), num_attention_heads=2),
        renderer=RendererConfig((8, 12), (4, 8)),
    )
    model = MotionModel(config)
    torch.nn.init.normal_(model.denoiser.conv_out.weight, std=0.05)
    with torch.no_grad():
        model.renderer.conv_out.bias[12:16] = -0.5  # halves the weight of the sampled photo, which only softens frames
    model.normalizer.scale.copy_(torch.tensor([1 / (1 + k) ** 2 for k in range(16)]))
    volume = gid.GIDPipeline(expect_motion(model))(torch.rand(64, 96, 3), num_inference_steps=2)
    amplitude = config.volume.amplitude * 3 / float(gid.loop(volume).magnitude().mean())
    model.config = replace(config, volume=replace(config.volume, amplitude=amplitude))
    return save_model(tmp_path_factory.mktemp("models") / TINY, model)
