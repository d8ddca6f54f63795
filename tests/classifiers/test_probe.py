"""ProbeClassifier: scikit-learn's figures on the encoder's own vectors, saved with the encoder's fingerprint."""

import json
from copy import deepcopy
from hashlib import sha256

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from support import models

from softcloze import ProbeClassifier, PromptClassifier, PromptEnsemble, predict_stream
from softcloze.embeddings import SentenceEncoder
from softcloze.errors import ArtifactError, DataError, FieldError, NonFiniteError, ParameterError, SoftclozeError
from softcloze.prompt.probe_card import CARD
from softcloze.prompt.tensors import VECTORS

TEXTS = models.SENTENCES[:16]
LABELS = ["bad", "good", "odd", "good"] * 4
WORDS = {"bad": "bad", "good": "good", "odd": "film"}
pytestmark = pytest.mark.usefixtures("few_folds")


def new_encoder(seed=0, **settings):
    network = models.model("bert", seed=seed).base_model.eval()
    return SentenceEncoder(network, models.tokenizer("wordpiece"), "tiny", **settings)


@pytest.fixture(scope="module")
def encoder():
    return new_encoder()


@pytest.fixture(scope="module")
def fitted(encoder):
    return ProbeClassifier(encoder, class_weight="balanced", random_state=0).fit(TEXTS, LABELS)


@pytest.mark.parametrize("names", [(), ("bad", "good", "odd")], ids=["numbers", "names"])
def test_probabilities_are_those_of_scikit_learn_on_standardised_embeddings(encoder, names):
    """The names of labels are further examples of twice the weight; numbers are none."""
    weights = np.linspace(0.5, 2, len(TEXTS))
    labels = LABELS if names else [len(label) * 10 + (label == "odd") for label in LABELS]
    fitted = ProbeClassifier(encoder, class_weight=None, random_state=0).fit(TEXTS, labels, weights)
    scaler = StandardScaler().fit(encoder.embed(TEXTS), sample_weight=weights)
    regression = LogisticRegression(C=1 / (fitted.exact_.strength * len(TEXTS)), tol=1e-10, max_iter=10_000)
    all_weights = np.concatenate([weights / weights.mean(), np.full(len(names), 2.0)])
    regression.fit(scaler.transform(encoder.embed([*TEXTS, *names])), [*labels, *names], all_weights)
    expected = regression.predict_proba(scaler.transform(encoder.embed(models.SENTENCES)))
    np.testing.assert_allclose(fitted.predict_proba(models.SENTENCES), expected, atol=1e-4)
    assert fitted.classes_.tolist() == regression.classes_.tolist()
    assert fitted.predict(models.SENTENCES).tolist() == regression.classes_[expected.argmax(1)].tolist()
    assert fitted.decision_function(TEXTS).shape == (16, 3)
    assert fitted.score(TEXTS, labels) == (fitted.predict(TEXTS) == labels).mean()


def test_fields_are_embedded_as_lines_of_one_text(encoder):
    rows = [{"title": text[:8], "stars": i} for i, text in enumerate(TEXTS)]
    by_fields = ProbeClassifier(encoder, random_state=0).fit(rows, LABELS)
    joined = [f"{row['title']}\n{row['stars']}" for row in rows]
    by_text = ProbeClassifier(encoder, random_state=0).fit(joined, LABELS)
    assert by_fields.probe_.fields == ("title", "stars")
    assert (by_fields.predict_proba(rows) == by_text.predict_proba(joined)).all()
    with pytest.raises(FieldError, match=r"row 1: .*'stars'"):
        by_fields.predict([rows[0], {"title": "x"}])


