"""What the protocol costs: counted by formula, by torch while it runs, and from a record."""

import pytest
import torch

from icl_lib.meta import compare, cost
from icl_lib.meta.controls import CONTROLS, DEFAULT
from icl_lib.meta.cost import Lengths, Parts
from icl_lib.meta.prompts import check_lengths, choose_demonstrations, choose_queries
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.models.presets import count_parameters, preset, presets
from icl_lib.tasks.classification import Example


class Even:
    """Texts of twenty tokens each, so that no batch needs padding."""

    labels = ("a", "b")
    prefix, separator, filler = torch.tensor([0]), torch.tensor([1]), torch.tensor([2])
    label_tokens = (torch.tensor([3]), torch.tensor([4]))

    def __init__(self, name="even"):
        self.name = name

    def split(self, name):
        generator = torch.Generator().manual_seed(len(name))
        rows = torch.randint(5, 200, (60, 20), generator=generator).tolist()
        return [Example((tuple(row),), i % 2) for i, row in enumerate(rows)]

    def render(self, example):
        return torch.tensor(list(example.parts[0]))


@pytest.fixture(scope="module")
def model():
    return GPT(GPTConfig(400, 512, 3, 4, 64), seed=0)


@pytest.mark.parametrize(
    "controls", [(), DEFAULT, ("shuffled-labels",), ("padding",), ("untrained", "noise")]
)
def test_formula_is_what_torch_counts(model, controls):
    task, sizes = Even(), {"demonstrations": 10, "queries": 24}
    counted = cost.counted(lambda: compare(model, task, controls=controls, spectra=0, **sizes))
    lengths = Lengths.of(task, 10, queries=24)
    formula = cost.operations(model.config, lengths, Parts.of(controls))
    assert sum(formula.values()) == pytest.approx(counted, rel=0.01)


def test_wrong_task_trains_and_reads_once_more(model):
    task, few = Even(), ("wrong-task",)
    lengths = Lengths.of(task, 6, queries=12)
    counted = cost.counted(
        lambda: compare(
            model,
            task,
            controls=few,
            wrong_task=Even("other"),
            demonstrations=6,
            queries=12,
            spectra=0,
        )
    )
    formula = cost.operations(model.config, lengths, Parts.of(few, wrong_task=True))
    assert sum(formula.values()) == pytest.approx(counted, rel=0.03)


def test_counter_knows_fused_attention_forward_and_backward():
    q = torch.randn(1, 2, 16, 8, requires_grad=True)
    attend = torch.nn.functional.scaled_dot_product_attention

    def both():
        attend(q, q, q, is_causal=True).sum().backward()

    assert cost.counted(lambda: attend(q, q, q, is_causal=True)) == 4 * 2 * 16 * 16 * 8
    assert cost.counted(both) == (4 + 10) * 2 * 16 * 16 * 8


def test_operations_of_a_token_are_two_for_each_weight_of_the_blocks():
    for name in ("gpt2", "gpt2-xl", "fairseq-2.7b"):
        config = preset(name)
        parts = count_parameters(config)
        biases = config.layers * (4 * config.width + config.mlp_width + config.width)
        weights = parts["attention"] + parts["mlp"] - biases
        assert cost.per_token(config) == 2 * weights


def test_sharing_saves_readings_of_demonstrations_and_nothing_else():
    lengths, config = Lengths.alike(32, 256, 24), preset("gpt2")
    fast, slow = (cost.operations(config, lengths, shared=shared) for shared in (True, False))
    assert slow["demonstrations"] == 256 * fast["demonstrations"]
    assert {k: v for k, v in slow.items() if k != "demonstrations"} == {
        k: v for k, v in fast.items() if k != "demonstrations"
    }
    one = Lengths.alike(32, 1, 24)
    assert cost.operations(config, one) == cost.operations(config, one, shared=False)


def test_parts_grow_with_what_is_asked():
    alone = Parts.of(())
    assert (alone.long, alone.short, alone.trainings, alone.comparisons) == (1, 2, 1, 1)
    assert not alone.fresh
    everything = Parts.of(tuple(CONTROLS), wrong_task=True)
    assert (everything.long, everything.short, everything.trainings) == (4, 8, 5)
    assert everything.fresh
    assert Parts.of(("noise", "mean-removed", "closed-form")) == alone
    with pytest.raises(ValueError, match="got nothing-such"):
        Parts.of(("nothing-such",))
    with pytest.raises(ValueError, match="needs another task"):
        Parts.of(("wrong-task",))


def test_memory_is_named_and_grows_with_the_batch():
    config, lengths = preset("gpt2"), Lengths.alike(32, 1024, 24)
    held = cost.memory(config, lengths)
    assert held["weights"] == 2 * 4 * 124_439_808
    assert cost.memory(config, lengths, Parts.of(()))["weights"] == 4 * 124_439_808
    assert held["copies"] == 3 * 4 * 2 * 12 * 768 * 768
    more = cost.memory(config, lengths, tokens_at_once=4096)
    assert more["queries"] / held["queries"] == pytest.approx(2)
    alone = cost.memory(config, lengths, shared=False)
    assert alone["queries"] / held["queries"] == pytest.approx(24 / 4096)
    half = cost.memory(config, lengths, bytes_each=2)
    assert sum(half.values()) == sum(held.values()) / 2


def test_lengths_are_those_that_are_checked(toy):
    lengths = Lengths.of(toy, 7, queries=30, seed=3)
    shown = choose_demonstrations(toy, 7, 3)
    texts = [toy.render(e) for e in choose_queries(toy, 30)]
    check_lengths(lengths.longest, toy, shown, texts)
    with pytest.raises(ValueError, match=r"1 too many"):
        check_lengths(lengths.longest - 1, toy, shown, texts)
    assert lengths.prompt == 1 + sum(len(d.tokens) + 1 for d in shown)
    assert lengths.query >= sum(map(len, texts)) / 30  # with padding
    exact = Lengths.of(toy, 7, queries=30, seed=3, tokens_at_once=1)
    assert exact.query == pytest.approx(sum(map(len, texts)) / 30)


def test_resized_and_fitting_agree_with_texts_of_one_length():
    for count in (1, 5, 32):
        small, wanted = Lengths.alike(8, 9, 20), Lengths.alike(count, 40, 20)
        assert small.resized(count, 40) == wanted
        assert small.fitting(wanted.longest, most=64) == count
        assert small.fitting(wanted.longest - 1, most=64) == count - 1
    assert Lengths.alike(8, 9, 20).fitting(10_000, most=32) == 32


def test_seconds_want_a_rate():
    assert cost.seconds({"a": 3.0, "b": 5.0}, 4.0) == 2.0
    for rate in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="rate must be positive"):
            cost.seconds({"a": 1.0}, rate)


def test_record_is_whole_and_of_a_published_shape():
    record, known = cost.real_length(), presets()["gpt2"]
    shape = record["setting"]["shape"]
    assert list(shape.values()) == [
        known.config.layers,
        known.config.width,
        known.config.heads,
    ]
    table = known.config.context * known.config.width
    assert record["setting"]["parameters without positions"] + table == known.published
    assert record["rows"]
    for row in record["rows"]:
        lengths = Lengths.recorded(row)
        assert lengths.longest <= row["context"]
        more = record["more"][f"{row['data set']}, context {row['context']}"]
        assert (row["demonstrations"] < 32) == (more["refused"] is not None)
        assert row["peak memory, GiB"] > record["libraries alone"]["peak memory, GiB"]
