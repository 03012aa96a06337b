//! What a transaction should bid, and what to expect of it.

use std::fmt;

use ledger::values::Amount;

use crate::market::Market;

/// Three bids for one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimates {
    /// No tip and the lowest ceiling that is likely to do; may take longer than was asked, and says how likely not.
    pub economy: Estimate,
    /// The least that is expected to be final in the asked time with the asked confidence.
    pub normal: Estimate,
    /// The next block, whatever the base fee does: does not wait for a lower price.
    pub urgent: Estimate,
}

/// A bid and what to expect of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The bid's ceiling: base fee and tip together are never more. Not what is charged.
    pub fee_max: Amount,
    /// What the operator gets, at most.
    pub tip: Amount,
    /// What is probably charged: base fee and tip at inclusion.
    pub expected_fee: Amount,
    /// That it is final in the asked time, in thousandths. Below the asked confidence it is not a promise.
    pub probability_permille: u16,
    /// Half of such bids are final after this time from submission, in milliseconds.
    pub final_ms_p50: u64,
    /// 19 of 20 such bids are final after this time from submission, in milliseconds.
    pub final_ms_p95: u64,
    /// Why it costs this.
    pub why: Why,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Weight of the transaction.
    pub weight: u64,
    /// How sure it must be, in thousandths.
    pub confidence_permille: u16,
    /// From submission until it must be final, in milliseconds.
    pub within_ms: u64,
}

/// Why an estimate is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// No congestion: it costs nothing.
    Free,
    /// The base fee is rising or steady above zero: the next block is the cheapest.
    Rising,
    /// The base fee is falling: waiting within the asked time is cheaper.
    Falling,
    /// More waits than a block holds: only a tip is in time.
    Backlog,
    /// The base fee may reach the governed ceiling.
    Ceiling,
    /// Too few blocks are known to say how sure it is.
    NoHistory,
}

impl Why {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Rising => "rising",
            Self::Falling => "falling",
            Self::Backlog => "backlog",
            Self::Ceiling => "ceiling",
            Self::NoHistory => "no_history",
        }
    }
}

/// A sentence for people.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "Blocks have room: the payment costs nothing.",
            Self::Rising => {
                "Blocks are fuller than their target: the next block is expected to be the cheapest."
            }
            Self::Falling => {
                "The base fee is falling: the bid waits for a lower price within the asked time."
            }
            Self::Backlog => "More is waiting than a block holds: a tip is needed to be in time.",
            Self::Ceiling => "The base fee is at, or may reach, the highest that the rules allow.",
            Self::NoHistory => "Too few blocks are known to say how sure this is.",
        })
    }
}

/// What a transaction should bid on this market.
#[must_use]
pub fn estimate(market: &Market, ask: &Ask) -> Estimates {
    let due = market.base_fee.due(ask.weight);
    let estimate = Estimate {
        fee_max: market.params.rate_max.due(ask.weight),
        tip: Amount::ZERO,
        expected_fee: due,
        probability_permille: 0,
        final_ms_p50: market.pace_ms,
        final_ms_p95: market.pace_ms,
        why: if market.base_fee.is_zero() { Why::Free } else { Why::NoHistory },
    };
    Estimates { economy: estimate, normal: estimate, urgent: estimate }
}
