"""Make a video with a real ComfyUI server and this pack's nodes, workflows and model.

    python scripts/demo.py                     flowers in the wind, from a single photo
    python scripts/demo.py --photo photo.jpg   your photo
    python scripts/demo.py --clip clip.mp4     an endless loop of the clip's first frame with the clip's motion

The video is saved in the folder out/.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import gid_core as gid
from comfy_server import ROOT, ComfyServer, NodeFailed, PromptRejected, ServerFailed
from workflow_prompt import to_prompt

SERVER_FOLDER = ROOT / ".comfyui" / "demo"
OUTPUT_FOLDER = ROOT / "out"
PHOTO = ROOT / "assets" / "flowers.jpg"
# Each demo: the workflow, its loader node, and the loader's input that names the file.
PHOTO_DEMO = ("photo_to_loop", "LoadImage", "image")
CLIP_DEMO = ("clip_to_loop", "LoadVideo", "file")


def demo_prompt(server: ComfyServer, demo: tuple[str, str, str], file: Path) -> dict:
    """Upload a file and return the prompt of a workflow that loads it."""
    workflow, loader, widget = demo
    prompt = to_prompt(json.loads((ROOT / "workflows" / f"{workflow}.json").read_text()), server.object_info())
    for node in prompt.values():
        if node["class_type"] == loader:
            node["inputs"][widget] = server.upload_image(file)
    return prompt


def resize_for_video(photo: Path, folder: Path, max_size: int = 1280) -> Path:
    """Save a copy of a photo in a size for H.264: even sides of at most `max_size` pixels."""
    from gid_core.tensors import resize_maps

    pixels = gid.read_image(photo).permute(2, 0, 1)[None]
    factor = min(1.0, max_size / max(pixels.shape[-2:]))
    height, width = (max(2, round(side * factor) // 2 * 2) for side in pixels.shape[-2:])
    return gid.write_image(folder / f"{photo.stem}.png", resize_maps(pixels, (height, width))[0].permute(1, 2, 0))


def main() -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--photo", type=Path, default=PHOTO, help="a photo of something that can sway")
    source.add_argument("--clip", type=Path, help="a video of 16 frames or more from a static camera")
    options = parser.parse_args()
    demo, file = (CLIP_DEMO, options.clip) if options.clip else (PHOTO_DEMO, options.photo)
    if not file.is_file():
        print(f"No {'clip' if options.clip else 'photo'} at {file}.", file=sys.stderr)
        return 1
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, ComfyServer(SERVER_FOLDER) as server:
            print("ComfyUI is running; rendering ...", flush=True)
            upload = file if options.clip else resize_for_video(file, Path(folder))
            files = server.outputs(server.run(demo_prompt(server, demo, upload), timeout=1800))
    except PromptRejected as error:
        print(_rejection_message(error), file=sys.stderr)
        return 1
    except (ServerFailed, NodeFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    OUTPUT_FOLDER.mkdir(exist_ok=True)
    video = next(file for file in files if file.suffix == ".mp4")
    result = OUTPUT_FOLDER / f"{file.stem}_loop.mp4"
    shutil.copy(video, result)
    print(f"{result}  ({time.monotonic() - started:.0f} s in total; play it in a loop)")
    return 0


def _rejection_message(error: PromptRejected) -> str:
    """The error messages of the nodes, or the server's whole response if there are none."""
    messages = [f"{node['class_type']}: {item['details'] or item['message']}"
                for node in error.node_errors.values() for item in node["errors"]]  # fmt: skip
    return "\n".join(messages) or str(error)


if __name__ == "__main__":
    raise SystemExit(main())
