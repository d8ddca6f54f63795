"""Content-free inputs, and random texts of words from the texts to classify."""

import re
from collections.abc import Sequence

import numpy as np

from softcloze.errors import ParameterError
from softcloze.parameters import integer, validate_parameters
from softcloze.template import Template

# letters and punctuation written without spaces: Chinese and Japanese, but not Korean
_CJK = "\u2e80-\u2fdf\u3001-\u312f\u31a0-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")
_NEEDLESS_SPACE = re.compile(rf"(?<=[{_CJK}]) | (?=[{_CJK}])")


def domain_texts(texts: Sequence[str], generator: np.random.Generator, count: int = 20) -> list[str]:
    """Draw random texts from the words of the texts to classify, as long as these are on average.

    Words are separated by spaces; a Chinese or Japanese character is a word by itself and gets no spaces in the
    result. Each word is drawn from all words of all texts, so frequent words are drawn often.

    Args:
        texts: texts to classify, unlabelled.
        generator: source of randomness.
        count: number of texts to draw.

    Returns:
        `count` texts, each with the mean number of words of `texts`, rounded.

    Raises:
        ParameterError: no words in `texts`, values that are not texts, or a count below 1.

    Source:
        Fei et al., ACL 2023, arXiv:2305.19148, with 20 texts. Their code also lower-cases all words, appends a full
        stop and draws one word more; here words stay as they are.

    >>> domain_texts(["so dull", "a fine film indeed"], np.random.default_rng(0), count=2)
    ['indeed fine fine', 'dull dull so']
    >>> domain_texts(["好看！", "我不喜欢 iPhone"], np.random.default_rng(0), count=2)
    ['欢喜不！', '！好好好']
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ParameterError(f"texts must be a list of texts, found {type(texts).__name__} with {texts!r:.60}")
    validate_parameters({"count": count}, {"count": integer(at_least=1)})
    words = [word for text in texts for word in _WORD.findall(text)]
    if not words:
        raise ParameterError(f"{len(texts)} texts have no words to draw from; give the texts to classify")
    length = max(1, round(len(words) / len(texts)))
    drawn = generator.integers(len(words), size=(count, length))
    return [_NEEDLESS_SPACE.sub("", " ".join(words[i] for i in row)) for row in drawn]


CONTENT_FREE = ("N/A", "[MASK]", "")  # of Zhao et al.; all plain text here
COUNT = 20  # random texts, as in Fei et al.


def content_free(template: Template) -> list[dict[str, str]]:
    """Content-free examples: each text of `CONTENT_FREE` in all fields."""
    return [dict.fromkeys(template.fields, text) for text in CONTENT_FREE]
