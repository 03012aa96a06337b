//! The drill of a bank that loses its disk, with real processes: backups of a running node under load, checked, found damaged where a byte is
//! flipped, put back into an empty directory; the bank catches up, votes again by its proof of passage, and has the others' state.
//!
//! Longer than other tests: the passage alone waits for more than twenty seconds of blocks.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use api::health::{ChainReady, NotReady};
use ledger::values::{ChainId, Height};
use node::backup::{self, BackupError, Manifest};
use system::{Cluster, Outside, Payer, Purse, jiaozi_binary};

const WAIT: Duration = Duration::from_secs(120);
const LOST: usize = 3;
/// Payments before the first backup, and between it and the second.
const PAYMENTS: (u64, u64) = (60, 8);

fn jiaozi(arguments: &[&str], paths: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(jiaozi_binary());
    command.args(arguments).env_remove("JIAOZI_NODE").env_remove("JIAOZI_TOKEN_FILE");
    for (option, path) in paths {
        if option.is_empty() {
            command.arg(path)
        } else {
            command.arg(option).arg(path)
        };
    }
    command.output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Exit code and what was told.
fn refused(output: &Output) -> (i32, String) {
    assert!(!output.status.success(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn config(cluster: &Cluster, bank: usize) -> PathBuf {
    cluster.directory.join(format!("bank-{bank}/node.toml"))
}

fn create(cluster: &Cluster, to: &Path) -> Manifest {
    let made = jiaozi(&["backup", "create"], &[("--config", &config(cluster, LOST)), ("--to", to)]);
    let told = done(&made);
    assert!(told.contains("of the running node"), "{told}");
    backup::list(to).unwrap().pop().unwrap()
}

async fn wait_for(cluster: &Cluster, what: &str, is_so: impl Fn(&ChainReady) -> bool) -> ChainReady {
    let end = Instant::now() + WAIT;
    loop {
        let ready = cluster.client(LOST).ready().await.ok().map(|mut ready| ready.chains.remove(0));
        match ready {
            Some(ready) if is_so(&ready) => return ready,
            other => assert!(Instant::now() < end, "never {what}: {other:?}\n{}", cluster.logs()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A generator of places for flipped bytes; the same at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Flips a byte of a file, looks, and flips it back.
fn with_flipped_byte<T>(file: &Path, dice: &mut Dice, look: impl FnOnce() -> T) -> T {
    let whole = std::fs::read(file).unwrap();
    let mut flipped = whole.clone();
    let place = dice.below(flipped.len());
    flipped[place] ^= 1 << dice.below(8);
    std::fs::write(file, flipped).unwrap();
    let seen = look();
    std::fs::write(file, whole).unwrap();
    seen
}

fn verify(directory: &Path, name: &str) -> Result<(), BackupError> {
    backup::verify(directory, Some(name), &|_, _| {}, &mut |_| Ok(()))
}

/// Several bytes of each kind of file, one after the other: none passes.
fn no_flipped_byte_of_a_backup_passes(directory: &Path, manifest: &Manifest) {
    let mut dice = Dice(5);
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    for file in &manifest.chains[0].files {
        let name = &file.name;
        let kind = name.rsplit('.').next().unwrap().split('-').next().unwrap().to_owned();
        let flips = kinds.entry(kind).or_default();
        if *flips >= 6 || file.bytes == 0 {
            continue;
        }
        let path = directory.join("files").join(&file.sha256);
        for _ in 0..3 {
            *flips += 1;
            match with_flipped_byte(&path, &mut dice, || verify(directory, &manifest.name)) {
                Err(BackupError::Damaged { path: named, .. }) => assert_eq!(named, path, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    for kind in ["sst", "MANIFEST", "CURRENT", "STORE"] {
        assert!(kinds.get(kind).is_some_and(|flips| *flips >= 3), "no {kind} was flipped: {kinds:?}");
    }
    let path = directory.join("backups").join(format!("{}.json", manifest.name));
    for _ in 0..10 {
        let seen = with_flipped_byte(&path, &mut dice, || verify(directory, &manifest.name));
        assert!(matches!(seen, Err(BackupError::Manifest { .. })), "{seen:?}");
    }
    println!("flipped bytes found, by kind of file: {kinds:?}, and 10 of the manifest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_lost_its_disk_comes_back_from_a_backup() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    cluster.spawn_ready(0..4).await;
    let (central, bank) = (&cluster.localnet.central_bank, &cluster.localnet.banks[0].operator);
    let central = Payer::operator(&cluster.localnet, central.id, &central.wallet_key);
    let payer = Payer::operator(&cluster.localnet, bank.id, &bank.wallet_key);
    cluster.issue_first(ChainId(0), payer.wallet, 1_000_000).await;
    let banks: Vec<_> = (0..3).map(|bank| cluster.client(bank)).collect();
    let purse = Purse { payer, sequence: 0, chain: ChainId(0) };
    let load = Outside::start(&banks, vec![purse], &[central.wallet], 1);
    load.goes_on(PAYMENTS.0, "while all are well").await;

    // Two backups of the running bank; what the first holds is not stored again.
    let backups = directory.path().join("backups");
    let first = create(&cluster, &backups);
    assert_eq!((first.new_bytes, first.has_secret_keys), (first.bytes, false));
    load.goes_on(PAYMENTS.1, "after a backup").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let second = create(&cluster, &backups);
    println!("first {} bytes, second {} bytes, {} new", first.bytes, second.bytes, second.new_bytes);
    assert!(second.new_bytes < first.new_bytes && second.bytes > second.new_bytes, "{second:?}");
    assert!(second.chains[0].height > first.chains[0].height);
    assert!(
        !cluster
            .data_directory(LOST)
            .join("checkpoint")
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().file_type().unwrap().is_dir() }),
        "a checkpoint stays"
    );
    let checked = done(&jiaozi(&["backup", "verify"], &[("", &backups)]));
    assert!(
        checked.contains(&first.chains[0].state) && checked.contains(&second.chains[0].state),
        "{checked}"
    );
    assert!(checked.contains("can be restored"), "{checked}");

    no_flipped_byte_of_a_backup_passes(&backups, &second);
    let named = second.chains[0].files.iter().find(|file| file.name.ends_with(".sst")).unwrap();
    let file = backups.join("files").join(&named.sha256);
    let seen = with_flipped_byte(&file, &mut Dice(9), || jiaozi(&["backup", "verify"], &[("", &backups)]));
    let (exit, told) = refused(&seen);
    assert!(exit == 1 && told.contains("backup_damaged") && told.contains(&named.sha256), "{told}");

    // The disk is lost. What is there is not written over, and a damaged backup leaves nothing behind.
    cluster.kill(LOST);
    let (data, node_toml) = (cluster.data_directory(LOST), config(&cluster, LOST));
    let url = cluster.url(0);
    let paths: [(&str, &Path); 2] = [("--from", &backups), ("--config", &node_toml)];
    let (exit, told) = refused(&jiaozi(&["backup", "restore"], &paths));
    assert!(exit == 1 && told.contains("not_empty") && told.contains("chain-0"), "{told}");
    std::fs::remove_dir_all(&data).unwrap();
    let seen = with_flipped_byte(&file, &mut Dice(9), || jiaozi(&["backup", "restore"], &paths));
    assert!(refused(&seen).1.contains("backup_damaged"), "{seen:?}");
    assert!(!data.join("chain-0").exists(), "nothing of a damaged backup stays");
    load.goes_on(5, "with a bank gone").await;
    let restored = done(&jiaozi(&["backup", "restore", "--node", &url], &paths));
    assert!(restored.contains(&format!("the same block is certified at {url}")), "{restored}");
    assert!(restored.contains(&second.chains[0].state), "{restored}");
    assert!(!data.join("chain-0/journal").exists(), "no journal is restored");

    // It goes on from the backup, follows, and votes by its proof of passage.
    cluster.spawn(LOST, &jiaozi_binary());
    let follows = wait_for(&cluster, "rejoining", |ready| ready.reason == Some(NotReady::Rejoining)).await;
    assert!(!follows.is_voting && follows.height >= second.chains[0].height, "{follows:?}");
    wait_for(&cluster, "voting again", |ready| ready.is_ready && ready.is_voting).await;
    // One of the three that a quorum needs now.
    cluster.kill(2);
    load.goes_on(8, "with the vote of the restored bank").await;
    let (paid, _) = load.stop().await;
    println!("{} payments certified; longest wait {:?}", paid.certified, paid.longest);
    cluster.spawn_ready(2..3).await;

    // The same results, by the words of both and by executing everything again.
    let height = Height(wait_for(&cluster, "certified", |ready| ready.is_ready).await.certified_height);
    let (own, other) = (cluster.client(LOST), cluster.client(0));
    let (own, other) =
        (own.block(ChainId(0), height).await.unwrap(), other.block(ChainId(0), height).await.unwrap());
    assert_eq!((own.digest, own.claimed_result), (other.digest, other.claimed_result));
    assert!(own.claimed_height > second.chains[0].height, "beyond what was restored");
    cluster.terminate_all().await;
    let sound = done(&jiaozi(&["node", "verify"], &[("--config", &node_toml)]));
    assert!(sound.contains("everything executed again from genesis"), "{sound}");

    // Retention, of a stopped node.
    let kept = jiaozi(&["backup", "create", "--keep", "1"], &[("--config", &node_toml), ("--to", &backups)]);
    let told = done(&kept);
    assert!(told.contains("of the stopped node") && told.contains(&first.name), "{told}");
    let left = backup::list(&backups).unwrap();
    assert_eq!(left.len(), 1);
    let needed: std::collections::BTreeSet<_> =
        left[0].chains[0].files.iter().chain([&left[0].genesis]).map(|file| file.sha256.clone()).collect();
    let there: std::collections::BTreeSet<_> = std::fs::read_dir(backups.join("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, needed, "files that no backup names are gone");
    verify(&backups, &left[0].name).unwrap();

    damage_is_named_and_set_aside(&cluster, &node_toml);
    a_backup_of_another_network_is_refused(&backups);
}

/// Flipped bytes in the tables of a stopped bank: named with the file, and set aside where that is asked for.
fn damage_is_named_and_set_aside(cluster: &Cluster, node_toml: &Path) {
    let chain = cluster.data_directory(LOST).join("chain-0");
    let tables = std::fs::read_dir(chain.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let tables: Vec<_> = tables.filter(|path| path.extension().is_some_and(|kind| kind == "sst")).collect();
    for table in &tables {
        let mut bytes = std::fs::read(table).unwrap();
        bytes[10] ^= 1;
        std::fs::write(table, bytes).unwrap();
    }
    let found = jiaozi(&["node", "verify", "--quick"], &[("--config", node_toml)]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let told = String::from_utf8(found.stdout).unwrap();
    let is_named = |table: &PathBuf| told.contains(&*table.file_name().unwrap().to_string_lossy());
    assert!(told.contains("damage") && tables.iter().any(is_named), "{told}");
    assert!(chain.exists());
    let repaired = jiaozi(&["node", "verify", "--quick", "--repair", "--json"], &[("--config", node_toml)]);
    assert_eq!(repaired.status.code(), Some(1), "{repaired:?}");
    let told = String::from_utf8(repaired.stdout).unwrap();
    assert!(!chain.exists() && told.contains("chain-0.damaged-"), "{told}");
    let mut left = cluster.data_directory(LOST).read_dir().unwrap();
    let aside = left.find_map(|entry| {
        let entry = entry.unwrap();
        entry.file_name().to_string_lossy().starts_with("chain-0.damaged-").then(|| entry.path())
    });
    assert!(aside.expect("nothing is removed").join("store/STORE").exists());
}

fn a_backup_of_another_network_is_refused(backups: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let other = Cluster::create(directory.path(), 4);
    let found = backup::list(backups).unwrap().pop().unwrap().network;
    let expected = other.localnet.spec.hash().to_string();
    assert_ne!(found, expected);
    let paths: [(&str, &Path); 2] = [("--from", backups), ("--config", &config(&other, 0))];
    let (exit, told) = refused(&jiaozi(&["backup", "restore"], &paths));
    assert!(exit == 1 && told.contains("other_network"), "{told}");
    assert!(told.contains(&found) && told.contains(&expected), "both are named: {told}");
}
