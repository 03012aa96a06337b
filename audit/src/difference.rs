//! The first thing that does not fit: where, what, and both values.

use std::fmt;

use ledger::proofs::{FinalityFault, OriginFault};
use ledger::records::Counter;
use ledger::rules::{BatchFault, BlockFault, BundleFault, ExecutionFault};
use ledger::values::{
    Amount, BatchDigest, BlockDigest, ChainId, CodecError, Currency, Epoch, FeeRate, Hash, Height, LockId,
    OutboxRoot, RegistryHash, ResultHash, Slot, TransactionId, WalletId,
};
use storage::Table;

use crate::journal::Relocation;

/// What an audit found, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chain {chain}, height {height}: {finding}")]
pub struct Difference {
    /// The chain.
    pub chain: ChainId,
    /// The height.
    pub height: Height,
    /// What is wrong there.
    pub finding: Finding,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The block breaks a rule.
    #[error("the block is invalid: {0}")]
    Block(BlockFault),
    /// The block is filed under another digest than it has.
    #[error("the block is filed as {filed}, its digest is {digest}")]
    BlockDigest {
        /// Where it was found.
        filed: BlockDigest,
        /// What it hashes to.
        digest: BlockDigest,
    },
    /// A batch breaks a rule.
    #[error("batch {position} is invalid: {fault}")]
    Batch {
        /// Its place in the block.
        position: u32,
        /// The rule.
        fault: BatchFault,
    },
    /// A batch that an unexpired ancestor ordered already.
    #[error("batch {digest} was ordered before and had not expired")]
    BatchTwice {
        /// The batch.
        digest: BatchDigest,
    },
    /// A bundle breaks a rule.
    #[error("bundle {position} is invalid: {fault}")]
    Bundle {
        /// Its place in the block.
        position: u32,
        /// The rule.
        fault: BundleFault,
    },
    /// The other chain has certified two histories: a bundle stands on other receipts than those that were executed here.
    #[error(
        "the bundle from receipt {first} of chain {source_chain} on stands on receipts with root {shown}, \
         those executed here have root {computed}"
    )]
    OtherReceipts {
        /// The chain that sent them.
        source_chain: ChainId,
        /// Number of the bundle's first receipt.
        first: u64,
        /// Root over the receipts before it, as the bundle shows it.
        shown: Hash,
        /// Root over the receipts that were executed.
        computed: Hash,
    },
    /// Receipts were executed that the other chain has not sent.
    #[error(
        "receipts {first} to {last} of chain {source_chain} were executed under outbox root {shown} of its height \
         {source_height}, the replay of that chain computes {computed}"
    )]
    NotSent {
        /// The chain that should have sent them.
        source_chain: ChainId,
        /// Number of the bundle's first receipt.
        first: u64,
        /// Number of its last one.
        last: u64,
        /// The height of the result in the bundle.
        source_height: Height,
        /// The outbox root of that result.
        shown: OutboxRoot,
        /// By the replay of the other chain.
        computed: OutboxRoot,
    },
    /// More was received than was sent.
    #[error(
        "chain {source_chain} has sent {} receipts of {} fen here, {} of {} fen were received",
        sent.count, sent.total, received.count, received.total
    )]
    Pair {
        /// The chain that sent.
        source_chain: ChainId,
        /// By that chain.
        sent: Counter,
        /// By this one.
        received: Counter,
    },
    /// The chains of a currency do not hold what was issued.
    #[error(
        "of {currency}, {held} fen are held or under way on all chains, {issued} fen were issued and not redeemed"
    )]
    Supply {
        /// The currency.
        currency: Currency,
        /// Holdings and what is between the chains.
        held: i128,
        /// Issued less redeemed.
        issued: i128,
    },
    /// An executed receipt did not become what it must: credited, refunded to whoever paid, or sent on.
    #[error(
        "receipt {sequence} of chain {source_chain} had outcome {code}: a receipt of {} fen must follow, found {}",
        expected.fen(), Found(*found)
    )]
    Unsettled {
        /// The chain that sent it.
        source_chain: ChainId,
        /// Its number.
        sequence: u64,
        /// Its outcome.
        code: u16,
        /// What must have been refunded or sent on.
        expected: Amount,
        /// What was; none where nothing was, or where it answers another receipt already.
        found: Option<Amount>,
    },
    /// A transaction paid more than it may be charged in its block.
    #[error(
        "transaction {transaction} was charged {} fen; by its bid and the base fee of {base_fee} it is {} fen at most",
        charged.fen(), most.fen()
    )]
    Overcharged {
        /// The transaction.
        transaction: TransactionId,
        /// The block's base fee.
        base_fee: FeeRate,
        /// What it was charged.
        charged: Amount,
        /// The most that it may be.
        most: Amount,
    },
    /// Something that a chain takes from its parent only came from another one.
    #[error(
        "receipt {sequence} of chain {source_chain} moves, keeps or ends what a parent may, {}{} fen; the parent is {}",
        Named(*wallet), balance.fen(), Parent(*parent)
    )]
    NotParent {
        /// The chain that sent it.
        source_chain: ChainId,
        /// Its number.
        sequence: u64,
        /// The wallet, where it is about one.
        wallet: Option<WalletId>,
        /// With how much.
        balance: Amount,
        /// The chain's parent; none where genesis names the chain.
        parent: Option<ChainId>,
    },
    /// A wallet left or arrived a second time.
    #[error(
        "wallet {wallet} {} a second time: with {} fen at height {} as receipt {} between this chain and {}, and with {} fen \
         at height {} as receipt {} between it and {}",
        if *has_left { "left" } else { "arrived" },
        first.balance.fen(), first.height, first.sequence, first.chain,
        again.balance.fen(), again.height, again.sequence, again.chain
    )]
    MovedTwice {
        /// The wallet.
        wallet: WalletId,
        /// Whether it left; else it arrived.
        has_left: bool,
        /// The first time.
        first: Relocation,
        /// The second time.
        again: Relocation,
    },
    /// A wallet did not arrive as it left.
    #[error(
        "wallet {wallet}, which moves from chain {source_chain}: {} left there, {} arrived here",
        Found(*sent), Found(*received)
    )]
    Moved {
        /// The wallet.
        wallet: WalletId,
        /// The parent.
        source_chain: ChainId,
        /// With how much it left; none where it never did.
        sent: Option<Amount>,
        /// With how much it arrived; none where it did not although the parent has ended.
        received: Option<Amount>,
    },
    /// A chain that operators added began with another registry than the root chain has given it.
    #[error("the chain began with registry {shown}, the root chain's replay computes {computed}")]
    Beginning {
        /// What it began with.
        shown: RegistryHash,
        /// By the root chain's replay.
        computed: RegistryHash,
    },
    /// The origin of a chain that operators added does not decode.
    #[error("the origin of the chain does not decode: {0}")]
    OriginMalformed(CodecError),
    /// What a chain that operators added says that it began with is not proved.
    #[error("the origin of the chain is not proved: {0}")]
    Origin(OriginFault),
    /// A transaction's signature is not valid.
    #[error("transaction {transaction} has an invalid signature")]
    Signature {
        /// The transaction.
        transaction: TransactionId,
    },
    /// A certificate does not decode.
    #[error("the certificate does not decode: {0}")]
    CertificateMalformed(CodecError),
    /// A certificate proves nothing.
    #[error("the certificate is not valid: {0}")]
    Certificate(FinalityFault),
    /// A certificate for another block.
    #[error(
        "the certificate is of epoch {proved_epoch} for block {proved}, the block is {digest} of epoch {epoch}"
    )]
    CertificateOther {
        /// In the certificate.
        proved: BlockDigest,
        /// Whose validators signed it.
        proved_epoch: Epoch,
        /// Of the block.
        digest: BlockDigest,
        /// Whose validators decide the block.
        epoch: Epoch,
    },
    /// Blocks without any certificate above them.
    #[error("no certificate covers this chain: nothing says that a quorum agreed to it")]
    NoCertificate,
    /// A quorum certified another result than the replay computed.
    #[error("the block claims result {claimed} for height {claimed_height}, the replay computes {computed}")]
    Claim {
        /// The height that the claim is about.
        claimed_height: Height,
        /// In the block.
        claimed: ResultHash,
        /// By the replay.
        computed: ResultHash,
    },
    /// Claims lag so far behind that the replay would have to keep an unbounded number of results.
    #[error("the block's last claim is of height {claimed_height}, more than {lag_max} heights below")]
    ClaimLag {
        /// The height of the last claim.
        claimed_height: Height,
        /// The bound.
        lag_max: u64,
    },
    /// The production ledger refuses to execute the block, or an invariant such as the supply equation does not hold.
    #[error("the block cannot be executed: {0}")]
    Execution(Box<ExecutionFault>),
    /// A row that the chain needs is missing.
    #[error("a row of table {table} is missing")]
    RowMissing {
        /// The table.
        table: Table,
    },
    /// A row does not hold a canonical value.
    #[error("a row of table {table} is damaged: {fault}")]
    RowDamaged {
        /// The table.
        table: Table,
        /// What is wrong with it.
        fault: CodecError,
    },
    /// A stored value is not the computed one.
    #[error("{place}, {field}: stored {stored}, computed {computed}")]
    Value {
        /// Which value.
        place: Place,
        /// Which part of it.
        field: &'static str,
        /// What is stored.
        stored: Value,
        /// What the replay computed.
        computed: Value,
    },
}

