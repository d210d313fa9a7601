"""Every classification task by its name, and groups of them by theirs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from icl_lib.tasks import lab_tasks, real_datasets
from icl_lib.tasks.classification import ClassificationTask, Tokenizer
from icl_lib.tasks.sources import HUB

LAB, PRACTICE, REAL = "lab", "practice", "real"

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        LAB: tuple(lab_tasks.measured_tasks()),
        PRACTICE: tuple(lab_tasks.practice_tasks()),
        REAL: tuple(real_datasets.data_sets()),
    }
)
"""Six tasks each: of the lab language, to measure and to practise on; and the paper's."""

DEMONSTRATIONS: Mapping[str, int] = MappingProxyType({LAB: 16, PRACTICE: 16, REAL: 32})
"""How many are shown if nothing else is said: as many as the lab model was trained to read, and as
many as the paper shows."""

_ASKS = {"sst2": 0, "sst5": 0, "mr": 0, "subj": 1, "agnews": 2, "cb": 3}
"""Tasks with the same number ask for the same: three of the six for an opinion."""

_OTHER = dict(zip(_ASKS, ("agnews", "subj", "agnews", "sst5", "sst2", "subj"), strict=True))


def group_of(name: str) -> str:
    """Return the group to which a task belongs.

    Raises
    ------
    KeyError
        If no task is called so; the message lists those there are.

    Explained in: 16_paper_experiment
    """
    for group, names in GROUPS.items():
        if name in names:
            return group
    known = [task for names in GROUPS.values() for task in names]
    raise KeyError(
        f"no task is called {name!r}; there are {', '.join(known)} and the groups "
        f"{', '.join(GROUPS)}"
    )


def task_names(names: Sequence[str]) -> list[str]:
    """Return names of tasks, with those of its tasks in place of the name of a group.

    Raises
    ------
    KeyError
        As :func:`group_of`.

    Explained in: 16_paper_experiment
    """
    found = []
    for name in names:
        if name not in GROUPS:
            group_of(name)
        found += [task for task in GROUPS.get(name, (name,)) if task not in found]
    return found


def wrong_tasks_for(name: str) -> tuple[str, ...]:
    """Return tasks of the same six that ask for something else; the book takes the first.

    Raises
    ------
    KeyError
        As :func:`group_of`.

    Explained in: 17_chance
    """
    group = group_of(name)
    start = "" if group == REAL else f"{group}-"
    name = name.removeprefix(start)
    others = [other for other, asks in _ASKS.items() if asks != _ASKS[name]]
    others.sort(key=lambda other: other != _OTHER[name])
    return tuple(f"{start}{other}" for other in others)


def find_task(
    name: str,
    tokenizer: Tokenizer | None,
    *,
    source: str | Path = HUB,
    variant: str = "paper",
) -> ClassificationTask:
    """Return a task by name.

    Parameters
    ----------
    name
        One of the six data sets; or a task of the lab language, measured (``lab-…``) or for
        practice (``practice-…``).
    tokenizer
        Of the model that is to read it; the lab language needs none.
    source
        A folder with the files of the data set, or with a folder of its name that has them; or
        ``hf:`` for the hub.
    variant
        Of the template, see :mod:`icl_lib.tasks.real_datasets`.

    Raises
    ------
    KeyError
        If no task is called so; the message lists those there are.
    ValueError
        If the task is made of texts and the model has no tokenizer.

    Explained in: 19_real_models
    """
    if group_of(name) != REAL:
        return (lab_tasks.measured_tasks() | lab_tasks.practice_tasks())[name]
    if tokenizer is None:
        raise ValueError(f"{name} is made of texts, but this model has no tokenizer")
    if not str(source).startswith(HUB) and (Path(source) / name).is_dir():
        source = Path(source) / name
    return real_datasets.load_task(name, tokenizer, source=source, variant=variant)
