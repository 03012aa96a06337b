//! Free ports on loopback.
//!
//! Ports are taken below the system's range for outgoing connections: while a node is down, nobody's connection sits on its
//! port by chance. All are held open together until every one is chosen, so none is chosen twice.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::failure::{Answer, Failure};

/// Ports below belong to well-known services.
const PORT_MIN: u16 = 10_000;
/// Where outgoing connections start when the system does not say.
const OUTGOING_DEFAULT: u16 = 32_768;
/// Ports tried before giving up.
const TRIES_MAX: usize = 10_000;

/// Chooses `count` free ports.
///
/// # Errors
/// [`Failure`] when there are not enough, or no randomness.
pub fn free_ports(count: usize) -> Answer<Vec<SocketAddr>> {
    let until = outgoing_start().clamp(PORT_MIN + 1_000, u16::MAX);
    let mut held: Vec<TcpListener> = Vec::with_capacity(count);
    let mut chosen = Vec::with_capacity(count);
    for _ in 0..TRIES_MAX {
        if chosen.len() == count {
            break;
        }
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(|fault| {
            Failure::unreachable(
                "randomness",
                format_args!("the operating system gave no randomness: {fault}"),
            )
            .mend("check /dev/urandom")
        })?;
        let port = PORT_MIN + u16::from_le_bytes(random) % (until - PORT_MIN);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if let Ok(listener) = TcpListener::bind(address) {
            held.push(listener);
            chosen.push(address);
        }
    }
    if chosen.len() == count {
        Ok(chosen)
    } else {
        Err(Failure::unreachable("ports", format_args!("found {} of {count} free ports", chosen.len()))
            .mend("stop what listens on loopback, or start fewer banks"))
    }
}

/// Whether something listens on `address`.
#[must_use]
pub fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err()
}

fn outgoing_start() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|start| start.parse().ok()).unwrap_or(OUTGOING_DEFAULT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn chosen_ports_are_free_different_and_loopback() {
        let ports = free_ports(16).unwrap();
        let distinct: BTreeSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), 16);
        assert!(ports.iter().all(|address| address.ip().is_loopback() && address.port() >= PORT_MIN));
    }

    #[test]
    fn a_listening_port_is_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_taken(address));
        drop(listener);
        assert!(!is_taken(address));
    }
}
