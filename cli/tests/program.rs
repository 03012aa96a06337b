//! The program as others see it: exit codes, streams, JSON.

use std::process::{Command, Output};

fn jiaozi(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jiaozi"));
    for name in
        ["JIAOZI_NODE", "JIAOZI_HOME", "JIAOZI_GENESIS", "JIAOZI_PASSPHRASE_FILE", "JIAOZI_TOKEN_FILE"]
    {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn error(output: &Output) -> serde_json::Value {
    assert!(output.stdout.is_empty(), "a failure prints no result: {output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    value["error"].clone()
}

#[test]
fn exit_codes_tell_usage_from_reach() {
    assert_eq!(jiaozi(&["--help"]).status.code(), Some(0));
    assert_eq!(jiaozi(&["--version"]).status.code(), Some(0));
    assert_eq!(jiaozi(&[]).status.code(), Some(2));
    assert_eq!(jiaozi(&["nonsense"]).status.code(), Some(2));
    assert_eq!(jiaozi(&["genesis", "show", "/nonexistent"]).status.code(), Some(2));
    assert_eq!(jiaozi(&["tx", "submit", "/nonexistent"]).status.code(), Some(2));
    assert_eq!(jiaozi(&["chain", "status", "--node", "http://127.0.0.1:1"]).status.code(), Some(3));
}

#[test]
fn failures_are_objects_for_programs_and_lines_for_people() {
    let failed = error(&jiaozi(&["chain", "status", "--node", "http://127.0.0.1:1", "--json"]));
    assert_eq!(failed["code"], "node_unreachable");
    assert_eq!(failed["exit"], "unreachable");
    assert!(failed["mend"].as_str().is_some_and(|mend| mend.contains("node runs")));
    let text = String::from_utf8(jiaozi(&["chain", "status", "--node", "http://10.0.0.1"]).stderr).unwrap();
    for part in ["error: ", "\n  code   plain_http", "\n  next   use https"] {
        assert!(text.contains(part), "{text}");
    }
    let failed = error(&jiaozi(&[
        "pay",
        "--from",
        "a",
        "--to",
        "b",
        "--amount",
        "1",
        "--keystore",
        "/nonexistent",
        "--json",
    ]));
    assert_eq!((&failed["code"], &failed["field"]), (&"wallet_id".into(), &"--to".into()));
}

#[test]
fn a_wrong_command_line_is_an_object_for_programs_too() {
    let line = ["pay", "--from", "a", "--to", "b", "--amount", "-1", "--json"];
    let refused = jiaozi(&line);
    assert_eq!(refused.status.code(), Some(2));
    let failed = error(&refused);
    assert_eq!((&failed["code"], &failed["field"]), (&"command_line".into(), &"--amount".into()));
    assert!(failed["message"].as_str().is_some_and(|message| message.contains("not negative")), "{failed}");
    assert_eq!(error(&jiaozi(&["nonsense", "--json"]))["code"], "command_line");
    let text = String::from_utf8(jiaozi(&line[..7]).stderr).unwrap();
    assert!(text.starts_with("error: ") && text.contains("--help"), "{text}");
}

#[test]
fn secrets_do_not_get_into_pipes() {
    let failed = error(&jiaozi(&["wallet", "new", "alice", "--json"]));
    assert_eq!((&failed["code"], &failed["field"]), (&"words_would_leak".into(), &"--mnemonic-file".into()));
    let failed = error(&jiaozi(&["token", "new", "--name", "shop", "--scopes", "read", "--json"]));
    assert_eq!(failed["code"], "token_would_leak");
}

#[test]
fn completions_are_written_for_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let written = jiaozi(&["completions", shell]);
        assert_eq!(written.status.code(), Some(0));
        let text = String::from_utf8(written.stdout).unwrap();
        assert!(text.contains("localnet") && text.contains("jiaozi"), "{shell}");
    }
}

#[test]
fn an_empty_localnet_directory_has_nothing_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    for command in ["status", "down"] {
        let failed = error(&jiaozi(&["localnet", command, "--directory", directory, "--json"]));
        assert_eq!(failed["code"], "localnet_missing");
    }
}

