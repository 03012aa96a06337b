//! Every bound of this crate, in one place, with its reason.
//!
//! Memory a registry peer can make us hold is at most, per connection,
//! `streams × STREAM_WINDOW_BYTES + WINDOW_GROWTH_BYTES_MAX` in the multiplexer, and per lane
//! `inbound_frames_max + 1` frames in our queues. A stranger can hold only a handshake slot.

use std::time::Duration;

/// Peers in one registry. Quorums are tested to 100 validators; observers and rotation need room above that.
pub const PEERS_MAX: usize = 256;
/// Lanes of one node: chains × channels × two epochs during a validator-set change.
pub const LANES_MAX: usize = 64;
/// Bytes of a lane's name; the name is part of the protocol name on the wire.
pub const LANE_NAME_BYTES_MAX: usize = 96;
/// The largest `frame_bytes_max` a lane may ask for.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// The largest `outbound_frames_max` or `inbound_frames_max` a lane may ask for.
pub const QUEUE_FRAMES_MAX: usize = 65_536;

/// Established connections with one peer: the one in use, and one that replaces it.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 2;
/// Established connections in all.
pub const CONNECTIONS_MAX: u32 = PEERS_MAX as u32 * CONNECTIONS_PER_PEER_MAX;
/// Incoming connections in their handshake at once; each holds its slot for at most `HANDSHAKE_TIMEOUT`.
pub const PENDING_INCOMING_MAX: u32 = 64;
/// Addresses one name may resolve to; the rest are not tried.
pub const ADDRESSES_PER_DIAL_MAX: usize = 4;

/// The receive window of a stream, fixed by yamux. An unread lane holds at most this much.
pub const STREAM_WINDOW_BYTES: usize = 256 * 1024;
/// What all windows of a connection together may grow beyond that on long links. The sum of the bulk windows
/// is what a consensus frame can be stuck behind, so it is small: 1 MiB is 84 ms at 100 Mbit/s, and still
/// gives one bulk lane 1.25 MiB per round trip (25 MB/s at 50 ms).
pub const WINDOW_GROWTH_BYTES_MAX: usize = 1 << 20;
/// Streams of a connection beyond one in each direction per lane: those being replaced.
pub const STREAMS_SPARE: usize = 32;
/// Inbound streams the multiplexer keeps while the swarm is busy; more are reset.
pub const STREAMS_UNACCEPTED_MAX: usize = LANES_MAX + 1;

/// Most bytes a writer hands to the multiplexer before it yields; small frames are joined up to this.
pub const WRITE_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// First reservation for an announced frame; after it the buffer at most doubles what has been received.
pub const READ_STEP_BYTES: usize = 8 * 1024;
/// Requests from writers to the driver to open a stream.
pub const COMMANDS_MAX: usize = 1024;

/// Opening a stream, negotiation included.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// A consensus or control stream that takes no byte for this long is closed and opened again.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for bulk: its reader may rightly pause while a disk syncs, and a reset costs a refetch.
pub const BULK_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest pause between attempts to open a lane.
pub const OPEN_RETRY_MIN: Duration = Duration::from_millis(50);
/// See [`OPEN_RETRY_MIN`].
pub const OPEN_RETRY_MAX: Duration = Duration::from_secs(1);
/// TCP connect, noise and yamux, in either direction.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Resolving a peer's host name.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Saying goodbye on a connection; a dead one would otherwise hold its slot until the kernel gives up.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Waiting for the listener at start, and for connections to close at stop.
pub const START_TIMEOUT: Duration = Duration::from_secs(5);
/// See [`START_TIMEOUT`].
pub const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// An empty frame goes to every peer this often.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// A peer from which no byte arrived for this long is disconnected.
pub const SILENCE_MAX: Duration = Duration::from_secs(8);
/// How often the driver looks at its clocks.
pub const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// First and longest pause between dials of a peer. A quorum may be waiting for a bank that has just come back, so the longest is below the
/// engine's leader timeout; a peer that is gone costs one refused connection in it.
pub const DIAL_RETRY_MIN: Duration = Duration::from_millis(100);
/// See [`DIAL_RETRY_MIN`].
pub const DIAL_RETRY_MAX: Duration = Duration::from_millis(800);
/// Pause after a peer turned out to serve another network: only a person mends that, and each time is logged.
pub const DIAL_FOREIGN_PAUSE: Duration = Duration::from_secs(5);
/// The side with the higher index leaves dialing to the other for this long, then dials too: a bank that starts is known to none of
/// the others, whose next dial is a pause away. Longer than a handshake over links of 50 ms, so that there is usually one connection.
pub const DIAL_PATIENCE: Duration = Duration::from_millis(500);
/// The side with the lower index closes a duplicate at once, the other only if it is still there after this.
pub const DUPLICATE_GRACE: Duration = Duration::from_secs(5);
/// Longest `block`; longer ones are cut to it.
pub const BLOCK_MAX: Duration = Duration::from_secs(24 * 3600);

// A dead link is noticed within about ten seconds, and only after several missed keep-alives.
const _: () =
    assert!(SILENCE_MAX.as_millis() + TICK_INTERVAL.as_millis() + CLOSE_TIMEOUT.as_millis() < 10_000);
const _: () = assert!(SILENCE_MAX.as_millis() >= 4 * KEEP_ALIVE_INTERVAL.as_millis());
// A slow bulk reader is cut off only after its link would have been found dead anyway.
const _: () = assert!(BULK_WRITE_TIMEOUT.as_millis() > SILENCE_MAX.as_millis());
const _: () = assert!(READ_STEP_BYTES <= STREAM_WINDOW_BYTES && WRITE_CHUNK_BYTES_MAX <= STREAM_WINDOW_BYTES);
const _: () = assert!(DIAL_PATIENCE.as_millis() < DIAL_RETRY_MAX.as_millis());
