#!/usr/bin/env python3
"""Reads a qtrail store or an exported log without qtrail: Python 3.11 and its standard library.

It follows `README.md` and `events.toml` beside it, and shares no code with the program, so that it shows
whether these pages are enough. `tests/reader.rs` compares what both say.

    reader.py STORE|EXPORT events   every event as a line of JSON
    reader.py STORE|EXPORT verify   checksums, chain, configurations, digests of Q-tables
    reader.py STORE|EXPORT digest   the logical digest of each search, run and attack
    reader.py STORE|EXPORT qtable   the Q-table of each search, a pair a line
    reader.py STORE|EXPORT top      the trained models of each search and run, the best first

An export may be compressed with gzip. Exit codes: 0 ok, 1 damaged, 2 bad usage.
"""

import base64
import gzip
import hashlib
import json
import math
import pathlib
import re
import struct
import sys
import tomllib
import zlib

HERE = pathlib.Path(__file__).resolve().parent
MAXIMUM = 2**32 - 1


class Damaged(Exception):
    """The bytes are not what `README.md` says."""


def check(holds, message):
    if not holds:
        raise Damaged(message)


# ---------------------------------------------------------------------------------------------- types
#
# A type of events.toml as a tuple: ("u32",), ("list", T), ("option", T), ("struct", [(name, T)]),
# ("enum", [(name, T or None)]).

REGISTRY = tomllib.loads((HERE / "events.toml").read_text())
PLAIN = {"u8", "u16", "u32", "u64", "i64", "f32", "f64", "bool", "text", "architecture", "hash"}


class TypeParser:
    """Reads the text of a type."""

    def __init__(self, text):
        self.words = re.findall(r"[{},|]|[^\s{},|]+", text)

    def next(self):
        return self.words.pop(0)

    def take(self, word):
        taken = bool(self.words) and self.words[0] == word
        if taken:
            self.words.pop(0)
        return taken

    def whole(self):
        found = self.type()
        assert not self.words, f"words of a type are left over: {self.words}"
        return found

    def type(self):
        if self.words[0].isdigit():
            return self.enum()
        word = self.next()
        if word == "list":
            assert self.next() == "of"
            return ("list", self.type())
        if word == "none":
            assert self.next() == "or"
            return ("option", self.type())
        if word == "{":
            fields = []
            while not fields or self.take(","):
                name = self.next()
                fields.append((name, self.type()))
            assert self.next() == "}"
            return ("struct", fields)
        if word in PLAIN:
            return ("text",) if word == "architecture" else (word,)
        found = TypeParser(REGISTRY["types"][word]).whole()
        return ("scope", found) if word == "scope" else found

    def enum(self):
        variants = []
        while not variants or self.take("|"):
            assert self.next() == str(len(variants)), "variants are numbered from 0"
            name = self.next()
            ends = not self.words or self.words[0] in "|},"
            variants.append((name, None if ends else self.type()))
        return ("enum", variants)


SCOPE = TypeParser("scope").whole()


class Kind:
    """A kind of event."""

    def __init__(self, entry):
        self.number, self.name = entry["number"], entry["name"]
        self.versions, self.logical = entry["versions"], entry["class"] == "logical"
        self.key, self.clear, self.fields = entry.get("key"), entry.get("clear", []), []
        for field in entry["fields"]:
            name, text = re.fullmatch(r"(\w+) \(([^()]*)\): .*", field).groups()
            text, _, since = text.partition("; since ")
            self.fields.append((name, TypeParser(text).whole(), int(since or 1)))


KINDS = {entry["number"]: Kind(entry) for entry in REGISTRY["event"]}


