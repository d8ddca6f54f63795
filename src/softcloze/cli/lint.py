"""softcloze lint: what is wrong or doubtful about templates and label words, found before a model is loaded."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from softcloze.cli.options import VerbalizerOption, read_verbalizer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from softcloze.backbone import Backbone
    from softcloze.cli.lint_sources import SourceFile
    from softcloze.encoding import PromptTokenizer
    from softcloze.errors import LibraryError
    from softcloze.lint import Finding, VerbalizerCheck
    from softcloze.template import Template


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
            help="Look with the tokenizer of this model, which is not loaded itself but for --priors: starter:NAME, a "
            "name on a hub, or a folder."
        ),
    ] = None,
    words: Annotated[bool, typer.Option("--words", help="Show the label words with their tokens as well.")] = False,
    priors: Annotated[
        bool,
        typer.Option(
            "--priors",
            help="Load the model and show how likely each label and label word is where the input says nothing; for "
            "templates without soft slots and demonstrations.",
        ),
    ] = False,
    fields: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Fields that the examples have, as in title,text.")
    ] = None,
    verbalizer: VerbalizerOption = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens a prompt may have; by default what the model takes.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail for warnings as well.")] = False,
) -> None:
    """Say what is wrong or doubtful about templates and label words, with place and advice.

    Exits with 1 if there are errors, with --strict also if there are warnings.
    """
    from softcloze.cli.console import results
    from softcloze.errors import CommandError

    for option, given in (("--max-length", max_length is not None), ("--words", words), ("--priors", priors)):
        if given and model is None:
            raise CommandError(f"{option} is about tokens: name a model with --model")
    labels = _given_labels(verbalizer)
    names = None if fields is None else [name.strip() for name in fields.split(",") if name.strip()]
    opened = None if model is None else _open(model, max_length, weights=priors)
    looker = Looker(names, labels, opened, tables=words or priors)
    found = [shown for file in files for shown in looker.look(file)]
    console = results()
    for shown in found:
        console.print(finding_text(shown), soft_wrap=True)
    for file, checked in looker.tables.items():
        console.print(*_titled(file, checked), sep="\n")
    console.print(summary(found, len(files)), soft_wrap=True)
    severities = {shown.finding.severity for shown in found}
    if "error" in severities or (strict and "warning" in severities):
        raise typer.Exit(1)


class Shown(NamedTuple):
    """A finding and the place that is named for it, as in "card.toml:1:12"."""

    where: str
    finding: "Finding"


def finding_text(shown: Shown) -> "Text":
    """A finding as it is printed: place and fact, the line with carets, the advice."""
    from rich.text import Text

    from softcloze.cli.console import plain
    from softcloze.formatting import picture
    from softcloze.lint.finding import STYLES

    finding = shown.finding
    _, line, carets = picture(finding.source, finding.start, finding.end).split("\n")
    head = Text.assemble(
        plain(shown.where, "bold"), ": ", (finding.severity, STYLES[finding.severity]), ": ", plain(finding.message)
    )
    advice = [Text.assemble("  ", plain(finding.advice))] if finding.advice else []
    return Text("\n").join([Text.assemble(head, (f" ({finding.code})", "dim")), Text(line), Text(carets), *advice])


def _titled(file: str, checked: "VerbalizerCheck") -> "tuple[RenderableType, ...]":
    from softcloze.cli.console import plain
    from softcloze.lint.verbalizer import rich_word_table

    return plain(file, "bold"), rich_word_table(checked)


def summary(found: Sequence[Shown], files: int) -> "Text":
    """How many findings of each severity there are."""
    from rich.text import Text

    from softcloze.lint.finding import SEVERITIES, STYLES

    counts = Counter(shown.finding.severity for shown in found)
    where = "in 1 file" if files == 1 else f"in {files} files"
    if not counts:
        return Text(f"nothing found {where}")
    parts = [(f"{counts[name]} {name}{'s' * (counts[name] != 1)}", STYLES[name]) for name in SEVERITIES if counts[name]]
    return Text.assemble(Text(", ").join([Text(*part) for part in parts]), f" {where}")


class Labels(NamedTuple):
    """Label words, and what to call them."""

    name: str
    words: Mapping[Any, Any]


class Model(NamedTuple):
    """A tokenizer, what its model takes, and the model itself if it was loaded."""

    prompt_tokenizer: "PromptTokenizer"
    max_length: int
    backbone: "Backbone | None" = None


class Looker:
    """Looks at files with what the command was told about all of them."""

    def __init__(
        self, fields: Sequence[str] | None, labels: Labels | None, model: Model | None, *, tables: bool
    ) -> None:
        self.fields, self.labels, self.model, self.wants_tables = fields, labels, model, tables
        self.said: set[Finding] = set()  # about label words, which many templates may share
        self.tables: dict[str, VerbalizerCheck] = {}  # by file

    def look(self, name: str) -> Iterator[Shown]:
        """Findings about one file.

        Raises:
            FileError: it cannot be read.
        """
        from softcloze.cli.lint_sources import TomlError, read_source

        try:
            source = read_source(name)
        except TomlError as error:
            yield _shown(error.source, "not-toml", f"this is no TOML: {error.problem}", (error.at, error.at))
            return
        if source.template is not None:
            yield from self._template(source, source.template)
        elif source.words is not None:
            yield from _words(source, source.words)
        else:
            yield _shown(source, "card", "the card has neither a template nor a table of label words", (0, 0))

    def _template(self, source: "SourceFile", template: str) -> Iterator[Shown]:
        from softcloze.errors import LibraryError, TemplateSyntaxError
        from softcloze.library.cards import read_template_card
        from softcloze.lint.finding import by_place
        from softcloze.lint.template import check_source
        from softcloze.template import Template

        labels, problem = self._labels_of(source)
        words = None if labels is None else labels.words
        found = check_source(template, self.fields, words)
        try:
            parsed = Template(template)
        except TemplateSyntaxError:
            parsed = None  # which is found already
        if parsed is not None and self.model is not None:
            from softcloze.lint.tokens import check_encoding

            sound = all(finding.severity != "error" for finding in found)
            found += check_encoding(parsed, self.model.prompt_tokenizer, self.model.max_length, labels=words)
            if self.wants_tables and sound and words is not None:
                checked = _check_words(parsed, words, self.model)
                self.tables[source.name] = checked
                found = list(dict.fromkeys((*found, *checked.findings)))  # with what only the model can tell
        if problem is not None:
            yield _shown(source, "card", str(problem), source.key_place("verbalizer"))
        if parsed is not None and source.card is not None:
            try:
                read_template_card(source.name, Path(source.name).expanduser())
            except LibraryError as error:
                yield _card_problem(source, error)
        for finding in sorted((each for each in found if each.source == template), key=by_place):
            yield _located(source, finding, _in_template(source, finding))
        for finding in found:
            if finding.source != template and finding not in self.said and labels is not None:
                self.said.add(finding)
                yield Shown(labels.name, finding)

    def _labels_of(self, source: "SourceFile") -> "tuple[Labels | None, LibraryError | None]":
        """The label words for a template: those that were given, or else those that its card names."""
        from softcloze.errors import LibraryError
        from softcloze.library import load_verbalizer

        name = None if source.card is None else source.card.get("verbalizer")
        if self.labels is not None or not isinstance(name, str):
            return self.labels, None
        parents = Path(source.name).expanduser().absolute().parents
        library = parents[2] if len(parents) > 2 and parents[1].name == "templates" else None
        try:
            return Labels(name, load_verbalizer(name, library).words), None
        except LibraryError as error:
            return None, error


def _words(source: "SourceFile", words: Mapping[str, Any]) -> Iterator[Shown]:
    """Findings about a card with label words."""
    from softcloze.errors import LibraryError
    from softcloze.library.cards import read_verbalizer_card
    from softcloze.lint.finding import by_place
    from softcloze.lint.label_words import check_words, word_table

    try:
        read_verbalizer_card(source.name, Path(source.name).expanduser())
    except LibraryError as error:
        yield _card_problem(source, error)
        return
    table = word_table(words)
    places = source.word_places([word.text for word in table.words])
    place_of = {(word.start, word.end): place for word, place in zip(table.words, places, strict=True)}
    for finding in sorted(check_words(table), key=by_place):
        place = place_of.get((finding.start, finding.end), source.key_place("words"))
        yield _located(source, finding, place)


def _in_template(source: "SourceFile", finding: "Finding") -> tuple[int, int]:
    """Where in a file a finding about its template is."""
    if not source.places:
        return source.key_place("template")
    return source.places[finding.start], source.places[finding.end]


def _card_problem(source: "SourceFile", problem: "LibraryError") -> Shown:
    """What the library says of a card, at the key that it names first."""
    message = str(problem).removeprefix(f"{Path(source.name).expanduser()}: ")
    keys = (source.key_place(key) for key in re.findall(r"\w+", message))
    return _shown(source, "card", message, next((place for place in keys if place != (0, 0)), (0, 0)))


def _shown(source: "SourceFile", code: str, message: str, place: tuple[int, int]) -> Shown:
    from softcloze.lint import Finding

    return _located(source, Finding(code, "error", message, "", source.text, *place), place)


def _located(source: "SourceFile", finding: "Finding", place: tuple[int, int]) -> Shown:
    """A finding with its place in the file instead of in the template or the label words."""
    start, end = place
    line, column = source.text.count("\n", 0, start) + 1, start - source.text.rfind("\n", 0, start)
    return Shown(f"{source.name}:{line}:{column}", replace(finding, source=source.text, start=start, end=end))


def _given_labels(verbalizer: str | None) -> Labels | None:
    from softcloze.library import load_verbalizer

    words = read_verbalizer(verbalizer)
    if verbalizer is None or words is None:
        return None
    if isinstance(words, str):
        return Labels(words, load_verbalizer(words).words)
    return Labels("--verbalizer", words if isinstance(words, dict) else words.label_words())


def _open(model: str, max_length: int | None, *, weights: bool) -> Model:
    from softcloze.backbone import load_tokenizer
    from softcloze.cli.console import quiet
    from softcloze.encoding import PromptTokenizer

    def limit(most: int) -> int:
        return most if max_length is None else min(max_length, most)

    if weights:
        from softcloze.cli.progress import open_backbone

        backbone = open_backbone(model)
        return Model(backbone.prompt_tokenizer, limit(backbone.max_length), backbone)
    quiet()
    tokenizer, family, most = load_tokenizer(model)
    return Model(PromptTokenizer(tokenizer, masked=family != "causal", decoder=family == "seq2seq"), limit(most))


def _check_words(template: "Template", words: Mapping[Any, Any], model: Model) -> "VerbalizerCheck":
    """The label words with their tokens; with priors where the model is loaded and the template needs no training."""
    from softcloze.classifiers import PromptClassifier
    from softcloze.lint import check_verbalizer
    from softcloze.lint.label_words import word_table
    from softcloze.verbalizer import RuleVerbalizer, Verbalizer

    verbalizer = RuleVerbalizer(words) if word_table(words).masks else Verbalizer(words)
    if model.backbone is None or template.blocks or template.demos is not None:
        return check_verbalizer(verbalizer, template, model.prompt_tokenizer, model.max_length)
    return PromptClassifier(model.backbone, template, verbalizer, max_length=model.max_length).check()
