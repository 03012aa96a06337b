//! The stand-alone verifier of a finality certificate.
//!
//! It needs the certificate bytes, the signing namespace and the sorted validator keys of the epoch, and
//! nothing of the engine that made the certificate: a stranger checks finality with this file alone.
//! It accepts exactly the bytes that the engine accepts (the `consensus` crate tests this against the
//! engine).
//!
//! ```text
//! epoch varint | view varint | parent view varint | digest [32]      the signed proposal
//! n u64 BE | bitmap [ceil(n/8)], bit i = byte i/8, lowest bit first  who signed
//! count varint | signature [64] * count                              in ascending validator order
//! ```
//!
//! Rules, in the order of the checks: every varint is minimal and fits its type (u64; the count u32); `n` is
//! the size of the set; unused bits of the bitmap are zero; `count` equals the number of set bits and reaches
//! the quorum `n - floor((n - 1) / 3)`; no byte follows; every signature is valid over
//! `varint(len) | namespace "_FINALIZE" | proposal`. One bad signature refuses the whole certificate.
//! The signature rule is ZIP-215, which is also what the engine verifies with.
//!
//! Cost is bounded by the validator set: nothing is allocated from a length that the bytes claim.

use crate::values::{
    BlockDigest, ChainId, Epoch, GenesisHash, PublicKey, Signature, SignedMessage, View, quorum, verify,
};

/// The signing namespace of a chain's consensus: `"jiaozi/consensus" ‖ genesis hash ‖ chain id (u32,
/// little-endian)`.
#[must_use]
pub fn consensus_namespace(genesis: GenesisHash, chain: ChainId) -> Vec<u8> {
    [b"jiaozi/consensus".as_slice(), &genesis.0, &chain.0.to_le_bytes()].concat()
}

/// Suffix that the engine puts after the namespace for finalize votes.
const FINALIZE_SUFFIX: &[u8] = b"_FINALIZE";

/// What a valid certificate proves: a quorum voted to finalize this digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finalized {
    /// Epoch of the validator set that signed.
    pub epoch: Epoch,
    /// View in which the digest was proposed.
    pub view: View,
    /// View of its parent.
    pub parent_view: View,
    /// The finalized digest.
    pub digest: BlockDigest,
}

/// Why bytes are not a finality certificate of this validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// The validator set is empty or larger than a signer count can say.
    #[error("a set of {0} validators cannot finalize")]
    UnusableSet(usize),
    /// The bytes end inside a field.
    #[error("certificate is cut off")]
    Truncated,
    /// A variable-length integer is not minimal or does not fit its type.
    #[error("integer is not canonical")]
    Varint,
    /// The certificate was made for a set of another size.
    #[error("certificate is for {found} validators, the set has {expected}")]
    SetSize {
        /// Size that the certificate names.
        found: u64,
        /// Size of the set given to the verifier.
        expected: usize,
    },
    /// A bit beyond the last validator is set.
    #[error("signer bitmap has a bit beyond the last validator")]
    Bitmap,
    /// The number of signatures differs from the number of signers.
    #[error("{signers} signers but {signatures} signatures")]
    Count {
        /// Bits set in the bitmap.
        signers: usize,
        /// Signatures announced.
        signatures: u64,
    },
    /// Fewer signers than the quorum.
    #[error("{signers} signers, the quorum is {quorum}")]
    BelowQuorum {
        /// Bits set in the bitmap.
        signers: usize,
        /// Signers needed.
        quorum: usize,
    },
    /// Bytes follow the last signature.
    #[error("{0} bytes follow the certificate")]
    TrailingBytes(usize),
    /// A signature does not verify under its validator's key.
    #[error("signature of validator {0} is invalid")]
    Signature(usize),
}

/// Checks that a quorum of `validators` finalized a digest, and returns what they finalized.
///
/// `validators` are the consensus keys of the certificate's epoch in ascending byte order; `namespace` is the
/// chain's signing namespace. The caller compares `epoch` with the epoch whose set it passed.
///
/// # Errors
/// The first rule of the module head that the bytes break.
pub fn verify_certificate(
    bytes: &[u8],
    namespace: &[u8],
    validators: &[PublicKey],
) -> Result<Finalized, CertificateFault> {
    if validators.is_empty() || u32::try_from(validators.len()).is_err() {
        return Err(CertificateFault::UnusableSet(validators.len()));
    }
    let mut rest = bytes;
    let epoch = take_varint(&mut rest, u64::BITS)?;
    let view = take_varint(&mut rest, u64::BITS)?;
    let parent_view = take_varint(&mut rest, u64::BITS)?;
    let digest = *take::<32>(&mut rest)?;
    let proposal_length = bytes.len().saturating_sub(rest.len());
    let proposal = bytes.get(..proposal_length).ok_or(CertificateFault::Truncated)?;

    let signers = take_signers(&mut rest, validators)?;
    let signatures = take_varint(&mut rest, u32::BITS)?;
    if u64::try_from(signers.len()) != Ok(signatures) {
        return Err(CertificateFault::Count { signers: signers.len(), signatures });
    }
    let quorum = quorum(validators.len());
    if signers.len() < quorum {
        return Err(CertificateFault::BelowQuorum { signers: signers.len(), quorum });
    }

    let message = signed_message(namespace, proposal);
    let mut checks = Vec::with_capacity(signers.len());
    for (index, public_key) in signers {
        checks.push((index, public_key, take::<64>(&mut rest)?));
    }
    if !rest.is_empty() {
        return Err(CertificateFault::TrailingBytes(rest.len()));
    }
    for (index, public_key, signature) in checks {
        let signature = Signature(*signature);
        if !verify(&SignedMessage { public_key: *public_key, message: &message, signature }) {
            return Err(CertificateFault::Signature(index));
        }
    }
    Ok(Finalized {
        epoch: Epoch(epoch),
        view: View(view),
        parent_view: View(parent_view),
        digest: BlockDigest(digest),
    })
}

