"""The loop: equal to one written by hand, safe to stop at any moment, honest when it diverges."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from torch import nn

from icl_lib import optim
from icl_lib.optim import saving


def data(n=48, d=5):
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, x.sum(1, keepdim=True).tanh()


def network(dropout=0.0):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Linear(5, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1)
        ).double()


def loss_fn(model, batch):
    x, y = batch
    return ((model(x) - y) ** 2).mean()


def run(model, steps=20, *, lr=0.05, callbacks=(), rule=optim.AdamW, **options):
    options = {"schedule": optim.Warmup(5, optim.Cosine(40)), "clip": 0.5, "seed": 3, **options}
    return optim.train(
        model,
        loss_fn,
        optim.Shuffled(data(), 8, seed=2),
        rule(model.parameters(), lr),
        steps=steps,
        callbacks=callbacks,
        **options,
    )


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_equals_a_loop_written_with_torch_alone():
    ours, theirs = network(), network()
    result = run(ours, 30)
    rule = torch.optim.AdamW(theirs.parameters(), 0.05)
    order = optim.Shuffled(data(), 8, seed=2)
    schedule = optim.Warmup(5, optim.Cosine(40))
    losses = []
    for step in range(30):
        rule.param_groups[0]["lr"] = 0.05 * schedule(step)
        loss = loss_fn(theirs, order(step))
        rule.zero_grad()
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in theirs.parameters()]).norm()
        for p in theirs.parameters():
            p.grad *= min(1.0, 0.5 / norm)
        rule.step()
        losses.append(loss.item())
    assert (flat(ours) - flat(theirs)).abs().max() < 1e-12
    assert max(abs(a - b) for a, b in zip(result.losses, losses, strict=True)) < 1e-12


def test_step_sizes_and_gradients_are_left_as_found():
    model = network()
    rule = optim.SGD(model.parameters(), 0.05)
    optim.train(model, loss_fn, lambda step: data(), rule, steps=3, schedule=optim.Cosine(3))
    assert rule.param_groups[0]["lr"] == 0.05
    assert all(p.grad is None for p in model.parameters())


def test_global_generator_is_left_as_found_and_dropout_follows_the_seed():
    state = torch.get_rng_state()
    first, second, other = network(0.5), network(0.5), network(0.5)
    run(first)
    torch.rand(17)
    run(second)
    run(other, seed=4)
    torch.set_rng_state(state)
    assert torch.equal(flat(first), flat(second))
    assert not torch.equal(flat(first), flat(other))
    assert torch.equal(torch.get_rng_state(), state)


def test_callbacks_run_in_order_of_the_list():
    seen = []

    class Note(optim.Callback):
        def restore(self, run):
            seen.append("restore")

        def start(self, run):
            seen.append("start")

        def after_step(self, run):
            seen.append(run.step)

        def end(self, run):
            seen.append("end")

    run(network(), 2, callbacks=[Note(), lambda r: seen.append(f"f{r.step}")])
    assert seen == ["restore", "start", 1, "f1", 2, "f2", "end"]


def test_evaluate_measures_at_start_every_so_often_and_at_the_end():
    modes = []

    def measure(model):
        modes.append((model.training, torch.is_grad_enabled()))
        return {"loss": loss_fn(model, data())}

    result = run(network(), 7, callbacks=[optim.Evaluate(measure, every=3)])
    assert [row["step"] for row in result.records] == [0, 3, 6, 7]
    assert set(modes) == {(False, False)}
    assert result.model.training


# --- divergence -----------------------------------------------------------------------------


def test_divergence_is_reported_with_step_and_last_finite_loss():
    theta = nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(theta.weight)
    rule = optim.SGD(theta.parameters(), 1e100)
    with pytest.raises(optim.Diverged, match="the loss is inf at step 2") as caught:
        optim.train(
            theta,
            lambda m, b: (m(b) ** 2).sum(),
            lambda s: torch.ones(1, 1).double(),
            rule,
            steps=10,
        )
    assert caught.value.step == 2
    assert caught.value.last_loss == pytest.approx(4e200)
    assert torch.isfinite(theta.weight).all()


def test_a_gradient_that_is_not_finite_is_divergence_too():
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    before = model.weight.detach().clone()
    with pytest.raises(optim.Diverged, match="the gradient norm is inf at step 0"):
        optim.train(
            model,
            lambda m, b: m.weight.sqrt().sum(),
            lambda s: None,
            optim.SGD(model.parameters(), 0.1),
            steps=1,
            clip=1.0,
        )
    assert torch.equal(model.weight, before)


def test_a_loss_that_is_no_single_number_is_refused():
    with pytest.raises(ValueError, match=r"one number, got shape \(48, 1\)"):
        optim.train(
            network(),
            lambda m, b: m(b[0]),
            lambda s: data(),
            optim.SGD(network().parameters(), 0.1),
            steps=1,
        )


# --- stopping and resuming ------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [optim.SGD, optim.Momentum, optim.Nesterov, optim.Adam, optim.AdamW, torch.optim.AdamW]
)
@pytest.mark.parametrize("stop", [1, 6, 13])
def test_resume_from_file_is_bit_identical(tmp_path, rule, stop):
    whole, first, second = network(0.3), network(0.3), network(0.3)
    expected = run(whole, rule=rule)
    run(first, stop, rule=rule, callbacks=[optim.Checkpoint(tmp_path / "a.pt", every=100)])
    nn.init.zeros_(second[0].weight)
    resumed = run(second, rule=rule, callbacks=[optim.Checkpoint(tmp_path / "a.pt")])
    assert torch.equal(flat(second), flat(whole))
    assert resumed.losses == expected.losses


def test_processor_time_counts_the_steps_before_a_resumption(tmp_path, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("icl_lib.optim.training.time.process_time", lambda: next(clock))
    run(network(), 4, callbacks=[optim.Checkpoint(tmp_path / "a.pt")])
    resumed = run(network(), 10, callbacks=[optim.Checkpoint(tmp_path / "a.pt")])
    assert resumed.seconds == 10


SCRIPT = """
    import sys, time
    import torch
    from torch import nn
    from icl_lib import optim
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1)).double()
    g = torch.Generator().manual_seed(7)
    x = torch.randn(48, 5, generator=g, dtype=torch.float64)
    run = optim.train(
        model, lambda m, b: ((m(b[0]) - b[1]) ** 2).mean(),
        optim.Shuffled((x, x.sum(1, keepdim=True)), 8, seed=2),
        optim.AdamW(model.parameters(), 0.05), steps=60, clip=0.5, seed=3,
        schedule=optim.Warmup(5, optim.Cosine(55)),
        callbacks=[optim.Checkpoint(sys.argv[1], every=1),
                   lambda r: print(r.step, flush=True), lambda r: time.sleep(float(sys.argv[2]))],
    )
    torch.save(dict(weights=[p.detach() for p in model.parameters()], losses=run.losses,
                    stopped=run.interrupted), sys.argv[3])
    print(repr(run), flush=True)
