"""The evaluation of rendering alone."""

from gid_core.evaluation.clip_folder import find_clips
from gid_core.evaluation.rendering_evaluation import METHODS, evaluate_rendering
from gid_core.rendering.render import fast_splat


def test_renderers_are_ranked_as_expected(clip_folder, toy_networks):
    clips = find_clips(clip_folder)[:1]
    rows = evaluate_rendering(clips, toy_networks(), renderer=fast_splat)
    assert set(rows) == {*METHODS, "network"}
    assert rows["network"] == rows["fast splat"]
    assert min(rows[name]["psnr"] for name in ("fast splat", "softmax splat")) > rows["repeat"]["psnr"] + 2
    assert rows["softmax splat"]["psnr"] > rows["average splat"]["psnr"]
    assert 0 < rows["softmax splat"]["lpips"] < rows["repeat"]["lpips"]
    # A photo that is repeated does not change; that is as far off as the real frames change.
    assert rows["repeat"]["change"] == 0 < rows["fast splat"]["tlpips"] < rows["repeat"]["tlpips"]
