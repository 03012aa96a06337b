//! Why a transaction was not executed: nothing was written, its nonce is unused, and it has no outcome
//! (PROTOCOL rule 7).

use super::wallet::{Lane, NONCE_WINDOW};
use crate::values::{Amount, ChainId, TimestampMs};

/// Declares the numbered reasons in precedence order.
macro_rules! not_executed {
    ($($code:literal $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty),* } $transient:literal
        $text:literal $mend:literal;)*) => {
        /// Why a transaction consumed no nonce. Codes are stable and in the order in which the guards run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        pub enum NotExecuted {
            $(#[doc = $text] #[error($text)] $name { $($(#[$doc])* $field: $type),* },)*
        }

        impl NotExecuted {
            /// Code and name of every reason, ascending.
            pub const ALL: &'static [(u16, &'static str)] = &[$(($code, stringify!($name))),*];

            /// The stable code, 1 to 99.
            #[must_use]
            pub const fn code(&self) -> u16 {
                match self { $(Self::$name { .. } => $code,)* }
            }

            /// Whether the same signed transaction can be executed later, unchanged.
            #[must_use]
            pub const fn is_transient(&self) -> bool {
                match self { $(Self::$name { .. } => $transient,)* }
            }

            /// What to do next.
            #[must_use]
            pub const fn mend(&self) -> &'static str {
                match self { $(Self::$name { .. } => $mend,)* }
            }

            /// A stable name for programs, such as `nonce_used`.
            #[must_use]
            pub fn name(&self) -> String {
                super::outcome::snake_case(match self { $(Self::$name { .. } => stringify!($name),)* })
            }
        }
    };
}

not_executed! {
    1 WrongNetwork {} false "the transaction is for another network" "sign for this network's genesis hash";
    2 WrongChain {
        /// The chain it is for.
        chain: ChainId
    } false "the transaction is for chain {chain}" "submit it to that chain";
    3 Expired {
        /// Its last moment.
        valid_until: TimestampMs
    } false "the transaction was valid until {valid_until} only" "sign anew with a later valid_until";
    4 ValidUntilTooFar {
        /// Its last moment.
        valid_until: TimestampMs,
        /// The latest allowed now.
        latest: TimestampMs
    } true "valid_until {valid_until} is later than {latest}, the latest allowed"
        "sign anew with an earlier valid_until";
    5 WalletUnknown {} true "the wallet does not exist on this chain" "have an operator open it first";
    6 PolicyMismatch {} false "the policy is not the wallet's current policy"
        "sign with the wallet's current keys";
    7 WalletClosed {} false "the wallet is closed, its nonces are frozen" "use another wallet";
    8 WalletMoved {
        /// Its new home.
        to: ChainId
    } false "the wallet has moved to chain {to}" "submit to that chain, signed for it";
    9 LaneNotAllowed {
        /// Lanes that the wallet's tier has.
        lanes: u16
    } false "the wallet has {lanes} nonce lanes, counted from 0" "use a lower lane";
    10 NonceUsed {
        /// The lane's state.
        lane: Lane
    } false "the nonce was used" "look the transaction up by its id; for a new one take a new nonce";
    11 NonceTooOld {
        /// The lane's state.
        lane: Lane
    } false "the nonce is below the window of its lane" "sign anew with the next nonce";
    12 NonceTooFarAhead {
        /// The lane's state.
        lane: Lane
    } true "the nonce is more than 128 above the highest used of its lane" "submit the missing nonces first";
    13 FeeMaxTooLow {
        /// The fee due at the current base fee.
        due: Amount
    } true "the fee due is {due}, more than fee_max" "sign anew with a higher fee_max";
    14 SponsorUnknown {} true "the sponsor's wallet does not exist on this chain, or has moved"
        "name a wallet of this chain, or pay the fee yourself";
    15 SponsorPolicyMismatch {} false "the sponsor's policy is not that wallet's current policy"
        "have the sponsor sign with its wallet's current keys";
    16 SponsorNotActive {} true "the sponsor's wallet is frozen or closed" "name another sponsor, or pay the fee yourself";
}

const _: () = assert!(NONCE_WINDOW == 128, "the text of NonceTooFarAhead names the window");
