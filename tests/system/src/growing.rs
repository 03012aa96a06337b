//! Doubling the shards of a currency of processes, step by step as operators do it: keys and offers by the program, proposals that all
//! banks approve, a restart of one bank after the other, the children's reports, the doubling.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a harness fails loudly")]

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api::transaction::WaitFor;
use genesis::governance::growth::{growth, homes, next_chain};
use genesis::governance::{Draft, Terms};
use ledger::proofs::RegistryProof;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{Growth, Operation, Registry};
use ledger::values::{Canonical as _, ChainId, Currency, TimestampMs};

use crate::{Cluster, Payer};

/// Longest wait for one step.
const WAIT: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The bank that proposals are made and carried by.
const PROPOSER: usize = 1;

/// A chain and the child that is to take half of its wallets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The chain.
    pub parent: ChainId,
    /// Its child.
    pub child: ChainId,
}

/// The root chain's registry at a bank, proved.
///
/// # Panics
/// When the bank does not show it in time, or it is not proved: this is a test.
pub async fn registry(cluster: &Cluster, bank: usize) -> Registry {
    let (client, end) = (cluster.client(bank), Instant::now() + WAIT);
    loop {
        match client.registry(ROOT_CHAIN).await {
            Ok(bytes) => {
                let proof = RegistryProof::decode(&bytes).unwrap();
                proof.verify(&cluster.localnet.spec).unwrap();
                return proof.registry;
            }
            Err(fault) => assert!(Instant::now() < end, "bank {bank} shows no registry: {fault}"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Adds a child to every chain of a currency, has every bank host them, one bank after the other, and waits until all have reported that
/// they run.
///
/// # Panics
/// When a step is refused or takes too long: this is a test.
pub async fn add_children(cluster: &mut Cluster, currency: Currency, jiaozi: &Path) -> Vec<Pair> {
    let (draft, pairs) = draft_children(cluster, currency, jiaozi).await;
    govern(cluster, draft, WaitFor::Certified).await;
    let banks = 0..cluster.nodes();
    host_children(cluster, banks.clone(), &pairs, jiaozi).await;
    for bank in banks {
        cluster.wait_ready(bank, WAIT).await;
    }
    wait_growth(cluster, PROPOSER, &pairs, Growth::Ready).await;
    pairs
}

/// The change that adds a child to every chain of a currency, with the offers of all banks.
///
/// # Panics
/// When a step is refused or takes too long: this is a test.
pub async fn draft_children(cluster: &Cluster, currency: Currency, jiaozi: &Path) -> (Draft, Vec<Pair>) {
    let known = registry(cluster, PROPOSER).await;
    let (genesis, mut draft, mut pairs) =
        (cluster.localnet.spec.hash(), Draft::new(known.clone()), Vec::new());
    for parent in homes(&known, currency).map(|record| record.chain) {
        let child = next_chain(draft.registry());
        let offers: Vec<_> =
            (0..cluster.nodes()).map(|bank| cluster.offer_chain(bank, child, jiaozi)).collect();
        assert_eq!(draft.add_chain(genesis, parent, &offers).unwrap(), child);
        pairs.push(Pair { parent, child });
    }
    (draft, pairs)
}

/// Has these banks host children that were added, one bank after the other: the next one when the last one serves again.
///
/// # Panics
/// When a step is refused or takes too long: this is a test.
pub async fn host_children(cluster: &mut Cluster, banks: Range<usize>, pairs: &[Pair], jiaozi: &Path) {
    for bank in banks {
        let served: Vec<u32> =
            cluster.client(bank).ready().await.unwrap().chains.iter().map(|chain| chain.chain).collect();
        for pair in pairs {
            wait_origin(cluster, bank, pair.child).await;
            cluster.host_chain(bank, pair.child, jiaozi);
        }
        cluster.restart(bank, jiaozi).await;
        wait_serving(cluster, bank, &served).await;
    }
}

/// Doubles the shards of a currency whose children are ready; the wallets are on their way when this returns.
///
/// # Panics
/// When it is refused: this is a test.
pub async fn double(cluster: &Cluster, currency: Currency) {
    let mut draft = Draft::new(registry(cluster, PROPOSER).await);
    draft.reshard(currency).unwrap();
    govern(cluster, draft, WaitFor::Final).await;
}

/// Waits until all children are as far, as the root chain has heard.
///
/// # Panics
/// When they are not in time: this is a test.
pub async fn wait_growth(cluster: &Cluster, bank: usize, pairs: &[Pair], wanted: Growth) {
    let end = Instant::now() + WAIT;
    loop {
        let known = registry(cluster, bank).await;
        let is_there =
            |pair: &Pair| known.chain(pair.child).and_then(growth).is_some_and(|growth| growth >= wanted);
        if pairs.iter().all(is_there) {
            return;
        }
        let births: Vec<_> =
            pairs.iter().map(|pair| known.chain(pair.child).map(|record| record.birth)).collect();
        assert!(Instant::now() < end, "not {wanted:?} in time: {births:?}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// All banks approve; the second one's own wallet carries it to the root chain.
///
/// # Panics
/// When it is refused: this is a test.
pub async fn govern(cluster: &Cluster, draft: Draft, what: WaitFor) {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let valid_until = TimestampMs(u64::try_from(now_ms).unwrap() + 300_000);
    let terms = Terms { reason: "twice as many shards".to_owned(), valid_until, is_urgent: false };
    let proposal = draft.proposal(terms).unwrap();
    let banks = cluster.localnet.banks.iter().map(|bank| &bank.operator);
    let approve = |operator: &genesis::dev::OperatorSecrets| {
        proposal.approve(cluster.localnet.spec.hash(), operator.id, &operator.operator_key)
    };
    let approvals = banks.map(approve).collect();
    let operator = &cluster.localnet.banks[PROPOSER].operator;
    let currency = cluster.localnet.spec.chains[0].currency;
    let carrier = Payer::operator_in(currency, &cluster.localnet, operator.id, &operator.wallet_key);
    let client = cluster.client(PROPOSER);
    let lanes = client.wallet(carrier.wallet, Some(ROOT_CHAIN)).await.unwrap().lanes;
    let govern = carrier.sign(lanes[0].highest + 1, Operation::Govern { proposal, approvals });
    client.submit(&govern).await.unwrap();
    let status = client.wait_for(govern.id(carrier.genesis), what, WAIT).await.unwrap();
    assert!(status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied), "{status:?}");
}

/// Waits until a bank can show what a chain begins with: else the program refuses to host it.
async fn wait_origin(cluster: &Cluster, bank: usize, chain: ChainId) {
    let (client, end) = (cluster.client(bank), Instant::now() + WAIT);
    while let Err(fault) = client.origin(chain).await {
        assert!(Instant::now() < end, "bank {bank} does not know of chain {chain}: {fault}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits until a bank that was started serves and votes on these chains; others of it may wait for other banks.
async fn wait_serving(cluster: &Cluster, bank: usize, chains: &[u32]) {
    let (client, end) = (cluster.client(bank), Instant::now() + WAIT);
    loop {
        let seen = client.ready().await.map(|ready| ready.chains).unwrap_or_default();
        let serves =
            |chain: &u32| seen.iter().any(|ready| ready.chain == *chain && ready.is_ready && ready.is_voting);
        if chains.iter().all(serves) {
            return;
        }
        assert!(Instant::now() < end, "bank {bank} does not serve again: {seen:?}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
