"""Crafting against ImageNet-sized TorchScript models, compared with a plain PyTorch loop.

    python3 tests/peers/large_models.py --trainer target/release/qtrail-torch --photos DIR
        [--threads 2] [--images 16] [--batch 8] [--rounds 3]

Scripted ResNet-18 and traced Inception v3 of torchvision with random weights, 1,000 classes, 299 x
299 pixels. Both sides take the same gradients of the same images (`basic`, eps 2 and 4: 5 gradients
an image) and judge what they crafted; they run in turn, and medians of wall time are compared. Needs
torch, torchvision and Pillow; no part of the tests of the repository.
"""

import argparse
import pathlib
import statistics
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
            began = time.perf_counter()
            for batch in batches:
                (folder / "clean").write_bytes(pixels[batch].tobytes())
                count = len(labels[batch])
                crafted = trainer.ask({"type": "craft", "id": 1, "images": str(folder / "clean"),
                                       "count": count, "labels": labels[batch].tolist(),
                                       "targets": [], "chains": [chain], **common})
                trainer.ask({"type": "score", "id": 2, "images": str(folder / crafted["images"]),
                             "count": count * len(SIZES), "batch": args.batch, **common})
            return time.perf_counter() - began

        peer = torch.jit.load(str(folder / "model.pt")).eval()

        def theirs():
            began = time.perf_counter()
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
            return time.perf_counter() - began

        ours(), theirs()  # warm
        own, other = zip(*((ours(), theirs()) for _ in range(args.rounds)))
        own, other = statistics.median(own), statistics.median(other)
        print(f"{name:20} {args.images} images, {args.threads} threads: qtrail {own:6.2f} s, "
              f"PyTorch {torch.__version__} {other:6.2f} s, ratio {own / other:.3f} (target 1.05)",
              flush=True)


main()
