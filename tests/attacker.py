#!/usr/bin/env python3
"""An example of a trainer that attacks (schema/trainer.md), in plain Python.

A model is a file of `PK` and JSON, as `{"levels": [10, 90]}`: the output whose level is nearest to
the mean of an image's values has the highest score. So it is smooth, and can be differentiated by
hand. A network that was trained, and a file with anything else, has levels at equal distances. JSON
may also make a model unusable:

* `"statistics": N`: in batches of more than N images it subtracts a part of the mean of the batch;
* `"nan": [FROM, TO]`: images with a mean between these have no scores;
* `"hangs": true`: whoever asks for it waits for ever.

A file with "refused" in its name is no model. What is not about attacks is done as trainer.py does
it. QTRAIL_EXAMPLE_DELAY is the length of a request in seconds; QTRAIL_EXAMPLE_CLASSES the number of
classes of files without levels; QTRAIL_EXAMPLE_MEMORY the memory that an image takes.
"""

import json
import math
import os
import struct
import time

import trainer
from trainer import leave, say

CLASSES = int(os.environ.get("QTRAIL_EXAMPLE_CLASSES", "10"))
MEMORY = int(os.environ.get("QTRAIL_EXAMPLE_MEMORY", "0"))


def evenly(outputs):
    return {"levels": [255 * (output + 0.5) / outputs for output in range(outputs)]}


def read_model(request):
    """The model of a request; of several members it has the mean levels. None if it is none."""
    every = []
    for member in request["model"]["members"]:
        if member["kind"] == "network":
            every.append(evenly(member["data"]["classes"]))
            continue
        if "refused" in member["file"]:
            return None
        with open(member["file"], "rb") as file:
            content = file.read()[2:]
        every.append(json.loads(content) if content.startswith(b"{") else evenly(CLASSES))
    levels = [sum(some) / len(some) for some in zip(*(model["levels"] for model in every))]
    return every[0] | {"levels": levels}


def read_images(request, blocks=1):
    """Lists of images of values, a list for each block."""
    with open(request["images"], "rb") as file:
        pixels = file.read()
    length = len(pixels) // (request["count"] * blocks)
    every = [list(pixels[at : at + length]) for at in range(0, len(pixels), length)]
    return [every[at : at + request["count"]] for at in range(0, len(every), request["count"])]


def mean(image):
    return sum(image) / len(image)


def logits(model, image, shift=0):
    here = mean(image)
    low, high = model.get("nan", (1, 0))
    if low <= here <= high:
        return [math.nan] * len(model["levels"])
    return [-(((here - shift - level) / 16) ** 2) for level in model["levels"]]


def slope(model, image, label):
    """How the loss of a label grows with each value of an image."""
    scores = logits(model, image)
    powers = [math.exp(score - max(scores)) for score in scores]
    total = 0
    for output, power in enumerate(powers):
        error = power / sum(powers) - (output == label)
        total += error * -2 * (mean(image) - model["levels"][output]) / 256
    return total


def moved(clean, image, by, step, eps):
    """One step up or down, not further than eps from the clean image."""
    step = step if by > 0 else -step if by < 0 else 0
    return [min(255, max(0, min(x + eps, max(x - eps, y + step)))) for x, y in zip(clean, image)]


def pack(model, images, batch):
    """The logits of images that are looked at so many at a time."""
    rows = []
    for first in range(0, len(images), batch):
        some = images[first : first + batch]
        shift = 0
        if len(some) > model.get("statistics", len(some)):
            shift = sum(map(mean, some)) / len(some) / 50
        rows += [logits(model, image, shift) for image in some]
    return b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)


def usable(request):
    """The model of a request, after the time that a request takes; None if it was refused."""
    time.sleep(trainer.DELAY)
    model = read_model(request)
    if model is None:
        say(type="error", id=request["id"], message="this is no model")
    elif model.get("hangs"):
        time.sleep(10_000)
    return model


def score(request):
    if model := usable(request):
        (images,) = read_images(request)
        file = leave(request, "logits", pack(model, images, request["batch"]))
        say(type="scored", id=request["id"], logits=file, classes=len(model["levels"]))


def craft(request):
    if not (model := usable(request)):
        return
    chains = request["chains"]
    random = sum(chain["random-start"] for chain in chains)
    clean, *starts = read_images(request, 1 + random)
    crafted, zeros = {}, []
    for chain in chains:
        begin = starts.pop(0) if chain["random-start"] else clean
        for at, image in enumerate(clean):
            scores = logits(model, image)
            label = {
                "true": request["labels"][at],
                "least-likely": scores.index(min(scores)),
                "random": request["targets"][at] if request["targets"] else 0,
            }[chain["label"]]
            sign = 1 if chain["away"] else -1
            zeros.append(0 if slope(model, begin[at], label) else len(image))
            for end in chain["ends"]:
                now = begin[at]
                for _ in range(end["steps"]):
                    by = sign * slope(model, now, label)
                    now = moved(image, now, by, chain["alpha"] or end["eps"], end["eps"])
                crafted.setdefault(end["spec"], []).append(now)
    images = [image for spec in sorted(crafted) for image in crafted[spec]]
    answer = {
        "images": leave(request, "images", bytes(value for image in images for value in image)),
        "logits": leave(request, "logits", pack(model, clean + images, len(clean))),
        "zeros": leave(request, "zeros", struct.pack(f"<{len(zeros)}I", *zeros)),
        "invalid": leave(request, "invalid", bytes(4 * len(zeros))),
    }
    if request.get("measure") and MEMORY:
        answer["memory"] = {"peak": 10**9 + MEMORY * len(clean), "free": 64 << 30}
    say(type="crafted", id=request["id"], classes=len(model["levels"]), **answer)


if __name__ == "__main__":
    more = {"score": score, "craft": craft}
    trainer.main(other=lambda request: more.get(request["type"], trainer.refuse)(request))
