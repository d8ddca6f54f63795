"""Candidate label words of every kind of tokenizer, and their log-probabilities."""

import numpy as np
import pytest
import torch
from support import models

from softcloze import Template, Verbalizer
from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.label_words.candidates import is_encoded_as, is_word, read_candidates, whole_words
from softcloze.prompt import CompiledPrompt

ENGLISH, CHINESE = "<text> It was <mask>", "<text> 总之，很<mask>"
TEXTS = ["A dull film.", "这部电影很好。", "It was great: a great film with a great cast.", "质量太差了"]


def compiled_for(architecture, source):
    return CompiledTemplate(Template(source), models.backbone(architecture).prompt_tokenizer, 64)


def words_of(compiled, texts=TEXTS):
    found = whole_words(compiled, texts)
    return {word: token for token, word in found.items() if is_encoded_as(compiled, word, token)}


def test_every_candidate_is_read_as_its_own_token(architecture):
    for source in (ENGLISH, CHINESE):
        backbone = models.backbone(architecture)
        compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, 64)
        words = words_of(compiled)
        assert words and len(set(words.values())) == len(words)
        table = {label: [word for word in words if (len(word) + ord(word[0])) % 2 == label] for label in (0, 1)}
        bound = CompiledPrompt(Template(source), Verbalizer(table), backbone, None)  # as PromptClassifier does it
        assert list(bound.scorer.words) == [(words[word],) for word in bound.verbalizer.all_words]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "deberta-v2", "gpt2", "llama", "gemma3_text"])
def test_words_of_both_languages(architecture):
    english, chinese = (words_of(compiled_for(architecture, source)) for source in (ENGLISH, CHINESE))
    assert {"good", "bad", "great"} <= english.keys()
    assert all(word.isascii() and word.isalpha() and len(word) > 1 for word in english)
    assert chinese and all("\u4e00" <= char <= "\u9fff" for word in chinese for char in word)


def test_pieces_of_words_are_no_candidates():
    compiled = compiled_for("bert", ENGLISH)
    pieces = {text for text in compiled.prompt_tokenizer.texts() if text.startswith("##")}
    assert pieces and not {piece.removeprefix("##") for piece in pieces} & {
        word for word, token in words_of(compiled).items() if compiled.prompt_tokenizer.token(token).startswith("##")
    }


def test_white_space_before_the_mask_decides_which_token_a_word_is():
    with_space, without = (words_of(compiled_for("gpt2", f"<text> It was{space}<mask>")) for space in (" ", ""))
    prompt_tokenizer = models.backbone("gpt2").prompt_tokenizer
    assert all(prompt_tokenizer.token(token).startswith("Ġ") for token in with_space.values())
    assert not any(prompt_tokenizer.token(token).startswith("Ġ") for token in without.values())


def test_a_template_without_letters_takes_the_script_of_the_texts():
    compiled = compiled_for("bert", "<text>: <mask>.")
    assert all(word.isascii() for word in words_of(compiled, ["A dull film."]))
    assert not any(word.isascii() for word in words_of(compiled, ["很好。"]))
    both = words_of(compiled, TEXTS)
    assert "good" in both and "好" in both


@pytest.mark.parametrize("text", ["", "x", "A", "4th", "don't", "##ing", "好。", "\ufffd", "a b", "[MASK]", "\x02"])
def test_texts_that_are_not_words(text):
    assert not is_word(text)


@pytest.mark.parametrize("text", ["good", "Äpfel", "хорошо", "好", "满意", "नमस्ते", "ดี"])
def test_texts_that_are_words(text):
    assert is_word(text)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "gemma3_text"])
def test_log_probabilities_are_those_of_the_model(architecture):
    backbone = models.backbone(architecture)
    compiled = CompiledTemplate(Template(ENGLISH), backbone.prompt_tokenizer, 64)
    prompts = compiled.encode(TEXTS)
    found = read_candidates(backbone, compiled, prompts, np.array([0, 0, 1, 1]), TEXTS)
    assert set(found.words) == words_of(compiled).keys()  # fewer than there may be
    mask_id = backbone.prompt_tokenizer.mask_id
    for row, prompt in enumerate(prompts):
        ids = [*prompt.left, *([mask_id] if mask_id is not None else []), *prompt.right]
        at = len(prompt.left) - (mask_id is None)
        with torch.no_grad():
            logs = models.logits_of(backbone.model, ids).log_softmax(-1)[at]
        expected = [logs[compiled.word_ids(word)[0]].item() for word in found.words]
        np.testing.assert_allclose(found.log_probs[row], expected, atol=1e-4)


def test_only_the_likeliest_of_each_label_stay(monkeypatch):
    backbone = models.backbone("bert")
    compiled = CompiledTemplate(Template(ENGLISH), backbone.prompt_tokenizer, 64)
    prompts, targets = compiled.encode(TEXTS), np.array([0, 0, 1, 1])
    whole = read_candidates(backbone, compiled, prompts, targets, TEXTS)
    monkeypatch.setattr("softcloze.label_words.candidates.LIKELIEST", 3)
    cut = read_candidates(backbone, compiled, prompts, targets, TEXTS)
    likeliest = set()
    for label in (0, 1):
        order = np.argsort(-whole.log_probs[targets == label].mean(0))[:3]
        likeliest |= {whole.words[i] for i in order}
    assert set(cut.words) == likeliest


def test_a_private_marker_is_no_text():
    prompt_tokenizer = PromptTokenizer(models.borrowed("wordpiece"), masked=True)
    texts = prompt_tokenizer.texts()
    assert texts[prompt_tokenizer.ids("good")[0]] == "good"
    assert not any(
        is_word(text.strip())
        for text in (texts[prompt_tokenizer.slot_marker_id], texts[prompt_tokenizer.mask_marker_id])
    )
