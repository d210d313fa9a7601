"""BytePairs in the browser cuts any text as the tokenizers library does; and what it says."""

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live.harness import Move, Visit, cases, write_page
from tokenizers import Regex, pre_tokenizers

from icl_lib.live import BytePairs
from icl_lib.live.codec import Codec, characters, javascript, readable
from icl_lib.tasks.tokenizers import BASE, WORDS, BytePairTokenizer

EXAMPLES = {"English": "The sea is calm.", "日本語": "今日はいい天気ですね。"}
AWKWARD = [
    "",
    " ",
    "  ",
    "\n",
    " \n ",
    "\t\tx  y",
    "a  b   c",
    "trailing ",
    "trailing  \n",
    "　全角　空白　",
    "don't can't I'll we've she'd you're I'm it's 'tis rock'n'roll DON'T",
    "''s's 's",
    "’s isn’t",
    "今日はいい天気ですね。",
    "今日は",
    "東京へ行きます",
    "スーパーマーケットで買い物",
    "ﾊﾝｶｸ ｶﾀｶﾅ",
    "々〆〇ヶヵー",
    "コーヒーを飲む、ー",
    "👩🏽‍🌾👨‍👩‍👧‍👦🏳️‍🌈❤️‍🔥",
    "🇯🇵🇫🇷",
    "☔️☀️",
    "e\u0301 à \u0301",
    "か\u3099き\u3099",
    "नमस्ते",
    "สวัสดี",
    "مرحبا بالعالم",
    "한국어",
    "Ελληνικά",
    "ß ſ İ",
    "½ ² ٣ Ⅳ ㊷",
    "<|end|> <|user|>",
    "a\u00a0b\u2003c\u2028d\u0085e\u200bf\ufeffg",
    "\ufeff",
    "\x00\x07\x1b",
    "\U0010ffff\ue000",
    "日本語とEnglishとカタカナがmixedです2024年",
    "x" * 300,
    "ああああああああああ",
    "\r\n\r\n a\r",
]

A, B, C = BytePairTokenizer(()).encode("abc").tolist()
BC, AB, ABC = BASE, BASE + 1, BASE + 2
OUT_OF_ORDER = ((B, C), (A, B), (AB, C), (ABC, A), (A, BC))
"""In “abca” the last rule acts before the fourth: two rules make “abc”, and the later one fits."""


@pytest.fixture(scope="module")
def tokenizer() -> BytePairTokenizer:
    return cases()["byte_pairs"].make.__globals__["tokenizer"]()


@pytest.fixture(scope="module")
def page(browser, tokenizer, tmp_path_factory):
    """A page with the module of the figure at hand as ``lib``, and one function of it."""
    figure = BytePairs(tokenizer, examples=EXAMPLES)
    address = write_page(tmp_path_factory.mktemp("byte_pairs"), figure).as_uri()
    visit = Visit(browser, address).ready()
    visit.page.evaluate(
        """async (source) => {
          const file = new Blob([source], {type: 'text/javascript'});
          window.lib = await import(URL.createObjectURL(file));
          window.many = (packed, used, texts) => {
            const codec = lib.unpack(packed);
            return texts.map((text) => lib.encode(text, codec, used).map((token) => token.id));
          };
        }""",
        figure._esm,
    )
    yield visit.page
    visit.close()


def in_browser(page, tokenizer, texts, used: int | None = None) -> list[list[int]]:
    packed = Codec.read(tokenizer).packed()
    used = len(tokenizer.merges) if used is None else used
    return page.evaluate(
        "([packed, used, texts]) => many(packed, used, texts)", [packed, used, texts]
    )


