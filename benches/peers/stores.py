"""One recorded search, in qtrail and in the storages of Optuna and MLflow: what it takes to record
a trial, to open a store of many trials, and to answer from the command line.

    python3 benches/peers/stores.py [--qtrail target/release/qtrail]
        [--large target/tmp/tables-large] [--trials 100000] [--recorded 200] [--rounds 3]
        [--json FILE] [--work DIR]

`make bench-peers` runs it. Needs the packages of benches/peers/requirements.txt, the images of
`qtrail data fetch fashion-mnist`, and for --large a store that `make bench CASES=tables` made; no
network. Peers hold the trials of qtrail's own log: a study (an experiment) with the architecture of
each trial, the validation accuracy of each epoch, and the result.

* record: qtrail carries out a search with tests/trainer.py, which trains nothing and keeps nothing.
  Its time for a trial is that of the whole step: sampling, the exchange with the trainer, learning,
  and about nine durable appends. Its time for an epoch is that between two events. The peers are
  given the same trials in a new storage; their time is that of the calls of their storage alone.
  `stepwise` records each epoch durably when it ends, as qtrail does; `at once` a trial when it is
  finished.
* open: until the number of trials is known. MLflow cannot count: until it has returned one run.
  qtrail: the whole process. Peers: without starting Python and importing packages.
* answer: whole processes, stopped after 120 s.

Programs take turns, round after round; the median counts. Large storages of peers are filled without
fsync, the tables of SQLite by INSERT, because only reading them is measured.
"""

import argparse
import csv
import io
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from storages import PEERS, OptunaJournal, Trial, timed

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIMIT = 120  # seconds for an answer
TRAINER = ROOT / "tests" / "trainer.py"
OFFLINE = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore"}


# --- qtrail


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        said = done.stdout[-500:] + done.stderr[-2000:]
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{said}")
    return done.stdout


class Qtrail:
    def __init__(self, program, store):
        self.command = [program, "--store", store]

    def ask(self, query):
        text = run([*self.command, "sql", query, "--format", "csv"])
        return list(csv.DictReader(io.StringIO(text)))

    def search(self, trials):
        """Carries out a search with a trainer that trains nothing."""
        settings = [
            "recipe.epochs=4",
            'keep-weights="none"',
            f"schedule.phases=[{{epsilon=1.0,models={trials}}}]",
        ]
        options = ["--preset", "demo", "--device", "cpu", "--trainer", TRAINER]
        for setting in settings:
            options += ["--set", setting]
        run([*self.command, "search", *options])

    def seconds(self):
        """Of a trial of the search and of an epoch, on the clock of its events."""
        took = "(max(recorded_at) - min(recorded_at)) / 1000.0"
        first = "(SELECT min(position) FROM event WHERE trial IS NOT NULL)"
        (trial,) = self.ask(
            f"SELECT {took} / count(DISTINCT trial) AS seconds FROM event WHERE position >= {first}"
        )
        epochs = self.ask(
            f"SELECT {took} / (count(*) - 1) AS seconds FROM epoch GROUP BY trial HAVING count(*) > 1"
        )
        return float(trial["seconds"]), statistics.median(float(row["seconds"]) for row in epochs)

    def trials(self, limit):
        """Those on record."""
        found = {}
        query = "SELECT trial, arch, accuracy, status FROM trials ORDER BY trial"
        for row in self.ask(f"{query} LIMIT {limit}"):
            failed = row["status"] != "trained" or not row["accuracy"]
            found[row["trial"]] = Trial(row["arch"], None if failed else float(row["accuracy"]))
        for row in self.ask("SELECT trial, validation_accuracy FROM epochs ORDER BY trial, epoch"):
            if row["trial"] in found:
                found[row["trial"]].epochs.append(float(row["validation_accuracy"]))
        return list(found.values())


# --- what is measured


class Report:
    def __init__(self, file):
        self.file = file
        if file:
            file.write_text("")
        print("| case | qtrail | peer | ratio |\n|---|--:|--:|--:|")

    def add(self, case, ours, peer, theirs, trials):
        row = {"case": case, "trials": trials, "qtrail": ours, "peer": peer}
        if theirs == math.inf:
            theirs, more = LIMIT, "> "
            row["seconds_more_than"] = LIMIT
        else:
            more = ""
            row |= {"seconds": theirs, "ratio": theirs / ours}
        cells = [
            case,
            shown(ours),
            f"{peer}: {more}{shown(theirs)}",
            f"{more}{theirs / ours:.3g} x",
        ]
        print("|", " | ".join(cells), "|", flush=True)
        if self.file:
            with self.file.open("a") as file:
                file.write(json.dumps(row) + "\n")


