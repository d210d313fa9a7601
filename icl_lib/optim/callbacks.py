"""What may happen around the steps of a training: one list of callbacks, run in order."""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from icl_lib.optim import parallel, saving
from icl_lib.optim.run import Run


class Callback:
    """Does nothing; overwrite what you need. A plain function ``f(run)`` acts as ``after_step``."""

    def restore(self, run: Run) -> None:
        """Bring ``run`` back to where it was, before anything else happens."""

    def start(self, run: Run) -> None:
        """Run before the first step."""

    def after_step(self, run: Run) -> None:
        """Run after every step; ``run.step`` steps are done."""

    def end(self, run: Run) -> None:
        """Run when the training ends, also when it was interrupted."""


class Checkpoint(Callback):
    """Save the run every so many steps, and go on from the file if there is one.

    A run that was killed at any moment and started again by the same command ends with the same
    weights, bit for bit on one CPU: the file holds weights, the rule's memory, the step and the
    losses; place in the schedule, data order and dropout follow from the step and the seed.

    Parameters
    ----------
    path
        The file; among several processes the first one writes and all read.
    every
        Steps between two saves.
    resume
        ``False`` starts anew and overwrites the file at the first save.
    """

    def __init__(self, path: str | Path, *, every: int = 100, resume: bool = True):
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.path, self.every, self.resume = Path(path), every, resume
        self.saved_at: int | None = None

    def restore(self, run: Run) -> None:
        """Load the file if it exists and belongs to this run."""
        run.checkpoint = self.path
        if self.resume and self.path.exists():
            run.load_state_dict(saving.read(self.path))
            self.saved_at = run.step

    def save(self, run: Run) -> None:
        """Write the file now, from the first process only."""
        if parallel.place()[0] == 0 and self.saved_at != run.step:
            saving.write(self.path, run.state_dict())
        self.saved_at = run.step

    def after_step(self, run: Run) -> None:
        """Save when it is time."""
        if run.step % self.every == 0:
            self.save(run)

    def end(self, run: Run) -> None:
        """Save the last state."""
        self.save(run)


class Evaluate(Callback):
    """Measure something every so many steps, and at the start; rows go to ``run.records``.

    Parameters
    ----------
    measure
        ``measure(model) -> dict`` of numbers; runs in evaluation mode and without gradients.
    every
        Steps between two measurements.
    """

    def __init__(self, measure: Callable[..., dict], *, every: int):
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.measure, self.every = measure, every

    def start(self, run: Run) -> None:
        """Measure before the first step."""
        if run.step == 0 and not run.records:
            run.record(self.measure)

    def after_step(self, run: Run) -> None:
        """Measure when it is time."""
        if run.step % self.every == 0 or run.step == run.steps:
            run.record(self.measure)


class Progress(Callback):
    """A progress bar with the loss and the time that is left.

    In a terminal it is a line that renews itself on standard output. In a notebook it is one
    line of output, which at the end holds the result and no times, so that executing a notebook
    twice gives the same page. Elsewhere, as in a log file or a test, it is silent.

    Parameters
    ----------
    label
        Stands before the bar.
    stream
        Where to write; by default standard output, if that is a terminal.
    """

    def __init__(self, label: str = "training", *, stream: io.TextIOBase | None = None):
        self.label, self.stream = label, stream
        self.bar: tqdm | None = None
        self.handle = None

    def start(self, run: Run) -> None:
        """Show the empty bar."""
        self.began, self.shown, self.first = time.monotonic(), 0.0, run.step
        stream = sys.stdout if self.stream is None else self.stream
        self.handle = _notebook_line() if self.stream is None else None
        if parallel.place()[0] == 0 and (self.stream is not None or stream.isatty()):
            self.bar = tqdm(
                total=run.steps, initial=run.step, desc=self.label, file=stream, mininterval=0.1
            )

    def after_step(self, run: Run) -> None:
        """Advance it."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {run.loss:.4g}", refresh=False)
            self.bar.update()
        elif self.handle is not None and time.monotonic() - self.shown > 0.2:
            self.shown = time.monotonic()
            meter = tqdm.format_meter(
                run.step,
                run.steps,
                self.shown - self.began,
                initial=self.first,
                prefix=self.label,
                postfix=f"loss {run.loss:.4g}",
                ncols=90,
            )
            self.handle.update(_Line(meter))

    def end(self, run: Run) -> None:
        """Leave the last state, and how to go on if the run was interrupted."""
        text = f"{self.label}: {run.summary()}"
        if self.bar is not None:
            self.bar.close()
            self.bar.write(text, file=self.bar.fp)
            self.bar = None
        elif self.handle is not None:
            self.handle.update(_Line(text))


class _Line:
    """Text that a notebook shows as it is."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _notebook_line():
    """Return a handle to one renewable line of a notebook's output, or ``None`` outside of one."""
    shell = sys.modules.get("IPython")
    shell = shell.get_ipython() if shell is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    return display(_Line(""), display_id=True)
