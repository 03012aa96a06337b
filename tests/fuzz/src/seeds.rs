//! Where the search begins: one small good input or more for each target, made of the ledger's frozen vectors. They lie in
//! `corpus/NAME/` beside what the fuzzer found; a test compares them, and writes them with `FUZZ_WRITE_SEEDS=1`.

use genesis::governance::{KeyProofs, SeatOffer};
use genesis::{Approval, Contribution, GenesisFile, NodeOffer, OperatorOffer, Template};
use ledger::proofs::{BalanceProof, CertifiedResult, ChainOrigin, Proof, ProofFile, SetChain};
#[cfg(feature = "rest")]
use ledger::records::BlockHeader;
use ledger::records::{Bundle, OperatorRole, Policy, Proposal, Record, Transaction, TransactionContent};
use ledger::state::{StateHead, Undo};
use ledger::values::{
    AppendTree, Canonical, ChainId, LockId, NodeIndex, OpeningRequest, RecordId, SecretKey, Slot, WalletId,
};
use serde::Serialize;
use wallet::PartialTransaction;

use crate::world::world;

const VECTORS: &str = include_str!("../../../ledger/tests/vectors/records.txt");

/// An input that decodes.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Its target.
    pub target: &'static str,
    /// Its file in the target's folder.
    pub file: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The bytes of a frozen record.
///
/// # Panics
/// Where the vectors do not have it.
#[must_use]
pub fn vector(name: &str) -> Vec<u8> {
    let mut lines = VECTORS.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|line| line[0] == name).unwrap_or_else(|| panic!("{name} is frozen"));
    let digits = line[2].as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("hexadecimal")).collect()
}

fn read<T: Canonical>(name: &str) -> T {
    T::decode(&vector(name)).expect("a frozen record decodes")
}

/// Every seed, the same in every run.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut seed = |target, file: &str, bytes: Vec<u8>| {
        seeds.push(Seed { target, file: file.to_owned(), bytes });
    };
    // The longest name that a vector begins with is its target.
    let mut names: Vec<&'static str> = crate::records::TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
    for line in VECTORS.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        if let Some(target) = names.iter().find(|target| name.starts_with(**target)) {
            seed(*target, name, vector(name));
        }
    }
    proofs(&mut seed);
    files(&mut seed);
    for (target, file, text) in texts() {
        seed(target, file, text.into_bytes());
    }
    #[cfg(feature = "rest")]
    rest(&mut seed);
    node(&mut seed);
    seeds
}

fn certified() -> CertifiedResult {
    read::<SetChain>("set-chain").links.remove(0).certified
}

/// Two receipts; what proves them does not matter here.
fn bundle() -> Bundle {
    Bundle {
        destination: ChainId(0),
        before: AppendTree::default(),
        total_before: 0,
        receipts: vec![read("receipt-credit-sent-on"), read("receipt-end")],
        after: Vec::new(),
        path: Vec::new(),
        sets: read::<SetChain>("set-chain").links,
        certified: certified(),
    }
}

fn proofs(seed: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let certified = certified();
    seed("certified-result", "certified-result", certified.encode());
    seed("certificate", "certificate", certified.finality.bytes.clone());
    seed("bundle", "bundle", bundle().encode());
    let registry =
        genesis::dev::uncertified_registry(&world().spec).expect("the frozen genesis has a root chain");
    seed("registry-proof", "registry-proof", registry.encode());
    let Record::Wallet(wallet) = read::<Record>("record-wallet") else { unreachable!("a wallet was frozen") };
    let origin = read::<ChainOrigin>("chain-origin");
    let balance = BalanceProof {
        certified: certified.clone(),
        parts: origin.parts,
        slot: Slot(1),
        wallet,
        path: Vec::new(),
    };
    let sets = read::<SetChain>("set-chain");
    for (file, proof) in [("supply", Proof::Supply(certified)), ("balance", Proof::Balance(balance))] {
        let file_bytes = ProofFile { genesis: world().genesis, sets: sets.clone(), proof }.encode();
        seed("proof-file", file, file_bytes);
    }
    let undo = Undo {
        head: read::<StateHead>("state-head"),
        registry: None,
        records: vec![(Slot(3), read("record-wallet")), (Slot(5), read("record-lock-hash"))],
        opened: vec![(RecordId([6; 32]), Slot(7))],
    };
    seed("undo", "undo", undo.encode());
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("it can be written")
}

