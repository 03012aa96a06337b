//! Several chains: wallets are found where they are at home, transactions go to the chain that they name, and who asks at the
//! wrong place is told the right one.

use std::sync::Arc;

use api::chain::ChainsView;
use api::health::{NotReady, Ready};
use api::network::NetworkView;
use api::transaction::SubmitRequest;
use api::wallet::{HistoryPage, WalletView};
use api::why::Why;
use axum::Router;
use chain::SeatSet;
use ledger::records::{Birth, Growth, Operation, Registry, Tier, Transaction, WalletOpening};
use ledger::rules::ChainRules;
use ledger::values::{ChainId, Currency, Height, OperatorId, ValidatorIndex, WalletId};

use super::bank::{Bank, Holder, edge_awaiting, edge_over, network_of};
use super::{get, post, refusal};
use crate::config::RestLimits;
use crate::handle::HaltCode;
use crate::http::router;
use crate::tokens::Tokens;

const CNY: Currency = Currency(*b"CNY");
const HKD: Currency = Currency(*b"HKD");

/// Two shards of one currency and a chain of another; the node hosts the chains 0 and 1.
struct Three {
    zero: Bank,
    one: Bank,
    router: Router,
    rules: ChainRules,
}

impl Three {
    fn new() -> Self {
        let network = network_of(&[(CNY, 0), (CNY, 1), (HKD, 0)]);
        let on = |chain| Bank::on(ChainId(chain), &network, Tokens::default(), RestLimits::default());
        let (zero, one) = (on(0), on(1));
        let router = router(&edge_over(&[&zero, &one]));
        let rules = ChainRules::at_genesis(&network.spec, ChainId(0)).unwrap();
        Self { zero, one, router, rules }
    }

    /// A customer's wallet that is at home on a chain, and its number.
    fn customer(&self, home: ChainId) -> (u8, Holder) {
        let mut customers = (1..=u8::MAX).map(|number| (number, self.zero.customer(number)));
        customers.find(|(_, holder)| self.rules.home(&holder.id) == home).unwrap()
    }
}

#[tokio::test]
async fn wallets_are_found_on_the_shard_where_they_are_at_home() {
    let mut three = Three::new();
    let ((number, here), (other, there)) = (three.customer(ChainId(0)), three.customer(ChainId(1)));
    let open = three.zero.open(&[number]);
    three.zero.execute(vec![open], false);
    let open = three.one.open(&[other]);
    three.one.execute(vec![open], false);
    for (id, chain) in [(here.id, 0), (there.id, 1)] {
        let path = api::path::wallet(id);
        let view: WalletView = get(&three.router, &path).await.json();
        assert_eq!((view.id, view.chain, view.height), (id, chain, 1));
        let page: HistoryPage = get(&three.router, &api::path::wallet_history(id)).await.json();
        assert_eq!((page.chain, page.currency, page.entries.len()), (chain, CNY, 1));
        // Asked for on the other shard, it is said where it is.
        let error = get(&three.router, &format!("{path}?chain={}", 1 - chain)).await.error();
        assert_eq!((error.code, error.field.as_deref()), (1_410, Some("id")), "{error}");
        let place =
            format!("chain {chain} (CNY shard {chain}) is hosted by the nodes 0 (bank-1), 1 (bank-2)");
        assert!(error.message.contains(&place), "{error}");
        assert_eq!(
            refusal(&three.router, &format!("{path}?chain=2")).await,
            (1_405, Some("chain".to_owned()))
        );
    }
    // One that is nowhere here may be on the chain that this node does not host.
    let error = get(&three.router, &api::path::wallet(WalletId([9; 32]))).await.error();
    assert_eq!(error.code, 1_410, "{error}");
    assert!(error.message.contains("chain 2 (HKD shard 0) is hosted by the nodes 1 (bank-2)"), "{error}");
    assert!(error.message.contains("; not by this one, whose vote is missing there"), "{error}");
}

#[tokio::test]
async fn an_operator_s_own_wallet_is_on_every_shard_so_the_chain_is_asked_for() {
    let mut three = Three::new();
    let issue = three.one.issue(500);
    three.one.execute(vec![issue], false);
    let path = api::path::wallet(three.zero.bank().id);
    for path in [path.clone(), format!("{path}/history"), format!("{path}/proof")] {
        let error = get(&three.router, &path).await.error();
        assert_eq!((error.code, error.field.as_deref()), (1_009, Some("chain")), "{path}: {error}");
        assert!(error.message.contains("on the chains 0, 1"), "{error}");
    }
    for (chain, balance_fen) in [(0, 0), (1, 500)] {
        let view: WalletView = get(&three.router, &format!("{path}?chain={chain}")).await.json();
        assert_eq!((view.chain, view.currency, view.balance_fen), (chain, CNY, balance_fen));
    }
}

