"""The evaluation as a whole, on small synthetic clips and with toy features in place of the networks."""

import json
import shutil

import pytest
import torch

import gid_core as gid
from gid_core.cli import main
from gid_core.evaluation import run
from gid_core.evaluation.clip_folder import center_crop, find_clips, load_window
from gid_core.evaluation.measures import Networks, windows
from gid_core.evaluation.rendering_only import METHODS, evaluate_rendering
from gid_core.evaluation.report import write_report
from gid_core.rendering.render import splatting
from gid_core.synthetic.random_scene import random_scene


def toy(frames):
    """Six numbers of each window or frame, of its colors and how they change."""
    flat = frames.reshape(len(frames), -1, 3)
    return torch.cat([flat.mean(1), flat.std(1)], dim=1)


class ToyNetworks(Networks):
    def _load(self, name):
        if name in ("i3d", "efficientnet"):
            return toy
        if name == "lpips":
            return lambda a, b: (a - b).abs().mean(dim=(1, 2, 3))
        return super()._load(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three clips of two sources, one that is too short, and an index."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        gid.write_video(folder / f"scene{seed}.mp4", torch.as_tensor(random_scene(seed, (64, 128)).frames(70)), 14)
    gid.write_video(folder / "short.mp4", torch.rand(20, 64, 128, 3), 14)
    rows = ["id,use,source_id", "scene0,develop,a", "scene1,develop,a", "scene2,develop,b", "short,develop,c"]
    (folder / "index.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def results(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    clips = find_clips(folder, "develop")
    with pytest.warns(UserWarning, match="short.mp4 has 20 frames"):
        summary = run.evaluate(clips, ["repeat", "true"], out, ToyNetworks(weights=str(out)))
    return clips, out, summary


def test_clips_and_their_sources(folder):
    clips = find_clips(folder)
    assert [clip.name for clip in clips] == ["scene0", "scene1", "scene2", "short"]
    assert [clip.group for clip in clips] == ["a", "a", "b", "c"]


def test_bad_folders_are_told(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_clips(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no video clips"):
        find_clips(tmp_path)
    with pytest.raises(ValueError, match="marked 'train'"):
        find_clips(folder, "train")


def test_a_window_covers_the_crop(folder):
    frames, fps = load_window(find_clips(folder)[0])
    assert fps == 14 and frames.shape == (70, 128, 256, 3)
    assert center_crop(torch.rand(2, 130, 260, 3)).shape == (2, 128, 256, 3)


def test_windows_follow_one_another():
    assert windows(torch.arange(37), 16).tolist() == [list(range(16)), list(range(16, 32))]


def test_the_clips_own_motion_beats_repeating_the_photo(results):
    _, _, summary = results
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


def test_an_interrupted_run_goes_on(results, tmp_path):
    clips, out, summary = results
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    lost = next((copy / "true").glob("scene1-*.json"))
    lost.unlink()
    again = []
    with pytest.warns(UserWarning, match="short"):
        second = run.evaluate(
            clips,
            ["repeat", "true"],
            copy,
            ToyNetworks(weights=str(copy)),
            progress=lambda m, c: again.append((m, c.name)),
        )
    assert again == [("real", "short"), ("true", "scene1")]
    assert second["methods"]["true"]["FVD"] == pytest.approx(summary["methods"]["true"]["FVD"], rel=1e-3)


def test_the_report_is_one_file_with_everything_in_it(results, tmp_path):
    clips, out, summary = results
    page = write_report(summary, clips, run.Store(out), tmp_path / "report.html").read_text()
    assert (
        "http" not in page and 'src="data:image/webp' in page and page.count("<polyline") == 7
    )  # FVD and FD-EffNet of two methods; three spectra
    for text in ("repeat", "true", "scene2", "FVD32", "Without inception"):
        assert text in page


def test_one_source_has_no_intervals(folder, tmp_path):
    clips = [clip for clip in find_clips(folder) if clip.group == "a"]
    with pytest.raises(ValueError, match="at least 2 sources"):
        run.evaluate(clips, ["repeat"], tmp_path, ToyNetworks())


def test_rendering_alone(folder):
    clips = find_clips(folder)[:1]
    rows = evaluate_rendering(clips, ToyNetworks(), renderer=splatting)
    assert set(rows) == {*METHODS, "network"}
    assert rows["network"] == rows["fast"]
    assert min(rows[name]["psnr"] for name in ("fast", "softmax splat")) > rows["repeat"]["psnr"] + 2
    assert rows["softmax splat"]["psnr"] > rows["average splat"]["psnr"]
    assert 0 < rows["softmax splat"]["lpips"] < rows["repeat"]["lpips"]
    # A photo that is repeated does not change; that is as far off as the real frames change.
    assert rows["repeat"]["change"] == 0 < rows["fast"]["tlpips"] < rows["repeat"]["tlpips"]


def test_the_command(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gid_core.evaluation.evaluate_command.Networks", ToyNetworks)
    assert (
        main(["evaluate", "--clips", str(folder), "--mode", "rendering", "--limit", "1", "--out", str(tmp_path)]) == 0
    )
    assert "softmax splat" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "rendering.json").read_text())) >= set(METHODS)
    assert main(["evaluate", "--clips", str(tmp_path / "nowhere"), "--out", str(tmp_path)]) == 1
    assert "nowhere" in capsys.readouterr().err
