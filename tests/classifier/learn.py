"""Tries to tell calls apart by what a TURN server, or who sits before it, sees of them.

It reads a folder that tests/it/classifier recorded: leg0 and leg1, a record for each packet (clear_header.rs in tests/harness has
the layout), and calls, a JSON object for each call. Windows of ten seconds become features: counts, sizes, times between packets, and
every clear header field. Two standard learners are cross-validated with calls, not windows, as groups. A table goes to standard
error and JSON to standard output.

Usage: learn.py FOLDER [--plant] [--no-times]

  --plant     in place of the honest pairs, speech against speech in which one packet that the engine sends in each window has a byte more
  --no-times  sizes and headers alone, for phones whose own pace would tell them apart
"""

import json
import os
import sys
from pathlib import Path

# Threads of OpenMP that wait for each other by spinning take a busy machine's time. This must be said before the libraries load.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

SECOND = 1_000_000_000
WINDOW = 10 * SECOND
BEFORE_BEGIN = 2 * SECOND
# Before the last packet of sound, and after it.
BEFORE_END, AFTER_END = 5 * SECOND, 5 * SECOND
FOLDS = 5
RESAMPLED = 10_000
# Of so many 95 % intervals, two learners for each pair, one or two miss chance by luck. An interval that all of them together miss with
# 5 % only says that a pair is told apart.
INTERVALS = 26

RECORD = np.dtype([
    ("time", "<u8"), ("flow", "<u2"), ("down", "u1"),
    ("outer", "u1"), ("inner", "u1"), ("first", "u1"), ("second", "u1"), ("spare", "u1"),
    ("size", "<u2"), ("channel", "<u2"), ("method", "<u2"), ("inner_method", "<u2"), ("inner_length", "<u2"), ("sequence", "<u2"),
    ("timestamp", "<u4"), ("source", "<u4"), ("shape", "<u4"), ("inner_shape", "<u4"),
])
RTP, RTCP = 4, 5
# How many values of a field get a feature of their own: the commonest ones of all windows, whatever their kind.
COMMONEST = 24
QUANTILES = [0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1]
# Times between packets, in milliseconds.
GAPS = [0, 0.1, 0.5, 1, 2, 5, 10, 15, 18, 19, 19.5, 20, 20.5, 21, 22, 25, 30, 45, 100, 500, 10_000]


def kinds_of(packets):
    """A number for each packet that says what it is: how it crosses, what it holds, its fixed header fields, its length."""
    fields = [packets[name].astype(np.uint64) for name in ("outer", "inner", "first", "second", "method", "inner_method")]
    is_rtp = packets["inner"] == RTP
    shapes = [packets["shape"], np.where(is_rtp | (packets["inner"] == RTCP), 0, packets["inner_shape"])]
    mixed = np.zeros(len(packets), dtype=np.uint64)
    for field in [*fields, *(shape.astype(np.uint64) for shape in shapes), packets["size"].astype(np.uint64)]:
        mixed = (mixed ^ field) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def spread(values):
    """Quantiles, mean and deviation; zeros for nothing."""
    if len(values) == 0:
        return [0.0] * (len(QUANTILES) + 2)
    return [*np.quantile(values, QUANTILES), np.mean(values), np.std(values)]


