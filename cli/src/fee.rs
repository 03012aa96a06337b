//! What a transaction may cost: the bid that the command line asks for, made from the node's estimate, tried out and told before
//! anything is signed.
//!
//! - A bid has a ceiling (`fee_max`), which is not what is charged, and a tip, which is. `--fee AMOUNT` is a ceiling without a tip.
//! - Without an estimate nothing is bid while the chain's base fee is zero, and nothing is signed while it is not.
//! - While blocks have room a transaction costs nothing, and one line says so.

use std::str::FromStr;

use api::code::LEDGER_CODES;
use api::fees::{FeeEstimates, Simulation, Would};
use api::{ErrorCode, NetworkView};
use clap::Args;
use ledger::records::{FeeBid, NotExecuted, Operation, TransactionContent};
use ledger::rules::content_weight;
use ledger::rules::weight::RECORD_WEIGHT;
use ledger::values::{Amount, Currency, Money, OperatorId};

use crate::amount::{WrittenAmount, WrittenAmountError};
use crate::connection::{Connection, Terms};
use crate::failure::{Answer, Failure};
use crate::output::{Output, facts};

/// What may be bid, where nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct FeeOption {
    /// What it may cost: economy waits for a lower price, normal (auto) is the least that is in time, urgent is for the next
    /// block; an amount is never exceeded, and no tip is paid.
    #[arg(long, value_name = "auto|economy|normal|urgent|AMOUNT", default_value = "auto")]
    pub fee: Fee,
}

/// What may be bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fee {
    /// What the node estimates.
    Level(Level),
    /// So much at most, without a tip.
    AtMost(WrittenAmount),
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It may wait for a lower price.
    Economy,
    /// In time, for the least that is enough.
    Normal,
    /// In the next block.
    Urgent,
}

impl FeeOption {
    /// The estimate for a transaction that is not urgent.
    pub const AUTO: Self = Self { fee: Fee::Level(Level::Normal) };
}

impl FromStr for Fee {
    type Err = WrittenAmountError;

    fn from_str(text: &str) -> Result<Self, WrittenAmountError> {
        Ok(match text {
            "economy" => Self::Level(Level::Economy),
            "auto" | "normal" => Self::Level(Level::Normal),
            "urgent" => Self::Level(Level::Urgent),
            amount => Self::AtMost(amount.parse()?),
        })
    }
}

/// What a refusal by the trial means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// Nothing is signed.
    Binds,
    /// It is told: others sign first, and things may change until then.
    Told,
}

/// Content with a bid, and what the trial says against it where that does not bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    /// What is to be signed.
    pub content: TransactionContent,
    /// Why the node would refuse it now, if it would.
    pub refusal: Option<Failure>,
}

/// A bid, and what to expect of it.
#[derive(Debug, Clone, PartialEq)]
struct Quote {
    fee_max: Amount,
    tip: Amount,
    /// What is probably charged, where the node has said it.
    expected: Option<Amount>,
    /// Seconds until half and 19 of 20 such transactions are final, where the node says.
    final_s: Option<(f64, f64)>,
    /// Why it costs this, where the node says.
    why: Option<String>,
    /// What is left of the wallet's money after it, and the most that one payment of it may carry, where the node says and something leaves.
    left: Option<(Amount, Option<Amount>)>,
}

impl Quote {
    const fn at_most(fee_max: Amount) -> Self {
        Self { fee_max, tip: Amount::ZERO, expected: None, final_s: None, why: None, left: None }
    }

    fn estimated(estimates: &FeeEstimates, level: Level) -> Self {
        let estimate = match level {
            Level::Economy => &estimates.economy,
            Level::Normal => &estimates.normal,
            Level::Urgent => &estimates.urgent,
        };
        Self {
            fee_max: Amount::from_fen(estimate.fee_max_fen),
            tip: Amount::from_fen(estimate.tip_fen),
            expected: Some(Amount::from_fen(estimate.expected_fee_fen)),
            final_s: Some((estimate.final_s_p50, estimate.final_s_p95)),
            why: Some(estimate.explanation.clone()),
            left: None,
        }
    }

