# A plain writer of SVG: lines on logarithmic axes, with a legend.
import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 480, 80, 250, 40, 60
COLOURS = ("#c0392b", "#2471a3", "#229954", "#b9770e", "#7d3c98", "#148f77", "#839192", "#d35400", "#34495e", "#e84393")


def ticks(low, high):
    """1, 2 and 5 times powers of ten between the two."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    candidates = [m * 10.0 ** e for e in range(first, last + 1) for m in (1, 2, 5)]
    inside = [c for c in candidates if low * 0.999 <= c <= high * 1.001]
    return inside if len(inside) <= 9 else [c for c in inside if f"{c:.0e}"[0] == "1"]


def text(x, y, words, anchor="middle", size=13):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(words)}</text>'


def svg(title, x_name, y_name, series):
    """series: {name: [(x, y), ...]}, all above 0."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(ys) / 1.2, max(ys) * 1.2
    span = lambda low, high: math.log(high / low) or 1.0
    place_x = lambda x: LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / x_low) / span(x_low, x_high)
    place_y = lambda y: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(y / y_low) / span(y_low, y_high)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', text((LEFT + WIDTH - RIGHT) / 2, 24, title, size=15),
             text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_name), text(LEFT, TOP - 8, y_name, "end")]
    for y in ticks(y_low, y_high):
        parts.append(f'<path d="M{LEFT} {place_y(y):.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(text(LEFT - 8, place_y(y) + 4, f"{y:g}", "end"))
    for x in sorted(set(xs)):
        parts.append(f'<path d="M{place_x(x):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eeeeee"/>')
        parts.append(text(place_x(x), HEIGHT - BOTTOM + 20, f"{x:g}"))
    for number, (name, points) in enumerate(series.items()):
        colour, ours = COLOURS[number % len(COLOURS)], name.startswith("calque")
        line = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in sorted(points))
        dash = ' stroke-dasharray="6 4"' if number >= len(COLOURS) else ""
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{3 if ours else 1.5}"{dash}/>')
        parts += [f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        y = TOP + 10 + 20 * number
        parts.append(f'<path d="M{WIDTH - RIGHT + 14} {y}h24" stroke="{colour}" stroke-width="{3 if ours else 1.5}"{dash}/>')
        parts.append(text(WIDTH - RIGHT + 44, y + 4, name, "start"))
    return "\n".join(parts + ["</svg>"]) + "\n"
