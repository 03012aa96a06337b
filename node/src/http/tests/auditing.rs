//! What strangers check: proofs, the feed, evidence.

use std::time::Duration;

use api::evidence::EvidencePage;
use api::feed::{DigestsQuery, FeedPage, decode_batches, decode_bundles, decode_outcomes};
use bytes::Bytes;
use chain::{Archive, Chain, ChainConfig, Effect, Frame, Input, Now, Recovered};
use ledger::proofs::{Fact, ProofFile};
use ledger::records::block::genesis_block_digest;
use ledger::records::{Batch, BatchContent, Bundle, Receipt, Transaction};
use ledger::rules::{ChainRules, check_signatures};
use ledger::values::{
    Amount, AppendTree, BatchDigest, Canonical as _, ChainId, Epoch, Height, KeyCache, NodeIndex, Sequential,
    TimestampMs, TransactionId, WalletId,
};
use storage::{Durability, Table, WriteSet, key};

use super::bank::{Bank, CHAIN};
use super::{get, refusal};
use crate::config::RestLimits;
use crate::questions::WALLET_QUESTIONS_MAX;
use crate::tokens::Tokens;

#[tokio::test]
async fn a_proof_convinces_with_the_genesis_spec_alone() {
    let mut bank = Bank::new();
    let story = bank.story();
    let router = bank.router();
    for (id, code) in [(story.payment, 0), (story.broke, 205)] {
        let answer = get(&router, &api::path::transaction_proof(id)).await;
        assert_eq!(answer.headers["content-type"], "application/octet-stream");
        let file = ProofFile::decode(&answer.body).unwrap();
        let proven = file.verify(&bank.network.spec).unwrap();
        assert_eq!((proven.chain, proven.height), (CHAIN, Height(3)));
        assert!(
            matches!(proven.fact, Fact::Outcome { id: found, outcome } if found == id && outcome.code == code)
        );
    }
}

#[tokio::test]
async fn an_early_outcome_is_proved_through_links_to_a_later_claim() {
    let mut bank = Bank::new();
    let issue = bank.issue(500);
    let id = issue.id(bank.genesis);
    bank.execute(vec![issue], false);
    for _ in 0..3 {
        bank.execute(Vec::new(), false);
    }
    let router = bank.router();
    assert_eq!(refusal(&router, &api::path::transaction_proof(id)).await.0, 1_409);
    bank.execute(Vec::new(), true);
    let file = ProofFile::decode(&get(&router, &api::path::transaction_proof(id)).await.body).unwrap();
    assert_eq!(file.proof.certified().links.len(), 3);
    assert_eq!(file.verify(&bank.network.spec).unwrap().height, Height(1));
    assert_eq!(refusal(&router, &api::path::transaction_proof(TransactionId([9; 32]))).await.0, 1_402);
}

#[tokio::test]
async fn a_wallet_is_proved_at_the_executed_height_once_that_is_certified() {
    let mut bank = Bank::new();
    let story = bank.story();
    let (router, nobody) = (bank.router(), bank.customer(99).id);
    for (case, id) in [("a wallet", story.one.id), ("no wallet", nobody)] {
        let path = format!("{}?chain=0", api::path::wallet_proof(id));
        let asked = tokio::spawn({
            let router = router.clone();
            async move { get(&router, &path).await }
        });
        bank.answer_question().await;
        // What happens after the answer is not in the proof.
        let (one, two) = (story.one.clone(), story.two.clone());
        let late = bank.pay(&one, &two, 1);
        let height = bank.execute(vec![late], false);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!asked.is_finished(), "{case}: no certificate covers it yet");
        bank.execute(Vec::new(), true);
        let answer = asked.await.unwrap();
        assert_eq!(answer.headers["content-type"], "application/octet-stream", "{case}");
        let file = ProofFile::decode(&answer.body).unwrap();
        let proven = file.verify(&bank.network.spec).unwrap();
        assert_eq!((proven.chain, proven.height), (CHAIN, Height(height.0 - 1)), "{case}");
        match proven.fact {
            Fact::Wallet { wallet } if id == story.one.id => {
                assert_eq!((wallet.id, wallet.balance.fen()), (id, 50_000 - 12_345));
            }
            Fact::NoWallet { wallet } => assert_eq!(wallet, nobody),
            other => panic!("{case}: {other:?}"),
        }
        // Whatever byte is flipped, nothing wrong is proved: the codec or a named fault refuses it. Only another id that
        // the same path leads past is absent too.
        for place in 0..answer.body.len() {
            let mut forged = answer.body.to_vec();
            forged[place] ^= 1;
            let verdict = ProofFile::decode(&forged).map(|file| file.verify(&bank.network.spec));
            let Ok(Ok(proven)) = verdict else { continue };
            let is_other = matches!(proven.fact, Fact::NoWallet { wallet } if wallet != nobody);
            assert!(is_other && id == nobody, "{case}: byte {place} of {}: {proven:?}", forged.len());
        }
    }
}

