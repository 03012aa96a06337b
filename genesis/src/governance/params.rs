//! A chain's parameters by name, as proposals set them and differences show them.
//!
//! | name | value |
//! | --- | --- |
//! | `block_weight_max`, `block_pace_ms`, `transaction_ttl_ms_max`, `clock_drift_ms_max` | a number |
//! | `weight_target`, `fee_step_denominator` | a number |
//! | `fee_step_min_micro_fen`, `fee_rate_max_micro_fen` | millionths of a fen per unit of weight |
//! | `fee_quota_fen` | fen |
//! | `tiers.TIER.lanes` | a number |
//! | `tiers.TIER.payment_max_fen`, `tiers.TIER.balance_max_fen` | fen, or `none` for no limit |
//! | `tiers.TIER.is_fee_exempt` | `true` or `false` |
//!
//! Names and order are those of the genesis file. Ranges are the ledger's: [`ChainParams::check`].

use ledger::records::params::UNLIMITED;
use ledger::records::wallet::TIERS;
use ledger::records::{ChainParams, Tier, TierParams};
use ledger::values::{Amount, CodecError, FeeRate};

/// How a limit that does not exist is written.
pub const NO_LIMIT: &str = "none";

/// Why a parameter cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// There is no such parameter.
    #[error("there is no parameter {name}. Mend: name one of: {}", names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Not a value of the parameter.
    #[error(
        "{value:?} is no value of {name}. Mend: write a number; a limit in fen may also be {NO_LIMIT}, and what \
         starts with is_ is true or false"
    )]
    Value {
        /// The parameter.
        name: String,
        /// What was written.
        value: String,
    },
    /// Out of the range that the ledger allows.
    #[error("{0}. Mend: choose a value in that range")]
    Range(#[from] CodecError),
}

/// Every parameter with its value, in the order of the genesis file.
#[must_use]
pub fn values(params: &ChainParams) -> Vec<(String, String)> {
    let mut rows = vec![
        ("block_weight_max".to_owned(), params.block_weight_max.to_string()),
        ("block_pace_ms".to_owned(), params.block_pace_ms.to_string()),
        ("transaction_ttl_ms_max".to_owned(), params.transaction_ttl_ms_max.to_string()),
        ("clock_drift_ms_max".to_owned(), params.clock_drift_ms_max.to_string()),
        ("weight_target".to_owned(), params.fees.weight_target.to_string()),
        ("fee_step_denominator".to_owned(), params.fees.step_denominator.to_string()),
        ("fee_step_min_micro_fen".to_owned(), params.fees.step_min.micro_fen().to_string()),
        ("fee_rate_max_micro_fen".to_owned(), params.fees.rate_max.micro_fen().to_string()),
        ("fee_quota_fen".to_owned(), params.fees.quota.fen().to_string()),
    ];
    for (tier, limits) in TIERS.iter().zip(&params.tiers) {
        let tier = tier_name(*tier);
        rows.push((format!("tiers.{tier}.lanes"), limits.lanes.to_string()));
        rows.push((format!("tiers.{tier}.payment_max_fen"), limit_text(limits.payment_max)));
        rows.push((format!("tiers.{tier}.balance_max_fen"), limit_text(limits.balance_max)));
        rows.push((format!("tiers.{tier}.is_fee_exempt"), limits.is_fee_exempt.to_string()));
    }
    rows
}

/// The names of all parameters.
#[must_use]
pub fn names() -> Vec<String> {
    values(&ChainParams::default()).into_iter().map(|(name, _)| name).collect()
}

/// Sets the parameter `name` to what `value` says.
///
/// # Errors
/// [`ParamError`]; nothing is set then.
pub fn set(params: &mut ChainParams, name: &str, value: &str) -> Result<(), ParamError> {
    let mut changed = params.clone();
    if !names().iter().any(|known| known == name) {
        return Err(ParamError::Unknown { name: name.to_owned() });
    }
    write(&mut changed, name, value)
        .ok_or_else(|| ParamError::Value { name: name.to_owned(), value: value.to_owned() })?;
    changed.check()?;
    *params = changed;
    Ok(())
}

