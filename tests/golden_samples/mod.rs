//! A sample of every kind of event, in its newest version.

use qtrail::arch::Architecture;
use qtrail::arch::dropout::DropoutRule;
use qtrail::events::*;

fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

fn net() -> Architecture {
    "[C(64,3,1), P(2,2), FC(128), SM(10)]".parse().unwrap()
}

fn data() -> DataFacts {
    DataFacts {
        name: "mnist".into(),
        content: hash(1),
        channels: 1,
        side: 28,
        classes: 10,
        train: 55_000,
        validation: 5_000,
        split: hash(2),
    }
}

/// One of each kind, with every field unlike its default.
pub(crate) fn samples() -> Vec<(Scope, Event)> {
    let search = Scope::Search(3);
    let started = SearchStarted {
        name: "night".into(),
        seed: u64::MAX,
        chance: "qtrail-chance-1".into(),
        data: data(),
        folder: "/data/mnist".into(),
        config: hash(3),
        config_parts: 2,
        threads: 8,
        program: "qtrail 0.1.0".into(),
    };
    let predicted = Predicted {
        validation_labels: hash(8),
        test: hash(9),
        test_images: 10_000,
        test_labels: hash(10),
    };
    let run = RunStarted {
        purpose: Purpose::Final,
        models: 2,
        repeats: 3,
        recipe: "short".into(),
        fit: Fit::TrainAndValidation,
        predicted: Some(predicted),
        seed: 7,
        chance: "qtrail-chance-1".into(),
        data: data(),
        folder: "/data/mnist".into(),
        config: hash(3),
        config_parts: 2,
        threads: 8,
        program: "qtrail 0.1.0".into(),
    };
    let attempt = AttemptStarted {
        trial: 17,
        attempt: 2,
        device: "cuda:1".into(),
        threads: 8,
        trainer: "qtrail-torch 0.1.0".into(),
        library: "libtorch 2.11.0".into(),
        isa: "AVX512".into(),
        host: "lab".into(),
        continues: Some(Continues { attempt: 1, restart: 1, epoch: 2 }),
        worker: "worker-0123456789abcdef".into(),
        precision: "bf16 emulated".into(),
    };
    let epoch = EpochFinished {
        trial: 17,
        attempt: 2,
        restart: 1,
        epoch: 3,
        learning_rate: 0.0004,
        train_loss: 0.1 + 0.2,
        train_correct: 50_000,
        train_total: 55_000,
        validation_loss: 0.25,
        validation_correct: 4_600,
        validation_total: 5_000,
        seconds: 12.5,
    };
    let outcome = Outcome::Trained {
        best_epoch: 18,
        best_correct: 4_764,
        last_correct: 4_750,
        total: 5_000,
        weights: Some(hash(4)),
        kept: true,
    };
    let finished = TrialFinished {
        trial: 17,
        attempt: 2,
        outcome,
        epochs: 20,
        restarts: 1,
        seconds: 321.0625,
        peak_memory: 1 << 33,
    };
    let sampled = EpisodeSampled {
        episode: 123,
        phase: 4,
        epsilon: 0.7,
        architecture: net(),
        trial: 17,
        duplicate: true,
    };
    let planned = TrialPlanned {
        trial: 17,
        episode: 120,
        architecture: net(),
        seed: 1 << 63,
        repeat: 1,
        parameters: 1_137_674,
        multiply_adds: 12_345_678_901,
    };
    let phase = PhaseEnded {
        phase: 4,
        epsilon: 0.7,
        reason: PhaseEnd::Duplicates,
        models: 17,
        episode: 123,
    };
    let replay = ReplayUpdated {
        episode: 123,
        alpha: 0.01,
        gamma: 1.0,
        draws: vec![0, 250, 251, 70_000],
        weights: vec![1.0, 0.5, 0.25, 1.0],
        q: hash(5),
    };
    let lost = AttemptLost { trial: 17, attempt: 1, counts: true, reason: "killed".into() };
    let resumed = Resumed { program: "qtrail 0.1.0".into(), host: "lab".into() };
    [
        (search, started.into()),
        (search, ConfigPart { index: 1, text: "[data]\nname = \"mnist\"\n".into() }.into()),
        (search, sampled.into()),
        (search, planned.into()),
        (search, attempt.into()),
        (search, epoch.into()),
        (search, finished.into()),
        (search, lost.into()),
        (search, late_sample()),
        (search, TrialLost { trial: 17 }.into()),
        (search, TrialRetried { trial: 17, before: 1 }.into()),
        (search, ExperienceRecorded { episode: 123, reward: 0.9528 }.into()),
        (search, replay.into()),
        (search, phase.into()),
        (search, SearchFinished { episodes: 4_000, trials: 2_700 }.into()),
        (search, resumed.into()),
        (Scope::Run(2), run.into()),
        (Scope::Run(2), RunFinished { trials: 3 }.into()),
        (Scope::Store, ArtifactReleased { trial: 17, artifact: hash(4) }.into()),
    ]
    .into_iter()
    .chain(import_samples().map(|event| (search, event)))
    .chain(fork_samples().map(|event| (search, event)))
    .chain(study_samples().map(|event| (Scope::Store, event)))
    .chain(run_samples().map(|event| (Scope::Run(2), event)))
    .chain(series_samples().map(|event| (search, event)))
    .chain(attack_samples().map(|event| (Scope::Attack(4), event)))
    .chain([(Scope::Store, ensemble_sample()), (Scope::Store, repair_sample())])
    .collect()
}

