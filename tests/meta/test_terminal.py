"""``icl-lib compare`` and ``icl-lib sweep``: what they write, print and refuse."""

import json

import pandas as pd
import pytest

from icl_lib import cli, cli_compare
from icl_lib.meta.choice import best_step_size
from icl_lib.meta.result import Result
from icl_lib.meta.sweep import load_sweep
from icl_lib.models import checkpoint
from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT
from icl_lib.recipes.language_model import describe_model
from icl_lib.tasks.catalogue import GROUPS, wrong_tasks_for
from icl_lib.tasks.lab_tasks import practice_tasks
from icl_lib.tasks.text import CharTokenizer

FEW = ("--demonstrations", "2", "--queries", "6", "--tokens-at-once", "99", "--controls", "noise")
ONE = ("--seeds", "1")


def run(capsys, *words):
    status = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def model(tmp_path):
    """A tiny random GPT on characters, as a checkpoint that needs no network."""
    letters = CharTokenizer.of(
        "Sentence: abcdefgh Label: Negative Positive terrible bad neutral good great\n"
    )
    config = GPTConfig(len(letters), 160, 2, 2, 8, init="fan_in")
    card = dict.fromkeys(checkpoint.CARD_FIELDS, "") | describe_model(config, letters)
    return checkpoint.save(tmp_path / "tiny.safetensors", GPT(config), card)


@pytest.fixture
def data(tmp_path):
    for name, count in (("train", 8), ("dev", 6)):
        lines = [f"{i % 2} {'abcdefgh'[i]} c" for i in range(count)]
        (tmp_path / f"stsa.binary.{name}").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_compare_writes_a_table_and_prints_the_headlines(capsys, tmp_path, model, data):
    out = tmp_path / "found.parquet"
    words = ("--model", model, "--task", "sst2", "--data", data, "--out", out, "--lr", "0.1")
    plots = ("--plot", "simaou", "controls:simam")
    status, printed, problem = run(
        capsys, "compare", *words, *FEW, *ONE, *plots, "--descent", "layer-causal"
    )
    assert status == 0, problem
    assert "sst2: 2 demonstrations, step size 0.1\n" in problem
    assert "[1/1] sst2, seed 1: the model" in problem
    assert "simaou_raw" in printed
    for name in ("simaou", "controls-simam"):
        assert (tmp_path / f"found-{name}.svg").read_text().count("<svg") == 1
    found = Result.load(out)
    assert set(found.table.control) == {"none", "noise"}
    assert found.settings["finetuning"]["descent"] == "layer-causal"
    assert found.settings["demonstrations"] == 2
    assert set(found.table.model) == {str(model)}
    assert f"{len(found.table):,} rows" in printed


def test_what_does_not_fit_is_said(capsys, tmp_path, model, data):
    words = ("--model", model, "--task", "sst2", "--data", data, *ONE)
    status, _, problem = run(capsys, "compare", *words, "--out", tmp_path / "x.parquet")
    assert status == 1
    assert "wrong-task of sst2 needs one of agnews, subj, cb in" in problem
    words += ("--wrong-task", "none")
    many = ("--out", tmp_path / "x.parquet", "--demonstrations", "8", "--queries", "6")
    status, _, problem = run(capsys, "compare", *words, *many)
    assert status == 1
    assert "too many for a context of 160" in problem
    status, _, problem = run(capsys, "compare", *words, "--out", tmp_path / "x.csv")
    assert status == 1
    assert "ends in .parquet" in problem
    status, _, problem = run(capsys, "compare", *words, *many, "--plot", "nonsense")
    assert status == 1
    assert "no plot is called nonsense; there are" in problem
    fit = (*many[:2], "--demonstrations", "fit", "--queries", "6", "--controls")
    status, _, problem = run(capsys, "compare", *words, *fit)
    assert status == 0
    assert "sst2: 4 demonstrations, step size 0.01" in problem  # said, and not the 32 of texts
    status, _, problem = run(capsys, "compare", *words, *many, "--position", "last")
    assert status == 1
    assert "position must be" in problem
    status, _, problem = run(capsys, "compare", *words, *FEW, *many[:2], "--lr", "1e30")
    assert status == 1
    assert "diverged" in problem


