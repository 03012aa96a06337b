//! Wallets while shards double: chain 1 takes half of the wallets of chain 0. The node hosts both, or one of them.

use std::sync::Arc;

use api::wallet::{MovementName, WalletState, WalletView};
use axum::Router;
use ledger::records::{
    Birth, Growth, Movement, MovementKind, Record, Registry, Tier, WalletRecord, WalletStatus,
};
use ledger::rules::ChainRules;
use ledger::values::{Amount, Canonical as _, ChainId, Currency, Height, OperatorId, WalletId};
use storage::{Durability, Table, WriteSet, key};

use super::bank::{Bank, edge_over, network_of};
use super::{get, refusal};
use crate::config::RestLimits;
use crate::http::router;
use crate::tokens::Tokens;

const CNY: Currency = Currency(*b"CNY");
/// Of wallets that are written into a store by hand.
const SLOT: u64 = 1_000;

struct Family {
    parent: Bank,
    child: Bank,
    rules: ChainRules,
    /// A wallet whose home is the child.
    id: WalletId,
}

impl Family {
    fn new() -> Self {
        let network = network_of(&[(CNY, 0), (CNY, 1)]);
        let on = |chain| Bank::on(ChainId(chain), &network, Tokens::default(), RestLimits::default());
        let (parent, child) = (on(0), on(1));
        let rules = ChainRules::at_genesis(&network.spec, ChainId(0)).unwrap();
        let mut ids = (1..=u8::MAX).map(|byte| WalletId([byte; 32]));
        let id = ids.find(|id| rules.home(id) == ChainId(1)).unwrap();
        let family = Self { parent, child, rules, id };
        family.grows(Growth::Filling);
        family
    }

    /// Both chains' registries say how far the child is.
    fn grows(&self, growth: Growth) {
        let mut registry: Registry = (*self.rules.registry).clone();
        registry.chains[1].birth = Birth::Child { parent: ChainId(0), height: Height(1), growth };
        for bank in [&self.parent, &self.child] {
            let mut rules = self.rules.clone();
            rules.chain = bank.chain;
            rules.registry = Arc::new(registry.clone());
            bank.rules.send_replace(rules);
        }
    }

    fn plant(&self, bank: &Bank, status: WalletStatus) {
        let policy = bank.customer(1).policy().hash();
        let wallet = WalletRecord {
            id: self.id,
            policy,
            operator: OperatorId(1),
            tier: Tier::Two,
            status,
            balance: Amount::from_fen(500),
            lanes: Vec::new(),
        };
        let mut set = WriteSet::new();
        set.put(Table::Slots, self.id.0, key::slot(SLOT));
        set.put(Table::Records, key::slot(SLOT), Record::Wallet(wallet).encode());
        bank.store.write(set, Durability::Buffered).unwrap();
    }

    fn both(&self) -> Router {
        router(&edge_over(&[&self.parent, &self.child]))
    }

    /// The chain on which a node finds the wallet, or the code of its refusal.
    async fn found(&self, router: &Router) -> Result<u32, u32> {
        let path = api::path::wallet(self.id);
        let answer = get(router, &path).await;
        if answer.status.is_success() {
            return Ok(answer.json::<WalletView>().chain);
        }
        Err(answer.error().code)
    }
}

#[tokio::test]
async fn a_wallet_is_found_before_between_and_after() {
    let family = Family::new();
    let both = family.both();
    assert_eq!(family.found(&both).await, Err(1_403), "nowhere");
    family.plant(&family.parent, WalletStatus::Active);
    assert_eq!(family.found(&both).await, Ok(0), "it has not left yet");
    let there = format!("{}?chain=1", api::path::wallet(family.id));
    let error = get(&both, &there).await.error();
    assert_eq!(error.code, 1_410, "{error}");
    assert!(error.message.contains("chain 0 (CNY shard 0)"), "{error}");
    family.plant(&family.parent, WalletStatus::Moved { to: ChainId(1) });
    let error = get(&both, &api::path::wallet(family.id)).await.error();
    assert_eq!((error.code, error.is_transient), (1_415, true), "between both: {error}");
    family.plant(&family.child, WalletStatus::Active);
    assert_eq!(family.found(&both).await, Ok(1));
    // A chain that is named shows what it has.
    let grave: WalletView = get(&both, &format!("{}?chain=0", api::path::wallet(family.id))).await.json();
    assert_eq!((grave.chain, grave.status, grave.moved_to), (0, WalletState::Moved, Some(1)));
    family.grows(Growth::Grown);
    assert_eq!(family.found(&both).await, Ok(1));
    let other = api::path::wallet(WalletId([0xfe; 32]));
    assert_eq!(refusal(&both, &other).await.0, 1_403, "a child that is grown knows all its wallets");
}

