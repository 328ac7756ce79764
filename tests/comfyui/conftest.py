"""A real ComfyUI server with this pack, small inputs for it, and a short way to write prompts."""

import itertools
import json
import select
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import websocket
from PIL import Image

import gid_core as gid
from comfy_server import ComfyServer
from deadline import Deadline
from workflow_prompt import use_own_file

SIZE = (72, 128)  # of all clips, images and volumes here: small, but large enough for optical flow


class Messages:
    """What a server sends to its client, as it sends it to the page."""

    def __init__(self, server: ComfyServer):
        self.server = server
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{server.port}/ws?clientId={server.client_id}", timeout=600
        )

    def next(self, seconds=60.0) -> bytes | dict:
        """The next message. Fails if none comes for some seconds (see scripts/deadline.py)."""
        deadline = Deadline(seconds)
        while not select.select([self._socket.sock], [], [], 1)[0]:
            assert not deadline.passed(), f"no message for {seconds:.0f} s\n{self.server.log_tail()}"
        message = self._socket.recv()
        return message if isinstance(message, bytes) else json.loads(message)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def messages(server):
    """The messages of the server to this test."""
    messages = Messages(server)
    yield messages
    messages.close()


@pytest.fixture(scope="session")
def server(server_for):
    """The server that all tests of the session share. A test must not stop it or leave a prompt running."""
    return server_for()


@pytest.fixture(scope="session")
def clip_frames() -> torch.Tensor:
    """Forty frames of a swaying scene, [40, 72, 128, 3] in 0..1."""
    from gid_core.synthetic.random_scene import random_scene

    return torch.from_numpy(random_scene(3, SIZE).frames(40))


@pytest.fixture(scope="session")
def clip(clip_frames, tmp_path_factory) -> Path:
    """These frames as a video of five seconds, at 8 frames per second; its volume plays at 30."""
    return gid.write_video(tmp_path_factory.mktemp("clips") / "small clip.mp4", clip_frames, 8, crf=8)


@pytest.fixture(scope="session")
def volume() -> gid.SpectralVolume:
    """Smooth random motion of a few pixels in the whole image."""
    return random_volume(SIZE, seed=1)


