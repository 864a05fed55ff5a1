#!/usr/bin/env python3
"""Driver of baresip 4: the library in PyPI's baresip-python, whose functions are coroutines.

The event loop runs between commands. Audio is read from and written to WAV files (module aufile). The output path is a
symbolic link, which is set to another file for each call and after each hold. Works with baresip 4.10.
"""

import asyncio
import logging
import os
import random
import wave

from baresip import Account, Config, Runtime, UserAgent
from baresip.errors import BaresipError
from baresip.events import Event

from driver import Phone, report, serve

CODECS = {"pcmu": "pcmu/8000/1", "pcma": "pcma/8000/1", "g722": "g722/16000/1", "opus": "opus/48000/2"}

STATES = {
    Event.CALL_RINGING: "ringing",
    Event.CALL_PROGRESS: "ringing",
    Event.CALL_ESTABLISHED: "talking",
    Event.CALL_CLOSED: "ended",
}

DIGITS = {"rtp": "rtpevent", "info": "info"}

TURN = 0.01
# A recording is complete when baresip has closed its player, shortly after the call.
FILE_CLOSED_AFTER = 0.2
SHUTDOWN_WITHIN = 3.0


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
        """Starts the library, the account and its registration."""
        self.next_recording()
        self.runtime = Runtime()
        await self.runtime.start(self.settings())
        self.agent = await UserAgent.create(self.runtime, self.account())
        self.agent.on_incoming(self.incoming_call)
        self.agent.on(self.happened)  # a call may ring before it has an object
        report("ready", phone="baresip 4")
        self.attempt(self.register())

    def settings(self):
        """The settings. aufile needs the rate and channels of the WAV file."""
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
            audio_player="aufile," + self.inside("received.wav"),
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
        """Registers and reports the result."""
        try:
            await self.agent.register()
            report("registered")
        except BaresipError as error:
            report("registration-failed", why=str(error))

    def next_recording(self):
        """Sets the file of the next recording, which begins when baresip starts its player."""
        link = self.inside("received.wav")
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(self.new_recording(), link)

    def incoming_call(self, call):
        """Called by baresip."""
        self.follow(call)
        report("call", state="incoming")

    def follow(self, call):
        """Adds a call."""
        if self.finishing is not None:
            self.finishing.cancel()  # the new call has to end first
        if not self.calls:
            self.next_recording()
        self.calls.append(call)

    def happened(self, event):
        """Called by baresip: reports events of calls."""
        if event.event in (Event.CALL_HOLD, Event.CALL_RESUME):
            self.next_recording()
        if event.event is Event.CALL_DTMF_START:
            report("digit", digit=event.text)
        told = STATES.get(event.event)
        if told == "ended":
            self.ended(event.call, event.text or "")
        elif told:
            report("call", state=told)

    def ended(self, handle, reason):
        """A call has ended; its recordings will be complete shortly."""
        self.calls = [call for call in self.calls if call.handle != handle]
        status = reason.split(" ")[0]
        report("call", state="ended", reason=reason, **({"status": int(status)} if status.isdigit() else {}))
        if not self.calls:
            if self.finishing is not None:
                self.finishing.cancel()  # of a call that was refused just now
            self.finishing = self.loop.call_later(FILE_CLOSED_AFTER, self.report_recordings)

    def attempt(self, coroutine):
        """Runs a coroutine in the background and reports its errors."""

        async def run():
            try:
                await coroutine
            except (BaresipError, ValueError) as error:
                report("error", why=f"{type(error).__name__}: {error}")

        task = self.loop.create_task(run())
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)

    def poll(self):
        self.loop.run_until_complete(asyncio.sleep(TURN))

    async def dial(self, number):
        """Dials a number."""
        self.follow(await self.agent.dial(self.address_of(number)))
        report("call", state="dialling")

    async def hold(self, call, is_on):
        """Holds or resumes the newest call; a new recording begins when it resumes."""
        if is_on:
            await call.hold()
        else:
            self.next_recording()
            await call.resume()
        report("call", state="held" if is_on else "talking")

    def execute(self, verb, words):
        if verb == "call":
            self.attempt(self.dial(words[0]))
            return
        if verb == "text":
            raise ValueError("baresip-python has no function for texts")
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
        elif verb == "transfer" and words:
            self.attempt(call.transfer(self.address_of(words[0])))
        elif verb == "transfer":
            self.attempt(self.calls[-2].attended_transfer(call))
        else:
            raise ValueError("unknown command")

    def stop(self):
        if self.runtime is None:
            return
        self.loop.run_until_complete(self.close())

    async def close(self):
        """Hangs up, unregisters, stops the library."""
        for call in list(self.calls):
            self.attempt(call.hangup())
        try:
            await asyncio.wait_for(self.agent.unregister(), SHUTDOWN_WITHIN)
        except (BaresipError, TimeoutError):
            pass  # the server has ended
        await self.runtime.close()


if __name__ == "__main__":
    serve(Baresip4)
