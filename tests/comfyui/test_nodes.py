"""The nodes do on the server what their tooltips say."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import gid_core as gid
from comfy_server import COMFYUI
from gid_core.sources.video import read_window


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Random noise, [72, 128, 3] in steps of 1/255."""
    return np.random.default_rng(0).integers(0, 256, (72, 128, 3)) / 255


def as_bytes(photo) -> np.ndarray:
    return np.round(np.asarray(photo) * 255).astype(np.uint8)


def largest_step(a, b) -> int:
    return int(np.abs(a.astype(int) - b).max())


# -- Save and Load -----------------------------------------------------------------------------------------------------


def test_a_saved_volume_is_loaded_again(server, graph, volume):
    odd = volume.replace(fps=23.5, period=120, detrend="ramp", metadata={"source": "a test"})
    loaded = graph.volume(odd)
    fps = graph.show(loaded[1])
    save = graph.add("GID_SaveSpectralVolume", spectral_volume=loaded, filename_prefix="kept/sway")
    name = graph.show(save)
    graph.run()
    assert float(graph.text(fps)) == 23.5
    annotated = graph.text(name)
    assert annotated.startswith("kept/sway_") and annotated.endswith(".safetensors [output]")
    assert graph.text(save) == annotated  # the node shows it too

    path = server.base / "output" / annotated.removesuffix(" [output]")
    again = gid.SpectralVolume.load(path)
    assert torch.equal(again.coefficients, odd.coefficients)
    assert (again.fps, again.period, again.detrend) == (23.5, 120, "ramp")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["source"] == "a test"
    assert json.loads(metadata["prompt"]) == graph.prompt

    # The Load node lists the file under the name that the Save node returned, and loads it. What a killed process has
    # left half written is not listed.
    path.with_name(".sway-12345678.safetensors").write_bytes(b"half")
    listed = server.object_info("GID_LoadSpectralVolume")["input"]["required"]["file"][1]["options"]
    assert annotated in listed and not any(".sway" in name for name in listed)
    graph.prompt.clear()
    fps = graph.show(graph.add("GID_LoadSpectralVolume", file=annotated)[1])
    assert float(graph.run().text(fps)) == 23.5


def test_a_file_that_changes_under_its_name_is_loaded_again(caching_graph, volume):
    graph = caching_graph
    loaded = graph.volume(volume)
    fps = graph.show(loaded[1])
    assert float(graph.run().text(fps)) == 30
    path = graph.server.base / "input" / graph.prompt[loaded.id]["inputs"]["file"]
    volume.replace(fps=24.0).save(path)
    assert float(graph.run().text(fps)) == 24


def test_the_file_contains_the_workflow(server, graph, volume):
    # Only the page sends the workflow along with the prompt.
    save = graph.add("GID_SaveSpectralVolume", spectral_volume=graph.volume(volume), filename_prefix="kept/workflow")
    workflow = {"nodes": [], "links": []}
    payload = {"prompt": graph.prompt, "extra_data": {"extra_pnginfo": {"workflow": workflow}}}
    entry = server.wait(server.post("/prompt", payload)["prompt_id"])
    name = entry["outputs"][save.id]["text"][0].removesuffix(" [output]")
    with safe_open(server.base / "output" / name, "pt") as file:
        assert json.loads(file.metadata()["workflow"]) == workflow


def test_saving_twice_makes_two_files(graph, volume):
    loaded = graph.volume(volume)
    saves = [
        graph.add("GID_SaveSpectralVolume", spectral_volume=loaded, filename_prefix="kept/twice") for _ in range(2)
    ]
    graph.run()
    assert len({graph.text(save) for save in saves}) == 2


# -- Spectral Volume From Video ----------------------------------------------------------------------------------------


def test_a_video_and_its_frames_give_the_same_volume(server, graph, clip):
    video = graph.video(clip)
    parts = graph.add("GetVideoComponents", video=video)
    saves = []
    # The batch takes its frame rate from the widget. The video has its own, so the widget is ignored.
    for source, fps in ((video, 99.0), (parts[0], 8.0)):
        measured = graph.add("GID_SpectralVolumeFromVideo", video=source, fps=fps, max_size=64)
        saves.append(graph.add("GID_SaveSpectralVolume", spectral_volume=measured, filename_prefix="kept/measured"))
        shown = graph.show(measured[2])
    graph.run()
    assert float(graph.text(shown)) == 8
    volumes = [
        gid.SpectralVolume.load(server.base / "output" / graph.text(save).removesuffix(" [output]")) for save in saves
    ]
    assert volumes[0].size == (36, 64) and volumes[0].num_bins == 16
    assert volumes[0].fps == 30  # 150 samples in 5 seconds
    frames, fps, _ = read_window(clip, max_size=64)
    of_library = gid.extract_spectral_volume(frames, fps, detrend="ramp", max_size=64)
    assert torch.equal(volumes[0].coefficients, of_library.coefficients)
    # ComfyUI converts the frames of a file less exactly: its chroma is shifted and colors are up to 2 of 255 off.
    difference = (volumes[0].coefficients - volumes[1].coefficients).norm() / volumes[1].coefficients.norm()
    assert difference < 0.3, difference