#[tokio::test]
async fn a_transaction_goes_to_the_chain_that_it_names() {
    let mut three = Three::new();
    let (_, payee) = three.customer(ChainId(1));
    let opening = |bank: &Bank| {
        let (policy, salt) = (bank.customer(7).policy().hash(), [9; 16]);
        Operation::OpenWallets { wallets: vec![WalletOpening { policy, salt, tier: Tier::Two }] }
    };
    let body = |transaction: &Transaction| serde_json::to_vec(&SubmitRequest::new(transaction)).unwrap();
    let issue = three.one.issue(5);
    let (answer, pooled) =
        tokio::join!(post(&three.router, "application/json", body(&issue)), three.one.pool());
    assert_eq!((answer.status.as_u16(), pooled.as_slice()), (202, std::slice::from_ref(&issue)));

    // Chain 2 is another node's; chain 9 is nobody's.
    let (bank, operation) = (three.zero.bank(), opening(&three.zero));
    let mut transaction = three.zero.sign(&bank, operation);
    for (chain, code) in [(2, 1_405), (9, 11_053)] {
        transaction.content.chain = ChainId(chain);
        let error = post(&three.router, "application/json", body(&transaction)).await.error();
        assert_eq!((error.code, error.field.as_deref()), (code, Some("chain")), "{error}");
        let names_hosts = error.message.contains("chain 2 (HKD shard 0) is hosted by the nodes 1 (bank-2)");
        assert_eq!(names_hosts, code == 1_405, "{error}");
    }
    // A wallet is opened where it is at home only.
    let (number, _) = three.customer(ChainId(1));
    let open = three.zero.open(&[number]);
    let error = post(&three.router, "application/json", body(&open)).await.error();
    assert_eq!((error.code, error.field.as_deref()), (11_304, Some("operation.wallets.salt")), "{error}");
    assert_eq!(refusal(&three.router, &api::path::wallet(payee.id)).await.0, 1_410);
}

/// Chains may have different registries under one version: a change reaches one after another.
#[tokio::test]
async fn homes_are_those_of_the_registry_and_not_of_its_version() {
    let three = Three::new();
    let (_, joining) = three.customer(ChainId(0));
    let mut registry = (*three.rules.registry).clone();
    let mut operator = registry.operators[1].clone();
    operator.wallet_policy = joining.policy();
    registry.operators.push(operator);
    let id = OperatorId(u16::try_from(registry.operators.len() - 1).unwrap());
    let own = registry.operator_wallet(three.zero.genesis, CNY, id).unwrap();
    let path = api::path::wallet(own);
    assert_ne!(refusal(&three.router, &path).await.0, 1_009, "nobody's own yet");
    for bank in [&three.zero, &three.one] {
        let mut rules = three.rules.clone();
        rules.chain = bank.chain;
        rules.registry = Arc::new(registry.clone());
        bank.rules.send_replace(rules);
    }
    assert_eq!(refusal(&three.router, &path).await.0, 1_009, "on every shard");
}

#[tokio::test]
async fn every_chain_is_shown_with_its_place_and_its_hosts() {
    let mut three = Three::new();
    three.one.execute(Vec::new(), false);
    let view: NetworkView = get(&three.router, api::path::NETWORK).await.json();
    let places: Vec<_> =
        view.chains.iter().map(|place| (place.chain, place.currency.as_str(), place.shard)).collect();
    assert_eq!(places, [(0, "CNY", 0), (1, "CNY", 1), (2, "HKD", 0)]);
    assert!(view.chains.iter().all(|place| place.nodes == [0, 1, 2, 3]));
    let chains: ChainsView = get(&three.router, api::path::CHAINS).await.json();
    let heights: Vec<_> =
        chains.chains.iter().map(|chain| chain.progress.as_ref().map(|progress| progress.height)).collect();
    assert_eq!(heights, [Some(0), Some(1), None]);
    // A node is ready when all of its chains are.
    let ready: Ready = get(&three.router, api::path::READY).await.json();
    assert!(ready.is_ready && ready.chains.iter().map(|chain| chain.height).eq([0_u64, 1]));
    assert_eq!(ready.not_hosted, [2], "this node has a validator there");
    let page = get(&three.router, api::path::METRICS).await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    for line in ["jiaozi_chains_not_hosted 1", "jiaozi_validators_heard{chain=\"1\"} 4"] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    three.one.status.send_modify(|status| status.voting = crate::handle::Voting::Rejoining);
    let ready: Ready = get(&three.router, api::path::READY).await.json();
    assert_eq!((ready.is_ready, ready.chains[0].is_ready, ready.chains[1].is_ready), (false, true, false));
}

