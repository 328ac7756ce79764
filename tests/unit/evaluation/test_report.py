"""The HTML report of an evaluation."""

from gid_core.evaluation.report import write_report
from gid_core.evaluation.result_store import ResultStore


def test_the_report_is_self_contained_and_complete(evaluation_results, tmp_path):
    clips, out, summary = evaluation_results
    page = write_report(summary, clips, ResultStore(out), tmp_path / "report.html").read_text()
    assert (
        "http" not in page and 'src="data:image/webp' in page and page.count("<polyline") == 7
    )  # FVD and FD-EffNet of two methods; three spectra
    for text in ("repeat", "true", "scene2", "FVD32", "Without inception"):
        assert text in page
