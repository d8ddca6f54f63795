import pytest

from softcloze.errors import ParameterError
from softcloze.generation import OPTIONS, validate_options


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
