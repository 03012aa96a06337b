//! The legs of a payment that go to other chains: where its receipts are, and whether one came back.

use ledger::records::Receipt;
use ledger::records::receipt::receipt_id;
use ledger::values::{Amount, ChainId, GenesisHash, Height, TransactionId, WalletId};
use storage::{Reader, Table, key};

use crate::archive::Archive;
use crate::relay::{outboxes_at, sent_rows};
use crate::rows::RowFault;

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
    /// The refund that came back and was credited here: its number among all received from there.
    pub refund: Option<u64>,
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
        self.refund.map(|sequence| receipt_id(genesis, self.destination, source, sequence))
    }
}

impl<R: Reader + ?Sized> Archive<'_, R> {
    /// The legs of a transaction that was executed at `height`, in the order of its payments. Reads every receipt that the height sent.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn legs(&self, id: TransactionId, height: Height) -> Result<Vec<Leg>, RowFault> {
        let reader = self.reader();
        let mut legs = Vec::new();
        let Some((_, outboxes)) = outboxes_at(reader, height)?.filter(|(at, _)| *at == height) else {
            return Ok(legs);
        };
        let before = outboxes_at(reader, Height(height.0.saturating_sub(1)))?;
        let before = before.map(|(_, outboxes)| outboxes).unwrap_or_default();
        for outbox in outboxes {
            let destination = outbox.chain;
            let earlier = before.iter().find(|earlier| earlier.chain == destination);
            let from = earlier.map_or(0, |earlier| earlier.tree.count);
            for (sequence, row) in sent_rows(reader, destination, from, outbox.tree.count)? {
                if let Receipt::Credit { transaction, part, payee, amount, .. } = row.receipt
                    && transaction == id
                {
                    let refund = reader.get(Table::Refunds, &key::receipt(destination.0, sequence))?;
                    let refund = refund.as_deref().and_then(key::number);
                    legs.push(Leg { part, destination, sequence, payee, amount, refund });
                }
            }
        }
        legs.sort_unstable_by_key(|leg| leg.part);
        Ok(legs)
    }
}
