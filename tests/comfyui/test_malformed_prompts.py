"""Malformed prompts to every node: a ValueError in words or ComfyUI's own refusal; no crash, no hang, no half file.

A seeded generator replaces inputs of valid, small prompts by values that a damaged workflow, another pack's node or an
API client can send. Files that nodes load are damaged, too. All prompts are queued at once.
"""

import json
import math
import random
import time
import urllib.error
from pathlib import Path

import pytest
from PIL import Image

import gid_core as gid
from comfy_server import PACK, ServerFailed
from damaged_bytes import damaged

# Seconds without any prompt ending after which the server hangs; a prompt takes milliseconds.
HANG_SECONDS = 60
# Malformed prompts of each input: with a value of the prompt itself, and with one on a wire that fits everywhere. One
# more has a link of a wrong type or to nowhere.
VALUES_PER_INPUT, WIRED_PER_INPUT = 2, 1
PROMPTS_WITH_TWO = 4  # of each node: two inputs at once
DAMAGED_FILES = 12  # of each kind

IMAGE, MASK = ["image", 0], ["mask", 0]
COMMON = {
    "image": ("EmptyImage", dict(width=16, height=12, batch_size=1, color=0x336699)),
    "clip": ("EmptyImage", dict(width=16, height=12, batch_size=16, color=0x336699)),
    "mask": ("SolidMask", dict(width=16, height=12, value=1.0)),
    "audio": ("EmptyAudio", dict(duration=0.2, sample_rate=8000, channels=2)),
    "number": ("PrimitiveInt", dict(value=7)),
    "text": ("PrimitiveString", dict(value="abc")),
    "volume": ("GID_LoadSpectralVolume", dict(file="malformed.safetensors")),
    "motion": ("GID_LoopMotion", dict(spectral_volume=["volume", 0], num_frames=3, speed=1.0, fps=30.0)),
    "model": ("GID_LoadModel", dict(model_name="tiny.safetensors")),
    "guidance": ("GID_LoopGuidance", dict(mode="projection", strength=1.0, frames=20, weight=200.0)),
}
STROKES = '[{"kind": "move", "points": [[0.5, 0.9], [0.5, 0.2]], "radius": 0.2}]'
FORCE = dict(spectral_volume=["volume", 0], num_frames=3, fps=30.0, strength=1.0, damping=1.0, speed=1.0)
RENDER = dict(image=IMAGE, motion=["motion", 0], start_frame=0, num_frames=2)
# Valid inputs of each node, cheap to run. Inputs that are not named here keep their defaults when they are optional.
VALID = {
    "GID_LoadModel": COMMON["model"][1],
    "GID_PredictSpectralVolume": dict(
        model=["model", 0], image=IMAGE, seed=0, steps=1, guidance=1.0, amplitude=1.0, variations=1, resolution=64
    )
    | dict(strokes=STROKES),
    "GID_LoopGuidance": COMMON["guidance"][1],
    "GID_SpectralVolumeFromVideo": dict(
        video=["clip", 0], fps=30.0, start_frame=0, window_seconds=0.5, detrend="ramp", stabilise=False, max_size=64
    ),
    "GID_VolumeFromMask": dict(mask=MASK, gravity="down", amplitude=1.0, base_frequency=0.5, seed=0, grid=8)
    | dict(strokes=STROKES, image=IMAGE),
    "GID_LoopMotion": COMMON["motion"][1],
    "GID_LongLoop": dict(spectral_volume=["volume", 0], seconds=6.0, variation=0.5, speed=1.0, fps=4.0, seed=0),
    "GID_AmplifyMotion": dict(
        spectral_volume=["volume", 0], gain=1.0, slow_gain=1.0, middle_gain=1.0, fast_gain=1.0, limit=0.0, feather=4.0
    ),
    "GID_ModalForce": FORCE | dict(pokes='[{"x": 0.5, "y": 0.4, "dx": 0.05, "dy": 0, "time": 0}]'),
    "GID_Wind": FORCE | dict(direction=0.0, gustiness=0.5, seed=0, loop=False),
    "GID_AudioForce": FORCE | dict(audio=["audio", 0], direction=0.0, attack=0.02, release=0.25),
    "GID_SoftmaxSplatRender": RENDER,
    "GID_RenderLoopToVideo": RENDER,
    "GID_PreviewMotion": dict(motion=["motion", 0]),
    "GID_MotionToTracks": dict(
        motion=["motion", 0], points="grid", count=4, width=16, height=12, num_points=5, fps=24.0, picked="[]"
    ),
    "GID_TracksToMotion": dict(
        tracks='[[{"x": 3, "y": 3}, {"x": 5, "y": 4}, {"x": 3, "y": 3}]]',
        image=IMAGE,
        width=16,
        height=12,
        fps=24.0,
        spread=10.0,
        num_bins=1,
        resolution=16,
    ),
    "GID_MotionToFlow": dict(
        motion=["motion", 0],
        kind="photo to frame",
        start_frame=0,
        num_frames=2,
        file_format="none",
        filename_prefix="malformed/flow",
    ),
    "GID_SaveInteractivePhoto": dict(
        image=IMAGE,
        spectral_volume=["volume", 0],
        filename_prefix="malformed/page",
        title="a",
        alt_text="b",
        autoplay=False,
        max_size=64,
    ),
    "GID_SaveSpectralVolume": dict(spectral_volume=["volume", 0], filename_prefix="malformed/volume"),
    "GID_LoadSpectralVolume": COMMON["volume"][1],
}
# What a prompt's JSON can say instead. NaN and infinite numbers are no JSON, but Python's parser takes them.
VALUES = [
    None, True, "", "abc", "1", "nan", "\0", "\ud800", "x" * 5000, "../../x", "/dev/null", ".", -1, 0, 2.5, 1e-300,
    1e300, -1e300, 10**30, -(10**30), 10**400, math.nan, math.inf, -math.inf, {}, {"a": 1}, {"__value__": []},
    {"__value__": [1, "a"]}, {"__value__": {"a": None}}, [], [1], ["image", 0, 0],
]  # fmt: skip
POKES = [
    "", "[", "{}", "null", "7", '"abc"', "[1]", "[[]]", "[{}]", '[{"x": 0.5}]', '[{"x": null, "y": 0}]', "[" * 3000,
    '[{"x": NaN, "y": 0.5}]', '[{"x": 1e999, "y": 0.5}]', '[{"x": 0.5, "y": 0.5, "time": 1e300}]', '{"x": 0.5}',
    '[{"x": 0.5, "y": 0.5, "dx": "1"}]', '[{"x": 0.5, "y": 0.5, "path": [[0, 0]]}]', '[{"x": 1, "y": 0, "path": 3}]',
    '[{"x": 0.5, "y": 0.5, "kind": "bend"}]', '[{"x": 0.5, "y": 0.5, "z": 1}]', '[{"x": 0.5, "y": 0.5}',
    '[{"x": %s, "y": 0.5}]' % ("9" * 5000),
]  # fmt: skip
TRACKS = [
    "", "[", "{}", "null", "7", '"abc"', "[1]", "[[]]", "[[], []]", "[{}]", '[{"x": 1, "y": 1}]', "[" * 3000,
    '[[{"x": 1}]]', '[[{"x": NaN, "y": 1}, {"x": 1, "y": 1}]]', '[[{"x": 1e999, "y": 1}]]', '[[{"x": "1", "y": 1}]]',
    '[[{"x": 1, "y": 1}], [{"x": 1, "y": 1}, {"x": 2, "y": 1}]]', '[[[{"x": 1, "y": 1}]]]', '[[[1, 2], [3, 4]]]',
    '[[{"x": 1, "y": 1, "z": 1}, {"x": 1e300, "y": -1e300}]]', '[[{"x": %s, "y": 1}]]' % ("9" * 5000),
]  # fmt: skip
# Texts that hold JSON, by the name of their input.
TEXTS = {"pokes": POKES, "tracks": TRACKS, "picked": TRACKS}
# Links to each other node's output, to an output and to a node that do not exist, and of a wrong form.
LINKS = [[name, 0] for name in COMMON] + [["volume", 1], ["image", 9], ["none", 0], ["image", "0"], [None, None]]
# Expressions of values on a wire of any type; images, masks and sounds that core nodes do not make.
WIRED = [
    "None", "True", "''", "'abc'", "-1", "0", "2.5", "1e300", "10**30", "10**400", "math.nan", "math.inf", "b'1'", "1j",
    "[]", "[1]", "{}", "object()", "int", "types.SimpleNamespace(coefficients=torch.zeros(1, 2, 4, 3, 3), fps=30.0)",
    "torch.tensor(2)", "torch.tensor(math.nan)", "torch.zeros(0)", "torch.zeros(3)",
]  # fmt: skip
PICTURES = [
    "torch.rand(1, 1, 1, 3)", "torch.rand(1, 300, 1, 3)", "torch.rand(1, 1, 300, 3)", "torch.rand(1, 12, 16, 4)",
    "torch.zeros(0, 12, 16, 3)", "torch.zeros(1, 0, 16, 3)", "torch.full((1, 12, 16, 3), math.nan)",
    "torch.full((1, 12, 16, 3), math.inf)", "torch.full((1, 12, 16, 3), 255.0)", "-torch.rand(1, 12, 16, 3)",
    "torch.rand(1, 12, 16, 1)", "torch.rand(1, 12, 16, 2)", "torch.rand(12, 16, 3)", "torch.rand(3, 12, 16, 3)",
    "torch.zeros(1, 12, 16, 3, dtype=torch.int64)", "torch.zeros(1, 12, 16, 3, dtype=torch.complex64)",
    "torch.rand(1, 12, 16, 3).half()", "torch.rand(1, 12, 16, 3).double()", "torch.rand(16, 12, 16, 3)",
    "torch.full((16, 1, 1, 4), math.nan)", "torch.rand(1, 16, 12, 3).permute(0, 2, 1, 3)", "torch.rand(1, 1, 9, 9, 3)",
]  # fmt: skip
MASKS = [
    "torch.rand(12, 16)", "torch.rand(1, 1, 1)", "torch.zeros(0, 12, 16)", "torch.rand(3, 12, 16)",
    "torch.rand(1, 300, 1)",
    "torch.full((1, 12, 16), math.nan)", "torch.full((1, 12, 16), 255.0)", "torch.ones(1, 12, 16, dtype=torch.bool)",
    "-torch.rand(1, 12, 16)", "torch.zeros(1, 12, 16, dtype=torch.complex64)", "torch.zeros(1, 64, 64)",
    "torch.rand(1, 1, 12, 16)",
]  # fmt: skip
SOUNDS = [
    "dict(waveform=torch.zeros(1, 2, 0), sample_rate=8000)", "dict(waveform=torch.zeros(1, 2, 99), sample_rate=0)",
    "dict(waveform=torch.full((1, 2, 99), math.nan), sample_rate=8000)", "dict(waveform=torch.rand(1, 2, 99))",
    "dict(waveform=torch.rand(1, 2, 99), sample_rate='x')", "dict(waveform='abc', sample_rate=8000)",
    "dict(waveform=torch.rand(0, 2, 99), sample_rate=8000)", "dict(waveform=torch.rand(1, 0, 99), sample_rate=8000)",
    "dict(waveform=torch.rand(1, 1, 2, 99), sample_rate=8000)", "dict(waveform=torch.rand(99), sample_rate=math.nan)",
    "dict(waveform=torch.zeros(1, 99, dtype=torch.int16), sample_rate=8000)", "dict(waveform=None, sample_rate=8000)",
    "dict(waveform=torch.rand(3, 2, 99), sample_rate=8000)", "dict(waveform=torch.rand(1, 2, 99), sample_rate=10**12)",
    "dict(waveform=torch.rand(1, 2, 99), sample_rate=1)",
]  # fmt: skip
ODD = {"IMAGE": PICTURES, "VIDEO,IMAGE": PICTURES, "MASK": MASKS, "AUDIO": SOUNDS}