"""


def start_script(folder, checkpoint, result, pause):
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return subprocess.Popen(
        [sys.executable, str(script), str(checkpoint), str(pause), str(result)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_killed_at_arbitrary_moments_it_ends_with_the_same_bits(tmp_path):
    whole = start_script(tmp_path, tmp_path / "w.pt", tmp_path / "w.out", 0)
    assert whole.communicate()[0].split("\n")[0] == "1"
    for moment in (0.0, 0.013):
        process = start_script(tmp_path, tmp_path / "k.pt", tmp_path / "k.out", 0.01)
        for _ in range(16):
            last = process.stdout.readline()
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert 0 < int(last) < 60
        assert not (tmp_path / "k.out").exists()
    process = start_script(tmp_path, tmp_path / "k.pt", tmp_path / "k.out", 0)
    out, error = process.communicate()
    assert int(out.split("\n")[0]) > 30, error
    expected, found = (torch.load(tmp_path / f) for f in ("w.out", "k.out"))
    assert all(
        torch.equal(a, b) for a, b in zip(*(r["weights"] for r in (expected, found)), strict=True)
    )
    assert expected["losses"] == found["losses"]


def test_interrupt_finishes_the_step_saves_and_says_how_to_resume(tmp_path):
    process = start_script(tmp_path, tmp_path / "i.pt", tmp_path / "i.out", 0.02)
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert error == ""
    last = out.strip().split("\n")[-1]
    assert "interrupted after" in last
    assert "i.pt; call train with the same arguments to go on" in last
    assert torch.load(tmp_path / "i.out")["stopped"]
    state = saving.read(tmp_path / "i.pt")
    assert state["step"] == len(state["losses"]) == len(torch.load(tmp_path / "i.out")["losses"])


def test_interrupt_in_memory_goes_on_with_the_same_weights():
    whole, part = network(0.3), network(0.3)
    before = signal.getsignal(signal.SIGINT)
    run(whole)
    rule = optim.AdamW(part.parameters(), 0.05)

    def go(steps=20, **options):
        return optim.train(
            part,
            loss_fn,
            optim.Shuffled(data(), 8, seed=2),
            rule,
            steps=steps,
            schedule=optim.Warmup(5, optim.Cosine(40)),
            clip=0.5,
            seed=3,
            **options,
        )

    def stop(r):
        if r.step == 9:
            os.kill(os.getpid(), signal.SIGINT)

    first = go(callbacks=[stop])
    assert (first.interrupted, first.step) == (True, 9)
    assert "resume=run" in repr(first)
    second = go(resume=first)
    assert (second.interrupted, second.step) == (False, 20)
    assert torch.equal(flat(part), flat(whole))
    assert signal.getsignal(signal.SIGINT) is before


def test_another_run_in_memory_is_refused_by_name():
    first = run(network(), 2)
    with pytest.raises(ValueError, match=r"interrupted run was made with clip = 0.5, .* has 0.7"):
        run(network(), 4, clip=0.7, resume=first)


def test_only_what_the_rule_trains_counts_for_clipping():
    def last_layer(model, steps=6):
        rule = optim.SGD(model[3].parameters(), 0.1)
        return optim.train(model, loss_fn, lambda s: data(), rule, steps=steps, clip=0.05).losses

    frozen = network()
    frozen[0].requires_grad_(False)
    assert last_layer(network()) == last_layer(frozen)


def test_each_step_draws_its_own_random_numbers_from_the_seed_alone():
    def draws(seed):
        drawn, model = [], network()

        def noisy(model, batch):
            drawn.append(torch.rand(()).item())
            return loss_fn(model, batch)

        rule = optim.SGD(model.parameters(), 0.1)
        optim.train(model, noisy, lambda s: data(), rule, steps=5, seed=seed)
        return drawn

    assert len({*draws(1), *draws(2)}) == 10
    assert draws(1) == draws(1)


def test_interrupt_between_two_halves_of_a_step_leaves_whole_weights():
    model = network()

    def impatient(model, batch):
        raise KeyboardInterrupt

    result = optim.train(
        model, impatient, lambda s: data(), optim.SGD(model.parameters(), 0.1), steps=5
    )
    assert (result.interrupted, result.step) == (True, 0)
    assert torch.equal(flat(model), flat(network()))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"clip": 0.7}, "clip = 0.5, this run has 0.7"),
        ({"seed": 4}, "seed = 3, this run has 4"),
        ({"lr": 0.01}, "rule = .*0.05.*, this run has .*0.01"),
        ({"schedule": optim.Constant()}, "schedule = Warmup.*this run has Constant"),
        ({"rule": optim.Adam}, "rule = AdamW"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path, change, name):
    run(network(), 2, callbacks=[optim.Checkpoint(tmp_path / "a.pt")])
    with pytest.raises(ValueError, match=name):
        run(network(), 4, callbacks=[optim.Checkpoint(tmp_path / "a.pt")], **change)


def test_checkpoint_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    saving.write(path, {"step": 1})

    def half(content, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        saving.write(path, {"step": 2})
    monkeypatch.undo()
    assert saving.read(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


class Explosive:
    def __reduce__(self):
        return (os.system, ("echo executed",))


def test_loading_runs_no_code_and_names_what_is_wrong(tmp_path):
    torch.save(Explosive(), tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"evil\.pt is not a training checkpoint"):
        saving.read(tmp_path / "evil.pt")
    torch.save({"format": 99}, tmp_path / "old.pt")
    with pytest.raises(ValueError, match="has checkpoint format 99, expected 1"):
        saving.read(tmp_path / "old.pt")
    with pytest.raises(FileNotFoundError):
        saving.read(tmp_path / "none.pt")


# --- progress -------------------------------------------------------------------------------


def test_progress_is_silent_where_nobody_watches(capfd):
    run(network(), 3, callbacks=[optim.Progress()])
    assert capfd.readouterr() == ("", "")


def test_progress_shows_loss_and_time_left_and_counts_on_after_a_resume(tmp_path, capfd):
    stream = io.StringIO()
    run(network(), 3, callbacks=[optim.Checkpoint(tmp_path / "a.pt")])
    result = run(
        network(),
        6,
        callbacks=[
            optim.Progress("demo", stream=stream),
            optim.Checkpoint(tmp_path / "a.pt"),
            lambda r: time.sleep(0.11),
        ],
    )
    shown = stream.getvalue()
    assert "demo:  50%" in shown
    assert "3/6" in shown
    assert f"loss {result.loss:.4g}" in shown
    assert "<" in shown  # elapsed < remaining
    assert shown.rstrip().endswith(f"demo: 6 of 6 steps, loss {result.loss:.4g}")
    assert capfd.readouterr() == ("", "")


def test_progress_in_a_kernel_leaves_one_line_without_times():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    code = """
import torch
from icl_lib import optim
model = torch.nn.Linear(1, 1)
_ = optim.train(model, lambda m, b: m(b).square().mean(), lambda s: torch.ones(2, 1),
            optim.SGD(model.parameters(), 0.1), steps=5, callbacks=[optim.Progress("demo")])
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert output.data["text/plain"].startswith("demo: 5 of 5 steps, loss ")


@pytest.mark.parametrize(
    "make", [lambda: optim.Checkpoint("x", every=0), lambda: optim.Evaluate(lambda m: {}, every=0)]
)
def test_periods_below_one_are_refused(make):
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        make()