def test_the_reference_is_the_start_frame(graph, clip):
    video = graph.video(clip)
    parts = graph.add("GetVideoComponents", video=video)
    all_frames = graph.save(parts)
    references = []
    for source in (parts, video):  # of a video, only the window is read
        measured = graph.add("GID_SpectralVolumeFromVideo", video=source, fps=8.0, start_frame=7, max_size=64)
        references.append(graph.save(measured[1]))
    graph.run()
    of_batch, of_video = (graph.images(reference)[0].astype(float) for reference in references)
    differences = [abs(of_video - image.astype(float)).mean() for image in graph.images(all_frames)]
    assert (of_batch == graph.images(all_frames)[7]).all()
    assert min(differences) == differences[7] < 4, differences  # ComfyUI converts colors less exactly


# A file that newer ComfyUI versions pass: they tell which part of it counts, older ones of them do not.
TRIMMED = """
import importlib.util, sys
folder, comfyui, clip = sys.argv[1:]
sys.path.insert(0, comfyui)
import comfy.cli_args
comfy.cli_args.args.cpu = True
spec = importlib.util.spec_from_file_location("pack", folder + "/__init__.py")
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
from comfy_api.latest import InputImpl
from pack.nodes.nodes_video import _read_window

class Silent(InputImpl.VideoFromFile):
    read_completely = False
    def as_trimmed(self, *_): ...
    def get_components(self):
        self.read_completely = True
        return super().get_components()

class Telling(Silent):
    window = 0.0, 0.0
    def get_active_trim_window(self):
        return self.window

class Trimmed(Telling):
    window = 1.0, 0.0

for kind in (Silent, Telling, Trimmed):
    video = kind(clip)
    _read_window(video, 0, 1.0, 32)
    sys.stdout.write(f"{kind.__name__} {video.read_completely}, ")
"""


def test_only_a_file_that_may_be_trimmed_is_read_completely(repo, clip):
    command = [sys.executable, "-c", TRIMMED, str(repo), str(COMFYUI), str(clip)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Silent True, Telling False, Trimmed True, " in done.stdout


# -- Loop and Amplify --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("widgets", "frames", "fps"),
    [
        ({}, 150, 30),
        ({"speed": 0.5}, 300, 30),
        ({"num_frames": 24}, 24, 30),
        ({"fps": 12.0}, 60, 12),
        ({"fps": 12.0, "speed": 2.0, "num_frames": 31}, 31, 12),
    ],
)
def test_loop_returns_its_length_and_rate(graph, volume, widgets, frames, fps):
    motion = graph.add("GID_LoopMotion", spectral_volume=graph.volume(volume), **widgets)
    shown = [graph.show(motion[1]), graph.show(motion[2])]
    graph.run()
    assert [float(graph.text(node)) for node in shown] == [fps, frames]


def test_a_long_loop_is_the_librarys_and_tells_its_length(graph, volume):
    motion = graph.add("GID_LongLoop", spectral_volume=graph.volume(volume), seconds=6.5, fps=12.0, seed=3)
    flow = graph.add("GID_MotionToFlow", motion=motion, start_frame=30, num_frames=1, file_format="flo")
    shown = [graph.show(value) for value in (motion[1], motion[2], flow[2])]
    texts, _ = graph.run_and_listen()
    assert [float(graph.text(node)) for node in shown[:2]] == [12, 78]
    assert texts[motion.id] == "78 frames, 6.50 s at 12 fps"
    flow = cv2.readOpticalFlow(graph.text(shown[2]) % 0)
    expected = gid.long_loop(volume, seconds=6.5, fps=12, seed=3).displacement(30, 31)[0, 0]
    np.testing.assert_allclose(flow, expected.permute(1, 2, 0), atol=1e-4)


def render(graph, photo, motion, **inputs):
    source = graph.image(photo) if isinstance(photo, np.ndarray) else photo
    return graph.add("GID_SoftmaxSplatRender", image=source, motion=motion, **inputs)


