"""Crafting against ImageNet-sized TorchScript models, compared with a plain PyTorch loop.

    python3 tests/peers/large_models.py --trainer target/release/qtrail-torch --photos DIR
        [--threads 2] [--images 16] [--batch 8] [--rounds 3]

Scripted ResNet-18 and traced Inception v3 of torchvision with random weights, 1,000 classes, 299 x
299 pixels. Both sides take the same gradients of the same images (`basic`, eps 2 and 4: 5 gradients
an image) and judge what they crafted, once: the answer to `craft` has the logits of the crafted
images. They run in turn, and medians of wall time are compared; processor time and page faults say
why, and count where others use the machine. Needs torch, torchvision and Pillow; no part of the
tests of the repository.
"""

import argparse
import os
import pathlib
import tempfile
import time

import numpy as np
import torch
import torchvision
from PIL import Image

from trainer import Trainer

SIDE = 299
SIZES = [2, 4]


def photographs(folder, count):
    """Squares of photographs, resampled; several of each if there are too few."""
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".jpg", ".jpeg", ".png"))
    pictures = []
    for number in range(count):
        picture = Image.open(files[number % len(files)]).convert("RGB")
        side = min(picture.size)
        left = (picture.width - side) * (number // len(files) % 3) // 2
        square = picture.crop((left, 0, left + side, side)).resize((SIDE, SIDE))
        pictures.append(np.asarray(square).transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(pictures), dtype=np.uint8)


def steps(eps):
    return int(min(eps + 4, 1.25 * eps))


def models():
    torch.manual_seed(7)
    yield "scripted resnet18", torch.jit.script(torchvision.models.resnet18(weights=None).eval())
    inception = torchvision.models.inception_v3(weights=None, init_weights=True, aux_logits=True)
    with torch.no_grad():
        traced = torch.jit.trace(inception.eval(), torch.rand(2, 3, SIDE, SIDE))
    yield "traced inception_v3", traced


def used(process):
    """Seconds of computing and thousands of page faults of a process so far."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    computed = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return np.array([computed, int(fields[7]) / 1000])


def measured(work, process):
    """Wall time, seconds of computing and thousands of page faults of a piece of work."""
    before, began = used(process), time.perf_counter()
    work()
    return np.array([time.perf_counter() - began, *(used(process) - before)])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trainer", required=True)
    parser.add_argument("--photos", required=True, type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pixels = photographs(args.photos, args.images)
    labels = np.arange(args.images) % 1000
    batches = [slice(at, at + args.batch) for at in range(0, args.images, args.batch)]
    for name, model in models():
        folder = pathlib.Path(tempfile.mkdtemp())
        model.save(str(folder / "model.pt"))
        trainer = Trainer(args.trainer)
        member = {"kind": "torchscript", "file": str(folder / "model.pt"), "input-range": "0..1"}
        common = {"model": {"members": [member], "channels": 3, "side": SIDE}, "dtype": "f32",
                  "device": "cpu", "threads": args.threads, "staging": str(folder)}
        ends = [{"spec": at, "eps": eps, "steps": steps(eps)} for at, eps in enumerate(SIZES)]
        chain = {"label": "true", "away": True, "alpha": 1, "random-start": False, "ends": ends}

        def ours():
            for batch in batches:
                (folder / "clean").write_bytes(pixels[batch].tobytes())
                trainer.ask({"type": "craft", "id": 1, "images": str(folder / "clean"),
                             "count": len(labels[batch]), "labels": labels[batch].tolist(),
                             "targets": [], "chains": [chain], **common})

        peer = torch.jit.load(str(folder / "model.pt")).eval()

        def theirs():
            for batch in batches:
                clean = torch.from_numpy(pixels[batch].astype(np.float32))
                truth = torch.from_numpy(labels[batch])
                images, made, done = clean.clone(), [], 0
                for eps in SIZES:
                    # The steps of the smaller size are those of the larger one, until the box acts.
                    images, done = (clean.clone(), 0) if done > SIZES[0] else (images, done)
                    while done < steps(eps):
                        images.requires_grad_()
                        loss = torch.nn.functional.cross_entropy(
                            peer(images / 255), truth, reduction="sum")
                        (gradient,) = torch.autograd.grad(loss, images)
                        images = images.detach() + gradient.sign()
                        images = torch.clamp(torch.min(torch.max(images, clean - eps), clean + eps), 0, 255)
                        done += 1
                    made.append(images.detach())
                with torch.no_grad():
                    for adversarial in made:
                        peer(adversarial / 255)

        ours(), theirs()  # warm
        rounds = [(measured(ours, trainer.process.pid), measured(theirs, os.getpid()))
                  for _ in range(args.rounds)]
        own, other = (np.median([pair[side] for pair in rounds], axis=0) for side in (0, 1))
        print(f"{name:20} {args.images} images, {args.threads} threads: qtrail {own[0]:6.2f} s, "
              f"PyTorch {torch.__version__} {other[0]:6.2f} s, ratio {own[0] / other[0]:.3f} (target "
              f"1.05)\n{'':20} computing: {own[1]:.2f} s and {other[1]:.2f} s, ratio "
              f"{own[1] / other[1]:.3f}; page faults: {own[2]:.0f},000 and {other[2]:.0f},000",
              flush=True)


main()
