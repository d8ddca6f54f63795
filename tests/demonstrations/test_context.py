"""In-context learning end to end, against prompts written by hand and scored by plain transformers."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from support import models
from support.training_task import interrupt_at

from softcloze import PromptClassifier, PromptSet
from softcloze.errors import ParameterError
from softcloze.prompt import CARD, CompiledPrompt

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

WORDS = {0: ["bad", "terrible"], 1: ["good", "great"]}
ENGLISH = ["fine film", "dull film", "I liked it", "too long", "a delight", "not good"]
CHINESE = ["很好", "很差", "满意", "失望", "不错", "太差了"]
LABELS = [1, 0, 1, 0, 1, 0]
INPUTS = ["the best", "people", "书", "服务好"]


def classifier(architecture, template='<demos*4 sep="\\n"><text> It was <mask>', **parameters):
    return PromptClassifier(models.backbone(architecture), template, WORDS, random_state=0).set_params(**parameters)


def shown_with(clf, text):
    """Demonstrations of `text`: texts and the first words of their labels."""
    (demonstrations,) = clf.prompt_.demonstrations.select([{"text": text}], clf.backbone_)
    return [(d.values["text"], d.word) for d in demonstrations]


def log_prob(model, ids, word):
    """log P(word | ids) of a causal model."""
    with torch.no_grad():
        logs = model(input_ids=torch.tensor([[*ids, *word]])).logits[0].log_softmax(-1)
    return float(sum(logs[len(ids) + k - 1, token] for k, token in enumerate(word)))


@pytest.mark.parametrize("how", ["random", "nearest", TfidfVectorizer(analyzer="char")], ids=str)
@pytest.mark.parametrize("pool", [ENGLISH, CHINESE], ids=["English", "Chinese"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3_text"])
def test_a_causal_model_scores_the_prompt_written_by_hand(architecture, pool, how):
    clf = classifier(architecture, '<demos*2 sep="\\n"><text> It was <mask>', demonstrations=how).fit(pool, LABELS)
    tokenizer, model = clf.backbone_.tokenizer, clf.backbone_.model
    for text, found in zip(INPUTS, clf.predict_proba(INPUTS), strict=True):
        (first, one), (second, two) = shown_with(clf, text)
        assert {one, two} == {"bad", "good"}
        context = f"{first} It was {one}\n{second} It was {two}\n{text} It was"
        ids = tokenizer(context)["input_ids"]
        scores = []
        for words in WORDS.values():
            filled = [tokenizer(f"{context} {word}")["input_ids"] for word in words]
            assert all(row[: len(ids)] == ids for row in filled)
            logs = [log_prob(model, ids, row[len(ids) :]) for row in filled]
            scores.append(np.logaddexp(*logs) - np.log(2))
        expected = np.exp(scores - np.logaddexp(*scores))
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("how", ["random", "nearest"])
@pytest.mark.parametrize("pool", [ENGLISH, CHINESE], ids=["English", "Chinese"])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_a_masked_model_scores_the_prompt_written_by_hand(architecture, pool, how):
    clf = classifier(architecture, '<demos*2 sep=" "><text> It was <mask>.', demonstrations=how).fit(pool, LABELS)
    tokenizer, model = clf.backbone_.tokenizer, clf.backbone_.model
    # a word's tokens as they stand in running text, masked together
    tokens = {
        word: tokenizer(f"It was {word}", add_special_tokens=False)["input_ids"][
            len(tokenizer("It was", add_special_tokens=False)["input_ids"]) :
        ]
        for words in WORDS.values()
        for word in words
    }
    mask = tokenizer.mask_token
    for text, found in zip(INPUTS, clf.predict_proba(INPUTS), strict=True):
        (first, one), (second, two) = shown_with(clf, text)
        scores = []
        for words in WORDS.values():
            logs = []
            for word in words:
                written = f"{first} It was {one}. {second} It was {two}. {text} It was {mask * len(tokens[word])}."
                ids = tokenizer(written)["input_ids"]
                places = [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id]
                assert len(places) == len(tokens[word])
                with torch.no_grad():
                    out = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
                logs.append(float(sum(out[p, t] for p, t in zip(places, tokens[word], strict=True))))
            scores.append(np.logaddexp(*logs) - np.log(2))
        expected = np.exp(scores - np.logaddexp(*scores))
        np.testing.assert_allclose(found, expected, atol=1e-4)


class TestFitting:
    def test_examples_are_kept_and_nothing_is_trained(self):
        clf = classifier("gpt2").fit(ENGLISH, LABELS)
        assert clf.history_ == []
        assert clf.prompt_.vectors == {}
        assert len(shown_with(clf, "x")) == 4

    def test_without_a_count_one_of_each_label_is_shown(self):
        clf = classifier("gpt2", "<demos><text> It was <mask>").fit(ENGLISH, LABELS)
        assert sorted(word for _, word in shown_with(clf, "x")) == ["bad", "good"]

    def test_predict_and_save_need_fit(self, tmp_path):
        clf = classifier("gpt2")
        with pytest.raises(NotFittedError, match="selected among the examples given to fit; call fit first"):
            clf.predict(["x"])
        with pytest.raises(NotFittedError):
            clf.save(tmp_path / "p")

    def test_no_inputs(self):
        assert classifier("gpt2").fit(ENGLISH, LABELS).predict([]).shape == (0,)
        assert classifier("gpt2", demonstrations="nearest").fit(ENGLISH, LABELS).predict_proba([]).shape == (0, 2)

    def test_the_seed_decides(self):
        texts, labels = models.SENTENCES[:8], [0, 1] * 4
        twice = [classifier("gpt2", "<demos*2><text> It was <mask>").fit(texts, labels) for _ in range(2)]
        np.testing.assert_array_equal(*[clf.predict_proba(INPUTS) for clf in twice])
        others = {
            tuple(shown_with(clone(twice[0]).set_params(random_state=s).fit(texts, labels), "x")) for s in range(5)
        }
        assert len(others) > 1

    @pytest.mark.parametrize("how", ["random", "nearest"])
    @pytest.mark.parametrize("template", ["<demos*2><text><soft*2> It was <mask>", "<demos*2><text> It was <mask>"])
    def test_no_training_prompt_shows_its_own_example(self, monkeypatch, how, template):
        seen = []
        encode = CompiledPrompt.encode

        def watched(self, examples, demonstrations=None):
            seen.append((examples, demonstrations))
            return encode(self, examples, demonstrations)

        monkeypatch.setattr(CompiledPrompt, "encode", watched)
        texts, labels = [*ENGLISH, ENGLISH[0]], [*LABELS, 0]
        classifier("gpt2", template, demonstrations=how, epochs=1).fit(texts, labels)
        ((examples, demonstrations),) = seen
        assert examples == texts
        for text, own in zip(texts, demonstrations, strict=True):
            assert len(own) == 2
            assert text not in [d.values["text"] for d in own]

    def test_soft_slots_are_trained_after_demonstrations(self):
        clf = classifier(
            "gpt2", "<demos*2><text><soft*3> It was <mask>", epochs=3, learning_rate=0.1, training__target_loss=0.0
        )
        clf.fit(ENGLISH, LABELS)
        assert clf.history_[-1]["loss"] < clf.history_[0]["loss"]
        assert clf.prompt_.vectors["#1"].shape == (3, 32)

    def test_demonstrations_that_do_not_fit_are_dropped_and_counted(self):
        clf = classifier("gpt2", '<demos*6 sep="\\n"><text> It was <mask>', max_length=30).fit(CHINESE, LABELS)
        assert clf.truncation_.rows == 6
        assert clf.truncation_.demonstrations > 0
        assert clf.truncation_.tokens == {}
        (prompt,) = bound(clf).encode(["x"], clf.prompt_.demonstrations_for(["x"], clf.backbone_))
        kept = 6 - prompt.dropped
        assert 0 < kept < 6
        # the last ones stay, and the prompt is as if only those had been asked for
        context = "".join(f"{text} It was {word}\n" for text, word in shown_with(clf, "x")[-kept:])
        assert list(prompt.left) == clf.backbone_.tokenizer(f"{context}x It was")["input_ids"]

    def test_nothing_is_truncated_if_all_fits(self):
        clf = classifier("gpt2", "<text> It was <mask>").fit(ENGLISH, LABELS)
        assert (clf.truncation_.rows, clf.truncation_.rows_cut, clf.truncation_.demonstrations) == (6, 0, 0)

    def test_an_unknown_method_raises(self):
        with pytest.raises(ParameterError, match="did you mean 'random'"):
            classifier("gpt2", demonstrations="randm").fit(ENGLISH, LABELS)

    def test_too_few_examples_warn_once(self):
        with pytest.warns(UserWarning, match="only 3 are available: 'bad' has 1, 'good' has 2 examples") as caught:
            clf = classifier("gpt2").fit(ENGLISH[:3], LABELS[:3])
            clf.predict(INPUTS)
        assert len(caught) == 1

    @pytest.mark.filterwarnings("ignore:.*holds the progress of another fit")
    def test_other_demonstrations_use_another_checkpoint(self, tmp_path):
        texts, labels = models.SENTENCES[:8], [0, 1] * 4
        template = "<demos*2><text><soft*2> It was <mask>"
        for how in ("random", "nearest"):
            clf = classifier("gpt2", template, demonstrations=how, training__checkpoint=tmp_path)
            with pytest.raises(KeyboardInterrupt):
                clf.set_params(training__on_epoch=interrupt_at(1)).fit(texts, labels)
        assert len(list(tmp_path.iterdir())) == 2


class TestScikitLearn:
    def test_grid_search_over_choices_and_counts(self):
        search = GridSearchCV(
            classifier("gpt2"),
            {
                "demonstrations": ["random", "nearest", TfidfVectorizer(analyzer="char")],
                "template": ["<demos*2><text> It was <mask>", '<demos*4 sep=" "><text> It was <mask>'],
            },
            cv=2,
            error_score="raise",
        )
        search.fit(CHINESE * 2, LABELS * 2)
        assert len(search.cv_results_["params"]) == 6

    def test_clone_and_nested_parameters(self):
        given = TfidfVectorizer()
        clf = classifier("gpt2", demonstrations=given)
        assert clf.get_params()["demonstrations__ngram_range"] == (1, 1)
        copy = clone(clf).set_params(demonstrations__analyzer="char")
        assert given.analyzer == "word"
        assert copy.demonstrations is not given
        copy.fit(CHINESE, LABELS)
        assert not hasattr(copy.demonstrations, "vocabulary_")

    def test_several_classifiers_together(self):
        template = "<demos*2><text><soft*2> It was <mask>"
        fitted = [classifier("gpt2", template, random_state=seed, epochs=1).fit(ENGLISH, LABELS) for seed in range(3)]
        together = PromptSet([clf.prompt_ for clf in fitted], fitted[0].backbone_).label_scores(iter(INPUTS))
        for clf, scores in zip(fitted, together, strict=True):
            np.testing.assert_allclose(scores[:, 1] - scores[:, 0], clf.decision_function(INPUTS), atol=1e-5)
            np.testing.assert_array_equal(clf.classes_[scores.argmax(1)], clf.predict(INPUTS))


class TestSaving:
    @pytest.mark.parametrize("how", ["random", "nearest"])
    @pytest.mark.parametrize("template", ["<demos*3><text> It was <mask>", "<demos*2><text> <soft*2 name=a> is <mask>"])
    @pytest.mark.parametrize("architecture", ["gpt2", "bert"])
    def test_probabilities_come_back_bit_for_bit(self, tmp_path, architecture, template, how):
        clf = classifier(architecture, template, demonstrations=how, epochs=1).fit(CHINESE, LABELS)
        clf.save(tmp_path / "p")
        loaded = PromptClassifier.load(tmp_path / "p", clf.backbone_)
        np.testing.assert_array_equal(loaded.predict_proba(INPUTS), clf.predict_proba(INPUTS))
        assert loaded.demonstrations == how
        assert loaded.prompt_.vectors.keys() == clf.prompt_.vectors.keys()
        loaded.save(tmp_path / "again")
        assert (tmp_path / "again" / CARD).read_bytes() == (tmp_path / "p" / CARD).read_bytes()

    def test_random_demonstrations_are_saved_without_the_rest_of_the_pool(self, tmp_path):
        clf = classifier("gpt2", "<demos*2><text> It was <mask>").fit(CHINESE, LABELS)
        clf.save(tmp_path / "p")
        card = (tmp_path / "p" / CARD).read_text(encoding="utf-8")
        kept = {text for text, _ in shown_with(clf, "x")}
        assert {text for text in CHINESE if f'"{text}"' in card} == kept

    def test_a_transformer_is_not_pickled(self, tmp_path):
        clf = classifier("gpt2", demonstrations=TfidfVectorizer(analyzer="char")).fit(CHINESE, LABELS)
        with pytest.raises(ParameterError, match=r'cannot be saved.*Fit with demonstrations="nearest"'):
            clf.save(tmp_path / "p")
        assert list(tmp_path.iterdir()) == []

    def test_it_can_be_fitted_again(self, tmp_path):
        clf = classifier("gpt2", demonstrations="nearest").fit(CHINESE, LABELS)
        clf.save(tmp_path / "p")
        loaded = PromptClassifier.load(tmp_path / "p", clf.backbone_).fit(CHINESE, LABELS)
        np.testing.assert_array_equal(loaded.predict_proba(INPUTS), clf.predict_proba(INPUTS))


def bound(clf):
    return CompiledPrompt(clf.prompt_.template, clf.prompt_.verbalizer, clf.backbone_, clf.max_length)


@pytest.mark.parametrize("kind", ["random", "nearest"])
def test_odd_texts_are_saved_with_a_prompt(bert_tiny, tmp_path, kind):
    texts = ["lone \ud83d", "nul \0", "<mask> </s> [MASK]", "\u202ertl", "very " * 50, "", "\n", "😀"]
    clf = PromptClassifier(
        bert_tiny, '<demos*4 sep=" "><text max=4> is <mask>.', WORDS, demonstrations=kind, random_state=0
    )
    clf.fit(texts, [1, 0] * 4).save(tmp_path / "p")
    loaded = PromptClassifier.load(tmp_path / "p", bert_tiny)
    np.testing.assert_array_equal(loaded.predict_proba(texts), clf.predict_proba(texts))
