"""An ensemble as a folder: a JSON card, and one prompt's folder for each member."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from softcloze.atomic import replacing_folder
from softcloze.card import ArtifactError, read_card, write_card
from softcloze.ensemble.combination import Combination, Weights, load_combination
from softcloze.prompt import CARD as PROMPT_CARD
from softcloze.prompt import Prompt

CARD = "ensemble.json"


def write_ensemble(folder: Path, prompts: Sequence[Prompt], combination: Combination, weights: Weights) -> None:
    """Write `ensemble.json` and the prompts, all at once; an ensemble that is there already is replaced.

    Raises:
        ArtifactError: something else is at `folder`.
    """
    if folder.exists() and not (folder / CARD).is_file():
        raise ArtifactError(f"{folder} is there already and holds no ensemble; choose another place")
    with replacing_folder(folder) as draft:
        names = [f"prompt-{number}" for number in range(len(prompts))]
        for name, prompt in zip(names, prompts, strict=True):
            prompt.save(draft / name)
        card = {
            "weights": weights,
            "combination": combination.as_card(),
            "members": {name: _digest_of_file(draft / name / PROMPT_CARD) for name in names},
        }
        write_card(draft / CARD, card)


def read_ensemble(folder: Path) -> tuple[list[Path], Combination, Weights]:
    """The members' folders, how they are combined, and the parameter that said so.

    Raises:
        ArtifactError: a file is missing or altered, or was written by a later version; names it.
    """
    card = read_card(folder / CARD, "ensemble")
    for name, stated in card["members"].items():
        try:
            found = _digest_of_file(folder / name / PROMPT_CARD)
        except OSError as error:
            raise ArtifactError(f"{folder} lacks a member: cannot read {error.filename}") from error
        if found != stated:
            raise ArtifactError(f"{folder / name} is not the prompt that was saved with this ensemble")
    return [folder / name for name in card["members"]], load_combination(card["combination"]), card["weights"]


def _digest_of_file(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