def test_it_saves_and_loads_bit_for_bit(fitted, encoder, tmp_path):
    fitted.save(tmp_path / "p")
    loaded = ProbeClassifier.load(tmp_path / "p", encoder)
    assert (loaded.predict_proba(TEXTS) == fitted.predict_proba(TEXTS)).all()
    assert loaded.get_params() == {**fitted.get_params(), "max_length": encoder.max_length}
    assert (clone(loaded).fit(TEXTS, LABELS).predict_proba(TEXTS) == fitted.predict_proba(TEXTS)).all()
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [CARD, VECTORS]
    fitted.save(tmp_path / "p")  # takes its own place
    assert ProbeClassifier.load(tmp_path / "p", encoder).classes_.tolist() == ["bad", "good", "odd"]


def test_a_folder_of_an_encoder_is_found_by_its_name(tmp_path):
    for part in (new_encoder().network, models.tokenizer("wordpiece")):
        part.save_pretrained(tmp_path / "encoder")
    name = str(tmp_path / "encoder")
    fitted = ProbeClassifier(name, max_length=8, random_state=0).fit(TEXTS, LABELS)
    fitted.save(tmp_path / "p")
    loaded = ProbeClassifier.load(tmp_path / "p")
    assert loaded.encoder_.max_length == 8
    assert (loaded.predict_proba(TEXTS) == fitted.predict_proba(TEXTS)).all()
    (tmp_path / "encoder").rename(tmp_path / "moved")
    with pytest.raises(ArtifactError, match=r"encoder', which probe.json names, cannot be loaded; if it moved"):
        ProbeClassifier.load(tmp_path / "p")
    assert (ProbeClassifier.load(tmp_path / "p", tmp_path / "moved").predict(TEXTS) == fitted.predict(TEXTS)).all()


@pytest.mark.parametrize(
    ("other", "part"),
    [({"seed": 1}, "model"), ({"normalise": True}, "normalise"), ({"pooling": "cls"}, "pooling")],
)
def test_another_encoder_raises(fitted, tmp_path, other, part):
    fitted.save(tmp_path / "p")
    with pytest.raises(ArtifactError, match=f"(?s)belongs to another encoder: its {part} differs.*saved with tiny"):
        ProbeClassifier.load(tmp_path / "p", new_encoder(**other))


def test_other_folders_are_named(fitted, encoder, tmp_path):
    fitted.save(tmp_path / "probe")
    PromptClassifier(models.backbone("bert"), "<text> <mask>", WORDS).save(tmp_path / "prompt")
    with pytest.raises(ArtifactError, match=r"it holds a probe on sentence embeddings, for ProbeClassifier.load"):
        PromptClassifier.load(tmp_path / "probe")
    with pytest.raises(ArtifactError, match="is not a saved probe: it holds a prompt"):
        ProbeClassifier.load(tmp_path / "prompt", encoder)
    with pytest.raises(ArtifactError, match="already exists and is not a saved probe"):
        fitted.save(tmp_path / "prompt")


def test_streams_count_what_the_encoder_cuts(fitted):
    rows = ["good " * 100, None, "good"]
    long, missing, short = predict_stream(fitted, rows)
    limit = fitted.encoder_.max_length
    assert long.cut == {"text": 100 - (limit - 2)} and short.cut == {}
    assert long.probabilities == pytest.approx(fitted.predict_proba(["good " * 100])[0])
    assert "is None" in missing.error


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ([], [], DataError, "at least one example"),
        (TEXTS[:4], ["a", "a", "a", "b"], DataError, "two examples of each label"),
        (TEXTS[:2], ["a", "a"], DataError, "only the label 'a'"),
        (TEXTS[:2], ["a"], DataError, "X has 2 examples but y has 1"),
        ([None, "b"], ["a", "b"], FieldError, "row 0"),
        ([{"a b": "x"}] * 2, ["a", "b"], DataError, "which no tag can name"),
    ],
)
def test_wrong_examples_are_named(encoder, X, y, error, message):
    with pytest.raises(error, match=message):
        ProbeClassifier(encoder).fit(X, y)


