#!/usr/bin/env python3
"""Driver of Linphone: liblinphone, the library of its desktop and mobile programs, called through ctypes.

The account is written as a linphonerc, with the keys that Linphone's remote provisioning sets. Audio is read from and
written to WAV files, so no sound card is needed. Works with Debian 12's liblinphone10 (5.1).
"""

import ctypes
import os
import time

from driver import Phone, report, serve

POINTER, NUMBER, TEXT, NOTHING = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, None
REAL = ctypes.c_float

# Every function that is used, with the types of its result and arguments.
FUNCTIONS = {
    "linphone_factory_get": (POINTER, []),
    "linphone_factory_create_core_cbs": (POINTER, [POINTER]),
    "linphone_factory_create_config": (POINTER, [POINTER, TEXT]),
    "linphone_factory_create_core_with_config_3": (POINTER, [POINTER, POINTER, POINTER]),
    "linphone_factory_create_address": (POINTER, [POINTER, TEXT]),
    "linphone_core_add_callbacks": (NOTHING, [POINTER, POINTER]),
    "linphone_core_set_log_level": (NOTHING, [NUMBER]),
    "linphone_core_set_use_files": (NOTHING, [POINTER, NUMBER]),
    "linphone_core_set_play_file": (NOTHING, [POINTER, TEXT]),
    "linphone_core_set_record_file": (NOTHING, [POINTER, TEXT]),
    "linphone_core_start": (NUMBER, [POINTER]),
    "linphone_core_set_network_reachable": (NOTHING, [POINTER, NUMBER]),
    "linphone_core_iterate": (NOTHING, [POINTER]),
    "linphone_core_invite_address": (POINTER, [POINTER, POINTER]),
    "linphone_core_get_chat_room_from_uri": (POINTER, [POINTER, TEXT]),
    "linphone_chat_room_create_message_from_utf8": (POINTER, [POINTER, TEXT]),
    "linphone_chat_message_send": (NOTHING, [POINTER]),
    "linphone_chat_message_get_state": (NUMBER, [POINTER]),
    "linphone_chat_message_get_from_address": (POINTER, [POINTER]),
    "linphone_chat_message_get_utf8_text": (TEXT, [POINTER]),
    "linphone_address_get_username": (TEXT, [POINTER]),
    "linphone_core_terminate_all_calls": (NUMBER, [POINTER]),
    "linphone_core_stop": (NOTHING, [POINTER]),
    "linphone_core_get_version": (TEXT, []),
    "linphone_call_accept": (NUMBER, [POINTER]),
    "linphone_call_decline": (NUMBER, [POINTER, NUMBER]),
    "linphone_call_terminate": (NUMBER, [POINTER]),
    "linphone_call_pause": (NUMBER, [POINTER]),
    "linphone_call_resume": (NUMBER, [POINTER]),
    "linphone_call_send_dtmfs": (NUMBER, [POINTER, TEXT]),
    "linphone_call_get_current_params": (POINTER, [POINTER]),
    "linphone_call_params_get_received_framerate": (REAL, [POINTER]),
    "linphone_call_transfer_to": (NUMBER, [POINTER, POINTER]),
    "linphone_call_transfer_to_another": (NUMBER, [POINTER, POINTER]),
    "linphone_call_get_error_info": (POINTER, [POINTER]),
    "linphone_error_info_get_protocol_code": (NUMBER, [POINTER]),
    "linphone_error_info_get_phrase": (TEXT, [POINTER]),
    "linphone_call_state_to_string": (TEXT, [NUMBER]),
    "linphone_registration_state_to_string": (TEXT, [NUMBER]),
}

# States of a call as the test knows them, by Linphone's names. Other states are not reported.
STATES = {
    "OutgoingInit": "dialling",
    "OutgoingRinging": "ringing",
    "IncomingReceived": "incoming",
    "StreamsRunning": "talking",
    "Paused": "held",
    "PausedByRemote": "held",
    "Error": "ended",
    "End": "ended",
}

# A camera that sends one still image once a second, and no display.
VIDEO = {
    "enabled": 1,
    "capture": 1,
    "display": 1,
    "automatically_initiate": 1,
    "automatically_accept": 1,
    "device": "StaticImage: Static picture",
    "displaytype": "MSVoidSink",
    "size": "cif",
}

# Names, clock rates and channels of the codecs.
CODECS = {"pcmu": ("PCMU", 8000, 1), "pcma": ("PCMA", 8000, 1), "g722": ("G722", 8000, 1), "opus": ("opus", 48000, 2)}

# Commands whose function takes only the call.
PLAIN_COMMANDS = {
    "hang-up": "linphone_call_terminate",
    "hold": "linphone_call_pause",
    "resume": "linphone_call_resume",
}

# SIP status -> LinphoneReason, without which a call cannot be refused.
REASONS = {486: 6, 603: 3, 480: 16}

ONLY_ERRORS = 8

# LinphoneChatMessageState: other states mean "in progress".
DELIVERED, NOT_DELIVERED = 2, 3


