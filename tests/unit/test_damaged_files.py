"""Files that are cut short or have wrong bytes: every reader refuses them in words, or reads what is left of them."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gid_core as gid
from damaged_bytes import damaged
from gid_core.evaluation.clip_folder import Clip, find_clips
from gid_core.evaluation.result_store import ResultStore
from gid_core.training.model_setup import stage_config
from gid_core.training.motion_samples import load_motion_sample, write_motion_sample
from gid_core.training.packed_corpus import motion_samples_from_npz
from gid_core.training.rendering_samples import RenderingSample

DAMAGES = 40  # files of each reader


@pytest.fixture(scope="module")
def readers(tmp_path_factory, tiny_model) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """By name, a file and a function that reads it."""
    folder = tmp_path_factory.mktemp("damaged")
    rng = torch.Generator().manual_seed(0)
    photo = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 5, generator=rng), (24, 32))[0].permute(1, 2, 0)
    clip = torch.stack([photo.roll(shift, 1) for shift in range(16)])
    volume = gid.SpectralVolume(torch.randn(1, 3, 4, 8, 10, generator=rng), 30.0, 12)
    pictures = {kind: gid.write_image(folder / f"photo.{kind}", photo) for kind in ("png", "jpg", "webp")}
    videos = {kind: gid.write_video(folder / f"clip.{kind}", clip, 24) for kind in ("mp4", "mkv", "webm")}

    flow = torch.zeros(3, 2, 8, 10, dtype=torch.float16)
    frames = (clip[:3, :8, :10] * 255).byte()
    (folder / "rendering").mkdir()
    rendering = RenderingSample("a", "g", frames, flow, torch.zeros(8, 10).half()).save(folder / "rendering")
    motion_sample = write_motion_sample(folder / "samples", "a", photo, volume)
    packed = folder / "packed" / "plant_1.npz"
    packed.parent.mkdir()
    gid.write_image(packed.with_suffix(".jpg"), photo)
    np.savez(packed, q=np.ones((8, 10, 2, 8, 2), np.int8), scale=np.ones((2, 8)), meta=json.dumps({"family": "plant"}))
    (folder / "clips").mkdir()
    index = folder / "clips" / "index.csv"
    gid.write_video(folder / "clips" / "a.mp4", clip, 24)
    index.write_text("id,file,use,group\na,a.mp4,test,g\n")
    store, measured = ResultStore(folder / "results"), Clip(videos["mp4"])
    store.save_results("method", measured, {"features": torch.rand(3, 4)}, {"psnr": 20.0})
    features, metrics = (store.path("method", measured, suffix) for suffix in (".safetensors", ".json"))
    config = folder / "config.json"
    config.write_text(json.dumps({"denoiser": {"block_out_channels": [32, 64]}}))

    def measure(path: Path) -> None:
        gid.extract_spectral_volume(*gid.read_video(path, max_frames=20), num_bins=3)

    def unpack(path: Path) -> None:
        for file in (folder / "unpacked").glob("*"):
            file.unlink()
        list(motion_samples_from_npz(path.parent, folder / "unpacked"))

    return {
        "volume": (volume.save(folder / "v.safetensors"), gid.SpectralVolume.load),
        "checkpoint": (tiny_model, gid.load_model),
        **{kind: (path, gid.read_image) for kind, path in pictures.items()},
        **{kind: (path, measure) for kind, path in videos.items()},
        "probe": (videos["mp4"], gid.probe_video),
        "rendering sample": (rendering, RenderingSample.load),
        "motion sample": (motion_sample, load_motion_sample),
        "packed corpus": (packed, unpack),
        "clip index": (index, lambda path: find_clips(path.parent, "test")),
        "features": (features, lambda path: store.load_features("method", measured)),
        "metrics": (metrics, lambda path: store.load_metrics("method", measured)),
        "training config": (config, lambda path: stage_config("autoencoder", None, str(path))),
    }


NAMES = """volume checkpoint png jpg webp mp4 mkv webm probe motion_sample rendering_sample packed_corpus clip_index
features metrics training_config""".split()


def test_every_reader_is_tried(readers):
    assert {name.replace(" ", "_") for name in readers} == set(NAMES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_refused_in_words_or_read(readers, name):
    path, read = readers[name.replace("_", " ")]
    content, choose, refusals = path.read_bytes(), random.Random(name), 0
    read(path)
    try:
        for number in range(DAMAGES):
            data = damaged(content, choose)
            path.write_bytes(data)
            try:
                read(path)
            except (ValueError, FileNotFoundError) as error:
                assert str(error).strip(), f"damage {number} gives no message"
                refusals += 1
            except Exception as error:
                pytest.fail(f"damage {number} ({len(data)} of {len(content)} bytes): {type(error).__name__}: {error}")
    finally:
        path.write_bytes(content)
    assert refusals > 0
