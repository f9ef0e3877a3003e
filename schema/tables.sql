-- The read model of qtrail: what the tables are, column by column.
--
-- A cache. Every row follows from the log; delete the file and it comes back the same. Its first
-- part, the base tables (names in the singular), is filled by folding events. Its second part, the
-- result tables (names in the plural), is SQL views over them: `qtrail table NAME` is a SELECT on
-- such a view, and a new table is a new view here. Other tools may open the file too.
--
-- This text is read by people, by SQLite, and by the program, which takes from it what
-- `qtrail tables` says: for each view the lines `-- table`, `-- order` and `-- limit` before it,
-- and behind each column `AS name, -- [unit] what it is`. The unit `id` marks texts such as t17,
-- which sort by their number; `rate of x` a rate whose counts column x shows; `exact` numbers that
-- are not rounded.
--
-- Times are UTC: milliseconds since 1970 in base tables, text in result tables.
-- Yes and no are 1 and 0. NULL means unknown, or not yet.

------------------------------------------------------------------------------ base tables

-- How far the log is folded into this file.
CREATE TABLE stamp (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  store    TEXT    NOT NULL, -- id of the store
  position INTEGER NOT NULL, -- last event folded in
  chain    TEXT    NOT NULL, -- chain hash of that event, hexadecimal
  checksum TEXT    NOT NULL  -- of this row: a decayed stamp must not pass for one
) STRICT;

-- Every event of the log.
CREATE TABLE event (
  position    INTEGER PRIMARY KEY,
  kind        INTEGER NOT NULL, -- number of the kind
  job         INTEGER,          -- the search or run it belongs to
  attack      INTEGER,          -- or the attack
  trial       INTEGER,          -- the trial it is about
  episode     INTEGER,          -- the episode it is about
  recorded_at INTEGER NOT NULL  -- ms
) STRICT;

-- Names of the kinds of events.
CREATE TABLE kind (
  number INTEGER PRIMARY KEY,
  name   TEXT    NOT NULL,
  class  TEXT    NOT NULL -- logical or operational
) STRICT;

-- Searches (s1, s2, …) and training runs outside of searches (r1, r2, …).
CREATE TABLE job (
  id           INTEGER PRIMARY KEY,
  label        TEXT    NOT NULL UNIQUE, -- s1, r1
  kind         TEXT    NOT NULL,        -- search or run
  number       INTEGER NOT NULL,        -- among its kind
  name         TEXT    NOT NULL,        -- what people call it; may be empty
  seed         TEXT    NOT NULL,        -- decimal; up to 64 bits, more than an INTEGER holds
  chance       TEXT    NOT NULL,        -- scheme of random numbers
  data         TEXT    NOT NULL,        -- name of the data set
  content      TEXT    NOT NULL,        -- hash of its training part
  split        TEXT    NOT NULL,        -- hash of the split
  channels     INTEGER NOT NULL,
  side         INTEGER NOT NULL,        -- pixels
  classes      INTEGER NOT NULL,
  train        INTEGER NOT NULL,        -- images trained on
  validation   INTEGER NOT NULL,        -- images validated on
  folder       TEXT    NOT NULL,        -- where they were when it began
  threads      INTEGER NOT NULL,        -- a trainer computes with, on a CPU
  program      TEXT    NOT NULL,        -- that began it
  config_hash  TEXT    NOT NULL,
  config       TEXT    NOT NULL,        -- complete configuration, TOML
  flavour      TEXT,                    -- paper or code
  models       INTEGER,                 -- new architectures (runs: repetitions) that are planned
  started_at   INTEGER NOT NULL,        -- ms
  last_at      INTEGER NOT NULL,        -- ms; its last event
  finished_at  INTEGER,                 -- ms
  resumed      INTEGER NOT NULL DEFAULT 0, -- how often it was taken up again
  experiences  INTEGER NOT NULL DEFAULT 0, -- size of the replay memory
  replays      INTEGER NOT NULL DEFAULT 0, -- replay updates so far
  q_digest     TEXT,                    -- hash of the Q-table after the last of them
  q_position   INTEGER,                 -- position of the last of them
  q_init       REAL,                    -- Q-value of a pair before its first update
  purpose      TEXT,                    -- of a run: train, final or transfer
  recipe       TEXT    NOT NULL DEFAULT '', -- of a run: its name, if it is not the configuration's own
  fit          TEXT,                    -- of a run: train, or train+val: validation images are trained on too
  expression   TEXT,                    -- what rewards are made of, if they are not accuracies
  q_source     TEXT                     -- where its Q-values come from: recorded, imported; NULL: it has none
) STRICT;

-- Distinct architectures of the store.
CREATE TABLE architecture (
  id     INTEGER PRIMARY KEY,
  text   TEXT    NOT NULL UNIQUE, -- [C(64,3,1), P(2,2), FC(128), SM(10)]
  depth  INTEGER NOT NULL,        -- layers without softmax
  ending TEXT    NOT NULL         -- what leads to softmax: GAP, FC, or SM (nothing special)
) STRICT;

-- What the agent sampled.
CREATE TABLE episode (
  job          INTEGER NOT NULL,
  episode      INTEGER NOT NULL, -- from 1 in its search
  phase        INTEGER NOT NULL, -- of the schedule, from 0
  epsilon      REAL    NOT NULL, -- share of random actions
  architecture INTEGER NOT NULL,
  ordinal      INTEGER NOT NULL, -- of the trial that answers it, within the search
  duplicate    INTEGER NOT NULL, -- whether the architecture was known in this search
  reward       REAL,             -- as recorded with its experience
  failed       INTEGER,          -- whether the trial that answered it failed
  experience   INTEGER,          -- its index in the replay memory, from 0
  recorded_at  INTEGER,          -- ms; NULL if imported or inherited
  inherited    INTEGER,          -- in a fork: its episode in the search it was inherited from
  accuracy     REAL,             -- of the trial, if the reward is something else
  PRIMARY KEY (job, episode)
) STRICT, WITHOUT ROWID;
-- Whatever is counted, summed or ordered by epsilon is found here without the rows themselves.
CREATE INDEX episode_epsilon
  ON episode (job, epsilon, reward, duplicate, failed, architecture, accuracy);
-- Which architectures were sampled, in their own order: counting them needs no sorting.
CREATE INDEX episode_architecture ON episode (architecture, job);
CREATE UNIQUE INDEX episode_experience ON episode (job, experience) WHERE experience IS NOT NULL;

-- Trainings.
CREATE TABLE trial (
  id            INTEGER PRIMARY KEY, -- t1, t2, … in the order in which they were planned
  job           INTEGER NOT NULL,
  ordinal       INTEGER NOT NULL, -- from 1 within its search or run
  episode       INTEGER,          -- that asked for it; NULL in a run
  epsilon       REAL,             -- of that episode
  architecture  INTEGER NOT NULL,
  seed          TEXT,             -- NULL if imported
  repeat        INTEGER NOT NULL, -- repetitions of the same training before it
  params        INTEGER NOT NULL, -- weights and biases
  madds         INTEGER NOT NULL, -- multiplications with a weight for one image
  status        TEXT    NOT NULL, -- planned, running, trained, failed or lost
  reason        TEXT,             -- why it failed: chance, non-finite, too-large
  message       TEXT,             -- the trainer's words
  accuracy      REAL,             -- see the result table
  source        INTEGER,          -- of a run: the trial that its model was taken from
  attempts      INTEGER NOT NULL DEFAULT 0,
  lost_attempts INTEGER NOT NULL DEFAULT 0, -- those that count against it
  epochs        INTEGER,          -- in the last restart
  restarts      INTEGER,
  seconds       REAL,             -- of the attempt that ended it
  peak_memory   INTEGER,          -- bytes
  best_epoch    INTEGER,
  best_correct  INTEGER,
  last_correct  INTEGER,
  total         INTEGER,          -- validation images
  weights       TEXT,             -- hash of the weights
  kept          INTEGER NOT NULL DEFAULT 0, -- whether they are an artifact of the store
  reused        INTEGER,          -- id of the trial whose result it took over
  planned_at    INTEGER,          -- NULL if imported
  ended_at      INTEGER,
  inherited     INTEGER,          -- in a fork: the trial it was inherited from; it was not trained here
  UNIQUE (job, ordinal)
) STRICT;
-- For those who ask by its name, as result tables have it.
CREATE INDEX trial_label ON trial ('t' || id);
-- For those who ask for the best, or for small ones among the good.
CREATE INDEX trial_accuracy ON trial (accuracy, params);
-- The ranks of each search.
CREATE INDEX trial_best ON trial (job, accuracy DESC, params, id)
  WHERE status = 'trained' AND accuracy IS NOT NULL;

-- Tries at trials, each on one trainer.
CREATE TABLE attempt (
  trial      INTEGER NOT NULL,
  attempt    INTEGER NOT NULL, -- from 1
  outcome    TEXT    NOT NULL, -- running, ended or lost
  counts     INTEGER,          -- whether a loss counts against the trial
  reason     TEXT,             -- of a loss
  device     TEXT    NOT NULL,
  threads    INTEGER NOT NULL,
  trainer    TEXT    NOT NULL,
  library    TEXT    NOT NULL,
  isa        TEXT    NOT NULL, -- instruction set
  host       TEXT    NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER,
  continues  INTEGER,          -- the earlier attempt that it goes on from
  carried_restart INTEGER,     -- the last epoch (restart, epoch) that a later attempt goes on from:
  carried_epoch   INTEGER,     -- epochs so far count although the attempt was lost
  worker     TEXT    NOT NULL, -- the process that trained
  precision  TEXT    NOT NULL, -- f32, bf16 or bf16 emulated
  PRIMARY KEY (trial, attempt)
) STRICT, WITHOUT ROWID;

-- Results that came after their trial had ended.
CREATE TABLE late (
  trial        INTEGER NOT NULL,
  attempt      INTEGER NOT NULL,
  status       TEXT    NOT NULL, -- trained or failed
  best_correct INTEGER,
  last_correct INTEGER,
  total        INTEGER,
  weights      TEXT,             -- hash
  seconds      REAL    NOT NULL,
  at           INTEGER NOT NULL
) STRICT;

-- Epochs of attempts.
CREATE TABLE epoch (
  trial              INTEGER NOT NULL,
  attempt            INTEGER NOT NULL,
  restart            INTEGER NOT NULL, -- from 0
  epoch              INTEGER NOT NULL, -- from 1
  learning_rate      REAL    NOT NULL,
  train_loss         REAL,             -- NULL if not finite
  train_correct      INTEGER NOT NULL,
  train_total        INTEGER NOT NULL,
  validation_loss    REAL,             -- NULL if not finite
  validation_correct INTEGER NOT NULL,
  validation_total   INTEGER NOT NULL,
  seconds            REAL    NOT NULL,
  recorded_at        INTEGER NOT NULL,
  PRIMARY KEY (trial, attempt, restart, epoch)
) STRICT, WITHOUT ROWID;

-- The models of runs.
CREATE TABLE run_model (
  job          INTEGER NOT NULL,
  model        INTEGER NOT NULL, -- from 0
  architecture INTEGER NOT NULL,
  source       INTEGER,          -- the trial it was taken from
  weights      TEXT,             -- hash of the weights it starts from; NULL: from scratch
  taken        TEXT,             -- numbers of the layers whose weights were taken over: 1,3,4
  freeze       INTEGER,          -- so many layers from the first on are not trained
  PRIMARY KEY (job, model)
) STRICT, WITHOUT ROWID;

-- What trained models make of images.
CREATE TABLE prediction (
  trial    INTEGER NOT NULL,
  part     TEXT    NOT NULL, -- validation or test
  images   INTEGER NOT NULL,
  classes  INTEGER NOT NULL,
  correct  INTEGER NOT NULL, -- images whose likeliest class is the true one
  artifact TEXT    NOT NULL, -- hash of the probabilities: images x classes, row-major, little-endian f32
  labels   TEXT    NOT NULL, -- hash of the artifact with the true labels: a byte an image
  PRIMARY KEY (trial, part)
) STRICT, WITHOUT ROWID;

-- Phases of schedules that ended.
CREATE TABLE phase (
  job      INTEGER NOT NULL,
  phase    INTEGER NOT NULL, -- from 0
  epsilon  REAL    NOT NULL,
  reason   TEXT    NOT NULL, -- quota, duplicates or exhausted
  models   INTEGER NOT NULL, -- new architectures with a result
  episode  INTEGER NOT NULL, -- its last one
  ended_at INTEGER NOT NULL,
  PRIMARY KEY (job, phase)
) STRICT, WITHOUT ROWID;

-- Series: the same search several times, each with a seed of its own.
CREATE TABLE series (
  series       INTEGER PRIMARY KEY, -- its number
  name         TEXT    NOT NULL,    -- may be empty
  repeats      INTEGER NOT NULL,    -- searches in it once it is complete
  seed         TEXT    NOT NULL,    -- decimal; the seeds of the searches come from it
  reuse_trials INTEGER NOT NULL     -- whether results of earlier searches are taken over
) STRICT;

-- Their searches.
CREATE TABLE series_member (
  series     INTEGER NOT NULL,
  repetition INTEGER NOT NULL, -- from 1
  job        INTEGER NOT NULL UNIQUE,
  PRIMARY KEY (series, repetition)
) STRICT, WITHOUT ROWID;

-- Ensembles that were given a name.
CREATE TABLE ensemble (
  ensemble          INTEGER PRIMARY KEY, -- its number
  name              TEXT    NOT NULL UNIQUE,
  combine           TEXT    NOT NULL, -- mean, geometric, vote or weighted
  chosen            TEXT    NOT NULL, -- how its members were chosen
  validation_wrong  INTEGER,          -- validation images decided wrongly; NULL: fitted to them
  validation_images INTEGER,
  test_wrong        INTEGER,
  test_images       INTEGER,
  saved_at          INTEGER NOT NULL  -- ms
) STRICT;

-- Their members.
CREATE TABLE ensemble_member (
  ensemble INTEGER NOT NULL,
  place    INTEGER NOT NULL, -- from 0
  trial    INTEGER NOT NULL,
  weight   REAL    NOT NULL, -- among those of the others
  PRIMARY KEY (ensemble, place)
) STRICT, WITHOUT ROWID;

-- The pairs (state, action) of a search with what was learned. States and actions are the authors'
-- tuples; an action is the tuple it leads to, with the bin of the state it starts from.
CREATE TABLE pair (
  job               INTEGER NOT NULL,
  pair              INTEGER NOT NULL, -- in the order of the state space, from 0
  value             REAL    NOT NULL, -- Q
  updates           INTEGER,          -- NULL if imported
  action            TEXT    NOT NULL, -- the layer placed, or SM
  layer_type        TEXT    NOT NULL, -- start, conv, pool, gap or fc
  layer_depth       INTEGER NOT NULL,
  filter_depth      INTEGER NOT NULL, -- for fc: the number of fc layers before
  filter_size       INTEGER NOT NULL,
  stride            INTEGER NOT NULL,
  image_size        INTEGER NOT NULL, -- bin of the side: 8 (over 7), 4 (4 to 7), 1 (up to 3)
  fc_size           INTEGER NOT NULL,
  next_layer_type   TEXT    NOT NULL,
  next_layer_depth  INTEGER NOT NULL,
  next_filter_depth INTEGER NOT NULL,
  next_filter_size  INTEGER NOT NULL,
  next_stride       INTEGER NOT NULL,
  next_image_size   INTEGER NOT NULL,
  next_fc_size      INTEGER NOT NULL,
  next_terminate    INTEGER NOT NULL,
  phantom           INTEGER NOT NULL, -- whether the space does not have it; only in imports
  PRIMARY KEY (job, pair)
) STRICT, WITHOUT ROWID;