    /// What the trial says takes the place of what was not known before it.
    fn tried(self, trial: &Simulation) -> Self {
        let charged = (trial.would != Would::NotExecuted).then(|| Amount::from_fen(trial.fee_fen));
        let expected = charged.max(self.expected);
        let final_s = self.final_s.or(Some((trial.expected.final_s_p50, trial.expected.final_s_p95)));
        let spends = trial.limits.filter(|limits| limits.balance_after_fen < limits.balance_fen);
        let left = spends.map(|limits| {
            (Amount::from_fen(limits.balance_after_fen), limits.payment_max_fen.map(Amount::from_fen))
        });
        Self { expected, final_s, left, ..self }
    }

    /// What is left, as part of a line.
    fn left(&self, currency: Currency) -> Option<String> {
        self.left.map(|(amount, _)| format!("{} left", Money { amount, currency }))
    }

    /// And the most that one payment may carry.
    fn limits(&self, currency: Currency) -> Option<String> {
        let most = self.left.and_then(|(_, most)| most).map(|amount| Money { amount, currency });
        let bound = most.map(|most| format!(", a payment may have {most}")).unwrap_or_default();
        self.left(currency).map(|left| format!("{left}{bound}"))
    }

    /// One line while it costs nothing, or nobody has said what. What is signed is the most, so that is told too.
    fn text(&self, currency: Currency, operator: &str) -> String {
        let money = |amount: Amount| Money { amount, currency };
        let expected = self.expected.filter(|expected| (*expected, self.tip) != (Amount::ZERO, Amount::ZERO));
        let Some(expected) = expected else {
            let now = self.expected.map(|free| format!("{} now, ", money(free))).unwrap_or_default();
            let time = self.final_s.map(|(p50, _)| format!(", final in about {p50:.1} s"));
            let left = self.left(currency).map(|left| format!(", {left}"));
            return format!(
                "fee  {now}at most {}{}{}",
                money(self.fee_max),
                time.unwrap_or_default(),
                left.unwrap_or_default()
            );
        };
        let tip = match self.tip {
            Amount::ZERO => String::new(),
            tip => format!(", {} of it for {operator}", money(tip)),
        };
        let fee = format!("about {}, at most {}{tip}", money(expected), money(self.fee_max));
        let mut lines = vec![("fee", fee)];
        lines.extend(self.final_s.map(|(p50, p95)| {
            ("expected", format!("final in about {p50:.1} s, 95 of 100 within {p95:.1} s"))
        }));
        lines.extend(self.limits(currency).map(|limits| ("then", limits)));
        lines.extend(self.why.clone().map(|why| ("why", why)));
        facts(&lines)
    }
}

impl Fee {
    /// The content with this bid, told and tried out at the node. Its sponsor, if it has one, stays.
    ///
    /// # Errors
    /// [`Failure`] when nothing says what to bid, or the trial refuses and that binds.
    pub fn bid(
        self,
        (connection, network): (&Connection, &NetworkView),
        terms: Terms,
        content: TransactionContent,
        trial: Trial,
        output: Output,
    ) -> Answer<Priced> {
        // A tip touches a record more.
        let weight = content_weight(&content).saturating_add(RECORD_WEIGHT);
        let quote = self.of(&content.operation).quote(connection, terms, weight, output)?;
        let operator = asked_operator(network);
        let sponsor = content.fee.sponsor.clone();
        let fee = FeeBid { fee_max: quote.fee_max, tip: quote.tip, operator, sponsor };
        let content = TransactionContent { fee, ..content };
        let mut told = None;
        let quote = match tried(connection, &content)? {
            None => quote,
            Some(tried) => {
                if let Some(refusal) = tried.refusal.clone().map(Failure::from) {
                    // A bid below today's base fee was estimated so: it waits at the node for a lower one.
                    let waits =
                        is_for_fee(&refusal) && matches!(self, Self::Level(Level::Economy | Level::Normal));
                    let refusal = self.mended(refusal);
                    if waits {
                        output.note(&quote.text(terms.currency, &operator_name(network, operator)));
                        return Ok(Priced { content, refusal: None });
                    }
                    if trial == Trial::Binds {
                        return Err(refusal);
                    }
                    output.note(&format!(
                        "the node would refuse it now: {}; {}",
                        refusal.message, refusal.mend
                    ));
                    told = Some(refusal);
                }
                quote.tried(&tried)
            }
        };
        output.note(&quote.text(terms.currency, &operator_name(network, operator)));
        Ok(Priced { content, refusal: told })
    }

