"""Rules for the answer of a template and its stop string, with or without a tokenizer."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from softcloze.lint.finding import Finding, Severity
from softcloze.template import Answer, Literal, Template

if TYPE_CHECKING:
    from softcloze.encoding import CompiledTemplate

_ENDINGS = ("good", "good.", "(1)", "很好", "很好。")  # how answers end


def check_answer(template: Template) -> Iterator[Finding]:
    """Find faults of the answer of a template and of its stop string; none in a template with masks."""
    answer = template.answer
    if answer is None:
        return
    at = template.nodes.index(answer)
    if answer.max is None:
        message = "<answer> has no max: an answer may have as many tokens as the generator's own limit allows"
        yield _finding(template, at, "no-max", "note", message, "give it one, as in <answer max=64>")
    if answer.keep != Answer().keep and (answer.max is None or template.demos is None):
        message = f"keep={answer.keep} has no effect: only answers of <demos> that exceed a max= are shortened"
        yield _finding(template, at, "no-effect", "note", message, "leave it out")
    yield from _check_stop(template, at)


def _check_stop(template: Template, at: int) -> Iterator[Finding]:
    stop = template.stop
    if stop is None:
        if template.demos is not None and not template.turns and at == len(template.nodes) - 1:
            message = "nothing in the text ends the answers of demonstrations, and a model tends to write another one"
            advice = "write a stop string after <answer>, such as a line of ###"
            yield _finding(template, at, "no-stop", "warning", message, advice)
    elif not stop.strip():
        severity: Severity = "note" if "\n" in stop else "warning"
        message = f"the stop string {stop!r} is white space alone, and the first in an answer ends it"
        advice = f"remove it if answers have more than one {'line' if severity == 'note' else 'word'}"
        yield _finding(template, at + 1, "blank-stop", severity, message, advice)
    else:
        for i, node in enumerate(template.nodes[:at]):
            if isinstance(node, Literal) and stop.strip() in node.text:
                message = f"the template has its stop string {stop.strip()!r} before the answer as well"
                advice = "choose one that stands nowhere else, so that it means the end alone"
                yield _finding(template, i, "stop-in-text", "warning", message, advice)


def check_written(compiled: "CompiledTemplate") -> Iterator[Finding]:
    """Find faults of a stop string that only show with a tokenizer.

    Args:
        compiled: a template with an answer.
    """
    template = compiled.template
    stop = template.stop
    if stop is None:
        return
    at = len(template.nodes) - 1
    joined = [ending for ending in _ENDINGS if _joins(compiled, ending, stop)]
    if joined:
        message = f"the tokenizer joins the stop string with the end of an answer, as in {joined[0] + stop!r}"
        advice = "it is learnt faster with tokens of its own: begin it with another character, or leave it out"
        yield _finding(template, at, "joined-stop", "note", message, advice)
    if template.turns:
        message = "the model ends a turn with a token that it knows, and has to learn this stop string"
        yield _finding(template, at, "stop-in-turn", "note", message, "leave it out")


def _joins(compiled: "CompiledTemplate", ending: str, stop: str) -> bool:
    tokenizer = compiled.prompt_tokenizer
    alone = tokenizer.ids(ending)
    return tokenizer.ids(ending + stop)[: len(alone)] != alone


def _finding(template: Template, i: int, code: str, severity: Severity, message: str, advice: str) -> Finding:
    return Finding(code, severity, message, advice, template.source, *template.spans[i])
