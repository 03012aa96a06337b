//! The consensus engine of one chain in one epoch: its thread, and its frames over the network's lanes.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::ChainConfig;
use consensus::runtime::thread::{Exit, RuntimeError, RuntimeThread, run_tokio};
use consensus::{
    Channel, Config, ConfigError, ConsensusSecret, Engine, Floor, InboundSender, Refused, Requests, Role,
    Started, Timing, Transport, frame_epoch,
};
use ledger::proofs::consensus_namespace;
use ledger::values::{BlockDigest, NodeIndex, ValidatorIndex};
use network::{LaneReceiver, Network};
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use crate::config::ConsensusSection;
use crate::rarely::Rarely;
use crate::standing::Standing;

/// Threads of the engine's runtime: it waits for disk and network most of the time.
const ENGINE_THREADS: usize = 1;
/// How long a peer that sent provable garbage to the engine is kept off the network.
const BLOCK_MS_MAX: u64 = 600_000;

/// The engine's thread, and how it ended.
pub(crate) type EngineThread = RuntimeThread<Result<(), ConfigError>>;

/// A running engine.
pub(crate) struct RunningEngine {
    pub(crate) thread: EngineThread,
    pub(crate) requests: Requests,
    pub(crate) inbound: InboundSender,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Its runtime does not start.
    #[error(
        "consensus: {0}. Mend: check the disk of the data directory and the service's limits, then start again"
    )]
    Runtime(#[from] RuntimeError),
    /// A setting is wrong.
    #[error(
        "[consensus] {0}. Mend: leave the section's timing out, and use the genesis file that the network agreed on"
    )]
    Config(#[from] ConfigError),
    /// It ended while it started.
    #[error("consensus: the engine ended while it started: {cause}. Mend: check the journal's disk")]
    Ended {
        /// What it said.
        cause: String,
    },
}

/// Frames of the engine over the network.
#[derive(Clone)]
pub(crate) struct Links {
    network: Network,
    /// The network's number of the chain's first consensus lane.
    first_lane: usize,
    /// The node that runs each validator.
    nodes: Vec<NodeIndex>,
}

impl Links {
    pub(crate) fn new(network: Network, first_lane: usize, config: &ChainConfig) -> Self {
        let nodes = config.validators().iter().map(|validator| validator.node).collect();
        Self { network, first_lane, nodes }
    }

    fn node(&self, validator: u16) -> Option<NodeIndex> {
        self.nodes.get(usize::from(validator)).copied()
    }
}

impl Transport for Links {
    fn try_send(&self, to: u16, channel: Channel, frame: Bytes) -> bool {
        self.node(to).is_some_and(|node| {
            self.network.try_send(node.0, self.first_lane + channel.index(), frame).is_ok()
        })
    }

    fn block(&self, validator: u16, duration_ms: u64) {
        if let Some(node) = self.node(validator) {
            tracing::warn!(
                node = node.0,
                duration_ms,
                "a validator sent provably wrong consensus messages; cut off"
            );
            self.network.block(node.0, Duration::from_millis(duration_ms.min(BLOCK_MS_MAX)));
        }
    }
}

/// Starts the engine of a chain's epoch on a thread of its own, above the last block of the epoch before.
pub(crate) async fn start(
    directory: &Path,
    chain: &ChainConfig,
    last: BlockDigest,
    standing: &Standing,
    section: &ConsensusSection,
    links: Links,
) -> Result<RunningEngine, EngineError> {
    let config = config(chain, last, standing, section);
    config.validate()?;
    let (sender, receiver) = oneshot::channel();
    let mut thread = run_tokio(directory, ENGINE_THREADS, move |context| async move {
        let Started { mut engine, requests, inbound } = Engine::start(context, config, links)?;
        // The node may have given up meanwhile; then it also stops this thread.
        let _gave_up = sender.send((requests, inbound)).is_err();
        engine.ended().await;
        Ok(())
    })?;
    match receiver.await {
        Ok((requests, inbound)) => Ok(RunningEngine { thread, requests, inbound }),
        Err(_) => match thread.ended().await {
            Some(Exit::Finished(Err(fault))) => Err(fault.into()),
            exit => Err(EngineError::Ended { cause: format!("{exit:?}") }),
        },
    }
}

/// Whether the engine would take its settings.
pub(crate) fn check(chain: &ChainConfig, section: &ConsensusSection) -> Result<(), EngineError> {
    Ok(config(chain, BlockDigest::default(), &Standing::Votes, section).validate()?)
}

fn config(chain: &ChainConfig, last: BlockDigest, standing: &Standing, section: &ConsensusSection) -> Config {
    let rules = &chain.rules;
    let own = chain.own_validator;
    let role = match chain.sealing_key.as_ref().filter(|_| standing.may_vote()) {
        Some(key) => Role::Voter { secret: ConsensusSecret::new(Zeroizing::new(*key.seed())) },
        None => Role::Observer { index: own.map(|ValidatorIndex(index)| index) },
    };
    Config {
        chain: rules.chain.0,
        epoch: chain.epoch.0,
        namespace: consensus_namespace(rules.genesis, rules.chain),
        validators: chain.validators().iter().map(|validator| validator.consensus_key.0).collect(),
        role,
        floor: floor(last, standing),
        timing: timing(section, rules.params.block_pace_ms),
        partition: "journal".to_owned(),
    }
}

/// How many paces of blocks a view waits for its leader at least: the leader holds its proposal for one, and is not late with it on a slow
/// link.
const PACES_PER_LEADER_TIMEOUT: u64 = 3;
const _: () =
    assert!(2 * chain::config::IDLE_HOLD_MS < consensus::LEADER_TIMEOUT_MS, "nor is an idle leader late");