/// A desk without a network: a genesis file, a passphrase, and keystores by name.
struct Desk {
    folder: tempfile::TempDir,
    spec: ledger::records::GenesisSpec,
}

impl Desk {
    fn new(seed: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = genesis::dev::localnet(&genesis::dev::LocalnetPlan::new(4), &[seed; 32]).unwrap().spec;
        genesis::GenesisFile::from_spec(&spec).save(&folder.path().join("genesis.json")).unwrap();
        wallet::Passphrase::generate().unwrap().save(&folder.path().join("passphrase")).unwrap();
        Self { folder, spec }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// `jiaozi wallet …` with this desk's genesis and passphrase, and the keystore `home`.
    fn wallet(&self, home: &str, line: &[&str]) -> Output {
        let (genesis, passphrase, home) =
            (self.path("genesis.json"), self.path("passphrase"), self.path(home));
        let common: [&str; 7] =
            ["--genesis", &genesis, "--passphrase-file", &passphrase, "--keystore", &home, "--json"];
        jiaozi(&[&["wallet"][..], line, &common[..]].concat())
    }

    /// The same, which must be done.
    fn wallet_done(&self, home: &str, line: &[&str]) -> serde_json::Value {
        done(&self.wallet(home, line))
    }
}

/// The result of a command that must be done.
fn done(output: &Output) -> serde_json::Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_wallet_is_made_listed_and_recovered_offline() {
    let desk = Desk::new(1);
    let words = desk.path("words");
    let made = desk.wallet_done("one", &["new", "alice", "--mnemonic-file", &words]);
    let recovered = desk.wallet_done("two", &["recover", "alice", "--mnemonic-file", &words]);
    assert_eq!(made["wallet"]["id"], recovered["wallet"]["id"]);
    assert!(made["wallet"]["id"].as_str().is_some_and(|id| id.starts_with("jz1")));
    assert!(made["opening_request"].as_str().is_some_and(|text| text.starts_with("jzo1")));
    let secret = std::fs::read_to_string(&words).unwrap();
    assert_eq!(secret.split_whitespace().count(), 24);
    let listed = jiaozi(&["wallet", "list", "--keystore", &desk.path("one"), "--json"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains(made["wallet"]["id"].as_str().unwrap()));
    assert!(!text.contains(secret.trim()));
    // The file of words is there already: nothing is stored, so the name is free.
    let refused = desk.wallet("one", &["new", "bob", "--mnemonic-file", &words]);
    assert_eq!(error(&refused)["code"], "file");
    assert_eq!(std::fs::read_to_string(&words).unwrap(), secret, "the words that were there");
    desk.wallet_done("one", &["new", "bob", "--mnemonic-file", &desk.path("other.words")]);
}

#[test]
fn a_currency_that_the_network_does_not_have_is_refused() {
    let desk = Desk::new(5);
    let words = desk.path("words");
    let refused = desk.wallet("one", &["new", "alice", "--mnemonic-file", &words, "--currency", "USD"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let failed = error(&refused);
    assert_eq!((&failed["code"], &failed["field"]), (&"currency_unknown".into(), &"--currency".into()));
    assert!(failed["mend"].as_str().is_some_and(|mend| mend.contains("CNY")), "{failed}");
    assert!(!std::path::Path::new(&words).exists(), "no words of no wallet");
}

/// Two people, two keystores, one wallet; a payment that both sign on their own machines.
#[test]
fn a_wallet_of_two_people_signs_with_both_keys() {
    use ledger::values::{Amount, ChainId, TimestampMs, WalletId};
    let desk = Desk::new(2);
    let people = ["alice", "bob"];
    let keys = people.map(|name| {
        let words = desk.path(&format!("{name}.words"));
        let made = desk.wallet_done(name, &["new", name, "--mnemonic-file", &words]);
        made["wallet"]["keys"][0].as_str().unwrap().to_owned()
    });
    let shared = [(0, 1), (1, 0)].map(|(own, other): (usize, usize)| {
        let line: [&str; 8] =
            ["new", "treasury", "--seed-of", people[own], "--threshold", "2", "--key", &keys[other]];
        desk.wallet_done(people[own], &line)["wallet"]["id"].as_str().unwrap().to_owned()
    });
    assert_eq!(shared[0], shared[1], "both know one wallet");
    let id: WalletId = shared[0].parse().unwrap();
    let policy =
        ledger::records::Policy::new(2, keys.iter().map(|key| key.parse().unwrap()).collect()).unwrap();
    let partial = wallet::TransactionBuilder::new(desk.spec.hash(), ChainId(0), id, policy)
        .nonce(ledger::records::Nonce { lane: 0, sequence: 1 })
        .valid_until(TimestampMs(1))
        .pay(WalletId([3; 32]), Amount::from_fen(5))
        .partial()
        .unwrap();
    let file = desk.path("payment.json");
    let json = partial.to_json().unwrap();
    wallet::files::create_private(std::path::Path::new(&file), json.as_bytes()).unwrap();
    for (missing, name) in [(1, "alice"), (0, "bob")] {
        let (home, passphrase) = (desk.path(name), desk.path("passphrase"));
        let keys: [&str; 4] = ["--keystore", &home, "--passphrase-file", &passphrase];
        let line: [&str; 7] = ["tx", "sign", &file, "--with", "treasury", "--yes", "--json"];
        let signed = done(&jiaozi(&[&line[..], &keys[..]].concat()));
        assert_eq!((&signed["missing"], &signed["fee_max_fen"]), (&missing.into(), &0_u64.into()));
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(wallet::PartialTransaction::from_json(&text).unwrap().complete().unwrap().signatures.len(), 2);
}

/// A sponsor signs the payer's file on another machine with the same command, and sees what it pays for.
#[test]
fn a_sponsor_signs_the_file_of_a_payment() {
    use ledger::records::{FeeBid, Nonce, Policy};
    use ledger::values::{Amount, ChainId, OperatorId, SecretKey, TimestampMs, WalletId};
    let desk = Desk::new(9);
    let made = desk.wallet_done("one", &["new", "shop", "--mnemonic-file", &desk.path("words")]);
    let key = made["wallet"]["keys"][0].as_str().unwrap().parse().unwrap();
    let sponsor: WalletId = made["wallet"]["id"].as_str().unwrap().parse().unwrap();
    let payer = SecretKey::from_seed([7; 32]);
    let (id, policy) = (WalletId([5; 32]), Policy::single(payer.public_key()));
    let (fee_max, tip) = (Amount::from_fen(25), Amount::from_fen(3));
    let mut partial = wallet::TransactionBuilder::new(desk.spec.hash(), ChainId(0), id, policy)
        .nonce(Nonce { lane: 0, sequence: 1 })
        .valid_until(TimestampMs(1))
        .fee(FeeBid { fee_max, tip, operator: OperatorId(2), sponsor: None })
        .sponsored_by(sponsor, Policy::single(key))
        .pay(WalletId([3; 32]), Amount::from_fen(500))
        .partial()
        .unwrap();
    partial.sign(&payer).unwrap();
    let file = desk.path("payment.json");
    wallet::files::create_private(std::path::Path::new(&file), partial.to_json().unwrap().as_bytes())
        .unwrap();
    let (home, passphrase) = (desk.path("one"), desk.path("passphrase"));
    let keys: [&str; 4] = ["--keystore", &home, "--passphrase-file", &passphrase];
    let line: [&str; 5] = ["tx", "sign", &file, "--with", "shop"];
    let shown = jiaozi(&[&line[..], &keys[..]].concat());
    let text = String::from_utf8(shown.stdout).unwrap();
    for part in [
        "pays         5.00 CNY to jz1",
        "fee          at most 0.25 CNY, 0.03 CNY of it for operator 2",
        "signatures   1 there, 0 missing",
        &format!("sponsor      {sponsor} pays the fee; 0 there, 1 missing"),
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let signed = done(&jiaozi(&[&line[..], &keys[..], &["--yes", "--json"]].concat()));
    assert_eq!(
        (&signed["missing"], &signed["sponsor"]["missing"]),
        (&0_u64.into(), &0_u64.into()),
        "{signed}"
    );
    let text = std::fs::read_to_string(&file).unwrap();
    let complete = wallet::PartialTransaction::from_json(&text).unwrap().complete().unwrap();
    assert_eq!((complete.signatures.len(), complete.sponsor_signatures.len()), (1, 1));
}

/// Whoever signs sees both amounts and the deadline first, and nothing is signed without a yes.
#[test]
fn an_exchange_in_a_file_is_shown_before_it_is_signed() {
    use ledger::records::{Asked, Nonce, Policy};
    use ledger::values::{Amount, ChainId, TimestampMs, WalletId};
    let desk = Desk::new(6);
    let made = desk.wallet_done("one", &["new", "alice", "--mnemonic-file", &desk.path("words")]);
    let key = made["wallet"]["keys"][0].as_str().unwrap().parse().unwrap();
    let id: WalletId = made["wallet"]["id"].as_str().unwrap().parse().unwrap();
    let asked =
        Asked { payer: WalletId([3; 32]), payee: WalletId([4; 32]), amount: Amount::from_fen(11_000) };
    let deadline = TimestampMs(1_767_225_600_000);
    let partial = wallet::TransactionBuilder::new(desk.spec.hash(), ChainId(0), id, Policy::single(key))
        .nonce(Nonce { lane: 0, sequence: 1 })
        .valid_until(TimestampMs(1))
        .exchange(WalletId([2; 32]), Amount::from_fen(10_000), ChainId(1), asked, deadline)
        .partial()
        .unwrap();
    let file = desk.path("exchange.json");
    let json = partial.to_json().unwrap();
    wallet::files::create_private(std::path::Path::new(&file), json.as_bytes()).unwrap();
    let home = desk.path("one");
    let shown = jiaozi(&["tx", "sign", &file, "--with", "alice", "--keystore", &home]);
    assert_eq!(shown.status.code(), Some(2), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let given = format!("100.00 CNY to {}", WalletId([2; 32]));
    let wanted = format!("110.00 from {} to {} on chain 1", asked.payer, asked.payee);
    for part in [given.as_str(), &wanted, "2026-01-01 00:00:00 UTC", "0 there, 1 missing"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(String::from_utf8(shown.stderr).unwrap().contains("not_signed"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), json, "nothing was signed");
}

/// What is wrong with an exchange or a lock by itself is told before a node is asked.
#[test]
fn exchanges_and_locks_that_cannot_be_are_refused_offline() {
    let id = ledger::values::WalletId([7; 32]).to_string();
    let lock = ledger::values::LockId([7; 32]).to_string();
    let line = |more: &[&str]| -> Vec<String> {
        let typed = more.iter().map(|word| word.replace("ID", &id).replace("LOCK", &lock));
        typed.chain(["--keystore", "/nonexistent", "--json"].map(str::to_owned)).collect()
    };
    let offer = ["exchange", "offer", "--from", "a", "--amount", "1", "--to"];
    for (more, exit, code, field) in [
        (
            [&offer[..], &["ID", "--ask", "2", "--ask-from", "ID", "--ask-to", "ID"]].concat(),
            2,
            "currency_missing",
            "--ask",
        ),
        (
            [&offer[..], &["bob", "--ask", "2HKD", "--ask-from", "ID", "--ask-to", "ID"]].concat(),
            2,
            "wallet_id",
            "--to",
        ),
        (
            [&offer[..], &["ID", "--ask", "2HKD", "--ask-from", "bob", "--ask-to", "ID"]].concat(),
            2,
            "wallet_id",
            "--ask-from",
        ),
        (
            [&offer[..], &["ID", "--ask", "2HKD", "--ask-from", "ID", "--ask-to", "bob"]].concat(),
            2,
            "wallet_id",
            "--ask-to",
        ),
        (vec!["exchange", "accept", "LOCK", "--from", "bob"], 2, "wallet_name", "--from"),
        (vec!["exchange", "decline", "ID", "--from", "bob"], 2, "command_line", "<ID>"),
        (vec!["lock", "claim", "LOCK", "--to", "bob"], 2, "genesis_missing", "--genesis"),
        (vec!["lock", "claim", "LOCK", "--to", "bob", "--trust-node"], 2, "wallet_name", "--to"),
        (
            vec!["lock", "create", "--from", "a", "--to", "ID", "--amount", "1", "--hash", "00"],
            2,
            "command_line",
            "--hash",
        ),
    ] {
        let typed = line(&more);
        let refused = jiaozi(&typed.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(refused.status.code(), Some(exit), "{typed:?}: {refused:?}");
        let failed = error(&refused);
        assert_eq!(
            (failed["code"].as_str(), failed["field"].as_str()),
            (Some(code), Some(field)),
            "{failed}"
        );
    }
}

#[test]
fn a_configuration_with_faults_is_refused_part_by_part() {
    let desk = Desk::new(3);
    let config = desk.path("node.toml");
    let text = "[node]\ngenesis = \"genesis.json\"\ndata_directory = \"genesis.json\"\n\
        [keys]\nnetwork_key = \"none.key\"\npassphrase_file = \"passphrase\"\n\
        [rest]\nlisten = \"127.0.0.1:0\"\n[storage]\ndisk_reserve_bytes = 67108864\n";
    std::fs::write(&config, text).unwrap();
    let checked = jiaozi(&["node", "check", "--config", &config, "--json"]);
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["can_be_used"], false);
    let parts = report["looked_at"].as_array().unwrap();
    let faults: Vec<_> = parts.iter().filter(|part| !part["fault"].is_null()).collect();
    let fields: Vec<_> = faults.iter().map(|part| part["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["keys.network_key", "node.data_directory"], "{report}");
    assert!(faults.iter().all(|part| part["fault"]["mend"].as_str().is_some_and(|mend| !mend.is_empty())));
    let text = String::from_utf8(jiaozi(&["node", "check", "--config", &config]).stdout).unwrap();
    assert!(text.contains("the configuration cannot be used") && text.contains("next   "), "{text}");
    std::fs::write(
        &config,
        "[log]\nlevel = \"shout\"\n[node]\ngenesis = \"g\"\ndata_directory = \"d\"\n\
        [keys]\nnetwork_key = \"n\"\npassphrase_file = \"p\"\n",
    )
    .unwrap();
    let refused = jiaozi(&["node", "run", "--config", &config, "--json"]);
    assert_eq!(refused.status.code(), Some(2));
    let refused = error(&refused);
    assert_eq!((&refused["code"], &refused["field"]), (&"node_config".into(), &"log.level".into()));
    assert!(refused["message"].as_str().is_some_and(|message| message.contains("off, error, warn")));
    assert!(refused["mend"].as_str().is_some_and(|mend| mend.starts_with("write a level")), "{refused}");
}

#[test]
fn a_localnet_is_not_made_in_a_file() {
    let desk = Desk::new(4);
    for directory in [desk.path("passphrase"), desk.path("passphrase/below")] {
        for command in ["up", "status", "down"] {
            let refused = jiaozi(&["localnet", command, "--directory", &directory, "--json"]);
            assert_eq!(refused.status.code(), Some(2), "{refused:?}");
            let failed = error(&refused);
            assert_eq!(failed["code"], "localnet_directory", "{failed}");
            assert_eq!(failed["field"], "--directory", "{failed}");
            assert!(failed["message"].as_str().is_some_and(|message| message.contains("is a file")));
        }
    }
}

/// What of governance needs no network: wrong files and missing ones are told before a node is asked for.
#[test]
fn proposals_are_judged_offline() {
    let desk = Desk::new(6);
    let paths = ["genesis.json", "proposal.json", "new.json", "keys"].map(|name| desk.path(name));
    let [genesis, out, new, keys] = paths.each_ref().map(String::as_str);
    let refused = jiaozi(&["gov", "diff", out, "--genesis", genesis, "--json"]);
    let failed = error(&refused);
    assert_eq!(
        (refused.status.code(), &failed["code"], &failed["field"]),
        (Some(2), &"file".into(), &out.into())
    );
    // Files that a change names, too: no node is there to be asked.
    let rest = ["--out", new, "--genesis", genesis, "--node", "http://127.0.0.1:1", "--json"];
    for change in [&["add-chain", "0", "--validator", out][..], &["add-operator", "--contribution", out][..]]
    {
        let failed = error(&jiaozi(&[&["gov", "propose"][..], change, &rest[..]].concat()));
        assert_eq!((&failed["code"], &failed["field"]), (&"file".into(), &change[change.len() - 2].into()));
    }
    std::fs::write(out, "{}").unwrap();
    let line = [
        "gov",
        "propose",
        "add-chain",
        "0",
        "--validator",
        out,
        "--out",
        new,
        "--genesis",
        genesis,
        "--json",
    ];
    let failed = error(&jiaozi(&line));
    assert_eq!(
        (&failed["code"], &failed["field"]),
        (&"validator_offer".into(), &"--validator".into()),
        "{failed}"
    );
    for line in [
        &["gov", "diff", out][..],
        &["gov", "status", out],
        &["gov", "approve", out, "--keys", keys],
        &["gov", "apply", out, "--from", "bank-1"],
    ] {
        let refused = jiaozi(&[line, &["--genesis", genesis, "--json"]].concat());
        let failed = error(&refused);
        assert_eq!((refused.status.code(), &failed["code"]), (Some(2), &"proposal_file".into()), "{failed}");
        assert_eq!(failed["field"], out, "{failed}");
    }
    let node = ["--node", "http://127.0.0.1:1", "--genesis", genesis, "--json"];
    let propose = ["gov", "propose", "set-param", "block_pace_ms", "100", "--chain", "0", "--out"];
    // The file is there already; a new one needs a node.
    let failed = error(&jiaozi(&[&propose[..], &[out], &node].concat()));
    assert_eq!((&failed["code"], &failed["field"]), (&"file_exists".into(), &"--out".into()));
    let refused = jiaozi(&[&propose[..], &[new], &node].concat());
    assert_eq!((refused.status.code(), &error(&refused)["code"]), (Some(3), &"node_unreachable".into()));
    let failed = error(&jiaozi(&["gov", "apply", out, "--from", "bank-1", "--json"]));
    assert_eq!((&failed["code"], &failed["field"]), (&"genesis_missing".into(), &"--genesis".into()));
}

#[test]
fn the_next_consensus_key_is_made_beside_the_current_one() {
    use ledger::values::SecretKey;
    use wallet::{KdfParams, KeyFile, Secret};
    let desk = Desk::new(7);
    let passphrase = wallet::Passphrase::load(desk.folder.path().join("passphrase").as_path()).unwrap();
    let now = Secret::ConsensusKey(SecretKey::from_seed([4; 32]));
    let file = KeyFile::seal(&now, "now", &passphrase, KdfParams::FAST).unwrap();
    file.save(&desk.folder.path().join("consensus-0.key")).unwrap();
    let config = desk.path("node.toml");
    let text = "[node]\ngenesis = \"genesis.json\"\ndata_directory = \"data\"\n\
        [keys]\nnetwork_key = \"network.key\"\npassphrase_file = \"passphrase\"\n\
        consensus_keys = [{ chain = 0, keystore = \"consensus-0.key\" }]\n";
    std::fs::write(&config, text).unwrap();
    let rotate = |chain: &str| {
        jiaozi(&["node", "rotate-consensus-key", "--config", &config, "--chain", chain, "--json"])
    };
    let made = done(&rotate("0"));
    assert_eq!(made["key"], SecretKey::from_seed([4; 32]).public_key().to_string());
    assert!(made["file"].as_str().is_some_and(|file| file.ends_with("/consensus-0.next.key")), "{made}");
    let told = done(&rotate("0"));
    assert_eq!((&told["new_key"], &told["is_new"]), (&made["new_key"], &false.into()));
    let failed = error(&rotate("3"));
    assert_eq!((&failed["code"], &failed["field"]), (&"next_key".into(), &"--chain".into()));
}

/// Where it cannot be done the key of a chain to come is not left behind.
#[test]
fn the_first_key_of_a_chain_is_made_last() {
    use wallet::{KdfParams, KeyFile, Secret};
    let desk = Desk::new(8);
    let bank = genesis::dev::localnet(&genesis::dev::LocalnetPlan::new(4), &[8; 32]).unwrap().banks.remove(1);
    let passphrase = wallet::Passphrase::load(desk.folder.path().join("passphrase").as_path()).unwrap();
    let file = KeyFile::seal(&Secret::NetworkKey(bank.network_key), "net", &passphrase, KdfParams::FAST);
    file.unwrap().save(&desk.folder.path().join("network.key")).unwrap();
    let [config, taken, offer, key] =
        ["node.toml", "taken.json", "offer.json", "consensus-1.key"].map(|name| desk.path(name));
    let text = "[node]\ngenesis = \"genesis.json\"\ndata_directory = \"data\"\n\
        [keys]\nnetwork_key = \"network.key\"\npassphrase_file = \"passphrase\"\n\
        [rest]\nlisten = \"127.0.0.1:1\"\n";
    std::fs::write(&config, text).unwrap();
    std::fs::write(&taken, "").unwrap();
    let add = |options: &[&str]| {
        jiaozi(&[&["node", "add-chain", "--config", &config, "--chain", "1", "--json"][..], options].concat())
    };
    let failed = error(&add(&["--out", &taken]));
    assert_eq!((&failed["code"], &failed["field"]), (&"file_exists".into(), &"--out".into()), "{failed}");
    let failed = error(&add(&["--out", &offer, "--node", "http://127.0.0.1:1"]));
    assert_eq!(
        (&failed["code"], &failed["field"]),
        (&"node_unreachable".into(), &"--node".into()),
        "{failed}"
    );
    assert!(!std::path::Path::new(&key).exists(), "a key without an offer");
    let made = done(&add(&["--out", &offer]));
    assert!(made["note"].as_str().is_some_and(|note| note.contains("not compared")), "{made}");
    assert!(std::path::Path::new(&key).exists() && made["node"] == 1, "{made}");
}

/// The node in the environment is for the other commands; one that is typed contradicts the directory.
#[test]
fn a_replay_of_a_directory_takes_no_node_that_was_typed() {
    let line = ["audit", "replay", "--data", "/nonexistent", "--genesis", "/nonexistent", "--json"];
    let run = |typed: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jiaozi"));
        command.args(line).args(typed).env("JIAOZI_NODE", "http://127.0.0.1:1");
        error(&command.output().unwrap())
    };
    assert_ne!(run(&[])["code"], "command_line");
    let refused = run(&["--node", "http://127.0.0.1:1"]);
    assert_eq!((&refused["code"], &refused["field"]), (&"command_line".into(), &"--data".into()));
}

#[test]
fn every_group_shows_an_example() {
    let groups = [
        "node", "localnet", "wallet", "exchange", "lock", "fee", "tx", "audit", "genesis", "gov", "token",
        "chain", "network",
    ];
    for group in groups {
        let text = String::from_utf8(jiaozi(&[group, "--help"]).stdout).unwrap();
        assert!(text.contains(&format!("Examples:\n  jiaozi {group} ")), "{group}: {text}");
    }
}
