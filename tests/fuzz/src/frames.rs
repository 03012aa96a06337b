//! What nodes send each other: the stream that frames are cut from, and the frames of each lane.

use bytes::Bytes;
use chain::Frame;
use futures::executor::block_on;
use futures::io::{AsyncReadExt as _, Cursor};
use ledger::records::{Batch, Bundle};
use ledger::rules::{check_batch, check_bundle};
use ledger::values::Canonical as _;
use network::{ReadFrame, read_frame};
use node::RelayFrame;

use crate::Target;
use crate::records::shown;
use crate::world::world;

pub(crate) const TARGETS: &[Target] = &[
    Target::plain("stream", stream),
    Target::canonical("frame-chain", chain_frame),
    Target::canonical("frame-relay", relay_frame),
    Target::plain("frame-consensus", consensus_frame),
];

/// Bound of a lane: small, so that short inputs reach it.
const FRAME_BYTES_MAX: usize = 4_096;

/// Cuts a stream into frames, and puts together again what was cut.
fn stream(bytes: &[u8]) {
    let mut stream = Cursor::new(bytes);
    let mut again = Vec::new();
    let ended = loop {
        match block_on(read_frame(&mut stream, FRAME_BYTES_MAX, || {})) {
            ReadFrame::Frame(frame) => {
                assert!(frame.len() <= FRAME_BYTES_MAX);
                again.extend_from_slice(&u32::try_from(frame.len()).expect("a small frame").to_be_bytes());
                again.extend_from_slice(&frame);
            }
            ended => break ended,
        }
    };
    assert!(bytes.starts_with(&again), "frames are the bytes of the stream, in order");
    let rest = &bytes[again.len()..];
    let length = rest.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize);
    let is_oversize = length.is_some_and(|length| length > FRAME_BYTES_MAX);
    assert_eq!(
        ended == ReadFrame::Oversize,
        is_oversize,
        "why it ended, {} bytes before the end",
        rest.len()
    );
    let mut left = Vec::new();
    assert!(block_on(stream.read_to_end(&mut left)).is_ok(), "a cursor has an end");
    assert!(left.len() <= rest.len());
}

fn chain_frame(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(frame) = Frame::decode(&bytes) else { return };
    assert!(frame.encode() == bytes, "a frame is written otherwise: {frame:?}");
    shown(&frame);
    let rules = &world().rules;
    match frame {
        Frame::Batch(bytes) => {
            shown(&Batch::decode(&bytes).is_ok_and(|batch| check_batch(rules, &batch).is_ok()));
        }
        Frame::Bundle(bytes) => {
            shown(&Bundle::decode(&bytes).is_ok_and(|bundle| check_bundle(rules, &bundle).is_ok()));
        }
        _ => {}
    }
}

fn relay_frame(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Some(frame) = RelayFrame::decode(&bytes) else { return };
    assert!(frame.encode() == bytes, "a frame is written otherwise: {frame:?}");
}

/// The epoch before an engine's message; the message itself is the engine's own affair.
fn consensus_frame(bytes: &[u8]) {
    let epoch = consensus::frame_epoch(bytes);
    assert_eq!(epoch.is_some(), bytes.len() >= consensus::FRAME_HEADER_BYTES);
    if let Some(epoch) = epoch {
        assert!(bytes.starts_with(&epoch.to_le_bytes()));
    }
}
