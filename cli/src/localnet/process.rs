//! Node processes: starting them, recognizing them, stopping them.
//!
//! Rule: no signal leaves this file before the process was recognized, by the arguments of its command line, *after* a
//! handle on it was taken (pidfd). A pid that meanwhile belongs to somebody else is never hit. What identifies a node is
//! its configuration: the program may be another copy, and paths may be written differently.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::failure::{Answer, Failure};

/// How long a node may take to stop by itself.
pub const STOP_GRACE: Duration = Duration::from_secs(15);
/// How long the kernel may take to end a killed process.
const KILL_GRACE: Duration = Duration::from_secs(5);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Most bytes of a pid file.
const PID_BYTES_MAX: usize = 32;

/// How to start a node, and to recognize it: `PROGRAM node run --config CONFIG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCommand {
    /// The program that is started; a running node may be of another copy.
    pub program: PathBuf,
    /// The node's configuration.
    pub config: PathBuf,
}

/// A recognized, running node.
#[derive(Debug)]
pub struct RunningNode {
    /// Its process id.
    pub pid: u32,
    handle: OwnedFd,
}

/// What a pid file leads to.
#[derive(Debug)]
pub enum Found {
    /// No process.
    Nothing,
    /// The node.
    Node(RunningNode),
    /// A process that is not recognized as the node.
    Stranger {
        /// Its process id.
        pid: u32,
    },
}

impl Found {
    /// The node, if that is what was found.
    #[must_use]
    pub const fn node(&self) -> Option<&RunningNode> {
        match self {
            Self::Node(node) => Some(node),
            Self::Nothing | Self::Stranger { .. } => None,
        }
    }

    /// The process that is not recognized, if that is what was found.
    #[must_use]
    pub const fn stranger(&self) -> Option<u32> {
        match self {
            Self::Stranger { pid } => Some(*pid),
            Self::Nothing | Self::Node(_) => None,
        }
    }
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// It was not running.
    NotRunning,
    /// It stopped when asked to.
    Gracefully,
    /// It had to be killed.
    Killed,
    /// Its pid file names a process that is not recognized, which was left alone.
    NotRecognized,
}

impl NodeCommand {
    /// The command for `config`, run by this program.
    ///
    /// # Errors
    /// [`Failure`] when the program's own path is unknown.
    pub fn new(config: PathBuf) -> Answer<Self> {
        let program = std::env::current_exe().map_err(|fault| {
            Failure::unreachable("program", format_args!("this program's path is unknown: {fault}"))
        })?;
        Ok(Self { program, config })
    }

    fn arguments(&self) -> [OsString; 4] {
        ["node".into(), "run".into(), "--config".into(), self.config.clone().into_os_string()]
    }

    /// Starts the node with its output appended to `log`, in a process group of its own, and notes its pid.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn start(&self, log: &Path, pid_file: &Path) -> Answer<Child> {
        let io = |fault: std::io::Error| Failure::io("write", log, &fault);
        let out = OpenOptions::new().create(true).append(true).open(log).map_err(io)?;
        let errors = out.try_clone().map_err(io)?;
        let child = Command::new(&self.program)
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|fault| Failure::io("start", &self.program, &fault))?;
        std::fs::write(pid_file, format!("{}\n", child.id()))
            .map_err(|fault| Failure::io("write", pid_file, &fault))?;
        Ok(child)
    }

    /// What `pid_file` leads to. A stale file is not an error.
    ///
    /// # Errors
    /// [`Failure`] when the file cannot be read.
    pub fn find(&self, pid_file: &Path) -> Answer<Found> {
        let text = match std::fs::read_to_string(pid_file) {
            Ok(text) => text,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(fault) => return Err(Failure::io("read", pid_file, &fault)),
        };
        let pid = text.get(..text.len().min(PID_BYTES_MAX)).and_then(|text| text.trim().parse::<u32>().ok());
        let Some(pid) = pid else { return Ok(Found::Nothing) };
        Ok(self.recognize(pid))
    }

    /// Takes a handle first and looks afterwards: what is seen belongs to the handle.
    fn recognize(&self, pid: u32) -> Found {
        use rustix::io::Errno;
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Found::Nothing };
        let handle = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(handle) => handle,
            // No such process, or a thread of another one.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Found::Nothing,
            Err(_) => return Found::Stranger { pid },
        };
        let is_this = self.is_this(pid);
        let node = RunningNode { pid, handle };
        match (node.is_running(), is_this) {
            (false, _) => Found::Nothing,
            (true, true) => Found::Node(node),
            (true, false) => Found::Stranger { pid },
        }
    }

    fn is_this(&self, pid: u32) -> bool {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let Ok(line) = std::fs::read(folder.join("cmdline")) else { return false };
        let mut arguments = line.split(|byte| *byte == 0).skip(1);
        let is_node = ["node", "run", "--config"].iter().all(|own| arguments.next() == Some(own.as_bytes()));
        let Some(config) = arguments.next().filter(|_| is_node) else { return false };
        // A relative path is relative to where the process works.
        let work = std::fs::read_link(folder.join("cwd")).unwrap_or_default();
        let config = work.join(OsString::from_vec(config.to_vec()));
        resolved(&config) == resolved(&self.config) && arguments.all(<[u8]>::is_empty)
    }
}

