#!/usr/bin/env python3
"""Driver of pjsua: PJSIP's Python binding (PyPI pjsua2-python), with a null sound device.

A WAV player and a WAV recorder are connected to the audio port of each call. Everything runs on this thread: PJSIP
calls back only while it is polled. Works with PJSIP 2.15.
"""

import os

import pjsua2 as pj

from driver import Phone, report, serve

TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}

SRTP = {"off": pj.PJMEDIA_SRTP_DISABLED, "optional": pj.PJMEDIA_SRTP_OPTIONAL, "required": pj.PJMEDIA_SRTP_MANDATORY}

STATES = {
    pj.PJSIP_INV_STATE_CALLING: "dialling",
    pj.PJSIP_INV_STATE_INCOMING: "incoming",
    pj.PJSIP_INV_STATE_CONFIRMED: "talking",
    pj.PJSIP_INV_STATE_DISCONNECTED: "ended",
}

AUDIO_FLOWS = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)

POLL_MILLISECONDS = 10
SHUTDOWN_POLLS = 40


def outcome(status=0):
    """The parameters of an operation on a call: default settings and a status."""
    options = pj.CallOpParam(True)
    options.statusCode = status
    return options


class Call(pj.Call):
    """One call: connects player and recorder, and reports events."""

    def __init__(self, phone, number=pj.PJSUA_INVALID_ID):
        super().__init__(phone.account, number)
        self.phone = phone
        self.microphone = None
        self.recorder = None
        self.is_held = False

    def onCallState(self, _told):
        """Called by PJSIP."""
        now = self.getInfo()
        told = STATES.get(now.state)
        if now.state == pj.PJSIP_INV_STATE_EARLY and now.role == pj.PJSIP_ROLE_UAC:
            told = "ringing"
        if told == "ended":
            self.disconnect_audio()
            self.phone.calls.remove(self)
            report("call", state=told, status=now.lastStatusCode, reason=now.lastReason)
            if not self.phone.calls:
                self.phone.report_recordings()
        elif told and told != "incoming":  # reported by onIncomingCall
            report("call", state=told)

    def onCallMediaState(self, _told):
        """Called by PJSIP when audio begins, pauses and resumes; each time with a new recording."""
        now = self.getInfo()  # must outlive the media that it lists
        media = [each for each in now.media if each.type == pj.PJMEDIA_TYPE_AUDIO]
        if not media:
            return
        is_held = media[0].status == pj.PJSUA_CALL_MEDIA_LOCAL_HOLD
        if is_held != self.is_held:
            self.is_held = is_held
            report("call", state="held" if is_held else "talking")
        self.disconnect_audio()
        if media[0].status in AUDIO_FLOWS:
            self.connect_audio(self.getAudioMedia(media[0].index))

    def connect_audio(self, sound):
        """Connects player and recorder."""
        self.microphone = pj.AudioMediaPlayer()
        self.microphone.createPlayer(self.phone.microphone)
        self.microphone.startTransmit(sound)
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(self.phone.new_recording())
        sound.startTransmit(self.recorder)

    def disconnect_audio(self):
        """The recording is complete when the recorder is released."""
        self.microphone = self.recorder = None

    def onDtmfDigit(self, told):
        """Called by PJSIP."""
        report("digit", digit=told.digit)

    def onCallTransferStatus(self, told):
        """Called by PJSIP."""
        report("transfer", status=told.statusCode, final=bool(told.finalNotify))


