"""A real ComfyUI server with this pack, as a context manager. It uses the standard library only.

    with ComfyServer(folder) as server:
        image = server.upload_image("photo.jpg")
        entry = server.run({"1": {"class_type": "LoadImage", "inputs": {"image": image}}, ...})
        files = server.outputs(entry)

Run `scripts/comfyui.py install` first.
"""

import json
import mimetypes
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deadline import Deadline

ROOT = Path(__file__).resolve().parents[1]
COMFYUI = ROOT / ".comfyui" / "ComfyUI"
NEWEST_FRONTEND = ROOT / ".comfyui" / "frontend-newest"
REQUEST_SECONDS = 300  # of wall time for one answer, which a server without load gives at once
PACK = "generative-image-dynamics"  # the folder name that ComfyUI's manager gives the pack


class ServerFailed(RuntimeError):
    """The server did not start, did not load this pack, or ended by itself. The message is the end of its log."""


class PromptRejected(ValueError):
    """The server refused a prompt before running it. `error` and `node_errors` come from its response."""

    def __init__(self, response: dict) -> None:
        self.error: dict = response.get("error", {})
        self.node_errors: dict = response.get("node_errors", {})
        super().__init__(json.dumps(response, indent=1))


class NodeFailed(RuntimeError):
    """A node raised an exception; `node_type`, `exception_type` and `exception_message` describe it."""

    def __init__(self, message: dict) -> None:
        self.node_id = message.get("node_id")
        self.node_type = message.get("node_type")
        self.exception_type = message.get("exception_type")
        self.exception_message = message.get("exception_message", "").strip()
        self.traceback = "".join(message.get("traceback", []))
        super().__init__(f"{self.node_type}: {self.exception_type}: {self.exception_message}\n{self.traceback}")


class Interrupted(RuntimeError):
    """The run was canceled."""


def accelerator_available() -> bool:
    """Whether this environment's torch can use a GPU. Without a GPU, ComfyUI starts only with --cpu."""
    check = "import torch; raise SystemExit(not torch.accelerator.is_available())"
    return subprocess.run([sys.executable, "-c", check], capture_output=True).returncode == 0


