//! Frozen vectors: bytes and hashes that must never change within a format. A difference is a new format,
//! never a refactoring. `LEDGER_WRITE_VECTORS=1 cargo test` writes them anew; the diff is then reviewed like
//! a protocol change.

use std::fmt::Write as _;
use std::path::Path;

use ledger::proofs::consensus_namespace;
use ledger::records::{Operation, Registry, Tier};
use ledger::values::{Amount, Hash, Hasher};

use crate::network::{CHAIN, Network, pay};
use crate::samples::{samples, two_of_three};

/// Compares with the frozen file, or writes it when asked.
fn frozen(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    let before = if std::env::var_os("LEDGER_WRITE_VECTORS").is_some() {
        std::fs::write(&path, now).unwrap();
        now.to_owned()
    } else {
        std::fs::read_to_string(&path).unwrap()
    };
    for (number, (before, now)) in before.lines().zip(now.lines()).enumerate() {
        assert_eq!(before, now, "{name}, line {}", number + 1);
    }
    assert_eq!(before, now, "{name}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// One line per record: name, encoding, SHA-256 tagged `test`.
#[test]
fn encodings() {
    let mut text = String::new();
    for sample in samples() {
        writeln!(
            text,
            "{} {} {}",
            sample.name,
            Hasher::new("test").bytes(&sample.bytes).finish(),
            hex(&sample.bytes)
        )
        .unwrap();
    }
    frozen("records.txt", &text);
}

/// Every identity that is a hash.
#[test]
fn hashes() {
    let mut network = Network::new();
    let transaction = two_of_three(&network);
    let genesis = network.genesis;
    let summary = transaction.summary(genesis);
    let (digest, batch) = network.seal(vec![transaction.clone()]);
    let block = network.block(&[(digest, batch)]);
    let registry = Registry::from_genesis(&network.spec);
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| writeln!(text, "{name} {value}").unwrap();
    line("genesis", &genesis);
    line("registry", &registry.hash());
    line("policy", &transaction.content.policy.hash());
    line("wallet-of-operator-1", &network.operator(1).wallet);
    line("transaction-id", &summary.id);
    line("transaction-hash", &summary.hash);
    line("batch", &digest);
    line("block-body", &block.body.hash());
    line("block", &block.header.digest(genesis));
    line("genesis-block", &network.parent.digest);
    line("genesis-state", &network.genesis_result.state);
    line("genesis-outcomes", &network.genesis_result.outcomes);
    line("genesis-outbox", &network.genesis_result.outbox);
    line("genesis-result", &network.genesis_result.hash(genesis));
    line("consensus-namespace", &hex(&consensus_namespace(genesis, CHAIN)));
    frozen("hashes.txt", &text);
}

/// A scripted history: per height the block, the parts of the state and the result.
#[test]
fn history() {
    let mut network = Network::new();
    network.open(0..5, Tier::One);
    network.fund(&network.customer(0).wallet, 10_000);
    let payer = network.customer(0);
    let to = |customer: u64, fen| (network.customer(customer).wallet, fen);
    let pays = vec![
        network.transaction(&payer, 1, pay(&[to(1, 100), to(2, 200)])),
        network.transaction(&payer, 3, pay(&[to(3, 50_000)])),
        network.transaction(&payer, 3, pay(&[to(3, 1)])),
        network.transaction(&payer, 2, pay(&[to(4, 1), to(4, 2)])),
    ];
    network.run(pays);
    network.act(&network.operator(1), Operation::Redeem { amount: Amount::ZERO });
    network.run(Vec::new());
    let mut text = String::new();
    for (block, _, execution) in &network.heights {
        let result = &execution.result;
        writeln!(text, "height {}", result.height).unwrap();
        for (name, hash) in [
            ("block", Hash(block.header.digest(network.genesis).0)),
            ("state", Hash(result.state.0)),
            ("outcomes", Hash(result.outcomes.0)),
            ("result", Hash(execution.result_hash.0)),
        ] {
            writeln!(text, "  {name} {hash}").unwrap();
        }
        let codes: Vec<u16> = execution.outcomes.iter().map(|outcome| outcome.code).collect();
        writeln!(
            text,
            "  codes {codes:?} skipped {} holdings {}",
            result.skipped,
            result.supply.holdings.fen()
        )
        .unwrap();
    }
    let parts = network.state.parts();
    writeln!(text, "parts {parts:?}").unwrap();
    frozen("history.txt", &text);
}

/// The code tables of `docs/protocol.md` are those of the code.
#[test]
fn the_protocol_page_lists_every_code() {
    use ledger::records::{NotExecuted, Rejection};
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md")).unwrap();
    let yes = |transient: bool| if transient { "yes" } else { "no" };
    for rejection in Rejection::ALL {
        let row =
            format!("| {} | {} | {} |", rejection.code(), rejection.name(), yes(rejection.is_transient()));
        assert!(page.contains(&row), "{row}");
    }
    for (code, name) in NotExecuted::ALL {
        let row = format!("| {code} | {} | ", snake_case(name));
        assert!(page.contains(&row), "{row}");
    }
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
