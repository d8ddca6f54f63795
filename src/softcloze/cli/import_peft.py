"""softcloze import-peft: save an adapter that PEFT trained as a prompt."""

from pathlib import Path
from typing import Annotated

import typer

from softcloze.cli.console import plain, results, say
from softcloze.cli.options import ESCAPES, ModelOption, read_escapes, read_verbalizer
from softcloze.cli.progress import open_backbone
from softcloze.library import resolve_verbalizer
from softcloze.prompt.card import PROMPT
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer


def import_peft(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of an adapter.")],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the saved prompt, which replaces an earlier one there.")
    ],
    tail: Annotated[
        str,
        typer.Option(
            callback=read_escapes, help=f'Template after the vectors, as in "<text> It was <mask>"; {ESCAPES}'
        ),
    ],
    verbalizer: Annotated[
        str,
        typer.Option(
            help="Label words: a name in the library, a .json or .toml file, or JSON as in "
            '{"happy": "good", "sad": "bad"}.'
        ),
    ],
    model: ModelOption = "starter:smollm2-135m",
    task: Annotated[
        int | None, typer.Option(help="Index of the task, counted from 0, of an adapter of several tasks.")
    ] = None,
) -> None:
    """Save an adapter of PEFT as a prompt: prompt tuning, P-tuning, multitask or prefix tuning.

    PEFT puts its vectors in front of all tokens, and so does the prompt; the tail is the text that it was trained with.
    """
    Template(tail)
    words = resolve_verbalizer(read_verbalizer(verbalizer))
    assert isinstance(words, Verbalizer)
    PROMPT.validate_target(out)

    from softcloze.prompt import BoundPrompt, Prompt

    backbone = open_backbone(model)
    prompt = Prompt.from_peft(folder, tail, words, backbone, task)
    BoundPrompt(prompt, backbone)  # raises for label words that do not fit
    prompt.save(out)
    say(results(), plain(str(prompt.template), "bold"), "; saved in ", plain(out, "bold"))
