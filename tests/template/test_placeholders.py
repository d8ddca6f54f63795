"""A template that does not read its examples, or leaves one of their fields as text, raises when it reads them."""

import pytest

from softcloze import Template
from softcloze.errors import LibraryError, TemplateSyntaxError, TemplateTypeError
from softcloze.library import list_templates, load_template, resolve_template
from softcloze.template.placeholders import MOST

UNREAD = [  # the characters at fault stand between « and »
    "«{text}» It was <mask>.",
    "«{ text!r:>9}» It was <mask>.",
    "«${text}» It was <mask>.",
    "«$text» It was <mask>.",
    "«[text]» It was <mask>.",
    "«【text】»很<mask>",
    "«《text》»很<mask>",
    "«｛text｝»很<mask>",
    "«＜text＞»很<mask>",
    "«< text >» It was <mask>.",
    "«<'text'>» It was <mask>.",
    "«<'text'>» It was <mask>.",
    "«&lt;text&gt;» It was <mask>.",
    "«%(text)s» It was <mask>.",
    "«%s» It was <mask>.",
    "«{}» It was <mask>.",
    "«{0}» It was <mask>.",
    "<soft*3> «{text}» It was <mask>.",
    "«»It was <mask>.",
    "«»<1st> It was <mask>.",
    "«»<!-- <text> --> It was <mask>.",
    "«»\\<text> It was <mask>.",
    "{% if False %}«<text>»{% endif %} It was <mask>.",
    "{% if 1 > 2 %}«{{ text }}»{% elif none %}<text>{% endif %} It was <mask>.",
    "{% if true %}x{% else %}«<text>»{% endif %} It was <mask>.",
    "{% for word in [] %}«{{ text }}»{% endfor %} It was <mask>.",
    "{% set text = 'x' %}«<text>» It was <mask>.",
    "«{{ '<text>' }}» It was <mask>.",
]


def marked(source):
    start, end = source.index("«"), source.index("»") - 1
    return source.replace("«", "").replace("»", ""), start, end


@pytest.mark.parametrize("example", [{"text": "A delight."}, {"text": "A delight.", "label": 1}, "A delight."])
@pytest.mark.parametrize("source", UNREAD)
def test_a_template_that_reads_no_field(source, example):
    """humanebench#96, UKGovernmentBEIS/inspect_ai#1336: placeholders that nothing fills."""
    source, start, end = marked(source)
    with pytest.raises(
        TemplateSyntaxError, match="the template reads no field, so all examples get the same"
    ) as caught:
        Template(source).validate_examples([example])
    if isinstance(example, dict) or not source.startswith("<1st>"):
        assert (caught.value.start, caught.value.end, caught.value.code) == (start, end, "no-field")


LEFT = [
    "{b.strip()}",
    "{b[:80]}",
    "{row.b}",
    '{row["b"]}',
    "{row['b'][:9].lower()}",
    "{b}",
    "{ b }",
    "${b}",
    "$b",
    "[b]",
    "%(b)s",
    "< b >",
    "<'b'>",
    "&lt;b&gt;",
    "《b》",
]


@pytest.mark.parametrize("left", LEFT)
def test_a_column_that_is_left_as_text(left):
    """One of two fields in the braces of another tool."""
    template = Template(f"<a> {left} It was <mask>.")
    with pytest.raises(TemplateSyntaxError, match="is text here, not a field: write <b>, or") as caught:
        template.validate_examples([{"a": "x", "b": "y"}])
    assert (caught.value.start, caught.value.end, caught.value.code) == (4, 4 + len(left), "forgotten-tag")
    template.validate_examples([{"a": "x"}])  # without such a column it may be meant
    Template(f"<a> {left} <b> It was <mask>.").validate_examples([{"a": "x", "b": "y"}])


@pytest.mark.parametrize("left", ["{text}", "{sentence2}", "{premise}", "%s", "{}", "{0}", "%(context)s"])
@pytest.mark.parametrize("example", ["x", {"a": "x"}])
def test_a_placeholder_that_every_tool_fills(left, example):
    with pytest.raises(TemplateSyntaxError, match="is text here, not a field") as caught:
        Template(f"<a> {left} It was <mask>.").validate_examples([example])
    assert (caught.value.start, caught.value.end) == (4, 4 + len(left))


@pytest.mark.parametrize("left", ["{review text}", "{ review text }", "[review text]", "{text-1}", "<1st>", "[1st]"])
def test_a_column_whose_name_goes_in_quotes(left):
    with pytest.raises(TemplateSyntaxError, match=f'write <"{left.strip("{}[]<> ")}">, or') as caught:
        Template(f"<a> {left} It was <mask>.").validate_examples([dict.fromkeys(("a", "review text", "text-1", "1st"))])
    assert (caught.value.start, caught.value.end) == (4, 4 + len(left))


