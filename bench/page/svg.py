"""SVG by pure functions: text that is safe to show, scales, ticks and numbers as people read them."""

import math
import re

FONT_PX = 12
CHARACTER_PX = 0.6 * FONT_PX  # on the safe side for the common sans-serif fonts


def text_of(value):
    """Text for HTML and XML 1.0, also within quotes: escaped, without the characters that they cannot hold."""
    allowed = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", str(value))
    return (allowed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
            .replace("'", "&#39;"))


def number(value):
    """A finite number, or None for whatever else a record may hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def tag(name, body=None, **attributes):
    """An element. body is markup already; class_ and stroke_width become class and stroke-width; floats are rounded."""
    written = ""
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:.1f}" if isinstance(value, float) else text_of(value)
            written += f' {key.rstrip("_").replace("_", "-")}="{shown}"'
    return f"<{name}{written}/>" if body is None else f"<{name}{written}>{body}</{name}>"


def line(x1, y1, x2, y2, class_):
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def text(x, y, value, class_=None, anchor=None):
    return tag("text", text_of(value), x=float(x), y=float(y), class_=class_, text_anchor=anchor)


def picture(width, height, body, label, class_):
    """An SVG that fits its column and says to those who cannot see it what it is; the table below has the figures."""
    return tag("svg", tag("title", text_of(label)) + body, viewBox=f"0 0 {width} {height:.0f}", class_=class_, role="img",
               xmlns="http://www.w3.org/2000/svg")


def steps(most, wanted):
    """0 and the multiples of 1, 2 or 5 times a power of ten up to `most`, about `wanted` of them."""
    if not most > 0:
        return [0]
    raw = most / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    return [step * i for i in range(int(most / step + 1e-9) + 1)]


def steps_between(low, high, wanted):
    """The same kind of steps within low and high."""
    step = steps(high - low, wanted)[-1:]
    if not step or step[0] <= 0:
        return [low]
    width = steps(high - low, wanted)[1] if len(steps(high - low, wanted)) > 1 else step[0]
    first = math.ceil(low / width - 1e-9)
    return [width * i for i in range(first, int(math.floor(high / width + 1e-9)) + 1)]


def decades(low, high):
    """(first, last, ticks): 1, 2 and 5 times powers of ten that hold low and high between them; where there are many, fewer."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    fine = [10.0 ** exponent * factor for exponent in range(first, last + 1) for factor in (1, 2, 5)]
    begin = max(one for one in fine if one <= low * 1.000001)
    end = min([one for one in fine if one >= high * 0.999999] or [10.0 ** last])
    if end <= begin:
        end = begin * 10
    every = max(1, (last - first) // 8)
    ticks = fine if last - first <= 2 else [10.0 ** exponent for exponent in range(first, last + 1, every)]
    return begin, end, [one for one in ticks if begin * 0.999999 <= one <= end * 1.000001]


class Linear:
    """low..high onto x0..x1; what lies outside is put on the edge."""

    def __init__(self, low, high, x0, x1):
        self.low, self.high, self.x0, self.x1 = low, (high if high > low else low + 1), x0, x1

    def __call__(self, value):
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.x0 + share * (self.x1 - self.x0)


class Logarithmic(Linear):
    """The same for powers of ten; low is above 0, and whatever is not lies on the edge."""

    def __call__(self, value):
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return self.x0 + share * (self.x1 - self.x0)


def grouped(value):
    return f"{value:,.0f}".replace(",", "\u202f")  # a narrow space, as every country reads it


def short(value):
    """Three digits and a prefix: 4.93, 148 k, 1.34 M."""
    if value is None:
        return "\u2013"
    size = abs(value)
    if size >= 1e15 or (size and size < 1e-4):
        return f"{value:.2g}"
    for factor, prefix in ((1e12, "\u202fT"), (1e9, "\u202fG"), (1e6, "\u202fM"), (1e3, "\u202fk")):
        if size >= factor * 0.9995:
            return significant(value / factor) + prefix
    return significant(value)


def significant(value):
    """Three significant digits, never an exponent."""
    if value == 0:
        return "0"
    rounded = abs(float(f"{value:.2e}"))  # 0.9996 has the digits of 1.00
    digits = max(0, 2 - math.floor(math.log10(rounded) + 1e-9))
    return f"{value:.{min(digits, 6)}f}"


def tick_text(value):
    """A tick's number without digits that say nothing."""
    written = short(value)
    number_part, gap, prefix = written.partition("\u202f")
    if "." in number_part and "e" not in number_part:
        number_part = number_part.rstrip("0").rstrip(".")
    return number_part + gap + prefix


def milliseconds(value):
    """A latency with its unit."""
    if value is None:
        return "\u2013"
    if value >= 1000:
        return f"{significant(value / 1000)}\u202fs"
    return f"{significant(value)}\u202fms" if value >= 1 else f"{significant(value * 1000)}\u202f\u00b5s"
