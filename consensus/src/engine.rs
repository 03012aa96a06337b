//! The engine: one chain, one epoch, wired to mailbox and transport.
//!
//! Everything here is assembly; each rule lives in the module that is assembled. What the settings below that
//! are not in [`Timing`](crate::Timing) mean:
//!
//! - leaders rotate round robin by view and epoch; a validator silent for `skip_ms` loses its turns, at most one
//!   round of them before something must finalize;
//! - blocks are forwarded to validators whose vote this node did not see ([`Request::Disseminate`]);
//! - the journal partition is `<partition>-c<chain>-e<epoch>-<first 8 hex digits of the key>`: artifacts of
//!   another epoch or key are not valid state.
//!
//! [`Request::Disseminate`]: crate::Request::Disseminate

use crate::automaton::Application;
use crate::blocklist::{BlockFlags, Blocklist};
use crate::config::{Config, ConfigError, Floor};
use crate::counters::{Counters, Meters};
use crate::inbound::{InboundSender, lanes};
use crate::mailbox::{Requests, mailbox};
use crate::runtime::{Runtime, Task};
use crate::transport::{Channel, Outbound, Transport};
use crate::validators::Validators;
use commonware_codec::{Copying, Decode as _};
use commonware_consensus::simplex::config::{
    Config as SimplexConfig, Floor as SimplexFloor, ForwardPolicy, SkipBudget, SkipPolicy,
};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::Finalization;
use commonware_consensus::types::{Epoch, ViewDelta};
use commonware_cryptography::Sha256;
use commonware_cryptography::certificate::Verifier as _;
use commonware_cryptography::sha256::Digest;
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_utils::sync::Mutex;
use commonware_utils::{NZDuration, NZU16, NZUsize};
use ledger::proofs::FinalityProof;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Messages that each of the engine's inner queues holds before its overflow rule applies.
const INNER_MAILBOX: usize = 1_024;
/// Bytes read ahead while the journal is replayed.
const REPLAY_BUFFER_BYTES: usize = 1024 * 1024;
/// Bytes of journal writes collected before they go to the file.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// Journal pages kept in memory, and their size: 64 of 4,084 bytes (a 4 KiB page less its checksum).
const PAGES_CACHED: usize = 64;
/// Payload bytes of one journal page.
pub(crate) const PAGE_BYTES: u16 = 4_084;

/// A running engine. Dropping it lets the engine run on until its runtime ends.
pub struct Engine {
    task: Task<()>,
    /// Resolves when every part of the engine is gone.
    gone: oneshot::Receiver<()>,
    meters: Arc<Meters>,
}

/// An engine with both its seams: to the application and to the network.
pub struct Started {
    /// The engine itself.
    pub engine: Engine,
    /// What it asks and tells the application.
    pub requests: Requests,
    /// Where frames from the network go in.
    pub inbound: InboundSender,
}

impl Engine {
    /// Starts an engine on `context`, which should be a scope of its own if several share a runtime.
    ///
    /// Wait for connections to a quorum first, or the first view is lost to its timeout.
    ///
    /// # Errors
    /// The first thing wrong with the configuration; nothing has started then.
    pub fn start<E: Runtime, T: Transport>(
        mut context: E,
        config: Config,
        transport: T,
    ) -> Result<Started, ConfigError> {
        config.validate()?;
        let (validators, scheme) = Validators::from_config(&config)?;
        let validators = Arc::new(validators);
        let floor = simplex_floor(&config.floor, &scheme, &mut context)?;
        let randomness = Arc::new(Mutex::new(StdRng::from_rng(&mut context)));
        let meters = Arc::new(Meters::default());
        let flags = Arc::new(BlockFlags::new(validators.len()));
        let (sender, requests, gone) = mailbox(Arc::clone(&meters));
        let application = Application {
            chain: config.chain,
            scheme,
            validators: Arc::clone(&validators),
            requests: sender,
            meters: Arc::clone(&meters),
            randomness,
        };
        let task_meters = Arc::clone(&meters);
        let context = context
            .child("consensus")
            .with_attribute("chain", config.chain)
            .with_attribute("epoch", config.epoch);
        let clock_context = context.child("inbound");
        let (inbound, receivers) =
            lanes(config.epoch, &validators, &flags, &meters, || clock_context.child("clock"));
        let task = context.spawn(move |context| async move {
            let blocklist = Blocklist::new(
                context.child("blocklist"),
                transport.clone(),
                Arc::clone(&validators),
                flags,
                Arc::clone(&task_meters),
            );
            let outbound = |channel| Outbound {
                transport: transport.clone(),
                channel,
                epoch: config.epoch,
                validators: Arc::clone(&validators),
                meters: Arc::clone(&task_meters),
            };
            let settings = settings(&config, &validators, floor, blocklist, application);
            let engine = commonware_consensus::simplex::Engine::new(context.child("engine"), settings);
            let [votes, certificates, resolver] = receivers;
            let handle = engine.start(
                (outbound(Channel::Vote), votes),
                (outbound(Channel::Certificate), certificates),
                (outbound(Channel::Resolver), resolver),
            );
            // However it ended, this task's end is the engine's end.
            let _ended = handle.await;
        });
        Ok(Started { engine: Self { task: Task(task), gone, meters }, requests, inbound })
    }

