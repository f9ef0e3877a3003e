"""Fetches libtorch out of PyTorch's wheels: downloaded by pip, verified, unpacked aside, renamed.

usage: fetch_libtorch.py VERSION cpu|cuda FOLDER

FOLDER becomes:
  lib/      what programs link to: CPU libraries only, also in the CUDA copy
  cuda/     libtorch_cuda.so and all it needs; qtrail-torch opens it at start (CUDA copy only)
  include/  the headers
"""

import base64
import contextlib
import errno
import fcntl
import fnmatch
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

# Of the wheel of torch itself; everything in them is linked to or loaded by what is.
CPU_LIBRARIES = ["libtorch_cpu.so", "libc10.so", "libgomp.so*"]
CUDA_LIBRARIES = ["libtorch_cuda.so", "libtorch_cuda_linalg.so", "libc10_cuda.so",
                  "libcaffe2_nvrtc.so", "libtorch_nvshmem.so"]
# CUDA libraries that libtorch_cpu.so names, GPU or not, and the extras they hide behind.
RUNTIME = {"cupti": "libcupti.so.*", "cudart": "libcudart.so.*"}
# Room for the download, pip's copy of it, and what is unpacked.
ROOM = {"cpu": 2_000_000_000, "cuda": 9_000_000_000}
OWN_COPY = "or get a copy of libtorch yourself and set LIBTORCH to its folder"


class Failure(Exception):
    """Something a person has to do something about."""


def say(text):
    print(f"libtorch: {text}", flush=True)


def check_machine():
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise Failure(f"no copy can be fetched for {system} on {machine}, only for Linux on x86_64; "
                      + OWN_COPY.replace("or ", ""))
    libc, libc_version = platform.libc_ver()
    if libc != "glibc" or [int(part) for part in libc_version.split(".")[:2]] < [2, 28]:
        raise Failure(f"it needs glibc 2.28, found {libc or 'another C library'} {libc_version}")
    if importlib.util.find_spec("pip") is None:
        raise Failure(f"{sys.executable} has no pip: install it (python3-pip), {OWN_COPY}")


def check_room(folder, variant):
    free, needed = shutil.disk_usage(folder).free, ROOM[variant]
    if free < needed:
        raise Failure(f"{folder} has {free / 1e9:.1f} GB free, {needed / 1e9:.0f} GB are needed; "
                      "set XDG_CACHE_HOME to a folder with more room")


@contextlib.contextmanager
def alone(lock):
    """Waits until no other set-up is at work."""
    with open(lock, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def download(requirement, into, temporary):
    """Has pip download one wheel, which it checks against the hash in the index."""
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    # pip matches a platform exactly: name all that this one can run.
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "any"]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
               "--no-cache-dir", "--disable-pip-version-check", "--python-version", "3.12",
               "--implementation", "cp"]
    command += [f"--platform={name}" for name in platforms]
    say(f"downloading {requirement}")
    # pip asks the index even for a wheel that is there, and takes it only if its hash is right.
    done = subprocess.run(command + ["-d", str(into), requirement],
                          env={**os.environ, "TMPDIR": str(temporary)})
    wheels = sorted(into.glob(pattern))
    if done.returncode != 0 or not wheels:
        raise Failure(f"pip could not download {requirement} (it says why above): is there a "
                      f"network, and is this pip (20.3 or newer)? Try again, {OWN_COPY}")
    return wheels[-1]


def requirements(wheel):
    """(name, version, extras, extra asked for) of what a wheel requires at an exact version."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(names[0]).decode()
    line = re.compile(r"^Requires-Dist: ([\w.-]+)(?:\[([\w,-]*)\])?==([\w.]+?)(\.\*)?(?:;(.*))?$", re.M)
    for name, extras, version, _, marker in line.findall(metadata):
        asked = re.search(r"extra == ['\"](\w+)['\"]", marker)
        yield name, version, [extra for extra in extras.split(",") if extra], asked and asked[1]


def cuda_requirements(torch, variant, into, temporary):
    """The CUDA wheels to fetch: all that torch names, or only those that its CPU part links to."""
    found = []
    for name, version, extras, asked in requirements(torch):
        if asked is None and extras:  # a bundle: what to fetch is behind its extras
            bundle = download(f"{name}=={version}", into, temporary)
            wanted = [extra for extra in extras if variant == "cuda" or extra in RUNTIME]
            found += [f"{name}=={version}" for name, version, _, asked in requirements(bundle)
                      if asked in wanted]
        elif asked is None and name.startswith("nvidia-") and variant == "cuda":
            found.append(f"{name}=={version}")
    if len(found) < len(RUNTIME):
        raise Failure(f"{torch.name} does not name the CUDA wheels it links to")
    return found


def unpack(wheel, place, root):
    """Unpacks the files of a wheel for which `place` names a place under `root`, verified."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        entries = (line.rsplit(",", 2) for line in archive.read(record).decode().splitlines())
        hashes = {entry[0]: entry[1] for entry in entries if len(entry) == 3}
        for name in archive.namelist():
            target = None if name.endswith("/") else place(name)
            if target is None:
                continue
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with archive.open(name) as source, open(root / target, "wb") as sink:
                for chunk in iter(lambda: source.read(1 << 20), b""):
                    digest.update(chunk)
                    sink.write(chunk)
            encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
            if hashes.get(name) != f"sha256={encoded}":
                raise Failure(f"{wheel.name}: {name} is damaged; run the set-up again")


