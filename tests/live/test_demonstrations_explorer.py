"""The demonstrations explorer: what it keeps of its records, and what a reader sees of them."""

import gzip
import importlib.util
import math
from pathlib import Path

import pytest
import torch
from live.harness import Move, Visit, assert_equal_numbers, write_page

from icl_lib.live import DemonstrationsExplorer
from icl_lib.live.figures.demonstrations_explorer import views
from icl_lib.meta import Finetuning
from icl_lib.meta.explore import explore, in_turn
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.tasks.lab_tasks import measured_tasks

SPEC = importlib.util.spec_from_file_location(
    "explorer_case", Path(__file__).parent / "cases" / "demonstrations_explorer.py"
)
case = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(case)

ONE, OTHER = case.exploration("one", ("#0", "#1"), 1), case.exploration("b", ("#0", "#1"), 2)


def varied(**changes):
    """Return the first exploration with other attributes."""
    return type(ONE)(**{**vars(ONE), **changes})


@pytest.mark.parametrize("subset", range(8))
@pytest.mark.parametrize("look", views(case.LAYERS, case.HEADS))
def test_kept_attention_is_true_to_a_hundredth(subset, look):
    figure = DemonstrationsExplorer([ONE], look=look)
    figure.shown = subset
    layer, *head = (int(x.split()[1]) - 1 for x in look.split(", ")) if look != "mean" else (None,)
    for query, words in enumerate(ONE.queries):
        figure.query = query
        whole = ONE.attention[subset, query]
        whole = whole if layer is None else whole[layer : layer + 1]
        whole = whole[:, head[0]] if head else whole
        kept = case.attention(figure.state())
        there = [i for i, o in enumerate(ONE.owners) if o < 0 or subset >> o & 1]
        there += [len(ONE.owners) + i for i in range(len(words))]
        wanted = whole.flatten(0, -2).mean(0)[there]
        assert (kept - wanted).abs().max() < 0.02
        assert kept.sum().item() == pytest.approx(1, abs=1e-12)


def test_kept_probabilities_are_those_of_the_records_to_four_decimals():
    figure = DemonstrationsExplorer([ONE, OTHER], task=1, query=1, shown=(1,))
    found = figure.answers()
    wanted = (
        OTHER.in_context[0, 1],
        OTHER.in_context[2, 1],
        OTHER.finetuned[2, 1],
        OTHER.bayes[2, 1],
    )
    assert list(found) == ["zero_shot", "in_context", "finetuned", "bayes"]
    for ours, theirs in zip(found.values(), wanted, strict=True):
        assert ours == pytest.approx(theirs.tolist(), abs=0.50001e-4)


def test_sentence_and_picture_say_the_right_labels_probabilities():
    figure = DemonstrationsExplorer([ONE], shown=(0, 2))
    gold = ONE.asked[0]
    for row in (ONE.in_context[5], ONE.in_context[0], ONE.finetuned[5], ONE.bayes[5]):
        told = f"{round(10_000 * row[0, gold].item()) / 10_000:.2f}"
        assert told in figure.sentence()
        assert f">{told}<" in figure.picture()
    assert "with 2 of 3 demonstrations" in figure.sentence()
    assert "2  debadi #0  (left out)" in figure.picture()


