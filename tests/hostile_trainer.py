#!/usr/bin/env python3
"""A trainer that lies, hangs, dies and does harm, in the way that QTRAIL_HOSTILE names.

What a way does not change is done as trainer.py does it. $HOME is a folder to do harm in.
"""

import json
import os
import resource
import signal
import sys
import time

import trainer
from trainer import leave, say

HOME = os.environ["HOME"]
CONTROL = "\x1b]0;owned\x07\x1b[31m"


def raw(line):
    os.write(1, line)


def at(request, name="w"):
    return os.path.join(request["staging"], name)


def epoch(request, number=1, **changes):
    """Reports an epoch, with some of its numbers changed."""
    with open(request["data"]["split"], "rb") as file:
        header = file.read(8)
    train, total = (int.from_bytes(header[i : i + 4], "little") for i in (0, 4))
    answer = dict(
        type="epoch", id=request["id"], restart=0, epoch=number, seconds=0.01, learning_rate=0.001,
        train_loss=1.0, validation_loss=1.0, train_correct=train // 2, train_total=train,
        validation_correct=total // 2, validation_total=total)
    say(**(answer | changes))


def finish(request, **changes):
    """Reports all epochs and the end."""
    for number in range(1, request["recipe"]["epochs"] + 1):
        epoch(request, number)
    say(**(dict(type="finished", id=request["id"], parameters=0, peak_memory=0) | changes))


def error(request, **more):
    say(**(dict(type="error", id=request["id"], message="no") | more))


def progress(request, **more):
    say(**(dict(type="progress", id=request["id"], epoch=1, batch=1, batches=2) | more))


def dies(request):
    sys.stderr.write("out of luck\n")
    os._exit(3)


def killed_once(request):
    """Ends as if the system had killed it; the next one is honest."""
    mark = os.path.join(HOME, "killed-once")
    if not os.path.exists(mark):
        with open(mark, "w"):
            os.kill(os.getpid(), signal.SIGKILL)
    say(type="error", id=request["id"], message="this one lives")


def flood(request):
    line = {"type": "progress", "id": request["id"], "epoch": 1, "batch": 1, "batches": 2}
    lines = (json.dumps(line) + "\n").encode() * 1000
    while True:
        raw(lines)


def forever(request):
    while True:
        progress(request)
        time.sleep(0.05)


def noise(request):
    for _ in range(1000):
        os.write(2, CONTROL.encode() * 1000)
    os._exit(9)


def endless_line(request):
    for _ in range(30):
        raw(b"x" * (1 << 20))
    time.sleep(1000)


def orphan(request):
    """Ends, but a child keeps its pipes open."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(10)
        os._exit(0)
    os._exit(1)


def link(request):
    os.symlink("/etc/passwd", at(request))
    finish(request, weights="w")


def directory(request):
    os.mkdir(at(request))
    finish(request, weights="w")


def pipe(request):
    os.mkfifo(at(request))
    finish(request, weights="w")


def sparse(request):
    with open(at(request), "wb") as file:
        file.truncate(40 << 30)
    finish(request, weights="w")


def hard_link(request):
    """Weights that are another file too, which changes later."""
    other = os.path.join(HOME, "other")
    with open(other, "wb") as file:
        file.write(b"A" * 1000)
    os.link(other, at(request))
    finish(request, weights="w")
    time.sleep(0.3)
    with open(other, "wb") as file:
        file.write(b"B")


def later(request):
    """Weights that it goes on writing to."""
    file = open(at(request), "w+b", buffering=0)
    file.write(b"A" * 1000)
    finish(request, weights="w")
    time.sleep(0.3)
    file.seek(0)
    file.write(b"B")


def remove_staging(request):
    os.rmdir(request["staging"])
    finish(request, weights="w")


def link_staging(request):
    elsewhere = os.path.join(HOME, "elsewhere")
    os.makedirs(elsewhere, exist_ok=True)
    with open(os.path.join(elsewhere, "w"), "wb") as file:
        file.write(b"elsewhere")
    os.rmdir(request["staging"])
    os.symlink(elsewhere, request["staging"])
    finish(request, weights="w")


def probabilities(request):
    with open(request["data"]["split"], "rb") as file:
        validation = int.from_bytes(file.read(8)[4:], "little")
    files = list(trainer.predict(request, validation))
    with open(at(request, files[0]["file"]), "wb") as file:
        file.truncate(40 << 30)
    finish(request, predictions=files)


def checkpoint(request):
    epoch(request)
    with open(at(request), "wb") as file:
        file.truncate(40 << 30)
    say(type="checkpoint", id=request["id"], restart=0, epoch=1, file="w")
    time.sleep(1000)


def unexplained(train):
    """Trains, but dies of what the system refuses, without a word of explanation."""
    def run(request):
        try:
            with open(os.path.join(request["data"]["folder"], "train-labels-idx1-ubyte"), "rb"):
                pass
            train(request)
        except OSError as error:
            sys.stderr.write(f"{error}\n")
            os._exit(1)
    return run


def large(request):
    """Trains, and leaves weights of 3 MB."""
    leave_small = trainer.leave
    trainer.leave = lambda request, name, content: leave_small(
        request, name, content * (3_000_000 // len(content)) if name == "weights" else content)
    try:
        trainer.train(request)
    finally:
        trainer.leave = leave_small


def no_descriptors(request):
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    trainer.train(request)


BIG = 2**32 - 1
TRAIN = {
    # It ends, hangs, or says what is no answer.
    "exit": lambda r: os._exit(0),
    "dies": dies,
    "half-a-line": lambda r: (raw(b'{"type":"epoch","id":'), os._exit(0)),
    "hangs": lambda r: (raw(b'{"type":"epoch","id":'), time.sleep(1000)),
    "endless-line": endless_line,
    "deep": lambda r: raw(b'{"type":"error","id":1,"message":' + b"[" * 60000 + b"\n"),
    "not-utf8": lambda r: raw(b'{"type":"error","id":1,"message":"\xff\xfe"}\n'),
    "long-error": lambda r: error(r, message="\U0001F600" * 5000),
    "control": lambda r: error(r, message=CONTROL),
    "noise": noise,
    "orphan": orphan,
    "flood": flood,
    "forever": forever,
    # Its numbers cannot be.
    "other-id": lambda r: epoch(r, id=r["id"] + 7),
    "nan": lambda r: epoch(r, train_loss=float("nan")),
    "infinite": lambda r: raw(b'{"type":"epoch","id":%d,"restart":0,"epoch":1,"seconds":1,'
                              b'"learning_rate":1e999,"train_loss":1,"validation_loss":1,'
                              b'"train_correct":1,"train_total":1,"validation_correct":1,'
                              b'"validation_total":1}\n' % r["id"]),
    "negative-count": lambda r: epoch(r, train_correct=-1),
    "too-many-correct": lambda r: epoch(r, train_correct=10**9),
    "one-image": lambda r: epoch(r, validation_total=1, validation_correct=1),
    "all-images": lambda r: epoch(r, validation_total=BIG, validation_correct=BIG),
    "negative-seconds": lambda r: epoch(r, seconds=-1e12),
    "endless-seconds": lambda r: epoch(r, seconds=1e308),
    "negative-rate": lambda r: epoch(r, learning_rate=-5.0),
    "epoch-2-first": lambda r: epoch(r, 2),
    "no-epochs": lambda r: say(type="finished", id=r["id"], parameters=0),
    "other-epoch": lambda r: progress(r, epoch=BIG),
    "memory": lambda r: finish(r, peak_memory=2**64 - 1),
    # Its files are none.
    "no-file": lambda r: finish(r, weights="w"),
    "outside": lambda r: finish(r, weights="../../../../data/train-labels-idx1-ubyte"),
    "absolute": lambda r: finish(r, weights="/etc/passwd"),
    "long-name": lambda r: finish(r, weights="w" * 60000),
    "link": link,
    "directory": directory,
    "pipe": pipe,
    "sparse": sparse,
    "checkpoint": checkpoint,
    "probabilities": probabilities,
    # It does harm that must have no effect.
    "hard-link": hard_link,
    "later": later,
    "hours": lambda r: finish_after_hours(r),
    "long-failure": lambda r: say(type="failed", id=r["id"], reason="chance", message="\U0001F600" * 5000),
    # The machine fails it, or it makes the machine fail.
    "removes-staging": remove_staging,
    "links-staging": link_staging,
    "input-output": lambda r: error(r, message="cannot read", cause="machine", errno=5),
    "no-descriptors": no_descriptors,
    "unexplained": unexplained(trainer.train),
    "large": unexplained(large),
}
OTHER = {
    # What it is asked about models of others.
    "segfault": lambda r: os.kill(os.getpid(), signal.SIGSEGV),
    "killed-once": killed_once,
    "no-logits": lambda r: say(type="scored", id=r["id"], logits="l", classes=10),
    "no-classes": lambda r: say(type="scored", id=r["id"], logits="l", classes=0),
}
HELLO = {
    "long-program": {"program": "p" * 50000},
    "long-library": {"library": "l" * 4000},
    "control-name": {"program": "evil" + CONTROL},
    "outside-device": {"devices": ["../../../../tmp/device"]},
    "control-device": {"devices": ["x\n" + CONTROL]},
    "long-device": {"devices": ["d" * 300]},
    "many-devices": {"devices": [f"cuda:{i}" for i in range(5000)]},
    "no-device": {"devices": []},
    "other-protocol": {"protocol": BIG},
}


def finish_after_hours(request):
    """By its clock, an epoch took hours."""
    for number in range(1, request["recipe"]["epochs"] + 1):
        epoch(request, number, seconds=86400.0)
    say(type="finished", id=request["id"], parameters=0)


WAY = os.environ.get("QTRAIL_HOSTILE", "")
if WAY == "garbage":
    raw(os.urandom(100000))
    time.sleep(1000)
trainer.main(TRAIN.get(WAY, trainer.train), OTHER.get(WAY, trainer.refuse), **HELLO.get(WAY, {}))
