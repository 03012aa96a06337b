//! `GET /v1/why`: why this node does not do its work, and what its operator can do next.
//!
//! It must answer when a chain does not: it reads what the drivers published and what the node remembers ([`crate::vigil`]), no store, and asks
//! each chain's task for a sign of life within [`ANSWER_MS`].

use std::time::Duration;

use api::error::ApiError;
use api::why::{AbsentValidator, ChainFacts, DiskFacts, WaitingReceipts, Why, WhyFacts};
use axum::Json;
use axum::extract::State;
use ledger::records::{ChainRecord, Registry};
use ledger::values::{NodeIndex, PublicKey, quorum};

use super::edge::Edge;
use super::health::joining_view;
use super::network::VERSION;
use crate::admission::wall_clock;
use crate::handle::{ChainHandle, Status, Voting};
use crate::hosting;
use crate::vigil::{Course, difference};
use crate::why::{Looked, LookedChain, UnusedKey};

/// How long a chain's task has to answer.
const ANSWER_MS: u64 = 1_000;

/// Says why the node is stuck.
#[utoipa::path(
    get,
    path = api::path::WHY,
    tag = "health",
    responses(
        (status = 200, description = "what is wrong, the gravest first, and what to do next", body = Why),
        (status = "4XX", description = "refused", body = ApiError),
    )
)]
pub(crate) async fn why(State(edge): State<Edge>) -> Json<Why> {
    let limit = Duration::from_millis(ANSWER_MS);
    let asked = edge.chains().iter().map(|chain| chain.admission.is_answered(limit));
    let answering = futures::future::join_all(asked).await;
    Json(look(&edge, &answering).why())
}

fn look(edge: &Edge, answering: &[bool]) -> Looked {
    let (parts, registry) = (edge.parts(), edge.registry());
    let vigil = &parts.vigil;
    let moment = Moment { now_ms: wall_clock().0, elapsed_ms: vigil.elapsed_ms() };
    let free_bytes = edge.chains().iter().map(|chain| chain.now().disk_free_bytes).min();
    let own = vigil.own();
    let facts = WhyFacts {
        node: parts.own_node.0,
        operator: operator(&registry, parts.own_node),
        version: VERSION.to_owned(),
        now_ms: moment.now_ms,
        watched_ms: moment.elapsed_ms,
        connected_peers: u32::try_from(parts.connections.borrow().len()).unwrap_or(u32::MAX),
        disk: DiskFacts {
            free_bytes: free_bytes.filter(|free| *free != u64::MAX),
            reserve_bytes: own.reserve_bytes,
            hours_left: vigil.disk_hours_left(),
        },
        certificate_expires_ms: own.certificate_expires_ms,
        chains: Vec::new(),
    };
    let chains = edge.chains().iter().zip(answering);
    let not_hosted = edge.not_hosted().into_iter().map(|chain| (chain, hosting::mend(&registry, chain)));
    Looked {
        facts,
        chains: chains.map(|(chain, is_answering)| look_at(edge, chain, moment, *is_answering)).collect(),
        awaited: edge.awaited().to_vec(),
        not_hosted: not_hosted.collect(),
        lag_heights_max: parts.limits.ready_lag_heights,
    }
}

/// Now, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Moment {
    now_ms: u64,
    elapsed_ms: u64,
}

impl Moment {
    /// A moment of the monotonic clock on the wall clock.
    fn wall(self, then_ms: u64) -> u64 {
        self.now_ms.saturating_sub(self.elapsed_ms.saturating_sub(then_ms))
    }
}

