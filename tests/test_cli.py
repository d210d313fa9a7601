"""The terminal: what each command prints, and how it fails."""

import dataclasses
import shlex
import subprocess
import sys

import pytest
import torch

from icl_lib import cli
from icl_lib.models import checkpoint
from icl_lib.recipes import regression


def run(capsys, *arguments):
    status = cli.main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_params_of_one_model_add_up(capsys):
    status, out, _ = run(capsys, "params", "gpt2")
    counts = {line[:14].strip(): int(line[14:].replace(",", "")) for line in out.splitlines()}
    assert status == 0
    assert counts.pop("total") == sum(counts.values()) == 124_439_808


def test_params_lists_every_preset(capsys):
    _, out, _ = run(capsys, "params")
    assert "gpt2-xl             1,557,611,200" in out
    assert "gpt3-175b" in out


def test_unknown_names_are_answered_with_the_known_ones(capsys):
    status, out, err = run(capsys, "params", "gpt9")
    assert (status, out) == (1, "")
    assert err.startswith("icl-lib: no preset is called 'gpt9'; there are gpt1, gpt2,")
    status, _, err = run(capsys, "train", "everything")
    assert status == 1
    assert "there are regression-line, regression-d5" in err
    status, _, err = run(capsys, "claims", "99")
    assert status == 1
    assert "no chapter with claims begins with '99'" in err


def test_claims_of_a_chapter(capsys):
    status, out, _ = run(capsys, "claims", "01")
    assert status == 0
    assert "01_learning_without_learning  weights-unchanged: 0" in out
    assert all(line.startswith(("01_", "    ")) for line in out.splitlines())


def test_usage_errors_exit_with_two(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "regression-line", "--steps", "0"])
    assert stop.value.code == 2
    assert "positive" in capsys.readouterr().err


def test_a_few_steps_write_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, "train", "regression-line", "--steps", "2")
    assert status == 0
    assert out.startswith("loss of the last step: ")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def short(monkeypatch):
    whole = regression.find("regression-line")
    recipe = dataclasses.replace(whole, name="short", steps=6, warmup=2, batch=4)
    monkeypatch.setattr(regression, "RECIPES", {"short": recipe})
    return recipe


def test_training_writes_weights_and_card(capsys, tmp_path, short):
    out = tmp_path / "net.safetensors"
    status, printed, _ = run(capsys, "train", "short", "--out", str(out))
    assert status == 0
    assert "error_at_2d" in printed
    state, card = checkpoint.load(out)
    model = short.untrained()
    again = short.train(model)
    assert checkpoint.weights_hash(model) == checkpoint.weights_hash(state)
    assert card["first_losses"] == again.losses
    assert list(tmp_path.iterdir()) == [out]


def test_an_interrupted_training_goes_on_with_the_same_weights(capsys, tmp_path, short):
    from icl_lib import optim

    out, partial = tmp_path / "net.safetensors", tmp_path / "net.partial"

    def stop(run):
        if run.step == 4:
            run.interrupted = True
            raise KeyboardInterrupt

    model = short.untrained()
    first = short.train(model, callbacks=[optim.Checkpoint(partial, every=2), stop])
    assert first.interrupted
    assert first.step == 4
    run(capsys, "train", "short", "--out", str(out))
    whole = short.untrained()
    short.train(whole)
    assert checkpoint.weights_hash(checkpoint.load(out)[0]) == checkpoint.weights_hash(whole)


@pytest.fixture
def verse(tmp_path):
    file = tmp_path / "verse.txt"
    file.write_text("The rain is warm, 今日はいい天気. " * 40, "utf-8")
    return file


SMALL = ("--layers", "1", "--heads", "2", "--width", "8", "--context", "16", "--batch", "4")