def free_port() -> int:
    """A free TCP port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_listening(port: int) -> bool:
    """Whether a program on this machine listens on `port`."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class ComfyServer:
    """ComfyUI on 127.0.0.1, with its models, input, output, temp and user folders under `base_dir`.

    Args:
        base_dir: the folder; created if it does not exist.
        frontend: None for the web frontend that this ComfyUI version requires, "newest" for the newest one installed.
        extra_args: more command line options for ComfyUI.
        port: 0 takes a free port.
        cpu: whether to run on the CPU; None uses a GPU if there is one.
    """

    def __init__(
        self,
        base_dir: str | os.PathLike,
        frontend: str | None = None,
        extra_args: Sequence[str] = (),
        *,
        port: int = 0,
        cpu: bool | None = None,
    ) -> None:
        if frontend not in (None, "newest"):
            raise ValueError(f'frontend must be None or "newest", not {frontend!r}')
        self.base = Path(base_dir).resolve()
        self.log = self.base / "server.log"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client_id = uuid.uuid4().hex
        self._cpu = cpu
        self._frontend = frontend
        self._extra_args = list(extra_args)
        self._process: subprocess.Popen | None = None

    # -- start and stop ----------------------------------------------------------------------------------------

    def start(self, timeout: float = 180.0) -> "ComfyServer":
        """Start the server and wait until it responds with this pack loaded. Returns self.

        Raises ServerFailed after `timeout` seconds (see deadline.py) in which its log does not grow.
        """
        if not (COMFYUI / "main.py").exists():
            raise ServerFailed("ComfyUI is not installed: run `make setup`")
        if is_listening(self.port):  # otherwise its responses would be mistaken for the server's
            raise ServerFailed(f"port {self.port} is used by another program: choose another port with --port")
        self._prepare_folders()
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(self._command(), cwd=self.base, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready(timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def _prepare_folders(self) -> None:
        for name in ("custom_nodes", "user", "input", "output", "models"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        link = self.base / "custom_nodes" / PACK
        if not link.exists():
            link.unlink(missing_ok=True)  # a link to a repository that was moved
            link.symlink_to(ROOT, target_is_directory=True)

    def _command(self) -> list[str]:
        command = [sys.executable, str(COMFYUI / "main.py")]
        command += ["--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(self.base), "--user-directory", str(self.base / "user")]
        command += ["--database-url", "sqlite:///:memory:", "--disable-api-nodes", "--disable-auto-launch"]
        cpu = not accelerator_available() if self._cpu is None else self._cpu
        if cpu:
            command.append("--cpu")
        if self._frontend == "newest":
            command += ["--front-end-root", str(NEWEST_FRONTEND)]
        return command + self._extra_args

    def _wait_until_ready(self, timeout: float) -> None:
        deadline = Deadline(timeout)
        while True:
            if not self.alive():
                raise ServerFailed(self.log_tail())
            try:
                self.get("/system_stats")
                break
            except OSError:
                pass
            if deadline.passed(self._log_size()):
                raise ServerFailed(f"no response after {timeout:.0f} s\n{self.log_tail()}")
            time.sleep(0.1)
        # A pack that fails to import does not stop ComfyUI; only the log shows it.
        log = self.log_text()
        if "Cannot import" in log or "IMPORT FAILED" in log:
            raise ServerFailed(self.log_tail())

    def stop(self) -> None:
        """End the server. Does nothing if it has ended already."""
        if self._process is None:
            return
        self._process.terminate()  # not SIGINT, which background processes ignore
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> "ComfyServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process. Raises ServerFailed if it was not started, or has been stopped."""
        if self._process is None:
            raise ServerFailed("The server does not run.")
        return self._process.pid

    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def log_text(self) -> str:
        """The whole log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def log_tail(self) -> str:
        """The end of the log, for error messages."""
        return self.log_text()[-6000:]

    # -- requests ------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """GET a path and parse the JSON response."""
        with urllib.request.urlopen(self.url + path, timeout=REQUEST_SECONDS) as response:
            return json.load(response)

    def post(self, path: str, payload: Any = None) -> Any:
        """POST JSON and parse the JSON response; None if the response is empty."""
        body = json.dumps({} if payload is None else payload).encode()
        return self._send(path, body, "application/json")

    def _send(self, path: str, body: bytes, content_type: str) -> Any:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:
            text = response.read()
        return json.loads(text) if text.strip() else None

    def object_info(self, node: str | None = None) -> dict:
        """The schema of one node, or of all nodes by name. Raises KeyError if the server has no such node."""
        if node is None:
            return self.get("/object_info")
        return self.get("/object_info/" + urllib.parse.quote(node))[node]

    def upload_image(self, path: str | os.PathLike) -> str:
        """Upload a file to the server's input folder. Returns the name that loader nodes take."""
        path = Path(path)
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        boundary = uuid.uuid4().hex
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        ).encode()
        body += path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        response = self._send("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        return "/".join(filter(None, (response["subfolder"], response["name"])))

    # -- prompts -------------------------------------------------------------------------------------

    def queue(self, prompt: dict) -> str:
        """Queue a prompt in API format. Returns its id. Raises PromptRejected if it is invalid."""
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": self.client_id})["prompt_id"]
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            raise PromptRejected(json.load(error)) from None

    def wait(self, prompt_id: str, timeout: float = 300.0) -> dict:
        """Wait until a prompt ends. Returns its history entry. Raises NodeFailed, Interrupted or TimeoutError.

        The timeout is in seconds (see deadline.py) in which the server's log does not grow.
        """
        deadline = Deadline(timeout)
        while True:
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry:
                break
            if not self.alive():
                raise ServerFailed(self.log_tail())
            if deadline.passed(self._log_size()):
                raise TimeoutError(
                    f"prompt {prompt_id} is still running after {timeout:.0f} s without progress\n{self.log_tail()}"
                )
            time.sleep(0.05)
        messages = dict(entry["status"]["messages"])
        if "execution_error" in messages:
            raise NodeFailed(messages["execution_error"])
        if "execution_interrupted" in messages:
            raise Interrupted(prompt_id)
        return entry

    def run(self, prompt: dict, timeout: float = 300.0) -> dict:
        """Queue a prompt and wait for it; see `queue` and `wait`."""
        return self.wait(self.queue(prompt), timeout)

    def interrupt(self) -> None:
        """Cancel the running prompt."""
        self.post("/interrupt")

    def outputs(self, entry: dict) -> list[Path]:
        """All files that a finished prompt wrote, images and videos, in the order of its nodes."""
        files = []
        for node in entry["outputs"].values():
            for items in node.values():
                for item in items if isinstance(items, list) else ():
                    if isinstance(item, dict) and "filename" in item:
                        folder = self.base / item.get("type", "output") / item.get("subfolder", "")
                        files.append(folder / item["filename"])
        return files