class Decoder:
    """Takes values off the front of bytes: bincode 2, standard configuration."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        taken = self.data[self.at:self.at + count]
        check(len(taken) == count, "a payload is cut short")
        self.at += count
        return taken

    def number(self, bits):
        first = self.take(1)[0]
        if first < 251:
            return first
        width = {251: 2, 252: 4, 253: 8}.get(first)
        check(width is not None and width * 8 <= bits, f"a number does not fit {bits} bits")
        return int.from_bytes(self.take(width), "little")

    def signed(self):
        number = self.number(64)
        return number // 2 if number % 2 == 0 else -(number // 2) - 1

    def value(self, type):
        match type:
            case ("u8",):
                return self.take(1)[0]
            case ("u16",) | ("u32",) | ("u64",):
                return self.number(int(type[0][1:]))
            case ("f32",):
                return shortest(struct.unpack("<f", self.take(4))[0])
            case ("f64",):
                return struct.unpack("<d", self.take(8))[0]
            case ("bool",):
                byte = self.take(1)[0]
                check(byte < 2, "a truth value is neither 0 nor 1")
                return byte == 1
            case ("text",):
                return self.take(self.number(64)).decode()
            case ("hash",):
                return self.take(32).hex()
            case ("list", of):
                return [self.value(of) for _ in range(self.number(64))]
            case ("option", of):
                byte = self.take(1)[0]
                check(byte < 2, "an option begins with neither 0 nor 1")
                return self.value(of) if byte else None
            case ("struct", fields):
                return {name: self.value(of) for name, of in fields}
            case ("enum", variants):
                number = self.number(32)
                check(number < len(variants), "a variant does not exist")
                name, of = variants[number]
                return name if of is None else {name: self.value(of)}
            case ("scope", of):
                return self.value(of)
        raise AssertionError(type)


def shortest(value):
    """The number with the fewest digits that is this one in single precision: as JSON has it."""
    if math.isfinite(value):
        for digits in range(1, 10):
            near = float(f"{value:.{digits}g}")
            try:
                if struct.pack("<f", near) == struct.pack("<f", value):
                    return near
            except OverflowError:  # rounded up beyond the greatest
                continue
    return value


def encode_number(number):
    for marker, width, most in ((None, 1, 250), (251, 2, 2**16 - 1), (252, 4, MAXIMUM)):
        if number <= most:
            return (b"" if marker is None else bytes([marker])) + number.to_bytes(width, "little")
    return b"\xfd" + number.to_bytes(8, "little")


def encode(type, value):
    match type:
        case ("u8",) | ("bool",):
            return bytes([int(value)])
        case ("u16",) | ("u32",) | ("u64",):
            return encode_number(value)
        case ("f32",):
            return struct.pack("<f", value)
        case ("f64",):
            return struct.pack("<d", value)
        case ("text",):
            return encode_number(len(value.encode())) + value.encode()
        case ("hash",):
            return bytes.fromhex(value)
        case ("list", of):
            return encode_number(len(value)) + b"".join(encode(of, one) for one in value)
        case ("option", of):
            return b"\0" if value is None else b"\1" + encode(of, value)
        case ("struct", fields):
            return b"".join(encode(of, value[name]) for name, of in fields)
        case ("enum", variants):
            name = value if isinstance(value, str) else next(iter(value))
            number = [known for known, _ in variants].index(name)
            of = variants[number][1]
            return encode_number(number) + (b"" if of is None else encode(of, value[name]))
        case ("scope", of):
            return encode(of, value)
    raise AssertionError(type)


def cleared(type, value):
    """What a digest sees of a field that tells of the machine."""
    match type:
        case ("text",):
            return ""
        case ("list", _):
            return []
        case ("option", _):
            return None
        case ("bool",):
            return False
        case ("hash",):
            return "0" * 64
        case ("struct", fields):
            return {name: cleared(of, value[name]) for name, of in fields}
        case ("enum", variants):  # which variant it is stays
            if isinstance(value, str):
                return value
            (name, inside), = value.items()
            return {name: cleared(dict(variants)[name], inside)}
        case ("scope", _):
            return "Store"
        case _:
            return 0


# --------------------------------------------------------------------------------------------- frames


class Event:
    """A decoded event. `fields` are as JSON has them."""

    def __init__(self, position, kind, version, payload):
        self.position, self.kind, self.version = position, kind, version
        decoder = Decoder(payload)
        self.at = decoder.signed()
        scope = decoder.value(SCOPE)
        letters = {"Search": "s", "Run": "r", "Attack": "a"}
        self.scope = "store"
        if scope != "Store":
            (name, number), = scope.items()
            self.scope = letters[name] + str(number)
        self.fields = {
            # Of an older version: none, or an empty text.
            name: decoder.value(of) if since <= version else ("" if of == ("text",) else None)
            for name, of, since in kind.fields
        }
        check(decoder.at == len(payload), f"event {position}: bytes are left over")

    def json(self):
        line = {
            "position": self.position, "kind": self.kind.name, "version": self.version,
            "at": self.at, "scope": self.scope, "fields": finite(self.fields),
        }
        return json.dumps(line, ensure_ascii=False)


def finite(value):
    """JSON has no infinity: null."""
    if isinstance(value, dict):
        return {name: finite(inside) for name, inside in value.items()}
    if isinstance(value, list):
        return [finite(inside) for inside in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Chain:
    """Frames one after the other: each is checked and decoded."""

    def __init__(self, position=0, chain=bytes(32)):
        self.position, self.chain = position, chain

    def take(self, frame):
        position = self.position + 1
        check(len(frame) >= 46, f"event {position}: the frame is too short")
        key, (crc,) = struct.pack(">Q", position), struct.unpack("<I", frame[-4:])
        check(zlib.crc32(key + frame[:-4]) == crc, f"event {position}: the checksum does not fit")
        form, codec, kind, version, length = struct.unpack("<BBHHI", frame[:10])
        check((form, codec) == (1, 1), f"event {position}: unknown format {form} or codec {codec}")
        check(length <= 4096 and len(frame) == 46 + length, f"event {position}: wrong length")
        chain = hashlib.sha256(self.chain + key + frame[:-36]).digest()
        check(chain == frame[-36:-4], f"event {position}: it does not continue the chain")
        known = KINDS.get(kind)
        check(known and version in known.versions,
              f"event {position}: kind {kind} version {version} is not in events.toml")
        self.position, self.chain = position, chain
        return Event(position, known, version, frame[10:-36])


SLOT = 80


def read_head(store):
    """Position and chain of the last acknowledged event."""
    data, found = (store / "HEAD").read_bytes(), []
    for at in (0, 4096):
        slot = data[at:at + SLOT]
        whole = len(slot) == SLOT and slot[:8] == b"qtHEAD\0\1"
        if whole and zlib.crc32(slot[:-4]) == struct.unpack("<I", slot[-4:])[0]:
            serial, position = struct.unpack("<QQ", slot[8:24])
            found.append((serial, position, slot[24:56]))
    check(found, "HEAD has no valid slot")
    return max(found)[1:]


def from_store(store):
    """The events of a store's journal, as far as they are acknowledged."""
    text = (store / "STORE").read_bytes()
    lines, end = text.decode().split("\n"), text.index(b"crc32 ")
    check(lines[0] == "qtrail-store 0", f"STORE: unknown format {lines[0]!r}")
    check(lines[3] == f"crc32 {zlib.crc32(text[:end]):08x}", "STORE: the checksum does not fit")
    ident = bytes.fromhex(lines[1].removeprefix("id "))
    last, last_chain = read_head(store)
    chain = Chain()
    for path in sorted((store / "journal").iterdir()):
        if not re.fullmatch(r"\d{20}", path.name) or chain.position >= last:
            continue
        data = path.read_bytes()
        check(len(data) >= 68 and data[:8] == b"qtJRNL\0\1", f"{path.name}: no segment")
        owner, (first,), before = data[8:24], struct.unpack("<Q", data[24:32]), data[32:64]
        check(zlib.crc32(data[:64]) == struct.unpack("<I", data[64:68])[0],
              f"{path.name}: the checksum of its header does not fit")
        check(owner == ident, f"{path.name}: it is of another store")
        check((first, int(path.name)) == (chain.position + 1,) * 2 and before == chain.chain,
              f"{path.name}: it does not continue the segment before it")
        at = 68
        while at < len(data) and chain.position < last:
            at = yield from record(data, at, chain, path.name)
    check((chain.position, chain.chain) == (last, last_chain),
          f"the journal ends at event {chain.position}, HEAD names {last}")


