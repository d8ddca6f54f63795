import pytest

from softcloze.errors import ParameterError
from softcloze.generation import OPTIONS, validate_ids, validate_options, with_changes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 5}, "max_length cannot be set: it counts the prompt; give max_new_tokens"),
        ({"use_cache": False}, "use_cache cannot be set"),
        ({"num_return_sequences": 2}, "each example gets one text"),
        ({"temprature": 1.0}, "did you mean 'temperature'"),
        ({"max_new_tokens": 0}, "max_new_tokens=0, but it has to be an integer from 1 to 1048576"),
        ({"temperature": 0.5}, "do_sample=True"),
        ({"length_penalty": 2.0}, "num_beams above 1"),
        ({"do_sample": True, "top_p": 1.5}, "top_p=1.5"),
        ({"stop_strings": [1]}, "stop_strings"),
        ({"stop_strings": ""}, "text that is not empty"),
        ({"sequence_bias": 5}, "sequence_bias"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ParameterError, match=message):
        validate_options(options)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_one_of_transformers(name):
    from transformers import GenerationConfig

    assert name in vars(GenerationConfig())


WITH_IDS = {
    "bad_words_ids": [[1], [2, 9]],
    "sequence_bias": [[[1, 9], -20.0]],
    "suppress_tokens": [9],
    "begin_suppress_tokens": [1, 9],
    "forced_bos_token_id": 9,
    "forced_eos_token_id": [9],
    "eos_token_id": 9,
}


@pytest.mark.parametrize("name", WITH_IDS)
def test_a_token_id_that_the_vocabulary_lacks_is_named(name):
    options = validate_options({name: WITH_IDS[name]})
    validate_ids(options, 10)
    with pytest.raises(ParameterError, match=f"{name} has the token id 9, and the vocabulary of the model has 9 ids"):
        validate_ids(options, 9)


def test_every_option_with_ids_is_known():
    assert {name for name in OPTIONS if name.endswith(("_id", "_ids", "s_tokens", "bias"))} == {*WITH_IDS}


@pytest.mark.parametrize(
    ("options", "changes", "expected"),
    [
        ({"do_sample": True, "top_k": 5, "max_new_tokens": 3}, {"do_sample": False}, {"max_new_tokens": 3}),
        ({"num_beams": 4, "length_penalty": 2.0}, {"num_beams": 1}, {}),
        ({"num_beams": 4, "length_penalty": 2.0}, {"num_beams": 2}, {"length_penalty": 2.0}),
        ({}, {"top_k": 5}, {"top_k": 5}),
    ],
)
def test_options_of_sampling_and_beams_go_with_them(options, changes, expected):
    assert with_changes(options, changes) == expected | changes
