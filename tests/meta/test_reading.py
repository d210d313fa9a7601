"""The forward pass taken apart equals the model's own; prompts are what the paper writes."""

import pytest
import torch

from icl_lib.meta.observe import label_log_probs, observe
from icl_lib.meta.prompts import (
    TooLong,
    check_lengths,
    choose_demonstrations,
    choose_queries,
    count_that_fits,
    dealt_anew,
    make_batches,
    opening,
    with_demonstrations,
    with_filler,
)
from icl_lib.meta.walk import check_model, read_prefix, read_queries
from icl_lib.models.attention import linear_attention
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.models.record import Record

SHAPES = {
    "sinusoidal": {"positions": "sinusoidal", "position_offset": 2, "embed_scale": 4.0},
    "learned, untied, wide heads": {"positions": "learned", "tied": False, "head_width": 5},
    "post-norm": {"norm": "post", "activation": "relu"},
    "no positions, no biases": {"positions": "none", "bias": False},
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.no_grad()
def test_reading_behind_a_prefix_equals_the_whole_prompt(make_tiny, shape):
    model = make_tiny(**SHAPES[shape])
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(30, (11,), generator=generator)
    queries = torch.randint(30, (4, 6), generator=generator)
    layers = []
    hidden = read_queries(
        model, queries, read_prefix(model, start), lambda number, step: layers.append(step)
    )
    record = Record("scores", "weights", "queries", "keys", "head_output", "attention_output")
    whole = torch.cat([start.expand(4, -1), queries], 1)
    logits = model(whole, record=record)[:, 11:]
    assert (model.logits(hidden) - logits).abs().max() <= 1e-12
    for layer, step in enumerate(layers):
        for name in ("queries", "keys", "head_output"):
            part = record.layer(name, layer)[:, :, 11:]
            assert (getattr(step, name) - part).abs().max() <= 1e-12
        out = record.layer("attention_output", layer)[:, 11:]
        assert (step.attention_output - out).abs().max() <= 1e-12
        for name in ("scores", "weights"):
            part = record.layer(name, layer)[:, :, 11:]
            both = torch.cat([getattr(step, f"{name}_prefix"), getattr(step, name)], 3)
            past = torch.ones(6, 17).tril(11).bool()
            assert (both - part)[..., past].abs().max() <= 1e-12
            assert set(both[..., ~past].unique().tolist()) <= {0.0, -torch.inf}


@torch.no_grad()
def test_an_empty_prefix_is_one(model):
    tokens = torch.arange(12).view(2, 6)
    hidden = read_queries(model, tokens, read_prefix(model, tokens[0, :0]))
    assert (model.logits(hidden) - model(tokens)).abs().max() <= 1e-12


def test_labels_of_several_tokens_and_padding(model, toy):
    texts = [toy.render(e) for e in choose_queries(toy, 9)]
    beginning = with_demonstrations(toy, choose_demonstrations(toy, 3, 0))
    prefix, found = read_prefix(model, beginning.tokens), {}
    for batch in make_batches(texts, tokens_at_once=17):
        rows = label_log_probs(model, batch, prefix, toy.label_tokens)
        found |= dict(zip(batch.numbers.tolist(), rows, strict=True))
    for number, text in enumerate(texts):
        for label, tokens in enumerate(toy.label_tokens):
            whole = torch.cat([beginning.tokens, text, tokens])
            log_p = model(whole[None])[0].log_softmax(-1)
            wanted = sum(log_p[-len(tokens) - 1 + i, t] for i, t in enumerate(tokens))
            assert found[number][label].item() == pytest.approx(wanted.item(), abs=1e-12)


def test_published_position_is_the_first_label_behind_the_query(model, toy):
    texts = [toy.render(e) for e in choose_queries(toy, 5)]
    prefix = read_prefix(model, toy.prefix)
    plain = observe(
        model, next(make_batches(texts[:1], tokens_at_once=99)), prefix, toy.label_tokens
    )
    later = make_batches(texts[:1], tokens_at_once=99, ending=toy.label_tokens[0])
    later = observe(model, next(later), prefix, toy.label_tokens)
    assert torch.allclose(plain.label_log_probs, later.label_log_probs, atol=1e-12)
    record = Record("attention_output")
    model(torch.cat([toy.prefix, texts[0], toy.label_tokens[0]])[None], record=record)
    wanted = record["attention_output"][:, 0, -1]
    assert (later.attention_output[0] - wanted).abs().max() <= 1e-12
    assert (later.attention_output - plain.attention_output).abs().max() > 1e-3
    assert later.seen.sum() == plain.seen.sum() + 1


def test_batches_hold_each_query_once_and_little_padding(toy):
    texts = [toy.render(e) for e in choose_queries(toy, 50)]
    batches = list(make_batches(texts, tokens_at_once=30))
    assert sorted(torch.cat([b.numbers for b in batches]).tolist()) == list(range(50))
    assert all(b.tokens.numel() <= 30 for b in batches)
    for batch in batches:
        for row, number in enumerate(batch.numbers.tolist()):
            length = int(batch.lengths[row])
            assert torch.equal(batch.tokens[row, :length], texts[number])
    (single,) = make_batches(texts[:1], tokens_at_once=1)
    assert len(single.tokens) == 1
    with pytest.raises(ValueError, match="must have a token"):
        next(make_batches([torch.empty(0, dtype=torch.long)], tokens_at_once=9))


def test_the_prompt_token_by_token(toy):
    shown = choose_demonstrations(toy, 2, 0)
    found = with_demonstrations(toy, shown)
    wanted = [0]
    for d in shown:
        wanted += [*d.text.tolist(), *toy.label_tokens[d.gold].tolist(), 1]
    assert found.tokens.tolist() == wanted
    marked = found.tokens[found.demonstration].tolist()
    assert marked == [t for d in shown for t in d.tokens.tolist()]
    padded = with_filler(toy, found)
    assert padded.tokens.tolist() == [0] + [2] * (len(wanted) - 1)
    assert torch.equal(padded.demonstration, found.demonstration)
    assert opening(toy).tokens.tolist() == [0]


def test_seeds_choose_and_order_demonstrations(toy):
    one, again, other = (choose_demonstrations(toy, 8, seed) for seed in (1, 1, 2))
    texts = [[d.text.tolist() for d in part] for part in (one, again, other)]
    assert texts[0] == texts[1] != texts[2]
    shorter = choose_demonstrations(toy, 4, 1)
    assert [d.text.tolist() for d in shorter] == texts[0][:4]
    balanced = [d.gold for d in choose_demonstrations(toy, 9, 1, balanced=True)]
    assert sorted(balanced) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    asked, all_of_them = choose_queries(toy, 20), toy.split("validation")
    assert asked == choose_queries(toy, None)[:20] != all_of_them[:20]
    assert sorted(e.parts for e in choose_queries(toy, None)) == sorted(
        e.parts for e in all_of_them
    )
    anew = dealt_anew(one, toy, 5)
    assert [d.text.tolist() for d in anew] == texts[0]
    assert sorted(d.gold for d in anew) == sorted(d.gold for d in one)
    assert [d.gold for d in anew] != [d.gold for d in one]
    assert all(torch.equal(d.label, toy.label_tokens[d.gold]) for d in anew)


def test_too_long_prompts_say_by_how_much_and_what_fits(make_toy):
    task = make_toy(long_label=True)
    shown = choose_demonstrations(task, 20, 0)
    texts = [task.render(e) for e in choose_queries(task, 30)]
    need = 1 + sum(len(d.tokens) + 1 for d in shown) + max(map(len, texts)) + 2
    check_lengths(need, task, shown, texts)
    with pytest.raises(TooLong, match=f"need {need} positions, 3 too many") as problem:
        check_lengths(need - 3, task, shown, texts)
    assert "19 of these demonstrations would fit" in str(problem.value)
    assert count_that_fits(need - 3, task, most=20, seeds=(0,), queries=30) == 19
    assert count_that_fits(need, task, most=20, seeds=(0,), queries=30) == 20
    with pytest.raises(TooLong, match="not even one"):
        count_that_fits(5, task, most=20, seeds=(0,), queries=30)


def test_too_few_examples_are_an_error(toy):
    with pytest.raises(ValueError, match="60 training examples, asked were 61"):
        choose_demonstrations(toy, 61, 0)
    with pytest.raises(ValueError, match="60 validation examples, asked were 61"):
        choose_queries(toy, 61)
    with pytest.raises(ValueError, match="asked were 0"):
        choose_demonstrations(toy, 0, 0)


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="no token table"):
        check_model(GPT(GPTConfig(None, 8, 1, 1, 4)))
    with pytest.raises(ValueError, match="layer 0 has linear_attention"):
        check_model(GPT(GPTConfig(9, 8, 1, 1, 4), attend=linear_attention))
