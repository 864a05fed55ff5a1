#!/usr/bin/env python3
"""baresip as a driven phone: Debian's program in a folder of its own, spoken to over its ctrl_tcp module.

ctrl_tcp carries JSON objects as netstrings ("LENGTH:OBJECT,"). The account is added once that connection is open: an
account from the configuration would register before anybody could hear of it. The microphone is a WAV file (module
aufile); what the phone hears is written by module sndfile. Works with baresip 1.0.
"""

import glob
import json
import os
import random
import socket
import subprocess
import time
import wave

from desk import Phone, die_with_parent, say, serve

CODECS = {"pcmu": "PCMU/8000/1", "pcma": "PCMA/8000/1", "g722": "G722/16000/1", "opus": "opus/48000/2"}

STATES = {
    "CALL_OUTGOING": "dialling",
    "CALL_RINGING": "ringing",
    "CALL_INCOMING": "incoming",
    "CALL_ESTABLISHED": "talking",
    "CALL_CLOSED": "ended",
}

MODULES = ("g711", "g722", "opus", "aufile", "sndfile", "srtp", "uuid")
APPLICATIONS = ("contact", "menu", "ctrl_tcp")

SRTP = {"off": "", "optional": ";mediaenc=srtp", "required": ";mediaenc=srtp-mand"}

# The recording is complete when baresip has put its call away, a moment after it told the end.
FILE_CLOSED_AFTER = 0.2

# A camera and a screen without hardware; what came is looked at by way of a snapshot.
VIDEO_MODULES = ("vp8", "fakevideo", "snapshot")
VIDEO_SETTINGS = (
    "video_source fakevideo,nil",
    "video_display fakevideo,nil",
    "video_size 352x288",
    "video_fps 25",
    "video_bitrate 500000",
)

START_WITHIN = 10.0
STOP_WITHIN = 3.0


def free_tcp_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cut_netstrings(rest):
    """Splits "LENGTH:OBJECT,"... into the complete objects and the bytes after them."""
    whole = []
    while True:
        digits, colon, after = rest.partition(b":")
        if not colon or len(after) <= int(digits):
            return whole, rest
        whole.append(after[: int(digits)])
        rest = after[int(digits) + 1 :]