/// A path without links and `..`; as it is when there is nothing.
fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

impl RunningNode {
    /// Whether the process still runs. One that ended and was not yet collected by its parent does not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        // The name is in parentheses and may hold anything; the state follows the last one.
        let state = status.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        !matches!(state, None | Some('Z' | 'X'))
    }

    /// Asks the node to stop, and kills it when it does not within [`STOP_GRACE`].
    ///
    /// # Errors
    /// [`Failure`] when it cannot be stopped.
    pub fn stop(&self) -> Answer<Stopped> {
        self.ask_to_stop()?;
        self.finish()
    }

    /// Waits for a node that was asked to stop, and kills it when it does not within [`STOP_GRACE`].
    ///
    /// # Errors
    /// [`Failure`] when it cannot be stopped.
    pub fn finish(&self) -> Answer<Stopped> {
        if self.wait(STOP_GRACE) {
            return Ok(Stopped::Gracefully);
        }
        self.signal(Signal::KILL)?;
        if self.wait(KILL_GRACE) {
            return Ok(Stopped::Killed);
        }
        Err(Failure::unreachable("node_stuck", format_args!("process {} does not end", self.pid))
            .mend("look at what it waits for in /proc, usually a disk"))
    }

    /// Asks the node to stop, without waiting.
    ///
    /// # Errors
    /// [`Failure`] when it may not be asked.
    pub fn ask_to_stop(&self) -> Answer {
        self.signal(Signal::TERM)
    }

    /// Whether the process ends within `bound`.
    fn wait(&self, bound: Duration) -> bool {
        let until = Instant::now() + bound;
        while Instant::now() < until {
            if !self.is_running() {
                return true;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        !self.is_running()
    }

    fn signal(&self, signal: Signal) -> Answer {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(fault) => Err(Failure::unreachable("signal", format_args!("process {}: {fault}", self.pid))
                .mend("stop it as the user who started it")),
        }
    }
}

/// The last `lines` lines of a log, from at most its last 64 KiB.
#[must_use]
pub fn tail(log: &Path, lines: usize) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const BYTES: u64 = 64 << 10;
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> (Child, NodeCommand) {
        let child = Command::new("/bin/sleep").args(["30"]).spawn().unwrap();
        let program = std::fs::read_link(format!("/proc/{}/exe", child.id())).unwrap();
        (child, NodeCommand { program, config: "30".into() })
    }

    #[test]
    fn another_program_s_pid_is_not_recognized() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("node.pid");
        let (mut child, command) = sleeper();
        std::fs::write(&pid_file, child.id().to_string()).unwrap();
        // The right program, but not with `node run --config 30`.
        assert_eq!(command.find(&pid_file).unwrap().stranger(), Some(child.id()));
        std::fs::write(&pid_file, "not a number").unwrap();
        assert!(matches!(command.find(&pid_file).unwrap(), Found::Nothing));
        assert!(matches!(command.find(&folder.path().join("missing")).unwrap(), Found::Nothing));
        assert!(child.try_wait().unwrap().is_none(), "nobody was signalled");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends a process that a failing test would leave behind.
    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_recognized_process_is_stopped_and_counts_as_ended_before_it_is_collected() {
        let folder = tempfile::tempdir().unwrap();
        // A shell takes any arguments after its script, so it can look like a node.
        let config = folder.path().join("node.toml");
        std::fs::write(&config, "").unwrap();
        std::fs::write(folder.path().join("node"), "while true; do sleep 0.05; done").unwrap();
        let child = Command::new("/bin/bash")
            .args(["node", "run", "--config"])
            .arg(&config)
            .current_dir(folder.path())
            .spawn()
            .unwrap();
        let child = Ended(child);
        // Another copy of the program, and the configuration written in another way.
        let detour = folder.path().join("..").join(folder.path().file_name().unwrap()).join("node.toml");
        let command = NodeCommand { program: "/bin/another-copy".into(), config: detour };
        let pid_file = folder.path().join("node.pid");
        std::fs::write(&pid_file, format!("{}\n", child.0.id())).unwrap();
        // The kernel lets the parent go on before it has set the arguments of the new program.
        let until = Instant::now() + Duration::from_secs(5);
        while command.find(&pid_file).unwrap().node().is_none() && Instant::now() < until {
            std::thread::sleep(LOOK_AGAIN);
        }
        let elsewhere = NodeCommand { config: folder.path().join("other.toml"), ..command.clone() };
        assert_eq!(elsewhere.find(&pid_file).unwrap().stranger(), Some(child.0.id()), "another node");
        let found = command.find(&pid_file).unwrap();
        let node = found.node().unwrap();
        assert!(node.is_running());
        assert_eq!(node.stop().unwrap(), Stopped::Gracefully);
        assert!(!node.is_running());
        drop(child);
        assert!(matches!(command.find(&pid_file).unwrap(), Found::Nothing), "a stale pid file");
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("node.log");
        let text: Vec<String> = (0..10_000).map(|line| format!("line {line}")).collect();
        std::fs::write(&log, text.join("\n")).unwrap();
        assert_eq!(tail(&log, 2), "line 9998\nline 9999");
        assert_eq!(tail(&folder.path().join("missing"), 2), "");
    }
}