def test_pretraining_on_a_file_shows_the_validation_loss_and_saves_a_model(capsys, tmp_path, verse):
    from icl_lib.recipes import language

    out = tmp_path / "own.safetensors"
    options = ("--steps", "20", "--out", str(out), *SMALL)
    status, printed, err = run(capsys, "pretrain", str(verse), *options)
    assert (status, err) == (0, "")
    assert "step 20  validation" in printed
    assert "validation_loss: " in printed
    own = language.load(out)
    assert own.card["command"].startswith("icl-lib pretrain verse.txt --steps 20")
    assert own.complete("今日は", 4)[0].startswith("今日は")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own.safetensors", "verse.txt"]


def test_the_command_on_the_card_makes_the_same_model_again(capsys, tmp_path, verse, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = (*SMALL, "--steps", "5", "--lr", "0.01", "--seed", "3", "--dropout", "0.1")
    assert run(capsys, "pretrain", str(verse), "--out", "first.safetensors", *options)[0] == 0
    state, card = checkpoint.load("first.safetensors")
    _, *again = shlex.split(card["command"])
    assert run(capsys, *again)[0] == 0
    repeated, second = checkpoint.load("own-text.safetensors")
    assert all(torch.equal(state[name], repeated[name]) for name in state)
    assert second["command"] == card["command"]


def test_a_folder_is_refused_before_the_training(capsys, tmp_path, verse):
    status, printed, err = run(capsys, "pretrain", str(verse), "--out", str(tmp_path), *SMALL)
    assert status == 1
    assert "is a folder; --out names the file to write" in err
    assert "validation" not in printed


def test_an_interrupted_pretraining_goes_on(capsys, tmp_path, verse, monkeypatch):
    from icl_lib.recipes.own_text import OwnText

    whole, halved = tmp_path / "whole.safetensors", tmp_path / "halved.safetensors"
    options = ("--steps", "20", *SMALL)
    run(capsys, "pretrain", str(verse), "--out", str(whole), *options)
    train = OwnText.train

    def stopped(self, model, *, callbacks=(), **more):
        def stop(run):
            if run.step == 7:
                raise KeyboardInterrupt

        return train(self, model, callbacks=[*callbacks, stop], **more)

    with monkeypatch.context() as patch:
        patch.setattr(OwnText, "train", stopped)
        status, printed, _ = run(capsys, "pretrain", str(verse), "--out", str(halved), *options)
    assert status == 1
    assert "interrupted after 7 of 20 steps" in printed
    assert not halved.exists()
    other = tmp_path / "other.txt"
    other.write_text(verse.read_text("utf-8").replace("warm", "cold"), "utf-8")
    status, _, err = run(capsys, "pretrain", str(other), "--out", str(halved), *options)
    assert status == 1
    assert "resume with the same settings" in err
    run(capsys, "pretrain", str(verse), "--out", str(halved), *options)
    hashes = [checkpoint.weights_hash(checkpoint.load(path)[0]) for path in (whole, halved)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", (), "holds no text"),
        (b"\xff\xfe", (), "is not UTF-8"),
        (b"short", (), "needs at least 65"),
        (b"ab " * 900, ("--tokenizer", "bpe", "--vocab", "99"), "vocab_size 99 is too small"),
        (b"ab " * 900, ("--width", "10"), "width 10 does not split into 4 heads"),
        (b"ab " * 900, ("--lr", "0"), "step_size must be above 0"),
    ],
)
def test_pretraining_says_what_is_wrong_with_the_text(capsys, tmp_path, content, options, message):
    file = tmp_path / "mine.txt"
    file.write_bytes(content)
    status, _, err = run(capsys, "pretrain", str(file), *options)
    assert status == 1
    assert err.startswith("icl-lib: ")
    assert message in err
    status, _, err = run(capsys, "pretrain", str(tmp_path / "none.txt"))
    assert "no text file at" in err


def test_help_comes_without_loading_torch():
    code = (
        "import sys; from icl_lib import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "train a network that the book ships" in done.stdout
