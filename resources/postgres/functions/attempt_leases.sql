-- Attempts of executors that are not Dagster. Whoever holds a task has its newest lease epoch; a new holder, of the same
-- try after its lease expired (its owner's own successor at once) or of a later try at any time, gets a larger epoch and
-- a later fencing token, and from then on everything that the old one asks for is refused. Time is the database's.
-- Lock order: job, task, attempt, its lease.

-- Refuse an attempt that is not the newest of its task (MA412), unknown (MA404), or in another state than the allowed
-- (MA410); else hold its task until the transaction ends, and say in which state the attempt is.
CREATE OR REPLACE FUNCTION metadata.hold_attempt(p_attempt uuid, p_epoch bigint, p_allowed text[]) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_task metadata.task;
  v_attempt metadata.task_attempt;
BEGIN
  SELECT a.* INTO v_attempt FROM metadata.task_attempt a WHERE a.tenant_id = v_tenant AND a.attempt_id = p_attempt;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no attempt %', p_attempt USING ERRCODE = 'MA404', CONSTRAINT = 'task_attempt';
  END IF;
  SELECT t.* INTO v_task FROM metadata.task t
  WHERE t.tenant_id = v_tenant AND t.task_id = v_attempt.task_id FOR NO KEY UPDATE;
  IF v_task.lease_epoch <> p_epoch OR v_attempt.lease_epoch <> p_epoch THEN
    RAISE EXCEPTION 'attempt % held epoch %, and epoch % is given out', p_attempt, p_epoch, v_task.lease_epoch
      USING ERRCODE = 'MA412', CONSTRAINT = 'lease_epoch';
  END IF;
  SELECT a.* INTO v_attempt FROM metadata.task_attempt a WHERE a.tenant_id = v_tenant AND a.attempt_id = p_attempt;
  IF v_attempt.status <> ALL (p_allowed) THEN
    RAISE EXCEPTION 'attempt % is % already', p_attempt, v_attempt.status
      USING ERRCODE = 'MA410', CONSTRAINT = 'attempt_ended';
  END IF;
  RETURN v_attempt.status;
END $$;

-- Hold one try of one step, as the attempt p_attempt, which whoever asks made up for this request: asked again because
-- the answer was lost, the answer is the same lease. Another request of the same owner is that of its successor, which
-- knows nothing of the paths and the work of the one before: it takes the try over, however long the lease still lasts.
-- Errors: MA423 somebody else holds this try; MA410 it has ended; MA412 a later try, or another holder, has begun.
CREATE OR REPLACE FUNCTION metadata.take_attempt(
  p_attempt uuid, p_run_id text, p_job text, p_step_key text, p_number integer, p_owner text, p_ttl interval
) RETURNS TABLE (lease_epoch bigint, fencing_token bigint, expires_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_task metadata.task;
  v_held metadata.task_attempt;
  v_made metadata.task_attempt;
  v_expires timestamptz;
BEGIN
  INSERT INTO metadata.job (tenant_id, run_id, source, name, status, started_at)
  VALUES (v_tenant, p_run_id, 'executor', p_job, 'running', clock_timestamp())
  ON CONFLICT (tenant_id, run_id) DO NOTHING;
  INSERT INTO metadata.task (tenant_id, job_id, step_key)
  SELECT v_tenant, j.job_id, p_step_key FROM metadata.job j WHERE j.tenant_id = v_tenant AND j.run_id = p_run_id
  ON CONFLICT (tenant_id, job_id, step_key) DO NOTHING;
  SELECT t.* INTO STRICT v_task FROM metadata.task t
  JOIN metadata.job j ON j.tenant_id = t.tenant_id AND j.job_id = t.job_id
  WHERE t.tenant_id = v_tenant AND j.run_id = p_run_id AND t.step_key = p_step_key FOR NO KEY UPDATE OF t;

  -- A new statement, a new snapshot: from here on nobody else can give out a lease of this task.
  SELECT a.* INTO v_held FROM metadata.task_attempt a
  WHERE a.tenant_id = v_tenant AND a.task_id = v_task.task_id AND a.lease_epoch = v_task.lease_epoch
    AND a.lease_epoch > 0;
  IF FOUND THEN
    IF p_number < v_held.number THEN
      RAISE EXCEPTION 'attempt % of step % in run % was overtaken by attempt %', p_number, p_step_key, p_run_id,
        v_held.number USING ERRCODE = 'MA412', CONSTRAINT = 'lease_epoch';
    END IF;
    SELECT l.expires_at INTO v_expires FROM metadata.attempt_lease l
    WHERE l.tenant_id = v_tenant AND l.attempt_id = v_held.attempt_id;
    IF p_attempt = v_held.attempt_id THEN
      RETURN QUERY SELECT v_held.lease_epoch, v_held.fencing_token, coalesce(v_expires, v_held.ended_at);
      RETURN;
    END IF;
    IF EXISTS (SELECT 1 FROM metadata.task_attempt a WHERE a.tenant_id = v_tenant AND a.attempt_id = p_attempt) THEN
      RAISE EXCEPTION 'attempt % of step % in run % was taken over by %', p_number, p_step_key, p_run_id,
        v_held.lease_owner USING ERRCODE = 'MA412', CONSTRAINT = 'lease_epoch';
    END IF;
    IF p_number = v_held.number AND v_held.status <> 'running' THEN
      RAISE EXCEPTION 'attempt % of step % in run % is % already', p_number, p_step_key, p_run_id, v_held.status
        USING ERRCODE = 'MA410', CONSTRAINT = 'attempt_ended';
    END IF;
    IF p_number = v_held.number AND p_owner <> v_held.lease_owner AND v_expires > clock_timestamp() THEN
      RAISE EXCEPTION 'attempt % of step % in run % is held by % until %', p_number, p_step_key, p_run_id,
        v_held.lease_owner, v_expires USING ERRCODE = 'MA423', CONSTRAINT = 'attempt_lease';
    END IF;
    DELETE FROM metadata.attempt_lease l WHERE l.tenant_id = v_tenant AND l.attempt_id = v_held.attempt_id;
    UPDATE metadata.task_attempt a SET status = 'lost', ended_at = clock_timestamp(), updated_at = clock_timestamp(),
      failure_class = 'LeaseTakenOver', failure_reason = format('taken over by %s as attempt %s', p_owner, p_number)
    WHERE a.tenant_id = v_tenant AND a.attempt_id = v_held.attempt_id AND a.status = 'running';
  END IF;

  UPDATE metadata.task t SET lease_epoch = t.lease_epoch + 1, updated_at = clock_timestamp()
  WHERE t.tenant_id = v_tenant AND t.task_id = v_task.task_id RETURNING t.* INTO v_task;
  INSERT INTO metadata.task_attempt
    (tenant_id, attempt_id, task_id, step_key, number, lease_epoch, lease_owner, fencing_token, status, started_at)
  VALUES (v_tenant, p_attempt, v_task.task_id, v_task.step_key, p_number, v_task.lease_epoch, p_owner,
    nextval('metadata.fencing_token'), 'running', clock_timestamp())
  RETURNING * INTO v_made;
  INSERT INTO metadata.attempt_lease AS l (tenant_id, attempt_id, expires_at)
  VALUES (v_tenant, v_made.attempt_id, clock_timestamp() + p_ttl) RETURNING l.expires_at INTO v_expires;
  RETURN QUERY SELECT v_made.lease_epoch, v_made.fencing_token, v_expires;
END $$;

-- Keep a lease for a while longer, also one that has expired while nobody took it over.
CREATE OR REPLACE FUNCTION metadata.heartbeat(p_attempt uuid, p_epoch bigint, p_ttl interval) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_expires timestamptz;
BEGIN
  PERFORM metadata.hold_attempt(p_attempt, p_epoch, ARRAY['running']);
  UPDATE metadata.attempt_lease l SET heartbeat_at = clock_timestamp(), expires_at = clock_timestamp() + p_ttl
  WHERE l.tenant_id = v_tenant AND l.attempt_id = p_attempt RETURNING l.expires_at INTO v_expires;
  RETURN v_expires;
END $$;

-- End an attempt as succeeded or failed. Asking again changes nothing: the first answer stands.
CREATE OR REPLACE FUNCTION metadata.end_attempt(
  p_attempt uuid, p_epoch bigint, p_status text, p_failure_class text, p_failure_reason text
) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_ended timestamptz;
BEGIN
  PERFORM metadata.hold_attempt(p_attempt, p_epoch, ARRAY['running', p_status]);
  UPDATE metadata.task_attempt a SET status = p_status, ended_at = clock_timestamp(), updated_at = clock_timestamp(),
    failure_class = p_failure_class, failure_reason = p_failure_reason
  WHERE a.tenant_id = v_tenant AND a.attempt_id = p_attempt AND a.status = 'running';
  DELETE FROM metadata.attempt_lease l WHERE l.tenant_id = v_tenant AND l.attempt_id = p_attempt;
  SELECT a.ended_at INTO v_ended FROM metadata.task_attempt a
  WHERE a.tenant_id = v_tenant AND a.attempt_id = p_attempt;
  RETURN v_ended;
END $$;
