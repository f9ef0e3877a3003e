#!/usr/bin/env python3
"""An example of the trainer protocol (schema/trainer.md) in plain Python.

It trains nothing: accuracies follow from the architecture and the seed by hashing, so that tests
can compare whole searches. QTRAIL_EXAMPLE_DELAY is the length of an epoch in seconds.
A checkpoint holds nothing but its epoch: no more is needed to go on.
What the operating system refuses is a fault of the machine, and reported as one.
"""

import gzip
import hashlib
import json
import os
import queue
import struct
import sys
import threading
import time

DELAY = float(os.environ.get("QTRAIL_EXAMPLE_DELAY", "0"))
requests = queue.Queue()


def read_requests():
    """Passes requests on; when stdin ends, so does the process, also in mid-epoch."""
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def chance(*address):
    """A number from 0 to 1 that follows from its address."""
    digest = hashlib.sha256(repr(address).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def leave(request, name, content):
    """Leaves a file for qtrail; its name."""
    name = f"{name}-{request['id']}"
    with open(os.path.join(request["staging"], name), "wb") as file:
        file.write(content)
    return name


def predict(request, validation):
    """Leaves class probabilities: all of it on one class, by hashing."""
    name, seed, data = request["architecture"], request["seed"], request["data"]
    labels = os.path.join(data["folder"], "t10k-labels-idx1-ubyte")
    with open(labels, "rb") if os.path.exists(labels) else gzip.open(labels + ".gz") as file:
        test = int.from_bytes(file.read(8)[4:], "big")
    for part, images in ("validation", validation), ("test", test):
        rows = []
        for image in range(images):
            row = [0.0] * data["classes"]
            row[int(chance(name, seed, part, image) * len(row))] = 1.0
            rows.append(struct.pack(f"<{len(row)}f", *row))
        yield {"part": part, "file": leave(request, part, b"".join(rows))}


def train(request):
    name, seed, recipe = request["architecture"], request["seed"], request["recipe"]
    with open(request["data"]["split"], "rb") as file:
        header = file.read(8)
    train_total, total = (int.from_bytes(header[i : i + 4], "little") for i in (0, 4))
    if request["data"].get("fit") == "train+val":
        train_total += total
    first = (request.get("resume") or {"epoch": 0})["epoch"] + 1
    if chance(name, seed) < 0.1:  # one architecture in ten is no better than chance
        say(type="failed", id=request["id"], reason="chance", message="no better than chance")
        return
    for epoch in range(first, recipe["epochs"] + 1):
        time.sleep(DELAY)
        share = 0.2 + 0.7 * chance(name, seed, epoch)
        say(type="epoch", id=request["id"], restart=0, epoch=epoch, seconds=DELAY,
            learning_rate=recipe["learning-rate"], train_loss=1 / epoch, validation_loss=1 / epoch,
            train_correct=int(share * train_total), train_total=train_total,
            validation_correct=int(share * total), validation_total=total)
        if request.get("checkpoints"):
            file = leave(request, f"checkpoint-{epoch}", f"{name} {seed} {epoch}".encode())
            say(type="checkpoint", id=request["id"], restart=0, epoch=epoch, file=file)
    weights = leave(request, "weights", f"{name} {seed}".encode())
    predictions = list(predict(request, total)) if request.get("predict") else []
    say(type="finished", id=request["id"], parameters=0, weights=weights, peak_memory=0,
        predictions=predictions)


def main(train=train, more=None, **hello):
    threading.Thread(target=read_requests, daemon=True).start()
    while True:
        request = requests.get()
        if request["type"] == "hello":
            who = {"program": "example 1", "devices": ["cpu"], "threads": 1} | hello
            say(**({"type": "hello", "protocol": 1} | who))
        elif request["type"] == "train":
            try:
                train(request)
            except OSError as error:
                say(type="error", id=request["id"], message=str(error), cause="machine",
                    errno=error.errno)
        elif more and request["type"] in more:
            more[request["type"]](request)
        else:
            say(type="error", id=request["id"], message="this trainer only trains")


if __name__ == "__main__":
    main()
