"""Estimate of a classifier's balanced accuracy while few texts are labelled, and what more of them would bring."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from softcloze.heads.logistic import Array
from softcloze.labelling.head import Features, Indices, choose_strength, fit_quick, folds_of
from softcloze.labelling.selection import margins_of

LEVEL = 0.9
DRAWS = 2000
INDEPENDENT = 0.8  # of a text that judges one classifier: the interval then holds the truth in 87 to 92 % of samples
EVIDENCE = 0.5  # of a text that judges in cross-validation: docs/measurements/labelling.md
CHOSEN_EVIDENCE = 0.35  # the same, where some texts were chosen: the bias that is left makes the interval wider
CURVE = (8, 16, 32, 64, 128, 256, 512)
REPEATS, FOLDS = 3, 10
CURVE_DRAWS = 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """Balanced accuracy of the classifier on the texts that are not labelled.

    Attributes:
        balanced_accuracy: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
        level: nominal probability that the interval holds the true value.
        texts: number of labelled texts that it is from.
        of: "held out" (texts drawn at random that the classifier never learns from), "random" (cross-validation on
            texts that were all drawn at random) or "chosen" (cross-validation on texts of which some were chosen
            because the classifier was not sure of them; texts of small and of large margin have the weight that such
            texts have among the others, which corrects most of the bias).
        missing: labels without a text in it, whose accuracy is unknown; the interval is the wider for them.
        single: labels with a single text in cross-validation. No classifier that judges this text has learnt the label
            from another one, so that the estimate is too low by up to the share of such labels.
    """

    balanced_accuracy: float
    low: float
    high: float
    level: float
    texts: int
    of: str
    missing: int
    single: int = 0

    def __repr__(self) -> str:
        """The fields, and `is_biased` beside the estimate.

        >>> Estimate(0.71, 0.6, 0.81, 0.9, 32, "chosen", 0)  # doctest: +ELLIPSIS
        Estimate(balanced_accuracy=0.71, is_biased=True, low=0.6, high=0.81, level=0.9, texts=32, of='chosen', ...)
        """
        return f"Estimate({', '.join(f'{name}={value!r}' for name, value in self.facts().items())})"

    def facts(self) -> dict[str, float | int | bool | str]:
        """The fields by their names, with `is_biased` after the estimate."""
        first, *rest = ((field.name, getattr(self, field.name)) for field in fields(self))
        return dict([first, ("is_biased", self.is_biased), *rest])

    @property
    def is_biased(self) -> bool:
        """True if it is from texts that are no random sample: some bias is left, and the interval is not to be trusted.

        With texts of least margin the interval held the truth in as few as 67 % of the runs, as the estimate was too
        low: docs/measurements/labelling.md.
        """
        return self.of == "chosen"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Balanced accuracy by cross-validation with fewer texts.

    Attributes:
        texts: number of labelled texts to learn from.
        balanced_accuracy: mean over draws of so many texts, each judged on the others.
        sd: standard deviation over the draws.
    """

    texts: int
    balanced_accuracy: float
    sd: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Balanced accuracy that more labelled texts are expected to add.

    Attributes:
        more: number of further texts.
        gain: expected difference in balanced accuracy.
        low: lower end of its interval, at the level of `Estimate`.
        high: upper end of its interval.
    """

    more: int
    gain: float
    low: float
    high: float


def interval_of(
    targets: Indices,
    predicted: Indices,
    labels: int,
    seed: int,
    weights: Array | None = None,
    evidence: float = INDEPENDENT,
) -> tuple[float, float, float]:
    """Balanced accuracy of predictions, and its interval.

    The recall of each label has a beta distribution, those of the labels are independent, and the interval has the
    quantiles of their mean. The prior of each is worth one text, and its mean is the recall over all labels, so that
    many labels with few texts are not drawn to one half. Texts of unequal weights count for less.

    Args:
        targets: index of the label of each text, shape (texts,).
        predicted: index of its predicted label, shape (texts,).
        labels: number of labels.
        seed: of the draws.
        weights: weight of each text, shape (texts,); None for equal ones.
        evidence: texts that each text counts for; less where they judge several classifiers, as in cross-validation.

    Source:
        Brodersen et al., ICPR 2010: the posterior of the balanced accuracy, there with a uniform prior.

    >>> targets = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> value, low, high = interval_of(targets, targets, 2, seed=0)
    >>> value == high, 0.5 < low < 0.9
    (True, True)
    """
    weights = np.ones(len(targets)) if weights is None else weights * len(targets) / weights.sum()
    right = np.bincount(targets, weights * (targets == predicted), minlength=labels)
    counts = np.bincount(targets, weights, minlength=labels)
    present = counts > 0
    value = float((right[present] / counts[present]).mean())
    evidence = evidence * weights.sum() / (weights**2).sum()
    prior = (present.sum() * value + 0.5) / (present.sum() + 1)
    shape = evidence * right + prior, evidence * (counts - right) + 1 - prior
    draws = np.random.default_rng(seed).beta(*shape, (DRAWS, labels)).mean(1)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return value, float(min(low, value)), float(max(high, value))


def stratum_weights(margins: Array, rest: Array) -> Array:
    """Weights that give labelled texts of each margin the share that such texts have among the others.

    Texts that were chosen because the classifier is not sure of them are more often wrong than others. Among texts of
    like margin they are no worse (post-stratification).

    Args:
        margins: of the labelled texts, by heads that did not learn from them, shape (examples,).
        rest: margins of the texts without a label, shape (texts,).

    >>> stratum_weights(np.array([0.1, 0.1, 0.1, 0.9]), np.array([0.1, 0.5, 0.5, 0.8, 0.9, 0.9])).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    if not len(rest):
        return np.ones(len(margins))
    edges = np.quantile(rest, [1 / 2])
    of_labelled, of_rest = np.searchsorted(edges, margins), np.searchsorted(edges, rest)
    have = np.bincount(of_labelled, minlength=2) / len(margins)
    want = np.bincount(of_rest, minlength=2) / len(rest)
    weights: Array = np.where(have > 0, want / np.where(have > 0, have, 1), 0)[of_labelled]
    return weights