def random_volume(size, seed=0, batch=1, bins=16, pixels=2.0) -> gid.SpectralVolume:
    """B volumes of K bins with smooth random motion of about `pixels` pixels."""
    coarse = torch.randn(batch * bins, 4, 4, 6, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    falling = 1 / torch.arange(1, bins + 1).view(1, bins, 1, 1, 1)
    return gid.SpectralVolume(smooth.unflatten(0, (batch, bins)) * falling * (pixels * 25))


@dataclass
class Node:
    """A node of a prompt; node[i] is its output i."""

    id: str

    def __getitem__(self, output: int) -> list:
        return [self.id, output]


class Graph:
    """A prompt that a test writes node by node, and its results.

        graph.add("GID_LoopMotion", spectral_volume=volume, speed=0.5)

    A Node given as an input stands for its first output. Omitted widgets get their defaults.
    """

    def __init__(self, server: ComfyServer, folder: Path):
        self.server, self.folder = server, folder
        self.prompt, self.entry = {}, None
        self._numbers = itertools.count(1)

    def add(self, class_type: str, **inputs) -> Node:
        values = {}
        for spec in self.server.object_info(class_type)["input"].get("required", {}).items():
            name, (kind, *options) = spec
            options = options[0] if options else {}
            choices = kind if isinstance(kind, list) else options.get("options")
            if "default" in options or choices:
                values[name] = options.get("default", choices and choices[0])
        values |= {name: value[0] if isinstance(value, Node) else value for name, value in inputs.items()}
        node = Node(str(next(self._numbers)))
        self.prompt[node.id] = {"class_type": class_type, "inputs": values}
        return node

    def image(self, pixels) -> Node:
        """LoadImage of float [H, W, 3 or 4] in 0..1; outputs: image, mask (1 - alpha)."""
        path = self.folder / f"image{next(self._numbers)}_{id(self)}.png"
        Image.fromarray((np.asarray(pixels) * 255).round().astype(np.uint8)).save(path)
        return self.add("LoadImage", image=self.server.upload_image(path))

    def video(self, path: Path) -> Node:
        """LoadVideo of a file."""
        return self.add("LoadVideo", file=self.server.upload_image(path))

    def volume(self, volume: gid.SpectralVolume) -> Node:
        """GID_LoadSpectralVolume of a volume; outputs: volume, fps."""
        name = f"volume{next(self._numbers)}_{id(self)}.safetensors"
        volume.save(self.server.base / "input" / name)
        return self.add("GID_LoadSpectralVolume", file=name)

    def save(self, images) -> Node:
        """SaveImage."""
        return self.add("SaveImage", images=images, filename_prefix="test")

    def show(self, value) -> Node:
        """PreviewAny: any value as text."""
        return self.add("PreviewAny", source=value)

    def run(self, timeout=120.0) -> "Graph":
        self.entry = self.server.run(self.prompt, timeout)
        return self

    def run_and_listen(self) -> tuple[dict[str, str], dict[str, dict]]:
        """Run as a page does; the texts on nodes and the outputs sent to the page, both by node id."""
        server, texts, sent = self.server, {}, {}
        messages = Messages(server)
        try:
            number = server.queue(self.prompt)
            while True:
                message = messages.next()
                if isinstance(message, bytes):
                    continue
                data = message["data"]
                if message["type"] == "gid.text":
                    texts[data["node"]] = data["text"]
                if data.get("prompt_id") != number:
                    continue
                assert message["type"] != "execution_error", data
                if message["type"] == "executed":
                    sent[data["node"]] = data["output"]
                if message["type"] == "execution_success":
                    break
        finally:
            messages.close()
        self.entry = server.wait(number)
        return texts, sent

    def render(self, photo, motion) -> Node:
        """SaveImage of the frames of a photo [H, W, 3] with a motion."""
        return self.save(self.add("GID_SoftmaxSplatRender", image=self.image(photo), motion=motion))

    def text(self, node: Node) -> str:
        """The text that `show` displayed."""
        return self.entry["outputs"][node.id]["text"][0]

    def files(self, node: Node) -> list[Path]:
        """The files that an output node wrote."""
        return self.server.outputs({"outputs": {node.id: self.entry["outputs"].get(node.id, {})}})

    def images(self, node: Node) -> np.ndarray:
        """The images that `save` saved, uint8 [N, H, W, C]."""
        return np.stack([np.asarray(Image.open(file)) for file in self.files(node)])


@pytest.fixture
def graph(server, tmp_path) -> Graph:
    """An empty prompt for the server."""
    return Graph(server, tmp_path)


@pytest.fixture(scope="session")
def caching_server(tmp_path_factory):
    """A server that keeps the results of unchanged nodes, as ComfyUI does by default; `server` keeps nothing."""
    with ComfyServer(tmp_path_factory.mktemp("caching"), cpu=True) as server:
        yield server


@pytest.fixture
def caching_graph(caching_server, tmp_path) -> Graph:
    """An empty prompt for the server that keeps results."""
    return Graph(caching_server, tmp_path)


@pytest.fixture(scope="session")
def make_volume():
    """make_volume(size, seed, batch, bins, pixels): smooth random motion."""
    return random_volume


@pytest.fixture
def provide_inputs(server, clip, clip_frames, tmp_path):
    """provide_inputs(prompt): small files in place of the samples of a workflow, and the tiny model."""

    def provide(prompt: dict) -> None:
        image, file = Image.fromarray((clip_frames[0].numpy() * 255).astype(np.uint8)), tmp_path / "flowers.jpg"
        (sample,) = (number for number, node in prompt.items() if node["class_type"] == "GID_LoadSample")
        if any([sample, 1] in node["inputs"].values() for node in prompt.values()):  # its mask is used
            alpha = np.full(clip_frames.shape[1:3], 255, np.uint8)
            alpha[8:, 30:90] = 0  # transparent where Load Image's mask is white: a broad stem
            image.putalpha(Image.fromarray(alpha))
            file = tmp_path / "painted.png"
        image.save(file)
        use_own_file(prompt, "image", server.upload_image(file))
        use_own_file(prompt, "video", server.upload_image(clip))
        for node in prompt.values():
            inputs = node["inputs"]
            if node["class_type"] == "GID_LoadModel":
                inputs["model_name"] = "tiny.safetensors"
            elif node["class_type"] == "GID_PredictSpectralVolume":
                # Large motion: two frames then differ by it, and not mainly by the blur of interpolation.
                inputs.update(steps=3, amplitude=3.0)

    return provide


@pytest.fixture(scope="session")
def workflows(repo) -> dict[str, dict]:
    """All shipped workflows by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((repo / "workflows").glob("*.json"))}
