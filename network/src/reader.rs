//! The task that reads one stream a peer opened, into that peer's queue of the lane.
//!
//! It takes room first and reads then, so the peer is slowed by its own stream. It ends, and with it the
//! stream, on an oversize frame, at the stream's end, and when the driver replaces it by the peer's next
//! stream.

use std::sync::Arc;

use libp2p::Stream;

use crate::frame::{ReadFrame, read_frame};
use crate::inbound::InboundLane;
use crate::link::Link;

/// Reads lane `lane` of a link; without `inbound` (the keep-alive lane) frames only prove that the peer
/// lives.
pub(crate) async fn read_lane(
    link: Arc<Link>,
    lane: usize,
    inbound: Option<Arc<InboundLane>>,
    mut stream: Stream,
) {
    let Some(link_lane) = link.lanes.get(lane) else { return };
    let counters = &link_lane.counters;
    loop {
        let Ok(room) = link_lane.room.clone().acquire_owned().await else { return };
        match read_frame(&mut stream, link_lane.frame_bytes_max, || link.hear()).await {
            ReadFrame::Frame(frame) => {
                counters.frames_in.add(1);
                counters.bytes_in.add(frame.len());
                let Some(inbound) = &inbound else { continue };
                if link.is_blocked() {
                    counters.dropped_in.add(1);
                    return;
                }
                if !inbound.push(link.peer, frame, room) {
                    return;
                }
            }
            ReadFrame::Oversize => {
                counters.oversize_in.add(1);
                return;
            }
            ReadFrame::Ended => return,
        }
    }
}
