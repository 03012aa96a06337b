//! A disk that runs full: the bank stops voting at its reserve, says why, and resumes by itself when there is room.
//!
//! The bank's process gets a small tmpfs in a mount namespace of its own, so nothing of it outlives the process. Where that
//! is not allowed the test steps aside, and fails unless `tests/skipped.md` names it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use api::ClientError;
use api::health::{ChainReady, NotReady};
use ledger::records::{Operation, Payment};
use ledger::values::Amount;
use system::{Cluster, Payer, jiaozi_binary};

const WAIT: Duration = Duration::from_secs(40);
const TEST: &str = "disk::a_full_disk_stops_voting_and_room_resumes_it";
/// Room for the databases and their write-ahead logs above the reserve of the harness (64 MiB, the least allowed).
const DISK: &str = "320m";
/// Below the reserve, and enough for what the databases write meanwhile.
const LEFT_BYTES: u64 = 50 << 20;
/// Below half the reserve.
const LEFT_FULL_BYTES: u64 = 20 << 20;
/// Payments of a round.
const PAYMENTS: u64 = 20;

/// A program that puts `data` on a disk of its own, with what is in it, and becomes `jiaozi` with the arguments given.
fn on_small_disk(folder: &Path, data: &Path) -> PathBuf {
    let path = folder.join("on-small-disk.sh");
    let (data, jiaozi) = (data.display(), jiaozi_binary());
    let inner = format!(
        "cp -a {data} {data}.first && mount -t tmpfs -o size={DISK} tmpfs {data} && cp -a {data}.first/. {data}/ \
         && exec {} \"$@\"",
        jiaozi.display()
    );
    std::fs::write(&path, format!("#!/bin/sh\nexec unshare -rm /bin/sh -c '{inner}' sh \"$@\"\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn can_mount(folder: &Path) -> bool {
    let mount = format!("mount -t tmpfs -o size=1m tmpfs {}", folder.display());
    Command::new("unshare")
        .args(["-rm", "/bin/sh", "-c", &mount])
        .output()
        .is_ok_and(|output| output.status.success())
}

async fn wait_for(cluster: &Cluster, what: &str, is_so: impl Fn(&ChainReady) -> bool) -> ChainReady {
    let end = Instant::now() + WAIT;
    loop {
        let ready = cluster.client(0).ready().await.ok().map(|mut ready| ready.chains.remove(0));
        match ready {
            Some(ready) if is_so(&ready) => return ready,
            other => assert!(Instant::now() < end, "never {what}: {other:?}\n{}", log(cluster)),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn log(cluster: &Cluster) -> String {
    let text = std::fs::read_to_string(cluster.directory.join("bank-0/node.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_voting_and_room_resumes_it() {
    let directory = tempfile::tempdir().unwrap();
    if !can_mount(directory.path()) {
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skipped.md");
        assert!(
            std::fs::read_to_string(list).unwrap().contains(TEST),
            "{TEST} cannot run here and is not listed"
        );
        println!("skipped: no mount namespaces here; tests/skipped.md says so");
        return;
    }
    let mut cluster = Cluster::create(directory.path(), 4);
    let small = on_small_disk(directory.path(), &cluster.data_directory(0));
    cluster.spawn(0, &small);
    for index in 1..4 {
        cluster.spawn(index, &jiaozi_binary());
    }
    for index in 0..4 {
        cluster.wait_ready(index, WAIT).await;
    }
    let (central, bank) = (&cluster.localnet.central_bank, &cluster.localnet.banks[1].operator);
    let central = Payer::operator(&cluster.localnet, central.id, &central.wallet_key);
    let bank = Payer::operator(&cluster.localnet, bank.id, &bank.wallet_key);
    let other = &cluster.localnet.banks[2].operator;
    let other = Payer::operator(&cluster.localnet, other.id, &other.wallet_key);
    for (sequence, to) in [(1, &bank), (2, &other)] {
        let issue = central.sign(sequence, Operation::Issue { to: to.wallet, amount: Amount::from_fen(100) });
        cluster.client(0).submit(&issue).await.unwrap();
        cluster.client(0).wait_certified(issue.id(central.genesis), WAIT).await.unwrap();
    }

    // The process's own view of its disk.
    let process = cluster.process_id(0).unwrap();
    let data = PathBuf::from(format!("/proc/{process}/root{}", cluster.data_directory(0).display()));
    let ballast = data.join("ballast");
    fill(&data, &ballast, LEFT_BYTES);
    let stopped =
        wait_for(&cluster, "stopped by its disk", |ready| ready.reason == Some(NotReady::DiskReserve)).await;
    assert!(!stopped.is_voting && !stopped.is_ready && stopped.halt.is_none(), "{stopped:?}");
    assert!(log(&cluster).contains("disk below its reserve"), "{}", log(&cluster));

    // Signed once each: signed again a moment later it would be another transaction, with another id.
    let [first, second] = [1, 2].map(|sequence| {
        let payments = vec![Payment { payee: central.wallet, amount: Amount::from_fen(10) }];
        bank.sign(sequence, Operation::Pay { payments })
    });
    let refused = cluster.client(0).submit_bulk(std::slice::from_ref(&first)).await.unwrap()[0];
    assert_eq!(refused.code, 1_502, "{refused:?}");
    match cluster.client(0).submit(&first).await {
        Err(ClientError::Refused(refused)) => {
            assert_eq!((refused.code, refused.name.as_str()), (1_502, "disk_reserve"));
            assert!(refused.is_transient && refused.retry_after_ms.is_some());
        }
        other => panic!("taken in without room: {other:?}"),
    }
    // The other three are a quorum, and the full one follows.
    cluster.client(1).submit(&first).await.unwrap();
    for index in [1, 0] {
        let certified = cluster.client(index).wait_certified(first.id(bank.genesis), WAIT).await;
        certified.unwrap_or_else(|fault| panic!("bank {index}: {fault}\n{}", log(&cluster)));
    }
    let took = pay_in_turn(&cluster, &central, &other, 2).await;
    println!("{PAYMENTS} payments with the vote of one bank stopped: {took:?}");

    // It follows down to half its reserve; below, it writes nothing, and the others go on.
    let more = data.join("more-ballast");
    fill(&data, &more, LEFT_FULL_BYTES);
    wait_for(&cluster, "told that it writes nothing", |_| {
        log(&cluster).contains("disk below half its reserve")
    })
    .await;
    let stands = wait_for(&cluster, "standing still", |_| true).await;
    let took = pay_in_turn(&cluster, &central, &other, 3).await;
    println!("{PAYMENTS} payments with one bank that writes nothing: {took:?}");
    let stood = wait_for(&cluster, "alive", |_| true).await;
    assert!(stood.height <= stands.height + 1, "it goes on without room: {stands:?}, {stood:?}");
    assert!(stood.announced_height > stood.height, "the others are ahead: {stood:?}");

    std::fs::remove_file(&more).unwrap();
    std::fs::remove_file(&ballast).unwrap();
    wait_for(&cluster, "voting again", |ready| ready.is_ready && ready.is_voting).await;
    cluster.client(0).submit(&second).await.unwrap();
    cluster.client(0).wait_certified(second.id(bank.genesis), WAIT).await.unwrap();

    cluster.kill(0);
    let took = pay_in_turn(&cluster, &central, &other, 4).await;
    println!("{PAYMENTS} payments with one bank dead: {took:?}");
}

/// Pays at each of the banks that vote by turns, each payment once the one before is certified. Answers the time.
async fn pay_in_turn(cluster: &Cluster, to: &Payer, from: &Payer, round: u64) -> Duration {
    let started = Instant::now();
    for place in 0..PAYMENTS {
        let payments = vec![Payment { payee: to.wallet, amount: Amount::from_fen(1) }];
        let payment = from.sign(round * PAYMENTS + place, Operation::Pay { payments });
        let client = cluster.client(usize::try_from(1 + place % 3).unwrap());
        client.submit(&payment).await.unwrap();
        let certified = client.wait_certified(payment.id(from.genesis), WAIT).await;
        certified.unwrap_or_else(|fault| panic!("{place}: {fault}\n{}", log(cluster)));
    }
    started.elapsed()
}

/// Fills the disk of `data` with one file, until this much is left.
fn fill(data: &Path, ballast: &Path, left_bytes: u64) {
    use std::io::Write as _;
    let chunk = vec![1_u8; 1 << 20];
    let mut file = std::fs::File::create(ballast).unwrap();
    while let chunks @ 1.. = free_bytes(data).saturating_sub(left_bytes) >> 20 {
        for _ in 0..chunks {
            file.write_all(&chunk).unwrap();
        }
    }
}

/// Asks the file system itself: `df` would resolve the path first, and find this process's disk.
fn free_bytes(data: &Path) -> u64 {
    let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(data).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(|number| number.parse::<u64>().unwrap()).product()
}
