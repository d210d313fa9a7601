"""What a task must have; texts, templates and tokenizers."""

import pytest
import torch

from icl_lib.tasks.classification import (
    ClassificationTask,
    Example,
    Template,
    TextTask,
    check_task,
    render_demonstration,
)
from icl_lib.tasks.text import CharTokenizer
from icl_lib.tasks.tokenizers import BytePairTokenizer

EXAMPLES = [Example(("good film",), 1), Example(("bad film",), 0)]
SPLITS = {"train": EXAMPLES, "validation": EXAMPLES}
LABELS = ("Negative", "Positive")
TEMPLATE = Template("Review: {0} Sentiment:")
LETTERS = CharTokenizer.of("Review: good film bad Sentiment: Negative Positive\n")


def task(**options):
    given = {"name": "toy", "labels": LABELS, "splits": SPLITS, "template": TEMPLATE}
    return TextTask(**given | {"tokenizer": LETTERS} | options)


def test_texts_become_tokens():
    toy = task()
    assert isinstance(toy, ClassificationTask)
    check_task(toy)
    shown = LETTERS.decode(render_demonstration(toy, EXAMPLES[0]))
    assert shown == "Review: good film Sentiment: Positive\n"
    assert LETTERS.decode(toy.render(EXAMPLES[1])) == "Review: bad film Sentiment:"
    assert [LETTERS.decode(t) for t in toy.label_tokens] == [" Negative", " Positive"]
    wrong = LETTERS.decode(render_demonstration(toy, EXAMPLES[0], label=0))
    assert wrong.endswith(" Negative\n")
    assert toy.prefix.tolist() == []
    assert LETTERS.decode(toy.filler) == "\n"


def test_special_tokens_are_the_tokenizers_own_or_those_given():
    pairs = BytePairTokenizer.train("good film bad film " * 9, 270)
    toy = task(tokenizer=pairs)
    assert toy.prefix.tolist() == toy.separator.tolist() == [pairs.end]
    given = task(begin=(1,), between=(), neutral=(3, 4))
    assert given.prefix.tolist() == [1]
    assert given.separator.tolist() == []
    assert given.filler.tolist() == [3, 4]


def test_tokenizers_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {w: i for i, w in enumerate(["<s>", "</s>", "?", "film", "good", ":", "Positive"])}
    inner = Tokenizer(models.WordLevel(words, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="?"
    )
    toy = task(tokenizer=theirs)
    assert toy.prefix.tolist() == [0]
    assert toy.separator.tolist() == [1]
    assert toy.render(EXAMPLES[0]).tolist() == [2, 5, 4, 3, 2, 5]
    assert toy.label_tokens[1].tolist() == [6]


def test_splits_by_name():
    assert task().split("train") == EXAMPLES
    with pytest.raises(KeyError, match="no split 'test'; there are train, validation"):
        task().split("test")


def test_what_is_no_task_is_told_what_it_lacks():
    with pytest.raises(TypeError, match="this one lacks name, labels"):
        check_task(object())
    with pytest.raises(ValueError, match="has 1 labels"):
        check_task(task(labels=("Negative",)))
    with pytest.raises(ValueError, match="have the same tokens"):
        check_task(task(labels=("Negative", "Negative")))
    with pytest.raises(ValueError, match="'' of 'toy' has no tokens"):
        check_task(task(labels=("", "Positive"), template=Template("{0}", "{0}")))
    with pytest.raises(ValueError, match="filler"):
        check_task(task(neutral=()))


def test_render_is_remembered():
    toy = task()
    assert toy.render(EXAMPLES[0]) is toy.render(EXAMPLES[0])
    assert torch.equal(toy.render(EXAMPLES[0]), LETTERS.encode("Review: good film Sentiment:"))
