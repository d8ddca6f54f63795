"""All prompts of the library for a task, and the spread of their results."""

import pytest

from softcloze.errors import ParameterError
from softcloze.experiments import prompt_variants
from softcloze.library import list_templates, load_template


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_hard_prompt_with_one_field(language, chat):
    variants = prompt_variants("starter:bert-tiny", "sentiment", language, chat=chat)
    found = {method.name: method.classifier for method in variants}
    assert len(found) >= 3
    for name in list_templates():
        card = load_template(name)
        plain = not card.template.blocks and card.template.demos is None and len(card.fields) == 1
        plain = plain and (chat or not card.template.turns)
        assert (name in found) == (plain and (card.task, card.language) == ("sentiment", language))
        if name in found:
            assert (found[name].template, found[name].verbalizer) == (card.template, card.verbalizer)


def test_with_a_calibration_and_other_words():
    words = {"positive": "great", "negative": "bad"}
    plain = prompt_variants("starter:bert-tiny", "sentiment", "en")
    changed = prompt_variants("starter:bert-tiny", "sentiment", "en", words, calibration="batch")
    assert [method.name for method in changed] == [f"{method.name}, batch" for method in plain]
    assert {method.variant_of for method in (*plain, *changed)} == {"sentiment/en", "sentiment/en, batch"}
    assert all((each.classifier.verbalizer, each.classifier.calibration) == (words, "batch") for each in changed)


def test_no_such_templates():
    with pytest.raises(ParameterError, match=r"no hard prompts with one field for sentimnt/en; it has .*sentiment/en"):
        prompt_variants("starter:bert-tiny", "sentimnt", "en")