def inputs_of(info: dict) -> dict[str, str]:
    """Names and types of a node's inputs."""
    groups = (info["input"].get(group, {}) for group in ("required", "optional"))
    return {name: spec[0] for group in groups for name, spec in group.items()}


def malformed_inputs(node: str, types: dict[str, str]):
    """Yield inputs of a node, and the expressions on wires of any type by the name of their input."""
    choose = random.Random(node)

    def value(name):
        return choose.choice(VALUES + 2 * TEXTS.get(name, []))

    def wired(name):
        return choose.choice(WIRED + 2 * ODD.get(types[name], []))

    for name in types:
        for _ in range(VALUES_PER_INPUT * (6 if name in TEXTS else 1)):
            yield {name: value(name)}, {}
        yield {name: choose.choice(LINKS)}, {}
        for _ in range(WIRED_PER_INPUT * (8 if types[name] in ODD else 1)):
            yield {}, {name: wired(name)}
    for _ in range(PROMPTS_WITH_TWO):
        first, second = choose.sample(list(types), 2) if len(types) > 1 else [*types, *types]
        yield ({first: value(first)}, {second: wired(second)}) if second != first else ({}, {first: wired(first)})
    for name in VALID[node]:
        yield {name: "missing"}, {}  # replaced below by no input at all


