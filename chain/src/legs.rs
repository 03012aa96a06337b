//! The legs of a payment that go to other chains: where its receipts are, where they were sent on, and whether one came back.

use ledger::records::receipt::receipt_id;
use ledger::records::{Origin, Receipt};
use ledger::values::{Amount, ChainId, GenesisHash, Height, TransactionId, WalletId};
use storage::{Reader, Table, key};

use crate::archive::Archive;
use crate::relay::{outboxes_at, sent_row, sent_rows};
use crate::rows::{RowFault, SentRow};

/// One payee on another chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// Position of the payment in its transaction.
    pub part: u16,
    /// The payee's chain.
    pub destination: ChainId,
    /// Number of the receipt among all sent there.
    pub sequence: u64,
    /// The payee.
    pub payee: WalletId,
    /// How much.
    pub amount: Amount,
    /// The refund that came back: the chain that it came from, which is another one where the credit was sent on, and its number among all
    /// received from there.
    pub refund: Option<(ChainId, u64)>,
}

impl Leg {
    /// The id under which the destination, `source` being the payer's chain, files the outcome of the credit.
    #[must_use]
    pub fn credit_id(&self, genesis: GenesisHash, source: ChainId) -> TransactionId {
        receipt_id(genesis, source, self.destination, self.sequence)
    }

    /// The id under which the payer's chain, `source`, files the outcome of the refund.
    #[must_use]
    pub fn refund_id(&self, genesis: GenesisHash, source: ChainId) -> Option<TransactionId> {
        self.refund.map(|(from, sequence)| receipt_id(genesis, from, source, sequence))
    }
}

impl<R: Reader + ?Sized> Archive<'_, R> {
    /// The legs of a transaction that was executed at `height`, in the order of its payments. Reads every receipt that the height sent.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn legs(&self, id: TransactionId, height: Height) -> Result<Vec<Leg>, RowFault> {
        let mut legs = Vec::new();
        for (destination, sequence, row) in self.sent_at(height)? {
            // What was sent on is another chain's leg.
            if let Receipt::Credit { transaction, part, payee, amount, origin: None, .. } = row.receipt
                && transaction == id
            {
                let refund = self.reader().get(Table::Refunds, &key::receipt(destination.0, sequence))?;
                let refund = refund.as_deref().and_then(key::split_receipt);
                let refund = refund.map(|(from, sequence)| (ChainId(from), sequence));
                legs.push(Leg { part, destination, sequence, payee, amount, refund });
            }
        }
        legs.sort_unstable_by_key(|leg| leg.part);
        Ok(legs)
    }

    /// Where a receipt that was executed under this id at a height was sent on, because its wallet is on another chain: that chain, and the
    /// receipt's number among all sent there. `None` where it was not. Reads every receipt that the height sent.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn sent_on(
        &self,
        genesis: GenesisHash,
        id: TransactionId,
        height: Height,
    ) -> Result<Option<(ChainId, u64)>, RowFault> {
        let Some(head) = self.head()? else { return Ok(None) };
        let Some((source, sequence, receipt)) = self.receipt(genesis, id, height)? else { return Ok(None) };
        let sent_on = match receipt {
            Receipt::Credit { transaction, part, payer, payee, amount, origin } => {
                let here = Origin { source, destination: head.chain, sequence };
                let origin = Some(origin.unwrap_or(here));
                Receipt::Credit { transaction, part, payer, payee, amount, origin }
            }
            refund @ Receipt::Refund { .. } => refund,
            _ => return Ok(None),
        };
        let is_it = |row: &SentRow| row.receipt == sent_on;
        let sent = self.sent_at(height)?;
        Ok(sent.into_iter().find(|(.., row)| is_it(row)).map(|(to, sequence, _)| (to, sequence)))
    }

    /// What a height sent: to whom, under which number, and what it says.
    fn sent_at(&self, height: Height) -> Result<Vec<(ChainId, u64, SentRow)>, RowFault> {
        let reader = self.reader();
        let mut sent = Vec::new();
        let Some((_, outboxes)) = outboxes_at(reader, height)?.filter(|(at, _)| *at == height) else {
            return Ok(sent);
        };
        let before = outboxes_at(reader, Height(height.0.saturating_sub(1)))?;
        let before = before.map(|(_, outboxes)| outboxes).unwrap_or_default();
        for outbox in outboxes {
            let earlier = before.iter().find(|earlier| earlier.chain == outbox.chain);
            let from = earlier.map_or(0, |earlier| earlier.tree.count);
            let rows = sent_rows(reader, outbox.chain, from, outbox.tree.count)?;
            sent.extend(rows.into_iter().map(|(sequence, row)| (outbox.chain, sequence, row)));
        }
        Ok(sent)
    }
}

/// Whether a refund is of a credit that the chain of this store sent itself. One that passes by, to where its payer has moved, names a
/// credit of the chain that the payer has left.
pub(crate) fn is_of_own_credit<R: Reader + ?Sized>(store: &R, refund: &Receipt) -> Result<bool, RowFault> {
    let Receipt::Refund { chain, credit, payer, payee, amount, .. } = refund else { return Ok(false) };
    let sent = sent_row(store, *chain, *credit)?.map(|row| row.receipt);
    let Some(Receipt::Credit { payer: by, payee: to, amount: of, origin: None, .. }) = sent else {
        return Ok(false);
    };
    Ok((by, to, of) == (*payer, *payee, *amount))
}
