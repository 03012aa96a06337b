//! `jiaozi localnet up` takes up what a run before it left unfinished, and makes networks of several chains, on which the other
//! commands find their way by themselves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ledger::values::SecretKey;
use system::jiaozi_binary;

/// A network of processes; none outlives the test.
struct Net {
    directory: PathBuf,
}

impl Drop for Net {
    fn drop(&mut self) {
        let (exit, printed) = self.jiaozi(&["localnet", "down", "--directory", self.text()]);
        assert!(std::thread::panicking() || exit == Some(0), "a network is left behind: {printed}");
    }
}

impl Net {
    fn text(&self) -> &str {
        self.directory.to_str().unwrap()
    }

    /// The settings that `source env.sh` would make.
    fn settings(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.directory.join("env.sh")).unwrap_or_default();
        let setting = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        text.lines().filter_map(setting).collect()
    }

    /// Runs the program; gives its exit code and all that it printed.
    fn jiaozi(&self, arguments: &[&str]) -> (Option<i32>, String) {
        // Into a file: the nodes that `up` starts would keep a pipe open.
        let log = self.directory.with_extension("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(jiaozi_binary());
        command.args(arguments).envs(self.settings()).stdin(Stdio::null());
        let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        (status.code(), std::fs::read_to_string(&log).unwrap())
    }

    fn up(&self, wallets: &str) -> String {
        let (exit, printed) =
            self.jiaozi(&["localnet", "up", "--directory", self.text(), "--wallets", wallets]);
        assert_eq!(exit, Some(0), "{printed}");
        printed
    }

    /// Runs the program, which must do what it is asked.
    fn done(&self, line: &str) -> String {
        let (exit, printed) = self.jiaozi(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(exit, Some(0), "{line}: {printed}");
        printed
    }

    /// The height of every chain, as bank 1 has it.
    fn heights(&self) -> Vec<u64> {
        let printed = self.done("chain list");
        let height = |line: &str| line.split_whitespace().nth(3)?.replace(',', "").parse().ok();
        printed.lines().skip(1).map(|line| height(line).unwrap_or_else(|| panic!("{printed}"))).collect()
    }

    fn entry(&self, name: &str) -> PathBuf {
        let folder = self.settings().into_iter().find(|(name, _)| name == "JIAOZI_HOME").unwrap().1;
        Path::new(&folder).join(format!("{name}.wallet.json"))
    }

    fn balance(&self, name: &str) -> String {
        let (exit, printed) = self.jiaozi(&["wallet", "balance", name]);
        assert_eq!(exit, Some(0), "{printed}");
        let line = printed.lines().find_map(|line| line.strip_prefix("balance")).unwrap();
        line.trim().to_owned()
    }
}

#[test]
fn opening_and_funding_wallets_is_taken_up_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let net = Net { directory: folder.path().join("net") };
    let printed = net.up("3");
    assert!(printed.contains("3 opened and funded"), "{printed}");
    let (exit, printed) = net.jiaozi(&["pay", "--from", "wallet-1", "--to", "wallet-2", "--amount", "1000"]);
    assert_eq!(exit, Some(0), "{printed}");
    // As if the run had ended when the chain had opened two wallets, had funded the second, and the keystore had neither.
    for name in ["wallet-1", "wallet-2"] {
        std::fs::remove_file(net.entry(name)).unwrap();
    }
    let printed = net.up("4");
    assert!(printed.contains("3 opened and funded"), "two again and one more: {printed}");
    let balances = ["wallet-1", "wallet-2", "wallet-3", "wallet-4"].map(|name| net.balance(name));
    assert_eq!(balances, ["1000.00 CNY", "2000.00 CNY", "1000.00 CNY", "1000.00 CNY"]);
    assert!(!net.up("4").contains("opened and funded"), "nothing is left to do");
}

/// The value after a name at the beginning of a line.
fn fact(printed: &str, name: &str) -> String {
    let line = printed.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {printed}")).trim().to_owned()
}