def prompt_of(node: str, inputs: dict, wires: dict) -> dict:
    """A prompt in which a node has these inputs beside its valid ones."""
    nodes = dict(COMMON)
    tested = VALID[node] | inputs
    for name, expression in wires.items():
        nodes[f"wire {name}"] = "TestAnyValue", dict(expression=expression)
        tested[name] = [f"wire {name}", 0]
    missing = [name for name, value in inputs.items() if value == "missing"]
    nodes["tested"] = node, {name: value for name, value in tested.items() if name not in missing}
    nodes["shown"] = "PreviewAny", dict(source=["tested", 0])
    return {name: {"class_type": kind, "inputs": values} for name, (kind, values) in nodes.items()}


def files_below(server) -> set[Path]:
    folders = (server.base / name for name in ("input", "output", "temp"))
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


def wait_until_all_ended(server) -> None:
    """Wait for the queue. The deadline moves with every prompt that ends."""
    left, deadline = math.inf, 0.0
    while left:
        if not server.alive():
            raise ServerFailed(server.log_tail())
        now = server.get("/prompt")["exec_info"]["queue_remaining"]
        if now < left:
            left, deadline = now, time.monotonic() + HANG_SECONDS
        if time.monotonic() > deadline:
            pytest.fail(f"no prompt ended for {HANG_SECONDS} s: {server.get('/queue')['queue_running']}")
        time.sleep(0.2)


