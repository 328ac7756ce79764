"""Modal Force, Wind Force, Audio Force and Sway From Mask through the server, without a page."""

import json
import urllib.request
import uuid
import wave

import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import NodeFailed, PromptRejected
from gid_core.dynamics.oscillators import Damping
from gid_core.rendering.live_packet import unpack

PULL = [{"x": 0.5, "y": 0.5, "dx": 0.08, "dy": -0.02, "time": 0.1}]
FRAMES = 12


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Random noise, [72, 128, 3] in steps of 1/255."""
    return np.random.default_rng(0).integers(0, 256, (72, 128, 3)) / 255


def library_frames(photo, motion) -> np.ndarray:
    """The library's frames as Save Image writes them: uint8 [frames, H, W, 3]."""
    frames = gid.render(torch.as_tensor(photo).float(), motion)
    return (frames.clamp(0, 1) * 255).byte().numpy()


def largest_step(a, b) -> int:
    return int(np.abs(a.astype(int) - b).max())


# -- Modal Force -------------------------------------------------------------------------------------------------------


def modal(graph, volume, pokes=PULL, **inputs):
    text = pokes if isinstance(pokes, str) else json.dumps(pokes)
    volume = graph.volume(volume) if isinstance(volume, gid.SpectralVolume) else volume
    return graph.add("GID_ModalForce", **{"spectral_volume": volume, "pokes": text, "num_frames": FRAMES, **inputs})


@pytest.mark.parametrize(
    ("widgets", "arguments"),
    [
        ({}, {}),
        ({"strength": 2.0, "speed": 0.5}, {"strength": 2.0, "speed": 0.5}),
        ({"damping": 3.0}, {"damping": Damping(1.2, 0.24)}),
        ({"alpha": 1.0, "beta": 0.01}, {"damping": Damping(1.0, 0.01)}),
        ({"damping_ratio": 0.2, "damping": 9.0}, {"damping": Damping(ratio=0.2)}),
        ({"max_displacement": 1.0}, {"max_displacement": 0.01}),
        ({"integrator": "semi_implicit_euler"}, {"integrator": "semi_implicit_euler"}),
    ],
    ids=lambda value: "-".join(value),
)  # fmt: skip
def test_modal_force_equals_the_librarys_poke(graph, photo, volume, widgets, arguments):
    motion = modal(graph, volume, fps=20.0, **widgets)
    saved = graph.render(photo, motion)
    fps, frames = graph.show(motion[1]), graph.show(motion[2])
    graph.run()
    assert [float(graph.text(fps)), float(graph.text(frames))] == [20, FRAMES]
    expected = gid.poke(volume, [gid.Poke(**PULL[0])], num_frames=FRAMES, fps=20.0, **arguments)
    made = graph.images(saved)
    assert largest_step(made, library_frames(photo, expected)) <= 1
    assert (made[0] == made[2]).all() and (made[8] != made[0]).mean() > 0.3


@pytest.mark.parametrize(
    ("pokes", "message"),
    [
        ("[{", "The pokes are not valid JSON"),
        ('{"x": 0.5}', "The pokes must be a list"),
        ('[{"x": 1.4, "y": 0.5, "dx": 0, "dy": 0}]', "Poke 1: x is 1.4; it must be 0 to 1"),
        ('[{"x": 0, "y": 0, "dx": 0, "dy": 0}, {"x": 0, "y": NaN, "dx": 0, "dy": 0}]', "Poke 2: y is nan"),
        ('[{"x": 0.5, "y": 0.5, "dx": 0.1}]', "Poke 1: dy is missing"),
        ('[{"x": 0.5, "y": 0.5, "dx": 0, "dy": 0, "force": 2}]', "Poke 1: 'force' is not known"),
    ],
    ids=["malformed", "no list", "outside", "NaN", "missing", "unknown"],
)
@pytest.mark.parametrize("over_a_link", [False, True], ids=["widget", "link"])
def test_invalid_pokes_are_refused_on_the_node(graph, volume, pokes, message, over_a_link):
    text = graph.add("PrimitiveString", value=pokes) if over_a_link else pokes
    node = modal(graph, volume)
    graph.prompt[node.id]["inputs"]["pokes"] = text[0] if over_a_link else text
    graph.show(node[2])
    if over_a_link:  # the text is known only when the node runs
        with pytest.raises(NodeFailed) as failed:
            graph.run()
        assert failed.value.node_type == "GID_ModalForce" and message in failed.value.exception_message
    else:
        with pytest.raises(PromptRejected) as refused:
            graph.run()
        (error,) = refused.value.node_errors[node.id]["errors"]
        assert message in error["details"]


