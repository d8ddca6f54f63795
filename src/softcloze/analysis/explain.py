"""Explain decisions: the probabilities of label words and their part in the label scores."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softcloze.analysis.explanation import Explanation, LabelShare, TopWord, WordShare
from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.encoding import EncodedPrompt
from softcloze.encoding.tokens import readable_token
from softcloze.errors import DataError, ParameterError
from softcloze.heads import EXACT, EXCLUSIVE, LinearHead, WordsLinearHead
from softcloze.parameters import integer, validate_parameters
from softcloze.prompt import BoundPrompt, CompiledPrompt, EncodedRow, RowPrediction
from softcloze.scoring import log_probabilities
from softcloze.soft import SoftVectors
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label, RuleVerbalizer, Verbalizer

_OTHERS: dict[type, str] = {
    RuleVerbalizer: "rules are about words at several",
    FieldVerbalizer: "a FieldVerbalizer has other words for each example",
}


def explain(
    bound: CompiledPrompt,
    prompts: Sequence[EncodedPrompt],
    soft: SoftVectors | None,
    top: int = 10,
    head: LinearHead | WordsLinearHead | None = None,
) -> list[Explanation]:
    """Explain the label scores of examples by their label words, and by the parts of a head with a linear layer.

    Args:
        bound: template and label words on a backbone.
        prompts: encoded examples, as `bound.encode` gives them.
        soft: the soft vectors, or None where the template has none.
        top: number of the likeliest words of the vocabulary to list.
        head: the head, if it has a linear layer; None if label words decide alone.

    Returns:
        One explanation for each prompt, in order. The likeliest words are those at a single mask token, also for
        <mask*2>; of a causal model, the next words after the text before the mask; of a seq2seq model, the first words
        of its decoder. Probabilities of the labels are not calibrated: put calibrated ones in with
        `dataclasses.replace`.

    Raises:
        ParameterError: `top` is below 0, or labels are rules about several masks.
        EncodingError: a causal model has no token before the mask.

    Example:
        >>> from softcloze.backbone import load_backbone
        >>> from softcloze.template import Template
        >>> backbone = load_backbone("starter:bert-tiny", dtype="float32", device="cpu")
        >>> verbalizer = Verbalizer({"good": ["good", "great"], "bad": "bad"})
        >>> bound = CompiledPrompt(Template("<text> It was <mask>."), verbalizer, backbone, max_length=None)
        >>> (explanation,) = explain(bound, bound.encode(["A delight."]), soft=None, top=3)
        >>> [word.tokens for word in explanation.words]
        [('bad',), ('good',), ('great',)]
    """
    _validate(bound, top)
    return _explain(bound, prompts, soft, bound.features(prompts, soft), top, head)


def _validate(bound: CompiledPrompt, top: int) -> None:
    validate_parameters({"top": top}, {"top": integer(at_least=0)})
    if not isinstance(bound.verbalizer, Verbalizer):
        raise ParameterError(f"explanations are of label words at one mask, and {_OTHERS[type(bound.verbalizer)]}")


def _explain(
    bound: CompiledPrompt,
    prompts: Sequence[EncodedPrompt],
    soft: SoftVectors | None,
    features: Tensor,
    top: int,
    head: LinearHead | WordsLinearHead | None,
) -> list[Explanation]:
    """As `explain`, with the input of the head, shape (batch, features)."""
    scorer, verbalizer = bound.scorer, bound.verbalizer
    assert isinstance(verbalizer, Verbalizer)
    with scorer.backbone.frozen(), torch.no_grad():
        inputs = soft.inputs() if soft is not None else None
        distributions = [
            log_probabilities(scorer.backbone, prompt, scorer.words, inputs, verbalizer.decoding) for prompt in prompts
        ]
    scores = features[:, : len(scorer.words)]
    owners = _owners(verbalizer) if scorer.words else []
    shares, relative = scores.double(), scores.double()
    if scorer.words:
        shares, relative = _shares(verbalizer, scores, owners), relative - relative.amax(-1, keepdim=True)
    parts = parts_of_scores(verbalizer, features, head)
    probabilities = parts.sum(0).softmax(-1)
    all_words = verbalizer.all_words if scorer.words else ()

    tokens = [tuple(_spell(scorer.backbone, token) for token in word) for word in scorer.words]
    explanations = []
    for i, (words, vocabulary) in enumerate(distributions):
        columns = (owners, all_words, tokens, words.tolist(), relative[i].tolist())
        explanations.append(
            Explanation(
                labels=verbalizer.labels,
                probabilities=tuple(probabilities[i].tolist()),
                words=tuple(map(WordShare, *columns, shares[i].tolist())),
                top=_top(bound, verbalizer, vocabulary, top),
                mass=_mass(scorer.words, words.exp().tolist(), masked=scorer.backbone.family == "masked"),
                parts=tuple(map(LabelShare, verbalizer.labels, *parts[:, i].tolist())) if head is not None else (),
            )
        )
    return explanations


def explain_prompt(bound: BoundPrompt, example: Example | EncodedPrompt, top: int = 10) -> Explanation:
    """Explain the decision of a prompt for one example, its calibration or its thresholds applied.

    Args:
        bound: the prompt on its backbone.
        example: a text, a mapping of fields, or either as `bound.encode` gives it.
        top: number of the likeliest words of the vocabulary to list.

    Raises:
        FieldError: the example lacks a field.
        EncodingError: the example cannot be encoded.
        ParameterError: `top` is below 0, or rules or another head decide.

    Example:
        >>> from softcloze import Prompt, Template, Verbalizer, load_backbone
        >>> backbone = load_backbone("starter:bert-tiny")
        >>> words = Verbalizer({"positive": "good", "negative": "bad"})
        >>> prompt = Prompt(Template("<text> It was <mask>."), words, backbone.name, backbone.fingerprint)
        >>> explain_prompt(BoundPrompt(prompt, backbone), "A delight.", top=0).labels
        ('negative', 'positive')
    """
    _validate_decision(bound, top)
    (prompt,) = [example] if isinstance(example, EncodedPrompt) else bound.encode([example])
    features = bound.features([prompt])
    scores = bound.label_scores(features)
    return _explain_decision(bound, prompt, features, scores[0], bound.probabilities(scores)[0], top)


def explain_row(row: EncodedRow, prediction: RowPrediction, top: int = 10) -> Explanation:
    """Explain the prediction for a row, whose label scores are not computed again.

    Args:
        row: the row, as `PromptSet.encode_rows` gives it.
        prediction: its prediction by `PromptSet.score_rows` with `keep_features=True`. The probabilities of the
            explanation are those of the prediction.
        top: number of the likeliest words of the vocabulary to list.

    Raises:
        DataError: the prediction has an error, or no features.
        ParameterError: as for `explain_prompt`.

    Example:
        >>> from softcloze import Prompt, PromptSet, Template, Verbalizer, load_backbone
        >>> backbone = load_backbone("starter:bert-tiny")
        >>> words = Verbalizer({"positive": "good", "negative": "bad"})
        >>> prompt = Prompt(Template("<text> It was <mask>."), words, backbone.name, backbone.fingerprint)
        >>> prompts = PromptSet({"reviews": prompt}, backbone)
        >>> rows = prompts.encode_rows([("reviews", "A delight.")])
        >>> (prediction,) = prompts.score_rows(rows, keep_features=True)
        >>> explain_row(rows[0], prediction).predicted == prediction.label
        True
    """
    features, scores, probabilities = prediction.features, prediction.scores, prediction.probabilities
    if row.bound is None or row.encoded is None or features is None or scores is None or probabilities is None:
        raise DataError("explain_row takes a row that was scored by score_rows(rows, keep_features=True)")
    _validate_decision(row.bound, top)
    return _explain_decision(row.bound, row.encoded, features[None], scores, probabilities, top)


def _validate_decision(bound: BoundPrompt, top: int) -> None:
    """Raise ParameterError if decisions of a prompt cannot be explained."""
    if bound.prompt.head not in ("words", "thresholds", *EXACT):
        raise ParameterError(
            "explain shows the parts of label words and of a linear layer in the decision, and "
            f"head={bound.prompt.head!r} decides"
        )
    _validate(bound.compiled, top)


def _explain_decision(
    bound: BoundPrompt,
    prompt: EncodedPrompt,
    features: Tensor,
    scores: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    top: int,
) -> Explanation:
    """Explain the decision for an example by its features, shape (1, features), and label scores, shape (labels,)."""
    head = bound.parts.head if isinstance(bound.parts.head, LinearHead | WordsLinearHead) else None
    (explanation,) = _explain(bound.compiled, [prompt], bound.parts.soft, features, top, head)
    several = None
    if bound.prompt.head not in EXCLUSIVE:
        several = tuple(label for label, score in zip(bound.labels, scores, strict=True) if score > 0)
    # a calibration and thresholds change the probabilities of labels, not those of words
    return replace(explanation, probabilities=tuple(probabilities.tolist()), several=several)


def likeliest_words(
    bound: CompiledPrompt, prompts: Sequence[EncodedPrompt], soft: SoftVectors | None, top: int
) -> list[tuple[TopWord, ...]]:
    """List the likeliest words at the mask of each example: the `top` of `explain` alone, in less time.

    Arguments and errors as for `explain`.
    """
    validate_parameters({"top": top}, {"top": integer(at_least=0)})
    verbalizer, backbone = bound.verbalizer, bound.scorer.backbone
    if not isinstance(verbalizer, Verbalizer):
        raise ParameterError(f"the likeliest words are those at one mask, and {_OTHERS[type(verbalizer)]}")
    with backbone.frozen(), torch.no_grad():
        inputs = soft.inputs() if soft is not None else None
        distributions = [log_probabilities(backbone, prompt, soft=inputs)[1] for prompt in prompts]
    return [_top(bound, verbalizer, vocabulary, top) for vocabulary in distributions]


def _top(bound: CompiledPrompt, verbalizer: Verbalizer, vocabulary: Tensor, top: int) -> tuple[TopWord, ...]:
    """The likeliest words by log-probabilities of shape (vocab,), with the labels of label words."""
    owned = zip(bound.scorer.words, _owners(verbalizer), strict=True) if bound.scorer.words else ()
    label_of = {word[0]: label for word, label in owned if len(word) == 1}
    best = vocabulary.topk(min(top, len(vocabulary)))
    return tuple(
        TopWord(_spell(bound.scorer.backbone, token), probability, label_of.get(token))
        for token, probability in zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
    )


def _owners(verbalizer: Verbalizer) -> list[Label]:
    """The label of each label word."""
    return [label for label, words in zip(verbalizer.labels, verbalizer.words, strict=True) for _ in words]


def parts_of_scores(verbalizer: AnyVerbalizer, features: Tensor, head: LinearHead | WordsLinearHead | None) -> Tensor:
    """The parts of words and of a linear layer in the label scores less their means, shape (2, batch, labels)."""
    match head:
        case None:
            words = verbalizer.label_scores(features).double()
            parts = torch.stack([words, torch.zeros_like(words)])
        case WordsLinearHead():
            parts = torch.stack(head.parts(features)).detach().double()
        case LinearHead():
            linear = head.label_scores(features).detach().double()
            parts = torch.stack([torch.zeros_like(linear), linear])
    return parts - parts.mean(-1, keepdim=True)


def _shares(verbalizer: Verbalizer, scores: Tensor, owners: Sequence[Label]) -> Tensor:
    """The share of each word in its label's score, shape (batch, words) as `scores`.

    A share is the gradient of the label score with respect to the word's score, divided by the sum of the gradients of
    all words of the label; so the shares of a label add up to 1.
    """
    with torch.inference_mode(False):  # the caller may have switched gradients off
        leaf = scores.double().clone().requires_grad_()
        (rates,) = torch.autograd.grad(verbalizer.label_scores(leaf).sum(), leaf)
    same = torch.tensor([[one == other for other in owners] for one in owners], dtype=rates.dtype)
    return rates / (rates @ same)


def _mass(words: Sequence[tuple[int, ...]], probabilities: Sequence[float], *, masked: bool) -> float:
    """The probability of all label words together, as in `Explanation`.

    >>> round(_mass([(5,), (5, 6), (7, 8)], [0.3, 0.2, 0.1], masked=False), 6)
    0.4
    >>> round(_mass([(5,), (5, 6), (7, 8)], [0.3, 0.2, 0.2], masked=True), 6)
    0.4
    """
    by_length: dict[int, float] = {}
    for word, probability in zip(words, probabilities, strict=True):
        if masked or not any(word[:stop] in words for stop in range(1, len(word))):
            length = len(word) if masked else 1
            by_length[length] = by_length.get(length, 0.0) + probability
    return max(by_length.values(), default=0.0)


def _spell(backbone: Backbone, token_id: int) -> str:
    token = backbone.tokenizer.convert_ids_to_tokens(token_id)
    if token is None:  # models have more rows than their tokenizer has tokens
        return f"<id {token_id}>"
    return readable_token(token, byte_level=backbone.prompt_tokenizer.byte_level)
