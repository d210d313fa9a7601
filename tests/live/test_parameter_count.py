"""The Python half of ParameterCount: its count is the library's, and it says what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.live import ParameterCount
from icl_lib.live.figures.parameter_count import count
from icl_lib.models import presets
from icl_lib.models.gpt import GPTConfig

GPT2 = {"name": "a", "layers": 12, "width": 768, "heads": 12, "vocabulary": 50257, "context": 1024}


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 99), st.integers(1, 9)
)
def test_count_equals_the_formula_of_the_models(layers, head_width, heads, vocabulary, context):
    width = heads * head_width
    config = GPTConfig(vocabulary, context, layers, heads, width)
    ours = count(layers, width, vocabulary, context)
    assert list(ours.values()) == [
        presets.count_parameters(config)[part]
        for part in ("token table", "positions", "attention", "mlp", "norms")
    ]


def test_sentence_and_picture_carry_the_published_count():
    figure = ParameterCount([GPT2])
    assert "a has 124,439,808 parameters" in figure.sentence()
    assert "38,597,376" in figure.picture()


def test_start_chooses_the_model_and_marks_are_kept():
    figure = ParameterCount([GPT2, {**GPT2, "name": "b", "layers": 24}], start="b", marks=["a"])
    assert (figure.preset, figure.layers) == ("b", 24)
    assert [model["mark"] for model in figure.models] == [True, False]


def test_errors_name_what_is_missing():
    with pytest.raises(ValueError, match="at least one model, got none"):
        ParameterCount([])
    with pytest.raises(ValueError, match="'width' is missing"):
        ParameterCount([{key: value for key, value in GPT2.items() if key != "width"}])
    with pytest.raises(ValueError, match="layers of a must be a positive integer, got 0"):
        ParameterCount([{**GPT2, "layers": 0}])
    with pytest.raises(ValueError, match="unknown model 'c'; there are a"):
        ParameterCount([GPT2], start="c")
