"""Something that moves, made by a real ComfyUI server with the shipped nodes, workflows and model.

    python scripts/demo.py                     flowers in the wind, from a single photo
    python scripts/demo.py --photo photo.jpg   your photo
    python scripts/demo.py --clip clip.mp4     a clip's own motion as an endless loop of its first frame

The video is left in the folder out/.
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

BASE = ROOT / ".comfyui" / "demo"
OUT = ROOT / "out"
PHOTO = ROOT / "assets" / "flowers.jpg"
# Of a demo: the workflow, its loader, and the loader's input that names the file.
PHOTO_DEMO = ("photo_to_loop", "LoadImage", "image")
CLIP_DEMO = ("clip_to_loop", "LoadVideo", "file")


def demo_prompt(server: ComfyServer, demo: tuple[str, str, str], file: Path) -> dict:
    """A shipped workflow with a file of the user's in it, uploaded."""
    workflow, loader, widget = demo
    prompt = to_prompt(json.loads((ROOT / "workflows" / f"{workflow}.json").read_text()), server.object_info())
    for node in prompt.values():
        if node["class_type"] == loader:
            node["inputs"][widget] = server.upload_image(file)
    return prompt


def video_sized(photo: Path, folder: Path, longest: int = 1280) -> Path:
    """A copy of a photo that a video can have: at most `longest` pixels wide and high, with even sides."""
    from gid_core.tensors import resize_maps

    pixels = gid.read_image(photo).permute(2, 0, 1)[None]
    factor = min(1.0, longest / max(pixels.shape[-2:]))
    height, width = (max(2, round(side * factor) // 2 * 2) for side in pixels.shape[-2:])
    return gid.write_image(folder / f"{photo.stem}.png", resize_maps(pixels, (height, width))[0].permute(1, 2, 0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--photo", type=Path, default=PHOTO, help="a picture of something that sways")
    source.add_argument("--clip", type=Path, help="a video of 16 frames or more from a still camera")
    options = parser.parse_args()
    demo, file = (CLIP_DEMO, options.clip) if options.clip else (PHOTO_DEMO, options.photo)
    if not file.is_file():
        print(f"No {'clip' if options.clip else 'photo'} at {file}.", file=sys.stderr)
        return 1
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, ComfyServer(BASE) as server:
            print("ComfyUI runs; rendering ...", flush=True)
            given = file if options.clip else video_sized(file, Path(folder))
            files = server.outputs(server.run(demo_prompt(server, demo, given), timeout=1800))
    except PromptRejected as error:
        print(_reasons(error), file=sys.stderr)
        return 1
    except (ServerFailed, NodeFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    OUT.mkdir(exist_ok=True)
    video = next(file for file in files if file.suffix == ".mp4")
    result = OUT / f"{file.stem}_loop.mp4"
    shutil.copy(video, result)
    print(f"{result}  ({time.monotonic() - started:.0f} s in all; play it on repeat)")
    return 0


def _reasons(error: PromptRejected) -> str:
    """What the nodes said, or the whole answer if they said nothing."""
    said = [f"{node['class_type']}: {one['details'] or one['message']}"
            for node in error.node_errors.values() for one in node["errors"]]  # fmt: skip
    return "\n".join(said) or str(error)


if __name__ == "__main__":
    raise SystemExit(main())