def estimate(
    features: Features,
    rows: Indices,
    targets: Indices,
    labels: int,
    *,
    held_out: Indices,
    held_out_targets: Indices,
    rest: Indices,
    sample: bool,
    seed: int,
) -> Estimate | None:
    """Estimate balanced accuracy on texts held out, or else by cross-validation; None with fewer than two texts.

    Args:
        features: of all texts.
        rows: indices of the labelled texts to learn from, shape (examples,).
        targets: index of the label of each, shape (examples,).
        labels: number of labels.
        held_out: indices of the labelled texts that are held out.
        held_out_targets: indices of their labels.
        rest: indices of the texts without a label, about which the estimate is.
        sample: all of `rows` were drawn at random.
        seed: of folds and draws.
    """
    if len(rows) < 2:
        return None
    weights, evidence = None, EVIDENCE
    strength, _ = choose_strength(features, rows, targets, labels, seed)
    head = fit_quick(features, rows, targets, labels, strength)
    if len(held_out):
        predicted, known, of = head.log_probabilities(features, held_out).argmax(1), held_out_targets, "held out"
        evidence = INDEPENDENT
    else:
        logs = cross_validated(features, rows, targets, labels, seed, strength)
        predicted, known, of = logs.argmax(1), targets, "random" if sample else "chosen"
        if not sample:
            evidence = CHOSEN_EVIDENCE
            # half way: whole weights leave as large an error of the other sign
            weights = (1 + stratum_weights(margins_of(logs), margins_of(head.log_probabilities(features, rest)))) / 2
    value, low, high = interval_of(known, predicted, labels, seed, weights, evidence)
    counts = np.bincount(known, minlength=labels)
    missing, single = int((counts == 0).sum()), int((counts == 1).sum()) if of != "held out" else 0
    return Estimate(value, low, high, LEVEL, len(known), of, missing, single)