def headers(packets):
    """Every clear field of RTP and RTCP, and what is not constant where it should be."""
    rtp = packets[packets["inner"] == RTP]
    first, second = rtp["first"].astype(int), rtp["second"].astype(int)
    steps = np.diff(rtp["sequence"].astype(np.int64)) & 0xFFFF
    ticks = np.diff(rtp["timestamp"].astype(np.int64)) & 0xFFFFFFFF
    rtcp = packets[packets["inner"] == RTCP]
    return [
        len(rtp), np.sum(first >> 6 != 2), np.sum(first & 0x20 != 0), np.sum(first & 0x10 != 0), np.sum(first & 0x0F),
        np.sum(second & 0x80 != 0), len(np.unique(second & 0x7F)), len(np.unique(rtp["source"])), len(np.unique(rtp["channel"])),
        len(np.unique(rtp["inner_shape"])),
        np.sum(steps == 0), np.sum(steps == 1), np.sum((steps > 1) & (steps < 0x8000)), np.sum(steps >= 0x8000),
        *spread(np.minimum(ticks, 100_000)), np.sum(ticks == 0), len(np.unique(ticks)),
        # The share of packets whose time stamp follows the sequence number.
        np.sum(ticks * np.median(steps) == np.median(ticks) * steps) if len(steps) else 0,
        len(rtcp), np.sum(rtcp["inner_length"]), len(np.unique(rtcp["second"])), np.sum(rtcp["sequence"]),
        len(np.unique(rtcp["source"])),
    ]


def times(packets, begin):
    """Times between packets, their number in each half second, and where in the window they are absent."""
    gaps = np.diff(packets["time"].astype(np.int64)) / 1e6
    sound = packets[packets["inner"] == RTP]["time"].astype(np.int64)
    sound_gaps = np.diff(sound) / 1e6
    pace = np.histogram((packets["time"].astype(np.int64) - begin) / 1e9, bins=20, range=(0, 10))[0]
    # How far each packet of sound is from a clock of 20 ms that fits it best.
    phase = np.exp(2j * np.pi * (sound % 20_000_000) / 20_000_000)
    steady = np.abs(np.mean(phase)) if len(phase) else 0
    return [
        *spread(gaps), *np.histogram(gaps, bins=GAPS)[0], *spread(sound_gaps), *np.histogram(sound_gaps, bins=GAPS)[0],
        *np.sort(pace), np.std(pace), steady,
        np.corrcoef(sound_gaps[:-1], sound_gaps[1:])[0, 1] if len(sound_gaps) > 2 and np.std(sound_gaps) > 0 else 0,
    ]


def offset(window):
    """How far the sound of one direction is from that of the other, as a part of 20 ms: a point on a circle."""
    means = []
    for down in (0, 1):
        sound = window[(window["down"] == down) & (window["inner"] == RTP)]["time"].astype(np.int64)
        means.append(np.mean(np.exp(2j * np.pi * (sound % 20_000_000) / 20_000_000)) if len(sound) else 0)
    between = means[1] * np.conj(means[0])
    return [np.real(between), np.imag(between), np.angle(between)]


def common(columns):
    """The commonest kinds and sizes of all packets, each direction for itself."""
    found = {}
    for down in (0, 1):
        for name, read in (("kind", kinds_of), ("size", lambda packets: packets["size"])):
            values = np.concatenate([read(window[window["down"] == down]) for window, _ in columns])
            values, counts = np.unique(values, return_counts=True)
            found[down, name] = values[np.argsort(-counts)[:COMMONEST]]
    return found


def features(window, begin, known, with_times):
    """All features of a window, both directions."""
    row = []
    for down in (0, 1):
        packets = window[window["down"] == down]
        kinds = kinds_of(packets)
        row += [len(packets), int(np.sum(packets["size"], dtype=np.int64)), *spread(packets["size"])]
        row += [len(np.unique(packets["size"])), len(np.unique(kinds))]
        row += [np.sum(kinds == kind) for kind in known[down, "kind"]]
        row += [np.sum(packets["size"] == size) for size in known[down, "size"]]
        row += [np.sum(~np.isin(kinds, known[down, "kind"])), np.sum(~np.isin(packets["size"], known[down, "size"]))]
        row += headers(packets)
        if with_times:
            row += times(packets, begin)
    if with_times:
        row += offset(window)
    return np.nan_to_num(np.array(row, dtype=float))