def random_texts(count: int, seed: int) -> list[str]:
    """Return texts that mix scripts, signs, white space and contractions, of up to 30 parts."""
    rng = random.Random(seed)
    blocks = [
        (0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x500), (0x5D0, 0x780),
        (0x900, 0xE80), (0x2000, 0x2070), (0x2190, 0x27C0), (0x3000, 0x3100), (0x3040, 0x3100),
        (0x4E00, 0x9FA0), (0xAC00, 0xD7A0), (0xFE00, 0xFE10), (0xFF00, 0xFFF0), (0x1F300, 0x1F650),
        (0x1F900, 0x1FA00), (0x20000, 0x20100), (0xE0020, 0xE0080),
    ]  # fmt: skip
    words = [
        "'s",
        "'ll",
        "'re",
        "'VE",
        " the",
        " sea",
        "today",
        "今日は",
        "いい天気",
        "です",
        "。",
        "、",
        "カレーを",
        "  ",
        "\n",
        "\n\n",
        "\t",
        " \n",
        "\u3000",
        "<|end|>",
        "\u200d",
        "\ufe0f",
        "2024",
        "１２",
    ]

    def part() -> str:
        if rng.random() < 0.5:
            return rng.choice(words)
        letter = chr(rng.randrange(*rng.choice(blocks)))
        return letter if unicodedata.category(letter) != "Cn" else rng.choice(words)

    return ["".join(part() for _ in range(rng.randrange(1, 31))) for _ in range(count)]


def library_words(texts: list[str]) -> list[list[str]]:
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    return [[word for word, _ in split.pre_tokenize_str(text)] for text in texts]


def words_in_browser(page, tokenizer, texts: list[str]) -> list[list[str]]:
    return page.evaluate(
        "([packed, texts]) => texts.map((text) => lib.cut(text, lib.unpack(packed).words))",
        [{**Codec.read(tokenizer).packed(), "rules": ""}, texts],
    )


@pytest.mark.browser
class TestTokensInTheBrowser:
    def test_texts_are_cut_into_the_words_of_the_library(self, page, tokenizer):
        texts = [*AWKWARD, *random_texts(400, seed=7)]
        assert words_in_browser(page, tokenizer, texts) == library_words(texts)

    def test_every_sign_between_others_belongs_to_the_word_of_the_library(self, page, tokenizer):
        """All characters up to U+FFFF but the uniform blocks of Han and Hangul."""
        letters = [
            chr(i) for i in [*range(0x3500), *range(0x9FF0, 0xAC10), *range(0xF900, 0x10000)]
        ]
        texts = [f"a{c}漢{c}カ{c}1{c} {c}!{c}" for c in letters if unicodedata.category(c) != "Cn"]
        assert words_in_browser(page, tokenizer, texts) == library_words(texts)

    def test_awkward_texts_have_the_tokens_of_the_library(self, page, tokenizer):
        assert in_browser(page, tokenizer, AWKWARD) == [
            tokenizer.encode(x).tolist() for x in AWKWARD
        ]

    @pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 1.0])
    def test_random_texts_have_the_tokens_of_a_tokenizer_that_learnt_so_many_merges(
        self, page, tokenizer, share
    ):
        used = round(share * len(tokenizer.merges))
        few = BytePairTokenizer(tokenizer.merges[:used])
        texts = random_texts(400, seed=used)
        assert in_browser(page, tokenizer, texts, used) == [few.encode(x).tolist() for x in texts]

    def test_any_order_of_merges_is_followed_as_the_library_does(self, page):
        """Rules that no training would learn: out of order, and two for the same bytes."""
        rng = random.Random(0)
        texts = ["".join(rng.choices("abc", k=40)) for _ in range(20)]
        for _ in range(15):
            odd = odd_tokenizer(rng)
            assert in_browser(page, odd, texts) == [odd.encode(x).tolist() for x in texts]

    def test_the_curve_of_tokens_is_that_of_shortened_tokenizers(self, page):
        rng = random.Random(1)
        for odd in [BytePairTokenizer(OUT_OF_ORDER), *(odd_tokenizer(rng) for _ in range(4))]:
            text = "abca" + "".join(rng.choices("abc", k=50))
            needs = page.evaluate(
                "([packed, text]) => lib.history(text, lib.unpack(packed)).map((e) => e.need)",
                [Codec.read(odd).packed(), text],
            )
            for used in range(len(odd.merges) + 1):
                few = len(in_browser(page, odd, [text], used)[0])
                assert few == len(text) - sum(need <= used for need in needs)

    def test_tokens_are_named_alike_in_page_and_picture(self, page, tokenizer):
        names = page.evaluate(
            "(packed) => { const c = lib.unpack(packed); return [...c.spelled.keys()].map("
            "(id) => [id, lib.readable(id, c)]) }",
            Codec.read(tokenizer).packed(),
        )
        assert len(names) == len(tokenizer) - 3
        assert all(name == readable(tokenizer.table[i]) for i, name in names)


