"""Options that several commands share, and the parsing of their values."""

import json
import os
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal

import typer

from softcloze.cli.file_format import Source
from softcloze.cli.sources import explain_read_errors
from softcloze.errors import CommandError, FileError, VerbalizerError
from softcloze.files import expand_user, unique_keys
from softcloze.library import load_template, load_verbalizer, resolve_verbalizer
from softcloze.library.lookup import is_name
from softcloze.parameters import POSITIVE
from softcloze.template import CHAT_OPTIONS, ChatOptions
from softcloze.verbalizer import Label, Verbalizer

FILE_HELP = "A file of rows, - for standard input, or a data set of Hugging Face as hf:NAME."
OUT_HELP = "Output with all rows: a .csv, .tsv, .jsonl or .parquet file, or - for JSON lines on standard output."
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help=FILE_HELP)]
PromptOption = Annotated[
    Path, typer.Option("--prompt", metavar="FOLDER", help="Folder of a saved prompt, probe, ensemble or generator.")
]
TextOption = Annotated[
    str | None,
    typer.Option(
        "--text-column", help="Column for the only field of the template; by default the column of the same name."
    ),
]
LabelOption = Annotated[str, typer.Option("--label-column", help="Column with the labels.")]
ReportOption = Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Also write an HTML report.")]
EpochsOption = Annotated[
    int | None,
    typer.Option("--epochs", help="Passes over the training rows, at most; by default 3, or 10 over answers."),
]
LearningRateOption = Annotated[
    float | None,
    typer.Option(
        "--learning-rate",
        help="Highest learning rate, in units of the root mean square of the embeddings; by default 0.04, or 0.3 for "
        "answers.",
    ),
]


def given_options(context: typer.Context) -> dict[str, str]:
    """The parameters that are given and not left at their default: name to option."""
    sources = {name: context.get_parameter_source(name) for name in sorted(context.params)}
    return {
        name: f"--{name.replace('_', '-')}"
        for name, source in sources.items()
        if source is not None and source.name != "DEFAULT"
    }


def read_escapes(template: Any) -> Any:  # noqa: ANN401 - the value of an option, which may be a list or None
    r"""Read `\n` and `\t` in a template as a line end and a tab, since a shell does not; `\\n` stays `\n`.

    >>> read_escapes(r"Review: <text>\nSentiment: <mask>"), read_escapes(r"\\nu <mask>")
    ('Review: <text>\nSentiment: <mask>', '\\nu <mask>')
    """
    if isinstance(template, list):
        return [*map(read_escapes, template)]

    def unescape(match: re.Match[str]) -> str:
        pairs, is_escape = divmod(len(match[1]), 2)
        return "\\" * pairs + ({"n": "\n", "t": "\t"}[match[2]] if is_escape else match[2])

    return re.sub(r"(\\+)([nt])", unescape, template) if isinstance(template, str) else template


ESCAPES = r"\n and \t in it are a line end and a tab."
"""The end of the help of templates."""
TemplateOption = Annotated[
    str, typer.Option("--template", callback=read_escapes, help=f"A template, or its name in the library; {ESCAPES}")
]
OptionalTemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        callback=read_escapes,
        help=f"A template, or its name in the library; {ESCAPES} With --auto it is tried first.",
    ),
]
VerbalizerOption = Annotated[
    str | None,
    typer.Option(
        help='Label words: a name in the library, a .json or .toml file, or JSON as in {"happy": "good", "sad": "bad"}.'
    ),
]
ModelOption = Annotated[str, typer.Option(help="starter:NAME, a name on a hub, a folder, or a .gguf file.")]
QuantizeOption = Annotated[
    Literal["int8", "nf4"] | None,
    typer.Option(
        help="Weights of the model in 8 bits (int8) or 4 (nf4), which saves memory and needs torchao or "
        "bitsandbytes. The saved prompt loads the model in the same form."
    ),
]
ChatOptionsOption = Annotated[
    str | None,
    typer.Option(
        "--chat-options",
        metavar="JSON",
        help='Options of the tokenizer\'s chat template, for a template with chat turns, as in {"date": "2026-07-26"}.',
    ),
]
OtherEncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder", help="Name or path of the sentence encoder now, if it moved since the ensemble was saved."
    ),
]
OtherModelOption = Annotated[
    str | None, typer.Option("--model", help="Name or path of the model now, if it moved since the prompt was saved.")
]


