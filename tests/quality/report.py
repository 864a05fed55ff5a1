"""Table and plot of what the quality laboratory has scored.

usage: report.py FOLDER TABLE.md PLOT.svg

Means have 95 % intervals by bootstrap over the items of speech. The first item of each call began with the loss; the others count.
"""
import json
import pathlib
import random
import sys

PATHS = [
    ("pcmu", "Ringfence, G.711", "#0b6e4f"), ("rtpengine", "rtpengine, G.711", "#b23a48"), ("g722", "Ringfence, G.722", "#2a6fbb"),
    ("chromium", "Chromium, Opus", "#8a6d3b"), ("chromium-red", "Chromium, Opus with RED", "#6a4c93"),
]
ROWS = ["clean", "1 %", "3 %", "5 %", "10 %", "20 %", "30 %", "10 % by 3", "10 % by 6", "20 % by 3", "5 % on each hop", "10 ms of jitter",
        "moderate", "international", "spiky"]
PLOTTED = ["clean", "1 %", "3 %", "5 %", "10 %", "20 %", "30 %"]
DRAWS = 2_000


def interval(scores, key, places):
    """Mean over items, and its 95 % interval."""
    by_item = {}
    for score in scores:
        if score["place"] in places and key in score:
            by_item.setdefault(score["item"], []).append(score[key])
    means = [sum(values) / len(values) for values in by_item.values()]
    if not means:
        return None
    draw = random.Random(1)
    drawn = sorted(sum(draw.choices(means, k=len(means))) / len(means) for _ in range(DRAWS))
    return sum(means) / len(means), drawn[int(0.025 * DRAWS)], drawn[int(0.975 * DRAWS)]


def shown(found, digits=2):
    return "-" if found is None else f"{found[0]:.{digits}f} ({found[1]:.{digits}f}-{found[2]:.{digits}f})"


def table(scored, title, key, places, digits=2, scale=1.0):
    paths = [path for path in PATHS if any(interval(row["scores"], key, places) for row in scored.get(path[0], {}).values())]
    lines = [f"## {title}", "", "| wire | " + " | ".join(name for _, name, _ in paths) + " |", "|---|" + "---|" * len(paths)]
    for row in ROWS:
        cells = []
        for path, _, _ in paths:
            found = interval(scored[path][row]["scores"], key, places) if row in scored[path] else None
            cells.append(shown(found and [value * scale for value in found], digits))
        if any(cell != "-" for cell in cells):
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines + [""]


def frames(scored):
    lines = ["## Frames that reached the phone", "", "Of what one phone sent: as it was sent, and with what was concealed.", "",
             "| wire | " + " | ".join(name for path, name, _ in PATHS[:3]) + " |", "|---|---|---|---|"]
    for row in ROWS:
        cells = []
        for path, _, _ in PATHS[:3]:
            found = scored.get(path, {}).get(row, {}).get("frames")
            cells.append(f"{100 * found['same']:.1f} %, {100 * found['came']:.1f} %" if found else "-")
        if any(cell != "-" for cell in cells):
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines + [""]


def plot(scored):
    """PESQ by independent loss, as SVG."""
    width, height, left, top = 640, 380, 56, 20
    across = lambda index: left + 24 + index * (width - left - 230) / (len(PLOTTED) - 1)
    down = lambda value: top + (4.5 - value) * (height - top - 50) / 3.5
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" role="img">',
           "<title>PESQ, narrow band, by loss on one hop</title>", f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for value in (1, 2, 3, 4):
        out.append(f'<path d="M{left} {down(value):.0f}H{width - 190}" stroke="#ddd"/><text x="{left - 16}" y="{down(value) + 4:.0f}">{value}</text>')
    for index, row in enumerate(PLOTTED):
        out.append(f'<text x="{across(index):.0f}" y="{height - 30}" text-anchor="middle">{row}</text>')
    out.append(f'<text x="{left}" y="{height - 10}">independent loss on one hop; bars: 95 % intervals</text>')
    out.append(f'<text x="14" y="{top + 6}">PESQ</text>')
    for place, (path, name, colour) in enumerate(PATHS):
        found = [(index, interval(scored[path][row]["scores"], "nb", (1, 2))) for index, row in enumerate(PLOTTED) if row in scored.get(path, {})]
        points = [(across(index) + 3 * place - 6, *values) for index, values in found if values]
        if path == "g722" or not points:
            continue
        line = " ".join(f"{x:.1f},{down(value):.1f}" for x, value, _, _ in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, value, low, high in points:
            out.append(f'<path d="M{x:.1f} {down(low):.1f}V{down(high):.1f}" stroke="{colour}"/><circle cx="{x:.1f}" cy="{down(value):.1f}" r="3" fill="{colour}"/>')
        out.append(f'<text x="{width - 180}" y="{top + 20 + 20 * place}" fill="{colour}">{name}</text>')
    return "\n".join([*out, "</svg>", ""])


def main():
    folder, written, drawn = map(pathlib.Path, sys.argv[1:])
    scored = {}
    for path, _, _ in PATHS:
        found = [json.loads(file.read_text()) for file in sorted((folder / path / "scores").glob("*.json"))]
        scored[path] = {row["row"]: row for row in found}
    counts = [(name, max((score["call"] + 1 for row in scored[path].values() for score in row["scores"]), default=0)) for path, name, _ in PATHS]
    calls = "; ".join(f"{name}: {count}" for name, count in counts if count)
    lines = [
        "# Speech over bad wires", "",
        "Made by `tests/run --quality`: 24 sentences of four voices of espeak-ng, in items of two, from one end to the other over coturn; many calls at",
        f"once ({calls}), each with losses of its own. Loss is on the hop between the first engine and its TURN server, each way, if the row does not say otherwise;",
        "\"by 3\" is in bursts of three in the mean. The last three are profiles of Signal's call simulator (`tests/quality/rows.rs`). Behind engines and",
        "rtpengine listens a plain phone: a buffer of 80 ms, and the last frame repeated and faded for a missing one. Chromium plays by itself. In",
        "brackets: 95 % intervals, by bootstrap over the items. A dash: not measured in this run.", "",
        f"![PESQ by loss]({drawn.name})", "",
    ]
    lines += table(scored, "PESQ, narrow band (P.862), once the loss has lasted for seven seconds", "nb", (1, 2))
    lines += table(scored, "The same in the first seven seconds of a loss", "nb", (0,))
    lines += table(scored, "PESQ, wide band (P.862.2)", "wb", (1, 2))
    lines += table(scored, "PLCMOS", "plcmos", (1, 2))
    lines += table(scored, "Mouth to ear, in milliseconds", "delay", (1, 2), 0, 1_000.0)
    lines += frames(scored)
    written.write_text("\n".join(lines).rstrip() + "\n")
    drawn.write_text(plot(scored))


if __name__ == "__main__":
    main()
