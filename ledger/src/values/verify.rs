//! Signature verification by the ZIP-215 rules, one by one and in batches.
//!
//! Why ZIP-215: with the rules of RFC 8032 as libraries implement them, a batch check and a single check
//! disagree on signatures with a small-order component, at random; validators that disagree on validity fork.
//! Under ZIP-215 both answer the same: `s` must be canonical, `A` and `R` may be any encoding that
//! decompresses, and the equation is multiplied by the cofactor: `[8]([s]B − R − [k]A) = 0`, `k = SHA-512(R ‖
//! A ‖ M)`. Source: <https://zips.z.cash/zip-0215>; `ed25519-zebra`, its reference, is the judge in the
//! differential tests.
//!
//! The batch equation is `[8](−[Σ zᵢsᵢ]B + Σ [zᵢ]Rᵢ + Σ [zᵢkᵢ]Aᵢ) = 0` with random 128-bit `zᵢ`. The
//! coefficients are drawn from a hash of every signature, key and challenge and of a secret given by the
//! caller (process randomness in production): a forger passes with probability below 2⁻¹²⁵. The *answer* is
//! therefore the same on every validator, although the coefficients differ.

use std::sync::{Mutex, MutexGuard, PoisonError};

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use sha2::{Digest as _, Sha512};

use super::hash::Hasher;
use super::key::{PublicKey, Signature};
use super::strategy::{Sequential, Strategy};

/// A signature with what it is said to sign.
#[derive(Debug, Clone, Copy)]
pub struct SignedMessage<'a> {
    /// The key it is checked under.
    pub public_key: PublicKey,
    /// The signed bytes.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Signature,
}

/// Most decompressed keys that a [`KeyCache`] keeps: 160 B each, so 32 MB.
pub const KEY_CACHE_KEYS_MAX: usize = 200_000;

const KEYS_PER_CHUNK: usize = 32;

#[expect(clippy::disallowed_types, reason = "never iterated: a look-up says the same in any order")]
type Points = std::collections::HashMap<PublicKey, EdwardsPoint>;

/// Decompressed public keys (4.5 µs each to compute), shared by everyone who verifies in a process. Full, it starts
/// anew: cheaper than tracking use, and an attacker who fills it costs everyone no more than the decompression
/// that would be paid without it. It is locked for look-ups only, never while anything is computed.
#[derive(Debug, Default)]
pub struct KeyCache {
    points: Mutex<Points>,
}

impl KeyCache {
    /// The decompressed keys, in the order asked; unknown ones are decompressed together. `None` for bytes that are
    /// no key.
    pub(crate) fn points(&self, keys: &[PublicKey], strategy: &impl Strategy) -> Vec<Option<EdwardsPoint>> {
        let mut found: Vec<Option<EdwardsPoint>> = {
            let known = self.known();
            keys.iter().map(|key| known.get(key).copied()).collect()
        };
        let mut unknown: Vec<PublicKey> =
            keys.iter().zip(&found).filter(|(_, point)| point.is_none()).map(|(key, _)| *key).collect();
        if unknown.is_empty() {
            return found;
        }
        unknown.sort_unstable();
        unknown.dedup();
        let points = strategy.map(&unknown, KEYS_PER_CHUNK, |key| CompressedEdwardsY(key.0).decompress());
        for (key, point) in keys.iter().zip(&mut found).filter(|(_, point)| point.is_none()) {
            let position = unknown.binary_search(key).ok();
            *point = position.and_then(|position| points.get(position).copied().flatten());
        }
        let mut known = self.known();
        if known.len().saturating_add(unknown.len()) > KEY_CACHE_KEYS_MAX {
            known.clear();
        }
        let decompressed = unknown.into_iter().zip(points).take(KEY_CACHE_KEYS_MAX);
        known.extend(decompressed.filter_map(|(key, point)| Some((key, point?))));
        found
    }

