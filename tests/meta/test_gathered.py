"""A reader's results beside the paper's numbers."""

import math

import pandas as pd
import pytest

from icl_lib.meta.gathered import QUANTITIES, beside_paper, gather
from icl_lib.meta.published import PARTS, published
from icl_lib.meta.result import Result, ResultError, make_table


def result(task="sst2", model="mine", lr=0.01, seed=0, position="prediction", value=0.5):
    about = {"model": model, "task": task, "seed": seed, "lr": lr, "position": position}
    about |= {"descent": "plain", "head": None, "low": None, "high": None, "n": 10}
    rows = [
        about | {"control": control, "metric": metric, "layer": layer, "value": value + more}
        for _, metric, control, _ in QUANTITIES.values()
        for layer, more in ((None, 0.0), (0, 9.0))
    ]
    return Result(make_table(rows), pd.DataFrame({"query": [1]}), {"seed": seed})


def test_without_results_the_papers_numbers_stand_alone():
    table = beside_paper(None)
    assert list(table.columns) == ["paper, 1.3B", "paper, 2.7B"]
    assert len(table) == len(PARTS) * len(QUANTITIES)
    assert table.loc[("cb", "Kendall"), "paper, 1.3B"] == published("kendall", "1.3B")["cb"]
    assert math.isnan(table.loc[("cb", "of another query"), "paper, 1.3B"])


def test_own_numbers_are_means_over_seeds_in_the_papers_units():
    both = Result.concat([result(seed=0, value=0.4), result(seed=1, value=0.6)])
    column = beside_paper(both)["mine, η = 0.01"]
    assert column["sst2", "in-context, %"] == pytest.approx(50)
    assert column["sst2", "SimAOU"] == pytest.approx(0.5)
    assert column.drop("sst2", level=0).isna().all()


def test_each_model_and_step_size_has_its_column_and_other_tasks_none():
    parts = [result(), result(lr=0.1), result(model="other", task="cb"), result(task="lab-sst2")]
    table = beside_paper(Result.concat([*parts, result(model="odd", position="published")]))
    own = ["mine, η = 0.01", "mine, η = 0.1", "other, η = 0.01"]
    assert list(table.columns[2:]) == own
    published_place = beside_paper(result(position="published"), position="published")
    assert published_place.shape[1] == 3


def test_every_result_below_a_folder_is_read(tmp_path):
    assert gather(tmp_path) is None
    assert gather(tmp_path / "nowhere") is None
    result().save(tmp_path / "a.parquet")
    result(task="cb").save(tmp_path / "deep" / "er" / "b.parquet")
    found = gather(tmp_path)
    assert set(found.table.task) == {"sst2", "cb"}
    assert len(found.examples) == 2
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(ResultError, match=r"c\.parquet has format"):
        gather(tmp_path)
