"""Metrics of generated texts: chrF, BLEU, ROUGE, exact match, and the fields of JSON."""

import unicodedata
from collections.abc import Callable, Collection, Sequence
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from softcloze.analysis.json_fields import json_rows
from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean
from softcloze.parameters import NONE, one_of, validate_parameters

TextMetric: TypeAlias = Literal[
    "chrf", "bleu", "rouge1", "rouge2", "rougeL", "exact_match", "json_valid", "json_exact", "json_fields"
]
TEXT_METRICS: tuple[TextMetric, ...] = get_args(TextMetric)
BLEU_TOKENIZERS = ("13a", "zh", "char", "intl", "none")  # of sacrebleu; those that need no other package
CONSTRAINTS = {"bleu_tokenizer": one_of(*BLEU_TOKENIZERS) | NONE}

Texts: TypeAlias = Sequence[str]
References: TypeAlias = Sequence[Texts]  # one or more for each row


class MeasuredTexts(NamedTuple):
    """A metric of texts, in parts that add up over rows.

    Attributes:
        rows: the metric of each row by itself, shape (rows,).
        parts: summands of each row, shape (rows, parts).
        value: the metric from sums over rows, shape (..., parts) to (...).
    """

    rows: NDArray[np.float64]
    parts: NDArray[np.float64]
    value: Callable[[NDArray[np.floating[Any]]], NDArray[np.float64]]

    @property
    def total(self) -> float:
        """The metric of all rows."""
        return float(self.value(self.parts.sum(0)))


def measure_texts(
    metric: TextMetric, predictions: Texts, references: References, bleu_tokenizer: str | None = None
) -> MeasuredTexts:
    """Measure texts by one metric.

    A row with several references counts as its best one; BLEU counts the n-grams of all of them.

    - `"chrf"`: F-score of character n-grams, 0 to 100. It needs no tokenizer, so it suits every language.
    - `"bleu"`: precision of word n-grams, 0 to 100. A row by itself uses the n-gram orders that its texts have.
    - `"rouge1"`, `"rouge2"`, `"rougeL"`: F-score of words, pairs of words, and the longest common subsequence, 0 to 1.
      The words are those of `words`, and the value is the mean over rows.
    - `"exact_match"`: share of rows whose text is the reference, as `normalise` changes both.
    - `"json_valid"`, `"json_exact"`, `"json_fields"`: share of rows whose text is a JSON object with the fields of the
      reference; share of rows where all values are right as well; mean share of the fields that are right.

    Args:
        metric: its name.
        predictions: generated texts, one or more.
        references: at least one for each prediction; each may be empty.
        bleu_tokenizer: a name of `BLEU_TOKENIZERS`; None chooses by the script of the references.

    Raises:
        ParameterError: an unknown metric or tokenizer, or a package that is not installed.
        DataError: a JSON metric, and a reference that is not a JSON object; names the row.

    Source:
        chrF: Popović, WMT 2015. BLEU: Papineni et al., ACL 2002, as in Post, WMT 2018, arXiv:1804.08771 (sacrebleu).
        ROUGE: Lin, Text Summarization Branches Out, 2004 (rouge_score).

    >>> measured = measure_texts("rougeL", ["今天天气很好", "a red car"], [["今天天气真好"], ["The red car."]])
    >>> measured.rows.round(3), round(measured.total, 3)
    (array([0.833, 0.667]), 0.75)
    """
    validate_text_metrics([metric])
    validate_parameters({"bleu_tokenizer": bleu_tokenizer}, CONSTRAINTS)
    match metric:
        case "chrf" | "bleu":
            return _sacrebleu(metric, predictions, references, bleu_tokenizer)
        case "rouge1" | "rouge2" | "rougeL":
            return mean_over_rows(_rouge(metric, predictions, references))
        case "exact_match":
            same = [normalise(text) in map(normalise, refs) for text, refs in zip(predictions, references, strict=True)]
            return mean_over_rows(same)
        case "json_valid":
            return mean_over_rows([row.is_valid for row in json_rows(predictions, references)])
        case "json_exact":
            return mean_over_rows([row.share == 1 for row in json_rows(predictions, references)])
        case "json_fields":
            return mean_over_rows([row.share for row in json_rows(predictions, references)])


def mean_over_rows(rows: Sequence[float]) -> MeasuredTexts:
    """A metric that is the mean of its rows."""
    values = np.array(rows, dtype=np.float64)
    return MeasuredTexts(values, np.stack([values, np.ones_like(values)], -1), _quotient)


