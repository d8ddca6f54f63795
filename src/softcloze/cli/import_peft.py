"""softcloze import-peft: save an adapter that PEFT trained as a prompt."""

from pathlib import Path
from typing import Annotated

import typer

from softcloze.cli.console import plain, results, say
from softcloze.cli.options import ESCAPES, ModelOption, read_escapes, read_verbalizer
from softcloze.cli.progress import open_backbone
from softcloze.errors import CommandError
from softcloze.library import resolve_verbalizer
from softcloze.prompt.card import PROMPT
from softcloze.prompt.generator_card import GENERATOR
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
            callback=read_escapes,
            help='Template after the vectors, as in "<text> It was <mask>", or "<text>\\n<answer>\\n" for a generator; '
            + ESCAPES,
        ),
    ],
    verbalizer: Annotated[
        str | None,
        typer.Option(
            help="Label words of a <mask>: a name in the library, a .json or .toml file, or JSON as in "
            '{"happy": "good", "sad": "bad"}.'
        ),
    ] = None,
    model: ModelOption = "starter:smollm2-135m",
    task: Annotated[
        int | None, typer.Option(help="Index of the task, counted from 0, of an adapter of several tasks.")
    ] = None,
) -> None:
    """Save an adapter of PEFT as a prompt: prompt tuning, P-tuning, multitask or prefix tuning.

    PEFT puts its vectors in front of all tokens, and so does the prompt; the tail is the text that it was trained with.
    A tail with <answer> makes a prompt that writes.
    """
    writes = Template(tail).answer is not None
    if writes == (verbalizer is not None):
        raise CommandError(
            "a template with <answer> has no label words; leave --verbalizer out"
            if writes
            else "a template with <mask> has label words; give --verbalizer"
        )
    words = resolve_verbalizer(read_verbalizer(verbalizer)) if verbalizer is not None else None
    (GENERATOR if writes else PROMPT).validate_target(out)

    from softcloze.prompt import BoundGenerator, BoundPrompt, GeneratorPrompt, Prompt

    backbone = open_backbone(model)
    prompt: Prompt | GeneratorPrompt
    if isinstance(words, Verbalizer):
        prompt = Prompt.from_peft(folder, tail, words, backbone, task)
        BoundPrompt(prompt, backbone)  # raises for label words that do not fit
    else:
        prompt = GeneratorPrompt.from_peft(folder, tail, backbone, task)
        BoundGenerator(prompt, backbone)  # raises for an answer that the model cannot write
    prompt.save(out)
    say(results(), plain(str(prompt.template), "bold"), "; saved in ", plain(out, "bold"))