def test_gain_zero_gives_the_photo(graph, photo, volume):
    still = graph.add("GID_AmplifyMotion", spectral_volume=graph.volume(volume), gain=0.0)
    saved = graph.save(render(graph, photo, still, num_frames=3))
    for frame in graph.run().images(saved):
        assert (frame == as_bytes(photo)).all()


def test_amplify_changes_nothing_where_its_mask_is_black(graph, photo, volume):
    alpha = np.zeros((72, 128, 1))
    alpha[:, :64] = 1
    # LoadImage's mask is 1 - alpha: the right half is white and moves.
    mask = graph.image(np.concatenate([photo, alpha], axis=2))[1]
    changed = graph.add("GID_AmplifyMotion", spectral_volume=graph.volume(volume), mask=mask, feather=4.0)
    # Moving pixels may cross the edge by a few pixels only.
    saved = graph.save(render(graph, photo, changed, start_frame=20, num_frames=2))
    for frame in graph.run().images(saved):
        assert (frame[:, :32] == as_bytes(photo)[:, :32]).all()
        assert (frame[:, 80:] != as_bytes(photo)[:, 80:]).mean() > 0.5


# -- Softmax Splat Render ----------------------------------------------------------------------------------------------


def test_black_in_the_mask_keeps_the_pixels_exactly(graph, photo, volume):
    alpha = np.ones((36, 64, 1))  # another size than the photo's
    alpha[:18] = 0  # the upper half may move
    mask = graph.image(np.concatenate([photo[::2, ::2], alpha], axis=2))[1]
    frames = render(graph, photo, graph.volume(volume), mask=mask, start_frame=10, num_frames=4)
    saved = graph.save(frames)
    for frame in graph.run().images(saved):
        assert (frame[37:] == as_bytes(photo)[37:]).all()
        assert (frame[:30] != as_bytes(photo)[:30]).mean() > 0.5


def test_load_images_placeholder_mask_is_ignored(graph, photo, volume):
    source = graph.image(photo)  # no alpha: LoadImage's mask is 64 x 64 zeros
    shape = graph.add("MaskToImage", mask=source[1])
    size = graph.add("GetImageSize", image=shape)
    motion = graph.volume(volume)
    kept = graph.show(size)
    saves = [
        graph.save(graph.add("GID_SoftmaxSplatRender", image=source, motion=value, num_frames=8, **mask))
        for value, mask in (
            (motion, {}),
            (motion, {"mask": source[1]}),
            (graph.add("GID_AmplifyMotion", spectral_volume=motion, mask=source[1]), {}),
        )
    ]
    graph.run()
    assert graph.text(kept) == "64"
    plain, masked, amplified = (graph.images(save) for save in saves)
    assert (plain[7] != plain[0]).any()
    assert (plain == masked).all()
    assert largest_step(plain, amplified) <= 1


def test_alpha_moves_with_the_image(graph, photo, volume):
    alpha = np.zeros((72, 128, 1))
    alpha[20:52, 40:88] = 1
    source = graph.image(np.concatenate([photo, alpha], axis=2))
    joined = graph.add("JoinImageWithAlpha", image=source, alpha=source[1])
    saved = graph.save(render(graph, joined, graph.volume(volume), num_frames=30))
    images = graph.run().images(saved)
    assert images.shape == (30, 72, 128, 4)
    assert (images[0][..., 3] == as_bytes(alpha)[..., 0]).all()
    moved = images[20][..., 3]
    assert (moved != images[0][..., 3]).any()
    # The covered area stays about the same.
    assert abs((moved > 127).mean() / (alpha > 0.5).mean() - 1) < 0.15


def test_a_part_equals_the_same_part_of_the_whole_clip(graph, photo, volume):
    source, motion = graph.image(photo), graph.volume(volume)
    parts = [(0, 0), (3, 5), (140, 20), (150, 1)]
    saves = [graph.save(render(graph, source, motion, start_frame=start, num_frames=count)) for start, count in parts]
    odd = graph.save(render(graph, source, motion, start_frame=3, num_frames=5, frames_at_once=2))
    graph.run()
    whole, middle, around, again = (graph.images(save) for save in saves)
    assert len(whole) == 150
    # Sums in another order differ in the seventh digit, and Save Image truncates to eight bits.
    assert largest_step(middle, whole[3:8]) <= 1
    assert largest_step(graph.images(odd), middle) <= 1
    assert largest_step(around, np.concatenate([whole[140:], whole[:10]])) <= 1
    assert largest_step(again, whole[:1]) <= 1


