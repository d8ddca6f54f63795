"""Export of a generator's prompt as a PEFT adapter."""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.errors import ParameterError
from softcloze.formatting import quoted_list
from softcloze.generation.options import processors_of
from softcloze.prompt.compiled_generator import CompiledGenerator
from softcloze.prompt.front import Front
from softcloze.prompt.peft_front import CANNOT, export_front, validate_exportable
from softcloze.prompt.peft_readme import loading_lines, notes, opening_lines, tokenized_lines
from softcloze.scoring.plan import ModelInput

if TYPE_CHECKING:
    from softcloze.prompt.generator import GeneratorPrompt


def to_peft(prompt: "GeneratorPrompt", path: str | PathLike[str], backbone: Backbone) -> Front:
    """Write a generator's prompt as a PEFT adapter: see `GeneratorPrompt.to_peft`.

    Returns:
        The front that the vectors replace, and the tail after it.
    """
    folder = validate_exportable(prompt, path, backbone)
    if backbone.family == "causal" and processors_of(prompt.options):
        penalties = [name for name in ("repetition_penalty", "no_repeat_ngram_size") if name in prompt.options]
        raise ParameterError(
            f"{CANNOT}: {quoted_list(penalties)} counts new tokens alone here, and in PEFT those of the tail as well; "
            "export dataclasses.replace(prompt, options=...) without"
        )
    compiled = CompiledGenerator(prompt.template, backbone, prompt.max_length, prompt.chat_options)

    writer = compiled.writer(prompt.options)

    def last_state(example: EncodedPrompt) -> ModelInput:
        opening = writer.opening(example)
        return replace(opening, states=((len(opening.ids) - 1,),))

    def readme(front: Front, example: EncodedPrompt) -> str:
        opening = writer.opening(example)
        return _readme(front, prompt, compiled, opening.ids if opening.source else (), folder)

    return export_front(prompt, compiled.template, backbone, folder, last_state, readme)


def _readme(
    front: Front, prompt: "GeneratorPrompt", compiled: CompiledGenerator, decoder_ids: tuple[int, ...], folder: Path
) -> str:
    """README.md: the tail, and code that writes with PEFT.

    Args:
        front: the front that the adapter holds.
        prompt: the prompt.
        compiled: its template.
        decoder_ids: ids with which a decoder starts; empty for a causal model.
        folder: the folder of the adapter.
    """
    backbone, template = compiled.backbone, prompt.template
    fields = ", ".join(f"{name}=..." for name in template.fields)
    most = compiled.writer(prompt.options).limit
    lines = [
        *opening_lines(front, template, backbone, deep=bool(prompt.deep)),
        f"This writes an answer with `write({fields})`:",
        "",
        "```python",
        "import torch",
        "from peft import PeftModel",
        "from transformers import GenerationConfig",
        *loading_lines(backbone, folder, "base.generation_config = GenerationConfig()  # without options of the model"),
        *_options_lines(prompt, compiled),
        "",
        "def write(**fields):",
        *tokenized_lines(front, _mask(compiled)),
        *_call_lines(decoder_ids),
        *_answer_lines(prompt, compiled),
        "```",
        "",
        "- Write one text at a time: PEFT counts positions through the padding of a batch, and the texts then differ.",
        *notes(f"A text that does not fit into {compiled.template.max_length} positions with {most} new tokens"),
    ]
    return "\n".join(lines)


def _options_lines(prompt: "GeneratorPrompt", compiled: CompiledGenerator) -> list[str]:
    """Lines that set `options`, the arguments of `generate`."""
    writer = compiled.writer(prompt.options)
    options: dict[str, Any] = {
        **{name: value for name, value in prompt.options.items() if name != "stop_strings"},
        "max_new_tokens": writer.limit,
        "eos_token_id": list(writer.end_ids) or None,
        "pad_token_id": writer.padding_id,
    }
    if compiled.backbone.decoder_start is not None:
        options["decoder_start_token_id"] = compiled.backbone.decoder_start
    stops = [f"options |= {{'stop_strings': {list(writer.all_stops)!r}, 'tokenizer': tokenizer}}"]
    return [f"options = {options!r}", *(stops if writer.all_stops else [])]


def _mask(compiled: CompiledGenerator) -> str:
    """The name of the token that the answer of a seq2seq model replaces."""
    tokenizer = compiled.template.prompt_tokenizer
    return tokenizer.without_markers(tokenizer.mask_marker)


def _call_lines(decoder_ids: tuple[int, ...]) -> list[str]:
    """Lines that set `written`, the new ids."""
    decoder = f", decoder_input_ids=torch.tensor([{list(decoder_ids)}])" if decoder_ids else ""
    first = len(decoder_ids) if decoder_ids else "ids.shape[1]"
    return [
        f"    rows = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids){decoder}, **options)",
        f"    written = rows[0, {first}:]",
    ]


def _answer_lines(prompt: "GeneratorPrompt", compiled: CompiledGenerator) -> list[str]:
    """Lines that return the answer."""
    writer = compiled.writer(prompt.options)
    lines = ["    text = tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)"]
    if writer.space:
        lines.append(f"    text = text.removeprefix({writer.space!r})")
    if writer.all_stops:
        lines.append("    ends = [text.find(stop) for stop in options['stop_strings'] if stop in text]")
        lines.append("    text = text[: min(ends, default=len(text))]")
    return [*lines, "    return text"]
