#!/usr/bin/env python3
"""Writes the seeds of head_fuzz, body_fuzz, session_fuzz, websocket_fuzz, proxy_header_fuzz and forwarded_fuzz: an options byte, the length of the plan of cuts, the plan, the wire."""
import pathlib

HEAD = {
    "get": b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
    "pipelined": b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n",
    "post-length": b"POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t\r\n\r\n",
    "post-chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\t\r\nExpect: 100-continue\r\n\r\n",
    "te-gzip": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "te-and-length": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "two-lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "length-list": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
    "length-huge": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
    "absolute": b"GET http://[::1]:80/a?b#c HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute-bare": b"OPTIONS http://example.org HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: \r\n\r\n",
    "percent": b"GET /%41%2f%zz HTTP/1.1\r\nHost: a%41\r\n\r\n",
    "old": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "oldest": b"GET /\r\n",
    "later": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "query": b"QUERY / HTTP/1.1\r\nHost: a\r\n\r\n",
    "leading": b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare-return": b"GET / HTTP/1.1\r\nHost: a\r\n\rQGET /smuggled HTTP/1.1\r\n\r\n",
    "hidden-length": b"POST / HTTP/1.1\r\nHost: a\r\nX:\rZContent-Length: 5\r\n\r\n",
    "bare-feed": b"GET / HTTP/1.1\nHost: a\n\n",
    "folded": b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n Content-Length: 5\r\n\r\n",
    "no-name": b"GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
    "blank-name": b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
    "two-hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "upgrade": b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: x,\tupgrade\r\nUpgrade: websocket\r\n\r\n",
    "obs-text": b"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\xff\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00",
}
BODY = {
    "chunks": b"5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    "empty": b"0\r\n\r\n",
    "zeros": b"000000000000000\r\n\r\n",
    "trailers": b"1\r\nx\r\n0\r\nX-Sum: abc\r\nY:\r\n\r\nGET /",
    "trailer-length": b"0\r\nContent-Length: 5\r\n\r\n",
    "trailer-folded": b"0\r\nX: 1\r\n 2\r\n\r\n",
    "trailer-hidden": b"0\r\nX:\rZHost: b\r\n\r\n",
    "extension": b"5;a=b;c=d\r\nhello\r\n0\r\n\r\n",
    "quoted": b"5 ; a = \"b\\\"c;\" ;d\r\nhello\r\n0;e\r\n\r\n",
    "no-value": b"5;a=\r\nhello\r\n0\r\n\r\n",
    "no-extension": b"5;=x\r\nhello\r\n0\r\n\r\n",
    "bare-return": b"5\rZhello\r\n0\r\n\r\n",
    "bare-feed": b"0\r\n\nGET / HTTP/1.1\r\n\r\n",
    "not-ended": b"5\r\nhelloXX0\r\n\r\n",
    "too-large": b"fffffffffffffff\r\nhello",
    "too-long": b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    "signed": b"-5\r\nhello\r\n0\r\n\r\n",
    "prefixed": b"0x5\r\nhello\r\n0\r\n\r\n",
    "blank": b"5 \r\nhello\r\n0\r\n\r\n",
}
GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"
SESSION = {
    "plaintext": GET % b"/plaintext",
    "pipeline": GET % b"/plaintext" + GET % b"/users/7" + GET % b"/nowhere" + GET % b"/throw",
    "describe": POST % b"/describe" + GET % b"/plaintext",
    "describe-chunked": CHUNKED % b"/describe" + GET % b"/plaintext",
    "echo": POST % b"/echo" + GET % b"/plaintext",
    "echo-chunked": CHUNKED % b"/echo" + GET % b"/plaintext",
    "count": CHUNKED % b"/count" + POST % b"/count",
    "ignore": CHUNKED % b"/ignore" + POST % b"/ignore" + GET % b"/plaintext",
    "unwanted": CHUNKED % b"/nowhere" + POST % b"/plaintext" + GET % b"/plaintext",
    "pause": GET % b"/pause" + POST % b"/describe" + GET % b"/pause",
    "throw-later": GET % b"/plaintext" + GET % b"/throw-later",
    "expect": b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    "close": b"GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET % b"/plaintext",
    "old": b"GET /plaintext HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "head": b"HEAD /plaintext HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"/plaintext",
    "options": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nDELETE /plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
    "bad-chunk": b"POST /describe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
    "half": GET % b"/plaintext" + b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe",
}


def frame(first, payload, announced=None, masked=True):
    size = len(payload) if announced is None else announced
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    if not masked:
        return bytes([first]) + length + payload
    mask = b"\x37\xfa\x21\x3d"
    return bytes([first, 0x80 | length[0]]) + length[1:] + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


