//! The pages tell the truth: console blocks of their examples are run, relative links lead somewhere.
//!
//! A fence marked `console` holds commands after `$ ` and, below each, what it prints, standard error included.
//! The commands of a page run in one shell, in order, in a new folder, with `jiaozi` on the path. In what is
//! expected, `…` stands for one word that differs from run to run, a line of only `…` for any lines; runs of
//! spaces count as one. A command whose expected output starts with `error:` must end with exit code 1, every
//! other with 0.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use system::jiaozi_binary;

/// Bound of all commands of one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(480);
/// Separates the outputs of commands; no command prints it.
const MARK: &str = "=-=-= command";
const ANY: &str = "…";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// One command of a page and what it says it prints.
#[derive(Debug, PartialEq)]
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// The lines of every fence of a kind, with their numbers.
fn fences<'a>(text: &'a str, kind: &str) -> Vec<(usize, &'a str)> {
    let mut open: Option<&str> = None;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(_), Some(_)) => open = None,
            (Some(marked), None) => open = Some(marked),
            (None, Some(marked)) if marked == kind => lines.push((number + 1, line)),
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    lines
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, content) in fences(text, "console") {
        match (content.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => {
                steps.push(Step { line, command: command.to_owned(), expected: Vec::new() })
            }
            (None, Some(step)) => step.expected.push(content.to_owned()),
            (None, None) => panic!("line {line}: output before the first command"),
        }
    }
    steps
}

/// A shell script that runs the steps one by one and marks where each ends and how.
fn script(steps: &[Step]) -> String {
    let mut script = String::from("exec 2>&1 </dev/null\n");
    for step in steps {
        script.push_str(&step.command);
        script.push_str(&format!("\nstatus=$?; echo; echo '{MARK}' $status\n"));
    }
    script
}

/// The shell and everything it starts; nothing outlives the test.
struct Shell {
    child: Child,
    folder: PathBuf,
    jiaozi: PathBuf,
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.path().join("localnet.json").exists() {
                let down = Command::new(&self.jiaozi)
                    .args(["localnet", "down", "--directory"])
                    .arg(entry.path())
                    .stdout(Stdio::null())
                    .status();
                assert!(
                    std::thread::panicking() || down.is_ok_and(|status| status.success()),
                    "a network is left behind"
                );
            }
        }
    }
}

impl Shell {
    fn start(folder: &Path, script: &str) -> Self {
        let jiaozi = jiaozi_binary();
        let own_path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{own_path}", jiaozi.parent().unwrap().display());
        let output = std::fs::File::create(folder.join("output")).unwrap();
        let mut command = Command::new("bash");
        command.arg("-s").current_dir(folder).env("PATH", path).stdin(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("JIAOZI_") {
                command.env_remove(name);
            }
        }
        let mut child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        // The script is read whole before its commands run: it is one group.
        let whole = format!("{{\n{script}exit 0\n}}\n");
        child.stdin.take().unwrap().write_all(whole.as_bytes()).unwrap();
        Self { child, folder: folder.to_owned(), jiaozi }
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PAGE_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "still running after {PAGE_TIMEOUT:?}; so far:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("output")).unwrap()
    }
}

/// Whether a printed line is what the page says.
fn line_fits(expected: &str, printed: &str) -> bool {
    let normal = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, printed) = (normal(expected), normal(printed));
    word_fits(&expected, &printed)
}

/// `…` in `expected` takes one or more characters that are no space.
fn word_fits(expected: &str, printed: &str) -> bool {
    let Some((before, after)) = expected.split_once(ANY) else { return expected == printed };
    let Some(rest) = printed.strip_prefix(before) else { return false };
    let mut ends = rest
        .char_indices()
        .take_while(|(_, letter)| *letter != ' ')
        .map(|(at, letter)| at + letter.len_utf8());
    ends.any(|end| word_fits(after, &rest[end..]))
}

fn lines_fit(expected: &[String], printed: &[&str]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((first, others)), _) if first.trim() == ANY => {
            (0..=printed.len()).any(|skipped| lines_fit(others, &printed[skipped..]))
        }
        (Some((first, others)), Some((line, rest))) => line_fits(first, line) && lines_fit(others, rest),
        _ => false,
    }
}