def odd_tokenizer(rng: random.Random) -> BytePairTokenizer:
    """Return a tokenizer of the letters a, b, c with merges that were drawn by lot."""
    empty = BytePairTokenizer(())
    letters, merges = empty.encode("abc").tolist(), []
    known = list(letters)
    while len(merges) < 12:
        pair = (rng.choice(known), rng.choice(known))
        if pair not in merges:
            merges.append(pair)
            known = [*letters, *range(BASE, len(BytePairTokenizer(tuple(merges))))]
    return BytePairTokenizer(tuple(merges))


@pytest.fixture
def show(browser, tokenizer, tmp_path):
    visits = []

    def opened(text: str, **options) -> Visit:
        figure = BytePairs(tokenizer, text, examples=EXAMPLES, **options)
        visits.append(Visit(browser, write_page(tmp_path, figure).as_uri()).ready())
        return visits[-1]

    yield opened
    for visit in visits:
        assert visit.errors == []
        visit.close()


def said(visit: Visit) -> str:
    return visit.page.inner_text(".icl-sentence")


def boxes(visit: Visit) -> list[str]:
    return visit.page.locator("li.icl-piece > span").all_inner_texts()


@pytest.mark.browser
class TestWhatItTeaches:
    def test_steps_go_through_the_merges_of_this_sentence_and_name_them(self, show, tokenizer):
        text = "今日は the sea"
        visit = show(text, used=0)
        assert boxes(visit)[:3] == ["E4", "BB", "8A"]
        assert visit.page.locator("li.icl-piece-bytes").count() == 9
        assert "No rule has acted yet" in said(visit)
        lengths = [len(BytePairTokenizer(tokenizer.merges[:k]).encode(text))
                   for k in range(len(tokenizer.merges) + 1)]  # fmt: skip
        acting = [k for k in range(1, len(lengths)) if lengths[k] < lengths[k - 1]]
        for k in acting:
            visit.press(Move("button", "Next", "Enter"))
            assert visit.state()["used"] == k
            left, right = (readable(tokenizer.table[i]) for i in tokenizer.merges[k - 1])
            assert f"Rule {k} was the last to act: it joins “{left}” and “{right}”" in said(visit)
            assert visit.page.locator("li.icl-piece-new").count() == lengths[k - 1] - lengths[k]
        assert "No later rule fits." in said(visit)
        assert boxes(visit) == [readable(tokenizer.table[i]) for i in tokenizer.encode(text)]
        visit.press(Move("button", "Previous", "Enter"))
        assert visit.numbers()["tokens"] == lengths[acting[-1] - 1]

    def test_typing_updates_at_once_and_composition_when_it_ends(self, show, tokenizer):
        visit = show("")
        assert "Type a sentence" in said(visit)
        area = visit.page.get_by_role("textbox", name="Your sentence")
        area.focus()
        visit.page.keyboard.insert_text("猫と👩🏽‍🌾")
        assert visit.numbers()["ids"] == tokenizer.encode("猫と👩🏽‍🌾").tolist()
        compose = (
            "(area, [kind, value]) => { area.value = value;"
            " area.dispatchEvent(new CompositionEvent(kind, {bubbles: true}));"
            " area.dispatchEvent(new InputEvent('input', {bubbles: true})); }"
        )
        area.evaluate(compose, ["compositionstart", "きょう"])
        assert visit.state()["text"] == "猫と👩🏽‍🌾"
        assert area.input_value() == "きょう"
        area.evaluate(compose, ["compositionend", "今日"])
        assert visit.state()["text"] == "今日"
        assert area.get_attribute("lang") == "ja"

    def test_examples_fill_the_sentence_and_your_own_empties_it(self, show):
        visit = show("The sea is calm.")
        chosen = visit.page.get_by_role("combobox", name="Example")
        chosen.select_option("日本語")
        assert visit.state()["text"] == EXAMPLES["日本語"]
        chosen.select_option("your own")
        assert visit.state()["text"] == ""
        assert visit.numbers()["tokens"] == 0

    def test_a_long_text_is_counted_whole_and_says_what_is_not_drawn(self, show, tokenizer):
        text = "z9" * 300
        visit = show(text)
        assert visit.numbers()["tokens"] == len(tokenizer.encode(text)) == 600
        assert visit.page.locator("li.icl-piece").count() == 400
        assert visit.page.get_by_text("… and 200 tokens more, counted but not drawn").is_visible()

    def test_play_stops_at_the_last_merge_that_fits(self, show):
        visit = show("sea", used=0)
        visit.press(Move("button", "Play", "Enter"))
        visit.page.get_by_role("button", name="Pause").wait_for()
        visit.page.get_by_role("button", name="Play").wait_for()
        assert "No later rule fits." in said(visit)


