"""softcloze compare --answer-column: measure prompts that write on the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from softcloze.analysis.text_metrics import validate_text_metrics
from softcloze.classifiers import PromptGenerator
from softcloze.cli.answers import read_answers
from softcloze.cli.compare_methods import explain_table, read_tables, trained_parameters
from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.delimited import Row
from softcloze.cli.evaluate_generator import Metric
from softcloze.cli.input_files import Table
from softcloze.cli.output_files import validate_page
from softcloze.cli.progress import open_backbone
from softcloze.data.splits import is_held_out
from softcloze.display import rich_table
from softcloze.errors import CommandError, FileError
from softcloze.experiments import compare_generation, evaluate_draws, evaluate_generation
from softcloze.experiments.generation import DEFAULT_METRICS, GENERATION_METRICS
from softcloze.experiments.generation_comparison import difference_table
from softcloze.experiments.kept_texts import KeptTexts
from softcloze.files import validate_writable
from softcloze.formatting import counted
from softcloze.library import resolve_template
from softcloze.template import Template

if TYPE_CHECKING:
    from softcloze.experiments import GenerationEvaluation

SIDE_BY_SIDE = 3  # rows in the terminal; the page has more


class Columns(NamedTuple):
    """Columns of pairs: that for the only field, None for the one of its name, and that of the answers."""

    text: str | None
    answers: str


class Draws(NamedTuple):
    """Draws of the training pairs.

    Attributes:
        shots: numbers of pairs, as they were given.
        seeds: draws of each number of pairs.
        test_rows: held-out rows at most.
        folder: keeps the texts of finished draws; None for none.
    """

    shots: Sequence[str]
    seeds: int
    test_rows: int
    folder: Path | None

    @property
    def pairs(self) -> list[int]:
        """The numbers of pairs; raises CommandError for other values."""
        if not all(given.isdecimal() and int(given) for given in self.shots):
            raise CommandError(
                f"--shots {','.join(self.shots)}: with --answer-column they are numbers of pairs above 0, as in 8,16,32"
            )
        return [*dict.fromkeys(map(int, self.shots))]


class Pairs(NamedTuple):
    """Examples and their answers."""

    examples: list[Row]
    answers: list[str]


def compare_generators(
    table: Table,
    columns: Columns,
    model: str,
    templates: Sequence[str],
    methods: Path | None,
    draws: Draws,
    metrics: Sequence[Metric] | None,
    report: Path | None,
    **parameters: Any,  # noqa: ANN401
) -> None:
    """Measure generators on the same held-out rows, and print tables.

    Args:
        table: the rows.
        columns: of the rows.
        model: name of the model.
        templates: a generator for each, named after it.
        methods: a TOML file with more generators.
        draws: of the training pairs; a prompt without soft slots and demonstrations has one evaluation.
        metrics: names; none for the default ones.
        report: a page to write.
        parameters: of `PromptGenerator`.
    """
    if not templates and methods is None:
        raise CommandError("nothing to compare: give templates with --hard and --soft, or --methods")
    if report is not None:
        validate_page(report, table.source.path)
    sizes = draws.pairs
    if draws.folder is not None:
        validate_writable(draws.folder, folder=True)
    generators = {template: _generator(model, template, parameters) for template in templates}
    if methods is not None:
        generators |= _read(methods, model, parameters)
    parsed = {name: resolve_template(generator.template) for name, generator in generators.items()}
    fields = [*dict.fromkeys(field for template in parsed.values() for field in template.fields)]
    train, test = _split(table, columns, [*parsed.values()], fields, draws)
    chosen: Any = [metric.value for metric in metrics] if metrics else DEFAULT_METRICS
    validate_text_metrics(chosen, GENERATION_METRICS)
    backbone = open_backbone(model)
    evaluations: dict[str, GenerationEvaluation | Sequence[GenerationEvaluation]] = {}
    for number, (name, generator) in enumerate(generators.items(), start=1):
        generator.set_params(model=backbone)
        learns = bool(parsed[name].blocks) or parsed[name].demos is not None
        work = f", {counted(draws.seeds, 'draw')}" if learns else ""
        say(errors(), f"method {number} of {len(generators)}: ", plain(name), work)
        if not learns:
            written = KeptTexts(generator, draws.folder) if draws.folder is not None else generator
            evaluations[name] = evaluate_generation(written, *test, chosen)
        for shots in sizes if learns else ():
            sized = f"{name}, {counted(shots, 'pair')}" if len(sizes) > 1 else name
            evaluations[sized] = evaluate_draws(
                generator, *train, *test, chosen, shots=shots, seeds=draws.seeds, folder=draws.folder
            )
    inputs = [{field: example.get(field, "") for field in fields} for example in test.examples]
    comparison = compare_generation(evaluations, inputs)
    results().print(comparison)
    if differences := comparison.differences(comparison.metrics[0], baseline=next(iter(evaluations))):
        results().print(rich_table(difference_table(differences)))
    results().print(comparison.side_by_side(min(SIDE_BY_SIDE, len(test.examples))))
    if report is not None:
        say(errors(), "the page is ", plain(comparison.report(report), "bold"))


def _split(
    table: Table, columns: Columns, templates: Sequence[Template], fields: Sequence[str], draws: Draws
) -> tuple[Pairs, Pairs]:
    """Pairs to draw from, and held-out ones; of rows with the same fields the first.

    Raises:
        FileError: a row cannot be read, or there are too few.
    """
    examples, answers = table.examples(templates, columns.text), read_answers(table, columns.answers)
    rows: dict[str, tuple[Row, str]] = {}
    for example, answer in zip(examples, answers, strict=True):
        rows.setdefault("\n".join(str(example.get(field, "")) for field in fields), (example, answer))
    held_out = [pair for key, pair in rows.items() if is_held_out(key)][: draws.test_rows]
    train = [pair for key, pair in rows.items() if not is_held_out(key)]
    if not held_out or len(train) < max(draws.pairs):
        raise FileError(
            f"{table.source} has {counted(len(rows), 'different row')}, of which {len(train):,} are for training, and "
            f"--shots takes {max(draws.pairs):,}; bring more rows, or lower --shots"
        )
    sizes = ", ".join(f"{pairs:,}" for pairs in draws.pairs)
    say(errors(), f"{counted(len(held_out), 'held-out row')}, and {len(train):,} to draw {sizes} from")
    return Pairs(*map(list, zip(*train, strict=True))), Pairs(*map(list, zip(*held_out, strict=True)))


def _read(file: Path, model: str, parameters: Mapping[str, Any]) -> dict[str, PromptGenerator]:
    """Generators of a TOML file: one table for each, with `template = …` and parameters of `PromptGenerator`."""
    generators = {}
    for name, where, given in read_tables(file):
        match given:
            case {"template": str(template), **settings}:
                with explain_table(where):
                    special = trained_parameters(where, settings, PromptGenerator)
                    generators[name] = _generator(model, template, {**parameters, **special})
            case _:
                raise FileError(f'{where}: expected template = "…"')
    return generators


def _generator(model: str, template: str, parameters: Mapping[str, Any]) -> PromptGenerator:
    """A generator with checked parameters."""
    generator = PromptGenerator(model, template, **parameters)
    resolve_template(template).validate_writes()
    generator._validate_parameters()
    return generator