def shown(seconds):
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def medians(cases, rounds):
    """Each case is a function that returns seconds; in turn, round after round."""
    found = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def record(arguments, report, folder):
    found = {}

    def take(name, seconds):
        found.setdefault(name, []).append(seconds)

    for _ in range(arguments.rounds):
        shutil.rmtree(folder / "search", ignore_errors=True)
        qtrail = Qtrail(arguments.qtrail, folder / "search")
        qtrail.search(arguments.recorded)
        trial, epoch = qtrail.seconds()
        take("trial", trial), take("epoch", epoch)
        trials = qtrail.trials(arguments.recorded)
        for peer in PEERS:
            for way in ["stepwise", "at_once"]:
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    storage = peer(pathlib.Path(place), make=True)
                    seconds = timed(lambda: [getattr(storage, way)(trial) for trial in trials])
                    take((peer, way), seconds / len(trials))
                    if storage.epochs:
                        take((peer, "epoch"), statistics.median(storage.epochs))
    found = {name: statistics.median(seconds) for name, seconds in found.items()}
    for way, ours in [("epoch", "epoch"), ("stepwise", "trial"), ("at_once", "trial")]:
        case = {"epoch": "record an epoch"}.get(way, f"record a trial, {way.replace('_', ' ')}")
        for peer in PEERS:
            report.add(case, found[ours], peer.title, found[peer, way], arguments.recorded)


def large(arguments, report, folder):
    store = folder / "large"
    shutil.copytree(arguments.large, store)
    qtrail = Qtrail(arguments.qtrail, store)
    trials = qtrail.trials(arguments.trials)
    for peer in PEERS:
        (folder / peer.__name__).mkdir()
        seconds = timed(lambda: peer(folder / peer.__name__, make=True).fill(trials))
        say(f"{peer.title}: filled with {len(trials)} trials in {seconds:.0f} s")
    openings(arguments, report, folder, qtrail, len(trials))
    answers(arguments, report, folder, qtrail, trials)


def openings(arguments, report, folder, qtrail, trials):
    def ours():
        return timed(lambda: qtrail.ask("SELECT count(*) FROM trial"))

    def theirs(peer):
        this = [sys.executable, __file__, "--open", peer.__name__, "--work", folder]
        return float(run(this))

    cases = {"ours": ours} | {peer: lambda peer=peer: theirs(peer) for peer in PEERS}
    found = medians(cases, arguments.rounds)
    for peer in PEERS:
        report.add("open", found["ours"], peer.title, found[peer], trials)
    for file in (folder / "large").glob("views*"):
        file.unlink()
    # Its counterpart reads all of its log whenever it is opened.
    peer = OptunaJournal
    report.add("open, tables deleted", ours(), peer.title, found[peer], trials)


def answers(arguments, report, folder, qtrail, trials):
    top = [*qtrail.command, "table", "top", "--search", "all", "--limit", "10"]
    commands = {("qtrail", "`qtrail table top`"): top}
    for peer in PEERS:
        for name, command in peer.answers(folder / peer.__name__).items():
            commands[peer.title, name] = command
    best = str(max(trial.accuracy for trial in trials if trial.accuracy is not None))

    def answer(name, command):
        said = []
        try:
            seconds = timed(lambda: said.append(run(command, timeout=LIMIT)))
        except subprocess.TimeoutExpired:
            return math.inf
        if best not in said[0] and "runs list" not in name and "qtrail" not in name:
            sys.exit(f"{name} does not name the best accuracy, {best}:\n{said[0][:2000]}")
        return seconds

    cases = {key: lambda key=key: answer(key[1], commands[key]) for key in commands}
    found = medians(cases, arguments.rounds)
    ours = found.pop(("qtrail", "`qtrail table top`"))
    for (peer, name), seconds in found.items():
        report.add("answer", ours, f"{peer}, {name}", seconds, len(trials))


def open_and_count(peer, folder):
    """In a process of its own: prints seconds, without Python's start and imports."""
    with tempfile.TemporaryDirectory() as place:
        peer(pathlib.Path(place), make=True)  # packages import others late
    print(timed(lambda: peer(folder / peer.__name__).count()))


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qtrail", type=pathlib.Path, default=ROOT / "target/release/qtrail")
    parser.add_argument("--large", type=pathlib.Path, default=ROOT / "target/tmp/tables-large")
    parser.add_argument("--trials", type=int, default=100_000, help="in large stores")
    parser.add_argument("--recorded", type=int, default=200, help="trials that are recorded")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["record", "large"])
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--open", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ |= OFFLINE
    if arguments.open:
        peers = {peer.__name__: peer for peer in PEERS}
        return open_and_count(peers[arguments.open], arguments.work)
    wanted = {arguments.qtrail: "make build"}
    if arguments.only != "record":
        wanted[arguments.large] = "make bench CASES=tables"
    for path, command in wanted.items():
        if not path.exists():
            sys.exit(f"{path} is not there: `{command}` makes it")
    report = Report(arguments.json)
    # Not in /tmp, which may be in memory.
    with tempfile.TemporaryDirectory(dir=arguments.qtrail.resolve().parent.parent) as folder:
        if arguments.only != "large":
            record(arguments, report, pathlib.Path(folder))
        if arguments.only != "record":
            large(arguments, report, pathlib.Path(folder))


if __name__ == "__main__":
    main()
