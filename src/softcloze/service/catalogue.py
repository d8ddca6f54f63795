"""The versions that a service answers with, and their replacement while it runs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from softcloze.backbone import Backbone
from softcloze.errors import ArtifactError, SoftclozeError
from softcloze.heads import EXCLUSIVE
from softcloze.prompt import BoundGenerator, GeneratorPrompt, Prompt, PromptSet
from softcloze.registry import LIVE, Registry, State, Version
from softcloze.registry.examples import VersionExample
from softcloze.registry.promotion import default_example
from softcloze.service.answers import RowError
from softcloze.service.generator import ServedGenerator
from softcloze.service.observe import type_and_place
from softcloze.service.settings import ServiceSettings
from softcloze.service.version import Served, ServedVersion
from softcloze.service.wire import PromptAnswer, VersionAnswer

LOG = logging.getLogger("softcloze.service")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The prompts of a registry at one moment; it never changes.

    Attributes:
        aliases: the version of each alias that is served, by the names of prompts; a name without any has faults.
        faults: aliases that are not served as the registry says, and why, by reference.
        state: of the registry when it was read; None before.
        prompts: all versions of prompts, bound to the model; None if there are none.
    """

    aliases: Mapping[str, Mapping[str, Served]] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    state: State | None = None
    prompts: PromptSet | None = None

    @property
    def versions(self) -> dict[str, Served]:
        """The versions by name, as in `reviews@3`, each once."""
        return {served.name: served for aliases in self.aliases.values() for served in aliases.values()}

    def resolve(self, reference: str) -> Served:
        """The version that a reference names.

        Args:
            reference: `reviews` for the alias `live`, `reviews@canary`, or `reviews@3` for a version that an alias
                names; only compared, never a path.

        Raises:
            RowError: there is none.
        """
        name, at, which = reference.partition("@")
        aliases = self.aliases.get(name, {})
        served = aliases.get(which if at else LIVE) or self.versions.get(reference)
        if served is not None:
            return served
        if name not in self.aliases:
            raise RowError(404, "unknown_prompt", "there is no such prompt; see /prompts")
        raise RowError(404, "unknown_version", f"no alias of {name} names such a version; see /prompts/{name}")

    def describe(self, name: str) -> PromptAnswer:
        """The versions and aliases of a prompt that are served.

        Raises:
            RowError: there is no such prompt.
        """
        if name not in self.aliases:
            raise RowError(404, "unknown_prompt", "there is no such prompt; see /prompts")
        aliases = self.aliases[name]
        versions = {served.version.number: served for served in aliases.values()}
        return PromptAnswer(
            prompt_id=name,
            aliases={alias: served.version.number for alias, served in aliases.items()},
            versions=[
                _describe(versions[number], [alias for alias, served in aliases.items() if served is versions[number]])
                for number in sorted(versions)
            ],
            faults=[f"{ref}: {fault}" for ref, fault in self.faults.items() if ref.partition("@")[0] == name],
        )


