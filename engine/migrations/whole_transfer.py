"""The procedure that makes a transfer of one round trip (`execution=function`).

Everything that a transfer asks of the database, in the order of the readable path: the token, the
PIN, the key, the wallets under their locks, the decision, the limits, the books, the answer. It
never raises a refusal: whoever is refused by the PIN leaves a count behind, and whoever is refused
by the decision an answer under the key.

The PIN is a database transaction of its own, as it is elsewhere: its count is there whatever comes
of the transfer, and a twin of a request under way is not kept waiting by the row of its own user.
Where the PIN was right and nothing was counted there is nothing to lose: that commit need not reach
the disk by itself.

The words of refusals are the engine's (`refusals`): numbered, with places for what is not known
beforehand, one after the other between unit separators. They are looked at only by who is refused.
"""

from engine.shape import Shape


def takes_whole_transfers(shape: Shape) -> bool:
    """The procedure is about whole cents, two legs, and constraints that have the last word."""
    return shape.money == "minor_units" and shape.double_entry and shape.constraints


PROCEDURE = r"""
CREATE OR REPLACE PROCEDURE whole_transfer(
    p_jti text, p_user bigint, p_operator boolean, p_guess text, p_most_failures int,
    p_lockout_s int,
    p_scope text, p_key text, p_fingerprint text,
    p_payer bigint, p_payee bigint, p_amount bigint, p_asset bigint, p_most bigint,
    p_id uuid, p_answer text, p_refusals text, p_request_id text,
    OUT verdict text, OUT status int, OUT body text,
    OUT payer_balance bigint, OUT payer_version bigint, OUT payer_allow_negative boolean,
    OUT payer_label text, OUT payer_limited boolean,
    OUT payee_user bigint, OUT payee_balance bigint, OUT payee_version bigint,
    OUT payee_allow_negative boolean, OUT payee_label text, OUT payee_limited boolean
) LANGUAGE plpgsql AS $$
DECLARE
    person record;
    kept record;
    payer wallets;
    payee wallets;
    bound record;
    refusal int := 0;
    about bigint := p_payer;
    is_now text;
    moment timestamptz;
BEGIN
    IF p_jti IS NOT NULL AND EXISTS (SELECT FROM revoked_tokens WHERE jti = p_jti) THEN
        verdict := 'revoked';
        RETURN;
    END IF;

    SELECT u.pin_hash, u.pin_failures, u.pin_locked_until, u.role INTO person
    FROM users u WHERE u.id = p_user FOR NO KEY UPDATE;
    IF person.pin_hash IS NULL THEN
        verdict := 'pin-not-set';
        RETURN;
    ELSIF person.pin_locked_until > now() THEN
        verdict := 'pin-locked';
        RETURN;
    ELSIF person.pin_hash <> p_guess THEN
        IF person.pin_locked_until IS NOT NULL THEN
            person.pin_failures := 0;
        END IF;
        UPDATE users u SET pin_failures = person.pin_failures + 1,
            pin_locked_until = CASE WHEN person.pin_failures + 1 >= p_most_failures
                THEN now() + make_interval(secs => p_lockout_s) END
        WHERE u.id = p_user;
        verdict := 'pin-wrong';
        RETURN;
    ELSIF person.pin_failures <> 0 OR person.pin_locked_until IS NOT NULL THEN
        UPDATE users u SET pin_failures = 0, pin_locked_until = NULL WHERE u.id = p_user;
    ELSE
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    COMMIT;

    IF NOT pg_try_advisory_xact_lock(
        hashtextextended('assay-key ' || p_scope || ' ' || p_key, 0)
    ) THEN
        verdict := 'in-flight';
        RETURN;
    END IF;
    -- A statement of its own: what the lock's last holder committed is seen.
    SELECT k.fingerprint, k.response_status, k.response_body INTO kept
    FROM idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
    IF FOUND THEN
        verdict := CASE WHEN kept.fingerprint <> p_fingerprint THEN 'reused'
            WHEN kept.response_status IS NULL THEN 'unanswered' ELSE 'replayed' END;
        status := kept.response_status;
        body := kept.response_body;
        RETURN;
    END IF;

    IF p_payer < p_payee THEN
        SELECT * INTO payer FROM wallets w WHERE w.id = p_payer FOR NO KEY UPDATE;
        SELECT * INTO payee FROM wallets w WHERE w.id = p_payee FOR NO KEY UPDATE;
    ELSE
        SELECT * INTO payee FROM wallets w WHERE w.id = p_payee FOR NO KEY UPDATE;
        SELECT * INTO payer FROM wallets w WHERE w.id = p_payer FOR NO KEY UPDATE;
    END IF;
    moment := clock_timestamp();

    IF payer.user_id IS DISTINCT FROM p_user THEN
        refusal := 1;
    ELSIF person.role IN ('system', 'escrow') THEN
        refusal := 2;
    ELSIF payee.id IS NOT NULL AND EXISTS (
        SELECT FROM users u WHERE u.id = payee.user_id AND u.role IN ('system', 'escrow')
    ) THEN
        refusal := 2;
        about := p_payee;
    ELSIF payee.id IS NULL THEN
        refusal := 3;
        about := p_payee;
    ELSIF payer.status <> 'active' THEN
        refusal := 4;
        is_now := payer.status;
    ELSIF payee.status <> 'active' THEN
        refusal := CASE WHEN p_operator OR payee.user_id = p_user THEN 4 ELSE 5 END;
        about := p_payee;
        is_now := payee.status;
    ELSIF payer.asset_type_id IS DISTINCT FROM p_asset
        OR payee.asset_type_id IS DISTINCT FROM p_asset THEN
        refusal := 6;
    ELSIF NOT payer.allow_negative AND payer.balance < p_amount THEN
        refusal := 7;
    ELSIF abs(payer.balance - p_amount) > p_most THEN
        refusal := 8;
    ELSIF abs(payee.balance + p_amount) > p_most THEN
        refusal := 8;
        about := p_payee;
    ELSIF payer.limited AND payee.user_id <> p_user THEN
        -- After the wallets, as everywhere: one payment of a user after the other.
        PERFORM FROM users u WHERE u.id = p_user FOR NO KEY UPDATE;
        SELECT l.daily_cap, l.overdraft INTO bound FROM daily_limits l
        WHERE l.user_id = p_user AND l.asset_type_id = p_asset;
        IF (SELECT sum(w.balance) FROM wallets w
            WHERE w.user_id = p_user AND w.asset_type_id = p_asset) - p_amount < -bound.overdraft
        THEN
            refusal := 9;
        ELSIF (
            SELECT coalesce(sum(t.amount), 0) FROM transactions t
            JOIN wallets w ON w.id = t.from_wallet_id
            LEFT JOIN wallets other ON other.id = t.to_wallet_id
            WHERE w.user_id = p_user AND w.asset_type_id = p_asset
            AND t.timestamp >= date_trunc('day', moment, 'UTC') AND t.status <> 'FAILED'
            AND other.user_id IS DISTINCT FROM p_user
            AND NOT EXISTS (SELECT FROM transactions b WHERE b.reverses_transaction_id = t.id)
            AND NOT EXISTS (SELECT FROM holds h WHERE h.id = t.id AND h.status = 'released')
        ) + p_amount > bound.daily_cap THEN
            refusal := 10;
        END IF;
    END IF;

    IF refusal > 0 THEN
        body := split_part(p_refusals, E'\x1f', refusal);
        status := left(body, 3)::int;
        body := replace(replace(replace(substr(body, 4), '<wallet>', about::text),
            '<status>', coalesce(is_now, '')), '<request>', p_request_id);
        verdict := 'refused';
    ELSE
        status := 201;
        body := replace(p_answer, '<timestamp>', replace(
            to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '.000000', ''
        ) || '+00:00');
        UPDATE wallets w SET balance = w.balance - p_amount, version = w.version + 1
        WHERE w.id = p_payer RETURNING w.balance, w.version INTO payer_balance, payer_version;
        UPDATE wallets w SET balance = w.balance + p_amount, version = w.version + 1
        WHERE w.id = p_payee RETURNING w.balance, w.version INTO payee_balance, payee_version;
        INSERT INTO transactions
            (id, type, from_wallet_id, to_wallet_id, amount, status, idempotency_key, timestamp)
        VALUES (p_id, 'TRANSFER', p_payer, p_payee, p_amount, 'COMPLETED', p_key, moment);
        INSERT INTO ledger_entries
            (transaction_id, wallet_id, entry_type, amount, balance_after, wallet_version)
        VALUES (p_id, p_payer, 'DEBIT', p_amount, payer_balance, payer_version),
            (p_id, p_payee, 'CREDIT', p_amount, payee_balance, payee_version);
        payer_allow_negative := payer.allow_negative;
        payer_label := payer.label;
        payer_limited := payer.limited;
        payee_user := payee.user_id;
        payee_allow_negative := payee.allow_negative;
        payee_label := payee.label;
        payee_limited := payee.limited;
        verdict := 'done';
    END IF;
    INSERT INTO idempotency_keys (scope, key, fingerprint, response_status, response_body)
    VALUES (p_scope, p_key, p_fingerprint, status, body::json) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        -- By somebody who takes no lock of the key: nothing of this may stay.
        RAISE EXCEPTION 'the key was taken meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
END $$
"""