def cross_validated(
    features: Features, rows: Indices, targets: Indices, labels: int, seed: int, strength: float | None = None
) -> Array:
    """Log-probabilities of the labels by heads that did not learn from the text, shape (examples, labels), in nats.

    They are means over several repetitions of ten folds. The strength is chosen once, on all texts.
    """
    if strength is None:
        strength, _ = choose_strength(features, rows, targets, labels, seed)
    total = np.zeros((len(rows), labels))
    for repeat in range(REPEATS):
        for train, test in folds_of(targets, seed + 1 + repeat, FOLDS):
            head = fit_quick(features, rows[train], targets[train], labels, strength)
            total[test] += head.log_probabilities(features, rows[test])
    total /= REPEATS
    result: Array = total - np.logaddexp.reduce(total, axis=1, keepdims=True)
    return result


def learning_curve(features: Features, rows: Indices, targets: Indices, labels: int, seed: int) -> list[CurvePoint]:
    """Balanced accuracy with 8, 16, 32 … of the labelled texts, each number drawn several times, and with nearly all.

    At most half of the texts are drawn, so that the others can judge. The last point is of ten folds. There is none
    with fewer than eight texts.
    """
    if len(rows) < CURVE[0]:
        return []
    strength, _ = choose_strength(features, rows, targets, labels, seed)
    generator = np.random.default_rng(seed)
    points = []
    for count in (count for count in CURVE if 2 * count <= len(rows)):
        values = []
        for _ in range(CURVE_DRAWS):
            order = generator.permutation(len(rows))
            train, test = order[:count], order[count:]
            head = fit_quick(features, rows[train], targets[train], labels, strength)
            predicted = head.log_probabilities(features, rows[test]).argmax(1)
            values.append(interval_of(targets[test], predicted, labels, seed)[0])
        points.append(CurvePoint(count, float(np.mean(values)), float(np.std(values, ddof=1))))
    values = []
    for repeat in range(REPEATS):
        predicted = np.empty(len(rows), dtype=int)
        for train, test in folds_of(targets, seed + 1 + repeat, FOLDS):
            head = fit_quick(features, rows[train], targets[train], labels, strength)
            predicted[test] = head.log_probabilities(features, rows[test]).argmax(1)
        values.append(interval_of(targets, predicted, labels, seed)[0])
    last = len(rows) - -(-len(rows) // FOLDS)
    return [*points, CurvePoint(last, float(np.mean(values)), float(np.std(values, ddof=1)))]


def forecast(curve: Sequence[CurvePoint], more: int, seed: int) -> Forecast | None:
    """Balanced accuracy that `more` texts would add; None with fewer than two points.

    The curve a - b / sqrt(texts), b at least 0, is fitted to the points, and adds no more than the last one lacks. The
    interval is of curves through points that are drawn anew with their spread, which the last point has at least from
    its number of texts.

    >>> points = [CurvePoint(8, 0.6, 0.05), CurvePoint(16, 0.66, 0.04), CurvePoint(29, 0.7, 0.02)]
    >>> 0 < forecast(points, 10, seed=0).gain < 0.05
    True
    """
    if len(curve) < 2:
        return None
    counts = np.array([point.texts for point in curve], dtype=float)
    values = np.array([point.balanced_accuracy for point in curve])
    spread = np.array([max(point.sd, 0.5 / np.sqrt(point.texts)) for point in curve]) / np.sqrt(CURVE_DRAWS)
    now = counts[-1]
    inverse = counts**-0.5

    def gains(samples: Array) -> Array:
        weights = spread**-2 / (spread**-2).sum()
        centred = inverse - weights @ inverse
        slopes = -(samples @ (weights * centred)) / (weights @ centred**2)
        result: Array = slopes.clip(0) * (now**-0.5 - (now + more) ** -0.5)
        return result

    drawn = gains(values + np.random.default_rng(seed).normal(size=(DRAWS, len(values))) * spread)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    gain, low, high = np.clip([gains(values[None])[0], low, high], 0, 1 - values[-1]).tolist()
    return Forecast(more, gain, low, high)
