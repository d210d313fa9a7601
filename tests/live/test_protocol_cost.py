"""The Python half of ProtocolCost: the library's own counts, and what it refuses."""

from dataclasses import asdict

import pytest
from live.harness import Move, Visit, write_page

from icl_lib.live import ProtocolCost
from icl_lib.live.figures import protocol_cost
from icl_lib.meta import cost
from icl_lib.meta.controls import DEFAULT
from icl_lib.models.presets import count_parameters, preset

SCOPES = {"all": asdict(cost.Parts.of()), "three": asdict(cost.Parts.of(()))}


def entry(name: str) -> dict:
    c = preset(name)
    return {
        "name": name, "layers": c.layers, "width": c.width, "heads": c.heads,
        "vocabulary": c.vocab_size, "context": c.context,
        "parameters": sum(count_parameters(c).values()),
    }  # fmt: skip


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("controls", [(), DEFAULT, ("shuffled-labels",), ("untrained",)])
@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl", "fairseq-2.7b"])
@pytest.mark.parametrize("sizes", [(32, 256, 24), (5, 1, 4), (64, 2048, 128)])
def test_counts_are_those_of_the_library(name, controls, shared, sizes):
    lengths, parts = cost.Lengths.alike(*sizes), cost.Parts.of(controls)
    for ours, theirs in (
        (protocol_cost.operations, cost.operations),
        (protocol_cost.memory, cost.memory),
    ):
        expected = theirs(preset(name), lengths, parts, shared=shared)
        found = ours(entry(name), asdict(parts), *sizes, shared=shared)
        assert found == pytest.approx(expected, rel=1e-12)


def test_sentence_and_picture_say_both_times():
    figure = ProtocolCost([entry("gpt2")], SCOPES, rate=1e11)
    lengths = cost.Lengths.alike(32, 256, 24)
    fast = cost.seconds(cost.operations(preset("gpt2"), lengths), 1e11)
    slow = cost.seconds(cost.operations(preset("gpt2"), lengths, shared=False), 1e11)
    assert f"{fast:.3g} s with shared" in figure.sentence()
    assert f"{slow / fast:.3g} times as long" in figure.sentence()
    assert figure.picture().count(" s</text>") == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": []}, "got 0 models and 2 scopes"),
        ({"models": [{"name": "a"}]}, "'layers' is missing"),
        ({"models": [entry("gpt2") | {"width": 0}]}, "width of gpt2 must be a positive integer"),
        ({"scopes": {"few": {"long": 1}}}, "the scope 'few' lacks 'short'"),
        ({"start": "gpt9"}, "unknown model 'gpt9'; there are gpt2"),
        ({"demonstrations": 65}, "demonstrations must be between 1 and 64, got 65"),
        ({"doublings": 12}, "doublings must be between 0 and 11, got 12"),
        ({"tokens": 3}, "tokens must be between 4 and 128, got 3"),
        ({"rate": 0.0}, "rate must be between 1e9 and 1e15"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    given = {"models": [entry("gpt2")], "scopes": SCOPES, "rate": 1e11} | changed
    with pytest.raises(ValueError, match=message):
        ProtocolCost(given.pop("models"), given.pop("scopes"), **given)


@pytest.mark.browser
def test_one_query_saves_nothing_and_a_prompt_that_is_too_long_is_said(browser, tmp_path):
    figure = ProtocolCost([entry("gpt2")], SCOPES, rate=1e11, demonstrations=20)
    visit = Visit(browser, write_page(tmp_path, figure).as_uri()).ready()
    assert visit.numbers()["ratio"] > 5
    visit.press(Move("slider", "Queries Q", "Home"))
    assert visit.numbers()["ratio"] == pytest.approx(1)
    assert "would be refused" not in visit.page.inner_text(".icl-sentence")
    visit.press(Move("slider", "Demonstrations N", "End"))
    wanted = cost.Lengths.alike(64, 1, 24).longest
    said = visit.page.inner_text(".icl-sentence")
    assert f"needs {wanted:,} positions, {wanted - 1024:,} too many" in said
    assert visit.numbers()["room"] == 1024 - wanted
    visit.close()
