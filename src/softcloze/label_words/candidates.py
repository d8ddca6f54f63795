"""Candidate label words of a vocabulary, their log-probabilities, and the rankings of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from unicodedata import category, name

import numpy as np

from softcloze.backbone import Backbone
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.errors import EncodingError
from softcloze.scoring import log_probabilities
from softcloze.template import Literal

# candidates for each label, as many as PETAL ranks; PETAL takes them from the 10,000 most frequent words of unlabelled
# texts, which are not needed here
LIKELIEST = 1000


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate label words, each of one token at the mask."""

    words: tuple[str, ...]
    log_probs: np.ndarray  # at the mask of each example, nats over the whole vocabulary, shape (examples, words)


def read_candidates(
    backbone: Backbone,
    compiled: CompiledTemplate,
    prompts: Sequence[EncodedPrompt],
    targets: np.ndarray,
    texts: Iterable[str],
    start: Iterable[str] = (),
) -> Candidates:
    """Score the vocabulary at the mask of each example, and keep the `LIKELIEST` words of each label.

    Args:
        backbone: the model.
        compiled: the template on its tokenizer.
        prompts: the examples, encoded.
        targets: index of the label of each.
        texts: field values of the examples; their scripts are allowed if the template has no letters.
        start: words of one token that are kept however unlikely they are.

    Raises:
        EncodingError: a causal model has no text before the mask.
    """
    given = {compiled.word_ids(word)[0]: word for word in start}
    words = whole_words(compiled, texts) | given
    tokens = sorted(words)
    with backbone.frozen():
        # single precision: a large vocabulary and many examples need gigabytes
        by_example = [log_probabilities(backbone, prompt)[1][tokens].float().numpy() for prompt in prompts]
    log_probs = np.stack(by_example)

    @cache
    def fits(column: int) -> bool:
        return is_encoded_as(compiled, words[tokens[column]], tokens[column])

    columns = {tokens.index(token) for token in given}
    for label in range(targets.max() + 1):
        likeliest = np.argsort(-log_probs[targets == label].mean(0), kind="stable").tolist()
        columns |= set(islice(filter(fits, likeliest), LIKELIEST))
    kept = sorted(columns)
    return Candidates(tuple(words[tokens[column]] for column in kept), log_probs[:, kept].astype(np.float64))


def whole_words(compiled: CompiledTemplate, texts: Iterable[str]) -> dict[int, str]:
    """Token id -> word for all tokens that may be words at the mask.

    A word consists of letters, at least two in scripts with upper and lower case, in the scripts of the template: a
    Chinese template takes tokens of Han characters. A template without letters takes the scripts of `texts`. Tokens
    with and without a space before the word are both included.
    """
    literals = "".join(node.text for node in compiled.template.nodes if isinstance(node, Literal))
    allowed = _scripts(literals) or _scripts("".join(texts))
    words = enumerate(text.strip() for text in compiled.prompt_tokenizer.texts())
    return {token: word for token, word in words if is_word(word) and _scripts(word) <= allowed}


def is_word(text: str) -> bool:
    """True if the text of a token may be a word: letters with their accents, but not a single letter with cases.

    >>> [text for text in ("good", "好", "満足", "##ing", "x", "don't", "4th", "") if is_word(text)]
    ['good', '好', '満足']
    """
    kinds = [category(char) for char in text]
    return all(kind[0] in "LM" for kind in kinds) and (len(kinds) > 1 or kinds == ["Lo"])


def is_encoded_as(compiled: CompiledTemplate, word: str, token: int) -> bool:
    """True for the token with a leading space if white space precedes the mask, else for the one without."""
    return tokens_of(compiled, word) == (token,)


def tokens_of(compiled: CompiledTemplate, word: str) -> tuple[int, ...]:
    """The tokens of a word at the mask; none if the vocabulary cannot encode it."""
    try:
        return compiled.word_ids(word)
    except EncodingError:
        return ()


def _scripts(text: str) -> set[str]:
    """The scripts of the letters of a text, by the first word of their Unicode names.

    >>> sorted(_scripts("T恤です"))
    ['CJK', 'HIRAGANA', 'LATIN']
    """
    return {name(char, "").split(" ")[0] for char in text if char.isalpha()}


_LARGEST = -1e-12  # a log-probability of 0 would have infinite odds


def petal(log_probs: np.ndarray, has_label: np.ndarray) -> np.ndarray:
    """Balanced log-likelihood ratio: the log-odds of a word in the label's examples minus those in all others.

    Args:
        log_probs: of each word in each example, nats, shape (examples, words).
        has_label: True for the examples of the label, shape (examples,).

    Returns:
        The mean log-odds of each word over the label's examples minus the mean over all others, nats, shape (words,).

    Source:
        Schick, Schmid and Schütze, COLING 2020, arXiv:2010.13641, section 3: the ratio for one label against the
        rest with balanced weights, divided by the number of other examples, which is the same for all words.

    >>> petal(np.log([[0.5, 0.2], [0.2, 0.2]]), np.array([True, False])).round(3)
    array([1.386, 0.   ])
    """
    capped = np.minimum(log_probs, _LARGEST)
    log_odds = capped - np.log(-np.expm1(capped))
    ratio: np.ndarray = log_odds[has_label].mean(0) - log_odds[~has_label].mean(0)
    return ratio


def lm_bff(log_probs: np.ndarray, has_label: np.ndarray) -> np.ndarray:
    """Conditional likelihood: the log-probability of a word in the label's examples.

    Args:
        log_probs: as for `petal`.
        has_label: as for `petal`.

    Returns:
        The mean log-probability of each word over the label's examples, nats, shape (words,).

    Source:
        Gao, Fisch and Chen, ACL 2021, arXiv:2012.15723, section 5.1, where it prunes the vocabulary of each label; a
        mean over the examples here, a sum there.
    """
    likelihood: np.ndarray = log_probs[has_label].mean(0)
    return likelihood


@dataclass(frozen=True, slots=True)
class Ranking:
    """A ranking of the candidates of a label."""

    score: Callable[[np.ndarray, np.ndarray], np.ndarray]  # of each word; arguments as for `petal`
    depths: tuple[int, ...]  # numbers of the label's likeliest words to consider: cross-validation selects one
    keep: int  # number of words with the highest scores to keep


RANKINGS = {
    # among many words some have high odds by chance: only the likeliest are ranked, as many as in the paper
    "petal": Ranking(petal, depths=(1000,), keep=10),
    # the depth is the number of words that are kept
    "lm-bff": Ranking(lm_bff, depths=(10, 30, 100), keep=100),
}
