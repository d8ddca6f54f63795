"""Refine large sets of label words for a model: knowledgeable verbalizers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from softcloze.backbone import AnyModel, Backbone, load_backbone
from softcloze.data import Example, as_examples, as_labels, label_indices, validate_lengths, validate_several
from softcloze.encoding import CompiledTemplate
from softcloze.errors import EncodingError, ParameterError
from softcloze.label_words.word_statistics import (
    among_words,
    calibrated_weights,
    frequent,
    learn_weights,
    log_priors,
    relevant,
)
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.parameters import NONE, NOT_NEGATIVE, POSITIVE, integer, number, validate_parameters
from softcloze.prompt import CompiledPrompt
from softcloze.scoring import compute_features
from softcloze.template import CHAT_OPTIONS, ChatOptions, Template
from softcloze.verbalizer import Label, Verbalizer, Words
from softcloze.verbalizer.verbalizer import find_openings

CONSTRAINTS = {
    "frequency": number("from 0 to below 1", lambda value: 0 <= value < 1),
    "relevance": NOT_NEGATIVE,
    "penalty": POSITIVE,
    "max_tokens": integer(at_least=1) | NONE,
    "max_length": integer(at_least=1) | NONE,
    "chat_options": CHAT_OPTIONS | NONE,
}


def refine_words(
    model: AnyModel,
    template: str | Template,
    words: Mapping[Label, Words] | str | Verbalizer,
    texts: Iterable[Example],
    labels: Iterable[Label] | None = None,
    *,
    frequency: float = 0.5,
    relevance: float = 1.0,
    penalty: float = 1.0,
    max_tokens: int | None = None,
    max_length: int | None = None,
    chat_options: ChatOptions | None = None,
) -> Verbalizer:
    r"""Select and weight many label words by the model's scores on a few texts.

    The first word of each label names the label and always stays: write the plainest one there. Four steps follow.

    1. Drop words that are unknown to the vocabulary, that have the tokens of another word, or that begin with the
       tokens of another label's word if a causal or seq2seq model could then never prefer them.
    2. Drop the share `frequency` of each label's words with the lowest mean probability.
    3. Drop words whose probabilities over the texts are more like those of the other labels' names.
    4. Weight each remaining word by one over its mean probability, so that common words have no advantage. With labels
       the weights are then learnt from there.

    The words are scored once, and the model stays frozen. A word of several tokens needs up to one sequence per text in
    a causal or seq2seq model, here and in every prediction; all words of one token share one sequence. With hundreds of
    words set `max_tokens=1` for speed. A masked model needs one sequence for each length of words.

    Args:
        model: as for `PromptClassifier`.
        template: with neither soft slots nor demonstrations; as for `PromptClassifier`.
        words: label -> words or word -> weight; or the name of a verbalizer in the library, as in
            "sentiment/en-knowledge"; or a `Verbalizer`. Its weights and its `aggregation` are ignored.
        texts: examples of the texts to classify, as for `PromptClassifier.fit`; the paper takes 200 unlabelled ones.
        labels: the label of each, to learn weights.
        frequency: share of each label's words that step 2 drops, from 0 (none) to below 1.
        relevance: least ratio of a word's similarity with its own label to that with the others; 0 keeps all words.
        penalty: strength with which learnt weights stay near their start; see `softcloze.label_words.learn_weights`.
        max_tokens: drops words of more tokens; None keeps them.
        max_length: tokens of a prompt, at most; None for the model's own limit.
        chat_options: values of variables of the tokenizer's chat template, as for `PromptClassifier`.

    Returns:
        A `Verbalizer` with "log_sum_prob" and a weight for each word, for the same model and template.

    Raises:
        ParameterError: a template with soft slots or demonstrations, no texts, or an option out of range.
        VerbalizerError: words that cannot tell the labels apart, or a word given twice.
        DataError: labels that do not match the texts or the words.
        FieldError: an example lacks a field; names its index.
        EncodingError: an example, or the name of a label, cannot be encoded.

    Source:
        KPT: Hu et al., ACL 2022, arXiv:2108.02035. The functions of `softcloze.label_words` state the differences.
        KPT takes words from knowledge bases. Text files and synonyms of WordNet, by nltk, work as well::

            words = {label: Path(f"{label}.txt").read_text("utf-8").splitlines() for label in ("positive", "negative")}

            from nltk.corpus import wordnet

            synsets = wordnet.synsets("good", pos=wordnet.ADJ)
            words = dict.fromkeys(name.replace("_", " ") for synset in synsets for name in synset.lemma_names())

    Example:
        >>> texts = ["A delight.", "Dull.", "A waste of time.", "Great fun!"]
        >>> words = {"positive": ["good", "great", "nice", "zesty"], "negative": ["bad", "boring", "dull", "dire"]}
        >>> verbalizer = refine_words("starter:bert-tiny", "<text> It was <mask>.", words, texts)
        >>> verbalizer.words
        (('bad', 'boring'), ('good', 'great'))
    """
    options: dict[str, object] = {"frequency": frequency, "relevance": relevance, "penalty": penalty}
    options |= {"max_tokens": max_tokens, "max_length": max_length, "chat_options": chat_options}
    validate_parameters(options, CONSTRAINTS)
    template, verbalizer = resolve_mask_template(template), resolve_verbalizer(words)
    if not isinstance(verbalizer, Verbalizer):
        raise ParameterError("no words to refine; give label -> words, or the name of a verbalizer in the library")
    _validate_template(template)
    examples = as_examples(texts, template.fields)
    if not examples:
        raise ParameterError("no texts to refine words by; give some of the texts to classify")
    targets = None
    if labels is not None:
        given = as_labels(labels)
        validate_lengths(examples, given)
        targets = label_indices(given, verbalizer.labels)
        validate_several(given)
    backbone = load_backbone(model)
    verbalizer = usable_words(verbalizer, template, backbone, max_tokens, chat_options)
    bound = CompiledPrompt(template, verbalizer, backbone, max_length, chat_options=chat_options)
    log_probs, owners = word_log_probs(bound, examples), word_owners(verbalizer)

    keep = frequent(log_priors(log_probs), owners, frequency)
    keep[keep] = relevant(log_probs[:, keep], owners[keep], relevance)
    log_probs, owners = log_probs[:, keep], owners[keep]
    weights = calibrated_weights(log_priors(log_probs), owners)
    if targets is not None:
        weights = learn_weights(log_probs, owners, targets, weights, penalty)
    weight_of = dict(zip(compress(verbalizer.all_words, keep), np.exp(weights).tolist(), strict=True))
    table = {
        label: {word: weight_of[word] for word in label_words if word in weight_of}
        for label, label_words in _by_label(verbalizer)
    }
    return Verbalizer(table, "log_sum_prob", verbalizer.length_norm, verbalizer.decoding)


def usable_words(
    verbalizer: Verbalizer,
    template: Template,
    backbone: Backbone,
    max_tokens: int | None = None,
    chat_options: ChatOptions | None = None,
) -> Verbalizer:
    """Drop words that the model does not know or cannot tell apart, words of more than `max_tokens`, and all weights.

    The first word of each label stays; `CompiledPrompt` reports its faults.
    """
    compiled = CompiledTemplate(
        template,
        backbone.prompt_tokenizer,
        backbone.max_length,
        options=verbalizer.first_words,
        chat_options=chat_options,
    )
    ids = {word: compiled.word_ids(word) for word in verbalizer.first_words}
    for word in verbalizer.all_words:
        try:
            tokens = compiled.word_ids(word)
        except EncodingError:  # unknown to the vocabulary
            continue
        if tokens not in ids.values() and (max_tokens is None or len(tokens) <= max_tokens):
            ids[word] = tokens
    if compiled.autoregressive and verbalizer.length_norm == "none":
        label_of = {word: label for label, label_words in _by_label(verbalizer) for word in label_words}
        words = list(ids)
        for longer, _ in find_openings(list(ids.values()), [label_of[word] for word in words]):
            if words[longer] not in verbalizer.first_words:
                ids.pop(words[longer], None)
    table: dict[Label, Words] = {
        label: [word for word in label_words if word in ids] for label, label_words in _by_label(verbalizer)
    }
    return Verbalizer(table, verbalizer.aggregation, verbalizer.length_norm, verbalizer.decoding)


def word_log_probs(bound: CompiledPrompt, examples: Sequence[Example]) -> NDArray[np.float64]:
    """Log-probabilities normalised over the label words, in nats, shape (examples, words)."""
    with bound.scorer.backbone.frozen():
        return among_words(compute_features(bound.scorer, bound.encode(examples), None).double().numpy())


def word_owners(verbalizer: Verbalizer) -> NDArray[np.int_]:
    """The index of the label of each word, in the order of `all_words`."""
    return np.repeat(np.arange(len(verbalizer.labels)), [len(words) for words in verbalizer.words])


def _by_label(verbalizer: Verbalizer) -> Iterator[tuple[Label, tuple[str, ...]]]:
    return zip(verbalizer.labels, verbalizer.words, strict=True)


def _validate_template(template: Template) -> None:
    if template.blocks:
        raise ParameterError(
            f"the soft slots of {str(template)!r} are not trained yet; refine the words with the hard part, without "
            "<soft>, then give them to the classifier with the soft template"
        )
    if template.demos is not None:
        raise ParameterError(
            f"the demonstrations of {str(template)!r} are chosen in fit; refine the words without <demos>, then give "
            "them to the classifier with this template"
        )