-- Imports. Those whose closing event is missing have no job, and are in no other table.
CREATE TABLE import (
  label         TEXT    PRIMARY KEY, -- of the search: s1
  job           INTEGER,             -- NULL until it is complete
  format        TEXT    NOT NULL,    -- metaqnn
  file          TEXT    NOT NULL,    -- its name
  content       TEXT    NOT NULL,    -- its hash
  rows          INTEGER NOT NULL,
  q_file        TEXT,                -- the file with Q-values
  q_content     TEXT,                -- its hash
  pairs         INTEGER NOT NULL,    -- in that file
  episodes      INTEGER,             -- rows that count
  trials        INTEGER,             -- distinct architectures among them
  repeated      INTEGER,             -- architectures among them that occur more than once
  conflicts     INTEGER,             -- repeated architectures whose accuracies differ
  quarantined   INTEGER,             -- rows that count for nothing
  conflicts_with_quarantined INTEGER, -- conflicts if those rows counted too
  missing       TEXT,                -- update numbers that no row has
  foreign_pairs INTEGER              -- pairs that the space does not have
) STRICT;

-- Forks: searches that begin with the experiences of another one. Those whose closing event is
-- missing have no job, and are in no other table.
CREATE TABLE fork (
  label    TEXT    PRIMARY KEY, -- of the search: s2
  job      INTEGER,             -- NULL until it is complete
  source   TEXT    NOT NULL,    -- the search it is forked from: s1
  position INTEGER NOT NULL,    -- last event it knows of
  episodes INTEGER NOT NULL,    -- experiences inherited
  trials   INTEGER              -- distinct architectures among them
) STRICT;

-- Phases that were added to the schedules of finished searches.
CREATE TABLE extension (
  job      INTEGER NOT NULL,
  phase    INTEGER NOT NULL, -- of the schedule, from 0
  epsilon  REAL    NOT NULL, -- share of random actions
  models   INTEGER NOT NULL, -- new architectures to train
  position INTEGER NOT NULL, -- of the event that added it
  PRIMARY KEY (job, phase)
) STRICT, WITHOUT ROWID;

-- Events of imports and forks that are not complete, as they are in the log.
CREATE TABLE waiting (
  position INTEGER PRIMARY KEY,
  label    TEXT    NOT NULL, -- of the search
  kind     INTEGER NOT NULL,
  version  INTEGER NOT NULL,
  payload  BLOB    NOT NULL
) STRICT;

-- Rows of imported logs as they were, those in quarantine too.
CREATE TABLE imported (
  job            INTEGER NOT NULL,
  row            INTEGER NOT NULL, -- from 0
  line           INTEGER NOT NULL, -- of the file, from 1
  architecture   INTEGER NOT NULL,
  epsilon        REAL    NOT NULL,
  best           REAL    NOT NULL, -- highest validation accuracy
  best_iteration INTEGER NOT NULL,
  last           REAL    NOT NULL, -- validation accuracy at the end
  last_iteration INTEGER NOT NULL,
  best_test      REAL,
  last_test      REAL,
  update_number  INTEGER NOT NULL, -- of the Q-table
  time_finished  REAL,             -- seconds since 1970
  machine        TEXT    NOT NULL,
  dropout        TEXT,             -- rule that its marks follow: logged, slots, placed or none
  quarantine     TEXT,             -- why it counts for nothing
  PRIMARY KEY (job, row)
) STRICT, WITHOUT ROWID;

-- Episodes and trials of rows in quarantine, column by column as above; a trial has no id. They
-- are in no result table unless they are asked for.
CREATE TABLE quarantined_episode AS SELECT * FROM episode WHERE 0;
CREATE TABLE quarantined_trial AS SELECT * FROM trial WHERE 0;

-- Studies: what came of learning again from a history under other rules. Those whose closing event
-- is missing are in no result table.
CREATE TABLE study (
  study    INTEGER PRIMARY KEY, -- its number
  name     TEXT    NOT NULL,
  kind     TEXT    NOT NULL,    -- replay or simulate
  search   TEXT    NOT NULL,    -- it is about; may be empty
  position INTEGER NOT NULL,    -- last event it knew of
  settings TEXT    NOT NULL,    -- TOML
  rows     INTEGER NOT NULL,
  program  TEXT    NOT NULL,
  saved_at INTEGER              -- ms; NULL until it is complete
) STRICT;

-- Their rows: a policy each.
CREATE TABLE study_row (
  study  INTEGER NOT NULL,
  row    INTEGER NOT NULL, -- from 0
  policy TEXT    NOT NULL,
  seeds  INTEGER NOT NULL, -- 0 if all give the same
  greedy TEXT    NOT NULL, -- architecture that the Q-table would choose; may be empty
  PRIMARY KEY (study, row)
) STRICT, WITHOUT ROWID;

-- The numbers of a row.
CREATE TABLE study_figure (
  study INTEGER NOT NULL,
  row   INTEGER NOT NULL,
  name  TEXT    NOT NULL,
  place INTEGER NOT NULL, -- among the numbers of its row, from 0
  mean  REAL,             -- over seeds; NULL: there is no such number
  sd    REAL,             -- standard deviation over seeds
  low   REAL,             -- 95 % interval
  high  REAL,
  PRIMARY KEY (study, row, name)
) STRICT, WITHOUT ROWID;

-- Attacks on models (a1, a2, …): a pool of images, victims, specifications and transformations.
CREATE TABLE attack (
  id              INTEGER PRIMARY KEY,    -- its number: 1 for a1
  label           TEXT    NOT NULL UNIQUE, -- a1
  name            TEXT    NOT NULL,       -- what people call it; may be empty
  protocol        TEXT    NOT NULL,       -- kurakin2017, small or custom
  seed            TEXT    NOT NULL,       -- decimal
  chance          TEXT    NOT NULL,       -- scheme of random numbers
  data            TEXT    NOT NULL,       -- name of the data set
  content         TEXT    NOT NULL,       -- hash of its test part
  channels        INTEGER NOT NULL,
  side            INTEGER NOT NULL,       -- pixels
  classes         INTEGER NOT NULL,
  test            INTEGER NOT NULL,       -- images in the test part
  folder          TEXT    NOT NULL,       -- where they were when it began
  pool            TEXT    NOT NULL,       -- hash of the images drawn
  images          INTEGER NOT NULL,       -- in the pool
  batch           INTEGER NOT NULL,       -- images of a micro-batch
  victims         INTEGER NOT NULL,
  specifications  INTEGER NOT NULL,
  transformations INTEGER NOT NULL,
  to_craft        INTEGER NOT NULL,       -- images that will be crafted
  to_score        INTEGER NOT NULL,       -- scores that will be recorded
  crafted         INTEGER NOT NULL DEFAULT 0, -- so far
  scored          INTEGER NOT NULL DEFAULT 0, -- so far
  threads         INTEGER NOT NULL,       -- a trainer computes with, on a CPU
  program         TEXT    NOT NULL,       -- that began it
  config_hash     TEXT    NOT NULL,
  config          TEXT    NOT NULL,       -- complete configuration, TOML
  device          TEXT,                   -- those of its trainers, in the order of first use
  library         TEXT,                   -- numerical library of the last trainer
  started_at      INTEGER NOT NULL,       -- ms
  last_at         INTEGER NOT NULL,       -- ms; its last event
  finished_at     INTEGER,                -- ms
  resumed         INTEGER NOT NULL DEFAULT 0, -- how often it was taken up again
  -- How the result tables draw their samples: [sampling] of the configuration.
  draw            INTEGER NOT NULL DEFAULT 0, -- images of a sample of one method and eps; 0: all
  fixed           INTEGER NOT NULL DEFAULT 0, -- first images of the pool, for transformations other than camera; 0: all
  prefilter_k     TEXT    NOT NULL DEFAULT '1,5', -- k for which a prefiltered image is clean right, adversarial wrong
  confidence      REAL    NOT NULL DEFAULT 0.8, -- at least that of a prefiltered image's prediction
  confident_side  TEXT    NOT NULL DEFAULT 'adv' -- whose prediction: adv, clean or both
) STRICT;

-- Models that are attacked, and judge images.
CREATE TABLE victim (
  attack       INTEGER NOT NULL,
  victim       INTEGER NOT NULL, -- from 0
  kind         TEXT    NOT NULL, -- trial, ensemble or torchscript
  trial        INTEGER,          -- of a trial
  label        TEXT    NOT NULL, -- t17, or the name of an ensemble or a file; m.pt#2 where one is recorded twice
  architecture TEXT    NOT NULL, -- may be empty
  weights      TEXT    NOT NULL, -- hashes, with spaces between
  members      TEXT    NOT NULL, -- trials of an ensemble: t3 t9
  model        TEXT    NOT NULL, -- which one it is, in all attacks: first digits of the hash of its weights
  outputs      INTEGER NOT NULL, -- classes that it tells apart
  PRIMARY KEY (attack, victim)
) STRICT, WITHOUT ROWID;

-- How images are crafted.
CREATE TABLE specification (
  attack INTEGER NOT NULL,
  spec   INTEGER NOT NULL, -- from 0
  method TEXT    NOT NULL, -- fast, basic, least-likely …; random-noise: nothing is crafted
  eps    INTEGER NOT NULL, -- of 255
  hash   TEXT    NOT NULL, -- results can be compared if it is the same
  text   TEXT    NOT NULL, -- all settings, TOML
  settings TEXT,           -- what tells those of one method and eps apart; NULL if the text does not say
  PRIMARY KEY (attack, spec)
) STRICT, WITHOUT ROWID;

-- What happens to images before they are judged.
CREATE TABLE transformation (
  attack         INTEGER NOT NULL,
  transformation INTEGER NOT NULL, -- from 0; 0 is the identity
  name           TEXT    NOT NULL,
  parameter      REAL    NOT NULL,
  repeats        INTEGER NOT NULL,
  random         INTEGER NOT NULL, -- whether each time gives another image
  text           TEXT    NOT NULL, -- its definition, TOML
  PRIMARY KEY (attack, transformation)
) STRICT, WITHOUT ROWID;

-- The images of an attack.
CREATE TABLE pool (
  attack INTEGER NOT NULL,
  place  INTEGER NOT NULL, -- in drawn order, from 0
  image  INTEGER NOT NULL, -- index into the test part
  label  INTEGER NOT NULL, -- its true class
  PRIMARY KEY (attack, place)
) STRICT, WITHOUT ROWID;

-- Micro-batches that were crafted. BLOBs hold a number an image, little-endian.
CREATE TABLE crafted (
  attack        INTEGER NOT NULL,
  victim        INTEGER NOT NULL,
  spec          INTEGER NOT NULL,
  first         INTEGER NOT NULL, -- place of its first image in the pool
  images        INTEGER NOT NULL,
  iterations    INTEGER NOT NULL, -- that were run
  artifact      TEXT    NOT NULL, -- hash of the packed differences
  mean_linf     REAL    NOT NULL, -- largest change of a value, mean over the images
  mean_l2       REAL    NOT NULL, -- Euclidean length of the change, mean over the images
  mean_changed  REAL    NOT NULL, -- values that changed, mean over the images
  zero_gradient INTEGER NOT NULL, -- values whose first gradient was exactly 0, sum
  invalid_gradient INTEGER NOT NULL, -- values whose first gradient was NaN or infinite, sum
  zero_images   INTEGER NOT NULL, -- images all of whose values had gradient 0
  invalid_images INTEGER NOT NULL, -- images with an invalid gradient
  mean_before   REAL,             -- loss on the clean images, mean; NULL if not finite
  mean_after    REAL,             -- on the crafted images
  targets       BLOB    NOT NULL, -- u16: class aimed at
  linf          BLOB    NOT NULL, -- u8
  l2            BLOB    NOT NULL, -- f32
  changed       BLOB    NOT NULL, -- u32
  PRIMARY KEY (attack, victim, spec, first)
) STRICT, WITHOUT ROWID;

-- Micro-batches that were judged. BLOBs hold a number an image, little-endian.
CREATE TABLE scored (
  attack         INTEGER NOT NULL,
  judge          INTEGER NOT NULL, -- the victim whose model looked
  victim         INTEGER NOT NULL, -- against which the images were crafted; -1: they are clean
  spec           INTEGER NOT NULL, -- how; -1: they are clean
  transformation INTEGER NOT NULL,
  repeat         INTEGER NOT NULL, -- from 0
  first          INTEGER NOT NULL, -- place of its first image in the pool
  images         INTEGER NOT NULL,
  dropped        INTEGER NOT NULL, -- of them; they count in no sum
  not_finite     INTEGER NOT NULL, -- images whose scores were not finite; they count as wrong
  right1         INTEGER NOT NULL, -- images whose true class is the likeliest
  right5         INTEGER NOT NULL, -- is among the five likeliest
  -- Of crafted images whose clean and untransformed scores by the same judge came before; else NULL.
  fooled1        INTEGER,          -- clean right, crafted wrong: the denominator of a destruction rate
  fooled5        INTEGER,          -- for the five likeliest
  destroyed1     INTEGER,          -- of those, right after the transformation: the numerator
  destroyed5     INTEGER,
  ranks          BLOB    NOT NULL, -- u16: classes ranked above the true one; 65535: there is no rank
  flags          BLOB    NOT NULL, -- u8: 1 not finite, 2 dropped; empty if no image has any
  event          INTEGER NOT NULL, -- that recorded it: the rest of its numbers is in `score_detail`
  PRIMARY KEY (attack, judge, victim, spec, transformation, repeat, first)
) STRICT, WITHOUT ROWID;

-- What else micro-batches were judged to be. In a table of its own, so that rows of `scored` fit
-- into a quarter of a page: SQLite reads longer ones whole just to see where a search ends.
CREATE TABLE score_detail (
  event          INTEGER PRIMARY KEY, -- position of the event
  top1           BLOB    NOT NULL, -- u16: class ranked first
  p_top1         BLOB    NOT NULL, -- f32: its probability
  p_true         BLOB    NOT NULL, -- f32: probability of the true class
  target_ranks   BLOB    NOT NULL  -- u16: classes ranked above the one aimed at
) STRICT;
-- Warnings about scores that are not finite look at these few rows alone.
CREATE INDEX scored_not_finite ON scored (attack, judge, spec, not_finite) WHERE not_finite > 0;

-- Parameters of result tables: these, unless a question brings its own.
CREATE TABLE args (
  window INTEGER NOT NULL, -- of `rolling`: samples averaged over
  bins   INTEGER NOT NULL, -- of `histogram`
  -- Of the tables about attacks. NULL: as the attack's own configuration has it, or no restriction.
  sampling    TEXT NOT NULL, -- average or prefiltered
  ks          TEXT NOT NULL, -- the k of "among the k likeliest classes", with commas between
  draw        INTEGER,       -- images of a sample; 0: all
  prefilter_k TEXT,          -- k for which a prefiltered image is clean right, adversarial wrong
  confidence  REAL,          -- of a prefiltered image's prediction
  side        TEXT,          -- whose prediction: adv, clean or both
  class       INTEGER,       -- only images of this class
  subset_from INTEGER,       -- only these places of the pool: the first
  subset_to   INTEGER,       -- and the last
  spec_method TEXT    NOT NULL, -- of `top`: under which attack a model's adv_accuracy is
  spec_eps    INTEGER NOT NULL  -- of which size
) STRICT;
INSERT INTO args VALUES (100, 100, 'average', '1,5', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'basic', 8);

-- What SQLite is to think of sizes, whatever they are: it then finds the same way in every store.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 VALUES
  ('architecture', 'sqlite_autoindex_architecture_1', '100000 1'),
  ('episode', 'episode_architecture', '150000 2 1');

---------------------------------------------------------------------------- result tables

