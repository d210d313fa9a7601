"""NextToken: the whole distribution equals the library's, in the page and in the still picture."""

import pytest
import torch
from live.harness import Move, Visit, write_page

from icl_lib.live import NextToken
from icl_lib.models.sampling import next_token_distribution
from icl_lib.tasks.tokenizers import BytePairTokenizer

OPTIONS = [
    {"temperature": t, "top_k": k, "top_p": p}
    for t in (0.05, 0.5, 1.0, 3.0)
    for k in (None, 1, 3, 20, 100)
    for p in (0.01, 0.37, 0.9, 1.0)
]


def logits(rows: int, size: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))


def with_ties(size: int) -> torch.Tensor:
    """Logits of which many are equal: whole numbers from 0 to 4."""
    return torch.randint(0, 5, (1, size), generator=torch.Generator().manual_seed(1)).float()


def tokens(size: int) -> list[str]:
    return [f"t{i}" for i in range(size)]


@pytest.fixture
def show(browser, tmp_path):
    visits = []

    def opened(figure) -> Visit:
        visits.append(Visit(browser, write_page(tmp_path, figure).as_uri()).ready())
        return visits[-1]

    yield opened
    for visit in visits:
        assert visit.errors == []
        visit.close()


def said(visit: Visit) -> str:
    return visit.page.inner_text(".icl-sentence")


@pytest.mark.browser
class TestInBrowser:
    @pytest.mark.parametrize("z", [logits(1, 1024), with_ties(300)], ids=["random", "ties"])
    def test_every_probability_equals_the_librarys(self, show, z):
        figure = NextToken(["今日は"], z, tokens(z.shape[1]))
        visit = show(figure)
        found = visit.page.evaluate(
            """async ([source, data, options]) => {
              const file = new Blob([source], {type: 'text/javascript'});
              const lib = await import(URL.createObjectURL(file));
              const [row] = lib.unpack(data, 1);
              return options.map((one) => Array.from(lib.distribution(row, one).after));
            }""",
            [figure._esm, figure.logits, [{**o, "top_k": o["top_k"] or 0} for o in OPTIONS]],
        )
        for options, p in zip(OPTIONS, found, strict=True):
            expected = next_token_distribution(z[0].double(), **options)
            ours = torch.tensor(p, dtype=torch.float64)
            assert torch.equal(ours > 0, expected > 0)
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)

    def test_low_temperature_is_greedy_and_high_temperature_nearly_uniform(self, show):
        visit = show(NextToken(["a"], torch.arange(40.0)[None] / 4, tokens(40)))
        visit.press(Move("slider", "Temperature τ", "Home"))
        assert visit.numbers()["p_0"] > 0.99
        before = visit.numbers()["perplexity"]
        visit.press(Move("slider", "Temperature τ", "End"))
        assert before < 1.1 < 30 < visit.numbers()["perplexity"]

    def test_top_p_keeps_the_first_tokens_whose_sum_reaches_it(self, show):
        p = torch.tensor([[0.05, 0.5, 0.15, 0.3]], dtype=torch.float64)
        visit = show(NextToken(["a"], p.log(), ["d", "a", "c", "b"], top_p=0.79))
        assert visit.numbers()["kept"] == 2
        assert visit.numbers()["share"] == pytest.approx(0.8)
        assert [visit.numbers()[f"p_{i}"] for i in range(4)] == pytest.approx([0.625, 0.375, 0, 0])
        assert "2 of 4 tokens may follow; before the cut they had 80\u00a0%" in said(visit)
        visit.press(Move("slider", "Top-p", "ArrowRight", 2))
        assert visit.numbers()["kept"] == 3
        visit.press(Move("slider", "Top-p", "Home"))
        assert "this is greedy decoding" in said(visit)

    def test_draws_follow_the_distribution_and_the_seed(self, show):
        p = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
        visit = show(NextToken(["a"], p.log(), ["x", "y", "z"]))
        assert visit.numbers()["draws"] == []
        counts = torch.zeros(3)
        for seed in range(1, 51):
            visit.press(Move("button", "Draw 20 tokens", "Enter"))
            assert visit.state()["seed"] == seed
            drawn = [int(i) for i in visit.numbers()["draws"]]
            words = visit.page.locator("li.icl-piece").all_inner_texts()
            assert words == ["xyz"[i] for i in drawn]
            counts += torch.bincount(torch.tensor(drawn), minlength=3)
        expected = 1000 * p[0]
        deviation = ((counts - expected) / (expected * (1 - p[0])).sqrt()).abs().max()
        assert deviation < 4

    def test_a_row_leads_on_where_the_longer_text_is_known(self, show):
        z = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 5.0]])
        visit = show(NextToken(["今日は", "今日はいい"], z, ["雨", "いい", " the"]))
        assert visit.page.get_by_role("button", name="Append 雨").count() == 0
        visit.page.get_by_role("button", name="Append いい").click()
        assert visit.state()["prefix"] == 1
        assert "After 「今日はいい」" in said(visit)
        assert "“␣the”" in said(visit)


