"""The private copy of a tokenizer."""

import pytest
from support import models
from tokenizers import Tokenizer

from softcloze.encoding import PromptTokenizer
from softcloze.errors import TokenizerError


def masked(kind):
    return kind in models.MASKED_TOKENIZERS


def test_the_original_tokenizer_is_unchanged(kind):
    tokenizer = models.tokenizer(kind)
    tokenizer.backend_tokenizer.enable_truncation(7)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    before = tokenizer.backend_tokenizer.to_str()
    size, names = len(tokenizer), list(tokenizer.all_special_tokens)
    prompt_tokenizer = PromptTokenizer(tokenizer, masked=masked(kind))
    prompt_tokenizer.encode(["a text"])
    assert tokenizer.backend_tokenizer.to_str() == before
    assert (len(tokenizer), tokenizer.all_special_tokens) == (size, names)


def test_earlier_padding_and_truncation_settings_do_not_matter(kind):
    clean, used = models.tokenizer(kind), models.tokenizer(kind)
    used(["a", "a b c"], truncation=True, max_length=4)
    used.backend_tokenizer.enable_padding(length=40)
    of_clean, of_used = (PromptTokenizer(t, masked=masked(kind)) for t in (clean, used))
    text = "It was good, and the acting was good too."
    assert of_used.encode([text])[0].ids == of_clean.encode([text])[0].ids == clean(text)["input_ids"]
    assert of_used.fingerprint == of_clean.fingerprint


def test_the_fingerprint_tells_tokenizers_apart():
    prints = {PromptTokenizer(models.tokenizer(kind), masked=masked(kind)).fingerprint for kind in models.TOKENIZERS}
    assert len(prints) == len(models.TOKENIZERS)
    tokenizer = models.tokenizer("gpt2")
    tokenizer.add_tokens(["softcloze"])
    assert PromptTokenizer(tokenizer, masked=False).fingerprint not in prints


def test_markers_differ_between_copies(kind):
    one, other = (PromptTokenizer(models.tokenizer(kind), masked=masked(kind)) for _ in range(2))
    assert one.slot_marker != other.slot_marker
    assert one.slot_marker_id not in other.ids(one.slot_marker)


def test_ids_of_slots_are_beyond_the_vocabulary(kind):
    prompt_tokenizer = PromptTokenizer(models.tokenizer(kind), masked=masked(kind))
    assert prompt_tokenizer.slot_marker_id >= len(models.tokenizer(kind))
    assert (
        prompt_tokenizer.ids(f"{prompt_tokenizer.slot_marker}good{prompt_tokenizer.slot_marker}").count(
            prompt_tokenizer.slot_marker_id
        )
        == 2
    )
    if masked(kind):
        assert prompt_tokenizer.mask_marker_id == prompt_tokenizer.mask_id == models.tokenizer(kind).mask_token_id
    else:
        assert prompt_tokenizer.mask_id is None


def test_special_tokens_have_their_original_names(kind):
    tokenizer = models.tokenizer(kind)
    prompt_tokenizer = PromptTokenizer(tokenizer, masked=masked(kind))
    for number in range(len(tokenizer)):
        assert prompt_tokenizer.token(number) == tokenizer.convert_ids_to_tokens(number)


def test_a_slow_tokenizer_is_an_error():
    class Slow:
        mask_token_id = 3

    with pytest.raises(TokenizerError, match="Slow is not backed by the tokenizers library"):
        PromptTokenizer(Slow(), masked=True)


def test_a_masked_model_needs_a_mask_token():
    with pytest.raises(TokenizerError, match="has no mask token, which a masked model needs"):
        PromptTokenizer(models.tokenizer("gpt2"), masked=True)


def test_ordinary_added_tokens_are_unchanged():
    tokenizer = models.tokenizer("gpt2")
    tokenizer.add_tokens(["softcloze"])
    prompt_tokenizer = PromptTokenizer(tokenizer, masked=False)
    assert prompt_tokenizer.ids("good softcloze bad") == tokenizer("good softcloze bad")["input_ids"]
    assert tokenizer.convert_tokens_to_ids("softcloze") in prompt_tokenizer.ids("good softcloze bad")


def test_the_copy_survives_a_round_trip_of_the_original(kind):
    tokenizer = models.tokenizer(kind)
    again = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    prompt_tokenizer = PromptTokenizer(tokenizer, masked=masked(kind))
    for line in models.SENTENCES:
        assert prompt_tokenizer.encode([line])[0].ids == again.encode(line).ids