    /// A claim shows its preimage when it is sent, so it does not wait for a lower base fee.
    const fn of(self, operation: &Operation) -> Self {
        match (self, operation) {
            (Self::Level(Level::Normal), Operation::Claim { .. }) => Self::Level(Level::Urgent),
            _ => self,
        }
    }

    fn quote(self, connection: &Connection, terms: Terms, weight: u64, output: Output) -> Answer<Quote> {
        let level = match self {
            Self::AtMost(written) => {
                let amount = written.in_currency(terms.currency);
                return amount.map(Quote::at_most).map_err(|failure| failure.at("--fee"));
            }
            Self::Level(level) => level,
        };
        match connection.wait(connection.client.fee_estimate(terms.chain, weight)) {
            Ok(estimates) => Ok(Quote::estimated(&estimates, level)),
            Err(failure) => without_estimate(connection, terms, failure, output),
        }
    }

    /// A refusal for the fee says what to do; others stay as they are.
    #[must_use]
    pub fn mended(self, failure: Failure) -> Failure {
        if !is_for_fee(&failure) {
            return failure;
        }
        let mend = match self {
            Self::Level(Level::Urgent) => "repeat the command: it asks for the fee anew",
            Self::Level(_) => {
                "repeat the command: it asks for the fee anew; --fee urgent bids for a base fee that rises"
            }
            Self::AtMost(_) => {
                "repeat the command with more, or with --fee auto; what is enough says: jiaozi fee estimate"
            }
        };
        failure.at("--fee").mend(mend)
    }
}

/// Whether something was refused because it bids less than the base fee, or less than others who wait.
#[must_use]
pub fn is_for_fee(failure: &Failure) -> bool {
    let too_low = LEDGER_CODES + u32::from(NotExecuted::FeeMaxTooLow { due: Amount::ZERO }.code());
    let code: Option<u32> = failure.code.split(' ').next().and_then(|code| code.parse().ok());
    code == Some(too_low) || code == Some(ErrorCode::Outbid.code())
}

/// Nothing is bid while the base fee is zero.
fn without_estimate(
    connection: &Connection,
    terms: Terms,
    failure: Failure,
    output: Output,
) -> Answer<Quote> {
    let history = connection.wait(connection.client.fee_history(terms.chain, None, Some(1)));
    // A node that does not even tell the base fee has said why already.
    let Ok(history) = history else { return Err(failure) };
    if history.next_base_fee_micro_fen == 0 {
        output.note(&format!(
            "the node gives no estimate of the fee ({}); the base fee is zero, so nothing is bid",
            failure.message
        ));
        return Ok(Quote::at_most(Amount::ZERO));
    }
    let message = format!(
        "the node gives no estimate of the fee ({}), and the base fee is {} millionths of a fen a unit of weight",
        failure.message, history.next_base_fee_micro_fen
    );
    Err(Failure::refused("fee_unknown", message)
        .at("--fee")
        .mend("say what it may cost with --fee AMOUNT, or ask another node"))
}

/// What the node would make of it. A preimage is shown to nobody before its claim is signed, so a claim is not tried out.
fn tried(connection: &Connection, content: &TransactionContent) -> Answer<Option<Simulation>> {
    if matches!(content.operation, Operation::Claim { .. }) {
        return Ok(None);
    }
    connection.wait(connection.client.simulate_content(content)).map(Some)
}

/// The operator of the asked node: it is the one that a tip is for.
fn asked_operator(network: &NetworkView) -> OperatorId {
    let asked = network.nodes.iter().find(|node| node.node == network.node);
    asked.map(|node| OperatorId(node.operator)).unwrap_or_default()
}

