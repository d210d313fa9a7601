"""The measurements layer by layer: the shipped table, and the parts that make it."""

import math

import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp

from icl_lib.meta import Finetuning, finetune
from icl_lib.meta.prompts import choose_demonstrations
from icl_lib.models.checkpoint import weights_hash
from icl_lib.recipes import lab, lab_layers
from icl_lib.recipes.lab_layers import PLAN, Plan
from icl_lib.tasks.lab_tasks import measured_tasks

SMALL = Plan(demonstrations=4, queries=8, seeds=(0, 1), training_seeds=(0,), spectra=4)


@pytest.fixture(scope="module")
def model():
    return lab.RECIPES["lab"].untrained().eval()


@pytest.fixture(scope="module")
def shipped():
    return lab_layers.measured()


def test_shipped_table_is_that_of_the_shipped_networks(shipped):
    table, settings = shipped
    networks = lab.snapshots()
    assert settings["steps"] == list(networks)
    made_of = {str(step): weights_hash(n)[:12] for step, n in networks.items()}
    assert settings["weights"] == made_of, "run python -m icl_lib.recipes.lab_layers again"
    assert settings["plan"]["queries"] == PLAN.queries
    assert list(table.columns) == [*lab_layers.COLUMNS, "value"]


def test_shipped_table_has_every_task_seed_and_layer(shipped):
    table, settings = shipped
    tasks, ways = set(measured_tasks()), set(settings["rates"])
    parts = {"descents": PLAN.seeds, "heads": PLAN.seeds, "training": PLAN.training_seeds}
    for part, seeds in parts.items():
        rows = table[table.part == part]
        own = ways if part == "descents" else set(lab_layers.DESCENTS)
        assert (set(rows.task), set(rows.seed), set(rows.descent)) == (tasks, set(seeds), own)
    rows = table[(table.part == "descents") & (table.metric == "simaou_raw")]
    for control in ("none", "wrong-task", "shuffled-labels", "untrained"):
        layers = set(rows[rows.control == control].layer)
        assert layers == {-1, *range(lab.RECIPES["lab"].layers)}
    assert lab_layers.PATH.stat().st_size <= 200_000


def test_a_prompt_of_the_shipped_heads_is_found_again(shipped):
    table, settings = shipped
    model, task = lab.snapshots()[settings["steps"][-1]], measured_tasks()["lab-mr"]
    how = lab_layers.finetuning("plain", settings["rates"]["plain"])
    shown = choose_demonstrations(task, PLAN.demonstrations, 2)
    twin, _ = finetune(model, shown, how, opening=task.prefix, trace=False)
    found = lab_layers.head_metrics(model, task, 2, {"own": twin})
    rows = table[(table.part == "heads") & (table.task == "lab-mr") & (table.seed == 2)]
    rows = rows[(rows.control == "own") & (rows.descent == "plain")]
    for metric in ("update_cosine", "update_rank_icl", "update_overlap_in"):
        kept = torch.tensor(rows[rows.metric == metric].value.to_numpy()).double()
        assert torch.allclose(found["own", metric].flatten().double(), kept, atol=5e-3), metric


def test_equal_length_is_reached(model):
    rate = lab_layers.matched_rate(model, 0.1, SMALL)
    lengths = [
        lab_layers.update_length(model, descent, lr, SMALL)
        for descent, lr in (("plain", 0.1), ("layer-causal", rate))
    ]
    assert lengths[1] == pytest.approx(lengths[0], rel=1e-3)
    assert rate != pytest.approx(0.1, rel=0.01)


def test_heads_turned_at_random_keep_rank_and_lose_direction(model):
    task = measured_tasks()["lab-subj"]
    shown = choose_demonstrations(task, 4, 0)
    how = Finetuning(lr=0.3)
    twin, _ = finetune(model, shown, how, opening=task.prefix, trace=False)
    found = lab_layers.head_metrics(model, task, 0, {"own": twin}, SMALL)
    shape = (lab.RECIPES["lab"].layers, lab.RECIPES["lab"].heads)
    assert found["own", "update_cosine"].shape == shape
    for name in ("update_rank_ft", "update_spectrum"):
        gap = found["own", name] - found["rotated", name]
        assert gap.abs().max() < 1e-3
    assert (found["own", "update_cosine"] - found["rotated", "update_cosine"]).abs().max() > 0.01


def test_answers_by_hand():
    told = {
        ("none", "zero_shot"): [[0.1, 0.1], [0.2, 0.2]],
        ("none", "in_context"): [[0.6, 0.2], [0.1, 0.7]],
        ("none", "finetuned"): [[0.2, 0.1], [0.4, 0.4]],
        ("wrong-task", "finetuned"): [[0.1, 0.3], [0.1, 0.2]],
    }
    rows = [
        {"seed": 4, "control": c, "condition": role, "query": q, "log_probs": logs}
        for (c, role), table in told.items()
        for q, logs in [(1, [math.log(p) for p in table[1]]), (0, [math.log(p) for p in table[0]])]
    ]
    found = {
        (row["control"], row["metric"]): row["value"]
        for row in lab_layers.answer_rows(pd.DataFrame(rows))
    }
    assert found["none", "mass_in_context"] == pytest.approx(0.8)
    assert found["none", "mass_finetuned"] == pytest.approx(0.55)
    # query 0: both towards the first label; query 1: finetuning moves neither way, left out
    assert found["none", "label_change"] == pytest.approx(1)
    assert found["wrong-task", "label_change"] == pytest.approx((-1 + 1) / 2)
    assert ("wrong-task", "mass_finetuned") not in found


def test_interval_is_students():
    values = [0.1, 0.4, 0.2, 0.35, 0.15]
    mean, half = lab_layers.interval(values)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert lab_layers.interval([0.1, math.nan, 0.3])[0] == pytest.approx(0.2)
    assert math.isnan(lab_layers.interval([0.1])[1])


def test_saved_table_comes_back(tmp_path):
    row = dict.fromkeys(("part", "descent", "task", "control", "metric"), "a")
    row |= {"step": 70_000, "seed": 1, "layer": -1, "head": 3, "value": 0.12345678}
    table = pd.DataFrame([row], columns=[*lab_layers.COLUMNS, "value"])
    path = lab_layers.save(tmp_path / "t.parquet", table, {"rates": {"plain": 0.1}})
    found, settings = lab_layers.measured(path)
    assert settings == {"rates": {"plain": 0.1}}
    assert found.loc[0, "step"] == 70_000
    assert found.loc[0, "value"] == pytest.approx(0.1235, abs=1e-7)
    with pytest.raises(FileNotFoundError, match="no measurements"):
        lab_layers.measured(tmp_path / "none.parquet")