-- table searches: Which searches and training runs are in the store, and how far are they?
-- order: started, search
CREATE VIEW searches AS
SELECT
  j.label AS search, -- [id] s1 for a search, r1 for a run of `qtrail train`
  CASE WHEN j.finished_at IS NULL THEN 'open' ELSE 'finished' END AS status, -- finished, or open
  (SELECT max(accuracy) FROM trial WHERE job = j.id AND status = 'trained')
    AS best_accuracy, -- highest validation accuracy of a trained model
  (SELECT count(*) FROM trial WHERE job = j.id AND status IN ('trained', 'failed'))
    AS models, -- new architectures with a result, failed ones included
  j.models AS planned, -- models that the schedule asks for
  (SELECT count(*) FROM trial WHERE job = j.id AND status = 'failed') AS failed, -- of the models
  (SELECT count(*) FROM trial WHERE job = j.id AND status = 'lost') AS lost, -- trials given up
  (SELECT count(*) FROM episode WHERE job = j.id) AS episodes, -- architectures sampled
  j.name AS name, -- what people call it
  coalesce(j.purpose, 'search') AS purpose, -- search; of a run: train, final or transfer
  j.recipe AS recipe, -- of a run: its name, if it is not the configuration's own
  j.data AS data, -- the data set
  j.seed AS seed, -- of all choices
  j.flavour AS flavour, -- paper or code
  strftime('%Y-%m-%d %H:%M:%S', j.started_at / 1000, 'unixepoch') AS started, -- UTC
  strftime('%Y-%m-%d %H:%M:%S', j.last_at / 1000, 'unixepoch') AS updated, -- UTC; last event
  (SELECT source || ' at ' || position FROM fork WHERE job = j.id)
    AS forked -- the search it was forked from, and the last event it knows of
FROM job j;

-- table episodes: Which architectures did the agent sample, and how good were they?
-- order: search, episode
CREATE VIEW episodes AS
SELECT
  e.episode AS episode, -- number in its search
  coalesce(e.accuracy, e.reward) AS accuracy, -- validation accuracy; of a failed one what failing is worth
  a.text AS arch, -- what was sampled
  e.epsilon AS epsilon, -- share of random actions
  e.duplicate AS duplicate, -- 1 if it was known in this search and answered from memory
  e.failed AS failed, -- 1 if training failed
  (SELECT 't' || id FROM trial WHERE job = e.job AND ordinal = e.ordinal)
    AS trial, -- [id] the training that answered it
  a.depth AS depth, -- layers without softmax
  (SELECT params FROM trial WHERE job = e.job AND ordinal = e.ordinal)
    AS params, -- weights and biases
  e.phase AS phase, -- of the schedule, from 0
  e.reward AS reward, -- what was learned from: that accuracy, unless the reward is an expression
  j.label AS search, -- [id] its search
  strftime('%Y-%m-%d %H:%M:%S', e.recorded_at / 1000, 'unixepoch') AS sampled, -- UTC
  e.inherited AS inherited -- in a fork: its episode in the search it was inherited from
FROM episode e
JOIN job j ON j.id = e.job
JOIN architecture a ON a.id = e.architecture;

