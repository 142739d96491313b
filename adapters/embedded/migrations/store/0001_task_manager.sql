-- What is to be done, and what came of it. Ids are UUIDs in their usual text form, times are microseconds since 1970, inputs,
-- outputs and errors are JSON.
--
--   workflow --< task --< task_data        the chunks of its output, of one run at a time
--      |          |-----< task_child       tasks that a run makes, until the run is complete
--      |          |-----< task_outcome     how a run said that it ended, until then
--      |          |-----< task_checkpoint  where a run was
--      |          '-----< task_edge >----- what it waits for: a task, or a collection
--      '---< task_collection --< task_collection_data

CREATE TABLE workflow (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
    scope       TEXT NOT NULL,
    open        INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX workflow_newest ON workflow (created_at, id);

CREATE TABLE task_collection (
    id           TEXT PRIMARY KEY,
    workflow_id  TEXT NOT NULL REFERENCES workflow DEFERRABLE INITIALLY DEFERRED,
    name         TEXT NOT NULL,
    feeders      INTEGER NOT NULL,
    total        INTEGER NOT NULL,
    done         INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    completed_at INTEGER
) STRICT;
CREATE INDEX task_collection_of ON task_collection (workflow_id, id);

CREATE TABLE task (
    id          TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL REFERENCES workflow DEFERRABLE INITIALLY DEFERRED,
    name        TEXT,
    parent_id   TEXT,
    member_of   TEXT REFERENCES task_collection DEFERRABLE INITIALLY DEFERRED,
    definition  TEXT NOT NULL,
    class       TEXT NOT NULL CHECK (class IN ('external', 'internal', 'bare_metal')),
    source      TEXT,
    dedupe_key  TEXT,
    created_at  INTEGER NOT NULL,
    -- Above: what the task is, for ever. Below: how far it is.
    feeds       TEXT,
    state       TEXT NOT NULL CHECK (state IN ('blocked', 'ready', 'dispatched', 'running', 'succeeded', 'failed', 'skipped', 'cancelled')),
    waits_for   INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    ticket      TEXT,
    tries       INTEGER NOT NULL,
    max_tries   INTEGER NOT NULL,
    not_before  INTEGER NOT NULL,
    lease_until INTEGER,
    run_id      TEXT,
    worker      TEXT,
    parts       INTEGER NOT NULL,
    branch      INTEGER,
    truncated   INTEGER NOT NULL,
    error       TEXT,
    done        INTEGER NOT NULL,
    total       INTEGER,
    note        TEXT NOT NULL,
    finished_at INTEGER,
    input       TEXT NOT NULL
) STRICT;
-- One index for each question that is asked over and over. They hold the tasks alone that the question is about, so they stay small
-- however many have ended.
CREATE INDEX task_due ON task (not_before, id) WHERE state = 'ready';
CREATE INDEX task_out ON task (lease_until, id) WHERE state IN ('dispatched', 'running');
CREATE INDEX task_raw ON task (state, not_before, id) WHERE class = 'bare_metal' AND state IN ('ready', 'dispatched', 'running');
CREATE INDEX task_source ON task (source) WHERE source IS NOT NULL AND state IN ('dispatched', 'running');
CREATE INDEX task_open ON task (workflow_id, id) WHERE state IN ('blocked', 'ready', 'dispatched', 'running');
CREATE INDEX task_of ON task (workflow_id, created_at, id);
CREATE INDEX task_member ON task (member_of, id) WHERE member_of IS NOT NULL;
CREATE UNIQUE INDEX task_once ON task (workflow_id, dedupe_key) WHERE dedupe_key IS NOT NULL;

-- 'complete' is for collections, the other outcomes are for tasks.
CREATE TABLE task_edge (
    depends_on TEXT NOT NULL,
    outcome    TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'finished', 'true', 'false', 'complete')),
    task_id    TEXT NOT NULL REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (depends_on, outcome, task_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_data (
    task_id TEXT NOT NULL REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    run_id  TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    data    TEXT NOT NULL,
    PRIMARY KEY (task_id, run_id, seq)
) STRICT;

CREATE TABLE task_child (
    task_id    TEXT NOT NULL REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    run_id     TEXT NOT NULL,
    idx        INTEGER NOT NULL,
    definition TEXT NOT NULL,
    input      TEXT NOT NULL,
    PRIMARY KEY (task_id, run_id, idx)
) STRICT;

-- How runs said that they ended, until all that they sent is here.
CREATE TABLE task_outcome (
    task_id TEXT NOT NULL REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    run_id  TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (task_id, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_checkpoint (
    task_id  TEXT PRIMARY KEY REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    run_id   TEXT NOT NULL,
    position TEXT NOT NULL,
    parts    INTEGER NOT NULL,
    saved_at INTEGER NOT NULL
) STRICT;

-- What InsertData put into a collection, in the order in which it came.
CREATE TABLE task_collection_data (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id TEXT NOT NULL REFERENCES task_collection DEFERRABLE INITIALLY DEFERRED,
    item_key      TEXT NOT NULL,
    data          TEXT NOT NULL,
    task_id       TEXT NOT NULL,
    UNIQUE (collection_id, item_key)
) STRICT;
CREATE INDEX task_collection_data_order ON task_collection_data (collection_id, seq);

-- Messages that were decided on and are not known to be in their queue.
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    class        TEXT NOT NULL,
    body         TEXT NOT NULL,
    hidden_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_next ON outbox (hidden_until, id);

CREATE TABLE source_pace (
    source  TEXT PRIMARY KEY,
    next_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bare_metal_slot (
    slot        INTEGER PRIMARY KEY,
    generation  INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('free', 'launching', 'live', 'draining')),
    instance_id TEXT UNIQUE,
    lease_until INTEGER,
    is_surplus  INTEGER NOT NULL
) STRICT;

CREATE TABLE control (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    is_stopped INTEGER NOT NULL
) STRICT;
INSERT INTO control (id, is_stopped) VALUES (1, 0);

-- Messages that nobody can use, for people.
CREATE TABLE dead_letter (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    queue      TEXT NOT NULL,
    message_id TEXT,
    body       TEXT NOT NULL,
    why        TEXT NOT NULL,
    at         INTEGER NOT NULL
) STRICT;

-- What was not touched, and why.
CREATE TABLE refusal (
    workflow_id TEXT NOT NULL,
    task_id     TEXT NOT NULL,
    what        TEXT NOT NULL,
    why         TEXT NOT NULL,
    by_whom     TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (workflow_id, task_id, what, why, by_whom)
) STRICT, WITHOUT ROWID;
