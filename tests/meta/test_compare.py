"""The whole protocol: invariances, controls, the table and its file."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch

from icl_lib.meta import CONTROLS, Finetuning, Result, ResultError, TooLong, compare, prepare
from icl_lib.meta import controls as room
from icl_lib.meta import record as meta_record
from icl_lib.meta.finetuning import finetune
from icl_lib.meta.nulls import normalised_update_similarity
from icl_lib.meta.observe import observe
from icl_lib.meta.prompts import (
    choose_demonstrations,
    choose_queries,
    dealt_anew,
    opening,
    with_demonstrations,
    with_filler,
)
from icl_lib.meta.ranks import error_weighted, in_context_attention, kendall, query_query
from icl_lib.meta.result import KEYS, VALUES, examples_path
from icl_lib.meta.similarity import output_update_similarity
from icl_lib.meta.tabulate import mean_row, metric_rows
from icl_lib.models.checkpoint import weights_hash

HOW = Finetuning(lr=0.3)


def run(model, task, **options):
    options = {"demonstrations": 5, "queries": 20, "finetuning": HOW, "spectra": 4} | options
    return compare(model, task, **options)


def same(one, other, *, skip=(), tolerance=1e-9):
    """Compare all numbers of two results but those that are random under a change of basis."""
    keys = [k for k in KEYS if k != "model"]
    tables = [r.table[~r.table.control.isin(skip)].reset_index(drop=True) for r in (one, other)]
    pd.testing.assert_frame_equal(tables[0][keys], tables[1][keys])
    for column in VALUES:
        a, b = (t[column].to_numpy(dtype=float, na_value=np.nan) for t in tables)
        worst = np.nanmax(np.abs(a - b), initial=0)
        assert np.array_equal(np.isnan(a), np.isnan(b))
        assert worst <= tolerance, (column, tables[0][np.abs(a - b) > tolerance])


@pytest.fixture(scope="module")
def base(model, toy):
    return run(model, toy)


def test_batch_size_changes_nothing(model, toy, base):
    same(base, run(model, toy, tokens_at_once=1))
    same(base, run(model, toy, tokens_at_once=10_000))


def test_the_order_of_test_examples_changes_nothing(model, make_toy, base):
    class Turned(make_toy):
        def split(self, name):
            found = super().split(name)
            return found if name == "train" else found[::-1]

    whole = {"queries": None}
    same(run(model, make_toy(), **whole), run(model, Turned(), **whole))


def test_permuting_heads_changes_nothing(model, toy, base):
    other = copy.deepcopy(model)
    for block in other.blocks:
        a = block.attention
        for name in ("q_proj", "k_proj", "v_proj"):
            for part in (getattr(a, name).weight, getattr(a, name).bias):
                part.data = part.data.unflatten(0, (2, 8)).flip(0).flatten(0, 1)
        weight = a.out_proj.weight
        weight.data = weight.data.unflatten(1, (2, 8)).flip(1).flatten(1, 2)
    skip = ("noise", "untrained", "untrained-blocks")
    same(base, run(other, toy), skip=skip)


def test_rotating_the_residual_basis_changes_nothing(model, toy, base):
    """Layer norms take the mean out: of all rotations they allow those that keep (1, …, 1)."""
    draws = torch.randn(31, 16, generator=torch.Generator().manual_seed(5)).double()
    basis = torch.linalg.qr(torch.cat([torch.ones(16, 1), draws[:16, 1:]], 1)).Q
    one = torch.ones(1, 1).double()
    inner = torch.block_diag(one, torch.linalg.qr(draws[16:, 1:]).Q)
    turn = basis @ inner @ basis.T
    assert (turn @ torch.ones(16).double() - 1).abs().max() < 1e-12
    other = copy.deepcopy(model)
    state = other.state_dict()
    for name, weight in state.items():
        if name.endswith(("out_proj.weight", "down.weight")):
            state[name] = turn @ weight
        elif "norm" in name or name.endswith(("out_proj.bias", "down.bias")):
            assert weight.unique().numel() == 1  # all ones or zeros: nothing to turn
        elif weight.ndim == 2 and weight.shape[1] == 16:
            state[name] = weight @ turn.T
    other.load_state_dict(state)
    other.sinusoids = other.sinusoids @ turn.T.to(other.sinusoids)
    skip = ("noise", "untrained", "untrained-blocks")
    same(base, run(other, toy), skip=skip, tolerance=1e-6)


def test_every_control_has_rows_and_the_model_is_left_alone(model, toy, make_toy):
    other = make_toy(opening=(9,), long_label=False)
    other.name = "other"
    before, model = weights_hash(model), copy.deepcopy(model).train()
    found = run(model, toy, controls=tuple(CONTROLS), wrong_task=other, seeds=(0, 1), heads=True)
    assert set(found.table.control) == set(CONTROLS)
    assert weights_hash(model) == before
    assert model.training
    assert set(found.table.seed) == {0, 1}
    assert len(found.rows("simaou")) == 2 * 3
    assert len(found.rows("simam", per_head=True)) == 2 * 3 * 2
    assert len(found.overall("simaou", control="wrong-task")) == 2
    assert found.table.duplicated(list(KEYS)).sum() == 0
    per_head = found.rows("simam", per_head=True).groupby(["seed", "layer"]).value.mean()
    whole = found.rows("simam").set_index(["seed", "layer"]).value
    assert np.allclose(per_head, whole.loc[per_head.index], atol=1e-12)
    assert found.value("simaou") == pytest.approx(found.rows("simaou").value.mean(), abs=1e-12)


@pytest.mark.parametrize("metric", ["simaou", "simaou_raw", "simaou_beside"])
def test_controls_by_hand(metric):
    generator = torch.Generator().manual_seed(0)
    zero, icl, ft, padded = torch.randn(4, 6, 2, 5, dtype=torch.float64, generator=generator)
    rows = room.output_rows(zero, icl, ft, padded, room.DEFAULT, 4)
    other, noise = room.partners(6, 4), room.noise_like(ft - zero, 4)
    assert torch.allclose(noise.norm(dim=-1), (ft - zero).norm(dim=-1))
    four = icl, ft, padded, zero + noise
    if metric == "simaou":
        four = (h / h.norm(dim=-1, keepdim=True) for h in four)
        zero = zero / zero.norm(dim=-1, keepdim=True)
    a, b, filled, noisy = (h - zero for h in four)
    if metric == "simaou_beside":
        along = torch.einsum("eld,elc->eldc", zero, zero) / zero.square().sum(-1)[..., None, None]
        across = torch.eye(5).double() - along
        a, b, filled, noisy = ((across @ h[..., None])[..., 0] for h in (a, b, filled, noisy))
    cos = torch.nn.functional.cosine_similarity
    wanted = {
        "shuffled-pairing": cos(a, b[other], dim=-1),
        "other-example": cos(a, a[other], dim=-1),
        "mean-removed": cos(a - a.mean(0), b - b.mean(0), dim=-1),
        "position-removed": cos(a - filled, b, dim=-1),
        "noise": cos(a, noisy, dim=-1),
    }
    for control, values in wanted.items():
        assert torch.allclose(rows[control, metric], values, atol=1e-12), control
    every = {(c, m) for c in wanted for m in ("simaou", "simaou_raw", "simaou_beside")}
    assert set(rows) == every | {("closed-form", "simaou")}


def test_partners_and_noise_belong_to_the_query():
    update = torch.ones(6, 2, 5)
    noise, some = room.noise_like(update, 4), torch.tensor([4, 1])
    assert torch.equal(room.noise_like(update[some], 4, some), noise[some])
    assert not torch.equal(room.noise_like(update, 5), noise)
    assert len({tuple(row.flatten().tolist()) for row in noise}) == 6
    other = room.partners(6, 4)
    assert sorted(other.tolist()) == list(range(6))
    assert (other != torch.arange(6)).all()


def answers(result, control, role):
    rows = result.examples[
        (result.examples.control == control) & (result.examples.condition == role)
    ]
    return torch.tensor(np.stack(rows.sort_values("query").log_probs))


def test_controls_are_what_their_names_say(model, toy, make_toy, base):
    """Labels are dealt anew, the other task is the other one, filler stands where it should."""
    other = make_toy(opening=(9,), long_label=False)
    other.name = "other"
    result = run(
        model, toy, wrong_task=other, controls=("padding", "shuffled-labels", "wrong-task")
    )
    shown, asked = choose_demonstrations(toy, 5, 0), choose_queries(toy, 20)
    anew, wrong = dealt_anew(shown, toy, 0), choose_demonstrations(other, 5, 0)
    start = opening(toy)
    filled = with_filler(toy, with_demonstrations(toy, shown))
    wanted = {("padding", "in_context"): (model, filled)}
    for control, demonstrations in (("shuffled-labels", anew), ("wrong-task", wrong)):
        twin, _ = finetune(model, demonstrations, HOW, opening=toy.prefix)
        wanted[control, "finetuned"] = (twin, start)
    for (control, role), (net, beginning) in wanted.items():
        whole = [torch.cat([beginning.tokens, toy.render(e)]) for e in asked]
        first = torch.stack([net(w[None])[0, -1].log_softmax(-1)[[3, 4]] for w in whole])
        assert (answers(result, control, role)[:, :2] - first).abs().max() < 1e-12, control
    fresh = run(room.untrained(model, 0), toy, controls=(), spectra=0)
    for metric in ("simaou", "simam", "kendall_a_query", "accuracy_finetuned"):
        assert base.value(metric, control="untrained") == fresh.value(metric), metric


def test_closed_form_and_noise_rows_are_what_they_say(model, toy, base):
    seen = {k: base.value(k) for k in ("norm_ratio_icl", "norm_ratio_ft")}
    record = meta_record(model, toy, demonstrations=5, queries=20, finetuning=HOW)
    zero, icl, ft = (record.conditions[n].attention_output for n in record.conditions)
    ratios = [(x - zero).norm(dim=-1) / zero.norm(dim=-1) for x in (icl, ft)]
    assert [r.mean().item() for r in ratios] == pytest.approx(list(seen.values()), abs=1e-12)
    null = normalised_update_similarity(*ratios).mean().item()
    assert base.value("simaou", control="closed-form") == pytest.approx(null, abs=1e-12)
    rows = [(len(w), w) for w in (toy.render(e).tolist() for e in record.asked)]
    place = {query: n for n, query in enumerate(sorted(range(20), key=rows.__getitem__))}
    zero, icl, ft = (record.conditions[n].scores for n in record.conditions)
    noisy = []
    for query, length in enumerate(record.conditions["zero-shot"].seen.sum(1).tolist()):
        change = (ft - zero)[query : query + 1, ..., :length]
        drawn = room.noise_like(change, 0, torch.tensor([place[query]]))[0]
        other = zero[query, ..., :length] + drawn
        assert torch.allclose(drawn.norm(dim=-1), change[0].norm(dim=-1))
        noisy.append(torch.cosine_similarity(icl[query, ..., :length], other, dim=-1).mean())
    wanted = torch.stack(noisy).mean().item()
    assert base.value("simam", control="noise") == pytest.approx(wanted, abs=1e-12)
    still = run(model, toy, finetuning=Finetuning(lr=1e-7), controls=("noise",), spectra=0)
    before = still.value("simam_before")  # so little noise that scores stay as they were
    assert still.value("simam", control="noise") == pytest.approx(before, abs=1e-4)
    for metric in ("simam_change", "kendall_a_query", "update_cosine", "simaou_raw"):
        assert abs(still.value(metric, control="noise")) < 0.25 < 1, metric


def test_kendall_with_another_querys_finetuning(model, toy, base):
    record = meta_record(model, toy, demonstrations=5, queries=20, finetuning=HOW)
    rows = [(len(w), w) for w in (toy.render(e).tolist() for e in record.asked)]
    order = torch.tensor(sorted(range(20), key=rows.__getitem__))
    context = in_context_attention(record.conditions["in-context"])[order]
    trained = query_query(record.trace, record.conditions["finetuned"])[order]
    tau = kendall(context, trained[room.partners(20, 0)]).a.mean().item()
    found = base.value("kendall_a_query", control="shuffled-pairing")
    assert found == pytest.approx(tau, abs=1e-12)
    assert abs(found - base.value("kendall_a_query")) > 1e-6


def test_as_many_queries_are_measured_as_the_table_says(base):
    asked = base.overall("update_spectrum").n.item(), base.overall("update_cosine").n.item()
    assert asked == (4, 20)


def test_many_step_sizes_at_once_equal_one_by_one(model, toy):
    options = {"demonstrations": 4, "queries": 10, "seeds": (0, 2), "spectra": 2}
    ready, read = prepare(model, toy, **options), []

    def counted(net, *rest):
        read.append(net is model)
        return observe(net, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icl_lib.meta.measure.observe", counted)
        found = [ready(Finetuning(lr=lr)) for lr in (0.1, 0.4)]
        later = [ready(Finetuning(lr=0.1, descent="layer-causal"))]
    assert sum(read) == 2 * 3  # zero-shot, in-context and filler of each seed, once
    for lr, one in zip((0.1, 0.4), found, strict=True):
        alone = compare(model, toy, finetuning=Finetuning(lr=lr), **options)
        pd.testing.assert_frame_equal(one.table, alone.table, check_exact=True)
        assert one.settings == alone.settings
        assert one.examples.log_probs.map(tuple).equals(alone.examples.log_probs.map(tuple))
    assert later[0].settings["finetuning"]["descent"] == "layer-causal"


@pytest.mark.parametrize("biases", [True, False])
def test_biases_that_do_not_train_do_not_contribute(model, toy, monkeypatch, biases):
    told = []

    def spy(trace, seen, *, bias):
        told.append(bias)
        return error_weighted(trace, seen, bias=bias)

    monkeypatch.setattr("icl_lib.meta.measure.error_weighted", spy)
    how = Finetuning(lr=0.3, biases=biases)
    run(model, toy, queries=3, finetuning=how, controls=("padding", "shuffled-labels"))
    assert set(told) == {biases}


def test_a_record_holds_what_is_measured(model, toy, base):
    record = meta_record(model, toy, demonstrations=5, queries=20, finetuning=HOW)
    zero, icl, ft = (record.conditions[n] for n in ("zero-shot", "in-context", "finetuned"))
    value = output_update_similarity(
        zero.attention_output, icl.attention_output, ft.attention_output
    )
    assert value.mean().item() == pytest.approx(base.value("simaou"), abs=1e-12)
    right = (ft.label_log_probs.argmax(1) == record.gold).double().mean().item()
    assert right == pytest.approx(base.value("accuracy_finetuned"))
    for row, example in enumerate(record.asked):
        text = toy.render(example)
        assert torch.equal(record.batch.tokens[row, : len(text)], text)
        assert record.gold[row] == example.gold
    assert icl.scores_demo.shape == (20, 3, 2, sum(len(d.tokens) for d in record.shown))
    later = meta_record(model, toy, demonstrations=5, queries=3, position="published")
    assert (later.batch.places == later.batch.lengths).all()
    with pytest.raises(ValueError, match="position must be"):
        meta_record(model, toy, position="last")


def test_untrained_weights(model):
    fresh = room.untrained(model, 7)
    assert weights_hash(fresh) == weights_hash(room.untrained(model, 7)) != weights_hash(model)
    kept = room.untrained(model, 7, keep_tables=True)
    assert torch.equal(kept.tokens.weight, model.tokens.weight)
    scaled = copy.deepcopy(model)
    scaled.final_norm.weight.data += 1  # a norm is no table
    assert (room.untrained(scaled, 7, keep_tables=True).final_norm.weight == 1).all()
    ours, theirs = (m.blocks[0].attention.q_proj.weight for m in (kept, fresh))
    assert torch.equal(ours, theirs)


def test_positions_differ_and_are_named(model, toy, base):
    later = run(model, toy, position="published")
    assert set(later.table.position) == {"published"}
    assert abs(later.value("simaou") - base.value("simaou")) > 1e-3
    assert later.value("accuracy_in_context") == base.value("accuracy_in_context")


def test_the_file_gives_back_everything(tmp_path, base):
    path = base.save(tmp_path / "deep" / "found.parquet")
    again = Result.load(path)
    pd.testing.assert_frame_equal(again.table, base.table)
    assert again.settings == base.settings
    assert again.examples.drop(columns="log_probs").equals(base.examples.drop(columns="log_probs"))
    assert np.array_equal(np.stack(again.examples.log_probs), np.stack(base.examples.log_probs))
    assert again.settings["finetuning"]["lr"] == 0.3
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "found.examples.parquet", "found.parquet",
    ]  # fmt: skip
    both = Result.concat([base, again])
    assert len(both.table) == 2 * len(base.table)
    assert len(both.settings) == 2


def test_damaged_and_foreign_files_are_refused(tmp_path, base):
    path = base.save(tmp_path / "found.parquet")
    with pytest.raises(ValueError, match=r"ends in \.parquet"):
        base.save(tmp_path / "found.csv")
    with pytest.raises(FileNotFoundError, match="no result at"):
        Result.load(tmp_path / "lost.parquet")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ResultError, match="damaged"):
        Result.load(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(ResultError, match="format ''"):
        Result.load(path)
    base.save(path)
    examples_path(path).unlink()
    with pytest.raises(FileNotFoundError, match="examples"):
        Result.load(path)


def test_lookups_say_what_there_is(base):
    with pytest.raises(KeyError, match="nothing was measured of 'nonsense' under 'none'"):
        base.rows("nonsense")
    with pytest.raises(KeyError, match=r"the controls .*closed-form"):
        base.value("simam", control="closed-form")
    summary = base.summary()
    assert summary.loc["simaou", "none"] == pytest.approx(base.value("simaou"))


def test_bad_requests_say_what_was_expected(model, toy):
    with pytest.raises(TooLong, match="too many for a context of 128"):
        run(model, toy, demonstrations=40)
    with pytest.raises(ValueError, match="position must be"):
        run(model, toy, position="last")
    with pytest.raises(ValueError, match="got nonsense"):
        run(model, toy, controls=("nonsense",))
    with pytest.raises(ValueError, match="needs another task"):
        run(model, toy, controls=("wrong-task",))
    with pytest.raises(ValueError, match="another one than toy"):
        run(model, toy, wrong_task=toy)
    with pytest.raises(ValueError, match="must be a seed"):
        run(model, toy, seeds=())


def test_a_task_of_another_vocabulary_is_refused(make_tiny, toy):
    with pytest.raises(ValueError, match=r"token 29 .*vocabulary of 20"):
        run(make_tiny(vocab_size=20), toy)


def test_a_step_size_is_chosen_on_given_tasks(model, toy):
    from icl_lib.meta.choice import PAPER_STEP_SIZES, accuracy_after, best_step_size

    assert len(set(PAPER_STEP_SIZES)) == 36
    how = {"demonstrations": 5, "queries": 30}
    found = best_step_size(model, [toy], candidates=(0.01, 1e200, 8.0), **how)
    slow = {lr: accuracy_after(model, toy, Finetuning(lr=lr), **how) for lr in (0.01, 8.0)}
    assert {lr: found.accuracies[lr] for lr in slow} == slow
    assert found.accuracies[1e200] == 0
    assert slow[found.lr] == max(slow.values())
    measured = run(model, toy, queries=30, controls=(), finetuning=Finetuning(lr=8.0))
    assert measured.value("accuracy_finetuned") == pytest.approx(slow[8.0])
    assert measured.value("accuracy_zero_shot") != pytest.approx(slow[8.0])
    with pytest.raises(ValueError, match="0 tasks"):
        best_step_size(model, [])


def test_the_best_step_size_over_tasks_that_are_not_reported():
    from icl_lib.meta.choice import best_on

    found = {
        "a": {0.1: 0.5, 0.2: 0.7, 0.3: 0.9},
        "b": {0.1: 0.5, 0.2: 0.3, 0.3: math.nan},
        "c": {0.1: 0.0, 0.2: 0.0, 0.3: 1.0},
    }
    choice = best_on(found, ["a", "b"])  # a tie: the smaller one; where it diverges, none
    assert choice.lr == 0.1
    assert choice.accuracies == pytest.approx({0.1: 0.5, 0.2: 0.5, 0.3: 0.0})
    assert best_on(found, ["a", "c"]).lr == 0.3
    with pytest.raises(ValueError, match="no tasks"):
        best_on(found, [])
    with pytest.raises(ValueError, match="never right"):
        best_on({"d": {0.1: 0.0, 0.2: math.nan}}, ["d"])


def test_means_and_intervals_of_rows_by_hand():
    values = torch.tensor([[1.0, 3.0], [2.0, math.nan], [3.0, 5.0]])
    whole, first, second = metric_rows("none", "m", values, heads=True)
    # over layers: 2, 2, 4; their standard deviation is 2/√3, of three
    half = 1.959964 * (2 / 3**0.5) / 3**0.5
    assert whole["value"] == pytest.approx(8 / 3)
    assert (whole["low"], whole["high"]) == pytest.approx((8 / 3 - half, 8 / 3 + half))
    assert (whole["n"], first["n"], second["n"]) == (3, 3, 2)
    assert (first["value"], second["value"]) == pytest.approx((2.0, 4.0))
    heads = torch.tensor([[[1.0, 2.0]], [[3.0, math.nan]]])
    rows = list(metric_rows("none", "m", heads, heads=True))
    assert [r["value"] for r in rows] == pytest.approx([2.25, 2.25, 2.0, 2.0])
    assert [r["head"] for r in rows] == [None, None, 0, 1]
    empty = mean_row(torch.tensor([math.nan]))
    assert (math.isnan(empty["value"]), empty["n"]) == (True, 0)
