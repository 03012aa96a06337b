//! `bench signatures`: what checking one signature costs, in the batches and with the cached keys that a node checks with, on one
//! thread. Each validator checks each payment once, so this sets the limit of everything else.

use std::time::{Duration, Instant};

use ledger::records::transaction::network_tag;
use ledger::records::{FeeBid, Nonce, Operation, Payment, Policy, Transaction, TransactionContent};
use ledger::rules::check_signatures;
use ledger::values::{
    Amount, ChainId, GenesisHash, Hasher, KeyCache, SecretKey, Sequential, TimestampMs, WalletId,
};
use serde::Serialize;

use clap::Args;

/// Longest time for all rounds.
const TIME: Duration = Duration::from_secs(5);
/// Fewest rounds.
const ROUNDS_MIN: usize = 9;

/// Options of `bench signatures`.
#[derive(Debug, Args)]
pub(crate) struct Signatures {
    /// Payments that are checked together, each by a payer of its own.
    #[arg(long, default_value_t = 1_024)]
    batch: usize,
    /// Validators that share this machine.
    #[arg(long, default_value_t = 4)]
    validators: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Answer {
    batch: usize,
    rounds: usize,
    /// The middle one of all rounds.
    us_per_signature: f64,
    cores: usize,
    validators: usize,
    /// What all cores could check, if every validator checks each payment once and does nothing else.
    limit_per_second: f64,
}

impl Signatures {
    pub(crate) fn run(&self) {
        println!("{}", serde_json::to_string_pretty(&self.measured()).unwrap());
    }

    fn measured(&self) -> Answer {
        let genesis = GenesisHash([7; 32]);
        let signed: Vec<Transaction> = (0..self.batch).map(|number| payment(genesis, number)).collect();
        let transactions: Vec<&Transaction> = signed.iter().collect();
        let (secret, keys) = ([9; 32], KeyCache::default());
        let mut rounds_us: Vec<f64> = Vec::new();
        let begun = Instant::now();
        // The first round fills the cache and does not count.
        while rounds_us.len() <= ROUNDS_MIN || begun.elapsed() < TIME {
            let started = Instant::now();
            let checked = check_signatures(&transactions, genesis, &secret, &keys, &Sequential);
            assert_eq!(checked, Ok(()), "the signatures are good");
            rounds_us.push(started.elapsed().as_secs_f64() * 1e6 / self.batch as f64);
        }
        rounds_us.remove(0);
        rounds_us.sort_by(f64::total_cmp);
        let us_per_signature = rounds_us[rounds_us.len() / 2];
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Answer {
            batch: self.batch,
            rounds: rounds_us.len(),
            us_per_signature,
            cores,
            validators: self.validators,
            limit_per_second: 1e6 * cores as f64 / (us_per_signature * self.validators as f64),
        }
    }
}

fn payment(genesis: GenesisHash, number: usize) -> Transaction {
    let key = SecretKey::from_seed(Hasher::new("jiaozi/bench-signer").number(number as u64).finish().0);
    let payments = vec![Payment { payee: WalletId([2; 32]), amount: Amount::from_fen(1) }];
    let content = TransactionContent {
        network: network_tag(genesis),
        chain: ChainId(0),
        wallet: WalletId([1; 32]),
        nonce: Nonce { lane: 0, sequence: 1 },
        valid_until: TimestampMs(1),
        fee: FeeBid::default(),
        policy: Policy::single(key.public_key()),
        operation: Operation::Pay { payments },
    };
    content.signed_by(genesis, &key)
}
