"""Make a video with a real ComfyUI server and this pack's nodes, workflows and model.

    python scripts/demo.py                     dandelions that sway, from a single photo
    python scripts/demo.py --photo photo.jpg   your photo
    python scripts/demo.py --clip clip.mp4     an endless loop of the clip's first frame with the clip's motion

The video is saved in the folder out/.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from comfy_server import ROOT, ComfyServer, NodeFailed, PromptRejected, ServerFailed
from workflow_prompt import to_prompt, use_own_file

SERVER_FOLDER = ROOT / ".comfyui" / "demo"
OUTPUT_FOLDER = ROOT / "out"
PHOTO = ROOT / "assets" / "dandelions.jpg"
# Each demo: the workflow, and what takes the place of its sample.
PHOTO_DEMO = ("01_photo_to_loop", "image")
CLIP_DEMO = ("09_clip_to_loop", "video")


def demo_prompt(server: ComfyServer, demo: tuple[str, str], file: Path) -> dict:
    """Upload a file and return the prompt of a workflow that loads it."""
    workflow, kind = demo
    prompt = to_prompt(json.loads((ROOT / "workflows" / f"{workflow}.json").read_text()), server.object_info())
    use_own_file(prompt, kind, server.upload_image(file))
    return prompt


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
        with ComfyServer(SERVER_FOLDER) as server:
            print("ComfyUI is running; rendering ...", flush=True)
            files = server.outputs(server.run(demo_prompt(server, demo, file), timeout=1800))
    except PromptRejected as error:
        print(_rejection_message(error), file=sys.stderr)
        return 1
    except (ServerFailed, NodeFailed) as error:
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
