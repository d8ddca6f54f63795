"""Truncation counts over several prompts."""

from softcloze.encoding import EncodedPrompt, Truncation, summarise_cuts


def test_cuts_of_several_prompts():
    prompts = [
        EncodedPrompt((5, 6), (), {}),
        EncodedPrompt((5,), (), {"text": 3, "title": 1}),
        EncodedPrompt((5,), (7,), {"text": 2}, dropped=2),
        EncodedPrompt((5,), (7,), {}, dropped=1),
    ]
    assert summarise_cuts(prompts) == Truncation(rows=4, rows_cut=3, tokens={"text": 5, "title": 1}, demonstrations=3)


def test_cuts_of_nothing():
    assert summarise_cuts([]) == Truncation(rows=0, rows_cut=0, tokens={}, demonstrations=0)