fn look_at(edge: &Edge, chain: &ChainHandle, moment: Moment, is_answering: bool) -> LookedChain {
    let (parts, id) = (edge.parts(), chain.chain());
    let (status, registry, course) = (chain.now(), chain.registry(), parts.vigil.course(id));
    let record = registry.chain(id);
    let set = registry.validators(id, status.chain.epoch);
    let wanted = record.map_or(&[][..], |record| record.wanted.as_slice());
    let own_operator = registry.node(parts.own_node).map(|node| node.operator);
    let own_seat = set.iter().find(|seat| seat.node == parts.own_node);
    let keys = || parts.vigil.own().keys.iter().filter(move |own| own.chain == id);
    let has = |key: PublicKey| keys().any(|own| own.key == key);
    let missing_key = own_seat.map(|seat| seat.consensus_key).filter(|key| !has(*key));
    let is_seated = own_seat.is_some() && missing_key.is_none();
    let unused =
        keys().filter(|own| !set.iter().chain(wanted).any(|seat| seat.consensus_key == own.key)).map(|own| {
            let name = own.file.file_stem().unwrap_or_default().to_string_lossy();
            UnusedKey {
                file: own.file.display().to_string(),
                is_next: name.ends_with(".next"),
                is_replaced: is_seated,
            }
        });
    let params = chain.rules.borrow().params.clone();
    LookedChain {
        facts: chain_facts(edge, chain, &status, &course, moment, is_answering),
        voting: status.voting,
        halt: status.halt,
        divergence: status.divergence,
        is_home: edge.is_home(id),
        is_wanted: wanted.iter().any(|seat| seat.node == parts.own_node),
        is_barred: own_operator
            .is_some_and(|operator| record.is_some_and(|record| record.barred.contains(&operator))),
        pace_ms: params.block_pace_ms,
        drift_ms: params.clock_drift_ms_max,
        closing_per_1000_s: course.closing_per_1000_s(),
        missing_key: missing_key.map(|key| key.to_string()),
        unused_keys: unused.collect(),
    }
}

fn chain_facts(
    edge: &Edge,
    chain: &ChainHandle,
    status: &Status,
    course: &Course,
    moment: Moment,
    is_answering: bool,
) -> ChainFacts {
    let (now, registry) = (&status.chain, chain.registry());
    let connected = edge.parts().connections.borrow().clone();
    let absent = chain.silent().into_iter().map(|node| AbsentValidator {
        node: node.0,
        operator: operator(&registry, node),
        address: registry.node(node).map(|record| record.address.clone()).unwrap_or_default(),
        since_ms: moment.wall(course.silent_since(node).unwrap_or(moment.elapsed_ms)),
        is_connected: connected.contains(&node.0),
    });
    // No fresh block tells, but the newest one is from the future: this clock is behind.
    let newest_ms = chain.market.newest_timestamp_ms();
    let before_newest =
        newest_ms.map(|newest_ms| difference(moment.now_ms, newest_ms)).filter(|late| *late < 0);
    ChainFacts {
        chain: chain.chain().0,
        currency: chain.spec.currency.to_string(),
        is_answering,
        is_voting: status.voting == Voting::Yes,
        height: now.executed_height.0,
        height_since_ms: course.height_since().map(|since| moment.wall(since)),
        certified_height: now.certified_height.0,
        announced_height: now.highest_announced.map(|height| height.0),
        blocks_per_1000_s: course.blocks_per_1000_s(),
        validators: count(now.validators),
        quorum: count(quorum(now.validators)),
        heard: count(now.heard),
        absent: absent.collect(),
        clock_ahead_ms: course.clock_ahead_ms().or(before_newest),
        receipts: receipts(edge, chain, &registry),
        joining: now.joining.map(joining_view),
        pruned_below: now.pruned_below.map(|height| height.0),
    }
}

/// What the relay counts, for every other chain to which something waits.
fn receipts(edge: &Edge, chain: &ChainHandle, registry: &Registry) -> Vec<WaitingReceipts> {
    let Some(metrics) = edge.chain_metrics(chain.chain()) else { return Vec::new() };
    let waiting = |other: &ChainRecord| {
        let (count, age_ms) = metrics.relayed(other.chain)?;
        (count > 0).then_some(WaitingReceipts { destination: other.chain.0, count, age_ms })
    };
    registry.chains.iter().filter_map(waiting).collect()
}

fn operator(registry: &Registry, node: NodeIndex) -> String {
    let operator = registry.node(node).and_then(|record| registry.operator(record.operator));
    operator.map_or_else(|| "?".to_owned(), |operator| operator.name.clone())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