def test_one_photo_at_a_time(graph, make_volume):
    graph.show(modal(graph, make_volume((24, 32), batch=2))[2])
    with pytest.raises(NodeFailed) as failed:
        graph.run()
    assert failed.value.node_type == "GID_ModalForce"
    assert "got 2 photos. Poke one photo at a time" in failed.value.exception_message


def test_an_integrator_that_would_diverge(graph, volume):
    graph.show(modal(graph, volume, fps=2.0, integrator="explicit_euler")[2])
    with pytest.raises(NodeFailed) as failed:
        graph.run()
    assert "explicit_euler with steps of 0.5 s blows up at" in failed.value.exception_message


def test_without_pokes_nothing_moves(graph, photo, volume):
    saved = graph.render(photo, modal(graph, volume, "", num_frames=3))
    for frame in graph.run().images(saved):
        assert (frame == np.round(photo * 255)).all()


def test_a_poke_where_nothing_moves_gives_a_note_on_the_node(graph, photo, volume):
    coefficients = volume.coefficients.clone()
    coefficients[..., 64:] = 0
    pokes = [{**PULL[0], "x": 0.1}, {**PULL[0], "x": 0.9}]
    node = modal(graph, volume.replace(coefficients=coefficients), pokes)
    saved = graph.render(photo, node)
    text, _ = graph.run_and_listen()
    assert text[node.id].startswith("12 frames, 0.40 s at 30 fps\nPoke 2 at (0.9, 0.5): nothing moves there")
    frames = graph.images(saved)
    assert (frames[-1][:, :48] != frames[0][:, :48]).mean() > 0.3
    # After a correction the note disappears.
    graph.prompt[node.id]["inputs"]["pokes"] = json.dumps(pokes[:1])
    text, _ = graph.run_and_listen()
    assert text[node.id] == "12 frames, 0.40 s at 30 fps"


# -- Wind Force --------------------------------------------------------------------------------------------------------


def wind(graph, volume, **inputs):
    return graph.add("GID_Wind", **{"spectral_volume": graph.volume(volume), "num_frames": FRAMES, **inputs})


@pytest.mark.parametrize(
    ("widgets", "arguments"),
    [
        ({}, {}),
        ({"direction": 90.0, "strength": 0.5}, {"direction_degrees": 90.0, "strength": 0.5}),
        ({"gustiness": 1.0, "seed": 2**32 - 1, "loop": True}, {"gustiness": 1.0, "seed": 2**32 - 1, "loops": True}),
        ({"damping": 3.0, "speed": 2.0}, {"damping": Damping(1.2, 0.24), "speed": 2.0}),
        ({"damping_ratio": 0.2, "max_displacement": 1.0}, {"damping": Damping(ratio=0.2), "max_displacement": 0.01}),
    ],
    ids=lambda value: "-".join(value),
)  # fmt: skip
def test_wind_force_equals_the_librarys_wind(graph, photo, volume, widgets, arguments):
    motion = wind(graph, volume, fps=5.0, **widgets)
    saved = graph.render(photo, motion)
    fps, frames = graph.show(motion[1]), graph.show(motion[2])
    graph.run()
    assert [float(graph.text(fps)), float(graph.text(frames))] == [5, FRAMES]
    made = graph.images(saved)
    expected = gid.wind(volume, num_frames=FRAMES, fps=5.0, **arguments)
    assert largest_step(made, library_frames(photo, expected)) <= 1
    assert (made[8] != made[0]).mean() > 0.3


