//! Engines on the production runtime: a thread and a journal directory each, applications on another runtime.

mod support;

use bytes::Bytes;
use commonware_cryptography::{Hasher as _, Sha256};
use consensus::runtime::thread::{Exit, RuntimeThread, run_tokio};
use consensus::{
    Channel, ConsensusSecret, Engine, InboundSender, JournalDamage, Request, Requests, Role, Started,
    Transport,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::cluster::config;
use support::keys;
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

/// Frames go straight into the receiver's lane.
#[derive(Clone)]
struct Direct {
    own: u16,
    inbound: Arc<Mutex<BTreeMap<u16, InboundSender>>>,
}

impl Transport for Direct {
    fn try_send(&self, to: u16, channel: Channel, frame: Bytes) -> bool {
        let inbound = self.inbound.lock().unwrap().get(&to).cloned();
        inbound.is_some_and(|inbound| inbound.try_deliver(self.own, channel, frame).is_ok())
    }

    fn block(&self, validator: u16, _duration_ms: u64) {
        panic!("validator {validator} is honest");
    }
}

/// Starts an engine on its thread; its other ends come back through a channel.
fn start(directory: &Path, link: Direct) -> (RuntimeThread<()>, Requests) {
    let keys = keys(4);
    let own = link.own;
    let secret = ConsensusSecret::new(Zeroizing::new(keys[usize::from(own)].0));
    let config = config(&keys, Role::Voter { secret });
    let lanes = Arc::clone(&link.inbound);
    let (ready, started) = oneshot::channel();
    let thread = run_tokio(directory, 1, move |context| async move {
        let Started { mut engine, requests, inbound } = Engine::start(context, config, link).unwrap();
        assert!(ready.send((requests, inbound)).is_ok());
        engine.ended().await;
    });
    let (requests, inbound) = started.blocking_recv().unwrap();
    lanes.lock().unwrap().insert(own, inbound);
    (thread.unwrap(), requests)
}

/// Every digest is valid and held; reports the highest finalized view.
async fn application(mut requests: Requests, tip: watch::Sender<u64>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Propose { slot, parent, reply } => {
                reply.send(Sha256::hash(&[&parent, &slot.view.to_be_bytes()]).0);
            }
            Request::Validate { reply, .. } | Request::Available { reply, .. } => {
                reply.send(true);
            }
            Request::Finalized(proof) => drop(tip.send_if_modified(|tip| {
                let higher = proof.view.0 > *tip;
                *tip = proof.view.0.max(*tip);
                higher
            })),
            Request::Disseminate { .. } => {}
            Request::Evidence(evidence) => panic!("{evidence:?}"),
        }
    }
}

/// Bytes of a page in a journal's file, and those of them that hold data.
const PAGE: (usize, usize) = (4_096, 4_084);

/// The newest section that holds something.
fn newest_section(directory: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let partition = folders.find(|path| path.is_dir()).expect("a partition");
    let sections = std::fs::read_dir(partition).unwrap().map(Result::unwrap);
    // The first page of a file is its header.
    let filled = sections.filter(|section| section.metadata().unwrap().len() > PAGE.0 as u64);
    filled.map(|section| section.path()).max().expect("a section with votes")
}

/// The library takes each of these for a torn write, forgets what the last page holds, and goes on.
fn every_changed_byte_of_the_last_page_is_seen(directory: &Path) {
    assert_eq!(JournalDamage::find(directory).unwrap(), None, "stopped, not damaged");
    let path = newest_section(directory);
    let view = u64::from_str_radix(path.file_name().unwrap().to_str().unwrap(), 16).unwrap();
    let sound = std::fs::read(&path).unwrap();
    let page = sound.len() - PAGE.0;
    let record = page + PAGE.1;
    let length = |at: usize| usize::from(u16::from_be_bytes([sound[at], sound[at + 1]]));
    let covered = length(record).max(length(record + 6));
    assert!(covered > 64, "a vote is in it");
    for at in (page..page + covered).step_by(7).chain(record..sound.len()) {
        let mut changed = sound.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(&path, &changed).unwrap();
        let damage = JournalDamage::find(directory).unwrap();
        let damage = damage.unwrap_or_else(|| panic!("byte {} of the page", at - page));
        assert_eq!((&damage.file, damage.at_byte), (&path, page as u64), "byte {}", at - page);
        assert!(damage.newest_view >= view);
    }
    std::fs::write(&path, &sound).unwrap();
}

#[test]
fn four_threads_agree_and_one_restarts_from_its_journal() {
    let node = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let inbound = Arc::new(Mutex::new(BTreeMap::new()));
    let launch = |own: u16| {
        let link = Direct { own, inbound: Arc::clone(&inbound) };
        let (thread, requests) = start(&directory.path().join(own.to_string()), link);
        let (tip, seen) = watch::channel(0);
        node.spawn(application(requests, tip));
        (thread, seen)
    };
    let mut nodes: Vec<_> = (0..4).map(launch).collect();
    let reach = |seen: &watch::Receiver<u64>, view: u64| {
        let mut seen = seen.clone();
        let wait = async move { seen.wait_for(|tip| *tip >= view).await.map(|tip| *tip) };
        let reached = node.block_on(async { tokio::time::timeout(Duration::from_secs(60), wait).await });
        reached.expect("no progress for a minute").unwrap()
    };
    for (_, seen) in &nodes {
        reach(seen, 20);
    }
    let (thread, _) = nodes.remove(3);
    assert_eq!(thread.stop_and_join(), Some(Exit::Stopped));
    every_changed_byte_of_the_last_page_is_seen(&directory.path().join("3"));
    let tip = reach(&nodes[0].1, 0);
    let (thread, seen) = launch(3);
    assert!(reach(&seen, tip + 10) >= tip + 10, "the restarted node follows again");
    nodes.push((thread, seen));
    for (thread, _) in nodes {
        assert_eq!(thread.stop_and_join(), Some(Exit::Stopped));
    }
}
