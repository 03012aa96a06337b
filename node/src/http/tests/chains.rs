//! Several chains: wallets are found where they are at home, transactions go to the chain that they name, and who asks at the
//! wrong place is told the right one.

use std::sync::Arc;

use api::chain::ChainsView;
use api::health::Ready;
use api::network::NetworkView;
use api::transaction::SubmitRequest;
use api::wallet::{HistoryPage, WalletView};
use axum::Router;
use ledger::records::{Operation, Registry, Tier, Transaction, WalletOpening};
use ledger::rules::ChainRules;
use ledger::values::{ChainId, Currency, OperatorId, WalletId};

use super::bank::{Bank, Holder, edge_over, network_of};
use super::{get, post, refusal};
use crate::config::RestLimits;
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
    assert!(error.message.contains("chain 2 (HKD shard 0) is hosted by the nodes 0 (bank-1)"), "{error}");
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
        let names_hosts = error.message.contains("chain 2 (HKD shard 0) is hosted by the nodes 0 (bank-1)");
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
    three.one.status.send_modify(|status| status.voting = crate::handle::Voting::Rejoining);
    let ready: Ready = get(&three.router, api::path::READY).await.json();
    assert_eq!((ready.is_ready, ready.chains[0].is_ready, ready.chains[1].is_ready), (false, true, false));
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
