"""--soft-init: saved prompts whose soft blocks a fit starts from."""

from collections.abc import Sequence
from typing import Annotated

import typer

from softcloze.cli.saved import Saved
from softcloze.errors import CommandError
from softcloze.formatting import did_you_mean, quoted_list
from softcloze.template import Template

SoftInitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--soft-init",
        metavar="FOLDER",
        help="A saved prompt: each soft slot starts from its block of the same name=; BLOCK=FOLDER for one block. May "
        "be repeated.",
    ),
]


def read_soft_init(given: Sequence[str] | None, template: Template) -> dict[str, str] | list[str] | None:
    """Read --soft-init, and the cards of the prompts that it names.

    Returns:
        A folder for each block that is named, or the folders alone; None for none.

    Raises:
        CommandError: the template has no block with a name, or not that one; a block is given twice, or named for one
            folder and not for another.
        ArtifactError: a folder is not a saved prompt.
    """
    if not given:
        return None
    names = [block.key for block in template.blocks if not block.key.startswith("#")]
    if not names:
        raise CommandError(
            "--soft-init is for slots with a name, and the template has none; add one, as in <soft*10 name=task>"
        )
    folders: list[str] = []
    by_block: dict[str, str] = {}
    for item in given:
        block, equals, folder = item.partition("=")
        if not equals or "/" in block:  # a folder may have such a name
            folders.append(item)
        elif block not in names:
            raise CommandError(
                f"--soft-init {item} is for the block {block!r}, and the blocks with a name in the template are "
                f"{quoted_list(names)}{did_you_mean(block, names)}"
            )
        elif block in by_block:
            raise CommandError(f"--soft-init {block}=… is given twice")
        else:
            by_block[block] = folder
    if folders and by_block:
        raise CommandError(
            f"--soft-init names the block {next(iter(by_block))!r}, and none for {folders[0]}; write BLOCK=FOLDER "
            "for all"
        )
    for folder in (*folders, *by_block.values()):
        Saved.read(folder)
    return by_block or folders