fn late_sample() -> Event {
    let outcome = Outcome::Trained {
        best_epoch: 18,
        best_correct: 4_764,
        last_correct: 4_750,
        total: 5_000,
        weights: Some(hash(4)),
        kept: false,
    };
    let (epochs, restarts, seconds, peak_memory) = (20, 1, 654.5, 1 << 32);
    ResultLate { trial: 17, attempt: 1, outcome, epochs, restarts, seconds, peak_memory }.into()
}

fn run_samples() -> [Event; 3] {
    let predictions = PredictionsRecorded {
        trial: 17,
        attempt: 2,
        part: PredictedPart::Test,
        images: 10_000,
        classes: 10,
        correct: 9_900,
        probabilities: hash(11),
        labels: hash(10),
    };
    let model = RunModel {
        index: 1,
        architecture: net(),
        source: Some(Source { scope: Scope::Search(3), trial: 12 }),
        initial: Some(Initial { weights: hash(4), layers: vec![1, 3], freeze: 2 }),
    };
    let checkpoint =
        CheckpointKept { trial: 17, attempt: 2, restart: 1, epoch: 3, artifact: hash(12) };
    [predictions.into(), model.into(), checkpoint.into()]
}

fn study_samples() -> [Event; 3] {
    let started = StudyStarted {
        study: 2,
        name: "remedies".into(),
        kind: "replay".into(),
        search: "s3".into(),
        position: 5_000,
        settings: "search = \"s3\"\n".into(),
        rows: 1,
        program: "qtrail 0.1.0".into(),
    };
    let figure = |name: &str, mean, low| StudyFigure {
        name: name.into(),
        mean: Some(mean),
        sd: Some(0.25),
        low,
        high: Some(0.75),
    };
    let row = StudyRow {
        study: 2,
        row: 3,
        policy: "prioritized(alpha=0.6,beta=0.4)".into(),
        seeds: 20,
        greedy: net().to_string(),
        figures: vec![figure("prequential", 0.5, Some(0.25)), figure("rms", 0.125, None)],
    };
    [started.into(), row.into(), StudyFinished { study: 2, rows: 4 }.into()]
}

fn fork_samples() -> [Event; 4] {
    let started = ForkStarted { source: "s1".into(), position: 200, episodes: 57 };
    let outcome = Outcome::Trained {
        best_epoch: 18,
        best_correct: 4_764,
        last_correct: 4_750,
        total: 5_000,
        weights: None,
        kept: false,
    };
    let experience = InheritedExperience {
        episode: 44,
        phase: 4,
        epsilon: 0.7,
        architecture: net(),
        trial: 17,
        outcome,
        reward: 0.9528,
    };
    let inherited = Inherited { first: 43, experiences: vec![experience] };
    let phases = vec![AddedPhase { epsilon: 0.1, models: 200 }];
    [
        started.into(),
        inherited.into(),
        ForkFinished { episodes: 57, trials: 50 }.into(),
        ScheduleExtended { phase: 10, phases }.into(),
    ]
}

fn ensemble_sample() -> Event {
    let member = |trial, weight| {
        let trial = Source { scope: Scope::Run(2), trial };
        EnsembleMember { trial, weight }
    };
    EnsembleSaved {
        ensemble: 3,
        name: "five".into(),
        members: vec![member(1, 2.0), member(7, 0.1 + 0.2)],
        combine: "mean".into(),
        chosen: "greedy:5 by val".into(),
        position: 12_345,
        validation: Some(Decided { wrong: 210, images: 5_000 }),
        test: Some(Decided { wrong: 732, images: 10_000 }),
        program: "qtrail 0.1.0".into(),
    }
    .into()
}

fn repair_sample() -> Event {
    LogRepaired {
        part: "journal".into(),
        found: "segment 1: a record does not fit its checksum".into(),
        restored: 12,
        lost: 3,
        aside: "aside/journal-1".into(),
    }
    .into()
}

fn series_samples() -> [Event; 2] {
    let joined = SeriesJoined {
        series: 2,
        name: "night".into(),
        repetition: 4,
        repeats: 10,
        seed: 1 << 62,
        reuse_trials: true,
    };
    let outcome = Outcome::Trained {
        best_epoch: 18,
        best_correct: 4_764,
        last_correct: 4_750,
        total: 5_000,
        weights: Some(hash(4)),
        kept: false,
    };
    let (trial, search, repetition, of, epochs, restarts) = (9, 3, 2, 17, 20, 1);
    let reused = TrialReused { trial, search, repetition, of, outcome, epochs, restarts };
    [joined.into(), reused.into()]
}

