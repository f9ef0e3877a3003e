#!/usr/bin/env python3
"""An example of a trainer that attacks (schema/trainer.md), in plain Python.

A model is a file of `PK` and JSON, as `{"levels": [10, 90]}`: the output whose level is nearest to
the mean of an image's values has the highest score. So it is smooth, and can be differentiated by
hand. A network that was trained has levels at equal distances. What is not about attacks is done as
trainer.py does it.
"""

import json
import math
import struct

import trainer
from trainer import leave, say


def levels(request):
    """The levels of the model: the mean ones, of several members."""
    every = []
    for member in request["model"]["members"]:
        if member["kind"] == "network":
            classes = member["data"]["classes"]
            every.append([255 * (output + 0.5) / classes for output in range(classes)])
            continue
        with open(member["file"], "rb") as file:
            every.append(json.loads(file.read()[2:])["levels"])
    return [sum(some) / len(some) for some in zip(*every)]


def read_images(request, blocks=1):
    """Lists of images of values, a list for each block."""
    with open(request["images"], "rb") as file:
        pixels = file.read()
    length = len(pixels) // (request["count"] * blocks)
    every = [list(pixels[at : at + length]) for at in range(0, len(pixels), length)]
    return [every[at : at + request["count"]] for at in range(0, len(every), request["count"])]


def mean(image):
    return sum(image) / len(image)


def logits(model, image):
    return [-(((mean(image) - level) / 16) ** 2) for level in model]


def slope(model, image, label):
    """How the loss of a label grows with each value of an image."""
    scores = logits(model, image)
    powers = [math.exp(score - max(scores)) for score in scores]
    total = 0
    for output, power in enumerate(powers):
        error = power / sum(powers) - (output == label)
        total += error * -2 * (mean(image) - model[output]) / 256
    return total


def moved(clean, image, by, step, eps):
    """One step up or down, not further than eps from the clean image."""
    step = step if by > 0 else -step if by < 0 else 0
    return [min(255, max(0, min(x + eps, max(x - eps, y + step)))) for x, y in zip(clean, image)]


def pack(model, images):
    return b"".join(struct.pack(f"<{len(model)}f", *logits(model, image)) for image in images)


def score(request):
    model = levels(request)
    (images,) = read_images(request)
    file = leave(request, "logits", pack(model, images))
    say(type="scored", id=request["id"], logits=file, classes=len(model))


def craft(request):
    model, chains = levels(request), request["chains"]
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
    say(type="crafted", id=request["id"], classes=len(model),
        images=leave(request, "images", bytes(value for image in images for value in image)),
        logits=leave(request, "logits", pack(model, clean + images)),
        zeros=leave(request, "zeros", struct.pack(f"<{len(zeros)}I", *zeros)),
        invalid=leave(request, "invalid", bytes(4 * len(zeros))))


if __name__ == "__main__":
    more = {"score": score, "craft": craft}
    trainer.main(other=lambda request: more.get(request["type"], trainer.refuse)(request),
                 program="levels 1")
