"""The evaluation as a whole, on small synthetic clips and with toy features in place of the networks."""

import shutil

import pytest
import torch

import gid_core as gid
from gid_core.evaluation import runner
from gid_core.evaluation.clip_folder import find_clips


def test_true_motion_scores_better_than_the_repeated_photo(evaluation_results):
    _, _, summary = evaluation_results
    assert summary["clips"] == ["scene0", "scene1", "scene2"] and summary["groups"] == 2
    repeat, true = summary["methods"]["repeat"], summary["methods"]["true"]
    assert true["psnr"][0] > repeat["psnr"][0] + 2
    assert true["FVD"][0] < repeat["FVD"][0]
    assert true["auc"][0] > 0.9 and repeat["auc"][0] == 0.5
    for row in (repeat, true):
        for value, low, high in row.values():
            assert value != value or low <= value <= high
    assert set(summary["missing"]) == {"dtfvd16", "dtfvd32", "inception"}
    assert len(summary["curves"]["true"]["FVD"]) == 70 // 16


def test_the_real_clips_have_measures_of_their_own(evaluation_results):
    _, _, summary = evaluation_results
    real, true = summary["real"], summary["methods"]["true"]
    assert set(real) == {"amplitude", "coherence", "fast_share", "lattice_share", "still_motion"}
    assert true["amplitude_error"][0] < 0.2 and 0 < real["fast_share"][0] < 0.1
    assert true["fast_ratio"][0] > 1  # played as it was measured: its drift, which real motion is free of, has all bins
    assert true["outline_auc"][0] > 0.8 and real["amplitude"][0] > 0.5
    for curves in summary["object_curves"].values():
        assert set(curves) == {"real", "repeat", "true"} and {len(values) for values in curves.values()} == {4}
        assert curves["true"] == pytest.approx(curves["real"], rel=0.3)


def test_an_interrupted_run_resumes(evaluation_results, tmp_path, toy_networks):
    clips, out, summary = evaluation_results
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    lost = next((copy / "true").glob("scene1-*.json"))
    lost.unlink()
    again = []
    with pytest.warns(UserWarning, match="short"):
        second = runner.evaluate(
            clips,
            ["repeat", "true"],
            copy,
            toy_networks(weights=str(copy)),
            progress=lambda m, c: again.append((m, c.name)),
        )
    assert again == [("real", "short"), ("true", "scene1")]
    assert second["methods"]["true"]["FVD"] == pytest.approx(summary["methods"]["true"]["FVD"], rel=1e-3)


def test_clips_of_one_source_are_refused(clip_folder, tmp_path, toy_networks):
    clips = [clip for clip in find_clips(clip_folder) if clip.group == "a"]
    with pytest.raises(ValueError, match="at least 2 sources"):
        runner.evaluate(clips, ["repeat"], tmp_path, toy_networks())


def test_a_clip_of_another_duration_is_left_out_by_name(tmp_path, toy_networks):
    """64 frames at 30 fps are 2.1 s, whose bins are at other frequencies than those of five seconds."""
    for name in ("brief", "other"):
        gid.write_video(tmp_path / f"{name}.mp4", torch.rand(64, 16, 32, 3), 30)
    with pytest.warns(UserWarning, match=r"Left out: brief.mp4 has 2.13 s; the evaluation needs 4 s"):
        with pytest.raises(ValueError, match="at least 2 sources"):
            runner.evaluate(find_clips(tmp_path), ["repeat"], tmp_path / "out", toy_networks())


def test_a_method_that_fails_names_the_clip(evaluation_results, tmp_path, toy_networks, monkeypatch):
    clips, out, _ = evaluation_results
    shutil.copytree(out / "cache", tmp_path / "cache")

    def fail(*_, **__):
        raise ValueError("It does not fit.")

    monkeypatch.setattr(runner, "measure_motion", fail)
    with (
        pytest.warns(UserWarning, match="short"),
        pytest.raises(ValueError, match="repeat on scene0.mp4: It does"),
    ):
        runner.evaluate(clips, ["repeat"], tmp_path, toy_networks())