class Baresip(Phone):
    """A baresip process with one account."""

    def __init__(self, chosen):
        super().__init__(chosen)
        self.process = None
        self.wire = None
        self.rest = b""
        self.complete_at = None
        self.told = set()

    def start(self):
        if self.chosen.digits == "info":
            raise SystemExit("baresip 1.0 sends no key presses by SIP INFO")
        port = free_tcp_port()
        os.makedirs(self.inside("sound"), exist_ok=True)
        with open(self.inside("config"), "w", encoding="ascii") as file:
            file.write(self.settings(port))
        self.write_contacts()
        # Snapshots are written where it was started.
        self.process = subprocess.Popen(
            ["baresip", "-4", "-f", self.home], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, cwd=self.home
        )
        self.wire = self.dial_control(port)
        self.wire.settimeout(0.01)
        say("ready", phone="baresip")
        codecs = ",".join(CODECS[codec] for codec in self.codecs)
        if self.has_video:
            codecs += ";video_codecs=vp8"
        self.order(
            "uanew",
            f"<{self.identity}{self.via}>;auth_user={self.chosen.user};auth_pass={self.chosen.password}"
            f";audio_codecs={codecs};regint={self.chosen.expires}{SRTP[self.chosen.srtp]}"
            f';outbound="sip:{self.chosen.server}{self.via}";answermode=manual',
        )

    def write_contacts(self):
        """It sends texts to the contact of its list that is chosen, and to nobody else."""
        address = self.address_of(self.chosen.contact)
        for name, text in (("contacts", f'"other" <{address}>\n'), ("current_contact", address)):
            with open(self.inside(name), "w", encoding="ascii") as file:
                file.write(text if self.chosen.contact else "")

    def settings(self, control_port):
        """The config file. aufile wants the microphone's own rate and channels named here."""
        with wave.open(self.microphone) as sound:
            rate, channels = sound.getframerate(), sound.getnchannels()
        first_media_port = random.randrange(20000, 30000, 2)
        lines = [
            "sip_listen 127.0.0.1:0",
            "net_interface 127.0.0.1",
            f"rtp_ports {first_media_port}-{first_media_port + 400}",
            "rtcp_mux no",
            "jitter_buffer_delay 5-10",
            f"audio_source aufile,{self.microphone}",
            f"ausrc_srate {rate}",
            f"ausrc_channels {channels}",
            "audio_path /nonexistent",
            "ringback_disabled yes",
            "call_local_timeout 120",
            f"snd_path {self.inside('sound')}",
            f"ctrl_tcp_listen 127.0.0.1:{control_port}",
            f"module_path {self.module_folder()}",
        ]
        if self.chosen.ca:
            lines.append(f"sip_cafile {self.chosen.ca}")
        modules = MODULES
        if self.has_video:
            modules += VIDEO_MODULES
            lines += VIDEO_SETTINGS
        lines += [f"module {name}.so" for name in modules]
        lines += [f"module_app {name}.so" for name in APPLICATIONS]
        return "\n".join(lines) + "\n"

    @staticmethod
    def module_folder():
        """Where Debian puts the modules."""
        for folder in ("/usr/lib/baresip/modules", *glob.glob("/usr/lib/*/baresip/modules")):
            if os.path.isdir(folder):
                return folder
        raise SystemExit("no folder of baresip modules was found: is baresip-core installed?")

    def dial_control(self, port):
        """The control connection, once the program is ready for it."""
        give_up = time.monotonic() + START_WITHIN
        while time.monotonic() < give_up and self.process.poll() is None:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=1)
            except OSError:
                time.sleep(0.02)
        raise SystemExit("baresip did not open its control port")

    def order(self, command, words=""):
        """Sends one command of baresip's menu."""
        body = json.dumps({"command": command, "params": words}).encode()
        self.wire.sendall(b"%d:%s," % (len(body), body))

    def turn(self):
        if self.complete_at is not None and time.monotonic() > self.complete_at:
            self.finish()
        try:
            chunk = self.wire.recv(65536)
        except TimeoutError:
            return
        if not chunk:
            raise SystemExit("baresip went away")
        objects, self.rest = cut_netstrings(self.rest + chunk)
        for body in objects:
            self.hear(json.loads(body.decode(errors="replace")))

    def finish(self):
        """baresip names its recordings; those that are new are the last call's."""
        self.complete_at = None
        there = sorted(glob.glob(self.inside("sound/dump-*-dec.wav")), key=os.path.getmtime)
        self.recorded = [file for file in there if file not in self.told]
        self.told.update(there)
        self.tell_recordings()

    def hear(self, news):
        """One object from baresip: the answer to a command, or an event."""
        kind = news.get("type", "")
        if news.get("response"):
            if not news.get("ok"):
                say("fault", why=news.get("data", ""))
            elif "VIDEO" in news.get("data", "").upper():
                say("figures", words=news.get("data", ""))
        elif kind == "REGISTER_OK":
            say("registered")
        elif kind == "REGISTER_FAIL":
            say("registration-failed", why=news.get("param", ""))
        elif kind == "CALL_DTMF_START":
            say("digit", digit=news.get("param", ""))
        elif kind in STATES:
            if kind in ("CALL_OUTGOING", "CALL_RINGING", "CALL_INCOMING"):
                self.complete_at = None  # first comes the new call
            facts = {"reason": news.get("param", "")} if kind == "CALL_CLOSED" else {}
            status = facts.get("reason", "").split(" ")[0]
            if status.isdigit():
                facts["status"] = int(status)
            say("call", state=STATES[kind], **facts)
            if kind == "CALL_CLOSED":
                self.complete_at = time.monotonic() + FILE_CLOSED_AFTER

    def obey(self, verb, words):
        if verb == "call":
            self.order("dial", self.address_of(words[0]))
        elif verb == "answer":
            self.order("accept")
        elif verb in ("refuse", "hang-up"):
            if words and words[0] != "486":
                raise ValueError("baresip always refuses with 486")
            self.order("hangup")
        elif verb in ("hold", "resume"):
            self.order(verb)
            say("call", state="held" if verb == "hold" else "talking")
        elif verb == "digits":
            self.order("sndcode", words[0])
        elif verb == "look":
            self.order("snapshot_recv", self.inside("seen.png"))
        elif verb == "figures":
            self.order("video_debug")
        elif verb == "hand-over" and words:
            self.order("transfer", self.address_of(words[0]))
        elif verb == "text" and words[0] == self.chosen.contact:
            self.order("message", " ".join(words[1:]))
        else:
            raise ValueError("unknown order")

    def stop(self):
        if self.process is None:
            return
        if self.wire is not None:
            try:
                self.order("quit")
            except OSError:
                pass  # it is gone already
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


if __name__ == "__main__":
    serve(Baresip)
