"""The HTML report of an evaluation."""

from gid_core.evaluation.report import write_report
from gid_core.evaluation.result_store import ResultStore


def test_the_report_is_self_contained_and_complete(evaluation_results, tmp_path):
    clips, out, summary = evaluation_results
    page = write_report(summary, clips, ResultStore(out), tmp_path / "report.html").read_text()
    assert (
        "http" not in page and 'src="data:image/webp' in page and page.count("<polyline") == 11
    )  # FVD and FD-EffNet of two methods; three spectra; two curves of real and true motion, none of a still photo
    for text in ("repeat", "true", "scene2", "FVD32", "Without inception", "outline_auc", "<td>real</td>"):
        assert text in page
    assert "Painted scenes" not in page


SCENES = {"count": 3, "seeds": 2, "methods": {"real": {"affine_ratio": [1.0, 1.0, 1.0]},
                                              "model": {"affine_ratio": [2.5, 2.0, 3.0]}}}  # fmt: skip


def test_painted_scenes_have_a_table_of_their_own(evaluation_results, tmp_path):
    clips, out, summary = evaluation_results
    page = write_report(summary | {"scenes": SCENES}, clips, ResultStore(out), tmp_path / "report.html").read_text()
    assert "3 synthetic scenes" in page and "<td>model</td><td>2.5<small>2 … 3</small></td>" in page
