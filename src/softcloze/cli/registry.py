"""softcloze registry: keep versions of prompts in a folder, and move aliases between them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softcloze.cli.console import plain, results, say
from softcloze.cli.example import read_fields
from softcloze.cli.options import OtherModelOption, parse
from softcloze.cli.saved import Saved
from softcloze.display import Column, Styled, Table, rich_table
from softcloze.errors import ArtifactError, CommandError
from softcloze.formatting import abbreviate, counted
from softcloze.registry import LIVE, Change, Registry, Version
from softcloze.registry.examples import read_examples
from softcloze.registry.promotion import default_example

if TYPE_CHECKING:
    from softcloze.backbone import Backbone

RegistryArgument = Annotated[Path, typer.Argument(metavar="REGISTRY", help="Folder of the registry.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the prompt, as in reviews.")]
AliasOption = Annotated[str, typer.Option(metavar="NAME", help="The alias that moves; a new one is created.")]
NoteOption = Annotated[str, typer.Option(metavar="TEXT", help="The reason, one line for the history.")]


def registry_add(
    registry: RegistryArgument,
    name: NameArgument,
    prompt: Annotated[
        Path, typer.Option("--prompt", metavar="FOLDER", help="Folder of a saved prompt, probe, ensemble or generator.")
    ],
    note: NoteOption = "",
    example: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A text to try, which the page of the service shows to everyone; a JSON object for several fields. "
            "May be repeated.",
        ),
    ] = None,
) -> None:
    """Add a saved prompt as a new version, whose number is printed; no alias moves.

    The same content again is the version that exists. The registry is created if it does not exist.

    softcloze registry add prompts reviews --prompt my-prompt --note "more reviews of books" --example "A delight."
    """
    opened = Registry(registry)
    saved = Saved.read(prompt)
    examples = _examples(example, saved) if example else []
    before = opened.versions(name) if opened.folder.exists() and name in opened.names() else ()
    version = opened.add(saved.folder, name, note, examples)
    state = " has this content already" if version in before else " added"
    say(results(), plain(version, "bold"), state, "; in ", plain(version.path))


def registry_list(
    registry: RegistryArgument,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show the versions and the history of this prompt.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the prompts with their aliases, or the versions and the history of one.

    softcloze registry list prompts reviews
    """
    opened = Registry(registry)
    if name is not None:
        opened.versions(name)  # raises for an unknown name
    prompts = [_facts(opened, listed) for listed in (opened.names() if name is None else [name])]
    if as_json:
        typer.echo(json.dumps(prompts if name is None else prompts[0], indent=2))  # in ASCII: any terminal has it
        return
    console = results()
    if name is None:
        console.print(rich_table(_names_table(prompts)))
        return
    console.print(rich_table(_versions_table(prompts[0])))
    console.print(rich_table(_history_table(prompts[0])))


def registry_promote(
    registry: RegistryArgument,
    reference: Annotated[str, typer.Argument(metavar="NAME@N", help="The version, as in reviews@3 or reviews@canary.")],
    alias: AliasOption = LIVE,
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="Load the model, and score one row first; --model and --field do so as well."),
    ] = False,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="A field of that row; NAME:=JSON for a number or a list."),
    ] = None,
    model: OtherModelOption = None,
    model_changed: Annotated[
        bool, typer.Option("--model-changed", help="Take a version of another model than the live one.")
    ] = False,
    labels_changed: Annotated[
        bool, typer.Option("--labels-changed", help="Take a version with other labels than the live one.")
    ] = False,
    note: NoteOption = "",
) -> None:
    """Let an alias name another version: it has to load, with the model and the labels of the live one.

    softcloze registry promote prompts reviews@4 --smoke
    """
    opened = Registry(registry)
    fields = read_fields(field) if field else None
    version = opened.validate_promotion(
        reference, alias, model_changed=model_changed, labels_changed=labels_changed
    )  # before a model is loaded
    needs_model = smoke or fields is not None or model is not None
    before = opened.aliases(version.name).get(alias)
    promoted = opened.promote(
        str(version),
        alias,
        backbone=_backbone(version, model) if needs_model else None,
        example=fields,
        smoke=needs_model,
        model_changed=model_changed,
        labels_changed=labels_changed,
        note=note,
    )
    _say_moved(promoted, alias, before)


def registry_rollback(
    registry: RegistryArgument,
    name: NameArgument,
    alias: AliasOption = LIVE,
    note: NoteOption = "",
) -> None:
    """Let an alias name the version that it named before the last promotion; again, the one before that.

    softcloze registry rollback prompts reviews --note "too many complaints"
    """
    opened = Registry(registry)
    reference = f"{name}@{alias}" if "@" not in name else name
    before = opened.resolve(reference)
    _say_moved(opened.rollback(reference, note), reference.partition("@")[2], before.number)


def registry_remove(
    registry: RegistryArgument,
    reference: Annotated[
        str, typer.Argument(metavar="NAME@N", help="A version, as in reviews@3, or an alias, as in reviews@canary.")
    ],
    note: NoteOption = "",
) -> None:
    """Remove a version that no alias names, or an alias, whose version stays. Numbers are never used again.

    softcloze registry remove prompts reviews@2
    """
    Registry(registry).remove(reference, note)
    say(results(), plain(reference, "bold"), " removed")