-- table trials: How did each training end?
-- order: trial
CREATE VIEW trials AS
SELECT
  't' || t.id AS trial, -- [id] its id in the store
  t.accuracy AS accuracy, -- validation accuracy, the reward unless that is an expression; of a failed one what failing is worth (as in the authors' log); in runs NULL if failed or fitted to the validation images too
  a.text AS arch, -- what was trained
  t.status AS status, -- planned, running, trained, failed or lost
  t.epsilon AS epsilon, -- share of random actions when it was sampled
  t.params AS params, -- weights and biases
  t.madds AS madds, -- multiplications with a weight for one image
  a.depth AS depth, -- layers without softmax
  t.seconds AS seconds, -- of the attempt that ended it
  t.epochs AS epochs, -- in the last restart
  t.restarts AS restarts, -- because the first epoch was no better than chance
  t.best_epoch AS best_epoch, -- of the highest validation accuracy
  t.best_correct AS best_correct, -- validation images right after it
  t.last_correct AS last_correct, -- validation images right after the last epoch
  t.total AS total, -- validation images
  (SELECT correct * 1.0 / nullif(images, 0) FROM prediction WHERE trial = t.id AND part = 'test')
    AS test_accuracy, -- on the test images, of the weights that stand for it; unknown unless it was trained to be shown them
  CASE t.status WHEN 'failed' THEN 1 WHEN 'trained' THEN 0 END AS failed, -- 1 if it failed
  t.reason AS reason, -- why it failed: chance, non-finite, too-large
  t.attempts AS attempts, -- tries
  t.peak_memory AS peak_memory, -- [bytes] on the device
  t.kept AS kept, -- 1 if its weights are kept
  't' || t.reused AS reused, -- [id] the training whose result it took over
  a.ending AS ending, -- what leads to softmax: GAP, FC or SM
  t.repeat AS repeat, -- repetitions of the same training before it
  t.episode AS episode, -- that asked for it
  coalesce(j.purpose, 'search') AS purpose, -- search; of a run: train, final or transfer
  j.recipe AS recipe, -- of a run: its name, if it is not the configuration's own
  coalesce(j.fit, 'train') AS fit, -- the images trained on: train, or train+val
  't' || t.source AS source, -- [id] the trial that its model was taken from
  j.data AS data, -- the data set
  j.label AS search, -- [id] its search or run
  strftime('%Y-%m-%d %H:%M:%S', t.planned_at / 1000, 'unixepoch') AS planned, -- UTC
  strftime('%Y-%m-%d %H:%M:%S', t.ended_at / 1000, 'unixepoch') AS ended, -- UTC
  't' || t.inherited AS inherited -- [id] in a fork: the training it was inherited from; it was not trained here
FROM trial t
JOIN job j ON j.id = t.job
JOIN architecture a ON a.id = t.architecture;

-- table epochs: How did trainings go, epoch by epoch?
-- order: trial, attempt, restart, epoch
CREATE VIEW epochs AS
SELECT
  't' || t.id AS trial, -- [id] the training
  e.epoch AS epoch, -- from 1
  e.validation_correct * 1.0 / nullif(e.validation_total, 0) AS validation_accuracy, -- after it
  e.train_correct * 1.0 / nullif(e.train_total, 0) AS train_accuracy, -- as the images were seen
  e.train_loss AS train_loss, -- mean over the training images; NULL if not finite
  e.validation_loss AS validation_loss, -- mean over the validation images; NULL if not finite
  e.learning_rate AS learning_rate, -- in this epoch
  e.seconds AS seconds, -- duration
  e.restart AS restart, -- restarts before it
  e.attempt AS attempt, -- the try it belongs to
  coalesce(
    a.outcome = 'lost' AND coalesce((e.restart, e.epoch) > (a.carried_restart, a.carried_epoch), 1),
    0
  ) AS lost, -- 1 if that try was lost and no later one went on from here: it counts for nothing
  j.label AS search -- [id] its search or run
FROM epoch e
JOIN trial t ON t.id = e.trial
JOIN job j ON j.id = t.job
LEFT JOIN attempt a ON a.trial = e.trial AND a.attempt = e.attempt;

-- Accuracies of models under attack. Empty here, for other programs: it takes functions that they do
-- not have; this program has a temporary view of this name (below).
CREATE VIEW robust_cell AS
SELECT 0 AS trial, 0 AS n, 0.0 AS adv, 0 AS front, '' AS spec, 0 AS attack, 0 AS others
WHERE 0;

-- table top: Which architectures are best?
-- order: search, rank
-- limit: 10
CREATE VIEW top AS
WITH ranked AS (
  SELECT id, row_number() OVER (PARTITION BY job ORDER BY accuracy DESC, params, id) AS rank
  FROM trial
  WHERE status = 'trained' AND accuracy IS NOT NULL
)
SELECT
  r.rank AS rank, -- in its search; of equals the smaller model first
  t.accuracy AS accuracy, -- validation accuracy
  a.text AS arch, -- what was trained
  t.params AS params, -- weights and biases
  t.madds AS madds, -- multiplications with a weight for one image
  t.seconds AS seconds, -- of training
  t.epsilon AS epsilon, -- share of random actions when it was sampled
  o.adv AS adv_accuracy, -- share of adversarial images still right (top-1); crafted against this very model after `--spec` (else basic, eps 8)
  o.n AS adv_n, -- test images it is a share of: those judged by every attacked model of the search
  'a' || o.attack AS adv_attack, -- [id] the attack it is from: of all with one specification and one set of images, those on the most models of the search; of equals the most images, then the strongest, then the oldest. `--attack` chooses another
  o.front AS front, -- 1 if no attacked model is at least as good in both accuracies
  a.depth AS depth, -- layers without softmax
  t.kept AS kept, -- 1 if its weights are kept
  o.spec AS adv_spec, -- the attack that adv_accuracy is under: method, eps and what else tells specifications apart
  't' || t.id AS trial, -- [id] its training
  j.label AS search -- [id] its search or run
FROM ranked r
JOIN trial t ON t.id = r.id
JOIN job j ON j.id = t.job
JOIN architecture a ON a.id = t.architecture
LEFT JOIN robust_cell o ON o.trial = t.id;

-- table finals: How good are models trained after the search, on images that they never saw?
-- order: search, -accuracy, trial
CREATE VIEW finals AS
SELECT
  't' || t.id AS trial, -- [id] its training
  p.correct * 1.0 / nullif(p.images, 0) AS test_accuracy, -- on the test images, of the weights that stand for it
  t.accuracy AS accuracy, -- on the validation images; unknown if they were trained on too
  o.accuracy AS search_accuracy, -- of the trial that it was taken from, on the validation images
  a.text AS arch, -- what was trained
  p.correct AS test_correct, -- test images right
  p.images AS test_images, -- of so many
  t.params AS params, -- weights and biases
  t.epochs AS epochs, -- trained for
  t.seconds AS seconds, -- of training
  j.recipe AS recipe, -- its name
  j.fit AS fit, -- the images trained on: train, or train+val
  j.purpose AS purpose, -- final or transfer
  CASE WHEN m.weights IS NULL THEN 'scratch' ELSE 'weights' END AS init, -- where the weights began
  j.data AS data, -- the data set
  't' || t.source AS source, -- [id] the trial that it was taken from
  t.repeat AS repeat, -- repetitions of the same training before it
  t.status AS status, -- planned, running, trained, failed or lost
  j.label AS search -- [id] its run
FROM trial t
JOIN job j ON j.id = t.job AND j.purpose IN ('final', 'transfer')
JOIN architecture a ON a.id = t.architecture
LEFT JOIN prediction p ON p.trial = t.id AND p.part = 'test'
LEFT JOIN trial o ON o.id = t.source
LEFT JOIN run_model m ON m.job = t.job AND m.model =
  (t.ordinal - 1) % (SELECT max(count(*), 1) FROM run_model WHERE job = t.job);

-- table epsilon: Does the agent find better architectures the less it explores?
-- order: search, -epsilon
CREATE VIEW epsilon AS
WITH
  whole AS (
    SELECT
      job, epsilon, count(*) AS samples, sum(NOT duplicate) AS new,
      count(DISTINCT architecture) AS nets, sum(failed) AS failed, count(reward) AS n,
      avg(coalesce(accuracy, reward)) AS mean,
      avg(CASE WHEN NOT duplicate THEN coalesce(accuracy, reward) END) AS mean_new,
      max(coalesce(accuracy, reward)) AS best
    FROM episode
    GROUP BY job, epsilon
  ),
  spread AS (
    -- From the deviations themselves: sums of squares would lose digits.
    SELECT e.job, e.epsilon, sum((coalesce(e.accuracy, e.reward) - w.mean) * (coalesce(e.accuracy, e.reward) - w.mean)) AS squares
    FROM episode e JOIN whole w ON w.job = e.job AND w.epsilon = e.epsilon
    GROUP BY e.job, e.epsilon
  )
SELECT
  w.epsilon AS epsilon, -- share of random actions
  w.mean AS mean_accuracy, -- over all samples with a reward; failed ones count with what failing is worth
  w.samples AS samples, -- architectures sampled, known ones included
  w.new AS new, -- samples that were new in this search
  w.nets AS "distinct", -- distinct architectures among the samples of this epsilon
  coalesce(w.failed, 0) AS failed, -- samples whose training failed
  w.best AS max_accuracy, -- highest of them
  sqrt(s.squares / nullif(w.n - 1, 0)) / sqrt(w.n) AS se, -- standard error of the mean, were the samples independent
  sqrt(s.squares / nullif(w.n - 1, 0)) AS sd, -- standard deviation of the samples
  w.mean_new AS mean_accuracy_new, -- over the new samples alone
  j.label AS search -- [id] its search
FROM whole w
JOIN spread s ON s.job = w.job AND s.epsilon = w.epsilon
JOIN job j ON j.id = w.job;

-- table rolling: How does the mean accuracy of the last samples develop?
-- order: search, episode
CREATE VIEW rolling AS
WITH windows AS (
  SELECT
    job, episode, epsilon, coalesce(accuracy, reward) AS accuracy,
    avg(coalesce(accuracy, reward)) OVER last AS mean, count(*) OVER last AS n, args.window
  FROM episode, args
  WHERE reward IS NOT NULL
  -- SQLite wants a constant here. For another window the program replaces it.
  WINDOW last AS (PARTITION BY job ORDER BY episode ROWS BETWEEN 99 PRECEDING AND CURRENT ROW)
)
SELECT
  w.episode AS episode, -- number in its search
  CASE WHEN w.n = w.window THEN w.mean END AS mean_accuracy, -- over the last `--window` samples with a reward; unknown before there are so many
  w.epsilon AS epsilon, -- share of random actions
  w.accuracy AS accuracy, -- of this sample
  w.window AS window, -- samples averaged over
  j.label AS search -- [id] its search
FROM windows w
JOIN job j ON j.id = w.job;

-- table histogram: How are accuracies distributed at each epsilon?
-- order: search, -epsilon, bin
CREATE VIEW histogram AS
WITH
  ranges AS (
    SELECT
      e.job, e.epsilon, min(coalesce(e.accuracy, e.reward)) AS low, max(coalesce(e.accuracy, e.reward)) AS high,
      count(*) AS n, a.bins
    FROM episode e, args a
    WHERE e.reward IS NOT NULL
    GROUP BY e.job, e.epsilon
  ),
  binned AS (
    SELECT
      r.*,
      CASE WHEN r.high > r.low
        THEN min(CAST((coalesce(e.accuracy, e.reward) - r.low) / (r.high - r.low) * r.bins AS INTEGER), r.bins - 1)
        ELSE 0
      END AS bin
    FROM episode e JOIN ranges r ON r.job = e.job AND r.epsilon = e.epsilon
    WHERE e.reward IS NOT NULL
  ),
  counts AS (
    SELECT job, epsilon, low, (high - low) / bins AS width, n, bin, count(*) AS samples
    FROM binned
    GROUP BY job, epsilon, low, high, bins, n, bin
  )
SELECT
  c.epsilon AS epsilon, -- share of random actions
  c.bin AS bin, -- from 0; `--bins` equal ones from the lowest accuracy of this epsilon to its highest; empty ones are left out
  c.samples * 1.0 / c.n / nullif(c.width, 0) AS density, -- share divided by width, as Figure A2 has it
  c.samples * 1.0 / c.n AS share, -- of the samples of this epsilon
  c.samples AS samples, -- in the bin
  c.low + c.bin * c.width AS lower, -- where the bin begins
  c.low + (c.bin + 1) * c.width AS upper, -- where it ends; the last one holds its end
  j.label AS search -- [id] its search
FROM counts c
JOIN job j ON j.id = c.job;

-- table phases: When and why did each phase of a schedule end?
-- order: search, phase
CREATE VIEW phases AS
SELECT
  p.phase AS phase, -- of the schedule, from 0
  p.epsilon AS epsilon, -- share of random actions
  p.reason AS reason, -- quota (met), duplicates (too many in a row) or exhausted (the space)
  p.models AS models, -- new architectures with a result
  p.episode AS last_episode, -- at its end
  j.label AS search, -- [id] its search
  strftime('%Y-%m-%d %H:%M:%S', p.ended_at / 1000, 'unixepoch') AS ended -- UTC
FROM phase p
JOIN job j ON j.id = p.job;

-- table attempts: On which machine was each trial tried, and what became of it?
-- order: trial, attempt
CREATE VIEW attempts AS
SELECT
  't' || t.id AS trial, -- [id] the training
  a.attempt AS attempt, -- from 1
  a.outcome AS outcome, -- running, ended or lost
  a.reason AS reason, -- of a loss
  a.device AS device, -- cpu or cuda:N
  a.threads AS threads, -- on a CPU
  a.trainer AS trainer, -- program and version
  a.library AS library, -- numerical library and version
  a.isa AS isa, -- instruction set of its CPU kernels
  a.precision AS precision, -- f32, bf16, or bf16 emulated where the device has no instructions for it
  a.host AS host, -- name of the machine
  a.worker AS worker, -- the process that trained; empty in older logs
  a.counts AS counts, -- 1 if the loss counts against the trial
  j.label AS search, -- [id] its search or run
  strftime('%Y-%m-%d %H:%M:%S', a.started_at / 1000, 'unixepoch') AS started, -- UTC
  strftime('%Y-%m-%d %H:%M:%S', a.ended_at / 1000, 'unixepoch') AS ended -- UTC
FROM attempt a
JOIN trial t ON t.id = a.trial
JOIN job j ON j.id = t.job;

-- table repeats: Which trials were trained twice, and do both trainings agree to the bit?
-- order: trial, attempt
CREATE VIEW repeats AS
SELECT
  't' || t.id AS trial, -- [id] the training
  l.attempt AS attempt, -- the try whose result came after the trial had ended
  t.status = l.status AND t.best_correct IS l.best_correct AND t.last_correct IS l.last_correct
    AND t.total IS l.total AS same_result, -- 1 if both are right about the same number of images
  CASE WHEN t.weights IS NOT NULL AND l.weights IS NOT NULL THEN t.weights = l.weights END
    AS same_weights, -- 1 if both trained the same weights, to the bit
  l.status AS status, -- trained or failed
  t.accuracy AS accuracy, -- of the result that counts
  CAST(l.best_correct AS REAL) / l.total AS late_accuracy, -- of the late one: its best epoch
  l.seconds AS seconds, -- [s] of the late one
  a.device AS device, -- cpu or cuda:N
  a.host AS host, -- name of the machine
  a.worker AS worker, -- the process that trained
  j.label AS search -- [id] its search or run
FROM late l
JOIN trial t ON t.id = l.trial
JOIN job j ON j.id = t.job
LEFT JOIN attempt a ON a.trial = l.trial AND a.attempt = l.attempt;

-- table qtable: What has the agent learned about each action in each state?
-- order: search, pair
CREATE VIEW qtable AS
SELECT
  CASE p.layer_type
    WHEN 'conv' THEN printf('C(%d,%d,%d)', p.filter_depth, p.filter_size, p.stride)
    WHEN 'pool' THEN printf('P(%d,%d)', p.filter_size, p.stride)
    WHEN 'fc' THEN printf('FC(%d)', p.fc_size)
    WHEN 'gap' THEN 'GAP'
    ELSE 'start'
  END || ' at depth ' || p.layer_depth || ', bin ' || p.image_size AS state, -- layer placed last, depth, bin of the side
  p.action AS action, -- layer placed next; SM ends the architecture
  p.value AS value, -- Q, the expected reward
  p.updates AS updates, -- how often it was updated; 0 means the initial value, unknown if imported
  p.layer_type AS layer_type, -- start, conv, pool, gap or fc
  p.layer_depth AS layer_depth, -- layers placed so far
  p.filter_depth AS filter_depth, -- filters; for fc the number of fc layers before
  p.filter_size AS filter_size, -- field
  p.stride AS stride, -- of a convolution or pooling
  p.image_size AS image_size, -- bin of the side: 8 (over 7), 4 (4 to 7), 1 (up to 3)
  p.fc_size AS fc_size, -- width of a fully connected layer
  p.pair AS pair, -- number in the order of the state space; those it does not have come last
  p.phantom AS phantom, -- 1 if the state space does not have it; only in imports
  j.q_source AS source, -- recorded (learned here) or imported
  j.label AS search -- [id] its search
FROM pair p
JOIN job j ON j.id = p.job;

-- table qdepth: What does the agent expect of each kind of layer at each depth?
-- order: search, layer, depth
CREATE VIEW qdepth AS
WITH values_of AS (
  SELECT
    p.job, p.value, p.next_layer_depth AS depth,
    CASE WHEN p.next_terminate THEN 'softmax' ELSE p.next_layer_type END AS layer,
    -- An imported table does not say how often a pair was updated: it was if its value moved.
    coalesce(p.updates > 0, p.value <> j.q_init) AS touched
  FROM pair p JOIN job j ON j.id = p.job
  WHERE NOT p.phantom
)
SELECT
  v.layer AS layer, -- that is placed: conv, pool, gap, fc or softmax
  v.depth AS depth, -- at which it is placed, from 1
  avg(CASE WHEN v.touched THEN v.value END) AS mean_q, -- over the pairs that were updated
  sum(v.touched) AS n, -- pairs that were updated
  avg(v.value) AS mean_q_all, -- over all pairs, those with the initial value too
  count(*) AS n_all, -- pairs
  j.q_source AS source, -- recorded (learned here) or imported
  j.label AS search -- [id] its search
FROM values_of v
JOIN job j ON j.id = v.job
GROUP BY v.job, v.layer, v.depth;

-- table qfield: What does the agent expect of convolutions of each field at each depth?
-- order: search, field, depth
CREATE VIEW qfield AS
WITH values_of AS (
  SELECT
    p.job, p.value, p.next_layer_depth AS depth, p.next_filter_size AS field,
    coalesce(p.updates > 0, p.value <> j.q_init) AS touched
  FROM pair p JOIN job j ON j.id = p.job
  WHERE NOT p.phantom AND p.next_layer_type = 'conv' AND NOT p.next_terminate
)
SELECT
  v.field AS field, -- [pixels] side of the convolution's field
  v.depth AS depth, -- at which it is placed, from 1
  avg(CASE WHEN v.touched THEN v.value END) AS mean_q, -- over the pairs that were updated
  sum(v.touched) AS n, -- pairs that were updated
  avg(v.value) AS mean_q_all, -- over all pairs, those with the initial value too
  count(*) AS n_all, -- pairs
  j.q_source AS source, -- recorded (learned here) or imported
  j.label AS search -- [id] its search
FROM values_of v
JOIN job j ON j.id = v.job
GROUP BY v.job, v.field, v.depth;

-- table layers: Of which layers are the architectures made?
-- order: search, trial, position
CREATE VIEW layers AS
SELECT
  't' || t.id AS trial, -- [id] the training
  l.key + 1 AS position, -- from 1, softmax last
  l.value AS layer, -- as it is written
  substr(l.value, 1, instr(l.value, '(') - 1) AS type, -- C, P, FC, GAP or SM
  CAST(substr(l.value, instr(l.value, '(') + 1) AS INTEGER) AS size, -- first number: filters, field of a pooling layer, width or classes
  CASE substr(l.value, 1, 2)
    WHEN 'C(' THEN CAST(substr(l.value, instr(l.value, ',') + 1) AS INTEGER)
    WHEN 'P(' THEN CAST(substr(l.value, 3) AS INTEGER)
  END AS field, -- [pixels] side of its field
  t.accuracy AS accuracy, -- of the whole
  t.status AS status, -- of the training
  j.label AS search -- [id] its search or run
FROM trial t
JOIN job j ON j.id = t.job
JOIN architecture a ON a.id = t.architecture
JOIN json_each('["' || replace(substr(a.text, 2, length(a.text) - 2), ', ', '","') || '"]') l;

-- table motifs: Which sequences of layers do the best architectures have more often than the others?
-- order: search, -difference, length, motif
-- limit: 20
CREATE VIEW motifs AS
WITH
  ranked AS MATERIALIZED (
    SELECT
      t.job, t.id, t.ordinal, a.text,
      row_number() OVER (PARTITION BY t.job ORDER BY t.accuracy DESC, t.ordinal)
        <= (count(*) OVER (PARTITION BY t.job) + 9) / 10 AS best
    FROM trial t JOIN architecture a ON a.id = t.architecture
    WHERE t.accuracy IS NOT NULL AND t.status IN ('trained', 'failed')
  ),
  parts AS (
    -- C(64,3,1) is C3: what counts is the kind of layer and its field.
    SELECT
      r.job, r.ordinal, r.best, l.key AS place,
      CASE substr(l.value, 1, 2)
        WHEN 'C(' THEN 'C' || CAST(substr(l.value, instr(l.value, ',') + 1) AS INTEGER)
        WHEN 'P(' THEN 'P' || CAST(substr(l.value, 3) AS INTEGER)
        ELSE substr(l.value, 1, instr(l.value, '(') - 1)
      END AS part
    FROM ranked r
    JOIN json_each('["' || replace(substr(r.text, 2, length(r.text) - 2), ', ', '","') || '"]') l
  ),
  followed AS MATERIALIZED (
    SELECT *, lead(part) OVER w AS second, lead(part, 2) OVER w AS third
    FROM parts
    WINDOW w AS (PARTITION BY job, ordinal ORDER BY place)
  ),
  found AS (
    SELECT DISTINCT job, ordinal, best, 2 AS length, part || ' ' || second AS motif
    FROM followed WHERE second IS NOT NULL
    UNION ALL
    SELECT DISTINCT job, ordinal, best, 3, part || ' ' || second || ' ' || third
    FROM followed WHERE third IS NOT NULL
  ),
  sizes AS (SELECT job, count(*) AS n, sum(best) AS n_best FROM ranked GROUP BY job)
SELECT
  f.motif AS motif, -- layers that follow each other; C3 is a convolution with field 3, P2 pooling with field 2
  sum(f.best) * 1.0 / s.n_best - count(*) * 1.0 / s.n AS difference, -- of the two shares
  sum(f.best) * 1.0 / s.n_best AS share_best, -- of the best decile that has it
  count(*) * 1.0 / s.n AS share_all, -- of all architectures with a result that has it
  sum(f.best) AS best, -- architectures of the best decile that have it
  count(*) AS "all", -- architectures that have it
  f.length AS length, -- layers in it
  j.label AS search -- [id] its search or run
FROM found f
JOIN sizes s ON s.job = f.job
JOIN job j ON j.id = f.job
GROUP BY f.job, f.length, f.motif;

-- table pareto: Which architectures are best for their size, work or time?
-- order: search, -accuracy, params
CREATE VIEW pareto AS
WITH fronts AS (
  -- In the front is what is better than everything that costs as much or less. Of equals the
  -- first: the more accurate, then the earlier.
  SELECT
    t.*,
    t.accuracy > coalesce(max(t.accuracy) OVER (
      PARTITION BY t.job ORDER BY t.params, t.accuracy DESC, t.ordinal
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1) AS by_params,
    t.accuracy > coalesce(max(t.accuracy) OVER (
      PARTITION BY t.job ORDER BY t.madds, t.accuracy DESC, t.ordinal
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1) AS by_madds,
    t.seconds IS NOT NULL AND t.accuracy > coalesce(max(t.accuracy) OVER (
      PARTITION BY t.job, t.seconds IS NULL ORDER BY t.seconds, t.accuracy DESC, t.ordinal
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1) AS by_seconds
  FROM trial t
  WHERE t.status = 'trained' AND t.accuracy IS NOT NULL
)
SELECT
  f.accuracy AS accuracy, -- validation accuracy
  a.text AS arch, -- what was trained
  f.params AS params, -- weights and biases
  f.madds AS madds, -- multiplications with a weight for one image
  f.seconds AS seconds, -- of training
  f.by_params AS by_params, -- 1 if no model with as few or fewer parameters is as accurate
  f.by_madds AS by_madds, -- the same for multiplications
  f.by_seconds AS by_seconds, -- the same for the time of training
  't' || f.id AS trial, -- [id] its training
  j.label AS search -- [id] its search or run
FROM fronts f
JOIN job j ON j.id = f.job
JOIN architecture a ON a.id = f.architecture
WHERE f.by_params OR f.by_madds OR f.by_seconds;

-- table cost: How much computing did each epsilon take, and for what?
-- order: search, -epsilon, device
CREATE VIEW cost AS
WITH tries AS (
  SELECT
    t.job, t.epsilon, t.id, t.status, t.seconds, t.epochs, t.accuracy, a.device,
    a.outcome = 'lost' AS lost, (a.ended_at - a.started_at) / 3600000.0 AS hours
  FROM attempt a JOIN trial t ON t.id = a.trial
)
SELECT
  r.epsilon AS epsilon, -- share of random actions; unknown outside of searches
  r.device AS device, -- cpu or cuda:N
  sum(r.hours) AS device_hours, -- [h] from the start to the end of each try, lost ones too
  sum(CASE WHEN r.lost THEN r.hours ELSE 0 END) AS lost_hours, -- [h] of them for tries that were lost
  count(DISTINCT r.id) AS trials, -- trainings
  count(*) AS attempts, -- tries
  sum(r.hours) * 3600 / count(DISTINCT r.id) AS seconds_per_trial, -- [s] of the device
  max(CASE WHEN NOT r.lost THEN r.seconds END) AS longest, -- [s] longest training, as the trainer says
  sum(CASE WHEN NOT r.lost THEN r.epochs END) AS epochs, -- done in the last restarts
  max(CASE WHEN r.status = 'trained' THEN r.accuracy END) AS best_accuracy, -- that it bought
  j.label AS search -- [id] its search or run
FROM tries r
JOIN job j ON j.id = r.job
GROUP BY r.job, r.epsilon, r.device;

-- table quarantine: Which rows of imported logs count for nothing, and why?
-- order: search, row
CREATE VIEW quarantine AS
SELECT
  i.row AS row, -- of the file, from 0 without the header, as the authors' tools count
  i.line AS line, -- of the file, from 1
  i.quarantine AS reason, -- what is wrong with it
  i.best AS accuracy, -- as it stands there
  i.epsilon AS epsilon, -- share of random actions
  a.text AS arch, -- what was sampled
  i.best_iteration AS iteration, -- of the accuracy
  i.update_number AS "update", -- of the Q-table that followed
  i.machine AS machine, -- it ran on
  strftime('%Y-%m-%d %H:%M:%S', i.time_finished, 'unixepoch') AS finished, -- UTC
  m.file AS file, -- it was imported from
  j.label AS search -- [id] its search
FROM imported i
JOIN job j ON j.id = i.job
JOIN import m ON m.job = i.job
JOIN architecture a ON a.id = i.architecture
WHERE i.quarantine IS NOT NULL;

-- table stability: How much do the searches of a series differ at each epsilon?
-- order: series, -epsilon
CREATE VIEW stability AS
WITH
  each AS (
    -- Phases that ended: half a phase has another mean.
    SELECT
      m.series, e.job, e.epsilon, avg(coalesce(e.accuracy, e.reward)) AS mean,
      max(coalesce(e.accuracy, e.reward)) AS best, count(*) AS samples
    FROM series_member m
    JOIN phase p ON p.job = m.job
    JOIN episode e ON e.job = p.job AND e.phase = p.phase
    WHERE e.reward IS NOT NULL
    GROUP BY m.series, e.job, e.epsilon
  ),
  whole AS (
    SELECT
      series, epsilon, count(*) AS searches, avg(mean) AS mean, min(mean) AS lowest,
      max(mean) AS highest, avg(best) AS best, sum(samples) AS samples
    FROM each
    GROUP BY series, epsilon
  ),
  spread AS (
    SELECT
      e.series, e.epsilon, sum((e.mean - w.mean) * (e.mean - w.mean)) AS squares,
      sum((e.best - w.best) * (e.best - w.best)) AS best_squares
    FROM each e JOIN whole w ON w.series = e.series AND w.epsilon = e.epsilon
    GROUP BY e.series, e.epsilon
  )
SELECT
  w.epsilon AS epsilon, -- share of random actions
  w.mean AS mean_accuracy, -- mean over searches of the mean over the samples of this epsilon
  sqrt(s.squares / nullif(w.searches - 1, 0)) AS sd, -- standard deviation of those means over searches (n - 1); unknown of one search
  w.searches AS searches, -- whose phase of this epsilon has ended
  w.lowest AS lowest, -- mean of a search
  w.highest AS highest, -- mean of a search
  w.best AS max_accuracy, -- mean over searches of the highest accuracy among the samples
  sqrt(s.best_squares / nullif(w.searches - 1, 0)) AS max_sd, -- standard deviation of those over searches (n - 1)
  w.samples AS samples, -- of all searches
  r.repeats AS repeats, -- searches in the series once it is complete
  r.name AS name, -- of the series
  w.series AS series -- number of the series
FROM whole w
JOIN spread s ON s.series = w.series AND s.epsilon = w.epsilon
JOIN series r ON r.series = w.series;

-- table repetitions: What did each search of a series find?
-- order: series, repetition
CREATE VIEW repetitions AS
WITH ranked AS (
  SELECT
    t.job, t.id, t.accuracy, t.architecture, t.params,
    row_number() OVER (PARTITION BY t.job ORDER BY t.accuracy DESC, t.params, t.id) AS rank
  FROM trial t JOIN series_member m ON m.job = t.job
  WHERE t.status = 'trained' AND t.accuracy IS NOT NULL
)
SELECT
  m.repetition AS repetition, -- from 1
  j.label AS search, -- [id] the search
  CASE WHEN j.finished_at IS NULL THEN 'open' ELSE 'finished' END AS status, -- finished, or open
  b.accuracy AS best_accuracy, -- highest validation accuracy of a trained model
  a.text AS arch, -- which model that is
  b.params AS params, -- its weights and biases
  't' || b.id AS trial, -- [id] its training
  (SELECT count(*) FROM trial WHERE job = j.id AND status IN ('trained', 'failed'))
    AS models, -- new architectures with a result, failed ones included
  (SELECT count(*) FROM trial WHERE job = j.id AND status = 'failed') AS failed, -- of the models
  (SELECT count(*) FROM trial WHERE job = j.id AND reused IS NOT NULL)
    AS reused, -- of the models: their results were taken over from an earlier search of the series
  (SELECT count(*) FROM episode WHERE job = j.id) AS episodes, -- architectures sampled
  j.seed AS seed, -- of the search
  r.reuse_trials AS reuse_trials, -- 1 if results of earlier searches are taken over
  r.name AS name, -- of the series
  m.series AS series -- number of the series
FROM series_member m
JOIN series r ON r.series = m.series
JOIN job j ON j.id = m.job
LEFT JOIN ranked b ON b.job = m.job AND b.rank = 1
LEFT JOIN architecture a ON a.id = b.architecture;

-- table ensembles: Which ensembles were saved, and how good are they?
-- order: test_error, name
CREATE VIEW ensembles AS
WITH together AS (
  SELECT
    ensemble, group_concat('t' || trial, ' ') AS members, count(*) AS size,
    group_concat(round(weight, 4), ' ') AS weights, min(data) AS data
  FROM (
    SELECT m.ensemble, m.trial, m.weight, j.data
    FROM ensemble_member m
    JOIN trial t ON t.id = m.trial
    JOIN job j ON j.id = t.job
    ORDER BY m.ensemble, m.place
  )
  GROUP BY ensemble
)
SELECT
  e.name AS name, -- what it is called
  100.0 * e.test_wrong / nullif(e.test_images, 0) AS test_error, -- [%] of the test images decided wrongly
  100.0 * e.validation_wrong / nullif(e.validation_images, 0)
    AS validation_error, -- [%] of the validation images; unknown if a member was fitted to them
  t.size AS size, -- members
  t.members AS members, -- the trainings
  t.weights AS weights, -- of the members, in the same order
  e.combine AS combine, -- mean, geometric, vote or weighted
  e.chosen AS chosen, -- how its members were chosen
  t.data AS data, -- the data set
  e.test_wrong AS test_wrong, -- test images decided wrongly
  e.test_images AS test_images, -- test images
  strftime('%Y-%m-%d %H:%M:%S', e.saved_at / 1000, 'unixepoch') AS saved -- UTC
FROM ensemble e
JOIN together t ON t.ensemble = e.ensemble;

-- table replays: How do replay policies compare in the studies that were saved?
-- order: saved, study, row
CREATE VIEW replays AS
SELECT
  s.name AS study, -- what it is called; `qtrail replay --check` does it again
  r.policy AS policy, -- which experiences are drawn
  r.seeds AS seeds, -- it was run under; 0: all give the same. Numbers are means over them
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'prequential')
    AS prequential, -- rank correlation of path value and reward, each new architecture before it was learned from
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'prequential_trained')
    AS prequential_trained, -- the same over those whose training did not fail
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'first_tenth')
    AS first_tenth, -- draws per experience of the earliest tenth
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'last_tenth')
    AS last_tenth, -- draws per experience of the latest tenth
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'last_phase')
    AS last_phase, -- draws per experience of the last phase
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'never')
    AS never, -- share of all experiences that were never drawn
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'never_last_phase')
    AS never_last_phase, -- share of the last phase that was never drawn
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'own_step')
    AS own_step, -- share of experiences that were drawn in their own step
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'gini')
    AS gini, -- inequality of draws: 0 if all are drawn equally often
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'spearman')
    AS spearman, -- in-sample rank correlation over distinct architectures
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'kendall')
    AS kendall, -- in-sample tau-b over distinct architectures
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'top10')
    AS top10, -- in-sample: of the ten architectures of highest path value, how many are among the ten best
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'rms')
    AS rms, -- distance to the Q-table on record
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'updates')
    AS updates, -- updates of a Q-value
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'greedy_accuracy')
    AS greedy_accuracy, -- accuracy on record of the architecture that the Q-table would choose; NULL: unknown
  r.greedy AS greedy, -- architecture that the Q-table would choose
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'sim_best')
    AS sim_best, -- simulated searches: highest reward
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'sim_best_vs_uniform')
    AS sim_best_vs_uniform, -- difference to uniform, paired by seed
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'sim_area')
    AS sim_area, -- simulated searches: mean of the highest reward so far
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'sim_last_phase')
    AS sim_last_phase, -- simulated searches: mean reward of the samples of the last phase
  (SELECT mean FROM study_figure WHERE study = s.study AND row = r.row AND name = 'sim_last_phase_vs_uniform')
    AS sim_last_phase_vs_uniform, -- difference to uniform, paired by seed
  r.row AS row, -- in its study, from 0
  s.kind AS kind, -- what was done: replay or simulate
  s.search AS search, -- [id] it is about
  s.position AS as_of, -- last event it knew of
  strftime('%Y-%m-%d %H:%M:%S', s.saved_at / 1000, 'unixepoch') AS saved -- UTC
