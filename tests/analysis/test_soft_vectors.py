"""What vectors are near to, against all embeddings at once in numpy."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from support import models

from softcloze import PromptClassifier
from softcloze.analysis import inspect_soft
from softcloze.encoding.tokens import readable_token
from softcloze.errors import ParameterError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

WORDS = {"bad": "bad", "good": ["good", "great"]}
CHINESE = {"差": "差", "好": "好"}
TEXTS, LABELS = models.SENTENCES[:8], ["good", "bad"] * 4


def table_of(backbone):
    """All embeddings, as the model itself makes them of token ids, and the root mean square of their lengths."""
    embed = backbone.model.get_input_embeddings()
    with torch.no_grad():
        whole = embed(torch.arange(embed.weight.shape[0])).double().numpy()
    return whole, np.sqrt((whole**2).sum(1).mean())


def spelt(backbone, ids):
    tokens = backbone.tokenizer.convert_ids_to_tokens(ids)
    return [readable_token(token, byte_level=backbone.prompt_tokenizer.byte_level) for token in tokens]


CASES = [
    ("bert", "<soft*3> <text> It was <mask>.", WORDS),
    ("bert", "<soft*3> <text> 总之，很<mask>。", CHINESE),
    ("gpt2", "<text> <soft*2 name=a> It was <soft*2><mask>", WORDS),
    ("llama", "<soft*3> <text> 总之，很<mask>", CHINESE),
    ("gemma3_text", "<soft*3> <text> It was <mask>", WORDS),  # multiplies its embeddings by the root of their width
]


def check_nearest(backbone, vectors, found):
    """The nearest words of the tokenizer by either measure, and every number of them."""
    whole, unit = table_of(backbone)
    known = len(backbone.tokenizer)
    for vector, own in zip(vectors.double().numpy(), found, strict=True):
        cosines = whole[:known] @ vector / np.linalg.norm(whole[:known], axis=1).clip(1e-300) / np.linalg.norm(vector)
        distances = np.linalg.norm(whole[:known] - vector, axis=1) / unit
        assert own.length == pytest.approx(np.linalg.norm(vector) / unit)
        for words, order in ((own.by_cosine, np.argsort(-cosines)), (own.by_distance, np.argsort(distances))):
            best = order[: len(words)]
            assert [word.token for word in words] == spelt(backbone, best.tolist())
            np.testing.assert_allclose([word.cosine for word in words], cosines[best], atol=1e-6)
            np.testing.assert_allclose([word.distance for word in words], distances[best], atol=1e-6)


@pytest.mark.parametrize("chunk", [8192, 7])
@pytest.mark.parametrize(("architecture", "source", "table"), CASES)
def test_nearest_words(soft_prompt, monkeypatch, architecture, source, table, chunk):
    monkeypatch.setattr("softcloze.analysis.nearest_words.CHUNK", chunk)
    clf = soft_prompt(architecture, source, table)
    found = inspect_soft(clf, words=4)
    vectors = torch.cat(list(clf.prompt_.vectors.values()))
    check_nearest(clf.backbone_, vectors, found.vectors)
    np.testing.assert_allclose(found.similarities, torch.cosine_similarity(vectors[:, None], vectors, -1), atol=1e-6)
    assert [(v.block, v.position) for v in found.vectors] == [
        (key, number + 1) for key, own in clf.prompt_.vectors.items() for number in range(len(own))
    ]
    assert {(v.start, v.moved) for v in found.vectors} == {(None, None)}  # nothing says where they come from


def test_nearest_words_of_a_real_model(soft_prompt, bert_tiny):
    clf = soft_prompt(bert_tiny, "<soft*2> <text> It was <mask>.", WORDS)
    check_nearest(bert_tiny, clf.prompt_.vectors["#1"], inspect_soft(clf, words=5).vectors)


def test_words_themselves_are_found(soft_prompt, bert_tiny):
    words = bert_tiny.tokenizer.convert_tokens_to_ids(["film", "##ing", "[MASK]"])
    clf = soft_prompt(bert_tiny, "<soft*3> <text> <mask>", WORDS, vectors={"#1": bert_tiny.embed(torch.tensor(words))})
    found = inspect_soft(clf, words=1)
    for measure in ("by_cosine", "by_distance"):
        nearest = [getattr(vector, measure)[0] for vector in found.vectors]
        assert [word.token for word in nearest] == ["film", "##ing", "[MASK]"]
        assert [word.cosine for word in nearest] == pytest.approx([1, 1, 1])
        assert [word.distance for word in nearest] == pytest.approx([0, 0, 0], abs=1e-6)


def fit(architecture, template, words=WORDS, **parameters):
    parameters = {"epochs": 1, "random_state": 3} | parameters
    return PromptClassifier(models.backbone(architecture), template, words, **parameters).fit(TEXTS, LABELS)


def check_moved(clf, start):
    """How far vectors are from these tokens, by plain transformers."""
    backbone = clf.backbone_
    whole, unit = table_of(backbone)
    vectors = torch.cat(list(clf.prompt_.vectors.values())).double().numpy()
    moved = np.linalg.norm(vectors - whole[start], axis=1) / unit
    found = inspect_soft(clf, examples=TEXTS[::-1]).vectors
    assert [vector.start for vector in found] == spelt(backbone, start)
    np.testing.assert_allclose([vector.moved for vector in found], moved, atol=1e-6)
    assert moved.min() > 0


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "gemma3_text"])
def test_how_far_they_moved_from_the_words_of_the_template(architecture):
    clf = fit(architecture, '<soft*3> It was: <text> <soft init="good film">, so <mask>')
    tokens = clf.backbone_.tokenizer("It was:", add_special_tokens=False)["input_ids"]
    named = clf.backbone_.tokenizer("good film", add_special_tokens=False)["input_ids"]
    check_moved(clf, [tokens[i % len(tokens)] for i in range(3)] + named)


def test_how_far_they_moved_from_label_words():
    clf = fit("bert", "<soft*3> <text> It was <mask>.", soft_init="labels")
    check_moved(clf, clf.backbone_.tokenizer.convert_tokens_to_ids(["bad", "good", "great"]))


def test_how_far_they_moved_from_words_of_the_examples():
    clf = fit("bert", "<soft*3> <text> It was <mask>.", soft_init="vocabulary")
    start = [vector.start for vector in inspect_soft(clf, examples=TEXTS).vectors]
    assert len(set(start)) == 3
    check_moved(clf, clf.backbone_.tokenizer.convert_tokens_to_ids(start))
    with pytest.raises(ParameterError, match="8 training examples, found 7; give the training examples, or none"):
        inspect_soft(clf, examples=TEXTS[1:])
    assert all(vector.moved is None for vector in inspect_soft(clf).vectors)


def test_a_saved_prompt_knows_where_it_started(tmp_path):
    clf = fit("llama", "<soft*2> 总之，<text> It was <mask>")
    clf.save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", clf.backbone_)
    assert inspect_soft(loaded) == inspect_soft(clf)
    assert all(vector.moved is not None for vector in inspect_soft(loaded).vectors)


def test_where_a_transferred_prompt_started_is_not_known():
    template = "<soft*2 name=task> <text> It was <mask>."
    clf = fit("bert", template, soft_init=fit("bert", template).prompt_)
    assert {(vector.start, vector.moved) for vector in inspect_soft(clf).vectors} == {(None, None)}


def test_after_a_warm_start_they_have_come_further():
    clf = fit("bert", "<soft*2> It was: <text> It was <mask>.", warm_start=True)
    once = [vector.moved for vector in inspect_soft(clf).vectors]
    clf.fit(TEXTS, LABELS)
    check_moved(clf, clf.backbone_.tokenizer("It was", add_special_tokens=False)["input_ids"])
    assert all(vector.moved > first for vector, first in zip(inspect_soft(clf).vectors, once, strict=True))


def test_mistakes(soft_prompt):
    with pytest.raises(NotFittedError, match="call fit first, or load a saved prompt"):
        inspect_soft(PromptClassifier("starter:bert-tiny", "<soft*2> <text> <mask>"))
    with pytest.raises(ParameterError, match=r"'<text> <mask>' has no soft slots, so it has no vectors"):
        inspect_soft(soft_prompt("bert", "<text> <mask>", WORDS))
    for words in (0, "3", 1.5, True, None):
        with pytest.raises(ParameterError, match=f"words={words!r}, but it has to be an integer of at least 1"):
            inspect_soft(soft_prompt("bert", "<soft*2> <text> <mask>", WORDS), words=words)
    for other in (None, "a classifier", make_pipeline(PromptClassifier("starter:bert-tiny", "<soft> <text> <mask>"))):
        with pytest.raises(ParameterError, match="has no prompt to inspect; give a fitted PromptClassifier"):
            inspect_soft(other)