class Account(pj.Account):
    """The account: registration, incoming calls and texts."""

    def __init__(self, phone):
        super().__init__()
        self.phone = phone

    def onRegState(self, told):
        """Called by PJSIP."""
        if told.code // 100 == 2 and told.expiration > 0:
            report("registered")
        elif told.code // 100 != 2:
            report("registration-failed", why=f"{told.code} {told.reason}")

    def onIncomingCall(self, told):
        """Called by PJSIP."""
        call = Call(self.phone, told.callId)
        self.phone.calls.append(call)
        call.answer(outcome(pj.PJSIP_SC_RINGING))
        report("call", state="incoming")

    def onInstantMessage(self, told):
        """Called by PJSIP."""
        report("text", words=told.msgBody, **{"from": told.fromUri.partition(":")[2].partition("@")[0]})

    def onInstantMessageStatus(self, told):
        """Called by PJSIP."""
        report("text-sent", taken=told.code // 100 == 2)


class Pjsua(Phone):
    """PJSIP with one account."""

    def __init__(self, chosen):
        super().__init__(chosen)
        self.endpoint = None
        self.account = None
        self.calls = []
        self.buddies = []  # must outlive the responses to their texts

    def start(self):
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        self.endpoint.libInit(self.settings())
        self.endpoint.transportCreate(TRANSPORTS[self.chosen.transport], self.transport())
        self.endpoint.libStart()
        self.endpoint.audDevManager().setNullDev()
        self.choose_codecs()
        self.account = Account(self)
        self.account.create(self.account_settings())
        report("ready", phone="pjsua " + self.endpoint.libVersion().full)

    def settings(self):
        """No threads for SIP, no processing of audio."""
        chosen = pj.EpConfig()
        chosen.uaConfig.threadCnt = 0
        chosen.uaConfig.mainThreadOnly = True
        chosen.logConfig.level = 5
        chosen.logConfig.consoleLevel = 0
        chosen.logConfig.filename = self.inside("pjsua.log")
        chosen.medConfig.noVad = True
        chosen.medConfig.ecTailLen = 0
        chosen.medConfig.clockRate = chosen.medConfig.sndClockRate = 16000
        return chosen

    def transport(self):
        """One transport, on a free port."""
        chosen = pj.TransportConfig()
        chosen.boundAddress = "127.0.0.1"
        if self.chosen.ca:
            chosen.tlsConfig.CaListFile = self.chosen.ca
            chosen.tlsConfig.verifyServer = True
        chosen.tlsConfig.method = pj.PJSIP_TLSV1_2_METHOD
        return chosen

    def choose_codecs(self):
        """Only the wanted codecs, in their order."""
        there = [codec.codecId for codec in self.endpoint.codecEnum2()]
        for codec in there:
            self.endpoint.codecSetPriority(codec, 0)
        for place, wanted in enumerate(self.codecs):
            for codec in there:
                if codec.lower().startswith(wanted + "/"):
                    self.endpoint.codecSetPriority(codec, 255 - place)

    def account_settings(self):
        """The account of the command line."""
        server = f"sip:{self.chosen.server}{self.via}"
        chosen = pj.AccountConfig()
        chosen.idUri = self.identity
        chosen.regConfig.registrarUri = server
        chosen.regConfig.timeoutSec = self.chosen.expires
        credentials = pj.AuthCredInfo("digest", "*", self.chosen.user, 0, self.chosen.password)
        chosen.sipConfig.authCreds.append(credentials)
        chosen.sipConfig.proxies.append(server + ";lr")
        chosen.mediaConfig.srtpUse = SRTP[self.chosen.srtp]
        chosen.mediaConfig.srtpSecureSignaling = 0
        chosen.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
        chosen.mediaConfig.transportConfig.publicAddress = "127.0.0.1"
        return chosen

    def poll(self):
        self.endpoint.libHandleEvents(POLL_MILLISECONDS)

    def execute(self, verb, words):
        try:
            self.try_to(verb, words)
        except pj.Error as error:
            raise ValueError(error.info().replace("\n", " ")) from error

    def try_to(self, verb, words):
        """Executes one command; raises errors of PJSIP."""
        if verb == "call":
            call = Call(self)
            self.calls.append(call)
            call.makeCall(self.address_of(words[0]), outcome())
            return
        if verb == "text":
            self.send_text(words[0], " ".join(words[1:]))
            return
        if not self.calls:
            raise ValueError("there is no call")
        call = self.calls[-1]
        if verb == "answer":
            call.answer(outcome(pj.PJSIP_SC_OK))
        elif verb == "refuse":
            call.hangup(outcome(int(words[0]) if words else pj.PJSIP_SC_BUSY_HERE))
        elif verb == "hang-up":
            call.hangup(pj.CallOpParam())
        elif verb == "hold":
            call.setHold(outcome())
        elif verb == "resume":
            again = outcome()
            again.opt.flag = pj.PJSUA_CALL_UNHOLD
            call.reinvite(again)
        elif verb == "digits":
            self.press(call, words[0])
        elif verb == "transfer" and words:
            call.xfer(self.address_of(words[0]), pj.CallOpParam())
        elif verb == "transfer":
            self.calls[-2].xferReplaces(call, pj.CallOpParam())
        else:
            raise ValueError("unknown command")

    def press(self, call, digits):
        """Key presses as RTP events or in INFO."""
        keys = pj.CallSendDtmfParam()
        beside = self.chosen.digits == "info"
        keys.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if beside else pj.PJSUA_DTMF_METHOD_RFC2833
        keys.digits = digits
        call.sendDtmf(keys)

    def send_text(self, number, words):
        """Sends a text; PJSIP needs a "buddy" for it."""
        settings = pj.BuddyConfig()
        settings.uri = self.address_of(number)
        buddy = pj.Buddy()
        buddy.create(self.account, settings)
        self.buddies.append(buddy)
        message = pj.SendInstantMessageParam()
        message.content = words
        buddy.sendInstantMessage(message)

    def stop(self):
        if self.endpoint is None:
            return
        self.endpoint.hangupAllCalls()
        if self.account is not None:
            self.account.setRegistration(False)
        for _ in range(SHUTDOWN_POLLS):
            self.poll()
        report("gone")
        # PJSIP crashes when Python destroys its objects in another order.
        os._exit(0)


if __name__ == "__main__":
    serve(Pjsua)