/// Without empty lines at the end.
fn trimmed<T: AsRef<str>>(lines: &[T]) -> &[T] {
    let used = lines.iter().rposition(|line| !line.as_ref().trim().is_empty()).map_or(0, |last| last + 1);
    &lines[..used]
}

fn run_page(page: &str) {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{page} has no examples");
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::start(folder.path(), &script(&steps));
    let ended = shell.wait();
    let output = shell.output();
    assert!(ended.success(), "{page}: the shell ended with {ended}:\n{output}");
    let mut printed = Vec::new();
    let mut results = Vec::new();
    for line in output.lines() {
        match line.strip_prefix(MARK) {
            Some(status) => results.push((std::mem::take(&mut printed), status.trim().to_owned())),
            None => printed.push(line),
        }
    }
    assert_eq!(results.len(), steps.len(), "{page}: some commands did not run:\n{output}");
    for (step, (printed, status)) in steps.iter().zip(&results) {
        let (expected, printed) = (trimmed(&step.expected), trimmed(printed));
        let place = format!("{page}:{}: $ {}", step.line, step.command);
        assert!(
            lines_fit(expected, printed),
            "{place}\nthe page says:\n{}\nit printed:\n{}",
            expected.join("\n"),
            printed.join("\n")
        );
        let refused = expected.iter().any(|line| line.starts_with("error:"));
        assert_eq!(status, if refused { "1" } else { "0" }, "{place}\nexit code");
    }
}

#[test]
fn the_examples_of_the_readme_print_what_it_says() {
    run_page("README.md");
}

#[test]
fn the_examples_of_the_operations_page_print_what_it_says() {
    run_page("docs/operations.md");
}

#[test]
fn the_makefile_has_every_target_that_the_pages_name() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', ' ', '#', '.']))
        .filter_map(|line| line.split_once(':').map(|(name, _)| name.trim()))
        .collect();
    let mut found = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let in_fences = fences(&text, "sh").into_iter().map(|(_, line)| line.to_owned());
        let in_text = text.split('`').skip(1).step_by(2).map(str::to_owned);
        for command in in_fences.chain(in_text) {
            let Some(rest) = command.strip_prefix("make ") else { continue };
            let target = rest.split_whitespace().next().unwrap_or_default();
            assert!(targets.contains(target), "{}: no target for `make {target}`", page.display());
            found += 1;
        }
    }
    assert!(found >= 4, "the pages name make targets");
}

/// Every page of the project.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "localnet" {
                folders.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The names that a page's headings get: letters in lower case, spaces as hyphens, without other signs.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_fence = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        in_fence ^= line.starts_with("```");
        if !in_fence && line.starts_with('#') {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept =
                title.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
            anchors.insert(kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect());
        }
    }
    anchors
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        {
            if target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target} leads nowhere", page.display());
            if !anchor.is_empty() {
                let linked = std::fs::read_to_string(&path).unwrap();
                assert!(anchors(&linked).contains(anchor), "{}: no heading for {target}", page.display());
            }
        }
    }
    assert!(links >= 10, "the pages link each other");
}

#[test]
fn a_dot_of_dots_takes_one_word_and_nothing_else() {
    for (expected, printed, fits) in [
        ("height  …", "height     11", true),
        ("height …", "height", false),
        ("height …", "height 11 12", false),
        ("http://127.0.0.1:…", "http://127.0.0.1:8080", true),
        ("… of … rows", "3 of 4 rows", true),
        ("amount 5", "amount 50", false),
        ("\"id\": \"…\",", "\"id\": \"00ff\",", true),
        ("…, index 0", "7, index 1", false),
    ] {
        assert_eq!(line_fits(expected, printed), fits, "{expected} / {printed}");
    }
    let expected = ["first".to_owned(), "…".to_owned(), "last".to_owned()];
    assert!(lines_fit(&expected, &["first", "a b", "c", "last"]));
    assert!(!lines_fit(&expected, &["first", "a b", "c"]));
    assert!(!lines_fit(&expected, &["last"]));
}
