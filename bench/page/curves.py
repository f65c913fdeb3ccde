"""Latency over the percentiles: the axis gives 90, 99, 99.9 the same distance, so that the tail is seen."""

import math
from dataclasses import dataclass

from page.svg import Logarithmic, decades, line, milliseconds, number, picture, tag, text, text_of

WIDE, NARROW = 720, 344
PERCENTS = [0, 50, 90, 99, 99.9, 99.99, 99.999]
DASHES = [None, "7 4", "2 3", "10 3 2 3", "5 2", "1 4", "12 4"]
MARKERS = ["circle", "square", "triangle", "diamond"]
LABEL_PX = 14  # the least distance between two names at the right


@dataclass
class Curve:
    """points: [percent, ms, least ms, most ms], rising."""
    label: str
    kind: str
    points: list


@dataclass
class Look:
    """How a curve differs from others without its colour."""
    index: int
    kind: str

    @property
    def dash(self):
        return DASHES[self.index % len(DASHES)]

    @property
    def marker(self):
        return MARKERS[self.index % len(MARKERS)]

    @property
    def class_(self):
        return f"curve {self.kind} hue{self.index % 8}"


def looks(curves):
    """Ours have the first looks, whatever stands beside them."""
    order = sorted(range(len(curves)), key=lambda at: (curves[at].kind != "ours", at))
    return {at: Look(position, curves[at].kind) for position, at in enumerate(order)}


def depth(percent):
    """Nines: 0 for 0, 1 for 90, 2 for 99; with 50 where it falls."""
    return -math.log10(1 - min(percent, 99.9999) / 100)


def clean(points):
    """The points that are four numbers, of latencies above zero."""
    good = [[number(one) for one in point] for point in points if isinstance(point, (list, tuple)) and len(point) == 4]
    return [point for point in good if None not in point and 0 <= point[0] <= 100 and min(point[1:]) > 0]


def marker(look, x, y):
    shapes = {"circle": f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "square": f"M{x - 3.5:.1f} {y - 3.5:.1f}h7v7h-7z",
              "triangle": f"M{x:.1f} {y - 4.5:.1f}l4.5 8h-9z", "diamond": f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"}
    return tag("path", d=shapes[look.marker], class_=f"{look.class_} marker")


def path_of(pairs):
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in pairs)


def band(points, x_of, y_of, look):
    """From the least to the most of the rounds."""
    upper = [(x_of(point[0]), y_of(point[3])) for point in points]
    lower = [(x_of(point[0]), y_of(point[2])) for point in reversed(points)]
    return tag("path", d=path_of(upper + lower) + "z", class_=f"{look.class_} band")


def drawn(curve, look, x_of, y_of):
    """The curve, and its markers at the percentiles that people name."""
    pairs = [(x_of(point[0]), y_of(point[1])) for point in curve.points]
    marks = [marker(look, x_of(point[0]), y_of(point[1])) for point in curve.points if point[0] in PERCENTS[1:]]
    return tag("path", d=path_of(pairs), class_=f"{look.class_} line", stroke_dasharray=look.dash) + "".join(marks)


def spread(wanted, top, bottom):
    """Places for names near where they are wanted, apart from each other as far as the plot's height allows."""
    gap = min(LABEL_PX, (bottom - top) / max(len(wanted), 1))
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    placed, free_from = {}, top
    for at in order:
        placed[at] = max(wanted[at], free_from)
        free_from = placed[at] + gap
    limit = bottom
    for at in reversed(order):
        placed[at] = min(placed[at], limit)
        limit = placed[at] - gap
    return [placed[at] for at in range(len(wanted))]


def names(curves, seen, x_of, y_of, right, top, bottom):
    ends = [y_of(curve.points[-1][1]) for curve in curves]
    parts = []
    for curve, look, end, y in zip(curves, seen, ends, spread(ends, top + 6, bottom - 2)):
        parts.append(line(x_of(curve.points[-1][0]) + 5, end, right + 6, y, "leader"))
        parts.append(text(right + 10, y + 4, curve.label, f"label {look.kind}"))
    return "".join(parts)


def grid(left, right, top, bottom, deepest, y_ticks, x_of, y_of):
    parts = []
    for tick in y_ticks:
        parts += [line(left, y_of(tick), right, y_of(tick), "grid"), text(left - 6, y_of(tick) + 4, milliseconds(tick), "tick", "end")]
    for percent in (percent for percent in PERCENTS if depth(percent) <= deepest + 1e-9):
        parts += [line(x_of(percent), top, x_of(percent), bottom, "grid"),
                  text(x_of(percent), bottom + 16, f"p{percent:g}" if percent else "0", "tick", "middle")]
    return "".join(parts)


def curves_plot(curves, label, width=WIDE):
    """One line for each server with the band of its rounds; '' without a single point."""
    curves = [Curve(one.label, one.kind, clean(one.points)) for one in curves]
    seen = looks(curves)
    chosen = [(curve, seen[at]) for at, curve in enumerate(curves) if curve.points]
    if not chosen:
        return ""
    narrow = width < 500
    left, right, top, bottom = (58, width - 14, 8, 250) if narrow else (66, width - 150, 8, 340)
    heights = [value for curve, _ in chosen for point in curve.points for value in point[1:]]
    low, high, y_ticks = decades(min(heights), max(heights))
    deepest = max(depth(curve.points[-1][0]) for curve, _ in chosen) or 1

    def x_of(percent):
        return left + depth(percent) / deepest * (right - left)
    y_of = Logarithmic(low, high, bottom, top)
    parts = [grid(left, right, top, bottom, deepest, y_ticks, x_of, y_of)]
    parts += [band(curve.points, x_of, y_of, look) for curve, look in chosen]
    parts += [drawn(curve, look, x_of, y_of) for curve, look in reversed(chosen)]  # ours, which come first, on top
    if not narrow:
        parts.append(names([curve for curve, _ in chosen], [look for _, look in chosen], x_of, y_of, right, top, bottom))
    return picture(width, bottom + 24, "".join(parts), label, "narrow" if narrow else "wide")


def legend(curves):
    """A sample of each line with its name, as HTML."""
    parts = []
    for at, look in sorted(looks(curves).items()):
        sample = (tag("path", d="M2 8L42 8", class_=f"{look.class_} line", stroke_dasharray=look.dash) + marker(look, 22, 8))
        parts.append(tag("span", tag("svg", sample, viewBox="0 0 44 16", width=44, height=16, aria_hidden="true")
                         + text_of(curves[at].label), class_="key"))
    return tag("div", "".join(parts), class_="legend curves")
