"""What label words are to a tokenizer and to a model, before any text is classified with them."""

from softcloze.checking.check import CheckedWord, VerbalizerCheck, check_verbalizer, with_priors

__all__ = ["CheckedWord", "VerbalizerCheck", "check_verbalizer", "with_priors"]
