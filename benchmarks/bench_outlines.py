"""Claims: outlines stay whole where objects uncover what is behind them, and nothing is smeared at the frame's edge.

python -m benchmarks outlines

Set `GID_REFERENCE` to a folder with another version of `gid_core` (`git archive COMMIT gid_core | tar x -C FOLDER`) to
measure that version beside this one.
"""

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

import gid_core as gid
from benchmarks.measure import write_results
from gid_core.synthetic.random_scene import random_scene
from gid_core.synthetic.scene import Scene

SEEDS = range(52000, 52012)  # no training sample has them
SIZE = (160, 256)  # (H, W)
MEAN_MOTION = (0.6, 5.0)  # pixels, as in the samples of the rendering network
NUM_FRAMES = 6  # per scene, evenly spaced over its loop
OUTLINE_DISTANCE = 3  # pixels
BORDER = 16  # pixels
COARSENESS = 4  # of the coarse volume, as predictions are


@dataclass(frozen=True)
class OutlineScene:
    """A scene with frames and the places where they are compared.

    Attributes:
        photo: [H, W, 3].
        volume: the exact motion at the photo's size.
        times: of the frames.
        frames: [n, H, W, 3].
        near_outlines: bool [n, H, W], within `OUTLINE_DISTANCE` of the outline of a layer in the photo or in the frame.
        border: bool [H, W], within `BORDER` of the frame's edge.
    """

    photo: Tensor
    volume: gid.SpectralVolume
    times: list[int]
    frames: Tensor
    near_outlines: Tensor
    border: Tensor


def make_scenes(seeds: range = SEEDS) -> Iterator[OutlineScene]:
    """The scenes of the benchmark."""
    for seed in seeds:
        motion = np.exp(np.random.default_rng([seed, 6]).uniform(*np.log(MEAN_MOTION)))
        scene = random_scene(seed, SIZE, mean_motion=float(motion))
        times = [round((i + 0.5) * scene.period / NUM_FRAMES) for i in range(NUM_FRAMES)]
        labels = _label_scene(scene)
        at_rest = _outlines(labels.render(0))
        border = torch.ones(SIZE, dtype=torch.bool)
        border[BORDER:-BORDER, BORDER:-BORDER] = False
        yield OutlineScene(
            torch.from_numpy(scene.render(0)),
            scene.spectral_volume(),
            times,
            torch.from_numpy(np.stack([scene.render(t) for t in times])),
            torch.stack([_near(at_rest | _outlines(labels.render(t))) for t in times]),
            border,
        )


def _label_scene(scene: Scene) -> Scene:
    """The scene with a flat color of its own for each layer, on black."""
    rng = np.random.default_rng(0)
    layers = []
    for layer in scene.layers:
        color = rng.uniform(0.3, 1, 3)
        alpha = layer.texture[..., 3:]
        layers.append(dataclasses.replace(layer, texture=np.float32(np.concatenate([alpha * color, alpha], -1))))
    return dataclasses.replace(scene, layers=layers, background_image=np.zeros_like(scene.background_image))


def _outlines(labels: np.ndarray) -> np.ndarray:
    """Pixels [H, W] of a frame of `_label_scene` whose color differs from that of the next pixel."""
    outlines = np.zeros(labels.shape[:2], bool)
    outlines[:, 1:] |= np.abs(np.diff(labels, axis=1)).max(-1) > 0.03
    outlines[1:] |= np.abs(np.diff(labels, axis=0)).max(-1) > 0.03
    return outlines


def _near(outlines: np.ndarray) -> Tensor:
    """Pixels within `OUTLINE_DISTANCE` of outlines [H, W]."""
    pixels = torch.from_numpy(outlines)[None].float()
    return torch.nn.functional.max_pool2d(pixels, 2 * OUTLINE_DISTANCE + 1, 1, OUTLINE_DISTANCE)[0] > 0


def errors(scene: OutlineScene, rendered: Tensor) -> tuple[float, float, float]:
    """Mean absolute error near outlines and near the border (of moving places), and PSNR of the whole frames in dB."""
    difference = (rendered - scene.frames).abs().mean(-1)
    psnr = -10 * (rendered - scene.frames).square().mean((1, 2, 3)).log10().mean()
    return (
        float(difference[scene.near_outlines].mean()),
        float(difference[:, scene.border].mean()),
        float(psnr),
    )


def load_reference(folder: Path) -> ModuleType:
    """Another version of `gid_core`, imported under another name."""
    spec = importlib.util.spec_from_file_location(
        "reference_gid_core", folder / "gid_core" / "__init__.py", submodule_search_locations=[str(folder / "gid_core")]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Write results/outlines.md."""
    versions: dict[str, ModuleType] = {"": gid}
    if reference := os.environ.get("GID_REFERENCE"):
        versions = {"reference, ": load_reference(Path(reference)), "": gid}
    renderers = {
        f"{version}{name}": (library, renderer)
        for version, library in versions.items()
        for name, renderer in (("fast splat", None), ("network", library.GIDPipeline.from_pretrained().renderer))
    }
    table: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for scene in make_scenes():
        coarse = scene.volume.resize((SIZE[0] // COARSENESS, SIZE[1] // COARSENESS))
        for flow, volume in (("exact", scene.volume), ("quarter size", coarse)):
            for name, (library, renderer) in renderers.items():
                own_volume = library.SpectralVolume(volume.coefficients, volume.fps, volume.period)
                motion = library.loop(own_volume)
                rendered = [
                    library.render(scene.photo, motion, start=t, count=1, renderer=renderer)[0] for t in scene.times
                ]
                table.setdefault((flow, name), []).append(errors(scene, torch.stack(rendered)))
    rows = []
    for (flow, name), results in table.items():
        outline, border, psnr = np.mean(results, 0)
        rows.append([flow, name, f"{outline:.4f}", f"{border:.4f}", f"{psnr:.2f}"])
    write_results(
        "outlines",
        "Outlines",
        ["flow", "renderer", "error near outlines", "error near the border", "PSNR, dB"],
        rows,
        f"""
Means over {NUM_FRAMES} frames each of {len(SEEDS)} random painted scenes of {SIZE[1]} x {SIZE[0]} pixels whose motion
and occlusion are known. Errors are mean absolute differences of colors in 0..1: within {OUTLINE_DISTANCE} pixels of the
outlines of moving layers, in the photo or in the frame, and within {BORDER} pixels of the frame's edge. Flow is exact,
or reduced to a quarter of the size and enlarged again, as predictions are. Rows of a reference are from another version
of the library (`GID_REFERENCE`).
""",
    )


if __name__ == "__main__":
    main()
