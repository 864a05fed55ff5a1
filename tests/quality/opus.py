"""Opus by libopus (RFC 6716): what a phone sends at a constant bit rate, and what one makes of it that conceals by itself."""
import ctypes

import numpy as np

PACKET = 80  # bytes of each 20 ms: 32 kbit/s; speech_phone.rs has the same
SENT_RATE, HEARD_RATE = 48_000, 16_000
VOIP = 2_048
# Requests to an encoder: their numbers in opus_defines.h.
BIT_RATE, VARIABLE, COMPLEXITY, IN_BAND_FEC, EXPECTED_LOSS, DTX = 4_002, 4_006, 4_010, 4_012, 4_014, 4_016

library = ctypes.CDLL("libopus.so.0")
for made in (library.opus_encoder_create, library.opus_decoder_create):
    made.restype = ctypes.c_void_p


def encode(samples, expected_loss):
    """Packets of samples at 48 kHz. With an expected loss, each has what repairs the one before."""
    error, frame = ctypes.c_int(), SENT_RATE // 50
    encoder = ctypes.c_void_p(library.opus_encoder_create(SENT_RATE, 1, VOIP, ctypes.byref(error)))
    wanted = [(BIT_RATE, PACKET * 400), (VARIABLE, 0), (COMPLEXITY, 9), (IN_BAND_FEC, 1), (EXPECTED_LOSS, expected_loss), (DTX, 0)]
    for request, value in wanted:
        assert library.opus_encoder_ctl(encoder, request, ctypes.c_int(value)) == 0, request
    packets, room = [], ctypes.create_string_buffer(1_500)
    for at in range(0, len(samples), frame):
        said = np.ascontiguousarray(samples[at:at + frame], "<i2")
        length = library.opus_encode(encoder, said.ctypes.data_as(ctypes.c_void_p), frame, room, len(room))
        assert length == PACKET, length
        packets.append(room.raw[:length])
    library.opus_encoder_destroy(encoder)
    return b"".join(packets)


class Decoder:
    """Of one call."""

    rate, bytes, ticks = HEARD_RATE, PACKET, SENT_RATE // 50

    def __init__(self):
        self.decoder = ctypes.c_void_p(library.opus_decoder_create(self.rate, 1, ctypes.byref(ctypes.c_int())))

    def __del__(self):
        library.opus_decoder_destroy(self.decoder)

    def decode(self, payload):
        return self._decode(payload, 0)

    def conceal(self, following):
        """In place of a missing packet: from the one that follows it, if that is there and has it."""
        return self._decode(following, 1 if following else 0)

    def _decode(self, payload, is_repair):
        frame = self.rate // 50
        heard = np.zeros(frame, "<i2")
        length = len(payload) if payload else 0
        found = library.opus_decode(self.decoder, payload, length, heard.ctypes.data_as(ctypes.c_void_p), frame, is_repair)
        assert found == frame, found
        return heard.astype(float)
