"""The page of a comparison of generators: complete, self-contained, with text from outside escaped."""

from support.html_page import Page, assert_complete

from softcloze.experiments import compare_generation, generation_metrics

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\u202e"


def test_the_page(tmp_path):
    references = [HOSTILE, "a b c", "d e f"] * 5
    texts = {"soft": references, "hard <b>": ["x", "a b c", HOSTILE] * 5}
    evaluations = {
        name: generation_metrics(values, references, ["chrf", "exact_match"]) for name, values in texts.items()
    }
    path = compare_generation(evaluations, references).report(tmp_path / "新" / "page.html")
    html = path.read_text(encoding="utf-8")
    assert_complete(html)
    assert "<script>" not in html and "<b>" not in html and "\u202e" not in html
    lines = Page(html).lines
    assert any(line.startswith("chrf of soft minus hard <b>: ") and "than chance" in line for line in lines)
    two = {name: generation_metrics(texts[name][:2], references[:2], ["chrf"]) for name in texts}
    few = Page(compare_generation(two, references[:2]).report(tmp_path / "few.html").read_text(encoding="utf-8")).lines
    # the interval of a bootstrap over so few rows says nothing
    assert any("corrected p = 1), which may be chance." in line for line in few)
    assert "| soft| 1| 100.00| 100.0%" in lines
    assert sum("| hard <b>| a b c" in line for line in lines) == 5
    alone = compare_generation({"soft": evaluations["soft"]}).report(tmp_path / "alone.html")
    assert "Differences" not in Page(alone.read_text(encoding="utf-8")).text