/// An amount that may be missing.
struct Found(Option<Amount>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("nothing"),
            Some(amount) => write!(f, "{} fen", amount.fen()),
        }
    }
}

/// A wallet that something may be about.
struct Named(Option<WalletId>);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |wallet| write!(f, "wallet {wallet}, "))
    }
}

/// A parent that may be none.
struct Parent(Option<ChainId>);

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none: genesis names this chain"),
            Some(parent) => write!(f, "chain {parent}"),
        }
    }
}

/// Which stored value differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Place {
    /// The height's result.
    #[error("the result")]
    Result,
    /// The finalized order.
    #[error("the order of blocks")]
    Order,
    /// The outcomes of the height.
    #[error("the outcomes")]
    Outcomes,
    /// One outcome.
    #[error("the outcome of transaction {0}")]
    Outcome(TransactionId),
    /// The index from a transaction to its place.
    #[error("the index of transaction {0}")]
    Transaction(TransactionId),
    /// A line of a wallet's history.
    #[error("the history of wallet {wallet}, transaction {index}, part {part}")]
    History {
        /// The wallet.
        wallet: WalletId,
        /// Position of the transaction in the block.
        index: u32,
        /// Position in the transaction.
        part: u16,
    },
    /// A receipt that was sent.
    #[error("receipt {sequence} for chain {destination}")]
    Receipt {
        /// To which chain.
        destination: ChainId,
        /// Its number.
        sequence: u64,
    },
    /// The trees over everything that was sent.
    #[error("the outboxes")]
    Outboxes,
    /// The refund that answered a credit.
    #[error("the refund of receipt {sequence} for chain {destination}")]
    Refund {
        /// To which chain the credit was sent.
        destination: ChainId,
        /// The credit's number.
        sequence: u64,
    },
    /// Who takes part.
    #[error("the registry")]
    Registry,
    /// What the origin of a chain is made of that operators added.
    #[error("the origin of chain {0}")]
    Origin(ChainId),
    /// A wallet.
    #[error("wallet {0}")]
    Wallet(WalletId),
    /// A lock or an offer.
    #[error("lock {0}")]
    Lock(LockId),
    /// A record without a name.
    #[error("the record in slot {0}")]
    Record(Slot),
    /// The index from a wallet to its slot.
    #[error("the index of wallet {0}")]
    Slot(WalletId),
    /// The index from a lock or an offer to its slot.
    #[error("the index of lock {0}")]
    LockSlot(LockId),
    /// The state head.
    #[error("the state head")]
    Head,
    /// A whole table.
    #[error("table {0}")]
    Table(Table),
}

/// One side of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing there.
    Absent,
    /// Money, in the currency of the chain; shown in fen, as it is stored.
    Money(Amount),
    /// A fee per unit of weight.
    Rate(FeeRate),
    /// A count, code or position.
    Number(u64),
    /// A position in the chain.
    Position(Height, u32),
    /// A receipt that came from a chain, by its number.
    Receipt(ChainId, u64),
    /// A hash or digest.
    Hash(Hash),
    /// Anything else, in its canonical encoding.
    Bytes(Vec<u8>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("nothing"),
            Self::Money(amount) => write!(f, "{} fen", amount.fen()),
            Self::Rate(rate) => write!(f, "{rate}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Position(height, index) => write!(f, "height {height} index {index}"),
            Self::Receipt(chain, sequence) => write!(f, "receipt {sequence} of chain {chain}"),
            Self::Hash(hash) => write!(f, "{hash}"),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}
