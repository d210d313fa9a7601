"""The GPT against loops, against itself without its short cuts, and its messages."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.models.attention import attention_scores, attention_weights, softmax_attention
from icl_lib.models.config import GPTConfig, sinusoids
from icl_lib.models.gpt import GPT
from icl_lib.models.record import QUANTITIES, Record

TINY = GPTConfig(vocab_size=13, context=16, layers=2, heads=3, width=12, init="fan_in")
CONFIGS = {
    "gpt2": TINY,
    "gpt1": dataclasses.replace(TINY, norm="post"),
    "fairseq": dataclasses.replace(
        TINY, positions="sinusoidal", position_offset=2, embed_scale=3.0
    ),
    "odd": dataclasses.replace(
        TINY, head_width=5, mlp_width=7, positions="none", tied=False, bias=False, activation="relu"
    ),
}  # fmt: skip


def build(config=TINY, **options):
    return GPT(config, dtype=torch.float64, **options)


def text(seed, b=2, t=9):
    return torch.randint(13, (b, t), generator=torch.Generator().manual_seed(seed))


each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def near(a, b, tolerance=1e-12):
    assert a.shape == b.shape
    assert (a - b).abs().max().item() <= tolerance


@each
@torch.no_grad()
def test_readable_and_fused_attention_give_the_same_logits(config):
    near(build(config)(text(0)), build(config, attend=softmax_attention)(text(0)))


@each
@torch.no_grad()
def test_the_future_does_not_change_the_past(config):
    model, a, b = build(config), text(1), text(1)
    b[:, 5:] = (b[:, 5:] + 1) % 13
    near(model(a)[:, :5], model(b)[:, :5])
    assert (model(a)[:, 5:] - model(b)[:, 5:]).abs().min().item() > 0


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 5))
@torch.no_grad()
def test_the_cache_changes_nothing(config, parts, seed):
    model, tokens = build(config), text(seed, t=sum(parts))
    cache = model.new_cache(2)
    pieces = [model(part, cache=cache) for part in tokens.split(parts, dim=1)]
    near(torch.cat(pieces, dim=1), model(tokens))
    assert cache.length == tokens.shape[1]


@torch.no_grad()
def test_one_prompt_serves_many_continuations():
    model, prompt, ends = build(), text(2, b=1, t=5), text(3, b=3, t=2)
    cache = model.new_cache(1)
    model(prompt, cache=cache)
    whole = torch.cat([prompt.expand(3, -1), ends], dim=1)
    near(model(ends, cache=cache.repeat(3)), model(whole)[:, 5:])


@each
@torch.no_grad()
def test_left_padding_changes_nothing(config):
    model, tokens = build(config), text(4, b=1, t=6)
    padded = F.pad(tokens, (3, 0), value=7)
    mask = torch.arange(9)[None] >= 3
    near(model(padded, mask=mask)[:, 3:], model(tokens))


@torch.no_grad()
def test_right_padding_needs_no_mask():
    model, tokens = build(), text(4, b=1, t=6)
    near(model(F.pad(tokens, (0, 3)))[:, :6], model(tokens))


@torch.no_grad()
def test_the_order_of_the_heads_does_not_matter():
    model, tokens = build(), text(5)
    before, order = model(tokens), torch.tensor([2, 0, 1])
    for block in model.blocks:
        a = block.attention
        for proj in (a.q_proj, a.k_proj, a.v_proj):
            proj.weight.copy_(proj.weight.view(3, 4, 12)[order].reshape(12, 12))
            proj.bias.copy_(proj.bias.view(3, 4)[order].flatten())
        a.out_proj.weight.copy_(a.out_proj.weight.view(12, 3, 4)[:, order].reshape(12, 12))
    near(model(tokens), before)


@torch.no_grad()
def test_run_is_the_model_without_its_words():
    model, tokens = build(), text(6)
    near(model.logits(model.run(model.tokens(tokens))), model(tokens))
    near(model(tokens, last_only=True), model(tokens)[:, -1:])


def test_a_model_of_vectors_has_no_words():
    model = build(dataclasses.replace(TINY, vocab_size=None))
    vectors = torch.zeros(2, 3, 12, dtype=torch.float64)
    assert model.run(vectors).shape == (2, 3, 12)
    assert "tokens" not in dict(model.named_modules())
    with pytest.raises(ValueError, match=r"no token table .* use run\(vectors\)"):
        model(text(0))


def test_tied_weights_are_one_tensor_and_learn_from_both_ends():
    model = build()
    assert "head.weight" not in dict(model.named_parameters())
    unused = 12
    tokens = text(7).clamp(max=11)
    model(tokens).logsumexp(-1).sum().backward()
    assert model.tokens.weight.grad[unused].abs().sum().item() > 0


def test_seeds_decide_the_weights_and_nothing_else_does():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, same, other = build(seed=1), build(seed=1), build(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.tokens.weight, other.tokens.weight)


def test_initial_weights_have_the_deviation_of_gpt2():
    model = GPT(GPTConfig(500, 64, 8, 4, 128))
    assert model.tokens.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert model.blocks[3].mlp.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.02)
    assert torch.equal(model.final_norm.weight, torch.ones(128))


def test_dropout_acts_in_training_only():
    model = build(dataclasses.replace(TINY, dropout=0.5))
    assert not torch.equal(model(text(8)), model(text(8)))
    model.eval()
    assert torch.equal(model(text(8)), model(text(8)))


def test_sinusoids_are_those_of_fairseq():
    transformers = pytest.importorskip("transformers.models.xglm.modeling_xglm")
    config = dataclasses.replace(CONFIGS["fairseq"], context=10)
    theirs = transformers.XGLMSinusoidalPositionalEmbedding.get_embedding(12, 12)[2:]
    assert torch.equal(sinusoids(config), theirs)
    odd = dataclasses.replace(config, width=9)
    assert not sinusoids(odd)[:, -1].any()


# --- recording -------------------------------------------------------------------------------


@torch.no_grad()
def test_a_record_is_what_the_layer_computes():
    model, tokens = build(), text(9)
    record = Record(*QUANTITIES)
    near(model(tokens, record=record), model(tokens))
    for layer in range(2):
        found = {name: record.layer(name, layer) for name in QUANTITIES}
        scores = attention_scores(found["queries"], found["keys"])
        weights = attention_weights(scores, causal=True)
        near(found["scores"], scores)
        near(found["weights"], weights)
        near(found["head_output"], weights @ found["values"])
        joined = found["head_output"].transpose(1, 2).flatten(2)
        near(found["attention_output"], model.blocks[layer].attention.out_proj(joined))
    first = model.blocks[0]
    x = model.tokens(tokens) + model.places.weight[:9]
    near(
        record.layer("queries", 0)[:, 1], first.attention.q_proj(first.attention_norm(x))[..., 4:8]
    )
    assert record["scores"].shape == (2, 2, 3, 9, 9)


@torch.no_grad()
def test_recording_without_scores_stays_on_the_fast_path():
    record = Record("queries", layers=[1])
    logits = build()(text(9), record=record)
    assert torch.equal(logits, build()(text(9)))
    assert record["queries"].shape == (1, 2, 3, 9, 4)


@torch.no_grad()
def test_records_work_with_cache_and_padding():
    model, tokens = build(), F.pad(text(10, b=1, t=5), (2, 0))
    mask = torch.arange(7)[None] >= 2
    cache, record = model.new_cache(1), Record("weights")
    model(tokens[:, :4], mask=mask[:, :4], cache=cache)
    model(tokens[:, 4:], mask=mask, cache=cache, record=record)
    assert record["weights"].shape == (2, 1, 3, 3, 7)
    assert not record["weights"][..., :2].any()


def test_scores_are_not_recorded_of_an_attention_that_is_not_softmax():
    def scaled(q, k, v, **options):
        return 2 * softmax_attention(q, k, v, **options)

    model, record = build(attend=scaled), Record("values", "head_output")
    near(model(text(0), record=record), model(text(0)))
    with pytest.raises(ValueError, match="of softmax attention only"):
        model(text(0), record=Record("weights"))


def test_records_say_what_they_cannot_do():
    with pytest.raises(ValueError, match=r"quantities are queries.*got \['mood'\]"):
        Record("mood")
    with pytest.raises(ValueError, match="got none"):
        Record()
    with pytest.raises(ValueError, match=r"the model has layers 0 to 1, the record asks \[5\]"):
        build()(text(0), record=Record("keys", layers=[5]))
    with pytest.raises(KeyError, match="'scores' was not recorded"):
        Record("keys")["scores"]
    with pytest.raises(KeyError, match="'keys' of layer 3 was not recorded"):
        Record("keys").layer("keys", 3)


# --- messages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"heads": 5, "head_width": None}, "width 12 does not split into 5 heads"),
        ({"positions": "rotary"}, "positions must be one of .*got 'rotary'"),
        ({"activation": "swish"}, "activation must be one of .*got 'swish'"),
        ({"norm": "none"}, "norm must be one of .*got 'none'"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ],
)
def test_configs_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)


def test_models_say_what_does_not_fit():
    model = build()
    with pytest.raises(ValueError, match="17 positions exceed the context of 16 by 1"):
        model(text(0, t=17))
    with pytest.raises(ValueError, match="mask covers 4 positions, not 9"):
        model(text(0), mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="a cache keeps no gradients"):
        model(text(0), cache=model.new_cache(2))
    with torch.no_grad(), pytest.raises(ValueError, match="the cache is for a batch of 3, got 2"):
        model(text(0), cache=model.new_cache(3))
    with pytest.raises(ValueError, match="only one shared prompt can repeat, got 2"):
        model.new_cache(2).repeat(3)