#[tokio::test]
async fn a_wallet_that_was_kept_is_found_with_the_parent() {
    let family = Family::new();
    family.plant(&family.parent, WalletStatus::Active);
    family.plant(&family.child, WalletStatus::Moved { to: ChainId(0) });
    for growth in [Growth::Filling, Growth::Grown] {
        family.grows(growth);
        assert_eq!(family.found(&family.both()).await, Ok(0));
    }
    let history = api::path::wallet_history(family.id);
    let page: api::HistoryPage = get(&family.both(), &history).await.json();
    assert_eq!(page.chain, 0, "and so is its history");
}

#[tokio::test]
async fn who_hosts_one_chain_names_the_other() {
    let family = Family::new();
    let (parent, child) = (family.parent.router(), family.child.router());
    let path = api::path::wallet(family.id);
    for (router, chain) in [(&parent, 1), (&child, 0)] {
        let error = get(router, &path).await.error();
        assert_eq!(error.code, 1_410, "{error}");
        assert!(error.message.contains(&format!("chain {chain} (CNY shard {chain})")), "{error}");
    }
    family.plant(&family.parent, WalletStatus::Active);
    assert_eq!(family.found(&parent).await, Ok(0), "the parent knows what it still has");
    family.plant(&family.parent, WalletStatus::Moved { to: ChainId(1) });
    family.plant(&family.child, WalletStatus::Active);
    assert_eq!((family.found(&parent).await, family.found(&child).await), (Err(1_410), Ok(1)));
}

/// Before the shards double, no wallet is at home on a chain that was only added.
#[tokio::test]
async fn a_chain_that_was_only_added_is_nobody_s_home() {
    let family = Family::new();
    family.plant(&family.parent, WalletStatus::Active);
    for growth in [Growth::Added, Growth::Ready] {
        family.grows(growth);
        assert_eq!(family.found(&family.both()).await, Ok(0));
    }
    let unknown = WalletId([0xfe; 32]);
    assert_eq!(refusal(&family.both(), &api::path::wallet(unknown)).await.0, 1_403);
}

#[tokio::test]
async fn a_history_names_the_chain_at_the_other_end_of_a_move() {
    let mut family = Family::new();
    family.parent.execute(Vec::new(), false);
    family.child.execute(Vec::new(), false);
    family.grows(Growth::Grown);
    for (bank, status, kind) in [
        (&family.parent, WalletStatus::Moved { to: ChainId(1) }, MovementKind::MovedOut),
        (&family.child, WalletStatus::Active, MovementKind::MovedIn),
    ] {
        family.plant(bank, status);
        let movement = Movement { kind, counterparty: family.id, amount: Amount::from_fen(500) };
        let mut set = WriteSet::new();
        set.put(Table::History, key::history(SLOT, 1, 0, 0), movement.encode());
        bank.store.write(set, Durability::Buffered).unwrap();
    }
    for (chain, kind, other) in [(0, MovementName::MovedOut, 1), (1, MovementName::MovedIn, 0)] {
        let path = format!("{}?chain={chain}", api::path::wallet_history(family.id));
        let page: api::HistoryPage = get(&family.both(), &path).await.json();
        let entry = &page.entries[0];
        assert_eq!((entry.kind, entry.other_chain), (kind, Some(other)), "chain {chain}");
    }
}