def damaged_files(server, clip: Path, tiny_model: Path):
    """Write damaged files into the server's folders; yield a node, what is wrong, and a prompt that loads the file."""
    choose, folder = random.Random("files"), server.base / "input"
    kinds = {
        "GID_LoadSpectralVolume": (folder / "malformed.safetensors", folder, "file"),
        "GID_LoadModel": (tiny_model, server.base / "models" / "gid", "model_name"),
        "GID_SpectralVolumeFromVideo": (clip, folder, "file"),
    }
    for node, (path, place, widget) in kinds.items():
        for number in range(DAMAGED_FILES):
            name = f"damaged{number}{path.suffix}"
            (place / name).write_bytes(damaged(path.read_bytes(), choose))
            if widget == "file" and path == clip:
                prompt = prompt_of(node, {"video": ["clip", 0], "max_size": 64}, {})
                prompt["clip"] = {"class_type": "LoadVideo", "inputs": {"file": name}}
            else:
                prompt = prompt_of(node, {widget: name}, {})
            yield node, {"file": name}, prompt


@pytest.fixture(scope="module")
def outcomes(server, make_volume, clip, tiny_model):
    """By node, of every malformed prompt: what was wrong, and the server's answer or the entry in its history."""
    make_volume((12, 16)).save(server.base / "input" / "malformed.safetensors")
    all_info = server.object_info()
    ours = {name: info for name, info in all_info.items() if info["python_module"] == f"custom_nodes.{PACK}"}
    assert set(ours) == set(VALID)
    prompts = [
        (node, inputs | wires, prompt_of(node, inputs, wires))
        for node, info in ours.items()
        for inputs, wires in [({}, {}), *malformed_inputs(node, inputs_of(info))]
    ]
    prompts += damaged_files(server, clip, tiny_model)
    before, queued = files_below(server), []
    for node, wrong, prompt in prompts:
        try:
            answer = server.post("/prompt", {"prompt": prompt, "client_id": "malformed"})["prompt_id"]
        except urllib.error.HTTPError as error:
            answer = error.code, error.read().decode(errors="replace")
        queued.append((node, wrong, answer))
    wait_until_all_ended(server)
    history, results = server.get("/history"), {node: [] for node in ours}
    for node, wrong, answer in queued:
        results[node].append((wrong, history[answer] if isinstance(answer, str) else answer))
    yield results, files_below(server) - before
    for folder in ("input", "models/gid"):  # other tests list them
        for path in (server.base / folder).glob("damaged*"):
            path.unlink()