# names of registries that are slow to import; tests compare them
Selection = Literal["random", "nearest"]
HeadName = Literal["words", "warp", "linear", "words+linear", "prototypes"]
# typer takes lists of enums, but not of literals
Calibration = StrEnum("Calibration", ["contextual", "domain", "pmi", "batch", "labels", "prototypical", "temperature"])
Baseline = StrEnum(
    "Baseline",
    {
        "tf_idf": "tf-idf",
        "embeddings": "embeddings",
        "setfit": "setfit",
        "head": "head",
        "fine_tuning": "fine-tuning",
        "lora": "lora",
    },
)
DemonstrationsOption = Annotated[
    Selection,
    typer.Option(
        help="Selection of the rows for <demos>: random (drawn once), or nearest (most similar to each input in the "
        "model's states)."
    ),
]


ClassWeightOption = Annotated[
    str | None,
    typer.Option(
        "--class-weight",
        help='Weights of the classes in training: balanced, none, or JSON from labels to weights as in {"rare": 5}; '
        "by default balanced.",
    ),
]
WeightOption = Annotated[
    str | None, typer.Option("--weight-column", help="Column with the weight of each row in training.")
]
HeadOption = Annotated[
    HeadName,
    typer.Option(
        "--head",
        help="From the output at the mask to label scores: words (label words), linear (a linear layer on the state), "
        "words+linear (both), warp (weights that start from the words) or prototypes (label words and prototypes).",
    ),
]
FeaturesOption = Annotated[
    Literal["mask", "mean"],
    typer.Option(
        "--features",
        help="State that --head linear and words+linear take: mask (at the mask), or mean (over the tokens of all "
        "fields).",
    ),
]
CalibrationOption = Annotated[
    Literal["auto", "none", "contextual", "domain", "pmi", "batch", "labels", "prototypical", "temperature"],
    typer.Option(
        "--calibration",
        help="Calibration of the label scores, learnt from the rows; batch is the safest of a hard prompt, and "
        "auto takes labels for a soft prompt whose label words are far off.",
    ),
]

TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="SOFTCLOZE_TOKEN_FILE",
        help="File with the token that requests must have; or put the token into SOFTCLOZE_TOKEN.",
    ),
]


def read_verbalizer(given: str | None, template: str | None = None) -> Verbalizer | str | None:
    """Read --verbalizer; without it, use the label words of a library template.

    Raises:
        CommandError: JSON that does not parse.
        FileError: a file that cannot be read or does not parse.
        LibraryError: the library has no label words of that name.
        VerbalizerError: label words or settings of them that are wrong; names the file or option.

    >>> read_verbalizer('{"positive": ["good", "fine"], "negative": "bad"}').words
    (('bad',), ('good', 'fine'))
    >>> read_verbalizer(None, template="sentiment/zh-soft")
    'sentiment/zh'
    """
    if given is None:
        return load_template(template).verbalizer if template is not None and is_name(template) else None
    where, words, settings = read_label_words(given)
    if words is None:
        return given
    try:
        return Verbalizer(words, **settings)
    except VerbalizerError as error:
        raise VerbalizerError(f"{where}: {error}") from error


