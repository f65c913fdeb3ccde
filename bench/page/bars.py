"""Horizontal plots, a row for each server: bars from zero, and dots where the scale has no zero."""

from dataclasses import dataclass

from page.svg import Linear, Logarithmic, decades, line, number, picture, short, steps, steps_between, tag, text, tick_text

WIDE, NARROW = 720, 344
LABEL_PX, VALUE_PX = 148, 92  # the columns left and right of a wide plot
BOTTOM_PX = 24


@dataclass
class Row:
    """A server's value with the least and the most of its rounds."""
    label: str
    kind: str                  # floor, ours or peer
    value: float | None
    low: float | None = None
    high: float | None = None
    part: float | None = None  # of the value, drawn within the bar
    other: float | None = None  # another value on the same scale, drawn as a small square
    note: str = ""             # beside the value


@dataclass
class Layout:
    """Where things are in a plot of some width; a narrow one has label and value above the bar."""
    width: int
    rows: int

    @property
    def narrow(self):
        return self.width < 500

    @property
    def left(self):
        return 8 if self.narrow else LABEL_PX

    @property
    def right(self):
        return self.width - (12 if self.narrow else VALUE_PX)

    @property
    def row_px(self):
        return 42 if self.narrow else 28

    @property
    def top(self):
        return 8

    @property
    def bottom(self):
        return self.top + self.rows * self.row_px

    @property
    def height(self):
        return self.bottom + BOTTOM_PX

    def bar(self, number_of_row):
        """Top and height of a row's bar."""
        top = self.top + number_of_row * self.row_px
        return (top + 20, 14) if self.narrow else (top + 6, 16)

    def words(self, row, number_of_row, form):
        """Label and value of a row."""
        top, height = self.bar(number_of_row)
        y = top - 5 if self.narrow else top + height / 2 + 4
        value = "no figure" if number(row.value) is None else form(row.value)
        label = (8, None) if self.narrow else (self.left - 10, "end")
        return (text(label[0], y, shortened(row.label, 21), f"label {row.kind}", label[1])
                + text(self.width - 4, y, value + row.note, f"value {row.kind}", "end"))


def shortened(label, most):
    return label if len(label) <= most else label[:most - 1] + "\u2026"


def values_of(rows):
    """Every number that has to find its place on the axis."""
    found = [number(one) for row in rows for one in (row.value, row.low, row.high, row.part, row.other)]
    return [one for one in found if one is not None]


def axis(layout, scale, ticks, tick_form):
    """Grid lines with their numbers below; those that would run into each other are left out."""
    parts, free_from = [], float("-inf")
    for tick in ticks:
        x = scale(tick)
        parts.append(line(x, layout.top, x, layout.bottom, "grid"))
        written = tick_form(tick)
        half = len(written) * 3.5
        if x - half >= free_from:
            anchor = "end" if x + half > layout.width else "middle"
            parts.append(text(x, layout.bottom + 16, written, "tick", anchor))
            free_from = x + half + 6
    return "".join(parts)


def reference_line(layout, scale, reference):
    """A value to compare with: (value, what it is)."""
    if reference is None:
        return ""
    x = scale(reference[0])
    return line(x, layout.top - 4, x, layout.bottom, "reference")


def whisker(row, scale, middle):
    low, high = number(row.low), number(row.high)
    if low is None or high is None or scale(high) - scale(low) < 1:
        return ""
    return (line(scale(low), middle, scale(high), middle, "whisker") + line(scale(low), middle - 4, scale(low), middle + 4, "whisker")
            + line(scale(high), middle - 4, scale(high), middle + 4, "whisker"))


def bars(rows, label, width=WIDE, form=short, reference=None):
    """Bars from zero with whiskers from the least to the most of the rounds; a value below zero has no bar."""
    layout = Layout(width, len(rows))
    most = max([*values_of(rows), reference[0] if reference else 0, 0]) * 1.02
    most = most if most > 0 else 1
    scale = Linear(0, most, layout.left, layout.right)
    parts = [axis(layout, scale, steps(most, 3 if layout.narrow else 6), tick_text), reference_line(layout, scale, reference)]
    for index, row in enumerate(rows):
        top, height = layout.bar(index)
        value = number(row.value)
        if value is not None:
            parts.append(tag("rect", x=float(layout.left), y=float(top), width=float(scale(value) - layout.left),
                             height=float(height), class_=f"bar {row.kind}"))
            if number(row.part) is not None:
                parts.append(tag("rect", x=float(layout.left), y=float(top + height - 5), height=5.0, class_=f"part {row.kind}",
                                 width=float(scale(row.part) - layout.left)))
            parts.append(whisker(row, scale, top + height / 2))
        parts.append(layout.words(row, index, form))
    parts.append(line(layout.left, layout.top - 4, layout.left, layout.bottom, "axis"))
    return picture(width, layout.height, "".join(parts), label, "narrow" if layout.narrow else "wide")


def dot(kind, x, y):
    """Ours are filled, peers hollow circles, floors hollow diamonds."""
    if kind == "floor":
        return tag("path", d=f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z", class_="dot floor")
    return tag("circle", cx=float(x), cy=float(y), r=5.0, class_=f"dot {kind}")


def dots(rows, label, width=WIDE, form=short, reference=None, logarithmic=True):
    """Dots on a logarithmic scale, or on a part of a linear one: neither has a zero that a bar could stand on."""
    layout = Layout(width, len(rows))
    values = values_of(rows) + ([reference[0]] if reference else [])
    wanted = 3 if layout.narrow else 6
    if logarithmic:
        positive = [value for value in values if value > 0] or [1]
        low, high, ticks = decades(min(positive), max(positive))
        scale = Logarithmic(low, high, layout.left + 8, layout.right - 8)
    else:
        low, high = (min(values), max(values)) if values else (0, 1)
        margin = (high - low) * 0.08 or abs(high) * 0.01 or 1
        low, high = low - margin, high + margin
        ticks = steps_between(low, high, wanted)
        scale = Linear(low, high, layout.left + 8, layout.right - 8)
    parts = [axis(layout, scale, ticks, tick_text), reference_line(layout, scale, reference)]
    for index, row in enumerate(rows):
        top, height = layout.bar(index)
        middle = top + height / 2
        value = number(row.value)
        parts.append(line(layout.left, middle, layout.right, middle, "leader"))
        if value is not None:
            other = number(row.other)
            if other is not None:
                parts.append(tag("rect", x=float(scale(other) - 3.5), y=float(middle - 3.5), width=7.0, height=7.0, class_="other"))
            parts += [whisker(row, scale, middle), dot(row.kind, scale(value), middle)]
        parts.append(layout.words(row, index, form))
    return picture(width, layout.height, "".join(parts), label, "narrow" if layout.narrow else "wide")
