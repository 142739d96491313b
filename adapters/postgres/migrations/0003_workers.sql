-- What workers may do.
--
--   mrpf_internal, mrpf_bare_metal   read, and for a run that holds its task write:  task_data  task_collection_data  task_checkpoint
--                                    read and write:                                 recon.*
--                                    call:                                           claim_task  renew_task  release_task
--   mrpf_bare_metal                  call too:                                       live_slot  drain_slot
--
-- An external worker has no role. Of everything else a worker knows what the functions here answer: it cannot read `task`, so it
-- knows the tickets alone of the tasks that it was given, and without a task's ticket it can change nothing of that task.
--
-- These are the guards of a run, and all the logic that stands in SQL. Those that change something lock the row of the task, so
-- they hold whatever isolation their caller has chosen.

-- Whether a run holds its task. It does until its transaction ends, too.
CREATE FUNCTION holds(of_task uuid, of_attempt bigint, of_ticket uuid, of_run uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = task_manager, pg_temp AS $$
BEGIN
    PERFORM FROM task
        WHERE id = of_task AND attempt = of_attempt AND ticket = of_ticket AND run_id = of_run AND state = 'running'
        FOR SHARE;
    RETURN FOUND;
END $$;

-- Whether this transaction has said the ticket of a task that runs, and of its run where one is named: `mrpf.ticket`.
CREATE FUNCTION is_ours(of_task uuid, of_run uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = task_manager, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM task
            WHERE id = of_task AND (of_run IS NULL OR run_id = of_run) AND state = 'running'
                AND ticket::text = current_setting('mrpf.ticket', true))
$$;

-- A run holds its task from the claim until another run claims it, it is released or the manager ends it: a lease that is over
-- takes nothing away by itself. A run that follows one with a checkpoint takes over the parts that the checkpoint covers; all
-- other parts of earlier runs are removed.
CREATE FUNCTION claim_task(
    of_task uuid, of_attempt bigint, of_ticket uuid, by_run uuid, by_worker text, at timestamptz, until timestamptz,
    OUT claim text, OUT checkpoint_position json, OUT checkpoint_parts bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = task_manager, pg_temp AS $$
DECLARE
    fence record;
    earlier task_checkpoint;
BEGIN
    SELECT task.state, task.run_id, task.lease_until, workflow.state AS workflow_state, control.is_stopped INTO fence
        FROM task JOIN workflow ON workflow.id = task.workflow_id CROSS JOIN control
        WHERE task.id = of_task AND task.attempt = of_attempt AND task.ticket = of_ticket
        FOR UPDATE OF task;
    IF NOT FOUND OR fence.state NOT IN ('dispatched', 'running') OR fence.workflow_state = 'cancelled' THEN
        claim := 'stale';
        RETURN;
    END IF;
    IF fence.is_stopped OR (fence.state = 'running' AND fence.run_id IS DISTINCT FROM by_run AND fence.lease_until > at) THEN
        claim := 'busy';
        RETURN;
    END IF;
    UPDATE task SET state = 'running', run_id = by_run, worker = by_worker, lease_until = until WHERE id = of_task;
    SELECT * INTO earlier FROM task_checkpoint WHERE task_id = of_task;
    IF FOUND THEN
        UPDATE task_data SET run_id = by_run
            WHERE task_id = of_task AND run_id = earlier.run_id AND seq < earlier.parts AND run_id <> by_run;
        UPDATE task_checkpoint SET run_id = by_run WHERE task_id = of_task;
    END IF;
    DELETE FROM task_data WHERE task_id = of_task AND run_id <> by_run;
    claim := 'held';
    checkpoint_position := earlier.position;
    checkpoint_parts := earlier.parts;
END $$;

-- 'held', 'lost' or 'stop'. Progress is left as it is where none is said.
CREATE FUNCTION renew_task(
    of_task uuid, of_attempt bigint, of_ticket uuid, by_run uuid, until timestamptz,
    has_progress boolean, now_done bigint, now_total bigint, now_note text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = task_manager, pg_temp AS $$
DECLARE
    fence record;
BEGIN
    SELECT task.state, task.run_id, workflow.state AS workflow_state, control.is_stopped INTO fence
        FROM task JOIN workflow ON workflow.id = task.workflow_id CROSS JOIN control
        WHERE task.id = of_task AND task.attempt = of_attempt AND task.ticket = of_ticket
        FOR UPDATE OF task;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    IF fence.state = 'cancelled' THEN
        RETURN 'stop';
    END IF;
    IF fence.state <> 'running' OR fence.run_id IS DISTINCT FROM by_run THEN
        RETURN 'lost';
    END IF;
    IF fence.is_stopped OR fence.workflow_state = 'cancelled' THEN
        RETURN 'stop';
    END IF;
    UPDATE task SET lease_until = until,
            done = CASE WHEN has_progress THEN now_done ELSE done END,
            total = CASE WHEN has_progress THEN now_total ELSE total END,
            note = CASE WHEN has_progress THEN now_note ELSE note END
        WHERE id = of_task;
    RETURN 'held';
END $$;

-- Gives the task back as it was given out. Its lease stays: once it is over the reaper looks whether anybody has claimed it.
CREATE FUNCTION release_task(of_task uuid, of_attempt bigint, of_ticket uuid, by_run uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = task_manager, pg_temp AS $$
BEGIN
    UPDATE task SET state = 'dispatched', run_id = NULL, worker = NULL
        WHERE id = of_task AND attempt = of_attempt AND ticket = of_ticket AND run_id = by_run AND state = 'running';
    RETURN FOUND;
END $$;

-- The generation of the slot that is this machine's, from now on live; nothing when none is. A worker knows the name of its own
-- machine alone, and cannot read those of others.
CREATE FUNCTION live_slot(of_instance text, until timestamptz) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = task_manager, pg_temp AS $$
    UPDATE bare_metal_slot SET state = 'live', lease_until = until
        WHERE instance_id = of_instance AND state <> 'free'
        RETURNING generation
$$;

-- No worker frees a slot: until its machine is gone, which the manager sees, it is one of those that there may be.
CREATE FUNCTION drain_slot(of_instance text, of_generation bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = task_manager, pg_temp AS $$
BEGIN
    UPDATE bare_metal_slot SET state = 'draining'
        WHERE instance_id = of_instance AND generation = of_generation AND state <> 'free';
    RETURN FOUND;
END $$;

-- Output as it may be read: of tasks that have succeeded, of the run that they succeeded with.
CREATE VIEW stored_output AS
    SELECT task.id AS task_id, task.member_of AS collection_id, task_data.seq, task_data.data
        FROM task JOIN task_data ON task_data.task_id = task.id AND task_data.run_id = task.run_id
        WHERE task.state = 'succeeded';

-- Workers read all rows and change those of a run whose ticket they have said. The manager owns the tables, and so passes by.
ALTER TABLE task_data ENABLE ROW LEVEL SECURITY;
CREATE POLICY anyone_reads ON task_data FOR SELECT USING (true);
CREATE POLICY a_run_adds ON task_data FOR INSERT WITH CHECK (is_ours(task_id, run_id));
CREATE POLICY a_run_changes ON task_data FOR UPDATE USING (is_ours(task_id, run_id));
CREATE POLICY a_run_removes ON task_data FOR DELETE USING (is_ours(task_id, run_id));

ALTER TABLE task_checkpoint ENABLE ROW LEVEL SECURITY;
CREATE POLICY anyone_reads ON task_checkpoint FOR SELECT USING (true);
CREATE POLICY a_run_adds ON task_checkpoint FOR INSERT WITH CHECK (is_ours(task_id, run_id));
CREATE POLICY a_run_changes ON task_checkpoint FOR UPDATE USING (is_ours(task_id, run_id));
CREATE POLICY a_run_removes ON task_checkpoint FOR DELETE USING (is_ours(task_id, run_id));

ALTER TABLE task_collection_data ENABLE ROW LEVEL SECURITY;
CREATE POLICY anyone_reads ON task_collection_data FOR SELECT USING (true);
CREATE POLICY a_run_adds ON task_collection_data FOR INSERT WITH CHECK (is_ours(task_id, NULL));
CREATE POLICY a_run_changes ON task_collection_data FOR UPDATE USING (is_ours(task_id, NULL));
CREATE POLICY a_run_removes ON task_collection_data FOR DELETE USING (is_ours(task_id, NULL));

-- Functions are everybody's unless that is taken back.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA task_manager FROM PUBLIC;
GRANT USAGE ON SCHEMA task_manager, recon TO mrpf_internal, mrpf_bare_metal;
GRANT SELECT ON schema_version, stored_output TO mrpf_internal, mrpf_bare_metal;
GRANT SELECT, INSERT, UPDATE, DELETE ON task_data, task_collection_data, task_checkpoint TO mrpf_internal, mrpf_bare_metal;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA recon TO mrpf_internal, mrpf_bare_metal;
GRANT EXECUTE ON FUNCTION digest, holds, is_ours, claim_task, renew_task, release_task TO mrpf_internal, mrpf_bare_metal;
GRANT EXECUTE ON FUNCTION live_slot, drain_slot TO mrpf_bare_metal;
