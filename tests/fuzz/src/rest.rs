//! Bodies, pages and JSON of the REST contract: requests as a node reads them, answers as a client does.

use api::bulk::{BULK_ANSWER_BYTES, decode_answers, decode_body, encode_answers, encode_body};
use api::feed::{
    ContentsPageWriter, DigestsQuery, FeedPage, FeedPageWriter, decode_batches, decode_bundles,
    decode_outcomes, encode_outcomes,
};
use api::{
    ApiError, BlockView, ChainView, Cursor, FeeEstimates, FeeHistory, HistoryPage, LockView, LocksPage,
    NetworkView, ProposalView, SimulateRequest, Simulation, SubmitAnswer, SubmitRequest, TransactionStatus,
    WalletView,
};
use ledger::records::{Bundle, Transaction};
use ledger::values::{BatchDigest, Canonical};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Target;
use crate::files::json;
use crate::records::{judged, shown};

pub(crate) const TARGETS: &[Target] = &[
    Target::canonical("rest-bulk-body", bulk_body),
    Target::plain("rest-bulk-answers", bulk_answers),
    Target::canonical("rest-submit", submit),
    Target::canonical("rest-simulate", simulate),
    Target::plain("rest-query", query),
    Target::plain("rest-answer", answer),
    Target::canonical("feed-page", feed_page),
    Target::canonical("feed-batches", batch_page),
    Target::canonical("feed-bundles", bundle_page),
    Target::plain("feed-outcomes", outcome_page),
];

fn bulk_body(bytes: &[u8]) {
    let Ok(transactions) = decode_body(bytes) else { return };
    for transaction in transactions.iter().take(8) {
        if let Ok(transaction) = Transaction::decode(transaction) {
            judged(&transaction);
        }
    }
    assert!(encode_body(transactions).is_ok_and(|body| body == bytes));
}

fn bulk_answers(bytes: &[u8]) {
    let Ok(answers) = decode_answers(bytes, bytes.len() / BULK_ANSWER_BYTES) else { return };
    assert!(encode_answers(&answers) == bytes);
    answers.iter().for_each(|answer| shown(&answer.error()));
}

fn submit(bytes: &[u8]) {
    let Some(request) = json::<SubmitRequest>(bytes) else { return };
    let Ok(bytes) = request.bytes() else { return };
    if let Ok(transaction) = Transaction::decode(&bytes) {
        let again = SubmitRequest::new(&transaction).bytes();
        assert!(again.is_ok_and(|again| again == bytes));
    }
}

fn simulate(bytes: &[u8]) {
    let Some(request) = json::<SimulateRequest>(bytes) else { return };
    if let Ok(simulated) = request.read() {
        shown(simulated.content());
    }
}

fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    let query = DigestsQuery { digests: text.to_owned() };
    if let Ok(digests) = query.parse::<BatchDigest>() {
        let again = DigestsQuery::new(&digests).parse::<BatchDigest>();
        assert!(again.is_ok_and(|again| again == digests));
    }
}

/// What a client makes of a node's JSON, whatever it asked for. (Answers hold times as floats, whose last digit may move.)
fn answer(bytes: &[u8]) {
    fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
        let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
        let written = serde_json::to_vec(&value).expect("what was read can be written");
        assert!(serde_json::from_slice::<T>(&written).is_ok(), "what was written can be read");
    }
    let readers = [
        read::<ApiError>,
        read::<BlockView>,
        read::<ChainView>,
        read::<FeeEstimates>,
        read::<FeeHistory>,
        read::<HistoryPage>,
        read::<LockView>,
        read::<LocksPage>,
        read::<NetworkView>,
        read::<ProposalView>,
        read::<Simulation>,
        read::<SubmitAnswer>,
        read::<TransactionStatus>,
        read::<WalletView>,
    ];
    readers.iter().for_each(|read| read(bytes));
}

fn feed_page(bytes: &[u8]) {
    let Ok(page) = FeedPage::decode(bytes) else { return };
    shown(&page);
    let mut writer = FeedPageWriter::new(page.chain, page.from, page.final_height, page.certified_height);
    for entry in &page.entries {
        let result = entry.result.as_ref().map(Canonical::encode);
        assert!(writer.push(&entry.block.encode(), entry.certificate.as_deref(), result.as_deref()));
    }
    assert!(writer.finish() == bytes, "a page of {} blocks is written otherwise", page.entries.len());
}

fn batch_page(bytes: &[u8]) {
    let Ok(batches) = decode_batches(bytes) else { return };
    contents(ContentsPageWriter::batches(), &batches, bytes);
}

fn bundle_page(bytes: &[u8]) {
    let Ok(bundles) = decode_bundles(bytes) else { return };
    contents::<Bundle>(ContentsPageWriter::bundles(), &bundles, bytes);
}

fn contents<T: Canonical>(mut writer: ContentsPageWriter, entries: &[T], bytes: &[u8]) {
    entries.iter().for_each(|entry| assert!(writer.push(&entry.encode())));
    assert!(writer.finish() == bytes, "a page of {} entries is written otherwise", entries.len());
}

fn outcome_page(bytes: &[u8]) {
    let Ok(outcomes) = decode_outcomes(bytes) else { return };
    assert!(encode_outcomes(&outcomes) == bytes);
}
