#!/usr/bin/env python3
"""The example trainer, and models that can be attacked: nothing is learned, nothing differentiated.

The score of class c is the sum of every so-manieth value from value c on. An attack makes images
lighter by what it may. QTRAIL_EXAMPLE_DELAY is the length of a request in seconds;
QTRAIL_EXAMPLE_CLASSES the number of classes; QTRAIL_EXAMPLE_MEMORY the memory that an image takes.
"""

import os
import struct
import sys
import time

import trainer
from trainer import leave, say

CLASSES = int(os.environ.get("QTRAIL_EXAMPLE_CLASSES", "10"))
MEMORY = int(os.environ.get("QTRAIL_EXAMPLE_MEMORY", "0"))


def images(request):
    """The clean images of a request."""
    model = request["model"]
    if any("refused" in member.get("file", "") for member in model["members"]):
        return None
    size = model["channels"] * model["side"] ** 2
    with open(request["images"], "rb") as file:
        content = file.read()
    return [content[at : at + size] for at in range(0, request["count"] * size, size)]


def logits(images):
    rows = [[sum(image[c::CLASSES]) / 255 for c in range(CLASSES)] for image in images]
    return b"".join(struct.pack(f"<{CLASSES}f", *row) for row in rows)


def refuse(request):
    say(type="error", id=request["id"], message="this is no model")


def craft(request):
    time.sleep(trainer.DELAY)
    clean = images(request)
    if clean is None:
        return refuse(request)
    blocks = {}
    for chain in request["chains"]:
        for end in chain["ends"]:
            by = min(end["eps"], end["steps"] * (chain["alpha"] or end["eps"]))
            lighter = bytes(min(255, value + by) for value in range(256))
            blocks[end["spec"]] = [image.translate(lighter) for image in clean]
    crafted = [image for spec in sorted(blocks) for image in blocks[spec]]
    answer = {
        "images": leave(request, "images", b"".join(crafted)),
        "logits": leave(request, "logits", logits(clean + crafted)),
        "zeros": leave(request, "zeros", bytes(4 * len(clean) * len(request["chains"]))),
        "invalid": leave(request, "invalid", bytes(4 * len(clean) * len(request["chains"]))),
    }
    if request.get("measure") and MEMORY:
        answer["memory"] = {"peak": 10**9 + MEMORY * len(clean), "free": 64 << 30}
    say(type="crafted", id=request["id"], classes=CLASSES, **answer)


def score(request):
    time.sleep(trainer.DELAY)
    judged = images(request)
    if judged is None:
        return refuse(request)
    say(type="scored", id=request["id"], classes=CLASSES,
        logits=leave(request, "logits", logits(judged)))


if __name__ == "__main__":
    more = {"craft": craft, "score": score}
    trainer.main(other=lambda request: more.get(request["type"], trainer.refuse)(request))
