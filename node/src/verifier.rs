//! The verifier thread: signatures of batches, in groups, and proofs of bundles.
//!
//! Batches that wait together are checked together, and the first loaded batch of a group waits a little for company (PROTOCOL
//! rule 19; see `gather.rs`). A lonely small batch is checked at once. When a group fails, the batch to blame is found by halves and taken out, and what comes after it is checked
//! again; after [`FAILURES_MAX`] of them each batch is judged for itself. So garbage costs a group a bounded number of checks.
//! Bundles are checked one by one, at most [`BUNDLES_BETWEEN`] between two groups that wait: whoever brings bundles holds up no payments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::records::{Batch, Bundle, Transaction};
use ledger::rules::{BundleFacts, ChainRules, check_bundle, check_signatures};
use ledger::values::{BatchDigest, BundleDigest, GenesisHash, KeyCache};

use crate::gather::gather;
use crate::strategy::Parallel;
use crate::workers;

/// Failed checks of one group before each batch is judged for itself.
const FAILURES_MAX: usize = 4;
/// Bundles that are checked between groups of batches. What waits is bounded where it comes from: see
/// [`chain::config::BUNDLES_UNDER_CHECK_MAX`].
const BUNDLES_BETWEEN: usize = 2;

/// What signatures are checked with.
#[derive(Clone)]
pub(crate) struct Verifier {
    pub(crate) genesis: GenesisHash,
    /// Unknown to whoever signs; see [`ledger::values::verify_batch`].
    pub(crate) secret: [u8; 32],
    pub(crate) keys: Arc<KeyCache>,
    pub(crate) strategy: Parallel,
}

/// A batch whose signatures are to be checked.
pub(crate) struct Unverified {
    pub(crate) digest: BatchDigest,
    pub(crate) batch: Arc<Batch>,
}

/// What the thread is given.
pub(crate) enum CheckJob {
    Batch(Unverified),
    /// A bundle whose proof is to be checked by these rules.
    Bundle {
        digest: BundleDigest,
        rules: Box<ChainRules>,
        bundle: Arc<Bundle>,
    },
}

/// A batch's verdict.
pub(crate) struct Verified {
    pub(crate) digest: BatchDigest,
    /// Position of the first transaction with a bad signature, if any.
    pub(crate) first_bad: Option<usize>,
}

impl Verifier {
    /// Starts the thread; it ends when the sender is dropped, or panics and says so. `report` is given the verdicts of a group,
    /// how many transactions they have, and how long they took; `checked` the facts of a bundle whose proof holds, or none.
    pub(crate) fn spawn(
        self,
        panicked: impl FnOnce(String) + Send + 'static,
        report: impl Fn(Vec<Verified>, usize, Duration) + Send + 'static,
        checked: impl Fn(BundleDigest, Option<BundleFacts>) + Send + 'static,
    ) -> std::io::Result<(Sender<CheckJob>, JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let thread = workers::spawn("verifier", panicked, move || {
            let mut bundles = VecDeque::new();
            while let Ok(first) = next(&receiver, &bundles) {
                let mut group = Vec::new();
                for job in first.into_iter().flat_map(|first| gather(first, &receiver, transactions_of)) {
                    match job {
                        CheckJob::Batch(batch) => group.push(batch),
                        CheckJob::Bundle { digest, rules, bundle } => {
                            bundles.push_back((digest, rules, bundle));
                        }
                    }
                }
                let started = Instant::now();
                let transactions = group.iter().map(count).sum();
                if !group.is_empty() {
                    report(self.judge(&group), transactions, started.elapsed());
                }
                for (digest, rules, bundle) in bundles.drain(..bundles.len().min(BUNDLES_BETWEEN)) {
                    checked(digest, check_bundle(&rules, &bundle).ok());
                }
            }
        })?;
        Ok((sender, thread))
    }

