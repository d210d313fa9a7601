"""Every classification task by its name."""

from pathlib import Path

from icl_lib.tasks import lab_tasks, real_datasets
from icl_lib.tasks.classification import ClassificationTask, Tokenizer
from icl_lib.tasks.sources import HUB


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
    lab = lab_tasks.measured_tasks() | lab_tasks.practice_tasks()
    if name in lab:
        return lab[name]
    known = list(real_datasets.data_sets())
    if name not in known:
        raise KeyError(f"no task is called {name!r}; there are {', '.join([*known, *lab])}")
    if tokenizer is None:
        raise ValueError(f"{name} is made of texts, but this model has no tokenizer")
    if not str(source).startswith(HUB) and (Path(source) / name).is_dir():
        source = Path(source) / name
    return real_datasets.load_task(name, tokenizer, source=source, variant=variant)
