"""Makes the speech of the quality laboratory: 24 sentences of four voices, two of a voice in each item of seven seconds.

usage: speech.py FOLDER

Writes of each item, under its number, the sound at 8 and 16 kHz (N.8k, N.16k: samples of 16 bits) and what a phone sends of it (N.pcmu,
N.g722: 160 bytes for each 20 ms; N.opus, N.opus-fec: 80 bytes). Voices and sentences are the same in each run. Needs espeakng_loader, G722, numpy and scipy.
"""
import ctypes
import pathlib
import sys

import espeakng_loader
import G722
import numpy as np
from scipy.signal import resample_poly

import opus
import sound

VOICES = ["en-us", "en-gb+f3", "en-us+m3", "en-gb+f5"]
SENTENCES = [
    "The night train left four minutes early.", "She poured cold tea into a chipped blue cup.",
    "Our neighbour grows beans behind the shed.", "A loud crow woke the sleeping village.",
    "Please bring both keys when you come home.", "The river froze hard before the new year.",
    "He measured the shelf twice and cut it once.", "Warm bread smells better than it tastes.",
    "Nobody thought the old bridge would hold.", "They sold their boat to buy a small farm.",
    "Yellow leaves covered the whole garden path.", "The judge asked for a short pause at noon.",
    "Fresh paint makes the hallway look wider.", "Turn left where the two roads join.",
    "My cousin plays the cello every evening.", "The chef threw out a basket of sour plums.",
    "Six white geese crossed the muddy field.", "We waited for the ferry under a tin roof.",
    "Her letter arrived a week after the storm.", "The clock on the tower shows the wrong hour.",
    "A thin cat jumped over the picket fence.", "Children drew chalk ships along the pavement.",
    "The smith hammered the iron until it glowed.", "Good maps show where the marsh begins.",
]
EXPECTED_LOSS = 10  # percent, by an Opus phone that is told of loss
PAUSE = 0.25  # seconds before, between and after sentences


def synthesizer():
    """A function from voice and text to samples, and their rate."""
    library = ctypes.cdll.LoadLibrary(espeakng_loader.get_library_path())
    # Sound is retrieved by a callback, and not played: output 1 is that of espeak-ng's API, AUDIO_OUTPUT_RETRIEVAL.
    rate = library.espeak_Initialize(1, 0, espeakng_loader.get_data_path().encode(), 0)
    parts = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples, count, _events):
        if count > 0 and samples:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(take)

    def speak(voice, text):
        parts.clear()
        library.espeak_SetVoiceByName(voice.encode())
        library.espeak_SetParameter(1, 160, 0)  # words in a minute
        text = text.encode()
        library.espeak_Synth(text, len(text) + 1, 0, 1, 0, 1, None, None)
        library.espeak_Synchronize()
        return np.concatenate(parts).astype(float)

    speak.keep = take  # the library calls it as long as it lives
    return speak, rate


def item(speak, rate, number, wanted):
    """Two sentences of a voice, at a rate."""
    voice = VOICES[number % len(VOICES)]
    pause = np.zeros(int(PAUSE * rate))
    spoken = [part for text in SENTENCES[2 * number:2 * number + 2] for part in (speak(voice, text), pause)]
    samples = resample_poly(np.concatenate([pause, *spoken]), wanted, rate)
    length = sound.ITEM_FRAMES * wanted // 50
    assert len(samples) <= length, f"item {number} is {len(samples) / wanted:.1f} s long"
    samples = np.concatenate([samples, np.zeros(length - len(samples))])
    return np.round(samples / np.abs(samples).max() * 12_000).astype("<i2")


def to_opus(wide, expected_loss):
    """A phone's microphone has 48 kHz."""
    return opus.encode(np.round(resample_poly(wide.astype(float), opus.SENT_RATE, 16_000)), expected_loss)


ENCODED = {
    "pcmu": sound.to_pcmu,
    "g722": lambda wide: bytes(G722.G722(16_000, 64_000).encode(wide)),
    "opus": lambda wide: to_opus(wide, 0),
    "opus-fec": lambda wide: to_opus(wide, EXPECTED_LOSS),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    speak, rate = synthesizer()
    for number in range(sound.ITEMS):
        narrow, wide = (item(speak, rate, number, wanted) for wanted in (8_000, 16_000))
        (folder / f"{number}.8k").write_bytes(narrow.tobytes())
        (folder / f"{number}.16k").write_bytes(wide.tobytes())
        for codec, said in ENCODED.items():
            (folder / f"{number}.{codec}").write_bytes(said(narrow if codec == "pcmu" else wide))


if __name__ == "__main__":
    main()