class TestPythonHalf:
    @pytest.mark.parametrize("z", [logits(1, 200), with_ties(200)], ids=["random", "ties"])
    def test_distribution_of_the_picture_equals_the_librarys(self, z):
        for options in OPTIONS:
            figure = NextToken(["a"], z, tokens(200), **options)
            expected = next_token_distribution(z[0].double(), **options)
            assert figure.distribution() == pytest.approx(expected.tolist(), abs=1e-12)

    def test_tokenizer_names_the_tokens_and_broken_characters_stay_readable(self):
        tokenizer = BytePairTokenizer.train("今日は 今日は the the 雨 雨", 264)
        figure = NextToken(["今日は"], logits(1, len(tokenizer)), tokenizer)
        names = figure.tokens.split("\n")
        assert len(names) == len(tokenizer)
        assert names[:3] == ["<|end|>", "<|user|>", "<|assistant|>"]
        assert names[tokenizer.encode("\n").item()] == "⏎"
        assert {"␣", "E3"} <= set(names)

    def test_picture_ranks_by_the_logits_and_marks_what_is_cut(self):
        picture = NextToken(["a"], [[0.0, 3.0, 1.0]], ["x", "y", "z"], top_k=1).picture()
        assert [part[0] for part in picture.split('font-size="12">')[1:]] == list("y1zcxc")
        assert picture.count(">cut</text>") == 2

    def test_sentence_names_the_likeliest_token(self):
        p = torch.tensor([[0.75, 0.25]], dtype=torch.float64)
        sentence = NextToken(["今日は"], p.log(), ["いい", "雨"]).sentence()
        assert "the likeliest next token is “いい” with probability 0.75" in sentence
        assert "2 of 2 tokens may follow, and the perplexity is 1.8" in sentence

    def test_five_texts_and_a_thousand_tokens_are_small(self):
        words = [f"text {i}" for i in range(5)]
        assert len(NextToken(words, logits(5, 1024), tokens(1024)).html()) < 45_000

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"prefixes": []}, "got 0 texts, 2 rows"),
            ({"prefixes": ["a", "a"]}, r"must stand in the list once, got \['a', 'a'\]"),
            ({"tokens": ["x"]}, r"logits\[0\] must have one number for each of 1 tokens, got 3"),
            ({"start": 2}, "from 0 to 1, got 2"),
            ({"temperature": 0.0}, "between 0.05 and 5, got 0.0"),
            ({"top_k": 4}, "one of 1, 2, 3, 5, 10, 20, 50, 100, got 4"),
            ({"top_p": 0.0}, "between 0.01 and 1, got 0.0"),
            ({"logits": [[0.0, float("nan"), 0.0]] * 2}, r"logits\[0\]\[1\] must be finite"),
        ],
    )
    def test_bad_input_is_named(self, change, message):
        usual = {"prefixes": ["a", "b"], "logits": logits(2, 3), "tokens": tokens(3)}
        with pytest.raises(ValueError, match=message):
            NextToken(**{**usual, **change})

    def test_tokens_of_another_kind_are_refused(self):
        with pytest.raises(TypeError, match="list of words or a byte-pair tokenizer, got str"):
            NextToken(["a"], logits(1, 2), "ab")
