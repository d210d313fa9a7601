"""The whole protocol: invariances, controls, the table and its file."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from icl_lib.meta import CONTROLS, Finetuning, Result, ResultError, TooLong, compare
from icl_lib.meta import controls as room
from icl_lib.meta.result import KEYS, VALUES, examples_path
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


def test_permuting_the_residual_basis_changes_nothing(model, toy, base):
    """Layer norms allow permutations of the axes and no other rotation."""
    other, order = copy.deepcopy(model), torch.randperm(16)
    state = other.state_dict()
    for name, weight in state.items():
        inner = name.endswith(("out_proj.weight", "down.weight", "out_proj.bias", "down.bias"))
        if "norm" in name or inner:
            state[name] = weight[order]
        elif weight.ndim == 2 and weight.shape[1] == 16:
            state[name] = weight[:, order]
    other.load_state_dict(state)
    other.sinusoids = other.sinusoids[:, order]
    skip = ("noise", "untrained", "untrained-blocks")
    same(base, run(other, toy), skip=skip, tolerance=1e-8)


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


def test_controls_by_hand():
    generator = torch.Generator().manual_seed(0)
    zero, icl, ft = torch.randn(3, 6, 2, 5, dtype=torch.float64, generator=generator)
    rows = room.output_rows(zero, icl, ft, icl + 1.0, room.DEFAULT, 4)
    other = room.partners(6, 4)
    a, b = icl - zero, ft - zero
    cos = torch.nn.functional.cosine_similarity
    assert torch.allclose(rows["shuffled-pairing", "simaou_raw"], cos(a, b[other], dim=-1))
    assert torch.allclose(rows["other-example", "simaou_raw"], cos(a, a[other], dim=-1))
    less = cos(a - a.mean(0), b - b.mean(0), dim=-1)
    assert torch.allclose(rows["mean-removed", "simaou_raw"], less)
    moved = cos(-torch.ones_like(b), b, dim=-1)
    assert torch.allclose(rows["position-removed", "simaou_raw"], moved)
    noise = room.noise_like(b, 4)
    assert torch.allclose(noise.norm(dim=-1), b.norm(dim=-1))
    assert torch.allclose(rows["noise", "simaou_raw"], cos(a, noise, dim=-1))
    assert (other != torch.arange(6)).all()
    some = torch.tensor([4, 1])
    assert torch.equal(room.noise_like(b[some], 4, some), noise[some])


def test_untrained_weights(model):
    fresh = room.untrained(model, 7)
    assert weights_hash(fresh) == weights_hash(room.untrained(model, 7)) != weights_hash(model)
    kept = room.untrained(model, 7, keep_tables=True)
    assert torch.equal(kept.tokens.weight, model.tokens.weight)
    ours, theirs = (m.blocks[0].attention.q_proj.weight for m in (kept, fresh))
    assert torch.equal(ours, theirs)


def test_padding_in_place_of_demonstrations_equals_reading_it(model, toy, base):
    """With filler for demonstrations, the in-context condition is the padding condition."""
    rows = base.examples
    zero = rows[(rows.control == "none") & (rows.condition == "in_context")]
    padded = rows[(rows.control == "padding") & (rows.condition == "in_context")]
    assert len(zero) == len(padded) == 20
    assert not np.allclose(np.stack(zero.log_probs), np.stack(padded.log_probs))


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
    with pytest.raises(ValueError, match="must be a seed"):
        run(model, toy, seeds=())


def test_a_task_of_another_vocabulary_is_refused(make_tiny, toy):
    with pytest.raises(ValueError, match=r"token 29 .*vocabulary of 20"):
        run(make_tiny(vocab_size=20), toy)


def test_a_step_size_is_chosen_on_given_tasks(model, toy):
    from icl_lib.meta.choice import PAPER_STEP_SIZES, accuracy_after, best_step_size

    assert len(set(PAPER_STEP_SIZES)) == 36
    how = {"demonstrations": 5, "queries": 30}
    found = best_step_size(model, [toy], candidates=(0.01, 1e200, 0.3), **how)
    slow = {lr: accuracy_after(model, toy, Finetuning(lr=lr), **how) for lr in (0.01, 0.3)}
    assert {lr: found.accuracies[lr] for lr in slow} == slow
    assert slow[found.lr] == max(slow.values())
    measured = run(model, toy, queries=30, controls=())
    assert measured.value("accuracy_finetuned") == pytest.approx(slow[0.3])
    with pytest.raises(ValueError, match="0 tasks"):
        best_step_size(model, [])
