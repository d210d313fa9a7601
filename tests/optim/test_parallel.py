"""Two processes with half the batch each end where one process with the whole batch ends."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from icl_lib.optim import parallel

SCRIPT = """
    import sys
    import torch
    from torch import nn
    from icl_lib import optim
    torch.set_num_threads(1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 1)

        def predict(self, x):  # not `forward`: a loss may call any method
            return self.b(torch.tanh(self.a(x)))

    def go(steps):
        model = Net().double()
        run = optim.train(
            model, lambda m, b: ((m.predict(b[0]) - b[1]) ** 2).mean(),
            optim.Shuffled((x, x.sum(1, keepdim=True).tanh()), 8, seed=2),
            getattr(optim, sys.argv[2])(model.parameters(), 0.02), steps=steps,
            clip=0.5, schedule=optim.Warmup(5, optim.Cosine(55)),
            callbacks=[optim.Checkpoint(sys.argv[1] + ".pt", every=10)])
        return model, run

    with optim.process_group() as (rank, world):
        torch.manual_seed(1 + rank * 10)  # the first process's weights win
        g = torch.Generator().manual_seed(7)
        x = torch.randn(48, 5, generator=g, dtype=torch.float64)
        if world > 1:
            go(25)
            torch.distributed.barrier()  # the file is written
        model, run = go(40)
        if rank == 0:
            torch.save(dict(weights=[p.detach() for p in model.parameters()],
                            losses=run.losses, world=world), sys.argv[1])
"""


def launch(folder, name, rule="AdamW", *, processes):
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        if processes > 1
        else []
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *launcher, str(script), str(folder / name), rule],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / name)


def gap(one, two):
    pairs = zip(one["weights"], two["weights"], strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


@pytest.mark.slow
def test_two_processes_equal_one_and_resume_in_two(tmp_path):
    one = launch(tmp_path, "one", processes=1)
    two = launch(tmp_path, "two", processes=2)
    assert (one["world"], two["world"]) == (1, 2)
    assert gap(one, two) < 1e-12
    assert max(abs(a - b) for a, b in zip(one["losses"], two["losses"], strict=True)) < 1e-12


def test_shares_of_a_batch_make_up_the_batch():
    batch = {"x": torch.arange(6), "pair": (torch.arange(12).reshape(6, 2), [torch.ones(6)])}
    shares = [parallel.share(batch, rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat([s["x"] for s in shares]), batch["x"])
    assert torch.equal(torch.cat([s["pair"][0] for s in shares]), batch["pair"][0])
    assert shares[1]["pair"][1][0].shape == (2,)
    assert parallel.share("anything", 0, 1) == "anything"


def test_uneven_shares_are_refused():
    with pytest.raises(ValueError, match=r"shape \(5, 2\) cannot be divided evenly among 2"):
        parallel.share(torch.zeros(5, 2), 0, 2)
    with pytest.raises(TypeError, match="cannot divide a batch of type str"):
        parallel.share("text", 0, 2)


def test_one_process_needs_no_group():
    with parallel.process_group() as place:
        assert place == (0, 1)
