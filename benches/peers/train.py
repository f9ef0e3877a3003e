"""Training of ten networks: `qtrail-torch` against an ordinary PyTorch script, in one run.

    python3 benches/peers/train.py [--trainer target/release/qtrail-torch] [--device cuda:0]
        [--threads N] [--train 1280] [--rounds 3] [--epochs 2] [--only 1,5] [--seconds S]
        [--json FILE]

1,280 training and 500 validation images of Fashion-MNIST, made 32 x 32 x 3 by a black margin and by
repetition; batches of 128, Adam, the paper's dropout. Each network is trained by each program in
turn, round after round, so that a busy machine is busy for all; the fastest epoch counts, the first
of each network does not. An epoch is training and validation. `plain` is what one writes first
(NCHW, f32, the C library's allocator as it is); `kept` the same where the allocator keeps memory and
threads wait without spinning, as in `qtrail-torch`; `channels-last` that with channels last.

Both programs hold the images on the device. On a CPU each network has a process of its own. On a
GPU, whose start takes seconds, a program trains all networks in one process. With --seconds no
network is begun after that time. Needs torch and numpy, no network: the images are those that
`qtrail data fetch fashion-mnist` left.
"""

import argparse
import gzip
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

NETWORKS = [
    "[C(16,3,1), SM(10)]",
    "[C(16,3,1), C(16,3,1), P(2,2), C(32,3,1), SM(10)]",
    "[C(64,3,1), P(2,2), C(64,3,1), P(2,2), FC(128), SM(10)]",
    "[C(64,5,1), P(2,2), C(128,3,1), P(2,2), C(64,1,1), GAP(10), SM(10)]",
    "[C(128,1,1), P(2,2), C(256,3,1), P(3,2), SM(10)]",
    "[C(64,3,1), C(128,3,1), P(5,3), C(256,3,1), P(3,2), FC(512), FC(128), SM(10)]",
    "[C(256,3,1), P(5,3), C(256,1,1), C(128,3,1), P(2,2), C(128,3,1), SM(10)]",
    "[C(128,3,1), C(128,1,1), P(2,2), C(128,3,1), P(2,2), C(64,3,1), C(64,5,1), SM(10)]",
    "[C(256,1,1), C(64,1,1), P(3,2), C(512,3,1), P(2,2), SM(10)]",
    "[C(64,3,1), C(64,3,1), C(64,3,1), P(2,2), C(128,3,1), P(2,2), SM(10)]",
]
VALIDATE, BATCH, EVALUATION_BATCH = 500, 128, 256
KEPT = {
    "MALLOC_TRIM_THRESHOLD_": "1000000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000000",
    "MALLOC_TOP_PAD_": "67108864",
    "OMP_WAIT_POLICY": "passive",
}
VARIANTS = {
    "plain": ({}, []),
    "kept": (KEPT, []),
    "channels-last": (KEPT, ["--channels-last"]),
}


def images(folder, count):
    """The first `count` images and labels of Fashion-MNIST, 32 x 32 x 3 bytes each."""
    import numpy as np

    def read(name, skip):
        data = gzip.decompress((folder / name).read_bytes())
        return np.frombuffer(data, dtype=np.uint8, offset=skip)

    pixels = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:count]
    pixels = np.pad(pixels, ((0, 0), (0, 0), (2, 2), (2, 2))).repeat(3, axis=1)
    return pixels, read("train-labels-idx1-ubyte.gz", 8)[:count]


def layers(architecture):
    """`[("C", 16, 3, 1), …]`."""
    found = re.findall(r"([A-Z]+)\(([\d,]+)\)", architecture)
    return [(kind, *map(int, numbers.split(","))) for kind, numbers in found]


# --- the ordinary script


