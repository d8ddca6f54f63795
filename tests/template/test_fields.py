"""Field values read from examples."""

from collections import ChainMap, OrderedDict
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.errors import FieldError, TemplateSyntaxError
from softcloze.lint import lint
from softcloze.template import Template

ONE = Template("<text> <mask>")
TWO = Template("<premise>? <mask>, <hypothesis> <premise>")
NONE = Template("Hello <mask>")


class Colour(str, Enum):  # noqa: UP042 - a StrEnum would print its value, this one does not
    RED = "red"


GOOD = [
    (ONE, "good", {"text": "good"}),
    (ONE, "", {"text": ""}),
    (ONE, " <mask> {{ 7*7 }} \\<b>\x00 ", {"text": " <mask> {{ 7*7 }} \\<b>\x00 "}),
    (ONE, {"text": "good", "label": None}, {"text": "good"}),
    (TWO, {"hypothesis": "b", "premise": "a"}, {"premise": "a", "hypothesis": "b"}),
    (NONE, {}, {}),
    (NONE, {"text": "unused"}, {}),
    (ONE, OrderedDict(text="a"), {"text": "a"}),
    (ONE, ChainMap({}, {"text": "a"}), {"text": "a"}),
    (ONE, MappingProxyType({"text": "a", 3: "b"}), {"text": "a"}),
    (ONE, {"text": 7}, {"text": "7"}),
    (ONE, {"text": 0.5}, {"text": "0.5"}),
    (ONE, {"text": True}, {"text": "True"}),
    (ONE, {"text": float("inf")}, {"text": "inf"}),
    (ONE, {"text": Decimal("1.50")}, {"text": "1.50"}),
    (ONE, {"text": Fraction(1, 3)}, {"text": "1/3"}),
    (ONE, {"text": np.int64(3)}, {"text": "3"}),
    (ONE, {"text": np.True_}, {"text": "True"}),
    (ONE, np.int64(3), {"text": "3"}),
    (ONE, 0.5, {"text": "0.5"}),
    (ONE, {"text": np.float32(0.5)}, {"text": "0.5"}),
    (ONE, {"text": np.str_("a")}, {"text": "a"}),
    (ONE, {"text": Colour.RED}, {"text": "red"}),
    (ONE, "a\ud800b\udfff", {"text": "a\ufffdb\ufffd"}),
    (ONE, {"text": "\ud83d\ude00"}, {"text": "\ufffd\ufffd"}),
]


@pytest.mark.parametrize(("template", "example", "values"), GOOD)
def test_values(template, example, values):
    read = template.read_fields(example)
    assert read == values
    assert all(type(value) is str for value in read.values())


@settings(deadline=None)
@given(st.text())
def test_text_without_surrogates_is_unchanged(text):
    assert ONE.read_fields(text) == ONE.read_fields({"text": text}) == {"text": text}


ABSENT = "drop the row or give it a text, if only an empty one"
BAD = [
    (TWO, "a", None, "a plain string fills one field, "
     "but the template has the fields 'premise', 'hypothesis': pass a mapping instead"),
    (NONE, "a", 3, "row 3: a plain string fills one field, but the template has no fields: pass a mapping instead"),
    (ONE, {"txet": "a", "label": 1}, 3,
     "row 3: no field 'text': the example has 'txet', 'label'; did you mean 'txet'?"),
    (Template("<b><text></b> <mask>"), {"text": "a"}, 0,
     "row 0: no field 'b': the example has 'text'; a <b> of HTML is written \\<b>"),
    (Template("<p><text> <mask>"), "a", 0, "row 0: a plain string fills one field, "
     "but the template has the fields 'p', 'text': pass a mapping instead; a <p> of HTML is written \\<p>"),
    (ONE, {"label": 1}, 0, "row 0: no field 'text': the example has 'label'"),
    (ONE, {"TEXT": "a"}, None, "no field 'text': the example has 'TEXT'; did you mean 'TEXT'?"),
    (ONE, {1: "a"}, None, "no field 'text': the example has 1"),
    (ONE, {}, None, "no field 'text': the example is empty"),
    (ONE, {"text": None}, 3, f"row 3: field 'text' is None: {ABSENT}"),
    (ONE, {"text": float("nan")}, 3, f"row 3: field 'text' is NaN, a missing value: {ABSENT}"),
    (ONE, {"text": np.float32("nan")}, None, f"field 'text' is NaN, a missing value: {ABSENT}"),
    (ONE, {"text": Decimal("sNaN")}, None, f"field 'text' is NaN, a missing value: {ABSENT}"),
    (ONE, {"text": b"a"}, 3, "row 3: field 'text' must be text or a number, found bytes"),
    (ONE, {"text": ["a"]}, None, "field 'text' must be text or a number, found list"),
    (ONE, {"text": {"a": 1}}, None, "field 'text' must be text or a number, found dict"),
    (ONE, b"a", None, "expected a string or a mapping of fields, found bytes; decode it, as in text.decode()"),
    (ONE, Path("a.txt"), 1, "row 1: expected a string or a mapping of fields, found PosixPath; read the file, as in "
     "path.read_text()"),
    (ONE, ["a"], 1, "row 1: expected a string or a mapping of fields, found list"),
    # huggingface/setfit#566: a missing text of a list or a column, as of a frame
    (ONE, None, 3, f"row 3: field 'text' is None: {ABSENT}"),
    (ONE, float("nan"), 3, f"row 3: field 'text' is NaN, a missing value: {ABSENT}"),
    (ONE, pd.NA, 3, f"row 3: field 'text' is NaN, a missing value: {ABSENT}"),
    (ONE, {"text": pd.NaT}, 3, f"row 3: field 'text' is NaN, a missing value: {ABSENT}"),
    (ONE, ["a"], None, "expected a string or a mapping of fields, found list"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "example", "row", "message"), BAD)
