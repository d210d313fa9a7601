"""Generation against the loop without cache, and sampling against exact probabilities."""

import pytest
import torch
import torch.nn.functional as F

from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT
from icl_lib.models.sampling import choose, next_token_distribution

PROMPT = torch.tensor([[1, 2, 3], [4, 5, 6]])


@pytest.fixture(scope="module")
def model():
    config = GPTConfig(11, 24, 2, 2, 8, init="fan_in", dropout=0.3)
    return GPT(config, dtype=torch.float64).train()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def test_greedy_is_the_argmax_loop(model):
    out = PROMPT
    model.eval()
    for _ in range(10):
        out = torch.cat([out, model(out)[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(model.generate(PROMPT, 10, greedy=True), out)
    model.train()


@torch.no_grad()
def test_sampling_is_the_loop_without_cache(model):
    options = {"temperature": 0.7, "top_k": 6, "top_p": 0.9}
    out, generator = PROMPT, seeded(3)
    model.eval()
    for _ in range(10):
        new = choose(model(out)[:, -1], generator=generator, **options)
        out = torch.cat([out, new], dim=1)
    model.train()
    assert torch.equal(model.generate(PROMPT, 10, generator=seeded(3), **options), out)


def test_a_seed_decides_the_text(model):
    one, same = (model.generate(PROMPT, 12, generator=seeded(1)) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, model.generate(PROMPT, 12, generator=seeded(2)))


def test_top_k_of_one_is_greedy(model):
    greedy = model.generate(PROMPT, 10, greedy=True)
    assert torch.equal(model.generate(PROMPT, 10, top_k=1, generator=seeded()), greedy)
    assert torch.equal(model.generate(PROMPT, 10, top_p=1e-9, generator=seeded()), greedy)


def test_padded_prompts_give_the_same_text(model):
    alone = model.generate(PROMPT[:1], 8, greedy=True)
    mixed = torch.cat([F.pad(PROMPT[:1], (2, 0)), torch.tensor([[7, 8, 9, 1, 2]])])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)
    assert torch.equal(model.generate(mixed, 8, greedy=True, mask=mask)[:1, 2:], alone)


def test_prompts_padded_on_the_right_are_refused(model):
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]], dtype=torch.bool)
    with pytest.raises(ValueError, match="pad shorter prompts on the left"):
        model.generate(PROMPT, 2, greedy=True, mask=mask)


def test_generation_leaves_the_mode_and_the_result_usable(model):
    out = model.generate(PROMPT, 2, greedy=True)
    assert model.training
    model(out).sum().backward()  # not an inference tensor
    model.zero_grad()
    assert torch.equal(model.generate(PROMPT, 0, greedy=True), PROMPT)
    with pytest.raises(ValueError, match="needs a generator"):
        model.generate(PROMPT, 2)
    assert model.training


def test_samples_follow_the_softmax():
    logits, n = torch.tensor([[2.0, 1.0, 0.0, -1.0, 0.5]], dtype=torch.float64), 40_000
    for temperature in (0.5, 1.0, 2.0):
        exact = (logits[0] / temperature).softmax(-1)
        drawn = choose(logits.expand(n, -1), temperature=temperature, generator=seeded())[:, 0]
        counts = torch.bincount(drawn, minlength=5).double()
        chi_square = ((counts - n * exact) ** 2 / (n * exact)).sum().item()
        assert chi_square < 18.47  # 4 degrees of freedom, 0.1 %


def test_top_k_and_top_p_keep_what_they_promise():
    p = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64)
    cases = [
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_k": 9}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.35}, [1, 0, 0, 0]),
        ({"top_p": 0.5}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.75}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"top_p": 1.0}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_k": 3, "top_p": 0.5}, [4 / 7, 3 / 7, 0, 0]),
    ]
    for options, expected in cases:
        found = next_token_distribution(p.log(), **options)[0]
        assert found.tolist() == pytest.approx(expected, abs=1e-12), options
    tied = next_token_distribution(torch.zeros(1, 4), top_k=2)
    assert tied.tolist() == [[0.25] * 4]


def test_temperature_goes_from_greedy_to_uniform():
    logits = torch.tensor([[3.0, 1.0, 2.0]])
    assert next_token_distribution(logits, temperature=1e-3)[0, 0].item() == pytest.approx(1.0)
    flat = next_token_distribution(logits, temperature=1e6)
    assert flat[0].tolist() == pytest.approx([1 / 3] * 3, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0; use greedy=True for 0"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1, got 1.1"),
    ],
)
def test_sampling_options_are_checked(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(PROMPT, 2, generator=seeded(), **options)


def test_too_long_a_text_is_refused_with_the_excess(model):
    with pytest.raises(ValueError, match=r"3 tokens and 30 steps .* 24 tokens \(9 too many\)"):
        model.generate(PROMPT, 30, greedy=True)
    with pytest.raises(ValueError, match=r"prompt of 0 tokens"):
        model.generate(PROMPT[:, :0], 3, greedy=True)
