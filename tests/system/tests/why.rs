//! Why is it stuck: what `jiaozi node doctor` says of real processes that die, freeze and come back, and what a support bundle holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use api::why::{FindingCode, Severity, Verdict, Why};
use ledger::values::SecretKey;
use system::{Clock, Cluster, jiaozi_binary};

const WAIT: Duration = Duration::from_secs(40);
/// Silence is told after ten seconds; then there is a height that stands for as long.
const TOLD: Duration = Duration::from_secs(30);

fn config(cluster: &Cluster, index: usize) -> PathBuf {
    cluster.directory.join(format!("bank-{index}/node.toml"))
}

fn jiaozi(arguments: &[&str], config: &Path) -> Output {
    let mut command = Command::new(jiaozi_binary());
    for name in ["JIAOZI_NODE", "JIAOZI_TOKEN_FILE", "JIAOZI_CA_FILE"] {
        command.env_remove(name);
    }
    command.args(["node"]).args(arguments).arg("--config").arg(config).output().unwrap()
}

/// Exit code and screen of `jiaozi node doctor`.
fn doctor(cluster: &Cluster, index: usize) -> (Option<i32>, String) {
    let told = jiaozi(&["doctor"], &config(cluster, index));
    let text = String::from_utf8(told.stdout).unwrap() + &String::from_utf8(told.stderr).unwrap();
    assert!(text.lines().count() <= 24, "more than a screen:\n{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "wider than a screen:\n{text}");
    (told.status.code(), text)
}

/// Asks until a node tells what is awaited.
async fn told(cluster: &Cluster, index: usize, what: &str, is_so: impl Fn(&Why) -> bool) -> Why {
    let end = Instant::now() + TOLD;
    loop {
        let why = cluster.client(index).why().await;
        match why {
            Ok(why) if is_so(&why) => return why,
            other => assert!(Instant::now() < end, "never {what}: {other:#?}\n{}", cluster.log_tail(index)),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn has(why: &Why, code: FindingCode) -> bool {
    why.findings.iter().any(|finding| finding.code == code)
}

async fn healthy(cluster: &Cluster, index: usize) {
    told(cluster, index, "healthy", |why| why.verdict == Verdict::Healthy && why.facts.chains[0].heard == 4)
        .await;
}

/// The operator's name as the others know it.
fn name(cluster: &Cluster, bank: usize) -> String {
    let operator = cluster.localnet.banks[bank].operator.id;
    cluster.localnet.spec.operators[usize::from(operator.0)].name.clone()
}

fn signal(cluster: &Cluster, index: usize, signal: &str) {
    let process = cluster.process_id(index).unwrap().to_string();
    assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
}

async fn up(directory: &Path) -> Cluster {
    let mut cluster = Cluster::create(directory, 4);
    for index in 0..4 {
        cluster.spawn(index, &jiaozi_binary());
    }
    for index in 0..4 {
        cluster.wait_ready(index, WAIT).await;
    }
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_who_is_missing_until_they_are_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = up(directory.path()).await;
    healthy(&cluster, 0).await;
    let (code, text) = doctor(&cluster, 0);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("healthy ") && text.contains("hears 4 of 4 (3 decide), votes"), "{text}");

    // One is killed and one is frozen: a link to the frozen one is up for a while.
    cluster.kill(2);
    signal(&cluster, 3, "-STOP");
    let why = told(&cluster, 0, "stuck", |why| {
        has(why, FindingCode::StandsStill)
            && why.facts.chains[0].absent.len() == 2
            && why.findings[0].code == FindingCode::NoQuorum
    })
    .await;
    assert_eq!(why.verdict, Verdict::Stuck);
    let chain = &why.facts.chains[0];
    assert_eq!((chain.heard, chain.validators, chain.quorum), (2, 4, 3));
    let absent: Vec<u16> = chain.absent.iter().map(|one| one.node).collect();
    assert_eq!(absent, [2, 3]);
    assert!(chain.is_answering && !chain.absent[0].is_connected, "{chain:?}");
    let codes: Vec<FindingCode> = why.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [FindingCode::NoQuorum, FindingCode::StandsStill], "the cause comes first: {why:#?}");

    let (code, text) = doctor(&cluster, 0);
    assert_eq!(code, Some(1), "{text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("2 of 4 validators are heard, 3 decide: 1 more is needed"), "{text}");
    for bank in [2, 3] {
        assert!(words.contains(&format!("{} (node {bank}, for ", name(&cluster, bank))), "{text}");
    }
    assert!(words.contains("nc -vz 127.0.0.1 "), "{text}");
    assert!(words.contains("node_stuck"), "{text}");

    // The frozen one takes connections and does not answer; the dead one is not there.
    let (code, text) = doctor(&cluster, 3);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not_answering") && text.contains("does not answer"), "{text}");
    let (code, text) = doctor(&cluster, 2);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not_running") && text.contains("nobody listens"), "{text}");

    signal(&cluster, 3, "-CONT");
    cluster.spawn(2, &jiaozi_binary());
    for index in [0, 2, 3] {
        healthy(&cluster, index).await;
        let (code, text) = doctor(&cluster, index);
        assert_eq!(code, Some(0), "bank {index}: {text}");
    }
    cluster.terminate_all().await;
}

/// The ways in which a secret could stand in a file.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    // A text in base64 depends on where it begins within three bytes.
    for skipped in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, skipped).chain(secret.iter().copied()).collect();
        let text = base64(&padded);
        let (from, to) = (if skipped == 0 { 0 } else { 4 }, text.len() / 4 * 4 - 4);
        forms.extend(
            [text[from..to].to_owned(), text[from..to].replace('+', "-").replace('/', "_")]
                .map(String::into_bytes),
        );
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_three = |three: &[u8]| {
        let number = three.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        (0..4).map(move |place| char::from(ALPHABET[number >> (18 - 6 * place) & 63]))
    };
    bytes.chunks(3).flat_map(of_three).collect()
}

/// Any bytes as a text of as many characters, which can be searched fast.
fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn holds(text: &str, part: &[u8]) -> bool {
    text.contains(&characters(part))
}

/// What of a bank must never leave its machine: keys, the passphrase, the contents of its key files and its token.
fn secrets(cluster: &Cluster, token: &str) -> Vec<(String, Vec<u8>)> {
    let bank = &cluster.localnet.banks[0];
    let seed = |name: &str, key: &SecretKey| (name.to_owned(), key.seed().to_vec());
    let mut secrets = vec![
        seed("the network key", &bank.network_key),
        seed("the operator's key", &bank.operator.operator_key),
        seed("the wallet's key", &bank.operator.wallet_key),
        ("the token".to_owned(), token.as_bytes().to_vec()),
    ];
    secrets.extend(
        bank.validators.iter().map(|(chain, _, key)| seed(&format!("the key of chain {chain}"), key)),
    );
    let passphrase = fs::read_to_string(cluster.directory.join("passphrase")).unwrap();
    secrets.push(("the passphrase".to_owned(), passphrase.trim().as_bytes().to_vec()));
    let validators = bank.validators.iter().map(|(.., key)| key);
    let public: Vec<String> =
        validators.chain([&bank.network_key]).map(|key| key.public_key().to_string()).collect();
    for file in ["network.json", "consensus-0.json"] {
        let text = fs::read_to_string(cluster.directory.join("bank-0").join(file)).unwrap();
        // Everything long in it: salts, nonces, sealed secrets.
        let values = text.split('"').filter(|value| value.len() >= 24 && !value.contains([' ', '\n']));
        let values = values.filter(|value| !public.iter().any(|key| key == value));
        secrets.extend(values.map(|value| (format!("a value of {file}"), value.as_bytes().to_vec())));
    }
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn a_support_bundle_has_what_is_asked_for_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let token = "jiaozi-token-3f9c61d2a7be";
    let token_file = directory.path().join("token");
    let cluster = {
        let mut cluster = Cluster::create(directory.path(), 4);
        fs::write(&token_file, token).unwrap();
        fs::set_permissions(&token_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = config(&cluster, 0);
        let text = fs::read_to_string(&config).unwrap();
        let hash = node_token_hash(token);
        let entry = format!(
            "\n# {token}\n[[rest.tokens]]\nname = \"support\"\nsha256 = \"{hash}\"\nscopes = [\"read\", \"metrics\"]\n"
        );
        fs::write(&config, text.replace("tokens = []", "") + &entry).unwrap();
        for index in 0..4 {
            cluster.spawn(index, &jiaozi_binary());
        }
        for index in 0..4 {
            cluster.wait_ready(index, WAIT).await;
        }
        cluster
    };
    // Somebody types what does not belong there.
    let log = cluster.directory.join("bank-0/node.log");
    let mut text = fs::read_to_string(&log).unwrap();
    text.push_str(&format!("a line with only for this test in it and {token}\n"));
    let copy = directory.path().join("copy.log");
    fs::write(&copy, text).unwrap();
    let bundle = directory.path().join("support.tar");
    let paths = [&bundle, &copy, &token_file].map(|path| path.to_str().unwrap());
    let [to, copy, token_path] = paths;
    let arguments = ["support-bundle", "--to", to, "--log", copy, "--token-file", token_path];
    let made = jiaozi(&arguments, &config(&cluster, 0));
    assert!(made.status.success(), "{made:?}");
    let bytes = characters(&fs::read(&bundle).unwrap());
    for part in [
        "support/why.json",
        "\"verdict\"",
        "support/config.toml",
        "support/metrics.txt",
        "jiaozi_chain_final_height",
        "chain-0/store/CURRENT",
        "node started",
        "support/stores.txt",
        "a line with (left out)",
    ] {
        assert!(holds(&bytes, part.as_bytes()), "{part} is missing: {made:?}");
    }
    let secrets = secrets(&cluster, token);
    assert!(secrets.len() >= 10, "{secrets:?}");
    for (name, secret) in &secrets {
        for form in forms(secret) {
            assert!(!holds(&bytes, &form), "{name} is in the bundle as {}", String::from_utf8_lossy(&form));
        }
    }
    assert!(!holds(&bytes, node_token_hash(token).as_bytes()), "the token's hash is in the bundle");
    let again = jiaozi(&arguments, &config(&cluster, 0));
    assert_eq!(again.status.code(), Some(2), "no file is overwritten: {again:?}");
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(fs::metadata(&bundle).unwrap().mode() & 0o777, 0o600);
}

/// What `node.toml` has of a token, made by the program.
fn node_token_hash(token: &str) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), token.as_bytes()).unwrap();
    let told = child.wait_with_output().unwrap().stdout;
    String::from_utf8(told).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// The search of the test above finds what is there.
