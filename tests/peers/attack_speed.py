"""Crafting compared with torchattacks 3.5.1 on the same weights: speed, and bytes.

    python3 tests/peers/attack_speed.py --trainer target/release/qtrail-torch \
        --data ~/.cache/qtrail/data/fashion-mnist [--threads 1] [--images 200]

Trains a network through the trainer protocol (schema/trainer.md), gives the same weights to both
sides, and crafts the same test images by three methods over eps 2, 4, 8 and 16. Both sides judge
what they crafted. They run in turn; the best of some rounds counts, in seconds on the clock and of
computing (all threads): the latter means something on a busy machine too. Needs torch,
torchattacks, safetensors and numpy; no part of the tests of the repository.
"""

import argparse
import gzip
import pathlib
import sys
import tempfile
import time

import numpy as np
import torch
import torchattacks
from safetensors.torch import load_file
from torch import nn

from trainer import Trainer

ARCHITECTURE = "[C(16,3,1), C(16,3,1), P(2,2), C(32,3,1), P(2,2), FC(64), SM(10)]"
RECIPE = {
    "epochs": 1, "batch": 128,
    "optimiser": {"name": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    "learning-rate": 0.001, "decay": 0.2, "decay-every": 5, "restarts": 0, "restart-factor": 0.4,
    "weight-decay": 0.0, "dropout": "none", "init": "glorot", "gap": "direct", "preprocess": "scale",
}
SIZES = [2, 4, 8, 16]


def idx(folder, name):
    for path in (folder / name, folder / (name + ".gz")):
        if path.exists():
            data = path.read_bytes()
            data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            return np.frombuffer(data, np.uint8, offset=16 if data[3] == 3 else 8)
    sys.exit(f"{folder} has no {name}")


class Peer(nn.Module):
    """The same network, on [0, 1]: dividing by 255 is all the preprocessing there is."""

    def __init__(self, weights):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10))
        own = [self.layers[at] for at in (0, 2, 5, 9, 11)]
        for layer, number in zip(own, (1, 2, 4, 6, 7)):
            layer.weight.data = weights[f"layer{number}.weight"]
            layer.bias.data = weights[f"layer{number}.bias"]

    def forward(self, images):
        return self.layers(images)


def steps(eps):
    return int(min(eps + 4, 1.25 * eps))


def chains():
    end = lambda spec, eps, steps: {"spec": spec, "eps": eps, "steps": steps}
    chain = lambda label, away, alpha, ends: {
        "label": label, "away": away, "alpha": alpha, "random-start": False, "ends": ends}
    return [
        chain("true", True, 0, [end(at, eps, 1) for at, eps in enumerate(SIZES)]),
        chain("true", True, 1, [end(4 + at, eps, steps(eps)) for at, eps in enumerate(SIZES)]),
        chain("least-likely", False, 1, [end(8 + at, eps, steps(eps)) for at, eps in enumerate(SIZES)]),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trainer", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    folder = pathlib.Path(tempfile.mkdtemp())
    count = 10_000
    split = np.concatenate([[8_000, 2_000], np.arange(count)]).astype("<u4")
    (folder / "split").write_bytes(split.tobytes())
    data = {"name": "images", "folder": str(args.data), "channels": 1, "side": 28, "classes": 10,
            "split": str(folder / "split")}
    common = {"device": "cpu", "threads": args.threads, "staging": str(folder)}
    trainer = Trainer(args.trainer)
    trained = trainer.ask({"type": "train", "id": 1, "architecture": ARCHITECTURE, "recipe": RECIPE,
                           "seed": 7, "data": data, "weights": "last", **common})
    weights = folder / trained["weights"]
    pixels = idx(args.data, "t10k-images-idx3-ubyte").reshape(-1, 1, 28, 28)[:args.images]
    labels = idx(args.data, "t10k-labels-idx1-ubyte")[:args.images].astype(np.int64)
    network = {"kind": "network", "architecture": ARCHITECTURE, "recipe": RECIPE,
               "weights": str(weights), "data": data}
    model = {"members": [network], "channels": 1, "side": 28}
    batches = [slice(at, at + args.batch) for at in range(0, args.images, args.batch)]

    def ours(dtype):
        crafted, began, computed = [], time.perf_counter(), trainer.computed()
        for batch in batches:
            (folder / "clean").write_bytes(pixels[batch].tobytes())
            answer = trainer.ask({"type": "craft", "id": 2, "model": model,
                                  "images": str(folder / "clean"), "count": len(labels[batch]),
                                  "labels": labels[batch].tolist(), "targets": [],
                                  "chains": chains(), "dtype": dtype, **common})
            crafted.append(np.fromfile(folder / answer["images"], np.uint8)
                           .reshape(12, -1, 1, 28, 28))
        spent = np.array([time.perf_counter() - began, trainer.computed() - computed])
        return spent, np.concatenate(crafted, 1)

    peer = Peer(load_file(weights)).eval()

    def theirs():
        crafted, spent = [], np.zeros(2)
        for batch in batches:
            images = torch.from_numpy(pixels[batch].astype(np.float32) / 255)
            truth = torch.from_numpy(labels[batch])
            began, made = np.array([time.perf_counter(), time.process_time()]), []
            for eps in SIZES:
                made.append(torchattacks.FGSM(peer, eps=eps / 255)(images, truth))
            for targeted in (False, True):
                for eps in SIZES:
                    attack = torchattacks.BIM(peer, eps=eps / 255, alpha=1 / 255, steps=0)
                    if targeted:
                        attack.set_mode_targeted_least_likely(quiet=True)
                    made.append(attack(images, truth))
            with torch.no_grad():
                for adversarial in made:
                    peer(adversarial)
            spent += np.array([time.perf_counter(), time.process_time()]) - began
            crafted.append(torch.stack(made).mul(255).round().to(torch.uint8).numpy())
        return spent, np.concatenate(crafted, 1)

    ours("f32"), theirs()  # warm
    times = {"f32": [], "torchattacks": [], "bf16": []}
    for _ in range(args.rounds):
        spent, own = ours("f32")
        times["f32"].append(spent)
        spent, other = theirs()
        times["torchattacks"].append(spent)
    spent, half = ours("bf16")
    times["bf16"].append(spent)
    best = {name: np.min(list, axis=0) for name, list in times.items()}
    print(f"{trainer.hello['program']}, {trainer.hello['library']}, torch {torch.__version__}, "
          f"torchattacks 3.5.1, {args.threads} threads, {args.images} images, "
          f"micro-batches of {args.batch}")
    for name, seconds in best.items():
        ratio = best["torchattacks"] / seconds
        print(f"{name:13} {seconds[0]:7.3f} s, {seconds[1]:7.3f} s of computing: "
              f"{ratio[0]:.2f} and {ratio[1]:.2f} times as fast as torchattacks")
    for method, first in (("fast", 0), ("basic", 4), ("least-likely", 8)):
        for at, eps in enumerate(SIZES):
            same = own[first + at] == other[first + at]
            agree = (own[first + at] == half[first + at]).mean()
            print(f"{method:13} eps {eps:2}: {same.mean():.4%} of values equal, "
                  f"{int((~same).sum())} differ; bf16 agrees in {agree:.2%}")


main()