const _: () = assert!(
    chain::config::EARLY_HOLD_MS + chain::config::IDLE_HOLD_MS < consensus::CERTIFICATION_TIMEOUT_MS,
    "what is waited for can still be voted for"
);

/// What the section says; else the usual timings, and longer ones where operators let blocks come more slowly. The pace is that of the
/// epoch's beginning, or of the start.
fn timing(section: &ConsensusSection, block_pace_ms: u64) -> Timing {
    let usual = Timing::default();
    let paced_ms = block_pace_ms.saturating_mul(PACES_PER_LEADER_TIMEOUT);
    let more_ms = paced_ms.saturating_sub(usual.leader_timeout_ms);
    let longer = |usual_ms: u64| usual_ms.saturating_add(more_ms);
    Timing {
        leader_timeout_ms: section.leader_timeout_ms.unwrap_or(longer(usual.leader_timeout_ms)),
        certification_timeout_ms: section
            .certification_timeout_ms
            .unwrap_or(longer(usual.certification_timeout_ms)),
        retry_ms: section.retry_ms.unwrap_or(usual.retry_ms),
        skip_ms: section.skip_ms.unwrap_or(longer(usual.skip_ms)),
        ..usual
    }
}

/// Where the engine begins when it has no journal.
fn floor(last: BlockDigest, standing: &Standing) -> Floor {
    match standing {
        Standing::VotesAbove(proof) => Floor::Finalized((**proof).clone()),
        _ => Floor::Genesis(last.0),
    }
}

/// Where frames from the network go in: the engine of the running epoch.
pub(crate) struct Door {
    epoch: u64,
    /// The validator that each node runs.
    validators: BTreeMap<u16, u16>,
    inbound: InboundSender,
}

impl Door {
    pub(crate) fn new(chain: &ChainConfig, inbound: InboundSender) -> Self {
        let validators = chain.validators().iter().zip(0_u16..);
        let validators = validators.map(|(validator, index)| (validator.node.0, index)).collect();
        Self { epoch: chain.epoch.0, validators, inbound }
    }
}

/// Frames of one lane that wait for the engine of the next epoch, which starts here a moment later than elsewhere: what is said in its
/// first view would be lost to a timeout.
const EARLY_FRAMES_MAX: usize = 256;
/// Of one peer.
const EARLY_FRAMES_PER_PEER_MAX: usize = 16;

/// Hands frames of one lane to the engine of the running epoch until the node stops.
pub(crate) async fn feed(
    lane: LaneReceiver,
    channel: Channel,
    doors: watch::Receiver<Option<Arc<Door>>>,
    network: Network,
) {
    Feed { channel, network, early: VecDeque::new(), rarely: Rarely::default() }.run(lane, doors).await;
}

struct Feed {
    channel: Channel,
    network: Network,
    early: VecDeque<(u16, Bytes)>,
    rarely: Rarely,
}

impl Feed {
    async fn run(mut self, mut lane: LaneReceiver, mut doors: watch::Receiver<Option<Arc<Door>>>) {
        loop {
            tokio::select! {
                changed = doors.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let door = doors.borrow_and_update().clone();
                    for (from, frame) in std::mem::take(&mut self.early) {
                        self.frame(door.as_deref(), from, frame);
                    }
                }
                frame = lane.recv() => {
                    let Some((from, frame)) = frame else { return };
                    let door = doors.borrow().clone();
                    self.frame(door.as_deref(), from, frame);
                }
            }
        }
    }

    fn frame(&mut self, door: Option<&Door>, from: u16, frame: Bytes) {
        let Some(door) = door else { return };
        if frame_epoch(&frame) == Some(door.epoch.saturating_add(1)) {
            self.keep(from, frame);
            return;
        }
        let Some(validator) = door.validators.get(&from) else { return };
        match door.inbound.try_deliver(*validator, self.channel, frame) {
            Ok(())
            | Err(
                Refused::LaneFull
                | Refused::Blocked
                | Refused::Epoch(_)
                | Refused::UnknownPeer
                // The next engine is about to start, or the node is about to stop.
                | Refused::Ended,
            ) => {}
            Err(Refused::Size(bytes)) => {
                if let Some(times) = self.rarely.count(from, "size") {
                    tracing::warn!(
                        node = from,
                        bytes,
                        times,
                        "a consensus frame of an impossible size; cut off"
                    );
                }
                self.network.block(from, Duration::from_millis(BLOCK_MS_MAX));
            }
        }
    }

    fn keep(&mut self, from: u16, frame: Bytes) {
        let own = self.early.iter().filter(|(peer, _)| *peer == from).count();
        let fits = frame.len() <= self.channel.frame_bytes_max();
        if fits && own < EARLY_FRAMES_PER_PEER_MAX && self.early.len() < EARLY_FRAMES_MAX {
            self.early.push_back((from, frame));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_leader_is_late_because_blocks_are_paced_slowly() {
        let (usual, section) = (Timing::default(), ConsensusSection::default());
        for pace_ms in [1, 50, 333] {
            assert_eq!(timing(&section, pace_ms), usual, "{pace_ms}");
        }
        // The slowest that the rules allow last.
        for pace_ms in [334, 450, 1_000, 10_000] {
            let timing = timing(&section, pace_ms);
            assert_eq!(timing.leader_timeout_ms, 3 * pace_ms);
            assert_eq!(timing.validate(), Ok(()), "{pace_ms}");
            assert_eq!(timing.certification_timeout_ms - timing.leader_timeout_ms, 500);
        }
        let told = ConsensusSection { leader_timeout_ms: Some(700), ..section };
        assert_eq!(timing(&told, 450).leader_timeout_ms, 700, "what the operator says is taken");
    }
}
