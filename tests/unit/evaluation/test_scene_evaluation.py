"""Motion of painted scenes whose objects are known."""

import math

import pytest
import torch

from gid_core.evaluation.result_store import REAL
from gid_core.evaluation.scene_evaluation import SceneSettings, evaluate_scenes, measure_scene_motion
from gid_core.synthetic.random_scene import random_scene
from random_tensors import random_normal


@pytest.fixture(scope="module")
def scene_motion():
    """The true volume and the labels of a small scene."""
    scene = random_scene(1001, (72, 128))
    return scene.spectral_volume(), torch.as_tensor(scene.labels())


def test_true_motion_is_its_own_measure_and_more_of_it_changes_nothing(scene_motion):
    true, labels = scene_motion
    for volume in (true, true.amplify(3.0)):
        measures = measure_scene_motion(true, volume, labels)
        assert measures["affine_ratio"] == pytest.approx(1, rel=1e-3)
        assert measures["object_rank_correlation"] == pytest.approx(1, abs=1e-3)


def test_motion_that_melts_has_a_higher_ratio_and_no_order(scene_motion):
    true, labels = scene_motion
    noise = true.replace(coefficients=random_normal(*true.coefficients.shape) * (labels > 0))
    measures = measure_scene_motion(true, noise, labels)
    assert measures["affine_residual"] > 0.8 and measures["affine_ratio"] > 3
    assert abs(measures["object_rank_correlation"]) < 0.2


def test_the_lattice_of_latents_is_seen(scene_motion):
    true, labels = scene_motion
    x = torch.arange(128)
    striped = true.replace(coefficients=true.coefficients * (1 + 0.5 * (x % 4 == 0)))
    smooth, lattice = (measure_scene_motion(true, v, labels)["lattice_share"] for v in (true, striped))
    assert smooth < 0.1 < lattice - 0.3


def test_methods_are_measured_beside_the_truth_and_results_are_kept(tmp_path):
    settings, calls = SceneSettings(2, 1, tmp_path), []
    result = evaluate_scenes(["sway", "true"], settings, progress=lambda method, scene: calls.append((method, scene)))
    assert calls[:3] == [(REAL, "scene1000"), ("sway", "scene1000"), ("true", "scene1000")] and len(calls) == 6
    rows = result["methods"]
    assert list(rows) == [REAL, "sway", "true"] and (result["count"], result["seeds"]) == (2, 1)
    for method in (REAL, "true"):
        assert rows[method]["affine_ratio"][0] == pytest.approx(1, rel=1e-4)
    assert rows["sway"]["affine_residual"][0] < 1e-6  # one translation is affine
    assert math.isnan(rows["sway"]["object_rank_correlation"][0])  # and has no order
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "scenes").rglob("*.json")}
    assert len(files) == 6
    again = evaluate_scenes(["sway", "true"], SceneSettings(2, 1, tmp_path))
    assert str(again) == str(result)
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "scenes").rglob("*.json")}


def test_a_new_version_of_a_method_is_measured_again(tmp_path):
    paths = [SceneSettings(1, 1, tmp_path, {"model": version}).path("model", 1000, 0) for version in "ab"]
    assert paths[0] != paths[1]
    with pytest.raises(ValueError, match="at least 1"):
        evaluate_scenes(["repeat"], SceneSettings(0, 1, tmp_path))