#[test]
fn commands_find_their_chain_in_a_network_of_several() {
    let folder = tempfile::tempdir().unwrap();
    let net = Net { directory: folder.path().join("net") };
    let up = format!("localnet up --directory {} --chains CNY:2,HKD:1 --wallets 2", net.text());
    let printed = net.done(&up);
    assert_eq!(fact(&printed, "chains"), "0 (CNY shard 0), 1 (CNY shard 1), 2 (HKD shard 0)");
    for funded in
        ["CNY each: cny-0-1 to cny-0-2", "CNY each: cny-1-1 to cny-1-2", "HKD each: hkd-0-1 to hkd-0-2"]
    {
        assert!(printed.contains(&format!("2 opened and funded with 1000.00 {funded}")), "{printed}");
    }
    let status = net.done(&format!("localnet status --directory {}", net.text()));
    let banks: Vec<&str> = status.lines().filter(|line| line.contains("ready")).collect();
    assert!(banks.len() == 4 && banks.iter().all(|line| line.matches(" / ").count() == 4), "{status}");
    let before = net.heights();
    std::thread::sleep(Duration::from_secs(3));
    let after = net.heights();
    assert!(
        before.len() == 3 && before.iter().zip(&after).all(|(before, after)| before < after),
        "{after:?}"
    );

    for (chain, prefix, currency) in [("0", "cny-0", "CNY"), ("1", "cny-1", "CNY"), ("2", "hkd-0", "HKD")] {
        let [payer, payee] = [1, 2].map(|number| format!("{prefix}-{number}"));
        assert_eq!(fact(&net.done(&format!("wallet show {payer}")), "chain"), chain);
        let printed = net.done(&format!("pay --from {payer} --to {payee} --amount 5{currency}"));
        assert!(!printed.contains("goes on"), "{printed}");
        let shown = net.done(&format!("tx show {}", fact(&printed, "transaction")));
        assert!(fact(&shown, "pays").starts_with(&format!("5.00 {currency} to jz1")), "{shown}");
        let place = fact(&shown, "position");
        assert_eq!(place.contains(&format!("chain {chain}, height")), chain != "0", "{shown}");
        let expected = [format!("995.00 {currency}"), format!("1005.00 {currency}")];
        assert_eq!([payer, payee].map(|name| net.balance(&name)), expected);
        let history = net.done(&format!("wallet history {prefix}-1"));
        assert!(history.lines().next().is_some_and(|header| header.contains(currency)), "{history}");
    }
    let (exit, printed) = net.jiaozi(&["pay", "--from", "cny-0-1", "--to", "cny-0-2", "--amount", "5 HKD"]);
    assert!(exit == Some(2) && printed.contains("other_currency"), "{printed}");
    let (payer, payee) = ("cny-0-1", "cny-1-2");
    let printed = net.done(&format!("pay --from {payer} --to {payee} --amount 95"));
    assert!(fact(&printed, "credited").starts_with("95.00 CNY to jz1"), "{printed}");
    assert_eq!([payer, payee].map(|name| net.balance(name)), ["900.00 CNY", "1100.00 CNY"]);
    let shown = net.done(&format!("tx show {}", fact(&printed, "transaction")));
    assert!(fact(&shown, "credited").ends_with("on chain 1"), "{shown}");

    opened_where_they_are_at_home(&net);
    operators_name_what_an_id_cannot_tell(&net);
}

/// Wallets that are opened with one command, on the shard of each.
fn opened_where_they_are_at_home(net: &Net) {
    let words = net.directory.join("alice.words");
    net.done(&format!("wallet new alice --mnemonic-file {}", words.display()));
    let mut line = "wallet open --operator bank-2".to_owned();
    for number in 0..24_u8 {
        let key = SecretKey::from_seed([number; 32]).public_key();
        net.done(&format!("wallet new shared-{number} --seed-of alice --key {key}"));
        line.push_str(&format!(" shared-{number}"));
    }
    let printed = net.done(&line);
    let sent = printed.lines().filter(|line| line.starts_with("transaction")).count();
    assert!(sent == 2 && printed.contains("opened 24 wallets"), "one for each shard: {printed}");
    let chains = (0..24).map(|number| fact(&net.done(&format!("wallet show shared-{number}")), "chain"));
    let chains: std::collections::BTreeSet<String> = chains.collect();
    assert_eq!(chains.len(), 2);
}

