"""Fuzz the template language: any text raises only SoftclozeError, and prompts keep their slots and masks.

Usage: python fuzz/language.py [SECONDS [SEED]]     (or: make fuzz SECONDS=600)

Four properties in turn, each for a quarter of the time, in rounds of 1,000 cases with consecutive seeds. A failure
prints its smallest case and a seed that reproduces it.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from rounds import run
from support import models

from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.errors import SoftclozeError, TemplateSyntaxError
from softcloze.lint import lint
from softcloze.template import Template

ROUND = settings(
    max_examples=1000, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck)
)
PIECES = [
    *(
        "<text>",
        "<mask>",
        "<mask name=a>",
        "<mask name=b>",
        "<soft",
        "*3",
        " name=a",
        ' init="x',
        '"',
        ">",
        "<",
        "\\",
        "<demos",
        "<options",
        " sep=",
        "<sep>",
        "<chat:system>",
        "<chat:user>",
        "<chat:assistant>",
    ),
    *(
        "<!--",
        "-->",
        "{{",
        "}}",
        "{%",
        "%}",
        "if text",
        "else",
        "endif",
        "for a in text",
        "endfor",
        "text",
        "a",
        "|",
        "trim",
    ),
    *(
        "set a = text",
        "title",
        "+",
        "~",
        "'",
        "[0]",
        ".x",
        "(",
        ")",
        "**",
        "1",
        " ",
        "\n",
        "评论",
        "\ud800",
        "\0",
        "[MASK]",
        "</s>",
    ),
    *(" max=2", " keep=tail", " shorten=0", "=", "é", "👩‍👩‍👧", "join", "loop.index", "{", "}", "%", "-"),
]
sources = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=25).map("".join)
values = st.text(
    st.one_of(st.sampled_from([*"<>{}%[]\\\0\ud800 ", "字", "é"]), st.characters(exclude_categories=())), max_size=30
)
PROMPT_TOKENIZERS = {
    kind: PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS) for kind in models.TOKENIZERS
}
TEMPLATES = [
    Template(source)
    for source in (
        "<soft*3> <text> It was <mask>.",
        "<text max=5 keep=ends> 总之，很 <mask>",
        "{% if text %}{{ text | trim }}{% endif %}<soft name=a> <text keep=tail>\n<mask>",
        "<title shorten=0>: <text shorten=2> <soft*2><mask>",
        "<soft> <title> 很 <mask name=a>，<soft*2><text> It was <mask*2 name=b>.",
    )
]


def any_source(source: str) -> None:
    """A source parses and prints back, or raises an error with a valid span."""
    try:
        template = Template(source)
    except TemplateSyntaxError as error:
        assert 0 <= error.start <= error.end <= len(source)
        assert str(error)
        return
    assert Template(str(template)) == template
    for finding in lint(template, {"good": ["good"], "差": ["差"]}, fields=["text"]):
        assert 0 <= finding.start <= finding.end <= len(finding.source)


def any_import(source: str, importer: Callable[[str], Template]) -> None:
    """An importer returns a template or raises SoftclozeError."""
    try:
        template = importer(source)
    except SoftclozeError:
        return
    assert Template(str(template)) == template


def any_values(source: str, text: str, title: object) -> None:
    """A template with Jinja expands any values or raises SoftclozeError."""
    try:
        template = Template(f"{source}<mask>")
        template.expand(template.read_fields({"text": text, "title": title}))
    except SoftclozeError:
        return


def any_prompt(template: Template, kind: str, text: str, title: str, max_length: int) -> None:
    """Slots and masks survive any field values, and the prompt has at most `max_length` positions."""
    prompt_tokenizer = PROMPT_TOKENIZERS[kind]
    compiled = CompiledTemplate(template, prompt_tokenizer, max_length)
    try:
        (prompt,) = compiled.encode([{"text": text, "title": title}])
    except SoftclozeError:  # the template alone exceeds max_length
        return
    ids = [i for chunk in prompt.chunks for i in chunk]
    slots = sorted(-i for i in ids if i < 0)
    assert slots == list(range(1, compiled.soft_count + 1))
    assert len(prompt) + len(template.masks) <= max_length
    assert prompt_tokenizer.slot_marker_id not in ids and prompt_tokenizer.mask_marker_id not in ids


FOREIGN = ['{"mask"}', '{"placeholder":"text_a"}', "*mask*", "*sent_0*", "<P*2>", "{", "}", "*", "_", "lambda x: x"]
foreign_sources = st.lists(st.sampled_from(FOREIGN)).map("".join)
importers = st.sampled_from([Template.from_openprompt, Template.from_ruprompts, Template.from_lmbff])
titles = st.one_of(values, st.none(), st.lists(values, max_size=3), st.integers())
kinds, lengths = st.sampled_from(sorted(PROMPT_TOKENIZERS)), st.integers(1, 40)
PROPERTIES = {
    "source": given(sources)(ROUND(any_source)),
    "importers": given(st.one_of(sources, foreign_sources), importers)(ROUND(any_import)),
    "values": given(sources, values, titles)(ROUND(any_values)),
    "prompts": given(st.sampled_from(TEMPLATES), kinds, values, values, lengths)(ROUND(any_prompt)),
}


def main() -> int:
    """Run every property for its share of the time."""
    budget, first = [*map(float, sys.argv[1:2])] or [60.0], [*map(int, sys.argv[2:3])] or [None]
    return int(run(PROPERTIES, "python fuzz/language.py", budget[0], first[0]) > 0)


if __name__ == "__main__":
    sys.exit(main())