class TestPythonHalf:
    def test_tokens_of_the_picture_are_those_of_the_tokenizer(self, tokenizer):
        for used in (0, 40, len(tokenizer.merges)):
            few = BytePairTokenizer(tokenizer.merges[:used])
            for text in [*AWKWARD, *random_texts(50, seed=used)]:
                figure = BytePairs(tokenizer, text, examples=EXAMPLES, used=used)
                assert [i for i, _ in figure.tokens()] == few.encode(text).tolist()

    def test_sentence_counts_characters_bytes_and_tokens(self, tokenizer):
        figure = BytePairs(tokenizer, "今日は", examples=EXAMPLES, used=0)
        assert "has 3 characters, which are 9 bytes and, with 0 of" in figure.sentence()
        assert "9 tokens" in figure.sentence()
        assert ">E4</text>" in figure.picture()

    def test_picture_of_a_long_text_says_how_much_is_left_out(self, tokenizer):
        figure = BytePairs(tokenizer, "z" * 100, examples=EXAMPLES)
        assert "… and 40 more tokens" in figure.picture()

    def test_the_rules_of_a_thousand_tokens_are_small(self):
        letters = BytePairTokenizer(()).encode("abcdefghijklmnopqrstuvwxyz").tolist()
        merges = tuple((a, b) for a in letters for b in letters)
        figure = BytePairs(BytePairTokenizer(merges), examples=EXAMPLES)
        assert len(figure.html()) < 12_000

    def test_bad_input_is_named(self, tokenizer):
        with pytest.raises(ValueError, match="at least one sentence, got none"):
            BytePairs(tokenizer, "a", examples={})
        rules = len(tokenizer.merges)
        with pytest.raises(ValueError, match=rf"between 0 and {rules} \(the rules\), got -1"):
            BytePairs(tokenizer, examples=EXAMPLES, used=-1)
        with pytest.raises(ValueError, match="context must be at least 1 token, got 0"):
            BytePairs(tokenizer, examples=EXAMPLES, context=0)
        with pytest.raises(TypeError, match="table, merges and to_json, got str"):
            Codec.read("tokenizer")

    def test_a_byte_without_a_token_is_named(self, tokenizer):
        class Broken:
            table = tokenizer.table[:258]
            merges = ()
            to_json = tokenizer.to_json

        with pytest.raises(ValueError, match=r"each of the 256 bytes needs a token; \[\d+\] have"):
            Codec.read(Broken())


class TestNames:
    @given(st.binary(max_size=12))
    def test_no_byte_is_lost(self, name):
        whole = b"".join(
            text.encode() if is_whole else bytes.fromhex(text)
            for text, is_whole in characters(name)
        )
        assert whole == name

    @given(st.text(max_size=8))
    def test_text_is_whole(self, text):
        assert characters(text.encode()) == [(letter, True) for letter in text]

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            (b" the\n", "␣the⏎"), (b"\xe3\x81", "E3 81"), ("は".encode() + b"\xe3", "は E3"),
            (b"\x81" + "は".encode(), "81 は"), ("\u0301".encode(), "◌\u0301"),
            ("\u200d".encode(), "U+200D"), (b"\x00", "U+0000"), (b"\xed\xa0\x80", "ED A0 80"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_seen_has_a_sign(self, name, shown):
        assert readable(name) == shown

    def test_expression_is_translated_for_javascript(self):
        assert javascript(r"\s+(?!\S)|[^\s\p{L}]| ?\p{Han}+") == (
            r"\p{White_Space}+(?!\P{White_Space})|[^\p{White_Space}\p{L}]| ?\p{Script=Han}+"
        )
        assert r"\p{Script=Katakana}" in javascript(WORDS)
