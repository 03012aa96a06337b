//! Outcomes: what execution made of a transaction. Terminal from the moment the nonce is consumed (PROTOCOL
//! rule 7).

use wincode::{SchemaRead, SchemaWrite};

use crate::values::{Amount, Canonical, TransactionHash, TransactionId};

/// A leaf under the outcomes root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Outcome {
    /// The transaction.
    pub id: TransactionId,
    /// Hash of its full signed bytes.
    pub transaction: TransactionHash,
    /// Position among all transactions that the block orders, from 0; its receipts follow them.
    pub index: u32,
    /// 0 for applied, else the code of a [`Rejection`].
    pub code: u16,
    /// What was charged: base fee and tip, to the signer or to its sponsor.
    pub fee: Amount,
}

/// Code of an applied transaction.
pub const APPLIED: u16 = 0;

impl Outcome {
    /// Whether it was applied.
    #[must_use]
    pub const fn is_applied(&self) -> bool {
        self.code == APPLIED
    }

    /// Why it was rejected, unless it was applied.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        Rejection::from_code(self.code)
    }
}

impl Canonical for Outcome {
    const NAME: &'static str = "outcome";
    const BYTES_MAX: usize = 32 + 32 + 4 + 2 + 8;
}

/// `InsufficientFunds` as `insufficient_funds`.
pub(super) fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// Declares the numbered reasons in precedence order.
macro_rules! rejections {
    ($($code:literal $name:ident $transient:literal $text:literal $mend:literal;)*) => {
        /// Why a transaction with a consumed nonce changed nothing else. Codes are stable; within an
        /// operation their order is the order in which the guards run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
        #[repr(u16)]
        pub enum Rejection {
            $(#[doc = $text] #[error($text)] $name = $code,)*
        }

        impl Rejection {
            /// All of them, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// The reason with this code.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// Whether the same operation, newly signed under a new nonce, can succeed without a change by
            /// its sender.
            #[must_use]
            pub const fn is_transient(self) -> bool {
                match self { $(Self::$name => $transient,)* }
            }

            /// What to do next.
            #[must_use]
            pub const fn mend(self) -> &'static str {
                match self { $(Self::$name => $mend,)* }
            }

            /// A stable name for programs, such as `insufficient_funds`.
            #[must_use]
            pub fn name(self) -> String {
                snake_case(match self { $(Self::$name => stringify!($name),)* })
            }
        }
    };
}

