"""softcloze lint: find faults of templates and label words before a model is loaded."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.text import Text

from softcloze.cli.console import plain, results
from softcloze.cli.lint_sources import SourceFile, TomlError, read_source
from softcloze.cli.options import ChatOptionsOption, VerbalizerOption, read_chat_options, read_label_words
from softcloze.cli.progress import open_backbone, open_tokenizer
from softcloze.display import rich_table
from softcloze.errors import CommandError, LibraryError, TemplateSyntaxError
from softcloze.formatting import source_excerpt
from softcloze.library import load_verbalizer
from softcloze.library.cards import read_template_card, read_verbalizer_card
from softcloze.lint import Finding, VerbalizerCheck, check_verbalizer
from softcloze.lint import lint as lint_template
from softcloze.lint.finding import SEVERITIES, STYLES, sort_findings
from softcloze.lint.label_words import check_words, list_words
from softcloze.lint.verbalizer import words_table
from softcloze.template import ChatOptions, Template

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.encoding import PromptTokenizer


def lint(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Cards of the library (.toml) with a template or with label words, or files that hold one template; "
            "- for standard input.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Check with the tokenizer of this model: starter:NAME, a name on a hub, or a folder. Its weights are "
            "loaded for --priors only."
        ),
    ] = None,
    words: Annotated[bool, typer.Option("--words", help="Also show the label words with their tokens.")] = False,
    priors: Annotated[
        bool,
        typer.Option(
            "--priors",
            help="Load the model and show the probability of each label and label word on content-free input; for "
            "templates without soft slots and demonstrations.",
        ),
    ] = False,
    fields: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Fields of the examples, as in title,text.")
    ] = None,
    verbalizer: VerbalizerOption = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a prompt, at most; the model's own limit by default.")
    ] = None,
    chat_options: ChatOptionsOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail for warnings as well.")] = False,
) -> None:
    """Find faults of templates and label words, each with its place and advice.

    Exits with 1 if there are errors, with --strict also if there are warnings.
    """
    needing = {"--max-length": max_length is not None, "--chat-options": chat_options is not None}
    for option, given in {**needing, "--words": words, "--priors": priors}.items():
        if given and model is None:
            raise CommandError(f"{option} needs a tokenizer: name a model with --model")
    labels = _given_labels(verbalizer)
    if priors and labels is None and not any(file.lower().endswith(".toml") for file in files):  # cards have some
        raise CommandError("--priors is about label words: give them with --verbalizer")
    names = None if fields is None else [name.strip() for name in fields.split(",") if name.strip()]
    opened = None if model is None else _open(model, max_length, read_chat_options(chat_options), weights=priors)
    linter = Linter(names, labels, opened, tables=words or priors)
    findings = [located for file in files for located in linter.lint(file)]
    console = results()
    for located in findings:
        console.print(finding_text(located), soft_wrap=True)
    for file, checked in linter.tables.items():
        console.print(plain(file, "bold"), rich_table(words_table(checked)), sep="\n")
    console.print(summary(findings, len(files)), soft_wrap=True)
    severities = {located.finding.severity for located in findings}
    if "error" in severities or (strict and "warning" in severities):
        raise typer.Exit(1)


class Located(NamedTuple):
    """A finding and its place: position in a file, as in "a.txt:1:12", and the key of a card, or the label words."""

    where: str
    finding: Finding


def finding_text(located: Located) -> Text:
    """A finding as text: place and fact, the line with carets, the advice."""
    finding = located.finding
    _, line, carets = source_excerpt(finding.source, finding.start, finding.end).split("\n")
    head = Text.assemble(
        plain(located.where, "bold"), ": ", (finding.severity, STYLES[finding.severity]), ": ", plain(finding.message)
    )
    advice = [Text.assemble("  ", plain(finding.advice))] if finding.advice else []
    return Text("\n").join([Text.assemble(head, (f" ({finding.code})", "dim")), Text(line), Text(carets), *advice])


def summary(findings: Sequence[Located], files: int) -> Text:
    """The number of findings of each severity."""
    counts = Counter(located.finding.severity for located in findings)
    where = "in 1 file" if files == 1 else f"in {files} files"
    if not counts:
        return Text(f"nothing found {where}")
    parts = [(f"{counts[name]} {name}{'s' * (counts[name] != 1)}", STYLES[name]) for name in SEVERITIES if counts[name]]
    return Text.assemble(Text(", ").join([Text(*part) for part in parts]), f" {where}")


class Labels(NamedTuple):
    """Label words, and their name for findings."""

    name: str
    words: Mapping[Any, Any]


class Model(NamedTuple):
    """A tokenizer, the limit of its model, options of its chat template, and the model itself if it is loaded."""

    prompt_tokenizer: "PromptTokenizer"
    max_length: int
    chat_options: ChatOptions | None
    backbone: "Backbone | None" = None


class Linter:
    """Lints files with the options of the command."""

    def __init__(
        self, fields: Sequence[str] | None, labels: Labels | None, model: Model | None, *, tables: bool
    ) -> None:
        self.fields, self.labels, self.model, self.wants_tables = fields, labels, model, tables
        self.reported: set[Finding] = set()  # about label words, which many templates may share
        self.tables: dict[str, VerbalizerCheck] = {}  # by file

    def lint(self, name: str) -> Iterator[Located]:
        """Findings about one file.

        Raises:
            FileError: it cannot be read.
        """
        try:
            source = read_source(name)
        except TomlError as error:
            yield _error(error.source, "not-toml", f"not valid TOML: {error.problem}", (error.at, error.at))
            return
        if source.template is not None:
            yield from self._template(source, source.template)
        elif source.words is not None:
            yield from _words(source, source.words)
        else:
            yield _error(source, "card", "the card has neither a template nor a table of label words", (0, 0))

    def _template(self, source: SourceFile, template: str) -> Iterator[Located]:
        labels, problem = self._labels_of(source)
        parsed: str | Template = template
        with suppress(TemplateSyntaxError):  # which becomes a finding
            parsed = Template(template)
        findings = self._findings(source, parsed, None if labels is None else labels.words)
        if problem is not None:
            yield _error(source, "card", str(problem), source.key_span("verbalizer"))
        if source.card is not None and isinstance(parsed, Template):
            try:
                read_template_card(source.name, Path(source.name).expanduser())
            except LibraryError as error:
                yield _card_problem(source, error)
        for finding in findings:
            if finding.source == template:
                yield _in_file(source, "template", finding)
            elif finding not in self.reported and labels is not None:
                self.reported.add(finding)
                yield Located(labels.name, finding)

    def _findings(self, source: SourceFile, template: str | Template, words: Mapping[Any, Any] | None) -> list[Finding]:
        """Findings about a template and its label words; keeps the table of the words if it is wanted."""
        findings = lint_template(template, words, fields=self.fields)
        if self.model is None or isinstance(template, str):
            return findings
        sound = all(finding.severity != "error" for finding in findings)
        prompt_tokenizer, limit, options, _ = self.model
        findings = lint_template(
            template,
            words,
            tokenizer=prompt_tokenizer,
            fields=self.fields,
            max_length=limit,
            chat_options=options,
        )
        if self.wants_tables and sound and words is not None:
            checked = self.tables[source.name] = _check_words(template, words, self.model)
            findings = sort_findings(dict.fromkeys((*findings, *checked.findings)), template.source)
        return findings

    def _labels_of(self, source: SourceFile) -> tuple[Labels | None, LibraryError | None]:
        """The label words for a template: those of the options, or else those that its card names."""
        name = None if source.card is None else source.card.get("verbalizer")
        if self.labels is not None or not isinstance(name, str):
            return self.labels, None
        parents = Path(source.name).expanduser().absolute().parents
        library = parents[2] if len(parents) > 2 and parents[1].name == "templates" else None
        try:
            return Labels(name, load_verbalizer(name, library).words), None
        except LibraryError as error:
            return None, error


def _words(source: SourceFile, words: Mapping[str, Any]) -> Iterator[Located]:
    """Findings about a card with label words."""
    try:
        read_verbalizer_card(source.name, Path(source.name).expanduser())
    except LibraryError as error:
        yield _card_problem(source, error)
        return
    for finding in sort_findings(check_words(list_words(words), words), ""):
        yield _in_file(source, "words", finding)


def _card_problem(source: SourceFile, problem: LibraryError) -> Located:
    """An error of the library about a card, at the first key that it names."""
    message = str(problem).removeprefix(f"{Path(source.name).expanduser()}: ")
    keys = (source.key_span(key) for key in re.findall(r"\w+", message))
    return _error(source, "card", message, next((span for span in keys if span != (0, 0)), (0, 0)))


def _error(source: SourceFile, code: str, message: str, span: tuple[int, int]) -> Located:
    """An error about the file itself."""
    return Located(_place(source, span[0]), Finding(code, "error", message, "", source.text, *span))


def _in_file(source: SourceFile, key: str, finding: Finding) -> Located:
    """A finding with its place: in a card the key, in any other file the position."""
    if source.card is None:
        return Located(_place(source, finding.start), finding)
    return Located(f"{_place(source, source.key_span(key)[0])}: {key}", finding)


def _place(source: SourceFile, at: int) -> str:
    line, column = source.text.count("\n", 0, at) + 1, at - source.text.rfind("\n", 0, at)
    return f"{source.name}:{line}:{column}"


def _given_labels(verbalizer: str | None) -> Labels | None:
    if verbalizer is None:
        return None
    where, words, _ = read_label_words(verbalizer)
    return Labels(where, load_verbalizer(verbalizer).words if words is None else words)


def _open(model: str, max_length: int | None, chat_options: ChatOptions | None, *, weights: bool) -> Model:
    if weights:
        backbone = open_backbone(model)
        prompt_tokenizer, limit = backbone.prompt_tokenizer, backbone.max_length
    else:
        backbone = None
        prompt_tokenizer, limit = open_tokenizer(model)
    limit = limit if max_length is None else min(max_length, limit)
    return Model(prompt_tokenizer, limit, chat_options, backbone)


def _check_words(template: Template, words: Mapping[Any, Any], model: Model) -> VerbalizerCheck:
    """Check label words; with priors if the model is loaded and the template needs no training."""
    from softcloze.classifiers import PromptClassifier
    from softcloze.verbalizer import RuleVerbalizer, Verbalizer

    verbalizer = RuleVerbalizer(words) if list_words(words).masks else Verbalizer(words)
    if model.backbone is None or template.blocks or template.demos is not None:
        return check_verbalizer(verbalizer, model.prompt_tokenizer, template, model.max_length, model.chat_options)
    return PromptClassifier(
        model.backbone, template, verbalizer, max_length=model.max_length, chat_options=model.chat_options
    ).check()
