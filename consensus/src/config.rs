//! What one engine needs to know, checked before anything starts.
//!
//! The engine itself asserts its settings, which would be a panic in a running node; everything it asserts is
//! checked here first and refused with a typed error that names the field.

use ledger::proofs::FinalityProof;
use ledger::values::quorum::{VALIDATORS_MAX, VALIDATORS_MIN};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest signing namespace in bytes; a network id and a chain id need far less.
pub const NAMESPACE_BYTES_MAX: usize = 256;
/// Longest partition name.
pub const PARTITION_BYTES_MAX: usize = 64;
/// Longest time any timing field may name: ten minutes.
pub const TIMING_MS_MAX: u64 = 600_000;
/// How long a view waits for its leader's proposal. An idle leader holds it for half of this; then come one hop, and a sync of a disk that is not
/// at its best.
pub const LEADER_TIMEOUT_MS: u64 = 1_000;
/// How long a view lasts before it is voted down. A proposal that came at the last moment has half a second left: two rounds of asking a
/// peer for what is missing (250 ms each), or two hops of 50 ms and two syncs of 0.2 s. One that came in time under load has 1.4 s. A leader that
/// dies between its vote and its block costs this much, and all that follows must fit below 2 s: the next leader's pace and three hops.
pub const CERTIFICATION_TIMEOUT_MS: u64 = 1_500;
const _: () = assert!(CERTIFICATION_TIMEOUT_MS >= LEADER_TIMEOUT_MS + 500);
/// How often a vote to skip a view is repeated. Frames to a bank that comes back are lost until its links are up: that is how long everybody
/// waits after that.
pub const RETRY_MS: u64 = 500;
/// Silence after which a validator's turns are skipped: two lost views in a row silence nobody.
pub const SKIP_MS: u64 = 3_000;
const _: () = assert!(SKIP_MS >= 2 * CERTIFICATION_TIMEOUT_MS);
/// How long one peer may take to answer a certificate request, before another is asked: an answer is small and at hand, so this is five round
/// trips over links of 50 ms; a bank that has just died costs it once.
pub const FETCH_TIMEOUT_MS: u64 = 500;
/// Views behind the finalized tip that memory and journal keep, at most.
pub const VIEW_RETENTION_MAX: u64 = 4_096;

/// Everything one engine needs: one chain in one epoch.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain; repeated in every [`FinalityProof`].
    pub chain: u32,
    /// Epoch of the validator set.
    pub epoch: u64,
    /// What every vote is signed under: network id and chain id. At most [`NAMESPACE_BYTES_MAX`] bytes.
    pub namespace: Vec<u8>,
    /// Consensus keys of the validators, strictly ascending by bytes; the index is the validator's name.
    pub validators: Vec<[u8; 32]>,
    /// Whether this node votes.
    pub role: Role,
    /// Where the epoch, or a node without a journal, begins.
    pub floor: Floor,
    /// Timeouts.
    pub timing: Timing,
    /// Prefix of the journal's name in the runtime's storage; ASCII letters, digits, `-`, `_`.
    ///
    /// Chain, epoch and key are appended, so one prefix per node is enough.
    pub partition: String,
}

/// Whether a node votes.
#[derive(Clone, Debug)]
pub enum Role {
    /// A validator with its key.
    Voter {
        /// Key whose public half is in the set.
        secret: ConsensusSecret,
    },
    /// Follows finalizations and never votes. It is asked `Validate` and `Available` like the others, never
    /// `Propose`; its answers stay with it.
    Observer {
        /// Own index in the set: a validator that may not vote yet. `None`: a node outside the set, which
        /// gets what its transport brings it and fetches nothing.
        index: Option<u16>,
    },
}

/// A consensus signing key: a 32-byte Ed25519 seed, erased from memory when dropped, never printed.
#[derive(Clone)]
pub struct ConsensusSecret(Zeroizing<[u8; 32]>);

impl ConsensusSecret {
    /// Takes over a seed.
    #[must_use]
    pub fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(seed)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ConsensusSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConsensusSecret(..)")
    }
}

/// Where an engine begins. A journal that is further along wins over a lower floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Floor {
    /// The first block of an epoch is a child of this digest: the genesis digest in epoch 0, the last digest
    /// of the previous epoch later.
    Genesis([u8; 32]),
    /// Start above a finalized view of this epoch: a wiped or long-absent node.
    Finalized(FinalityProof),
}

