"""softcloze export-peft: write a saved prompt as an adapter of PEFT."""

from pathlib import Path
from typing import Annotated

import typer

from softcloze.cli.console import plain, results, say
from softcloze.cli.options import OtherModelOption
from softcloze.cli.saved import Saved
from softcloze.errors import CommandError
from softcloze.files import expand_user, validate_new_folder


def export_peft(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a saved prompt.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder for the adapter.")],
    model: OtherModelOption = None,
) -> None:
    """Write a saved prompt as a prompt tuning adapter, which PEFT loads.

    All that precedes the first field becomes vectors: special tokens, words and soft slots. README.md in the new folder
    has the text that follows them, and code that computes the probabilities or, for a generator, that writes.
    """
    out = expand_user(out)
    saved = Saved.read(folder)
    if saved.is_ensemble:
        first = f"; give {saved.prompts[0].folder}" if saved.prompts else ""
        raise CommandError(f"{folder} is an ensemble, and an adapter holds one prompt{first}")
    if saved.model is None:
        raise CommandError(f"{folder} is a probe on sentence embeddings, and an adapter holds a prompt")
    validate_new_folder(out)

    from softcloze.prompt import GeneratorPrompt, Prompt

    prompt = saved.load()
    assert isinstance(prompt, Prompt | GeneratorPrompt)
    prompt.to_peft(out, saved.open_backbone(model))
    say(results(), "saved in ", plain(out, "bold"), "; README.md there says how to run it")