def end_features(window, last, known, with_times):
    """The end of a call: what comes last in each direction, and when."""
    row = list(features(window, last - BEFORE_END, known, with_times))
    late = window[window["time"].astype(np.int64) > last - SECOND]
    for down in (0, 1):
        packets = late[late["down"] == down]
        kinds = kinds_of(packets)
        row += [np.sum(kinds == kind) for kind in known[down, "kind"]]
        for group in (packets["inner"] == RTP, packets["inner"] == RTCP, packets["inner"] == 3, packets["inner"] == 1,
                      packets["outer"] == 1):
            when = packets[group]["time"].astype(np.int64) - last
            row += [len(when), *((when[0] / 1e6, when[-1] / 1e6) if len(when) and with_times else (0, 0))]
        tail = packets[-12:]
        row += [*tail["size"], *[0] * (12 - len(tail)), *tail["inner"], *[0] * (12 - len(tail))]
    return np.nan_to_num(np.array(row, dtype=float))


class Recording:
    """All packets, by leg and flow, and the calls."""

    def __init__(self, folder):
        self.calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
        self.flows = {}
        for leg in (0, 1):
            packets = np.fromfile(folder / f"leg{leg}", dtype=RECORD)
            order = np.argsort(packets["flow"], kind="stable")
            packets = packets[order]
            numbers, starts = np.unique(packets["flow"], return_index=True)
            for number, part in zip(numbers, np.split(packets, starts[1:])):
                self.flows[leg, int(number)] = part

    def cut(self, leg, call, begin, end):
        packets = self.flows[leg, call["flows"][leg]]
        left, right = np.searchsorted(packets["time"], [begin, end])
        return packets[left:right]

    def legs(self):
        for number, call in enumerate(self.calls):
            for leg in (0, 1):
                yield number, call, leg

    def cycles(self):
        """Every window of every call: packets, begin, call, leg, kind."""
        for number, call, leg in self.legs():
            for cycle in range(call["cycles"]):
                begin = call["begin"] + cycle * WINDOW
                yield self.cut(leg, call, begin, begin + WINDOW), begin, number, leg, call

    def beginnings(self):
        """Around the first packet that is more than a message to the TURN server, which an observer sees."""
        for number, call, leg in self.legs():
            whole = self.cut(leg, call, call["dialled"], call["begin"])
            through = whole[whole["inner"] > 0]["time"].astype(np.int64)
            if len(through) == 0:
                continue
            begin = int(through[0]) - BEFORE_BEGIN
            yield self.cut(leg, call, begin, begin + WINDOW), begin, number, leg, call

    def ends(self):
        """Around the last packet of sound, which an observer sees."""
        for number, call, leg in self.legs():
            whole = self.cut(leg, call, call["end"] - WINDOW, call["end"] + WINDOW)
            sound = whole[whole["inner"] == RTP]["time"].astype(np.int64)
            if len(sound) == 0:
                continue
            last = int(sound[-1])
            yield self.cut(leg, call, last - BEFORE_END, last + AFTER_END), last, number, leg, call


def table_of(windows, with_times, describe=features):
    windows = list(windows)
    known = common([window[:2] for window in windows])
    rows = np.array([describe(window, begin, known, with_times) for window, begin, *_ in windows])
    return rows, np.array([number for _, _, number, *_ in windows]), windows


def judge(name, rows, labels, groups):
    """Cross-validates both learners; the interval is a bootstrap over calls of the mean of both kinds' shares."""
    learners = {
        "forest": RandomForestClassifier(200, min_samples_leaf=2, random_state=1),
        "boosting": HistGradientBoostingClassifier(max_iter=60, min_samples_leaf=5, random_state=1),
    }
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=1).split(rows, labels, groups))
    best = None
    for learner_name, learner in learners.items():
        right = np.zeros(len(labels), dtype=bool)
        for train, test in folds:
            right[test] = learner.fit(rows[train], labels[train]).predict(rows[test]) == labels[test]
        low, high, surely = interval(right, labels, groups)
        share = balanced(right, labels)
        result = {"pair": name, "learner": learner_name, "windows": len(labels), "calls": len(np.unique(groups)),
                  "accuracy": round(share, 4), "low": round(low, 4), "high": round(high, 4), "containsChance": bool(low <= 0.5),
                  "isToldApart": bool(surely > 0.5)}
        print(f"  {name:24} {learner_name:9} {len(labels):6} {result['calls']:6}   {share:.3f} ({low:.3f}-{high:.3f})  "
              f"{'yes' if result['containsChance'] else 'NO'}", file=sys.stderr, flush=True)
        if best is None or share > best["accuracy"]:
            best = result
    return best