/// Timeouts of one engine. Order: skip > certification > leader.
///
/// Wall-clock timers drive these: a backward clock step delays them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a view waits for its leader's proposal. A dead leader costs this once per turn.
    pub leader_timeout_ms: u64,
    /// How long a view may last in all, availability included, before it is voted down.
    pub certification_timeout_ms: u64,
    /// Interval at which a vote to skip is repeated while the view lasts.
    pub retry_ms: u64,
    /// Silence after which a validator's turns are skipped at once.
    pub skip_ms: u64,
    /// How long one peer may take to answer a certificate request.
    pub fetch_timeout_ms: u64,
    /// Pause before an unanswered certificate request is repeated.
    pub fetch_retry_ms: u64,
    /// Views behind the finalized tip that memory and journal keep.
    pub view_retention: u64,
}

impl Default for Timing {
    /// For links of up to 50 ms; see the constants for why.
    fn default() -> Self {
        Self {
            leader_timeout_ms: LEADER_TIMEOUT_MS,
            certification_timeout_ms: CERTIFICATION_TIMEOUT_MS,
            retry_ms: RETRY_MS,
            skip_ms: SKIP_MS,
            fetch_timeout_ms: FETCH_TIMEOUT_MS,
            fetch_retry_ms: 100,
            view_retention: 256,
        }
    }
}

/// Why an engine cannot start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Too few or too many validators.
    #[error("validators: {0} given, {VALIDATORS_MIN} to {VALIDATORS_MAX} allowed")]
    ValidatorCount(usize),
    /// The key at this index is not above the one before it.
    #[error("validators: key {0} is not above the one before it")]
    ValidatorOrder(usize),
    /// The bytes at this index are no Ed25519 public key.
    #[error("validators: key {0} is not a point on the curve")]
    ValidatorKey(usize),
    /// The own key is not in the set.
    #[error("role: own consensus key is not in the validator set")]
    NotAValidator,
    /// The observer's index lies outside the set.
    #[error("role: index {0} lies outside the validator set")]
    ObserverIndex(u16),
    /// The namespace is empty or too long.
    #[error("namespace: {0} bytes, 1 to {NAMESPACE_BYTES_MAX} allowed")]
    Namespace(usize),
    /// The partition is empty, too long, or has other characters than letters, digits, `-`, `_`.
    #[error("partition: must be 1 to {PARTITION_BYTES_MAX} letters, digits, '-' or '_'")]
    Partition,
    /// A timing field is out of its range.
    #[error("timing.{field}: {value}, {min} to {max} allowed")]
    TimingRange {
        /// The field.
        field: &'static str,
        /// What it was set to.
        value: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
    },
    /// A timing field must exceed another one.
    #[error("timing.{field}: {value} must be above timing.{above} = {bound}")]
    TimingOrder {
        /// The field that is too small.
        field: &'static str,
        /// What it was set to.
        value: u64,
        /// The field that it must exceed.
        above: &'static str,
        /// What that one was set to.
        bound: u64,
    },
    /// The floor's certificate cannot be decoded for this validator set.
    #[error("floor: certificate cannot be decoded")]
    FloorUndecodable,
    /// The floor's certificate is not signed by a quorum of this validator set.
    #[error("floor: certificate is not signed by a quorum of this set")]
    FloorUnproven,
    /// The floor's plain fields differ from its certificate.
    #[error("floor: fields differ from the certificate")]
    FloorFields,
    /// The floor is a finalization of another epoch or chain, or of view 0.
    #[error("floor: finalization of chain {chain}, epoch {epoch}, view {view} cannot start this engine")]
    FloorPlace {
        /// Chain of the floor.
        chain: u32,
        /// Epoch of the floor.
        epoch: u64,
        /// View of the floor.
        view: u64,
    },
}

impl Config {
    /// Checks everything that needs no cryptography.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let count = self.validators.len();
        if !(VALIDATORS_MIN..=VALIDATORS_MAX).contains(&count) {
            return Err(ConfigError::ValidatorCount(count));
        }
        for (index, pair) in self.validators.windows(2).enumerate() {
            if let [lower, upper] = pair
                && lower >= upper
            {
                return Err(ConfigError::ValidatorOrder(index + 1));
            }
        }
        if let Role::Observer { index: Some(index) } = self.role
            && usize::from(index) >= count
        {
            return Err(ConfigError::ObserverIndex(index));
        }
        if !(1..=NAMESPACE_BYTES_MAX).contains(&self.namespace.len()) {
            return Err(ConfigError::Namespace(self.namespace.len()));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=PARTITION_BYTES_MAX).contains(&self.partition.len()) || !self.partition.bytes().all(allowed)
        {
            return Err(ConfigError::Partition);
        }
        if let Floor::Finalized(proof) = &self.floor
            && (proof.chain.0 != self.chain || proof.epoch.0 != self.epoch || proof.view.0 == 0)
        {
            let (chain, epoch, view) = (proof.chain.0, proof.epoch.0, proof.view.0);
            return Err(ConfigError::FloorPlace { chain, epoch, view });
        }
        self.timing.validate()
    }
}

