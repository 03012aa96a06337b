//! A genesis as text for people who compare it over the telephone.

use std::fmt::Write as _;

use ledger::records::params::UNLIMITED;
use ledger::records::wallet::TIERS;
use ledger::records::{ChainSpec, GenesisSpec, OperatorRole, Registry};
use ledger::values::{Amount, Currency, Money, OperatorId, faults_max, quorum};

/// Everything in the spec, one fact a line.
#[must_use]
pub fn show(spec: &GenesisSpec) -> String {
    let mut out = String::new();
    let hash = spec.hash();
    line(&mut out, format_args!("network    {}", spec.network));
    line(&mut out, format_args!("genesis    {hash}"));
    line(&mut out, format_args!("timestamp  {} ms", spec.timestamp));
    line(&mut out, format_args!("\noperators ({})", spec.operators.len()));
    let registry = Registry::from_genesis(spec);
    for (id, operator) in (0_u16..).zip(&spec.operators) {
        let role = match operator.role {
            OperatorRole::CentralBank => "central bank",
            OperatorRole::Bank => "bank",
        };
        line(&mut out, format_args!("  {id:>3}  {}  ({role})", operator.name));
        line(&mut out, format_args!("       operator key {}", operator.key));
        let policy = &operator.wallet_policy;
        line(&mut out, format_args!("       wallet policy {} of {}", policy.threshold, policy.keys.len()));
        for key in &policy.keys {
            line(&mut out, format_args!("         {key}"));
        }
        let mut currencies: Vec<_> = spec.chains.iter().map(|chain| chain.currency).collect();
        currencies.dedup();
        for currency in currencies {
            if let Some(wallet) = registry.operator_wallet(hash, currency, OperatorId(id)) {
                line(&mut out, format_args!("       {currency} wallet {wallet}"));
            }
        }
    }
    line(&mut out, format_args!("\nnodes ({})", spec.nodes.len()));
    for (index, node) in spec.nodes.iter().enumerate() {
        line(
            &mut out,
            format_args!("  {index:>3}  operator {}  {}  {}", node.operator, node.address, node.network_key),
        );
    }
    for chain in &spec.chains {
        show_chain(&mut out, chain);
    }
    out
}

fn show_chain(out: &mut String, chain: &ChainSpec) {
    let validators = chain.validators.len();
    line(out, format_args!("\nchain {}: {} shard {}", chain.chain, chain.currency, chain.shard));
    let (votes, faults) = (quorum(validators), faults_max(validators));
    line(out, format_args!("  {validators} validators, quorum {votes}, bears {faults} faulty"));
    let params = &chain.params;
    line(
        out,
        format_args!("  block pace {} ms, weight up to {}", params.block_pace_ms, params.block_weight_max),
    );
    let (ttl, drift) = (params.transaction_ttl_ms_max, params.clock_drift_ms_max);
    line(out, format_args!("  transactions live up to {ttl} ms, clocks may drift {drift} ms"));
    let fees = &params.fees;
    line(
        out,
        format_args!(
            "  base fee rises above a weight of {} by one part in {}, at least {} and up to {}",
            fees.weight_target, fees.step_denominator, fees.step_min, fees.rate_max
        ),
    );
    let quota = Money { amount: fees.quota, currency: chain.currency };
    line(out, format_args!("  an operator may leave {quota} of fees a day unpaid"));
    for (tier, limits) in TIERS.iter().zip(&params.tiers) {
        let [payment, balance] =
            [limits.payment_max, limits.balance_max].map(|amount| limit(amount, chain.currency));
        let lanes = limits.lanes;
        let exempt = if limits.is_fee_exempt { ", no base fee" } else { "" };
        line(
            out,
            format_args!(
                "  tier {tier:?}: lanes {lanes}, payment up to {payment}, balance up to {balance}{exempt}"
            ),
        );
    }
    for (seat, validator) in chain.validators.iter().enumerate() {
        let (operator, node, key) = (validator.operator, validator.node, validator.consensus_key);
        line(out, format_args!("  {seat:>3}  operator {operator}  node {node}  {key}"));
    }
}

fn limit(amount: Amount, currency: Currency) -> String {
    if amount == UNLIMITED { "any amount".to_owned() } else { Money { amount, currency }.to_string() }
}

/// Writing to a `String` cannot fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::{LocalnetPlan, localnet};

    #[test]
    fn shows_the_hash_and_every_key() {
        let spec = localnet(&LocalnetPlan::new(4), &[7; 32]).unwrap().spec;
        let text = show(&spec);
        assert!(text.contains(&spec.hash().to_string()));
        for key in spec
            .operators
            .iter()
            .map(|operator| operator.key)
            .chain(spec.nodes.iter().map(|node| node.network_key))
        {
            assert!(text.contains(&key.to_string()));
        }
        assert!(
            text.contains("4 validators, quorum 3, bears 1 faulty")
                && text.contains("tier Three: lanes 2, payment up to 5000.00 CNY")
                && text
                    .contains("base fee rises above a weight of 1048576 by one part in 8, at least 100 µfen")
                && text.contains("an operator may leave 10000.00 CNY of fees a day unpaid")
        );
    }
}
