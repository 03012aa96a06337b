//! `jiaozi localnet up` takes up what a run before it left unfinished.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    assert_eq!(balances, ["1000.00 yuan", "2000.00 yuan", "1000.00 yuan", "1000.00 yuan"]);
    assert!(!net.up("4").contains("opened and funded"), "nothing is left to do");
}
