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
-- which sort by their number.
--
-- Times are UTC: milliseconds since 1970 in base tables, text in result tables.
-- Yes and no are 1 and 0. NULL means unknown, or not yet.

------------------------------------------------------------------------------ base tables

-- How far the log is folded into this file.
CREATE TABLE stamp (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  store    TEXT    NOT NULL, -- id of the store
  position INTEGER NOT NULL, -- last event folded in
  chain    TEXT    NOT NULL  -- chain hash of that event, hexadecimal
) STRICT;

-- Every event of the log.
CREATE TABLE event (
  position    INTEGER PRIMARY KEY,
  kind        INTEGER NOT NULL, -- number of the kind
  job         INTEGER,          -- the search or run it belongs to
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
  q_position   INTEGER                  -- position of the last of them
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
  recorded_at  INTEGER NOT NULL,
  PRIMARY KEY (job, episode)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX episode_experience ON episode (job, experience) WHERE experience IS NOT NULL;

-- Trainings.
CREATE TABLE trial (
  id            INTEGER PRIMARY KEY, -- t1, t2, … in the order in which they were planned
  job           INTEGER NOT NULL,
  ordinal       INTEGER NOT NULL, -- from 1 within its search or run
  episode       INTEGER,          -- that asked for it; NULL in a run
  epsilon       REAL,             -- of that episode
  architecture  INTEGER NOT NULL,
  seed          TEXT    NOT NULL,
  repeat        INTEGER NOT NULL, -- repetitions of the same training before it
  params        INTEGER NOT NULL, -- weights and biases
  madds         INTEGER NOT NULL, -- multiplications with a weight for one image
  status        TEXT    NOT NULL, -- planned, running, trained, failed or lost
  reason        TEXT,             -- why it failed: chance, non-finite, too-large
  message       TEXT,             -- the trainer's words
  accuracy      REAL,             -- see the result table
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
  planned_at    INTEGER NOT NULL,
  ended_at      INTEGER,
  UNIQUE (job, ordinal)
) STRICT;

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
  PRIMARY KEY (trial, attempt)
) STRICT, WITHOUT ROWID;

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

-- The pairs (state, action) of a search with what was learned. States and actions are the authors'
-- tuples; an action is the tuple it leads to, with the bin of the state it starts from.
CREATE TABLE pair (
  job               INTEGER NOT NULL,
  pair              INTEGER NOT NULL, -- in the order of the state space, from 0
  value             REAL    NOT NULL, -- Q
  updates           INTEGER NOT NULL,
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
  PRIMARY KEY (job, pair)
) STRICT, WITHOUT ROWID;

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
  j.data AS data, -- the data set
  j.seed AS seed, -- of all choices
  j.flavour AS flavour, -- paper or code
  strftime('%Y-%m-%d %H:%M:%S', j.started_at / 1000, 'unixepoch') AS started, -- UTC
  strftime('%Y-%m-%d %H:%M:%S', j.last_at / 1000, 'unixepoch') AS updated -- UTC; last event
FROM job j;

-- table episodes: Which architectures did the agent sample, and how good were they?
-- order: search, episode
CREATE VIEW episodes AS
SELECT
  e.episode AS episode, -- number in its search
  e.reward AS accuracy, -- reward: validation accuracy; of a failed one what failing is worth
  a.text AS arch, -- what was sampled
  e.epsilon AS epsilon, -- share of random actions
  e.duplicate AS duplicate, -- 1 if it was known in this search and answered from memory
  e.failed AS failed, -- 1 if training failed
  't' || t.id AS trial, -- [id] the training that answered it
  a.depth AS depth, -- layers without softmax
  t.params AS params, -- weights and biases
  e.phase AS phase, -- of the schedule, from 0
  j.label AS search, -- [id] its search
  strftime('%Y-%m-%d %H:%M:%S', e.recorded_at / 1000, 'unixepoch') AS sampled -- UTC
FROM episode e
JOIN job j ON j.id = e.job
JOIN architecture a ON a.id = e.architecture
LEFT JOIN trial t ON t.job = e.job AND t.ordinal = e.ordinal;

