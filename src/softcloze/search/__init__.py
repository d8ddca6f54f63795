"""Find label words in labelled examples."""

from softcloze.search.errors import SearchError
from softcloze.search.search import search_label_words

__all__ = ["SearchError", "search_label_words"]
