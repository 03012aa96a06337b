//! The stages of a payment in a node, and which of them a thread or a sample of one belongs to.
//!
//! Threads with a name of their own tell the stage; those that serve many are told apart by the functions on their stack.

use serde::Serialize;

/// What a node does for a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The door of the bank that is posted to: HTTP body, decoding, signatures, trial execution, pool.
    Accept,
    /// Signatures of batches, at every bank. (Those of the door that the shared pool checks are here too.)
    Verify,
    /// Links: batches, acknowledgements and blocks to and from the others.
    Disseminate,
    /// The chain's own decisions, and consensus.
    Order,
    /// Blocks on the state, both trees.
    Execute,
    /// Writes, flushes and compaction.
    Commit,
    /// Answers to clients that ask.
    Serve,
    /// Threads of the runtimes that go to sleep, wake each other and look for work.
    Wake,
    /// What no rule tells.
    Other,
}

impl Stage {
    /// All of them, in the order of a payment's way.
    pub(crate) const ALL: [Self; 9] = [
        Self::Accept,
        Self::Verify,
        Self::Disseminate,
        Self::Order,
        Self::Execute,
        Self::Commit,
        Self::Serve,
        Self::Wake,
        Self::Other,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Verify => "verify",
            Self::Disseminate => "disseminate",
            Self::Order => "order",
            Self::Execute => "execute",
            Self::Commit => "commit",
            Self::Serve => "serve",
            Self::Wake => "wake",
            Self::Other => "other",
        }
    }

    /// Of a thread that does one thing; none of one that does several.
    pub(crate) fn of_thread(thread: &str) -> Option<Self> {
        Some(match thread {
            "admission" => Self::Accept,
            "verifier" => Self::Verify,
            "consensus" | "tokio-rt-worker" => Self::Order,
            "storage" => Self::Commit,
            _ if thread.starts_with("rocksdb:") => Self::Commit,
            _ => return None,
        })
    }

    /// Of a sample: the thread, and the functions on its stack.
    pub(crate) fn of_sample(thread: &str, stack: &[String]) -> Self {
        if let Some(stage) = Self::of_thread(thread) {
            return stage;
        }
        let rules = match kind(thread) {
            "node" => NODE,
            "executor" => EXECUTOR,
            "work" => WORK,
            _ => return Self::Other,
        };
        let is_on_stack =
            |words: &[&str]| stack.iter().any(|function| words.iter().any(|word| function.contains(word)));
        rules.iter().find(|(words, _)| is_on_stack(words)).map_or(Self::Other, |(_, stage)| *stage)
    }
}

/// The name of a thread without the number that tells it from its likes.
pub(crate) fn kind(thread: &str) -> &str {
    thread.split_once('-').map_or(thread, |(kind, number)| {
        if number.bytes().all(|byte| byte.is_ascii_digit()) { kind } else { thread }
    })
}

/// Words of which one is on the stack, and the stage that they tell: the first rule that fits counts.
type Rules = &'static [(&'static [&'static str], Stage)];

/// The runtime of REST, links and drivers.
const NODE: Rules = &[
    (
        &["node::http::submit", "node::admission", "mempool::pool::Pool::insert", "Chain::submit"],
        Stage::Accept,
    ),
    (&["node::http", "axum", "hyper", "api::"], Stage::Serve),
    (&["libp2p", "yamux", "network::", "asynchronous_codec"], Stage::Disseminate),
    (&["node::driver", "chain::", "mempool::", "seam::"], Stage::Order),
    // Below every task, so only where no task was told.
    (&["tokio::runtime"], Stage::Wake),
];
/// The thread that runs blocks, which ends each with one synced write.
const EXECUTOR: Rules = &[
    (&["rocksdb::", "storage::"], Stage::Commit),
    (&["chain::", "ledger::", "sha2::", "alloc::", "mi_", "core::"], Stage::Execute),
];
/// The pool that all share.
const WORK: Rules = &[
    (&["ledger::rules::signatures", "ledger::values::verify", "curve25519"], Stage::Verify),
    (&["ledger::", "chain::", "sha2::"], Stage::Execute),
    (&["rayon_core"], Stage::Wake),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(thread: &str, stack: &[&str]) -> Stage {
        let stack: Vec<String> = stack.iter().map(|function| (*function).to_owned()).collect();
        Stage::of_sample(thread, &stack)
    }

    #[test]
    fn threads_and_stacks_tell_the_stage() {
        assert_eq!(of("verifier", &[]), Stage::Verify);
        assert_eq!(of("rocksdb:low", &["anything"]), Stage::Commit);
        assert_eq!(
            of("node", &["memmove", "mempool::pool::Pool::insert", "node::driver::Driver::run"]),
            Stage::Accept
        );
        assert_eq!(of("node", &["serde_json::ser", "axum::json::Json", "tokio::runtime"]), Stage::Serve);
        assert_eq!(
            of("node", &["__send", "yamux::connection", "libp2p_swarm::connection"]),
            Stage::Disseminate
        );
        assert_eq!(of("node", &["chain::chain::Chain::step_all"]), Stage::Order);
        assert_eq!(of("node", &["epoll_wait", "tokio::runtime::scheduler"]), Stage::Wake);
        assert_eq!(of("node", &["memmove"]), Stage::Other);
        assert_eq!(of("executor", &["rocksdb::DBImpl::WriteImpl", "chain::executor"]), Stage::Commit);
        assert_eq!(of("executor", &["ledger::rules::apply"]), Stage::Execute);
        assert_eq!(of("work-1", &["curve25519_dalek::edwards", "rayon_core::job"]), Stage::Verify);
        assert_eq!(of("work-0", &["ledger::state::summing_tree::SumNode::leaf"]), Stage::Execute);
        assert_eq!(of("work-0", &["__sched_yield", "rayon_core::registry"]), Stage::Wake);
        assert_eq!(of("jiaozi", &["ledger::"]), Stage::Other);
    }

    #[test]
    fn numbers_are_no_part_of_a_threads_kind() {
        let kinds = ["work-0", "work-12", "tokio-rt-worker", "rocksdb:low", "node"].map(kind);
        assert_eq!(kinds, ["work", "work", "tokio-rt-worker", "rocksdb:low", "node"]);
    }
}
