"""What `gpu-check.sh` does in Python. It needs the standard library alone, and `waits` numpy too.

    gpu_check.py devices TRAINER                       their names
    gpu_check.py row CHECK RESULT SECONDS FIGURES      one line of JSON
    gpu_check.py images CPU.safetensors OTHER.safetensors AGREE
    gpu_check.py waits SHIM TRAINER DEVICE DATA        with benches/peers/train.py

The last two print figures; exit code 1 if they are not as they should be.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

# With dropout, pooling and fully connected layers: all that an epoch is made of.
NETWORK = "[C(16,3,1), C(16,3,1), P(2,2), FC(32), SM(10)]"


def devices(trainer):
    process = subprocess.Popen([trainer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    # Its stdin stays open until it has answered: finding a GPU takes seconds.
    with contextlib.suppress(BrokenPipeError):
        os.write(process.stdin.fileno(), b'{"type": "hello", "protocol": 1}\n')
    answer = process.stdout.readline()
    process.kill()
    process.wait()
    if not answer:
        return ["it does not answer"]
    print(*json.loads(answer)["devices"])


def row(check, result, seconds, figures):
    print(
        json.dumps({"check": check, "result": result, "seconds": int(seconds), "figures": figures})
    )


def tensors(file):
    """Bytes (u8) or numbers (i64) by name."""
    data = pathlib.Path(file).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    found = {}
    for name, facts in header.items():
        begin, end = (8 + size + offset for offset in facts["data_offsets"])
        count = math.prod(facts["shape"])
        found[name] = struct.unpack(
            f"<{count}{'B' if facts['dtype'] == 'U8' else 'q'}", data[begin:end]
        )
    return found


def images(first, second, agree):
    """The same model and images attacked twice: pixels and predictions, one against the other."""
    first, second = tensors(first), tensors(second)
    wrong = [] if first.keys() == second.keys() else ["other tensors"]
    wrong += [
        f"another `{name}`" for name in ["clean", "index", "label"] if first[name] != second[name]
    ]
    clean = first["clean"]
    for name in [name for name in first if name.endswith(".top1") and not wrong]:
        name = name.removesuffix(".top1")
        same = share(first[f"{name}.top1"], second[f"{name}.top1"])
        model, _, attack = name.partition(".")
        figures = f"{attack}: {100 * same:.1f} % of predictions equal"
        if attack != "clean":
            apart = max(abs(a - b) for a, b in zip(first[name], second[name]))
            equal = share(first[name], second[name])
            figures += f", {100 * equal:.2f} % of pixels, at most {apart} apart"
            eps = int(attack.split(".")[1])
            if any(
                abs(a - b) > eps for pixels in (first, second) for a, b in zip(pixels[name], clean)
            ):
                wrong.append(f"{attack}: a pixel moved by more than {eps}")
        print(figures)
        if same < float(agree):
            wrong.append(f"{attack}: fewer than {100 * float(agree):g} % of predictions equal")
    return wrong


def share(first, second):
    return sum(a == b for a, b in zip(first, second)) / len(first)


def waits(shim, trainer, device, data):
    """Epochs of 10 and of 40 batches must make the host wait equally often."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "benches" / "peers"))
    import train

    def counted(batches):
        arguments = argparse.Namespace(
            trainer=trainer, device=device, threads=1, epochs=2, train=batches * train.BATCH
        )
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            evaluated = batches * train.EVALUATION_BATCH
            pixels, labels = train.images(pathlib.Path(data), arguments.train + evaluated)
            train.write_images(folder, pixels, labels, arguments.train)
            file = folder / "calls"
            environment = {"LD_PRELOAD": shim, "QTRAIL_CUDA_CALLS": str(file)}
            program = train.Trainer(arguments, folder, environment)
            program.train(NETWORK)
            program.close()
            return struct.unpack("<2Q", file.read_bytes())

    few, many = counted(10), counted(40)
    for what, a, b in zip(["waits", "copies to or from the host"], few, many):
        print(f"{what}: {a} in 3 epochs of 10 + 10 batches, {b} in 3 of 40 + 40")
    if min(few) == 0:
        return ["no call of the CUDA runtime was seen, so nothing is known"]
    return [] if few == many else ["the number depends on the number of batches"]


def main():
    command, *arguments = sys.argv[1:]
    wrong = {"devices": devices, "row": row, "images": images, "waits": waits}[command](*arguments)
    for reason in wrong or []:
        print(f"WRONG: {reason}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
