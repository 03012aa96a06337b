-- A million accounts, and the transfer of two rows as one function, so that a client asks once for each transfer.
CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0)) WITH (fillfactor = 80);
INSERT INTO accounts SELECT id, 1000000 FROM generate_series(1, :accounts) AS id;

CREATE FUNCTION transfer(payer integer, payee integer, amount bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Rows are locked by ascending id, so that two transfers never wait for each other.
    IF payer < payee THEN
        UPDATE accounts SET balance = balance - amount WHERE id = payer;
        UPDATE accounts SET balance = balance + amount WHERE id = payee;
    ELSE
        UPDATE accounts SET balance = balance + amount WHERE id = payee;
        UPDATE accounts SET balance = balance - amount WHERE id = payer;
    END IF;
END $$;

VACUUM ANALYZE accounts;
CHECKPOINT;