    fn known(&self) -> MutexGuard<'_, Points> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One signature, taken apart: `R`, `s` and the challenge `k`.
struct Parts {
    commitment: EdwardsPoint,
    response: Scalar,
    challenge: Scalar,
}

impl Parts {
    /// `None` when `s` is not canonical or `R` does not decompress.
    fn of(signed: &SignedMessage<'_>) -> Option<Self> {
        let (commitment_bytes, response_bytes) = signed.signature.0.split_first_chunk::<32>()?;
        let response = Option::from(Scalar::from_canonical_bytes(response_bytes.try_into().ok()?))?;
        let commitment = CompressedEdwardsY(*commitment_bytes).decompress()?;
        let digest = Sha512::new()
            .chain_update(commitment_bytes)
            .chain_update(signed.public_key.0)
            .chain_update(signed.message)
            .finalize();
        Some(Self { commitment, response, challenge: Scalar::from_bytes_mod_order_wide(&digest.into()) })
    }
}

/// Whether one signature is valid.
#[must_use]
pub fn verify(signed: &SignedMessage<'_>) -> bool {
    let Some(parts) = Parts::of(signed) else { return false };
    let Some(key) = CompressedEdwardsY(signed.public_key.0).decompress() else { return false };
    let expected =
        EdwardsPoint::vartime_double_scalar_mul_basepoint(&parts.challenge, &negate(key), &parts.response);
    is_small_order(subtract(expected, parts.commitment))
}

/// Whether all signatures are valid; an empty batch is. `secret` must be unknown to whoever made the
/// signatures.
#[must_use]
pub fn verify_batch(batch: &[SignedMessage<'_>], secret: &[u8; 32], cache: &KeyCache) -> bool {
    let keys: Vec<PublicKey> = batch.iter().map(|signed| signed.public_key).collect();
    verify_with_keys(batch, &cache.points(&keys, &Sequential), secret)
}

/// [`verify_batch`] with the decompressed keys at hand; `None` stands for a key that does not decompress.
pub(crate) fn verify_with_keys(
    batch: &[SignedMessage<'_>],
    keys: &[Option<EdwardsPoint>],
    secret: &[u8; 32],
) -> bool {
    if batch.len() != keys.len() {
        return false;
    }
    if let [single] = batch {
        return verify(single);
    }
    let parts: Option<Vec<Parts>> = batch.iter().map(Parts::of).collect();
    let Some(parts) = parts else { return false };
    let mut coefficients = Coefficients::new(batch, &parts, secret);
    let mut basepoint_factor = Scalar::ZERO;
    let points = batch.len().saturating_mul(2).saturating_add(1);
    let (mut scalars, mut bases) = (Vec::with_capacity(points), Vec::with_capacity(points));
    for (parts, key) in parts.iter().zip(keys) {
        let Some(key) = key else { return false };
        let coefficient = coefficients.draw();
        basepoint_factor = add(basepoint_factor, multiply(coefficient, parts.response));
        scalars.push(coefficient);
        bases.push(parts.commitment);
        scalars.push(multiply(coefficient, parts.challenge));
        bases.push(*key);
    }
    scalars.push(subtract_scalar(Scalar::ZERO, basepoint_factor));
    bases.push(ED25519_BASEPOINT_POINT);
    is_small_order(EdwardsPoint::vartime_multiscalar_mul(&scalars, &bases))
}

/// Scalars wrap modulo the group order by design; named functions keep the arithmetic lint for money.
#[expect(clippy::arithmetic_side_effects, reason = "field arithmetic")]
fn add(left: Scalar, right: Scalar) -> Scalar {
    left + right
}

#[expect(clippy::arithmetic_side_effects, reason = "field arithmetic")]
fn multiply(left: Scalar, right: Scalar) -> Scalar {
    left * right
}

#[expect(clippy::arithmetic_side_effects, reason = "field arithmetic")]
fn subtract_scalar(left: Scalar, right: Scalar) -> Scalar {
    left - right
}

#[expect(clippy::arithmetic_side_effects, reason = "group arithmetic")]
fn subtract(left: EdwardsPoint, right: EdwardsPoint) -> EdwardsPoint {
    left - right
}

#[expect(clippy::arithmetic_side_effects, reason = "group arithmetic")]
fn negate(point: EdwardsPoint) -> EdwardsPoint {
    -point
}

fn is_small_order(point: EdwardsPoint) -> bool {
    point.mul_by_cofactor().is_identity()
}

/// Unpredictable 128-bit coefficients: SHA-256 in counter mode, keyed by the secret and the whole batch.
struct Coefficients {
    seed: [u8; 32],
    drawn: u64,
}

impl Coefficients {
    fn new(batch: &[SignedMessage<'_>], parts: &[Parts], secret: &[u8; 32]) -> Self {
        let mut hasher = Hasher::new("jiaozi/batch-verification").bytes(secret);
        for (signed, parts) in batch.iter().zip(parts) {
            // The challenge binds the key and the message.
            hasher = hasher.bytes(&signed.signature.0).bytes(parts.challenge.as_bytes());
        }
        Self { seed: hasher.finish().0, drawn: 0 }
    }

    fn draw(&mut self) -> Scalar {
        let block = Hasher::new("jiaozi/batch-coefficient").bytes(&self.seed).number(self.drawn).finish();
        self.drawn = self.drawn.saturating_add(1);
        let (half, _) = block.0.split_first_chunk::<16>().unwrap_or((&[1; 16], &[]));
        Scalar::from(u128::from_le_bytes(*half))
    }
}