fn files(seed: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let network = &world().local;
    let genesis = network.spec.hash();
    let file = GenesisFile::from_spec(&network.spec);
    seed("file-genesis", "localnet", pretty(&file));
    let template = Template::of(&network.spec);
    seed("file-template", "template", pretty(&template));
    let bank = &network.banks[0];
    let operator_key = &bank.operator.operator_key;
    let consensus: Vec<(ChainId, &SecretKey)> =
        bank.validators.iter().map(|(chain, _, key)| (*chain, key)).collect();
    let (key, address) = (operator_key.public_key(), "127.0.0.1:7000");
    let node =
        NodeOffer::prove(&template, key, address, &bank.network_key, &consensus).expect("a good offer");
    seed("file-node-offer", "node-offer", pretty(&node));
    let wallet_policy = Policy::single(bank.operator.wallet_key.public_key());
    let operator = OperatorOffer { name: "bank-1".into(), role: OperatorRole::Bank, wallet_policy };
    let contribution = Contribution::sign(&template, operator, vec![node], operator_key);
    let contribution = contribution.expect("a good contribution");
    seed("file-contribution", "contribution", pretty(&contribution));
    seed("file-approval", "approval", pretty(&Approval::sign(&file, operator_key).expect("an operator")));
    let seat_key = SecretKey::from_seed([9; 32]);
    let seat = SeatOffer::prove(genesis, ChainId(0), NodeIndex(0), &bank.network_key, &seat_key);
    seed("file-seat-offer", "seat-offer", pretty(&seat));
    let proofs = KeyProofs { contributions: vec![contribution], seats: vec![seat], possessions: Vec::new() };
    seed("file-key-proofs", "key-proofs", pretty(&proofs));
    seed("file-proposal", "uncertified", proposal_file(&proofs));
    seed("file-key", "operator-key", KEY_FILE.as_bytes().to_vec());
    let key = SecretKey::from_seed([4; 32]);
    let policy = Policy::single(key.public_key());
    let content = TransactionContent { policy, ..read::<Transaction>("transaction-sponsored").content };
    let mut partial = PartialTransaction::new(world().genesis, content);
    partial.sign(&key).expect("a key of the policy");
    seed("file-partial", "sponsored", partial.to_json().expect("it can be written").into_bytes());
}

/// All of a proposal's file but a certificate, which nobody here can sign.
fn proposal_file(proofs: &KeyProofs) -> Vec<u8> {
    let spec = &world().local.spec;
    let registry = genesis::dev::uncertified_registry(spec).expect("a root chain");
    let proposal: Proposal = read("proposal");
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    pretty(&serde_json::json!({
        "format": 1,
        "genesis_hash": spec.hash().to_string(),
        "proposal_hash": proposal.hash(spec.hash()).to_string(),
        "reason": proposal.reason,
        "changes_version": proposal.version,
        "valid_until_ms": proposal.valid_until.0,
        "is_urgent": proposal.is_urgent,
        "changes": [],
        "proposal": hex(proposal.encode()),
        "registry": hex(registry.encode()),
        "proofs": proofs,
        "approvals": [],
    }))
}

/// As `KeyFile::seal` writes it; its salt and nonce would be others in every run.
const KEY_FILE: &str = r#"{
  "format": 1,
  "kind": "operator_key",
  "label": "cold",
  "public_keys": [
    {"role": "operator", "key": "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"}
  ],
  "kdf": {
    "name": "argon2id",
    "params": {"memory_kib": 19456, "passes": 2, "lanes": 1},
    "salt": "000102030405060708090a0b0c0d0e0f"
  },
  "cipher": {"name": "chacha20_poly1305", "nonce": "000102030405060708090a0b"},
  "ciphertext": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
}
"#;

fn texts() -> Vec<(&'static str, &'static str, String)> {
    let policy = Policy::single(SecretKey::from_seed([4; 32]).public_key()).hash();
    vec![
        ("text-id", "wallet", WalletId([1; 32]).to_string()),
        ("text-id", "lock", LockId([2; 32]).to_string()),
        ("text-id", "opening", OpeningRequest { policy, salt: [2; 16] }.to_string()),
        ("text-id", "hash", world().genesis.to_string()),
        ("text-id", "currency", "CNY".into()),
        ("text-amount", "largest", "184467440737095516.15".into()),
        ("text-amount", "tenths", "12.3".into()),
        ("text-list", "two-currencies", "CNY:2,HKD:1".into()),
    ]
}

