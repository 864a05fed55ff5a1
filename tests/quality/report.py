"""Table and plot of what the quality laboratory has scored.

usage: report.py FOLDER TABLE.md PLOT.svg

Paths that were not measured have no column.

Means have 95 % intervals by bootstrap over the items of speech. The first item of each call began with the loss; the others count.
"""
import json
import pathlib
import random
import sys

import alone

PATHS = [
    ("pcmu", "Ringfence, G.711", "#0b6e4f"), ("rtpengine", "rtpengine, G.711", "#b23a48"), ("g722", "Ringfence, G.722", "#2a6fbb"),
    ("opus", "Ringfence, Opus", "#138d90"), ("opus-fec", "Ringfence, Opus with FEC", "#5b8c5a"),
    ("chromium", "Chromium, Opus", "#8a6d3b"), ("chromium-red", "Chromium, Opus with RED", "#6a4c93"),
]
NAMES = [(path, name) for path, name, _ in PATHS]
PHONES = [(path, name) for path, name in NAMES if not path.startswith("chromium")]
LISTENERS = [("linphone", "Linphone 5.1"), ("baresip", "baresip 1.0"), ("baresip4", "baresip 4.10"), ("pjsua", "pjsua 2.15")]
ROWS = ["clean", "1 %", "3 %", "5 %", "10 %", "20 %", "30 %", "40 %", "50 %", "10 % always 3", "10 % always 6", "10 % by 3", "10 % by 4",
        "10 % by 6", "20 % by 3", "20 % by 4", "30 % by 4", "5 % on each hop", "10 ms of jitter", "moderate", "international", "spiky",
        "300 kbit", "100 kbit", "50 kbit", "25 kbit"]
PLOTTED = ["clean", "1 %", "3 %", "5 %", "10 %", "20 %", "30 %"]
DRAWS = 2_000


def by_item(scores, key, places):
    found = {}
    for score in scores:
        if score["place"] in places and key in score:
            found.setdefault(score["item"], []).append(score[key])
    return {item: sum(values) / len(values) for item, values in found.items()}


def bootstrap(means):
    """Their mean, and its 95 % interval."""
    if not means:
        return None
    draw = random.Random(1)
    drawn = sorted(sum(draw.choices(means, k=len(means))) / len(means) for _ in range(DRAWS))
    return sum(means) / len(means), drawn[int(0.025 * DRAWS)], drawn[int(0.975 * DRAWS)]


def interval(scores, key, places):
    return bootstrap(list(by_item(scores, key, places).values()))


def ahead(scored, ours, theirs):
    """By how much one path is ahead of another, item by item: voices differ more than paths do."""
    lines = [f"## {dict(NAMES)[ours]}, less {dict(NAMES)[theirs]}", "", "Item by item, once the loss has lasted.", "",
             "| wire | PESQ, narrow band | PESQ, wide band | PLCMOS |", "|---|---|---|---|"]
    for row in ROWS:
        both = [scored[path].get(row, {}).get("scores", []) for path in (ours, theirs)]
        cells = []
        for key in ("nb", "wb", "plcmos"):
            one, other = (by_item(scores, key, (1, 2)) for scores in both)
            found = bootstrap([one[item] - other[item] for item in sorted(one.keys() & other.keys())])
            cells.append("-" if found is None else f"{found[0]:+.2f} ({found[1]:+.2f} to {found[2]:+.2f})")
        if any(cell != "-" for cell in cells):
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines + [""] if len(lines) > 6 else []


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
    paths = [(path, name) for path, name in PHONES if scored[path]]
    lines = ["## Frames that reached the phone", "", "Of what one phone sent: as it was sent, and with what was concealed.", "",
             "| wire | " + " | ".join(name for _, name in paths) + " |", "|---|" + "---|" * len(paths)]
    for row in ROWS:
        found = [scored[path].get(row, {}).get("frames") for path, _ in paths]
        if any(found):
            cells = (f"{100 * it['same']:.1f} %, {100 * it['came']:.1f} %" if it else "-" for it in found)
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines + [""]


def listeners(scored):
    paths = [path for path in LISTENERS if scored[path[0]]]
    if not paths:
        return []
    lines = ["## Real phones that listen", "",
             "PESQ, narrow band, of what real phones with G.711 played: behind two engines, and then where the speaking phone loses the same share",
             "before its engine, which nothing repairs, so that the listening phone conceals alone.", "",
             "| wire | " + " | ".join(f"{name} | alone" for _, name in paths) + " |", "|---|" + "---|---|" * len(paths)]
    for row in ROWS:
        found = [scored[path + kind].get(row, {}).get("scores", []) for path, _ in paths for kind in ("", "-unrepaired")]
        if any(found):
            lines.append(f"| {row} | " + " | ".join(shown(interval(scores, "nb", (1, 2))) for scores in found) + " |")
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
        points = [(across(index) + 2 * place - 6, *values) for index, values in found if values]
        if path in ("g722", "opus-fec") or not points:
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
    phones = [path + kind for path, _ in LISTENERS for kind in ("", "-unrepaired")]
    for path in [path for path, _, _ in PATHS] + phones:
        found = [json.loads(file.read_text()) for file in sorted((folder / path / "scores").glob("*.json"))]
        scored[path] = {row["row"]: row for row in found}
    counts = [(name, max((score["call"] + 1 for row in scored[path].values() for score in row["scores"]), default=0)) for path, name, _ in PATHS]
    calls = "; ".join(f"{name}: {count}" for name, count in counts if count)
    lines = [
        "# Speech over bad wires", "",
        "Made by `tests/run --quality`: 24 sentences of four voices of espeak-ng, in items of two, from one end to the other over coturn; many calls at",
        f"once ({calls}), each with losses of its own. Loss is on the hop between the first engine and its TURN server, each way, if the row does not say otherwise;",
        "\"by 3\" is in bursts of three in the mean, \"always 3\" in bursts of just three. Moderate, international, spiky, the rates (of the headers too, with",
        "a queue of 16 packets), the plain percentages from 10 on and \"by 4\" are profiles of Signal's call simulator (`tests/quality/rows.rs`); packets",
        "are of 20 ms. Behind engines and rtpengine listens a plain phone: a buffer of 80 ms, and the last frame repeated and faded for a missing one; with",
        "Opus it is libopus that conceals, at 32 kbit/s, constant as engines ask for. \"With FEC\", phones expect a loss of 10 % and repeat each packet",
        "coarsely in the next one (RFC 7587); without, they go by what their engine reports, which is none. Chromium sends and plays by itself. In",
        "brackets: 95 % intervals, by bootstrap over the items. A dash: not measured in this run.", "",
        f"![PESQ by loss]({drawn.name})", "",
    ]
    lines += table(scored, "PESQ, narrow band (P.862), once the loss has lasted for seven seconds", "nb", (1, 2))
    lines += table(scored, "The same in the first seven seconds of a loss", "nb", (0,))
    lines += table(scored, "PESQ, wide band (P.862.2)", "wb", (1, 2))
    lines += table(scored, "PLCMOS", "plcmos", (1, 2))
    lines += ahead(scored, "opus", "chromium-red")
    lines += ahead(scored, "pcmu", "chromium-red")
    lines += table(scored, "Mouth to ear, in milliseconds", "delay", (1, 2), 0, 1_000.0)
    lines += frames(scored)
    lines += listeners(scored)
    lines += alone.table(folder / "speech")
    written.write_text("\n".join(lines).rstrip() + "\n")
    drawn.write_text(plot(scored))


if __name__ == "__main__":
    main()
