//! Four whole nodes: a payment becomes certified, everywhere, with the same state, and the balances are proved offline.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use genesis::GenesisFile;
use ledger::proofs::{Fact, ProofFile};
use ledger::records::{GenesisSpec, Operation, Payment};
use ledger::values::{Amount, Canonical as _, ChainId, WalletId};
use system::{Cluster, Payer, jiaozi_binary};

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_certified_at_every_bank() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    cluster.start_all().await;
    let central = &cluster.localnet.central_bank;
    let bank = &cluster.localnet.banks[0].operator;
    let central = Payer::operator(&cluster.localnet, central.id, &central.wallet_key);
    let bank = Payer::operator(&cluster.localnet, bank.id, &bank.wallet_key);

    let client = cluster.client(0);
    let issue = central.sign(1, Operation::Issue { to: bank.wallet, amount: Amount::from_fen(1_000) });
    let answer = client.submit(&issue).await.unwrap();
    let status = client.wait_certified(issue.id(central.genesis), Duration::from_secs(20)).await;
    println!("{answer:?} {status:?}");
    status.unwrap();

    let payment = Payment { payee: central.wallet, amount: Amount::from_fen(300) };
    let pay = bank.sign(1, Operation::Pay { payments: vec![payment] });
    client.submit(&pay).await.unwrap();
    for index in 0..4 {
        let client = cluster.client(index);
        client.wait_certified(pay.id(bank.genesis), Duration::from_secs(20)).await.unwrap();
        let view = client.wallet(bank.wallet, None).await.unwrap();
        assert_eq!(view.balance_fen, 700);
    }
    metrics_move(&cluster).await;
    let genesis = GenesisFile::load(&directory.path().join("genesis.json")).unwrap().spec().unwrap();
    balances_are_proved_offline(&cluster, bank.wallet, &genesis).await;
    commands_fetch_and_check_the_proof_of_a_balance(&cluster, bank.wallet);
    cluster.stop_all().await;
}

/// What payments move at some bank, without `jiaozi_`.
const MOVES: [&str; 23] = [
    "validators_heard",
    "chain_epoch_validators",
    "chain_final_height",
    "chain_executed_height",
    "chain_certified_height",
    "chain_announced_height",
    "chain_disk_free_bytes",
    "chain_execution_seconds",
    "chain_persist_seconds",
    "chain_verify_seconds",
    "chain_executed_blocks",
    "chain_ordered_transactions",
    "chain_verified_transactions",
    "chain_sealed_batches",
    "chain_accepted_transactions",
    "chain_database_write_sets",
    "chain_database_written_bytes",
    "chain_database_syncs",
    "chain_voting_state",
    "node_connected_peers",
    "node_registered_peers",
    "rest_request_seconds",
    "rest_requests",
];

/// What a short run without faults may leave at nothing. A new metric is put into one of the two lists.
const MAY_STAND: [&str; 49] = [
    "chain_joined_height",
    "chain_joining_bytes",
    "chain_joining_chunks",
    "chain_joining_fetched_chunks",
    "chain_joining_refused_chunks",
    "chain_joining_sources",
    "chain_pruned_below_height",
    "validators_not_running",
    "validators_unreachable",
    "chain_outbid_transactions",
    "chains_not_hosted",
    "chain_moving_slots_left",
    "chain_moved_wallets",
    "chain_kept_wallets",
    "chain_epoch_number",
    "chain_closing_height",
    "chain_ended_epochs",
    "chain_pooled_transactions",
    "chain_pooled_bytes",
    "chain_pooled_weight",
    "chain_base_fee_micro_fen",
    "chain_block_weight",
    "chain_waiting_batches",
    "chain_open_questions",
    "chain_waiting_final_blocks",
    "chain_open_fetches",
    "chain_known_transactions",
    "chain_expired_transactions",
    "chain_refused_transactions",
    "chain_evidence_records",
    "chain_evidence_dropped",
    "chain_waiting_receipts",
    "chain_relay_age_milliseconds",
    "chain_distrusted_peers",
    "chain_clock_steps",
    "chain_halt_state",
    "chain_database_bytes",
    "chain_database_read_keys",
    "chain_database_flushed_bytes",
    "chain_database_compacted_bytes",
    "chain_database_cache_hits",
    "chain_database_cache_misses",
    "chain_database_stalled_microseconds",
    "chain_database_pending_compaction_bytes",
    "chain_database_background_errors",
    "rest_open_requests",
    "rest_open_waits",
    "rest_open_connections",
    "rest_refused_connections",
];

