-- What is to be done, and what came of it.
--
--   workflow --< task --< task_data        the chunks of its output, of one run at a time
--      |          |-----< task_child       tasks that a run makes, until the run is complete
--      |          |-----< task_outcome     how a run said that it ended, until then
--      |          |-----< task_checkpoint  where a run was
--      |          '-----< task_edge >----- what it waits for: a task, or a collection
--      '---< task_collection --< task_collection_data
--
-- What comes from outside is json, not jsonb: jsonb refuses \u0000 and writes numbers in its own way, and nothing here looks inside.

-- One row. The name under which this store's machines and tokens are known to the outside: a store that is made anew is another.
CREATE TABLE platform (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    id      uuid NOT NULL
);
INSERT INTO platform (id) VALUES (gen_random_uuid());

CREATE TABLE control (
    is_only    boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    is_stopped boolean NOT NULL
);
INSERT INTO control (is_stopped) VALUES (false);

CREATE TABLE workflow (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
    scope       jsonb NOT NULL,
    open        bigint NOT NULL,
    failed      bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX workflow_newest ON workflow (created_at, id);

CREATE TABLE task_collection (
    id           uuid PRIMARY KEY,
    workflow_id  uuid NOT NULL REFERENCES workflow DEFERRABLE INITIALLY DEFERRED,
    name         text NOT NULL,
    feeders      bigint NOT NULL,
    total        bigint NOT NULL,
    done         bigint NOT NULL,
    failed       bigint NOT NULL,
    completed_at timestamptz
);
CREATE INDEX task_collection_of ON task_collection (workflow_id, id);

-- Keys of any length in an index, whose entries have 2,700 octets at most. The encoding of a database never changes, so this is
-- as immutable as it says.
CREATE FUNCTION digest(text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT pg_catalog.sha256(pg_catalog.convert_to($1, 'UTF8')) $$;

CREATE TABLE task (
    id          uuid PRIMARY KEY,
    workflow_id uuid NOT NULL REFERENCES workflow DEFERRABLE INITIALLY DEFERRED,
    name        text,
    parent_id   uuid,
    member_of   uuid REFERENCES task_collection DEFERRABLE INITIALLY DEFERRED,
    definition  text NOT NULL,
    class       text NOT NULL CHECK (class IN ('external', 'internal', 'bare_metal')),
    source      text,
    dedupe_key  text,
    created_at  timestamptz NOT NULL,
    -- Above: what the task is, for ever. Below: how far it is.
    feeds       uuid,
    state       text NOT NULL CHECK (state IN ('blocked', 'ready', 'dispatched', 'running', 'succeeded', 'failed', 'skipped', 'cancelled')),
    waits_for   bigint NOT NULL,
    attempt     bigint NOT NULL,
    ticket      uuid,
    tries       bigint NOT NULL,
    max_tries   bigint NOT NULL,
    not_before  timestamptz NOT NULL,
    lease_until timestamptz,
    run_id      uuid,
    worker      text,
    parts       bigint NOT NULL,
    branch      boolean,
    truncated   boolean NOT NULL,
    error       json,
    done        bigint NOT NULL,
    total       bigint,
    note        text NOT NULL,
    finished_at timestamptz,
    input       json NOT NULL
);
-- One index for each question that is asked over and over. They hold the tasks alone that the question is about, so they stay small
-- however many have ended.
CREATE INDEX task_due ON task (not_before, id) WHERE state = 'ready';
CREATE INDEX task_out ON task (lease_until, id) WHERE state IN ('dispatched', 'running');
CREATE INDEX task_raw ON task (state, not_before, id) WHERE class = 'bare_metal' AND state IN ('ready', 'dispatched', 'running');
CREATE INDEX task_source ON task (source) WHERE source IS NOT NULL AND state IN ('dispatched', 'running');
CREATE INDEX task_open ON task (workflow_id, id) WHERE state IN ('blocked', 'ready', 'dispatched', 'running');
CREATE INDEX task_of ON task (workflow_id, created_at, id);
CREATE INDEX task_member ON task (member_of, id) WHERE member_of IS NOT NULL;
CREATE UNIQUE INDEX task_once ON task (workflow_id, task_manager.digest(dedupe_key)) WHERE dedupe_key IS NOT NULL;

-- 'complete' is for collections, the other outcomes are for tasks.
CREATE TABLE task_edge (
    depends_on uuid NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'finished', 'true', 'false', 'complete')),
    task_id    uuid NOT NULL REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (depends_on, outcome, task_id)
);

CREATE TABLE task_data (
    task_id uuid NOT NULL REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    run_id  uuid NOT NULL,
    seq     bigint NOT NULL,
    data    json NOT NULL,
    PRIMARY KEY (task_id, run_id, seq)
);

CREATE TABLE task_child (
    task_id    uuid NOT NULL REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    run_id     uuid NOT NULL,
    idx        bigint NOT NULL,
    definition text NOT NULL,
    input      json NOT NULL,
    PRIMARY KEY (task_id, run_id, idx)
);

-- How runs said that they ended, until all that they sent is here.
CREATE TABLE task_outcome (
    task_id uuid NOT NULL REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    run_id  uuid NOT NULL,
    outcome json NOT NULL,
    PRIMARY KEY (task_id, run_id)
);

CREATE TABLE task_checkpoint (
    task_id  uuid PRIMARY KEY REFERENCES task DEFERRABLE INITIALLY DEFERRED,
    run_id   uuid NOT NULL,
    position json NOT NULL,
    parts    bigint NOT NULL,
    saved_at timestamptz NOT NULL
);

-- What InsertData put into a collection, in the order in which it came.
CREATE TABLE task_collection_data (
    seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection_id uuid NOT NULL REFERENCES task_collection DEFERRABLE INITIALLY DEFERRED,
    item_key      text NOT NULL,
    data          json NOT NULL,
    task_id       uuid NOT NULL
);
CREATE INDEX task_collection_data_order ON task_collection_data (collection_id, seq);
CREATE UNIQUE INDEX task_collection_data_once ON task_collection_data (collection_id, task_manager.digest(item_key));

-- Messages that were decided on and are not known to be in their queue.
CREATE TABLE outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    class        text NOT NULL,
    body         text NOT NULL,
    hidden_until timestamptz NOT NULL DEFAULT 'epoch'
);
CREATE INDEX outbox_next ON outbox (hidden_until, id);

CREATE TABLE source_pace (
    source  text PRIMARY KEY,
    next_at timestamptz NOT NULL
);

CREATE TABLE bare_metal_slot (
    slot        bigint PRIMARY KEY,
    generation  bigint NOT NULL,
    state       text NOT NULL CHECK (state IN ('free', 'launching', 'live', 'draining')),
    instance_id text UNIQUE,
    lease_until timestamptz,
    is_surplus  boolean NOT NULL
);

-- Messages that nobody can use, for people.
CREATE TABLE dead_letter (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue      text NOT NULL,
    message_id uuid,
    body       text NOT NULL,
    why        text NOT NULL,
    at         timestamptz NOT NULL
);
