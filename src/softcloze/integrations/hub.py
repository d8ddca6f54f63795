"""Hugging Face hub: publish a saved prompt with a model card, in one commit. Its client comes with transformers."""

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from softcloze.errors import ArtifactError, ParameterError
from softcloze.formatting import counted, quoted, quoted_list
from softcloze.parameters import BOOLEAN, NONE, NUMBER, TEXT, Constraint, validate_parameters
from softcloze.prompt.hub import CARDS, REPOSITORY, HubLocation, explain_hub_errors, is_artifact
from softcloze.prompt.model_card import example_count, model_card
from softcloze.prompt.saved import SavedCards

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

README = "README.md"
_MAY_EXIST = (README, "LICENSE", "LICENSE.md", "LICENSE.txt")  # in a repository without a prompt


def _matching(pattern: str, expected: str) -> Constraint:
    return Constraint(expected, lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value, re.ASCII)))


_LANGUAGE = _matching(r"[a-z]{2,12}(-[A-Za-z]+)?", "codes of languages, as in ['en', 'zh']")
_CONSTRAINTS = {
    "repository": TEXT,
    "private": BOOLEAN,
    "tag": _matching(r"(?!.*(\.\.|//))\w[\w./-]{0,99}(?<![./])", "the name of a tag, as in 'v1'") | NONE,
    "include_examples": BOOLEAN,
    "license": _matching(r"[\w.-]{1,50}", "the code of a licence, as in 'apache-2.0'") | NONE,
}


class _Saveable(Protocol):
    def save(self, path: str | PathLike[str], /) -> None:
        """Write a folder."""


def push_to_hub(
    prompt: "_Saveable | str | PathLike[str]",
    repository: str,
    *,
    private: bool = True,
    tag: str | None = None,
    include_examples: bool = False,
    metrics: Mapping[str, float] | None = None,
    language: str | Sequence[str] = (),
    license: str | None = None,
) -> str:
    """Publish a saved prompt, probe, ensemble or generator in a repository of a hub.

    One commit replaces the files of the prompt that the repository holds, and its README.md by a generated model card;
    all other files stay. Only the files of the prompt are sent, whatever else is in its folder. The model is not sent.
    The card of the prompt is public with it: it names the model as it was loaded, so that the path of a model's folder
    can be read there.

    Args:
        prompt: a `Prompt`, `Probe`, `GeneratorPrompt`, fitted classifier, ensemble or generator, or a folder of one.
        repository: its name, as in "user/name"; it is created if it does not exist.
        private: whether only you can read it. A repository that is public already is not written to by default.
        tag: a new tag for the commit, as in "v1".
        include_examples: publish the demonstrations too. They are rows of your training data.
        metrics: measured values by name, for the model card; they add to those of the saved prompt.
        language: the language of the texts, or several, as codes for the model card.
        license: code of the licence for the model card.

    Returns:
        The location with the commit, as in "hf://user/name@3f2c…", which every `load` takes.

    Raises:
        ParameterError: a parameter is wrong; or the prompt holds training rows and `include_examples` is False.
        ArtifactError: the folder is damaged; the repository is public, holds something else or has the tag already;
            the hub turns the login away or cannot be reached.

    Example:
        ```python
        push_to_hub("my-prompt", "user/reviews", tag="v1")  # 'hf://user/reviews@3f2c9a...'
        ```
    """
    languages = [language] if isinstance(language, str) else [*language]
    values = {"repository": repository, "private": private, "tag": tag, "license": license}
    validate_parameters({**values, "include_examples": include_examples}, _CONSTRAINTS)
    for code in languages:
        validate_parameters({"language": code}, {"language": _LANGUAGE})
    measured = dict(metrics) if metrics is not None else {}
    for metric, value in measured.items():
        validate_parameters({f"metrics[{metric!r}]": value}, {f"metrics[{metric!r}]": NUMBER})
    name = repository.removeprefix("hf://")
    if not REPOSITORY.fullmatch(name):
        raise ParameterError(f"repository={quoted(repository, 100)}, but it has to be as in 'user/name'")
    with TemporaryDirectory(prefix="softcloze-") as aside:
        cards = _read(prompt, Path(aside) / "prompt")
        count = example_count(cards)
        if count and not include_examples:
            raise ParameterError(
                f"the {cards.kind} holds {counted(count, 'training row')} for its demonstrations, which would be "
                "published; pass include_examples=True (softcloze push --include-examples) if others may read them, "
                "or fit without demonstrations"
            )
        files = cards.files()
        location = f"hf://{name}" + (f"@{tag}" if tag is not None else "")
        text = model_card(cards, location, metrics=measured, language=languages, license=license)
        return _commit(HubLocation(name), {**files, README: text.encode()}, private=private, tag=tag)


def _read(prompt: "_Saveable | str | PathLike[str]", folder: Path) -> SavedCards:
    """The cards of a folder, or of what is saved in a new one."""
    if isinstance(prompt, str | PathLike):
        return SavedCards.read(prompt)
    if not callable(getattr(prompt, "save", None)):
        raise ParameterError(
            f"prompt={quoted(prompt)}, but it has to be a prompt, a fitted classifier or a folder with one of them"
        )
    prompt.save(folder)
    return SavedCards.read(folder)


def _commit(location: HubLocation, files: Mapping[str, bytes], *, private: bool, tag: str | None) -> str:
    """Write files in one commit, and return the location with it."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    repository, api = location.repository, HfApi()
    with explain_hub_errors(f"cannot push to {location}", location):
        api.create_repo(repository, private=private, exist_ok=True)
        found = api.model_info(repository)
        names = [file.rfilename for file in found.siblings or ()]
        _validate_target(api, found, names, private=private, tag=tag)
        added = [CommitOperationAdd(path, content) for path, content in files.items()]
        old = [CommitOperationDelete(path) for path in names if is_artifact(path) and path not in files]
        commit = api.create_commit(
            repository, [*old, *added], commit_message="Save a prompt of softcloze", parent_commit=found.sha
        )
        if tag is not None:
            api.create_tag(repository, tag=tag, revision=commit.oid)
    return str(HubLocation(repository, commit.oid))


def _validate_target(api: "HfApi", found: "ModelInfo", names: list[str], *, private: bool, tag: str | None) -> None:
    """Raise ArtifactError if a repository shall not be written to, before anything is."""
    if private and not found.private:
        raise ArtifactError(
            f"the repository {found.id} is public already; pass private=False (softcloze push --public) to publish "
            "there, or make it private on its page"
        )
    others = [name for name in names if not name.startswith(".") and name not in _MAY_EXIST]
    if others and not {*names} & {*CARDS}:
        raise ArtifactError(
            f"the repository {found.id} holds {quoted_list(others, 3)} and no saved prompt; choose another repository"
        )
    if tag is not None and any(known.name == tag for known in api.list_repo_refs(found.id).tags):
        raise ArtifactError(f"the repository {found.id} has a tag {tag!r} already; choose another tag")
