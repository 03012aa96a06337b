//! Four whole nodes: a payment becomes certified, everywhere, with the same state.

use std::time::Duration;

use ledger::records::{Operation, Payment};
use ledger::values::Amount;
use system::{Cluster, Payer};

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
    cluster.stop_all().await;
}
