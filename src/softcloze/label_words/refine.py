"""Refine hundreds of label words to those that a model can use: knowledgeable verbalizers."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from softcloze.backbone import Backbone, load_backbone
from softcloze.data import Example, as_examples, as_labels, label_indices, validate_lengths
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
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.prompt import CompiledPrompt
from softcloze.template import Template
from softcloze.verbalizer import Label, Verbalizer, Words
from softcloze.verbalizer.verbalizer import find_openings


def refine_words(
    model: str | Backbone,
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
) -> Verbalizer:
    r"""Choose among many label words, and weigh them, by what the model says of a few texts.

    The first word of each label names it: write the plainest one there. It always stays. In turn

    1. words go that the vocabulary does not know, that have the tokens of another one, or that begin with the tokens
       of another label's word where a causal or seq2seq model could then never prefer them;
    2. the share `frequency` of each label's words goes that the model says most seldom;
    3. words go whose probabilities over the texts are more like those of the other labels' names;
    4. each word that is left weighs one over its mean probability, so that common words have no advantage; with
       labels these weights are where learning starts.

    The words are scored once and the model stays as it is. A word of several tokens costs a causal or seq2seq model up
    to a row for each text, here and in every prediction, while all words of one token cost one row together: with
    hundreds of words `max_tokens=1` is many times faster. A masked model reads one row for each length that words have.

    Args:
        model: as for `PromptClassifier`.
        template: with neither soft slots nor demonstrations; as for `PromptClassifier`.
        words: label -> words, as many as you like, or word -> weight; or the name of a table in the library, as
            "sentiment/en-knowledge"; or a `Verbalizer`. Weights are not kept, and neither is `aggregation`.
        texts: examples of what is to be classified, as for `PromptClassifier.fit`; 200 unlabelled ones are what the
            paper takes.
        labels: the label of each, to learn weights from.
        frequency: share of each label's words that are dropped for being rare, from 0 (none) to below 1.
        relevance: how much more a word has to go with its own label than with the others, as a ratio; 0 keeps all.
        penalty: how strongly learnt weights are held to where they start; see `softcloze.label_words.learn_weights`.
        max_tokens: drops words of more tokens; None keeps them.
        max_length: tokens a prompt may have; None for the model's own limit.

    Returns:
        An ordinary `Verbalizer` with "log_sum_prob" and a weight for each word, to print, to edit, and for any
        `PromptClassifier` of the same model and template, with which it is saved.

    Raises:
        ParameterError: a template with soft slots or demonstrations, no texts, or an option out of range.
        VerbalizerError: words that cannot tell the labels apart, or a word given twice.
        DataError: labels that do not fit the texts or the words.
        FieldError: an example lacks a field; names the row.
        EncodingError: an example, or the name of a label, cannot be encoded.

    Source:
        KPT: Hu et al., ACL 2022, arXiv:2108.02035. Where we differ is said in `softcloze.label_words`. There the words
        come from knowledge bases. Files of one word a line, and synonyms of WordNet by way of nltk, are as good::

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
    template, verbalizer = resolve_template(template), resolve_verbalizer(words)
    if not isinstance(verbalizer, Verbalizer):
        raise ParameterError("there are no words to refine; give label -> words, or the name of a library table")
    _check(template, frequency, relevance, penalty)
    examples = as_examples(texts)
    if not examples:
        raise ParameterError("there are no texts to refine words by; give some of those that are to be classified")
    targets = None
    if labels is not None:
        given = as_labels(labels)
        validate_lengths(examples, given)
        targets = label_indices(given, verbalizer)
    backbone = load_backbone(model)
    verbalizer = usable_words(verbalizer, template, backbone, max_tokens)
    bound = CompiledPrompt(template, verbalizer, backbone, max_length)
    log_probs, owners = word_log_probs(bound, examples), word_owners(verbalizer)

    keep = frequent(log_priors(log_probs), owners, frequency)
    keep[keep] = relevant(log_probs[:, keep], owners[keep], relevance)
    log_probs, owners = log_probs[:, keep], owners[keep]
    weights = calibrated_weights(log_priors(log_probs), owners)
    if targets is not None:
        weights = learn_weights(log_probs, owners, targets, weights, penalty)
    weight_of = dict(zip(compress(verbalizer.all_words, keep), np.exp(weights).tolist(), strict=True))
    table = {
        label: {word: weight_of[word] for word in own if word in weight_of} for label, own in _by_label(verbalizer)
    }
    return Verbalizer(table, "log_sum_prob", verbalizer.length_norm, verbalizer.decoding)


def usable_words(
    verbalizer: Verbalizer, template: Template, backbone: Backbone, max_tokens: int | None = None
) -> Verbalizer:
    """The words that a model knows and can tell apart, without weights; words of more than `max_tokens` are left out.

    The first word of each label stays as it is; `CompiledPrompt` says what is wrong with it.
    """
    compiled = CompiledTemplate(
        template, backbone.prompt_tokenizer, backbone.max_length, options=verbalizer.first_words
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
        label_of = {word: label for label, own in _by_label(verbalizer) for word in own}
        known = list(ids)
        for longer, _ in find_openings(list(ids.values()), [label_of[word] for word in known]):
            if known[longer] not in verbalizer.first_words:
                ids.pop(known[longer], None)
    table: dict[Label, Words] = {label: [word for word in own if word in ids] for label, own in _by_label(verbalizer)}
    return Verbalizer(table, verbalizer.aggregation, verbalizer.length_norm, verbalizer.decoding)


def word_log_probs(bound: CompiledPrompt, examples: Sequence[Example]) -> NDArray[np.float64]:
    """Log-probabilities of the label words among each other, in nats, shape (examples, words)."""
    with bound.scorer.backbone.frozen():
        return among_words(bound.scorer.all(bound.encode(examples), [None])[0].double().numpy())


def word_owners(verbalizer: Verbalizer) -> NDArray[np.int_]:
    """The number of the label of each word, in the order of `all_words`."""
    return np.repeat(np.arange(len(verbalizer.labels)), [len(own) for own in verbalizer.words])


def _by_label(verbalizer: Verbalizer) -> Iterator[tuple[Label, tuple[str, ...]]]:
    return zip(verbalizer.labels, verbalizer.words, strict=True)


def _check(template: Template, frequency: float, relevance: float, penalty: float) -> None:
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
    if not 0 <= frequency < 1:
        raise ParameterError(f"frequency={frequency!r} is the share of words to drop; expected 0 to below 1")
    if not relevance >= 0:
        raise ParameterError(f"relevance={relevance!r} is the least ratio of a word to keep; expected 0 or more")
    if not 0 < penalty < math.inf:
        raise ParameterError(f"penalty={penalty!r} has to be a number above 0")
