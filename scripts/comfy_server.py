"""A real ComfyUI server with this pack in it, as a context manager; standard library only.

    with ComfyServer(folder) as server:
        image = server.upload_image("photo.jpg")
        entry = server.run({"1": {"class_type": "LoadImage", "inputs": {"image": image}}, ...})
        files = server.outputs(entry)

`scripts/comfyui.py install` must have been run before.
"""

import json
import mimetypes
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMFYUI = ROOT / ".comfyui" / "ComfyUI"
NEWEST_FRONTEND = ROOT / ".comfyui" / "frontend-newest"
PACK = "generative-image-dynamics"  # the folder name that ComfyUI's manager gives the pack


class ServerFailed(RuntimeError):
    """The server did not start, did not load this pack, or ended on its own; carries the end of its log."""


class PromptRejected(ValueError):
    """The server refused a prompt before running it. `error` and `node_errors` are its answer."""

    def __init__(self, answer: dict):
        self.error = answer.get("error", {})
        self.node_errors = answer.get("node_errors", {})
        super().__init__(json.dumps(answer, indent=1))


class NodeFailed(RuntimeError):
    """A node raised. `node_type`, `exception_type` and `exception_message` say which and what."""

    def __init__(self, message: dict):
        self.node_id = message.get("node_id")
        self.node_type = message.get("node_type")
        self.exception_type = message.get("exception_type")
        self.exception_message = message.get("exception_message", "").strip()
        self.traceback = "".join(message.get("traceback", []))
        super().__init__(f"{self.node_type}: {self.exception_type}: {self.exception_message}\n{self.traceback}")


class Interrupted(RuntimeError):
    """The run was canceled."""


def accelerator_available() -> bool:
    """Whether this environment's torch has a GPU to use. Without one ComfyUI starts only if told --cpu."""
    check = "import torch; raise SystemExit(not torch.accelerator.is_available())"
    return subprocess.run([sys.executable, "-c", check], capture_output=True).returncode == 0


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_listening(port: int) -> bool:
    """Whether something on this machine answers at `port`."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class ComfyServer:
    """ComfyUI on 127.0.0.1, with its models, input, output, temp and user folders under `base_dir`.

    frontend: None for the web frontend this ComfyUI asks for, "newest" for the newest one known.
    extra_args: more command line options for ComfyUI.
    port: 0 takes a free one.
    cpu: True or False; None uses a GPU when there is one.
    """

    def __init__(self, base_dir, frontend=None, extra_args=(), *, port=0, cpu=None):
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
        self._process = None

    # -- life ----------------------------------------------------------------------------------------

    def start(self, timeout=180.0):
        """Start the server and wait until it answers with this pack loaded; returns self."""
        if not (COMFYUI / "main.py").exists():
            raise ServerFailed("ComfyUI is not installed: run `make setup`")
        if is_listening(self.port):  # else its answers would be taken for ours
            raise ServerFailed(f"port {self.port} is taken by another program: choose another with --port")
        self._prepare_folders()
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(self._command(), cwd=self.base, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready(timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def _prepare_folders(self):
        for name in ("custom_nodes", "user", "input", "output", "models"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        link = self.base / "custom_nodes" / PACK
        if not link.exists():
            link.unlink(missing_ok=True)  # a link left dangling by a repository that moved
            link.symlink_to(ROOT, target_is_directory=True)

    def _command(self):
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

    def _wait_until_ready(self, timeout):
        deadline = time.monotonic() + timeout
        while True:
            if not self.alive():
                raise ServerFailed(self.log_tail())
            try:
                self.get("/system_stats")
                break
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise ServerFailed(f"no answer after {timeout:.0f} s\n{self.log_tail()}")
            time.sleep(0.1)
        # A pack that fails to import does not stop ComfyUI: only the log tells.
        text = self.log_text()
        if "Cannot import" in text or "IMPORT FAILED" in text:
            raise ServerFailed(self.log_tail())

    def stop(self):
        """End the server; does nothing when it has already ended."""
        if self._process is None:
            return
        self._process.terminate()  # not SIGINT, which a child started in the background ignores
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def log_text(self) -> str:
        """Everything the server has logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self) -> str:
        """The end of the log, for messages."""
        return self.log_text()[-6000:]

    # -- requests ------------------------------------------------------------------------------------

    def get(self, path):
        """GET a JSON answer."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path, payload=None):
        """POST JSON; returns the parsed answer, or None when it is empty."""
        body = json.dumps({} if payload is None else payload).encode()
        return self._send(path, body, "application/json")

    def _send(self, path, body, content_type):
        request = urllib.request.Request(self.url + path, body, {"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def object_info(self, node=None) -> dict:
        """The schema of one node (KeyError when the server has no such node), or of all."""
        if node is None:
            return self.get("/object_info")
        return self.get("/object_info/" + urllib.parse.quote(node))[node]

    def upload_image(self, path) -> str:
        """Put a file into the server's input folder; returns the name that loader nodes take."""
        path = Path(path)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        mark = uuid.uuid4().hex
        body = (
            f'--{mark}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
            f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()
        body += path.read_bytes() + f"\r\n--{mark}--\r\n".encode()
        answer = self._send("/upload/image", body, f"multipart/form-data; boundary={mark}")
        return "/".join(filter(None, (answer["subfolder"], answer["name"])))

    # -- prompts -------------------------------------------------------------------------------------

    def queue(self, prompt: dict) -> str:
        """Queue a prompt in API form; returns its id. Raises PromptRejected when it is invalid."""
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": self.client_id})["prompt_id"]
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            raise PromptRejected(json.load(error)) from None

    def wait(self, prompt_id: str, timeout=300.0) -> dict:
        """Wait for a prompt's end; its history entry. Raises NodeFailed, Interrupted, TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry:
                break
            if not self.alive():
                raise ServerFailed(self.log_tail())
            if time.monotonic() > deadline:
                raise TimeoutError(f"prompt {prompt_id} still runs after {timeout:.0f} s\n{self.log_tail()}")
            time.sleep(0.05)
        messages = dict(entry["status"]["messages"])
        if "execution_error" in messages:
            raise NodeFailed(messages["execution_error"])
        if "execution_interrupted" in messages:
            raise Interrupted(prompt_id)
        return entry

    def run(self, prompt: dict, timeout=300.0) -> dict:
        """Queue a prompt and wait for it."""
        return self.wait(self.queue(prompt), timeout)

    def interrupt(self) -> None:
        """Cancel what runs now."""
        self.post("/interrupt")

    def outputs(self, entry: dict) -> list[Path]:
        """The files that a finished prompt wrote, in the order of its nodes: pictures and videos alike."""
        files = []
        for node in entry["outputs"].values():
            for items in node.values():
                for item in items if isinstance(items, list) else ():
                    if isinstance(item, dict) and "filename" in item:
                        folder = self.base / item.get("type", "output") / item.get("subfolder", "")
                        files.append(folder / item["filename"])
        return files