def build(architecture):
    """The network with the paper's dropout: after every second layer and every fully connected
    one, i / (2 n) for the i-th of n."""
    from torch import nn

    kinds = layers(architecture)
    places = [
        index
        for index, (kind, *_) in enumerate(kinds)
        if kind == "FC" or (kind in "CP" and index % 2 == 1)
    ]
    modules, channels, side, flat = [], 3, 32, None
    for index, (kind, *numbers) in enumerate(kinds):
        if kind == "C":
            filters, field, stride = numbers
            modules += [nn.Conv2d(channels, filters, field, stride, field // 2), nn.ReLU()]
            channels = filters
        elif kind == "P":
            field, stride = numbers
            modules.append(nn.MaxPool2d(field, stride))
            side = (side - field) // stride + 1
        elif kind == "GAP":
            modules += [nn.Conv2d(channels, numbers[0], 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            flat = None
        elif kind == "FC" or kinds[index - 1][0] != "GAP":
            if flat is None:
                modules.append(nn.Flatten())
                flat = channels * side * side
            modules.append(nn.Linear(flat, numbers[0]))
            flat = numbers[0]
            if kind == "FC":
                modules.append(nn.ReLU())
        if index in places:
            modules.append(nn.Dropout((places.index(index) + 1) / (2 * len(places))))
    return nn.Sequential(*modules)


def script(arguments):
    """Trains each architecture that is a line of stdin; prints the seconds of each epoch, and an
    empty line after the last."""
    import torch

    torch.set_num_threads(arguments.threads)
    pixels, labels = images(arguments.data, arguments.train + VALIDATE)
    pixels = torch.tensor(pixels).to(arguments.device)
    labels = torch.tensor(labels).long().to(arguments.device)
    for line in sys.stdin:
        train_network(line, pixels, labels, arguments)
        print(flush=True)


def train_network(architecture, pixels, labels, arguments):
    import torch
    from torch import nn

    torch.manual_seed(1)
    layout = torch.channels_last if arguments.channels_last else torch.contiguous_format
    count = arguments.train
    mean = pixels[:count].float().mean(0)
    network = build(architecture).to(arguments.device, memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    loss_of = nn.CrossEntropyLoss()
    ready = lambda part: ((part.float() - mean) / 255).to(memory_format=layout)
    for _ in range(arguments.epochs + 1):
        started = time.perf_counter()
        network.train()
        order = torch.randperm(count).to(pixels.device)
        for start in range(0, count, BATCH):
            chosen = order[start : start + BATCH]
            optimizer.zero_grad()
            logits = network(ready(pixels[chosen]))
            loss = loss_of(logits, labels[chosen])
            loss.backward()
            optimizer.step()
            loss.item(), (logits.argmax(1) == labels[chosen]).sum().item()
        network.eval()
        with torch.no_grad():
            for start in range(count, count + VALIDATE, EVALUATION_BATCH):
                part = slice(start, min(start + EVALUATION_BATCH, count + VALIDATE))
                logits = network(ready(pixels[part]))
                loss_of(logits, labels[part]).item()
                (logits.argmax(1) == labels[part]).sum().item()
        print(time.perf_counter() - started, flush=True)


# --- both, in turn


class Program:
    """A process that trains one network after the other."""

    def __init__(self, command, environment):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close(self):
        """Both leave when stdin closes."""
        with self.process:
            pass


class Script(Program):
    """This file as the ordinary script."""

    def __init__(self, variant, arguments):
        environment, flags = VARIANTS[variant]
        command = [sys.executable, __file__, "--script", *flags, "--device", arguments.device]
        command += ["--threads", str(arguments.threads), "--epochs", str(arguments.epochs)]
        command += ["--train", str(arguments.train), "--data", str(arguments.data)]
        super().__init__(command, {**os.environ, **environment})

    def train(self, architecture):
        """Seconds of each epoch but the first."""
        self.ask(architecture)
        seconds = []
        for line in self.process.stdout:
            if not line.strip():
                return seconds[1:]
            seconds.append(float(line))
        sys.exit(f"{architecture}: the script ended early")


class Trainer(Program):
    """`qtrail-torch`; `folder` holds what `write_images` wrote, and takes what it leaves."""

    def __init__(self, arguments, folder, environment=None):
        self.arguments, self.folder = arguments, folder
        passive = {"OMP_WAIT_POLICY": "passive"}  # as qtrail starts it
        super().__init__([arguments.trainer], {**passive, **os.environ, **(environment or {})})

    def train(self, architecture):
        """Seconds of each epoch but the first."""
        self.ask(json.dumps(self.request(architecture)))
        seconds, line = [], "the trainer ended early"
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer["type"] == "epoch":
                seconds.append(answer["seconds"])
            elif answer["type"] == "finished":
                return seconds[1:]
            elif answer["type"] != "progress":
                break
        sys.exit(f"{architecture}: {line}")

    def request(self, architecture):
        recipe = {
            "epochs": self.arguments.epochs + 1,
            "batch": BATCH,
            "optimiser": {"name": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
            "learning-rate": 0.001,
            "decay": 0.2,
            "decay-every": 5,
            "restarts": 0,
            "restart-factor": 0.4,
            "chance": 0.0,
            "weight-decay": 0.0,
            "dropout": "placed",
            "init": "glorot",
            "gap": "direct",
            "preprocess": "mean-subtract",
        }
        return {
            "type": "train",
            "id": 1,
            "architecture": architecture,
            "recipe": recipe,
            "seed": 1,
            "data": {
                "name": "fashion",
                "folder": str(self.folder),
                "channels": 3,
                "side": 32,
                "classes": 10,
                "split": str(self.folder / "split"),
            },
            "device": self.arguments.device,
            "threads": self.arguments.threads,
            "weights": "best",
            "staging": str(self.folder),
        }


def write_images(folder, pixels, labels, train):
    """A folder like CIFAR-10's, and a split: `train` training images, then those to validate on."""
    records = b"".join(bytes([label]) + image.tobytes() for image, label in zip(pixels, labels))
    (folder / "data_batch_1.bin").write_bytes(records)
    split = [train, len(labels) - train, *range(len(labels))]
    (folder / "split").write_bytes(b"".join(number.to_bytes(4, "little") for number in split))


def geometric(ratios):
    return math.exp(statistics.fmean(map(math.log, ratios)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", default="target/release/qtrail-torch")
    parser.add_argument("--data", type=pathlib.Path, default=default_data())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--train", type=int, default=1280, help="number of training images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--only", help="numbers of networks, from 1")
    parser.add_argument("--variants", default="plain,kept,channels-last")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--script", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--channels-last", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.script:
        return script(arguments)
    end = time.monotonic() + arguments.seconds
    numbers = range(1, len(NETWORKS) + 1)
    if arguments.only:
        numbers = [int(number) for number in arguments.only.split(",")]
    variants = arguments.variants.split(",")
    if arguments.json:
        arguments.json.write_text("")
    print(
        f"{'':3}{'qtrail':>9}" + "".join(f"{name:>15}" for name in variants) + "   seconds an epoch"
    )
    ratios = {name: [] for name in [*variants, "best"]}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pixels, labels = images(arguments.data, arguments.train + VALIDATE)
        write_images(folder, pixels, labels, arguments.train)
        running = {}
        for number in numbers:
            if time.monotonic() > end:
                print(f"the time is over before network {number}")
                break
            best = fastest(NETWORKS[number - 1], variants, arguments, folder, running)
            report(number, best, variants, ratios, arguments)
        for program in running.values():
            program.close()
    for name, found in ratios.items():
        if found:
            print(f"{name:>14}: {geometric(found):.2f} times as fast (least {min(found):.2f})")


def fastest(architecture, variants, arguments, folder, running):
    """Seconds of the fastest epoch, by program. Processes that last are in `running`."""
    seconds = {name: [] for name in ["qtrail", *variants]}
    for _ in range(arguments.rounds):
        for name, found in seconds.items():
            program = running.pop(name, None)
            if program is None and name == "qtrail":
                program = Trainer(arguments, folder)
            elif program is None:
                program = Script(name, arguments)
            found += program.train(architecture)
            if arguments.device == "cpu":
                program.close()
            else:
                running[name] = program
    return {name: min(found) for name, found in seconds.items()}


def report(number, best, variants, ratios, arguments):
    architecture, ours = NETWORKS[number - 1], best["qtrail"]
    cells = "".join(f"{best[name]:9.3f} {best[name] / ours:4.2f}x" for name in variants)
    print(f"{number:2} {ours:9.3f}{cells}   {architecture}", flush=True)
    for name in variants:
        ratios[name].append(best[name] / ours)
    others = [best[name] for name in variants if name != "plain"]
    if others:
        ratios["best"].append(min(others) / ours)
    if arguments.json:
        images = arguments.train + VALIDATE
        rates = {name: round(images / seconds) for name, seconds in best.items()}
        row = {"case": "train", "network": architecture, "device": arguments.device, **best}
        with arguments.json.open("a") as file:
            file.write(json.dumps({**row, "images_per_second": rates}) + "\n")


def default_data():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "qtrail" / "data" / "fashion-mnist"


if __name__ == "__main__":
    main()
