//! The codec: one encoding per value. Every record is mangled in every place; what still decodes must encode
//! to exactly the bytes it came from.

use ledger::records::wallet::Lane;
use ledger::records::*;
use ledger::values::*;

use crate::governance::no_point;
use crate::network::{Network, pay, spec};
use crate::samples::{Sample, samples, sponsored, two_of_three, wallet};

#[test]
fn decoding_is_the_inverse_of_encoding() {
    for Sample { name, bytes, recode } in samples() {
        assert_eq!(recode(&bytes).as_ref(), Ok(&bytes), "{name}");
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for Sample { name, bytes, recode } in samples() {
        for length in 0..bytes.len() {
            assert!(recode(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
        for extra in [0, 1, 0xff] {
            assert!(recode(&[bytes.as_slice(), &[extra]].concat()).is_err(), "{name} with {extra} behind");
        }
    }
}

#[test]
fn every_flipped_bit_is_refused_or_another_value() {
    for Sample { name, bytes, recode } in samples() {
        let mut refused = 0_usize;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match recode(&flipped) {
                Ok(again) => assert_eq!(again, flipped, "{name}, bit {bit}: a second encoding of one value"),
                Err(_) => refused += 1,
            }
        }
        let is_plain = matches!(name, "block-header" | "outcome" | "state-parts");
        assert!(is_plain || refused > 0, "{name}: some field has a rule");
    }
}

/// Counts that claim more than there is must not reserve memory or take time.
#[test]
fn huge_counts_are_refused() {
    for Sample { name, bytes, recode } in samples() {
        for place in 0..bytes.len().saturating_sub(8) {
            let mut huge = bytes.clone();
            huge[place..place + 8].copy_from_slice(&(u64::MAX / 3).to_le_bytes());
            if let Ok(again) = recode(&huge) {
                assert_eq!(again, huge, "{name} at {place}");
            }
        }
    }
}

#[test]
fn what_is_longer_than_its_bound_is_refused_unread() {
    let bytes = vec![0; Transaction::BYTES_MAX + 1];
    let expected =
        CodecError::TooLong { value: "transaction", bytes: bytes.len(), bytes_max: Transaction::BYTES_MAX };
    assert_eq!(Transaction::decode(&bytes), Err(expected));
}

/// The field that a refusal names.
fn refused<T: Canonical + std::fmt::Debug>(value: &T) -> String {
    let error = T::decode(&value.encode()).unwrap_err();
    match error {
        CodecError::Count { field, .. }
        | CodecError::Range { field, .. }
        | CodecError::NotAscending { field } => field.to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn transactions_keep_their_ranges() {
    let network = Network::new();
    let good = two_of_three(&network);
    assert_eq!(Transaction::decode(&good.encode()).as_ref(), Ok(&good));
    type Change = fn(&mut Transaction);
    let rows: Vec<(Change, &str)> = vec![
        (|t| t.content.nonce.lane = 16, "nonce.lane"),
        (|t| t.content.nonce.sequence = 0, "nonce.sequence"),
        (|t| t.content.nonce.sequence = 1 << 48, "nonce.sequence"),
        (|t| t.content.fee.tip = Amount::from_fen(12), "fee.tip"),
        (|t| t.content.policy.keys.clear(), "policy.keys"),
        (|t| t.content.policy.keys.reverse(), "policy.keys"),
        (|t| t.content.policy.keys[1] = t.content.policy.keys[0], "policy.keys"),
        (|t| t.content.policy.keys = (0..17).map(|n| PublicKey([n; 32])).collect(), "policy.keys"),
        (|t| t.content.policy.threshold = 0, "policy.threshold"),
        (|t| t.content.policy.threshold = 4, "policy.threshold"),
        (|t| t.content.policy.threshold = 1, "signatures"),
        (|t| t.signatures.clear(), "signatures"),
        (|t| t.signatures.reverse(), "signatures"),
        (|t| t.signatures[1] = t.signatures[0], "signatures"),
        (|t| t.signatures[1].key = 3, "signatures.key"),
        (|t| t.content.operation = pay(&[]), "operation.payments"),
        (|t| t.content.operation = pay(&[(WalletId([1; 32]), 1); 65]), "operation.payments"),
        (|t| t.content.operation = Operation::OpenWallets { wallets: Vec::new() }, "operation.wallets"),
        (
            |t| {
                let opening = WalletOpening { policy: PolicyHash([1; 32]), salt: [1; 16], tier: Tier::One };
                t.content.operation = Operation::OpenWallets { wallets: vec![opening; 65] };
            },
            "operation.wallets",
        ),
    ];
    for (change, field) in rows {
        let mut wrong = good.clone();
        change(&mut wrong);
        assert_eq!(refused(&wrong), field);
    }
    sponsors_keep_their_ranges(&network);
    let mut edge = good;
    edge.content.nonce = Nonce { lane: 15, sequence: (1 << 48) - 1 };
    edge.content.fee.tip = Amount::from_fen(11);
    assert!(Transaction::decode(&edge.encode()).is_ok());
}

fn sponsors_keep_their_ranges(network: &Network) {
    let good = sponsored(network);
    assert_eq!(Transaction::decode(&good.encode()).as_ref(), Ok(&good));
    type Change = fn(&mut Transaction);
    let rows: Vec<(Change, &str)> = vec![
        (|t| t.content.fee.tip = Amount::from_fen(13), "fee.tip"),
        (
            |t| t.content.fee.sponsor.as_mut().unwrap().wallet = t.content.wallet,
            "fee.sponsor.wallet (another than the signer's)",
        ),
        (|t| t.content.fee.sponsor.as_mut().unwrap().policy.keys.reverse(), "policy.keys"),
        (|t| t.content.fee.sponsor.as_mut().unwrap().policy.threshold = 0, "policy.threshold"),
        (|t| t.content.fee.sponsor.as_mut().unwrap().policy.threshold = 1, "sponsor_signatures"),
        (|t| t.content.fee.sponsor = None, "sponsor_signatures"),
        (|t| t.sponsor_signatures.clear(), "sponsor_signatures"),
        (|t| t.sponsor_signatures.reverse(), "sponsor_signatures"),
        (|t| t.sponsor_signatures[1].key = 3, "sponsor_signatures.key"),
        (|t| t.signatures = t.sponsor_signatures.clone(), "signatures"),
    ];
    for (change, field) in rows {
        let mut wrong = good.clone();
        change(&mut wrong);
        assert_eq!(refused(&wrong), field);
    }
}

#[test]
fn the_largest_transactions_fit() {
    let network = Network::new();
    let mut large = two_of_three(&network);
    large.content.policy = Policy { threshold: 16, keys: (0..16).map(|n| PublicKey([n; 32])).collect() };
    let signature = large.signatures[0].signature;
    large.signatures = (0..16).map(|key| PolicySignature { key, signature }).collect();
    let (wallet, policy) = (WalletId([9; 32]), large.content.policy.clone());
    large.content.fee.sponsor = Some(Sponsor { wallet, policy });
    large.sponsor_signatures.clone_from(&large.signatures);
    let opening = WalletOpening { policy: PolicyHash([1; 32]), salt: [1; 16], tier: Tier::One };
    large.content.operation = Operation::OpenWallets { wallets: vec![opening; 64] };
    assert!(Transaction::decode(&large.encode()).is_ok());
    large.content.operation = pay(&[(WalletId([1; 32]), 1); 64]);
    assert!(Transaction::decode(&large.encode()).is_ok());
}

#[test]
fn wallet_records_have_one_encoding_for_one_nonce_state() {
    let good = wallet();
    assert!(Record::decode(&Record::Wallet(good.clone()).encode()).is_ok());
    let rows: Vec<(Vec<Lane>, &str)> = vec![
        (vec![Lane::default()], "wallet.lanes (the last one is used)"),
        (vec![Lane { highest: 1 << 48, used: 1 }], "wallet.lanes.highest"),
        (vec![Lane { highest: 5, used: 0b10 }], "wallet.lanes.used (bit 0 once used, none below sequence 1)"),
        (vec![Lane { highest: 0, used: 1 }], "wallet.lanes.used (bit 0 once used, none below sequence 1)"),
        (
            vec![Lane { highest: 2, used: 0b101 }],
            "wallet.lanes.used (bit 0 once used, none below sequence 1)",
        ),
    ];
    for (lanes, field) in rows {
        assert_eq!(refused(&Record::Wallet(WalletRecord { lanes, ..good.clone() })), field);
    }
    let many = WalletRecord { lanes: vec![Lane { highest: 1, used: 1 }; 17], ..good };
    assert!(refused(&Record::Wallet(many)).starts_with("TooLong"));
    let edge = Lane { highest: 128, used: u128::MAX };
    assert!(edge.is_consistent() && !Lane { highest: 127, used: u128::MAX }.is_consistent());
}

#[test]
fn genesis_keeps_its_rules() {
    type Change = fn(&mut GenesisSpec);
    let rows: Vec<(Change, &str)> = vec![
        (|g| g.network.clear(), "network"),
        (|g| g.network = "n".repeat(65), "network"),
        (|g| g.operators[0].role = OperatorRole::Bank, "operators with the role of central bank"),
        (|g| g.operators[1].role = OperatorRole::CentralBank, "operators with the role of central bank"),
        (|g| g.operators[1].name.clear(), "operators.name"),
        (|g| g.operators[1].key = g.operators[2].key, "operators.key (each key once)"),
        (|g| g.operators[1].wallet_policy.threshold = 2, "policy.threshold"),
        (|g| g.nodes.truncate(3), "nodes"),
        (|g| g.nodes[0].operator = OperatorId(5), "nodes.operator"),
        (|g| g.nodes[0].address.clear(), "nodes.address"),
        (|g| g.nodes[0].address = "a".repeat(256), "nodes.address"),
        (|g| g.nodes[0].address = "nowhere".into(), "nodes.address (host:port)"),
        (|g| g.nodes[0].network_key = g.nodes[1].network_key, "nodes.network_key (each key once)"),
        (|g| g.chains.clear(), "chains"),
        (|g| g.chains[0].chain = ChainId(1), "chains.chain (the first is the root chain)"),
        (|g| g.chains.push(g.chains[0].clone()), "chains.chain"),
        (|g| g.chains[0].currency.0[1] = b'n', "chains.currency (capital letters)"),
        (|g| g.chains[0].validators.truncate(3), "chains.validators"),
        (|g| g.chains[0].validators.swap(0, 1), "chains.validators"),
        (|g| g.chains[0].validators[2].node = NodeIndex(4), "validators.node"),
        (
            |g| {
                g.chains[0].validators[2].node = NodeIndex(0);
                g.chains[0].validators[2].operator = OperatorId(1);
            },
            "validators.node (each node once per chain)",
        ),
        (|g| g.chains[0].validators[2].operator = OperatorId(1), "validators.operator (the one of its node)"),
        (|g| g.operators[1].key = no_point(), "operators.key (a point of the curve)"),
        (
            |g| g.operators[1].wallet_policy.keys = vec![no_point()],
            "operators.wallet_policy.keys (points of the curve)",
        ),
        (|g| g.nodes[1].network_key = no_point(), "nodes.network_key (a point of the curve)"),
        (
            // The least of all, so the set stays in order.
            |g| g.chains[0].validators[0].consensus_key = no_point(),
            "validators.consensus_key (a point of the curve)",
        ),
        (|g| g.chains[0].params.block_weight_max = 1, "params.block_weight_max"),
        (|g| g.chains[0].params.block_pace_ms = 0, "params.block_pace_ms"),
        (|g| g.chains[0].params.transaction_ttl_ms_max = 86_400_001, "params.transaction_ttl_ms_max"),
        (|g| g.chains[0].params.clock_drift_ms_max = 9, "params.clock_drift_ms_max"),
        (
            |g| {
                g.chains[0].params.tiers.pop();
            },
            "params.tiers",
        ),
        (|g| g.chains[0].params.tiers[4].lanes = 17, "params.tiers.lanes"),
        (|g| g.chains[0].params.tiers[4].lanes = 0, "params.tiers.lanes"),
        (|g| g.chains[0].params.block_weight_max = 2 * 1_024 * 1_024 - 1, "params.block_weight_max"),
        (|g| g.chains[0].params.fees.weight_target = 9_999, "params.fees.weight_target"),
        (
            |g| g.chains[0].params.fees.weight_target = g.chains[0].params.block_weight_max + 1,
            "params.fees.weight_target",
        ),
        (|g| g.chains[0].params.fees.step_denominator = 1, "params.fees.step_denominator"),
        (|g| g.chains[0].params.fees.step_denominator = 1_025, "params.fees.step_denominator"),
        (|g| g.chains[0].params.fees.step_min = FeeRate::ZERO, "params.fees.step_min"),
        (|g| g.chains[0].params.fees.step_min = FeeRate::from_micro_fen(1_000_001), "params.fees.step_min"),
        (|g| g.chains[0].params.fees.rate_max = FeeRate::from_micro_fen(99), "params.fees.rate_max"),
        (
            |g| g.chains[0].params.fees.rate_max = FeeRate::from_micro_fen(1_000_000_001),
            "params.fees.rate_max",
        ),
    ];
    assert!(GenesisSpec::decode(&spec().encode()).is_ok());
    for (change, field) in rows {
        let mut wrong = spec();
        change(&mut wrong);
        assert_eq!(refused(&wrong), field);
    }
}

#[test]
fn a_summary_is_what_its_parts_say() {
    let network = Network::new();
    let transaction = two_of_three(&network);
    let summary = transaction.summary(network.genesis);
    assert_eq!(summary.id, transaction.id(network.genesis));
    assert_eq!(summary.hash, transaction.hash());
    assert_eq!(summary.bytes, transaction.encode().len());
}

#[test]
fn a_batch_is_not_empty() {
    let mut network = Network::new();
    let transaction = two_of_three(&network);
    let (_, batch) = network.seal(vec![transaction]);
    assert!(
        refused(&Batch { content: BatchContent { transactions: Vec::new(), ..batch.content }, ..batch })
            .starts_with("batch.transactions")
    );
}
