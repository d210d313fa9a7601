"""Control panels: sliders that re-run Python code through the kernel."""

import html
from collections.abc import Callable

import ipywidgets as widgets

NOTE = (
    "This is the first frame. The panel comes alive when you run this notebook: "
    "each control then runs the cell’s code again."
)


class Panel(widgets.VBox):
    """Controls and a frame that shows what ``fn`` returned for their values.

    Attributes
    ----------
    controls
        The control of each argument, by name.
    frame
        HTML of the last result, or of the error that ``fn`` raised.
    """

    def __init__(self, fn: Callable, title: str | None, controls: dict[str, widgets.Widget]):
        self._fn, self._title, self.controls = fn, title, controls
        self.frame = widgets.HTML(value=render(fn(**self.values())))
        head = [widgets.HTML(value=f"<strong>{html.escape(title)}</strong>")] if title else []
        super().__init__([*head, *controls.values(), self.frame])
        for control in controls.values():
            control.observe(self._run, names="value")

    def values(self) -> dict:
        """Return the present value of each control."""
        return {name: control.value for name, control in self.controls.items()}

    def _run(self, _change) -> None:
        try:
            self.frame.value = render(self._fn(**self.values()))
        except Exception as error:  # shown to whoever moved the control
            words = html.escape(f"{type(error).__name__}: {error}")
            self.frame.value = (
                f'<pre class="icl-panel-text icl-panel-error" role="alert">{words}</pre>'
            )

    def html(self) -> str:
        """Return the first frame for the static page: values, result and a note, no controls."""
        rows = "".join(
            f"<div><dt>{html.escape(control.description)}</dt>"
            f"<dd>{html.escape(_words(control.value))}</dd></div>"
            for control in self.controls.values()
        )
        title = f'<p class="icl-title">{html.escape(self._title)}</p>' if self._title else ""
        values = f'<dl class="icl-panel-values">{rows}</dl>' if rows else ""
        return (
            f'<div class="icl-panel">{title}{values}'
            f'<div class="icl-panel-frame">{self.frame.value}</div>'
            f'<p class="icl-panel-note">{NOTE}</p></div>'
        )

    def _repr_mimebundle_(self, **kwargs):
        shown = super()._repr_mimebundle_(**kwargs)
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        values = ", ".join(f"{c.description} {_words(c.value)}" for c in self.controls.values())
        words = f"Control panel: {self._title or values}"
        return {**data, "text/plain": words, "text/html": self.html()}, metadata


def panel(fn: Callable, *, title: str | None = None, **controls) -> Panel:
    """Return a panel whose controls call ``fn(**values)``.

    In a live notebook moving a control runs ``fn`` again, when the handle is let go; an error is
    shown in the panel. On the static page the first frame stands with a sentence.

    Parameters
    ----------
    fn
        Takes the controls as keyword arguments; returns a string, a figure (anything with
        ``_repr_mimebundle_`` or ``_repr_html_``), or a tuple of these.
    title
        A few words above the panel.
    **controls
        One for each argument: ``(min, max, step, value)``, a list of choices, a boolean, or a
        widget with a ``value``. A tuple of integers gives an integer slider. The name of the
        argument, underscores as spaces, is the label.

    Raises
    ------
    TypeError
        If a control is none of these, or ``fn`` returned something that cannot be shown.
    ValueError
        If the value of a slider lies outside its range, or a list of choices is empty.

    Examples
    --------
    >>> shown = panel(lambda base, power: f"{base**power:g}", base=(0.5, 3.0, 0.5, 2.0), power=[2])
    >>> shown.frame.value
    '<pre class="icl-panel-text">4</pre>'
    """
    made = {name: control(name, given) for name, given in controls.items()}
    return Panel(fn, title, made)


def control(name: str, given) -> widgets.Widget:
    """Return the widget for one argument of :func:`panel`."""
    label = name.replace("_", " ")
    look = {"description": label, "style": {"description_width": "initial"}}
    if isinstance(given, widgets.Widget):
        if not hasattr(given, "value"):
            raise TypeError(f"{name}: expected a widget with a value, got {type(given).__name__}")
        given.description = given.description or label
        if given.has_trait("continuous_update"):
            given.continuous_update = False
        return given
    if isinstance(given, bool):
        return widgets.Checkbox(value=given, indent=False, **look)
    if isinstance(given, list):
        if not given:
            raise ValueError(f"{name}: expected at least one choice, got an empty list")
        return widgets.Dropdown(options=given, value=given[0], **look)
    if isinstance(given, tuple) and len(given) == 4:
        return _slider(name, given, look)
    raise TypeError(
        f"{name}: expected (min, max, step, value), a list of choices, a boolean or a widget, "
        f"got {given!r}"
    )


def _slider(name: str, given: tuple, look: dict) -> widgets.Widget:
    low, high, step, value = given
    if not low <= value <= high:
        raise ValueError(f"{name}: value {value} lies outside [{low}, {high}]")
    kind = widgets.IntSlider if all(isinstance(x, int) for x in given) else widgets.FloatSlider
    options = {} if kind is widgets.IntSlider else {"readout_format": ".3g"}
    layout = widgets.Layout(width="min(100%, 30rem)")
    return kind(
        value=value, min=low, max=high, step=step, continuous_update=False, layout=layout,
        **options, **look,
    )  # fmt: skip


def render(result) -> str:
    """Return a result of ``fn`` as HTML: text as it is, figures by their own HTML."""
    if isinstance(result, tuple):
        return "".join(map(render, result))
    if isinstance(result, str):
        return f'<pre class="icl-panel-text">{html.escape(result)}</pre>'
    if hasattr(result, "_repr_mimebundle_"):
        bundle = result._repr_mimebundle_()
        bundle = bundle[0] if isinstance(bundle, tuple) else bundle
        if "text/html" in bundle:
            return bundle["text/html"]
    elif hasattr(result, "_repr_html_"):
        return result._repr_html_()
    raise TypeError(
        f"a panel shows a string, a figure or a tuple of them, got {type(result).__name__}"
    )


def _words(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
