"""The book's run of the paper's experiment: complete, small, and the same when measured again."""

import dataclasses

import pandas as pd
import pytest
import torch

from icl_lib.meta import CONTROLS, Result
from icl_lib.meta.choice import PAPER_STEP_SIZES, best_on
from icl_lib.meta.prompts import choose_demonstrations, choose_queries
from icl_lib.meta.result import examples_path
from icl_lib.models.checkpoint import weights_hash
from icl_lib.recipes import lab, lab_measured
from icl_lib.recipes.lab_measured import FILE, PUBLISHED_CONTROLS, SEEDS
from icl_lib.tasks.lab_bayes import bayes_accuracy
from icl_lib.tasks.lab_tasks import measured_tasks, practice_tasks

KEYS = ["task", "seed", "position", "control", "metric", "layer"]


@pytest.fixture(scope="module")
def whole():
    return lab_measured.measured()


@pytest.fixture(scope="module")
def tasks():
    return measured_tasks(lab.RECIPES["lab"].lab)


@pytest.fixture(scope="module")
def small():
    recipe = dataclasses.replace(lab.RECIPES["lab"], layers=2, heads=2, width=16)
    return recipe.untrained().eval()


def test_every_task_seed_and_control_was_measured(whole, tasks):
    for position, controls in (
        ("prediction", (*CONTROLS, "uniform")),
        ("published", PUBLISHED_CONTROLS),
    ):
        there = whole.table[whole.table.position == position]
        found = set(zip(there.task, there.seed, there.control, strict=True))
        assert found == {(t, s, c) for t in tasks for s in SEEDS for c in controls}
    assert not whole.table.duplicated([*KEYS, "head"]).any()


def test_it_was_measured_on_the_shipped_weights(whole):
    assert whole.settings["weights"] == weights_hash(lab.shipped()[0])
    assert whole.settings["command"] == lab_measured.COMMAND


def test_a_cell_measured_again_gives_the_same_numbers(whole):
    model, _ = lab.shipped()
    again = lab_measured.cell(
        model, "lab-mr", (3,), lr=lab_measured.step_size(), controls=("none",)
    )
    pairs = again.table.merge(whole.table, on=KEYS, suffixes=("", "_shipped"))
    assert len(pairs) == len(again.table)
    scale = pairs.value_shipped.abs().clip(lower=1)
    assert ((pairs.value - pairs.value_shipped).abs() / scale).max() < 0.02


def test_the_answers_give_the_accuracies(whole):
    shown = whole.examples.groupby(["task", "seed", "condition"])
    right = shown.apply(lambda g: (g.gold == g.predicted).mean(), include_groups=False)
    for condition in ("zero_shot", "in_context", "finetuned"):
        rows = whole.overall(f"accuracy_{condition}")
        rows = rows[rows.position == "prediction"]
        for row in rows.itertuples():
            assert right[row.task, row.seed, condition] == pytest.approx(row.value, abs=1e-6)


def test_the_step_size_is_the_best_on_the_practice_tasks(whole):
    practice = {
        task: {float(k): v for k, v in found.items()}
        for task, found in whole.settings["practice"].items()
    }
    language = lab.RECIPES["lab"].lab
    assert set(practice) == set(practice_tasks(language))
    assert set(whole.settings["reported"]) == set(measured_tasks(language))
    assert all(len(found) == len(PAPER_STEP_SIZES) for found in practice.values())
    assert whole.settings["lr"] == best_on(practice, list(practice)).lr == lab_measured.step_size()


def test_the_files_are_small():
    assert FILE.stat().st_size + examples_path(FILE).stat().st_size < 400_000


def test_the_wrong_task_asks_something_else(tasks):
    assert set(lab_measured.WRONG_TASKS) == set(tasks)
    for name, other in lab_measured.WRONG_TASKS.items():
        assert tasks[name].asked != tasks[other].asked


def test_the_best_reader_sees_what_the_model_sees(tasks, monkeypatch):
    monkeypatch.setattr(lab_measured, "DEMONSTRATIONS", 3)  # with 16 it makes no errors
    for name in ("lab-sst2", "lab-subj", "lab-cb"):
        task = tasks[name]
        zero, icl = (row["value"] for row in lab_measured.bayes_rows(task, 2))
        queries, examples = choose_queries(task, lab_measured.QUERIES), task.split("train")
        shown = choose_demonstrations(task, lab_measured.DEMONSTRATIONS, 2)
        texts = {tuple(task.render(e).tolist()): e for e in examples}
        told = [texts[tuple(d.text.tolist())] for d in shown]
        assert zero == bayes_accuracy(task, [], queries)
        assert icl == bayes_accuracy(task, told, queries)


def test_a_small_run_is_saved_and_loaded_whole(small, tasks, tmp_path, monkeypatch):
    monkeypatch.setattr(lab_measured, "QUERIES", 8)
    said = []
    found = lab_measured.run(
        small, tasks=("lab-subj",), seeds=(1,), candidates=(0.1, 0.01), progress=said.append
    )
    assert found.settings["lr"] in (0.1, 0.01)
    assert set(found.settings["reported"]) == {"lab-subj"}
    assert said[-1] == "lab-subj"
    assert len(found.settings["practice"]) == 6
    path = lab_measured.ship(found, tmp_path / "run.parquet")
    loaded = Result.load(path)
    assert loaded.settings == found.settings
    assert len(loaded.table) == len(found.table)
    pd.testing.assert_series_equal(
        loaded.table.value.astype(float), found.table.value, rtol=1e-6, check_names=False
    )
    assert len(loaded.examples) == 3 * 8


def test_the_random_vector_is_that_of_the_published_code(small):
    zero, icl = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    got = lab_measured.uniform_similarity(zero, icl, 7, normalised=False)
    noise = torch.rand(5, 3, 4, generator=torch.Generator().manual_seed(7))
    wanted = torch.cosine_similarity(icl - zero, noise, dim=-1)
    torch.testing.assert_close(got, wanted)
    again = lab_measured.uniform_similarity(2 * zero, 3 * icl, 7, normalised=True)
    torch.testing.assert_close(
        again, lab_measured.uniform_similarity(zero, icl, 7, normalised=True)
    )


def test_practice_and_measured_tasks_are_different(tasks):
    other = practice_tasks(lab.RECIPES["lab"].lab)
    assert not {t.name for t in other.values()} & set(tasks)
