import threading

import pytest
import torch

from softcloze.errors import ParameterError
from softcloze.generation.stops import before_stop, certain_length
from softcloze.generation.stream import stream_text
from tests.generation.test_writer import prompts, soft_of, writer_of
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
        assert all(writer.text(ids).startswith(writer.certain_text(ids[:k])) for k in range(4))
