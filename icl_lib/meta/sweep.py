"""Many comparisons: seeds × step sizes × tasks × models, on one machine or on many.

Every cell writes its own file, whole or not at all, so a sweep that was killed goes on where it
stood. The work is handed out by joblib; its processes are local, or Ray's on a cluster.
"""

import contextlib
import hashlib
import itertools
import json
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import joblib

from icl_lib.meta.result import Result, examples_path


@dataclass(frozen=True)
class Cell:
    """One comparison of a sweep, told by names, so that it can travel to another machine.

    Attributes
    ----------
    model, task
        Names that the measuring function knows.
    seed, lr
        Of the demonstrations, and of finetuning.
    """

    model: str
    task: str
    seed: int
    lr: float

    @property
    def name(self) -> str:
        """A file name that no other cell has."""
        plain = f"{self.model}-{self.task}".replace(os.sep, "-")
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in plain)[-60:].strip(".-")
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:10]
        return f"{safe}-seed{self.seed}-lr{self.lr:g}-{digest}"


@dataclass(frozen=True)
class Report:
    """What became of a sweep.

    Attributes
    ----------
    done, found, failed
        Names of the cells that were measured now, that were there already, and that failed, the
        last with the first line of the problem.
    """

    done: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """Return one sentence, and a line for each failure."""
        lines = [
            f"{len(self.done)} cells measured, {len(self.found)} were there already, "
            f"{len(self.failed)} failed"
        ]
        return "\n".join([*lines, *(f"  {name}: {why}" for name, why in self.failed.items())])


def grid(
    models: Sequence[str], tasks: Sequence[str], seeds: Sequence[int], lrs: Sequence[float]
) -> list[Cell]:
    """Return every combination as a cell.

    Raises
    ------
    ValueError
        If one of the lists is empty or names something twice.

    Source: Dai et al. (2023): 2 models, 6 tasks, 7 seeds, 36 step sizes.

    Explained in: 19_real_models
    """
    for name, values in (("models", models), ("tasks", tasks), ("seeds", seeds), ("lrs", lrs)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name} must name at least one, and none twice; got {list(values)}")
    return [Cell(*values) for values in itertools.product(models, tasks, seeds, lrs)]


def sweep(
    measure: Callable[[Cell], Result],
    cells: Sequence[Cell],
    out: str | Path,
    *,
    jobs: int = 1,
    address: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Measure all cells that have no result yet; each writes its own file as soon as it is done.

    Parameters
    ----------
    measure
        Returns the result of a cell. It must be importable where the work is done.
    cells
        See :func:`grid`.
    out
        Folder of the results, one Parquet file a cell. A cell that failed leaves a ``.error.txt``
        there and is tried again by the next call; the others go on.
    jobs
        Processes; −1 for one a core.
    address
        Of a Ray cluster (``auto``, or ``ray://host:port``). Every machine must see ``out``.
    progress
        Called with the name of each cell that is done or has failed.

    Raises
    ------
    ImportError
        If an address is given and Ray is not installed.

    Explained in: 19_real_models
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    found = tuple(cell.name for cell in cells if is_done(out, cell))
    left = [cell for cell in cells if cell.name not in set(found)]
    done, failed = [], {}
    with _backend(address):
        work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        for name, problem in work(joblib.delayed(_run)(measure, cell, out) for cell in left):
            if problem is None:
                done.append(name)
            else:
                failed[name] = problem
            if progress is not None:
                progress(name if problem is None else f"{name}: {problem}")
    return Report(tuple(sorted(done)), found, dict(sorted(failed.items())))


def load_sweep(out: str | Path) -> Result:
    """Return the results of all cells that are done, in one table.

    Raises
    ------
    FileNotFoundError
        If the folder holds none.

    Explained in: 19_real_models
    """
    files = sorted(p for p in Path(out).glob("*.parquet") if not p.name.startswith("."))
    files = [p for p in files if not p.name.endswith(".examples.parquet")]
    if not files:
        raise FileNotFoundError(f"no results in {out}")
    return Result.concat(Result.load(path) for path in files)


def is_done(out: Path, cell: Cell) -> bool:
    """Tell whether a cell has a complete result: the table is written last."""
    return _file(out, cell).is_file() and examples_path(_file(out, cell)).is_file()


def _file(out: Path, cell: Cell) -> Path:
    return out / f"{cell.name}.parquet"


def _run(measure: Callable[[Cell], Result], cell: Cell, out: Path) -> tuple[str, str | None]:
    """Measure one cell and write it, or write what went wrong."""
    note = out / f"{cell.name}.error.txt"
    with _claimed(out / f".{cell.name}.lock"):
        if is_done(out, cell):  # by a process of a killed sweep that had gone on
            return cell.name, None
        try:
            measure(cell).save(_file(out, cell))
        except Exception as problem:
            note.write_text(traceback.format_exc(), "utf-8")
            first = str(problem).strip().splitlines() or [""]
            return cell.name, f"{type(problem).__name__}: {first[0]}"
        note.unlink(missing_ok=True)
    return cell.name, None


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, where the system has one."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _backend(address: str | None) -> contextlib.AbstractContextManager:
    if address is None:
        return contextlib.nullcontext()
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise ImportError(
            "a Ray address needs Ray: pip install 'icl-lib[cluster]'; without an address local "
            "processes do the work"
        ) from None
    ray.init(address=address, ignore_reinit_error=True)
    register_ray()
    return joblib.parallel_config(backend="ray")
