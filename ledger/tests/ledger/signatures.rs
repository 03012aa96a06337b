//! ZIP-215: the same answer one by one, in batches, and by its reference implementation.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;
use ledger::records::Transaction;
use ledger::rules::check_signatures;
use ledger::values::{
    Amount, KeyCache, PublicKey, Sequential, Signature, SignedMessage, verify, verify_batch,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};

use crate::network::{Network, customer_key, pay, sign_raw};
use crate::samples::sponsored;

const SECRET: [u8; 32] = [9; 32];

/// The 14 encodings of points of small order: 8 canonical, 6 not.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let around_p = |low: u8, sign: bool| {
        let mut bytes = [0xff; 32];
        bytes[0] = low;
        bytes[31] = if sign { 0xff } else { 0x7f };
        bytes
    };
    let mut one_signed = [0; 32];
    one_signed[0] = 1;
    one_signed[31] = 0x80;
    let mut encodings: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().0).collect();
    encodings.push(one_signed);
    // p + 1 and p stand for 1 and 0; p − 1 is canonical but for its sign.
    encodings.extend([around_p(0xee, false), around_p(0xee, true), around_p(0xec, true)]);
    encodings.extend([around_p(0xed, false), around_p(0xed, true)]);
    encodings
}

fn zebra(signed: &SignedMessage<'_>) -> bool {
    let signature = ed25519_zebra::Signature::from(signed.signature.0);
    ed25519_zebra::VerificationKey::try_from(signed.public_key.0)
        .is_ok_and(|key| key.verify(&signature, signed.message).is_ok())
}

