"""The storages of Optuna and MLflow that `stores.py` measures: how each records a trial, counts
trials, is filled with many, and answers from the command line."""

import json
import os
import pathlib
import sqlite3
import sys
import time

NAME = "recorded"


def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Trial:
    """As qtrail recorded it. Without an accuracy, it failed."""

    def __init__(self, arch, accuracy):
        self.arch, self.accuracy, self.epochs = arch, accuracy, []


class Optuna:
    """What both storages have in common. They are in `folder`; `make` makes a new one."""

    def __init__(self, folder, make=False):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna, self.folder = optuna, folder
        self.epochs = []  # seconds of recording each
        self.storage = self.connect()
        self.sampler = optuna.samplers.RandomSampler()
        if make:
            optuna.create_study(study_name=NAME, storage=self.storage, direction="maximize")
        self.study = optuna.load_study(study_name=NAME, storage=self.storage, sampler=self.sampler)

    def stepwise(self, trial):
        mine = self.study.ask()
        mine.set_user_attr("arch", trial.arch)
        for number, accuracy in enumerate(trial.epochs, 1):
            self.epochs.append(timed(lambda: mine.report(accuracy, number)))
        state = self.state(trial)
        self.study.tell(mine, trial.accuracy if state.name == "COMPLETE" else None, state=state)

    def at_once(self, trial):
        state = self.state(trial)
        value = trial.accuracy if state.name == "COMPLETE" else None
        facts = {
            "user_attrs": {"arch": trial.arch},
            "intermediate_values": dict(enumerate(trial.epochs, 1)),
        }
        self.study.add_trial(self.optuna.trial.create_trial(state=state, value=value, **facts))

    def state(self, trial):
        states = self.optuna.trial.TrialState
        return states.FAIL if trial.accuracy is None else states.COMPLETE

    def count(self):
        return self.storage.get_n_trials(self.study._study_id)


class OptunaJournal(Optuna):
    """Each call appends lines to a file, with fsync."""

    title = "Optuna, journal file"

    def connect(self):
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        return JournalStorage(JournalFileBackend(str(self.folder / "journal.log")))

    def fill(self, trials):
        fsync, os.fsync = os.fsync, lambda file: None
        for trial in trials:
            self.at_once(trial)
        os.fsync = fsync

    @staticmethod
    def answers(folder):
        storage = ["--storage", folder / "journal.log", "--storage-class", "JournalFileBackend"]
        return {
            "`optuna best-trial`": [tool("optuna"), "best-trial", *storage, "--study-name", NAME]
        }


class OptunaSqlite(Optuna):
    """A transaction a call, or several."""

    title = "Optuna, SQLite"

    def connect(self):
        storage = self.optuna.storages.RDBStorage(f"sqlite:///{self.folder}/optuna.db")
        demand_durable(storage.engine)
        return storage

    def fill(self, trials):
        at = "2026-11-29 12:00:00.000000"
        rows = {
            "trials": (
                (i, i - 1, 1, "FAIL" if t.accuracy is None else "COMPLETE", at, at)
                for i, t in trials_of(trials)
            ),
            "trial_user_attributes": (
                (i, i, "arch", json.dumps(t.arch)) for i, t in trials_of(trials)
            ),
            "trial_values": (
                (i, i, 0, t.accuracy, "FINITE")
                for i, t in trials_of(trials)
                if t.accuracy is not None
            ),
            "trial_intermediate_values": (
                (None, i, step, accuracy, "FINITE")
                for i, t in trials_of(trials)
                for step, accuracy in enumerate(t.epochs, 1)
            ),
        }
        insert(self.folder / "optuna.db", rows)

    @staticmethod
    def answers(folder):
        storage = ["--storage", f"sqlite:///{folder}/optuna.db"]
        return {
            "`optuna best-trial`": [tool("optuna"), "best-trial", *storage, "--study-name", NAME]
        }