#[cfg(feature = "rest")]
fn rest(seed: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    use api::bulk::{BulkAnswer, encode_answers, encode_body};
    use api::feed::{ContentsPageWriter, FeedPageWriter, encode_outcomes};
    use api::{ApiError, ErrorCode, SimulateRequest, SubmitAnswer, SubmitRequest, SubmitStatus};
    let transaction: Transaction = read("transaction");
    let bodies = [vector("transaction"), vector("transaction-two-of-three")];
    let body = encode_body(bodies.iter().map(Vec::as_slice)).expect("a small body");
    seed("rest-bulk-body", "two", body);
    let refused = BulkAnswer { status: SubmitStatus::Refused, code: 11_010 };
    let accepted = BulkAnswer { status: SubmitStatus::Accepted, code: 0 };
    seed("rest-bulk-answers", "two", encode_answers(&[accepted, refused]));
    seed("rest-submit", "submit", pretty(&SubmitRequest::new(&transaction)));
    seed("rest-simulate", "signed", pretty(&SimulateRequest::signed(&transaction)));
    seed("rest-simulate", "unsigned", pretty(&SimulateRequest::unsigned(&transaction.content)));
    seed("rest-query", "cursor", b"12.0.3".to_vec());
    seed("rest-query", "digests", format!("{0},{0}", world().genesis).into_bytes());
    let error = ApiError::from(ErrorCode::MalformedParameter).at("digests");
    seed("rest-answer", "error", pretty(&error));
    let answer =
        SubmitAnswer { status: SubmitStatus::Refused, id: None, transaction: None, error: Some(error) };
    seed("rest-answer", "submitted", pretty(&answer));
    let header: BlockHeader = read("block-header");
    let mut page = FeedPageWriter::new(header.chain, header.height, header.height, header.height);
    let certificate = certified().finality.bytes;
    assert!(page.push(&vector("block"), Some(&certificate), Some(&vector("result"))));
    assert!(page.push(&vector("block"), None, None));
    seed("feed-page", "two", page.finish());
    let mut page = ContentsPageWriter::batches();
    assert!(page.push(&vector("batch")));
    seed("feed-batches", "one", page.finish());
    let mut page = ContentsPageWriter::bundles();
    assert!(page.push(&bundle().encode()));
    seed("feed-bundles", "one", page.finish());
    seed("feed-outcomes", "two", encode_outcomes(&[read("outcome"), read("outcome")]));
}

/// What nodes send and keep, byte by byte as the protocol page says: so they are written without the crates that read them.
fn node(seed: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let number = |number: u64| number.to_le_bytes().to_vec();
    let list = |entries: &[&[u8]]| [number(entries.len() as u64), entries.concat()].concat();
    let chain = |chain: u32| chain.to_le_bytes().to_vec();
    let (block, certificate) = (vector("block"), certified().finality.bytes);
    let certificate = [number(certificate.len() as u64), certificate].concat();
    let frames = [
        ("acknowledge", list(&[&[1; 32]])),
        ("announce", [number(7), vec![6; 32]].concat()),
        ("request-batches", list(&[&[2; 32], &[3; 32]])),
        ("request-block", vec![4; 32]),
        ("request-blocks", number(5)),
        ("block", block.clone()),
        ("batch", vector("batch")),
        ("final-blocks", [list(&[&block, &block]), certificate].concat()),
        ("bundle", bundle().encode()),
        ("request-bundles", list(&[&[5; 32]])),
    ];
    let tagged = |(tag, (file, body)): (u8, (&'static str, Vec<u8>))| (file, [vec![tag], body].concat());
    let frames: Vec<(&str, Vec<u8>)> = (0..).zip(frames).map(tagged).collect();
    let with_length = |frame: &Vec<u8>| [&(frame.len() as u32).to_be_bytes()[..], frame].concat();
    seed("stream", "three", frames.iter().take(3).flat_map(|(_, frame)| with_length(frame)).collect());
    for (file, frame) in frames {
        seed("frame-chain", file, frame);
    }
    seed("frame-chain", "pruned", [vec![16], number(9)].concat());
    seed("frame-relay", "ask", [vec![0], chain(1), chain(2)].concat());
    seed("frame-relay", "received", [vec![1], chain(1), chain(2), number(3), number(4)].concat());
    seed("frame-relay", "bundle", [vec![2], chain(2), b"a bundle".to_vec()].concat());
    seed("frame-consensus", "vote", [number(7), b"a vote".to_vec()].concat());

    seed("row-outcomes", "two", list(&[&vector("outcome"), &vector("outcome")]));
    seed("row-sent", "credit", [number(5), vector("receipt-credit-sent-on")].concat());
    seed("row-outboxes", "one", list(&[&[chain(1), number(1), list(&[&[4; 32]])].concat()]));
    seed("row-proposal", "two", [number(2), number(3), b"abc".to_vec(), number(0)].concat());
    seed("row-divergence", "found", [vec![9; 88], vec![0; 8]].concat());
    seed("row-evidence", "votes", [&[1; 10][..], &[3], b"abc", b"proof"].concat());
    seed("row-key", "receipt", vec![1; 12]);
    seed("row-key", "history", vec![2; 22]);
    seed("row-key", "proposal", vec![3; 40]);
    seed("node-config", "node", include_bytes!("../../../docs/node.toml").to_vec());
}
