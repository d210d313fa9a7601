"""``icl-lib compare`` and ``icl-lib sweep``: what they write, print and refuse."""

import json

import pytest

from icl_lib import cli, cli_compare
from icl_lib.meta.result import Result
from icl_lib.meta.sweep import load_sweep
from icl_lib.models import checkpoint
from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT
from icl_lib.recipes.language_model import describe_model
from icl_lib.tasks.text import CharTokenizer

FEW = ("--demonstrations", "2", "--queries", "6", "--controls", "noise", "--tokens-at-once", "99")


def run(capsys, *words):
    status = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def model(tmp_path):
    """A tiny random GPT on characters, as a checkpoint that needs no network."""
    letters = CharTokenizer.of("Sentence: abcdefgh Label: Negative Positive\n")
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
    status, printed, problem = run(capsys, "compare", *words, *FEW, "--descent", "layer-causal")
    assert (status, problem) == (0, "")
    assert "simaou_raw" in printed
    found = Result.load(out)
    assert set(found.table.control) == {"none", "noise"}
    assert found.settings["finetuning"]["descent"] == "layer-causal"
    assert found.settings["demonstrations"] == 2
    assert set(found.table.model) == {str(model)}
    assert f"{len(found.table):,} rows" in printed


def test_what_does_not_fit_is_said(capsys, tmp_path, model, data):
    words = ("--model", model, "--task", "sst2", "--data", data)
    many = ("--out", tmp_path / "x.parquet", "--demonstrations", "8", "--queries", "6")
    status, _, problem = run(capsys, "compare", *words, *many)
    assert status == 1
    assert "too many for a context of 160" in problem
    status, _, problem = run(capsys, "compare", *words, "--out", tmp_path / "x.csv")
    assert status == 1
    assert "ends in .parquet" in problem
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
    status, printed, _ = run(
        capsys, "sweep", *words, "--tasks", "sst2", "mr", "--lrs", "0.1", "0.2", "0.3"
    )
    assert status == 1
    assert "2 cells measured, 4 were there already, 6 failed" in printed
    assert "MR needs rt-polarity.all" in printed
    assert json.loads((out / "settings.json").read_text())["options"]["demonstrations"] == 2
    status, _, problem = run(capsys, "sweep", *words, "--tasks", "sst2", "--variant", "code")
    assert status == 1
    assert "results with another variant" in problem


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
    status, _, problem = run(capsys, "compare", *words, *FEW, "--lr", "0.1")
    assert status == 0, problem  # transformers shows its progress there
    found = Result.load(out)
    assert found.settings["labels"] == ["Negative", "Positive"]
    assert len(found.rows("simam")) == 2
    _, tokenizer = cli_compare.load_model(str(tmp_path / kind))
    assert tokenizer.encode("Sentence: a", add_special_tokens=False) == [11, 13, 3]
