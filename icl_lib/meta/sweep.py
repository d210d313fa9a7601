"""Many comparisons: seeds × step sizes × tasks × models, on one machine or on many.

Cells that differ in their step size only are measured together, so that what does not depend on it
is read once. Every cell writes its own file, whole or not at all, so a sweep that was killed goes
on where it stood, and a worker that is killed takes no result with it. The work is handed out by
joblib; its processes are local, or Ray's on a cluster.
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
from joblib.externals.loky import ProcessPoolExecutor

from icl_lib.meta.result import Result, examples_path

Prepare = Callable[[str, str, int], Callable[[float], Result]]
"""From model, task and seed to what compares with a given step size."""

TRIES = 2
"""How often a cell whose worker is killed is tried."""


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


def groups(cells: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """Return the cells that differ in nothing but their step size together.

    Explained in: 19_real_models
    """
    found: dict[tuple, list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.model, cell.task, cell.seed), []).append(cell)
    return [tuple(group) for group in found.values()]


def sweep(
    prepare: Prepare,
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
    prepare
        Called with model, task and seed; returns what is called with each step size and returns
        the result of a cell. It must be importable where the work is done.
    cells
        See :func:`grid`.
    out
        Folder of the results, one Parquet file a cell. A cell that failed leaves a ``.error.txt``
        there and is tried again by the next call; the others go on.
    jobs
        Processes; −1 for one a core, which 1 means, too, on Ray. If the system kills one, as it
        does when memory is short, the cell it was at is tried once more, alone, and then reported.
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
    jobs = -1 if address is not None and jobs == 1 else jobs
    work = _Work(prepare, out, jobs, progress or (lambda text: None))
    left = [c for c in cells if c.name not in set(found)]
    with _backend(address) as kind:
        work.all(groups(left), kind)
    return Report(tuple(sorted(work.done)), found, dict(sorted(work.failed.items())))


@dataclass
class _Work:
    """What is to be done, and what became of it."""

    prepare: Prepare
    out: Path
    jobs: int
    tell: Callable[[str], None]
    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)

    def all(self, todo: list[tuple[Cell, ...]], kind: str | None) -> None:
        """Hand out all groups; after a worker's death, what was at work is tried alone."""
        while todo:
            for group in todo:
                _mark(self.out, group).unlink(missing_ok=True)
            if self._handed_out(todo, self.jobs, kind):
                return
            left = [group for group in map(self._left, todo) if group]
            # who has not begun anything when it dies leaves no mark
            for group in [group for group in left if self._begun(group)] or left[:1]:
                self._alone(group, kind)
            todo = [left for group in todo if (left := self._left(group))]

    def _alone(self, group: tuple[Cell, ...], kind: str | None) -> None:
        """Try the cell that a dead worker was at while nothing else runs, so that guilt is sure."""
        cell, tries = self._at(group) or group[0], 1
        while self._left((cell,)):
            if tries == TRIES:
                mine = (cell,) if self._at(group) else group
                why = "the system killed its process, perhaps for want of memory"
                for lost in self._left(mine):
                    _note(self.out, lost).write_text(f"{why}\n", "utf-8")
                    self._told(lost.name, why)
                return
            _mark(self.out, group).unlink(missing_ok=True)
            tries += not self._handed_out([(cell,)], 1, kind or "loky")

    def _handed_out(self, todo: list[tuple[Cell, ...]], jobs: int, kind: str | None) -> bool:
        """Run groups; tell whether all workers have lived."""
        if jobs == 1 and kind is None:
            for name, problem in itertools.chain(*(_run(self.prepare, g, self.out) for g in todo)):
                self._told(name, problem)
            return True
        try:
            for found in self._results(todo, jobs, kind):
                for name, problem in found:
                    self._told(name, problem)
        except _deaths():
            for cell in itertools.chain(*todo):  # done by workers that were killed later
                if cell.name not in self.done and is_done(self.out, cell):
                    self._told(cell.name, None)
            return False
        return True

    def _results(self, todo: list[tuple[Cell, ...]], jobs: int, kind: str | None) -> Iterator[list]:
        """Yield what becomes of each group, as soon as it is known."""
        calls = [(self.prepare, group, self.out) for group in todo]
        if jobs == 1 and kind == "loky":  # joblib would do it in this process
            with ProcessPoolExecutor(max_workers=1) as alone:
                yield alone.submit(_run_all, *calls[0]).result()
            return
        # Ray's backend knows no generators, so all is told at the end; 1 would be this process
        ray = kind == "ray"
        many = joblib.Parallel(
            n_jobs=2 if ray and jobs == 1 else jobs,
            return_as="list" if ray else "generator_unordered",
        )
        yield from many(joblib.delayed(_run_all)(*call) for call in calls)

    def _told(self, name: str, problem: str | None) -> None:
        if problem is None:
            self.done.add(name)
        else:
            self.failed[name] = problem
        self.tell(name if problem is None else f"{name}: {problem}")

    def _left(self, group: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return tuple(c for c in group if c.name not in self.done and c.name not in self.failed)

    def _begun(self, group: tuple[Cell, ...]) -> bool:
        return _mark(self.out, group).is_file()

    def _at(self, group: tuple[Cell, ...]) -> Cell | None:
        """Return the cell that a group's worker is at; none, if it still prepares."""
        mark = _mark(self.out, group)
        name = mark.read_text("utf-8").strip() if mark.is_file() else ""
        return next((c for c in group if c.name == name), None)


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


def _mark(out: Path, group: tuple[Cell, ...]) -> Path:
    """Return the file that names the cell at which a group's worker is."""
    cell = group[0]
    return out / f".{Cell(cell.model, cell.task, cell.seed, 0.0).name}.at"


def _run(prepare: Prepare, group: tuple[Cell, ...], out: Path) -> Iterator[tuple[str, str | None]]:
    """Measure the cells of one group; write each, or what went wrong, and yield its name."""
    mark, compare = _mark(out, group), None
    with _claimed(mark.with_suffix(".lock")):
        mark.write_text("", "utf-8")
        # by a process of a killed sweep that had gone on
        there = {cell.name for cell in group if is_done(out, cell)}
        for cell in group:
            problem = None
            if cell.name not in there:
                try:
                    compare = compare or prepare(cell.model, cell.task, cell.seed)
                    mark.write_text(cell.name, "utf-8")
                    compare(cell.lr).save(_file(out, cell))
                except Exception as found:
                    problem = _noted(out, cell, found)
                else:
                    _note(out, cell).unlink(missing_ok=True)
            yield cell.name, problem
        mark.unlink(missing_ok=True)


def _run_all(*group) -> list[tuple[str, str | None]]:
    """Run a group to its end: what is handed to another process."""
    return list(_run(*group))


def _note(out: Path, cell: Cell) -> Path:
    return out / f"{cell.name}.error.txt"


def _noted(out: Path, cell: Cell, problem: Exception) -> str:
    """Write what went wrong with a cell and return it in a line."""
    text = "".join(traceback.format_exception(problem))
    _note(out, cell).write_text(text, "utf-8")
    first = str(problem).strip().splitlines() or [""]
    return f"{type(problem).__name__}: {first[0]}"


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


def _deaths() -> tuple[type[Exception], ...]:
    """Return the exceptions that say that a worker has died."""
    from concurrent.futures import BrokenExecutor

    try:
        from ray.exceptions import RayActorError
    except ImportError:
        return (BrokenExecutor,)
    return (BrokenExecutor, RayActorError)


@contextlib.contextmanager
def _backend(address: str | None) -> Iterator[str | None]:
    """Choose who does the work, and give Ray back what was taken."""
    if address is None:
        yield None
        return
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise ImportError(
            "a Ray address needs Ray: pip install 'icl-lib[cluster]'; without an address local "
            "processes do the work"
        ) from None
    ours = not ray.is_initialized()
    ray.init(address=address, ignore_reinit_error=True)
    register_ray()
    try:
        with joblib.parallel_config(backend="ray"):
            yield "ray"
    finally:
        if ours:
            ray.shutdown()
