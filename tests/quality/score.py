"""Scores what phones and browsers heard: PESQ (ITU-T P.862, P.862.2), PLCMOS, and the delay from mouth to ear.

usage: score.py FOLDER PATH [--brief]

FOLDER/speech is what `speech.py` wrote; FOLDER/PATH/*.json are calls of one path, each with its recording beside it. Writes
FOLDER/PATH/scores/ROW.json with every item's scores, and prints the means as JSON. `--brief` leaves PLCMOS out.
"""
import concurrent.futures
import json
import os
import pathlib
import sys
import wave

import numpy as np
from pesq import pesq
from scipy.signal import correlate, resample_poly

import sound

ITEM_SECONDS = sound.ITEM_FRAMES / 50
LONGEST = 1.5  # seconds from mouth to ear
FRAME = 0.02  # a phone sends what was said in the 20 ms before


def reference(speech, item, rate):
    return np.fromfile(speech / f"{item}.{rate // 1000}k", "<i2").astype(float)


def recorded(path, items, speech):
    """What a phone has recorded, from the moment on at which its first item would begin without any delay."""
    with wave.open(str(path)) as played:
        rate, samples = played.getframerate(), np.frombuffer(played.readframes(played.getnframes()), "<i2").astype(float)
    first = correlate(resample_poly(samples, 8_000, rate), reference(speech, items[0], 8_000), mode="valid", method="fft")
    return samples, rate, -int(np.argmax(first)) / 8_000


def heard(folder, row, call, speech):
    """What one call's listener heard: samples, their rate, and when the first was heard."""
    if row["recorded"] == "browser":
        samples = np.fromfile(folder / f"{row['row']}-{call}.pcm", "<i2").astype(float)
        return samples, row["rate"], row["heard"][call]
    if row["recorded"] == "phone":
        return recorded(folder / f"{row['row']}-{call}.wav", row["items"][call], speech)
    packets = sound.read_recording(folder / f"{row['row']}.rec")[call]
    until = row["spoken"][call] + len(row["items"][call]) * ITEM_SECONDS + LONGEST
    samples, start = sound.play(packets, row["recorded"], until)
    return samples, sound.decoder(row["recorded"]).rate, start


def whole_frames(folder, row, speech):
    """Shares of the frames that phones sent that came as they were, and that came at all."""
    sent = same = came = 0
    if row["recorded"] in ("browser", "phone"):
        return None
    codec = sound.decoder(row["recorded"])
    for call, packets in sound.read_recording(folder / f"{row['row']}.rec").items():
        spoken = b"".join((speech / f"{item}.{row['recorded']}").read_bytes() for item in row["items"][call])
        frames = [spoken[at:at + codec.bytes] for at in range(0, len(spoken), codec.bytes)]
        places = {}
        for place, frame in enumerate(frames):
            places.setdefault(frame, []).append(place)
        # Timestamps of the two engines differ by one number, which most of the frames that occur once agree on.
        votes = {}
        for _, timestamp, _, payload in packets:
            if len(places.get(payload, [])) == 1:
                base = (timestamp - codec.ticks * places[payload][0]) % 2**32
                votes[base] = votes.get(base, 0) + 1
        base = max(votes, key=votes.get)
        got = {((timestamp - base) % 2**32) // codec.ticks: payload for _, timestamp, _, payload in packets}
        sent += len(frames)
        came += sum(place in got for place in range(len(frames)))
        # A packet that the phone sent too late for its slot has the next one, and so have those behind it.
        same += sum(place in got and any(got.get(place + late) == frame for late in range(-3, 4)) for place, frame in enumerate(frames))
    return {"same": same / sent, "came": came / sent}


def align(spoken, samples, rate, at):
    """Of the samples from `at` on, where the item begins."""
    window = samples[max(0, int(at * rate)):int((at + ITEM_SECONDS + LONGEST) * rate)]
    return int(np.argmax(correlate(window, spoken, mode="valid", method="fft"))) + max(0, int(at * rate))


def score_call(task):
    folder, speech, row, call, with_plcmos = task
    samples, rate, start = heard(folder, row, call, speech)
    scores = []
    for place, item in enumerate(row["items"][call]):
        at = row.get("spoken", [0] * (call + 1))[call] + place * ITEM_SECONDS - start
        found = {"item": item, "call": call, "place": place}
        for wanted, mode in [(8_000, "nb"), (16_000, "wb")]:
            if wanted > rate:
                continue
            spoken = reference(speech, item, wanted)
            part = samples[max(0, int((at - 0.5) * rate)):int((at + ITEM_SECONDS + LONGEST + 0.5) * rate)]
            skipped = max(0, int((at - 0.5) * rate)) / rate
            part = resample_poly(part, wanted, rate)
            begins = align(spoken, part, wanted, max(0.0, at - skipped))
            found["delay"] = begins / wanted + skipped - at + (0 if row["recorded"] == "browser" else FRAME)
            listened = part[max(0, begins - wanted // 20):begins + len(spoken) + wanted // 5]
            listened = np.clip(np.round(listened), -32_768, 32_767).astype("int16")
            try:
                found[mode] = float(pesq(wanted, spoken.astype("int16"), listened, mode))
            except Exception:  # nothing was heard that PESQ can score
                found[mode] = 1.0
            if with_plcmos and mode == ("wb" if rate > 8_000 else "nb") and place > 0:
                from speechmos import plcmos
                wide = resample_poly(listened / 32_768, 16_000, wanted).astype("float32")
                found["plcmos"] = float(plcmos.run(np.clip(wide, -1, 1), sr=16_000)["plcmos"])
        scores.append(found)
    return scores


def mean(scores, key):
    known = [score[key] for score in scores if key in score]
    return float(np.mean(known)) if known else None


def main():
    # The next calls talk while this runs.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    root, path, is_brief = pathlib.Path(sys.argv[1]), sys.argv[2], "--brief" in sys.argv
    folder, speech = root / path, root / "speech"
    (folder / "scores").mkdir(exist_ok=True)
    printed = []
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for described in sorted(folder.glob("*.json")):
            row = json.loads(described.read_text())
            written = folder / "scores" / described.name
            if written.exists() and written.stat().st_mtime > described.stat().st_mtime:
                continue
            calls = range(len(row["items"]))
            # PLCMOS takes ten times as long as PESQ: half of the calls have it, which say most items.
            tasks = [(folder, speech, row, call, not is_brief and call < (len(calls) + 1) // 2) for call in calls]
            scores = [score for call in pool.map(score_call, tasks) for score in call]
            frames = whole_frames(folder, row, speech)
            written.write_text(json.dumps({"row": row["row"], "scores": scores, "frames": frames}))
            later = [score for score in scores if score["place"] > 0]
            means = {key: mean(later, key) for key in ("nb", "wb", "plcmos", "delay")}
            printed.append({"row": row["row"], **means, "first": mean([it for it in scores if it["place"] == 0], "nb"), "frames": frames})
            print(printed[-1], file=sys.stderr, flush=True)
    print(json.dumps(printed))


if __name__ == "__main__":
    main()
