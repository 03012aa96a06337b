//! The ledger's stand-alone verifier of certificates against the engine's own, on valid and on mutated certificates.

mod support;

use commonware_codec::{Copying, Decode as _, Encode as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Finalization, Finalize, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::certificate::Verifier as _;
use commonware_cryptography::sha256::Digest;
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_parallel::Sequential;
use commonware_utils::{Faults as _, N3f1, non_empty};
use ledger::proofs::certificate::Finalized;
use ledger::proofs::{CertificateFault, verify_certificate};
use ledger::values::quorum::{VALIDATORS_MAX, VALIDATORS_MIN, quorum};
use ledger::values::{self, PublicKey};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use support::{NAMESPACE, keys, private_key, public_keys};

/// SHA-256 of the certificate that `the_layout_is_frozen` builds.
const FROZEN: &str = "f2470c8a575f76b41c8bedf59e49f8dfcb16408604b748e19fac90ea57eff2d7";

/// A validator set with the means to sign and to verify as the engine does.
struct Committee {
    schemes: Vec<Scheme>,
    verifier: Scheme,
    keys: Vec<[u8; 32]>,
}

impl Committee {
    fn new(size: u8) -> Self {
        let keys = keys(size);
        let set = public_keys(&keys);
        let schemes =
            keys.iter().map(|(seed, _)| Scheme::signer(NAMESPACE, set.clone(), private_key(seed)).unwrap());
        let (schemes, verifier) = (schemes.collect(), Scheme::verifier(NAMESPACE, set));
        Self { schemes, verifier, keys: keys.into_iter().map(|(_, key)| key).collect() }
    }

    /// A certificate over a random proposal, signed by `signers` validators.
    fn certificate(&self, signers: usize, rng: &mut StdRng) -> Vec<u8> {
        let view = rng.next_u64() >> rng.random_range(0..64);
        let round = Round::new(Epoch::new(rng.next_u64() >> rng.random_range(0..64)), View::new(view));
        let mut digest = [0; 32];
        rng.fill_bytes(&mut digest);
        let proposal = Proposal::new(round, View::new(view / 2), Digest(digest));
        let skip = rng.random_range(0..=self.schemes.len() - signers);
        let votes: Vec<_> = self.schemes[skip..skip + signers]
            .iter()
            .map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap())
            .collect();
        let certificate =
            Finalization::from_finalizes(&self.verifier, non_empty![@votes.iter()], &Sequential);
        certificate.unwrap().encode().to_vec()
    }

    fn quorum(&self) -> usize {
        N3f1::quorum(self.keys.len()) as usize
    }

    fn engine_accepts(&self, bytes: &[u8], rng: &mut StdRng) -> Option<(u64, u64, u64, [u8; 32])> {
        let config = self.verifier.certificate_codec_config();
        let decoded = Finalization::<Scheme, Digest>::decode_cfg(Copying(bytes), &config).ok()?;
        let proposal = &decoded.proposal;
        let said = (
            proposal.round.epoch().get(),
            proposal.round.view().get(),
            proposal.parent.get(),
            proposal.payload.0,
        );
        decoded.verify(rng, &self.verifier, &Sequential).then_some(said)
    }

    /// What production, strangers and auditors say.
    fn ours(&self, bytes: &[u8]) -> Result<(u64, u64, u64, [u8; 32]), CertificateFault> {
        let said = verify_certificate(bytes, NAMESPACE, &of(&self.keys))?;
        Ok((said.epoch.0, said.view.0, said.parent_view.0, said.digest.0))
    }
}

/// Keys as the ledger names them.
fn of(keys: &[[u8; 32]]) -> Vec<PublicKey> {
    keys.iter().map(|key| PublicKey(*key)).collect()
}

/// Where the fields of a certificate lie.
struct Layout {
    varints: [(usize, usize); 3],
    bitmap: usize,
    count: usize,
    signatures: usize,
}

fn layout(bytes: &[u8], validators: usize) -> Layout {
    let mut at = 0;
    let varints = std::array::from_fn(|_| {
        let start = at;
        while bytes[at] & 0x80 != 0 {
            at += 1;
        }
        at += 1;
        (start, at)
    });
    let bitmap = at + 32 + 8;
    let count = bitmap + validators.div_ceil(8);
    Layout { varints, bitmap, count, signatures: count + 1 }
}

