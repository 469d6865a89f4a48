"""The record: a message that can be made again from its run, key and number, and so checked byte by byte."""

import hashlib
import json
import random
import re

MESSAGE_TYPE = "notification_event"
MESSAGE_NAME = "RecordProduced"

# What a careless bridge changes: digits of numbers, escapes, spelling of unicode, repeated keys.
AWKWARD = (
    '"n":123456789012345678901234567890',
    '"f":0.30000000000000004,"e":1e22,"z":-0.0',
    '"u":"\u00e9\U0001f600\u2028\\u0000\\ud83d\\ude00","u":"twice"',
    '"s":"\\/\\u002f \\t\\"{}[]"',
    '"d":{"b":1,"a":2,"b":3}',
    '"x":[ 1 , 2 ,\t3]',
)


def payload_length(rng):
    """Mostly small, sometimes a page, rarely large."""
    dice = rng.random()
    if dice < 0.95:
        return rng.randrange(120)
    return rng.randrange(4096) if dice < 0.999 else 65536


def body(run, key, seq):
    """The message's bytes: an envelope whose payload carries its own identity and hash."""
    rng = random.Random(f"{run}/{key}/{seq}")
    awkward = rng.choice(AWKWARD)
    pad = f"{rng.getrandbits(64):016x}" * (payload_length(rng) // 16)
    head = f'{{"run":"{run}","key":"{key}","seq":{seq},{awkward},"pad":"{pad}"'
    sha256 = hashlib.sha256(head.encode()).hexdigest()
    return (
        f'{{"message_type":"{MESSAGE_TYPE}","message_name":"{MESSAGE_NAME}","message_id":"{message_id(run, key, seq)}",'
        f'"payload":{head},"sha256":"{sha256}"}}}}'
    ).encode()


def message_id(run, key, seq):
    """Unique, and readable in a log."""
    return f"{run}.{key}.{seq}"


PLACE = re.compile(rb'"payload":\{"run":"([^"]*)","key":"([^"]*)","seq":(\d+),')


def identify(observed):
    """The (run, key, seq) that a body claims to be, or None for one that claims nothing."""
    found = PLACE.search(observed)
    if not found:
        return None
    run, key, seq = found.groups()
    return run.decode(errors="replace"), key.decode(errors="replace"), int(seq)


def fence(number):
    """What the nemesis puts into the destination between two lives of the bridge."""
    return json.dumps({"fence": number}).encode()


def fence_number(observed):
    """The number of a fence, or None for anything else."""
    if not observed.startswith(b'{"fence":'):
        return None
    return json.loads(observed)["fence"]
