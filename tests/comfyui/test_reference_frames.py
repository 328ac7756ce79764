"""Frames of shipped workflows equal the stored reference frames, so that no change of behavior goes unnoticed.

The frames in reference/ are rewritten from the running server by

    GID_UPDATE_SNAPSHOT=1 python -m pytest tests/comfyui/test_reference_frames.py
"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workflow_prompt import to_prompt

REFERENCE = Path(__file__).with_name("reference")
FRAMES = {
    "audio_reactive": (60, 190),
    "brush_to_loop": (40, 110),
    "clip_to_loop": (40, 110),
    "photo_to_loop": (40, 110),
    "poke_a_photo": (20, 80),
    "sway_from_mask": (40, 110),
    "wind_on_a_photo": (60, 200),
}
# CPUs round differently, and optical flow or a network may amplify that at a few pixels.
MAX_DIFFERENCE = 1  # of 255
MIN_EQUAL_SHARE = 0.99
RENDERERS = ("GID_SoftmaxSplatRender", "GID_RenderLoopToVideo")
# Nodes that write files; without them only the requested frames are rendered.
WRITERS = ("CreateVideo", "SaveVideo", "GID_PreviewMotion", *RENDERERS)


def render_frames(server, workflow: dict, indices: tuple[int, ...], provide_inputs) -> np.ndarray:
    """Single frames of a workflow, uint8 [N, H, W, 3], as Save Image writes them."""
    prompt = to_prompt(workflow, server.object_info())
    provide_inputs(prompt)
    for node in prompt.values():
        if node["class_type"] == "GID_LoadModel":
            node["inputs"]["dtype"] = "float32"  # auto depends on the CPU
    (renderer,) = (node for node in prompt.values() if node["class_type"] in RENDERERS)
    settings = {name: value for name, value in renderer["inputs"].items() if name != "crf"}
    prompt = {number: node for number, node in prompt.items() if node["class_type"] not in WRITERS}
    for index in indices:
        inputs = {**settings, "start_frame": index, "num_frames": 1}
        prompt[f"render{index}"] = {"class_type": "GID_SoftmaxSplatRender", "inputs": inputs}
        save = {"images": [f"render{index}", 0], "filename_prefix": f"reference{index:04}"}
        prompt[f"save{index}"] = {"class_type": "SaveImage", "inputs": save}
    files = [file for file in server.outputs(server.run(prompt)) if file.name.startswith("reference")]
    assert len(files) == len(indices)
    return np.stack([np.asarray(Image.open(file)) for file in sorted(files)])


@pytest.mark.parametrize("name", FRAMES)
def test_workflow_renders_the_reference_frames(server, workflows, name, provide_inputs):
    frames = render_frames(server, workflows[name], FRAMES[name], provide_inputs)
    paths = [REFERENCE / f"{name}_{index}.png" for index in FRAMES[name]]
    if os.environ.get("GID_UPDATE_SNAPSHOT") == "1":
        REFERENCE.mkdir(exist_ok=True)
        for path, frame in zip(paths, frames, strict=True):
            Image.fromarray(frame).save(path, optimize=True)
    reference = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert frames.shape == reference.shape
    difference = np.abs(frames.astype(int) - reference)
    assert (difference <= MAX_DIFFERENCE).mean() >= MIN_EQUAL_SHARE, f"largest difference: {difference.max()}"
    assert (np.abs(reference[0].astype(int) - reference[1]) > MAX_DIFFERENCE).mean() > 0.05, "the frames do not move"
