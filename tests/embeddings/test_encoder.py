"""The vectors of a sentence encoder are those of sentence-transformers, whatever the batch."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from sklearn.base import clone
from support import models

from softcloze.embeddings import SentenceEncoder, load_encoder
from softcloze.errors import DataError, ParameterError
from softcloze.experiments import load_data
from softcloze.starters import MODELS, fetch_model

TEXTS = [*models.SENTENCES, "", "good " * 400, "很好", *models.SENTENCES[:3]]


def base(architecture="bert"):
    """The tiny model without its language-model head, and its tokenizer."""
    model = models.model(architecture).base_model
    tokenizer = models.tokenizer("wordpiece" if architecture == "bert" else "gpt2")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return model.eval(), tokenizer


def saved(folder, pooling="mean", normalise=True, architecture="bert", limit=64):
    """A tiny encoder, saved by sentence-transformers; its own object too."""
    model, tokenizer = base(architecture)
    model.save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    transformer = Transformer(str(folder / "plain"))
    transformer.max_seq_length = limit
    modules = [transformer, Pooling(model.config.hidden_size, pooling_mode=pooling), *[Normalize()] * normalise]
    reference = SentenceTransformer(modules=modules, device="cpu")
    reference.save_pretrained(str(folder / "saved"), create_model_card=False)
    return str(folder / "saved"), reference


@pytest.mark.parametrize(
    ("pooling", "normalise", "architecture"),
    [("mean", True, "bert"), ("cls", False, "bert"), ("lasttoken", True, "bert"), ("lasttoken", False, "gpt2")],
)
def test_vectors_are_those_of_sentence_transformers(tmp_path, pooling, normalise, architecture):
    folder, reference = saved(tmp_path, pooling, normalise, architecture)
    encoder = load_encoder(folder)
    texts = [text for text in TEXTS if text] if architecture == "gpt2" else TEXTS
    assert (encoder.pooling, encoder.normalise, encoder.max_length) == (pooling, normalise, 64)
    np.testing.assert_allclose(encoder.embed(texts), reference.encode(texts), atol=2e-6)


def test_a_plain_folder_gets_mean_pooling(tmp_path):
    saved(tmp_path)
    reference = SentenceTransformer(str(tmp_path / "plain"), device="cpu")
    encoder = load_encoder(tmp_path / "plain")
    np.testing.assert_allclose(encoder.embed(TEXTS), reference.encode(TEXTS), atol=2e-6)


def test_the_starter_is_the_published_encoder():
    texts = [*load_data("movie-reviews").test.texts[:12], *load_data("drug-reviews").test.texts[:3]]
    encoder = load_encoder("starter:minilm-l6")
    reference = SentenceTransformer(str(fetch_model("minilm-l6")), device="cpu")
    assert encoder.parameters == MODELS["minilm-l6"].parameters
    np.testing.assert_allclose(encoder.embed(texts), reference.encode(texts), atol=1e-5)


def test_a_text_has_the_same_vector_in_any_company():
    encoder = SentenceEncoder(*base(), "tiny")
    together = encoder.embed(TEXTS)
    alone = np.concatenate([encoder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    assert together.dtype == np.float32 and together.shape == (len(TEXTS), encoder.width)
    assert encoder.embed([]).shape == (0, encoder.width)


def test_equal_texts_are_computed_once(monkeypatch):
    encoder = SentenceEncoder(*base(), "tiny")
    rows = []
    vectors = encoder._vectors
    monkeypatch.setattr(encoder, "_vectors", lambda batch: rows.append(len(batch)) or vectors(batch))
    encoder.embed(["a film", "a book"] * 50)
    assert sum(rows) == 2


def test_special_tokens_in_a_text_are_characters():
    encoder = SentenceEncoder(*base(), "tiny")
    written, removed = encoder.embed(["It was [MASK] good", "It was good"])
    special = models.tokenizer("wordpiece")("It was [MASK] good", return_tensors="pt")
    with torch.no_grad():
        as_special = base()[0](**special).last_hidden_state.mean(1)[0].numpy()
    assert np.abs(written - as_special).max() > 1e-3 < np.abs(written - removed).max()
    assert np.isfinite(encoder.embed(["\ud800 a lone surrogate", "\0"])).all()


def test_a_shorter_limit_shares_the_weights():
    encoder = SentenceEncoder(*base(), "tiny")
    short = load_encoder(encoder, max_length=8)
    assert short.network is encoder.network and short.max_length == 8 and short.fingerprint != encoder.fingerprint
    np.testing.assert_allclose(short.embed(["good " * 6]), encoder.embed(["good " * 6]), atol=2e-6)
    assert np.abs(short.embed(["good " * 60]) - encoder.embed(["good " * 60])).max() > 1e-3
    assert load_encoder(encoder, max_length=10_000).max_length == encoder.max_length
    assert clone(encoder) is encoder is load_encoder(encoder)


def test_a_model_in_memory_stays_as_it_is():
    model, tokenizer = base()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    definition = tokenizer.backend_tokenizer.to_str()
    encoder = load_encoder((model, tokenizer))
    assert encoder.embed(["a film"]).shape == (1, model.config.hidden_size)
    assert tokenizer.backend_tokenizer.to_str() == definition
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    model.train()
    try:
        with pytest.raises(ParameterError, match=r"is in training mode; call network.eval\(\)"):
            encoder.embed(["a film"])
    finally:
        model.eval()


def test_mistakes():
    with pytest.raises(ParameterError, match="pooling='max', but it has to be 'mean', 'cls' or 'lasttoken'"):
        SentenceEncoder(*base(), "tiny", pooling="max")
    with pytest.raises(ParameterError, match="max_length=0, but"):
        load_encoder(SentenceEncoder(*base(), "tiny"), max_length=0)
    with pytest.raises(DataError, match="row 1 is None; expected a text"):
        SentenceEncoder(*base(), "tiny").embed(["a", None])