def torch_place(variant):
    def place(name):
        file = name.rsplit("/", 1)[-1]
        matches = lambda patterns: any(fnmatch.fnmatch(file, pattern) for pattern in patterns)
        if name.startswith("torch/include/"):
            return name[len("torch/"):]
        if name.startswith("torch/lib/") and matches(CPU_LIBRARIES):
            return f"lib/{file}"
        if name.startswith("torch/lib/") and variant == "cuda" and matches(CUDA_LIBRARIES):
            return f"cuda/{file}"
        if re.fullmatch(r"torch-[^/]*\.dist-info/(licenses/)?(LICENSE|NOTICE)", name):
            return f"licenses/torch-{file}"
        return None
    return place


def cuda_place(wheel, variant):
    def place(name):
        file = name.rsplit("/", 1)[-1]
        if any(fnmatch.fnmatch(file, pattern) for pattern in RUNTIME.values()):
            return f"lib/{file}"
        # One flat folder: they look for each other beside themselves.
        if variant == "cuda" and re.search(r"/lib/[^/]+\.so[.\d]*$", name):
            return f"cuda/{file}"
        if re.search(r"\.dist-info/(licenses/)?[Ll]icense[^/]*$", name):
            return f"licenses/{wheel.name.split('-')[0]}-{file}"
        return None
    return place


def try_to_load(folder):
    """Fails if a library is missing, or this machine too old."""
    program = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    library = str(folder / "lib" / "libtorch_cpu.so")
    done = subprocess.run([sys.executable, "-c", program, library], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise Failure(f"what was fetched cannot be loaded on this machine: {reason}")


def fetch(version, variant, folder):
    home = folder.parent
    aside, wheels = home / "aside-libtorch", home / "wheels"
    if aside.exists():
        say("clearing away what an interrupted set-up left")
        shutil.rmtree(aside)
    check_room(home, variant)
    temporary = aside / "tmp"
    temporary.mkdir(parents=True)
    wheels.mkdir(exist_ok=True)  # kept until all is well: a repeated set-up goes on from here
    torch = download(f"torch=={version}", wheels, temporary)
    others = cuda_requirements(torch, variant, wheels, temporary)
    others = [download(requirement, wheels, temporary) for requirement in others]
    shutil.rmtree(temporary)
    for wheel in [torch, *others]:
        say(f"verifying and unpacking {wheel.name}")
        unpack(wheel, torch_place(variant) if wheel is torch else cuda_place(wheel, variant), aside)
    # Stands for the real one, which would pull in CUDA.
    (aside / "lib" / "libtorch.so").write_text("INPUT ( -ltorch_cpu )\n")
    (aside / "build-version").write_text(f"{version}\n")
    try_to_load(aside)
    os.sync()  # after a power cut, a folder of this name must be whole
    aside.rename(folder)
    shutil.rmtree(wheels)


def main():
    version, variant, folder = sys.argv[1:]
    folder = Path(folder)
    try:
        check_machine()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder.parent / "setup.lock"):
            if not folder.exists():
                with_what = "with CUDA: about 2.5 GB" if variant == "cuda" else "CPU only: about 0.55 GB"
                say(f"fetching libtorch {version} ({with_what}) into {folder}")
                fetch(version, variant, folder)
    except Failure as failure:
        sys.exit(f"libtorch: {failure}")
    except KeyboardInterrupt:
        sys.exit("libtorch: interrupted; run it again to go on")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(f"libtorch: no space left for {folder}; set XDG_CACHE_HOME to a folder with more room")


if __name__ == "__main__":
    main()