def test_mistakes(template, example, row, message):
    with pytest.raises(FieldError) as caught:
        template.read_fields(example, row)
    assert str(caught.value) == message


LOGIC = Template("{% if title %}<title>: {% endif %}{{ items | length }} {{ text }} <stars> <mask>")
FILLED = [
    ({"stars": 4}, {"stars": "4"}),
    (
        {"stars": 4, "title": None, "items": None, "text": "好"},
        {"stars": "4", "title": None, "items": None, "text": "好"},
    ),
    ({"stars": 4, "title": 1984, "text": True}, {"stars": "4", "title": 1984, "text": True}),
    ({"stars": 4, "title": 0.5, "text": False}, {"stars": "4", "title": 0.5, "text": False}),
    ({"stars": 4, "title": np.True_, "text": pd.NA}, {"stars": "4", "title": True, "text": None}),
    ({"stars": 4, "title": np.int64(3), "text": np.float32(0.1)}, {"stars": "4", "title": 3, "text": 0.1}),
    ({"stars": 4, "title": Decimal("1.50"), "text": Fraction(1, 3)}, {"stars": "4", "title": 1.5, "text": "1/3"}),
    ({"stars": 4, "title": float("nan"), "text": Decimal("sNaN")}, {"stars": "4", "title": None, "text": None}),
    ({"stars": 4, "title": Colour.RED, "text": np.str_("a\ud800")}, {"stars": "4", "title": "red", "text": "a\ufffd"}),
    (
        {"stars": 4, "items": ("a\udfff", [1, (None, True)], [])},
        {"stars": "4", "items": ["a\ufffd", [1, [None, True]], []]},
    ),
    (
        {"stars": 4, "items": np.array(["a", "b"]), "title": np.array([[1], [2]])},
        {"stars": "4", "items": ["a", "b"], "title": [[1], [2]]},
    ),
    ({"stars": 4, "items": np.array([np.nan]), "title": np.array([])}, {"stars": "4", "items": [None], "title": []}),
]


@pytest.mark.parametrize(("example", "values"), FILLED)
def test_values_for_jinja_keep_their_type(example, values):
    read = LOGIC.read_fields(example)
    assert read == values
    plain = (type(None), bool, int, float, str, list)
    assert all(type(value) in plain for value in read.values())


def test_a_string_fills_the_only_field_that_jinja_reads():
    assert Template("{{ text | trim }} <mask>").read_fields("a\ud800") == {"text": "a\ufffd"}
    assert Template("{% set a = text %}<a> {{ a }} <mask>").read_fields("a") == {"text": "a"}


KINDS = "must be text, a number, a truth value, None or a list of such"
ENDLESS = []
ENDLESS.append(ENDLESS)
BAD_FOR_JINJA = [
    ({"title": "a"}, "row 2: no field 'stars': the example has 'title'"),
    ({"stars": None}, f"row 2: field 'stars' is None: {ABSENT}"),
    ({"stars": [4]}, "row 2: field 'stars' must be text or a number, found list"),
    ({"stars": 4, "title": {"a": 1}}, f"row 2: field 'title' {KINDS}, found dict"),
    ({"stars": 4, "title": b"a"}, f"row 2: field 'title' {KINDS}, found bytes"),
    ({"stars": 4, "items": {1, 2}}, f"row 2: field 'items' {KINDS}, found set"),
    ({"stars": 4, "items": range(3)}, f"row 2: field 'items' {KINDS}, found range"),
    ({"stars": 4, "items": ["a", ("b", {})]}, f"row 2: field 'items', item 1, item 1 {KINDS}, found dict"),
    ({"stars": 4, "items": [lambda: 1]}, f"row 2: field 'items', item 0 {KINDS}, found function"),
    ({"stars": 4, "items": ENDLESS}, "row 2: field 'items'" + ", item 0" * 8 + " has lists within lists "
     "deeper than 8 levels"),
]  # fmt: skip


@pytest.mark.parametrize(("example", "message"), BAD_FOR_JINJA)
def test_invalid_values_for_jinja(example, message):
    with pytest.raises(FieldError) as caught:
        LOGIC.read_fields(example, 2)
    assert str(caught.value) == message


def test_a_number_too_long_for_jinja():
    with pytest.raises(FieldError, match="row 1: field 'title' is a number that cannot be written"):
        LOGIC.read_fields({"stars": 4, "title": 10**5000}, 1)


def test_a_number_too_long_to_write():
    with pytest.raises(FieldError, match="row 1: field 'text' is a number that cannot be written"):
        ONE.read_fields({"text": 10**5000}, 1)


def test_many_columns_are_not_all_named():
    with pytest.raises(FieldError, match=r"'c19' and 980 more$"):
        ONE.read_fields({f"c{i}": "a" for i in range(1000)})


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(("tag", "key"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), (COMPOSED, COMPOSED)])
def test_field_names_may_differ_in_their_unicode_form(tag, key):
    """A column that was typed on another system: one letter or two characters."""
    assert Template(f"<{tag}> <mask>").read_fields({key: "x"}) == {tag: "x"}
    assert Template(f"{{{{ {tag} }}}} <mask>").read_fields({key: "x", "other": "y"}) == {tag: "x"}
    assert [finding.code for finding in lint(f"<{tag}> <mask>", fields=[key])] == []
    with pytest.raises(TemplateSyntaxError, match="is text here"):
        Template(f"<a> {{{COMPOSED}}} <mask>").validate_examples([{"a": "x", key: "y"}])