fn operators_name_what_an_id_cannot_tell(net: &Net) {
    let (exit, printed) = net.jiaozi(&["issue", "--to", "bank-1", "--amount", "7"]);
    assert_eq!(exit, Some(2), "{printed}");
    assert!(printed.contains("chain_needed") && printed.contains("CNY chains 0, 1"), "{printed}");
    net.done("issue --to bank-1 --amount 7 --chain 1");
    assert_eq!(fact(&net.done("wallet balance bank-1 --chain 1"), "balance"), "7.00 CNY");
    assert_eq!(fact(&net.done("wallet balance bank-1 --chain 0"), "balance"), "0.00 CNY");
    net.done("issue --to bank-3 --amount 9HKD");
    net.done("redeem --from bank-3 --amount 2HKD");
    assert_eq!(fact(&net.done("wallet balance bank-3 --currency HKD"), "balance"), "7.00 HKD");
    assert_eq!(fact(&net.done("chain status --chain 2"), "issued"), "2009.00 HKD");
}

/// Three of four banks give the chain another pace and one validator a new key: by commands, each approval in a copy of its own.
#[test]
fn operators_change_the_network_with_commands() {
    let folder = tempfile::tempdir().unwrap();
    let net = Net { directory: folder.path().join("net") };
    net.up("2");
    let at = |name: &str| net.directory.join(name).to_str().unwrap().to_owned();
    let propose = |change: &str, file: &str| net.done(&format!("gov propose {change} --out {}", at(file)));
    let approve = |file: &str| -> String {
        let copies = [1, 2, 3].map(|bank| {
            let copy = at(&format!("{bank}-{file}"));
            std::fs::copy(at(file), &copy).unwrap();
            net.done(&format!("gov approve {copy} --keys {} --yes", at(&format!("bank-{bank}/keys"))));
            copy
        });
        copies.join(" ")
    };
    let printed = propose("set-param block_pace_ms 75 --chain 0 --reason slower", "pace.json");
    assert!(printed.contains("~ block_pace_ms: from 50 to 75"), "{printed}");
    assert!(printed.contains("missing      3 of 3 approvals"), "{printed}");
    propose("set-param clock_drift_ms_max 300 --chain 0", "late.json");
    let (pace, keys) = (at("pace.json"), at("bank-1/keys"));
    let (exit, printed) = net.jiaozi(&["gov", "approve", &pace, "--keys", &keys]);
    assert!(exit == Some(2) && printed.contains("not_approved") && printed.contains("to 75"), "{printed}");
    let (exit, printed) = net.jiaozi(&["gov", "apply", &pace, "--from", "bank-1"]);
    assert!(exit == Some(1) && printed.contains("approvals_missing"), "{printed}");
    let copies = approve("pace.json");
    let shown = net.done(&format!("gov status {copies}"));
    assert!(shown.contains("missing      0 of 3") && shown.contains("not yet by   bank-4"), "{shown}");
    assert_eq!(fact(&shown, "applied"), "not yet");
    let printed = net.done(&format!("gov apply {copies} --from bank-1"));
    assert!(printed.contains("registry  version 1") && printed.contains("certified"), "{printed}");
    let printed = net.done(&format!("gov show --proof {}", at("registry.proof")));
    assert!(printed.contains("block_pace_ms 75") && printed.contains("verdict  valid"), "{printed}");
    let mut again = vec!["gov", "apply"];
    again.extend(copies.split(' '));
    again.extend(["--from", "bank-2"]);
    let (exit, printed) = net.jiaozi(&again);
    assert!(exit == Some(1) && printed.contains("already_applied"), "{printed}");
    assert!(printed.contains("the proposal was applied at height "), "{printed}");
    let shown = net.done(&format!("gov status {copies}"));
    let applied = fact(&shown, "applied");
    assert!(applied.starts_with("at height ") && !applied.contains("not certified"), "{shown}");
    let height = |text: &str| text.split(' ').nth(2).unwrap().to_owned();
    // Another proposal for the same version never will be.
    let shown = net.done(&format!("gov status {}", at("late.json")));
    let late = fact(&shown, "applied");
    let by = format!("changed that version at height {} of the root chain", height(&applied));
    assert!(late.starts_with("never: proposal ") && late.contains(&by), "{shown}");

    let config = at("bank-2/node.toml");
    let made = net.done(&format!("node rotate-consensus-key --config {config} --chain 0"));
    let key = made.lines().find_map(|line| line.strip_prefix("new key")).unwrap().trim();
    let next = at("bank-2/keys/consensus-0.next.key");
    let proved = net.done(&format!("gov prove-key --key {next} --operator 2 --chain 0"));
    let possession = proved.lines().find_map(|line| line.strip_prefix("possession")).unwrap().trim();
    // Only the key itself, for this very use, is believed.
    let other = net.done(&format!("gov prove-key --key {next} --operator 3 --chain 0"));
    let other = other.lines().find_map(|line| line.strip_prefix("possession")).unwrap().trim();
    let out = at("unproved.json");
    let change = format!("rotate-consensus-key --chain 0 --operator bank-2 --new-key {key}");
    let line = format!("gov propose {change} --possession {other} --out {out}");
    let (exit, printed) = net.jiaozi(&line.split(' ').collect::<Vec<_>>());
    assert!(exit == Some(1) && printed.contains("key_unproved"), "{printed}");
    let change = format!("{change} --possession {possession} --urgent");
    propose(&change, "key.json");
    let copies = approve("key.json");
    net.done(&format!("gov apply {copies} --from bank-3"));
    let status = net.done("gov status");
    assert!(status.contains("~ the validator of bank-2 (operator 2)"), "{status}");
    assert!(status.contains("chain 0, from height ") && status.contains(key), "{status}");
}

