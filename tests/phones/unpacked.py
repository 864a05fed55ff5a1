#!/usr/bin/env python3
"""A new desk phone, which knows only its hardware address and asks the network for its settings by multicast.

Usage: unpacked.py OWN-ADDRESS MAC VENDOR. Sends SUBSCRIBE for ua-profile to 224.0.1.75:5060 as such phones do, answers the NOTIFY,
fetches the URL in it and prints one line of JSON: the status of the response, the URL, and the file. Uses only the standard library.
"""

import json
import re
import socket
import sys
import urllib.error
import urllib.request

ALL_SIP = ("224.0.1.75", 5060)
PATIENCE = 5


def main():
    """Subscribes, waits for the NOTIFY, fetches."""
    own, mac, vendor = sys.argv[1:]
    phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    phone.bind((own, 0))
    phone.settimeout(PATIENCE)
    address = f"{own}:{phone.getsockname()[1]}"
    user = f"sip:MAC%3a{mac}@{ALL_SIP[0]}"
    phone.sendto(
        "\r\n".join(
            [
                f"SUBSCRIBE {user} SIP/2.0",
                f"Via: SIP/2.0/UDP {address};branch=z9hG4bKunpacked;rport",
                "Max-Forwards: 70",
                f"From: <{user}>;tag=unpacked",
                f"To: <{user}>",
                f"Call-ID: unpacked@{own}",
                "CSeq: 1 SUBSCRIBE",
                f'Event: ua-profile;profile-type="device";vendor="{vendor}";model="T1";version="1"',
                "Expires: 0",
                "Accept: application/url",
                f"Contact: <sip:{address}>",
                "Content-Length: 0",
                "\r\n",
            ]
        ).encode(),
        ALL_SIP,
    )
    told = {"status": None, "url": None, "file": None}
    try:
        while told["url"] is None:
            text, sender = phone.recvfrom(65535)
            first, body = text.decode().split("\r\n", 1)[0], text.decode().partition("\r\n\r\n")[2]
            if first.startswith("SIP/2.0"):
                told["status"] = int(first.split()[1])
            elif first.startswith("NOTIFY"):
                told["url"] = body
                kept = re.findall(r"^(?:Via|From|To|Call-ID|CSeq): .*$", text.decode(), re.M)
                answer = "SIP/2.0 200 OK\r\n" + "".join(line.strip() + "\r\n" for line in kept)
                phone.sendto((answer + "Content-Length: 0\r\n\r\n").encode(), sender)
    except TimeoutError:
        pass
    if told["url"]:
        url = told["url"] + (f"{mac}.cfg" if told["url"].endswith("/") else "")
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as file:
                told["file"] = file.read().decode()
        except urllib.error.HTTPError as error:
            told["file"] = str(error.code)
    print(json.dumps(told))


main()
