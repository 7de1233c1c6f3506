"""Attributions as a PNG, by matplotlib of the extra `explain`."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from shared.attribution import Attribution
    from shared.explained import Explained

NAMES = {
    "integrated_gradients": "integrated gradients",
    "saliency": "saliency",
    "lime": "LIME",
    "kernel_shap": "KernelSHAP",
    "grad_cam": "Grad-CAM",
}
_SIDE = 1.7  # inches of a picture
_BARS = 12  # parts of a row of numbers or a text that are drawn, strongest first
# Of the page's style sheet, light; white is "nothing".
_FOR, _AGAINST, _PAPER = "#1f5fa8", "#a33a10", "#ffffff"


def picture(explained: "Explained", places: Sequence[int], *, titled: bool = True) -> bytes:
    """A PNG with a row for each record: what it is, and what each method says of it.

    Args:
        explained: What there is to show.
        places: Which of its records.
        titled: Whether a record's title stands above its row.
    """
    from shared.question import Kind  # noqa: PLC0415 - slow, and needed by no help

    draw = _maps if explained.kind is Kind.PICTURE else _bars
    return draw(explained, places, titled=titled)


def _maps(explained: "Explained", places: Sequence[int], *, titled: bool) -> bytes:
    columns = 1 + len(explained.attributions)
    down, across = explained.inputs.shape[1:]
    high = _SIDE * min(2.0, max(0.25, down / across))
    figure, grid = _figure(len(places), columns, (_SIDE * columns, high + 0.45))
    origin = "upper" if explained.axes is None else "lower"
    for line, place in enumerate(places):
        axes = grid[line]
        shown = explained.inputs[place].numpy()
        axes[0].imshow(shown, cmap="gray", interpolation="nearest", origin=origin)
        if explained.axes is not None:
            axes[0].set_ylabel(explained.axes[0], fontsize=7)
        for at, found in enumerate(explained.attributions):
            _map(axes[at + 1], found, place, origin)
        for axis, name in zip(
            axes, ["input", *(_name(a) for a in explained.attributions)], strict=True
        ):
            axis.set_xticks([])
            axis.set_yticks([])
            if titled:
                axis.set_xlabel(name, fontsize=7)
            else:
                axis.set_title(name, fontsize=8)
        if titled:
            axes[0].set_title(_plain(explained.title(place)), fontsize=9, loc="left")
    return _png(figure)


def _map(axis: Any, found: "Attribution", place: int, origin: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 - an extra

    colours = LinearSegmentedColormap.from_list("for and against", [_AGAINST, _PAPER, _FOR])
    scores = found.scores[place]
    most = max(float(scores.abs().max()), 1e-12)
    ends = {"vmin": -most, "vmax": most, "origin": origin}
    axis.imshow(scores.numpy(), cmap=colours, interpolation="nearest", **ends)


def _bars(explained: "Explained", places: Sequence[int], *, titled: bool) -> bytes:
    columns = len(explained.attributions)
    # As many as the longest of these texts has, without padding.
    longest = max(sum(map(bool, explained.parts[place])) for place in places)
    shown = max(1, min(_BARS, longest))
    figure, grid = _figure(len(places), columns, (3.0 * columns, 0.9 + 0.22 * shown))
    for line, place in enumerate(places):
        for at, found in enumerate(explained.attributions):
            axis, scores = grid[line][at], found.scores[place]
            best = _strongest(explained, place, scores, shown)
            values = [float(scores[part]) for part in best]
            spots = range(len(best))
            axis.barh(spots, values, color=[_FOR if v >= 0 else _AGAINST for v in values])
            names = [_part(explained, place, part) for part in best]
            axis.set_yticks(spots, names, fontsize=7)
            axis.invert_yaxis()
            axis.axvline(0.0, color="#4a5564", linewidth=0.8)
            axis.tick_params(axis="x", labelsize=7)
            axis.locator_params(axis="x", nbins=4)
            axis.set_xlabel(_name(found), fontsize=8)
        if titled:
            grid[line][0].set_title(_plain(explained.title(place)), fontsize=9, loc="left")
    return _png(figure)


def _strongest(explained: "Explained", place: int, scores: "Tensor", count: int) -> list[int]:
    """The parts that are drawn, in their order; never padding, which has no name."""
    named = [part for part, name in enumerate(explained.parts[place]) if name]
    return sorted(sorted(named, key=lambda part: -abs(float(scores[part])))[:count])


def _part(explained: "Explained", place: int, part: int) -> str:
    """A column's name, or a token with its place in the text."""
    from shared.question import Kind  # noqa: PLC0415 - slow, and needed by no help

    name = _plain(explained.parts[place][part])
    return f"{name}  {part}" if explained.kind is Kind.TEXT else name


def _plain(name: str) -> str:
    """`name` as it is: matplotlib would set what stands between dollars as a formula."""
    return name.replace("$", r"\$")


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(size[0], size[1] * rows), layout="constrained", facecolor=_PAPER)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _name(found: "Attribution") -> str:
    return NAMES[found.method]


def _png(figure: Any) -> bytes:
    made = BytesIO()
    figure.savefig(made, format="png", dpi=110, metadata={"Software": None})
    return made.getvalue()
