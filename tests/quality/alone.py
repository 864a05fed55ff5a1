"""What the codecs make of the speech without any network: the most that a path can have. A synthetic voice is digitally silent between
its words, where PESQ hears a codec's own noise; beneath a microphone's noise it does not, as in the recordings that P.862 was made for.
"""
import numpy as np
from pesq import pesq
from scipy.signal import resample_poly

import sound
import speech

NOISE = -65  # decibels below full scale
CODECS = [("pcmu", "G.711"), ("g722", "G.722"), ("opus", "Opus"), ("opus-fec", "Opus with FEC")]


def coded(codec, said):
    """What a phone plays of what another has sent, if nothing is lost."""
    decoder, packets = sound.decoder(codec), speech.ENCODED[codec](said)
    parts = [decoder.decode(packets[at:at + decoder.bytes]) for at in range(0, len(packets), decoder.bytes)]
    return np.clip(np.round(np.concatenate(parts)), -32_768, 32_767).astype("<i2"), decoder.rate


def score(folder, codec, item, noise, mode):
    rate = 8_000 if mode == "nb" else 16_000
    said = np.fromfile(folder / f"{item}.16k", "<i2").astype(float)
    if noise is not None:
        said += np.random.default_rng(item).normal(0, 32_768 * 10 ** (noise / 20), len(said))
    at = lambda samples, have, want: np.round(resample_poly(samples.astype(float), want, have)).astype("<i2")
    heard, heard_rate = coded(codec, at(said, 16_000, sound.decoder(codec).rate))
    return float(pesq(rate, at(said, 16_000, rate), at(heard, heard_rate, rate), mode))


def table(folder):
    lines = ["## The codecs alone", "",
             f"PESQ of the same items without any network, as they are and over noise of {NOISE} dB of full scale, as a microphone has. The voices are",
             "synthetic and digitally silent between words, where PESQ hears the noise of G.722 and of Opus that carries repair (FEC).", "",
             "| codec | narrow band | over noise | wide band | over noise |", "|---|---|---|---|---|"]
    for codec, name in CODECS:
        cells = []
        for mode in ("nb", "wb") if sound.decoder(codec).rate > 8_000 else ("nb",):
            for noise in (None, NOISE):
                cells.append(f"{np.mean([score(folder, codec, item, noise, mode) for item in range(sound.ITEMS)]):.2f}")
        lines.append(f"| {name} | " + " | ".join(cells + ["-"] * (4 - len(cells))) + " |")
    return lines + [""]
