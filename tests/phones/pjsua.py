#!/usr/bin/env python3
"""pjsua as a driven phone: PJSIP's own Python binding (PyPI pjsua2-python), with a null sound device.

The microphone is its WAV player, the ear its WAV recorder, both plugged into each call's port. Everything runs on this
thread: PJSIP calls back only while it is asked for events. Works with PJSIP 2.15.
"""

import os

import pjsua2 as pj

from desk import Phone, say, serve

TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}

SRTP = {"off": pj.PJMEDIA_SRTP_DISABLED, "optional": pj.PJMEDIA_SRTP_OPTIONAL, "required": pj.PJMEDIA_SRTP_MANDATORY}

STATES = {
    pj.PJSIP_INV_STATE_CALLING: "dialling",
    pj.PJSIP_INV_STATE_INCOMING: "incoming",
    pj.PJSIP_INV_STATE_CONFIRMED: "talking",
    pj.PJSIP_INV_STATE_DISCONNECTED: "ended",
}

SOUND_FLOWS = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)

TURN_MILLISECONDS = 10
GOODBYE_TURNS = 40


def outcome(status=0):
    """What PJSIP wants with every order about a call: the settings of old, and a status."""
    options = pj.CallOpParam(True)
    options.statusCode = status
    return options


class Call(pj.Call):
    """One call: it plugs microphone and ear in, and tells what happens."""

    def __init__(self, phone, number=pj.PJSUA_INVALID_ID):
        super().__init__(phone.account, number)
        self.phone = phone
        self.microphone = None
        self.ear = None
        self.is_held = False

    def onCallState(self, _told):
        """Called by PJSIP."""
        now = self.getInfo()
        told = STATES.get(now.state)
        if now.state == pj.PJSIP_INV_STATE_EARLY and now.role == pj.PJSIP_ROLE_UAC:
            told = "ringing"
        if told == "ended":
            self.unplug()
            self.phone.calls.remove(self)
            say("call", state=told, status=now.lastStatusCode, reason=now.lastReason)
            if not self.phone.calls:
                self.phone.tell_recordings()
        elif told and told != "incoming":  # which is told when the call comes
            say("call", state=told)

    def onCallMediaState(self, _told):
        """Called by PJSIP when sound begins, pauses and goes on: each time another recording."""
        now = self.getInfo()  # owns what it lists
        media = [each for each in now.media if each.type == pj.PJMEDIA_TYPE_AUDIO]
        if not media:
            return
        is_held = media[0].status == pj.PJSUA_CALL_MEDIA_LOCAL_HOLD
        if is_held != self.is_held:
            self.is_held = is_held
            say("call", state="held" if is_held else "talking")
        self.unplug()
        if media[0].status in SOUND_FLOWS:
            self.plug_in(self.getAudioMedia(media[0].index))

    def plug_in(self, sound):
        """Microphone and ear."""
        self.microphone = pj.AudioMediaPlayer()
        self.microphone.createPlayer(self.phone.microphone)
        self.microphone.startTransmit(sound)
        self.ear = pj.AudioMediaRecorder()
        self.ear.createRecorder(self.phone.new_recording())
        sound.startTransmit(self.ear)

    def unplug(self):
        """The recording is complete once nobody holds the recorder."""
        self.microphone = self.ear = None

    def onDtmfDigit(self, told):
        """Called by PJSIP."""
        say("digit", digit=told.digit)

    def onCallTransferStatus(self, told):
        """Called by PJSIP."""
        say("handed-over", status=told.statusCode, final=bool(told.finalNotify))


class Account(pj.Account):
    """The account: its registration, and what comes in from outside of calls."""

    def __init__(self, phone):
        super().__init__()
        self.phone = phone

    def onRegState(self, told):
        """Called by PJSIP."""
        if told.code // 100 == 2 and told.expiration > 0:
            say("registered")
        elif told.code // 100 != 2:
            say("registration-failed", why=f"{told.code} {told.reason}")

    def onIncomingCall(self, told):
        """Called by PJSIP."""
        call = Call(self.phone, told.callId)
        self.phone.calls.append(call)
        call.answer(outcome(pj.PJSIP_SC_RINGING))
        say("call", state="incoming")

    def onInstantMessage(self, told):
        """Called by PJSIP."""
        say("text", words=told.msgBody, **{"from": told.fromUri.partition(":")[2].partition("@")[0]})

    def onInstantMessageStatus(self, told):
        """Called by PJSIP."""
        say("text-sent", taken=told.code // 100 == 2)


class Pjsua(Phone):
    """PJSIP with one account."""

    def __init__(self, chosen):
        super().__init__(chosen)
        self.endpoint = None
        self.account = None
        self.calls = []
        self.addressees = []  # PJSIP must find them when their answers come

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
        say("ready", phone="pjsua " + self.endpoint.libVersion().full)

    def settings(self):
        """No threads of its own for SIP, no processing of the sound."""
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
        """The wanted ones in their order, and no others."""
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

    def turn(self):
        self.endpoint.libHandleEvents(TURN_MILLISECONDS)

    def obey(self, verb, words):
        try:
            self.try_to(verb, words)
        except pj.Error as fault:
            raise ValueError(fault.info().replace("\n", " ")) from fault

    def try_to(self, verb, words):
        """One order; PJSIP raises errors of its own."""
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
        elif verb == "hand-over" and words:
            call.xfer(self.address_of(words[0]), pj.CallOpParam())
        elif verb == "hand-over":
            self.calls[-2].xferReplaces(call, pj.CallOpParam())
        else:
            raise ValueError("unknown order")

    def press(self, call, digits):
        """Key presses, within the sound or beside it."""
        keys = pj.CallSendDtmfParam()
        beside = self.chosen.digits == "info"
        keys.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if beside else pj.PJSUA_DTMF_METHOD_RFC2833
        keys.digits = digits
        call.sendDtmf(keys)

    def send_text(self, number, words):
        """PJSIP sends texts to "buddies"."""
        settings = pj.BuddyConfig()
        settings.uri = self.address_of(number)
        addressee = pj.Buddy()
        addressee.create(self.account, settings)
        self.addressees.append(addressee)
        message = pj.SendInstantMessageParam()
        message.content = words
        addressee.sendInstantMessage(message)

    def stop(self):
        if self.endpoint is None:
            return
        self.endpoint.hangupAllCalls()
        if self.account is not None:
            self.account.setRegistration(False)
        for _ in range(GOODBYE_TURNS):
            self.turn()
        say("gone")
        # Its objects do not survive Python's own order of tidying up.
        os._exit(0)


if __name__ == "__main__":
    serve(Pjsua)
