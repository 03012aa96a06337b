//! The signatures of many transactions, checked together: in groups as large as the multiscalar
//! multiplication likes, in parallel where the strategy allows, and after a failure by halves, so that naming
//! the first bad transaction costs a logarithm of checks.

use std::ops::Range;

use curve25519_dalek::edwards::EdwardsPoint;

use crate::records::Transaction;
use crate::records::transaction::{SIGNING_MESSAGE_BYTES, signing_message};
use crate::values::verify::verify_with_keys;
use crate::values::{GenesisHash, KeyCache, PublicKey, Signature, SignedMessage, Strategy};

/// Signatures of a group; above this the cost per signature falls no further.
pub const SIGNATURES_PER_GROUP: usize = 1_024;
const MESSAGES_PER_CHUNK: usize = 512;

/// One signature with the key it names.
#[derive(Debug, Clone, Copy)]
struct Signed {
    transaction: usize,
    public_key: PublicKey,
    message: [u8; SIGNING_MESSAGE_BYTES],
    signature: Signature,
}

/// Whether every signature of every transaction is valid. `secret` must be unknown to those who signed.
///
/// # Errors
/// The position of the first transaction with an invalid signature, or with a signature that names no key.
pub fn check_signatures(
    transactions: &[&Transaction],
    genesis: GenesisHash,
    secret: &[u8; 32],
    cache: &KeyCache,
    strategy: &impl Strategy,
) -> Result<(), usize> {
    let ids = strategy.map(transactions, MESSAGES_PER_CHUNK, |transaction| transaction.id(genesis));
    let mut signed = Vec::with_capacity(transactions.len());
    let mut keyless = None;
    for (position, (transaction, id)) in transactions.iter().zip(ids).enumerate() {
        let message = signing_message(id);
        for (key, signature) in named(transaction) {
            match key {
                Some(public_key) => {
                    signed.push(Signed { transaction: position, public_key, message, signature });
                }
                None => keyless = keyless.or(Some(position)),
            }
        }
    }
    let keys: Vec<PublicKey> = signed.iter().map(|signed| signed.public_key).collect();
    let points = cache.points(&keys, strategy);
    let group = Group { signed: &signed, points: &points, secret };
    let ranges: Vec<Range<usize>> = (0..signed.len())
        .step_by(SIGNATURES_PER_GROUP)
        .map(|start| start..start.saturating_add(SIGNATURES_PER_GROUP).min(signed.len()))
        .collect();
    let valid = strategy.map(&ranges, 1, |range| group.is_valid(range.clone()));
    let first_bad = ranges.into_iter().zip(valid).find(|(_, is_valid)| !is_valid);
    let first_bad = first_bad.and_then(|(range, _)| signed.get(group.first_invalid(range)));
    match first_bad.map(|bad| bad.transaction).into_iter().chain(keyless).min() {
        Some(position) => Err(position),
        None => Ok(()),
    }
}

/// Every signature of a transaction, the wallet's and the sponsor's, with the key that it names; none where its policy has no such key.
fn named(transaction: &Transaction) -> impl Iterator<Item = (Option<PublicKey>, Signature)> {
    let (content, sponsor) = (&transaction.content, &transaction.content.fee.sponsor);
    let own = transaction.signatures.iter().map(|one| (Some(&content.policy), one));
    let policy = sponsor.as_ref().map(|sponsor| &sponsor.policy);
    let sponsors = transaction.sponsor_signatures.iter().map(move |one| (policy, one));
    own.chain(sponsors).map(|(policy, one)| {
        let key = policy.and_then(|policy| policy.keys.get(usize::from(one.key)));
        (key.copied(), one.signature)
    })
}

struct Group<'a> {
    signed: &'a [Signed],
    points: &'a [Option<EdwardsPoint>],
    secret: &'a [u8; 32],
}

impl Group<'_> {
    fn is_valid(&self, range: Range<usize>) -> bool {
        let (Some(signed), Some(points)) = (self.signed.get(range.clone()), self.points.get(range)) else {
            return false;
        };
        let batch: Vec<SignedMessage<'_>> = signed
            .iter()
            .map(|one| SignedMessage {
                public_key: one.public_key,
                message: &one.message,
                signature: one.signature,
            })
            .collect();
        verify_with_keys(&batch, points, self.secret)
    }

    /// Position of the first invalid signature in a range that is not valid as a whole.
    fn first_invalid(&self, range: Range<usize>) -> usize {
        let Range { mut start, mut end } = range;
        while end.saturating_sub(start) > 1 {
            let middle = start.midpoint(end);
            if self.is_valid(start..middle) {
                start = middle;
            } else {
                end = middle;
            }
        }
        start
    }
}