def test_sweep_writes_cells_goes_on_and_refuses_to_mix(capsys, tmp_path, model, data):
    out = tmp_path / "sweep"
    words = ("--models", model, "--data", data, "--out", out, *FEW, "--seeds", "1", "2")
    status, printed, _ = run(capsys, "sweep", *words, "--tasks", "sst2", "--lrs", "0.1", "0.2")
    assert status == 0
    assert "4 cells measured, 0 were there already, 0 failed" in printed
    table = load_sweep(out).table
    assert set(zip(table.seed, table.lr, strict=True)) == {
        (s, l) for s in (1, 2) for l in (0.1, 0.2)
    }
    alone = tmp_path / "alone.parquet"
    one = ("--model", model, "--data", data, "--out", alone, "--seeds", "2", "--lr", "0.2")
    assert run(capsys, "compare", *one, *FEW, "--task", "sst2")[0] == 0
    part = table[(table.seed == 2) & (table.lr == 0.2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, Result.load(alone).table, check_exact=True)
    status, printed, _ = run(
        capsys, "sweep", *words, "--tasks", "sst2", "mr", "--lrs", "0.1", "0.2", "0.3"
    )
    assert status == 1
    assert "2 cells measured, 4 were there already, 6 failed" in printed
    assert "MR needs rt-polarity.all" in printed
    assert json.loads((out / "settings.json").read_text())["demonstrations"] == 2
    status, _, problem = run(capsys, "sweep", *words, "--tasks", "sst2", "--variant", "code")
    assert status == 1
    assert "results with another variant" in problem


def test_the_papers_sweep_is_one_command(capsys, tmp_path):
    words = ("--models", "fairseq-1.3b", "fairseq-2.7b", "--tasks", "real", "--dry-run")
    status, printed, _ = run(capsys, "sweep", *words, "--out", tmp_path / "new")
    assert (status, printed) == (0, "3,024 cells, 3,024 left, in 84 groups\n")  # 7 × 36 × 6 × 2
    assert not (tmp_path / "new").exists()


def test_one_command_measures_all_lab_tasks_with_step_sizes_from_others(
    capsys, tmp_path, monkeypatch
):
    network = GPT(GPTConfig(400, 160, 1, 2, 8, init="fan_in"), seed=3).eval()
    monkeypatch.setattr(cli_compare, "load_model", lambda *name: (network, None))
    out = tmp_path / "lab.parquet"
    words = ("--model", "lab", "--task", "lab", "--out", out, "--queries", "9", *ONE)
    more = ("--candidates", "0.5", "3", "--controls", "wrong-task", "--position", "both")
    status, _, problem = run(capsys, "compare", *words, *more)
    assert status == 0, problem
    found = Result.load(out)
    assert list(dict.fromkeys(found.table.task)) == list(GROUPS["lab"])
    assert set(found.table.position) == {"prediction", "published"}
    assert [s["wrong_task"] for s in found.settings[::2]] == [
        wrong_tasks_for(name)[0] for name in GROUPS["lab"]
    ]
    assert {s["demonstrations"] for s in found.settings} == {16}
    assert "[12/12] lab-cb, seed 1" in problem
    chosen = best_step_size(
        network, list(practice_tasks().values()), candidates=(0.5, 3), demonstrations=16,
        seeds=(1,), queries=9,
    )  # fmt: skip
    assert {s["finetuning"]["lr"] for s in found.settings} == {chosen.lr}
    assert f"lab-cb: 16 demonstrations, step size {chosen.lr:g}, chosen on other" in problem


def test_a_step_size_for_a_data_set_is_chosen_on_the_others_there_are(
    capsys, tmp_path, model, data
):
    for name in ("train", "dev"):
        (data / f"stsa.fine.{name}").write_text("0 a c\n1 b c\n2 d e\n3 f g\n4 h a\n0 b b\n")
    out, told = tmp_path / "found.parquet", []
    words = ("--model", model, "--task", "sst2", "--data", data, "--out", out, *ONE, "--lr", "auto")
    status, _, problem = run(capsys, "compare", *words, *FEW, "--candidates", "0.1", "0.2")
    assert status == 0, problem
    told = [line for line in problem.splitlines() if "cannot help" in line]
    assert [line.split()[2] for line in told] == ["mr", "subj", "agnews", "cb"]
    assert "sst5: accuracy with 2 step sizes" in problem
    assert "sst2: accuracy" not in problem  # never on what is reported
    settings = cli_compare.Settings(
        str(data), "paper", None, None, "cpu", 2, (1,), {"queries": 6, "position": "prediction"}, {}
    )
    loaded = cli_compare.Loaded.of(settings, str(model))
    best = best_step_size(
        loaded.network, [loaded.task("sst5")], candidates=(0.1, 0.2), demonstrations=2,
        seeds=(1,), queries=6,
    )  # fmt: skip
    assert Result.load(out).settings["finetuning"]["lr"] == best.lr
    for name in ("train", "dev"):
        (data / f"stsa.fine.{name}").unlink()
    status, _, problem = run(capsys, "compare", *words, *FEW)
    assert status == 1
    assert "no tasks to choose a step size on" in problem


def test_models_by_name(tmp_path):
    network, tokenizer = cli_compare.load_model("scale-s")
    assert tokenizer is None
    assert network.config.layers == 2
    _, tokenizer = cli_compare.load_model("stories")
    assert tokenizer.encode("the").tolist()
    letters = CharTokenizer.of("abc")
    (tmp_path / "letters.json").write_text(letters.to_json(), "utf-8")
    _, tokenizer = cli_compare.load_model("stories", str(tmp_path / "letters.json"))
    assert tokenizer == letters


def theirs(transformers, kind):
    """A tiny random model of ``transformers``, and a word tokenizer for it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<s>", "</s>", "?", *"abcdefgh", "Sentence", "Label", ":", "Negative", "Positive"]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "?"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=len(words), n_positions=64, n_embd=8, n_layer=2, n_head=2,
            bos_token_id=0, eos_token_id=1,
        )  # fmt: skip
        return transformers.GPT2LMHeadModel(config), tokenizer
    config = transformers.XGLMConfig(
        vocab_size=len(words), max_position_embeddings=64, d_model=8, ffn_dim=12, num_layers=2,
        attention_heads=2, dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    return transformers.XGLMForCausalLM(config), tokenizer


@pytest.mark.parametrize("kind", ["gpt2", "xglm"])
def test_a_folder_of_transformers(capsys, tmp_path, data, kind):
    transformers = pytest.importorskip("transformers")
    for part in theirs(transformers, kind):
        part.save_pretrained(tmp_path / kind)
    out = tmp_path / "found.parquet"
    words = ("--model", tmp_path / kind, "--task", "sst2", "--data", data, "--out", out)
    status, _, problem = run(capsys, "compare", *words, *FEW, *ONE, "--lr", "0.1")
    assert status == 0, problem  # transformers shows its progress there
    found = Result.load(out)
    assert found.settings["labels"] == ["Negative", "Positive"]
    assert len(found.rows("simam")) == 2
    _, tokenizer = cli_compare.load_model(str(tmp_path / kind))
    assert tokenizer.encode("Sentence: a", add_special_tokens=False) == [11, 13, 3]