def read_label_words(given: str) -> tuple[str, Any, dict[str, Any]]:
    """Read the label words of --verbalizer, which nothing has validated yet.

    Returns:
        The option or file that they are from, or the name in the library; the words, None for such a name; and the
        settings that a card has for them.
    """
    if given.lstrip().startswith("{"):
        return "--verbalizer", parse(given, ".json", "--verbalizer", CommandError), {}
    suffix = Path(given).suffix.lower()
    if suffix not in (".json", ".toml"):
        load_verbalizer(given)  # a wrong name is reported before a model is fetched
        return given, None, {}
    words = parse(read_text(Path(given)), suffix, given, FileError)
    if isinstance(words, dict) and isinstance(words.get("words"), dict):  # a card of the library
        return given, words["words"], {key: words[key] for key in ("aggregation", "length_norm") if key in words}
    return given, words, {}


def read_chat_options(given: str | None) -> ChatOptions | None:
    """Read --chat-options.

    Raises:
        CommandError: it is not JSON, or not a table of options.

    >>> read_chat_options('{"enable_thinking": true}')
    {'enable_thinking': True}
    """
    if given is None:
        return None
    options: ChatOptions = parse(given, ".json", "--chat-options", CommandError)
    if not CHAT_OPTIONS.holds(options):
        raise CommandError(f"--chat-options is {given!r:.80}, but it has to be {CHAT_OPTIONS.expected}")
    return options


def read_class_weight(given: str | None) -> str | dict[Label, float] | None:
    """Read --class-weight.

    Raises:
        CommandError: neither "balanced" nor "none" nor JSON from labels to weights above 0.

    >>> read_class_weight("balanced"), read_class_weight('{"rare": 5}'), read_class_weight(None)
    ('balanced', {'rare': 5}, None)
    """
    if given is None or given == "balanced":
        return given
    if given == "none":
        return None
    weights = parse(given, ".json", "--class-weight", CommandError)
    if not isinstance(weights, dict) or not all(map(POSITIVE.holds, weights.values())):
        raise CommandError(
            f"--class-weight is {given!r:.80}; expected balanced, none, or JSON from labels to weights above 0, as in "
            '{"rare": 5}'
        )
    return weights


def known_labels(words: Verbalizer | str | None) -> list[str] | None:
    """The labels of a verbalizer or of its name in the library; None without one."""
    verbalizer = resolve_verbalizer(words)
    return None if verbalizer is None else [*map(str, verbalizer.labels)]


def read_text(path: Path) -> str:
    """Read a text file of the user.

    Raises:
        FileError: it cannot be read or is not UTF-8; names it and the command that converts it.
    """
    path = expand_user(path)
    if "\0" in str(path):
        raise FileError(f"{str(path)!r:.80} is not the name of a file: it has a NUL character")

    def convert(encoding: str) -> str:
        converted = path.with_stem(f"{path.stem}-utf8")
        return f"iconv -f {encoding} -t UTF-8 {quote(str(path))} > {quote(str(converted))}"

    with explain_read_errors(Source(path, str(path), "txt"), convert):
        return path.read_text(encoding="utf-8-sig")


def read_token(path: Path | None) -> str | None:
    """The token in a file, or in the environment; an argument would be seen in the list of processes.

    Raises:
        FileError: the file cannot be read, or is empty.
    """
    if path is None:
        return os.environ.get("SOFTCLOZE_TOKEN") or None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read the token in {path}: {error}") from error
    if not token:
        raise FileError(f"{path} is empty; expected a token")
    return token


def validate_budget(given: str | None) -> None:
    """Raise CommandError if --budget is given and is no duration."""
    if given is None:
        return
    from softcloze.automatic.budget import DURATION, parse_duration  # slow to import, with torch

    if parse_duration(given) is None:
        raise CommandError(f"--budget is {given!r:.80}; expected {DURATION}")


def parse(text: str, kind: str, where: str, error: type[CommandError | FileError]) -> Any:  # noqa: ANN401
    """Parse JSON or TOML; raise `error`, which names the place, if it does not parse."""
    try:
        return json.loads(text, object_pairs_hook=unique_keys) if kind == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where} is not {kind[1:].upper()}: {problem}") from problem
