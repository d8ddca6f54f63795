"""Which tokens of a vocabulary are words that may stand for a label, and what the model says of them."""

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

# candidates for each label; as many as PETAL ranks, which takes them from the 10,000 words that are most frequent in
# unlabelled texts, of which there need be none here
LIKELIEST = 1000


@dataclass(frozen=True, slots=True)
class Candidates:
    """Words that may stand for a label.

    Attributes:
        words: each a word that a verbalizer reads as one token.
        log_probs: of each word at the mask of each example, nats over the whole vocabulary, shape (examples, words).
    """

    words: tuple[str, ...]
    log_probs: np.ndarray


def read_candidates(
    backbone: Backbone,
    compiled: CompiledTemplate,
    prompts: Sequence[EncodedPrompt],
    targets: np.ndarray,
    texts: Iterable[str],
    start: Iterable[str] = (),
) -> Candidates:
    """The `LIKELIEST` words in the examples of each label, in one pass of the model over the examples.

    Args:
        backbone: the model.
        compiled: the template on its tokenizer.
        prompts: the examples, encoded.
        targets: the number of the label of each, from 0.
        texts: what the examples hold, for the script of words if the template has no letters.
        start: words of one token that are candidates however unlikely they are.

    Raises:
        EncodingError: nothing stands before the mask of a causal model.
    """
    given = {compiled.word_ids(word)[0]: word for word in start}
    words = whole_words(compiled, texts) | given
    tokens = sorted(words)
    with backbone.frozen():
        # single precision: a large vocabulary and many examples take gigabytes
        rows = [log_probabilities(backbone, prompt)[1][tokens].float().numpy() for prompt in prompts]
    log_probs = np.stack(rows)

    @cache
    def fits(column: int) -> bool:
        return comes_back(compiled, words[tokens[column]], tokens[column])

    columns = {tokens.index(token) for token in given}
    for label in range(targets.max() + 1):
        likeliest = np.argsort(-log_probs[targets == label].mean(0), kind="stable").tolist()
        columns |= set(islice(filter(fits, likeliest), LIKELIEST))
    kept = sorted(columns)
    return Candidates(tuple(words[tokens[column]] for column in kept), log_probs[:, kept].astype(np.float64))


def whole_words(compiled: CompiledTemplate, texts: Iterable[str]) -> dict[int, str]:
    """The tokens whose letters can be a word in the mask's place, by id.

    A word is letters alone, two at least where letters have an upper and a lower case, in the scripts of the
    template's own words: a Chinese template takes tokens of Han characters. A template without letters of its own
    takes the scripts of `texts`. Of "good" with a space in front and without, both are there.
    """
    literals = "".join(node.text for node in compiled.template.nodes if isinstance(node, Literal))
    allowed = _scripts(literals) or _scripts("".join(texts))
    words = enumerate(text.strip() for text in compiled.prompt_tokenizer.texts())
    return {token: word for token, word in words if is_word(word) and _scripts(word) <= allowed}


def is_word(text: str) -> bool:
    """Whether a token of this text can be a word: letters with their accents, and not a single one from "a" to "z".

    >>> [text for text in ("good", "好", "満足", "##ing", "x", "don't", "4th", "") if is_word(text)]
    ['good', '好', '満足']
    """
    kinds = [category(char) for char in text]
    return all(kind[0] in "LM" for kind in kinds) and (len(kinds) > 1 or kinds == ["Lo"])


def comes_back(compiled: CompiledTemplate, word: str, token: int) -> bool:
    """Whether a verbalizer with this word would read this token in the mask's place.

    So "good" is the token with a space in front where the template has white space before its mask, and the one
    without where it has none.
    """
    return tokens_of(compiled, word) == (token,)


def tokens_of(compiled: CompiledTemplate, word: str) -> tuple[int, ...]:
    """The tokens of a word in the mask's place, none if the vocabulary has no way to write it."""
    try:
        return compiled.word_ids(word)
    except EncodingError:
        return ()


def _scripts(text: str) -> set[str]:
    """The scripts of letters, by the first word of their Unicode names.

    >>> sorted(_scripts("T恤です"))
    ['CJK', 'HIRAGANA', 'LATIN']
    """
    return {name(char, "").split(" ")[0] for char in text if char.isalpha()}


_LARGEST = -1e-12  # a log-probability of 0 would have infinite odds


def petal(log_probs: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The balanced log-likelihood ratio: how much greater a word's odds are in the label's examples than elsewhere.

    Args:
        log_probs: of each word in each example, nats, shape (examples, words).
        own: whether an example has the label, shape (examples,).

    Returns:
        The mean log-odds of each word over the label's examples less the mean over all others, nats, shape (words,).

    Source:
        Schick, Schmid and Schütze, COLING 2020, arXiv:2010.13641, section 3: their ratio for one label against the
        rest, with examples weighted so that both sides count the same, divided by the number of other examples, which
        is the same for all words.

    >>> petal(np.log([[0.5, 0.2], [0.2, 0.2]]), np.array([True, False])).round(3)
    array([1.386, 0.   ])
    """
    capped = np.minimum(log_probs, _LARGEST)
    log_odds = capped - np.log(-np.expm1(capped))
    ratio: np.ndarray = log_odds[own].mean(0) - log_odds[~own].mean(0)
    return ratio


def lm_bff(log_probs: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The conditional likelihood: how likely a word is in the label's examples, whatever it is elsewhere.

    Args:
        log_probs: as for `petal`.
        own: as for `petal`.

    Returns:
        The mean log-probability of each word over the label's examples, nats, shape (words,).

    Source:
        Gao, Fisch and Chen, ACL 2021, arXiv:2012.15723, section 5.1, by which they prune the vocabulary for each
        label; their sum over the examples divided by how many these are.
    """
    likelihood: np.ndarray = log_probs[own].mean(0)
    return likelihood


@dataclass(frozen=True, slots=True)
class Method:
    """A way of suggesting words for a label.

    Attributes:
        rank: gives the score of each word; arguments as for `petal`.
        depths: at how many of the label's likeliest words to look; where there are several, cross-validation takes one.
        first: how many go on, at most, those with the highest scores.
    """

    rank: Callable[[np.ndarray, np.ndarray], np.ndarray]
    depths: tuple[int, ...]
    first: int


METHODS = {
    # among very many words some have great odds by chance, so that it takes the likeliest, as many as in the paper
    "petal": Method(petal, depths=(1000,), first=10),
    # here the likeliest words are all that is ranked
    "lm-bff": Method(lm_bff, depths=(10, 30, 100), first=100),
}