-- table trials: How did each training end?
-- order: trial
CREATE VIEW trials AS
SELECT
  't' || t.id AS trial, -- [id] its id in the store
  t.accuracy AS accuracy, -- validation accuracy that is the reward; of a failed one what failing is worth (as in the authors' log); in runs NULL if failed
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
  CASE t.status WHEN 'failed' THEN 1 WHEN 'trained' THEN 0 END AS failed, -- 1 if it failed
  t.reason AS reason, -- why it failed: chance, non-finite, too-large
  t.attempts AS attempts, -- tries
  t.peak_memory AS peak_memory, -- [bytes] on the device
  t.kept AS kept, -- 1 if its weights are kept
  a.ending AS ending, -- what leads to softmax: GAP, FC or SM
  t.repeat AS repeat, -- repetitions of the same training before it
  t.episode AS episode, -- that asked for it
  j.label AS search, -- [id] its search or run
  strftime('%Y-%m-%d %H:%M:%S', t.planned_at / 1000, 'unixepoch') AS planned, -- UTC
  strftime('%Y-%m-%d %H:%M:%S', t.ended_at / 1000, 'unixepoch') AS ended -- UTC
FROM trial t
JOIN job j ON j.id = t.job
JOIN architecture a ON a.id = t.architecture;

-- table epochs: How did trainings go, epoch by epoch?
-- order: trial, attempt, restart, epoch
CREATE VIEW epochs AS
SELECT
  't' || e.trial AS trial, -- [id] the training
  e.epoch AS epoch, -- from 1
  e.validation_correct * 1.0 / nullif(e.validation_total, 0) AS validation_accuracy, -- after it
  e.train_correct * 1.0 / nullif(e.train_total, 0) AS train_accuracy, -- as the images were seen
  e.train_loss AS train_loss, -- mean over the training images; NULL if not finite
  e.validation_loss AS validation_loss, -- mean over the validation images; NULL if not finite
  e.learning_rate AS learning_rate, -- in this epoch
  e.seconds AS seconds, -- duration
  e.restart AS restart, -- restarts before it
  e.attempt AS attempt, -- the try it belongs to
  coalesce(a.outcome = 'lost', 0) AS lost, -- 1 if that try was lost: it counts for nothing
  j.label AS search -- [id] its search or run
FROM epoch e
JOIN trial t ON t.id = e.trial
JOIN job j ON j.id = t.job
LEFT JOIN attempt a ON a.trial = e.trial AND a.attempt = e.attempt;

-- table top: Which architectures are best?
-- order: search, rank
-- limit: 10
CREATE VIEW top AS
SELECT
  row_number() OVER (PARTITION BY j.label ORDER BY t.accuracy DESC, t.params, t.id) AS rank, -- in its search; of equals the smaller model first
  t.accuracy AS accuracy, -- validation accuracy
  a.text AS arch, -- what was trained
  t.params AS params, -- weights and biases
  t.madds AS madds, -- multiplications with a weight for one image
  t.seconds AS seconds, -- of training
  t.epsilon AS epsilon, -- share of random actions when it was sampled
  a.depth AS depth, -- layers without softmax
  t.kept AS kept, -- 1 if its weights are kept
  't' || t.id AS trial, -- [id] its training
  j.label AS search -- [id] its search or run
FROM trial t
JOIN job j ON j.id = t.job
JOIN architecture a ON a.id = t.architecture
WHERE t.status = 'trained' AND t.accuracy IS NOT NULL;

-- table epsilon: Does the agent find better architectures the less it explores?
-- order: search, -epsilon
CREATE VIEW epsilon AS
WITH
  whole AS (
    SELECT
      job, epsilon, count(*) AS samples, sum(NOT duplicate) AS new,
      count(DISTINCT architecture) AS nets, sum(failed) AS failed, count(reward) AS n,
      avg(reward) AS mean, avg(CASE WHEN NOT duplicate THEN reward END) AS mean_new,
      max(reward) AS best
    FROM episode
    GROUP BY job, epsilon
  ),
  spread AS (
    -- From the deviations themselves: sums of squares would lose digits.
    SELECT e.job, e.epsilon, sum((e.reward - w.mean) * (e.reward - w.mean)) AS squares
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
  't' || a.trial AS trial, -- [id] the training
  a.attempt AS attempt, -- from 1
  a.outcome AS outcome, -- running, ended or lost
  a.reason AS reason, -- of a loss
  a.device AS device, -- cpu or cuda:N
  a.threads AS threads, -- on a CPU
  a.trainer AS trainer, -- program and version
  a.library AS library, -- numerical library and version
  a.isa AS isa, -- instruction set of its CPU kernels
  a.host AS host, -- name of the machine
  a.counts AS counts, -- 1 if the loss counts against the trial
  j.label AS search, -- [id] its search or run
  strftime('%Y-%m-%d %H:%M:%S', a.started_at / 1000, 'unixepoch') AS started, -- UTC
  strftime('%Y-%m-%d %H:%M:%S', a.ended_at / 1000, 'unixepoch') AS ended -- UTC
FROM attempt a
JOIN trial t ON t.id = a.trial
JOIN job j ON j.id = t.job;

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
  p.updates AS updates, -- how often it was updated; 0 means the initial value
  p.layer_type AS layer_type, -- start, conv, pool, gap or fc
  p.layer_depth AS layer_depth, -- layers placed so far
  p.filter_depth AS filter_depth, -- filters; for fc the number of fc layers before
  p.filter_size AS filter_size, -- field
  p.stride AS stride, -- of a convolution or pooling
  p.image_size AS image_size, -- bin of the side: 8 (over 7), 4 (4 to 7), 1 (up to 3)
  p.fc_size AS fc_size, -- width of a fully connected layer
  p.pair AS pair, -- number in the order of the state space
  j.label AS search -- [id] its search
FROM pair p
JOIN job j ON j.id = p.job;

-- table events: What was recorded, and when?
-- order: position
CREATE VIEW events AS
SELECT
  e.position AS position, -- in the log, from 1
  strftime('%Y-%m-%d %H:%M:%S', e.recorded_at / 1000, 'unixepoch') || printf('.%03d', e.recorded_at % 1000) AS recorded, -- UTC
  k.name AS kind, -- what happened
  j.label AS search, -- [id] the search or run it belongs to
  't' || e.trial AS trial, -- [id] the training it is about
  e.episode AS episode, -- it is about
  k.class AS class -- logical (the science) or operational (how it was carried out)
FROM event e
JOIN kind k ON k.number = e.kind
LEFT JOIN job j ON j.id = e.job;