impl Timing {
    /// Checks ranges and orderings.
    ///
    /// # Errors
    /// The first field that is out of range or order.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("leader_timeout_ms", self.leader_timeout_ms, 1, TIMING_MS_MAX),
            ("certification_timeout_ms", self.certification_timeout_ms, 1, TIMING_MS_MAX),
            ("retry_ms", self.retry_ms, 1, TIMING_MS_MAX),
            ("skip_ms", self.skip_ms, 1, TIMING_MS_MAX),
            ("fetch_timeout_ms", self.fetch_timeout_ms, 1, TIMING_MS_MAX),
            ("fetch_retry_ms", self.fetch_retry_ms, 1, TIMING_MS_MAX),
            ("view_retention", self.view_retention, 1, VIEW_RETENTION_MAX),
        ];
        for (field, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::TimingRange { field, value, min, max });
            }
        }
        let leader = ("leader_timeout_ms", self.leader_timeout_ms);
        let certification = ("certification_timeout_ms", self.certification_timeout_ms);
        let skip = ("skip_ms", self.skip_ms);
        let orders = [(certification, leader), (skip, certification), (skip, ("retry_ms", self.retry_ms))];
        for ((field, value), (above, bound)) in orders {
            if value <= bound {
                return Err(ConfigError::TimingOrder { field, value, above, bound });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::values::{BlockDigest, ChainId, Epoch, View};

    fn good() -> Config {
        Config {
            chain: 1,
            epoch: 0,
            namespace: b"net-1".to_vec(),
            validators: (1u8..=4).map(|byte| [byte; 32]).collect(),
            role: Role::Observer { index: None },
            floor: Floor::Genesis([0; 32]),
            timing: Timing::default(),
            partition: "consensus".into(),
        }
    }

    /// Changes the good configuration and expects this refusal.
    fn refused(change: impl FnOnce(&mut Config), error: &ConfigError) {
        let mut config = good();
        change(&mut config);
        assert_eq!(config.validate().as_ref(), Err(error));
    }

    #[test]
    fn every_field_is_checked_and_named() {
        assert_eq!(good().validate(), Ok(()));
        refused(|c| c.validators.truncate(3), &ConfigError::ValidatorCount(3));
        refused(|c| c.validators.swap(1, 2), &ConfigError::ValidatorOrder(2));
        refused(|c| c.validators[2] = [2; 32], &ConfigError::ValidatorOrder(2));
        refused(|c| c.role = Role::Observer { index: Some(4) }, &ConfigError::ObserverIndex(4));
        refused(|c| c.namespace.clear(), &ConfigError::Namespace(0));
        refused(|c| c.namespace = vec![0; 257], &ConfigError::Namespace(257));
        refused(|c| c.partition = "a/b".into(), &ConfigError::Partition);
        refused(|c| c.partition.clear(), &ConfigError::Partition);
        let proof = FinalityProof {
            chain: ChainId(1),
            epoch: Epoch(3),
            view: View(9),
            parent_view: View(8),
            digest: BlockDigest([0; 32]),
            bytes: Vec::new(),
        };
        let place = ConfigError::FloorPlace { chain: 1, epoch: 3, view: 9 };
        refused(|c| c.floor = Floor::Finalized(proof), &place);
    }

    #[test]
    fn timeouts_must_stand_in_order() {
        let order = |field, value, above, bound| ConfigError::TimingOrder { field, value, above, bound };
        refused(
            |c| c.timing.certification_timeout_ms = 1_000,
            &order("certification_timeout_ms", 1_000, "leader_timeout_ms", 1_000),
        );
        refused(|c| c.timing.skip_ms = 1_500, &order("skip_ms", 1_500, "certification_timeout_ms", 1_500));
        refused(|c| c.timing.retry_ms = 3_000, &order("skip_ms", 3_000, "retry_ms", 3_000));
        let range = ConfigError::TimingRange { field: "retry_ms", value: 0, min: 1, max: TIMING_MS_MAX };
        refused(|c| c.timing.retry_ms = 0, &range);
    }

    #[test]
    fn the_secret_is_not_printed() {
        let secret = ConsensusSecret::new(Zeroizing::new([0xab; 32]));
        assert_eq!(format!("{:?}", Role::Voter { secret }), "Voter { secret: ConsensusSecret(..) }");
    }
}
