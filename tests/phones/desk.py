"""What all driven phones share: one command line, orders on standard input, JSON lines on standard output.

A driver is a subclass of `Phone`, one process per phone. `serve(Subclass)` reads the options, turns the phone's own
event loop between orders and ends when it is told to, when standard input closes (the test died) or on SIGTERM.

Orders, one a line:    call NUMBER | answer | refuse [STATUS] | hang-up | hold | resume | digits 12# |
                       hand-over [NUMBER] | text NUMBER WORDS... | look | figures | quit
    Orders mean the newest call. A second `call` leaves the first as it is (hold it before); `hand-over` without a
    number joins those two.
Lines out, one object: {"at": seconds, "event": ...} where event is one of
    ready         the phone's engine runs            registered / registration-failed (why)
    call          state: dialling, ringing, incoming, talking, held, ended (status and reason, where the phone says so)
    digit         a key press was heard              handed-over   how a transfer stands, where the phone says so
    text          one came: from, words              text-sent     what became of ours: taken or not
    heard         once the last call is over: its recordings, `files`, a new one for what came after a hold
    figures       what it says of its pictures, in its own words (`look` writes what it sees to seen.png in its folder)
    fault         an order failed: why                gone    the last line
Nothing but the standard library is used.
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


def say(event, **facts):
    """Writes one line for the test."""
    line = {"at": round(time.monotonic() - _BEGUN, 3), "event": event}
    line.update(facts)
    try:
        print(json.dumps(line), file=_TO_TEST, flush=True)
    except BrokenPipeError:
        pass  # the test is gone; standard input says so too


def keep_chatter(path):
    """Phones print what they like: standard output and error become this file, and `say` keeps its own way out."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def die_with_parent():
    """For a child's `preexec_fn`: the kernel kills it when this driver ends, however it ends."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)


def options():
    """The command line of every phone."""
    parser = argparse.ArgumentParser(description="A SIP phone without a sound card, driven by a test.")
    parser.add_argument("--home", required=True, help="an empty folder for everything the phone writes")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--provision", metavar="URL", help="where the phone fetches its account instead")
    parser.add_argument("--server", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"), default="udp")
    parser.add_argument("--ca", metavar="PEM", help="what to trust over TLS")
    parser.add_argument("--srtp", choices=("off", "optional", "required"), default="off")
    parser.add_argument("--digits", choices=("rtp", "info"), default="rtp", help="how key presses are sent")
    parser.add_argument("--contact", default="", help="the number of the one who is sent texts")
    parser.add_argument("--codecs", default="PCMU", help="of PCMU, PCMA, G722, opus; only these, best first; and VP8 for pictures")
    parser.add_argument("--microphone", required=True, metavar="WAV", help="16 bit, one channel")
    parser.add_argument("--expires", type=int, default=120)
    return parser.parse_args()


class Phone:
    """One phone. A driver fills in what is specific to it."""

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
        """Where the next part of what is heard goes."""
        self.recordings += 1
        self.recorded.append(self.inside(f"heard-{self.recordings}.wav"))
        return self.recorded[-1]

    def tell_recordings(self):
        """Says where the recordings are that have come to be."""
        files = [file for file in self.recorded if os.path.exists(file)]
        self.recorded.clear()
        say("heard", files=files)

    def address_of(self, number):
        """What to dial for a number at our server."""
        return f"sip:{number}@{self.chosen.server}{self.via}"

    def start(self):
        """Starts the phone and its registration."""
        raise NotImplementedError

    def turn(self):
        """One round of the phone's own event loop; never longer than a few hundredths of a second."""
        raise NotImplementedError

    def obey(self, verb, words):
        """Carries out one order; raises ValueError for one that this phone cannot."""
        raise NotImplementedError

    def stop(self):
        """Ends calls, completes the recording, ends children."""
        raise NotImplementedError


class Orders:
    """Lines from standard input without waiting for them."""

    def __init__(self):
        self.rest = b""
        self.closed = False

    def due(self):
        """The complete lines that are there now."""
        while not self.closed and select.select([0], [], [], 0)[0]:
            chunk = os.read(0, 4096)
            self.closed = not chunk
            self.rest += chunk
        *lines, self.rest = self.rest.split(b"\n")
        return [line.decode().split() for line in lines if line.strip()]


def serve(kind):
    """Runs one phone of this kind until it is told to stop."""

    def told_to_end(_number, _frame):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, told_to_end)
    signal.signal(signal.SIGINT, told_to_end)
    chosen = options()
    keep_chatter(os.path.join(chosen.home, "log"))
    phone = kind(chosen)
    orders = Orders()
    try:
        phone.start()
        while not orders.closed:
            phone.turn()
            for verb, *words in orders.due():
                if verb == "quit":
                    return
                try:
                    phone.obey(verb, words)
                except (ValueError, IndexError, OSError) as fault:
                    say("fault", order=verb, why=str(fault))
    except Exception as fault:  # whatever it is, the test should read it
        say("fault", why=f"{type(fault).__name__}: {fault}")
        raise
    finally:
        phone.stop()
        say("gone")
