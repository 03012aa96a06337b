//! Nodes host parts of a network: its chains go on, and whoever asks the wrong node is told the right ones.

use std::time::Duration;

use api::ClientError;
use api::error::ApiError;
use genesis::dev::LocalnetPlan;
use ledger::records::Operation;
use ledger::values::{Amount, ChainId, Currency};
use system::{Cluster, Payer};

const WAIT: Duration = Duration::from_secs(40);
const CNY: Currency = Currency(*b"CNY");
const HKD: Currency = Currency(*b"HKD");

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> ApiError {
    match answer {
        Err(ClientError::Refused(refusal)) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_hosts_some_chains_and_names_who_hosts_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let mut plan = LocalnetPlan::new(4);
    plan.chains.push((HKD, 0));
    // The fourth bank is away from the second chain, as one of four may be; the third names the chains in another order.
    let hosted = |bank| match bank {
        2 => vec![1, 0],
        3 => vec![0],
        _ => vec![0, 1],
    };
    let mut cluster = Cluster::create_of(directory.path(), plan, hosted);
    cluster.start_all().await;
    let (central, bank) = (&cluster.localnet.central_bank, &cluster.localnet.banks[0].operator);
    for (currency, chain) in [(CNY, ChainId(0)), (HKD, ChainId(1))] {
        let issuer = Payer::operator_in(currency, &cluster.localnet, central.id, &central.wallet_key);
        let to = Payer::operator_in(currency, &cluster.localnet, bank.id, &bank.wallet_key).wallet;
        let issue = issuer.sign_on(chain, 1, Operation::Issue { to, amount: Amount::from_fen(700) });
        let answer = cluster.client(3).submit(&issue).await;
        let hosts = match chain {
            ChainId(0) => {
                answer.unwrap();
                4
            }
            _ => {
                let place = "chain 1 (HKD shard 0) is hosted by the nodes 0 (bank-1), 1 (bank-2)";
                let elsewhere = refused(answer);
                assert!(elsewhere.code == 1_405 && elsewhere.message.contains(place), "{elsewhere}");
                let elsewhere = refused(cluster.client(3).wallet(to, None).await);
                assert!(elsewhere.code == 1_410 && elsewhere.message.contains(place), "{elsewhere}");
                cluster.client(2).submit(&issue).await.unwrap();
                3
            }
        };
        for index in 0..hosts {
            let client = cluster.client(index);
            let status = client.wait_certified(issue.id(issuer.genesis), WAIT).await.unwrap();
            assert_eq!(status.chain, Some(chain.0), "bank {index}");
            let view = client.wallet(to, None).await.unwrap();
            assert_eq!((view.chain, view.balance_fen), (chain.0, 700), "bank {index}");
        }
    }
    let ready = cluster.client(2).ready().await.unwrap();
    assert_eq!(ready.chains.iter().map(|chain| chain.chain).collect::<Vec<_>>(), [1, 0]);
    assert!(ready.is_ready && ready.not_hosted.is_empty());
    // The fourth bank's chain is well, and the other one misses its vote: both sides say so.
    let away = cluster.client(3).ready().await.unwrap();
    assert!(away.is_ready && away.not_hosted == [1], "{away:?}");
    let metrics = cluster.client(3).metrics().await.unwrap();
    assert!(metrics.lines().any(|line| line == "jiaozi_chains_not_hosted 1"), "{metrics}");
    let end = std::time::Instant::now() + WAIT;
    loop {
        let ready = cluster.client(0).ready().await.unwrap();
        let other = ready.chains.iter().find(|chain| chain.chain == 1).unwrap();
        if (other.validators, other.validators_heard, other.silent_nodes.as_slice()) == (4, 3, [3].as_slice())
        {
            assert_eq!(other.not_running_nodes, [3], "it is up");
            break;
        }
        assert!(std::time::Instant::now() < end, "{other:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    cluster.stop_all().await;
}