class Linphone(Phone):
    """liblinphone with one account."""

    def __init__(self, chosen):
        super().__init__(chosen)
        self.calls = []
        self.core = None
        self.texts = []  # in progress
        self.kept = []  # callbacks that C calls must not be garbage collected

    def start(self):
        self.use_own_home()
        self.load()
        factory = self.linphone_factory_get()
        self.factory = factory
        self.linphone_core_set_log_level(ONLY_ERRORS)
        with open(self.inside("linphonerc"), "w", encoding="ascii") as file:
            file.write(self.settings())
        config = self.linphone_factory_create_config(factory, self.inside("linphonerc").encode())
        self.core = self.linphone_factory_create_core_with_config_3(factory, config, None)
        self.listen(factory)
        self.use_files()
        outcome = self.linphone_core_start(self.core)
        if outcome != 0:
            raise SystemExit(f"liblinphone did not start: {outcome}")
        # Otherwise it waits for a network interface other than loopback.
        self.linphone_core_set_network_reachable(self.core, 1)
        report("ready", phone="liblinphone " + self.linphone_core_get_version().decode())

    def use_files(self):
        """Uses files in place of a sound card."""
        self.linphone_core_set_use_files(self.core, 1)
        self.linphone_core_set_play_file(self.core, self.microphone.encode())
        self.next_recording()

    def next_recording(self):
        """Sets the next recording; Linphone opens it when audio begins or resumes after a hold."""
        self.linphone_core_set_record_file(self.core, self.new_recording().encode())

    def use_own_home(self):
        """Sets its folders. Linphone opens no SIP port when it cannot write its database there."""
        for variable, folder in (
            ("HOME", ""),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
        ):
            os.environ[variable] = self.inside(folder)
            os.makedirs(os.path.join(self.inside(folder), "linphone"), exist_ok=True)
        os.makedirs(self.inside(".local/share/linphone"), exist_ok=True)

    def load(self):
        """Declares the C functions and makes each one a method."""
        library = ctypes.CDLL("liblinphone.so.10")
        self.library = library
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def settings(self):
        """The linphonerc: one account, one transport on a free port, only the wanted codecs."""
        if self.chosen.provision:
            return f"[misc]\nconfig-uri={self.chosen.provision}\n"
        free, off = -1, 0
        beside = self.chosen.digits == "info"
        sections = {
            "sip": {
                "sip_port": free if self.chosen.transport == "udp" else off,
                "sip_tcp_port": free if self.chosen.transport == "tcp" else off,
                "sip_tls_port": free if self.chosen.transport == "tls" else off,
                "verify_server_certs": 1,
                "verify_server_cn": 1,
                "bind_address": "127.0.0.1",
                "default_proxy": 0,
                "guess_hostname": 1,
                "register_only_when_network_is_up": 0,
                "media_encryption": "none" if self.chosen.srtp == "off" else "srtp",
                "media_encryption_mandatory": int(self.chosen.srtp == "required"),
                "use_info": int(beside),
                "use_rfc2833": int(not beside),
            },
            "proxy_0": {
                "reg_proxy": f"<sip:{self.chosen.server}{self.via}>",
                "reg_route": f"<sip:{self.chosen.server}{self.via};lr>",
                "reg_identity": f"<{self.identity}>",
                "reg_expires": self.chosen.expires,
                "reg_sendregister": 1,
                "publish": 0,
                "quality_reporting_enabled": 0,
            },
            "auth_info_0": {"username": self.chosen.user, "passwd": self.chosen.password},
            "rtp": {"audio_rtp_port": free, "bind_address": "127.0.0.1"},
            "sound": {"echocancellation": 0, "agc": 0, "noisegate": 0},
            "video": VIDEO if self.has_video else {"enabled": 0},
            "net": {"firewall_policy": 0, "enable_adaptive_rate": 0},
            "misc": {"add_missing_audio_codecs": 0},
        }
        if self.has_video:
            sections["rtp"]["video_rtp_port"] = free
            sections["video_codec_0"] = {"mime": "VP8", "rate": 90000, "enabled": 1}
        if self.chosen.ca:
            sections["sip"]["root_ca"] = self.chosen.ca
        for place, codec in enumerate(self.codecs):
            mime, rate, channels = CODECS[codec]
            sections[f"audio_codec_{place}"] = {"mime": mime, "rate": rate, "channels": channels, "enabled": 1}
        lines = []
        for name, entries in sections.items():
            lines.append(f"[{name}]")
            lines.extend(f"{key}={value}" for key, value in entries.items())
        return "\n".join(lines) + "\n"

    def listen(self, factory):
        """Registers the callbacks."""
        callbacks = self.linphone_factory_create_core_cbs(factory)
        for setter, kinds, method in (
            ("account_registration_state_changed", [POINTER, POINTER, NUMBER, TEXT], self.registration_changed),
            ("call_state_changed", [POINTER, POINTER, NUMBER, TEXT], self.call_changed),
            ("dtmf_received", [POINTER, POINTER, NUMBER], self.digit_received),
            ("message_received", [POINTER, POINTER, POINTER], self.text_received),
            ("transfer_state_changed", [POINTER, POINTER, NUMBER], self.transfer_changed),
        ):
            kind = ctypes.CFUNCTYPE(None, *kinds)
            function = kind(method)
            self.kept.append(function)
            setting = getattr(self.library, "linphone_core_cbs_set_" + setter)
            setting.restype, setting.argtypes = None, [POINTER, kind]
            setting(callbacks, function)
        self.linphone_core_add_callbacks(self.core, callbacks)

    def registration_changed(self, _core, _account, state, message):
        """Called by Linphone."""
        name = self.linphone_registration_state_to_string(state).decode().removeprefix("LinphoneRegistration")
        if name == "Ok":
            # Fetched settings have reset the files.
            self.use_files()
            report("registered")
        elif name == "Failed":
            report("registration-failed", why=(message or b"").decode(errors="replace"))

    def call_changed(self, _core, call, state, message):
        """Called by Linphone."""
        name = self.name_of(state)
        told = STATES.get(name)
        facts = {}
        if told == "ended":
            error = self.linphone_call_get_error_info(call)
            facts["status"] = self.linphone_error_info_get_protocol_code(error)
            phrase = self.linphone_error_info_get_phrase(error) or message or b""
            facts["reason"] = phrase.decode(errors="replace")
        if told in ("dialling", "incoming"):
            self.calls.append(call)
        if told == "held":
            self.next_recording()
        if name == "Released" and call in self.calls:
            self.calls.remove(call)
            if not self.calls:
                self.report_recordings()
                self.next_recording()
        if told:
            report("call", state=told, **facts)

    def name_of(self, state):
        """Linphone's name of a call's state."""
        name = self.linphone_call_state_to_string(state).decode()
        return name.removeprefix("LinphoneCall").removeprefix("State")

    def transfer_changed(self, _core, _call, state):
        """Called by Linphone."""
        report("transfer", status=self.name_of(state))

    def digit_received(self, _core, _call, digit):
        """Called by Linphone."""
        report("digit", digit=chr(digit))

    def text_received(self, _core, _room, message):
        """Called by Linphone."""
        sender = self.linphone_address_get_username(self.linphone_chat_message_get_from_address(message))
        words = self.linphone_chat_message_get_utf8_text(message) or b""
        report("text", words=words.decode(errors="replace"), **{"from": (sender or b"").decode()})

    def send_text(self, number, words):
        """Sends a text; `follow_texts` reports the result."""
        room = self.linphone_core_get_chat_room_from_uri(self.core, self.address_of(number).encode())
        message = self.linphone_chat_room_create_message_from_utf8(room, words.encode())
        self.linphone_chat_message_send(message)
        self.texts.append(message)

    def follow_texts(self):
        """Reports the results of sent texts."""
        for message in list(self.texts):
            state = self.linphone_chat_message_get_state(message)
            if state in (DELIVERED, NOT_DELIVERED):
                self.texts.remove(message)
                report("text-sent", taken=state == DELIVERED)

    def poll(self):
        self.linphone_core_iterate(self.core)
        self.follow_texts()
        time.sleep(0.01)

    def address(self, number):
        """A number as an address of Linphone."""
        return self.linphone_factory_create_address(self.factory, self.address_of(number).encode())

    def execute(self, verb, words):
        if verb == "call":
            if not self.linphone_core_invite_address(self.core, self.address(words[0])):
                raise ValueError("Linphone did not place the call")
            return
        if verb == "text":
            self.send_text(words[0], " ".join(words[1:]))
            return
        if not self.calls:
            raise ValueError("there is no call")
        outcome = self.change(self.calls[-1], verb, words)
        if outcome != 0:
            raise ValueError(f"Linphone returned {outcome}")

    def change(self, call, verb, words):
        """Executes one command of a call; returns Linphone's result."""
        if verb == "answer":
            return self.linphone_call_accept(call)
        if verb == "refuse":
            status = int(words[0]) if words else 486
            if status not in REASONS:
                raise ValueError(f"Linphone cannot refuse with {status}")
            return self.linphone_call_decline(call, REASONS[status])
        if verb == "digits":
            return self.linphone_call_send_dtmfs(call, words[0].encode())
        if verb == "video-stats":
            params = self.linphone_call_get_current_params(call)
            framerate = self.linphone_call_params_get_received_framerate(params)
            report("video-stats", words=f"{framerate:.1f} frames a second", framerate=framerate)
            return 0
        if verb == "transfer" and words:
            return self.linphone_call_transfer_to(call, self.address(words[0]))
        if verb == "transfer":
            return self.linphone_call_transfer_to_another(self.calls[-2], call)
        if verb in PLAIN_COMMANDS:
            return getattr(self, PLAIN_COMMANDS[verb])(call)
        raise ValueError("unknown command")

    def stop(self):
        if self.core is None:
            return
        self.linphone_core_terminate_all_calls(self.core)
        for _ in range(30):
            self.poll()
        self.linphone_core_stop(self.core)


if __name__ == "__main__":
    serve(Linphone)