#[test]
fn a_secret_is_found_in_each_form() {
    let secret: Vec<u8> = (100..132).collect();
    for lead in 0..3 {
        let around: Vec<u8> =
            std::iter::repeat_n(7, lead).chain(secret.iter().copied()).chain([9, 9]).collect();
        let text = base64(&around);
        assert!(forms(&secret).iter().any(|form| holds(&text, form)), "base64 after {lead} bytes");
    }
    assert_eq!(base64(b"jiaozi"), "amlhb3pp");
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(forms(&secret).iter().any(|form| holds(&hex, form)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_wrong_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    let ahead = Clock::new(directory.path(), "+300");
    cluster.set_environment(0, ahead.environment());
    for index in 0..4 {
        cluster.spawn(index, &jiaozi_binary());
    }
    for index in 0..4 {
        cluster.wait_ready(index, WAIT).await;
    }
    let why = told(&cluster, 0, "told of its clock", |why| has(why, FindingCode::ClockSkew)).await;
    let skew = why.findings.iter().find(|finding| finding.code == FindingCode::ClockSkew).unwrap();
    assert!(skew.severity == Severity::Stuck && skew.what.contains("4 min ahead"), "{skew:?}");
    assert!(!has(&cluster.client(1).why().await.unwrap(), FindingCode::ClockSkew), "the others are right");
}