WEBSOCKET = {
    "text": frame(0x81, "h\u00e9llo".encode()) + frame(0x82, b"\xff\x00"),
    "fragments": frame(0x01, b"a") + frame(0x89, b"p") + frame(0x00, b"") + frame(0x80, b"b"),
    "torn-character": frame(0x01, b"\xe2\x82") + frame(0x80, b"\xac"),
    "surrogate": frame(0x81, b"\xed\xa0\x80"),
    "close": frame(0x88, b"\x03\xe8bye") + frame(0x81, b"late"),
    "close-empty": frame(0x88, b""),
    "close-byte": frame(0x88, b"\x03"),
    "close-code": frame(0x88, b"\x03\xed"),
    "ping-long": frame(0x89, b"x" * 126),
    "reserved-bit": frame(0xC1, b"x"),
    "opcode": frame(0x83, b"x"),
    "unmasked": frame(0x81, b"x", masked=False),
    "medium": frame(0x82, b"x" * 300),
    "huge": frame(0x82, b"x", announced=1 << 40),
    "top-bit": frame(0x82, b"x", announced=1 << 63),
    "not-shortest": b"\x81\xfe\x00\x01\x37\xfa\x21\x3dx",
}
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([192, 0, 2, 7, 127, 0, 0, 1, 0xCF, 0x84, 0x1F, 0x90])
IPV6 = bytes.fromhex("20010db8000000000000000000000009" + "0" * 31 + "1" + "cf841f90")


def binary(command, family, rest):
    return SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2, "big") + rest


PROXY_HEADER = {
    "tcp4": b"PROXY TCP4 192.0.2.7 127.0.0.1 53124 8080\r\nGET / HTTP/1.1\r\n",
    "tcp6": b"PROXY TCP6 2001:db8::9 ::1 53124 8080\r\n",
    "unknown": b"PROXY UNKNOWN ffff:f...f:ffff 65535\r\n",
    "no-return": b"PROXY TCP4 192.0.2.7 127.0.0.1 53124 8080\n",
    "long": b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n",
    "ipv4": binary(0x21, 0x11, IPV4) + b"GET /",
    "ipv6": binary(0x21, 0x21, IPV6),
    "unix": binary(0x21, 0x31, b"p" * 216),
    "local": binary(0x20, 0x00, b""),
    "extensions": binary(0x21, 0x11, IPV4 + b"\x02\x00\x0bexample.org\x04\x00\x00"),
    "extension-cut": binary(0x21, 0x11, IPV4 + b"\x02\x00\x0bexample"),
    "short": binary(0x21, 0x21, IPV4),
    "huge": SIGNATURE + b"\x21\x11\xff\xff",
    "datagram": binary(0x21, 0x12, IPV4),
}
FORWARDED = {  # the first byte chooses the field
    "chain": b"\0" b"198.51.100.1, 192.0.2.1, 10.1.1.1",
    "lines": b"\0" b"198.51.100.1\n192.0.2.1:80\n[2001:db8:ff::1]:443",
    "unknown": b"\0" b"unknown, 10.1.1.1",
    "garbage": b"\0" b"garbage, , 10.1.1.1",
    "nodes": b"\1" b'for=192.0.2.43, for="[2001:db8:cafe::17]:4711";proto=http;by=_x, for=10.1.1.1',
    "escapes": b"\1" b'host="a,\\"b;c";for="\\1.2.3.4:_p"',
    "hidden": b"\1" b"for=_hidden\nfor=unknown, proto=https",
    "open": b"\1" b'for="192.0.2.1, for=10.1.1.1',
}
# Options, plan of cuts: single bytes, by three and seven, small limits; for bodies also by length.
WAYS = [(0, b""), (0, b"\x03\x07"), (1, b"\x02")]

here = pathlib.Path(__file__).parent
for folder, seeds in (("head", HEAD), ("body", BODY), ("session", SESSION), ("websocket", WEBSOCKET), ("proxy_header", PROXY_HEADER)):
    (here / folder).mkdir(exist_ok=True)
    for number, (name, wire) in enumerate(seeds.items()):
        options, plan = WAYS[number % len(WAYS)]
        (here / folder / name).write_bytes(bytes([options, len(plan)]) + plan + wire)
(here / "body" / "length").write_bytes(bytes([2 | 5 << 2, 1, 2]) + b"helloGET /")
(here / "body" / "length-zero").write_bytes(bytes([2, 0]) + b"GET /")
(here / "body" / "length-too-large").write_bytes(bytes([3 | 60 << 2 & 0xFF, 0]) + b"x" * 60)
(here / "forwarded").mkdir(exist_ok=True)
for name, wire in FORWARDED.items():
    (here / "forwarded" / name).write_bytes(wire)
