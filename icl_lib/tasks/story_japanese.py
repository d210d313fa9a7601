"""The Japanese half of the phrase grammar: its phrases, and how a sentence is made of them.

Predicates are written in their plain form; a space stands before the verb of a phrase, and is
left out of the text. The ending says how a predicate is conjugated: 「だ」 for nouns and
na-adjectives, 「い」 for i-adjectives, 「ている」 for states.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from icl_lib.tasks.story_english import Dice
from icl_lib.tasks.story_topics import Thing, Topic

TIMES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "now": ("今日は", "今日は", "今日は", "今朝は"),
        "habit": ("毎日、", "毎週、", "いつも、"),
        "past": ("昨日は", "先週は", "おとといは"),
        "future": ("明日は", "来週は", "あさっては"),
    }
)
"""When something happens, by tense: 歩いています, 歩きます, 歩きました, 歩くでしょう."""
PEOPLE = (
    "母", "父", "姉", "兄", "妹", "弟", "祖母", "祖父", "友だち", "子どもたち", "両親", "おばさん",
)  # fmt: skip

OPENERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "polite": ("こんにちは、皆さん。", "お知らせがあります。", "少しお話しします。"),
        "plain": ("やあ、みんな。", "ねえ、聞いて。", "ちょっと話すよ。"),
    }
)
CLOSERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "polite": (
            "どうぞよろしくお伝えください。",
            "また手紙を書きます。",
            "お返事をお待ちしています。",
            "聞いてくださってありがとうございます。",
            "あなたはいかがですか。",
        ),
        "plain": (
            "じゃあ、またね。",
            "また手紙を書くよ。",
            "返事を待っているよ。",
            "聞いてくれてありがとう。",
            "君はどうだい。",
        ),
    }
)

FEELINGS: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType(
    {
        "bright": (
            ("うれしそうだ", "喜ぶ"), ("楽しそうだ", "笑う"), ("満足そうだ", "満足する"),
            ("幸せそうだ", "幸せな気持ちに なる"),
        ),
        "gloomy": (
            ("悲しそうだ", "悲しむ"), ("寂しそうだ", "寂しい思いを する"),
            ("つらそうだ", "つらい思いを する"), ("不安そうだ", "不安に なる"),
        ),
    }
)  # fmt: skip
"""How somebody looks, and what they will do when it lies in the future."""

VERBS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "歩く": ("歩いて", "歩き"), "泳ぐ": ("泳いで", "泳ぎ"), "探す": ("探して", "探し"),
        "乗る": ("乗って", "乗り"), "座る": ("座って", "座り"), "眺める": ("眺めて", "眺め"),
        "見上げる": ("見上げて", "見上げ"), "する": ("して", "し"), "聞く": ("聞いて", "聞き"),
        "遊ぶ": ("遊んで", "遊び"), "笑う": ("笑って", "笑い"), "喜ぶ": ("喜んで", "喜び"),
        "楽しむ": ("楽しんで", "楽しみ"), "震える": ("震えて", "震え"), "困る": ("困って", "困り"),
        "つく": ("ついて", "つき"), "作る": ("作って", "作り"), "焼く": ("焼いて", "焼き"),
        "切る": ("切って", "切り"), "食べる": ("食べて", "食べ"), "言う": ("言って", "言い"),
        "読む": ("読んで", "読み"), "受ける": ("受けて", "受け"), "通う": ("通って", "通い"),
        "習う": ("習って", "習い"), "泣く": ("泣いて", "泣き"), "悩む": ("悩んで", "悩み"),
        "弾く": ("弾いて", "弾き"), "歌う": ("歌って", "歌い"), "踊る": ("踊って", "踊り"),
        "やる": ("やって", "やり"), "抱く": ("抱いて", "抱き"), "向かう": ("向かって", "向かい"),
        "買う": ("買って", "買い"), "待つ": ("待って", "待ち"), "訪ねる": ("訪ねて", "訪ね"),
        "泊まる": ("泊まって", "泊まり"), "植える": ("植えて", "植え"), "働く": ("働いて", "働き"),
        "刈る": ("刈って", "刈り"), "取る": ("取って", "取り"), "悲しむ": ("悲しんで", "悲しみ"),
        "なる": ("なって", "なり"), "怖がる": ("怖がって", "怖がり"), "褒める": ("褒めて", "褒め"),
        "味わう": ("味わって", "味わい"),
    }
)  # fmt: skip
"""The て-form and the stem of each verb."""

TOPICS: Mapping[str, Topic] = MappingProxyType(
    {
        "weather": Topic(
            marks=(
                "天気", "晴れ", "空", "風", "日差し", "雲", "雨", "虹", "嵐", "曇り", "暖か", "寒",
                "日なた", "傘",
            ),
            things=(
                Thing("", ("いい天気だ", "いい天気だ", "晴れだ"), ("雨だ", "曇りだ", "寒い")),
                Thing("", ("いい天気だ", "いい天気だ", "暖かい"), ("いやな天気だ", "ひどい嵐だ")),
                Thing("空", ("明るい", "青い"), ("暗い", "灰色だ")),
                Thing("風", ("さわやかだ", "穏やかだ"), ("冷たい", "激しい")),
                Thing("日差し", ("明るい", "暖かい"), ("弱い", "足りない")),
            ),
            deeds=(
                "空を 見上げる", "天気の話を する", "雲を 眺める", "天気予報を 聞く",
                "風の中を 歩く",
            ),
            turns={
                "bright": (
                    "日なたで 笑う", "虹を見て 喜ぶ", "暖かい日差しを 楽しむ", "青空の下で 踊る",
                ),
                "gloomy": (
                    "冷たい雨の中で 震える", "壊れた傘に 困る", "嵐を 心配する",
                    "暗い空に ため息を つく",
                ),
            },
        ),
        "food": Topic(
            marks=("スープ", "パン", "りんご", "台所", "ケーキ", "夕食", "昼ご飯", "料理"),
            things=(
                Thing("スープ", ("温かい", "おいしい"), ("冷たい", "しょっぱい")),
                Thing("パン", ("香ばしい", "おいしい"), ("硬い", "焦げている")),
                Thing("りんご", ("甘い", "新鮮だ"), ("酸っぱい", "傷んでいる")),
                Thing("台所", ("明るい", "にぎやかだ"), ("暗い", "散らかっている")),
                Thing("ケーキ", ("甘い", "おいしい"), ("まずい", "崩れている")),
            ),
            deeds=(
                "台所で夕食を 作る", "パンを 焼く", "りんごを 切る", "昼ご飯を 食べる",
                "スープを 作る", "ケーキを 買う",
            ),
            turns={
                "bright": (
                    "おいしいスープを 楽しむ", "甘いケーキに 喜ぶ", "新鮮なりんごを 味わう",
                    "香ばしいパンを 褒める",
                ),
                "gloomy": (
                    "焦げたパンに ため息を つく", "まずい料理に 文句を 言う", "冷たいスープに 困る",
                    "酸っぱいりんごに がっかりする",
                ),
            },
        ),
        "school": Topic(
            marks=("学校", "授業", "教室", "問題", "先生", "宿題", "テスト", "図書室"),
            things=(
                Thing("授業", ("面白い", "楽しい"), ("退屈だ", "難しい")),
                Thing("教室", ("明るい", "にぎやかだ"), ("暗い", "散らかっている")),
                Thing("問題", ("易しい", "面白い"), ("難しい", "複雑だ")),
                Thing("先生", ("親切だ", "やさしい"), ("厳しい", "怖い")),
                Thing("宿題", ("簡単だ", "易しい"), ("難しい", "退屈だ")),
            ),
            deeds=(
                "学校に 通う", "教室で本を 読む", "宿題を する", "図書室で 勉強する",
                "授業を 受ける",
            ),
            turns={
                "bright": (
                    "教室でみんなと 笑う", "楽しい授業に 満足する", "親切な先生を 褒める",
                    "易しいテストに 満足する",
                ),
                "gloomy": (
                    "テストの失敗に 泣く", "退屈な授業に ため息を つく", "難しい問題に 悩む",
                    "宿題の多さに 文句を 言う",
                ),
            },
        ),
        "sea": Topic(
            marks=("海", "波", "砂", "船", "貝"),
            things=(
                Thing("海", ("青い", "穏やかだ"), ("暗い", "荒れている")),
                Thing("波", ("穏やかだ", "きれいだ"), ("荒い", "激しい")),
                Thing("砂浜", ("きれいだ", "明るい"), ("寂しい", "汚れている")),
                Thing("船", ("立派だ", "きれいだ"), ("汚い", "壊れている")),
            ),
            deeds=(
                "海辺を 歩く", "海で 泳ぐ", "貝を 探す", "船に 乗る", "砂浜に 座る", "波を 眺める",
            ),
            turns={
                "bright": (
                    "きれいな貝に 喜ぶ", "穏やかな海を 楽しむ", "砂浜で 笑う", "立派な船を 褒める",
                ),
                "gloomy": (
                    "荒い波を 怖がる", "冷たい海で 震える", "壊れた船に 困る",
                    "汚れた砂浜に がっかりする",
                ),
            },
        ),
        "music": Topic(
            marks=("歌", "ピアノ", "音楽", "曲", "ギター"),
            things=(
                Thing("歌", ("明るい", "楽しい"), ("悲しい", "暗い")),
                Thing("ピアノの音", ("きれいだ", "やさしい"), ("重い", "寂しい")),
                Thing("音楽会", ("にぎやかだ", "すばらしい"), ("退屈だ", "寂しい")),
                Thing("曲", ("楽しい", "美しい"), ("難しい", "悲しい")),
            ),
            deeds=(
                "ピアノを 弾く", "歌を 歌う", "ギターを 練習する", "音楽を 聞く", "新しい曲を 習う",
                "音楽会に 向かう",
            ),
            turns={
                "bright": (
                    "明るい歌を 楽しむ", "楽しい曲に合わせて 踊る", "すばらしい音楽会に 満足する",
                    "美しい曲を 褒める",
                ),
                "gloomy": (
                    "悲しい歌に 泣く", "壊れたギターに 困る", "退屈な音楽会に 文句を 言う",
                    "難しい曲に 悩む",
                ),
            },
        ),
        "animals": Topic(
            marks=("犬", "猫", "鳥", "馬", "うさぎ", "動物"),
            things=(
                Thing("犬", ("元気だ", "かわいい"), ("不機嫌だ", "弱っている")),
                Thing("猫", ("かわいい", "元気だ"), ("不機嫌だ", "やせている")),
                Thing("小鳥", ("かわいい", "にぎやかだ"), ("おびえている", "弱っている")),
                Thing("馬", ("元気だ", "立派だ"), ("疲れている", "やせている")),
            ),
            deeds=(
                "犬と 散歩する", "猫に餌を やる", "小鳥を 眺める", "馬の世話を する",
                "動物園を 歩く", "うさぎを 抱く",
            ),
            turns={
                "bright": (
                    "元気な犬と 遊ぶ", "かわいい猫を見て 笑う", "立派な馬を 褒める",
                    "かわいいうさぎとの時間を 楽しむ",
                ),
                "gloomy": (
                    "弱った馬を 心配する", "逃げた小鳥を 探す", "病気の犬を見て 泣く",
                    "不機嫌な猫に 困る",
                ),
            },
        ),
        "travel": Topic(
            marks=("電車", "旅", "山", "町", "駅", "切符"),
            things=(
                Thing("電車", ("快適だ", "きれいだ"), ("遅れている", "混んでいる")),
                Thing("旅館", ("快適だ", "立派だ"), ("うるさい", "汚れている")),
                Thing("山", ("美しい", "穏やかだ"), ("険しい", "怖い")),
                Thing("町", ("にぎやかだ", "美しい"), ("寂しい", "汚い")),
            ),
            deeds=(
                "電車で山に 向かう", "切符を 買う", "駅で電車を 待つ", "旅行の支度を する",
                "小さな町を 訪ねる", "旅館に 泊まる",
            ),
            turns={
                "bright": (
                    "快適な旅行を 楽しむ", "美しい町を 楽しむ", "立派な旅館に 満足する",
                    "電車の中で 笑う",
                ),
                "gloomy": (
                    "切符をなくして 困る", "遅れた電車に 文句を 言う",
                    "うるさい旅館に ため息を つく", "険しい山を 怖がる",
                ),
            },
        ),
        "garden": Topic(
            marks=("花", "庭", "バラ", "木", "芝生", "草"),
            things=(
                Thing("花", ("美しい", "きれいだ"), ("しおれている", "枯れている")),
                Thing("庭", ("明るい", "きれいだ"), ("荒れている", "寂しい")),
                Thing("バラ", ("美しい", "立派だ"), ("枯れている", "弱っている")),
                Thing("木", ("元気だ", "立派だ"), ("枯れている", "折れている")),
            ),
            deeds=(
                "花に水を やる", "庭で 働く", "バラを 植える", "芝生を 刈る", "木の下に 座る",
                "草を 取る",
            ),
            turns={
                "bright": (
                    "きれいな花に 喜ぶ", "美しいバラを 楽しむ", "明るい庭で 笑う",
                    "立派な木を 褒める",
                ),
                "gloomy": (
                    "枯れた花を見て 悲しむ", "折れた木に がっかりする", "しおれたバラを 心配する",
                    "荒れた庭に ため息を つく",
                ),
            },
        ),
    }
)  # fmt: skip

MOOD_MARKS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "bright": (
            "いい天気", "晴れ", "暖か", "青い", "青か", "青空", "明る", "さわやか", "穏やか", "虹",
            "笑", "喜", "楽し", "踊", "温か", "おいし", "香ばし", "甘", "新鮮", "にぎやか", "味わ",
            "褒め", "面白", "易し", "親切", "やさし", "簡単", "満足", "きれい", "立派", "すばらし",
            "美し", "元気", "かわい", "快適", "うれし", "幸せ",
        ),
        "gloomy": (
            "雨", "曇り", "寒", "いやな", "嵐", "暗", "灰色", "冷た", "激し", "弱", "足りな",
            "震え", "壊れ", "困", "心配", "ため息", "しょっぱ", "硬", "焦げ", "酸っぱ", "傷ん",
            "散らか", "まず", "崩れ", "文句", "がっかり", "退屈", "難し", "複雑", "厳し", "怖",
            "失敗", "泣", "悩", "荒", "寂し", "汚", "悲し", "重", "不機嫌", "やせ", "おびえ",
            "疲れ", "逃げ", "病気", "遅れ", "混ん", "うるさ", "険し", "なくし",
            "しおれ", "枯れ", "折れ", "つら", "不安",
        ),
    }
)  # fmt: skip
"""Beginnings of words that tell a mood; the text has no spaces, so they are found inside it."""


def conjugated(plain: str, tense: str, register: str) -> str:
    """Return a verb or predicate, given in its plain form, in tense and register.

    「歩く」 now: 歩いています, habit: 歩きます, past: 歩きました, future: 歩くでしょう.

    Raises
    ------
    ValueError
        If nothing is known about its ending.

    Explained in: 07_pretraining
    """
    polite = register == "polite"
    if tense == "future":
        kept = plain.removesuffix("だ") if _noun(plain) else plain
        return kept + ("でしょう" if polite else "だろう")
    if plain.endswith(("ている", "でいる")):
        return _verb(plain[:-1], plain[:-1], tense == "past", polite)
    if _noun(plain):
        ending = ("です", "だ", "でした", "だった")[2 * (tense == "past") + (not polite)]
        return plain.removesuffix("だ") + ending
    if plain.endswith("い"):
        return (plain[:-1] + "かった" if tense == "past" else plain) + ("です" if polite else "")
    if plain not in VERBS and not plain.endswith("する"):
        raise ValueError(f"no conjugation is known for {plain!r}")
    te, stem = VERBS.get(plain, (plain[:-2] + "して", plain[:-2] + "し"))
    if tense == "now":
        return _verb(te + "い", te + "い", False, polite)
    if not polite and tense == "habit":
        return plain
    return _verb(stem, te, tense == "past", polite)


def _noun(plain: str) -> bool:
    return plain.endswith("だ")


def _verb(stem: str, te: str, past: bool, polite: bool) -> str:
    """Return stem + ます, or the plain past made from the て-form; plain present of states."""
    if polite:
        return stem + ("ました" if past else "ます")
    if not past:
        return stem + "る"
    if te.endswith(("て", "で")):
        return te[:-1] + ("た" if te.endswith("て") else "だ")
    return te + "た"


class Writer:
    """Makes the sentences of one text, all in one tense, register and mood and on one topic.

    Parameters
    ----------
    dice
        Makes the choices.
    topic, register, mood
        What the text is to be.
    """

    def __init__(self, dice: Dice, topic: str, register: str, mood: str):
        self.dice, self.register, self.mood = dice, register, mood
        self.phrases = TOPICS[topic]
        tenses = ("now", "now", "habit", "past", "future")
        self.tense = dice.pick(tenses + ("now",) * 3 if topic == "weather" else tenses)
        self.time: str | None = dice.pick(TIMES[self.tense])
        self.person = dice.pick(PEOPLE)
        self.known = self.named = False

    def opener(self) -> str:
        """Return an address to the reader."""
        return self.dice.pick(OPENERS[self.register])

    def closer(self) -> str:
        """Return a farewell."""
        return self.dice.pick(CLOSERS[self.register])

    def thing(self) -> str:
        """Return a remark on a thing of the topic: 「今日はいい天気ですね。」."""
        named = [thing for thing in self.phrases.things if thing.name]
        bare = [thing for thing in self.phrases.things if not thing.name]
        # 「いい天気です」 without a subject stands only next to a time
        first = bare and self.time is not None and self.dice.pick((True,) * 5 + (False,))
        before, things = self.dice.nats, bare if first else named
        thing = self.dice.pick(things)
        plain = self.dice.pick(thing.words[self.mood])
        same = [t.words[self.mood] for t in things if t.name == thing.name]
        chances = [words.count(plain) / len(words) for words in same]
        self.dice.nats = before - math.log(sum(chances) / len(things))
        adjective = thing.name and not plain.endswith("ている")
        degree = self.dice.pick(("", "", "とても", "本当に")) if adjective else ""
        told = degree + conjugated(plain, self.tense, self.register)
        ends = ("", "ね") if self.tense == "future" else ("", "ね", "ね", "よ")
        if first and self.tense != "future":  # a remark on the weather asks for agreement
            ends = ("", "ね", "ね", "ね", "ね", "よ")
        return self._sentence(thing.name, told + self.dice.pick(ends))

    def deed(self) -> str:
        """Return what somebody does, which belongs to the topic and tells no mood."""
        return self._person(self.dice.pick(self.phrases.deeds))

    def turn(self) -> str:
        """Return what somebody does in the mood of the text."""
        return self._person(self.dice.pick(self.phrases.turns[self.mood]))

    def feeling(self) -> str:
        """Return how somebody looks, or what they will do."""
        looks, does = self.dice.pick(FEELINGS[self.mood])
        if self.tense == "future":
            return self._person(does)
        return self._person(self.dice.pick(("とても", "本当に", "")) + " " + looks)

    def _person(self, phrase: str) -> str:
        before, _, verb = phrase.rpartition(" ")
        told = before.replace(" ", "") + conjugated(verb, self.tense, self.register)
        return self._sentence(self.person, told, person=True)

    def _sentence(self, subject: str, told: str, *, person: bool = False) -> str:
        """Join the parts; は marks what the text is about, が what it brings in beside 今日は."""
        new, time = (not self.known) if person else False, self.time or ""
        if person and self.named:  # still the same person: Japanese may leave it unsaid
            subject = self.dice.pick((subject, subject, ""))
        self.time, self.named = None, person
        self.known = self.known or person
        if not subject:
            return f"{time}{told}。"
        particle = "が" if new or time.endswith("は") else "は"
        return f"{time}{subject}{particle}{told}。"
