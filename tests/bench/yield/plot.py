# SPDX-License-Identifier: MIT
"""Efficiency against the number of workers, and the processors that it took, as an SVG.

    plot.write("yield.svg", [("8 pictures in 400 ms", rows), …])

Rows are those of run.py: workers, of_device, used."""

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 860, 330, 60, 40, 46
COLOURS = ("#c0392b", "#2c6fbb", "#3a9d5d", "#8e44ad")


def write(path, series):
    series = [(name, rows) for name, rows in series if rows]
    counts = sorted({row["workers"] for _, rows in series for row in rows})
    high = HEIGHT - TOP - BOTTOM

    def across(count):
        return LEFT + 20 + (WIDTH - LEFT - 60) * counts.index(count) / max(len(counts) - 1, 1)

    def down(share):
        return TOP + high * (1 - min(share, 1.0))

    out = [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' "
           "font-size='12'>", f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>"]
    for percent in (0, 25, 50, 75, 95, 100):
        y = down(percent / 100)
        grey = "#999" if percent == 95 else "#ddd"
        out += [f"<line x1='{LEFT}' x2='{WIDTH - 20}' y1='{y:.1f}' y2='{y:.1f}' stroke='{grey}'/>",
                f"<text x='{LEFT - 6}' y='{y + (12 if percent == 95 else 4):.1f}' text-anchor='end'>{percent} %</text>"]
    for count in counts:
        out.append(f"<text x='{across(count):.1f}' y='{HEIGHT - 24}' text-anchor='middle'>{count}</text>")
    out.append(f"<text x='{WIDTH / 2:.0f}' y='{HEIGHT - 8}' text-anchor='middle'>workers; unbroken: of what the devices could do; "
               "dashed: of the processors, by all these programs</text>")
    for i, (name, rows) in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        out.append(f"<text x='{LEFT + 10 + 265 * i}' y='{TOP - 16}' fill='{colour}'>{name}</text>")
        for member, dashes in (("of_device", ""), ("used", " stroke-dasharray='5 4'")):
            points = " ".join(f"{across(row['workers']):.1f},{down(row[member]):.1f}" for row in rows)
            out.append(f"<polyline fill='none' stroke='{colour}' stroke-width='1.7'{dashes} points='{points}'/>")
        out += [f"<circle cx='{across(row['workers']):.1f}' cy='{down(row['of_device']):.1f}' r='3' fill='{colour}'/>"
                for row in rows]
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out))