    fn judge(&self, group: &[Unverified]) -> Vec<Verified> {
        let mut verdicts: Vec<Verified> = Vec::with_capacity(group.len());
        let mut failures = 0;
        while let Some(rest) = group.get(verdicts.len()..).filter(|rest| !rest.is_empty()) {
            let together = if failures < FAILURES_MAX { rest } else { &rest[..1] };
            let all: Vec<&Transaction> =
                together.iter().flat_map(|one| one.batch.content.transactions.iter()).collect();
            let mut first_bad = self.first_bad(&all);
            failures += usize::from(first_bad.is_some());
            // The batches before the one to blame are valid; those after it are not judged yet.
            for one in together {
                let bad = first_bad.filter(|position| *position < count(one));
                verdicts.push(Verified { digest: one.digest, first_bad: bad });
                if bad.is_some() {
                    break;
                }
                first_bad = first_bad.map(|position| position - count(one));
            }
        }
        verdicts
    }

    /// Position of the first transaction with a bad signature.
    pub(crate) fn first_bad(&self, transactions: &[&Transaction]) -> Option<usize> {
        check_signatures(transactions, self.genesis, &self.secret, &self.keys, &self.strategy).err()
    }
}

/// The next job; `None` while only bundles wait, and an error once nothing does and the sender is gone.
fn next<T>(receiver: &Receiver<CheckJob>, bundles: &VecDeque<T>) -> Result<Option<CheckJob>, RecvError> {
    if bundles.is_empty() { receiver.recv().map(Some) } else { Ok(receiver.try_recv().ok()) }
}

/// A bundle makes no group: nothing is saved by checking it with others.
fn transactions_of(job: &CheckJob) -> usize {
    match job {
        CheckJob::Batch(batch) => count(batch),
        CheckJob::Bundle { .. } => 0,
    }
}

fn count(one: &Unverified) -> usize {
    one.batch.content.transactions.len()
}

#[cfg(test)]
mod tests {
    use ledger::records::transaction::network_tag;
    use ledger::records::{BatchContent, FeeBid, Nonce, Operation, Policy, TransactionContent};
    use ledger::values::{
        Amount, ChainId, Epoch, SecretKey, Signature, TimestampMs, ValidatorIndex, WalletId,
    };

    use super::*;

    const GENESIS: GenesisHash = GenesisHash([9; 32]);

    fn transaction(sequence: u64) -> Transaction {
        let key = SecretKey::from_seed([u8::try_from(sequence % 7).unwrap(); 32]);
        let content = TransactionContent {
            network: network_tag(GENESIS),
            chain: ChainId(0),
            wallet: WalletId([1; 32]),
            nonce: Nonce { lane: 0, sequence },
            valid_until: TimestampMs(1),
            fee: FeeBid::default(),
            policy: Policy::single(key.public_key()),
            operation: Operation::Issue { to: WalletId([2; 32]), amount: Amount::from_fen(1) },
        };
        content.signed_by(GENESIS, &key)
    }

    fn unverified(sequence: u64, transactions: usize, bad: Option<usize>) -> Unverified {
        let mut transactions: Vec<Transaction> =
            (0..transactions as u64).map(|number| transaction(1_000 * sequence + number)).collect();
        if let Some(bad) = bad {
            transactions[bad].signatures[0].signature = Signature([3; 64]);
        }
        let content = BatchContent {
            chain: ChainId(0),
            epoch: Epoch(0),
            sealer: ValidatorIndex(1),
            sequence,
            expires: TimestampMs(1),
            transactions,
        };
        let (digest, batch) = content.seal(GENESIS, &SecretKey::from_seed([1; 32]));
        Unverified { digest, batch: Arc::new(batch) }
    }

