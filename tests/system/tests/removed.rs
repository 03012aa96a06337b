//! A child that never starts, over real processes: two of four banks host it, so no quorum ever runs it. It is given up while its hosts
//! still run it, payments go on, its hosts start again without it, and another child of the same chain takes its place.

use std::time::Duration;

use api::transaction::WaitFor;
use genesis::dev::LocalnetPlan;
use genesis::governance::Draft;
use genesis::governance::growth::growth;
use ledger::records::{Growth, Operation};
use ledger::values::{Amount, ChainId, Currency};
use system::growing::{draft_children, govern, host_children, registry, wait_growth};
use system::{Cluster, Payer, jiaozi_binary};

const WAIT: Duration = Duration::from_secs(120);
const CNY: Currency = Currency(*b"CNY");
const BANKS: usize = 4;
/// Banks that host the child that never starts: one too few.
const HOSTS: usize = 2;

/// Issues money on chain 0; it has a certified outcome when this returns.
async fn issue(cluster: &Cluster, sequence: u64) {
    let central = &cluster.localnet.central_bank;
    let central = Payer::operator_in(CNY, &cluster.localnet, central.id, &central.wallet_key);
    let issue =
        central.sign(sequence, Operation::Issue { to: central.wallet, amount: Amount::from_fen(100) });
    let client = cluster.client(BANKS - 1);
    client.submit(&issue).await.unwrap();
    let status = client.wait_certified(issue.id(central.genesis), WAIT).await.unwrap();
    assert!(status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_never_starts_is_given_up_and_another_takes_its_place() {
    let (directory, jiaozi) = (tempfile::tempdir().unwrap(), jiaozi_binary());
    let mut cluster = Cluster::create_of(directory.path(), LocalnetPlan::new(BANKS), |_| vec![0]);
    cluster.spawn_ready(0..BANKS).await;

    let (draft, dead) = draft_children(&cluster, CNY, &jiaozi).await;
    govern(&cluster, draft, WaitFor::Certified).await;
    host_children(&mut cluster, 0..HOSTS, &dead, &jiaozi).await;
    issue(&cluster, 1).await;
    let known = registry(&cluster, 0).await;
    assert_eq!(known.chain(dead[0].child).and_then(growth), Some(Growth::Added), "two of four are no quorum");

    let mut draft = Draft::new(known);
    draft.remove_chain(dead[0].child).unwrap();
    govern(&cluster, draft, WaitFor::Certified).await;
    for bank in 0..BANKS {
        wait_growth(&cluster, bank, &dead, Growth::Removed).await;
    }
    issue(&cluster, 2).await;
    for bank in 0..HOSTS {
        cluster.drop_chain(bank, dead[0].child);
        cluster.restart(bank, &jiaozi).await;
        cluster.wait_ready(bank, WAIT).await;
    }

    let (draft, next) = draft_children(&cluster, CNY, &jiaozi).await;
    assert_eq!((next[0].parent, next[0].child), (ChainId(0), ChainId(2)), "an id is never used again");
    govern(&cluster, draft, WaitFor::Certified).await;
    host_children(&mut cluster, 0..BANKS, &next, &jiaozi).await;
    wait_growth(&cluster, 0, &next, Growth::Ready).await;
    for bank in 0..BANKS {
        cluster.wait_ready(bank, WAIT).await;
    }
    issue(&cluster, 3).await;
    cluster.terminate_all().await;
}
