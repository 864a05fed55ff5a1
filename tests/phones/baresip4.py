#!/usr/bin/env python3
"""baresip 4 as a driven phone: the library within PyPI's baresip-python, whose calls are coroutines.

The event loop turns between orders. The microphone is a WAV file, the ear another one (both module aufile): the ear's
path is a link, pointed at another file for each call and each part of one. Works with baresip 4.10.
"""

import asyncio
import logging
import os
import random
import wave

from baresip import Account, Config, Runtime, UserAgent
from baresip.errors import BaresipError
from baresip.events import Event

from desk import Phone, say, serve

CODECS = {"pcmu": "pcmu/8000/1", "pcma": "pcma/8000/1", "g722": "g722/16000/1", "opus": "opus/48000/2"}

STATES = {
    Event.CALL_RINGING: "ringing",
    Event.CALL_PROGRESS: "ringing",
    Event.CALL_ESTABLISHED: "talking",
    Event.CALL_CLOSED: "ended",
}

DIGITS = {"rtp": "rtpevent", "info": "info"}

TURN = 0.01
# A file of sound is complete when baresip has put its player away, a moment after the call.
FILE_CLOSED_AFTER = 0.2
GOODBYE_WITHIN = 3.0


class Baresip4(Phone):
    """The library with one account."""

    def __init__(self, chosen):
        super().__init__(chosen)
        self.loop = asyncio.new_event_loop()
        self.runtime = None
        self.agent = None
        self.calls = []
        self.pending = set()
        self.finishing = None

    def start(self):
        logging.basicConfig(filename=self.inside("baresip.log"), level=logging.DEBUG)
        self.loop.run_until_complete(self.open())

    async def open(self):
        """The library, the account, its registration."""
        self.listen_anew()
        self.runtime = Runtime()
        await self.runtime.start(self.settings())
        self.agent = await UserAgent.create(self.runtime, self.account())
        self.agent.on_incoming(self.call_came)
        self.agent.on(self.happened)  # a call may ring before there is an object for it
        say("ready", phone="baresip 4")
        self.attempt(self.register())

    def settings(self):
        """aufile wants the microphone's own rate and channels named here."""
        with wave.open(self.microphone) as sound:
            rate, channels = sound.getframerate(), sound.getnchannels()
        first_media_port = random.randrange(20000, 30000, 2)
        lines = [
            "sip_listen 127.0.0.1:0",
            f"rtp_ports {first_media_port}-{first_media_port + 400}",
            f"ausrc_srate {rate}",
            f"ausrc_channels {channels}",
            f"auplay_srate {rate}",
            "auplay_channels 1",
        ]
        if self.chosen.ca:
            lines += [f"sip_cafile {self.chosen.ca}", "sip_verify_server yes"]
        return Config(
            net_interface="127.0.0.1",
            audio_source="aufile," + self.microphone,
            audio_player="aufile," + self.inside("ear.wav"),
            max_concurrent_calls=8,
            native_log_level="info",
            sip_trace=True,
            extra_config_text="\n".join(lines) + "\n",
        )

    def account(self):
        """The account of the command line."""
        srtp = {"off": (), "optional": ("mediaenc=srtp",), "required": ("mediaenc=srtp-mand",)}
        return Account(
            self.chosen.user,
            self.chosen.server,
            self.chosen.password,
            registrar=f"sip:{self.chosen.server}{self.via}",
            reg_interval=self.chosen.expires,
            transport=self.chosen.transport,
            audio_codecs=tuple(CODECS[codec] for codec in self.codecs),
            dtmf_mode=DIGITS[self.chosen.digits],
            extra_params=srtp[self.chosen.srtp],
        )

    async def register(self):
        """The registrar's word."""
        try:
            await self.agent.register()
            say("registered")
        except BaresipError as fault:
            say("registration-failed", why=str(fault))

    def listen_anew(self):
        """Another file for what is heard from the next start of baresip's player on."""
        link = self.inside("ear.wav")
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(self.new_recording(), link)

    def call_came(self, call):
        """Called by baresip."""
        self.follow(call)
        say("call", state="incoming")

    def follow(self, call):
        """A call of ours from now on."""
        if self.finishing is not None:
            self.finishing.cancel()  # first comes the new call
        if not self.calls:
            self.listen_anew()
        self.calls.append(call)

    def happened(self, event):
        """Called by baresip: tells what becomes of calls."""
        if event.event in (Event.CALL_HOLD, Event.CALL_RESUME):
            self.listen_anew()
        if event.event is Event.CALL_DTMF_START:
            say("digit", digit=event.text)
        told = STATES.get(event.event)
        if told == "ended":
            self.ended(event.call, event.text or "")
        elif told:
            say("call", state=told)

    def ended(self, handle, reason):
        """A call is over; its recordings are complete in a moment."""
        self.calls = [call for call in self.calls if call.handle != handle]
        status = reason.split(" ")[0]
        say("call", state="ended", reason=reason, **({"status": int(status)} if status.isdigit() else {}))
        if not self.calls:
            self.finishing = self.loop.call_later(FILE_CLOSED_AFTER, self.tell_recordings)

    def attempt(self, course):
        """Runs a coroutine beside the orders; what goes wrong is told."""

        async def run():
            try:
                await course
            except (BaresipError, ValueError) as fault:
                say("fault", why=f"{type(fault).__name__}: {fault}")

        task = self.loop.create_task(run())
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)

    def turn(self):
        self.loop.run_until_complete(asyncio.sleep(TURN))

    async def dial(self, number):
        """A call of ours."""
        self.follow(await self.agent.dial(self.address_of(number)))
        say("call", state="dialling")

    async def hold(self, call, is_on):
        """The newest call waits, or goes on in another recording."""
        if is_on:
            await call.hold()
        else:
            self.listen_anew()
            await call.resume()
        say("call", state="held" if is_on else "talking")

    def obey(self, verb, words):
        if verb == "call":
            self.attempt(self.dial(words[0]))
            return
        if verb == "text":
            raise ValueError("baresip-python has no call for texts")
        if not self.calls:
            raise ValueError("there is no call")
        call = self.calls[-1]
        if verb == "answer":
            self.attempt(call.answer())
        elif verb == "refuse":
            if words and words[0] != "486":
                raise ValueError("baresip always refuses with 486")
            self.attempt(call.reject())
        elif verb == "hang-up":
            self.attempt(call.hangup())
        elif verb in ("hold", "resume"):
            self.attempt(self.hold(call, verb == "hold"))
        elif verb == "digits":
            self.attempt(call.send_dtmf(words[0]))
        elif verb == "hand-over" and words:
            self.attempt(call.transfer(self.address_of(words[0])))
        elif verb == "hand-over":
            self.attempt(self.calls[-2].attended_transfer(call))
        else:
            raise ValueError("unknown order")

    def stop(self):
        if self.runtime is None:
            return
        self.loop.run_until_complete(self.close())

    async def close(self):
        """Hangs up, takes the registration back, ends the library."""
        for call in list(self.calls):
            self.attempt(call.hangup())
        try:
            await asyncio.wait_for(self.agent.unregister(), GOODBYE_WITHIN)
        except (BaresipError, TimeoutError):
            pass  # the server is gone
        await self.runtime.close()


if __name__ == "__main__":
    serve(Baresip4)
