"""How connections are dealt to reactors, computed: our own hash (net/steering.cpp), a network card's, and chance."""

import random
import statistics

_WORD = 0xFFFFFFFF


def by_hash(address, port, reactors):
    """What the BPF program of net/steering.cpp does with an IPv4 client; `address` as a number."""
    word = port * 0x9E3779B1 & _WORD
    word = (word ^ address) * 0x85EBCA6B & _WORD
    return (word >> 16) % reactors


# The key that most drivers come with (Microsoft's specification of receive side scaling).
_KEY = int("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa", 16)
_KEY_BITS = 320


def toeplitz(address, port, server_address, server_port):
    data = address << 64 | server_address << 32 | port << 16 | server_port
    result = 0
    for bit in range(96):
        if data >> (95 - bit) & 1:
            result ^= _KEY >> (_KEY_BITS - 32 - bit) & _WORD
    return result


def by_card(address, port, reactors, entries=128):
    """The queue, and so the CPU, with the usual table of 128 entries that is dealt round robin."""
    return toeplitz(address, port, 0x0A000001, 443) % entries % reactors


def one_proxy(count, generator):
    """A balancer: one address, its ports one after the other as Linux deals them to connect(2): every second one."""
    begin = generator.randrange(32768, 61000 - 2) & ~1
    return [(0x0A000002, 32768 + (begin - 32768 + 2 * i) % 28232) for i in range(count)]


def many_clients(count, generator):
    """Everybody from an address of his own."""
    return [(generator.getrandbits(32), generator.randrange(1024, 65536)) for _ in range(count)]


def skew(counts):
    """max / mean and the coefficient of variation."""
    mean = statistics.fmean(counts)
    return {"max_to_mean": max(counts) / mean, "cv": statistics.pstdev(counts) / mean}


def dealt(members, reactors):
    counts = [0] * reactors
    for member in members:
        counts[member] += 1
    return counts


def chance(connections, reactors, trials=200):
    """The same of throwing dice, in the mean: what no steering without memory can beat but by luck."""
    generator = random.Random(1)
    found = [skew(dealt(generator.choices(range(reactors), k=connections), reactors)) for _ in range(trials)]
    return {key: statistics.fmean(one[key] for one in found) for key in ("max_to_mean", "cv")}


def computed(connections, reactors, trials=20):
    """{what: mean skew} for clients of which this machine has none."""
    cases = {"hash, one proxy": (by_hash, one_proxy), "hash, many clients": (by_hash, many_clients),
             "card, one proxy": (by_card, one_proxy), "card, many clients": (by_card, many_clients)}
    result = {}
    for name, (rule, clients) in cases.items():
        generator = random.Random(1)
        found = [skew(dealt((rule(address, port, reactors) for address, port in clients(connections, generator)), reactors))
                 for _ in range(trials)]
        result[name] = {key: statistics.fmean(one[key] for one in found) for key in ("max_to_mean", "cv")}
    return result