/// Every metric of a bank is known here, and those that payments move have moved at one bank or another.
async fn metrics_move(cluster: &Cluster) {
    let (mut known, mut moved) = (BTreeSet::new(), BTreeSet::new());
    for index in 0..4 {
        let page = cluster.client(index).metrics().await.unwrap();
        let mut families = Vec::new();
        for line in page.lines() {
            if let Some(described) = line.strip_prefix("# TYPE jiaozi_") {
                families.extend(described.split(' ').next().map(str::to_owned));
            }
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().and_then(|name| name.strip_prefix("jiaozi_"));
            let (Some(name), Ok(value)) = (name, value.parse::<f64>()) else { continue };
            let family =
                ["_total", "_count"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            if value > 0.0 {
                moved.insert(family.to_owned());
            }
        }
        known.extend(families);
    }
    let listed: BTreeSet<String> = MOVES.iter().chain(&MAY_STAND).map(|name| (*name).to_owned()).collect();
    assert_eq!(known.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "in neither list");
    let still: Vec<_> = MOVES.iter().filter(|name| !moved.contains(**name)).collect();
    assert!(still.is_empty(), "{still:?} stand still");
}

/// Runs the program; gives its exit code and all that it printed.
fn jiaozi(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(jiaozi_binary());
    command.args(arguments).current_dir(folder).env("JIAOZI_HOME", folder.join("home"));
    for name in ["JIAOZI_NODE", "JIAOZI_GENESIS", "JIAOZI_TOKEN_FILE"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

/// The same by command, and what is said of a file with one flipped byte.
fn commands_fetch_and_check_the_proof_of_a_balance(cluster: &Cluster, wallet: WalletId) {
    let folder = cluster.directory.as_path();
    let verify = |file: &str| jiaozi(folder, &["audit", "verify-proof", file, "--genesis", "genesis.json"]);
    let (url, nobody) = (cluster.url(2), WalletId([9; 32]).to_string());
    for (id, file, fact) in
        [(wallet.to_string(), "balance.proof", "held 7.00 CNY"), (nobody, "absent.proof", "did not exist")]
    {
        let (exit, printed) = jiaozi(folder, &["wallet", "show", &id, "--node", &url, "--proof", file]);
        assert!(exit == Some(0) && printed.contains(file), "{printed}");
        let (exit, printed) = verify(file);
        assert!(exit == Some(0) && printed.contains(&id) && printed.contains(fact), "{printed}");
        let (exit, printed) = jiaozi(folder, &["wallet", "show", &id, "--node", &url, "--proof", file]);
        assert!(
            exit != Some(0) && printed.contains("--proof"),
            "an existing file is not replaced: {printed}"
        );
    }
    // Network, links of sets, variant, then the wallet's record: byte 48 is in its id, 5 in the network's hash.
    let bytes = std::fs::read(folder.join("balance.proof")).unwrap();
    for (place, words) in [(48, "not under the root of the summing tree"), (5, "the proof is for network")] {
        let mut forged = bytes.clone();
        forged[place] ^= 1;
        std::fs::write(folder.join("forged.proof"), forged).unwrap();
        let (exit, printed) = verify("forged.proof");
        assert_eq!(exit, Some(1), "{printed}");
        assert!(printed.contains("proof_invalid") && printed.contains(words), "{printed}");
    }
}

/// Every bank proves the balance, and that another wallet does not exist; a stranger checks with the genesis file alone.
async fn balances_are_proved_offline(cluster: &Cluster, wallet: WalletId, genesis: &GenesisSpec) {
    let nobody = WalletId([9; 32]);
    for index in 0..4 {
        let client = cluster.client(index);
        let bytes = client.wallet_proof(wallet, None).await.unwrap();
        let proven = ProofFile::decode(&bytes).unwrap().verify(genesis).unwrap();
        let Fact::Wallet { wallet: record } = proven.fact else { panic!("{:?}", proven.fact) };
        assert_eq!((record.id, record.balance.fen(), proven.height.0 > 0), (wallet, 700, true));
        let absent = client.wallet_proof(nobody, Some(ChainId(0))).await.unwrap();
        let proven = ProofFile::decode(&absent).unwrap().verify(genesis).unwrap();
        assert_eq!(proven.fact, Fact::NoWallet { wallet: nobody });
    }
}