def balanced(right, labels):
    return float(np.mean([np.mean(right[labels == label]) for label in (0, 1)]))


def interval(right, labels, groups):
    """The 95 % interval, and the lower end of the one for all pairs. Calls are drawn with replacement, each with all its windows."""
    names, places = np.unique(groups, return_inverse=True)
    hits, sizes = np.zeros((2, len(names))), np.zeros((2, len(names)))
    for label in (0, 1):
        of_label = labels == label
        hits[label] = np.bincount(places[of_label], right[of_label], len(names))
        sizes[label] = np.bincount(places[of_label], minlength=len(names))
    random = np.random.default_rng(1)
    drawn = random.integers(0, len(names), (RESAMPLED, len(names)))
    shares = [hits[label][drawn].sum(1) / np.maximum(sizes[label][drawn].sum(1), 1) for label in (0, 1)]
    return np.quantile((shares[0] + shares[1]) / 2, [0.025, 0.975, 0.025 / INTERVALS])


def plant(windows):
    """Half of the calls of speech get one packet with a byte more in each window."""
    speech = [list(window) for window in windows if window[4]["kind"] == "speech"]
    random = np.random.default_rng(1)
    numbers = sorted({window[2] for window in speech})
    marked = set(numbers[::2])
    for window in speech:
        if window[2] in marked:
            packets = window[0].copy()
            sound = np.flatnonzero((packets["inner"] == RTP) & (packets["down"] == 0))
            packets["size"][random.choice(sound)] += 1
            window[0] = packets
    return speech, np.array([int(window[2] in marked) for window in speech])


def is_pair(one, other):
    """Kinds of one phone model, or one kind of two."""
    *model, kind = one.split()
    *other_model, other_kind = other.split()
    return model == other_model or kind == other_kind


def main():
    arguments = sys.argv[1:]
    recording = Recording(Path(next(word for word in arguments if not word.startswith("--"))))
    with_times = "--no-times" not in arguments
    print(f"\n  {'pair':24} {'learner':9} {'windows':>6} {'calls':>6}   accuracy (95 % interval)  contains chance", file=sys.stderr)
    results = []
    if "--plant" in arguments:
        windows, labels = plant(recording.cycles())
        rows, groups, _ = table_of(windows, with_times)
        results.append(judge("planted", rows, labels, groups))
    else:
        rows, groups, windows = table_of(recording.cycles(), with_times)
        kinds = np.array([call["kind"] for *_, call in windows])
        names = list(dict.fromkeys(call["kind"] for call in recording.calls))
        for place, one in enumerate(names):
            for other in names[place + 1:]:
                if not is_pair(one, other):
                    continue
                chosen = (kinds == one) | (kinds == other)
                results.append(judge(f"{one} / {other}", rows[chosen], (kinds[chosen] == other).astype(int), groups[chosen]))
        side = np.array([int(call["caller"] == leg) for _, _, _, leg, call in windows])
        results.append(judge("caller / callee", rows, side, groups))
        rows, groups, windows = table_of(recording.beginnings(), with_times)
        side = np.array([int(call["caller"] == leg) for _, _, _, leg, call in windows])
        results.append(judge("caller / callee, begin", rows, side, groups))
        rows, groups, windows = table_of(recording.ends(), with_times, end_features)
        side = np.array([int(call["ender"] == leg) for _, _, _, leg, call in windows])
        results.append(judge("hangs up / is hung up on", rows, side, groups))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