/// Changes a certificate in one of the ways that an attacker or a bad disk would.
fn mutate(bytes: &mut Vec<u8>, validators: usize, way: usize, rng: &mut StdRng) {
    let fields = layout(bytes, validators);
    let signatures = (bytes.len() - fields.signatures) / 64;
    let signature = |index: usize| fields.signatures + 64 * index..fields.signatures + 64 * (index + 1);
    let (first, second) = (rng.random_range(0..signatures), rng.random_range(0..signatures));
    match way {
        0 => {}
        1 => {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        2 => bytes.truncate(rng.random_range(0..bytes.len())),
        3 => bytes.extend((0..rng.random_range(1..70)).map(|_| rng.random::<u8>())),
        // Two signatures change places.
        4 => {
            let copy = bytes[signature(first)].to_vec();
            bytes.copy_within(signature(second), signature(first).start);
            bytes[signature(second)].copy_from_slice(&copy);
        }
        // One signer and the signature fewer: consistent, but perhaps below the quorum.
        5 => {
            let bit = nth_set_bit(&bytes[fields.bitmap..fields.count], first);
            bytes[fields.bitmap + bit / 8] ^= 1 << (bit % 8);
            bytes[fields.count] -= 1;
            bytes.drain(signature(first));
        }
        // One signature twice, with and without a raised count.
        6 => {
            let copy = bytes[signature(first)].to_vec();
            bytes[fields.count] += rng.random_range(0..2u8);
            bytes.splice(signature(second).start..signature(second).start, copy);
        }
        // A needless last byte in one of the integers.
        7 => {
            let ends = [fields.varints[0].1, fields.varints[1].1, fields.varints[2].1, fields.count + 1];
            let end = ends[rng.random_range(0..ends.len())];
            bytes[end - 1] |= 0x80;
            bytes.insert(end, 0);
        }
        // Random bytes over bitmap length, bitmap or count.
        8 => {
            let at = rng.random_range(fields.bitmap - 8..fields.signatures);
            bytes[at] = rng.random();
        }
        // Another signer claimed for a signature.
        9 => {
            let bit = nth_set_bit(&bytes[fields.bitmap..fields.count], first);
            let other = rng.random_range(0..8 * validators.div_ceil(8));
            bytes[fields.bitmap + bit / 8] ^= 1 << (bit % 8);
            bytes[fields.bitmap + other / 8] |= 1 << (other % 8);
        }
        // A whole signature replaced by that of another certificate position or by zeros.
        _ => {
            let replacement = if rng.random() { bytes[signature(second)].to_vec() } else { vec![0; 64] };
            bytes[signature(first)].copy_from_slice(&replacement);
        }
    }
}

fn nth_set_bit(bitmap: &[u8], nth: usize) -> usize {
    (0..bitmap.len() * 8).filter(|bit| bitmap[bit / 8] >> (bit % 8) & 1 == 1).nth(nth).unwrap()
}

#[test]
fn ten_thousand_mutated_certificates_are_judged_as_the_engine_does() {
    const WAYS: usize = 11;
    let mut rng = StdRng::seed_from_u64(0x6a69_616f);
    let committees = [4, 4, 4, 5, 7, 9].map(Committee::new);
    let (mut accepted, mut refused) = ([0u32; WAYS], [0u32; WAYS]);
    for round in 0..10_000 {
        let committee = &committees[round % committees.len()];
        let way = round % WAYS;
        let size = committee.keys.len();
        let signers = rng.random_range(committee.quorum()..=size);
        let mut bytes = committee.certificate(signers, &mut rng);
        mutate(&mut bytes, size, way, &mut rng);
        let engine = committee.engine_accepts(&bytes, &mut rng);
        let ours = committee.ours(&bytes);
        assert_eq!(ours.as_ref().ok(), engine.as_ref(), "round {round} way {way}: {ours:?}");
        let tally = if engine.is_some() { &mut accepted } else { &mut refused };
        tally[way] += 1;
    }
    assert_eq!(refused[0], 0, "an unchanged certificate is valid");
    assert!(
        accepted[5] > 0 && refused[5] > 0,
        "a signer less: {} above the quorum, {} below",
        accepted[5],
        refused[5]
    );
    for way in [2, 3, 6, 7] {
        assert_eq!(accepted[way], 0, "way {way}");
    }
    for way in 1..WAYS {
        assert!(refused[way] > 100, "way {way} refused only {}", refused[way]);
    }
}

#[test]
fn the_layout_is_frozen() {
    // A change here is a change of every proof ever written: it needs an ADR and a migration, not a new vector.
    let committee = Committee::new(4);
    let proposal =
        Proposal::new(Round::new(Epoch::new(7), View::new(300)), View::new(299), Digest([0xd1; 32]));
    let sign = |index: usize| Finalize::sign(&committee.schemes[index], proposal.clone()).unwrap();
    let votes = [sign(0), sign(2), sign(3)];
    let certificate =
        Finalization::from_finalizes(&committee.verifier, non_empty![@votes.iter()], &Sequential);
    let bytes = certificate.unwrap().encode();
    let head = format!("07ac02ab02{}00000000000000040d03", "d1".repeat(32));
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text.get(..head.len()), Some(head.as_str()));
    assert_eq!(Sha256::hash(&[&bytes]).to_string(), FROZEN);
    let expected = Finalized {
        epoch: values::Epoch(7),
        view: values::View(300),
        parent_view: values::View(299),
        digest: values::BlockDigest([0xd1; 32]),
    };
    assert_eq!(verify_certificate(&bytes, NAMESPACE, &of(&committee.keys)), Ok(expected));
}