    #[test]
    fn a_bad_batch_in_a_group_takes_nobody_with_it() {
        let verifier = Verifier {
            genesis: GENESIS,
            secret: [5; 32],
            keys: Arc::default(),
            strategy: Parallel::new(2).unwrap(),
        };
        let (verdicts, seen) = channel();
        let (to_verifier, thread) = verifier
            .spawn(
                |cause| panic!("{cause}"),
                move |verified, count, _| verdicts.send((verified, count)).unwrap(),
                |_, _| panic!("no bundle was given"),
            )
            .unwrap();
        let sent: Vec<(BatchDigest, Option<usize>)> = [(20, None), (30, Some(7)), (1, None), (40, Some(39))]
            .into_iter()
            .zip(1..)
            .map(|((count, bad), sequence)| {
                let one = unverified(sequence, count, bad);
                let digest = one.digest;
                to_verifier.send(CheckJob::Batch(one)).unwrap();
                (digest, bad)
            })
            .collect();
        drop(to_verifier);
        thread.join().unwrap();
        let (mut judged, mut transactions) = (Vec::new(), 0);
        while let Ok((verified, count)) = seen.recv() {
            judged.extend(verified.into_iter().map(|one| (one.digest, one.first_bad)));
            transactions += count;
        }
        assert_eq!((judged, transactions), (sent, 91));
    }

    #[test]
    fn batches_that_wait_come_before_bundles_that_do_and_none_is_forgotten() {
        let (sender, receiver) = channel();
        sender.send(CheckJob::Batch(unverified(1, 1, None))).unwrap();
        let waiting = VecDeque::from([1, 2, 3]);
        assert!(matches!(next(&receiver, &waiting), Ok(Some(CheckJob::Batch(_)))));
        assert!(matches!(next(&receiver, &waiting), Ok(None)), "it does not wait while bundles do");
        drop(sender);
        assert!(matches!(next(&receiver, &waiting), Ok(None)), "what was given is checked to the end");
        assert!(next(&receiver, &VecDeque::<u8>::new()).is_err());
    }

    #[test]
    fn a_verifier_that_panics_says_so() {
        let verifier = Verifier {
            genesis: GENESIS,
            secret: [5; 32],
            keys: Arc::default(),
            strategy: Parallel::new(1).unwrap(),
        };
        let (heard, told) = channel();
        let (to_verifier, thread) = verifier
            .spawn(move |cause| heard.send(cause).unwrap(), |_, _, _| panic!("out of luck"), |_, _| {})
            .unwrap();
        to_verifier.send(CheckJob::Batch(unverified(1, 1, None))).unwrap();
        let cause = told.recv().unwrap();
        assert!(cause.contains("verifier") && cause.contains("out of luck"), "{cause}");
        thread.join().expect("the panic ends in the thread");
    }

    #[test]
    fn many_bad_batches_are_named_each() {
        let verifier = Verifier {
            genesis: GENESIS,
            secret: [5; 32],
            keys: Arc::default(),
            strategy: Parallel::new(1).unwrap(),
        };
        let bad = |number: usize| (number % 3 != 1).then_some(number % 5);
        let group: Vec<Unverified> =
            (0..12).map(|number| unverified(number as u64, 5 + number, bad(number))).collect();
        let judged: Vec<_> =
            verifier.judge(&group).into_iter().map(|one| (one.digest, one.first_bad)).collect();
        let expected: Vec<_> =
            group.iter().enumerate().map(|(number, one)| (one.digest, bad(number))).collect();
        assert_eq!(judged, expected);
    }

    #[test]
    fn a_group_ends_when_it_is_large_enough_and_a_small_batch_waits_for_nobody() {
        let (sender, receiver) = channel();
        for sequence in 0..4 {
            sender.send(unverified(sequence, 200, None)).unwrap();
        }
        assert_eq!(gather(receiver.recv().unwrap(), &receiver, count).len(), 2);
        drop(receiver);
        let (sender, receiver) = channel::<Unverified>();
        let group = gather(unverified(9, 1, None), &receiver, count);
        assert_eq!(group.len(), 1);
        drop(sender);
    }
}