@pytest.mark.parametrize("wrong", [{"encoder": 3}, {"class_weight": "equal"}, {"max_length": 0}, {"random_state": "x"}])
def test_wrong_parameters_are_named_before_an_encoder_is_loaded(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        ProbeClassifier(**{"encoder": "no/such-encoder", **wrong}).fit(TEXTS, LABELS)
    with pytest.raises(NotFittedError, match="call fit"):
        ProbeClassifier().predict(TEXTS)


def test_embeddings_that_are_not_finite_raise(fitted):
    broken = ProbeClassifier.of_probe(fitted.probe_, new_encoder())
    broken.encoder_.network.embeddings.word_embeddings.weight.data[:] = torch.nan
    with pytest.raises(NonFiniteError, match="the embeddings of 'tiny' are not finite"):
        broken.predict(TEXTS)


WRONG = [None, True, -1, 10**30, 1.5, "", "x", "\ud800", "<mask>", [], [[]], ["x"], ["x", "x"], [None], {}, {"x": 1}]


class TestHostileCards:
    """Any edit, sealed again with right checksums, is an ArtifactError or changes nothing."""

    def reseal(self, card):
        card = {key: value for key, value in card.items() if key != "card_sha256"}
        digest = sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
        return json.dumps({**card, "card_sha256": digest})

    def test_an_edit_of_any_entry(self, fitted, encoder, tmp_path):
        fitted.save(tmp_path / "p")
        card = json.loads((tmp_path / "p" / CARD).read_text())
        outer = [((key,), card) for key in card]
        inner = [((key, name), card[key]) for key in ("fingerprint", "files") for name in card[key]]
        expected, problems = fitted.predict_proba(TEXTS), []
        for path, _ in outer + inner:
            for value in [KeyError, *WRONG]:
                edited = deepcopy(card)
                table = edited if len(path) == 1 else edited[path[0]]
                table.pop(path[-1]) if value is KeyError else table.update({path[-1]: value})
                (tmp_path / "p" / CARD).write_text(self.reseal(edited))
                try:
                    probabilities = ProbeClassifier.load(tmp_path / "p", encoder).predict_proba(TEXTS)
                    if path[0] not in ("labels", "fields", "max_length"):  # which make another probe
                        np.testing.assert_array_equal(probabilities, expected)
                except ArtifactError:
                    continue
                except FieldError:
                    assert path == ("fields",)
                except Exception as error:  # noqa: BLE001 - any other is a fault
                    problems.append((path, value, repr(error)))
        assert problems == []

    @pytest.mark.parametrize(
        "edit",
        [
            lambda t: t.pop("bias"),
            lambda t: t.update(other=torch.ones(1)),
            lambda t: t.update(weight=t["weight"][:2]),
            lambda t: t.update(weight=t["weight"][:, :5].contiguous()),
            lambda t: t.update(bias=t["bias"].double()),
            lambda t: t.update(bias=t["bias"] * torch.nan),
        ],
    )
    def test_an_edit_of_the_tensors(self, fitted, encoder, tmp_path, edit):
        folder = tmp_path / "p"
        fitted.save(folder)
        tensors = load_file(folder / VECTORS)
        edit(tensors)
        (folder / VECTORS).write_bytes(save(tensors))
        card = json.loads((folder / CARD).read_text())
        card["files"][VECTORS] = sha256((folder / VECTORS).read_bytes()).hexdigest()
        (folder / CARD).write_text(self.reseal(card))
        with pytest.raises(ArtifactError, match=r"is damaged|have width 5"):
            ProbeClassifier.load(folder, encoder)


@pytest.fixture(scope="module")
def members(encoder):
    backbone = models.backbone("bert")
    return [
        PromptClassifier(backbone, "<text> It was <mask>", WORDS, max_length=40),
        ProbeClassifier(encoder, random_state=0),
        PromptClassifier(backbone, "<mask>! <text>", WORDS, max_length=40),
    ]


class TestEnsemble:
    """A probe among prompts."""

    @pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
    def test_probabilities_are_the_mean_of_separate_classifiers(self, members, average):
        ensemble = PromptEnsemble(members, average=average).fit(TEXTS, LABELS)
        each = np.stack([clone(member).fit(TEXTS, LABELS).predict_proba(TEXTS) for member in members])
        expected = each.mean(0) if average == "probabilities" else np.exp(np.log(each).mean(0))
        expected /= expected.sum(1, keepdims=True)
        np.testing.assert_allclose(ensemble.predict_proba(TEXTS), expected, atol=1e-5)
        streamed = [prediction.probabilities for prediction in predict_stream(ensemble, TEXTS)]
        np.testing.assert_allclose(streamed, expected, atol=1e-5)

    @pytest.mark.parametrize("weights", ["development", "stacked"])
    def test_learnt_weights_save_and_load(self, members, encoder, weights, tmp_path):
        ensemble = PromptEnsemble(members, weights=weights, cv=2, random_state=0).fit(TEXTS, LABELS)
        ensemble.save(tmp_path / "e")
        ensemble.save(tmp_path / "e")
        loaded = PromptEnsemble.load(tmp_path / "e", models.backbone("bert"), encoder=encoder)
        np.testing.assert_array_equal(loaded.predict_proba(TEXTS), ensemble.predict_proba(TEXTS))
        assert [type(member) for member in loaded.classifiers_] == [type(member) for member in members]

    @pytest.mark.parametrize("weights", ["equal", "stacked"])
    def test_the_parts_of_the_members_add_up_to_the_log_odds(self, members, weights):
        ensemble = PromptEnsemble(members, weights=weights, average="log_probabilities", cv=2, random_state=0)
        ensemble.fit(TEXTS, LABELS)
        explanation = ensemble.explain(TEXTS[0])
        logs = ensemble.predict_log_proba(TEXTS[:1])[0]
        parts = sum(member.part for member in explanation.members)
        intercepts = np.array(ensemble.combination_.intercepts) if weights == "stacked" else np.zeros(3)
        expected = (logs - logs.mean()) - (intercepts - intercepts.mean())
        assert parts == pytest.approx(expected[logs.argmax()], abs=1e-6)
        assert explanation.label == ensemble.predict(TEXTS[:1])[0]
        assert sum(member.share for member in explanation.members) == pytest.approx(1)
        alone = ensemble.classifiers_[1].predict_proba(TEXTS[:1])[0]
        assert explanation.members[1].probability == pytest.approx(alone[logs.argmax()], abs=1e-6)
        assert "embedding of <text> by tiny" in str(explanation)

    def test_a_probe_alone_needs_no_language_model(self, fitted, encoder, tmp_path):
        ensemble = PromptEnsemble([fitted])
        np.testing.assert_allclose(ensemble.predict_proba(TEXTS), fitted.predict_proba(TEXTS), atol=1e-12)
        assert ensemble.predict_proba([]).shape == (0, 3)
        ensemble.save(tmp_path / "e")
        loaded = PromptEnsemble.load(tmp_path / "e", encoder=encoder)
        assert (loaded.predict(TEXTS) == fitted.predict(TEXTS)).all()
        with pytest.raises(ParameterError, match="no member is one"):
            ensemble.distil(TEXTS, "<soft*2> <text> <mask>")

    def test_log_probabilities_are_normalised(self, fitted):
        logs = fitted.predict_log_proba(TEXTS)
        np.testing.assert_allclose(logs, log_softmax(fitted.decision_function(TEXTS), axis=1))

    def test_members_with_other_labels_raise(self, fitted):
        other = PromptClassifier(models.backbone("bert"), "<text> <mask>", {"a": "good", "b": "bad"})
        with pytest.raises(SoftclozeError, match="member 1 has the labels"):
            PromptEnsemble([fitted, other]).predict(TEXTS)
