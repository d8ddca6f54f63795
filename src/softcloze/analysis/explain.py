"""From a bound prompt and encoded examples to explanations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from softcloze.analysis.explanation import Explanation, TopWord, WordShare
from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.encoding.tokens import readable_token
from softcloze.errors import ParameterError
from softcloze.prompt import CompiledPrompt
from softcloze.scoring import compute_features, log_probabilities
from softcloze.soft import SoftVectors
from softcloze.verbalizer import Label, RuleVerbalizer, Verbalizer


def explain(
    bound: CompiledPrompt, prompts: Sequence[EncodedPrompt], soft: SoftVectors | None, top: int = 10
) -> list[Explanation]:
    """What the label words do for each of some examples.

    Args:
        bound: template and label words on a backbone.
        prompts: encoded examples, as `bound.encode` gives them.
        soft: the soft vectors, or None where the template has none.
        top: how many of the likeliest words of the vocabulary to name, at most.

    Returns:
        One explanation for each prompt, in order. The likeliest words are those at one mask token in the mask's place,
        also where it is <mask*2>; of a causal model, those that come after the text before the mask, and of a seq2seq
        model, those that its decoder writes first. A calibration corrects the probabilities of the labels and nothing
        else: `dataclasses.replace` puts the corrected ones in.

    Raises:
        ParameterError: `top` is below 0, or labels are rules about several masks.
        EncodingError: nothing stands before the mask of a causal model.

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
    if top < 0:
        raise ParameterError(f"top={top} words cannot be named; expected 0 or more")
    scorer, verbalizer = bound.scorer, bound.verbalizer
    if isinstance(verbalizer, RuleVerbalizer):
        raise ParameterError("what is explained is label words at one mask, and rules are about words at several")
    weight = soft.weight.detach() if soft is not None else None
    with scorer.backbone.frozen():
        scores = compute_features(scorer, prompts, weight)
        found = [
            log_probabilities(scorer.backbone, prompt, scorer.words, weight, verbalizer.decoding) for prompt in prompts
        ]
    probabilities = verbalizer.label_scores(scores).double().softmax(-1)
    owners = [label for label, own in zip(verbalizer.labels, verbalizer.words, strict=True) for _ in own]
    shares = _shares(verbalizer, scores, owners)
    relative = scores.double() - scores.amax(-1, keepdim=True)

    tokens = [tuple(_spell(scorer.backbone, token) for token in word) for word in scorer.words]
    explanations = []
    for number, (words, vocabulary) in enumerate(found):
        columns = (owners, verbalizer.all_words, tokens, words.tolist(), relative[number].tolist())
        explanations.append(
            Explanation(
                labels=verbalizer.labels,
                probabilities=tuple(probabilities[number].tolist()),
                words=tuple(map(WordShare, *columns, shares[number].tolist())),
                top=_top(bound, verbalizer, vocabulary, top),
                mass=_mass(scorer.words, words.exp().tolist(), masked=scorer.backbone.family == "masked"),
            )
        )
    return explanations


def likeliest_words(
    bound: CompiledPrompt, prompts: Sequence[EncodedPrompt], soft: SoftVectors | None, top: int
) -> list[tuple[TopWord, ...]]:
    """The likeliest words for each of some examples: what `explain` has as `top`, without the rest and its time.

    Arguments and errors as for `explain`.
    """
    verbalizer, backbone = bound.verbalizer, bound.scorer.backbone
    if isinstance(verbalizer, RuleVerbalizer):
        raise ParameterError("the likeliest words are those at one mask, and rules are about words at several")
    weight = soft.weight.detach() if soft is not None else None
    with backbone.frozen():
        found = [log_probabilities(backbone, prompt, soft=weight)[1] for prompt in prompts]
    return [_top(bound, verbalizer, vocabulary, top) for vocabulary in found]


def _top(bound: CompiledPrompt, verbalizer: Verbalizer, vocabulary: Tensor, top: int) -> tuple[TopWord, ...]:
    """The words that are likeliest by log-probabilities of shape (vocab,), with the labels that they stand for."""
    owners = (label for label, own in zip(verbalizer.labels, verbalizer.words, strict=True) for _ in own)
    label_of = {word[0]: label for word, label in zip(bound.scorer.words, owners, strict=True) if len(word) == 1}
    best = vocabulary.topk(min(top, len(vocabulary)))
    return tuple(
        TopWord(_spell(bound.scorer.backbone, token), probability, label_of.get(token))
        for token, probability in zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
    )


def _shares(verbalizer: Verbalizer, scores: Tensor, owners: Sequence[Label]) -> Tensor:
    """How much of each label's score each of its words makes up, shape (batch, words) as `scores`.

    It is the gradient of the label scores, as a part of that of all words of the label: the shares of a label add up
    to 1, also where its words tell labels without words of their own apart.
    """
    with torch.inference_mode(False):  # gradients, whatever the caller has switched off
        leaf = scores.double().clone().requires_grad_()
        (rates,) = torch.autograd.grad(verbalizer.label_scores(leaf).sum(), leaf)
    same = torch.tensor([[one == other for other in owners] for one in owners], dtype=rates.dtype)
    return rates / (rates @ same)


def _mass(words: Sequence[tuple[int, ...]], probabilities: Sequence[float], *, masked: bool) -> float:
    """The probability of all label words together: see `Explanation`.

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
    return max(by_length.values())


def _spell(backbone: Backbone, token_id: int) -> str:
    token = backbone.tokenizer.convert_ids_to_tokens(token_id)
    if token is None:  # models have more rows than their tokenizer has tokens
        return f"<id {token_id}>"
    return readable_token(token, byte_level=backbone.prompt_tokenizer.byte_level)
