"""Encoding errors name the row, field, block or word; blocks have their rows."""

import pickle

import pytest
from support import models

from softcloze import PromptClassifier, predict_stream
from softcloze.encoding import CompiledBlock, CompiledTemplate, PromptTokenizer
from softcloze.errors import EncodingError, FieldError
from softcloze.template import Template


def compiled(source, kind="wordpiece"):
    prompt_tokenizer = PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)
    return CompiledTemplate(Template(source), prompt_tokenizer, 64)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([{"a": "x", "b": "y"}, {"a": "x"}], r"row 1: no field 'b': the example has 'a'"),
        ([{"a": "x", "b": None}], r"row 0: field 'b' is None"),
        ([{"a": "x", "b": float("nan")}], r"row 0: field 'b' is NaN"),
        ([{"a": "x", "b": ["y"]}], r"row 0: field 'b' must be text or a number, found list"),
        ([{"a": "x", "b": "y"}] * 3 + ["text"], r"row 3: a plain string fills one field"),
        ([{"a": "x", "b": "y"}, 7], r"row 1: expected a string or a mapping of fields, found int"),
    ],
)
def test_a_bad_example_is_named(examples, message):
    with pytest.raises(FieldError, match=message):
        compiled("<a> <b> <mask>").encode(examples)


def test_a_word_outside_the_vocabulary():
    with pytest.raises(
        EncodingError, match=r"label word '😀' is unknown to this model's vocabulary: it becomes \[UNK\]"
    ):
        compiled("It was <mask>").word_ids("😀")


def test_a_word_without_tokens():
    with pytest.raises(EncodingError, match="has no tokens in this model's vocabulary") as caught:
        compiled("It was <mask>").word_ids("\u200b")
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), EncodingError)


def test_init_words_without_tokens():
    with pytest.raises(EncodingError, match="soft block 'task' has no tokens in this vocabulary"):
        compiled('<soft init="\u200b" name=task> <mask>')


def test_blocks_and_their_rows(kind):
    blocks = compiled(
        '<soft*2> <soft init="It was good" name=task> <soft*3 init=good> <mask> <soft name=task>', kind
    ).blocks
    tokenizer = models.borrowed(kind)
    words = tuple(tokenizer("It was good", add_special_tokens=False)["input_ids"])
    good = tuple(tokenizer("good", add_special_tokens=False)["input_ids"])
    assert blocks == (
        CompiledBlock("#1", 0, 2, ()),
        CompiledBlock("task", 2, len(words), words),
        CompiledBlock("#2", 2 + len(words), 3, good),
    )
    assert blocks[1].rows == range(2, 2 + len(words))


def test_an_example_of_which_nothing_fits_raises():
    """Otherwise all examples would get the same probabilities, those of the template."""
    words = {"pos": "good", "neg": "bad"}
    clf = PromptClassifier(models.backbone("gpt2"), "All in all: <text> It was <mask>", words)
    length = len(clf._bound_prompt().encode([""])[0])
    clf.set_params(max_length=length)
    with pytest.raises(EncodingError, match=f"^row 0: nothing of the example fits: .* takes {length} of {length} "):
        clf.predict(["good film", "bad film"])
    assert [row.label is None for row in predict_stream(clf, ["good film"])] == [True]
    assert clf.set_params(max_length=length + 1).predict(["good film", "bad film"]).shape == (2,)