def registry_check(registry: RegistryArgument) -> None:
    """Check that every version loads, every alias names one, and every line of a history is a change.

    Prints all faults, each with its path, and exits with 1 if there are any.

    softcloze registry check prompts
    """
    opened = Registry(registry)
    faults = opened.check()
    console = results()
    for fault in faults:
        say(
            console,
            *((plain(fault.path, "bold"), ": ") if str(fault.path) not in fault.problem else ()),
            plain(fault.problem),
        )
    names = opened.names()
    versions = sum(len(opened.versions(name)) for name in names)
    say(
        console,
        f"{counted(len(faults), 'fault') if faults else 'nothing found'} in ",
        counted(versions, "version"),
        " of ",
        counted(len(names), "prompt"),
    )
    if faults:
        raise typer.Exit(1)


def _backbone(version: Version, model: str | None) -> "Backbone | None":
    """Load the models of a version: the backbone, None for a probe, and the files of the encoder."""
    saved = Saved.read(version.path)
    saved.fetch_encoder()
    return saved.open_backbone(model) if saved.model is not None else None


def _examples(given: list[str], saved: Saved) -> list[Any]:
    """Examples as they are given: texts where the template has one field, and objects of JSON where it has several."""
    if len(default_example(saved)) == 1:
        return [*given]
    return [parse(text, ".json", "--example", CommandError) for text in given]


def _say_moved(version: Version, alias: str, before: int | None) -> None:
    was = "none" if before is None else f"{version.name}@{before}"
    say(results(), plain(f"{version.name}@{alias}", "bold"), f": {was} → {version}")


def _facts(registry: Registry, name: str) -> dict[str, Any]:
    """All that is known of a prompt, as JSON has it; a version whose card is damaged has an error in place of facts."""
    aliases, history = registry.aliases(name), registry.history(name)
    added = {change.after: change for change in history if change.action == "add"}
    return {
        "name": name,
        "aliases": aliases,
        "versions": [_version_facts(version, aliases, added) for version in registry.versions(name)],
        "history": [asdict(change) for change in history],
    }


def _version_facts(version: Version, aliases: Mapping[str, int], added: Mapping[int | None, Change]) -> dict[str, Any]:
    change = added.get(version.number)
    facts: dict[str, Any] = {
        "number": version.number,
        "aliases": [alias for alias, number in aliases.items() if number == version.number],
        "when": None if change is None else change.when,
        "who": None if change is None else change.who,
        "note": "" if change is None else change.note,
    }
    try:
        cards, examples = Saved.read(version.path), read_examples(version.path)
    except ArtifactError as error:
        return {**facts, "error": str(error)}
    return {
        **facts,
        "kind": cards.kind,
        "model": cards.model,
        "encoder": cards.encoder,
        "labels": list(cards.labels),
        "descriptions": [member.description for member in cards.members],
        "examples": list(examples),
    }


def _names_table(prompts: list[dict[str, Any]]) -> Table:
    newest = [prompt["versions"][-1] for prompt in prompts]
    return Table(
        [
            Column("prompt", [prompt["name"] for prompt in prompts], wrap="never", style="bold"),
            Column("versions", [str(len(prompt["versions"])) for prompt in prompts], is_number=True),
            Column("newest", [str(version["number"]) for version in newest], is_number=True),
            Column("aliases", [[*_alias_lines(prompt["aliases"])] or "" for prompt in prompts], wrap="never"),
            Column("labels", [_labels(version) for version in newest]),
        ]
    )


def _alias_lines(aliases: Mapping[str, int]) -> Iterator[str]:
    for alias, number in aliases.items():
        yield f"{alias} {number}"


def _labels(version: Mapping[str, Any]) -> str | Styled:
    if "error" in version:
        return Styled("damaged; see softcloze registry check", "red")
    return "writes text" if version["kind"] == "generator" else abbreviate(", ".join(map(str, version["labels"])), 60)


def _versions_table(prompt: Mapping[str, Any]) -> Table:
    versions = prompt["versions"]
    return Table(
        [
            Column("version", [f"{prompt['name']}@{version['number']}" for version in versions], wrap="never"),
            Column("aliases", [Styled(" ".join(version["aliases"]), "bold") for version in versions], wrap="never"),
            Column("prompt", [[*_prompt_lines(version)] for version in versions]),
            Column("added", [[*_added_lines(version)] for version in versions]),
        ]
    )


def _prompt_lines(version: Mapping[str, Any]) -> Iterator[str | Styled]:
    if "error" in version:
        yield Styled(version["error"], "red")
        return
    if version["kind"] == "ensemble":
        yield f"ensemble of {len(version['descriptions'])}"
    for description in version["descriptions"][:3]:
        yield abbreviate(description, 200)
    models = " and ".join(name for name in (version["model"], version["encoder"]) if name is not None)
    yield Styled(f"{models}; {_labels(version)}", "dim")


def _added_lines(version: Mapping[str, Any]) -> Iterator[str | Styled]:
    if version["note"]:
        yield version["note"]
    if version["when"] is not None:
        yield Styled(f"{version['when'][:16].replace('T', ' ')} UTC, {version['who']}", "dim")


def _history_table(prompt: Mapping[str, Any]) -> Table:
    changes = prompt["history"]
    return Table(
        [
            Column("when (UTC)", [change["when"][:19].replace("T", " ") for change in changes], wrap="never"),
            Column("who", [change["who"] for change in changes], wrap="never"),
            Column("change", [_change_text(change) for change in changes], wrap="never"),
            Column("note", [change["note"] for change in changes]),
        ],
        title="history",
    )


def _change_text(change: Mapping[str, Any]) -> str:
    if change["alias"] is None:
        return f"{change['action']} {change['after'] or change['before']}"
    steps = " → ".join("none" if number is None else str(number) for number in (change["before"], change["after"]))
    return f"{change['action']} {change['alias']} {steps}"