fn write(params: &mut ChainParams, name: &str, value: &str) -> Option<()> {
    let number = || value.parse::<u64>().ok();
    match name {
        "block_weight_max" => params.block_weight_max = number()?,
        "block_pace_ms" => params.block_pace_ms = number()?,
        "transaction_ttl_ms_max" => params.transaction_ttl_ms_max = number()?,
        "clock_drift_ms_max" => params.clock_drift_ms_max = number()?,
        "weight_target" => params.fees.weight_target = number()?,
        "fee_step_denominator" => params.fees.step_denominator = number()?,
        "fee_step_min_micro_fen" => params.fees.step_min = FeeRate::from_micro_fen(number()?),
        "fee_rate_max_micro_fen" => params.fees.rate_max = FeeRate::from_micro_fen(number()?),
        "fee_quota_fen" => params.fees.quota = Amount::from_fen(number()?),
        _ => return write_tier(params, name, value),
    }
    Some(())
}

fn write_tier(params: &mut ChainParams, name: &str, value: &str) -> Option<()> {
    let (tier, field) = name.strip_prefix("tiers.")?.split_once('.')?;
    let place = TIERS.iter().position(|known| tier_name(*known) == tier)?;
    let limits: &mut TierParams = params.tiers.get_mut(place)?;
    match field {
        "lanes" => limits.lanes = value.parse().ok()?,
        "payment_max_fen" => limits.payment_max = limit(value)?,
        "balance_max_fen" => limits.balance_max = limit(value)?,
        "is_fee_exempt" => limits.is_fee_exempt = value.parse().ok()?,
        _ => return None,
    }
    Some(())
}

/// A tier as files and proposals call it.
const fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Operator => "operator",
        Tier::One => "one",
        Tier::Two => "two",
        Tier::Three => "three",
        Tier::Four => "four",
    }
}

fn limit_text(limit: Amount) -> String {
    if limit == UNLIMITED { NO_LIMIT.to_owned() } else { limit.fen().to_string() }
}

fn limit(value: &str) -> Option<Amount> {
    if value == NO_LIMIT { Some(UNLIMITED) } else { value.parse().ok().map(Amount::from_fen) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_read_back_as_it_was_set() {
        for name in names() {
            let mut params = ChainParams::default();
            let value = match name.as_str() {
                "block_weight_max" => "4194304",
                "weight_target" => "500000",
                "fee_step_denominator" => "16",
                name if name.ends_with("lanes") => "3",
                name if name.ends_with("is_fee_exempt") => "true",
                _ => "1234",
            };
            set(&mut params, &name, value).unwrap();
            let changed: Vec<_> = values(&params)
                .into_iter()
                .zip(values(&ChainParams::default()))
                .filter(|(after, before)| after != before)
                .map(|(after, _)| after)
                .collect();
            assert_eq!(changed, [(name, value.to_owned())]);
        }
    }

    #[test]
    fn limits_may_be_lifted() {
        let mut params = ChainParams::default();
        set(&mut params, "tiers.four.balance_max_fen", NO_LIMIT).unwrap();
        assert_eq!(params.tier(Tier::Four).balance_max, UNLIMITED);
    }

    #[test]
    fn wrong_names_values_and_ranges_are_told_and_change_nothing() {
        let mut params = ChainParams::default();
        for (name, value, told) in [
            ("pace", "1", "block_pace_ms"),
            ("tiers.five.lanes", "1", "tiers.four.lanes"),
            ("block_pace_ms", "fast", "write a number"),
            ("block_pace_ms", NO_LIMIT, "write a number"),
            ("tiers.two.lanes", "70000", "write a number"),
            ("block_pace_ms", "0", "1 to 10000"),
            ("tiers.two.lanes", "17", "1 to 16"),
            ("tiers.two.is_fee_exempt", "1", "true or false"),
            ("weight_target", "9999", "10000 to 8388608"),
            ("fee_step_denominator", "1", "2 to 1024"),
            ("fee_step_min_micro_fen", "0", "1 to 1000000"),
        ] {
            let error = set(&mut params, name, value).unwrap_err().to_string();
            assert!(error.contains(told), "{name} {value}: {error}");
        }
        assert_eq!(params, ChainParams::default());
    }
}
