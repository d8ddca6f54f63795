"""Exceptions. Every class is a SoftclozeError and one of Python's own kinds."""

from collections.abc import Iterable
from difflib import get_close_matches

from softcloze.formatting import picture


class SoftclozeError(Exception):
    """Root of all errors that the caller can mend. Every subclass is also one of Python's built-in errors."""


class ParameterError(SoftclozeError, ValueError):
    """A parameter or setting outside its range, or one that the template, the prompt or the data does not allow."""


class TemplateSyntaxError(SoftclozeError, ValueError):
    """A template that breaks the rules of the language, with the characters at fault.

    Attributes:
        problem: what is wrong and how to mend it, one line.
        source: the whole template; for a template made from nodes, its printed form.
        start: index in `source` of the first character at fault.
        end: index after the last one; equals `start` where something is missing.

    >>> print(TemplateSyntaxError("expected '>'", "评论: <text", 4, 9))
    expected '>'
      at line 1, column 5:
        评论: <text
              ^^^^^
    """

    def __init__(self, problem: str, source: str, start: int, end: int) -> None:
        super().__init__(problem, source, start, end)  # all of them, so that it pickles
        self.problem, self.source, self.start, self.end = problem, source, start, end

    def __str__(self) -> str:
        return f"{self.problem}\n{picture(self.source, self.start, self.end)}"


class TemplateTypeError(SoftclozeError, TypeError):
    """An object that is not a template, or a node of another kind than expected."""


class FieldError(SoftclozeError, ValueError):
    """An example that does not fill the fields of a template."""


class TemplateLogicError(SoftclozeError, ValueError):
    """A template whose logic renders no prompt: the result is too long, or a mask is missing or repeated."""


class DataError(SoftclozeError, ValueError):
    """Examples or labels that do not fit each other, the template or the verbalizer."""


class ArtifactError(SoftclozeError, OSError):
    """A saved prompt or ensemble that cannot be read, or does not belong to the model at hand."""


class StarterError(SoftclozeError, OSError):
    """A starter could not be fetched, checked, converted or stored; the message says how to mend it."""


class StarterNameError(SoftclozeError, LookupError):
    """No starter has this name.

    >>> raise StarterNameError("model", "bert-tny", ["bert-tiny", "gemma3-270m"])
    Traceback (most recent call last):
    softcloze.errors.StarterNameError: no starter model is called 'bert-tny', did you mean 'bert-tiny'?
      there are: bert-tiny, gemma3-270m
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(kind, name, self.known)  # all of them, so it pickles

    def __str__(self) -> str:
        near = get_close_matches(self.name, self.known, n=1)
        guess = f", did you mean {near[0]!r}?" if near else ""
        return f"no starter {self.kind} is called {self.name!r}{guess}\n  there are: {', '.join(self.known)}"


class CheckpointError(SoftclozeError, OSError):
    """A checkpoint that cannot be read."""


class VerbalizerError(SoftclozeError, ValueError):
    """Label words that cannot tell the labels apart."""


class LibraryError(SoftclozeError, LookupError):
    """A name that the library does not have, or a card in it that is not as it should be."""


class ReportError(SoftclozeError, RuntimeError):
    """A report that cannot be drawn or written."""


class BackboneError(SoftclozeError, ValueError):
    """A model that cannot be loaded or cannot be used as a backbone."""


class CommandError(SoftclozeError, ValueError):
    """An option that cannot be used as it is."""


class FileError(SoftclozeError, OSError):
    """A file that cannot be read or written, or that is not what the command needs; names it."""


class EncodingError(SoftclozeError, ValueError):
    """An example, a label word or a template that cannot be encoded."""


class TokenizerError(SoftclozeError, TypeError):
    """A tokenizer that softcloze cannot work with."""
