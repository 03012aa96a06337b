//! Four whole nodes: a payment becomes certified, everywhere, with the same state, and the balances are proved offline.

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
    let genesis = GenesisFile::load(&directory.path().join("genesis.json")).unwrap().spec().unwrap();
    balances_are_proved_offline(&cluster, bank.wallet, &genesis).await;
    commands_fetch_and_check_the_proof_of_a_balance(&cluster, bank.wallet);
    cluster.stop_all().await;
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
        [(wallet.to_string(), "balance.proof", "held 7.00 yuan"), (nobody, "absent.proof", "did not exist")]
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
    // Network, variant, then the wallet's record: byte 40 is in its id, 5 in the network's hash.
    let bytes = std::fs::read(folder.join("balance.proof")).unwrap();
    for (place, words) in [(40, "not under the root of the summing tree"), (5, "the proof is for network")] {
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