def record(data, at, chain, name):
    """The events of the record at this place; where the next one begins."""
    check(len(data) >= at + 24, f"{name}: a record is cut short")
    length, count, first = struct.unpack("<IIQ", data[at:at + 16])
    end = at + 24 + length
    check(len(data) >= end and 1 <= count <= 1000, f"{name}: a record is cut short")
    again, crc = struct.unpack("<II", data[end - 8:end])
    check(again == length and zlib.crc32(data[at:end - 4]) == crc,
          f"{name}: the checksum of a record does not fit")
    check(first == chain.position + 1, f"{name}: a record is out of order")
    at += 16
    for _ in range(count):
        size = 46 + struct.unpack("<I", data[at + 6:at + 10])[0]
        check(at + size <= end - 8, f"{name}: a frame leaves its record")
        yield chain.take(data[at:at + size])
        at += size
    check(at == end - 8, f"{name}: a record has bytes beside its frames")
    return end


def from_export(path):
    """The events of an exported log."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    chain, artifacts, closed = Chain(), 0, False
    for number, line in enumerate(text.splitlines(), 1):
        check(not closed, f"line {number}: it follows the closing line")
        line = json.loads(line)
        if "frame" in line:
            check(line["position"] == chain.position + 1 and not artifacts,
                  f"line {number}: it is out of order")
            yield chain.take(base64.b64decode(line["frame"], validate=True))
        elif "artifact" in line:
            artifacts += 1
        else:
            closed = (line["events"], line["artifacts"], line["chain"]) == (
                chain.position, artifacts, chain.chain.hex())
            check(closed, f"line {number}: the closing line does not fit what is before it")
    check(closed, "the file has no closing line")


# --------------------------------------------------------------------------------------------- BLAKE3

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
      0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIXED = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8


def compress(chaining, block, counter, length, flags):
    state = [*chaining, *IV[:4], counter & MAXIMUM, counter >> 32, length, flags]
    words = struct.unpack("<16I", block.ljust(64, b"\0"))
    for _ in range(7):
        for place, (a, b, c, d) in enumerate(MIXED):
            for word, left, right in ((words[2 * place], 16, 12), (words[2 * place + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & MAXIMUM
                turned = state[d] ^ state[a]
                state[d] = (turned >> left | turned << (32 - left)) & MAXIMUM
                state[c] = (state[c] + state[d]) & MAXIMUM
                turned = state[b] ^ state[c]
                state[b] = (turned >> right | turned << (32 - right)) & MAXIMUM
        words = [words[place] for place in ORDER]
    return [state[place] ^ state[place + 8] for place in range(8)]


def blake3(data):
    """The hash of some bytes, as 64 hexadecimal digits."""

    def chunk(data, counter, root):
        chaining, blocks = IV, range(0, max(len(data), 1), 64)
        for at in blocks:
            flags = CHUNK_START * (at == 0) | (CHUNK_END | root) * (at == blocks[-1])
            block = data[at:at + 64]
            chaining = compress(chaining, block, counter, len(block), flags)
        return chaining

    def tree(data, counter, root):
        if len(data) <= 1024:
            return chunk(data, counter, root)
        # The left side is the largest power of two of chunks that leaves something to the right.
        left = 1024 << ((len(data) - 1) // 1024).bit_length() - 1
        both = tree(data[:left], counter, 0) + tree(data[left:], counter + left // 1024, 0)
        return compress(IV, struct.pack("<16I", *both), 0, 64, PARENT | root)

    return struct.pack("<8I", *tree(data, 0, ROOT)).hex()


# ------------------------------------------------------------------------------------- the state space


def layers_of(text):
    """`[C(64,3,1), SM(10)]` as [("C", 64, 3, 1), ("SM", 10)]."""
    found = re.findall(r"([A-Z]+)\(([\d,]+)\)", text)
    return [(name, *map(int, numbers.split(","))) for name, numbers in found]


def bin_of(side):
    return 8 if side >= 8 else 4 if side >= 4 else 1


class Space:
    """States (kind, depth, filters, field, stride, bin, width) and pairs, in order of discovery."""

    def __init__(self, config, side, classes):
        self.config, self.side, self.classes = config, side, classes
        self.states, self.first, self.actions, self.owners = [], [0], [], []
        self.ids, self.pairs = {}, {}
        start = ("start", 0, 1, 0, 0, bin_of(side), 0)
        self.discover(start)
        queue, seen = [(start, side)], {(start, side)}
        for state, side in queue:  # grows while it is walked through
            if self.ids[state] + 1 == len(self.first):
                self.add_actions(state)
            for action in self.actions_of(self.ids[state]):
                if action is None:
                    continue
                after = self.step(state, side, action)
                self.discover(after[0])
                if after not in seen:
                    seen.add(after)
                    queue.append(after)

    def discover(self, state):
        if state not in self.ids:
            self.ids[state] = len(self.states)
            self.states.append(state)

    def actions_of(self, state):
        return self.actions[self.first[state]:self.first[state + 1]]

    def add_actions(self, state):
        """What may follow; None ends the architecture."""
        owner, config = len(self.first) - 1, self.config
        kind, depth, filters, _, _, bin, width = state
        actions = [None]
        if depth < config["layer-limit"]:
            is_open = kind in ("start", "conv", "pool")
            if is_open:
                actions += [("C", filters, field, 1) for filters in config["filters"]
                            for field in config["fields"] if field < bin]
                actions.append(("GAP", self.classes))
            if kind == "conv":
                actions += [("P", *pool) for pool in config["pools"] if pool[0] < bin]
            before = filters + 1 if kind == "fc" else 0
            if (is_open and bin <= 4 or kind == "fc") and before < config["max-full"]:
                actions += [("FC", other) for other in config["widths"]
                            if other >= self.classes and (kind != "fc" or other <= width)]
        for action in actions:
            self.pairs[owner, action] = len(self.actions)
            self.actions.append(action)
            self.owners.append(owner)
        self.first.append(len(self.actions))

    @staticmethod
    def step(state, side, action):
        """The state and the true side after a layer."""
        depth = state[1] + 1
        match action:
            case ("C", filters, field, stride):
                return ("conv", depth, filters, field, stride, bin_of(side), 0), side
            case ("P", field, stride):
                side = (side - field) // stride + 1
                return ("pool", depth, 0, field, stride, bin_of(side), 0), side
            case ("GAP", _):
                return ("gap", depth, 0, 0, 0, 1, 0), 1
            case ("FC", width):
                before = state[2] + 1 if state[0] == "fc" else 0
                return ("fc", depth, before, 0, 0, 1, width), 1

    def trajectory(self, architecture):
        """The pairs from start to softmax."""
        state, side, found = self.states[0], self.side, []
        for layer in layers_of(architecture)[:-1]:
            found.append(self.pairs[self.ids[state], layer])
            state, side = self.step(state, side, layer)
        return [*found, self.pairs[self.ids[state], None]]


def sizes(architecture, channels, side, gap):
    """Weights and biases, and multiply-adds for one image."""
    parameters = multiply_adds = 0
    after_gap = False
    for layer in layers_of(architecture):
        inputs = channels * side * side
        weights = biases = times = 0
        match layer:
            case ("C", filters, field, stride):
                weights, biases = channels * field * field * filters, filters
                channels, side = filters, (side - 1) // stride + 1
                times = side * side
            case ("P", field, stride):
                side = (side - field) // stride + 1
            case ("GAP", classes):
                weights, biases, times = channels * classes, classes, side * side
                channels, side = classes, 1
            case ("FC", width) | ("SM", width):
                if not (after_gap and gap == "direct"):
                    weights, biases, times = inputs * width, width, 1
                channels, side = width, 1
        after_gap = layer[0] == "GAP"
        parameters += weights + biases
        multiply_adds += weights * times
    return parameters, multiply_adds


# ----------------------------------------------------------------------------------------------- folds


class Job:
    """A search or run, folded from its events."""

    def __init__(self, scope):
        self.scope, self.started, self.config, self.text = scope, None, None, ""
        self.waits = self.imported = False  # an import or a fork that is not finished
        self.closing = []
        self.space = None
        self.episodes, self.memory, self.trials = {}, [], {}
        self.values, self.updates = [], []

    def configure(self, text):
        self.text += text
        if blake3(self.text.encode()) != self.started["config"]:
            return
        self.config = tomllib.loads(self.text)
        sampled = self.config["schedule"].get("order", "sample") == "sample"
        if self.scope[0] == "s" and sampled:
            data = self.started["data"]
            self.space = Space(self.config["space"], data["side"], data["classes"])
            self.values = [self.config["learning"]["init"]] * len(self.space.actions)
            self.updates = [0] * len(self.values)

    def learn(self, fields):
        """An update of the Q-table: draws from the memory, each from its last transition back."""
        weights = fields["weights"] or [1.0] * len(fields["draws"])
        values, first = self.values, self.space.first
        for draw, weight in zip(fields["draws"], weights, strict=True):
            trajectory, reward = self.memory[draw]
            alpha, next = fields["alpha"] * weight, 0.0
            for pair in reversed(trajectory):
                q = values[pair]
                values[pair] = q + alpha * ((reward + fields["gamma"] * next) - q)
                self.updates[pair] += 1
                owner = self.space.owners[pair]
                next, reward = max(values[first[owner]:first[owner + 1]]), 0.0

    def q_digest(self):
        return blake3(struct.pack(f"<{len(self.values)}d", *self.values))

    def accuracy(self, outcome):
        """A fraction of the validation images, or what failing counts as."""
        reward = self.config["reward"]
        if "Failed" in outcome:
            return reward.get(outcome["Failed"]["reason"], 1.0 / self.started["data"]["classes"])
        trained = outcome["Trained"]
        return trained[reward["accuracy"] + "_correct"] / trained["total"]


class Trial:
    """One training."""

    def __init__(self, id, architecture, sizes, epsilon, accuracy=None):
        self.id, self.architecture, self.epsilon, self.accuracy = id, architecture, epsilon, accuracy
        self.parameters, self.multiply_adds = sizes
        self.trained = self.kept = self.in_episode = False
        self.seconds = self.weights = self.outcome = None

    def end(self, outcome):
        self.outcome, self.trained = outcome, "Trained" in outcome
        if self.trained:
            self.kept = outcome["Trained"]["kept"]
            self.weights = outcome["Trained"]["weights"]


class Fold:
    """All searches and runs of a log. Ids of trials count through the store, in the order in which
    trials were planned; those of an import or a fork when it is complete."""

    def __init__(self, compare_each=False):
        self.jobs, self.next_id, self.compare_each, self.compared = {}, 1, compare_each, 0

    def id(self):
        self.next_id += 1
        return self.next_id - 1

    def push(self, event):
        if event.scope == "store" or event.scope[0] == "a":
            return
        job = self.jobs.setdefault(event.scope, Job(event.scope))
        if job.waits:
            job.closing.append(event)
        handler = getattr(self, event.kind.name.replace("-", "_"), None)
        if handler:
            handler(job, event.fields)

    def search_started(self, job, fields):
        job.started = fields

    run_started = search_started

    def config_part(self, job, fields):
        job.configure(fields["text"])

    def import_started(self, job, fields):
        job.waits = job.imported = True

    def fork_started(self, job, fields):
        job.waits = True

    def episode_sampled(self, job, fields):
        job.episodes[fields["episode"]] = (
            fields["architecture"], fields["trial"], fields["epsilon"])

    def trial_planned(self, job, fields):
        _, _, epsilon = job.episodes.get(fields["episode"], (None, None, None))
        planned = fields["parameters"], fields["multiply_adds"]
        trial = Trial(self.id(), fields["architecture"], planned, epsilon)
        trial.in_episode = fields["episode"] > 0
        job.trials[fields["trial"]] = trial

    def trial_finished(self, job, fields):
        trial = job.trials[fields["trial"]]
        trial.end(fields["outcome"])
        trial.seconds = fields["seconds"]
        # No episode names its reward; and what was trained on says nothing about what was not.
        if not trial.in_episode and trial.trained and job.started.get("fit") != "train+val":
            trial.accuracy = job.accuracy(fields["outcome"])

    def trial_reused(self, job, fields):
        job.trials[fields["trial"]].end(fields["outcome"])

    def artifact_released(self, job, fields):
        trial = job.trials[fields["trial"]]
        trial.kept = trial.kept and trial.weights != fields["artifact"]

    def experience_recorded(self, job, fields):
        architecture, ordinal, _ = job.episodes[fields["episode"]]
        job.memory.append((job.space.trajectory(architecture), fields["reward"]))
        trial = job.trials[ordinal]
        if "expression" in job.config["reward"]:
            trial.accuracy = job.accuracy(trial.outcome)
        elif trial.accuracy is None:
            trial.accuracy = fields["reward"]

    def replay_updated(self, job, fields):
        job.learn(fields)
        job.recorded_digest = fields["q"]
        if self.compare_each:
            self.compare(job)

    def compare(self, job):
        self.compared += 1
        check(job.q_digest() == job.recorded_digest,
              f"{job.scope}: the Q-table is not the one that was recorded")

    def fork_finished(self, job, fields):
        data, gap, known = job.started["data"], job.config["recipe"]["gap"], {}
        for event in job.closing:
            for number, one in enumerate(event.fields.get("experiences", []), 1):
                architecture = one["architecture"]
                if architecture not in known:
                    ordinal = known[architecture] = len(known) + 1
                    size = sizes(architecture, data["channels"], data["side"], gap)
                    trial = Trial(self.id(), architecture, size, one["epsilon"],
                                  job.accuracy(one["outcome"]))
                    trial.end({name: {**inside, "kept": False}
                               for name, inside in one["outcome"].items()})
                    trial.in_episode = True
                    job.trials[ordinal] = trial
                job.episodes[event.fields["first"] + number] = (
                    architecture, known[architecture], one["epsilon"])
        job.waits, job.closing = False, []

    def import_finished(self, job, fields):
        data, gap, known = job.started["data"], job.config["recipe"]["gap"], set()
        for event in job.closing:
            row = event.fields
            if event.kind.name != "imported-row" or row["quarantine"] is not None:
                continue
            architecture = row["architecture"]
            if architecture in known:
                continue
            known.add(architecture)
            size = sizes(architecture, data["channels"], data["side"], gap)
            trial = Trial(self.id(), architecture, size, row["epsilon"], row["best"])
            trial.trained = not row["failed"]
            job.trials[len(known)] = trial
        job.waits, job.closing = False, []


def rows_of_qtable(job):
    """What the program's table `qtable` has of a search."""
    for pair, action in enumerate(job.space.actions):
        kind, depth, filters, field, stride, bin, width = job.space.states[job.space.owners[pair]]
        name = "SM" if action is None else f"{action[0]}({','.join(map(str, action[1:]))})"
        yield {
            "search": job.scope, "pair": pair, "action": name, "value": job.values[pair],
            "updates": job.updates[pair], "layer_type": kind, "layer_depth": depth,
            "filter_depth": filters, "filter_size": field, "stride": stride,
            "image_size": bin, "fc_size": width,
        }


