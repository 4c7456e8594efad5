-- What people ask about one lead.

-- name: show_lead
SELECT lead_id::text AS lead_id, state, stage, version, score_version, score, epoch, cycle, pool, rule, rep,
    qualified_at, closed_at, held_since, held_reason, excluded, preferred, facts::text AS facts
FROM lead
WHERE lead_id = $1

-- name: show_decisions
-- The newest last; $2 bounds them.
SELECT * FROM (
    SELECT decision_id::text AS decision_id, version, kind, at, source, event_id, mode, pool, number, rule, rep, epoch,
        state, stage, reason, candidates, outcome, config_version
    FROM decision
    WHERE lead_id = $1
    ORDER BY decision.version DESC, decision.number DESC
    LIMIT $2
) AS newest
ORDER BY newest.version, newest.number

-- name: show_members
-- The members of a pool as they are now.
SELECT rep.id, rep.name, rep.email, rep.capacity, rep.open, rep.active, member.weight, member.current
FROM pool_member AS member JOIN rep ON rep.id = member.rep
WHERE member.pool = $1
ORDER BY rep.id