/// The bytes a finalize vote signs: length-prefixed namespace, then the proposal.
fn signed_message(namespace: &[u8], proposal: &[u8]) -> Vec<u8> {
    let namespace_length = namespace.len().saturating_add(FINALIZE_SUFFIX.len());
    let mut message = Vec::new();
    let mut remaining = namespace_length;
    while remaining >= 0x80 {
        message.push(0x80 | low_seven_bits(remaining));
        remaining >>= 7;
    }
    message.push(low_seven_bits(remaining));
    message.extend_from_slice(namespace);
    message.extend_from_slice(FINALIZE_SUFFIX);
    message.extend_from_slice(proposal);
    message
}

/// The lowest seven bits of a length, as they stand in a varint byte.
fn low_seven_bits(value: usize) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or(0x7f)
}

/// Reads the bitmap and returns index and key of every signer, in ascending order.
fn take_signers<'a>(
    rest: &mut &[u8],
    validators: &'a [PublicKey],
) -> Result<Vec<(usize, &'a PublicKey)>, CertificateFault> {
    let found = u64::from_be_bytes(*take::<8>(rest)?);
    if u64::try_from(validators.len()) != Ok(found) {
        return Err(CertificateFault::SetSize { found, expected: validators.len() });
    }
    let (bitmap, after) =
        rest.split_at_checked(validators.len().div_ceil(8)).ok_or(CertificateFault::Truncated)?;
    *rest = after;
    let bits = bitmap.iter().flat_map(|byte| (0..u8::BITS).map(move |bit| (byte >> bit) & 1 == 1));
    let mut signers = Vec::with_capacity(validators.len());
    for (index, signed) in bits.enumerate() {
        match (signed, validators.get(index)) {
            (true, Some(public_key)) => signers.push((index, public_key)),
            (true, None) => return Err(CertificateFault::Bitmap),
            (false, _) => {}
        }
    }
    Ok(signers)
}

/// Takes `N` bytes off the front.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], CertificateFault> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(CertificateFault::Truncated)?;
    *rest = tail;
    Ok(head)
}

/// Takes a varint of at most `width` bits: seven bits a byte, lowest first, no needless last byte.
fn take_varint(rest: &mut &[u8], width: u32) -> Result<u64, CertificateFault> {
    let mut value = 0u64;
    let mut shift = 0u32;
    loop {
        let [byte] = *take::<1>(rest)?;
        if byte == 0 && shift > 0 {
            return Err(CertificateFault::Varint);
        }
        let room = width.saturating_sub(shift);
        let used = u8::BITS.saturating_sub(byte.leading_zeros());
        // The last byte that fits may neither overflow nor announce another one.
        if room <= 7 && used > room {
            return Err(CertificateFault::Varint);
        }
        value |= u64::from(byte & 0x7f).checked_shl(shift).ok_or(CertificateFault::Varint)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift = shift.saturating_add(7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8], width: u32) -> Result<u64, CertificateFault> {
        let mut rest = bytes;
        let value = take_varint(&mut rest, width)?;
        assert!(rest.is_empty());
        Ok(value)
    }

    #[test]
    fn varints_have_one_encoding() {
        assert_eq!(varint(&[0], 64), Ok(0));
        assert_eq!(varint(&[0x7f], 64), Ok(127));
        assert_eq!(varint(&[0xac, 0x02], 64), Ok(300));
        assert_eq!(varint(&[0x80, 0x00], 64), Err(CertificateFault::Varint));
        assert_eq!(varint(&[0x80], 64), Err(CertificateFault::Truncated));
        let widest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(varint(&widest, 64), Ok(u64::MAX));
        let mut over = widest;
        over[9] = 0x02;
        assert_eq!(varint(&over, 64), Err(CertificateFault::Varint));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f], 32), Ok(u64::from(u32::MAX)));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x1f], 32), Err(CertificateFault::Varint));
    }

    #[test]
    fn bits_beyond_the_set_are_refused() {
        let validators = [1, 2, 3, 4].map(|byte| PublicKey([byte; 32]));
        let mut head = 4u64.to_be_bytes().to_vec();
        head.push(0b0000_1011);
        let signers = take_signers(&mut head.as_slice(), &validators).map(|list| list.len());
        assert_eq!(signers, Ok(3));
        if let Some(bitmap) = head.last_mut() {
            *bitmap = 0b0001_0111;
        }
        assert_eq!(take_signers(&mut head.as_slice(), &validators), Err(CertificateFault::Bitmap));
    }

    #[test]
    fn long_namespaces_have_a_two_byte_length() {
        let message = signed_message(&[7; 200], b"p");
        assert_eq!(message.get(..2), Some(&[0x80 | (209 & 0x7f) as u8, 1][..]));
        assert_eq!(message.len(), 2 + 209 + 1);
    }
}
