\set payer random(1, :accounts)
\set other random(1, :accounts - 1)
\set payee CASE WHEN :other >= :payer THEN :other + 1 ELSE :other END
SELECT transfer(:payer, :payee, 1);