def test_means_of_layers_weigh_less():
    heads, layers = DemonstrationsExplorer([ONE]), DemonstrationsExplorer([ONE], heads=False)
    sizes = [len("".join(f.records[0]["attention"])) for f in (heads, layers)]
    assert sizes[0] == case.HEADS * sizes[1]
    assert layers.records[0]["heads"] == [case.LAYERS, 1]
    assert views(2, 1) == ["mean", "layer 1", "layer 2"]
    layers.look = "layer 2"
    wanted = ONE.attention[7, 0, 1].mean(0)
    assert (case.attention(layers.state()) - wanted).abs().max() < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"explorations": []}, "there must be an exploration"),
        ({"task": 1}, "task must be between 0 and 0, got 1"),
        ({"query": 2}, "query must be between 0 and 1, got 2"),
        ({"shown": (0, 3)}, "shown must be between 0 and 2, got 3"),
        ({"look": "layer 3"}, "look must be one of mean, layer 1, layer 1, head 1"),
        (
            {"heads": False, "look": "layer 1, head 1"},
            "look must be one of mean, layer 1, layer 2,",
        ),
        ({"explorations": [ONE, varied(asked=(0,))]}, "the same numbers of demonstrations"),
        ({"explorations": [ONE, varied(bayes=None)]}, "needs 8 rows of each condition"),
        ({"explorations": [varied(finetuned=ONE.finetuned[:4])]}, r"8 rows .* got \[4, 8\]"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DemonstrationsExplorer(**{"explorations": [ONE], **arguments})


@pytest.fixture
def show(browser, tmp_path):
    visits = []

    def opened(figure, **context) -> Visit:
        visits.append(Visit(browser, write_page(tmp_path, figure).as_uri(), **context).ready())
        return visits[-1]

    yield opened
    for visit in visits:
        visit.close()


@pytest.mark.browser
def test_every_subset_shows_its_own_record(show):
    visit, seen = show(case.make()), set()
    # a Gray code reaches all subsets, one switch at a time
    for switch in (1, 2, 1, 3, 1, 2, 1, 3):
        visit.press(Move("button", f"Demonstration {switch}", "Space"))
        state = visit.state()
        assert_equal_numbers(visit.numbers(), case.reference(state))
        seen.add(state["shown"])
        pressed = visit.page.eval_on_selector_all(
            ".icl-prompt-row button", "all => all.map(b => b.getAttribute('aria-pressed'))"
        )
        assert pressed == [str(bool(state["shown"] >> i & 1)).lower() for i in range(3)]
        bars = visit.page.locator(".icl-prompt-row .icl-chip:not(.icl-chip-out)").count()
        assert bars == len(visit.numbers()["attention"])
    assert seen == set(range(8))
    assert visit.errors == []


@pytest.mark.browser
def test_numbers_in_words_are_those_of_the_records(show):
    visit = show(DemonstrationsExplorer([ONE], shown=(0, 2)))
    said, gold = visit.page.inner_text(".icl-sentence"), ONE.asked[0]
    for row in (ONE.in_context[5], ONE.in_context[0], ONE.finetuned[5], ONE.bayes[5]):
        assert f"{round(10_000 * row[0, gold].item()) / 10_000:.2f}" in said
    assert "With demonstrations 1 and 3 in the prompt" in said
    chips = visit.page.locator(".icl-chip:not(.icl-chip-out) small").all_inner_texts()
    wanted = [math.floor(100 * w + 0.5) for w in visit.numbers()["attention"]]
    assert [int(chip) for chip in chips] == wanted
    assert visit.page.locator(".icl-chip-out").count() == 2
    visit.press(Move("button", "None", "Enter"))
    assert "nothing to read and nothing to train on" in visit.page.inner_text(".icl-sentence")


@pytest.mark.browser
def test_words_are_shown_as_they_are_and_what_is_asked_is_bold(show):
    visit = show(DemonstrationsExplorer([ONE]))
    words = visit.page.locator(".icl-chip-word").all_inner_texts()
    assert words == [w.replace("*", "") for w in (*ONE.words, *ONE.queries[0])]
    bold = visit.page.locator(".icl-chip-word strong").all_inner_texts()
    assert bold == ["ka", "ba", "ka", "ba", "ba"]


@pytest.mark.browser
def test_without_a_best_reader_and_meanings_there_is_no_column(show):
    visit = show(DemonstrationsExplorer([case.exploration("plain", ("yes", "no"), 3, bayes=False)]))
    heads = visit.page.locator(".icl-answers thead th").all_inner_texts()
    assert heads == ["label", "zero-shot", "in context", "finetuned"]
    assert_equal_numbers(visit.numbers(), case.reference(visit.state()))
    assert visit.page.get_by_role("combobox", name="Task and its labels").count() == 0
    assert "best possible" not in visit.page.inner_text("icl-figure")


@pytest.mark.browser
def test_right_and_wrong_answers_are_marked(show):
    visit = show(DemonstrationsExplorer([ONE], shown=(0,)))
    marks = visit.page.locator(".icl-answers tfoot [role=img]").all()
    rows = ONE.in_context[0], ONE.in_context[1], ONE.finetuned[1], ONE.bayes[1]
    wanted = ["right" if int(row[0].argmax()) == ONE.asked[0] else "wrong" for row in rows]
    assert [mark.get_attribute("aria-label") for mark in marks] == wanted
    gold = visit.page.locator(".icl-answers tr.icl-gold th").inner_text()
    assert gold.startswith(ONE.labels[ONE.asked[0]])
    assert "right" in gold


@pytest.fixture(scope="module")
def explored():
    task = measured_tasks()["lab-agnews"]
    config = GPTConfig(task.lab.vocab_size, 64, 3, 4, 16, positions="sinusoidal")
    examples = in_turn(task.split("train"), 5), in_turn(task.split("validation"), 4)
    return explore(GPT(config, seed=0), task, *examples, finetuning=Finetuning(lr=1.0))


def test_the_figure_takes_what_explore_returns(explored):
    figure = DemonstrationsExplorer([explored], query=2)
    for subset in (0, 9, 31):
        figure.shown = subset
        found = figure.answers()
        for name in ("in_context", "finetuned", "bayes"):
            wanted = getattr(explored, name)[subset, 2].tolist()
            assert found[name] == pytest.approx(wanted, abs=0.50001e-4)
        weights = explored.attention[subset, 2].mean((0, 1))
        there = [o < 0 or subset >> o & 1 == 1 for o in explored.owners] + [True] * 4
        assert (case.attention(figure.state()) - weights[torch.tensor(there)]).abs().max() < 0.02
    assert figure.sentence().startswith("lab-agnews: with 5 of 5 demonstrations")


def test_a_task_of_thirty_two_prompts_weighs_little(explored):
    assert len(gzip.compress(DemonstrationsExplorer([explored]).html().encode(), 6)) < 25_000
