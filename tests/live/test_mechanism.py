"""The bundler, the state of a figure, and the messages for those who write figures."""

import json
import re

import pytest
import torch
import traitlets as t

from icl_lib import live
from icl_lib.live import bundle, svg
from icl_lib.live.base import STATE_LIMIT, BookFigure, plain
from icl_lib.palette import ROLES

DEFAULT = "\nexport default { render() {} };"


class Dots(BookFigure):
    _module = "descent"
    points = t.List().tag(sync=True)
    private = t.Int(0)

    def picture(self):
        return svg.svg(10, 10, self.sentence(), [svg.circle(5, 5, 1)])

    def sentence(self):
        return f"There are {len(self.points)} dots <here>."


class TestBundle:
    def test_kit_import_becomes_names_taken_from_the_kit(self):
        source = 'import { h, s as svgNode } from "./kit.js";\nconst a = h;' + DEFAULT
        assert "const { h, s: svgNode } = __kit;" in bundle.body("x", source)

    def test_kit_import_over_several_lines(self):
        source = "import {\n  h,\n  s,\n} from './kit.js'" + DEFAULT
        assert bundle.ANY_IMPORT.search(bundle.body("x", source)) is None

    @pytest.mark.parametrize(
        "line",
        [
            'import * as d3 from "https://example.org/d3.js";',
            'import { a } from "./other.js";',
            'import "./side-effect.js";',
            'const d3 = await import("d3");',
            'export { a } from "./other.js";',
            'import * as kit from "./kit.js";',
        ],
    )
    def test_every_other_import_is_refused_by_name(self, line):
        with pytest.raises(ValueError, match=r"x\.js: a live figure imports from \./kit\.js"):
            bundle.body("x", line + DEFAULT)

    def test_words_about_imports_in_comments_and_names_pass(self):
        bundle.body("x", "// import nothing\nconst important = 1;" + DEFAULT)

    def test_missing_default_export_is_named(self):
        with pytest.raises(ValueError, match=r"x\.js: needs `export default"):
            bundle.body("x", "export function render() {}")

    def test_unknown_name_lists_the_known(self):
        with pytest.raises(ValueError, match=r"no live figure named 'nothing'; .*descent"):
            bundle.bundle("nothing")

    def test_kit_hands_out_everything_it_exports(self):
        source = (bundle.HERE / "js" / "kit.js").read_text("utf-8")
        count = len(re.findall(r"^export ", source, re.MULTILINE))
        handed = re.search(r"\nreturn \{ (.*) \};\n", bundle.kit())[1].split(", ")
        assert len(handed) == count
        assert "slider" in handed

    def test_host_script_is_classic_and_carries_every_figure(self):
        script = bundle.host_script()
        assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
        assert "</script" not in script
        for name in bundle.names():
            assert f'"{name}": "' in script

    def test_host_script_carries_the_figures_that_are_named_and_no_others(self):
        script = bundle.host_script(["descent", "dual_form", "descent"])
        carried = [name for name in bundle.names() if f'"{name}": "' in script]
        assert carried == ["descent", "dual_form"]
        with pytest.raises(ValueError, match="no live figure named 'nothing'"):
            bundle.host_script(["nothing"])

    def test_stylesheet_has_every_role_for_every_way_a_theme_is_chosen(self):
        sheet = bundle.stylesheet()
        for role in ROLES["light"]:
            assert sheet.count(f"--icl-{role}: {ROLES['light'][role]};") == 1
            assert sheet.count(f"--icl-{role}: {ROLES['dark'][role]};") == 2


