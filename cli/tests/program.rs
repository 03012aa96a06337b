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

#[test]
fn a_wallet_is_made_listed_and_recovered_offline() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let plan = genesis::dev::LocalnetPlan::new(4);
    let spec = genesis::dev::localnet(&plan, &[1; 32]).unwrap().spec;
    genesis::GenesisFile::from_spec(&spec).save(&folder.path().join("genesis.json")).unwrap();
    wallet::Passphrase::generate().unwrap().save(&folder.path().join("passphrase")).unwrap();
    let (genesis, passphrase, words) = (path("genesis.json"), path("passphrase"), path("words"));
    let run = |command: &str, name: &str, home: &str| {
        let home = path(home);
        let output = jiaozi(&[
            "wallet",
            command,
            name,
            "--genesis",
            &genesis,
            "--passphrase-file",
            &passphrase,
            "--mnemonic-file",
            &words,
            "--keystore",
            &home,
            "--json",
        ]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let made = run("new", "alice", "one");
    let recovered = run("recover", "alice", "two");
    assert_eq!(made["wallet"]["id"], recovered["wallet"]["id"]);
    assert!(made["wallet"]["id"].as_str().is_some_and(|id| id.starts_with("jz1")));
    let secret = std::fs::read_to_string(&words).unwrap();
    assert_eq!(secret.split_whitespace().count(), 24);
    let listed = jiaozi(&["wallet", "list", "--keystore", &path("one"), "--json"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains(made["wallet"]["id"].as_str().unwrap()));
    assert!(!text.contains(secret.trim()));
    // The file of words is there already: nothing is stored, so the name is free.
    let (home, other) = (path("one"), path("other.words"));
    let new = |words: &str| {
        jiaozi(&[
            "wallet",
            "new",
            "bob",
            "--genesis",
            &genesis,
            "--passphrase-file",
            &passphrase,
            "--mnemonic-file",
            words,
            "--keystore",
            &home,
            "--json",
        ])
    };
    assert_eq!(error(&new(&words))["code"], "file");
    assert_eq!(std::fs::read_to_string(&words).unwrap(), secret, "the words that were there");
    assert_eq!(new(&other).status.code(), Some(0));
}

/// Two people, two keystores, one wallet; a payment that both sign on their own machines.
#[test]
fn a_wallet_of_two_people_signs_with_both_keys() {
    use ledger::values::{Amount, ChainId, TimestampMs, WalletId};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let spec = genesis::dev::localnet(&genesis::dev::LocalnetPlan::new(4), &[2; 32]).unwrap().spec;
    genesis::GenesisFile::from_spec(&spec).save(&folder.path().join("genesis.json")).unwrap();
    wallet::Passphrase::generate().unwrap().save(&folder.path().join("passphrase")).unwrap();
    let (genesis, passphrase) = (path("genesis.json"), path("passphrase"));
    let run = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.push("--json");
        let output = jiaozi(&all);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let people = ["alice", "bob"];
    let keys = people.map(|name| {
        let (words, home) = (path(&format!("{name}.words")), path(name));
        let made = run(&[
            "wallet",
            "new",
            name,
            "--genesis",
            &genesis,
            "--passphrase-file",
            &passphrase,
            "--mnemonic-file",
            &words,
            "--keystore",
            &home,
        ]);
        made["wallet"]["keys"][0].as_str().unwrap().to_owned()
    });
    let shared = [(0, 1), (1, 0)].map(|(own, other): (usize, usize)| {
        let home = path(people[own]);
        let made = run(&[
            "wallet",
            "new",
            "treasury",
            "--seed-of",
            people[own],
            "--threshold",
            "2",
            "--key",
            &keys[other],
            "--genesis",
            &genesis,
            "--keystore",
            &home,
        ]);
        made["wallet"]["id"].as_str().unwrap().to_owned()
    });
    assert_eq!(shared[0], shared[1], "both know one wallet");
    let id: WalletId = shared[0].parse().unwrap();
    let policy =
        ledger::records::Policy::new(2, keys.iter().map(|key| key.parse().unwrap()).collect()).unwrap();
    let partial = wallet::TransactionBuilder::new(spec.hash(), ChainId(0), id, policy)
        .nonce(ledger::records::Nonce { lane: 0, sequence: 1 })
        .valid_until(TimestampMs(1))
        .pay(WalletId([3; 32]), Amount::from_fen(5))
        .partial()
        .unwrap();
    let file = path("payment.json");
    wallet::files::create_private(
        folder.path().join("payment.json").as_path(),
        partial.to_json().unwrap().as_bytes(),
    )
    .unwrap();
    for (missing, name) in [(1, "alice"), (0, "bob")] {
        let home = path(name);
        let signed = run(&[
            "tx",
            "sign",
            &file,
            "--with",
            "treasury",
            "--yes",
            "--keystore",
            &home,
            "--passphrase-file",
            &passphrase,
        ]);
        assert_eq!(signed["missing"], missing);
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(wallet::PartialTransaction::from_json(&text).unwrap().complete().unwrap().signatures.len(), 2);
}
