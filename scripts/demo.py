"""Something that moves, made by a real ComfyUI server with the shipped nodes.

    python scripts/demo.py --clip clip.mp4     the clip's motion as an endless loop of its first frame
    python scripts/demo.py                     a photo of a dahlia, with a motion made for it

The video and what it was made from are left in the folder out/.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch

import gid_core as gid
from comfy_server import ROOT, ComfyServer, NodeFailed, PromptRejected, ServerFailed
from workflow_prompt import to_prompt

BASE = ROOT / ".comfyui" / "demo"
OUT = ROOT / "out"


def clip_prompt(server: ComfyServer, clip: Path) -> dict:
    """workflows/clip_to_loop.json for a clip of the user's."""
    workflow = json.loads((ROOT / "workflows" / "clip_to_loop.json").read_text())
    prompt = to_prompt(workflow, server.object_info())
    for node in prompt.values():
        if node["class_type"] == "LoadVideo":
            node["inputs"]["file"] = server.upload_image(clip)
    return prompt


def flower_prompt(server: ComfyServer) -> dict:
    """A photo from scikit-learn and a volume from this file, looped and rendered."""
    photo = flower_photo()
    OUT.mkdir(exist_ok=True)
    picture = server.upload_image(gid.write_image(OUT / "flower.png", photo))
    dahlia_volume(photo).save(server.base / "input" / "dahlia.safetensors")
    return {
        "photo": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "volume": {"class_type": "GID_LoadSpectralVolume", "inputs": {"file": "dahlia.safetensors"}},
        "loop": node("GID_LoopMotion", spectral_volume=["volume", 0], num_frames=0, speed=1.0, fps=30.0),
        "render": node("GID_SoftmaxSplatRender", image=["photo", 0], motion=["loop", 0], start_frame=0, num_frames=0),
        "video": node("CreateVideo", images=["render", 0], fps=["render", 2]),
        "save": node("SaveVideo", video=["video", 0], filename_prefix="video/dahlia", format="auto", codec="auto"),
    }


def flower_photo() -> torch.Tensor:
    """scikit-learn's flower.jpg (CC BY): float32 [426, 640, 3]; one row less than it has, since H.264 wants even."""
    from sklearn.datasets import load_sample_image

    return torch.from_numpy(load_sample_image("flower.jpg")[:426].copy()).float() / 255


def node(class_type: str, **inputs) -> dict:
    """One node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


def dahlia_volume(photo: torch.Tensor, size=(108, 160)) -> gid.SpectralVolume:
    """Motion made by hand for flower.jpg: two heads that sway on their stems, each petal a little by itself.

    It stands in for a prediction. What is orange moves; a head turns about a point below the picture, with gusts
    at low frequencies that fall off as in nature, and is followed by a ripple that runs outwards.
    """
    from gid_core.images import resize_maps

    height, width = size
    small = resize_maps(photo.permute(2, 0, 1)[None], size)[0]
    orange = ((small[0] - small[2] - 0.12) / 0.12).clamp(0, 1)
    # The rim moves with the head; the motion fades out in the soft background, where stretching cannot be seen.
    amount = torch.nn.functional.max_pool2d((orange > 0.5).float()[None], 11, 1, 5)
    for _ in range(2):
        amount = torch.nn.functional.avg_pool2d(amount, 9, 1, 4, count_include_pad=False)
    amount = amount[0]
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    heads = ((y < 0.86).float(), (y >= 0.86).float())
    centres, reach = ((0.48, 0.52), (0.6, 1.05)), (1.0, 0.6)

    random = np.random.default_rng(2)
    coefficients = torch.zeros(1, 16, 4, height, width)
    for bin_number in range(1, 13):
        hertz = bin_number / 5
        gust = 70 / (1 + (hertz / 0.35) ** 2) + 35 * np.exp(-(((hertz - 0.8) / 0.25) ** 2))
        for head, (centre_x, centre_y), strength in zip(heads, centres, reach, strict=True):
            phase = random.uniform(0, 2 * np.pi)
            dx, dy = x - centre_x, y - centre_y
            distance = torch.hypot(dx, dy * height / width)
            lag = phase - 5.0 * distance  # petals follow the head
            sway = strength * gust * (1.3 - dy)
            ripple = strength * gust * 1.2 * distance
            real, imaginary = torch.cos(lag), torch.sin(lag)
            moves_x = head * amount * (sway + ripple)
            moves_y = head * amount * (0.35 * sway * dx * 3 + 0.5 * ripple)
            coefficients[0, bin_number] += torch.stack(
                [moves_x * real, moves_x * imaginary, moves_y * imaginary, -moves_y * real]
            )
    return gid.SpectralVolume(coefficients, metadata={"source": "made by hand for the demo"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video of 16 frames or more from a still camera")
    options = parser.parse_args()
    if options.clip and not options.clip.is_file():
        print(f"No clip at {options.clip}.", file=sys.stderr)
        return 1
    started = time.monotonic()
    try:
        with ComfyServer(BASE) as server:
            print("ComfyUI runs; rendering ...", flush=True)
            prompt = clip_prompt(server, options.clip) if options.clip else flower_prompt(server)
            files = server.outputs(server.run(prompt, timeout=1800))
    except (ServerFailed, NodeFailed, PromptRejected) as error:
        print(error, file=sys.stderr)
        return 1
    OUT.mkdir(exist_ok=True)
    video = next(file for file in files if file.suffix == ".mp4")
    result = OUT / f"{options.clip.stem if options.clip else 'dahlia'}_loop.mp4"
    shutil.copy(video, result)
    print(f"{result}  ({time.monotonic() - started:.0f} s in all; play it on repeat)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