class TestState:
    def test_tensors_and_tuples_become_lists_of_the_same_numbers(self):
        x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
        assert plain(x) == x.tolist()
        assert plain((1, True, "a", None, torch.tensor(2))) == [1, True, "a", None, 2]

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_what_json_cannot_hold_is_refused_with_its_place(self, bad):
        with pytest.raises(ValueError, match=r"points\[1\]\[0\] must be finite"):
            Dots(points=[[0.0], [bad]])

    def test_other_things_are_refused_with_their_type(self):
        with pytest.raises(TypeError, match=r"points\[0\] must be numbers, .* got object"):
            Dots(points=[object()])

    def test_state_holds_synced_traits_of_the_figure_alone(self):
        assert Dots(points=[1.5]).state() == {"points": [1.5]}

    def test_a_large_state_is_refused(self):
        figure = Dots(points=[0.123456789] * (STATE_LIMIT // 10))
        with pytest.raises(ValueError, match=r"the state of Dots has .* bytes, more than"):
            figure.state()

    def test_page_element_round_trips_the_state_and_escapes_the_sentence(self):
        from html import unescape

        page = Dots(points=["'\"<&>"]).html()
        state = re.search(r'state="([^"]*)"', page)[1]
        assert json.loads(unescape(state)) == {"points": ["'\"<&>"]}
        assert "There are 1 dots &lt;here&gt;." in page

    def test_names_that_widgets_use_are_refused(self):
        with pytest.raises(TypeError, match="Bad: widgets already use the name 'keys'"):
            type("Bad", (BookFigure,), {"keys": t.List().tag(sync=True)})

    def test_a_figure_without_picture_or_sentence_says_so(self):
        figure = type("Empty", (BookFigure,), {"_module": "descent"})()
        with pytest.raises(NotImplementedError, match=r"Empty must draw .* picture\(\)"):
            figure.picture()
        with pytest.raises(NotImplementedError, match=r"Empty must say .* sentence\(\)"):
            figure.sentence()


class TestConstructors:
    def test_attention_weights_of_the_picture_equal_torch(self):
        generator = torch.Generator().manual_seed(0)
        q, k = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
        figure = live.AttentionTemperature("abcde", q, k, temperature=0.5, query=2, causal=True)
        expected = ((q[2] @ k[:3].T) / 2 / 0.5).softmax(0).tolist()
        assert figure.weights() == pytest.approx([*expected, 0.0, 0.0], abs=1e-12)

    def test_descent_path_of_the_picture_equals_torch(self):
        figure = live.Descent.valley(condition=20.0, step_size=1.2, momentum=0.5, steps=25)
        x = torch.tensor([figure.start_x, figure.start_y], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([x], lr=1.2, momentum=0.5)
        for _ in range(25):
            optimizer.zero_grad()
            (0.5 * (torch.tensor([1 / 20, 1.0]) * x**2).sum()).backward()
            optimizer.step()
        assert figure.path()[-1] == pytest.approx(x.tolist(), rel=1e-6)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                {"tokens": "ab", "queries": [[1.0]], "keys": [[1.0]] * 2},
                "2 tokens, 1 queries, 2 keys",
            ),
            ({"tokens": "a", "queries": [[1.0]], "keys": [[1.0, 2.0]]}, r"got widths \[1, 2\]"),
            ({"tokens": "a", "queries": [[1.0]], "keys": [[1.0]], "temperature": 0}, "got 0"),
            (
                {"tokens": "a", "queries": [[1.0]], "keys": [[1.0]], "query": 1},
                "from 0 to 0, got 1",
            ),
        ],
    )
    def test_attention_temperature_names_what_is_wrong(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            live.AttentionTemperature(**arguments)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"start": (1.0,)}, "got 2 and 1"),
            ({"curvature": 0.0}, "must be positive, got 0.0"),
            ({"condition": 0.5}, "between 1 and 100, got 0.5"),
            ({"momentum": 1.0}, "between 0 and 0.95, got 1.0"),
            ({"steps": 0}, "between 1 and 200, got 0"),
            ({"step_size": 4.3}, "at most 4.2 / curvature = 4.2, got 4.3"),
        ],
    )
    def test_descent_names_what_is_wrong(self, change, message):
        with pytest.raises(ValueError, match=message):
            live.Descent.valley(**change)

    def test_unknown_figure_lists_the_known(self):
        with pytest.raises(AttributeError, match=r"has no 'Nothing'; it has .*Descent"):
            live.Nothing  # noqa: B018