fn attack_samples() -> [Event; 10] {
    let data = AttackData {
        name: "mnist".into(),
        content: hash(8),
        channels: 1,
        side: 28,
        classes: 10,
        images: 10_000,
    };
    let started = AttackStarted {
        name: "dusk".into(),
        protocol: "kurakin2017".into(),
        seed: u64::MAX,
        chance: "qtrail-chance-1".into(),
        data,
        folder: "/data/mnist".into(),
        pool: hash(9),
        images: 1_000,
        pool_parts: 2,
        batch: 64,
        victims: 3,
        specifications: 12,
        transformations: 40,
        to_craft: 36_000,
        to_score: 1_440_000,
        config: hash(3),
        config_parts: 2,
        threads: 8,
        program: "qtrail 0.1.0".into(),
    };
    let member = |trial| TrialOf { scope: Scope::Search(3), trial };
    let victim = AttackVictim {
        victim: 2,
        what: Victim::Ensemble { name: "best".into(), members: vec![member(17), member(40)] },
        label: "best".into(),
        architecture: net().to_string(),
        weights: vec![hash(4), hash(10)],
    };
    let specified = AttackSpecified {
        spec: 7,
        method: "least-likely".into(),
        eps: 16,
        hash: hash(11),
        text: "method = \"least-likely\"\neps = 16\n".into(),
    };
    let transformation = AttackTransformation {
        transformation: 30,
        name: "noise".into(),
        parameter: 0.5,
        repeats: 3,
        random: true,
        text: "name = \"noise\"\n".into(),
    };
    let crafted = CraftedImage {
        target: 9,
        linf: 16,
        l2: 96.5,
        changed: 700,
        zero_gradient: 84,
        loss_before: 0.125,
        loss_after: 20.25,
    };
    let crafted = ImagesCrafted {
        victim: 2,
        spec: 7,
        first: 960,
        iterations: 20,
        artifact: hash(12),
        images: vec![crafted, CraftedImage { target: 1, ..crafted }],
        invalid_gradient: Some(vec![0, 700]),
    };
    let scored = ScoredImage {
        rank: 3,
        top1: 9,
        p_top1: 0.75,
        p_true: 0.0625,
        target_rank: 1,
        flags: ScoredImage::DROPPED,
    };
    let scored = ImagesScored {
        judge: 1,
        source: Some(Crafting { victim: 2, spec: 7 }),
        transformation: 30,
        repeat: 2,
        first: 960,
        images: vec![scored, ScoredImage { rank: ScoredImage::NONE, flags: 1, ..scored }],
    };
    let part = PoolPart { first: 500, indices: vec![9_999, 0], labels: vec![7, 300] };
    let trainer = AttackTrainer {
        device: "cuda:1".into(),
        threads: 8,
        trainer: "qtrail-torch 0.1.0".into(),
        library: "libtorch 2.11.0".into(),
        isa: "AVX512".into(),
        host: "lab".into(),
    };
    [
        started.into(),
        victim.into(),
        specified.into(),
        transformation.into(),
        crafted.into(),
        scored.into(),
        AttackFinished { crafted: 36_000, scored: 1_440_000 }.into(),
        part.into(),
        trainer.into(),
        AttackOutputs { victim: 2, outputs: 1_000 }.into(),
    ]
}

fn import_samples() -> [Event; 4] {
    let started = ImportStarted {
        format: "metaqnn".into(),
        file: "replay_database.csv".into(),
        content: hash(6),
        rows: 1_983,
        q_file: Some("q_values.csv".into()),
        q_content: Some(hash(7)),
        pairs: 4_161,
    };
    let row = ImportedRow {
        row: 1_910,
        line: 1_912,
        architecture: net(),
        dropout: Some(DropoutRule::Logged),
        best: 86.0,
        best_iteration: 100,
        last: 85.5,
        last_iteration: 10_000,
        best_test: Some(0.9),
        last_test: Some(0.1 + 0.2),
        update: 4,
        epsilon: 0.7,
        time_finished: 1_475_869_775.73,
        machine: "luna".into(),
        failed: true,
        quarantine: Some("accuracy_best_val is 86.0, not from 0 to 1".into()),
    };
    let start = ForeignState {
        layer_type: LayerType::Fc,
        layer_depth: 7,
        filter_depth: 1,
        filter_size: 5,
        stride: 3,
        image_size: 4,
        fc_size: 256,
        terminate: false,
    };
    let end = ForeignState { layer_depth: 8, terminate: true, ..start };
    let values = ImportedQ { first: 50, pairs: vec![ImportedPair { start, end, value: 0.5 }] };
    let finished = ImportFinished {
        episodes: 1_910,
        trials: 1_789,
        repeated: 34,
        conflicts: 1,
        quarantined: 73,
        conflicts_with_quarantined: 11,
        missing: vec![67],
        foreign_pairs: 103,
    };
    [started.into(), row.into(), values.into(), finished.into()]
}
