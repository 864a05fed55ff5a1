"""What the scripts of the quality laboratory share: the items of speech, G.711, and a plain phone's playout."""
import struct

import G722
import numpy as np

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
    """Of one call, from frames of 160 bytes to samples."""

    def __init__(self, codec):
        self.rate = {"pcmu": 8_000, "g722": 16_000}[codec]
        self.g722 = G722.G722(16_000, 64_000) if codec == "g722" else None

    def __call__(self, payload):
        if self.g722:
            return np.array(self.g722.decode(payload), float)
        return LEVELS[np.frombuffer(payload, np.uint8)].astype(float)


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
    """What a plain phone plays: it begins 80 ms after the first packet, and every 20 ms plays the next one that it has. In place of a
    missing one it repeats the last, fading. What has not come when a later one is played is lost.

    Returns the samples, and when the first of them was heard.
    """
    decode = Decoder(codec)
    frame = decode.rate // 50
    start = packets[0][0] + BUFFER * 0.02
    waiting, arrivals, out, last, missing, expected = {}, iter(sorted(packets, key=lambda it: it[0])), [], None, 0, packets[0][1]
    following = next(arrivals, None)
    for tick in range(int((until - start) * 50)):
        now = start + tick * 0.02
        while following and following[0] <= now:
            if (following[1] - expected) % 2**32 < 2**31:
                waiting[following[1]] = following[3]
            following = next(arrivals, None)
        first = min(waiting, key=lambda it: (it - expected) % 2**32, default=None)
        gap = None if first is None else (first - expected) % 2**32 // 160
        if gap is not None and gap <= missing:
            payload = waiting.pop(first)
            last, missing, expected = decode(payload) if len(payload) == 160 else np.zeros(frame), 0, (first + 160) % 2**32
            out.append(last)
        else:
            gain = FADE[missing] if missing < len(FADE) else 0
            missing += 1
            out.append(np.zeros(frame) if last is None else last * gain)
    return np.concatenate(out), start