/// Nodes of both lists.
fn missing_and_linked(missing: &[u16], linked: &[u16]) -> Vec<u16> {
    missing.iter().copied().filter(|node| linked.contains(node)).collect()
}

/// Chain 1 is a child of chain 0, so far, as both have heard.
fn set_growth(three: &Three, growth: Growth) {
    let mut registry = (*three.rules.registry).clone();
    registry.chains[1].birth = Birth::Child { parent: ChainId(0), height: Height(5), growth };
    let registry = Arc::new(registry);
    for bank in [&three.zero, &three.one] {
        let mut rules = three.rules.clone();
        (rules.chain, rules.registry) = (bank.chain, Arc::clone(&registry));
        bank.rules.send_replace(rules);
    }
}

async fn ready(three: &Three) -> Ready {
    let answer = get(&three.router, api::path::READY).await;
    let ready: Ready = answer.json();
    assert_eq!(answer.status.is_success(), ready.is_ready);
    ready
}

#[tokio::test]
async fn a_child_that_has_no_wallets_yet_makes_no_node_unready() {
    let mut three = Three::new();
    set_growth(&three, Growth::Added);
    let seats = [ValidatorIndex(0), ValidatorIndex(3)];
    three.one.status.send_modify(|status| {
        status.chain.highest_announced = None;
        status.chain.heard = 2;
        status.chain.silent = SeatSet::default().with(seats[0]).with(seats[1]);
    });
    let shown = ready(&three).await;
    let child = &shown.chains[1];
    assert!(shown.is_ready && shown.chains[0].is_ready && !child.is_ready);
    assert_eq!(child.reason, Some(NotReady::WaitingForValidators));
    assert_eq!((child.validators, child.validators_heard), (4, 2));
    let set = &three.rules.registry.chains[1].wanted;
    let mut missing: Vec<u16> = [0, 3].map(|seat: usize| set[seat].node.0).to_vec();
    missing.sort_unstable();
    assert_eq!(child.silent_nodes, missing);
    assert_eq!(child.not_running_nodes, missing_and_linked(&missing, &[1, 2, 3]));
    // One of them is down, the other one runs, and does not run the chain.
    for linked in [vec![missing[0]], vec![missing[1]], Vec::new()] {
        three.zero.connections.send_replace(linked.clone());
        let shown = ready(&three).await;
        assert_eq!((&shown.chains[1].silent_nodes, &shown.chains[1].not_running_nodes), (&missing, &linked));
        let view: NetworkView = get(&three.router, api::path::NETWORK).await.json();
        assert_eq!((&view.chains[1].not_running_nodes, view.chains[0].not_running_nodes.len()), (&linked, 0));
        let page = get(&three.router, api::path::METRICS).await;
        let page = String::from_utf8(page.body.to_vec()).unwrap();
        for (name, count) in [("not_running", linked.len()), ("unreachable", 2 - linked.len())] {
            let line = format!("jiaozi_validators_{name}{{chain=\"1\"}} {count}");
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
    three.zero.connections.send_replace(vec![missing[1]]);
    let why: Why = get(&three.router, api::path::WHY).await.json();
    let absent = why.facts.chains[1].absent.iter();
    let told: Vec<_> = absent.map(|absent| (absent.node, absent.is_connected)).collect();
    assert_eq!(told, [(missing[0], false), (missing[1], true)]);
    three.zero.connections.send_replace(vec![1, 2, 3]);
    // Who sends it something is told who is missing.
    let issue = SubmitRequest::new(&three.one.issue(5));
    let error = post(&three.router, "application/json", serde_json::to_vec(&issue).unwrap()).await.error();
    assert!(error.code == 1_501 && error.retry_after_ms.is_some(), "{error}");
    assert!(error.message.contains("chain 1 has not begun"), "{error}");
    assert!(error.message.contains("hears 2 of its 4 validators, 3 are needed"), "{error}");
    let bank = format!("{} (bank-{})", missing[0], missing[0] + 1);
    assert!(error.message.contains("; not heard: the nodes ") && error.message.contains(&bank), "{error}");

    // It runs, and this node is behind: that is no matter for money either.
    three.one.status.send_modify(|status| status.chain.heard = 4);
    let shown = ready(&three).await;
    assert_eq!((shown.is_ready, shown.chains[1].reason), (true, Some(NotReady::CatchingUp)));
    // Wallets are at home there.
    set_growth(&three, Growth::Filling);
    assert!(!ready(&three).await.is_ready);
    three.one.status.send_modify(|status| status.chain.heard = 2);
    assert_eq!(ready(&three).await.chains[1].reason, Some(NotReady::CatchingUp), "it must not be lost");
    // A halt is the operator's matter, whatever the chain is for.
    set_growth(&three, Growth::Ready);
    assert!(ready(&three).await.is_ready);
    three.one.status.send_modify(|status| status.halt = Some(HaltCode::Store));
    assert!(!ready(&three).await.is_ready);
}

#[tokio::test]
async fn a_chain_that_waits_for_its_origin_is_shown_and_stops_nothing() {
    let mut three = Three::new();
    let mut registry = (*three.rules.registry).clone();
    registry.chains[2].birth = Birth::Child { parent: ChainId(0), height: Height(5), growth: Growth::Added };
    let mut rules = three.rules.clone();
    rules.registry = Arc::new(registry);
    three.zero.rules.send_replace(rules);
    three.router = router(&edge_awaiting(&[&three.zero], &[ChainId(2)]));
    let shown = ready(&three).await;
    assert!(shown.is_ready);
    let chains: Vec<_> = shown.chains.iter().map(|chain| (chain.chain, chain.reason)).collect();
    assert_eq!(chains, [(0, None), (2, Some(NotReady::WaitingForOrigin))]);
    assert_eq!(shown.not_hosted, [1], "the configuration names the one that waits");
    let error = get(&three.router, &api::path::block(ChainId(2), Height(1))).await.error();
    assert!(
        error.code == 1_405 && error.message.contains("; this node waits for what it begins with"),
        "{error}"
    );
}

/// Clients and nodes find homes where the ledger's rules say, also where shards are not in the order of chains.
#[test]
fn homes_are_those_of_the_ledger() {
    let spec = network_of(&[(CNY, 2), (HKD, 0), (CNY, 0), (CNY, 1)]).spec;
    let view = NetworkView::new(&spec, ledger::values::NodeIndex(0), "0.1.0", |_| false);
    let here = crate::http::homes::Homes::new(spec.hash(), &Registry::from_genesis(&spec));
    let usd = Currency(*b"USD");
    assert_eq!(view.shards(CNY), [2, 3, 0].map(ChainId));
    assert!(view.shards(usd).is_empty() && view.homes(usd, WalletId([1; 32])).is_empty());
    let rules = ChainRules::at_genesis(&spec, ChainId(2)).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for byte in 0..=u8::MAX {
        let id = WalletId([byte; 32]);
        assert_eq!(view.homes(CNY, id), [rules.home(&id)]);
        assert_eq!(view.homes(HKD, id), [ChainId(1)]);
        assert_eq!(here.of(&id), [rules.home(&id), ChainId(1)]);
        seen.extend(view.homes(CNY, id));
    }
    assert_eq!(seen.len(), 3, "on every shard");
    let registry = Registry::from_genesis(&spec);
    for (id, operator) in (0_u16..).zip(&view.operators) {
        let own = registry.operator_wallet(spec.hash(), CNY, OperatorId(id)).unwrap();
        assert_eq!(view.operator_wallet(CNY, operator), own);
        assert_eq!(view.homes(CNY, own), [2, 3, 0].map(ChainId));
        assert_eq!(here.of(&own), [2, 3, 0].map(ChainId));
        assert!(here.is_on_several(&own));
        assert_eq!(rules.home(&own), ChainId(2), "here, wherever here is");
        let only = registry.operator_wallet(spec.hash(), HKD, OperatorId(id)).unwrap();
        assert!(!here.is_on_several(&only) && here.of(&only) == [ChainId(1)]);
    }
}