def validate_text_metrics(metrics: Collection[str], known: Collection[str] = TEXT_METRICS) -> None:
    """Raise ParameterError if metrics are none, unknown, or need a package that is not installed."""
    if isinstance(metrics, str) or not metrics:
        raise ParameterError(f"metrics={metrics!r}, but it has to be a list of one or more of {', '.join(known)}")
    for metric in metrics:
        if metric not in known:
            raise ParameterError(
                f"metric {metric!r} is unknown; expected {', '.join(known)}{did_you_mean(str(metric), known)}"
            )
        package = "sacrebleu" if metric in ("chrf", "bleu") else "rouge_score" if metric.startswith("rouge") else None
        if package is not None and find_spec(package) is None:
            raise ParameterError(
                f"metric {metric!r} needs {package}; install with: pip install 'softcloze[generation]'"
            )


def normalise(text: str) -> str:
    r"""Text as `"exact_match"` compares it: NFKC, and runs of white space as one space.

    NFKC turns full-width letters, digits and punctuation into the usual ones. Case and punctuation count.

    >>> normalise(" Ａ：\n b"), normalise("Yes.") == normalise("yes")
    ('A: b', False)
    """
    return " ".join(unicodedata.normalize("NFKC", text).split())


def words(text: str) -> list[str]:
    """Words of a text for ROUGE, in lower case and without punctuation.

    Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces: each of their characters is a word. Unlike the words
    of a dictionary, characters depend on no package and no version, and sacrebleu splits Chinese in the same way. On
    ASCII texts the words are those of rouge_score; its own tokenizer drops all other letters.

    >>> words("Gemma-270M 写得不错，café!")
    ['gemma', '270m', '写', '得', '不', '错', 'café']
    """
    return list(_word_pattern().findall(unicodedata.normalize("NFC", text).lower()))


def tokenizer_for_bleu(references: References) -> str:
    """The tokenizer of sacrebleu by the script of references.

    >>> [tokenizer_for_bleu([[text]]) for text in ("今天天气很好", "A fine day.", "いい天気")]
    ['zh', '13a', 'char']
    """
    import regex

    text = "".join(reference for row in references for reference in row)
    if regex.search(r"[\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]", text):
        return "char"
    return "zh" if regex.search(r"\p{Han}", text) else "13a"


def _word_pattern() -> Any:  # noqa: ANN401 - regex has no types
    import regex  # which keeps compiled patterns; `re` knows no scripts

    spaceless = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    return regex.compile(rf"[{spaceless}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{spaceless}]]+", regex.V1)


def _sacrebleu(
    metric: Literal["chrf", "bleu"], predictions: Texts, references: References, bleu_tokenizer: str | None
) -> MeasuredTexts:
    """A metric of sacrebleu, by the counts that its own significance tests add up."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    of_all: Any
    of_row: Any
    if metric == "chrf":
        of_all = of_row = CHRF()
    else:
        tokenizer = bleu_tokenizer if bleu_tokenizer is not None else tokenizer_for_bleu(references)
        of_all, of_row = (BLEU(tokenize=tokenizer, force=True, effective_order=order) for order in (False, True))
    most = max(map(len, references))
    streams = [[row[at] if at < len(row) else None for row in references] for at in range(most)]
    counts = of_all._extract_corpus_statistics(list(predictions), streams)
    rows = [of_row._compute_score_from_stats(row).score for row in counts]

    def value(sums: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        flat = np.rint(sums.reshape(-1, sums.shape[-1])).astype(np.int64)  # counts, though as floats
        scores = [of_all._compute_score_from_stats(row.tolist()).score for row in flat]
        return np.array(scores, dtype=np.float64).reshape(sums.shape[:-1])

    return MeasuredTexts(np.array(rows), np.array(counts, dtype=np.float64), value)


class _Words:
    """A tokenizer as rouge_score takes it."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def _rouge(metric: str, predictions: Texts, references: References) -> list[float]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([metric], tokenizer=_Words())
    rows = zip(predictions, references, strict=True)
    return [float(scorer.score_multi(refs, text)[metric].fmeasure) for text, refs in rows]


def _quotient(sums: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    quotient: NDArray[np.float64] = sums[..., 0].astype(np.float64) / sums[..., 1]
    return quotient
