"""Exact heads against scikit-learn on the states of plain transformers, and against the definition of the loss."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from support import models
from support.reference_states import probed_states_by_transformers

from softcloze import PromptClassifier, Template, Verbalizer
from softcloze.errors import DataError, NonFiniteError, ParameterError
from softcloze.heads import exact, fit_exact
from softcloze.prompt import CompiledPrompt

HARD = "<text> It was <mask>"
WORDS = {"pos": "good", "neg": "bad"}
TEXTS, LABELS = models.SENTENCES[:12], ["pos", "neg"] * 6
CHINESE = [text for text in models.SENTENCES if text[0] > "z"]
THREE = Verbalizer({"a": "good", "b": "bad", "c": "so"})


def task(seed=0, examples=30, width=8, labels=3):
    """Scores of a word for each label, states in clusters that overlap, and targets."""
    dice = np.random.default_rng(seed)
    targets = np.arange(examples) % labels
    states = np.eye(labels, width)[targets] + dice.normal(0, 1, (examples, width))
    words = np.eye(labels)[targets] + dice.normal(0, 1, (examples, labels))
    return torch.tensor(words), torch.tensor(states), targets.tolist()


def probabilities(head, features):
    return head.label_scores(features.float()).softmax(-1).detach().numpy()


def loss_of(head, features, targets, weights=None):
    logs = head.label_scores(features.float()).double().log_softmax(-1).detach().numpy()
    return -np.average(logs[np.arange(len(targets)), targets], weights=weights)


@pytest.fixture
def one_strength(monkeypatch):
    """Set the only strength, for each component of the state."""
    return lambda strength: monkeypatch.setattr(exact, "STRENGTHS", np.array([strength]))


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("width", [8, 100])
def test_the_solution_is_that_of_scikit_learn(labels, width):
    _, states, targets = task(width=width, labels=labels)
    states[:, 3], states[:, 4] = 7.0, states[:, 4] * 1000 + 9000  # a constant, and one that dwarfs the others
    verbalizer = Verbalizer({f"label {i}": f"word {i}" for i in range(labels)})
    fit = fit_exact("linear", verbalizer, states.float(), targets)
    standardised = StandardScaler().fit_transform(states.float().double().numpy())
    # with two labels scikit-learn has one weight vector, whose square is twice the sum of those of the two here
    C = (2 if labels == 2 else 1) / (fit.strength * len(targets))
    reference = LogisticRegression(C=C, tol=1e-9, max_iter=10_000).fit(standardised, targets)
    np.testing.assert_allclose(probabilities(fit.head, states), reference.predict_proba(standardised), atol=1e-4)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_a_classifier_is_scikit_learn_on_the_states_of_plain_transformers(architecture):
    backbone = models.backbone(architecture)
    clf = PromptClassifier(backbone, HARD, WORDS, head="linear", random_state=0).fit(TEXTS, LABELS)
    compiled = CompiledPrompt(Template(HARD), Verbalizer(WORDS), backbone, None, "linear")
    # the label words are texts as well, of twice the weight, which do not count in the standardisation
    states = probed_states_by_transformers(backbone, compiled.encode([*TEXTS, "bad", "good"])).double().numpy()
    standardised = StandardScaler().fit(states[:12]).transform(states)
    reference = LogisticRegression(C=2 / (12 * clf.exact_.strength), tol=1e-9, max_iter=10_000)
    reference.fit(standardised, [*LABELS, "neg", "pos"], [1] * 12 + [2] * 2)
    np.testing.assert_allclose(clf.predict_proba(TEXTS), reference.predict_proba(standardised[:12]), atol=1e-4)
    assert clf.history_ == []


def test_a_strong_penalty_leaves_the_words_with_a_bias(one_strength):
    one_strength(1e9)
    words, states, targets = task()
    features = torch.cat([words, states], 1)
    head = fit_exact("words+linear", THREE, features, targets).head
    rest = head.label_scores(features.float()) - head.scale * words.float()
    torch.testing.assert_close(rest, rest[:1].expand_as(rest), atol=1e-5, rtol=0)
    # no other bias has a lower loss, and a scale has one only nearer to 1 or within its weak penalty
    least = loss_of(head, features, targets)
    with torch.no_grad():
        for change in (0.1, -0.1):
            for label in range(3):
                head.bias[label] += change
                assert loss_of(head, features, targets) > least
                head.bias[label] -= change
        head.scale += 0.3
        assert loss_of(head, features, targets) > least


def test_a_weak_penalty_reads_the_states_where_words_know_nothing():
    words, states, targets = task(examples=60)
    features = torch.cat([0 * words, states + 5 * torch.eye(3, 8)[targets]], 1)
    head = fit_exact("words+linear", THREE, features, targets).head
    assert head.label_scores(features.float()).argmax(-1).tolist() == targets


def test_words_that_tell_the_labels_apart_get_a_finite_scale():
    words, states, targets = task(examples=6, labels=3)
    words = torch.eye(3, dtype=torch.float64)[targets] * 4
    fit = fit_exact("words+linear", THREE, torch.cat([words, 0 * states], 1), targets)
    assert 1 < fit.head.scale.item() < 10
    assert fit.head.weight.abs().max() == 0


def test_words_that_are_wrong_are_ignored_and_not_turned_round():
    words, states, targets = task(examples=60)
    assert fit_exact("words+linear", THREE, torch.cat([-words, states], 1), targets).head.scale == 0


@pytest.mark.parametrize("name", ["linear", "words+linear"])
def test_integer_weights_are_repeated_examples(name, one_strength):
    one_strength(0.1)
    words, states, targets = task()
    features = torch.cat([words, states], 1) if name != "linear" else states
    counts = np.arange(30) % 3 + 1
    repeated = np.repeat(np.arange(30), counts)
    expected = fit_exact(name, THREE, features[repeated], [targets[i] for i in repeated]).head
    for factor in (1, 0.01, 1e9):
        weighted = fit_exact(name, THREE, features, targets, weights=counts * factor).head
        np.testing.assert_allclose(probabilities(weighted, features), probabilities(expected, features), atol=1e-5)


def test_equal_weights_are_no_weights():
    _, states, targets = task()
    one, other = (fit_exact("linear", THREE, states, targets, weights=weights) for weights in (None, [0.1] * 30))
    assert torch.equal(one.head.weight, other.head.weight)
    np.testing.assert_array_equal(one.log_probabilities, other.log_probabilities)


def test_the_choice_of_the_strength():
    _, states, targets = task(examples=60)
    fit = fit_exact("linear", THREE, states, targets, seed=3)
    assert np.all(np.diff(fit.strengths) < 0)
    tried = fit.strengths.tolist().index(fit.strength)
    assert fit.log_losses[tried] == fit.log_losses.min()
    np.testing.assert_allclose(np.exp(fit.log_probabilities).sum(1), 1)
    # by heads that have not seen the example, so that it is worse than by the one that has
    held_out = -fit.log_probabilities[np.arange(60), targets].mean()
    assert loss_of(fit.head, states, targets) < held_out < fit.log_losses[tried] + 1e-9
    again = fit_exact("linear", THREE, states, targets, seed=3)
    np.testing.assert_array_equal(again.log_probabilities, fit.log_probabilities)
    other = fit_exact("linear", THREE, states, targets, seed=4)
    assert not np.array_equal(other.log_probabilities, fit.log_probabilities)


def test_label_words_are_examples_that_every_fold_learns_from():
    """The features of the labels decide if the examples of a fold say nothing."""
    _, states, targets = task(examples=12)
    labels = 3 * torch.eye(3, 8)
    noise = torch.tensor(np.random.default_rng(1).normal(0, 0.1, (12, 8)))
    alone = fit_exact("linear", THREE, noise + torch.eye(3, 8)[targets] * 0.2, targets)
    helped = fit_exact("linear", THREE, noise + torch.eye(3, 8)[targets] * 0.2, targets, label_features=labels)
    rows = np.arange(12), targets
    assert helped.log_probabilities[rows].mean() > alone.log_probabilities[rows].mean()
    assert helped.log_probabilities.shape == (12, 3)
    none = fit_exact("linear", THREE, states, targets, label_features=states[:0])
    assert torch.equal(none.head.weight, fit_exact("linear", THREE, states, targets).head.weight)


@pytest.mark.parametrize(
    ("template", "words", "count"),
    [
        (HARD, WORDS, 2),
        (HARD, {0: "0", 1: "1"}, 0),
        ("<title> <text> It was <mask>", WORDS, 0),
        ("<demos*2> <text> It was <mask>", WORDS, 0),
        ("{% if text|length > 30 %}{{ text }} It was <mask>{% endif %}", WORDS, 0),
    ],
)
def test_the_labels_that_make_examples(template, words, count):
    compiled = CompiledPrompt(Template(template), Verbalizer(words), models.backbone("gpt2"), None, "linear")
    assert len(compiled.encode_labels()) == count


def test_probabilities_as_targets():
    _, states, targets = task()
    certain = torch.eye(3)[targets]
    one, other = (fit_exact("linear", THREE, states, goal).head for goal in (targets, certain))
    assert torch.equal(one.weight, other.weight)
    undecided = fit_exact("linear", THREE, states, 0.9 * certain + 0.1 / 3).head
    assert probabilities(undecided, states).max() < probabilities(one, states).max()


def test_single_precision_keeps_the_scores_of_states_far_from_0(one_strength):
    one_strength(1.0)
    _, states, targets = task(examples=60, width=200)
    large = states * torch.logspace(-2, 3, 200) + 30_000 * (torch.arange(200) % 7 == 0)
    head = fit_exact("linear", THREE, large.float(), targets).head
    exactly = large.float().double() @ head.weight.double().T + head.bias.double()
    torch.testing.assert_close(head.label_scores(large.float()).double(), exactly, atol=5e-3, rtol=0)
    plain = fit_exact("linear", THREE, states, targets).head
    np.testing.assert_allclose(probabilities(head, large), probabilities(plain, states), atol=0.01)


@pytest.mark.parametrize("head", ["linear", "words+linear"])
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_each_example_is_computed_once(architecture, head, monkeypatch):
    backbone, computed = models.backbone(architecture), []
    padded, packed = backbone._forward.padded, backbone._forward.packed
    monkeypatch.setattr(backbone._forward, "padded", lambda ids, *a, **k: computed.extend(ids) or padded(ids, *a, **k))
    monkeypatch.setattr(backbone._forward, "packed", lambda p, *a, **k: computed.extend(p.ids) or packed(p, *a, **k))
    PromptClassifier(backbone, HARD, WORDS, head=head, calibration="temperature", random_state=0).fit(TEXTS, LABELS)
    assert len(computed) <= 14  # and the label words as texts


def test_a_temperature_is_learnt_from_the_examples_left_out(monkeypatch):
    clf = PromptClassifier(
        models.backbone("bert"), HARD, WORDS, head="linear", calibration="temperature", random_state=0
    )
    plain = PromptClassifier(models.backbone("bert"), HARD, WORDS, head="linear", random_state=0)
    clf.fit(TEXTS, LABELS)
    plain.fit(TEXTS, LABELS)
    # no example was held out of the head
    assert torch.equal(clf.prompt_.head_tensors["weight"], plain.prompt_.head_tensors["weight"])
    logs, targets = plain.exact_.log_probabilities, [1, 0] * 6
    losses = {}
    for temperature in (clf.prompt_.calibration.temperature, 0.5, 1.0, 2.0):
        scores = torch.tensor(logs / temperature).log_softmax(-1).numpy()
        losses[temperature] = -scores[np.arange(12), targets].mean()
    assert min(losses, key=losses.get) == clf.prompt_.calibration.temperature


def test_a_soft_prompt_starts_from_the_solution_for_its_first_vectors():
    slow = {"learning_rate": 1e-9, "training__head_learning_rate": 1e-9, "training__target_loss": 0.0}
    clf = PromptClassifier(models.backbone("gpt2"), "<soft*2> " + HARD, WORDS, head="words+linear", epochs=1)
    clf.set_params(random_state=0, **slow).fit(TEXTS, LABELS)
    np.testing.assert_allclose(clf.prompt_.head_tensors["weight"], clf.exact_.head.weight.detach(), atol=1e-6)
    np.testing.assert_allclose(clf.prompt_.head_tensors["scale"], clf.exact_.head.scale.detach(), atol=1e-6)


def test_chinese_and_a_grid_search_over_heads():
    labels = ["差" if set("不差坏") & {*text} or "失望" in text else "好" for text in CHINESE]
    clf = PromptClassifier(models.backbone("llama"), "<text>总之，很<mask>", random_state=0)
    grid = [{"head": ["words"]}, {"head": ["linear", "words+linear"], "features": ["mask", "mean"]}]
    search = GridSearchCV(clf, grid, cv=2).fit(CHINESE, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True] * 5
    clf.set_params(head="linear").fit(CHINESE, labels)
    assert clf.score(CHINESE, labels) >= 0.8


class TestErrors:
    @pytest.mark.parametrize("head", ["linear", "words+linear"])
    def test_a_label_with_one_example(self, head):
        clf = PromptClassifier(models.backbone("bert"), HARD, WORDS, head=head)
        with pytest.raises(DataError, match=r"needs two examples of each label.*and 'neg' has 1; give more"):
            clf.fit(TEXTS[:3], ["pos", "pos", "neg"])

    def test_a_label_of_the_verbalizer_without_an_example(self):
        clf = PromptClassifier(models.backbone("bert"), HARD, {**WORDS, "so": "so"}, head="linear")
        with pytest.raises(DataError, match="and 'so' has 0; give more"):
            clf.fit(TEXTS, LABELS)

    def test_one_label_alone(self):
        with pytest.raises(DataError, match="y holds only the label 'pos'"):
            PromptClassifier(models.backbone("bert"), HARD, WORDS, head="linear").fit(TEXTS, ["pos"] * 12)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_features_that_are_not_finite(self, value):
        words, states, targets = task()
        states[4, 2] = value
        with pytest.raises(NonFiniteError, match="row 4: the states are NaN or infinite"):
            fit_exact("linear", THREE, states, targets)
        words[5, 1] = value
        with pytest.raises(NonFiniteError, match="row 5: the scores of its label words are NaN or infinite"):
            fit_exact("words+linear", THREE, torch.cat([words, task()[1]], 1), targets)

    def test_part_of_the_examples(self):
        clf = PromptClassifier(models.backbone("bert"), HARD, WORDS, head="linear")
        with pytest.raises(ParameterError, match="head='linear' without soft slots to train and <demos> are learnt"):
            clf.partial_fit(TEXTS, LABELS)