class MLflow:
    """A transaction a call."""

    title = "MLflow, SQLite"

    def __init__(self, folder, make=False):
        import mlflow.entities
        import mlflow.tracking

        self.entities = mlflow.entities
        self.epochs = []  # seconds of recording each
        self.folder = folder
        self.client = mlflow.tracking.MlflowClient(f"sqlite:///{folder}/mlflow.db")
        if make:
            self.client.create_experiment(NAME, artifact_location=str(folder / "artifacts"))
        self.experiment = self.client.get_experiment_by_name(NAME).experiment_id
        demand_durable(self.client._tracking_client.store.engine)

    def stepwise(self, trial):
        run = self.client.create_run(self.experiment).info.run_id
        self.client.log_param(run, "arch", trial.arch)
        for number, accuracy in enumerate(trial.epochs, 1):
            log = lambda: self.client.log_metric(run, "accuracy", accuracy, step=number)
            self.epochs.append(timed(log))
        self.finish(run, trial)

    def at_once(self, trial):
        run = self.client.create_run(self.experiment).info.run_id
        metrics = [
            self.entities.Metric("accuracy", accuracy, 0, number)
            for number, accuracy in enumerate(trial.epochs, 1)
        ]
        self.client.log_batch(
            run, metrics=metrics, params=[self.entities.Param("arch", trial.arch)]
        )
        self.finish(run, trial)

    def finish(self, run, trial):
        self.client.set_terminated(run, "FAILED" if trial.accuracy is None else "FINISHED")

    def count(self):
        return len(self.client.search_runs([self.experiment], max_results=1))

    def fill(self, trials):
        place, run = self.folder / "artifacts", "{:032x}".format
        rows = {
            "runs": (
                (
                    run(i),
                    f"t{i}",
                    "UNKNOWN",
                    "",
                    "",
                    "unknown",
                    "FAILED" if t.accuracy is None else "FINISHED",
                    i,
                    i + 1,
                    "",
                    "active",
                    f"{place}/{run(i)}/artifacts",
                    int(self.experiment),
                    None,
                )
                for i, t in trials_of(trials)
            ),
            "params": (("arch", t.arch, run(i)) for i, t in trials_of(trials)),
            "tags": (("mlflow.runName", f"t{i}", run(i)) for i, t in trials_of(trials)),
            "metrics": (
                ("accuracy", accuracy, i, run(i), step, 0)
                for i, t in trials_of(trials)
                for step, accuracy in enumerate(t.epochs, 1)
            ),
            "latest_metrics": (
                ("accuracy", t.epochs[-1], i, len(t.epochs), 0, run(i))
                for i, t in trials_of(trials)
                if t.epochs
            ),
        }
        insert(self.folder / "mlflow.db", rows)

    @staticmethod
    def answers(folder):
        uri = f"sqlite:///{folder}/mlflow.db"
        best = (
            f"import mlflow.tracking as t; c = t.MlflowClient({uri!r}); "
            f"e = c.get_experiment_by_name({NAME!r}).experiment_id; "
            "[print(r.data.params['arch'], r.data.metrics['accuracy'])"
            " for r in c.search_runs([e], order_by=['metrics.accuracy DESC'], max_results=10)]"
        )
        return {
            "`mlflow runs list`": [
                "env",
                f"MLFLOW_TRACKING_URI={uri}",
                tool("mlflow"),
                "runs",
                "list",
                "--experiment-id",
                "1",
            ],
            "the best ten in Python": [sys.executable, "-c", best],
        }


PEERS = [OptunaJournal, OptunaSqlite, MLflow]


def trials_of(trials):
    return enumerate(trials, 1)


def insert(file, tables):
    with sqlite3.connect(file) as database:
        for table, rows in tables.items():
            columns = len(list(database.execute(f"PRAGMA table_info({table})")))
            database.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * columns)})", rows)


def demand_durable(engine):
    """A transaction is on the disk when it ends: synchronous = FULL (2), a rollback journal."""
    with engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode")
        ]
    if found != [2, "delete"]:
        sys.exit(f"SQLite's synchronous and journal_mode are {found}, not [2, 'delete']")


def tool(name):
    return pathlib.Path(sys.executable).parent / name
