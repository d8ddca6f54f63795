"""Contents of a report; text from outside is escaped; the page is accessible."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from support.html_page import Page

from softcloze.analysis import TopWord
from softcloze.report.page import page

VOID = {"meta", "link", "br", "img", "hr", "input"}
OUTWARD = re.compile(r"(?:src|href|xlink:href|data|action|poster)$")
HOSTILE = "<script>alert(1)</script>{{ 7*7 }}]]>&amp;\x00\u202e$\\frac{1}{2}$\"'><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Every element of a page: (tag, attributes, text inside), and whether each is closed in its place."""

    def __init__(self, html):
        super().__init__()
        self.all, self._open = [], []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"twice the same attribute: {tag} {attrs}"
        self.all.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append(self.all[-1])

    def handle_startendtag(self, tag, attrs):
        self.all.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, text in self._open:
            text.append(data)

    def of(self, *tags):
        return [(attrs, "".join(text).strip()) for tag, attrs, text in self.all if tag in tags]

    def text_of(self, identity):
        (found,) = ["".join(text).strip() for _, attrs, text in self.all if attrs.get("id") == identity]
        return found


def with_words(comparison, *words):
    """The comparison, with the same words at the mask everywhere."""
    told = dict.fromkeys(range(len(comparison.texts)), words)
    return replace(comparison, runs=tuple(replace(run, top_words=told) for run in comparison.runs))


@pytest.fixture(scope="module")
def html(make_once):
    """A report with everything in it: several numbers of training examples, a failure, words at the mask."""
    return page(with_words(make_once(), TopWord("␣good", 0.31), TopWord("很", 0.12)))


@pytest.fixture(scope="module")
def hostile(make_hostile):
    """A report in which every text from outside is an attack."""
    return page(with_words(make_hostile(HOSTILE), TopWord(HOSTILE, 0.5)))


@pytest.fixture(params=["plain", "hostile"])
def each(request):
    """Both reports in turn."""
    return request.getfixturevalue({"plain": "html", "hostile": "hostile"}[request.param])


def test_needs_nothing_else(each):
    found = Elements(each)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "img"} & {tag for tag, _, _ in found.all}
    assert not [name for _, attrs, _ in found.all for name in attrs if name.startswith("on")]
    for _, attrs, _ in found.all:
        outward = [value for name, value in attrs.items() if OUTWARD.search(name) and not value.startswith("#")]
        assert not outward
    assert "url(" not in re.sub(r"url\(#[\w.-]+\)", "", each)
    assert "@import" not in each
    policy = [attrs["content"] for attrs, _ in found.of("meta") if "http-equiv" in attrs]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_text_of_users_is_text(hostile):
    assert "49" not in Elements(hostile).text_of("short")
    assert "\x00" not in hostile
    assert "\u202e" not in hostile
    text = Page(hostile).text
    shown = "<script>alert(1)</script>{{ 7*7 }}]]>&amp;⟨U+0000⟩⟨U+202E⟩$\\frac{1}{2}$\"'><img src=x onerror=alert(1)>"
    # task, texts, labels, methods, words, error, command, environment, drawn template, names in plots
    assert text.count(shown) > 30
    assert "frac" in Elements(hostile).of("svg")[0][1], "formulas are not set, they are written"