#[test]
fn the_verifier_follows_zip_215_like_the_engine() {
    // A key of order 8: with R the neutral element and s = 0 every message verifies by ZIP-215, because both
    // sides are multiplied by the cofactor. Rules without the cofactor refuse seven of eight.
    let torsion: [u8; 32] =
        const_hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a").try_into().unwrap();
    let mut neutral = [0u8; 64];
    neutral[0] = 1;
    let mut committee = Committee::new(4);
    let outsider = committee.keys.iter().position(|key| *key > torsion).unwrap_or(4);
    committee.keys.insert(outsider, torsion);
    let with_seeds = |key: &[u8; 32]| ([0; 32], *key);
    let set = public_keys(&committee.keys.iter().map(with_seeds).collect::<Vec<_>>());
    committee.schemes = keys(4)
        .iter()
        .map(|(seed, _)| Scheme::signer(NAMESPACE, set.clone(), private_key(seed)).unwrap())
        .collect();
    committee.verifier = Scheme::verifier(NAMESPACE, set);
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..64 {
        let mut bytes = committee.certificate(4, &mut rng);
        let fields = layout(&bytes, 5);
        // Add the fifth signer with its forged signature.
        let before = (0..outsider).filter(|bit| bytes[fields.bitmap] >> bit & 1 == 1).count();
        bytes[fields.bitmap] |= 1 << outsider;
        bytes[fields.count] += 1;
        let at = fields.signatures + 64 * before;
        bytes.splice(at..at, neutral);
        let engine = committee.engine_accepts(&bytes, &mut rng);
        assert!(engine.is_some());
        assert_eq!(committee.ours(&bytes).ok(), engine);
    }
}

fn const_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_ledgers_quorum_is_the_engines_for_every_set_size() {
    for validators in VALIDATORS_MIN..=VALIDATORS_MAX {
        let ours = quorum(validators);
        assert_eq!(N3f1::quorum(validators) as usize, ours);
        // Epoch, view and parent 0, a digest, no signer, no signature.
        let mut bytes = vec![0; 3 + 32];
        bytes.extend_from_slice(&(validators as u64).to_be_bytes());
        bytes.resize(bytes.len() + validators.div_ceil(8) + 1, 0);
        let refusal = verify_certificate(&bytes, NAMESPACE, &vec![PublicKey([0; 32]); validators]);
        assert_eq!(refusal, Err(CertificateFault::BelowQuorum { signers: 0, quorum: ours }));
    }
}

#[test]
fn another_namespace_or_another_set_refuses() {
    let committee = Committee::new(4);
    let mut rng = StdRng::seed_from_u64(2);
    let bytes = committee.certificate(3, &mut rng);
    assert!(committee.ours(&bytes).is_ok());
    let refusal = verify_certificate(&bytes, b"another chain", &of(&committee.keys));
    assert!(matches!(refusal, Err(CertificateFault::Signature(_))), "{refusal:?}");
    let other: Vec<_> = keys(8).into_iter().skip(4).map(|(_, key)| key).collect();
    assert!(matches!(
        verify_certificate(&bytes, NAMESPACE, &of(&other)),
        Err(CertificateFault::Signature(_))
    ));
    let larger: Vec<_> = keys(5).into_iter().map(|(_, key)| key).collect();
    let size = CertificateFault::SetSize { found: 4, expected: 5 };
    assert_eq!(verify_certificate(&bytes, NAMESPACE, &of(&larger)), Err(size));
}