#[tokio::test]
async fn a_wallet_s_proof_is_refused_in_words() {
    let limits = RestLimits { wait_ms: 100, ..RestLimits::default() };
    let mut bank = Bank::with(Tokens::default(), limits);
    let story = bank.story();
    let (router, path) = (bank.router(), api::path::wallet_proof(story.one.id));
    let ((code, _), ()) = tokio::join!(refusal(&router, &path), bank.answer_question());
    assert_eq!(code, 1_409, "no certificate in time");
    assert_eq!(refusal(&router, &format!("{path}?chain=1")).await, (1_405, Some("chain".to_owned())));
    assert_eq!(refusal(&router, "/v1/wallets/jz1mistyped/proof").await, (1_002, Some("id".to_owned())));
    let waiting: Vec<_> = (0..WALLET_QUESTIONS_MAX)
        .map(|_| {
            let (router, path) = (router.clone(), path.clone());
            tokio::spawn(async move { refusal(&router, &path).await.0 })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(refusal(&router, &path).await.0, 1_303, "the line is full");
    for _ in &waiting {
        bank.answer_question().await;
    }
    for one in waiting {
        assert_eq!(one.await.unwrap(), 1_409);
    }
    drop(bank.queue);
    assert_eq!(refusal(&router, &path).await.0, 1_504, "the chain is stopping");
}

#[tokio::test]
async fn without_a_quorum_a_missing_proof_says_that_nothing_is_certified() {
    let limits = RestLimits { wait_ms: 100, ..RestLimits::default() };
    let mut bank = Bank::with(Tokens::default(), limits);
    let story = bank.story();
    let issue = bank.issue(500);
    let id = issue.id(bank.genesis);
    bank.execute(vec![issue], false);
    let (router, wallet) = (bank.router(), api::path::wallet_proof(story.one.id));
    for (connected, cause, mend) in [
        (vec![2], "results are not being certified", "ask another bank's node"),
        (vec![1, 2, 3], "no quorum has certified it yet", "ask again in a moment"),
    ] {
        bank.connections.send_replace(connected);
        let (waited, ()) = tokio::join!(get(&router, &wallet), bank.answer_question());
        let at_once = get(&router, &api::path::transaction_proof(id)).await;
        for answer in [waited, at_once] {
            let error = answer.error();
            assert_eq!((error.code, error.is_transient, error.retry_after_ms), (1_409, true, Some(2_000)));
            assert!(error.message.contains(cause) && error.mend.contains(mend), "{error}");
        }
    }
}

#[tokio::test]
async fn the_feed_gives_every_block_its_batches_and_its_outcomes() {
    let mut bank = Bank::new();
    bank.story();
    let router = bank.router();
    let page = FeedPage::decode(&get(&router, "/v1/chains/0/feed?from=1").await.body).unwrap();
    assert_eq!((page.from, page.final_height, page.certified_height), (Height(1), Height(4), Height(3)));
    assert_eq!(page.entries.len(), 4);
    let mut parent = genesis_block_digest(bank.genesis, CHAIN);
    for entry in &page.entries {
        let (header, body) = (&entry.block.header, &entry.block.body);
        assert_eq!((header.parent, header.body), (parent, body.hash()));
        parent = header.digest(bank.genesis);
        assert_eq!(entry.certificate.is_some(), header.height.0 % 2 == 0);
        let result = entry.result.as_ref().unwrap();
        assert_eq!((result.height, result.block), (header.height, parent));
        let path = api::path::block_outcomes(CHAIN, header.height);
        let outcomes = decode_outcomes(&get(&router, &path).await.body).unwrap();
        assert_eq!(outcomes.len(), usize::try_from(result.executed).unwrap());
        if body.batches.is_empty() {
            continue;
        }
        let query = DigestsQuery::new(&body.batches).digests;
        let answer = get(&router, &format!("/v1/chains/0/batches?digests={query}")).await;
        let batches = decode_batches(&answer.body).unwrap();
        let digests: Vec<_> = batches.iter().map(|batch| batch.content.digest(bank.genesis)).collect();
        assert_eq!(digests, body.batches);
    }
}

#[tokio::test]
async fn bundles_are_given_by_digest_in_the_order_asked() {
    let mut bank = Bank::new();
    bank.story();
    let certified = Archive::new(bank.store.as_ref()).certified_result(Height(3)).unwrap().unwrap();
    let bundle = |transaction: u8| Bundle {
        destination: ChainId(1),
        before: AppendTree::default(),
        total_before: 0,
        receipts: vec![Receipt::Credit {
            transaction: TransactionId([transaction; 32]),
            part: 0,
            payer: WalletId([1; 32]),
            payee: WalletId([2; 32]),
            amount: Amount::from_fen(5),
            origin: None,
        }],
        after: Vec::new(),
        path: Vec::new(),
        sets: Vec::new(),
        certified: certified.clone(),
    };
    let bundles = [bundle(2), bundle(1)];
    let digests = bundles.each_ref().map(|bundle| bundle.digest(bank.genesis));
    let mut set = WriteSet::new();
    for (digest, bundle) in digests.iter().zip(&bundles) {
        set.put(Table::Bundles, digest.0, bundle.encode());
    }
    bank.store.write(set, Durability::Buffered).unwrap();
    let router = bank.router();
    let query = DigestsQuery::new(&digests).digests;
    let answer = get(&router, &format!("{}?digests={query}", api::path::bundles(CHAIN))).await;
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    assert_eq!(decode_bundles(&answer.body).unwrap(), bundles);
}

#[tokio::test]
async fn the_feed_is_paged_and_bounded() {
    let mut bank = Bank::new();
    bank.story();
    let router = bank.router();
    let page = FeedPage::decode(&get(&router, "/v1/chains/0/feed?from=2&limit=2").await.body).unwrap();
    let heights: Vec<_> = page.entries.iter().map(|entry| entry.block.header.height.0).collect();
    assert_eq!(heights, [2, 3]);
    let page = FeedPage::decode(&get(&router, "/v1/chains/0/feed?from=5").await.body).unwrap();
    assert!(page.entries.is_empty());
    let unknown = BatchDigest([9; 32]);
    let digests = vec![unknown.to_string(); 65].join(",");
    for (path, code, field) in [
        ("/v1/chains/0/feed".to_owned(), 1_002, "from"),
        ("/v1/chains/0/feed?from=0".to_owned(), 1_002, "from"),
        ("/v1/chains/0/feed?from=1&limit=257".to_owned(), 1_002, "limit"),
        ("/v1/chains/1/feed?from=1".to_owned(), 1_405, "chain"),
        ("/v1/chains/0/batches".to_owned(), 1_002, "digests"),
        (format!("/v1/chains/0/batches?digests={unknown}"), 1_407, "digests"),
        ("/v1/chains/0/batches?digests=zz".to_owned(), 1_002, "digests"),
        (format!("/v1/chains/0/batches?digests={digests}"), 1_002, "digests"),
        ("/v1/chains/0/bundles".to_owned(), 1_002, "digests"),
        (format!("/v1/chains/0/bundles?digests={unknown}"), 1_411, "digests"),
        ("/v1/chains/0/bundles?digests=zz".to_owned(), 1_002, "digests"),
        (format!("/v1/chains/0/bundles?digests={digests}"), 1_002, "digests"),
        (format!("/v1/chains/1/bundles?digests={unknown}"), 1_405, "chain"),
    ] {
        assert_eq!(refusal(&router, &path).await, (code, Some(field.to_owned())), "{path}");
    }
}

#[tokio::test]
async fn evidence_is_listed_oldest_first() {
    let bank = Bank::new();
    let mut set = WriteSet::new();
    for sequence in 5_u64..8 {
        let (epoch, seat) = (0_u64.to_le_bytes(), 2_u16.to_le_bytes());
        let value =
            [epoch.as_slice(), &seat, &[19_u8], b"contradicting_votes", &[sequence as u8; 3]].concat();
        set.put(Table::Evidence, key::sequence(sequence), value);
    }
    bank.store.write(set, Durability::Buffered).unwrap();
    let router = bank.router();
    let page: EvidencePage = get(&router, "/v1/evidence?limit=2").await.json();
    let found: Vec<_> = page.records.iter().map(|record| (record.sequence, record.bytes.clone())).collect();
    assert_eq!(found, [(5, vec![5; 3]), (6, vec![6; 3])]);
    let seat = &bank.network.spec.chains[0].validators[2];
    assert_eq!((page.records[0].seat, page.records[0].operator), (2, Some(seat.operator.0)));
    assert_eq!((page.records[0].kind.as_str(), page.next), ("contradicting_votes", Some(7)));
    let rest: EvidencePage = get(&router, "/v1/evidence?from=7").await.json();
    assert_eq!(rest.records.len(), 1);
    let end: EvidencePage = get(&router, "/v1/evidence?from=8").await.json();
    assert_eq!((end.records.len(), end.next), (0, None));
    assert_eq!(refusal(&router, "/v1/evidence?limit=101").await, (1_002, Some("limit".to_owned())));
    assert_eq!(refusal(&router, "/v1/evidence?chain=1").await, (1_405, Some("chain".to_owned())));
}

/// What the misdeeds of a peer leave behind: its frames go through the chain's state machine, and what that wants written, checked and told is
/// done as the driver does it.
#[tokio::test]
async fn misdeeds_of_a_peer_are_listed_with_what_proves_them_and_counted() {
    let mut bank = Bank::new();
    let rules = ChainRules::at_genesis(&bank.network.spec, CHAIN).unwrap();
    let recovered = Recovered::read(&rules, bank.store.as_ref()).unwrap();
    let config = ChainConfig::first_epoch(rules, NodeIndex(0), None);
    let seat = config.validator_of(NodeIndex(2)).unwrap();
    let mut chain = Chain::new(config, recovered);
    let now = Now { wall: TimestampMs(bank.network.spec.timestamp.0 + 1_000), elapsed_ms: 10_000 };

    // A payment that somebody else has signed, under the validator's own seal; and bytes that are no batch, twice.
    let (one, other) = (bank.issue(5), bank.issue(6));
    let content = BatchContent {
        chain: CHAIN,
        epoch: Epoch(0),
        sealer: seat,
        sequence: 1,
        expires: TimestampMs(now.wall.0 + 30_000),
        transactions: vec![Transaction { signatures: other.signatures, ..one }],
    };
    let (_, sealed) = content.seal(bank.genesis, &bank.consensus_key(seat.0));
    let garbage = b"no batch".to_vec();
    let metrics = bank.edge.chain_metrics(CHAIN).unwrap();
    let keys = KeyCache::default();
    for bytes in [sealed.encode(), garbage.clone(), garbage.clone()] {
        let bytes = Frame::Batch(Bytes::from(bytes)).encode();
        let mut inputs = vec![Input::Frame { from: NodeIndex(2), bytes }];
        while let Some(input) = inputs.pop() {
            for effect in chain.step(now, input) {
                match effect {
                    Effect::Persist { set, durability, .. } => bank.store.write(set, durability).unwrap(),
                    Effect::Report(report) => metrics.report(&report),
                    Effect::VerifySignatures { digest, batch } => {
                        let all: Vec<&Transaction> = batch.content.transactions.iter().collect();
                        let checked = check_signatures(&all, bank.genesis, &[1; 32], &keys, &Sequential);
                        inputs.push(Input::SignaturesChecked { digest, first_bad: checked.err() });
                    }
                    _ => {}
                }
            }
        }
    }

    let router = bank.router();
    let page: EvidencePage = get(&router, "/v1/evidence").await.json();
    let operator = bank.network.spec.chains[0].validators[usize::from(seat.0)].operator.0;
    let found: Vec<_> =
        page.records.iter().map(|record| (record.kind.as_str(), record.seat, record.operator)).collect();
    assert_eq!(
        found,
        [("sealed_bad_signature", seat.0, Some(operator)), ("malformed_batch", seat.0, Some(operator)),]
    );
    // Whoever holds it can convince others: the seal is the validator's, and the signature in it is wrong.
    assert_eq!(Batch::decode(&page.records[0].bytes).unwrap(), sealed);
    assert_eq!(page.records[1].bytes, garbage);
    let page = get(&router, api::path::METRICS).await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    for line in [
        "jiaozi_chain_evidence_records_total{chain=\"0\"} 2",
        "jiaozi_chain_evidence_dropped_total{chain=\"0\",kind=\"malformed_batch\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}