class Loader:
    """Loads versions of a registry; `load` runs the model and belongs to its thread."""

    def __init__(self, registry: Registry, backbone: Backbone, settings: ServiceSettings):
        """Take a registry, the model, and the settings of the service."""
        self._registry, self._backbone, self._settings = registry, backbone, settings

    def state(self) -> State | None:
        """The state of the registry; None if it cannot be read now, as of a share that is gone."""
        try:
            return self._registry.state()
        except SoftclozeError as error:
            LOG.warning("the registry cannot be read: %s", error)
            return None

    def load(self, before: Catalogue, state: State) -> Catalogue:
        """The catalogue of a registry now.

        Args:
            before: the catalogue until now. Its versions stay bound, and an alias whose new version cannot be served
                keeps its version.
            state: of the registry, read before its files.

        Returns:
            The catalogue: each version that is new in it has scored a row, or written a token.
        """
        known = before.versions
        prompts = before.prompts
        named: dict[str, dict[str, str]] = {}  # versions by the names of prompts and aliases
        faults: dict[str, str] = {}
        for reference in state:
            name, _, alias = reference.partition("@")
            of_prompt = named.setdefault(name, {})
            try:
                version = self._registry.resolve(reference)
                if str(version) not in known:
                    saved = self._registry.load(str(version))
                    if isinstance(saved, GeneratorPrompt):
                        known[str(version)] = self._bind_generator(version, saved)
                    elif isinstance(saved, Prompt):
                        prompts = self._bind(version, saved, prompts)
                        known[str(version)] = ServedVersion(version, *self._facts(version), saved, prompts)
                    else:
                        raise ArtifactError(f"{version} is no single prompt")
                of_prompt[alias] = str(version)
            except Exception as error:  # noqa: BLE001 - one version does not keep the others from being served
                LOG.warning("%s is not served: %s", reference, _as_logged(error))
                faults[reference] = _reason(error)
                if (old := before.aliases.get(name, {}).get(alias)) is not None:
                    of_prompt[alias] = old.name
                    faults[reference] += f"; {old.name} stays"
        served = {version for of_prompt in named.values() for version in of_prompt.values()}
        if prompts is not None:
            unused = [name for name in prompts.prompts if name not in served]
            prompts = prompts.without(*unused) if len(unused) < len(prompts.prompts) else None
        versions = {name: _in(known[name], prompts) for name in served}
        aliases = {
            name: {alias: versions[version] for alias, version in of_prompt.items()}
            for name, of_prompt in named.items()
        }
        return Catalogue(aliases, faults, state, prompts)

    def _facts(self, version: Version) -> tuple[str, tuple[VersionExample, ...]]:
        """The checksum of the card of a version, and its examples."""
        card = self._registry.read(str(version)).card.read_bytes()
        return sha256(card).hexdigest(), self._registry.examples(str(version))

    def _bind_generator(self, version: Version, prompt: GeneratorPrompt) -> ServedGenerator:
        """Bind a generator, and write a token with it.

        Raises:
            SoftclozeError: the version belongs to another model, or does not fit it.
        """
        bound = BoundGenerator.from_saved(prompt, self._backbone)
        bound.write([default_example(self._registry.read(str(version)))], {"max_new_tokens": 1})
        return ServedGenerator(version, *self._facts(version), bound, self._settings.max_new_tokens)

    def _bind(self, version: Version, prompt: Prompt, prompts: PromptSet | None) -> PromptSet:
        """Add a version to the set of prompts, and score a row with it.

        Raises:
            SoftclozeError: the version belongs to another model, or does not fit it.
        """
        added = {str(version): prompt}
        if prompts is None:
            changed = PromptSet(added, self._backbone, prefix_memory=self._settings.prefix_memory)
        else:
            changed = prompts.with_prompts(added)
        (row,) = changed.predict_rows([(str(version), default_example(self._registry.read(str(version))))])
        if row.error is not None:
            raise row.error
        return changed


def _as_logged(error: Exception) -> str:
    """An error of ours as it is, which is about the registry; any other by its type and place."""
    return str(error) if isinstance(error, SoftclozeError) else type_and_place(error)


def _reason(error: Exception) -> str:
    """Why a version is not served, for clients: no path."""
    if isinstance(error, ArtifactError):
        return "it is damaged, belongs to another model, or is a probe or an ensemble"
    return "it does not fit the model, or its alias names no version"


def _in(served: Served, prompts: PromptSet | None) -> Served:
    """A version in another set of prompts; a generator is in none."""
    return replace(served, prompts=prompts) if isinstance(served, ServedVersion) and prompts is not None else served


def _describe(served: Served, aliases: list[str]) -> VersionAnswer:
    assert isinstance(served, ServedVersion | ServedGenerator)
    prompt = served.prompt
    return VersionAnswer(
        version=served.version.number,
        kind="prompt" if isinstance(prompt, Prompt) else "generator",
        aliases=aliases,
        labels=[*prompt.verbalizer.labels] if isinstance(prompt, Prompt) else [],
        several_labels=isinstance(prompt, Prompt) and prompt.head not in EXCLUSIVE,
        choices=served.choices if isinstance(served, ServedVersion) else None,
        fields=[*served.fields],
        template=str(prompt.template),
        model=prompt.model,
        trained=bool(prompt.vectors) or (isinstance(prompt, Prompt) and bool(prompt.head_tensors)),
        max_new_tokens=served.max_new_tokens if isinstance(served, ServedGenerator) else None,
        sha256=served.sha256,
        examples=[*served.examples],
    )
