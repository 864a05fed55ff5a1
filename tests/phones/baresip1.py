#!/usr/bin/env python3
"""Driver of baresip 1: Debian's program in a folder of its own, controlled over its module ctrl_tcp.

ctrl_tcp carries JSON objects as netstrings ("LENGTH:OBJECT,"). The account is added when that connection is open: an
account from the configuration would register before this driver could see it. Audio is read from a WAV file (module
aufile); received audio is written by module sndfile. Works with baresip 1.0.
"""

import glob
import json
import os
import random
import socket
import subprocess
import time
import wave

from driver import Phone, die_with_parent, report, serve

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

# The recording is complete when baresip has freed the call, shortly after it reports the end.
FILE_CLOSED_AFTER = 0.2

# A camera and a display without hardware; received video is checked by a snapshot.
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
    """A free port."""
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
        self.control = None
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
        # Snapshots are written to the working directory.
        self.process = subprocess.Popen(
            ["baresip", "-4", "-f", self.home], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, cwd=self.home
        )
        self.control = self.dial_control(port)
        self.control.settimeout(0.01)
        report("ready", phone="baresip")
        codecs = ",".join(CODECS[codec] for codec in self.codecs)
        if self.has_video:
            codecs += ";video_codecs=vp8"
        self.send_command(
            "uanew",
            f"<{self.identity}{self.via}>;auth_user={self.chosen.user};auth_pass={self.chosen.password}"
            f";audio_codecs={codecs};regint={self.chosen.expires}{SRTP[self.chosen.srtp]}"
            f';outbound="sip:{self.chosen.server}{self.via}";answermode=manual',
        )

    def write_contacts(self):
        """baresip sends texts only to the current contact of its list."""
        address = self.address_of(self.chosen.contact)
        for name, text in (("contacts", f'"other" <{address}>\n'), ("current_contact", address)):
            with open(self.inside(name), "w", encoding="ascii") as file:
                file.write(text if self.chosen.contact else "")

    def settings(self, control_port):
        """The config file. aufile needs the rate and channels of the WAV file."""
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
        """The folder of Debian's modules."""
        for folder in ("/usr/lib/baresip/modules", *glob.glob("/usr/lib/*/baresip/modules")):
            if os.path.isdir(folder):
                return folder
        raise SystemExit("no folder of baresip modules was found: is baresip-core installed?")

    def dial_control(self, port):
        """Connects to the control port as soon as it is open."""
        give_up = time.monotonic() + START_WITHIN
        while time.monotonic() < give_up and self.process.poll() is None:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=1)
            except OSError:
                time.sleep(0.02)
        raise SystemExit("baresip did not open its control port")

    def send_command(self, command, words=""):
        """Sends one command of baresip's menu."""
        body = json.dumps({"command": command, "params": words}).encode()
        self.control.sendall(b"%d:%s," % (len(body), body))

    def poll(self):
        if self.complete_at is not None and time.monotonic() > self.complete_at:
            self.finish()
        try:
            chunk = self.control.recv(65536)
        except TimeoutError:
            return
        if not chunk:
            raise SystemExit("baresip has ended")
        objects, self.rest = cut_netstrings(self.rest + chunk)
        for body in objects:
            self.handle(json.loads(body.decode(errors="replace")))

    def finish(self):
        """Reports the new recordings, which belong to the last call. baresip chooses their names."""
        self.complete_at = None
        there = sorted(glob.glob(self.inside("sound/dump-*-dec.wav")), key=os.path.getmtime)
        self.recorded = [file for file in there if file not in self.told]
        self.told.update(there)
        self.report_recordings()

    def handle(self, message):
        """Handles one object from baresip: the response to a command, or an event."""
        kind = message.get("type", "")
        if message.get("response"):
            if not message.get("ok"):
                report("error", why=message.get("data", ""))
            elif "VIDEO" in message.get("data", "").upper():
                report("video-stats", words=message.get("data", ""))
        elif kind == "REGISTER_OK":
            report("registered")
        elif kind == "REGISTER_FAIL":
            report("registration-failed", why=message.get("param", ""))
        elif kind == "CALL_DTMF_START":
            report("digit", digit=message.get("param", ""))
        elif kind in STATES:
            if kind in ("CALL_OUTGOING", "CALL_RINGING", "CALL_INCOMING"):
                self.complete_at = None  # the new call has to end first
            facts = {"reason": message.get("param", "")} if kind == "CALL_CLOSED" else {}
            status = facts.get("reason", "").split(" ")[0]
            if status.isdigit():
                facts["status"] = int(status)
            report("call", state=STATES[kind], **facts)
            if kind == "CALL_CLOSED":
                self.complete_at = time.monotonic() + FILE_CLOSED_AFTER

    def execute(self, verb, words):
        if verb == "call":
            self.send_command("dial", self.address_of(words[0]))
        elif verb == "answer":
            self.send_command("accept")
        elif verb in ("refuse", "hang-up"):
            if words and words[0] != "486":
                raise ValueError("baresip always refuses with 486")
            self.send_command("hangup")
        elif verb in ("hold", "resume"):
            self.send_command(verb)
            report("call", state="held" if verb == "hold" else "talking")
        elif verb == "digits":
            self.send_command("sndcode", words[0])
        elif verb == "snapshot":
            self.send_command("snapshot_recv", self.inside("seen.png"))
        elif verb == "video-stats":
            self.send_command("video_debug")
        elif verb == "transfer" and words:
            self.send_command("transfer", self.address_of(words[0]))
        elif verb == "text" and words[0] == self.chosen.contact:
            self.send_command("message", " ".join(words[1:]))
        else:
            raise ValueError("unknown command")

    def stop(self):
        if self.process is None:
            return
        if self.control is not None:
            try:
                self.send_command("quit")
            except OSError:
                pass  # it has ended already
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


if __name__ == "__main__":
    serve(Baresip)
