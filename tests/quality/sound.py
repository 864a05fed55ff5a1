"""What the scripts of the quality laboratory share: the items of speech, the codecs, and a plain phone's playout."""
import struct

import G722
import numpy as np

import opus

ITEMS = 12
ITEM_FRAMES = 350  # of 20 ms
BUFFER = 4  # frames: 80 ms
FADE = [0.7, 0.4, 0.1]  # of the last frame, where the next ones are missing

# G.711: sign, segment and step, all bits inverted.
CODES = np.arange(256) ^ 0xFF
LEVELS = np.where(CODES & 0x80, -1, 1) * (((((CODES & 15) << 3) + 132) << ((CODES >> 4) & 7)) - 132)
ORDER = np.argsort(LEVELS, kind="stable")


def to_pcmu(samples):
    """Each sample's nearest code."""
    levels = LEVELS[ORDER]
    places = np.clip(np.searchsorted((levels[1:] + levels[:-1]) / 2, samples), 0, 255)
    return ORDER[places].astype(np.uint8).tobytes()


class Decoder:
    """Of one call of G.711 or G.722, from packets of 160 bytes to samples. For a missing one it repeats the last, fading."""

    bytes, ticks = 160, 160

    def __init__(self, codec):
        self.rate = {"pcmu": 8_000, "g722": 16_000}[codec]
        self.g722 = G722.G722(16_000, 64_000) if codec == "g722" else None
        self.last, self.missing = np.zeros(self.rate // 50), 0

    def decode(self, payload):
        self.missing = 0
        if len(payload) != self.bytes:
            self.last = np.zeros(self.rate // 50)
        elif self.g722:
            self.last = np.array(self.g722.decode(payload), float)
        else:
            self.last = LEVELS[np.frombuffer(payload, np.uint8)].astype(float)
        return self.last

    def conceal(self, _following):
        gain = FADE[self.missing] if self.missing < len(FADE) else 0
        self.missing += 1
        return self.last * gain


def decoder(codec):
    return opus.Decoder() if codec.startswith("opus") else Decoder(codec)


def read_recording(path):
    """Packets by call: lists of arrival in seconds, RTP timestamp, payload type and payload. See `speech_phone.rs`."""
    data, at, calls = path.read_bytes(), 0, {}
    while at < len(data):
        call, micros, length = struct.unpack_from("<HqH", data, at)
        packet = data[at + 12:at + 12 + length]
        at += 12 + length
        timestamp = struct.unpack_from(">I", packet, 4)[0]
        calls.setdefault(call, []).append((micros / 1e6, timestamp, packet[1] & 0x7F, packet[12:]))
    return calls


def play(packets, codec, until):
    """What a plain phone plays: it begins 80 ms after the first packet, and every 20 ms plays the next one that it has, and conceals a
    missing one as its decoder does. What has not come when a later one is played is lost.

    Returns the samples, and when the first of them was heard.
    """
    decode = decoder(codec)
    ticks = decode.ticks
    start = packets[0][0] + BUFFER * 0.02
    waiting, arrivals, out, missing, expected = {}, iter(sorted(packets, key=lambda it: it[0])), [], 0, packets[0][1]
    arrived = next(arrivals, None)
    for tick in range(int((until - start) * 50)):
        now = start + tick * 0.02
        while arrived and arrived[0] <= now:
            if (arrived[1] - expected) % 2**32 < 2**31:
                waiting[arrived[1]] = arrived[3]
            arrived = next(arrivals, None)
        first = min(waiting, key=lambda it: (it - expected) % 2**32, default=None)
        gap = None if first is None else (first - expected) % 2**32 // ticks
        if gap is not None and gap <= missing:
            missing, expected = 0, (first + ticks) % 2**32
            out.append(decode.decode(waiting.pop(first)))
        else:
            missing += 1
            out.append(decode.conceal(waiting.get((expected + missing * ticks) % 2**32)))
    return np.concatenate(out), start