rejections! {
    101 WalletFrozen true "the wallet is frozen" "ask the wallet's operator why";
    102 FeeUnpaid true "whoever pays the fee has less than it" "fund the payer's wallet, or name a sponsor; then sign anew";
    201 AmountZero false "an amount is zero" "pay at least one fen";
    202 PayeeIsPayer false "the payer is among the payees" "name another payee";
    203 PaymentAboveTierLimit false "a payment is above the limit of the payer's tier"
        "split it or raise the tier";
    204 TotalOverflow false "the payments add up to more than any wallet can hold" "pay less";
    205 InsufficientFunds true "the balance does not cover the payments and the fee"
        "fund the wallet, then sign anew";
    206 PayeeUnknown true "a payee's wallet does not exist on this chain"
        "check the id; have the wallet opened first";
    207 PayeeNotActive true "a payee's wallet is frozen, closed or moved" "ask the payee for another wallet";
    208 PayeeBalanceAboveTierLimit true "a payee's balance would rise above the limit of its tier"
        "pay less or to another wallet";
    209 OutboxFull true "the block makes no more payments to other chains" "send anew in a moment";
    210 PayeeMoved true "the payee's wallet has moved to another chain" "ask for the wallet again, and sign for the chain where it is";
    211 SentOn true "the wallet is on another chain, and the receipt was sent on" "follow it there";
    301 SignerNotOperator false "only an operator's own wallet may do this" "sign with the operator's wallet";
    302 TierNotAllowed false "operators' own wallets are opened by governance only" "choose another tier";
    303 WalletExists false "a wallet with this policy and salt exists" "choose another salt";
    304 WalletElsewhere false "a wallet is at home on another shard" "open it on the chain that its id leads to";
    305 OperatorRetired false "the operator has left the network" "ask another operator";
    306 SaltReserved false "the salt is one of operators' own wallets" "choose another salt";
    307 ChainFilling true "the chain takes in the wallets of its parent, and opens none until it has them" "send anew in a moment";
    401 SignerNotCentralBank false "only the central bank issues money" "sign with the central bank's wallet";
    402 PayeeNotOperator false "money is issued to operators' own wallets only" "name an operator's wallet";
    403 SupplyOverflow false "more money would be issued than a chain may issue (2^55 fen)" "issue less";
    511 ChainUnknown false "the network has no such chain, or no wallet is at home there yet" "name a chain of the network";
    512 SameCurrency false "the other chain has the same currency" "pay the wallet there; an exchange is between currencies";
    513 DeadlineTooNear false "the deadline is too near to be kept" "name a later deadline";
    514 DeadlineTooFar true "the deadline is more than 30 days ahead" "name an earlier deadline";
    515 TooManyOpen true "the block or the chain takes no more locks or offers" "send anew in a moment; or when some have been settled";
    516 LockExists false "a lock or offer of this name exists" "look at it by its id";
    517 LockUnknown true "there is no such lock on this chain" "check the id; a lock is there once its transaction is final";
    518 LockKindOther false "the lock is of the other kind" "claim locks with a hash, withdraw exchanges";
    519 SignerNotLockPayee false "only the lock's payee claims it" "sign with the payee's wallet";
    520 SignerNotLockPayer false "only the lock's payer withdraws it" "sign with the payer's wallet";
    521 LockNotOpen false "the lock was settled or returned before" "look at the lock";
    522 LockExpired false "the deadline of the lock has passed" "agree on a new lock";
    523 PreimageWrong false "the secret does not belong to the lock's hash" "show the 32 bytes whose SHA-256 is the hash";
    524 OwnBalanceOverflow true "the signer's balance would be more than any wallet can hold"
        "spend some money first";
    525 OfferUnknown true "there is no such offer on this chain" "check the id; an offer arrives after its lock is certified";
    526 SignerNotAskedPayer false "only the payer that the offer names accepts or declines it"
        "sign with the wallet that the offer names";
    527 OfferDiffers false "the offer says something else" "look at the offer, and sign what it says";
    528 OfferNotOpen false "the offer was accepted or cancelled before" "look at the offer";
    529 OfferExpired false "the deadline of the offer has passed" "agree on a new exchange";
    530 OfferDeclined false "the asked payer declined the offer" "agree on a new exchange";
    531 OfferWithdrawn false "the offering payer withdrew the offer" "agree on a new exchange";
    532 AskedPayerUnknown false "the wallet that is asked to pay does not exist on the chain that was named"
        "check the asked payer's id and chain";
    533 LockAmountTooSmall false "the amount is below 1.00, the least that is locked" "lock 1.00 or more";
    534 PartyMoving true "a wallet of the lock or offer is at home on another chain and moves there as soon as no lock holds it"
        "send anew, signed for the chain where the wallet is then";
    801 GovernElsewhere false "proposals are executed on the root chain only" "submit it to chain 0";
    802 ProposalExpired false "the proposal was valid until an earlier time only" "propose and approve anew";
    803 ProposalVersionUnknown true "the proposal names a later version of the registry"
        "submit the proposal before it first";
    804 ProposalStale false "the registry has changed since the proposal was made"
        "read the registry's version, then propose and approve anew";
    805 ApproverNotInCouncil false "an approval is of an operator without a validator on the root chain"
        "leave that approval out";
    806 ApprovalsBelowQuorum false "fewer operators approve than a quorum of the council"
        "gather more approvals";
    807 ProposalsFull true "the block judges no more proposals" "send anew in a moment";
    808 ApprovalInvalid false "an approval is not valid under its operator's key"
        "approve this very proposal with the operator's cold key";
    811 ChangeOperatorUnknown false "a change names an operator that does not exist or has left"
        "check the operator's id";
    812 ChangeCentralBank false "a network has one central bank, which neither joins nor leaves"
        "add a bank; replace the central bank's key instead";
    813 ChangeOperatorKeyTaken false "a change gives an operator a key that is in use" "choose another key";
    814 ChangeFull false "the network has as many operators or nodes as it may have"
        "move an existing node instead";
    815 ChangeNodeUnknown false "a change names a node that does not exist or was taken away"
        "check the node's index";
    816 ChangeNetworkKeyTaken false "a change gives a node a key that is in use" "choose another key";
    817 ChangeNodeInUse false "the node runs a validator" "remove its validators before it";
    818 ChangeChainUnknown false "a change names a chain that the network does not have"
        "check the chain's id";
    819 ChangeNotItsNode false "the validator's operator is not its node's" "name a node of the operator";
    820 ChangeConsensusKeyTaken false "the consensus key is in the chain's set already" "choose another key";
    821 ChangeValidatorUnknown false "no validator in the chain's set has the key"
        "check the key in the registry";
    822 ChangeTooFewValidators false "a chain would have fewer than 4 validators" "add validators first";
    823 ChangeTooManyValidators false "a chain would have more than 100 validators"
        "remove validators first";
    824 ChangeKeyInvalid false "a change gives a key that is no point of the curve"
        "take the key from the file that holds it";
    825 ChangeNodeSeated false "the node runs a validator of the chain already"
        "name another node of the operator, or replace the validator's key";
    826 ChangeChainNotGrown true "a chain of the currency is added or filled already"
        "wait until its growth is grown, or reshard first";
    827 ChangeChainNotReady true "a shard of the currency has no child that reported that it runs"
        "add a chain for every shard, start its validators, and wait for their report";
    828 ChangeChainHasChild false "the chain has a child that was not filled yet"
        "one child for each shard; one that never started is removed first";
    829 ChangeChainNoChild false "only a chain that was added later can be removed"
        "name a chain that `gov status` shows as added";
    830 ChangeChainRuns false "the chain has reported that it runs, and stays" "reshard the currency when all children run";
}