FROM study_row r
JOIN study s ON s.study = r.study
WHERE s.saved_at IS NOT NULL;

-- table attacks: Which attacks on models are in the store, and how far are they?
-- order: started, attack
CREATE VIEW attacks AS
SELECT
  a.label AS attack, -- [id] a1
  CASE WHEN a.finished_at IS NULL THEN 'open' ELSE 'finished' END AS status, -- finished, or open
  (SELECT group_concat(label, ' ') FROM (SELECT label FROM victim WHERE attack = a.id ORDER BY victim))
    AS models, -- that are attacked, and judge
  (SELECT group_concat(text, ' ') FROM (
    SELECT method || ':' || group_concat(eps, ',') AS text
    FROM (SELECT method, eps, spec FROM specification WHERE attack = a.id ORDER BY spec)
    GROUP BY method ORDER BY min(spec))) AS methods, -- and their eps, of 255
  a.images AS images, -- in the pool, of the test part
  a.crafted AS crafted, -- adversarial images so far
  a.scored AS scored, -- judgements of an image so far
  (a.crafted + a.scored) * 1.0 / nullif(a.to_craft + a.to_score, 0) AS progress, -- share of both that is done
  a.protocol AS protocol, -- kurakin2017, small or custom
  a.transformations AS transformations, -- the identity included
  a.draw AS draw, -- images of a sample of one method and eps; 0: the whole pool
  a.fixed AS fixed, -- first images of the pool, seen by artificial transformations; 0: the whole pool
  a.prefilter_k AS prefilter_k, -- k for which a prefiltered image is clean right, adversarial wrong
  a.confidence AS confidence, -- at least that of a prefiltered image's prediction
  a.confident_side AS side, -- whose prediction: adv, clean or both
  a.name AS name, -- what people call it
  a.data AS data, -- the data set
  a.seed AS seed, -- of all draws
  a.device AS device, -- those of its trainers, in the order of first use
  a.library AS library, -- numerical library of the last trainer
  strftime('%Y-%m-%d %H:%M:%S', a.started_at / 1000, 'unixepoch') AS started, -- UTC
  strftime('%Y-%m-%d %H:%M:%S', a.last_at / 1000, 'unixepoch') AS updated -- UTC; last event
FROM attack a;

-- table perturbations: How much did each attack change images, and what did it gain?
-- order: attack, victim, spec
CREATE VIEW perturbations AS
SELECT
  s.method AS method, -- fast, basic (iterative), least-likely (iterative) …
  s.eps AS eps, -- largest change of a pixel value, of 255
  sum(c.mean_linf * c.images) / sum(c.images) AS linf, -- largest change of a value, mean over the images
  sum(c.mean_l2 * c.images) / sum(c.images) AS l2, -- Euclidean length of the change, of values 0 to 255, mean over the images
  sum(c.mean_changed * c.images) / sum(c.images) / (a.side * a.side * a.channels) AS changed, -- share of the values that changed
  sum(c.zero_gradient) * 1.0 / sum(c.images) / (a.side * a.side * a.channels) AS zero_gradient, -- share of the values whose first gradient was exactly 0: they do not move in the first step
  sum(c.invalid_gradient) * 1.0 / sum(c.images) / (a.side * a.side * a.channels) AS invalid_gradient, -- share of the values whose first gradient was NaN (they do not move) or infinite (they move by its sign)
  sum(c.zero_images) AS zero_images, -- images all of whose values had gradient 0: one step changes nothing
  sum(c.invalid_images) AS invalid_images, -- images with an invalid gradient
  sum(c.mean_before * c.images) / sum(c.images) AS loss_before, -- of the class the attack looks at, mean over the images
  sum(c.mean_after * c.images) / sum(c.images) AS loss_after, -- on the crafted images; towards a class it falls
  max(c.iterations) AS iterations, -- steps
  sum(c.images) AS images, -- crafted
  v.label AS victim, -- [id] the model
  v.model AS model, -- [id] first digits of the hash of its weights: the same model in every attack
  s.settings AS settings, -- what tells specifications of one method and eps apart: steps, start, precision, batches
  s.hash AS hash, -- of the specification: results can be compared if it is the same
  c.spec AS spec, -- number of the specification in its attack
  a.label AS attack -- [id] its attack
FROM crafted c
JOIN attack a ON a.id = c.attack
JOIN victim v ON v.attack = c.attack AND v.victim = c.victim
JOIN specification s ON s.attack = c.attack AND s.spec = c.spec
GROUP BY c.attack, c.victim, c.spec;

-- table published: How do published test errors compare, and where does the best model here stand?
-- order: place, search
CREATE VIEW published AS
WITH papers (place, part, method, cifar10, svhn, mnist, cifar100, note, source) AS (
  VALUES
    (1, 'similar layers', 'Maxout', 9.38, 2.47, 0.45, 38.57, NULL, 'Baker et al. 2017, Table 3'),
    (2, 'similar layers', 'NIN', 8.81, 2.35, 0.47, 35.68, NULL, 'Baker et al. 2017, Table 3'),
    (3, 'similar layers', 'FitNet', 8.39, 2.42, 0.51, 35.04, NULL, 'Baker et al. 2017, Table 3'),
    (4, 'similar layers', 'HighWay', 7.72, NULL, NULL, NULL, NULL, 'Baker et al. 2017, Table 3'),
    (5, 'similar layers', 'VGGnet', 7.25, NULL, NULL, NULL, NULL, 'Baker et al. 2017, Table 3'),
    (6, 'similar layers', 'All-CNN', 7.25, NULL, NULL, 33.71, NULL, 'Baker et al. 2017, Table 3'),
    (7, 'similar layers', 'MetaQNN (ensemble)', 7.32, 2.06, 0.32, NULL, NULL, 'Baker et al. 2017, Table 3'),
    (8, 'similar layers', 'MetaQNN (top model)', 6.92, 2.28, 0.44, 27.14, 'CIFAR-100: the top CIFAR-10 architecture, trained from scratch', 'Baker et al. 2017, Table 3'),
    (9, 'similar layers', 'MetaQNN (ensemble)', NULL, NULL, 0.38, NULL, 'MNIST in the state space of the submission', 'Baker et al., submission of November 2016, Table 3'),
    (10, 'similar layers', 'MetaQNN (top model)', NULL, NULL, 0.41, NULL, 'MNIST in the state space of the submission', 'Baker et al., submission of November 2016, Table 3'),
    (11, 'similar layers', 'MetaQNN (ensemble of 10)', NULL, NULL, 0.28, NULL, 'all ten MNIST models', 'Baker et al. 2017, section 5'),
    (21, 'state of the art', 'DropConnect', 9.32, 1.94, 0.57, NULL, NULL, 'Baker et al. 2017, Table 4'),
    (22, 'state of the art', 'DSN', 8.22, 1.92, 0.39, 34.57, NULL, 'Baker et al. 2017, Table 4'),
    (23, 'state of the art', 'R-CNN', 7.72, 1.77, 0.31, 31.75, NULL, 'Baker et al. 2017, Table 4'),
    (24, 'state of the art', 'MetaQNN (ensemble)', 7.32, 2.06, 0.32, NULL, NULL, 'Baker et al. 2017, Table 4'),
    (25, 'state of the art', 'MetaQNN (top model)', 6.92, 2.28, 0.44, 27.14, 'CIFAR-100: the top CIFAR-10 architecture, trained from scratch', 'Baker et al. 2017, Table 4'),
    (26, 'state of the art', 'Resnet(110)', 6.61, NULL, NULL, NULL, NULL, 'Baker et al. 2017, Table 4'),
    (27, 'state of the art', 'Resnet(1001)', 4.62, NULL, NULL, 22.71, NULL, 'Baker et al. 2017, Table 4'),
    (28, 'state of the art', 'ELU', 6.55, NULL, NULL, 24.28, NULL, 'Baker et al. 2017, Table 4'),
    (29, 'state of the art', 'Tree+Max-Avg', 6.05, 1.69, 0.31, 32.37, NULL, 'Baker et al. 2017, Table 4'),
    (41, 'transfer', 'from scratch', NULL, 2.48, 0.8, 27.14, 'the top CIFAR-10 model on other data sets', 'Baker et al. 2017, Table 5'),
    (42, 'transfer', 'finetuned', NULL, 4.0, 0.81, 34.93, 'the top CIFAR-10 model on other data sets', 'Baker et al. 2017, Table 5'),
    (43, 'transfer', 'state of the art', NULL, 1.69, 0.31, 24.28, NULL, 'Baker et al. 2017, Table 5')
),
here AS (
  -- Validation, not test: what a search knows of its best model. It stands in both comparisons.
  SELECT j.label, j.data, 100 * (1 - max(t.accuracy)) AS error
  FROM trial t JOIN job j ON j.id = t.job
  WHERE t.status = 'trained' AND j.kind = 'search'
  GROUP BY j.id
),
finals AS (
  -- Chosen by validation: those trained on the validation images too by the accuracy in the search.
  SELECT
    j.label, j.data, 100 * (1 - p.correct * 1.0 / nullif(p.images, 0)) AS error, j.recipe,
    row_number() OVER (PARTITION BY j.id ORDER BY coalesce(t.accuracy, o.accuracy) DESC, t.id) AS rank
  FROM trial t
  JOIN job j ON j.id = t.job AND j.purpose = 'final'
  JOIN prediction p ON p.trial = t.id AND p.part = 'test'
  LEFT JOIN trial o ON o.id = t.source
),
own AS (
  SELECT label, data, error, 'on the validation images, not the test images' AS note FROM here
  UNION ALL
  SELECT label, data, error, 'on the test images, trained by the recipe ' || recipe
  FROM finals WHERE rank = 1
),
named AS (
  SELECT name, data, test_error AS error FROM ensembles WHERE test_error IS NOT NULL
),
together AS (
  SELECT *, NULL AS search FROM papers
  UNION ALL
  SELECT
    p.place, p.part, 'here: ' || n.name || ' (ensemble)',
    CASE WHEN n.data = 'cifar10' THEN n.error END, CASE WHEN n.data = 'svhn' THEN n.error END,
    CASE WHEN n.data = 'mnist' THEN n.error END, CASE WHEN n.data = 'cifar100' THEN n.error END,
    'on the test images', 'this store', NULL
  FROM named n
  JOIN (SELECT 18 AS place, 'similar layers' AS part UNION ALL SELECT 38, 'state of the art') p
  WHERE n.data IN ('cifar10', 'svhn', 'mnist', 'cifar100')
  UNION ALL
  SELECT
    p.place, p.part, 'here: ' || h.label || ' (top model)',
    CASE WHEN h.data = 'cifar10' THEN h.error END, CASE WHEN h.data = 'svhn' THEN h.error END,
    CASE WHEN h.data = 'mnist' THEN h.error END, CASE WHEN h.data = 'cifar100' THEN h.error END,
    h.note, 'this store', h.label
  FROM own h
  JOIN (SELECT 19 AS place, 'similar layers' AS part UNION ALL SELECT 39, 'state of the art') p
  WHERE h.data IN ('cifar10', 'svhn', 'mnist', 'cifar100')
)
SELECT
  t.method AS method, -- as the paper names it; `here` for a search of this store, or its best after final training
  t.cifar10 AS cifar10, -- [%] test error on CIFAR-10
  t.svhn AS svhn, -- [%] on SVHN
  t.mnist AS mnist, -- [%] on MNIST
  t.cifar100 AS cifar100, -- [%] on CIFAR-100
  t.part AS part, -- compared with: similar layers, state of the art, or transfer of the top model
  t.note AS note, -- what is special about it
  t.source AS source, -- where it is printed
  t.place AS place, -- its place in the tables
  t.search AS search -- [id] of this store
