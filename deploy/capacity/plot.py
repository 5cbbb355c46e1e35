"""Draw a simulated shift change as SVG, by hand: two panels and a few lines need no library."""

import math
from collections.abc import Sequence
from html import escape

from deploy.capacity.shift_change import simulate
from deploy.capacity.tables import SHIFT_S, deployed

_PUNCHES = 100_000
_SECONDS = 60
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 640, 180, 70, 40, 60
_STYLE = 'font-family="sans-serif" font-size="12"'

# For each panel: its title, and its lines with their names and colours (Okabe and Ito).
_Line = tuple[str, str, Sequence[int]]


def shift_change_svg() -> str:
    """Return the picture of 100,000 punches in 15 s, with the deployment as it is."""
    seconds = simulate(_PUNCHES, SHIFT_S, deployed()).seconds[:_SECONDS]

    def line(name: str, colour: str, member: str) -> _Line:
        return name, colour, [getattr(each, member) for each in seconds]

    requests = [
        line("requests", "#999999", "offered"),
        line("accepted", "#0072b2", "accepted"),
        line("refused", "#d55e00", "refused"),
    ]
    state = [
        line("buffered records", "#009e73", "buffered"),
        line("environments, times 10", "#cc79a7", "environments"),
    ]
    state[1] = (*state[1][:2], [10 * each for each in state[1][2]])
    title = f"{_PUNCHES:,} punches in {SHIFT_S:.0f} s, simulated"
    height = 2 * _HEIGHT + _GAP + _TOP + 40
    body = [
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(title)}</text>',
        *_panel("a second", requests, _TOP),
        *_panel("at the end of each second", state, _TOP + _HEIGHT + _GAP),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + _LEFT + 20} {height}"'
        f" {_STYLE}>\n"
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _panel(title: str, lines: Sequence[_Line], top: int) -> list[str]:
    highest = _round_up(max(max(values) for _, _, values in lines))
    bottom = top + _HEIGHT

    def x(second: float) -> float:
        return round(_LEFT + _WIDTH * second / _SECONDS, 1)

    def y(value: float) -> float:
        return round(bottom - _HEIGHT * value / highest, 1)

    drawn = [
        f'<path d="M{_LEFT} {top}V{bottom}H{_LEFT + _WIDTH}" fill="none" stroke="#555555"/>',
        f'<text x="{_LEFT + 6}" y="{top + 4}" fill="#555555">{escape(title)}</text>',
    ]
    drawn += [
        f'<text x="{_LEFT - 6}" y="{y(part) + 4}" text-anchor="end">{part:,}</text>'
        for part in (0, highest // 2, highest)
    ]
    drawn += [
        f'<text x="{x(second)}" y="{bottom + 16}" text-anchor="middle">{second} s</text>'
        for second in range(0, _SECONDS + 1, 10)
    ]
    for position, (name, colour, values) in enumerate(lines):
        points = " ".join(f"{x(number + 1)},{y(each)}" for number, each in enumerate(values))
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        drawn.append(
            f'<text x="{_LEFT + _WIDTH}" y="{top + 4 + 16 * position}" text-anchor="end"'
            f' fill="{colour}">{escape(name)}</text>'
        )
    return drawn


def _round_up(number: int) -> int:
    """Return the next number of one digit and zeros, at least 10."""
    unit = int(10 ** max(len(str(number)) - 1, 1))
    return math.ceil(number / unit) * unit