MEANT = [
    '{"review": "<a>", "meta": {}, "text": "b", "sentiment": "<mask>"}',
    r"\frac{a}{b} and \textbf{text} of <a>: <mask>",
    "x^{2}, $5, 100%, f(b) = {b, c} <a> <mask>",
    "<a> {good} or {bad}? <mask>",
    "<a> \\{b} \\{text} <mask>",
    "<a> {{ '[b]' }} {{ '%s' }} <mask>",
    "<a> 3 < 4 > 2 <mask>",
    "<a><!-- {b} --> <mask>",
    "<a> [MASK] <mask>",
    "[a] <a> [b] <mask>",
    "<a> [b](http://b) <mask>",
    "【A】<a>\n【b】：<mask>",
    "{a.b: <a>} {f(b)} {b[i] = 0} <mask>",
]


@pytest.mark.parametrize("source", MEANT)
def test_braces_that_are_meant_as_text(source):
    Template(source).validate_examples([{"a": "x", "b": "y"}, "x"])


def test_every_error_names_a_spelling_that_keeps_the_text():
    for left in LEFT:
        with pytest.raises(TemplateSyntaxError) as caught:
            Template(f"<a> {left}<mask>").validate_examples([{"a": "x", "b": "y"}])
        kept = caught.value.problem.partition("write <b>, or ")[2].removesuffix(" to keep the text")
        template = Template(f"<a> {kept}<mask>")
        template.validate_examples([{"a": "x", "b": "y"}])
        assert "".join(part.text for part in template.expand({"a": "x"})) == f"x {left}"


def test_a_template_without_fields_takes_an_empty_example():
    Template("It was <mask>.").validate_examples([{}])  # such as the words around the mask alone


@pytest.mark.parametrize("name", list_templates())
def test_templates_of_the_library_read_their_examples(name):
    template = load_template(name).template
    columns = dict.fromkeys([*template.fields, "text", "label", "title", "id", "review", "sentiment"], "x")
    template.validate_examples([columns])


NO_MASK = "the template has no <mask>, expected exactly one"
OTHERS = [
    ("<text> It was [MASK].", "; did you mean <mask> where it says [MASK]?"),
    ("<text> It was {mask}.", "; did you mean <mask> where it says {mask}?"),
    ("<text> It was {{ mask }}.", "; did you mean <mask> where it says {{ mask }}?"),
    ("<text> It was \\<mask>.", "; did you mean <mask> where it says \\<mask>?"),
    ("<text> It was < mask >.", "; did you mean <mask> where it says < mask >?"),
    ("<text> It was <|mask|>.", "; did you mean <mask> where it says <|mask|>?"),
    ("<text> It was &lt;mask&gt;.", "; did you mean <mask> where it says &lt;mask&gt;?"),
    ("<text>很【MASK】", "; did you mean <mask> where it says 【MASK】?"),
    ("<text> It was ___.", "; did you mean <mask> where it says ___?"),
    ("<text> It was <extra_id_0>.", "; did you mean <mask> where it says <extra_id_0>?"),
    ("<text> It was <MASK>.", "; did you mean <mask> where it says <MASK>?"),
    ('{"placeholder":"text_a"} It was {"mask"}.', "; read OpenPrompt's templates with Template.from_openprompt"),
    ("*cls**sent_0*_It_was*mask*.*sep+*", "; read LM-BFF's templates with Template.from_lmbff"),
    ("{'text': 'text_a'}{'hard': '很'}{'mask'}", "; in PaddleNLP's templates write <text_a> for"),
    ("{text} It was great.", ""),
    ("", ""),
]


@pytest.mark.parametrize(("source", "hint"), OTHERS)
def test_a_mask_or_a_template_of_another_tool(source, hint):
    """Strings of OpenPrompt, LM-BFF and PaddleNLP given as a template."""
    with pytest.raises(TemplateSyntaxError) as caught:
        resolve_template(source)
    assert caught.value.problem.startswith(f"{NO_MASK}{hint}")
    assert caught.value.problem == NO_MASK or hint


def test_a_template_of_ruprompts():
    with pytest.raises(TemplateSyntaxError, match="the field <P> takes no count; read ruPrompts' templates with"):
        Template("<P*20>{text}<P*10>")


def test_a_file_given_as_a_template(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-template.txt").write_text("<text> It was <mask>.", encoding="utf-8")
    with pytest.raises(LibraryError, match="among the library's templates, but there is such a file: give its"):
        resolve_template("my-template.txt")
    with pytest.raises(LibraryError, match=r"^no 'aaa.* among the library's templates"):
        resolve_template("a" * 5000)
    with pytest.raises(TemplateTypeError, match="a template is a string"):
        resolve_template(tmp_path / "my-template.txt")


def test_long_templates_of_strangers():
    """A template of megabytes from an untrusted card stays small in memory, and so do messages about it."""
    assert len(Template("<text>" + "{a} " * 100_000 + "<mask>").placeholders) == MOST
    for source in ("<text>" + "[" * 100_000 + "mask", "<text>" + "_" * 100_000, "<text>[" + " " * 100_000 + "mask]"):
        with pytest.raises(TemplateSyntaxError) as caught:
            Template(source)
        assert len(caught.value.problem) < 200
