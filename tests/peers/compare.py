"""What qtrail crafts and records, held against torchattacks 3.5.1 on the same weights.

    python3 tests/peers/compare.py [--qtrail target/release/qtrail] [--images 128] [--work DIR]

`make peers` runs it. It makes a Python environment of its own in the user cache the first time (some
GiB: libtorch for Python comes with CUDA), or takes the Python in $QTRAIL_PEERS_PYTHON, which needs
torch, torchattacks, numpy and safetensors. It trains a small network on Fashion-MNIST, attacks it, exports
weights and adversarial images as others would read them, crafts the same images with torchattacks, and
demands:

* fast and basic iterative: equal in every pixel of every image, for eps 2, 4, 8, 16
* least-likely iterative: at least 99.9 % of the pixels (images whose least likely class is the true
  one are left out, torchattacks never aims at that)

For that the network sees whole pixel values: torchattacks' own iterates drift off them, as steps of
1/255 do in single precision, and that decides between activations that are exactly equal. How much
is equal with the drift is printed beside it. It also demands:

* no pixel further from the clean one than eps
* the classes and ranks on record are those that PyTorch gives the exported images

No part of the tests of the repository: they need no Python packages.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ARCHITECTURE = "[C(16,3,1), P(2,2), C(32,3,1), P(2,2), FC(64), SM(10)]"
SIZES = [2, 4, 8, 16]
METHODS = ["fast", "basic", "least-likely"]
PACKAGES = ["torch==2.11.0", "numpy", "scipy", "safetensors", "requests", "tqdm"]
BATCH = 64


def python():
    """A Python with what is needed; made if there is none."""
    told = os.environ.get("QTRAIL_PEERS_PYTHON")
    if told:
        return told
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    folder = cache / "qtrail" / "peers"
    program = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"making a Python environment in {folder}; this takes a while", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [program, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *PACKAGES], check=True)
        # It asks for versions of other packages that it does not need.
        subprocess.run([*pip, "--no-deps", "torchattacks==3.5.1"], check=True)
        (folder / "ready").touch()
    return program


def made(qtrail, work, images):
    """Trains, attacks and exports; a finished folder is used again."""
    store = work / "store"

    def run(*arguments):
        print("$ qtrail", *arguments, flush=True)
        subprocess.run([qtrail, "--store", store, *arguments], check=True)

    if not (work / "adversarial.safetensors").exists():
        run("train", ARCHITECTURE, "--data", "fashion-mnist", "--threads", "1", "--device", "cpu",
            "--set", "data.train=6000", "--set", "data.validation=1000", "--set", "recipe.epochs=2",
            "--set", "recipe.preprocess=scale", "--set", "recipe.dropout=none")
        run("attack", "t1", "--protocol", "custom", "--images", str(images), "--batch", str(BATCH),
            "--eps", ",".join(map(str, SIZES)), "--transform", "none", "--threads", "1",
            "--device", "cpu")
        run("export", "weights", "t1", "-o", work / "weights.npz")
        run("export", "weights", "t1", "-o", work / "weights.safetensors")
        run("export", "adversarial", "a1", "-o", work / "adversarial.npz")
        run("export", "adversarial", "a1", "-o", work / "adversarial.safetensors")


def compare(work):
    import numpy as np
    import torch
    import torchattacks
    from safetensors.numpy import load_file
    from torch import nn

    torch.set_num_threads(1)
    failed = []

    def check(what, good):
        print(("good   " if good else "FAILED ") + what, flush=True)
        if not good:
            failed.append(what)

    # The two formats hold the same.
    files = {}
    for name in ["weights", "adversarial"]:
        with np.load(work / f"{name}.npz") as archive:
            npz = {key: archive[key] for key in archive.files}
        other = load_file(work / f"{name}.safetensors")
        same = npz.keys() == other.keys() and all(np.array_equal(npz[k], other[k]) for k in npz)
        check(f"{name}: NPZ and safetensors hold the same {len(npz)} tensors", same)
        files[name] = npz
    weights, told = files["weights"], files["adversarial"]

    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10))
    layers = [layer for layer in net if hasattr(layer, "weight")]
    with torch.no_grad():
        for layer, number in zip(layers, [1, 3, 5, 6]):
            layer.weight.copy_(torch.from_numpy(weights[f"layer{number}.weight"]))
            layer.bias.copy_(torch.from_numpy(weights[f"layer{number}.bias"]))
    net.eval()

    clean = torch.from_numpy(told["clean"]).float() / 255
    labels = torch.from_numpy(told["label"])

    def judged(images, name):
        """Ranks and classes of whole images, by this PyTorch, against those on record."""
        with torch.no_grad():
            logits = torch.cat([net(part) for part in images.split(BATCH)])
        truth = logits.gather(1, labels[:, None])
        before = torch.arange(10)[None, :] < labels[:, None]
        rank = ((logits > truth) | ((logits == truth) & before)).sum(1)
        check(f"{name}: ranks and classes on record are PyTorch's",
              np.array_equal(rank.numpy(), told[f"{name}.rank"])
              and np.array_equal(logits.argmax(1).numpy(), told[f"{name}.top1"]))
        return logits

    class Snapped(nn.Module):
        """The same network, which sees the nearest whole pixel values: without the float drift that
        steps of 1/255 gather, which decides where activations are exactly equal (max pooling)."""

        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x + ((x * 255).round() / 255 - x).detach())

    snapped = Snapped().eval()
    least = judged(clean, "t1.clean").argmin(1)
    apart = least != labels
    print(f"torch {torch.__version__}, torchattacks {torchattacks.__version__}, "
          f"{len(labels)} images, {int((~apart).sum())} of them least likely in their true class")
    for eps in SIZES:
        for method in METHODS:
            name = f"t1.{method}.{eps}"
            ours = told[name]
            counts = apart.numpy() if method == "least-likely" else np.ones(len(labels), bool)

            def equal(model):
                if method == "fast":
                    attack = torchattacks.FGSM(model, eps=eps / 255)
                else:
                    attack = torchattacks.BIM(model, eps=eps / 255, alpha=1 / 255, steps=0)
                if method == "least-likely":
                    attack.set_mode_targeted_least_likely(quiet=True)
                parts = [attack(x, y) for x, y in zip(clean.split(BATCH), labels.split(BATCH))]
                theirs = (torch.cat(parts) * 255).round().to(torch.uint8).numpy()
                return (ours[counts] == theirs[counts]).mean()

            exact, drifting = equal(snapped), equal(net)
            needed = 0.999 if method == "least-likely" else 1.0
            check(f"{name}: {100 * exact:.4f} % of the pixels are torchattacks' (needed: "
                  f"{100 * needed} %); {100 * drifting:.4f} % with its float drift", exact >= needed)
            far = np.abs(ours.astype(int) - told["clean"].astype(int)).max()
            check(f"{name}: no pixel is further away than eps (furthest: {far})", far <= eps)
            judged(torch.from_numpy(ours).float() / 255, name)
    if failed:
        sys.exit(f"{len(failed)} checks failed")
    print("all good")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qtrail", default="target/release/qtrail", type=pathlib.Path)
    parser.add_argument("--images", default=128, type=int)
    parser.add_argument("--work", type=pathlib.Path, help="keeps what was made [default: nothing]")
    parser.add_argument("--only-compare", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only_compare:
        return compare(args.work)
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or pathlib.Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        made(args.qtrail.resolve(), work, args.images)
        command = [python(), __file__, "--only-compare", "--work", work]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