def fault(answer) -> str:
    """What is wrong with an outcome, or an empty string."""
    if isinstance(answer, tuple):  # refused by ComfyUI
        code, text = answer
        if code != 400:
            return f"HTTP {code}: {text}"
        # An exception inside of a node's own checks is not ComfyUI's refusal.
        return text if f"/{PACK}/" in text or '"exception_during' in text and "gid_core" in text else ""
    failed = dict(answer["status"]["messages"]).get("execution_error")
    if failed is None or not failed["node_type"].startswith("GID_"):
        return ""
    kind, message = failed["exception_type"], failed["exception_message"].strip()
    if kind in ("ValueError", "FileNotFoundError") and message and "Traceback" not in message:
        return ""
    return f"{failed['node_type']}: {kind}: {message}\n{''.join(failed['traceback'][-2:])}"


@pytest.mark.parametrize("node", VALID)
def test_the_valid_prompt_runs(outcomes, node):
    (wrong, entry), *_ = outcomes[0][node]
    assert not wrong and entry["status"]["status_str"] == "success", entry


@pytest.mark.parametrize("node", VALID)
def test_a_malformed_prompt_is_refused_in_words_or_runs(outcomes, node):
    faults = [f"{str(wrong)[:200]}: {problem}" for wrong, answer in outcomes[0][node] if (problem := fault(answer))]
    assert not faults, f"{len(faults)} of {len(outcomes[0][node])}:\n" + "\n".join(faults)


def test_enough_prompts_pass_comfyuis_own_checks(outcomes):
    """Otherwise the nodes would not have been tested."""
    for node, results in outcomes[0].items():
        ran = [answer for _, answer in results if isinstance(answer, dict)]
        assert len(ran) > len(results) / 4, node


def test_no_file_is_left_half_written(outcomes):
    for path in outcomes[1]:
        assert not path.name.startswith("."), path
        assert path.stat().st_size > 0, path
        if path.suffix == ".safetensors":
            gid.SpectralVolume.load(path)
        elif path.suffix == ".mp4":
            assert len(gid.read_video(path)[0]) > 0
        elif path.suffix in (".png", ".webp"):
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path
        else:
            assert path.suffix == ".bin" and path.name.startswith("gid_live_"), path


def test_the_server_still_answers(outcomes, server):
    prompt = prompt_of("GID_SoftmaxSplatRender", {}, {})
    assert server.run(prompt, timeout=60)["status"]["status_str"] == "success"
    assert json.dumps(server.get("/queue")["queue_running"]) == "[]"