fn in_batch(batch: &[SignedMessage<'_>]) -> bool {
    verify_batch(batch, &SECRET, &KeyCache::default())
}

/// All 196 pairs of small-order key and commitment, `s = 0`: valid under ZIP-215, one by one and together.
#[test]
fn all_small_order_pairs_are_valid() {
    let encodings = small_order_encodings();
    assert_eq!(encodings.len(), 14);
    let mut batch = Vec::new();
    for key in &encodings {
        for commitment in &encodings {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(commitment);
            let signed = SignedMessage {
                public_key: PublicKey(*key),
                message: b"Zcash",
                signature: Signature(signature),
            };
            assert!(verify(&signed));
            assert!(zebra(&signed));
            batch.push(signed);
        }
    }
    assert_eq!(batch.len(), 196);
    assert!(in_batch(&batch));
    for signed in &batch {
        assert!(in_batch(&[*signed, *signed]));
    }
}

/// A signature whose commitment carries a component of order 2: what splits a chain under other rules.
fn order_two_signature(number: u64, message: &[u8]) -> (PublicKey, Signature) {
    let [secret, nonce] = [number, number + 1_000].map(|number| Scalar::from(number * 7_919 + 3));
    let public = (ED25519_BASEPOINT_POINT * secret).compress().0;
    let commitment = (ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[4]).compress().0;
    let digest = Sha512::new().chain_update(commitment).chain_update(public).chain_update(message).finalize();
    let response = nonce + Scalar::from_bytes_mod_order_wide(&digest.into()) * secret;
    let signature = [commitment, response.to_bytes()].concat().try_into().unwrap();
    (PublicKey(public), Signature(signature))
}

#[test]
fn order_two_commitments_are_accepted_singly_and_in_batches_alike() {
    let message = b"a payment";
    let made: Vec<_> = (0..64).map(|number| order_two_signature(number, message)).collect();
    let batch: Vec<_> = made
        .iter()
        .map(|(key, signature)| SignedMessage { public_key: *key, message, signature: *signature })
        .collect();
    assert!(batch.iter().all(|signed| verify(signed) && zebra(signed)));
    for size in [1, 2, 3, 17, 64] {
        assert!(batch.chunks(size).all(in_batch), "chunks of {size}");
    }
    for secret in 0..16 {
        assert!(verify_batch(&batch, &[secret; 32], &KeyCache::default()));
    }
}

#[test]
fn a_response_above_the_group_order_is_refused() {
    let message = b"twice valid";
    let key = customer_key(1);
    let good = Signature(sign_raw(&key, message));
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u8,
    ];
    let mut malleated = good;
    let mut carry = 0_u16;
    for (byte, add) in malleated.0[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    let signed = |signature| SignedMessage { public_key: key.public_key(), message, signature };
    assert!(verify(&signed(good)));
    assert!(!verify(&signed(malleated)) && !zebra(&signed(malleated)));
    assert!(!in_batch(&[signed(good), signed(malleated)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Mutated signatures: ours and the reference agree, and a batch is valid exactly when each of its
    /// members is.
    #[test]
    fn every_way_to_check_agrees(members in prop::collection::vec((0_u64..4, any::<u8>(), 0_usize..3, 0_usize..96, 0_u8..8, 0_usize..14), 1..12)) {
        let small = small_order_encodings();
        let messages: Vec<[u8; 1]> = members.iter().map(|member| [member.1]).collect();
        let mut batch = Vec::new();
        for ((number, _, kind, place, bit, torsion), message) in members.iter().zip(&messages) {
            let key = customer_key(*number);
            let mut signed = SignedMessage {
                public_key: key.public_key(), message, signature: Signature(sign_raw(&key, message)),
            };
            match kind {
                // A flipped bit anywhere in key or signature.
                1 if *place < 64 => signed.signature.0[*place] ^= 1 << bit,
                1 => signed.public_key.0[place - 64] ^= 1 << bit,
                // A commitment of small order.
                2 => signed.signature.0[..32].copy_from_slice(&small[*torsion]),
                _ => {}
            }
            prop_assert_eq!(verify(&signed), zebra(&signed));
            batch.push(signed);
        }
        let valid = batch.iter().all(verify);
        prop_assert_eq!(in_batch(&batch), valid);
        let cache = KeyCache::default();
        prop_assert_eq!(verify_batch(&batch, &SECRET, &cache), valid);
        prop_assert_eq!(verify_batch(&batch, &SECRET, &cache), valid, "a filled cache changes nothing");
    }
}

/// A sponsor's signatures are checked like the signer's, each under the policy that it is for.
#[test]
fn a_sponsor_signs_the_same_transaction() {
    let network = Network::new();
    let good = sponsored(&network);
    let check = |change: fn(&mut Transaction)| {
        let mut transaction = good.clone();
        change(&mut transaction);
        let transactions = [&good, &transaction];
        check_signatures(&transactions, network.genesis, &SECRET, &KeyCache::default(), &Sequential)
    };
    assert_eq!(check(|_| {}), Ok(()));
    let wrong: [fn(&mut Transaction); 6] = [
        |t| t.sponsor_signatures[1].signature.0[7] ^= 1,
        |t| t.sponsor_signatures[0].key = 1,
        |t| t.sponsor_signatures[0].key = 3,
        |t| t.sponsor_signatures[0].signature = t.signatures[0].signature,
        // Another fee is another transaction.
        |t| t.content.fee.tip = Amount::ZERO,
        // Signatures of nobody name no key.
        |t| t.content.fee.sponsor = None,
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        assert_eq!(check(change), Err(1), "{number}");
    }
    let mut nobodys = network.transaction(&network.customer(0), 1, pay(&[(network.customer(1).wallet, 1)]));
    nobodys.sponsor_signatures = good.sponsor_signatures.clone();
    let result = check_signatures(&[&nobodys], network.genesis, &SECRET, &KeyCache::default(), &Sequential);
    assert_eq!(result, Err(0));
}

#[test]
fn the_first_bad_transaction_is_named() {
    let network = Network::new();
    let payee = network.customer(1).wallet;
    let good: Vec<_> = (0..2_100)
        .map(|n| network.transaction(&network.customer(n % 50), n + 1, pay(&[(payee, 1)])))
        .collect();
    let check = |transactions: &[ledger::records::Transaction], cache: &KeyCache| {
        let transactions: Vec<_> = transactions.iter().collect();
        check_signatures(&transactions, network.genesis, &SECRET, cache, &Sequential)
    };
    let cache = KeyCache::default();
    assert_eq!(check(&good, &cache), Ok(()));
    assert_eq!(check(&[], &cache), Ok(()));
    for bad in [vec![0], vec![2_099], vec![1_023], vec![1_024], vec![700, 1_500], vec![2_050, 2_051]] {
        let mut transactions = good.clone();
        for place in &bad {
            transactions[*place].signatures[0].signature.0[40] ^= 1;
        }
        assert_eq!(check(&transactions, &cache), Err(bad[0]), "{bad:?}");
    }
    let mut keyless = good[..5].to_vec();
    keyless[3].signatures[0].key = 1;
    assert_eq!(check(&keyless, &cache), Err(3));
    let mut other = good[..5].to_vec();
    other[2].content.policy.keys[0] = PublicKey([0xaa; 32]);
    assert_eq!(check(&other, &cache), Err(2));
}
