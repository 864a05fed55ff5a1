"""What the drivers of all phones share: the command line, commands on standard input, JSON lines on standard output.

A driver is a subclass of `Phone`, with one process for each phone. `serve(Subclass)` reads the options, polls the phone's
event loop between commands, and ends on the command `quit`, when standard input closes (the test has ended) or on SIGTERM.

Commands, one a line:  call NUMBER | answer | refuse [STATUS] | hang-up | hold | resume | digits 12# |
                       transfer [NUMBER] | text NUMBER WORDS... | snapshot | video-stats | quit
    Commands act on the newest call. A second `call` leaves the first call unchanged (hold it before); `transfer` without
    a number connects those two.
Lines out, one object: {"at": seconds, "event": ...} where event is one of
    ready         the phone's engine runs            registered / registration-failed (why)
    call          state: dialling, ringing, incoming, talking, held, ended (status and reason, where the phone reports them)
    digit         a key press was received           transfer      the status of a transfer, where the phone reports it
    text          a text arrived: from, words        text-sent     whether a sent text was accepted: taken
    recordings    after the last call: its recordings, `files`, with another one after each hold
    video-stats   statistics of received video in the phone's own words (`snapshot` writes a frame to seen.png in its folder)
    error         a command failed: why              gone          the last line
Only the standard library is used.
"""

import argparse
import ctypes
import json
import os
import select
import signal
import time

VIDEO = "vp8"

_BEGUN = time.monotonic()
_TO_TEST = os.fdopen(os.dup(1), "w")


def report(event, **facts):
    """Writes one line to the test."""
    line = {"at": round(time.monotonic() - _BEGUN, 3), "event": event}
    line.update(facts)
    try:
        print(json.dumps(line), file=_TO_TEST, flush=True)
    except BrokenPipeError:
        pass  # the test has ended, which closes standard input too


def redirect_output(path):
    """Redirects what phones print to this file. `report` keeps a copy of standard output."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def die_with_parent():
    """For a child's `preexec_fn`: the kernel kills it when this driver ends in any way."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)


def options():
    """The command line of every phone."""
    parser = argparse.ArgumentParser(description="A SIP phone without a sound card, controlled by a test.")
    parser.add_argument("--home", required=True, help="an empty folder for everything the phone writes")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--provision", metavar="URL", help="from which the phone fetches its account instead")
    parser.add_argument("--server", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"), default="udp")
    parser.add_argument("--ca", metavar="PEM", help="certificates to trust over TLS")
    parser.add_argument("--srtp", choices=("off", "optional", "required"), default="off")
    parser.add_argument("--digits", choices=("rtp", "info"), default="rtp", help="how key presses are sent")
    parser.add_argument("--contact", default="", help="the recipient of texts")
    parser.add_argument("--codecs", default="PCMU", help="of PCMU, PCMA, G722, opus; only these, the preferred one first; and VP8 for video")
    parser.add_argument("--microphone", required=True, metavar="WAV", help="16 bit, one channel")
    parser.add_argument("--expires", type=int, default=120)
    return parser.parse_args()


class Phone:
    """One phone. Drivers override what is specific to theirs."""

    def __init__(self, chosen):
        self.chosen = chosen
        self.home = os.path.abspath(chosen.home)
        self.microphone = os.path.abspath(chosen.microphone)
        names = [name.strip().lower() for name in chosen.codecs.split(",")]
        self.codecs = [name for name in names if name != VIDEO]
        self.has_video = VIDEO in names
        self.via = ";transport=" + chosen.transport
        self.identity = f"sip:{chosen.user}@{chosen.server}"
        self.recordings = 0
        self.recorded = []

    def inside(self, name):
        """A path in the phone's own folder."""
        return os.path.join(self.home, name)

    def new_recording(self):
        """The file of the next recording."""
        self.recordings += 1
        self.recorded.append(self.inside(f"received-{self.recordings}.wav"))
        return self.recorded[-1]

    def report_recordings(self):
        """Reports the recordings that exist."""
        files = [file for file in self.recorded if os.path.exists(file)]
        self.recorded.clear()
        report("recordings", files=files)

    def address_of(self, number):
        """The URI of a number at the server."""
        return f"sip:{number}@{self.chosen.server}{self.via}"

    def start(self):
        """Starts the phone and its registration."""
        raise NotImplementedError

    def poll(self):
        """One round of the phone's event loop, which takes at most some hundredths of a second."""
        raise NotImplementedError

    def execute(self, verb, words):
        """Executes one command; raises ValueError for one that this phone does not support."""
        raise NotImplementedError

    def stop(self):
        """Ends calls, completes recordings, stops child processes."""
        raise NotImplementedError


class Commands:
    """Reads lines from standard input without blocking."""

    def __init__(self):
        self.rest = b""
        self.closed = False

    def due(self):
        """The complete lines that have arrived."""
        while not self.closed and select.select([0], [], [], 0)[0]:
            chunk = os.read(0, 4096)
            self.closed = not chunk
            self.rest += chunk
        *lines, self.rest = self.rest.split(b"\n")
        return [line.decode().split() for line in lines if line.strip()]


def serve(kind):
    """Runs one phone of this kind until it has to stop."""

    def handle_signal(_number, _frame):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, handle_signal)
    signal.signal(signal.SIGINT, handle_signal)
    chosen = options()
    redirect_output(os.path.join(chosen.home, "log"))
    phone = kind(chosen)
    commands = Commands()
    try:
        phone.start()
        while not commands.closed:
            phone.poll()
            for verb, *words in commands.due():
                if verb == "quit":
                    return
                try:
                    phone.execute(verb, words)
                except (ValueError, IndexError, OSError) as error:
                    report("error", command=verb, why=str(error))
    except Exception as error:  # the test has to see every failure
        report("error", why=f"{type(error).__name__}: {error}")
        raise
    finally:
        phone.stop()
        report("gone")
