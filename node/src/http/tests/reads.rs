//! Transactions, wallets, chains, blocks.

use api::chain::{BlockView, ChainView, ChainsView};
use api::transaction::{OperationView, TransactionState, TransactionStatus};
use api::wallet::{HistoryPage, MovementName, TierName, WalletView};
use axum::http::Method;
use ledger::values::{BlockDigest, Currency, Height, TransactionId, WalletId};

use super::bank::Bank;
use super::{get, refusal, with_method};

const CNY: Currency = Currency(*b"CNY");

#[tokio::test]
async fn a_transaction_is_applied_or_rejected_and_certified() {
    let mut bank = Bank::new();
    let story = bank.story();
    let router = bank.router();
    let applied: TransactionStatus = get(&router, &api::path::transaction(story.payment)).await.json();
    let shown = applied.transaction.as_ref().map(|transaction| transaction.currency);
    assert_eq!((applied.currency, shown), (Some(CNY), Some(CNY)));
    assert_eq!(
        (applied.status, applied.height, applied.index),
        (TransactionState::Certified, Some(3), Some(0))
    );
    let outcome = applied.outcome.unwrap();
    assert!(outcome.is_applied && applied.is_certified && outcome.code == 0);
    assert_eq!(applied.proof, Some(api::path::transaction_proof(story.payment)));
    let view = applied.transaction.unwrap();
    assert_eq!((view.id, view.wallet), (story.payment, story.one.id));
    assert!(matches!(view.operation, OperationView::Pay { payments } if payments[0].amount_fen == 12_345));

    let rejected: TransactionStatus = get(&router, &api::path::transaction(story.broke)).await.json();
    let outcome = rejected.outcome.unwrap();
    assert_eq!((outcome.is_applied, outcome.code, outcome.name.as_str()), (false, 205, "insufficient_funds"));

    bank.status.send_modify(|status| status.chain.certified_height = Height(2));
    let final_only: TransactionStatus = get(&router, &api::path::transaction(story.payment)).await.json();
    assert_eq!((final_only.status, final_only.is_certified), (TransactionState::Final, false));
    assert_eq!(final_only.proof, None);
}

#[tokio::test]
async fn an_unknown_transaction_and_a_wrong_id_are_refused() {
    let router = Bank::new().router();
    let unknown = get(&router, &api::path::transaction(TransactionId([9; 32]))).await.error();
    assert_eq!((unknown.code, unknown.is_transient), (1_402, true));
    for path in ["/v1/transactions/zz", "/v1/transactions/zz/proof"] {
        assert_eq!(refusal(&router, path).await, (1_002, Some("id".to_owned())), "{path}");
    }
    let path = format!("{}?wait=soon", api::path::transaction(TransactionId([9; 32])));
    assert_eq!(refusal(&router, &path).await, (1_002, Some("wait".to_owned())));
    let path = format!("{}?timeout=3", api::path::transaction(TransactionId([9; 32])));
    assert_eq!(refusal(&router, &path).await, (1_002, Some("timeout".to_owned())));
}

#[tokio::test]
async fn what_is_below_a_pruned_height_is_refused_with_the_lowest_one() {
    let mut bank = Bank::new();
    let story = bank.story();
    bank.handle.held.prune(Height(3));
    let router = bank.router();
    let chain = bank.chain;
    for path in [
        api::path::block(chain, Height(2)),
        format!("{}?from=2", api::path::feed(chain)),
        api::path::transaction(TransactionId([9; 32])),
    ] {
        let refused = get(&router, &path).await.error();
        assert_eq!(refused.code, 1_408, "{path}");
        assert!(refused.message.contains("from 3 on"), "{path}: {}", refused.message);
    }
    let _block: BlockView = get(&router, &api::path::block(chain, Height(3))).await.json();
    let _known: TransactionStatus = get(&router, &api::path::transaction(story.payment)).await.json();
    let view: ChainView = get(&router, &api::path::chain(chain)).await.json();
    let progress = view.progress.unwrap();
    assert_eq!((progress.pruned_below, progress.lowest_height), (Some(3), Some(3)));
}

#[tokio::test]
async fn a_wallet_is_shown_after_one_height() {
    let mut bank = Bank::new();
    let story = bank.story();
    let router = bank.router();
    let view: WalletView = get(&router, &api::path::wallet(story.one.id)).await.json();
    assert_eq!((view.id, view.chain, view.height, view.certified_height), (story.one.id, 0, 4, 3));
    assert_eq!((view.balance_fen, view.tier, view.operator), (50_000 - 12_345, TierName::Two, 1));
    assert_eq!(view.timestamp_ms, bank.network.spec.timestamp.0 + 4);
    assert_eq!(view.lanes.len(), 2, "as many as the tier has");
    assert_eq!((view.lanes[0].highest, view.lanes[0].next, view.lanes[1].highest), (1, 2, 0));
    assert_eq!(view.policy, story.one.policy().hash());
    let same: WalletView = get(&router, &format!("{}?chain=0", api::path::wallet(story.one.id))).await.json();
    assert_eq!(same, view);
}