def test_wind_moves_several_photos(graph, photo, make_volume):
    saved = graph.render(photo, wind(graph, make_volume((24, 32), batch=2), num_frames=3))
    assert len(graph.run().images(saved)) == 6


# -- Audio Force -------------------------------------------------------------------------------------------------------

RATE = 8000


def beats(seconds=1.0, loud=0.5) -> np.ndarray:
    """Two drum beats and a high note: int16 [samples]."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(
        np.sin(2 * np.pi * hertz * time) * np.exp(-9 * np.maximum(time - start, 0)) * (time >= start)
        for hertz, start in ((110, 0.1), (1760, 0.4), (110, 0.6))
    )
    return (loud * wave / np.abs(wave).max() * 32767).astype(np.int16)


def load_audio(graph, samples, tmp_path):
    """LoadAudio of the samples as a file, and the same samples as a waveform in -1..1."""
    path = tmp_path / f"audio_{id(graph)}.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    return graph.add("LoadAudio", audio=graph.server.upload_image(path)), torch.from_numpy(samples / 32768)


@pytest.mark.parametrize(
    ("widgets", "arguments"),
    [
        ({}, {}),
        ({"direction": 90.0, "strength": 0.5}, {"direction_degrees": 90.0, "strength": 0.5}),
        ({"attack": 0.2, "release": 1.0, "num_frames": 30}, {"attack": 0.2, "release": 1.0, "num_frames": 30}),
        ({"damping": 3.0, "speed": 2.0}, {"damping": Damping(1.2, 0.24), "speed": 2.0}),
        ({"damping_ratio": 0.2, "max_displacement": 1.0}, {"damping": Damping(ratio=0.2), "max_displacement": 0.01}),
    ],
    ids=lambda value: "-".join(value),
)  # fmt: skip
def test_audio_force_equals_the_librarys_from_audio(graph, photo, volume, tmp_path, widgets, arguments):
    audio, waveform = load_audio(graph, beats(), tmp_path)
    motion = graph.add("GID_AudioForce", spectral_volume=graph.volume(volume), audio=audio, fps=20.0, **widgets)
    saved = graph.render(photo, motion)
    fps, frames = graph.show(motion[1]), graph.show(motion[2])
    graph.run()
    expected = gid.from_audio(volume, waveform, RATE, **{"fps": 20.0, **arguments})
    assert [float(graph.text(fps)), float(graph.text(frames))] == [20, len(expected)]
    assert len(expected) == widgets.get("num_frames", 20)
    made = graph.images(saved)
    assert largest_step(made, library_frames(photo, expected)) <= 1
    assert (made[0] == np.round(photo * 255)).all() and (made[9] != made[0]).mean() > 0.1


def test_silent_audio_gives_a_note_on_the_node(graph, photo, volume):
    silence = graph.add("EmptyAudio", duration=0.2)
    node = graph.add("GID_AudioForce", spectral_volume=graph.volume(volume), audio=silence)
    saved = graph.render(photo, node)
    text, _ = graph.run_and_listen()
    assert text[node.id] == "6 frames, 0.20 s at 30 fps\nThe audio is silent, so nothing moves."
    for frame in graph.images(saved):
        assert (frame == np.round(photo * 255)).all()


@pytest.mark.parametrize(
    ("case", "message"),
    [("empty", "The audio is empty"), ("none", "holds no audio")],
)
def test_missing_audio_is_refused(graph, volume, clip, case, message):
    if case == "empty":
        audio = graph.add("EmptyAudio", duration=0.0)
    else:  # from a video without a sound track
        audio = graph.add("GetVideoComponents", video=graph.video(clip))[1]
    node = graph.add("GID_AudioForce", spectral_volume=graph.volume(volume), audio=audio)
    graph.show(node[2])
    with pytest.raises(NodeFailed) as failed:
        graph.run()
    assert failed.value.node_type == "GID_AudioForce" and message in failed.value.exception_message


# -- all three forces --------------------------------------------------------------------------------------------------


def force(graph, kind, volume, **inputs):
    """A small force of one of the three kinds."""
    if kind == "GID_AudioForce":
        inputs["audio"] = graph.add("EmptyAudio", duration=0.2)
    elif kind == "GID_ModalForce":
        inputs["pokes"] = json.dumps(PULL)
    return graph.add(kind, spectral_volume=graph.volume(volume), **{"num_frames": FRAMES, **inputs})


KINDS = ["GID_ModalForce", "GID_Wind", "GID_AudioForce"]


def test_unchanged_nodes_do_not_run_again(caching_graph, volume):
    graph = caching_graph
    nodes = [force(graph, kind, volume) for kind in KINDS]
    for node in nodes:
        graph.show(node[2])

    def cached():
        return set(dict(graph.run().entry["status"]["messages"])["execution_cached"]["nodes"])

    assert not cached()
    assert cached() == set(graph.prompt)
    graph.prompt[nodes[1].id]["inputs"]["strength"] = 0.5
    assert cached() & {node.id for node in nodes} == {nodes[0].id, nodes[2].id}


@pytest.mark.parametrize("with_image", [True, False], ids=["image", "alone"])
@pytest.mark.parametrize("kind", ["GID_ModalForce", "GID_Wind"])
def test_the_page_gets_the_packet_of_the_live_view(server, graph, kind, with_image, photo, volume):
    node = force(graph, kind, volume, **({"image": graph.image(photo)} if with_image else {}))
    graph.show(node[2])
    _, sent = graph.run_and_listen()
    (live,) = sent[node.id]["gid_live"]
    with urllib.request.urlopen(f"{server.url}/gid/live/{live['digest']}") as answer:
        packet = unpack(answer.read())
    assert packet.header["photo"] == with_image
    assert packet.header["volume_size"] == list(volume.size) and packet.header["bins"] == volume.num_bins - 1


def test_the_image_does_not_change_the_motion(graph, photo, volume):
    alone, seen = (force(graph, "GID_Wind", volume, **extra) for extra in ({}, {"image": graph.image(photo)}))
    saves = [graph.render(photo, node) for node in (alone, seen)]
    graph.run()
    assert (graph.images(saves[0]) == graph.images(saves[1])).all()


@pytest.mark.parametrize("kind", ["GID_ModalForce", "GID_Wind", "GID_AudioForce"])
@pytest.mark.parametrize(
    ("widget", "value", "limit"), [("strength", -1.0, "0"), ("fps", 0.0, "1"), ("alpha", -1.0, "0")]
)
def test_a_widget_beyond_its_limits(graph, volume, kind, widget, value, limit):
    graph.show(force(graph, kind, volume, **{widget: value})[2])
    with pytest.raises(PromptRejected) as refused:
        graph.run()
    assert widget in str(refused.value.node_errors) and limit in str(refused.value.node_errors)


def test_a_new_page_gets_the_live_packet_of_cached_nodes(caching_graph, volume, photo):
    """A new page knows nothing of earlier runs, and ComfyUI does not run cached nodes again."""
    graph = caching_graph
    source = graph.image(photo)
    node = modal(graph, volume, image=source)
    graph.save(graph.add("GID_SoftmaxSplatRender", image=source, motion=node, num_frames=2))
    first = graph.run_and_listen()[1][node.id]["gid_live"]
    graph.server.client_id = uuid.uuid4().hex
    assert graph.run_and_listen()[1][node.id]["gid_live"] == first