    /// Resolves when the engine has ended by itself. It never should: treat it as a reason to halt.
    ///
    /// On the production runtime a panic of the engine ends the whole runtime instead.
    pub async fn ended(&mut self) {
        let _output = (&mut self.task).await;
    }

    /// Ends the engine now, as a crash would, and waits until every part of it is gone.
    ///
    /// Its journal stays usable: the same configuration may start again.
    pub async fn stop(self) {
        self.task.abort();
        let _dropped = self.gone.await;
    }

    /// A reading of the counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.meters.snapshot()
    }
}

/// Translates the floor, verifying a finalization so that the engine need not assert it.
fn simplex_floor<E: Runtime>(
    floor: &Floor,
    scheme: &Scheme,
    context: &mut E,
) -> Result<SimplexFloor<Scheme, Digest>, ConfigError> {
    let proof = match floor {
        Floor::Genesis(digest) => return Ok(SimplexFloor::Genesis(Digest(*digest))),
        Floor::Finalized(proof) => proof,
    };
    let finalization =
        Finalization::<Scheme, Digest>::decode_cfg(Copying(&proof.bytes), &scheme.certificate_codec_config())
            .map_err(|_| ConfigError::FloorUndecodable)?;
    if !same_fields(proof, &finalization) {
        return Err(ConfigError::FloorFields);
    }
    if !finalization.verify(context, scheme, &Sequential) {
        return Err(ConfigError::FloorUnproven);
    }
    Ok(SimplexFloor::Finalized(finalization))
}

/// Whether the plain fields of a proof repeat its certificate.
fn same_fields(proof: &FinalityProof, finalization: &Finalization<Scheme, Digest>) -> bool {
    let proposal = &finalization.proposal;
    proposal.round.epoch().get() == proof.epoch.0
        && proposal.round.view().get() == proof.view.0
        && proposal.parent.get() == proof.parent_view.0
        && proposal.payload.0 == proof.digest.0
}

type Settings<B> =
    SimplexConfig<Scheme, RoundRobin<Sha256>, B, Digest, Application, Application, Application, Sequential>;

/// The engine library's configuration. `config` is validated.
fn settings<E: Runtime, T: Transport>(
    config: &Config,
    validators: &Validators,
    floor: SimplexFloor<Scheme, Digest>,
    blocker: Blocklist<E, T>,
    application: Application,
) -> Settings<Blocklist<E, T>> {
    let timing = config.timing;
    SimplexConfig {
        scheme: application.scheme.clone(),
        elector: RoundRobin::<Sha256>::default(),
        blocker,
        automaton: application.clone(),
        relay: application.clone(),
        reporter: application,
        strategy: Sequential,
        partition: partition(config, validators),
        mailbox_size: NZUsize!(INNER_MAILBOX),
        epoch: Epoch::new(config.epoch),
        floor,
        leader_timeout: Duration::from_millis(timing.leader_timeout_ms),
        certification_timeout: Duration::from_millis(timing.certification_timeout_ms),
        timeout_retry: Duration::from_millis(timing.retry_ms),
        fetch_timeout: NZDuration!(Duration::from_millis(timing.fetch_timeout_ms)),
        fetch_retry_delay: Duration::from_millis(timing.fetch_retry_ms),
        view_retention: ViewDelta::new(timing.view_retention),
        skip: SkipPolicy::Enabled {
            timeout: Duration::from_millis(timing.skip_ms),
            budget: SkipBudget::Participants,
        },
        replay_buffer: NZUsize!(REPLAY_BUFFER_BYTES),
        write_buffer: NZUsize!(WRITE_BUFFER_BYTES),
        page_cache: CacheRef::new(NZU16!(PAGE_BYTES), NZUsize!(PAGES_CACHED)),
        forward: ForwardPolicy::SilentVoters,
        track_historical_votes: false,
    }
}

/// Name of the journal: unique per chain, epoch and key.
fn partition(config: &Config, validators: &Validators) -> String {
    use std::fmt::Write as _;
    let mut name = format!("{}-c{}-e{}-", config.partition, config.chain, config.epoch);
    match validators.own().and_then(|own| config.validators.get(usize::from(own))) {
        Some(key) => {
            for byte in key.iter().take(4) {
                // Writing to a string cannot fail.
                let _infallible = write!(name, "{byte:02x}");
            }
        }
        None => name.push_str("observer"),
    }
    name
}
