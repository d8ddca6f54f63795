"""softcloze fit: train a prompt on rows with labels or answers and save it."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from softcloze.cli.answers import AnswerOption, WritingOption, read_options
from softcloze.cli.console import errors, say, warn
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import FORMAT_OPTIONS, takes_format
from softcloze.cli.fit_auto import TrainingRows, fit_automatically, read_texts
from softcloze.cli.fit_files import (
    explain_interruption,
    first_process_alone_reports,
    progress_folder,
    reported_training,
    save,
    say_training_accuracy,
    warn_of_findings,
    warn_of_language,
)
from softcloze.cli.fit_generator import Columns, fit_generator
from softcloze.cli.input_files import open_table
from softcloze.cli.options import (
    CalibrationOption,
    ChatOptionsOption,
    ClassWeightOption,
    DemonstrationsOption,
    EpochsOption,
    FeaturesOption,
    FileArgument,
    HeadOption,
    LabelOption,
    LearningRateOption,
    ModelOption,
    OptionalTemplateOption,
    QuantizeOption,
    VerbalizerOption,
    WeightOption,
    given_options,
    known_labels,
    read_chat_options,
    read_class_weight,
    read_verbalizer,
)
from softcloze.cli.output_files import validate_page
from softcloze.cli.progress import open_backbone
from softcloze.cli.soft_init import SoftInitOption, read_soft_init
from softcloze.errors import CommandError
from softcloze.files import validate_writable
from softcloze.formatting import quoted_list
from softcloze.launcher import process_rank, validate_one_process
from softcloze.library import resolve_template
from softcloze.prompt.card import CARD, PROMPT

WITH_AUTO_ALONE = ("budget", "candidates", "members", "encoder", "report")
OF_BOTH = (
    *("file", "out", "template", "model", "verbalizer", "text_column", "label_column", "shots"),
    *("class_weight", "weight_column", "max_length", "chat_options", "seed", "auto", *FORMAT_OPTIONS),
)

OF_ANSWERS = (
    *("file", "out", "template", "model", "text_column", "answer_column", "option", "demonstrations", "epochs"),
    *("batch_size", "part_size", "learning_rate", "max_length", "chat_options", "seed", *FORMAT_OPTIONS),
    *("quantize", "soft_init"),
)


@takes_format
@first_process_alone_reports()
def fit(
    context: typer.Context,
    file: FileArgument,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the saved prompt, which replaces an earlier one there.")
    ],
    template: OptionalTemplateOption = None,
    model: ModelOption = "starter:smollm2-135m",
    quantize: QuantizeOption = None,
    verbalizer: VerbalizerOption = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(
            help="Column for the only field of the template; by default the column of the same name. With --auto it "
            "may be repeated: all these columns are shown."
        ),
    ] = None,
    label_column: LabelOption = "label",
    answer_column: AnswerOption = None,
    option: WritingOption = None,
    soft_init: SoftInitOption = None,
    shots: Annotated[
        int | None, typer.Option(help="Training rows of each class, drawn with the seed; by default all.")
    ] = None,
    head: HeadOption = "words",
    features: FeaturesOption = "mask",
    demonstrations: DemonstrationsOption = "random",
    calibration: CalibrationOption = "auto",
    epochs: EpochsOption = None,
    batch_size: Annotated[int, typer.Option(help="Rows per training step.")] = 4,
    part_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rows in a forward and backward pass, at most, whose gradients add up to those of a step; 1 makes "
            "several processes learn the same vectors bit for bit. By default as many as fit into memory.",
        ),
    ] = None,
    learning_rate: LearningRateOption = None,
    class_weight: ClassWeightOption = None,
    weight_column: WeightOption = None,
    max_length: Annotated[
        int | None, typer.Option(help="Longest prompt in tokens; by default the model's limit.")
    ] = None,
    chat_options: ChatOptionsOption = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the initial vectors, of the order of rows and of folds of cross-validation.")
    ] = 0,
    auto: Annotated[
        bool,
        typer.Option("--auto", help="Choose template, label words and head by cross-validation, within --budget."),
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="With --auto: longest search, as in 90s or 2min (2min, or none with --candidates)."
        ),
    ] = None,
    candidates: Annotated[int | None, typer.Option(min=1, help="With --auto: most templates to try.")] = None,
    members: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --auto: most prompts in the ensemble that is saved; 1 saves a single prompt instead."
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --auto: a sentence encoder whose embeddings join the candidates, such as starter:minilm-l6 "
            "(English); then an ensemble is saved in any case.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="With --auto: also write what was tried as HTML.")
    ] = None,
    format: FileFormat = PLAIN,
) -> None:
    """Train a soft prompt, a head or both on rows with labels or answers and save the prompt in a folder.

    Without --verbalizer, a library template uses its own label words; with any other template every label is its
    own word. Run the same command again to resume after an interruption.

    Under torchrun, all processes share the work of one fit, and the first one saves the prompt.

    With --answer-column, the template has an <answer> in place of a mask, and the prompt learns to write the answers of
    the rows; --option saves options of writing with it.

    With --auto, template, label words and head are chosen by cross-validation, and --template is tried first if it is
    given. The folder then holds an ensemble, which the other commands take as well.
    """
    # mistakes in the input are reported first: the imports below take seconds, and training minutes
    if auto:
        validate_one_process("fit --auto")
    _validate_options(context, template, auto=auto, writes=answer_column is not None)
    if report is not None:
        validate_page(report, file)
    words = read_verbalizer(verbalizer, None if auto else template)
    options = read_chat_options(chat_options)
    parsed = resolve_template(template) if template is not None else None
    given: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate}
    if parsed is not None and soft_init:
        given["soft_init"] = read_soft_init(soft_init, parsed)
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if parsed is not None and answer_column is not None:
        fit_generator(
            open_table(file, format),
            out,
            model,
            parsed,
            Columns(answer_column, text_column or []),
            part_size,
            quantize=quantize,
            options=read_options(option) or None,
            demonstrations=demonstrations,
            batch_size=batch_size,
            max_length=max_length,
            chat_options=options,
            random_state=seed,
            **chosen,
        )
        return
    if parsed is not None and parsed.answer is not None:
        raise CommandError(
            "the template writes text at <answer>: name the column of the answers with --answer-column, or put a "
            "<mask> in its place to choose among labels"
        )
    table = open_table(file, format)
    labels = table.labels(label_column, known_labels(words), fewest=2)
    columns = text_column or []
    if parsed is None:
        examples = read_texts(table, columns, others=(label_column, weight_column))
    elif len(columns) > 1:
        raise CommandError("--text-column is given more than once, and a template names its columns by its fields")
    else:
        examples = table.examples([parsed], columns[0] if columns else None)
        if auto:  # whose general wordings show all that an example has
            examples = [parsed.read_fields(example) for example in examples]
    if features == "mean" and head not in ("linear", "words+linear"):
        raise CommandError(f"--features mean is for --head linear or words+linear, and the head is {head}")
    by_class = read_class_weight(class_weight)
    if isinstance(by_class, dict) and (unknown := {*by_class} - {*labels, *(known_labels(words) or ())}):
        raise CommandError(
            f"--class-weight has {min(map(str, unknown))!r}, and the labels are {quoted_list(sorted({*labels}))}"
        )
    of_classes: dict[str, Any] = {"class_weight": by_class} if class_weight is not None else {}
    weights = table.weights(weight_column) if weight_column is not None else None

    if parsed is not None:
        warn_of_findings(parsed, table.columns, words, labels)
    if shots is not None:
        from softcloze.data import few_shot

        drawn = few_shot(labels, shots, seed)
        examples, labels = [examples[i] for i in drawn], [labels[i] for i in drawn]
        weights = [weights[i] for i in drawn] if weights is not None else None
    if auto:
        fit_automatically(
            TrainingRows(examples, labels, weights),
            out,
            model,
            report,
            budget=budget if budget is not None or candidates is not None else "2min",
            members=members,
            encoder=encoder,
            verbalizer=words,
            templates=[] if parsed is None else [parsed],
            candidates=candidates,
            max_length=max_length,
            chat_options=options,
            random_state=seed,
            **of_classes,
        )
        return
    folder = PROMPT.validate_target(out)
    progress = progress_folder(folder)
    validate_writable(progress, folder=True)
    warn_of_language(model, examples)

    from softcloze.classifiers import PromptClassifier
    from softcloze.prompt import BoundPrompt

    classifier = PromptClassifier(
        open_backbone(model, quantize=quantize),
        parsed,
        words,
        head=head,
        features=features,
        demonstrations=demonstrations,
        calibration=calibration if calibration != "none" else None,
        batch_size=batch_size,
        max_length=max_length,
        chat_options=options,
        random_state=seed,
        **chosen,
        **of_classes,
    )
    work = f"training on {len(examples):,} rows"
    with explain_interruption(folder / CARD, progress):
        with reported_training(work, classifier.epochs, progress, part_size) as reported:
            classifier.set_params(**reported).fit(examples, labels, weights)
        if process_rank() > 0:  # the first process saves the prompt
            return
        if hasattr(classifier, "exact_"):
            least = classifier.exact_.log_losses[classifier.exact_.strengths == classifier.exact_.strength]
            say(
                errors(),
                f"linear layer of L2 strength {classifier.exact_.strength:.2g}: log loss {least[0]:.3f} nats on "
                "rows left out in cross-validation",
            )
        save(classifier, folder)
        for finding in classifier.check().findings:
            if finding.code == "one-sided":
                warn(f"{finding.message}; {finding.advice}")
        with suppress(OSError):  # the progress of another fit stays
            progress.rmdir()
        say_training_accuracy(BoundPrompt(classifier.prompt_, classifier.backbone_), examples, labels, out)


def _validate_options(context: typer.Context, template: str | None, *, auto: bool, writes: bool) -> None:
    """Raise CommandError for an option that does not belong to this way to fit, or a template that is missing."""
    for name, flag in given_options(context).items():
        if writes and name not in OF_ANSWERS:
            raise CommandError(
                f"--answer-column trains a prompt that writes, and {flag} is for prompts with labels; leave one of the "
                "two out"
            )
        if name == "option" and not writes:
            raise CommandError("--option is for prompts that write; add --answer-column, or leave it out")
        if name in OF_BOTH or writes or (name in WITH_AUTO_ALONE) == auto:
            continue
        if auto:
            raise CommandError(f"--auto chooses for itself and does not take {flag}; leave one of the two out")
        raise CommandError(f"{flag} is for --auto; add --auto, or leave it out")
    if template is None and writes:
        raise CommandError("--answer-column needs a template with an <answer>: give one with --template")
    if template is None and not auto:
        raise CommandError(
            "fit needs a template: give one with --template, or --auto to have template, label words and head chosen"
        )
