"""What the label words do for one input."""

from softcloze.explanation.explain import ExplanationError, explain, likeliest_words
from softcloze.explanation.explanation import Explanation, TopWord, WordShare

__all__ = ["Explanation", "ExplanationError", "TopWord", "WordShare", "explain", "likeliest_words"]