/// An operator by name and id.
#[must_use]
pub fn operator_name(network: &NetworkView, operator: OperatorId) -> String {
    let known = network.operators.iter().find(|view| view.operator == operator.0);
    format!("{} (operator {operator})", known.map_or("?", |view| view.name.as_str()))
}

#[cfg(test)]
mod tests {
    use api::ApiError;

    use super::*;
    use crate::failure::Exit;

    const CNY: Currency = Currency(*b"CNY");

    #[test]
    fn a_fee_is_a_level_or_an_amount() {
        for (text, fee) in [
            ("auto", Fee::Level(Level::Normal)),
            ("normal", Fee::Level(Level::Normal)),
            ("economy", Fee::Level(Level::Economy)),
            ("urgent", Fee::Level(Level::Urgent)),
            ("0.25", Fee::AtMost(Amount::from_fen(25).into())),
            ("0", Fee::AtMost(Amount::ZERO.into())),
        ] {
            assert_eq!(text.parse(), Ok(fee), "{text}");
        }
        for wrong in ["", "soon", "-1", "0.001", "Urgent"] {
            assert!(wrong.parse::<Fee>().is_err(), "{wrong:?}");
        }
        assert_eq!("2 HKD".parse(), Ok(Fee::AtMost("2 HKD".parse().unwrap())));
    }

    #[test]
    fn what_costs_nothing_is_one_line_and_what_costs_says_how_much_and_why() {
        let free = Quote { fee_max: Amount::from_fen(9), ..Quote::at_most(Amount::ZERO) };
        // A claim is not tried out, so nobody has said what it costs.
        assert_eq!(free.text(CNY, "?"), "fee  at most 0.09 CNY");
        let free = Quote { expected: Some(Amount::ZERO), final_s: Some((0.31, 0.9)), ..free };
        assert_eq!(free.text(CNY, "?"), "fee  0.00 CNY now, at most 0.09 CNY, final in about 0.3 s");
        let fen = Amount::from_fen;
        let spends = Quote { left: Some((fen(1_000), None)), ..free };
        let told = "fee  0.00 CNY now, at most 0.09 CNY, final in about 0.3 s, 10.00 CNY left";
        assert_eq!(spends.text(CNY, "?"), told);
        let busy = Quote {
            fee_max: Amount::from_fen(25),
            tip: Amount::from_fen(2),
            expected: Some(Amount::from_fen(18)),
            final_s: Some((0.3, 0.94)),
            why: Some("Blocks are full.".to_owned()),
            left: Some((fen(5), Some(fen(200)))),
        };
        let text = busy.text(CNY, "bank-1 (operator 1)");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "fee       about 0.18 CNY, at most 0.25 CNY, 0.02 CNY of it for bank-1 (operator 1)",
                "expected  final in about 0.3 s, 95 of 100 within 0.9 s",
                "then      0.05 CNY left, a payment may have 2.00 CNY",
                "why       Blocks are full.",
            ]
        );
        let untipped = Quote { tip: Amount::ZERO, why: None, final_s: None, left: None, ..busy };
        assert_eq!(untipped.text(CNY, "?"), "fee  about 0.18 CNY, at most 0.25 CNY");
    }

    #[test]
    fn a_refusal_for_the_fee_names_the_mend_of_its_bid_and_others_keep_theirs() {
        let refused =
            || Failure::from(ApiError::from(NotExecuted::FeeMaxTooLow { due: Amount::from_fen(7) }));
        assert!(is_for_fee(&refused()), "{:?}", refused());
        for (fee, told) in
            [("auto", "--fee urgent"), ("urgent", "asks for the fee anew"), ("0.01", "jiaozi fee estimate")]
        {
            let mended = fee.parse::<Fee>().unwrap().mended(refused());
            assert!(mended.mend.contains(told), "{mended:?}");
            assert_eq!((mended.field.as_deref(), mended.exit), (Some("--fee"), Exit::Refused));
        }
        assert!(is_for_fee(&Failure::from(ApiError::from(ErrorCode::Outbid))));
        let other = Failure::from(ApiError::from(ledger::records::Rejection::InsufficientFunds));
        assert_eq!(FeeOption::AUTO.fee.mended(other.clone()), other);
    }
}
