"""Claim: a process that is killed while it saves leaves no half file under a final name and loses no earlier one.

    python -m benchmarks kills

A process writes versions 1, 2, 3, ... of one file over each other. It is killed (SIGKILL) at a random moment, every
second time as soon as a temporary file is seen, and the file must then hold, completely, the version that was finished
last or the one that was being written. The next process continues. Training is killed in the same way and must resume
at the step of its last finished checkpoint or a later one.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.utils.data import Dataset

import gid_core as gid
from benchmarks.measure import ROOT, write_results
from gid_core.media.atomic import finished_files
from gid_core.media.image_io import read_image, write_image
from gid_core.media.video_io import read_video, write_video
from gid_core.models.checkpoint import read_header, save_model
from gid_core.models.config import (
    GID_SMALL,
    AffinityConfig,
    AutoencoderConfig,
    DenoiserConfig,
    DisplacementConfig,
    ImageEncoderConfig,
    RendererConfig,
)
from gid_core.models.motion_model import MotionModel
from gid_core.rendering.render import render_chunks
from gid_core.training.stages import make_stage
from gid_core.training.trainer import TrainingConfig, train

KILLS = 50  # of each kind
# What writers need. The server imports it once, so that they begin at once.
PRELOADED = ["benchmarks.bench_kills", "accelerate", "diffusers.training_utils", "torch.utils.tensorboard"]
PRELOADED += ["diffusers.models.attention", "diffusers.models.unets.unet_2d_condition"]
VERSIONS = 50  # of a picture or video that differ; later ones repeat
VIDEO_FRAMES = 48
MAX_WAIT = 10.0  # seconds for a temporary file to be seen
BINS = 4
SMALL = replace(
    GID_SMALL,
    name="small",
    volume=replace(GID_SMALL.volume, num_bins=BINS, image_area=64 * 128),
    autoencoder=AutoencoderConfig((8, 16, 16)),
    encoder=ImageEncoderConfig("resnet", 4, 16),
    denoiser=DenoiserConfig((16, 32, 32), num_attention_heads=2),
    affinity=AffinityConfig(8),
    displacement=DisplacementConfig(8),
    renderer=RendererConfig((8, 12, 16), (4, 8, 8)),
)

# Writes version n; the version that a file holds completely, or a ValueError.
Write = Callable[[Path, int], object]
Read = Callable[[Path], int]


@dataclass
class Result:
    """What the kills of one kind of file did.

    Attributes:
        kills: how many there were.
        in_writing: kills that hit while a file was being written, which a temporary file shows.
        damaged: kills after which a final name held a file that is not complete.
        lost: kills after which the last finished version was gone.
    """

    kills: int = 0
    in_writing: int = 0
    damaged: int = 0
    lost: int = 0


def write_volume(path: Path, version: int) -> None:
    gid.SpectralVolume(torch.full((1, 16, 4, 144, 256), float(version))).save(path)


def read_volume(path: Path) -> int:
    coefficients = gid.SpectralVolume.load(path).coefficients
    if coefficients.min() != coefficients.max():
        raise ValueError("The volume mixes versions.")
    return int(coefficients.max())


def picture(version: int, size: tuple[int, int]) -> torch.Tensor:
    """A picture that a codec cannot make small, [H, W, 3]. Its mean brightness tells its version."""
    noise = torch.rand(*size, 3, generator=torch.Generator().manual_seed(version))
    return 0.2 + 0.01 * (version % VERSIONS) + 0.1 * (noise - noise.mean())


def version_of(images: torch.Tensor) -> int:
    """The version, 0 ... VERSIONS - 1, that all these pictures are of."""
    versions = {round((float(image.mean()) - 0.2) / 0.01) for image in images}
    if len(versions) != 1:
        raise ValueError(f"The frames are of the versions {versions}.")
    return versions.pop()


def write_picture(path: Path, version: int) -> None:
    write_image(path, picture(version, (540, 960)))


def read_picture(path: Path) -> int:
    image = read_image(path)
    version = version_of(image[None])
    strips = image.unflatten(0, (10, -1)).mean((1, 2, 3))
    if float((strips - image.mean()).abs().max()) > 0.005:
        raise ValueError("A part of the picture is missing.")
    return version


def write_render(path: Path, version: int) -> None:
    still = gid.loop(gid.SpectralVolume(torch.zeros(1, 4, 4, 9, 16)), num_frames=VIDEO_FRAMES)
    write_video(path, (frames for frames, _ in render_chunks(picture(version, (72, 128)), still, chunk=4)), 30)


def read_render(path: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames, _ = read_video(path)
    if len(frames) != VIDEO_FRAMES:
        raise ValueError(f"The video has {len(frames)} of {VIDEO_FRAMES} frames.")
    return version_of(frames)


@cache
def small_model() -> MotionModel:
    torch.manual_seed(0)
    return MotionModel(SMALL)


def write_checkpoint(path: Path, version: int) -> None:
    save_model(path, small_model(), steps=str(version))


def read_checkpoint(path: Path) -> int:
    load_file(path)
    return int(read_header(path)["steps"])


class RandomMotion(Dataset):
    """Photos and motion of the size that `SMALL` takes."""

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        motion = 20 * torch.randn(BINS, 4, 16, 32, generator=generator)
        return torch.rand(3, 64, 128, generator=generator), motion


def train_steps(folder: Path, report: Callable[[int], object]) -> None:
    """Train without end, with a checkpoint after every step."""
    config = TrainingConfig(max_train_steps=10**6, train_batch_size=1, checkpointing_minutes=0)
    train(
        make_stage("vae", small_model()),
        RandomMotion(),
        config,
        folder,
        on_checkpoint=lambda _, step: report(step),
    )


FILES: dict[str, tuple[str, Write, Read]] = {
    "spectral volume": (".safetensors", write_volume, read_volume),
    "picture": (".png", write_picture, read_picture),
    "rendered video": (".mp4", write_render, read_render),
    "checkpoint": (".safetensors", write_checkpoint, read_checkpoint),
}
TRAINING = "training"


def keep_writing(kind: str, folder: Path, version: int, connection: Connection) -> None:
    """The process that is killed. It reports each version that it has finished."""
    torch.set_num_threads(1)
    if kind == TRAINING:
        train_steps(folder, connection.send)
    suffix, write, _ = FILES[kind]
    while True:
        write(folder / f"file{suffix}", version)
        connection.send(version)
        version += 1


def kill_writers(kind: str, folder: Path, kills: int, seed: int = 0) -> Result:
    """Kill processes that save one kind of file, each at a random moment.

    Args:
        kind: a key of `FILES`, or `TRAINING`.
        folder: an empty folder.
    """
    rng, result, finished, duration = random.Random(seed), Result(), 0, 0.0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    while result.kills < kills:
        connection, other = context.Pipe(duplex=False)
        writer = context.Process(target=keep_writing, args=(kind, folder, finished + 1, other), daemon=True)
        writer.start()
        other.close()
        first = connection.recv()  # what follows is a repetition, so that its duration is known
        if kind == TRAINING and first <= finished:
            result.lost += 1
        started = time.perf_counter()
        reported = [first, connection.recv()]
        duration = max(duration, time.perf_counter() - started)
        if result.kills % 2:
            wait_for_temporary_file(folder)
        else:
            time.sleep(rng.uniform(0, 2 * duration))
        writer.kill()
        writer.join()
        finished = [*reported, *received(connection)][-1]
        result.kills += 1
        check(kind, folder, finished, result)
    return result


def received(connection: Connection) -> Iterator[int]:
    """What a killed process had still reported."""
    try:
        while connection.poll():
            yield connection.recv()
    except (EOFError, OSError):
        return


def temporary_files(folder: Path) -> list[Path]:
    """What is being written in a folder: of `atomic_write`, and the new state of a training."""
    return [path for path in folder.iterdir() if path.name.startswith(".") or path.name in ("state.new", "state.old")]


def wait_for_temporary_file(folder: Path) -> None:
    end = time.perf_counter() + MAX_WAIT
    while not temporary_files(folder) and time.perf_counter() < end:
        pass


def check(kind: str, folder: Path, finished: int, result: Result) -> None:
    """Count what a kill left behind, and remove temporary files."""
    leftovers = temporary_files(folder)
    result.in_writing += bool(leftovers)
    for path in leftovers:
        if path.is_file():
            path.unlink()
    suffix, _, read = FILES["checkpoint" if kind == TRAINING else kind]
    files = finished_files(folder, (suffix,))
    try:
        version = read(files[0]) if len(files) == 1 else None
        if (folder / "state").is_dir():
            load_file(folder / "state" / "model.safetensors")
            torch.load(folder / "state" / "optimizer.bin", weights_only=True)
    except (ValueError, OSError, UserWarning, SafetensorError, RuntimeError):
        result.damaged += 1
        return
    period = VERSIONS if kind in ("picture", "rendered video") else 10**9
    # A checkpoint of training is reported after its model is written, and before what follows.
    result.lost += version not in (finished % period, (finished + 1) % period)


def main() -> None:
    """Write results/kills.md."""
    os.environ["PYTHONPATH"] = str(ROOT)  # of the server that starts the writers
    rows = []
    for kind in (*FILES, TRAINING):
        with tempfile.TemporaryDirectory() as folder:
            result = kill_writers(kind, Path(folder), KILLS)
        rows.append([kind, result.kills, result.in_writing, result.damaged, result.lost])
    write_results(
        "kills",
        "Kills while saving",
        ["what is saved", "kills", "of these while a file was written", "half files", "earlier ones lost"],
        rows,
        "Each process saves one version after the other and is killed (SIGKILL) at a random moment. Training saves a "
        "checkpoint after every step; of it the resumed step counts too.",
    )


if __name__ == "__main__":
    main()
