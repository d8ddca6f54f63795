"""Exceptions. Every class is a SoftclozeError and one of Python's own kinds."""

from collections.abc import Iterable
from difflib import get_close_matches

from softcloze.formatting import picture


class SoftclozeError(Exception):
    """Something the caller can mend. Every subclass is also a builtin or scikit-learn kind of error."""


class TemplateSyntaxError(SoftclozeError, ValueError):
    """A template that breaks the rules of the language, with the characters at fault.

    Attributes:
        problem: what is wrong and how to mend it, one line.
        source: the whole template; for a template made from nodes, its printed form.
        start: index in `source` of the first character at fault.
        end: index behind the last one; equals `start` where something is missing.

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
    """Something that is no template, or a node of another kind than the one asked for."""


class FieldError(SoftclozeError, ValueError):
    """An example that does not fill the fields of a template."""


class TemplateLogicError(SoftclozeError, ValueError):
    """A template whose logic makes of an example what is no prompt: too much, or not every mask exactly once."""


class DataError(SoftclozeError, ValueError):
    """Examples or labels that do not fit."""


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


class EnsembleError(SoftclozeError, ValueError):
    """Classifiers that do not go together, or too little to learn their weights from."""


class SettingsError(SoftclozeError, ValueError):
    """A training parameter out of its range."""


class CheckpointError(SoftclozeError, OSError):
    """A checkpoint that cannot be read."""


class RefinementError(SoftclozeError, ValueError):
    """Label words that cannot be refined with this template, with these texts, or as asked."""


class TuningError(SoftclozeError, ValueError):
    """Candidates that cannot be made, or a search of which nothing can be said."""


class VerbalizerError(SoftclozeError, ValueError):
    """Label words that cannot tell the labels apart."""


class InspectionError(SoftclozeError, ValueError):
    """A soft prompt that cannot be looked into as asked for."""


class LibraryError(SoftclozeError, LookupError):
    """A name that the library does not have, or a card in it that is not as it should be."""


class ReportError(SoftclozeError, RuntimeError):
    """A report that cannot be drawn or written."""


class HeadError(SoftclozeError, ValueError):
    """A head that there is not, or that does not fit the template."""


class SearchError(SoftclozeError, ValueError):
    """A search for label words that cannot be done as asked for."""


class BackboneError(SoftclozeError, ValueError):
    """A model that cannot be loaded or cannot be used as a backbone."""


class ExplanationError(SoftclozeError, ValueError):
    """An explanation that cannot be given as asked for."""


class CommandError(SoftclozeError, ValueError):
    """An option that cannot be used as it is."""


class FileError(SoftclozeError, OSError):
    """A file that cannot be read or written, or that is not what the command needs; names it."""


class ExperimentError(SoftclozeError, ValueError):
    """An experiment that its data or settings do not allow."""


class EncodingError(SoftclozeError, ValueError):
    """An example, a label word or a template that cannot be encoded."""


class TokenizerError(SoftclozeError, TypeError):
    """A tokenizer that softcloze cannot work with."""


class SoftSlotError(SoftclozeError, ValueError):
    """Soft slots that do not fit their template, or that training does not reach."""


class CalibrationError(SoftclozeError, ValueError):
    """Scores that cannot be calibrated as asked, or a calibration that cannot be read."""


class DemonstrationError(SoftclozeError, ValueError):
    """Demonstrations that cannot be chosen as asked."""