#[tokio::test]
async fn wallets_that_are_not_here_are_refused() {
    let mut bank = Bank::new();
    let story = bank.story();
    let router = bank.router();
    let unknown = api::path::wallet(WalletId([9; 32]));
    assert_eq!(refusal(&router, &format!("{unknown}?chain=0")).await, (1_403, Some("id".to_owned())));
    assert_eq!(refusal(&router, &format!("{unknown}/history?chain=0")).await.0, 1_403);
    // Its currency may be the one of the chain that is hosted elsewhere.
    assert_eq!(refusal(&router, &unknown).await, (1_410, Some("id".to_owned())));
    assert_eq!(refusal(&router, &format!("{unknown}/history")).await.0, 1_410);
    assert_eq!(refusal(&router, "/v1/wallets/jz1mistyped").await, (1_002, Some("id".to_owned())));
    let known = api::path::wallet(story.one.id);
    assert_eq!(refusal(&router, &format!("{known}?chain=1")).await, (1_405, Some("chain".to_owned())));
    assert_eq!(refusal(&router, &format!("{known}?chain=7")).await, (1_404, Some("chain".to_owned())));
    assert_eq!(refusal(&router, &format!("{known}?chain=x")).await, (1_002, Some("chain".to_owned())));
    assert_eq!(refusal(&router, &format!("{known}?chian=0")).await, (1_002, Some("chian".to_owned())));
}

#[tokio::test]
async fn a_history_is_turned_page_by_page_without_gap_or_repeat() {
    let mut bank = Bank::new();
    let story = bank.story();
    let router = bank.router();
    let path = api::path::wallet_history(story.two.id);
    let whole: HistoryPage = get(&router, &path).await.json();
    let kinds: Vec<_> =
        whole.entries.iter().map(|entry| (entry.kind, entry.height, entry.amount_fen)).collect();
    let expected =
        [(MovementName::Received, 3, 12_345), (MovementName::Received, 2, 7), (MovementName::Opened, 1, 0)];
    assert_eq!(kinds, expected);
    assert_eq!(whole.entries[0].transaction, Some(story.payment));
    assert_eq!(whole.entries[0].counterparty, story.one.id);
    assert_eq!((whole.next, whole.certified_height), (None, 3));

    let mut turned = Vec::new();
    let mut next = None;
    for _ in 0..4 {
        let before = next.map(|cursor| format!("&before={cursor}")).unwrap_or_default();
        let page: HistoryPage = get(&router, &format!("{path}?limit=1{before}")).await.json();
        turned.extend(page.entries);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(turned, whole.entries);

    for (query, field) in [("limit=0", "limit"), ("limit=1001", "limit"), ("before=1.2", "before")] {
        assert_eq!(
            refusal(&router, &format!("{path}?{query}")).await,
            (1_002, Some(field.to_owned())),
            "{query}"
        );
    }
}

#[tokio::test]
async fn chains_and_blocks_are_shown_with_their_results() {
    let mut bank = Bank::new();
    bank.story();
    let router = bank.router();
    let ChainsView { chains } = get(&router, api::path::CHAINS).await.json();
    assert_eq!(chains.iter().map(|chain| chain.currency.as_str()).collect::<Vec<_>>(), ["CNY", "USD"]);
    assert_eq!(chains[1].progress, None, "hosted elsewhere");
    let progress = chains[0].progress.clone().unwrap();
    assert_eq!((progress.height, progress.certified_height, progress.is_voting), (4, 3, true));
    assert_eq!((progress.supply.issued_fen, progress.supply.holdings_fen), (100_000, 100_000));
    let one: ChainView = get(&router, "/v1/chains/0").await.json();
    assert_eq!(one, chains[0]);
    assert_eq!(get(&router, "/v1/chains/1").await.json::<ChainView>(), chains[1]);

    let block: BlockView = get(&router, "/v1/chains/0/blocks/3").await.json();
    let parent: BlockView = get(&router, "/v1/chains/0/blocks/2").await.json();
    assert_eq!((block.currency, block.height), (CNY, 3));
    assert_eq!((block.parent, block.batches.len()), (parent.digest, 1));
    assert_ne!(block.digest, BlockDigest::default());
    let result = block.result.unwrap();
    assert_eq!((result.executed, result.skipped, result.is_certified), (2, 0, true));
    let last: BlockView = get(&router, "/v1/chains/0/blocks/4").await.json();
    assert!(!last.result.unwrap().is_certified);
    assert_eq!(
        progress.state_root,
        get(&router, "/v1/chains/0/blocks/4").await.json::<BlockView>().result.unwrap().state_root
    );

    for (path, code, field) in [
        ("/v1/chains/0/blocks/5", 1_406, "height"),
        ("/v1/chains/0/blocks/0", 1_406, "height"),
        ("/v1/chains/0/blocks/-1", 1_002, "height"),
        ("/v1/chains/1/blocks/1", 1_405, "chain"),
        ("/v1/chains/9", 1_404, "chain"),
        ("/v1/chains/cny", 1_002, "chain"),
        ("/v1/chains/0/blocks/9/outcomes", 1_406, "height"),
    ] {
        assert_eq!(refusal(&router, path).await, (code, Some(field.to_owned())), "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_like_everything_else() {
    let router = Bank::new().router();
    assert_eq!(refusal(&router, "/v2/chains").await.0, 1_401);
    assert_eq!(refusal(&router, "/v1/wallets/").await.0, 1_401);
    let answer = with_method(&router, Method::DELETE, api::path::CHAINS).await;
    assert_eq!(answer.error().code, 1_006);
    let answer = with_method(&router, Method::GET, api::path::TRANSACTIONS).await;
    assert_eq!(answer.error().code, 1_006);
}