def test_headings_are_in_order(each):
    levels = [int(tag[1]) for tag, _, _ in Elements(each).all if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 == levels.count(1)
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_landmarks_and_language(each):
    found = Elements(each)
    assert [attrs["lang"] for attrs, _ in found.of("html")] == ["en"]
    assert len(found.of("main")) == 1
    assert found.of("title")[0][1]
    for attrs, _ in found.of("section", "nav"):
        assert attrs.get("aria-label") or found.text_of(attrs["aria-labelledby"])
    assert "#main" in [attrs["href"] for attrs, _ in found.of("a")]


def test_ids_are_unique_and_references_lead_somewhere(each):
    found = Elements(each)
    ids = [attrs["id"] for _, attrs, _ in found.all if "id" in attrs]
    assert len(ids) == len(set(ids))
    referred = {attrs["href"].removeprefix("#") for _, attrs, _ in found.all if "href" in attrs}
    referred |= set(re.findall(r"url\(#([\w.-]+)\)", each))
    referred |= {name for _, attrs, _ in found.all for name in attrs.get("aria-labelledby", "").split()}
    assert referred <= set(ids)


def test_plots_say_what_they_show(html):
    found = Elements(html)
    plots = found.of("svg")
    assert len(plots) >= 6  # two learning curves, two of cost, and how far the best is ahead at three numbers of rows
    for attrs, _ in plots:
        assert attrs["role"] == "img"
        title, description = (found.text_of(name) for name in attrs["aria-labelledby"].split())
        assert title
        assert all(name in description for name in ("TF-IDF", "hard prompt")) or "lead" in description
    assert not [attrs for attrs, _ in found.of("text") if "font-family" in attrs.get("style", "")]
    assert {"soft prompt", "TF-IDF", "hard prompt"} <= {text for _, text in found.of("text")}, "letters stay letters"


def test_tables_have_headers_and_captions(each):
    found = Elements(each)
    assert all(attrs.get("scope") in ("col", "row", "rowgroup") for attrs, _ in found.of("th"))
    assert len(found.of("caption")) == len(found.of("table")) >= 4
    assert all(text for _, text in found.of("caption"))
    for attrs, _ in found.of("div"):
        if attrs.get("class") == "scroll":  # can be reached and scrolled without a mouse, and has a name
            assert attrs["tabindex"] == "0"
            assert attrs["role"] == "region"
            assert attrs.get("aria-label") or found.text_of(attrs["aria-labelledby"])


def test_the_table_has_the_numbers_of_the_summary(html, make_once):
    lines = Page(html).lines
    for each in make_once().summary():
        spread = "" if each.accuracy.sd is None else f" ± {100 * each.accuracy.sd:.1f}"
        assert any(line.startswith(f"| {each.method}| {100 * each.accuracy.mean:.1f}{spread}| ") for line in lines)
    assert "| soft prompt| " in "\n".join(lines)
    assert "| 7,680| 41.0| " in "\n".join(lines)
    assert "MemoryError: no room for ten vectors" in "\n".join(lines)


def test_confusions_count_every_row_of_every_run(html, make_once):
    comparison, summaries = make_once(), make_once().summary()
    tables = re.findall(r'<table class="confusion">.*?</table>', html, re.DOTALL)
    assert len(tables) == len(comparison.methods)
    for card, table in zip(comparison.methods, tables, strict=True):
        cells = [int(cell.replace(",", "")) for cell in re.findall(r">([\d,]+)</td>", table)]
        last = [each for each in summaries if each.method == card.name][-1]
        runs = comparison.of(card.name, last.shots)
        assert sum(cells) == len(runs) * len(comparison.texts)
        right = sum(round(value * len(comparison.texts)) for value in last.accuracy.values)
        assert cells[0] + cells[3] == right


def test_one_number_of_examples_makes_no_learning_curve(make):
    for shots, drawn in (((16,), False), ((4, 16), True)):
        titles = [text for _, text in Elements(page(make(rows=12, seeds=2, shots=shots))).of("h2")]
        assert ("Learning curves" in titles) == drawn and "Differences" in titles


def test_what_is_not_there_is_not_mentioned(make):
    found = Elements(page(make(rows=12, seeds=1, methods=make().methods[:1])))
    titles = [text for _, text in found.of("h2")]
    assert "Learning curves" not in titles
    assert "Differences" not in titles
    assert "Cost" not in titles  # nothing was trained
    assert "Runs that failed" not in titles
    assert "Confusion matrices" in titles
    assert "±" not in "".join(text for _, text in found.of("td"))


def test_same_comparison_same_bytes(make):
    assert page(make(rows=12, seeds=1)) == page(make(rows=12, seeds=1))
