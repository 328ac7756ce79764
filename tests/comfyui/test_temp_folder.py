"""ComfyUI's temp folder is emptied while nodes are cached: by hand, or by a second server that starts on the folder."""

import shutil
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from comfy_server import ComfyServer


@pytest.fixture(scope="module")
def caching(tmp_path_factory):
    """A server with ComfyUI's usual cache; the shared one has none."""
    with ComfyServer(tmp_path_factory.mktemp("caching"), cpu=True) as server:
        yield server


@pytest.fixture
def graph(graph, caching, tmp_path):
    return type(graph)(caching, tmp_path)


def live_status(server, digest) -> int:
    try:
        with urllib.request.urlopen(f"{server.url}/gid/live/{digest}") as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def wind_and_loop(graph, make_volume, color=0.5):
    """A force with its live view, and a looping preview of another node, of a photo of one color."""
    photo = graph.image(np.full((24, 32, 3), color))
    volume = graph.volume(make_volume((24, 32)))
    force = graph.add("GID_Wind", spectral_volume=volume, image=photo, num_frames=3)
    loop = graph.add("GID_SoftmaxSplatRender", image=photo, motion=volume, num_frames=2)
    graph.show(force[2]), graph.show(loop[2])
    return force, loop


def outputs(graph, force, loop) -> tuple[str, str]:
    """The digest of the live view, and the name of the preview, as sent to the page."""
    sent = graph.run_and_listen()[1]
    return sent[force.id]["gid_live"][0]["digest"], sent[loop.id]["gid_loop"][0]["filename"]


def test_the_live_picture_of_a_cached_node_is_made_again(graph, caching, make_volume):
    nodes = wind_and_loop(graph, make_volume)
    digest, _ = outputs(graph, *nodes)
    assert live_status(caching, digest) == 200
    shutil.rmtree(caching.base / "temp")
    assert live_status(caching, digest) == 200, "before the workflow runs again, as after a reload of the page"
    shutil.rmtree(caching.base / "temp")
    sent = graph.run_and_listen()[1]
    cached = dict(graph.entry["status"]["messages"])["execution_cached"]["nodes"]
    assert nodes[0].id in cached and sent[nodes[0].id]["gid_live"][0]["digest"] == digest
    assert live_status(caching, digest) == 200


def test_a_cached_video_whose_file_is_gone_is_rendered_again(graph, caching, make_volume):
    photo, volume = graph.image(np.full((24, 32, 3), 0.25)), graph.volume(make_volume((24, 32)))
    video = graph.add("GID_RenderLoopToVideo", image=photo, motion=volume, num_frames=3)
    save = graph.add("SaveVideo", video=video, filename_prefix="first")

    def rendered_again() -> bool:
        graph.run()
        return video.id not in dict(graph.entry["status"]["messages"])["execution_cached"]["nodes"]

    assert rendered_again() and not rendered_again()
    graph.prompt[save.id]["inputs"]["filename_prefix"] = "second"
    shutil.rmtree(caching.base / "temp")
    assert rendered_again() and graph.files(save)[0].stat().st_size > 500
    assert not rendered_again()


def test_two_servers_on_one_folder_do_not_show_each_others_pictures(graph, caching, make_volume):
    """The second server empties the folder, and would count from 1 again."""
    digest, preview = outputs(graph, *wind_and_loop(graph, make_volume, 0.8))
    with ComfyServer(caching.base, cpu=True) as second:
        other = type(graph)(second, graph.folder)
        other_digest, other_preview = outputs(other, *wind_and_loop(other, make_volume, 0.2))
        assert other_digest != digest and other_preview != preview
        assert live_status(caching, digest) == live_status(second, other_digest) == 200
        _, mine = outputs(graph, *wind_and_loop(graph, make_volume, 0.4))
        colors = [np.asarray(Image.open(caching.base / "temp" / name)).mean() / 255 for name in (other_preview, mine)]
    assert colors == pytest.approx([0.2, 0.4], abs=0.03)