#[test]
fn a_currency_gets_twice_as_many_shards_by_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let net = Net { directory: folder.path().join("net") };
    net.up("24");
    let reshard = format!("localnet reshard --directory {} --currency", net.text());
    let printed = net.done(&format!("{reshard} CNY"));
    assert_eq!(fact(&printed, "shards"), "2, before 1");
    // All money, each time at heights that fit each other.
    for when in ["before", "money"] {
        assert!(fact(&printed, when).starts_with("24000.00 at heights "), "{printed}");
    }
    let moved = fact(&printed, "moved");
    assert!(moved.ends_with(" wallets") && moved != "0 wallets", "{printed}");
    let status = net.done("gov status");
    assert!(
        status.contains("chain 1, child of chain 0 since height ") && status.contains(": grown"),
        "{status}"
    );
    let chains: Vec<String> = (1..=24)
        .map(|number| {
            let printed = net.done(&format!("wallet show wallet-{number}"));
            assert_eq!(net.balance(&format!("wallet-{number}")), "1000.00 CNY");
            fact(&printed, "chain")
        })
        .collect();
    // Who stayed pays who moved, and the other way round.
    let on = |chain: &str| chains.iter().position(|found| found == chain).unwrap() + 1;
    for (payer, payee) in [(on("0"), on("1")), (on("1"), on("0"))] {
        net.done(&format!("pay --from wallet-{payer} --to wallet-{payee} --amount 1"));
    }
    let (exit, printed) = net.jiaozi(&format!("{reshard} USD").split_whitespace().collect::<Vec<_>>());
    assert!(exit == Some(2) && printed.contains("currency_unknown"), "{printed}");
    // All of it is there after a stop of everything.
    net.done(&format!("localnet down --directory {}", net.text()));
    let printed = net.done(&format!("localnet up --directory {}", net.text()));
    assert_eq!(fact(&printed, "chains"), "0 (CNY shard 0), 1 (CNY shard 1, child of chain 0)");
    assert_eq!(net.balance(&format!("wallet-{}", on("1"))), "1000.00 CNY");
}