FROM together t;

-- table transfer: How good is a model found on one data set on another, from scratch and fine-tuned?
-- order: place, data, model
CREATE VIEW transfer AS
WITH papers (place, data, scratch, finetuned, best, model) AS (
  VALUES
    (1, 'cifar100', 27.14, 34.93, 24.28, 'the top CIFAR-10 model'),
    (2, 'svhn', 2.48, 4.0, 1.69, 'the top CIFAR-10 model'),
    (3, 'mnist', 0.8, 0.81, 0.31, 'the top CIFAR-10 model')
),
trained AS (
  SELECT
    t.source, j.data, m.weights IS NOT NULL AS tuned, t.id,
    100 * (1 - p.correct * 1.0 / nullif(p.images, 0)) AS error,
    -- Of several the best on the validation images, never on the test images.
    row_number() OVER (
      PARTITION BY t.source, j.data, m.weights IS NOT NULL ORDER BY t.accuracy DESC, t.id
    ) AS rank
  FROM trial t
  JOIN job j ON j.id = t.job AND j.purpose = 'transfer'
  JOIN prediction p ON p.trial = t.id AND p.part = 'test'
  LEFT JOIN run_model m ON m.job = t.job AND m.model = 0
),
pairs AS (
  SELECT
    source, data, max(CASE WHEN NOT tuned THEN error END) AS scratch,
    max(CASE WHEN tuned THEN error END) AS finetuned,
    max(CASE WHEN NOT tuned THEN 't' || id END) AS scratch_trial,
    max(CASE WHEN tuned THEN 't' || id END) AS finetuned_trial
  FROM trained WHERE rank = 1 GROUP BY source, data
),
together AS (
  SELECT
    place, data, scratch, finetuned, best, model, 'cifar10' AS found_on, NULL AS trial,
    NULL AS scratch_trial, NULL AS finetuned_trial, 'Baker et al. 2017, Table 5' AS source
  FROM papers
  UNION ALL
  SELECT
    10, p.data, p.scratch, p.finetuned, (SELECT best FROM papers WHERE data = p.data), a.text, j.data,
    't' || t.id, p.scratch_trial, p.finetuned_trial, 'this store'
  FROM pairs p
  JOIN trial t ON t.id = p.source
  JOIN job j ON j.id = t.job
  JOIN architecture a ON a.id = t.architecture
)
SELECT
  t.data AS data, -- the images it was taken to
  t.scratch AS scratch, -- [%] test error, trained from scratch
  t.finetuned AS finetuned, -- [%] test error, from the weights it was found with
  t.best AS state_of_the_art, -- [%] best test error published by then (Baker et al. 2017, Table 5)
  t.model AS model, -- the architecture
  t.found_on AS found_on, -- the images it was found on
  t.source AS source, -- where the errors are printed, or this store
  t.trial AS trial, -- [id] that found it
  t.scratch_trial AS scratch_trial, -- [id] that trained it from scratch
  t.finetuned_trial AS finetuned_trial, -- [id] that went on from its weights
  t.place AS place -- its place in the paper's table
FROM together t;

