"""Asks all TCP ports of an address, from outside, whether they answer at all.

A packet that begins a connection goes to each port from a raw socket. An open port answers SYN and ACK, a closed one RST; where
everything is dropped nothing comes back. Each port is asked twice, so that one lost packet hides nothing.

usage: scan.py ADDRESS            prints "sent: N, open: [...], refused: N"; ends with an error if a packet cannot be sent
"""
import ipaddress
import select
import socket
import struct
import sys
import time

SOURCE_PORT = 54321
SYN, RST, ACK = 0x02, 0x04, 0x10
ROUNDS = 2
QUIET_SECS = 1.5
IPV6_CHECKSUM = 7  # <linux/in6.h>: where the kernel puts a raw packet's checksum
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # <asm-generic/socket.h>


def ones_complement(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


target = ipaddress.ip_address(sys.argv[1])
family = socket.AF_INET6 if target.version == 6 else socket.AF_INET
probe = socket.socket(family, socket.SOCK_DGRAM)
probe.connect((str(target), 9))
own = ipaddress.ip_address(probe.getsockname()[0])
raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
raw.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
if target.version == 6:
    raw.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, 16)
raw.connect((str(target), 0))
raw.setblocking(False)
opened, refused, sent = set(), set(), 0


def listen(seconds):
    end = time.monotonic() + seconds
    while True:
        ready, _, _ = select.select([raw], [], [], max(0, end - time.monotonic()))
        if not ready:
            return
        packet = raw.recv(65535)
        if target.version == 4:
            packet = packet[(packet[0] & 15) * 4:]
        port, to, flags = *struct.unpack("!HH", packet[:4]), packet[13]
        if to == SOURCE_PORT and flags & (RST | ACK):
            (opened if flags & SYN else refused).add(port)


for _ in range(ROUNDS):
    for port in range(1, 65536):
        segment = struct.pack("!HHIIBBHHH", SOURCE_PORT, port, 1, 0, 5 << 4, SYN, 64240, 0, 0)
        if target.version == 4:
            pseudo = own.packed + target.packed + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment))
            segment = segment[:16] + struct.pack("!H", ones_complement(pseudo + segment)) + segment[18:]
        try:
            raw.send(segment)
        except BlockingIOError:
            listen(0.01)
            raw.send(segment)
        sent += 1
        if port % 256 == 0:
            listen(0)
    listen(QUIET_SECS)
print(f"sent: {sent}, open: {sorted(opened)}, refused: {len(refused)}")