def rows_of_top(job):
    """What the program's table `top` has of a search or run, but for accuracies under attack."""
    trained = [trial for trial in job.trials.values()
               if trial.trained and trial.accuracy is not None]
    trained.sort(key=lambda trial: (-trial.accuracy, trial.parameters, trial.id))
    for rank, trial in enumerate(trained, 1):
        yield {
            "rank": rank, "accuracy": trial.accuracy, "arch": trial.architecture,
            "params": trial.parameters, "madds": trial.multiply_adds, "seconds": trial.seconds,
            "epsilon": trial.epsilon, "depth": len(layers_of(trial.architecture)) - 1,
            "kept": int(trial.kept), "trial": f"t{trial.id}", "search": job.scope,
        }


# ---------------------------------------------------------------------------------------- the digest


class Digest:
    """The logical digest of one search, run or attack."""

    def __init__(self):
        self.episodes, self.ended_by, self.continues, self.entries = {}, {}, {}, []
        self.waits = False

    def push(self, event):
        fields, name = event.fields, event.kind.name
        if name == "trial-planned":
            self.episodes[fields["trial"]] = fields["episode"]
        elif name == "trial-finished":
            self.ended_by[fields["trial"]] = fields["attempt"]
        elif name == "attempt-started" and fields["continues"]:
            self.continues[fields["trial"], fields["attempt"]] = fields["continues"]
        elif name in ("import-started", "fork-started"):
            self.waits = True
        elif name in ("import-finished", "fork-finished"):
            self.waits = False
        if event.kind.logical:
            self.entries.append((self.key(event), event))

    def key(self, event):
        """The key as events.toml has it, calculated."""
        text, *_ = event.kind.key.partition(";")
        fields = {name: value for name, value in event.fields.items() if isinstance(value, int)}
        names = {**fields, "kind": event.kind.number,
                 "of_trial": self.episodes.get(event.fields.get("trial"), 0)}
        if event.kind.name == "predictions-recorded":
            names["part"] = ["validation", "test"].index(event.fields["part"])
        if event.kind.name == "images-scored":
            names["source"] = 0
            if crafted := event.fields["source"]:
                names["source"] = min(crafted["victim"] * 2**16 + crafted["spec"] + 1, MAXIMUM)
            text = text.replace("0 if clean, else victim * 2^16 + spec + 1", "source")
        text = text.replace("episode of the trial", "of_trial").replace("^", "**")
        assert re.fullmatch(r"[\w\s(),+*-]*", text), text
        return eval(text, {"__builtins__": {}}, names)  # names, numbers and + - * alone

    def counts(self, event):
        """Whether an event of an attempt is of the one that ended the trial, or leads up to it."""
        if event.kind.name not in ("epoch-finished", "predictions-recorded"):
            return True
        trial, attempt = event.fields["trial"], event.fields["attempt"]
        at = self.ended_by.get(trial)
        until = (MAXIMUM, MAXIMUM)
        is_last = at == attempt
        while at is not None and at != attempt:
            place = self.continues.get((trial, at))
            if place is None or place["attempt"] >= at:
                return False
            until, at = min(until, (place["restart"], place["epoch"])), place["attempt"]
        if at is None or event.kind.name != "epoch-finished":
            return is_last
        return is_last or (event.fields["restart"], event.fields["epoch"]) <= until

    def finish(self):
        data = []
        for key, event in sorted(self.entries, key=lambda entry: entry[0]):
            if self.counts(event):
                fields = logical_fields(event)
                data.append(struct.pack("<HQ", key[2], len(fields)) + fields)
        return blake3(b"".join(data))


