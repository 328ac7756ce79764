"""Each workflow of this pack fits the nodes, makes a video that moves, and loops if it should."""

import json

import av
import numpy as np
import pytest
import torch
from PIL import Image

from comfy_server import ROOT
from comfyui.node_schemas import check_node, spec_of
from workflow_prompt import to_prompt

NOTES = {"Note", "MarkdownNote"}

# Of each video, from a clip of 40 frames in 5 seconds: frames, frames per second, (height, width).
EXPECTED = {
    "01_photo_to_loop": (150, 30, (72, 128)),
    "02_masked_cinemagraph": (150, 30, (72, 128)),
    "03_poke_a_photo": (120, 30, (72, 128)),
    "04_wind_on_a_photo": (300, 30, (72, 128)),
    "05_dance_to_sound": (225, 30, (72, 128)),
    "06_sway_from_mask": (150, 30, (72, 128)),
    "07_brush_to_loop": (150, 30, (72, 128)),
    "08_tracks_to_loop": (90, 30, (72, 128)),
    "09_clip_to_loop": (150, 30, (72, 128)),
    "10_restyle_a_clip": (150, 30, (144, 256)),
    "11_amplify_a_clip": (150, 30, (72, 128)),
    "12_generate_and_animate": (150, 30, (72, 128)),
    "14_long_loop": (600, 30, (72, 128)),
}
# These write other files than a video of a moving photo.
OTHER_FILES = {"13_sticker_with_alpha", "15_interactive_photo", "16_motion_to_flow"}
RENDERERS = ("GID_SoftmaxSplatRender", "GID_RenderLoopToVideo")
DO_NOT_LOOP = {"03_poke_a_photo", "04_wind_on_a_photo", "05_dance_to_sound"}


def pytest_generate_tests(metafunc):
    marked = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "name" in metafunc.fixturenames and "name" not in marked:
        metafunc.parametrize("name", sorted(path.stem for path in (ROOT / "workflows").glob("*.json")))


@pytest.fixture
def workflow(name, workflows):
    return workflows[name]


@pytest.fixture(scope="module")
def object_info(server):
    return server.object_info()


def test_there_are_workflows(workflows):
    assert set(workflows) == EXPECTED.keys() | OTHER_FILES, "add the new workflow to EXPECTED"


