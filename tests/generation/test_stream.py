import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from softcloze.encoding import PromptTokenizer
from softcloze.errors import ParameterError
from softcloze.generation import TextPieces, Writer
from softcloze.generation.stops import before_stop, certain_length
from softcloze.generation.stream import stream_text
from tests.generation.test_writer import prompts, soft_of, writer_of
from tests.support import models
from tests.support.models import backbone


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3_text"])
def test_the_pieces_are_the_text(architecture):
    model = backbone(architecture)
    soft = soft_of(model)
    writer = writer_of(model, {"max_new_tokens": 12})
    for prompt, written in zip(prompts(), writer.write(prompts(), soft), strict=True):
        pieces = [*stream_text(writer, prompt, soft)]
        assert "".join(pieces) == written.text
        assert all(pieces)


def test_a_stop_string_is_in_no_piece_though_it_comes_in_pieces():
    model = backbone("qwen3")
    soft, prompt = soft_of(model), prompts()[0]
    text = writer_of(model, {"max_new_tokens": 12}).write([prompt], soft)[0].text
    for start in range(1, len(text) - 3):
        writer = writer_of(model, {"max_new_tokens": 12}, stops=(text[start : start + 3],))
        assert "".join(stream_text(writer, prompt, soft)) == before_stop(text, writer.stops)


def test_what_may_become_a_stop_string_is_held_back():
    assert certain_length("one\n#", ["\n##"]) == 3
    assert certain_length("one\n#x", ["\n##"]) == 6


def test_closing_the_iterator_stops_the_model(monkeypatch):
    model = backbone("gpt2")
    writer, soft = writer_of(model, {"max_new_tokens": 40}), soft_of(model)
    steps = []
    go_on = threading.Event()
    forward = model.model.forward

    def counted(*arguments, **more):
        if len(steps) == 3:
            go_on.wait(20)  # until the iterator is closed
        steps.append(1)
        return forward(*arguments, **more)

    monkeypatch.setattr(model.model, "forward", counted)
    pieces = stream_text(writer, prompts()[0], soft)
    next(pieces)
    threading.Timer(0.2, go_on.set).start()
    pieces.close()
    assert len(steps) <= 5
    assert not any(thread.name == "softcloze-stream" for thread in threading.enumerate())


def test_an_error_of_the_model_reaches_the_reader(monkeypatch):
    model = backbone("gpt2")
    monkeypatch.setattr(model, "write", lambda *_, **__: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    with pytest.raises(torch.OutOfMemoryError, match="full"):
        [*stream_text(writer_of(model), prompts()[0], soft_of(model))]


def test_beams_cannot_be_streamed():
    with pytest.raises(ParameterError, match="num_beams"):
        stream_text(writer_of(backbone("gpt2"), {"num_beams": 2}), prompts()[0])


def test_a_token_without_text_between_bytes_shows_none_of_them_early():
    model = backbone("llama")
    first, rest = (model.tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in (0x41, 0xE4))
    writer = writer_of(model)
    for without_text in (model.tokenizer.bos_token_id, len(model.tokenizer) + 1):  # special, and beyond the vocabulary
        ids = [first, without_text, rest]
        assert writer.text(ids).startswith(in_pieces(writer, ids)[0])


def in_pieces(writer, ids):
    """The pieces of these ids together before the end, and with the rest."""
    pieces = TextPieces(writer)
    certain = "".join(pieces.add(ids[:k]) for k in range(1, len(ids) + 1))
    return certain, certain + pieces.rest(before_stop(writer.text(ids), writer.all_stops))


@pytest.mark.parametrize("kind", models.TOKENIZERS)
def test_pieces_of_any_tokens_are_their_text(kind):
    """Random tokens, with broken characters, and texts with characters of several tokens; ends in any place."""
    model = backbone("llama")
    tokenizer = models.borrowed(kind)
    stand_in = SimpleNamespace(tokenizer=tokenizer, prompt_tokenizer=PromptTokenizer(tokenizer, masked=False))
    generator = np.random.default_rng(0)
    texts = [*models.SENTENCES, "天气很好，😀🇨🇳 naïve ﷽  two  spaces\n\n  x", "�", " �a", "###", "a ##b"]
    rows = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    rows += [generator.integers(0, len(tokenizer), 30).tolist() for _ in range(30)]
    choices = ({}, {"space": " "}, {"space": "  "}, {"stops": ("###", "很好")})
    for ids in filter(None, rows):
        for options in (*choices, {"ends": (ids[len(ids) // 2],)}):
            writer = replace(writer_of(model, **options), backbone=stand_in)
            known = ids[: ids.index(options["ends"][0])] if "ends" in options else ids
            certain, _ = in_pieces(writer, ids)
            assert before_stop(writer.text(known), writer.all_stops).startswith(certain), (ids, options)


def test_each_token_is_decoded_a_few_times_however_long_the_text(monkeypatch):
    model = backbone("gpt2")
    writer, decoded = writer_of(model), []
    decode = Writer.decode
    monkeypatch.setattr(Writer, "decode", lambda self, ids: (decoded.append(len(ids)), decode(self, ids))[1])
    ids = model.tokenizer("It was good, 很好。 " * 60)["input_ids"]
    pieces = TextPieces(writer)
    text = "".join(pieces.add(ids[:k]) for k in range(1, len(ids) + 1))
    assert sum(decoded) <= 20 * len(ids)
    assert text + pieces.rest(decode(writer, ids)) == decode(writer, ids)
    assert len(text) > 0.9 * len(decode(writer, ids))