def logical_fields(event):
    """The fields in their newest version, without what tells of the machine."""
    clear, inside = set(), {}
    for entry in event.kind.clear:
        name, colon, rest = entry.partition(": ")
        if colon and name == "outcome":
            inside[name] = rest.split(", ")
        else:
            clear.add(name)
    data = b""
    for name, of, since in event.kind.fields:
        value = event.fields[name]
        if since > 1 and value is None:
            continue  # what was recorded before the field existed keeps its digest
        if name in clear:
            value = cleared(of, value)
        elif name in inside:
            (variant, fields), = value.items()
            types = dict(dict(of[1])[variant][1])
            value = {variant: {
                field: cleared(types[field], one) if field in inside[name] else one
                for field, one in fields.items()
            }}
        data += encode(of, value)
    return data


# --------------------------------------------------------------------------------------- command line


def main(arguments):
    commands = ("events", "verify", "digest", "qtable", "top")
    if len(arguments) != 2 or arguments[1] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    path, command = pathlib.Path(arguments[0]), arguments[1]
    if not path.exists():
        print(f"{path}: there is no store or exported log", file=sys.stderr)
        return 2
    events = from_store(path) if path.is_dir() else from_export(path)
    try:
        run(command, events)
    except (Damaged, ValueError, KeyError, struct.error) as error:
        print(f"{path}: damaged: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
    return 0


def run(command, events):
    if command == "events":
        for event in events:
            print(event.json())
    elif command == "digest":
        digests = {}
        for event in events:
            if event.scope != "store":
                digests.setdefault(event.scope, Digest()).push(event)
        for scope in sorted(digests, key=lambda scope: ("sra".index(scope[0]), int(scope[1:]))):
            if not digests[scope].waits:
                print(scope, digests[scope].finish())
    else:
        fold, count = Fold(compare_each=command == "verify"), 0
        for event in events:
            fold.push(event)
            count += 1
        jobs = [job for job in fold.jobs.values() if not job.waits]
        if command == "verify":
            for job in jobs:
                check(job.config is not None, f"{job.scope}: the configuration is not its hash's")
            print(f"{count} events, {len(jobs)} searches and runs, {fold.compared} Q-tables: good")
        for job in jobs:
            if command == "top":
                rows = rows_of_top(job)
            elif command == "qtable" and job.space and not job.imported:
                rows = rows_of_qtable(job)
            else:
                continue
            for row in rows:
                print(json.dumps(finite(row), ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
