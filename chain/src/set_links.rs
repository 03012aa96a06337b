//! Changes of set that were read before: every proof carries all of them, and reading one decodes registries.
//!
//! - Only a change whose result its last block claims is kept. A quorum has certified that, so no rollback makes it another, and
//!   an epoch that begins adds one more.
//! - Bounded: the oldest [`LINKS_KEPT_MAX`]. Later ones are read anew for each proof.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::proofs::SetLink;
use ledger::proofs::sets::SET_LINKS_MAX;
use ledger::values::{Epoch, GenesisHash};

/// Changes of set kept of a chain: some 2 KB each with 10 validators, 15 KB with 100.
pub const LINKS_KEPT_MAX: usize = 1_024;
/// As many as a set chain has.
const _: () = assert!(LINKS_KEPT_MAX == SET_LINKS_MAX);

/// The changes of set of one chain, from epoch 1 on, as far as they were asked for.
#[derive(Debug)]
pub struct SetLinks {
    genesis: GenesisHash,
    links: Mutex<Vec<SetLink>>,
}

impl SetLinks {
    /// None yet, of a chain of this network.
    #[must_use]
    pub const fn new(genesis: GenesisHash) -> Self {
        Self { genesis, links: Mutex::new(Vec::new()) }
    }

    /// The first changes, at most up to the one that leads to `epoch`.
    pub(crate) fn up_to(&self, epoch: Epoch) -> Vec<SetLink> {
        let known = self.lock();
        let count = usize::try_from(epoch.0).unwrap_or(usize::MAX).min(known.len());
        known.iter().take(count).cloned().collect()
    }

    /// Keeps what is new of the changes from epoch 1 on, up to the first that is not certified.
    pub(crate) fn keep(&self, links: &[SetLink]) {
        let mut known = self.lock();
        let room = LINKS_KEPT_MAX.saturating_sub(known.len());
        let fresh = links.iter().skip(known.len()).take(room);
        let fresh: Vec<SetLink> = fresh.take_while(|link| self.is_certified(link)).cloned().collect();
        known.extend(fresh);
    }

    /// Whether the block on whose certificate the link stands claims just this result, and that names the set. A node that computed
    /// something else has it otherwise on disk until it takes that back.
    fn is_certified(&self, link: &SetLink) -> bool {
        let (result, header) = (&link.certified.result, &link.certified.header);
        let is_claimed =
            header.claim.height == result.height && header.claim.result == result.hash(self.genesis);
        is_claimed && result.next_set == link.set.set_hash(result.chain)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SetLink>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::proofs::{CertifiedResult, FinalityProof};
    use ledger::records::{BlockBody, BlockHeader, Claim, Registry};
    use ledger::state::ChainState;
    use ledger::values::{BlockDigest, ChainId, FeeRate, Height, TimestampMs, ValidatorIndex, View};

    use super::*;

    const CHAIN: ChainId = ChainId(0);

    /// The genesis hash, and a change to each of the epochs 1 to `last`.
    fn links(last: u64) -> (GenesisHash, Vec<SetLink>) {
        let spec = localnet(&LocalnetPlan::new(4), &[1; 32]).unwrap().spec;
        let genesis = spec.hash();
        let (_, _, first) = ChainState::genesis(&spec, CHAIN).unwrap();
        let set = Registry::from_genesis(&spec).newest_epoch(CHAIN).unwrap().clone();
        let link = |epoch: u64| {
            let mut set = set.clone();
            (set.epoch, set.first_height) = (Epoch(epoch), Height(100 * epoch + 1));
            let height = Height(100 * epoch - 1);
            let mut result = first.clone();
            (result.height, result.next_set) = (height, set.set_hash(CHAIN));
            let (view, body) = (View(height.0 + 1), BlockBody::default().hash());
            let header = BlockHeader {
                chain: CHAIN,
                epoch: Epoch(epoch - 1),
                view,
                height: height.next(),
                parent: BlockDigest([1; 32]),
                timestamp: TimestampMs(1),
                proposer: ValidatorIndex(0),
                weight: 0,
                base_fee: FeeRate::ZERO,
                claim: Claim { height, result: result.hash(genesis) },
                body,
            };
            let digest = header.digest(genesis);
            let (epoch, parent_view) = (Epoch(epoch - 1), View(height.0));
            let finality =
                FinalityProof { chain: CHAIN, epoch, view, parent_view, digest, bytes: vec![1; 100] };
            SetLink { certified: CertifiedResult { result, links: Vec::new(), header, finality }, set }
        };
        (genesis, (1..=last).map(link).collect())
    }

    #[test]
    fn what_is_certified_is_kept_in_order_and_given_up_to_an_epoch() {
        let (genesis, links) = links(5);
        let known = SetLinks::new(genesis);
        assert!(known.up_to(Epoch(9)).is_empty());
        known.keep(&links[..2]);
        // Somebody else has read as many meanwhile, or fewer.
        known.keep(&links[..1]);
        known.keep(&links[..4]);
        assert_eq!(known.up_to(Epoch(9)), links[..4]);
        assert_eq!(known.up_to(Epoch(3)), links[..3]);
        assert!(known.up_to(Epoch(0)).is_empty());
    }

    #[test]
    fn what_a_diverged_node_computed_is_not_kept() {
        let (genesis, links) = links(3);
        for change in [
            |link: &mut SetLink| link.certified.result.executed += 1,
            |link: &mut SetLink| link.certified.header.claim.height = Height(1),
            |link: &mut SetLink| link.set.validators.truncate(1),
        ] {
            let mut wrong = links.clone();
            change(&mut wrong[1]);
            let known = SetLinks::new(genesis);
            known.keep(&wrong);
            assert_eq!(known.up_to(Epoch(9)), links[..1], "nothing above it either");
            known.keep(&links);
            assert_eq!(known.up_to(Epoch(9)), links, "taken back and executed once more");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (genesis, two) = links(2);
        let known = SetLinks::new(genesis);
        known.keep(&vec![two[0].clone(); LINKS_KEPT_MAX + 1]);
        assert_eq!(known.up_to(Epoch(u64::MAX)).len(), LINKS_KEPT_MAX);
    }
}
