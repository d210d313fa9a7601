"""The whole protocol equals a slow, literal transcription of the paper's formulas."""

import numpy as np
import pytest
import torch

from icl_lib.meta import Finetuning, compare
from icl_lib.meta.prompts import choose_demonstrations, choose_queries
from icl_lib.models.convert import from_transformers

METRICS = {
    "simaou", "simaou_raw", "simaou_beside", "simaou_head", "norm_ratio_icl", "norm_ratio_ft",
    "simam_before", "simam", "simam_centred_before", "simam_centred", "simam_js_before",
    "simam_js", "simam_change", "simam_change_centred",
    "kendall_a_query", "kendall_b_query", "kendall_a_input", "kendall_b_input",
    "kendall_a_error", "kendall_b_error", "kendall_published",
    "update_cosine", "update_size_ratio",
}  # fmt: skip


def check(model, task, literal, *, count=5, queries=12, tolerance=1e-9, **how):
    found = compare(
        model, task, demonstrations=count, queries=queries, seeds=(3,), controls=(),
        finetuning=Finetuning(lr=0.2, **how), spectra=0, tokens_at_once=40,
    )  # fmt: skip
    shown, asked = choose_demonstrations(task, count, 3), choose_queries(task, queries)
    said, slow = literal.protocol(model, task, shown, asked, 0.2, **how)
    gold = [e.gold for e in asked]
    assert set(slow) == METRICS
    assert set(found.table[found.table.layer.notna()].metric) == METRICS
    for name in METRICS:
        ours = found.rows(name).value.to_numpy()
        assert np.abs(ours - slow[name]).max() <= tolerance, name
        assert abs(found.value(name) - slow[name].mean()) <= tolerance
    for role, key in (("zero_shot", "zsl"), ("in_context", "icl"), ("finetuned", "ft")):
        rows = found.examples[found.examples.condition == role].sort_values("query")
        assert rows.predicted.tolist() == said[key]
        assert rows.gold.tolist() == gold
    wanted = literal.rec2ftp(said, gold)
    assert np.array_equal(found.value("rec2ftp"), wanted, equal_nan=True)
    return said, gold


def test_equal_to_the_literal_protocol(model, toy, literal):
    said, gold = check(model, toy, literal)
    assert len({tuple(v) for v in said.values()}) > 1  # the conditions do differ
    assert 2 in gold  # a label of two tokens is among the right ones


def test_without_opening_and_separator(make_tiny, make_toy, literal):
    check(make_tiny(layers=2), make_toy(opening=(), between=()), literal, biases=False)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_other_shapes_of_our_gpt(make_tiny, make_toy, literal, norm):
    model = make_tiny(norm=norm, positions="learned", layers=2, head_width=5, tied=False)
    check(model, make_toy(long_label=False), literal)


def gpt2(transformers):
    config = transformers.GPT2Config(
        vocab_size=30, n_positions=96, n_embd=12, n_layer=2, n_head=3, attn_pdrop=0.0,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def xglm(transformers):
    config = transformers.XGLMConfig(
        vocab_size=30, max_position_embeddings=96, d_model=12, ffn_dim=20, num_layers=2,
        attention_heads=3, dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    return transformers.XGLMForCausalLM(config)


@pytest.mark.parametrize("build", [gpt2, xglm])
def test_converted_models(build, toy, literal):
    transformers = pytest.importorskip("transformers")
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(2)
            theirs = build(transformers).double().eval()
            with torch.no_grad():
                for weight in theirs.parameters():
                    weight += 0.2 * torch.randn_like(weight)
        ours = from_transformers(theirs)
    finally:
        torch.set_default_dtype(torch.float32)
    check(ours, toy, literal)
