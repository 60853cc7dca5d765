"""A panel of a figure as SVG: axes with ticks, lines, bars and a legend. No library is needed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

INK, FAINT = "#1f2328", "#d0d7de"
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 34, 42  # pixels around the axes
_FONT = 11


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: float = _FONT,
    bold: bool = False,
) -> str:
    """Return a line of text; what it says is escaped."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{INK}"{weight}>{escape(words)}</text>'
    )


def line(
    points: Sequence[tuple[float, float]], colour: str, *, dash: str = "", width: float = 2
) -> str:
    """Return a line through points, in pixels."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
        f'{dashes} stroke-linejoin="round"/>'
    )


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Return a filled rectangle, in pixels."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


@dataclass
class Panel:
    """A part of the figure, of a size in pixels, with values from 0 to 1 on each axis.

    What is drawn is added to ``parts``.
    """

    x: float
    y: float
    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def at(self, across: float, up: float) -> tuple[float, float]:
        """Return the pixel of a place on the axes, both from 0 to 1."""
        return (
            self.x + LEFT + across * (self.width - LEFT - RIGHT),
            self.y + self.height - BOTTOM - up * (self.height - TOP - BOTTOM),
        )

    def axes(
        self, across: Sequence[tuple[float, str]], up: Sequence[tuple[float, str]], label: str
    ) -> None:
        """Draw the axes with their ticks, (place, words), and the name of the lower axis."""
        for place, words in up:
            self.level(place, FAINT)
            x, y = self.at(0, place)
            self.parts.append(text(x - 6, y + 4, words, anchor="end"))
        for place, words in across:
            x, y = self.at(place, 0)
            self.parts.append(text(x, y + 15, words, anchor="middle"))
        self.parts.append(line([self.at(0, 0), self.at(1, 0)], INK, width=1))
        x, y = self.at(0.5, 0)
        self.parts.append(text(x, y + 33, label, anchor="middle"))

    def level(self, up: float, colour: str, *, dash: str = "") -> None:
        """Draw a line across the whole panel."""
        self.parts.append(line([self.at(0, up), self.at(1, up)], colour, dash=dash, width=1))

    def curve(self, points: Sequence[tuple[float, float]], colour: str, *, dash: str = "") -> None:
        """Draw a line through places on the axes."""
        self.parts.append(line([self.at(*point) for point in points], colour, dash=dash))

    def bar(self, across: float, width: float, up: float, colour: str, base: float = 0) -> None:
        """Draw a bar with its middle at a place on the lower axis, from ``base`` to ``up``."""
        left, top = self.at(across - width / 2, max(up, base))
        right, bottom = self.at(across + width / 2, min(up, base))
        self.parts.append(box(left, top, right - left, max(bottom - top, 1.0), colour))

    def words(self, what: str) -> None:
        """Write a sentence where the axes would be."""
        for number, each in enumerate(textwrap.wrap(what, 56)):
            x, y = self.at(0, 0.8)
            self.parts.append(text(x, y + 17 * number, each, size=12))

    def legend(self, entries: Sequence[tuple[str, str, str]]) -> None:
        """Write (words, colour, dash) one below another, in the upper left corner of the axes."""
        x, y = self.at(0.02, 1)
        for number, (words, colour, dash) in enumerate(entries):
            level = y + 10 + 15 * number
            self.parts.append(line([(x, level - 4), (x + 18, level - 4)], colour, dash=dash))
            self.parts.append(text(x + 24, level, words))

    def drawn(self) -> str:
        """Return the panel with its title."""
        title = text(self.x + 12, self.y + 20, self.title, size=13, bold=True)
        return "\n".join([title, *self.parts])


def figure(width: int, height: int, title: str, panels: Sequence[Panel]) -> str:
    """Return a whole SVG file."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" role="img" '
        f'aria-label="{escape(title)}">'
    )
    background = box(0, 0, width, height, "#ffffff")
    parts = [panel.drawn() for panel in panels]
    return "\n".join(
        [head, background, text(12, 26, title, size=16, bold=True), *parts, "</svg>\n"]
    )