def test_workflows_are_numbered(workflows):
    numbers = [name.partition("_")[0] for name in workflows]
    assert all(len(number) == 2 and number.isdecimal() for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_the_first_workflow_needs_no_guidance(workflows):
    assert "GID_LoopGuidance" not in {node["type"] for node in workflows["01_photo_to_loop"]["nodes"]}


def test_workflow_has_a_thumbnail(repo, name):
    with Image.open(repo / "workflows" / f"{name}.jpg") as thumbnail:
        thumbnail.verify()
        assert thumbnail.format == "JPEG"


def test_workflow_is_offered_as_a_template(server, name):
    assert name in server.get("/workflow_templates")["generative-image-dynamics"]
    assert server.get(f"/api/workflow_templates/generative-image-dynamics/{name}.json")["nodes"]


# -- the file against the live schemas ---------------------------------------------------------------------------------


def test_workflow_fits_the_nodes(workflow, object_info):
    for node in workflow["nodes"]:
        if node["type"] not in NOTES:
            check_node(node, object_info)


def test_links_connect_matching_types(workflow, object_info):
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for link, source, output, target, slot, _ in workflow["links"]:
        given = object_info[nodes[source]["type"]]["output"][output]
        entry = nodes[target]["inputs"][slot]
        taken, _ = spec_of(object_info[nodes[target]["type"]], entry["name"])
        assert set(given.split(",")) & set(taken.split(",")), f"link {link}: {given} into {taken}"
        assert entry["link"] == link
        assert link in nodes[source]["outputs"][output]["links"]


def test_nodes_of_the_pack_name_their_pack(workflow):
    ours = [node for node in workflow["nodes"] if node["type"].startswith("GID_")]
    assert ours
    for node in ours:
        assert node["properties"]["cnr_id"] == "generative-image-dynamics" and node["properties"]["ver"], node["type"]


def test_workflow_fits_a_screen_with_legible_labels(workflow):
    # ComfyUI fits a template into 75 % of its canvas, and leaves out texts below a scale of 8 / 14.
    corners = [(*node["pos"], *node["size"]) for node in workflow["nodes"]]
    width = max(x + w for x, _, w, _ in corners) - min(x for x, _, _, _ in corners)
    height = max(y + h for _, y, _, h in corners) - min(y for _, y, _, _ in corners) + 30
    assert 0.75 * min(1920 / width, 950 / height) > 8 / 14
    assert 0.75 * 1366 / width > 8 / 14  # of small laptops
    # Older pages show the place that is stored: the note is in it.
    (note,) = (node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    view = workflow["extra"]["ds"]
    assert view["scale"] == 1 and [a + b for a, b in zip(view["offset"], note["pos"], strict=True)] == [90, 130]


def test_workflow_uses_only_our_nodes_and_core_nodes(workflow, object_info):
    for node in workflow["nodes"]:
        if node["type"] not in NOTES and not node["type"].startswith("GID_"):
            module = object_info[node["type"]]["python_module"]
            assert module == "nodes" or module.startswith("comfy_extras."), node["type"]


def test_workflow_has_a_note_for_its_user(workflow):
    (note,) = (node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    (text,) = note["widgets_values"]
    assert "Press Run" in text
    loaders = {"LoadImage": "*Load Image*, which is muted", "LoadVideo": "*Load Video*, which is muted"}
    muted = [loaders[node["type"]] for node in workflow["nodes"] if node.get("mode") == 2 and node["type"] in loaders]
    assert (muted or ["*Load Sample*"])[0] in text


def test_the_muted_loader_names_no_file(workflow):
    # A file that does not exist shows as an error before the user has chosen anything, and again when it is unmuted.
    for node in workflow["nodes"]:
        if node["type"] in ("LoadImage", "LoadVideo"):
            assert node["mode"] == 2 and node["widgets_values"][0] == ""


def test_workflow_needs_no_file_of_the_user_and_limits_the_size(workflow):
    active = [node["type"] for node in workflow["nodes"] if node.get("mode", 0) == 0]
    assert {"GID_LoadSample", "GID_FitImage"} <= set(active)
    assert not {"LoadImage", "LoadVideo", "LoadAudio", "CheckpointLoaderSimple", "GID_LoadSpectralVolume"} & set(active)


# -- the run -----------------------------------------------------------------------------------------------------------


def decode(path):
    """Frames, uint8 [T, H, W, 3], and frames per second."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
        return frames, float(stream.average_rate)


def difference(a, b) -> float:
    """Mean absolute difference of two images in 0..255."""
    return float(np.abs(np.subtract(a, b, dtype=np.float32)).mean())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_workflow_makes_a_video_that_moves(server, name, workflow, object_info, provide_inputs):
    prompt = to_prompt(workflow, object_info)
    provide_inputs(prompt)
    # In addition to the video: the image that is rendered, and the frames before H.264.
    ((renderer, node),) = ((number, node) for number, node in prompt.items() if node["class_type"] in RENDERERS)
    source = {"images": node["inputs"]["image"], "filename_prefix": "source"}
    extra = {"source": {"class_type": "SaveImage", "inputs": source}}
    if node["class_type"] == "GID_RenderLoopToVideo":
        inputs = {name: value for name, value in node["inputs"].items() if name != "crf"}
        renderer = "frames"
        extra[renderer] = {"class_type": "GID_SoftmaxSplatRender", "inputs": inputs}
    extra["all"] = {"class_type": "SaveImage", "inputs": {"images": [renderer, 0], "filename_prefix": "frame"}}
    files = server.outputs(server.run(prompt | extra))
    (video,) = (file for file in files if file.suffix == ".mp4")
    (image,) = (np.asarray(Image.open(file)) for file in files if file.name.startswith("source"))
    rendered = [np.asarray(Image.open(file)) for file in files if file.name.startswith("frame")]
    frames, fps = decode(video)

    count, expected_fps, size = EXPECTED[name]
    assert (len(frames), frames.shape[1:3]) == (count, size) == (len(rendered), rendered[0].shape[:2])
    assert fps == pytest.approx(expected_fps, rel=0.001)
    # ComfyUI's H.264 blurs more and more until the next key frame: by 5 at the end, at this size.
    assert max(difference(a, b) for a, b in zip(frames, rendered, strict=True)) < 8
    assert difference(frames[0], image) < 5

    steps = [difference(a, b) for a, b in zip(rendered, rendered[1:], strict=False)]
    assert max(difference(frame, image) for frame in rendered) > 3 * np.median(steps) > 0.1, "nothing moves"
    if name not in DO_NOT_LOOP:
        # Only the first frame is not interpolated, which increases the steps next to it a little.
        assert difference(rendered[-1], rendered[0]) < 1.5 * max(np.median(steps), steps[0]), "the seam is visible"
    assert steps[0] < max(2 * np.median(steps), 1.2 * max(steps[1:]))
    assert difference(rendered[0], image) < 0.01, "the first frame is not the image"
    with av.open(str(video)) as container:
        saved = json.loads(container.metadata["prompt"])
        has_audio = bool(container.streams.audio)
    assert has_audio == any(
        "audio" in node["inputs"] for node in prompt.values() if node["class_type"] == "CreateVideo"
    )
    assert prompt.items() <= saved.items()


def run_files(server, workflow, object_info, provide_inputs) -> dict[str, list]:
    """Run a workflow; the new files in the output folder by their suffix."""
    output = server.base / "output"
    before = set(output.rglob("*.*"))
    prompt = to_prompt(workflow, object_info)
    provide_inputs(prompt)
    server.run(prompt)
    files = {}
    for path in sorted(set(output.rglob("*.*")) - before):
        files.setdefault(path.suffix, []).append(path)
    return files


def test_an_interactive_photo_is_a_page(server, workflows, object_info, provide_inputs):
    files = run_files(server, workflows["15_interactive_photo"], object_info, provide_inputs)
    ((page,),) = files.values()
    assert page.suffix == ".html" and "<title>Flowers</title>" in page.read_text(encoding="utf-8")


def test_motion_becomes_flow_files_and_their_colors(server, workflows, object_info, provide_inputs):
    files = run_files(server, workflows["16_motion_to_flow"], object_info, provide_inputs)
    assert {suffix: len(paths) for suffix, paths in files.items()} == {".exr": 30, ".mp4": 1}
    frames, fps = decode(files[".mp4"][0])
    assert frames.shape == (30, 72, 128, 3) and fps == 30
    assert frames[0].min() > 250, "the flow of the first frame is not 0"
    assert difference(frames[15], frames[0]) > 3


def test_the_sticker_keeps_its_transparency(server, workflows, object_info, provide_inputs):
    files = run_files(server, workflows["13_sticker_with_alpha"], object_info, provide_inputs)
    count, fps, size = 60, 20, (72, 128)
    assert files.keys() == {".webp", ".png"}
    for (file,) in files.values():
        with Image.open(file) as animation:
            assert (animation.n_frames, animation.size[::-1]) == (count, size)
            frames, duration = [], 0
            for index in range(count):
                animation.seek(index)
                frames.append(np.asarray(animation.convert("RGBA")))
                duration += animation.info["duration"]
        assert duration == pytest.approx(1000 * count / fps, rel=0.02)
        assert (frames[0][8:40, 40:80, 3] == 0).all() and (frames[0][40:, 100:, 3] == 255).all()
        visible = [frame[..., :3] * (frame[..., 3:] / 255) for frame in frames]
        steps = [difference(a, b) for a, b in zip(visible, visible[1:], strict=False)]
        assert max(difference(visible[0], frame) for frame in visible) > 1.5 * np.median(steps) > 0.1, "nothing moves"
        assert difference(visible[-1], visible[0]) < 2 * np.median(steps), "the seam is visible"


def test_frames_follow_the_measured_motion(graph, clip, clip_frames):
    """The loop of a clip's first frame shows the clip's motion: it is nearer to the clip than the first frame is."""
    measured = graph.add("GID_SpectralVolumeFromVideo", video=graph.video(clip), detrend="none")
    motion = graph.add("GID_LoopMotion", spectral_volume=measured, num_frames=40)
    frames = graph.save(graph.add("GID_SoftmaxSplatRender", image=measured[1], motion=motion))
    rendered = torch.from_numpy(graph.run().images(frames)).float() / 255
    error = (rendered - clip_frames).square().mean(dim=(1, 2, 3))
    static_error = (clip_frames[:1] - clip_frames).square().mean(dim=(1, 2, 3))
    middle = slice(3, 37)  # without the ends, where a window that does not loop rings
    assert error[middle].mean() < 0.5 * static_error[middle].mean()
