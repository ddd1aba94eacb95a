#!/usr/bin/python3
"""Reads TensorBoard event files in plain Python and prints "step tag value" a line. Stops with an error at a wrong checksum."""
import glob, os, struct, sys


def crc32c(data):
    c = 0xFFFFFFFF
    for byte in data:
        c ^= byte
        for _ in range(8):
            c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
    c ^= 0xFFFFFFFF
    return ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(b, at):
    x = shift = 0
    while True:
        x |= (b[at] & 0x7F) << shift
        shift += 7
        at += 1
        if b[at - 1] < 0x80:
            return x, at


def fields(b):
    at = 0
    while at < len(b):
        key, at = varint(b, at)
        if key & 7 == 0:
            v, at = varint(b, at)
        elif key & 7 == 2:
            n, at = varint(b, at)
            v, at = b[at : at + n], at + n
        else:
            n = 8 if key & 7 == 1 else 4
            assert key & 7 in (1, 5), key
            v, at = struct.unpack("<d" if n == 8 else "<f", b[at : at + n])[0], at + n
        yield key >> 3, v


def events(path):
    raw, at = open(path, "rb").read(), 0
    while at < len(raw):
        head = raw[at : at + 8]
        (n,) = struct.unpack("<Q", head)
        body = raw[at + 12 : at + 12 + n]
        assert struct.unpack("<I", raw[at + 8 : at + 12])[0] == crc32c(head), f"{path}: checksum of a length at {at}"
        assert struct.unpack("<I", raw[at + 12 + n : at + 16 + n])[0] == crc32c(body), f"{path}: checksum of a record at {at}"
        at += 16 + n
        yield dict(fields(body))


found = {}
for path in sorted(glob.glob(os.path.join(sys.argv[1], "events.out.tfevents.*"))):
    for i, e in enumerate(events(path)):
        if i == 0:
            assert e[3] == b"brain.Event:2", e
        if 7 in e:  # a session begins: what is known of this step and later ones ends
            found = {k: v for k, v in found.items() if k[0] < e[2]}
        for field, value in fields(e.get(5, b"")):
            v = dict(fields(value))
            found[e[2], v[1].decode()] = v[2]
for (step, tag), v in sorted(found.items()):
    print(step, tag, f"{v:.6g}")