-- table published_attacks: What did photographs do to adversarial examples in the paper?
-- order: place
CREATE VIEW published_attacks AS
WITH paper (place, number, sampling, method, eps, photos, photo_clean, photo_clean5, photo_adv, photo_adv5,
    source_clean, source_clean5, source_adv, source_adv5, destroyed, destroyed5) AS (
  -- Kurakin, Goodfellow, Bengio 2017, Adversarial Examples in the Physical World, Tables 1 to 3.
  VALUES
    (1, 1, 'average', 'fast', 16, 99, 79.8, 91.9, 36.4, 67.7, 85.3, 94.1, 36.3, 58.8, NULL, NULL),
    (2, 1, 'average', 'fast', 8, 102, 70.6, 93.1, 49.0, 73.5, 77.5, 97.1, 30.4, 57.8, NULL, NULL),
    (3, 1, 'average', 'fast', 4, 102, 72.5, 90.2, 52.9, 79.4, 77.5, 94.1, 33.3, 51.0, NULL, NULL),
    (4, 1, 'average', 'fast', 2, 99, 65.7, 85.9, 54.5, 78.8, 71.6, 93.1, 35.3, 53.9, NULL, NULL),
    (5, 1, 'average', 'basic', 16, 96, 72.9, 89.6, 49.0, 75.0, 81.4, 95.1, 28.4, 31.4, NULL, NULL),
    (6, 1, 'average', 'basic', 8, 102, 72.5, 93.1, 51.0, 87.3, 73.5, 93.1, 26.5, 31.4, NULL, NULL),
    (7, 1, 'average', 'basic', 4, 102, 63.7, 87.3, 48.0, 80.4, 74.5, 92.2, 12.7, 24.5, NULL, NULL),
    (8, 1, 'average', 'basic', 2, 99, 70.7, 87.9, 62.6, 86.9, 74.5, 96.1, 28.4, 41.2, NULL, NULL),
    (9, 1, 'average', 'l.l.', 16, 90, 71.1, 90.0, 60.0, 83.3, 79.4, 96.1, 1.0, 1.0, NULL, NULL),
    (10, 1, 'average', 'l.l.', 8, 102, 76.5, 94.1, 69.6, 92.2, 78.4, 98.0, 0.0, 6.9, NULL, NULL),
    (11, 1, 'average', 'l.l.', 4, 99, 76.8, 86.9, 75.8, 85.9, 80.4, 90.2, 9.8, 24.5, NULL, NULL),
    (12, 1, 'average', 'l.l.', 2, 102, 71.6, 87.3, 68.6, 89.2, 75.5, 92.2, 20.6, 44.1, NULL, NULL),
    (13, 2, 'prefiltered', 'fast', 16, 99, 81.8, 97.0, 5.1, 39.4, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (14, 2, 'prefiltered', 'fast', 8, 96, 77.1, 95.8, 14.6, 70.8, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (15, 2, 'prefiltered', 'fast', 4, 102, 81.4, 100.0, 32.4, 91.2, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (16, 2, 'prefiltered', 'fast', 2, 99, 88.9, 99.0, 49.5, 91.9, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (17, 2, 'prefiltered', 'basic', 16, 90, 93.3, 97.8, 60.0, 87.8, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (18, 2, 'prefiltered', 'basic', 8, 102, 89.2, 98.0, 64.7, 91.2, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (19, 2, 'prefiltered', 'basic', 4, 102, 92.2, 97.1, 77.5, 94.1, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (20, 2, 'prefiltered', 'basic', 2, 99, 93.9, 97.0, 80.8, 97.0, 100.0, 100.0, 0.0, 1.0, NULL, NULL),
    (21, 2, 'prefiltered', 'l.l.', 16, 96, 95.8, 100.0, 87.5, 97.9, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (22, 2, 'prefiltered', 'l.l.', 8, 99, 96.0, 100.0, 88.9, 97.0, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (23, 2, 'prefiltered', 'l.l.', 4, 99, 93.9, 100.0, 91.9, 98.0, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (24, 2, 'prefiltered', 'l.l.', 2, 102, 92.2, 99.0, 93.1, 98.0, 100.0, 100.0, 0.0, 0.0, NULL, NULL),
    (25, 3, 'average', 'fast', 16, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 12.5, 40.0),
    (26, 3, 'average', 'fast', 8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 33.3, 40.0),
    (27, 3, 'average', 'fast', 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 46.7, 65.9),
    (28, 3, 'average', 'fast', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 61.1, 63.2),
    (29, 3, 'average', 'basic', 16, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 40.4, 69.4),
    (30, 3, 'average', 'basic', 8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 52.1, 90.5),
    (31, 3, 'average', 'basic', 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 52.4, 82.6),
    (32, 3, 'average', 'basic', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 71.7, 81.5),
    (33, 3, 'average', 'l.l.', 16, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 72.2, 85.1),
    (34, 3, 'average', 'l.l.', 8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 86.3, 94.6),
    (35, 3, 'average', 'l.l.', 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 90.3, 93.9),
    (36, 3, 'average', 'l.l.', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 82.1, 93.9),
    (37, 3, 'prefiltered', 'fast', 16, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 5.1, 39.4),
    (38, 3, 'prefiltered', 'fast', 8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 14.6, 70.8),
    (39, 3, 'prefiltered', 'fast', 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 32.4, 91.2),
    (40, 3, 'prefiltered', 'fast', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 49.5, 91.9),
    (41, 3, 'prefiltered', 'basic', 16, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 60.0, 87.8),
    (42, 3, 'prefiltered', 'basic', 8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 64.7, 91.2),
    (43, 3, 'prefiltered', 'basic', 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 77.5, 94.1),
    (44, 3, 'prefiltered', 'basic', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 80.8, 96.9),
    (45, 3, 'prefiltered', 'l.l.', 16, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 87.5, 97.9),
    (46, 3, 'prefiltered', 'l.l.', 8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 88.9, 97.0),
    (47, 3, 'prefiltered', 'l.l.', 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 91.9, 98.0),
    (48, 3, 'prefiltered', 'l.l.', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 93.1, 98.0)
)
SELECT
  p.method AS method, -- fast, basic (iterative), or l.l. (iterative, least likely class)
  p.eps AS eps, -- size of the attack, of 255
  p.number AS "table", -- of the paper: 1 and 2 accuracies, 3 destruction rates
  p.sampling AS sampling, -- average, or prefiltered: clean right, adversarial wrong with confidence
  p.photos AS photos, -- images photographed
  p.photo_clean AS photo_clean, -- [%] accuracy on photographs of clean images
  p.photo_adv AS photo_adv, -- [%] on photographs of adversarial images
  p.source_clean AS source_clean, -- [%] on the clean images themselves
  p.source_adv AS source_adv, -- [%] on the adversarial images themselves
  p.destroyed AS destroyed, -- [%] destruction rate
  p.photo_clean5 AS photo_clean5, -- [%] the same for the five likeliest classes
  p.photo_adv5 AS photo_adv5, -- [%] the same for the five likeliest classes
  p.source_clean5 AS source_clean5, -- [%] the same for the five likeliest classes
  p.source_adv5 AS source_adv5, -- [%] the same for the five likeliest classes
  p.destroyed5 AS destroyed5, -- [%] the same for the five likeliest classes
  p.place AS place -- its place in the tables
FROM paper p;

-- table events: What was recorded, and when?
-- order: position
CREATE VIEW events AS
SELECT
  e.position AS position, -- in the log, from 1
  strftime('%Y-%m-%d %H:%M:%S', e.recorded_at / 1000, 'unixepoch') || printf('.%03d', e.recorded_at % 1000) AS recorded, -- UTC
  k.name AS kind, -- what happened
  coalesce(j.label, 'a' || e.attack) AS search, -- [id] the search, run or attack it belongs to
  't' || e.trial AS trial, -- [id] the training it is about
  e.episode AS episode, -- it is about
  k.class AS class -- logical (the science) or operational (how it was carried out)
FROM event e
JOIN kind k ON k.number = e.kind
LEFT JOIN job j ON j.id = e.job;

------------------------------------------------------------------- temporary result tables

-- These take functions of this program over packed numbers of images (`qtrail sql --schema` lists
-- them), so they are not in the file: the program makes them whenever it opens it.

-- Accuracies under attack for `top`: of each search the images that all its attacked models judged.
DROP VIEW IF EXISTS temp.robust_cell;
CREATE TEMP VIEW robust_cell AS
WITH
  -- Attacks on trials by the method and size of `args`. Accuracies can be compared if specification
  -- and images are the same.
  judged AS MATERIALIZED (
    SELECT
      t.job, v.trial, v.attack, s.hash || a.pool || a.content AS comparable,
      s.method || ':' || s.eps || coalesce(', ' || s.settings, '') AS spec,
      (SELECT gather_whole(place, image) FROM pool WHERE attack = v.attack) AS images,
      (SELECT gather_ranks(first, ranks, flags) FROM scored
        WHERE attack = v.attack AND judge = v.victim AND victim = v.victim AND spec = s.spec
          AND transformation = 0 AND repeat = 0) AS ranks
    FROM args x
    JOIN specification s ON s.method = x.spec_method AND s.eps = x.spec_eps
    JOIN attack a ON a.id = s.attack
    JOIN victim v ON v.attack = s.attack AND v.trial IS NOT NULL
    JOIN trial t ON t.id = v.trial
  ),
  counted AS MATERIALIZED (
    SELECT
      *, seen(everything(length(ranks) / 2), outcomes('1', ranks)) AS seen,
      correct(1, everything(length(ranks) / 2), outcomes('1', ranks)) AS correct
    FROM judged WHERE ranks IS NOT NULL
  ),
  -- Of the same on one model whichever judged the most images, of equals the oldest.
  best AS MATERIALIZED (
    SELECT
      *, row_number() OVER (PARTITION BY trial, comparable ORDER BY seen DESC, attack) AS place
    FROM counted
  ),
  compared AS MATERIALIZED (
    SELECT
      job, comparable, row_number() OVER (
        PARTITION BY job
        ORDER BY count(*) DESC, sum(seen) DESC, sum(correct) * 1.0 / sum(seen), min(attack)) AS place,
      count(*) OVER (PARTITION BY job) - 1 AS others
    FROM best WHERE place = 1 GROUP BY job, comparable
  ),
  shown AS MATERIALIZED (
    SELECT b.*, c.others
    FROM best b JOIN compared c ON c.job = b.job AND c.comparable = b.comparable AND c.place = 1
    WHERE b.place = 1
  ),
  common AS MATERIALIZED (
    SELECT job, common_images(images, ranks) AS images FROM shown GROUP BY job
  ),
  robust AS MATERIALIZED (
    SELECT
      j.job, j.trial, j.spec, j.attack, j.others, length(c.images) / 4 AS n,
      correct_of(1, c.images, j.images, j.ranks) * 1.0 / nullif(length(c.images) / 4, 0) AS adv
    FROM shown j JOIN common c ON c.job = j.job
  )
SELECT
  r.trial, r.n, r.adv,
  CASE WHEN r.adv IS NOT NULL THEN r.adv > coalesce(max(r.adv) OVER (
    PARTITION BY r.job, r.adv IS NULL ORDER BY t.accuracy DESC, r.adv DESC, t.id
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1)
  END AS front,
  r.spec, r.attack, r.others
FROM robust r JOIN trial t ON t.id = r.trial
WHERE t.status = 'trained' AND t.accuracy IS NOT NULL;

-- What the tables about attacks have in common, not a table itself: a row for each victim,
-- specification, transformation and repetition, with the sample (`mask`) and four times the outcomes:
-- for each place of the pool whether it was judged, and is right for each k of `args`.
CREATE TEMP VIEW attack_cell AS
WITH
  judged AS MATERIALIZED (
    SELECT
      attack, judge, victim, spec, transformation, repeat,
      outcomes((SELECT ks FROM args), gather_ranks(first, ranks, flags)) AS outcomes
    FROM scored
    WHERE victim = judge OR victim = -1
    GROUP BY attack, judge, victim, spec, transformation, repeat
  ),
  -- What samples are drawn by.
  sure AS MATERIALIZED (
    SELECT
      attack, judge, victim, spec, gather_reals(first, d.p_top1) AS p,
      gather_ranks(first, ranks, flags) AS ranks
    FROM scored s CROSS JOIN score_detail d ON d.event = s.event
    WHERE (victim = judge OR victim = -1) AND transformation = 0 AND repeat = 0
    GROUP BY attack, judge, victim, spec
  ),
  labels AS MATERIALIZED (
    SELECT attack, gather_whole(place, label) AS labels FROM pool GROUP BY attack
  ),
  ground AS MATERIALIZED (
    SELECT
      v.attack, v.judge, v.spec, c.outcomes AS clean, v.outcomes AS adv, o.in_order,
      restricted(
        sampled(
          x.sampling, a.seed, s.method, s.eps, a.images,
          CASE
            WHEN o.in_order THEN a.fixed
            -- Noise was scored on few images: all of them.
            WHEN s.method = 'random-noise' THEN 0
            ELSE coalesce(x.draw, a.draw)
          END, o.in_order,
          coalesce(x.prefilter_k, a.prefilter_k), coalesce(x.confidence, a.confidence),
          coalesce(x.side, a.confident_side), cp.ranks, cp.p, vp.ranks, vp.p),
        l.labels, x.class, x.subset_from, x.subset_to) AS mask
    FROM args x
    JOIN judged v ON v.victim >= 0 AND v.transformation = 0 AND v.repeat = 0
    JOIN judged c ON c.attack = v.attack AND c.judge = v.judge AND c.victim = -1
      AND c.transformation = 0 AND c.repeat = 0
    JOIN sure vp ON vp.attack = v.attack AND vp.judge = v.judge AND vp.victim = v.victim
      AND vp.spec = v.spec
    JOIN sure cp ON cp.attack = v.attack AND cp.judge = v.judge AND cp.victim = -1
    JOIN attack a ON a.id = v.attack
    JOIN specification s ON s.attack = v.attack AND s.spec = v.spec
    JOIN labels l ON l.attack = v.attack
    -- Artificial transformations see the same images throughout, the others a draw of their own.
    JOIN (SELECT 0 AS in_order UNION ALL SELECT 1) o
  )
SELECT
  t.attack, t.judge AS victim, t.spec, t.transformation, t.repeat,
  g.mask, g.clean, g.adv, c.outcomes AS t_clean, t.outcomes AS t_adv
FROM judged t
JOIN transformation f ON f.attack = t.attack AND f.transformation = t.transformation
JOIN ground g ON g.attack = t.attack AND g.judge = t.judge AND g.spec = t.spec
  AND g.in_order = (f.name NOT IN ('identity', 'camera'))
LEFT JOIN judged c ON c.attack = t.attack AND c.judge = t.judge AND c.victim = -1
  AND c.transformation = t.transformation AND c.repeat = t.repeat
WHERE t.victim >= 0;

-- table accuracy: How accurate are models on clean and adversarial images, after each transformation (Kurakin et al., Tables 1 and 2)?
-- order: attack, victim, spec, step, k, repeat
CREATE TEMP VIEW accuracy AS
WITH
  counted AS MATERIALIZED (
    SELECT
      c.attack, c.victim, c.spec, c.transformation, c.repeat, k.value AS k,
      k.value < v.outputs AS means,
      correct(k.value, c.mask, c.t_adv) AS adv, seen(c.mask, c.t_adv) AS adv_n,
      correct(k.value, c.mask, c.t_clean) AS clean, seen(c.mask, c.t_clean) AS clean_n
    FROM attack_cell c
    JOIN args x
    JOIN victim v ON v.attack = c.attack AND v.victim = c.victim
    JOIN json_each('[' || x.ks || ']') k
  ),
  rated AS (
    SELECT
      c.*, f.repeats, CASE WHEN f.repeats > 1 THEN CAST(c.repeat + 1 AS TEXT) END AS which,
      CASE WHEN means THEN adv * 1.0 / nullif(adv_n, 0) END AS adv_rate,
      CASE WHEN means THEN clean * 1.0 / nullif(clean_n, 0) END AS clean_rate,
      adv || '/' || adv_n AS adv_fraction, clean || '/' || clean_n AS clean_fraction
    FROM counted c
    JOIN transformation f ON f.attack = c.attack AND f.transformation = c.transformation
  ),
  lines AS (
    SELECT
      attack, victim, spec, transformation, k, which, adv_rate, clean_rate, adv_fraction,
      clean_fraction, NULL AS adv_sd, NULL AS clean_sd, adv, adv_n, clean, clean_n, means
    FROM rated
    UNION ALL
    SELECT
      attack, victim, spec, transformation, k, 'mean', avg(adv_rate), avg(clean_rate),
      group_concat(adv_fraction, ' '), group_concat(clean_fraction, ' '), sd(adv_rate),
      sd(clean_rate), NULL, NULL, NULL, NULL, means
    FROM rated WHERE repeats > 1
    GROUP BY attack, victim, spec, transformation, k
  )
SELECT
  s.method AS method, -- fast, basic (iterative), least-likely (iterative) …
  s.eps AS eps, -- largest change of a pixel value, of 255
  f.name AS transformation, -- what happens to images, clean and adversarial; identity: nothing
  f.parameter AS parameter, -- [exact] of it
  l.k || '/' || v.outputs AS top, -- right: the true class is among the k likeliest of all classes
  l.adv_rate AS adv_accuracy, -- [rate of adv_fraction] of adversarial images; n/a where k is not below the classes
  l.clean_rate AS clean_accuracy, -- [rate of clean_fraction] of the same images, clean
  l.adv_fraction AS adv_fraction, -- right of all in the sample; of a mean repetition by repetition
  l.clean_fraction AS clean_fraction, -- the same for clean images
  CASE WHEN l.means THEN wilson_low(l.adv, l.adv_n) END AS adv_low, -- 95 % interval (Wilson)
  CASE WHEN l.means THEN wilson_high(l.adv, l.adv_n) END AS adv_high, -- its upper end
  CASE WHEN l.means THEN wilson_low(l.clean, l.clean_n) END AS clean_low, -- 95 % interval (Wilson)
  CASE WHEN l.means THEN wilson_high(l.clean, l.clean_n) END AS clean_high, -- its upper end
  l.which AS repeat, -- of a random transformation: which time, or mean
  l.adv_sd AS adv_sd, -- of a mean: standard deviation over the repetitions
  l.clean_sd AS clean_sd, -- of a mean: the same for clean images
  v.label AS victim, -- [id] the model, attacked and judging
  v.model AS model, -- [id] first digits of the hash of its weights: the same model in every attack
  x.sampling AS "case", -- average or prefiltered
  l.adv AS adv_right, -- adversarial images that are right
  l.adv_n AS adv_n, -- adversarial images
  l.clean AS clean_right, -- clean images that are right
  l.clean_n AS clean_n, -- clean images
  l.k AS k, -- of the k likeliest
  s.settings AS settings, -- what tells specifications of one method and eps apart: steps, start, precision, batches
  l.spec AS spec, -- number of the specification in its attack
  l.transformation AS step, -- number of the transformation in its attack
  a.label AS attack -- [id] its attack
FROM lines l
JOIN args x
JOIN attack a ON a.id = l.attack
JOIN victim v ON v.attack = l.attack AND v.victim = l.victim
JOIN specification s ON s.attack = l.attack AND s.spec = l.spec
JOIN transformation f ON f.attack = l.attack AND f.transformation = l.transformation;

-- table destruction: How many adversarial images does each transformation make harmless (Kurakin et al., Table 3)?
-- order: attack, victim, spec, step, k, repeat
CREATE TEMP VIEW destruction AS
WITH
  counted AS MATERIALIZED (
    SELECT
      c.attack, c.victim, c.spec, c.transformation, c.repeat, k.value AS k,
      k.value < v.outputs AS means,
      fooled(k.value, c.mask, c.clean, c.adv, c.t_adv) AS fooled,
      destroyed(k.value, c.mask, c.clean, c.adv, c.t_adv) AS destroyed,
      fooled(k.value, still(k.value, c.mask, c.t_clean), c.clean, c.adv, c.t_adv) AS still_fooled,
      destroyed(k.value, still(k.value, c.mask, c.t_clean), c.clean, c.adv, c.t_adv) AS still_destroyed,
      correct(k.value, c.mask, c.t_clean) AS clean, seen(c.mask, c.t_clean) AS clean_n,
      seen(c.mask, c.t_adv) AS n
    FROM attack_cell c
    JOIN args x
    JOIN victim v ON v.attack = c.attack AND v.victim = c.victim
    JOIN json_each('[' || x.ks || ']') k
  ),
  rated AS (
    SELECT
      c.*, f.repeats, CASE WHEN f.repeats > 1 THEN CAST(c.repeat + 1 AS TEXT) END AS which,
      CASE WHEN means THEN destroyed * 1.0 / nullif(fooled, 0) END AS rate,
      CASE WHEN means THEN still_destroyed * 1.0 / nullif(still_fooled, 0) END AS still_rate,
      CASE WHEN means THEN clean * 1.0 / nullif(clean_n, 0) END AS clean_rate,
      destroyed || '/' || fooled AS fraction,
      still_destroyed || '/' || still_fooled AS still_fraction,
      clean || '/' || clean_n AS clean_fraction
    FROM counted c
    JOIN transformation f ON f.attack = c.attack AND f.transformation = c.transformation
  ),
  lines AS (
    SELECT
      attack, victim, spec, transformation, k, which, rate, still_rate, clean_rate, fraction,
      still_fraction, clean_fraction, NULL AS sd, n, destroyed, fooled, means
    FROM rated
    UNION ALL
    SELECT
      attack, victim, spec, transformation, k, 'mean', avg(rate), avg(still_rate),
      avg(clean_rate), group_concat(fraction, ' '), group_concat(still_fraction, ' '),
      group_concat(clean_fraction, ' '), sd(rate), min(n), NULL, NULL, means
    FROM rated WHERE repeats > 1
    GROUP BY attack, victim, spec, transformation, k
  )
SELECT
  s.method AS method, -- fast, basic (iterative), least-likely (iterative) …
  s.eps AS eps, -- largest change of a pixel value, of 255
  f.name AS transformation, -- what happens to the images; identity: nothing
  f.parameter AS parameter, -- [exact] of it
  l.k || '/' || v.outputs AS top, -- right: the true class is among the k likeliest of all classes
  l.rate AS rate, -- [rate of fraction] of the images that the attack turned from right to wrong, those right again after the transformation
  l.fraction AS fraction, -- images right again, of those that were turned; of a mean repetition by repetition
  CASE WHEN l.means THEN wilson_low(l.destroyed, l.fooled) END AS low, -- 95 % interval of the rate (Wilson)
  CASE WHEN l.means THEN wilson_high(l.destroyed, l.fooled) END AS high, -- its upper end
  l.clean_rate AS clean_accuracy, -- [rate of clean_fraction] of the same images, clean, after the transformation: one that ruins everything makes no attack harmless
  l.still_rate AS rate_clean, -- [rate of fraction_clean] the rate among images whose clean original is right after the transformation too
  l.sd AS sd, -- of a mean: standard deviation of the rate over the repetitions
  l.which AS repeat, -- of a random transformation: which time, or mean
  l.n AS n, -- images in the sample
  v.label AS victim, -- [id] the model, attacked and judging
  v.model AS model, -- [id] first digits of the hash of its weights: the same model in every attack
  x.sampling AS "case", -- average or prefiltered
  l.clean_fraction AS clean_fraction, -- behind clean_accuracy
  l.still_fraction AS fraction_clean, -- behind rate_clean
  l.destroyed AS destroyed, -- numerator of the rate
  l.fooled AS fooled, -- its denominator
  l.k AS k, -- of the k likeliest
  s.settings AS settings, -- what tells specifications of one method and eps apart: steps, start, precision, batches
  l.spec AS spec, -- number of the specification in its attack
  l.transformation AS step, -- number of the transformation in its attack
  a.label AS attack -- [id] its attack
FROM lines l
JOIN args x
JOIN attack a ON a.id = l.attack
JOIN victim v ON v.attack = l.attack AND v.victim = l.victim
JOIN specification s ON s.attack = l.attack AND s.spec = l.spec
JOIN transformation f ON f.attack = l.attack AND f.transformation = l.transformation;

-- table methods: Which of two attacks leaves more of the same images wrong?
-- order: attack, victim, step, -eps, k, spec, other_spec, repeat
CREATE TEMP VIEW methods AS
WITH
  -- Compared with each other: gathered once.
  cell AS MATERIALIZED (
    SELECT attack, victim, spec, transformation, repeat, mask, clean, adv, t_adv FROM attack_cell
  ),
  compared AS (
    SELECT
      p.attack, p.victim, p.spec, q.spec AS other, p.transformation, p.repeat, k.value AS k,
      compared(a.seed, k.value, p.mask, p.clean, p.adv, p.t_adv, q.adv, q.t_adv) AS found
    FROM cell p
    JOIN args x
    JOIN attack a ON a.id = p.attack
    JOIN specification s ON s.attack = p.attack AND s.spec = p.spec
    JOIN specification o ON o.attack = p.attack AND o.eps = s.eps AND o.spec > s.spec
    JOIN cell q ON q.attack = p.attack AND q.victim = p.victim AND q.spec = o.spec
      AND q.transformation = p.transformation AND q.repeat = p.repeat
    JOIN victim v ON v.attack = p.attack AND v.victim = p.victim
    JOIN json_each('[' || x.ks || ']') k ON k.value < v.outputs
  )
SELECT
  s.method AS method, -- one attack
  o.method AS other, -- another one of the same size
  s.eps AS eps, -- largest change of a pixel value, of 255
  f.name AS transformation, -- what happened to the images; identity: nothing
  f.parameter AS parameter, -- [exact] of it
  c.k || '/' || v.outputs AS top, -- right: the true class is among the k likeliest of all classes
  json_extract(c.found, '$.wrong[0]') AS difference, -- of the shares of clean-right images that are wrong: the one attack less the other
  json_extract(c.found, '$.wrong[1]') AS low, -- 95 % interval (paired bootstrap by image, 1,000 resamples)
  json_extract(c.found, '$.wrong[2]') AS high, -- its upper end
  mcnemar(json_extract(c.found, '$.only[0]'), json_extract(c.found, '$.only[1]')) AS p, -- McNemar's exact test: probability of so uneven a split were both alike
  json_extract(c.found, '$.only[0]') AS only_method, -- images that only the one attack left wrong
  json_extract(c.found, '$.only[1]') AS only_other, -- images that only the other one left wrong
  json_extract(c.found, '$.wrong_a[1]') AS n, -- images right when clean, and judged under both
  json_extract(c.found, '$.wrong_a[0]') AS wrong_method, -- of them wrong under the one
  json_extract(c.found, '$.wrong_b[0]') AS wrong_other, -- and under the other
  json_extract(c.found, '$.rate[0]') AS rate_difference, -- of the destruction rates
  json_extract(c.found, '$.rate[1]') AS rate_low, -- 95 % interval, as above
  json_extract(c.found, '$.rate[2]') AS rate_high, -- its upper end
  CASE WHEN f.repeats > 1 THEN c.repeat + 1 END AS repeat, -- of a random transformation: which time
  v.label AS victim, -- [id] the model, attacked and judging
  v.model AS model, -- [id] first digits of the hash of its weights: the same model in every attack
  x.sampling AS "case", -- average, or prefiltered by the one attack; the sample is that of the one attack
  c.k AS k, -- of the k likeliest
  s.settings AS settings, -- what tells specifications of the one method and eps apart: steps, start, precision, batches
  o.settings AS other_settings, -- the same of the other one
  c.spec AS spec, -- number of the one specification in its attack
  c.other AS other_spec, -- number of the other one
  c.transformation AS step, -- number of the transformation in its attack
  a.label AS attack -- [id] its attack
FROM compared c
JOIN args x
JOIN attack a ON a.id = c.attack
JOIN victim v ON v.attack = c.attack AND v.victim = c.victim
JOIN specification s ON s.attack = c.attack AND s.spec = c.spec
JOIN specification o ON o.attack = c.attack AND o.spec = c.other
JOIN transformation f ON f.attack = c.attack AND f.transformation = c.transformation;

-- table robustness: How accurate are models under attacks of growing size (Kurakin et al., Figure 2)?
-- order: attack, victim, k, spec
CREATE TEMP VIEW robustness AS
WITH
  judged AS MATERIALIZED (
    SELECT
      attack, judge, victim, spec,
      outcomes((SELECT ks FROM args), gather_ranks(first, ranks, flags)) AS outcomes
    FROM scored
    WHERE (victim = judge OR victim = -1) AND transformation = 0 AND repeat = 0
    GROUP BY attack, judge, victim, spec
  ),
  masks AS MATERIALIZED (
    SELECT a.id AS attack, restricted(
      everything(a.images), (SELECT gather_whole(place, label) FROM pool WHERE attack = a.id),
      x.class, x.subset_from, x.subset_to) AS mask
    FROM attack a JOIN args x
  ),
  counted AS MATERIALIZED (
    SELECT
      j.attack, j.judge AS victim, j.spec, k.value AS k, k.value < v.outputs AS means,
      a.label, correct(k.value, m.mask, j.outcomes) AS correct, seen(m.mask, j.outcomes) AS n
    FROM judged j
    JOIN args x
    JOIN attack a ON a.id = j.attack
    JOIN victim v ON v.attack = j.attack AND v.victim = j.judge
    JOIN masks m ON m.attack = j.attack
    JOIN json_each('[' || x.ks || ']') k
  )
SELECT
  coalesce(s.method, 'clean') AS method, -- fast, basic, least-likely …; clean: no attack
  coalesce(s.eps, 0) AS eps, -- largest change of a pixel value, of 255
  c.k || '/' || v.outputs AS top, -- right: the true class is among the k likeliest of all classes
  CASE WHEN c.means THEN c.correct * 1.0 / nullif(c.n, 0) END AS accuracy, -- [rate of fraction] on the images of the pool
  c.correct || '/' || c.n AS fraction, -- right of all that were judged
  CASE WHEN c.means THEN wilson_low(c.correct, c.n) END AS low, -- 95 % interval (Wilson)
  CASE WHEN c.means THEN wilson_high(c.correct, c.n) END AS high, -- its upper end
  v.label AS victim, -- [id] the model, attacked and judging
  v.model AS model, -- [id] first digits of the hash of its weights: the same model in every attack
  c.correct AS "right", -- images that are right
  c.n AS n, -- images that were judged
  c.k AS k, -- of the k likeliest
  s.settings AS settings, -- what tells specifications of one method and eps apart: steps, start, precision, batches
  c.spec AS spec, -- number of the specification in its attack; -1: no attack
  c.label AS attack -- [id] its attack
FROM counted c
JOIN victim v ON v.attack = c.attack AND v.victim = c.victim
LEFT JOIN specification s ON s.attack = c.attack AND s.spec = c.spec;

-- table transfer_attack: Do images crafted against one model fool another?
-- order: attack, spec, k, victim, judge
CREATE TEMP VIEW transfer_attack AS
WITH
  judged AS MATERIALIZED (
    SELECT
      attack, judge, victim, spec,
      outcomes((SELECT ks FROM args), gather_ranks(first, ranks, flags)) AS outcomes
    FROM scored
    WHERE transformation = 0 AND repeat = 0
    GROUP BY attack, judge, victim, spec
  ),
  masks AS MATERIALIZED (
    SELECT a.id AS attack, restricted(
      everything(a.images), (SELECT gather_whole(place, label) FROM pool WHERE attack = a.id),
      x.class, x.subset_from, x.subset_to) AS mask
    FROM attack a JOIN args x
  ),
  counted AS MATERIALIZED (
    SELECT
      t.attack, t.victim, t.judge, t.spec, k.value AS k,
      k.value < min(vv.outputs, vj.outputs) AS means, a.label,
      correct(k.value, m.mask, t.outcomes) AS correct, seen(m.mask, t.outcomes) AS n,
      -- Right for both when clean; of those wrong for the judge when adversarial.
      seen(still(k.value, still(k.value, m.mask, w.outcomes), c.outcomes), t.outcomes) AS both,
      correct(k.value, still(k.value, still(k.value, m.mask, w.outcomes), c.outcomes), t.outcomes) AS unharmed,
      fooled(k.value, m.mask, w.outcomes, o.outcomes, t.outcomes) AS fooled,
      destroyed(k.value, m.mask, w.outcomes, o.outcomes, t.outcomes) AS destroyed
    FROM judged t
    JOIN args x
    JOIN attack a ON a.id = t.attack
    JOIN victim vv ON vv.attack = t.attack AND vv.victim = t.victim
    JOIN victim vj ON vj.attack = t.attack AND vj.victim = t.judge
    JOIN masks m ON m.attack = t.attack
    JOIN judged o ON o.attack = t.attack AND o.judge = t.victim AND o.victim = t.victim
      AND o.spec = t.spec
    JOIN judged w ON w.attack = t.attack AND w.judge = t.victim AND w.victim = -1
    JOIN judged c ON c.attack = t.attack AND c.judge = t.judge AND c.victim = -1
    JOIN json_each('[' || x.ks || ']') k
    WHERE t.victim >= 0
  )
SELECT
  v.label AS victim, -- [id] the model the images were crafted against
  j.label AS judge, -- [id] the model that looks at them
  s.method AS method, -- fast, basic (iterative), least-likely (iterative) …
  s.eps AS eps, -- largest change of a pixel value, of 255
  c.k || '/' || j.outputs AS top, -- right: the true class is among the k likeliest of all classes of the judge
  CASE WHEN c.means THEN c.correct * 1.0 / nullif(c.n, 0) END AS accuracy, -- [rate of fraction] of the judge on the adversarial images, whatever it thought of the clean ones
  CASE WHEN c.means THEN (c.both - c.unharmed) * 1.0 / nullif(c.both, 0) END AS fooled, -- [rate of fooled_fraction] of the images that both models have right when clean, those that the judge has wrong when adversarial
  CASE WHEN c.means THEN c.destroyed * 1.0 / nullif(c.fooled, 0) END AS rate, -- [rate of rate_fraction] destruction rate: of the images the attack turned for its own model, those that the judge has right
  c.correct || '/' || c.n AS fraction, -- behind accuracy
  (c.both - c.unharmed) || '/' || c.both AS fooled_fraction, -- behind fooled
  c.destroyed || '/' || c.fooled AS rate_fraction, -- behind rate
  CASE WHEN c.means THEN wilson_low(c.correct, c.n) END AS low, -- 95 % interval of the accuracy (Wilson)
  CASE WHEN c.means THEN wilson_high(c.correct, c.n) END AS high, -- its upper end
  CASE WHEN c.means THEN wilson_low(c.both - c.unharmed, c.both) END AS fooled_low, -- 95 % interval of fooled
  CASE WHEN c.means THEN wilson_high(c.both - c.unharmed, c.both) END AS fooled_high, -- its upper end
  CASE WHEN c.means THEN wilson_low(c.destroyed, c.fooled) END AS rate_low, -- 95 % interval of the rate
  CASE WHEN c.means THEN wilson_high(c.destroyed, c.fooled) END AS rate_high, -- its upper end
  v.model AS victim_model, -- [id] first digits of the hash of the one's weights
  j.model AS judge_model, -- [id] and of the other's
  v.architecture AS victim_arch, -- what the one is made of
  j.architecture AS judge_arch, -- what the other is made of
  c.k AS k, -- of the k likeliest
  s.settings AS settings, -- what tells specifications of one method and eps apart: steps, start, precision, batches
  c.spec AS spec, -- number of the specification in its attack
  c.label AS attack -- [id] its attack
FROM counted c
JOIN victim v ON v.attack = c.attack AND v.victim = c.victim
JOIN victim j ON j.attack = c.attack AND j.victim = c.judge
JOIN specification s ON s.attack = c.attack AND s.spec = c.spec AND s.method <> 'random-noise';

-- table checks: Which signs are there that attacks were weak, not models robust (Athalye et al. 2018, Carlini et al. 2019)?
-- order: attack, victim, k, number
CREATE TEMP VIEW checks AS
WITH
  judged AS MATERIALIZED (
    SELECT attack, judge, victim, spec, gather_ranks(first, ranks, flags) AS ranks
    FROM scored
    WHERE transformation = 0 AND repeat = 0
    GROUP BY attack, judge, victim, spec
  ),
  gradients AS MATERIALIZED (
    SELECT
      c.attack, c.victim, c.spec, sum(c.images) AS images,
      sum(c.zero_images) + sum(c.invalid_images) AS without
    FROM crafted c
    GROUP BY c.attack, c.victim, c.spec
  ),
  -- Clean accuracies on test parts: of all models that were attacked, and of those trained here.
  known AS MATERIALIZED (
    SELECT
      a.content, v.weights, v.trial, v.label,
      sum(s.right1) * 1.0 / nullif(sum(s.images - s.dropped), 0) AS accuracy
    FROM victim v
    JOIN attack a ON a.id = v.attack
    JOIN main.scored s ON s.attack = v.attack AND s.judge = v.victim AND s.victim = -1
      AND s.spec = -1 AND s.transformation = 0 AND s.repeat = 0
    GROUP BY v.attack, v.victim
    UNION ALL
    SELECT a.content, '', t.id, 't' || t.id, coalesce(p.correct * 1.0 / p.images, t.accuracy)
    FROM (SELECT DISTINCT content, data, side, classes FROM attack) a
    JOIN job j ON j.data = a.data AND j.side = a.side AND j.classes = a.classes
    JOIN trial t ON t.job = j.id AND t.status = 'trained'
    LEFT JOIN prediction p ON p.trial = t.id AND p.part = 'test'
  ),
  best AS MATERIALIZED (
    SELECT v.attack, v.victim, max(o.accuracy) AS accuracy, o.label
    FROM victim v
    JOIN attack a ON a.id = v.attack
    JOIN known o ON o.content = a.content AND o.weights <> v.weights
      AND NOT coalesce(o.trial = v.trial, 0)
    GROUP BY v.attack, v.victim
  ),
  found AS MATERIALIZED (
    SELECT
      j.attack, j.judge AS victim, k.value AS k, a.classes,
      gradient_signs(
        k.value, a.classes, CASE WHEN j.victim <> j.judge THEN o.label END, s.method, s.eps,
        s.text, j.ranks, g.images, g.without, b.accuracy, b.label) AS signs
    FROM judged j
    JOIN args x
    JOIN attack a ON a.id = j.attack
    JOIN json_each('[' || x.ks || ']') k ON k.value < a.classes
    LEFT JOIN specification s ON s.attack = j.attack AND s.spec = j.spec
    LEFT JOIN victim o ON o.attack = j.attack AND o.victim = j.victim
    LEFT JOIN gradients g ON g.attack = j.attack AND g.victim = j.judge AND j.victim = j.judge
      AND g.spec = j.spec
    LEFT JOIN best b ON b.attack = j.attack AND b.victim = j.judge
    GROUP BY j.attack, j.judge, k.value
  )
SELECT
  v.label AS victim, -- [id] the model, attacked and judging
  json_extract(g.value, '$.sign') AS sign, -- accuracy-flat: it does not fall while eps grows; one-step-stronger than many; noise-as-strong as the attack; transfer-stronger: images crafted against another model do more; chance-not-reached by an iterative attack of eps 128 or more; clean-accuracy-low: near chance, or far below the best other model on these images; no-gradient: on more than a tenth of the images
  json_extract(g.value, '$.verdict') AS verdict, -- ok, suspicious, or not known
  json_extract(g.value, '$.figures') AS figures, -- the numbers behind it: accuracies under method:eps
  json_extract(g.value, '$.needed') AS needed, -- what would tell, if it is not known
  json_extract(g.value, '$.difference') AS difference, -- between the fractions misclassified: under the larger eps less the smaller; one step less many; the attack less noise; images crafted against the other model less its own
  json_extract(g.value, '$.p') AS p, -- McNemar's exact test: probability of so uneven a split were both alike
  json_extract(g.value, '$.n') AS n, -- images compared: correctly classified when clean, and judged under both
  f.k || '/' || f.classes AS top, -- right: the true class is among the k likeliest of all classes
  f.k AS k, -- of the k likeliest
  g.key + 1 AS number, -- of the sign
  a.label AS attack -- [id] its attack
FROM found f
JOIN json_each(f.signs) g
JOIN attack a ON a.id = f.attack
JOIN victim v ON v.attack = f.attack AND v.victim = f.victim;