def test_holes_are_white_where_nothing_landed(graph, volume, photo):
    # The left half moves left and back: a hole opens in the middle, and none in the right half.
    coefficients = torch.zeros(1, 16, 4, 72, 128)
    coefficients[:, 1, 0, :, :64] = 75 * 4  # x = 4 cos(w t) - 4
    frames = render(graph, photo, graph.volume(volume.replace(coefficients=coefficients)), start_frame=75, num_frames=1)
    saved = graph.save(graph.add("MaskToImage", mask=frames[1]))
    (holes,) = graph.run().images(saved)[..., 0]
    assert holes.shape == (72, 128)
    assert (holes[:, 58:62] > 200).all()
    assert (holes[:, 66:126] == 0).all() and (holes[:, 4:50] == 0).all()


def test_a_motion_fits_an_image_of_another_size(graph, photo, volume):
    large = np.repeat(np.repeat(photo, 2, axis=0), 2, axis=1)
    saved = graph.save(render(graph, large, graph.volume(volume), start_frame=20, num_frames=1))
    assert graph.run().images(saved).shape == (1, 144, 256, 3)


def test_batches_come_one_clip_after_another(graph, photo, make_volume):
    source = graph.image(photo)
    pair = graph.volume(make_volume((72, 128), batch=2, seed=5))
    both = graph.save(render(graph, source, pair, start_frame=30, num_frames=2))
    images = graph.run().images(both)
    assert images.shape == (4, 72, 128, 3)
    assert (images[0] != images[2]).mean() > 0.3


def test_looping_preview_is_a_looping_webp_in_temp(server, graph, photo, volume):
    frames = render(graph, photo, graph.volume(volume))
    graph.show(frames[2])
    graph.run()
    (shown,) = graph.entry["outputs"][frames.id]["gid_loop"]
    assert shown["type"] == "temp"
    path = server.base / "temp" / shown["subfolder"] / shown["filename"]
    with Image.open(path) as webp:
        assert webp.format == "WEBP" and webp.is_animated
        assert webp.info["loop"] == 0  # without end
        assert webp.n_frames == 75 and webp.size == (128, 72)
        seconds = 0
        for index in range(webp.n_frames):
            webp.seek(index)
            webp.load()
            seconds += webp.info["duration"] / 1000
    assert seconds == pytest.approx(5, rel=0.02)  # plays as fast as the clip


def test_the_preview_of_a_large_photo_is_small(server, graph, volume):
    image = graph.add("EmptyImage", width=800, height=400, batch_size=1, color=0x336699)
    frames = graph.add("GID_SoftmaxSplatRender", image=image, motion=graph.volume(volume), num_frames=2)
    graph.show(frames[2])
    graph.run()
    with Image.open(server.base / "temp" / graph.entry["outputs"][frames.id]["gid_loop"][0]["filename"]) as webp:
        assert webp.size == (384, 192)


# -- Preview Motion ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_image", [True, False], ids=["image", "alone"])
@pytest.mark.parametrize("as_motion", [True, False], ids=["motion", "volume"])
def test_preview_shows_four_images_in_one_picture(server, graph, photo, volume, with_image, as_motion):
    motion = graph.volume(volume)
    if as_motion:
        motion = graph.add("GID_LoopMotion", spectral_volume=motion, num_frames=60)
    image = {"image": graph.image(photo)} if with_image else {}
    preview = graph.add("GID_PreviewMotion", motion=motion, **image)
    saves = [graph.save(preview[i]) for i in range(4)]
    graph.run()
    (file,) = graph.entry["outputs"][preview.id]["images"]  # Nodes 2.0 would show one of several
    assert file["type"] == "temp"
    shown = np.asarray(Image.open(*graph.files(preview)).convert("RGB"))
    upper = max(graph.images(save).shape[1] for save in saves[:2])
    for i, save in enumerate(saves):
        output = graph.images(save)
        assert output.shape[0] == 1 and output.shape[-1] == 3
        height, width = output.shape[1:3]
        top, left = (0 if i < 2 else upper + 8), (0 if i % 2 == 0 else shown.shape[1] - width)
        assert (output[0] == shown[top : top + height, left : left + width]).all(), i
        assert 200 <= output.shape[2] <= 1024 and output.shape[1] >= 100
        assert output.std() > 5, "the image is empty"
    motion_map = graph.images(saves[0])[0]
    assert motion_map.shape[1] / motion_map.shape[0] == pytest.approx(128 / 72, rel=0.02)  # the photo's proportions
