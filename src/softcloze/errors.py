"""All exceptions and warnings. Every exception is a SoftclozeError and a subclass of a built-in one."""

from collections.abc import Iterable

from softcloze.formatting import did_you_mean, source_excerpt


class SoftclozeError(Exception):
    """Root of all errors that a caller can fix. Every subclass is also a built-in exception."""


class ParameterError(SoftclozeError, ValueError):
    """A parameter or setting outside its range, or incompatible with the template, the prompt or the data."""


class TemplateSyntaxError(SoftclozeError, ValueError):
    """A template that breaks the rules of the language.

    Attributes:
        problem: the problem and its fix, one line.
        source: the whole template; for a template made from nodes, its printed form.
        start: index in `source` of the first wrong character.
        end: index after the last wrong character; equals `start` if something is missing.
        code: the rule that it breaks, as in "no-mask"; a code of `lint`.

    >>> print(TemplateSyntaxError("expected '>'", "评论: <text", 4, 9))
    expected '>'
      at line 1, column 5:
        评论: <text
              ^^^^^
    """

    def __init__(self, problem: str, source: str, start: int, end: int, code: str = "syntax") -> None:
        super().__init__(problem, source, start, end, code)  # all arguments, so that it pickles
        self.problem, self.source, self.start, self.end, self.code = problem, source, start, end, code

    def __str__(self) -> str:
        return f"{self.problem}\n{source_excerpt(self.source, self.start, self.end)}"


class TemplateTypeError(SoftclozeError, TypeError):
    """An object that is not a template, or a node of the wrong type."""


class FieldError(SoftclozeError, ValueError):
    """An example whose values do not fit the fields of a template."""


class TemplateLogicError(SoftclozeError, ValueError):
    """A template whose Jinja renders no valid prompt: it exceeds a limit, or omits or repeats a mask."""


class DataError(SoftclozeError, ValueError):
    """Examples or labels inconsistent with each other, the template or the verbalizer."""


class ArtifactError(SoftclozeError, OSError):
    """A saved prompt or ensemble that cannot be read or pushed, or was trained with another model."""


class StarterError(SoftclozeError, OSError):
    """A starter that could not be fetched, verified, converted or stored."""


class StarterNameError(SoftclozeError, LookupError):
    """An unknown name of a starter model or data set.

    >>> raise StarterNameError("model", "bert-tny", ["bert-tiny", "gemma3-270m"])
    Traceback (most recent call last):
    softcloze.errors.StarterNameError: unknown starter model 'bert-tny'; did you mean 'bert-tiny'?
      known: bert-tiny, gemma3-270m
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(kind, name, self.known)  # all arguments, so that it pickles

    def __str__(self) -> str:
        hint = did_you_mean(str(self.name), self.known)
        return f"unknown starter {self.kind} {self.name!r}{hint}\n  known: {', '.join(self.known)}"


class ProcessError(SoftclozeError, RuntimeError):
    """Work that does not run in several processes, or whose processes do not fit each other or have ended."""


class CheckpointError(SoftclozeError, OSError):
    """A checkpoint that cannot be read."""


class VerbalizerError(SoftclozeError, ValueError):
    """Label words that cannot distinguish the labels."""


class LibraryError(SoftclozeError, LookupError):
    """An unknown name in the library, or a malformed card."""


class RegistryError(SoftclozeError, LookupError):
    """An unknown prompt, version or alias of a registry, or a name that breaks its rules."""


class ReportError(SoftclozeError, RuntimeError):
    """A report that cannot be rendered or written."""


class BackboneError(SoftclozeError, ValueError):
    """A model that cannot be loaded or cannot be used as a backbone."""


class NonFiniteError(SoftclozeError, ArithmeticError):
    """Scores, a loss or weights that are NaN or infinite.

    Attributes:
        problem: what is not finite, why, and what helps.
        rows: the examples concerned, in order; empty if it is not about examples.
        count: number of examples that were scored.

    >>> print(NonFiniteError("the scores are not finite", [1, 2], 4))
    row 1 and 1 more: the scores are not finite
    """

    def __init__(self, problem: str, rows: Iterable[int] = (), count: int = 1) -> None:
        self.problem, self.rows, self.count = problem, tuple(rows), count
        super().__init__(problem, self.rows, count)  # all arguments, so that it pickles

    def __str__(self) -> str:
        if not self.rows or self.count == 1:
            return self.problem
        more = f" and {len(self.rows) - 1} more" if len(self.rows) > 1 else ""
        return f"row {self.rows[0]}{more}: {self.problem}"


class ServiceError(SoftclozeError, RuntimeError):
    """A request that a service turned away or did not answer.

    Attributes:
        problem: the reason, and the fix.
        prompt: the prompt of the request, as in "reviews@3"; empty if it is about none or several.
        rows: indices of the first and the last row of the request, of those given to the client; None for a single row.
        status: the HTTP status; None if there was no answer.
        code: the code of the failure, as in "unknown_prompt"; None if the answer has none.

    >>> print(ServiceError("the row could not be scored in time", "reviews", (64, 127), 504, "deadline"))
    reviews, rows 64 to 127: the row could not be scored in time
    """

    def __init__(
        self,
        problem: str,
        prompt: str = "",
        rows: tuple[int, int] | None = None,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(problem, prompt, rows, status, code)  # all arguments, so that it pickles
        self.problem, self.prompt, self.rows, self.status, self.code = problem, prompt, rows, status, code

    def __str__(self) -> str:
        where = [self.prompt] if self.prompt else []
        if self.rows is not None:
            first, last = self.rows
            where.append(f"row {first}" if first == last else f"rows {first} to {last}")
        return f"{', '.join(where)}: {self.problem}" if where else self.problem


class CommandError(SoftclozeError, ValueError):
    """An invalid option of a command."""


class FileError(SoftclozeError, OSError):
    """A file that cannot be read or written, or has the wrong content."""


class EncodingError(SoftclozeError, ValueError):
    """An example, a label word or a template that cannot be encoded."""


class OneSidedWarning(UserWarning):
    """A prompt that gives nearly all examples, or an input without content, one label."""


class PrecisionWarning(UserWarning):
    """A prompt that is used with weights of another form than it was trained on, so that its scores change."""


class TokenizerError(SoftclozeError, TypeError):
    """A tokenizer that softcloze does not support."""
