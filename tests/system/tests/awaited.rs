//! A bank that names a chain in its configuration before operators have added it: the program refuses to host it; written by hand, the chain
//! waits and the node's others go on; once its origin is there the node begins it by itself. And banks that forget to host a chain say so.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use api::transaction::WaitFor;
use api::{ChainReady, NotReady, Ready};
use ledger::records::Growth;
use ledger::values::{ChainId, Currency};
use system::growing::{draft_children, govern, host_children, wait_growth};
use system::{Cluster, jiaozi_binary};

const WAIT: Duration = Duration::from_secs(120);
const CNY: Currency = Currency(*b"CNY");
const BANKS: usize = 4;
/// The bank that is early; its turn to start anew comes first.
const EARLY: usize = 0;
/// The first child of a network of one chain.
const CHILD: ChainId = ChainId(1);

/// Waits until a bank's answer about itself is as wanted.
async fn wait_for(cluster: &Cluster, bank: usize, is_so: impl Fn(&Ready) -> bool) -> Ready {
    let (client, end) = (cluster.client(bank), Instant::now() + WAIT);
    loop {
        let ready = client.ready().await;
        if let Ok(ready) = &ready
            && is_so(ready)
        {
            return ready.clone();
        }
        assert!(Instant::now() < end, "bank {bank}: {ready:?}\n{}", cluster.log_tail(bank));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn on(ready: &Ready, chain: ChainId) -> Option<&ChainReady> {
    ready.chains.iter().find(|shown| shown.chain == chain.0)
}

fn check(cluster: &Cluster, bank: usize) -> Output {
    let config = cluster.data_directory(bank).with_file_name("node.toml");
    Command::new(jiaozi_binary()).args(["node", "check", "--config"]).arg(config).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_cannot_begin_waits_and_begins_by_itself_and_whoever_forgets_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let jiaozi = jiaozi_binary();
    let mut cluster = Cluster::create(directory.path(), BANKS);
    cluster.spawn_ready(0..BANKS).await;
    let (draft, pairs) = draft_children(&cluster, CNY, &jiaozi).await;
    assert_eq!(pairs.iter().map(|pair| pair.child).collect::<Vec<_>>(), [CHILD]);
    let said = cluster.refused_to_host(EARLY, CHILD, &jiaozi);
    assert!(said.contains("origin_not_yet") && said.contains("it comes from chain 0"), "{said}");

    cluster.name_chain(EARLY, CHILD);
    cluster.restart(EARLY, &jiaozi).await;
    let ready = wait_for(&cluster, EARLY, |ready| ready.is_ready).await;
    assert_eq!(on(&ready, CHILD).unwrap().reason, Some(NotReady::WaitingForOrigin));
    assert!(ready.not_hosted.is_empty(), "it is not known yet");
    let checked = check(&cluster, EARLY);
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success() && text.contains("its origin could not be looked up"), "{checked:?}");

    govern(&cluster, draft, WaitFor::Certified).await;
    let waits = |ready: &Ready| {
        on(ready, CHILD).is_some_and(|chain| chain.reason == Some(NotReady::WaitingForValidators))
    };
    let ready = wait_for(&cluster, EARLY, |ready| ready.is_ready && waits(ready)).await;
    assert_eq!(on(&ready, CHILD).unwrap().validators, 4);
    for bank in 1..BANKS {
        let ready = wait_for(&cluster, bank, |ready| ready.not_hosted == [CHILD.0]).await;
        assert!(ready.is_ready, "its own chains are well");
        let end = Instant::now() + WAIT;
        while !cluster.log_tail(bank).contains("its vote is missing there") {
            assert!(Instant::now() < end, "{}", cluster.log_tail(bank));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    host_children(&mut cluster, 1..BANKS, &pairs, &jiaozi).await;
    wait_growth(&cluster, 1, &pairs, Growth::Ready).await;
    for bank in 0..BANKS {
        let runs = |ready: &Ready| on(ready, CHILD).is_some_and(|chain| chain.is_ready && chain.is_voting);
        let ready = wait_for(&cluster, bank, |ready| ready.is_ready && runs(ready)).await;
        assert!(ready.not_hosted.is_empty());
        assert!(check(&cluster, bank).status.success(), "bank {bank} runs the chain");
    }
    cluster.terminate_all().await;
}
